"""VGGNet: the time of a forward and of a forward-backward step.

Configuration D (VGG-16) of Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale
Image Recognition" (2014), table 1, as in section 6.2 of the chapter, and on request the five other
columns of that table, which is the chapter's figure 6-6.

It differs from the paper in that
  * fc8 has a ReLU, as all layers of fc_op;
  * weights are initialised after Xavier, the biases of the fully connected layers with 0.1;
  * the LRN of A-LRN has the parameters of the chapter's AlexNet, not the paper's AlexNet.
What differs from the chapter: docs/chapter.md.

    python vgg16_benchmark.py [--configuration {A,A-LRN,B,C,D,E}]
"""
import sys

from common import benchmark, cli, networks
from common.tf1 import slim, tf

IMAGE_SIZE = 224

# Figure 6-6 (table 1 of the paper): the layers of the five stages, by the side of their kernels.
CONFIGURATIONS = {
    #        64            128     256           512           512
    'A':     ([3],         [3],    [3, 3],       [3, 3],       [3, 3]),
    'A-LRN': ([3, 'LRN'],  [3],    [3, 3],       [3, 3],       [3, 3]),
    'B':     ([3, 3],      [3, 3], [3, 3],       [3, 3],       [3, 3]),
    'C':     ([3, 3],      [3, 3], [3, 3, 1],    [3, 3, 1],    [3, 3, 1]),
    'D':     ([3, 3],      [3, 3], [3, 3, 3],    [3, 3, 3],    [3, 3, 3]),
    'E':     ([3, 3],      [3, 3], [3, 3, 3, 3], [3, 3, 3, 3], [3, 3, 3, 3]),
}


def print_activations(t):
    """Prints the name and the shape of a tensor: `conv1_1   [32, 224, 224, 64]`."""
    print(t.op.name, ' ', t.get_shape().as_list())


def conv_op(input_op, name, kh, kw, n_out, dh, dw, p):
    """A kh x kw convolution with stride dh x dw, bias and ReLU; adds its parameters to `p`.

    [batch, height, width, n_in] -> [batch, height / dh, width / dw, n_out]
    """
    n_in = input_op.get_shape().as_list()[-1]
    with tf.name_scope(name) as scope:
        kernel = tf.get_variable(scope + 'w', shape=[kh, kw, n_in, n_out], dtype=tf.float32,
                                 initializer=slim.xavier_initializer_conv2d())
        conv = tf.nn.conv2d(input_op, kernel, (1, dh, dw, 1), padding='SAME')
        bias_init_val = tf.constant(0.0, shape=[n_out], dtype=tf.float32)
        biases = tf.Variable(bias_init_val, trainable=True, name='b')
        z = tf.nn.bias_add(conv, biases)
        activation = tf.nn.relu(z, name=scope)
        p += [kernel, biases]
        print_activations(activation)
        return activation


def fc_op(input_op, name, n_out, p):
    """A fully connected layer with ReLU, [batch, n_in] -> [batch, n_out]; adds its parameters to
    `p`."""
    n_in = input_op.get_shape().as_list()[-1]
    with tf.name_scope(name) as scope:
        kernel = tf.get_variable(scope + 'w', shape=[n_in, n_out], dtype=tf.float32,
                                 initializer=slim.xavier_initializer())
        biases = tf.Variable(tf.constant(0.1, shape=[n_out], dtype=tf.float32), name='b')
        activation = tf.nn.relu_layer(input_op, kernel, biases, name=scope)
        p += [kernel, biases]
        print_activations(activation)
        return activation


def mpool_op(input_op, name, kh, kw, dh, dw):
    """A kh x kw maximum pool with stride dh x dw."""
    pool = tf.nn.max_pool(input_op, ksize=[1, kh, kw, 1], strides=[1, dh, dw, 1], padding='SAME',
                          name=name)
    print_activations(pool)
    return pool


def stage_op(input_op, name, layers, n_out, p):
    """One cell of figure 6-6: convolutions of n_out kernels (`layers` gives their sides) or LRN."""
    net = input_op
    for i, kernel in enumerate(layers, start=1):
        if kernel == 'LRN':
            net = tf.nn.lrn(net, 4, bias=1.0, alpha=0.001 / 9, beta=0.75, name=name + '_lrn')
        else:
            net = conv_op(net, '%s_%d' % (name, i), kernel, kernel, n_out, dh=1, dw=1, p=p)
    return net


