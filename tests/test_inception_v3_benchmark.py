"""Inception V3 against the chapter's table 6-1 and its text, and against tf.contrib.slim's."""
import functools
import importlib
import re

import graph_rows
import numpy
import pytest

import inception_v3_benchmark as inception
from common import graph
from common.tf1 import slim, tf

# Theirs: tf.contrib.slim.nets on TensorFlow 1.15, tf_slim.nets on 2.21.
theirs = importlib.import_module(slim.__name__ + '.nets').inception

# Table 6-1: type, kernel / stride or note, input size; beside it the graph's row where it differs.
# The table is the paper's. The chapter's code, which is that of the authors, has a stem of its own;
# the size beside a group of modules is not that of its input (see the test of the groups).
TABLE_6_1 = [
    (('conv', '3x3/2', '299x299x3'), None),
    (('conv', '3x3/1', '149x149x32'), None),
    (('conv', '3x3/1', '147x147x32'), None),
    (('pool', '3x3/2', '147x147x64'), None),
    (('conv', '3x3/1', '73x73x64'), ('conv', '1x1/1', '73x73x64')),
    (('conv', '3x3/2', '71x71x80'), ('conv', '3x3/1', '73x73x80')),
    (('conv', '3x3/1', '35x35x192'), ('pool', '3x3/2', '71x71x192')),
    (('modules', '3', '35x35x288'), ('modules', '3', '35x35x192')),
    (('modules', '5', '17x17x768'), ('modules', '5', '35x35x288')),
    (('modules', '3', '8x8x1280'), ('modules', '3', '17x17x768')),
    (('pool', '8x8', '8x8x2048'), None),
    (('linear', 'logits', '1x1x2048'), None),
    (('softmax', '', '1x1x1000'), None),
]

# The text of section 6.3: the layers of each branch, its output, and the output of the module.
INCEPTION_35 = [                                         # figure 6-13, the first structure
    ('Branch_0', '1x1 64', '35x35x64'),
    ('Branch_1', '1x1 48, 5x5 64', '35x35x64'),
    ('Branch_2', '1x1 64, 3x3 96, 3x3 96', '35x35x96'),
]


def inception_17(n):                                     # figure 6-13, the second structure
    return [
        ('Branch_0', '1x1 192', '17x17x192'),
        ('Branch_1', '1x1 %d, 1x7 %d, 7x1 192' % (n, n), '17x17x192'),
        ('Branch_2', '1x1 %d, 7x1 %d, 1x7 %d, 7x1 %d, 1x7 192' % (n, n, n, n), '17x17x192'),
        ('Branch_3', '3x3 average, 1x1 192', '17x17x192'),
    ]


INCEPTION_8 = [                                          # figure 6-13, the third structure
    ('Branch_0', '1x1 320', '8x8x320'),
    ('Branch_1', '1x1 384, 1x3 384 + 3x1 384', '8x8x768'),
    ('Branch_2', '1x1 448, 3x3 384, 1x3 384 + 3x1 384', '8x8x768'),
    ('Branch_3', '3x3 average, 1x1 192', '8x8x192'),
]
MODULES = [
    ('Mixed_5b', INCEPTION_35 + [('Branch_3', '3x3 average, 1x1 32', '35x35x32')], '35x35x256'),
    ('Mixed_5c', INCEPTION_35 + [('Branch_3', '3x3 average, 1x1 64', '35x35x64')], '35x35x288'),
    ('Mixed_5d', INCEPTION_35 + [('Branch_3', '3x3 average, 1x1 64', '35x35x64')], '35x35x288'),
    ('Mixed_6a', [
        ('Branch_0', '3x3/2 384', '17x17x384'),
        ('Branch_1', '1x1 64, 3x3 96, 3x3/2 96', '17x17x96'),
        # The text says 17x17x256 and 384 + 96 + 256 = 768, which it is not; with 288 it is.
        ('Branch_2', '3x3/2 maximum', '17x17x288'),
    ], '17x17x768'),
    ('Mixed_6b', inception_17(128), '17x17x768'),
    ('Mixed_6c', inception_17(160), '17x17x768'),
    ('Mixed_6d', inception_17(160), '17x17x768'),
    ('Mixed_6e', inception_17(192), '17x17x768'),
    ('Mixed_7a', [
        ('Branch_0', '1x1 192, 3x3/2 320', '8x8x320'),
        ('Branch_1', '1x1 192, 1x7 192, 7x1 192, 3x3/2 192', '8x8x192'),
        ('Branch_2', '3x3/2 maximum', '8x8x768'),
    ], '8x8x1280'),
    ('Mixed_7b', INCEPTION_8, '8x8x2048'),
    ('Mixed_7c', INCEPTION_8, '8x8x2048'),
]

