"""AlexNet against the chapter's output in section 6.1 and against NumPy, in float64."""
import graph_rows
import numpy
import pytest

import alexnet_benchmark as alexnet
from common import graph
from common.tf1 import tf

# Section 6.1: what the chapter's program prints first, for a batch of 32.
LINES = [
    'conv1   [32, 56, 56, 64]',
    'pool1   [32, 27, 27, 64]',
    'conv2   [32, 27, 27, 192]',
    'pool2   [32, 13, 13, 192]',
    'conv3   [32, 13, 13, 384]',
    'conv4   [32, 13, 13, 256]',
    'conv5   [32, 13, 13, 256]',
    'pool5   [32, 6, 6, 256]',
]
CONVOLUTIONS = [
    ('conv1/weights', [11, 11, 3, 64]), ('conv1/biases', [64]),
    ('conv2/weights', [5, 5, 64, 192]), ('conv2/biases', [192]),
    ('conv3/weights', [3, 3, 192, 384]), ('conv3/biases', [384]),
    ('conv4/weights', [3, 3, 384, 256]), ('conv4/biases', [256]),
    ('conv5/weights', [3, 3, 256, 256]), ('conv5/biases', [256]),
]
FULLY_CONNECTED = [                                      # section 6.1: 4096, 4096 and 1000 units
    ('fc6/weights', [9216, 4096]), ('fc6/biases', [4096]),
    ('fc7/weights', [4096, 4096]), ('fc7/biases', [4096]),
    ('fc8/weights', [4096, 1000]), ('fc8/biases', [1000]),
]


@pytest.mark.parametrize('lrn', [True, False])
def test_the_eight_lines_of_the_chapter(lrn, capsys):
    with tf.Graph().as_default():
        pool5, parameters = alexnet.inference(tf.zeros([32, 224, 224, 3]), lrn)
        assert capsys.readouterr().out.splitlines() == LINES
        assert (pool5.op.name, pool5.shape.as_list()) == ('pool5', [32, 6, 6, 256])
        assert parameters == tf.trainable_variables()
    assert [(v.op.name, v.shape.as_list()) for v in parameters] == CONVOLUTIONS


def test_the_fully_connected_layers(capsys):
    with tf.Graph().as_default():
        fc8, parameters = alexnet.inference(tf.zeros([32, 224, 224, 3]), fc=True)
        assert capsys.readouterr().out.splitlines() == LINES + [
            'fc6   [32, 4096]',
            'fc7   [32, 4096]',
            'fc8   [32, 1000]',
        ]
        assert parameters == tf.trainable_variables()
    assert [(v.op.name, v.shape.as_list()) for v in parameters] == CONVOLUTIONS + FULLY_CONNECTED


# The text of section 6.1: stddev 0.1 and biases of 0; LRN with depth_radius 4, bias 1, alpha
# 0.001 / 9 and beta 0.75. The fully connected layers: the docstring of the script.
LRN = 'LRN 4 1 0.0001111 0.75'
ROWS = [
    'conv1 11x11/4 SAME, truncated normal 0.1; bias 0; relu; %s; max 3x3/2 VALID' % LRN,
    'conv2 5x5/1 SAME, truncated normal 0.1; bias 0; relu; %s; max 3x3/2 VALID' % LRN,
    'conv3 3x3/1 SAME, truncated normal 0.1; bias 0; relu',
    'conv4 3x3/1 SAME, truncated normal 0.1; bias 0; relu',
    'conv5 3x3/1 SAME, truncated normal 0.1; bias 0; relu; max 3x3/2 VALID',
    'fc6, truncated normal 0.01; bias 0.1; relu; dropout',
    'fc7, truncated normal 0.01; bias 0.1; relu; dropout',
    'fc8, truncated normal 0.01; bias 0.1',
]


@pytest.mark.parametrize('flags, variant, expected, output, fed', [
    ([], 'lrn', ROWS[:5], 'pool5', [{}, {}]),
    (['--no_lrn'], 'no_lrn', [row.replace(LRN + '; ', '') for row in ROWS[:5]], 'pool5', [{}, {}]),
    (['--fc'], 'lrn_fc', ROWS, 'fc8', [{'keep_prob': 1.0}, {'keep_prob': 0.5}]),
    (['--fc', '--no_lrn'], 'no_lrn_fc', [row.replace(LRN + '; ', '') for row in ROWS], 'fc8',
     [{'keep_prob': 1.0}, {'keep_prob': 0.5}])])
def test_hyperparameters(flags, variant, expected, output, fed, timed):
    run = timed(alexnet, flags)
    assert (run.name, run.variant) == ('alexnet', variant)
    assert graph_rows.images(run) == ([32, 224, 224, 3], 'normal 0.1')
    assert graph_rows.rows(run.passes['Forward'].tensors) == [''] + expected
    assert graph_rows.passes(run) == {
        'Forward': (output, fed[0]), 'Forward-backward': ({output: 1}, fed[1])}


@pytest.mark.parametrize('fc, parameters, gmac', [(False, 2469696, 0.658), (True, 61100840, 0.717)])
def test_parameters_and_multiply_adds(fc, parameters, gmac):
    with tf.Graph().as_default():
        output, variables = alexnet.inference(tf.zeros([2, 224, 224, 3]), fc=fc)
    network = graph.network(output, variables, batch_size=2)
    assert network['parameters'] == parameters
    assert round(network['flops'] / 2e9, 3) == gmac


