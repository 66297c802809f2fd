"""ResNet V2 against the chapter's figure 6-17 and against tf.contrib.slim's."""
import collections
import importlib
import re

import graph_rows
import numpy
import pytest

import resnet_v2_benchmark as resnet
from common import graph
from common.tf1 import slim, tf

# Theirs: tf.contrib.slim.nets on TensorFlow 1.15, tf_slim.nets on 2.21.
theirs = importlib.import_module(slim.__name__ + '.nets').resnet_v2

# Figure 6-17: for each block its output size, the three convolutions of a unit, and the number of
# units for 50, 101 and 152 layers; those for 200 layers are from the chapter's resnet_v2_200.
BLOCKS = [
    # name     output     1x1, 3x3, 1x1      50      101      152      200
    ('block1', '56x56', (64, 64, 256), {50: 3, 101: 3, 152: 3, 200: 3}),           # conv2_x
    ('block2', '28x28', (128, 128, 512), {50: 4, 101: 4, 152: 8, 200: 24}),        # conv3_x
    ('block3', '14x14', (256, 256, 1024), {50: 6, 101: 23, 152: 36, 200: 36}),     # conv4_x
    ('block4', '7x7', (512, 512, 2048), {50: 3, 101: 3, 152: 3, 200: 3}),          # conv5_x
]
DEPTHS = [50, 101, 152, 200]

# Counted on the graphs; the papers' tables agree. GMAC: 10^9 multiply-adds of a forward pass.
PARAMETERS = {50: 25568360, 101: 44577896, 152: 60236904, 200: 64726120}
GMAC = {50: 3.48, 101: 7.19, 152: 10.91, 200: 14.40}

Net = collections.namedtuple('Net', 'logits end_points variables trainable')


@pytest.fixture(scope='module')
def nets():
    """Depth -> the inference graph at batch size 2, 224 pixels."""
    built = {}
    for depth in DEPTHS:
        with tf.Graph().as_default():
            with slim.arg_scope(resnet.resnet_arg_scope(is_training=False)):
                logits, end_points = resnet.DEPTHS[depth](tf.zeros([2, 224, 224, 3]), 1000)
            built[depth] = Net(logits, end_points, tf.global_variables(), tf.trainable_variables())
    return built


def size(tensor):
    return 'x'.join(map(str, tensor.shape.as_list()[1:3]))


def layer(op):
    """An operation as in a row of figure 6-17: '7x7, 64, stride 2'."""
    if op.type == 'Conv2D':
        height, width, _, kernels = op.inputs[1].shape.as_list()
        text = '%dx%d, %d' % (height, width, kernels)
    elif op.type == 'MaxPool':
        text = '%dx%d max pool' % tuple(op.get_attr('ksize')[1:3])
    else:
        return op.type.lower()
    strides = op.get_attr('strides')
    assert strides[1] == strides[2]
    return text if strides[1] == 1 else '%s, stride %d' % (text, strides[1])


def rows(net):
    """Reads the rows of figure 6-17 from the graph, in its order, the shortcuts left out: (scope,
    output size, layers); the scope of a unit is 'block1/unit_1'."""
    found = []
    for op in graph.needed_ops([net.end_points['predictions']]):
        if op.type not in ('Conv2D', 'MaxPool', 'Mean', 'Softmax') or '/shortcut' in op.name:
            continue
        parts = op.name.split('/')[1:]
        scope = '/'.join(parts[:2]) if parts[0].startswith('block') else parts[0]
        if not found or found[-1][0] != scope:
            found.append((scope, []))
        found[-1][1].append(op)
    return [(scope, size(ops[-1].outputs[0]) if ops[-1].type != 'Softmax' else None,
             [layer(op) for op in ops]) for scope, ops in found]


