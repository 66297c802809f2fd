"""Inception V3: the time of a forward and of a forward-backward step.

The network of Szegedy, Vanhoucke, Ioffe, Shlens, Wojna, "Rethinking the Inception Architecture for
Computer Vision" (2015), with its auxiliary classifier, as in section 6.3 of the chapter, table 6-1.

It differs from the paper's table 1 in the stem (a pool where the paper has a convolution with
stride 2, and a 1x1 convolution), which is that of the authors' published code. Five
scopes are misnamed (two in Mixed_5c, two in Mixed_6a, one in Mixed_7b): published checkpoints have
these names.
The chapter times only the forward pass; the gradients with respect to all trainable variables,
which it leaves to the reader, are built in: the loss is l2_loss(logits) + 0.3 l2_loss(AuxLogits).
What differs from the chapter: docs/chapter.md.

    python inception_v3_benchmark.py
"""
import sys

from common import benchmark, cli, networks
from common.tf1 import slim, tf

IMAGE_SIZE = 299
AUX_WEIGHT = 0.3                     # of the auxiliary classifier: section 6.3


def trunc_normal(stddev):
    """Returns an initializer: the truncated normal distribution around 0."""
    return tf.truncated_normal_initializer(0.0, stddev)


def print_activations(name, t):
    """Prints the name of a stage and the shape of its output: `Mixed_5b   [32, 35, 35, 256]`."""
    print(name, ' ', t.get_shape().as_list())


def inception_v3_arg_scope(weight_decay=0.00004, stddev=0.1,
                           batch_norm_var_collection='moving_vars'):
    """Returns the arg_scope of the network: convolutions with batch norm (no scale) and ReLU."""
    batch_norm_params = {
        'decay': 0.9997,
        'epsilon': 0.001,
        'updates_collections': tf.GraphKeys.UPDATE_OPS,
        'variables_collections': {
            'beta': None,
            'gamma': None,
            'moving_mean': [batch_norm_var_collection],
            'moving_variance': [batch_norm_var_collection],
        },
    }
    with slim.arg_scope([slim.conv2d, slim.fully_connected],
                        weights_regularizer=slim.l2_regularizer(weight_decay)):
        with slim.arg_scope([slim.conv2d],
                            weights_initializer=trunc_normal(stddev),
                            activation_fn=tf.nn.relu,
                            normalizer_fn=slim.batch_norm,
                            normalizer_params=batch_norm_params) as sc:
            return sc


def inception_35(net, name, pool_depth, scopes=('Conv2d_0a_1x1', 'Conv2d_0b_5x5')):
    """The first structure of figure 6-13: [batch, 35, 35, c] -> [batch, 35, 35, 224 + pool_depth].

    `scopes` names the two convolutions of Branch_1.
    """
    with tf.variable_scope(name):
        with tf.variable_scope('Branch_0'):
            branch_0 = slim.conv2d(net, 64, [1, 1], scope='Conv2d_0a_1x1')          # 35 x 35 x 64
        with tf.variable_scope('Branch_1'):
            branch_1 = slim.conv2d(net, 48, [1, 1], scope=scopes[0])                # 35 x 35 x 48
            branch_1 = slim.conv2d(branch_1, 64, [5, 5], scope=scopes[1])           # 35 x 35 x 64
        with tf.variable_scope('Branch_2'):
            branch_2 = slim.conv2d(net, 64, [1, 1], scope='Conv2d_0a_1x1')          # 35 x 35 x 64
            branch_2 = slim.conv2d(branch_2, 96, [3, 3], scope='Conv2d_0b_3x3')     # 35 x 35 x 96
            branch_2 = slim.conv2d(branch_2, 96, [3, 3], scope='Conv2d_0c_3x3')     # 35 x 35 x 96
        with tf.variable_scope('Branch_3'):
            branch_3 = slim.avg_pool2d(net, [3, 3], scope='AvgPool_0a_3x3')
            branch_3 = slim.conv2d(branch_3, pool_depth, [1, 1],
                                   scope='Conv2d_0b_1x1')                   # 35 x 35 x pool_depth
        return tf.concat([branch_0, branch_1, branch_2, branch_3], 3)


