"""Recomputes a sample of every convolution and matrix product of a pass in float64.

Outside the timed steps: sixteen random elements of each product's result (four of a filter's
gradient) are read on the device, together with what they are computed from, in one session.run, so
that random images and dropout are the same for all. numpy recomputes them. The error of a product,
the root of the mean square of the differences over the root of the mean sum of the squared terms,
tells the arithmetic that ran: float32 gives 7e-8 to 3e-6, TF32 and float16 about 4e-4, bfloat16
1e-3 to 4e-3.

Grappler and oneDNN fuse a convolution with the padding before it and with the bias, batch norm by
moving averages and ReLU after it, if nothing else reads what is between. So the result is read
behind all of these, and recomputed with them: what runs here is fused as in the timed steps. (Only
an addition to a shortcut, which oneDNN fuses too, is split off.) Auto mixed precision inserts its
casts when a step runs: the filters are read before them, in float32, so that their rounding counts
as an error. XLA compiles the reading into its clusters.

This adds operations to the graph, but not to the timed steps; see checks.finite.
"""
import math
import os
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Tuple

import numpy

from common import graph
from common.cautions import Caution
from common.probes import layers
from common.tf1 import constant_value, tf

ELEMENTS, GRADIENT_ELEMENTS = 16, 4
MAX_VALUES = 2 ** 22                 # of one tensor that are copied for a filter's gradient

# The error that is allowed for a precision: Winograd in float32 is below 1e-4; the largest of
# hundreds of products in TF32 or float16 below 2e-3. From WRONG on it is not rounding.
FLOAT32, WRONG, LARGEST = 1e-4, 0.02, 1e99              # JSON has no infinity
LIMITS = {'float32': FLOAT32, 'tf32': 2e-3, 'mixed_float16': 2e-3, 'mixed_bfloat16': WRONG}
WORDS = ((FLOAT32, 'float32'), (9e-4, 'TF32 or float16'), (2e-3, 'TF32, float16 or bfloat16'),
         (WRONG, 'bfloat16 or worse'), (math.inf, 'wrong altogether'))
NOT_TESTED = 'not tested'            # every sample is of zeros
# What the formats lose by themselves: relative to a sum in float32, and of numbers near zero.
ROUNDING, UNDERFLOW = 2.0 ** -24, {'mixed_float16': 2.0 ** -25}

FUSED_AFTER = 'BiasAdd', 'FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3', 'Relu'


class Sample(NamedTuple):
    """What is read of one product: its two operands, elements of the result, the operations fused
    with it and their parameters; and the function that makes of the operands' values the factors,
    two arrays of (elements, products)."""
    name: str
    operands: Tuple[Any, Any]
    result: Any
    channels: numpy.ndarray
    fused: List[Any]
    parameters: List[List[Any]]
    factors: Callable[[Any, Any], Tuple[Any, Any]]


def measured(session: tf.Session, targets: Iterable[Any], feed_dict: Optional[Dict[Any, Any]],
             precision: str, runs: int = 1, seed: Optional[int] = None) -> Dict[str, Any]:
    """Returns `values` of the record: the seed, the errors of each layer's products in the order of
    the graph, the layer with the largest one, and the arithmetic that it tells.

    Args:
        targets: the tensors of the pass.
        precision: that the run claims, a key of LIMITS.
        runs: how often to run; XLA compiles a cluster at its second run.
        seed: for the choice of the elements; by default another one each time.
    """
    seed = int.from_bytes(os.urandom(4), 'big') if seed is None else seed
    with session.graph.as_default(), tf.name_scope('values'):
        samples = sampled(targets, numpy.random.RandomState(seed))
        reads = [(sample.operands, sample.result, sample.parameters) for sample in samples]
    for _ in range(runs):
        values = session.run(reads, feed_dict)
    errors = {}                                          # type: Dict[str, List[float]]
    for sample, (operands, result, parameters) in zip(samples, values):
        error = _error(sample, operands, result, parameters, precision)
        if error is not None:
            errors.setdefault(sample.name, []).append(float('%.2g' % error))
    worst = max(errors, key=lambda name: max(errors[name]), default='')
    error = max(errors.get(worst, [0.0]))
    return {'seed': seed, 'precision': word(error) if errors else NOT_TESTED, 'worst': worst,
            'error': error, 'errors': errors}