@pytest.mark.parametrize('depth', DEPTHS)
def test_figure_6_17(depth, nets):
    expected = [('conv1', '112x112', ['7x7, 64, stride 2']),
                ('pool1', '56x56', ['3x3 max pool, stride 2'])]
    for i, (block, output, (first, second, third), units) in enumerate(BLOCKS):
        for unit in range(1, units[depth] + 1):
            # The chapter has the stride in the last unit of a block, so that this unit has the
            # output size of the figure's next row; the last block has none.
            last = unit == units[depth] and block != 'block4'
            expected.append(('%s/unit_%d' % (block, unit), BLOCKS[i + 1][1] if last else output,
                             ['1x1, %d' % first, '3x3, %d' % second + ', stride 2' * last,
                              '1x1, %d' % third]))
    expected += [('pool5', '1x1', ['mean']), ('logits', '1x1', ['1x1, 1000']),
                 ('predictions', None, ['softmax'])]
    found = rows(nets[depth])
    assert found == expected
    assert sum(name.startswith(('conv', '1x1', '3x3, ', '7x7'))
               for _, _, layers in found for name in layers) == depth


@pytest.mark.parametrize('depth', DEPTHS)
def test_shortcuts(depth, nets):
    expected = []
    for block, _, kernels, units in BLOCKS:
        expected.append((block + '/unit_1', '1x1, %d' % kernels[2]))    # changes the channels
        if block != 'block4':                                           # keeps every second pixel
            expected.append(('%s/unit_%d' % (block, units[depth]), '1x1 max pool, stride 2'))
    assert [('/'.join(op.name.split('/')[1:3]), layer(op))
            for op in graph.needed_ops([nets[depth].logits])
            if '/shortcut' in op.name and op.type in ('Conv2D', 'MaxPool')] == expected


@pytest.mark.parametrize('depth', DEPTHS)
def test_parameters_and_multiply_adds(depth, nets):
    network = graph.network(nets[depth].logits, nets[depth].trainable, batch_size=2)
    assert network['parameters'] == PARAMETERS[depth]
    assert round(network['flops'] / 2e9, 2) == GMAC[depth]


@pytest.mark.slow
@pytest.mark.parametrize('depth', [50, 152])
def test_variables_have_the_names_and_shapes_of_slim(depth, nets):
    with tf.Graph().as_default():
        with slim.arg_scope(theirs.resnet_arg_scope()):
            getattr(theirs, 'resnet_v2_%d' % depth)(tf.zeros([1, 64, 64, 3]), 1000)
        for expected, found in [(tf.global_variables(), nets[depth].variables),
                                (tf.trainable_variables(), nets[depth].trainable)]:
            assert [(v.op.name, v.shape.as_list()) for v in found] \
                == [(v.op.name, v.shape.as_list()) for v in expected]


def test_main_times_what_was_asked_for(timed):
    run = timed(resnet, ['--depth', '50', '--batch_size', '3', '--forward_only'])
    assert (run.name, run.variant, list(run.passes)) == ('resnet_v2', '50', ['Forward'])
    assert run.passes['Forward'].target.shape.as_list() == [3, 1, 1, 1000]
    assert run.passes['Forward'].target.op.name.startswith('resnet_v2_50/logits')
    assert sum(v.shape.num_elements() for v in run.parameters) == PARAMETERS[50]


def test_152_layers_and_batches_of_32_are_the_default(timed, capsys):
    # With the units of 50, which are built in a third of the time.
    run = timed(resnet, ['--forward_only'], DEPTHS={152: resnet.DEPTHS[50]})
    assert run.variant == '152'
    lines = capsys.readouterr().out.splitlines()
    # Figure 6-17's sizes; a block's is that of its last unit, which has the stride.
    assert [line for line in lines if re.search(r'\[32, ', line)] == [
        'conv1   [32, 112, 112, 64]',
        'pool1   [32, 56, 56, 64]',
        'block1   [32, 28, 28, 256]',
        'block2   [32, 14, 14, 512]',
        'block3   [32, 7, 7, 1024]',
        'block4   [32, 7, 7, 2048]',
        'pool5   [32, 1, 1, 2048]',
        'logits   [32, 1, 1, 1000]',
        'predictions   [32, 1, 1, 1000]',
    ]


