"""Checks that the timed operations ran, on the right device, and computed finite numbers.

All of it happens outside the timed steps. Each check returns a sentence for each fault, and an
empty list where there is none.
"""
import collections
import re
from typing import Any, Dict, Iterable, List, Optional

from common import graph, networks, tf1
from common.cautions import Caution
from common.machine.device import Device
from common.probes import layers
from common.tf1 import tf

# Direct-convolution FLOP over the multiplications that cuDNN's largest Winograd tile, F(4x4, 3x3),
# needs: 16 x 9 / 36 (Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks", 2015). Only
# convolutions with stride 1 and a kernel larger than 1x1 can be computed like this.
WINOGRAD = 4.0
# Types of operations whose output may be finite although an input is not: the larger of two
# numbers, its gradient, an index, or a choice (dropout in TensorFlow 2).
SWALLOWING = re.compile(r'Relu6?(Grad)?|(Arg|Clip)?(Max|Min|ByValue).*|Select.*|TopK.*')


def untested_version() -> List[Caution]:
    """A caution if no test has compared this version's outputs with those of TensorFlow 1.15."""
    if tf1.RELEASE in tf1.COMPARED:
        return []
    return [Caution('version', 'the outputs of TensorFlow %s have not been compared with those of '
                    '1.15: before you quote the figure, in a checkout, run '
                    '`python -m pip install pytest` and '
                    '`python -m pytest -m "" tests/test_runtimes.py`' % tf1.VERSION)]


def executed_convolutions(step_stats: Any) -> Dict[str, int]:
    """Counts the convolutions, by type, that a traced step executed, fused ones included."""
    types = (_op_type(node) for device in step_stats.dev_stats if graph.is_executor(device)
             for node in device.node_stats)
    return dict(collections.Counter(filter(None, types)))


def convolutions(step_stats: Any, targets: Iterable[Any], clustered: Optional[int] = None
                 ) -> Dict[str, Dict[str, int]]:
    """Returns `convolutions` of the record: the numbers by type that a traced step 'executed', and
    that a run of `targets` needs by the 'graph'. XLA does not tell the type of those that it
    compiled: `clustered` is their number, None without --xla."""
    ran = executed_convolutions(step_stats)
    if clustered is not None:
        ran['in clusters'] = clustered
    return {'executed': ran, 'graph': dict(collections.Counter(
        op.type for op in graph.needed_ops(targets) if op.type in graph.CONVOLUTIONS))}


def executed(counted: Dict[str, Dict[str, int]]) -> List[str]:
    """Checks that the `convolutions` executed are those of the graph: none was pruned away, none
    ran twice. With XLA only the sums are compared."""
    wanted, ran = counted['graph'], counted['executed']
    clustered = ran.get('in clusters')
    if clustered == 0:
        return ['XLA compiled no convolution: what was timed is the graph without it']
    if wanted == ran or clustered and sum(wanted.values()) == sum(ran.values()):
        return []
    return ['the step executed %s, the graph has %s: what was timed is not the network'
            % (_counts(ran), _counts(wanted))]


def placement(step_stats: Any, targets: Iterable[Any], device: Device) -> List[str]:
    """Checks that in a GPU run every operation that makes float arrays ran on the GPU. The
    allreduce is exempt: the build of Horovod decides where it runs."""
    if device.kind != 'gpu':
        return []
    arrays = {op.name for op in graph.needed_ops(targets)
              if op.type not in ('Placeholder', 'HorovodAllreduce')
              and any(map(_is_array, op.outputs))}
    fallen = sorted({node.node_name.partition(':')[0] for stats in step_stats.dev_stats
                     if graph.is_executor(stats) and 'CPU' in stats.device
                     for node in stats.node_stats} & arrays)
    if not fallen:
        return []
    shown = ', '.join(fallen[:5]) + (', ...' if len(fallen) > 5 else '')
    return ['%d operations fell back to the CPU: %s' % (len(fallen), shown)]


