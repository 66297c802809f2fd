"""VGGNet against the chapter's figures 6-6 and 6-7 and against tf.keras.applications."""
import re

import graph_rows
import pytest

import vgg16_benchmark as vgg
from common import graph
from common.tf1 import tf

# The other cells of figure 6-6, and the dropout of the text of section 6.2. LRN: AlexNet's.
CELLS = {'max 2x2/2 SAME': 'maxpool', 'LRN 4 1 0.0001111 0.75': 'LRN', 'softmax': 'soft-max',
         'dropout': 'dropout'}

# Figure 6-6, column by column.
HEAD = ['FC-4096', 'dropout', 'FC-4096', 'dropout', 'FC-1000', 'soft-max']
FIGURE_6_6 = {
    'A': (11, [
        'conv3-64', 'maxpool',
        'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool'] + HEAD),
    'A-LRN': (11, [
        'conv3-64', 'LRN', 'maxpool',
        'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool'] + HEAD),
    'B': (13, [
        'conv3-64', 'conv3-64', 'maxpool',
        'conv3-128', 'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool',
        'conv3-512', 'conv3-512', 'maxpool'] + HEAD),
    'C': (16, [
        'conv3-64', 'conv3-64', 'maxpool',
        'conv3-128', 'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'conv1-256', 'maxpool',
        'conv3-512', 'conv3-512', 'conv1-512', 'maxpool',
        'conv3-512', 'conv3-512', 'conv1-512', 'maxpool'] + HEAD),
    'D': (16, [
        'conv3-64', 'conv3-64', 'maxpool',
        'conv3-128', 'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'conv3-256', 'maxpool',
        'conv3-512', 'conv3-512', 'conv3-512', 'maxpool',
        'conv3-512', 'conv3-512', 'conv3-512', 'maxpool'] + HEAD),
    'E': (19, [
        'conv3-64', 'conv3-64', 'maxpool',
        'conv3-128', 'conv3-128', 'maxpool',
        'conv3-256', 'conv3-256', 'conv3-256', 'conv3-256', 'maxpool',
        'conv3-512', 'conv3-512', 'conv3-512', 'conv3-512', 'maxpool',
        'conv3-512', 'conv3-512', 'conv3-512', 'conv3-512', 'maxpool'] + HEAD),
}

# Parameters counted on the graphs; in millions they are those of figure 6-7. GMAC: 10^9
# multiply-adds of a forward pass.
SIZES = [
    ('A', 132863336, 133, 7.61),
    ('A-LRN', 132863336, 133, 7.61),
    ('B', 133047848, 133, 11.31),
    ('C', 133638952, 134, 11.77),
    ('D', 138357544, 138, 15.47),
    ('E', 143667240, 144, 19.63),
]


@pytest.fixture(scope='module')
def nets():
    """Configuration -> what inference_op returns for batches of 2 images of 224 pixels."""
    built = {}
    for configuration in FIGURE_6_6:
        with tf.Graph().as_default():
            built[configuration] = vgg.inference_op(tf.zeros([2, 224, 224, 3]), tf.constant(1.0),
                                                    configuration)
    return built


def cells(softmax):
    """Reads the cells of figure 6-6 from the rows of the graph, in its order."""
    found = []
    for row in graph_rows.rows([softmax])[1:]:
        layer, *followers = row.split('; ')
        kernel = re.match(r'conv\d_\d (\d)x\1/1 SAME, xavier$', layer)
        name = re.match(r'\w+', layer).group()
        outputs = softmax.graph.get_tensor_by_name(name + ':0').shape[-1]
        found.append('conv%s-%d' % (kernel.group(1), outputs) if kernel else 'FC-%d' % outputs)
        if kernel:
            assert followers[:2] == ['bias 0', 'relu']
        else:                                            # fc8 too has a ReLU, as in the chapter
            assert re.match(r'fc\d, xavier$', layer) and followers[:2] == ['bias 0.1', 'relu']
        found += [CELLS[follower] for follower in followers[2:]]
    return found


@pytest.mark.parametrize('configuration', list(FIGURE_6_6))
def test_figure_6_6(configuration, nets):
    weight_layers, expected = FIGURE_6_6[configuration]
    predictions, softmax, fc8, p = nets[configuration]
    assert cells(softmax) == expected
    assert sum(cell.startswith(('conv', 'FC')) for cell in cells(softmax)) == weight_layers
    assert len(p) == 2 * weight_layers
    assert fc8.shape.as_list() == softmax.shape.as_list() == [2, 1000]
    assert (predictions.shape.as_list(), predictions.dtype) == ([2], tf.int64)


def test_the_configurations_are_those_of_the_figure():
    assert list(vgg.CONFIGURATIONS) == list(FIGURE_6_6)


@pytest.mark.parametrize('configuration, parameters, millions, gmac', SIZES)
def test_parameters_and_multiply_adds(configuration, parameters, millions, gmac, nets):
    _, _, fc8, p = nets[configuration]
    network = graph.network(fc8, p, batch_size=2)
    assert network['parameters'] == parameters
    assert round(parameters / 1e6) == millions
    assert round(network['flops'] / 2e9, 2) == gmac