def faults(values: Dict[str, Any], precision: str) -> List[str]:
    """Returns a sentence about the first layer whose error is too large for the precision that the
    run claims, if there is one."""
    wrong = [(name, max(errors)) for name, errors in values['errors'].items()
             if not max(errors) <= LIMITS[precision]]
    if not wrong:
        return []
    name, error = wrong[0]
    size = '' if error == LARGEST else 'computed to %.1e, which is ' % error
    return ['%s%s %s%s, and not %s%s' % (
        name, ' were' if name.startswith('gradients') else ' was', size, word(error), precision,
        ': the first of %d layers' % len(wrong) if len(wrong) > 1 else '')]


def cautions(values: Dict[str, Any], precision: str) -> List[Caution]:
    """Returns a caution if a run with --precision computed in float32 nevertheless."""
    if precision == 'float32' or not values['errors'] or values['error'] > FLOAT32:
        return []
    return [Caution('values', 'every layer was computed in float32 (to %.1e or better), not in %s: '
                    'quote it as float32' % (values['error'], precision))]


def word(error: float) -> str:
    """Returns the arithmetic that an error tells."""
    return next(name for limit, name in WORDS if error <= limit)


def sampled(targets: Iterable[Any], random: numpy.random.RandomState) -> List[Sample]:
    """Adds to the graph what reads the samples of all products that `targets` need."""
    targets = list(targets)
    ops = graph.needed_ops(targets)
    readers = {t: [None] for t in targets}               # type: Dict[Any, List[Any]]
    for op in ops:
        for t in op.inputs:
            readers.setdefault(t, []).append(op)
    samples, elements_of, constants = [], {}, {}         # type: List[Sample], Dict, Dict

    def constant(indices):                               # layers of one shape share them
        indices = indices.astype(numpy.int32)
        key = indices.shape, indices.tobytes()
        if key not in constants:
            constants[key] = tf.constant(indices)
        return constants[key]

    def slices(tensor, indices, axis):
        return tf.gather(tensor, constant(indices), axis=constant(numpy.array(axis)))

    for op in ops:
        if op.type not in graph.COUNTED:
            continue
        count = ELEMENTS
        if op.type == 'Conv2DBackpropFilter':
            pixels = max(t.shape[:3].num_elements() for t in (op.inputs[0], op.inputs[2]))
            count = max(1, min(GRADIENT_ELEMENTS, MAX_VALUES // pixels))
        shape = tuple(op.outputs[0].shape.as_list())
        if shape not in elements_of:
            elements_of[shape] = numpy.stack([random.randint(0, size, ELEMENTS)
                                              for size in shape], 1)
        elements = elements_of[shape][:count]
        operands, factors = (_matmul(op, elements, slices) if op.type == 'MatMul'
                             else _convolution(op, elements, slices, constant))
        end, fused = op.outputs[0], []                   # type: Any, List[Any]
        while len(readers.get(end, [])) == 1 and _is_fused(readers[end][0], end):
            fused.append(readers[end][0])
            end = fused[-1].outputs[0]
        name, is_backward = layers.full_name(op)
        samples.append(Sample('gradients of ' * is_backward + name, operands,
                              tf.gather_nd(end, constant(elements)), elements[:, -1], fused,
                              [list(op.inputs)[1:] for op in fused], factors))
    return samples


def _is_fused(op, tensor):
    """Whether an operation that reads the result of a product may be fused with it."""
    return (op is not None and op.type in FUSED_AFTER and op.inputs[0] is tensor
            and not (op.type.startswith('FusedBatchNorm') and op.get_attr('is_training')))


def _matmul(op, elements, slices):
    """The operands and factors of a matrix product."""
    axes = 1 if op.get_attr('transpose_a') else 0, 0 if op.get_attr('transpose_b') else 1
    return tuple(slices(t, elements[:, i], axis)
                 for i, (t, axis) in enumerate(zip(op.inputs, axes))), lambda a, b: (
        numpy.moveaxis(a, axes[0], 0), numpy.moveaxis(b, axes[1], 0))


def _convolution(op, elements, slices, constant):
    """The operands and factors of a convolution (NHWC), or of one of its gradients.

    In each of them output position o and tap k of the filter meet at input position
    o * stride + k * dilation - padding; taps beyond the image contribute zero.
    """
    images = op.outputs[0] if op.type == 'Conv2DBackpropInput' else op.inputs[0]
    filters = op.outputs[0] if op.type == 'Conv2DBackpropFilter' else op.inputs[1]
    outputs = op.outputs[0] if op.type == 'Conv2D' else op.inputs[2]
    positions, are_inside = [], []                       # of height and width
    unpadded, before = _unpadded(images)
    for axis in 1, 2:
        stride, dilation = op.get_attr('strides')[axis], op.get_attr('dilations')[axis]
        size, out = int(images.shape[axis]), int(outputs.shape[axis])
        taps = int(filters.shape[axis - 1])
        padding = 0
        if op.get_attr('padding') == b'SAME':
            padding = max((out - 1) * stride + (taps - 1) * dilation + 1 - size, 0) // 2
        if op.type == 'Conv2DBackpropInput':             # the outputs that an input goes into
            position = elements[:, axis, None] + padding - numpy.arange(taps) * dilation
            is_inside = position % stride == 0
            position, size = position // stride, out
        else:
            outs, tap = ((numpy.arange(out), elements[:, axis - 1, None])
                         if op.type == 'Conv2DBackpropFilter'
                         else (elements[:, axis, None], numpy.arange(taps)))
            position = outs * stride + tap * dilation - padding - before[axis]
            is_inside, size = True, int(unpadded.shape[axis])
        are_inside.append(is_inside & (0 <= position) & (position < size))
        positions.append(numpy.clip(position, 0, size - 1))
    rows, columns = positions
    mask = (are_inside[0][:, :, None] & are_inside[1][:, None, :])[..., None]
    if op.type == 'Conv2DBackpropFilter':
        mask = mask[:, None, :, :, 0]
        return (slices(unpadded, elements[:, 2], 3), slices(outputs, elements[:, 3], 3)), (
            lambda x, dy: (mask * numpy.stack([x[:, row][:, :, column, i] for i, (row, column)
                                               in enumerate(zip(rows, columns))]),
                           numpy.moveaxis(dy, 3, 0)))
    read, axis = (unpadded, 3) if op.type == 'Conv2D' else (outputs, 2)
    indices = numpy.stack(numpy.broadcast_arrays(
        elements[:, 0, None, None], rows[:, :, None], columns[:, None, :]), 3)
    return (tf.gather_nd(read, constant(indices)),
            slices(filters, elements[:, 3], axis)), (
        lambda x, w: (x * mask, numpy.moveaxis(w, axis, 0)))


def _unpadded(tensor):
    """A tensor before tf.pad, and how much that adds before each axis."""
    if tensor.op.type != 'Pad':
        return tensor, [0] * 4
    return tensor.op.inputs[0], [int(before) for before, _ in constant_value(tensor.op.inputs[1])]


def _error(sample, operands, result, parameters, precision):
    """The error of a sample; LARGEST if something is nan or infinite; None if all of it is zero, as
    behind a ReLU or in the batch norm of one value, which tells nothing."""
    with numpy.errstate(all='ignore'):
        x, w = (numpy.asarray(factor, numpy.float64).reshape(len(result), -1)
                for factor in sample.factors(*operands))
        sums, limit = numpy.cumsum(x * w, 1), LIMITS[precision]
        expected, squares = sums[:, -1], numpy.sum(numpy.square(x * w), 1)
        # Adding millions of products of one sign after the other, as in the gradient of a filter,
        # loses more in float32; so do factors and products that are too small for the format.
        underflow = UNDERFLOW.get(precision, float(numpy.finfo(numpy.float32).tiny))
        squares = squares + (ROUNDING / limit) ** 2 * numpy.sum(numpy.square(sums), 1) + (
            underflow / limit) ** 2 * numpy.sum(numpy.square(x) + numpy.square(w) + 1, 1)
        counts = numpy.square(x * w).any(1) | (result != 0)
        for op, values in zip(sample.fused, parameters):
            values = [numpy.asarray(value, numpy.float64)[sample.channels] for value in values]
            if op.type == 'BiasAdd':
                expected, squares = expected + values[0], squares + numpy.square(values[0])
            elif op.type == 'Relu':                      # a zero tells nothing of a negative sum
                counts &= (expected > 0) | (result != 0)
                expected = numpy.maximum(expected, 0)
            else:
                scale, offset, mean, variance = values
                scale = scale / numpy.sqrt(variance + op.get_attr('epsilon'))
                expected = (expected - mean) * scale + offset
                squares = (squares + numpy.square(mean)) * numpy.square(scale) + numpy.square(
                    offset)
        if not counts.any():
            return None
        error = math.sqrt(numpy.mean(numpy.square(result - expected)[counts])
                          / numpy.mean(squares[counts]))
    return error if error < LARGEST else LARGEST         # nan is not less
