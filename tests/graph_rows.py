"""Reads the hyperparameters of a network from its graph, as rows that a test holds as a table."""
import collections
import math
import re

import numpy

from common import graph
from common.tf1 import tf


def rows(targets):
    """Returns a row for each convolution and matrix product that `targets` need, in graph order,
    with what follows it: 'conv1 11x11/4 SAME, truncated normal 0.1; bias 0; relu; LRN 4 1
    0.0001111 0.75; max 3x3/2 VALID'. What comes before the first is a row of its own."""
    parts = [['']]
    for op in graph.needed_ops(targets):
        if op.type in ('Conv2D', 'MatMul'):
            parts.append([product(op)])
        else:
            parts[-1] += filter(None, [follower(op)])
    return list(map('; '.join, parts))


def counts(targets):
    """Returns how many layers have what, besides their sizes and windows."""
    return collections.Counter(
        part for row in rows(targets)
        for part in re.sub(r'^\S+ \dx\d/\d (\w+), ', '; ', row).split('; ')
        if part and not re.match('max|avg', part))


def product(op):
    """'conv1 11x11/4 SAME, truncated normal 0.1' of a convolution, 'fc6, normal 0.01' of a matrix
    product."""
    weights = variable(op.inputs[1])
    name = weights.op.name.rpartition('/')[0]
    if op.type == 'Conv2D':
        name += ' ' + window(op.inputs[1].shape.as_list()[:2], op)
    return '%s, %s' % (name, initialiser(weights))


def follower(op):
    """The text of an operation between two products; None for those without hyperparameters."""
    if op.type == 'BiasAdd':
        return 'bias ' + initialiser(variable(op.inputs[1])).replace('constant ', '')
    if op.type in ('MaxPool', 'AvgPool'):
        return '%s %s' % (op.type[:3].lower(), window(op.get_attr('ksize')[1:3], op))
    if op.type == 'LRN':
        return 'LRN %g %g %.4g %g' % tuple(
            op.get_attr(name) for name in ('depth_radius', 'bias', 'alpha', 'beta'))
    if re.match(r'FusedBatchNorm(V\d)?$', op.type):     # not its gradient
        return 'batch norm %s, epsilon %.3g' % (
            'of the batch' if op.get_attr('is_training') else 'of moving averages',
            op.get_attr('epsilon'))
    if op.type == 'GreaterEqual' and 'drop' in op.name.lower():
        rate = constant(op.inputs[1])
        return 'dropout' if rate is None else 'dropout %.3g' % rate
    return {'Relu': 'relu', 'Mean': 'mean', 'Softmax': 'softmax', 'ArgMax': 'argmax'}.get(op.type)


def window(sides, op):
    """'3x3/2 VALID', of a kernel with these sides and the strides and padding of the operation."""
    _, stride, other, _ = op.get_attr('strides')
    assert stride == other
    return '%dx%d/%d %s' % (*sides, stride, op.get_attr('padding').decode())


def variable(tensor):
    """The variable that a tensor is read from."""
    op = tensor.op
    while op.inputs:
        op = op.inputs[0].op
    its_variable, = [v for v in tensor.graph.get_collection('variables') if v.op is op]
    return its_variable


def initialiser(of):
    """'truncated normal 0.1', 'constant 0', or by their rules 'xavier' (uniform to sqrt(6 / (fan in
    + fan out)), Glorot and Bengio 2010, equation 16) and 'he' (truncated normal with a variance of
    2 / fan in before the cut, He et al. 2015)."""
    ops = graph.needed_ops([of.initializer.inputs[1]])
    known = {op.name.rpartition('/')[2]: constant(op.outputs[0]) for op in ops}
    types = {op.type for op in ops}
    shape = of.shape.as_list()
    fan_in = of.shape[:-1].num_elements()
    if 'RandomUniform' in types:
        limit = math.sqrt(6 / (fan_in + fan_in // shape[-2] * shape[-1]))
        assert math.isclose(-known['min'], known['max'], rel_tol=1e-6)
        return 'xavier' if math.isclose(known['max'], limit, rel_tol=1e-5) else (
            'uniform to %.4g' % known['max'])
    if types & {'TruncatedNormal', 'RandomStandardNormal'}:
        assert known['mean'] == 0
        kind = 'truncated normal' if 'TruncatedNormal' in types else 'normal'
        is_he = math.isclose(known['stddev'], math.sqrt(1.3 * 2 / fan_in), rel_tol=1e-5)
        return 'he' if is_he else '%s %.3g' % (kind, known['stddev'])
    value, = {constant(op.outputs[0]) for op in ops if op.type == 'Const'
              and op.outputs[0].dtype.base_dtype.is_floating}
    return 'constant %.3g' % value


def constant(tensor):
    """The value of a constant whose elements are all the same; None for other tensors."""
    if tensor.op.type != 'Const' or not tensor.dtype.base_dtype.is_floating:
        return None
    values = tf.make_ndarray(tensor.op.get_attr('value'))
    value, = set(values.ravel().tolist())
    return value


def decays(of_graph):
    """The decay of each moving average that the graph updates, as 1 - decay stands in it."""
    return [round(constant(op.inputs[1]), 6) for op in of_graph.get_operations()
            if op.type == 'Sub' and re.search(r'/AssignMovingAvg(_1)?/sub$', op.name)]


def weight_decays(of_graph):
    """The scale of each regularisation loss."""
    with of_graph.as_default():
        losses = tf.losses.get_regularization_losses()
    return [round(constant(loss.op.inputs[0]), 6) for loss in losses]


def images(run):
    """The shape and the initialiser of the images of a `timed` run, which every pass reads from a
    variable."""
    its_images = variable(run.graph.get_tensor_by_name('images:0'))
    assert its_images not in run.graph.get_collection('trainable_variables')
    assert all(its_images.op in graph.needed_ops(timed_pass.tensors)
               for timed_pass in run.passes.values())
    return its_images.shape.as_list(), initialiser(its_images)


def passes(run):
    """What each pass of a `timed` run fetches and is fed: the name of its tensor, or by how much
    the l2_loss of which tensors counts in what is differentiated by all parameters."""
    timed_passes = dict(run.passes)
    backward = timed_passes.pop('Forward-backward')
    assert [of.shape.as_list() for of in backward.target] == [
        of.shape.as_list() for of in run.parameters]
    losses = {}
    for op in graph.needed_ops(backward.tensors):
        if re.search(r'L2Loss(_\d+)?_grad/mul$', op.name):
            output, gradient = op.inputs
            losses[output.op.name] = _factor(gradient)
    rows_of = {name: (its.target.op.name, _fed(its)) for name, its in timed_passes.items()}
    return dict(rows_of, **{'Forward-backward': (losses, _fed(backward))})


def _factor(tensor):
    """The product of the constants that a gradient is made of."""
    if tensor.op.type == 'Const':
        return constant(tensor)
    factors = [_factor(of) for of in tensor.op.inputs if of.dtype.base_dtype.is_floating]
    return round(float(numpy.prod(factors)), 6)


def _fed(timed_pass):
    return {placeholder.op.name: value for placeholder, value in (
        timed_pass.feed_dict or {}).items()}


def drawn_in_every_step(run):
    """The shape of the random images that every pass of a `timed` run draws in each of its
    steps."""
    images = run.graph.get_operation_by_name('random_uniform/RandomUniform')
    assert all(images in graph.needed_ops(timed_pass.tensors)
               for timed_pass in run.passes.values())
    return images.outputs[0].shape.as_list()