def test_names_and_shapes_of_the_variables(nets):
    _, _, fc8, p = nets['D']
    with fc8.graph.as_default():
        assert p == tf.trainable_variables()
    assert [(v.op.name, v.shape.as_list()) for v in p] == [
        ('conv1_1/w', [3, 3, 3, 64]), ('conv1_1/b', [64]),
        ('conv1_2/w', [3, 3, 64, 64]), ('conv1_2/b', [64]),
        ('conv2_1/w', [3, 3, 64, 128]), ('conv2_1/b', [128]),
        ('conv2_2/w', [3, 3, 128, 128]), ('conv2_2/b', [128]),
        ('conv3_1/w', [3, 3, 128, 256]), ('conv3_1/b', [256]),
        ('conv3_2/w', [3, 3, 256, 256]), ('conv3_2/b', [256]),
        ('conv3_3/w', [3, 3, 256, 256]), ('conv3_3/b', [256]),
        ('conv4_1/w', [3, 3, 256, 512]), ('conv4_1/b', [512]),
        ('conv4_2/w', [3, 3, 512, 512]), ('conv4_2/b', [512]),
        ('conv4_3/w', [3, 3, 512, 512]), ('conv4_3/b', [512]),
        ('conv5_1/w', [3, 3, 512, 512]), ('conv5_1/b', [512]),
        ('conv5_2/w', [3, 3, 512, 512]), ('conv5_2/b', [512]),
        ('conv5_3/w', [3, 3, 512, 512]), ('conv5_3/b', [512]),
        ('fc6/w', [25088, 4096]), ('fc6/b', [4096]),
        ('fc7/w', [4096, 4096]), ('fc7/b', [4096]),
        ('fc8/w', [4096, 1000]), ('fc8/b', [1000]),
    ]


def test_configuration_d_and_batches_of_32_are_the_default(timed, capsys):
    run = timed(vgg)
    assert (run.name, run.variant) == ('vgg16', 'D')
    assert graph_rows.images(run) == ([32, 224, 224, 3], 'normal 0.1')
    assert graph_rows.passes(run) == {
        'Forward': ('ArgMax', {'keep_prob': 1.0}),
        'Forward-backward': ({'fc8': 1}, {'keep_prob': 0.5})}
    assert run.passes['Forward'].target.shape.as_list() == [32]
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if '[32, ' in line][:6] == [
        'conv1_1   [32, 224, 224, 64]',
        'conv1_2   [32, 224, 224, 64]',
        'pool1   [32, 112, 112, 64]',
        'conv2_1   [32, 112, 112, 128]',
        'conv2_2   [32, 112, 112, 128]',
        'pool2   [32, 56, 56, 128]',
    ]
    assert lines[-1] == 'fc8   [32, 1000]'


def test_dropout(assert_fc6_and_fc7_are_dropped):
    with tf.Graph().as_default() as graph:
        keep_prob = tf.placeholder(tf.float32)
        vgg.inference_op(tf.ones([2, 32, 32, 3]), keep_prob, 'A')
    assert_fc6_and_fc7_are_dropped(graph, keep_prob)


@pytest.fixture(scope='module', params=[('D', 'VGG16'), ('E', 'VGG19')], ids=['VGG16', 'VGG19'])
def both(request, timed, cpu_session, randomise):
    """The network as main() times it, but at 64 pixels and without dropout, and Keras's with the
    same variables, whose last layer is given the ReLU of the chapter's: what -> (names, ours,
    theirs)."""
    configuration, name = request.param
    run = timed(vgg, ['--batch_size', '2', '--configuration', configuration], IMAGE_SIZE=64)
    assert run.variant == configuration
    with run.graph.as_default():
        keep_prob = run.graph.get_tensor_by_name('keep_prob:0')
        predictions = run.passes['Forward'].target
        softmax = predictions.op.inputs[0]
        fc8 = softmax.op.inputs[0]

        model = getattr(tf.keras.applications, name)(weights=None, input_shape=(64, 64, 3))
        logits = tf.nn.relu(model.output.op.inputs[0])
        their_softmax = tf.nn.softmax(logits)
        names = {'outputs': ['fc8', 'softmax', 'predictions'],
                 'gradients': [v.op.name for v in run.parameters]}
        ours = {'outputs': [fc8, softmax, predictions],
                'gradients': run.passes['Forward-backward'].target}
        theirs = {'outputs': [logits, their_softmax, tf.argmax(their_softmax, 1)],
                  'gradients': tf.gradients(tf.nn.l2_loss(logits), model.trainable_weights)}
        assert len(model.trainable_weights) == len(run.parameters)
        copies = [their.assign(our) for our, their in zip(run.parameters, model.trainable_weights)]
        with cpu_session(run.graph) as session:
            randomise(session, seed=1, images=5)
            session.run([copy.op for copy in copies])
            ours, theirs = session.run([ours, theirs], {
                keep_prob: 1.0, model.input: session.run('images:0')})
    return {what: (names[what], ours[what], theirs[what]) for what in names}


@pytest.mark.slow
@pytest.mark.parametrize('what', ['outputs', 'gradients'])
def test_the_same_weights_give_what_keras_gives(what, both, assert_same):
    names, ours, theirs = both[what]
    assert_same(names, ours, theirs)
    for name, our in zip(names, ours):
        assert our.any(), name


@pytest.mark.slow
def test_both_sides_of_the_last_relu_are_compared(both):
    fc8 = both['outputs'][1][0]
    assert 0.1 < (fc8 == 0).mean() < 0.9