LAYERS = ('Conv2D', 'MaxPool', 'AvgPool')


@pytest.fixture(scope='module')
def net():
    """The graph of the forward pass at batch size 2: logits, end_points."""
    with tf.Graph().as_default(), slim.arg_scope(inception.inception_v3_arg_scope()):
        return inception.inception_v3(tf.zeros([2, 299, 299, 3]), is_training=False)


def size(tensor):
    return 'x'.join(map(str, tensor.shape.as_list()[1:]))


def kernel_and_stride(op):
    sides = op.inputs[1].shape.as_list()[:2] if op.type == 'Conv2D' else op.get_attr('ksize')[1:3]
    strides = op.get_attr('strides')
    assert strides[1] == strides[2]
    return '%dx%d' % tuple(sides), strides[1]


def layer(op):
    """'3x3/2 384' of a convolution, '3x3 average' of a pool; the stride where it is not 1."""
    kernel, stride = kernel_and_stride(op)
    return '%s%s %s' % (kernel, '/%d' % stride if stride > 1 else '',
                        {'MaxPool': 'maximum', 'AvgPool': 'average'}.get(op.type)
                        or op.outputs[0].shape[3])


def test_table_6_1(net):
    logits, end_points = net
    found = []
    for op in graph.needed_ops([end_points['Predictions']]):
        scope = re.sub('^(InceptionV3/)*', '', op.name).split('/')[0]
        if op.type in LAYERS and scope.startswith('Mixed_'):
            group = scope[:len('Mixed_5')]
            if found[-1][0] != group:
                found.append([group, set(), size(op.inputs[0])])
            found[-1][1].add(scope)
        elif op.type == 'Conv2D' and scope == 'Logits':
            found.append(['linear', 'logits', size(op.inputs[0])])
        elif op.type in LAYERS:
            kernel, stride = kernel_and_stride(op)
            note = '%s/%d' % (kernel, stride) if scope != 'Logits' else kernel
            found.append(['conv' if op.type == 'Conv2D' else 'pool', note, size(op.inputs[0])])
        elif op.type == 'Squeeze':
            squeezed = size(op.inputs[0])
        elif op.type == 'Softmax':
            found.append(['softmax', '', squeezed])
    rows = [('modules', str(len(row[1])), row[2]) if row[0].startswith('Mixed_') else tuple(row)
            for row in found]
    assert rows == [graph or table for table, graph in TABLE_6_1]


def test_the_sizes_of_table_6_1_beside_the_groups_are_of_outputs(net):
    _, end_points = net
    (_, _, first), (_, _, second), (_, _, third) = [table for table, _ in TABLE_6_1
                                                    if table[0] == 'modules']
    assert size(end_points['Mixed_5d']) == first         # of the last module
    for name in ('Mixed_6a', 'Mixed_6b', 'Mixed_6c', 'Mixed_6d', 'Mixed_6e'):
        assert size(end_points[name]) == second          # of every module
    assert size(end_points['Mixed_7a']) == third         # of the first module


def chain(tensor, start):
    """The texts of the layers from `start` to `tensor`, in order; 'a + b' of two side by side."""
    texts = []
    while tensor is not start:
        op = tensor.op
        if op.type == 'ConcatV2':
            ends = [nearest_layer(end) for end in list(op.inputs)[:-1]]
            texts.append(' + '.join(map(layer, ends)))
            assert len({end.inputs[0] for end in ends}) == 1
            op = ends[0]
        elif op.type in LAYERS:
            texts.append(layer(op))
        tensor = op.inputs[0]
    return ', '.join(reversed(texts))


def nearest_layer(tensor):
    op = tensor.op
    while op.type not in LAYERS:                         # ReLU, batch norm
        op = op.inputs[0].op
    return op


@pytest.mark.parametrize('name, branches, output', MODULES, ids=[name for name, *_ in MODULES])
def test_modules(name, branches, output, net):
    _, end_points = net
    stages = list(end_points)
    before = end_points[stages[stages.index(name) - 1]]
    module = end_points[name]
    assert module.op.type == 'ConcatV2'
    ends = list(module.op.inputs)[:-1]
    assert [(re.search(name + r'/(Branch_\d)/', end.op.name).group(1), chain(end, before),
             size(end)) for end in ends] == branches
    assert size(module) == output


