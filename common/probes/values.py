"""Recomputes a sample of every convolution and matrix product of a pass in float64.

Outside the timed steps: sixteen random elements of each product's result (up to four of a filter's
gradient) are read on the device, together with what they are computed from, in one session.run, so
that random images and dropout are the same for all. numpy recomputes them. The error of a product,
the root of the mean square of the differences over the root of the mean sum of the squared terms,
tells the arithmetic that ran: float32 gives 7e-8 to 3e-6, TF32 and float16 about 4e-4, bfloat16
1e-3 to 4e-3.

Long sums of one sign lose more in float32, because each addition rounds a sum that is much larger
than its terms: of 25,088 terms between 0 and 1, added one by one, 2e-4 (at most 6e-4), of 401,408
already 2e-2; in blocks of 256, as kernels add, 2e-5 and 3e-4. So twice the largest rounding of each
partial sum is allowed, as the root of the sum of their squares: 1.3e-3 and 2e-2 there. Where the
terms have both signs it is 1e-5 and 5e-5, and TF32 is seen in up to six million terms, such as the
gradients of VGG's first filters at batch 128. A layer that is off by one per cent is always seen.
(Not allowed for: 4,608 equal products, whose roundings all go to the same side, lose up to 4e-3 if
they are added one by one. No network here has constant weights.)

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
MAX_VALUES = 2 ** 23                 # that are copied for the gradients of all filters together

# The error that is allowed for a precision: Winograd in float32 is below 1e-4; the largest of
# hundreds of products in TF32 or float16 below 2e-3. From WRONG on it is not rounding.
FLOAT32, WRONG, LARGEST = 1e-4, 0.02, 1e99              # JSON has no infinity
LIMITS = {'float32': FLOAT32, 'tf32': 2e-3, 'mixed_float16': 2e-3, 'mixed_bfloat16': WRONG}
WORDS = ((FLOAT32, 'float32'), (9e-4, 'TF32 or float16'), (2e-3, 'TF32, float16 or bfloat16'),
         (WRONG, 'bfloat16 or worse'), (math.inf, 'wrong altogether'))
NOT_TESTED = 'not tested'            # every sample is of zeros
# What the formats lose by themselves: relative to a sum in float32, and of numbers near zero.
EPSILON, UNDERFLOW = 2.0 ** -23, {'mixed_float16': 2.0 ** -25}

FUSED_AFTER = 'BiasAdd', 'FusedBatchNorm', 'FusedBatchNormV2', 'FusedBatchNormV3', 'Relu'


class Sample(NamedTuple):
    """What is read of one product: elements of the result, then its operands, each as (tensor,
    indices or None, axis; None in gather_nd); the operations fused with it; and the function that
    makes of the operands' values the products x * w, x * x + w * w + 1, arrays of (elements,
    products), and of how many products each is the sum."""
    name: str
    reads: List[Tuple[Any, Optional[numpy.ndarray], Optional[int]]]
    fused: List[Any]
    products: Callable[[Any, Any], Tuple[Any, Any, int]]


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
        fetches, indices = _gathered(samples)
    for _ in range(runs):
        values = session.run(fetches, {**(feed_dict or {}), **indices})
    errors = {}                                          # type: Dict[str, List[float]]
    for sample, (reads, parameters) in zip(samples, values):
        error = _error(sample, reads, parameters, precision)
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
    """Returns the samples of all products that `targets` need, in the order of the graph."""
    targets = list(targets)
    ops = graph.needed_ops(targets)
    readers = {t: [None] for t in targets}               # type: Dict[Any, List[Any]]
    for op in ops:
        for t in op.inputs:
            readers.setdefault(t, []).append(op)
    gradients = sum(op.type == 'Conv2DBackpropFilter' for op in ops)
    samples = []
    for op in ops:
        if op.type not in graph.COUNTED:
            continue
        count = copied = ELEMENTS
        if op.type == 'Conv2DBackpropFilter':
            pixels = max(t.shape[:3].num_elements() for t in (op.inputs[0], op.inputs[2]))
            copied = min(GRADIENT_ELEMENTS, MAX_VALUES // (2 * gradients * pixels))
            count = max(copied, 1)
        shape = op.outputs[0].shape.as_list()
        elements = (random.random_sample((count, len(shape))) * shape).astype(numpy.int32)
        operands, products = (_matmul(op, elements) if op.type == 'MatMul' else
                              _convolution(op, elements, are_copied=copied > 0))
        end, fused = op.outputs[0], []                   # type: Any, List[Any]
        while len(readers.get(end, [])) == 1 and _is_fused(readers[end][0], end):
            fused.append(readers[end][0])
            end = fused[-1].outputs[0]
        name, is_backward = layers.full_name(op)
        samples.append(Sample('gradients of ' * is_backward + name,
                              [(end, elements, None)] + operands, fused, products))
    return samples


def _gathered(samples):
    """Adds to the graph what reads the samples. Returns what session.run fetches, and the indices
    that it is fed: all of one width are one tensor, which is split."""
    arrays, feed, parts = {}, {}, {}
    for sample in samples:
        for _, indices, _ in sample.reads:
            if indices is not None:
                arrays.setdefault(indices.shape[1:], []).append(indices)
    for width, several in arrays.items():
        whole = numpy.concatenate(several)
        placeholder = tf.placeholder(tf.int32, whole.shape)
        feed[placeholder] = whole
        parts[width] = iter(tf.split(placeholder, list(map(len, several))))
    axes = [tf.constant(axis) for axis in range(4)]

    def gathered(tensor, indices, axis):
        if indices is None:
            return tensor
        part = next(parts[indices.shape[1:]])
        return (tf.gather_nd(tensor, part) if axis is None else
                tf.gather(tensor, part, axis=axes[axis]))
    return [([gathered(*read) for read in sample.reads],
             [list(op.inputs)[1:] for op in sample.fused]) for sample in samples], feed


def _is_fused(op, tensor):
    """Whether an operation that reads the result of a product may be fused with it."""
    return (op is not None and op.type in FUSED_AFTER and op.inputs[0] is tensor
            and not (op.type.startswith('FusedBatchNorm') and op.get_attr('is_training')))


def _matmul(op, elements):
    """What is read of a matrix product, and its products."""
    axes = 1 if op.get_attr('transpose_a') else 0, 0 if op.get_attr('transpose_b') else 1
    return [(t, elements[:, i], axis) for i, (t, axis) in enumerate(zip(op.inputs, axes))], (
        lambda a, b: _products(numpy.moveaxis(a, axes[0], 0), numpy.moveaxis(b, axes[1], 0)))


def _convolution(op, elements, are_copied):
    """What is read of a convolution (NHWC), or of one of its gradients, and its products.

    In each of them output position o and tap k of the filter meet at input position
    o * stride + k * dilation - padding; taps beyond the image contribute zero. An element of a
    filter's gradient needs one channel of the images and of the output's gradient, of the whole
    batch: unless these `are_copied`, the device adds the images' products up, in float64.
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
    mask = are_inside[0][:, :, None] & are_inside[1][:, None, :]
    if op.type != 'Conv2DBackpropFilter':
        read, axis = (unpadded, 3) if op.type == 'Conv2D' else (outputs, 2)
        indices = numpy.stack(numpy.broadcast_arrays(
            elements[:, 0, None, None], rows[:, :, None], columns[:, None, :]), 3)
        return [(read, indices.reshape(-1, 3), None), (filters, elements[:, 3], axis)], (
            lambda x, w: _products(x.reshape(mask.shape + (-1,)) * mask[..., None],
                                   numpy.moveaxis(w, axis, 0)))
    if are_copied:
        return [(unpadded, elements[:, 2], 3), (outputs, elements[:, 3], 3)], (
            lambda x, dy: _products(
                mask[:, None] * numpy.stack([x[:, row][:, :, column, i] for i, (row, column)
                                             in enumerate(zip(rows, columns))]),
                numpy.moveaxis(dy, 3, 0)))
    x, dy = (tf.cast(t[:, :, :, int(channel)], tf.float64)
             for t, channel in zip((unpadded, outputs), elements[0, 2:]))
    x = tf.gather(tf.gather(x, rows[0], axis=1), columns[0], axis=2) * mask.astype(float)
    return [(tf.reduce_sum(t, 0), None, None) for t in (x * dy, x * x + dy * dy + 1)], (
        lambda *sums: (*(of.reshape(1, -1) for of in sums), int(outputs.shape[0])))