def test_dropout(assert_fc6_and_fc7_are_dropped):
    with tf.Graph().as_default() as graph:
        keep_prob = tf.placeholder(tf.float32, [])
        alexnet.inference(tf.zeros([2, 224, 224, 3]), fc=True, keep_prob=keep_prob)
    assert_fc6_and_fc7_are_dropped(graph, keep_prob)


# AlexNet in NumPy. All arrays are float64 and of one image: [height, width, channels].

def convolution(x, kernel, stride):
    """SAME, as TensorFlow defines it: of an odd number of rows of zeros the end gets one more."""
    height, width, n_in, n_out = kernel.shape
    out = -(-x.shape[0] // stride)
    padding = max((out - 1) * stride + height - x.shape[0], 0)
    before = padding // 2
    x = numpy.pad(x, [(before, padding - before)] * 2 + [(0, 0)], 'constant')
    span = (out - 1) * stride + 1
    windows = numpy.stack([x[i:i + span:stride, j:j + span:stride]
                           for i in range(height) for j in range(width)], axis=2)
    return windows.reshape(out * out, -1).dot(kernel.reshape(-1, n_out)).reshape(out, out, n_out)


def relu(x):
    return numpy.maximum(x, 0)


def normalisation(x, radius=4, bias=1.0, alpha=0.001 / 9, beta=0.75):
    """Each channel by the squares of itself and of `radius` channels on either side."""
    squares = numpy.pad(x ** 2, [(0, 0), (0, 0), (radius, radius)], 'constant')
    sums = sum(squares[:, :, i:i + x.shape[2]] for i in range(2 * radius + 1))
    return x / (bias + alpha * sums) ** beta


def pool(x):
    """The largest of 3x3 with stride 2, VALID."""
    out = (x.shape[0] - 3) // 2 + 1
    return numpy.max([x[i:i + 2 * out - 1:2, j:j + 2 * out - 1:2]
                      for i in range(3) for j in range(3)], axis=0)


def numpy_alexnet(image, parameters, lrn):
    """pool5, or fc8 where there are parameters for it."""
    weights, biases = parameters[0::2], parameters[1::2]
    net = image
    for i in range(5):
        net = relu(convolution(net, weights[i], stride=4 if i == 0 else 1) + biases[i])
        if i in (0, 1):
            net = pool(normalisation(net) if lrn else net)
    net = pool(net)
    if len(parameters) == 10:
        return net
    net = net.ravel()
    net = relu(net.dot(weights[5]) + biases[5])
    net = relu(net.dot(weights[6]) + biases[6])
    return net.dot(weights[7]) + biases[7]


@pytest.fixture(scope='module', params=['lrn', 'no_lrn', 'lrn_fc'])
def both(request, timed, cpu_session, randomise):
    """The network as main() times it, at batch size 1 and without dropout: (lrn, image, parameters,
    output, gradients) as float64."""
    flags = {'lrn': [], 'no_lrn': ['--no_lrn'], 'lrn_fc': ['--fc']}[request.param]
    run = timed(alexnet, ['--batch_size', '1'] + flags)
    assert (run.name, run.variant) == ('alexnet', request.param)
    feed = {'keep_prob:0': 1.0}
    with cpu_session(run.graph) as session:
        randomise(session, seed=1, images=200)           # large enough for LRN to matter
        values = session.run(['images:0', run.parameters, run.passes['Forward'].target,
                              run.passes['Forward-backward'].target], feed)
    image, parameters, output, gradients = [
        [array.astype(numpy.float64) for array in value] for value in values]
    return '--no_lrn' not in flags, image[0], parameters, output[0], gradients


@pytest.mark.slow
def test_the_same_weights_give_what_numpy_gives(both):
    lrn, image, parameters, output, _ = both
    expected = numpy_alexnet(image, parameters, lrn)
    assert output.shape == expected.shape
    assert (expected != 0).mean() > 0.2
    numpy.testing.assert_allclose(output, expected, rtol=0, atol=1e-5 * numpy.abs(expected).max())


@pytest.mark.slow
def test_lrn_matters_to_the_comparison(both):
    lrn, image, parameters, output, _ = both
    other = numpy_alexnet(image, parameters, not lrn)
    assert numpy.abs(output - other).max() > 0.1 * numpy.abs(other).max()


@pytest.mark.slow
def test_gradients(both):
    """The gradient of l2_loss, sum(output ** 2) / 2, along a random direction of each parameter
    against the difference quotient of the NumPy network."""
    lrn, image, parameters, _, gradients = both
    random = numpy.random.RandomState(3)

    def loss(i, step, direction):
        moved = list(parameters)
        moved[i] = moved[i] + step * direction
        return (numpy_alexnet(image, moved, lrn) ** 2).sum() / 2

    assert len(gradients) == len(parameters)
    of_fc_layers = list(enumerate(gradients))[10:]       # the others are those of lrn
    for i, gradient in of_fc_layers or enumerate(gradients):
        direction = random.standard_normal(gradient.shape)
        step = 1e-7
        quotient = (loss(i, step, direction) - loss(i, -step, direction)) / (2 * step)
        size = numpy.sqrt((gradient ** 2).sum())         # the standard deviation of the product
        assert size > 0
        assert abs(quotient - (gradient * direction).sum()) < 1e-3 * size, i


@pytest.mark.slow
def test_the_gradient_of_the_last_bias(both):
    """The l2_loss of fc8 has fc8 as its gradient; that of pool5 has, at the largest of each window
    of conv5, pool5."""
    _, _, parameters, output, gradients = both
    if len(parameters) == 16:
        numpy.testing.assert_allclose(gradients[15], output, rtol=1e-6)
    else:
        numpy.testing.assert_allclose(gradients[9], output.sum(axis=(0, 1)), rtol=1e-4)