def test_auxiliary_classifier(net):
    _, end_points = net
    logits = end_points['AuxLogits']
    layers = [op for op in graph.needed_ops([logits])
              if op.type in LAYERS and op.name.startswith('InceptionV3/AuxLogits/')]
    # The text of section 6.3 on Auxiliary Logits.
    assert [(layer(op), size(op.inputs[0]), size(op.outputs[0])) for op in layers] == [
        ('5x5/3 average', '17x17x768', '5x5x768'),
        ('1x1 128', '5x5x768', '5x5x128'),
        ('5x5 768', '5x5x128', '1x1x768'),
        ('1x1 1000', '1x1x768', '1x1x1000'),
    ]
    assert layers[0].inputs[0] is end_points['Mixed_6e']
    assert logits.shape.as_list() == [2, 1000]


def test_order_of_the_end_points(net):
    logits, end_points = net
    assert [(name, t.shape.as_list()[1:]) for name, t in end_points.items()
            if not name.startswith('Mixed_')] == [
        ('Conv2d_1a_3x3', [149, 149, 32]),
        ('Conv2d_2a_3x3', [147, 147, 32]),
        ('Conv2d_2b_3x3', [147, 147, 64]),
        ('MaxPool_3a_3x3', [73, 73, 64]),
        ('Conv2d_3b_1x1', [73, 73, 80]),
        ('Conv2d_4a_3x3', [71, 71, 192]),
        ('MaxPool_5a_3x3', [35, 35, 192]),
        ('AuxLogits', [1000]),
        ('PreLogits', [1, 1, 2048]),
        ('Logits', [1000]),
        ('Predictions', [1000]),
    ]
    assert [name for name in end_points if name.startswith('Mixed_')] \
        == [name for name, *_ in MODULES]
    assert end_points['Logits'] is logits


def test_parameters_and_multiply_adds(net):
    logits, end_points = net
    with logits.graph.as_default():
        trainable = tf.trainable_variables()
    main = [v for v in trainable if '/AuxLogits/' not in v.op.name]
    assert sum(v.shape.num_elements() for v in trainable) == 27143152
    assert sum(v.shape.num_elements() for v in main) == 23817352
    network = graph.network(logits, trainable, batch_size=2)
    assert network['parameters'] == 27143152
    # 5.72 GMAC are those of both classifiers. The forward pass, which computes the logits alone,
    # has 5.713; the auxiliary classifier adds 0.006.
    both = sum(map(graph.flops, graph.needed_ops([logits, end_points['AuxLogits']])))
    assert round(both / 2 / 2e9, 2) == 5.72
    assert round(network['flops'] / 2e9, 3) == 5.713
    assert graph.network(logits, main, batch_size=2)['parameters'] == 23817352


@pytest.mark.slow
def test_variables_have_the_names_and_shapes_of_slim(net):
    with net[0].graph.as_default():
        found = [tf.global_variables(), tf.trainable_variables()]
    with tf.Graph().as_default():
        with slim.arg_scope(theirs.inception_v3_arg_scope()):
            theirs.inception_v3(tf.zeros([1, 299, 299, 3]))
        expected = [tf.global_variables(), tf.trainable_variables()]
    for our, their in zip(found, expected):
        assert [(v.op.name, v.shape.as_list()) for v in our] \
            == [(v.op.name, v.shape.as_list()) for v in their]


@pytest.fixture(scope='module')
def default(timed):
    """What the script builds without a flag."""
    return timed(inception)


def test_hyperparameters(default):
    """What a layer has besides its size, by how many have it: section 6.3, inception_v3_arg_scope;
    the stddevs of the auxiliary classifier's last two convolutions are in its text."""
    forward, backward = [graph_rows.counts(default.passes[name].tensors)
                         for name in ('Forward', 'Forward-backward')]
    assert forward == {'truncated normal 0.1': 95, 'relu': 94, 'bias 0': 1,
                       'batch norm of moving averages, epsilon 0.001': 94}
    assert backward == {'truncated normal 0.1': 96, 'truncated normal 0.01': 1,
                        'truncated normal 0.001': 1, 'relu': 96, 'bias 0': 2, 'dropout 0.2': 1,
                        'batch norm of the batch, epsilon 0.001': 96}
    assert graph_rows.decays(default.graph) == [0.9997] * 2 * 96
    assert graph_rows.weight_decays(default.graph) == [0.00004] * 98
    assert graph_rows.drawn_in_every_step(default) == [32, 299, 299, 3]
    assert graph_rows.passes(default) == {
        'Forward': ('InceptionV3/Logits/SpatialSqueeze', {}),
        'Forward-backward': ({'InceptionV3_1/Logits/SpatialSqueeze': 1,
                              'InceptionV3_1/AuxLogits/SpatialSqueeze': 0.3}, {})}