def inception_17(net, name, n):
    """The second structure of figure 6-13: [batch, 17, 17, 768] -> [batch, 17, 17, 768].

    `n` kernels in the convolutions before the last of Branch_1 and Branch_2.
    """
    with tf.variable_scope(name):
        with tf.variable_scope('Branch_0'):
            branch_0 = slim.conv2d(net, 192, [1, 1], scope='Conv2d_0a_1x1')         # 17 x 17 x 192
        with tf.variable_scope('Branch_1'):
            branch_1 = slim.conv2d(net, n, [1, 1], scope='Conv2d_0a_1x1')           # 17 x 17 x n
            branch_1 = slim.conv2d(branch_1, n, [1, 7], scope='Conv2d_0b_1x7')      # 17 x 17 x n
            branch_1 = slim.conv2d(branch_1, 192, [7, 1], scope='Conv2d_0c_7x1')    # 17 x 17 x 192
        with tf.variable_scope('Branch_2'):
            branch_2 = slim.conv2d(net, n, [1, 1], scope='Conv2d_0a_1x1')           # 17 x 17 x n
            branch_2 = slim.conv2d(branch_2, n, [7, 1], scope='Conv2d_0b_7x1')      # 17 x 17 x n
            branch_2 = slim.conv2d(branch_2, n, [1, 7], scope='Conv2d_0c_1x7')      # 17 x 17 x n
            branch_2 = slim.conv2d(branch_2, n, [7, 1], scope='Conv2d_0d_7x1')      # 17 x 17 x n
            branch_2 = slim.conv2d(branch_2, 192, [1, 7], scope='Conv2d_0e_1x7')    # 17 x 17 x 192
        with tf.variable_scope('Branch_3'):
            branch_3 = slim.avg_pool2d(net, [3, 3], scope='AvgPool_0a_3x3')
            branch_3 = slim.conv2d(branch_3, 192, [1, 1], scope='Conv2d_0b_1x1')    # 17 x 17 x 192
        return tf.concat([branch_0, branch_1, branch_2, branch_3], 3)


def inception_8(net, name, scope_3x1):
    """The third structure of figure 6-13: [batch, 8, 8, c] -> [batch, 8, 8, 2048].

    `scope_3x1` names the last convolution of Branch_1.
    """
    with tf.variable_scope(name):
        with tf.variable_scope('Branch_0'):
            branch_0 = slim.conv2d(net, 320, [1, 1], scope='Conv2d_0a_1x1')         # 8 x 8 x 320
        with tf.variable_scope('Branch_1'):
            branch_1 = slim.conv2d(net, 384, [1, 1], scope='Conv2d_0a_1x1')         # 8 x 8 x 384
            branch_1 = tf.concat([
                slim.conv2d(branch_1, 384, [1, 3], scope='Conv2d_0b_1x3'),
                slim.conv2d(branch_1, 384, [3, 1], scope=scope_3x1)], 3)            # 8 x 8 x 768
        with tf.variable_scope('Branch_2'):
            branch_2 = slim.conv2d(net, 448, [1, 1], scope='Conv2d_0a_1x1')         # 8 x 8 x 448
            branch_2 = slim.conv2d(branch_2, 384, [3, 3], scope='Conv2d_0b_3x3')    # 8 x 8 x 384
            branch_2 = tf.concat([
                slim.conv2d(branch_2, 384, [1, 3], scope='Conv2d_0c_1x3'),
                slim.conv2d(branch_2, 384, [3, 1], scope='Conv2d_0d_3x1')], 3)      # 8 x 8 x 768
        with tf.variable_scope('Branch_3'):
            branch_3 = slim.avg_pool2d(net, [3, 3], scope='AvgPool_0a_3x3')
            branch_3 = slim.conv2d(branch_3, 192, [1, 1], scope='Conv2d_0b_1x1')    # 8 x 8 x 192
        return tf.concat([branch_0, branch_1, branch_2, branch_3], 3)


def reduction_17(net, name):
    """Halves the side: [batch, 35, 35, 288] -> [batch, 17, 17, 768]."""
    with tf.variable_scope(name):
        with tf.variable_scope('Branch_0'):
            branch_0 = slim.conv2d(net, 384, [3, 3], stride=2, padding='VALID',
                                   scope='Conv2d_1a_1x1')                           # 17 x 17 x 384
        with tf.variable_scope('Branch_1'):
            branch_1 = slim.conv2d(net, 64, [1, 1], scope='Conv2d_0a_1x1')          # 35 x 35 x 64
            branch_1 = slim.conv2d(branch_1, 96, [3, 3], scope='Conv2d_0b_3x3')     # 35 x 35 x 96
            branch_1 = slim.conv2d(branch_1, 96, [3, 3], stride=2, padding='VALID',
                                   scope='Conv2d_1a_1x1')                           # 17 x 17 x 96
        with tf.variable_scope('Branch_2'):
            branch_2 = slim.max_pool2d(net, [3, 3], stride=2, padding='VALID',
                                       scope='MaxPool_1a_3x3')                      # 17 x 17 x 288
        return tf.concat([branch_0, branch_1, branch_2], 3)