def inference_op(input_op, keep_prob, configuration='D'):
    """Builds VGGNet.

    Args:
        input_op: float32 [batch, 224, 224, 3].
        keep_prob: scalar tensor, the probability that dropout keeps a unit of fc6 and fc7.
        configuration: a column of figure 6-6.

    Returns:
        (predictions, softmax, fc8, p): the likeliest class, [batch]; probabilities and the output
        of the last layer, [batch, 1000]; the list of all weights and biases in order.
    """
    stage1, stage2, stage3, stage4, stage5 = CONFIGURATIONS[configuration]
    p = []
    conv1 = stage_op(input_op, 'conv1', stage1, n_out=64, p=p)                # 224 x 224 x 64
    pool1 = mpool_op(conv1, 'pool1', kh=2, kw=2, dh=2, dw=2)                  # 112 x 112 x 64
    conv2 = stage_op(pool1, 'conv2', stage2, n_out=128, p=p)                  # 112 x 112 x 128
    pool2 = mpool_op(conv2, 'pool2', kh=2, kw=2, dh=2, dw=2)                  # 56 x 56 x 128
    conv3 = stage_op(pool2, 'conv3', stage3, n_out=256, p=p)                  # 56 x 56 x 256
    pool3 = mpool_op(conv3, 'pool3', kh=2, kw=2, dh=2, dw=2)                  # 28 x 28 x 256
    conv4 = stage_op(pool3, 'conv4', stage4, n_out=512, p=p)                  # 28 x 28 x 512
    pool4 = mpool_op(conv4, 'pool4', kh=2, kw=2, dh=2, dw=2)                  # 14 x 14 x 512
    conv5 = stage_op(pool4, 'conv5', stage5, n_out=512, p=p)                  # 14 x 14 x 512
    pool5 = mpool_op(conv5, 'pool5', kh=2, kw=2, dh=2, dw=2)                  # 7 x 7 x 512

    shp = pool5.get_shape().as_list()
    flattened_shape = shp[1] * shp[2] * shp[3]
    resh1 = tf.reshape(pool5, [-1, flattened_shape], name='resh1')            # 25088
    fc6 = fc_op(resh1, 'fc6', n_out=4096, p=p)                                # 4096
    fc6_drop = tf.nn.dropout(fc6, keep_prob, name='fc6_drop')
    fc7 = fc_op(fc6_drop, 'fc7', n_out=4096, p=p)                             # 4096
    fc7_drop = tf.nn.dropout(fc7, keep_prob, name='fc7_drop')
    fc8 = fc_op(fc7_drop, 'fc8', n_out=1000, p=p)                             # 1000
    softmax = tf.nn.softmax(fc8)
    predictions = tf.argmax(softmax, 1)
    return predictions, softmax, fc8, p


def build(args):
    """Adds VGGNet with the flags in `args` to the default graph; returns its Workload."""
    images = tf.Variable(tf.random_normal([args.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3],
                                          dtype=tf.float32, stddev=1e-1),
                         trainable=False, name='images')
    keep_prob = tf.placeholder(tf.float32, name='keep_prob')
    predictions, _, fc8, p = inference_op(images, keep_prob, args.configuration)
    passes = [benchmark.Pass('Forward', predictions, {keep_prob: 1.0})]
    if not args.forward_only:
        objective = tf.nn.l2_loss(fc8)
        grad = tf.gradients(objective, p)
        passes.append(benchmark.Pass('Forward-backward', grad, {keep_prob: 0.5}))
    return benchmark.Workload('vgg16', networks.variant('vgg16', args), passes, p)


def run_benchmark(args):
    """Times VGGNet with the flags in `args`; returns the exit code."""
    return benchmark.run(args, build)


def main(argv=None):
    """Runs the benchmark with the flags in `argv`; returns the exit code (see common/cli.py)."""
    parser = cli.argument_parser(__doc__)
    parser.add_argument('--configuration', choices=networks.choices('vgg16', 'configuration'),
                        default='D', help='column of figure 6-6 (default: D, which is VGG-16)')
    return cli.main(parser, run_benchmark, argv)


if __name__ == '__main__':
    sys.exit(main())