def test_padding(default):
    """The stem, the two modules that halve the size, and the auxiliary classifier pad nothing."""
    found = {re.split('[ /]', row)[1] for row in graph_rows.rows(
        default.passes['Forward-backward'].tensors) if re.match(r'\S+ \dx\d/\d VALID', row)}
    assert found == {'Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3',
                     'Mixed_6a', 'Mixed_7a', 'AuxLogits'}


@pytest.mark.slow
def test_dropout_drops_in_training_alone(cpu_session):
    with tf.Graph().as_default() as dropped:
        found = {}
        for is_training, keep_prob in [(True, 0.8), (True, 1.0), (False, 0.8)]:
            _, end_points = inception.inception_v3(tf.zeros([1, 299, 299, 3]), 10, is_training,
                                                   keep_prob, reuse=tf.AUTO_REUSE)
            kept = end_points['PreLogits']
            pool, = [op for op in graph.needed_ops([kept])
                     if op.name.rpartition('/')[2] == 'AvgPool' and '/Logits' in op.name]
            found[is_training, keep_prob] = (pool.outputs[0], kept)
        ones = {pool: numpy.ones([1, 1, 1, 2048]) for pool, _ in found.values()}
        with cpu_session(dropped) as session:
            values = session.run({key: kept for key, (_, kept) in found.items()}, ones)
    dropped = values.pop((True, 0.8))
    assert set(dropped.ravel().tolist()) == {0, 1.25}    # 1 / 0.8
    assert 0.15 < (dropped == 0).mean() < 0.25
    for kept in values.values():
        assert (kept == 1).all()


@pytest.mark.slow
def test_arguments():
    with tf.Graph().as_default(), slim.arg_scope(inception.inception_v3_arg_scope()):
        inputs = tf.zeros([1, 299, 299, 3])
        logits, end_points = inception.inception_v3(
            inputs, num_classes=7, spatial_squeeze=False, scope='other',
            prediction_fn=lambda logits, scope: tf.sigmoid(logits, name=scope))
        assert logits.shape.as_list() == end_points['AuxLogits'].shape.as_list() == [1, 1, 1, 7]
        assert end_points['Predictions'].op.type == 'Sigmoid'
        assert all(v.op.name.startswith('other/') for v in tf.global_variables())


@pytest.fixture(scope='module')
def both(timed, with_slims):
    """The network as main() times it, but without dropout, and slim's on the same variables and
    input. Two images, as batch norm of one image's single pixel (Conv2d_2a_5x5) would be constant.
    """
    run = timed(inception, ['--batch_size', '2'], inception_v3=functools.partial(
        inception.inception_v3, dropout_keep_prob=1.0))
    with run.graph.as_default():
        inputs = run.graph.get_tensor_by_name('random_uniform/RandomUniform:0')
        assert run.passes['Forward'].target.shape.as_list() == [2, 1000]
        updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
        with slim.arg_scope(theirs.inception_v3_arg_scope()):
            forward, their_forward_ends = theirs.inception_v3(inputs, is_training=False,
                                                              reuse=True)
            training, their_ends = theirs.inception_v3(inputs, dropout_keep_prob=1.0, reuse=True)
        their_updates = tf.get_collection(tf.GraphKeys.UPDATE_OPS)[len(updates):]
        with slim.arg_scope(inception.inception_v3_arg_scope()):
            _, our_ends = inception.inception_v3(inputs, is_training=False, reuse=True)
        variables = tf.trainable_variables()
        # Section 6.3: the auxiliary classifier has the weight 0.3.
        loss = tf.nn.l2_loss(training) + 0.3 * tf.nn.l2_loss(their_ends['AuxLogits'])
        assert set(our_ends) == set(their_forward_ends)
        names = sorted(our_ends)
        return with_slims(run, inputs, {
            'logits': (['logits'], [run.passes['Forward'].target], [forward]),
            'end_points': (names, [our_ends[name] for name in names],
                           [their_forward_ends[name] for name in names]),
            'gradients': ([v.op.name for v in variables], run.passes['Forward-backward'].target,
                          tf.gradients(loss, variables))}, (updates, their_updates))


@pytest.mark.slow
@pytest.mark.parametrize('what', ['logits', 'end_points', 'gradients', 'moving averages'])
def test_the_same_weights_give_what_slim_gives(what, both, assert_same):
    names, ours, other = both[what]
    assert_same(names, ours, other)


@pytest.mark.slow
def test_the_comparison_covers_every_layer(both):
    # 98 convolutions, of which 96 have batch norm (beta alone) and 2 a bias.
    assert len(both['gradients'][0]) == len(set(both['gradients'][0])) == 98 + 96 + 2
    assert len(both['moving averages'][0]) == 2 * 96
    for name, ours, _ in zip(*both['gradients']):
        assert numpy.abs(ours).max() > 0, name