def reduction_8(net, name):
    """Halves the side: [batch, 17, 17, 768] -> [batch, 8, 8, 1280]."""
    with tf.variable_scope(name):
        with tf.variable_scope('Branch_0'):
            branch_0 = slim.conv2d(net, 192, [1, 1], scope='Conv2d_0a_1x1')         # 17 x 17 x 192
            branch_0 = slim.conv2d(branch_0, 320, [3, 3], stride=2, padding='VALID',
                                   scope='Conv2d_1a_3x3')                           # 8 x 8 x 320
        with tf.variable_scope('Branch_1'):
            branch_1 = slim.conv2d(net, 192, [1, 1], scope='Conv2d_0a_1x1')         # 17 x 17 x 192
            branch_1 = slim.conv2d(branch_1, 192, [1, 7], scope='Conv2d_0b_1x7')    # 17 x 17 x 192
            branch_1 = slim.conv2d(branch_1, 192, [7, 1], scope='Conv2d_0c_7x1')    # 17 x 17 x 192
            branch_1 = slim.conv2d(branch_1, 192, [3, 3], stride=2, padding='VALID',
                                   scope='Conv2d_1a_3x3')                           # 8 x 8 x 192
        with tf.variable_scope('Branch_2'):
            branch_2 = slim.max_pool2d(net, [3, 3], stride=2, padding='VALID',
                                       scope='MaxPool_1a_3x3')                      # 8 x 8 x 768
        return tf.concat([branch_0, branch_1, branch_2], 3)


def inception_v3_base(inputs, scope=None):
    """Builds the convolutions: [batch, 299, 299, 3] -> (net [batch, 8, 8, 2048], end_points).

    end_points maps the name of each stage to its output.
    """
    end_points = {}
    with tf.variable_scope(scope, 'InceptionV3', [inputs]):
        with slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d],
                            stride=1, padding='VALID'):
            net = slim.conv2d(inputs, 32, [3, 3], stride=2, scope='Conv2d_1a_3x3')  # 149 x 149 x 32
            end_points['Conv2d_1a_3x3'] = net
            net = slim.conv2d(net, 32, [3, 3], scope='Conv2d_2a_3x3')               # 147 x 147 x 32
            end_points['Conv2d_2a_3x3'] = net
            net = slim.conv2d(net, 64, [3, 3], padding='SAME',
                              scope='Conv2d_2b_3x3')                                # 147 x 147 x 64
            end_points['Conv2d_2b_3x3'] = net
            net = slim.max_pool2d(net, [3, 3], stride=2, scope='MaxPool_3a_3x3')    # 73 x 73 x 64
            end_points['MaxPool_3a_3x3'] = net
            net = slim.conv2d(net, 80, [1, 1], scope='Conv2d_3b_1x1')               # 73 x 73 x 80
            end_points['Conv2d_3b_1x1'] = net
            net = slim.conv2d(net, 192, [3, 3], scope='Conv2d_4a_3x3')              # 71 x 71 x 192
            end_points['Conv2d_4a_3x3'] = net
            net = slim.max_pool2d(net, [3, 3], stride=2, scope='MaxPool_5a_3x3')    # 35 x 35 x 192
            end_points['MaxPool_5a_3x3'] = net
        with slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d],
                            stride=1, padding='SAME'):
            net = inception_35(net, 'Mixed_5b', pool_depth=32)                      # 35 x 35 x 256
            end_points['Mixed_5b'] = net
            net = inception_35(net, 'Mixed_5c', pool_depth=64,
                               scopes=('Conv2d_0b_1x1', 'Conv_1_0c_5x5'))           # 35 x 35 x 288
            end_points['Mixed_5c'] = net
            net = inception_35(net, 'Mixed_5d', pool_depth=64)                      # 35 x 35 x 288
            end_points['Mixed_5d'] = net
            net = reduction_17(net, 'Mixed_6a')                                     # 17 x 17 x 768
            end_points['Mixed_6a'] = net
            net = inception_17(net, 'Mixed_6b', n=128)                              # 17 x 17 x 768
            end_points['Mixed_6b'] = net
            net = inception_17(net, 'Mixed_6c', n=160)                              # 17 x 17 x 768
            end_points['Mixed_6c'] = net
            net = inception_17(net, 'Mixed_6d', n=160)                              # 17 x 17 x 768
            end_points['Mixed_6d'] = net
            net = inception_17(net, 'Mixed_6e', n=192)                              # 17 x 17 x 768
            end_points['Mixed_6e'] = net
            net = reduction_8(net, 'Mixed_7a')                                      # 8 x 8 x 1280
            end_points['Mixed_7a'] = net
            net = inception_8(net, 'Mixed_7b', scope_3x1='Conv2d_0b_3x1')           # 8 x 8 x 2048
            end_points['Mixed_7b'] = net
            net = inception_8(net, 'Mixed_7c', scope_3x1='Conv2d_0c_3x1')           # 8 x 8 x 2048
            end_points['Mixed_7c'] = net
    return net, end_points


