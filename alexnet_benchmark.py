"""AlexNet: the time of a forward and of a forward-backward step.

The five convolutions and three pools of AlexNet, in the one-tower form of Krizhevsky, "One weird
trick for parallelizing convolutional neural networks" (2014), as in section 6.1 of the chapter;
`--fc` adds the three fully connected layers that the chapter leaves out.

It differs from the paper, Krizhevsky, Sutskever, Hinton, "ImageNet Classification with Deep
Convolutional Neural Networks" (NIPS 2012), in that
  * conv1 has 64 kernels instead of 96, conv2 192 instead of 256, and conv4 256 instead of 384;
  * no convolution is split into two groups, and conv1 pads as SAME: 56 x 56 outputs, not 55 x 55;
  * weights are initialised with stddev 0.1 and biases with 0;
  * fc8 has no ReLU, though the text of chapter and paper gives one to every layer;
  * LRN has depth_radius 4, bias 1, alpha 0.001 / 9 instead of n 5, k 2, alpha 0.0001.
What differs from the chapter: docs/chapter.md.

    python alexnet_benchmark.py [--no_lrn] [--fc]
"""
import sys

from common import benchmark, cli, networks
from common.tf1 import tf

IMAGE_SIZE = 224
NUM_CLASSES = 1000


def print_activations(t):
    """Prints the name and the shape of a tensor: `conv1   [32, 56, 56, 64]`."""
    print(t.op.name, ' ', t.get_shape().as_list())


def fully_connected(inputs, name, n_out, parameters, relu=True):
    """A fully connected layer, [batch, n_in] to [batch, n_out]; adds its weights to `parameters`.

    stddev 0.01 is the paper's (section 5), biases of 0.1 are section 6.2's of the chapter. The last
    layer feeds a softmax and has no ReLU.
    """
    n_in = inputs.get_shape().as_list()[-1]
    with tf.name_scope(name) as scope:
        weights = tf.Variable(tf.truncated_normal([n_in, n_out], dtype=tf.float32, stddev=1e-2),
                              name='weights')
        biases = tf.Variable(tf.constant(0.1, shape=[n_out], dtype=tf.float32), trainable=True,
                             name='biases')
        activation = tf.nn.xw_plus_b(inputs, weights, biases, name='xw_plus_b' if relu else scope)
        if relu:
            activation = tf.nn.relu(activation, name=scope)
        parameters += [weights, biases]
    print_activations(activation)
    return activation


