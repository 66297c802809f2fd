"""ResNet V2: the time of a forward and of a forward-backward step.

The 152 layer network of He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks" (2016),
as in section 6.4 of the chapter; 50, 101 and 200 layers on request. The depths are those of table
1 of the authors' first paper, "Deep Residual Learning for Image Recognition" (2015), which is the
chapter's figure 6-17; 200 is the second paper's.

It differs from the papers in that
  * the stride of a block sits in its last unit, not in its first;
  * the first pool pads as SAME.
The chapter times only the forward pass; the gradients with respect to all trainable variables,
which it leaves to the reader, are built in.
What differs from the chapter: docs/chapter.md.

    python resnet_v2_benchmark.py [--depth {50,101,152,200}]
"""
import collections
import sys

from common import benchmark, cli, networks
from common.tf1 import slim, tf

IMAGE_SIZE = 224
NUM_CLASSES = 1000


class Block(collections.namedtuple('Block', ['scope', 'unit_fn', 'args'])):
    """A named tuple describing a ResNet block: `args` is a list with a tuple
    (depth, depth_bottleneck, stride) for each of its units."""


def print_activations(name, t):
    """Prints the name of a stage and the shape of its output: `block1   [32, 28, 28, 256]`."""
    print(name, ' ', t.get_shape().as_list())


def subsample(inputs, factor, scope=None):
    """Keeps every factor-th row and column: [batch, h, w, c] -> [batch, h / factor, ...]."""
    if factor == 1:
        return inputs
    return slim.max_pool2d(inputs, [1, 1], stride=factor, scope=scope)


def conv2d_same(inputs, num_outputs, kernel_size, stride, scope=None):
    """A convolution with explicit zero padding: for a stride above 1 its output is the output of
    stride 1 with rows and columns left out, for inputs of even and odd size."""
    if stride == 1:
        return slim.conv2d(inputs, num_outputs, kernel_size, stride=1, padding='SAME', scope=scope)
    pad_total = kernel_size - 1
    pad_beg = pad_total // 2
    pad_end = pad_total - pad_beg
    inputs = tf.pad(inputs, [[0, 0], [pad_beg, pad_end], [pad_beg, pad_end], [0, 0]])
    return slim.conv2d(inputs, num_outputs, kernel_size, stride=stride, padding='VALID',
                       scope=scope)


@slim.add_arg_scope
def stack_blocks_dense(net, blocks, outputs_collections=None):
    """Stacks the units of `blocks` on `net`, in scopes block1/unit_1, block1/unit_2, ..."""
    for block in blocks:
        with tf.variable_scope(block.scope, 'block', [net]) as sc:
            for i, unit in enumerate(block.args):
                with tf.variable_scope('unit_%d' % (i + 1), values=[net]):
                    unit_depth, unit_depth_bottleneck, unit_stride = unit
                    net = block.unit_fn(net, depth=unit_depth,
                                        depth_bottleneck=unit_depth_bottleneck,
                                        stride=unit_stride)
            net = slim.utils.collect_named_outputs(outputs_collections, sc.name, net)
    return net


def resnet_arg_scope(is_training=True, weight_decay=0.0001, batch_norm_decay=0.997,
                     batch_norm_epsilon=1e-5, batch_norm_scale=True):
    """Returns the arg_scope of the network: convolutions with batch norm and ReLU."""
    batch_norm_params = {
        'is_training': is_training,
        'decay': batch_norm_decay,
        'epsilon': batch_norm_epsilon,
        'scale': batch_norm_scale,
        'updates_collections': tf.GraphKeys.UPDATE_OPS,
    }
    with slim.arg_scope([slim.conv2d],
                        weights_regularizer=slim.l2_regularizer(weight_decay),
                        weights_initializer=slim.variance_scaling_initializer(),
                        activation_fn=tf.nn.relu,
                        normalizer_fn=slim.batch_norm,
                        normalizer_params=batch_norm_params):
        with slim.arg_scope([slim.batch_norm], **batch_norm_params):
            with slim.arg_scope([slim.max_pool2d], padding='SAME') as arg_sc:
                return arg_sc


