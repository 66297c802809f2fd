"""Parameters and multiply-adds, counted on graphs that are small enough to count by hand."""
import pytest

import alexnet_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common import graph
from common.tf1 import slim, tf


@pytest.fixture(autouse=True)
def default_graph():
    with tf.Graph().as_default() as default:
        yield default


def weights(name, *shape):
    return tf.get_variable(name + '/weights', shape)


def test_a_convolution():
    # 4 x 5 pixels of 7 kernels, each of 3 x 2 x 6 multiply-adds, in each of 2 images.
    x = tf.zeros([2, 4, 5, 6])
    conv = tf.nn.conv2d(x, weights('conv', 3, 2, 6, 7), [1, 1, 1, 1], 'SAME')
    assert graph.flops(conv.op) == 2 * (2 * 4 * 5 * 7 * 3 * 2 * 6)
    # VALID with stride 2 has 1 x 2 pixels.
    conv = tf.nn.conv2d(x, weights('other', 3, 2, 6, 7), [1, 2, 2, 1], 'VALID')
    assert graph.flops(conv.op) == 2 * (2 * 1 * 2 * 7 * 3 * 2 * 6)


def test_a_matrix_product():
    product = tf.matmul(tf.zeros([2, 30]), weights('fc', 30, 11))
    assert graph.flops(product.op) == 2 * (2 * 30 * 11)


def test_other_operations_are_not_counted():
    x = tf.zeros([2, 4, 4, 6])
    for tensor in (tf.nn.bias_add(x, tf.zeros([6])), tf.nn.relu(x), x * x, tf.nn.lrn(x),
                   tf.nn.max_pool(x, [1, 2, 2, 1], [1, 2, 2, 1], 'SAME'), tf.nn.softmax(x)):
        assert graph.flops(tensor.op) == 0


@pytest.mark.parametrize('stride, padding, pixels', [
    (1, 'SAME', 9 * 8), (1, 'VALID', 7 * 7), (2, 'SAME', 5 * 4), (2, 'VALID', 4 * 4)])
def test_the_gradients_of_a_convolution_cost_what_it_costs(stride, padding, pixels):
    # Each product of a weight and an input is made once again for either gradient.
    x = tf.zeros([2, 9, 8, 6])
    kernel = weights('conv', 3, 2, 6, 7)
    conv = tf.nn.conv2d(x, kernel, [1, stride, stride, 1], padding)
    ops = [conv.op] + [gradient.op for gradient in tf.gradients(conv, [x, kernel])]
    cost = 2 * (2 * pixels * 7 * 3 * 2 * 6)
    assert {op.type: graph.flops(op) for op in ops} == {
        'Conv2D': cost, 'Conv2DBackpropInput': cost, 'Conv2DBackpropFilter': cost}


def test_needed_ops_are_in_order_and_no_others():
    a = tf.constant(1.0, name='a')
    tf.square(a, name='unneeded')
    with tf.control_dependencies([tf.constant(2.0, name='control').op]):
        b = tf.negative(a, name='b')
    c = tf.add(a, b, name='c')
    tf.square(c, name='after')
    assert [op.name for op in graph.needed_ops([c])] == ['a', 'control', 'b', 'c']
    assert [op.name for op in graph.needed_ops([b.op, a])] == ['a', 'control', 'b']


def test_a_network():
    x = tf.zeros([2, 8, 8, 3])
    with slim.arg_scope([slim.conv2d], normalizer_fn=slim.batch_norm):
        net = slim.conv2d(x, 4, [3, 3], scope='conv1')
        net = slim.batch_norm(net, scale=True, scope='norm')
        slim.conv2d(x, 5, [3, 3], scope='beside')        # not part of the forward pass
    net = slim.fully_connected(tf.reshape(net, [2, -1]), 10, scope='fc')
    network = graph.network(net, tf.trainable_variables('(conv1|norm|fc)/'), batch_size=2)
    conv1 = {'name': 'conv1', 'type': 'Conv2D', 'output_shape': [2, 8, 8, 4],
             'parameters': 3 * 3 * 3 * 4 + 4,            # weights, beta of its batch norm
             'flops': 2 * 8 * 8 * 4 * 3 * 3 * 3}
    norm = {'name': 'norm', 'type': 'BatchNorm', 'output_shape': None,
            'parameters': 4 + 4, 'flops': 0}             # beta, gamma
    fc = {'name': 'fc', 'type': 'MatMul', 'output_shape': [2, 10],
          'parameters': 256 * 10 + 10, 'flops': 2 * 256 * 10}
    assert {layer['name']: layer for layer in network['layers']} \
        == {'conv1': conv1, 'norm': norm, 'fc': fc}
    assert network['parameters'] == 112 + 8 + 2570
    assert network['flops'] == 13824 + 5120


def test_the_layers_of_alexnet():
    forward, parameters = alexnet_benchmark.inference(tf.zeros([3, 224, 224, 3]), fc=True)
    network = graph.network(forward, parameters, batch_size=3)
    # Pixels x kernels x side^2 x channels before, by figure 6-4 as the chapter's code has it.
    assert [(layer['name'], layer['output_shape'], layer['flops'] // 2, layer['parameters'])
            for layer in network['layers']] == [
        ('conv1', [3, 56, 56, 64], 56 * 56 * 64 * 11 * 11 * 3, 11 * 11 * 3 * 64 + 64),
        ('conv2', [3, 27, 27, 192], 27 * 27 * 192 * 5 * 5 * 64, 5 * 5 * 64 * 192 + 192),
        ('conv3', [3, 13, 13, 384], 13 * 13 * 384 * 3 * 3 * 192, 3 * 3 * 192 * 384 + 384),
        ('conv4', [3, 13, 13, 256], 13 * 13 * 256 * 3 * 3 * 384, 3 * 3 * 384 * 256 + 256),
        ('conv5', [3, 13, 13, 256], 13 * 13 * 256 * 3 * 3 * 256, 3 * 3 * 256 * 256 + 256),
        ('fc6', [3, 4096], 9216 * 4096, 9216 * 4096 + 4096),
        ('fc7', [3, 4096], 4096 * 4096, 4096 * 4096 + 4096),
        ('fc8', [3, 1000], 4096 * 1000, 4096 * 1000 + 1000),
    ]


@pytest.mark.parametrize('script, flags, ratio', [
    (alexnet_benchmark, [], 2.89),
    (alexnet_benchmark, ['--fc'], 2.90),
    (vgg16_benchmark, [], 2.99),
    pytest.param(resnet_v2_benchmark, ['--depth', '50'], 2.97, marks=pytest.mark.slow),
])
def test_forward_backward_is_nearly_three_times_forward(script, flags, ratio, timed):
    run = timed(script, ['--batch_size', '2'] + flags)
    ops = graph.needed_ops(run.passes['Forward-backward'].target)
    forward = [graph.flops(op) for op in ops if not op.name.startswith('gradients')]
    backward = [graph.flops(op) for op in ops if op.name.startswith('gradients')]
    # Each layer has the gradients of its weights and of its input; the first has no input's.
    first = next(filter(None, forward))
    assert sum(backward) == 2 * sum(forward) - first
    assert round((sum(forward) + sum(backward)) / sum(forward), 2) == ratio
    forward_only = map(graph.flops, graph.needed_ops([run.passes['Forward'].target]))
    network = graph.network(run.passes['Forward'].target, run.parameters, batch_size=2)
    assert sum(forward_only) == 2 * network['flops']