@pytest.fixture(scope='module')
def both(timed, with_slims):
    """The 50 layer network as main() times it, and slim's on the same variables and input. 64
    pixels; two images, as batch norm of one image's single pixel would be constant."""
    run = timed(resnet, ['--depth', '50', '--batch_size', '2'], IMAGE_SIZE=64)
    with run.graph.as_default():
        inputs = run.graph.get_tensor_by_name('random_uniform/RandomUniform:0')
        reused = {'reuse': True, 'scope': 'resnet_v2_50'}
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with slim.arg_scope(theirs.resnet_arg_scope()):
            forward, their_ends = theirs.resnet_v2_50(inputs, 1000, is_training=False, **reused)
            training, _ = theirs.resnet_v2_50(inputs, 1000, is_training=True, **reused)
        their_updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)[len(updates):]
        with slim.arg_scope(resnet.resnet_arg_scope(is_training=False)):
            again, our_ends = resnet.resnet_v2_50(inputs, 1000, **reused)
        with slim.arg_scope(resnet.resnet_arg_scope(is_training=True)):
            our_training, _ = resnet.resnet_v2_50(inputs, 1000, **reused)
        variables, ends = tf.trainable_variables(), sorted(their_ends)
        names = [v.op.name for v in variables]
        return with_slims(run, inputs, {
            'logits': (['inference', 'training'], [run.passes['Forward'].target, our_training],
                       [forward, training]),
            'end_points': (ends, [our_ends[name] for name in ends],
                           [their_ends[name] for name in ends]),
            'gradients': (names, run.passes['Forward-backward'].target,
                          tf.gradients(tf.nn.l2_loss(training), variables)),
            'inference gradients': (names, tf.gradients(tf.nn.l2_loss(again), variables),
                                    tf.gradients(tf.nn.l2_loss(forward), variables))},
            (updates, their_updates))


@pytest.mark.slow
@pytest.mark.parametrize('what', ['logits', 'end_points', 'gradients', 'inference gradients',
                                  'moving averages'])
def test_the_same_weights_give_what_slim_gives(what, both, assert_same):
    names, ours, other = both[what]
    assert_same(names, ours, other)


@pytest.mark.slow
def test_the_comparison_covers_every_layer(both):
    assert len(both['gradients'][0]) == len(set(both['gradients'][0])) == 174
    assert len(both['moving averages'][0]) == 98         # mean, variance of 16 x 3 + 1 batch norms
    for name, ours, _ in zip(*both['inference gradients']):
        assert numpy.abs(ours).max() > 0, name
    training, inference = both['logits'][1]
    assert numpy.abs(training - inference).max() > 0.1 * numpy.abs(inference).max()


def test_hyperparameters(timed):
    """What a layer has besides its size, by how many of the 50 layers' have it: section 6.4,
    resnet_arg_scope. conv1, the 4 shortcuts, the last of each of the 16 units and the logits have a
    bias and no batch norm; preact and postnorm stand before their convolutions."""
    run = timed(resnet, ['--depth', '50'])
    forward, backward = [graph_rows.counts(run.passes[name].tensors)
                         for name in ('Forward', 'Forward-backward')]
    assert forward == {'he': 54, 'relu': 49, 'bias 0': 22, 'mean': 1,
                       'batch norm of moving averages, epsilon 1e-05': 49}
    assert backward == {'he': 54, 'relu': 49, 'bias 0': 22, 'mean': 1,
                        'batch norm of the batch, epsilon 1e-05': 49}
    assert {row.split(',')[0] for row in graph_rows.rows(run.passes['Forward'].tensors)
            if ' VALID' in row} == {'resnet_v2_50/conv1 7x7/2 VALID'} | {
        'resnet_v2_50/block%d/unit_%d/bottleneck_v2/conv2 3x3/2 VALID' % unit
        for unit in [(1, 3), (2, 4), (3, 6)]}            # conv2d_same pads by itself
    assert graph_rows.decays(run.graph) == [0.997] * 2 * 49
    assert graph_rows.weight_decays(run.graph) == [0.0001] * 54
    assert graph_rows.drawn_in_every_step(run) == [32, 224, 224, 3]
    assert graph_rows.passes(run) == {
        'Forward': ('resnet_v2_50/logits/BiasAdd', {}),
        'Forward-backward': ({'resnet_v2_50_1/logits/BiasAdd': 1}, {})}