@slim.add_arg_scope
def bottleneck(inputs, depth, depth_bottleneck, stride, outputs_collections=None, scope=None):
    """The residual unit with pre-activation: [batch, h, w, c] -> [batch, h / stride, ..., depth].

    Batch norm and ReLU come before the convolutions, and the last one has neither (figure 4 (e)
    of the second paper).
    """
    with tf.variable_scope(scope, 'bottleneck_v2', [inputs]) as sc:
        depth_in = slim.utils.last_dimension(inputs.get_shape(), min_rank=4)
        preact = slim.batch_norm(inputs, activation_fn=tf.nn.relu, scope='preact')
        if depth == depth_in:
            shortcut = subsample(inputs, stride, 'shortcut')
        else:
            shortcut = slim.conv2d(preact, depth, [1, 1], stride=stride, normalizer_fn=None,
                                   activation_fn=None, scope='shortcut')
        residual = slim.conv2d(preact, depth_bottleneck, [1, 1], stride=1, scope='conv1')
        residual = conv2d_same(residual, depth_bottleneck, 3, stride, scope='conv2')
        residual = slim.conv2d(residual, depth, [1, 1], stride=1, normalizer_fn=None,
                               activation_fn=None, scope='conv3')
        output = shortcut + residual
        return slim.utils.collect_named_outputs(outputs_collections, sc.name, output)


def resnet_v2(inputs, blocks, num_classes=None, global_pool=True, include_root_block=True,
              reuse=None, scope=None):
    """Builds a ResNet V2 of the given blocks.

    Args:
        inputs: float32 [batch, height, width, 3].
        blocks: list of Block.
        num_classes: of the logits; None leaves them out.
        global_pool: whether the last feature maps are averaged.
        include_root_block: whether conv1 and pool1 come before the blocks.
        reuse: whether variables made before are used again.
        scope: of the variables.

    Returns:
        (net, end_points): the logits, [batch, 1, 1, num_classes] (the features without
        num_classes); a dict from scope to output of each block, unit and convolution.
    """
    with tf.variable_scope(scope, 'resnet_v2', [inputs], reuse=reuse) as sc:
        end_points_collection = sc.original_name_scope + '_end_points'
        with slim.arg_scope([slim.conv2d, bottleneck, stack_blocks_dense],
                            outputs_collections=end_points_collection):
            net = inputs                                                            # at 224 pixels:
            if include_root_block:
                with slim.arg_scope([slim.conv2d], activation_fn=None, normalizer_fn=None):
                    net = conv2d_same(net, 64, 7, stride=2, scope='conv1')          # 112 x 112 x 64
                net = slim.max_pool2d(net, [3, 3], stride=2, scope='pool1',
                                      outputs_collections=end_points_collection)    # 56 x 56 x 64
            net = stack_blocks_dense(net, blocks)                                   # 7 x 7 x 2048
            net = slim.batch_norm(net, activation_fn=tf.nn.relu, scope='postnorm')
            if global_pool:
                net = tf.reduce_mean(net, [1, 2], name='pool5', keep_dims=True)     # 1 x 1 x 2048
                slim.utils.collect_named_outputs(end_points_collection, sc.name + '/pool5', net)
            if num_classes is not None:
                net = slim.conv2d(net, num_classes, [1, 1], activation_fn=None,
                                  normalizer_fn=None, scope='logits')               # 1 x 1 x 1000
            end_points = slim.utils.convert_collection_to_dict(end_points_collection)
            if num_classes is not None:
                end_points['predictions'] = slim.softmax(net, scope='predictions')
            return net, end_points


def resnet_v2_50(inputs, num_classes=None, global_pool=True, reuse=None, scope='resnet_v2_50'):
    """ResNet V2 of (3 + 4 + 6 + 3) x 3 + 2 = 50 layers; arguments and result as resnet_v2's."""
    blocks = [
        Block('block1', bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)]),           # 28 x 28 x 256
        Block('block2', bottleneck, [(512, 128, 1)] * 3 + [(512, 128, 2)]),         # 14 x 14 x 512
        Block('block3', bottleneck, [(1024, 256, 1)] * 5 + [(1024, 256, 2)]),       # 7 x 7 x 1024
        Block('block4', bottleneck, [(2048, 512, 1)] * 3)]                          # 7 x 7 x 2048
    return resnet_v2(inputs, blocks, num_classes, global_pool, include_root_block=True,
                     reuse=reuse, scope=scope)