def inference(images, lrn=True, fc=False, keep_prob=1.0):
    """Builds AlexNet.

    Args:
        images: float32 [batch, 224, 224, 3].
        lrn: whether local response normalisation follows conv1 and conv2.
        fc: whether the three fully connected layers follow pool5.
        keep_prob: probability that dropout keeps a unit of fc6 and fc7, a number or scalar tensor.

    Returns:
        (pool5, parameters): [batch, 6, 6, 256], or fc8, [batch, 1000], with `fc`; and the list of
        all weights and biases in order.
    """
    parameters = []

    with tf.name_scope('conv1') as scope:
        kernel = tf.Variable(tf.truncated_normal([11, 11, 3, 64], dtype=tf.float32, stddev=1e-1),
                             name='weights')
        conv = tf.nn.conv2d(images, kernel, [1, 4, 4, 1], padding='SAME')
        biases = tf.Variable(tf.constant(0.0, shape=[64], dtype=tf.float32), trainable=True,
                             name='biases')
        bias = tf.nn.bias_add(conv, biases)
        conv1 = tf.nn.relu(bias, name=scope)                              # 56 x 56 x 64
        parameters += [kernel, biases]
    print_activations(conv1)

    net = conv1
    if lrn:
        net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9, beta=0.75, name='lrn1')
    pool1 = tf.nn.max_pool(net, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding='VALID',
                           name='pool1')                                  # 27 x 27 x 64
    print_activations(pool1)

    with tf.name_scope('conv2') as scope:
        kernel = tf.Variable(tf.truncated_normal([5, 5, 64, 192], dtype=tf.float32, stddev=1e-1),
                             name='weights')
        conv = tf.nn.conv2d(pool1, kernel, [1, 1, 1, 1], padding='SAME')
        biases = tf.Variable(tf.constant(0.0, shape=[192], dtype=tf.float32), trainable=True,
                             name='biases')
        bias = tf.nn.bias_add(conv, biases)
        conv2 = tf.nn.relu(bias, name=scope)                              # 27 x 27 x 192
        parameters += [kernel, biases]
    print_activations(conv2)

    net = conv2
    if lrn:
        net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9, beta=0.75, name='lrn2')
    pool2 = tf.nn.max_pool(net, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding='VALID',
                           name='pool2')                                  # 13 x 13 x 192
    print_activations(pool2)

    with tf.name_scope('conv3') as scope:
        kernel = tf.Variable(tf.truncated_normal([3, 3, 192, 384], dtype=tf.float32, stddev=1e-1),
                             name='weights')
        conv = tf.nn.conv2d(pool2, kernel, [1, 1, 1, 1], padding='SAME')
        biases = tf.Variable(tf.constant(0.0, shape=[384], dtype=tf.float32), trainable=True,
                             name='biases')
        bias = tf.nn.bias_add(conv, biases)
        conv3 = tf.nn.relu(bias, name=scope)                              # 13 x 13 x 384
        parameters += [kernel, biases]
    print_activations(conv3)

    with tf.name_scope('conv4') as scope:                                 # 384 kernels in the paper
        kernel = tf.Variable(tf.truncated_normal([3, 3, 384, 256], dtype=tf.float32, stddev=1e-1),
                             name='weights')
        conv = tf.nn.conv2d(conv3, kernel, [1, 1, 1, 1], padding='SAME')
        biases = tf.Variable(tf.constant(0.0, shape=[256], dtype=tf.float32), trainable=True,
                             name='biases')
        bias = tf.nn.bias_add(conv, biases)
        conv4 = tf.nn.relu(bias, name=scope)                              # 13 x 13 x 256
        parameters += [kernel, biases]
    print_activations(conv4)

    with tf.name_scope('conv5') as scope:
        kernel = tf.Variable(tf.truncated_normal([3, 3, 256, 256], dtype=tf.float32, stddev=1e-1),
                             name='weights')
        conv = tf.nn.conv2d(conv4, kernel, [1, 1, 1, 1], padding='SAME')
        biases = tf.Variable(tf.constant(0.0, shape=[256], dtype=tf.float32), trainable=True,
                             name='biases')
        bias = tf.nn.bias_add(conv, biases)
        conv5 = tf.nn.relu(bias, name=scope)                              # 13 x 13 x 256
        parameters += [kernel, biases]
    print_activations(conv5)

    pool5 = tf.nn.max_pool(conv5, ksize=[1, 3, 3, 1], strides=[1, 2, 2, 1], padding='VALID',
                           name='pool5')                                  # 6 x 6 x 256
    print_activations(pool5)
    if not fc:
        return pool5, parameters

    flat = tf.reshape(pool5, [-1, 6 * 6 * 256], name='flat')              # 9216
    fc6 = fully_connected(flat, 'fc6', 4096, parameters)                  # 4096
    fc6_drop = tf.nn.dropout(fc6, keep_prob, name='fc6_drop')
    fc7 = fully_connected(fc6_drop, 'fc7', 4096, parameters)              # 4096
    fc7_drop = tf.nn.dropout(fc7, keep_prob, name='fc7_drop')
    fc8 = fully_connected(fc7_drop, 'fc8', NUM_CLASSES, parameters, relu=False)     # 1000
    return fc8, parameters


def build(args):
    """Adds AlexNet with the flags in `args` to the default graph; returns its Workload."""
    images = tf.Variable(tf.random_normal([args.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3],
                                          dtype=tf.float32, stddev=1e-1),
                         trainable=False, name='images')
    keep_prob = tf.placeholder_with_default(1.0, [], name='keep_prob')
    pool5, parameters = inference(images, args.lrn, args.fc, keep_prob)
    passes = [benchmark.Pass('Forward', pool5, {keep_prob: 1.0} if args.fc else None)]
    if not args.forward_only:
        objective = tf.nn.l2_loss(pool5)
        grad = tf.gradients(objective, parameters)
        passes.append(benchmark.Pass('Forward-backward', grad,
                                     {keep_prob: 0.5} if args.fc else None))
    return benchmark.Workload('alexnet', networks.variant('alexnet', args), passes, parameters)


def run_benchmark(args):
    """Times AlexNet with the flags in `args`; returns the exit code."""
    return benchmark.run(args, build)


def main(argv=None):
    """Runs the benchmark with the flags in `argv`; returns the exit code (see common/cli.py)."""
    parser = cli.argument_parser(__doc__)
    cli.add_switch(parser, 'lrn', default=True, help='local response normalisation')
    cli.add_switch(parser, 'fc', default=False, help='the three fully connected layers')
    return cli.main(parser, run_benchmark, argv)


if __name__ == '__main__':
    sys.exit(main())