# The grid and the kernel of slim's own tests; each value is the sum of 9 products (fewer at the
# edges, where the neighbours are 0), worked by hand: at the top left 0*2 + 1*3 + 1*3 + 2*4 = 14.
KERNEL = [[0, 1, 2],
          [1, 2, 3],
          [2, 3, 4]]
GRID_4 = [[0, 1, 2, 3],
          [1, 2, 3, 4],
          [2, 3, 4, 5],
          [3, 4, 5, 6]]
GRID_5 = [[0, 1, 2, 3, 4],
          [1, 2, 3, 4, 5],
          [2, 3, 4, 5, 6],
          [3, 4, 5, 6, 7],
          [4, 5, 6, 7, 8]]


@pytest.mark.parametrize('grid, stride, expected', [
    (GRID_4, 1, [[14, 28, 43, 26],
                 [28, 48, 66, 37],
                 [43, 66, 84, 46],
                 [26, 37, 46, 22]]),
    (GRID_4, 2, [[14, 43],                               # SAME would give 48, 37; 37, 22
                 [43, 84]]),
    (GRID_5, 1, [[14, 28, 43, 58, 34],
                 [28, 48, 66, 84, 46],
                 [43, 66, 84, 102, 55],
                 [58, 84, 102, 120, 64],
                 [34, 46, 55, 64, 30]]),
    (GRID_5, 2, [[14, 43, 34],
                 [43, 84, 55],
                 [34, 55, 30]]),
])
def test_conv2d_same(grid, stride, expected, cpu_session):
    with tf.Graph().as_default() as graph:
        inputs = tf.constant(numpy.array(grid, numpy.float32)[None, :, :, None])
        output = resnet.conv2d_same(inputs, 1, 3, stride, scope='conv')
        kernel, = slim.get_variables_by_suffix('weights')
        with cpu_session(graph) as session:
            session.run(tf.global_variables_initializer())
            kernel.load(numpy.array(KERNEL, numpy.float32)[:, :, None, None], session)
            assert session.run(output)[0, :, :, 0].tolist() == expected


@pytest.mark.parametrize('grid, factor, expected', [
    ([[0, 1, 2],
      [3, 4, 5],
      [6, 7, 8]], 2, [[0, 2],
                      [6, 8]]),
    ([[0, -1, -2, -3],
      [-4, -5, -6, -7],
      [-8, -9, -10, -11],
      [-12, -13, -14, -15]], 2, [[0, -2],
                                 [-8, -10]]),
    ([[0, 1, 2, 3],
      [4, 5, 6, 7],
      [8, 9, 10, 11],
      [12, 13, 14, 15]], 3, [[0, 3],
                             [12, 15]]),
    (GRID_4, 1, GRID_4),
])
def test_subsample(grid, factor, expected, cpu_session):
    with tf.Graph().as_default() as graph:
        inputs = tf.constant(numpy.array(grid, numpy.float32)[None, :, :, None])
        output = resnet.subsample(inputs, factor)
        with cpu_session(graph) as session:
            assert session.run(output)[0, :, :, 0].tolist() == expected


def test_parts_of_the_network_can_be_left_out():
    block = resnet.Block('block1', resnet.bottleneck, [(8, 2, 1), (8, 2, 2)])
    assert block._fields == ('scope', 'unit_fn', 'args')
    with tf.Graph().as_default(), slim.arg_scope(resnet.resnet_arg_scope()):
        inputs = tf.zeros([1, 32, 32, 3])
        net, end_points = resnet.resnet_v2(inputs, [block], scope='a')
        assert net.shape.as_list() == [1, 1, 1, 8]
        assert 'predictions' not in end_points
        net, _ = resnet.resnet_v2(inputs, [block], global_pool=False, scope='b')
        assert net.shape.as_list() == [1, 4, 4, 8]
        net, _ = resnet.resnet_v2(inputs, [block], 10, include_root_block=False, scope='c')
        assert net.shape.as_list() == [1, 1, 1, 10]
        assert not [v for v in tf.global_variables() if v.op.name.startswith('c/conv1')]
        net, end_points = resnet.resnet_v2(inputs, [block], 10, global_pool=False, scope='d')
        assert net.shape.as_list() == end_points['predictions'].shape.as_list() == [1, 4, 4, 10]