def resnet_v2_101(inputs, num_classes=None, global_pool=True, reuse=None, scope='resnet_v2_101'):
    """ResNet V2 of (3 + 4 + 23 + 3) x 3 + 2 = 101 layers; arguments and result as resnet_v2's."""
    blocks = [
        Block('block1', bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)]),           # 28 x 28 x 256
        Block('block2', bottleneck, [(512, 128, 1)] * 3 + [(512, 128, 2)]),         # 14 x 14 x 512
        Block('block3', bottleneck, [(1024, 256, 1)] * 22 + [(1024, 256, 2)]),      # 7 x 7 x 1024
        Block('block4', bottleneck, [(2048, 512, 1)] * 3)]                          # 7 x 7 x 2048
    return resnet_v2(inputs, blocks, num_classes, global_pool, include_root_block=True,
                     reuse=reuse, scope=scope)


def resnet_v2_152(inputs, num_classes=None, global_pool=True, reuse=None, scope='resnet_v2_152'):
    """ResNet V2 of (3 + 8 + 36 + 3) x 3 + 2 = 152 layers; arguments and result as resnet_v2's."""
    blocks = [
        Block('block1', bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)]),           # 28 x 28 x 256
        Block('block2', bottleneck, [(512, 128, 1)] * 7 + [(512, 128, 2)]),         # 14 x 14 x 512
        Block('block3', bottleneck, [(1024, 256, 1)] * 35 + [(1024, 256, 2)]),      # 7 x 7 x 1024
        Block('block4', bottleneck, [(2048, 512, 1)] * 3)]                          # 7 x 7 x 2048
    return resnet_v2(inputs, blocks, num_classes, global_pool, include_root_block=True,
                     reuse=reuse, scope=scope)


def resnet_v2_200(inputs, num_classes=None, global_pool=True, reuse=None, scope='resnet_v2_200'):
    """ResNet V2 of (3 + 24 + 36 + 3) x 3 + 2 = 200 layers; arguments and result as resnet_v2's."""
    blocks = [
        Block('block1', bottleneck, [(256, 64, 1)] * 2 + [(256, 64, 2)]),           # 28 x 28 x 256
        Block('block2', bottleneck, [(512, 128, 1)] * 23 + [(512, 128, 2)]),        # 14 x 14 x 512
        Block('block3', bottleneck, [(1024, 256, 1)] * 35 + [(1024, 256, 2)]),      # 7 x 7 x 1024
        Block('block4', bottleneck, [(2048, 512, 1)] * 3)]                          # 7 x 7 x 2048
    return resnet_v2(inputs, blocks, num_classes, global_pool, include_root_block=True,
                     reuse=reuse, scope=scope)


DEPTHS = {50: resnet_v2_50, 101: resnet_v2_101, 152: resnet_v2_152, 200: resnet_v2_200}


def build(args):
    """Adds ResNet V2 with the flags in `args` to the default graph; returns its Workload."""
    resnet = DEPTHS[args.depth]
    inputs = tf.random_uniform((args.batch_size, IMAGE_SIZE, IMAGE_SIZE, 3))    # in every step
    with slim.arg_scope(resnet_arg_scope(is_training=False)):
        net, end_points = resnet(inputs, NUM_CLASSES)
    for name, end_point in end_points.items():
        if name.count('/') < 2:                         # not resnet_v2_152/block1/unit_1/...
            print_activations(name.rpartition('/')[2], end_point)
    passes = [benchmark.Pass('Forward', net)]
    if not args.forward_only:
        with slim.arg_scope(resnet_arg_scope(is_training=True)):
            net, _ = resnet(inputs, NUM_CLASSES, reuse=True)
        objective = tf.nn.l2_loss(net)
        grad = tf.gradients(objective, tf.trainable_variables())
        passes.append(benchmark.Pass('Forward-backward', grad))
    return benchmark.Workload('resnet_v2', networks.variant('resnet_v2', args), passes,
                              tf.trainable_variables())


def run_benchmark(args):
    """Times ResNet V2 with the flags in `args`; returns the exit code."""
    return benchmark.run(args, build)


def main(argv=None):
    """Runs the benchmark with the flags in `argv`; returns the exit code (see common/cli.py)."""
    parser = cli.argument_parser(__doc__)
    parser.add_argument('--depth', type=int, choices=networks.choices('resnet_v2', 'depth'),
                        default=152, help='number of layers (default: 152)')
    return cli.main(parser, run_benchmark, argv)


if __name__ == '__main__':
    sys.exit(main())