def _products(x, w):
    """The products of two factors, and the sums of their squares and 1, which tell how much is lost
    where they are too small for a format."""
    x, w = (numpy.asarray(factor, numpy.float64).reshape(len(factor), -1) for factor in (x, w))
    return x * w, x * x + w * w + 1, 1


def _unpadded(tensor):
    """A tensor before tf.pad, and how much that adds before each axis."""
    if tensor.op.type != 'Pad':
        return tensor, [0] * 4
    return tensor.op.inputs[0], [int(before) for before, _ in constant_value(tensor.op.inputs[1])]


def _error(sample, reads, parameters, precision):
    """The error of a sample; LARGEST if something is nan or infinite; None if all of it is zero, as
    behind a ReLU or in the batch norm of one value, which tells nothing."""
    (result, *operands), channels = reads, sample.reads[0][1][:, -1]
    with numpy.errstate(all='ignore'):
        products, small, number = sample.products(*operands)
        sums, limit = numpy.cumsum(products, 1), LIMITS[precision]
        expected, squares = sums[:, -1], numpy.sum(numpy.square(products), 1)
        underflow = UNDERFLOW.get(precision, float(numpy.finfo(numpy.float32).tiny))
        squares = (squares + (EPSILON / limit) ** 2 * number * numpy.sum(numpy.square(sums), 1)
                   + (underflow / limit) ** 2 * numpy.sum(small, 1))
        counts = products.any(1) | (result != 0)
        for op, values in zip(sample.fused, parameters):
            values = [numpy.asarray(value, numpy.float64)[channels] for value in values]
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
