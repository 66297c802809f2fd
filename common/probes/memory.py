"""Measures the peak memory of a step, and estimates from the graph what a run needs, so that a run
that does not fit is refused with a batch size that does.

The estimate is the variables, the most that the tensors of a step hold at one time, and what was
measured besides: BASE_BYTES for a session; OPERATION_BYTES for each operation of the graph, in its
copies and its trace; and as much again as the tensors hold, up to KEPT_BYTES, because malloc keeps
what is freed in blocks below 32 MB, and hands it out in pieces. It was compared with the peak of
the memory of real runs, their checks included, of all four networks on a CPU, TensorFlow 1.15 and
2.21: tests/test_memory.py has the figures.
"""
import collections
import itertools
from typing import Any, Callable, Dict, Iterable, List, Optional

import numpy

from common import graph, networks, text
from common.machine.device import Device
from common.stop import Stop
from common.workload import Pass, Run

BASE_BYTES, OPERATION_BYTES, KEPT_BYTES = 160 * 10 ** 6, 2 * 10 ** 5, 600 * 10 ** 6

# Operations that return their input's memory, and those that write into it if nobody else needs it.
SHARE = 'Identity', 'Reshape', 'Squeeze', 'StopGradient'
OVERWRITE = ('Add', 'AddN', 'AddV2', 'BiasAdd', 'Mul', 'RealDiv', 'Relu', 'ReluGrad', 'Rsqrt',
             'Softmax', 'Sub')


def refuse(run: Run, needed: Callable[[int], float], free_bytes: Optional[int]) -> None:
    """Raises Stop, status 'out_of_memory', if the run needs more than the free memory by `needed`,
    which needed_bytes() returns. Where free_bytes is None, unknown, nothing is refused."""
    batch_size = run.args.batch_size
    if free_bytes is not None and needed(batch_size) > free_bytes:
        raise Stop('Out of memory: %s at batch size %d needs about %s (an estimate), and %s are '
                   'free: %s.' % (networks.title(run.workload.name, run.workload.variant),
                                  batch_size, text.size(needed(batch_size)), text.size(free_bytes),
                                  _advice(batch_size, needed, free_bytes)), 3, 'out_of_memory')


def exhausted(run: Run, needed: Callable[[int], float], available: Optional[int], allocated: str
              ) -> Stop:
    """Returns the Stop of a run that ran out of the `available` bytes; `allocated` is TensorFlow's
    own line."""
    return Stop('Out of memory: batch size %d does not fit: %s.\n  %s' % (
        run.args.batch_size, _advice(run.args.batch_size, needed, available), allocated),
                3, 'out_of_memory')


def _advice(batch_size, needed, available):
    """The largest power of two below batch_size that fits, as a flag, or that none does."""
    trial = 2 ** ((batch_size - 1).bit_length() - 1) if batch_size > 1 else 0
    while trial and available is not None and needed(trial) > available:
        trial //= 2
    return 'use --batch_size %d' % trial if trial else 'no smaller batch size fits either'


def needed_bytes(passes: List[Pass], variables: Iterable[Any], batch_size: int
                 ) -> Callable[[int], float]:
    """Returns a function of n: the estimated bytes that a run of n images needs, from the graph of
    batch_size images. Tensors whose first dimension is the batch grow with n: activations, and the
    images where they are a variable."""
    variables = list(variables)
    weights = [v.shape.as_list() for v in variables if v.trainable]

    def size(tensor):                                    # of one image, and independent of n
        if not tensor.shape.is_fully_defined():
            return numpy.zeros(2)
        shape = tensor.shape.as_list()
        grows = shape[:1] == [batch_size] and shape not in weights
        return graph.size(tensor) * numpy.array([1 / batch_size, 0] if grows else [0, 1])

    steps = [held_in_step(timed.tensors, size) for timed in passes]
    rows, kept = numpy.array(sum(steps, [])), sum(map(size, variables))
    base = BASE_BYTES + OPERATION_BYTES * max(map(len, steps))

    def needed(n):
        step = float(max(rows @ [n, 1]))
        return base + float(kept @ [n, 1]) + step + min(step, KEPT_BYTES)
    return needed


def held_in_step(targets: Iterable[Any], size: Callable[[Any], Any]) -> List[Any]:
    """Returns what the tensors of a step hold while each of its operations runs, in the order of
    the graph; `size` returns the size of a tensor. A tensor is held until its last use, a target
    until the end. Variables and constants do not count."""
    ops = graph.needed_ops(targets)
    uses = collections.Counter([t for op in ops for t in op.inputs] + list(targets))
    owner: Dict[Any, Any] = {}                           # the tensor whose memory a tensor has
    users: Dict[Any, int] = collections.Counter()        # uses to come of its memory
    held, rows = size(targets[0]) * 0, []
    for op in ops:
        inputs = [owner.get(t, t) for t in op.inputs]
        memory = [t for t in inputs if op.type in SHARE or op.type in OVERWRITE
                  and users[t] == inputs.count(t) and t.shape == op.outputs[0].shape][:1]
        for t in op.outputs:
            owner[t], = memory or [t]
            users[owner[t]] += uses[t]
            if not memory and op.inputs:
                held = held + size(t)
        rows.append(held)
        for t in inputs:
            users[t] -= 1
            if not users[t] and t.op.inputs:
                held = held - size(t)
    return rows


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