def finite(session: tf.Session, targets: Iterable[Any], feed_dict: Optional[Dict] = None
           ) -> List[str]:
    """Checks that the targets, the outputs of all convolutions and matrix products, and what goes
    into SWALLOWING operations are finite. If not, the sentence names the first layer, in the order
    of the graph, with nan or infinity.

    Checking the targets alone is not enough: max_pool on a CPU turns nan into -3.4e38, argmax turns
    it into an index, ReLU on a CPU in TensorFlow 2 and on some GPUs into 0, and its gradient leaves
    out what belongs to such a 0. Only one boolean for each tensor is copied to the host. There are
    two untimed runs: reading the output of a convolution keeps Grappler from fusing it with its
    bias and ReLU, so the targets are also computed by themselves, as they were timed.

    This adds operations to the graph, but not to the timed steps: the session keeps the executor of
    a pass that has run, and for a later pass it prunes the graph to the fetched operations before
    it optimises it (tests/test_checks.py compares the operations executed). The start-up times are
    not affected, because they end with the first pass.
    """
    ops = graph.needed_ops(targets)
    swallowed = {t for op in ops for t in swallowed_by(op)}
    inner = [t for op in ops for t in op.outputs if t.dtype.base_dtype.is_floating
             and (t in swallowed or op.type in graph.COUNTED) and not SWALLOWING.fullmatch(op.type)]
    fetched = [t for target in targets for t in floats(target)]
    wrong = []
    for tensors in fetched, inner:                       # all ranks must run both: they reduce
        with session.graph.as_default(), tf.name_scope('finite'):
            are_finite = [tf.reduce_all(tf.is_finite(t)) for t in tensors]
        wrong.append([t for t, is_finite in zip(tensors, session.run(are_finite, feed_dict))
                      if not is_finite])
    named = [layers.full_name(t.op) for t in wrong[1] or wrong[0]]
    if not named:
        return []
    (first, is_backward), number = named[0], len({name for name, _ in named})
    return ['not finite: %s%s%s' % ('gradients of ' * is_backward, first,
                                    ', the first of %d layers' % number if number > 1 else '')]


def swallowed_by(op: Any) -> List[Any]:
    """Returns the tensors in which nan or infinity may be, and not in the outputs of the operation:
    its inputs, or the variance of a batch norm in training, which divides by its square root."""
    if SWALLOWING.fullmatch(op.type):
        return list(op.inputs)
    if re.fullmatch(r'FusedBatchNorm(V2|V3)?', op.type) and op.get_attr('is_training'):
        return [op.outputs[2]]
    return []


def floats(tensor: Any) -> List[Any]:
    """Returns the tensor itself, or, for integers such as those of argmax, the floats that they are
    computed from."""
    if tensor.dtype.base_dtype.is_floating:
        return [tensor]
    return [t for t in tensor.op.inputs if t.dtype.base_dtype.is_floating]


def parameter_count(counted: int, benchmark: str, variant: str) -> List[str]:
    """Checks the number of parameters against the table in common/networks.py."""
    expected = networks.NETWORKS[benchmark].variants[variant].parameters
    if counted == expected:
        return []
    return ['the graph has %d parameters, the network has %d' % (counted, expected)]


def rate(ops: Iterable[Any], seconds: float, peak_flops: Optional[float]) -> List[str]:
    """Checks that the hardware is fast enough for the measured time, even with Winograd.

    Args:
        ops: the operations of the step.
        seconds: its duration in seconds.
        peak_flops: FLOP / s of the device, or None where it is unknown: no check.
    """
    least = sum(graph.flops(op) / (WINOGRAD if _has_short_cut(op) else 1) for op in ops)
    if peak_flops is None or least <= peak_flops * seconds:
        return []
    return ['the step needs %.3g GFLOP, with every short cut, and %.3g ms of a device of %.3g '
            'TFLOP / s: it cannot have run in %.3g ms' % (least / 1e9, 1e3 * least / peak_flops,
                                                          peak_flops / 1e12, 1e3 * seconds)]


def _op_type(node):
    """The type of a traced convolution without the affixes of fused kernels, 'Conv2D' for the label
    `conv1 = _FusedConv2D(...)`; None for other operations. Grappler and oneDNN fuse convolutions
    (_MklNativeConv2DBackpropFilterWithBias)."""
    match = re.search(r' = \w*?(Conv2D(?:Backprop(?:Filter|Input))?)(?:WithBias)?\(',
                      node.timeline_label)
    return match.group(1) if match else None


def _has_short_cut(op):
    return (op.type in graph.CONVOLUTIONS and set(op.get_attr('strides')) == {1}
            and graph.kernel_shape(op)[:2].num_elements() > 1)


def _is_array(tensor):
    return tensor.dtype.base_dtype.is_floating and tensor.shape.ndims != 0


def _counts(convolutions):
    return ' + '.join('%d %s' % (number, type_) for type_, number in sorted(convolutions.items())
                      ) or 'no convolution'