def inception_v3(inputs, num_classes=1000, is_training=True, dropout_keep_prob=0.8,
                 prediction_fn=slim.softmax, spatial_squeeze=True, reuse=None,
                 scope='InceptionV3'):
    """Builds Inception V3 with its auxiliary classifier.

    Args:
        inputs: float32 [batch, 299, 299, 3].
        num_classes: of both classifiers.
        is_training: whether batch norm uses the statistics of the batch, and dropout drops.
        dropout_keep_prob: probability that dropout keeps a unit.
        prediction_fn: makes the predictions from the logits.
        spatial_squeeze: whether logits are [batch, num_classes], not [batch, 1, 1, num_classes].
        reuse: whether variables made before are used again.
        scope: of the variables.

    Returns:
        (logits, end_points): end_points maps the name of each stage to its output; 'AuxLogits' is
        the auxiliary classifier's.
    """
    with tf.variable_scope(scope, 'InceptionV3', [inputs, num_classes], reuse=reuse) as scope:
        with slim.arg_scope([slim.batch_norm, slim.dropout], is_training=is_training):
            net, end_points = inception_v3_base(inputs, scope=scope)

            with slim.arg_scope([slim.conv2d, slim.max_pool2d, slim.avg_pool2d],
                                stride=1, padding='SAME'):
                aux_logits = end_points['Mixed_6e']                                  # 17 x 17 x 768
                with tf.variable_scope('AuxLogits'):
                    aux_logits = slim.avg_pool2d(aux_logits, [5, 5], stride=3, padding='VALID',
                                                 scope='AvgPool_1a_5x5')             # 5 x 5 x 768
                    aux_logits = slim.conv2d(aux_logits, 128, [1, 1],
                                             scope='Conv2d_1b_1x1')                  # 5 x 5 x 128
                    aux_logits = slim.conv2d(aux_logits, 768, [5, 5],
                                             weights_initializer=trunc_normal(0.01),
                                             padding='VALID',
                                             scope='Conv2d_2a_5x5')                  # 1 x 1 x 768
                    aux_logits = slim.conv2d(aux_logits, num_classes, [1, 1],
                                             activation_fn=None, normalizer_fn=None,
                                             weights_initializer=trunc_normal(0.001),
                                             scope='Conv2d_2b_1x1')                  # 1 x 1 x 1000
                    if spatial_squeeze:
                        aux_logits = tf.squeeze(aux_logits, [1, 2],
                                                name='SpatialSqueeze')               # 1000
                    end_points['AuxLogits'] = aux_logits

            with tf.variable_scope('Logits'):
                net = slim.avg_pool2d(net, [8, 8], padding='VALID',
                                      scope='AvgPool_1a_8x8')                        # 1 x 1 x 2048
                net = slim.dropout(net, keep_prob=dropout_keep_prob,
                                   scope='Dropout_1b')                               # 1 x 1 x 2048
                end_points['PreLogits'] = net
                logits = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                                     normalizer_fn=None, scope='Conv2d_1c_1x1')      # 1 x 1 x 1000
                if spatial_squeeze:
                    logits = tf.squeeze(logits, [1, 2], name='SpatialSqueeze')       # 1000
            end_points['Logits'] = logits
            end_points['Predictions'] = prediction_fn(logits, scope='Predictions')
    return logits, end_points


def build(args):
    """Adds Inception V3 with the flags in `args` to the default graph; returns its Workload."""
    inputs = tf.random_uniform((args.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3))     # in every step
    with slim.arg_scope(inception_v3_arg_scope()):
        logits, end_points = inception_v3(inputs, is_training=False)
        for name, end_point in end_points.items():
            print_activations(name, end_point)
        passes = [benchmark.Pass('Forward', logits)]
        if not args.forward_only:
            logits, end_points = inception_v3(inputs, is_training=True, reuse=True)
            objective = (tf.nn.l2_loss(logits)
                         + AUX_WEIGHT * tf.nn.l2_loss(end_points['AuxLogits']))
            grad = tf.gradients(objective, tf.trainable_variables())
            passes.append(benchmark.Pass('Forward-backward', grad))
    return benchmark.Workload('inception_v3', networks.variant('inception_v3', args), passes,
                              tf.trainable_variables())


def run_benchmark(args):
    """Times Inception V3 with the flags in `args`; returns the exit code."""
    return benchmark.run(args, build)


def main(argv=None):
    """Runs the benchmark with the flags in `argv`; returns the exit code (see common/cli.py)."""
    return cli.main(cli.argument_parser(__doc__), run_benchmark, argv)


if __name__ == '__main__':
    sys.exit(main())
