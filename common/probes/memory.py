"""Measures the peak memory of a step, and suggests a batch size when memory runs out."""
import itertools
from typing import Any, Callable, Iterable, Optional

from common import graph
from common.machine import host
from common.machine.device import Device
from common.probes import Found, Probe, Step
from common.tf1 import tf

SHARE_MEMORY = 'Identity', 'Reshape', 'Squeeze'          # ops that return their input's memory


class Memory(Probe):
    """The most memory that a step held on the device."""

    def after(self, step: Step) -> Found:
        return Found({'peak_bytes': peak_bytes(step.step_stats, self.run.device,
                                               tf.global_variables())})


def advice(batch_size: int, allocated: str, try_instead: Optional[int]) -> str:
    """Returns the message for a run that is out of memory; `allocated` is TensorFlow's own line."""
    return 'Out of memory: batch size %d does not fit. %s\n  %s' % (
        batch_size, 'The largest power of two worth trying: --batch_size %d.' % try_instead
        if try_instead else 'No smaller batch is likely to fit either.', allocated)


def worth_trying(targets: Iterable[Any], variables: Iterable[Any], batch_size: int,
                 available: Optional[int]) -> Optional[int]:
    """Returns the largest power of two below batch_size whose least_bytes fit into `available`
    bytes (None: unknown, all fit); None if none does."""
    needed = least_bytes(targets, variables, batch_size)
    trial = 2 ** ((batch_size - 1).bit_length() - 1) if batch_size > 1 else 0
    while trial and available is not None and needed(trial) > available:
        trial //= 2
    return trial or None


def least_bytes(targets: Iterable[Any], variables: Iterable[Any], batch_size: int
                ) -> Callable[[int], float]:
    """Returns a function of n: a lower bound of the bytes that a step of n images needs, estimated
    from the graph for batch_size images.

    The bound is the variables plus the largest of (a) the inputs of all convolutions whose weights
    get a gradient, since they live from the forward to the backward half, (b) the inputs and
    outputs of one operation, and (c) the gradients. Tensors whose first dimension is the batch grow
    with n: activations, and the images where they are a variable.
    """
    def grows(tensor):
        return tensor.shape.is_fully_defined() and tensor.shape.as_list()[:1] == [batch_size]

    def per_image(tensors):                              # variables are counted by themselves
        return sum(graph.size(t) for t in set(tensors)
                   if grows(t) and not graph.is_variable(t)) / batch_size

    targets, variables = list(targets), list(variables)
    ops = [op for op in graph.needed_ops(targets) if op.type not in SHARE_MEMORY]
    kept = per_image(op.inputs[0] for op in ops if op.type == 'Conv2DBackpropFilter')
    largest = max(per_image(list(op.inputs) + op.outputs) for op in ops)
    gradients = sum(graph.size(t) for t in targets if not grows(t))
    images = [v for v in variables if grows(v) and not v.trainable]
    image = sum(map(graph.size, images)) / batch_size
    weights = sum(map(graph.size, variables)) - image * batch_size
    return lambda n: weights + n * image + max(gradients, n * max(kept, largest))


def available_bytes(device: Device) -> Optional[int]:
    """Returns the bytes of the GPU's memory, or for a CPU the free bytes; None where unknown."""
    return device.gpu.memory_bytes if device.gpu else host.free_bytes()


def peak_bytes(step_stats: Any, device: Device, variables: Iterable[Any]) -> Optional[int]:
    """Returns the most bytes that a traced step held on the device, None if the
    trace has none of the GPU allocator's counts.

    GPU: the allocator's own count, which includes the scratch space of operations. CPU, whose
    allocator does not count: the tensors that the step held at one time, and the variables.
    """
    if device.kind == 'gpu':
        return max([use.allocator_bytes_in_use + max(0, use.peak_bytes - use.live_bytes)
                    for stats in step_stats.dev_stats for node in stats.node_stats
                    for use in node.memory if use.allocator_name.lower().startswith('gpu')],
                   default=None)
    changes = sorted((change.alloc_micros, change.alloc_bytes)
                     for stats in step_stats.dev_stats for node in stats.node_stats
                     for use in node.memory for change in use.allocation_records)
    held = itertools.accumulate(size for _, size in changes)
    return max(held, default=0) + sum(map(graph.size, variables))


