"""common/probes/values.py: float32 is recognised, and every planted fault is found."""
import json
import subprocess
import sys

import numpy
import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common import graph
from common.machine import host
from common.probes import values
from common.tf1 import RUNTIME, tf

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu']
RANDOM = numpy.random.RandomState(0)
CONV, INPUT, FILTER = 'Conv2D', 'Conv2DBackpropInput', 'Conv2DBackpropFilter'


def variable(*shape):
    return tf.constant(RANDOM.standard_normal(shape).astype(numpy.float32))


def convolution(type_, size=(7, 6), kernel=(3, 3), stride=1, padding='SAME', pad=0):
    """An operation of that type, of 2 images with 5 channels in and 4 out."""
    with tf.name_scope('gradients/' if type_ != CONV else 'forward/'):
        x, w = variable(2, *size, 5), variable(*kernel, 5, 4)
        if pad:
            x = tf.pad(x, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        strides = [1, stride, stride, 1]
        y = tf.nn.conv2d(x, w, strides, padding)
        dy = variable(*y.shape.as_list())
        return {CONV: lambda: y, INPUT: lambda: tf.nn.conv2d_backprop_input(
            x.shape.as_list(), w, dy, strides, padding), FILTER: lambda: (
                tf.nn.conv2d_backprop_filter(x, w.shape.as_list(), dy, strides, padding))}[type_]()


def product(transpose_a, transpose_b):
    a = variable(*((7, 3) if transpose_a else (3, 7)))
    b = variable(*((4, 7) if transpose_b else (7, 4)))
    return tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b)


def fused(is_training, relu=True):
    y = tf.nn.bias_add(convolution(CONV), variable(4))
    scale, offset, mean = (variable(4) for _ in range(3))
    moments = {} if is_training else {'mean': mean, 'variance': tf.exp(variable(4))}
    y, _, _ = tf.nn.fused_batch_norm(y, scale, offset, is_training=is_training, **moments)
    return tf.nn.relu(y) if relu else y


CASES = [(convolution, dict(case, type_=type_)) for type_ in (CONV, INPUT, FILTER) for case in [
    {}, {'padding': 'VALID'}, {'stride': 2}, {'stride': 2, 'padding': 'VALID'},
    {'kernel': (1, 7)}, {'kernel': (1, 1), 'stride': 2}, {'size': (6, 9), 'stride': 3},
    {'kernel': (4, 2)}, {'kernel': (11, 11), 'stride': 4, 'size': (23, 24)},
    {'pad': 2, 'padding': 'VALID', 'stride': 2}]]
CASES += [(product, {'transpose_a': a, 'transpose_b': b}) for a in (False, True)
          for b in (False, True)]
CASES += [(fused, {'is_training': is_training, 'relu': relu}) for is_training in (False, True)
          for relu in (False, True)]


def rounded(array):
    """The array in bfloat16, cut off, as float32."""
    return (numpy.asarray(array, numpy.float32).view(numpy.uint32) & 0xffff0000).view(numpy.float32)


def product_of(tensor):
    """The convolution or matrix product that a tensor of CASES comes from."""
    while tensor.op.type not in (CONV, INPUT, FILTER, 'MatMul'):
        tensor = tensor.op.inputs[0]
    return tensor


def in_bfloat16(session, tensor):
    """What the operation gives if it rounds its operands to bfloat16."""
    operands = [t for t in tensor.op.inputs if t.dtype.base_dtype == tf.float32]
    return session.run(tensor, dict(zip(operands, map(rounded, session.run(operands)))))


# (name, the value of the operation, the arithmetic that it tells)
FAULTS = [
    ('1 % off', lambda session, t: 1.01 * session.run(t), 'bfloat16 or worse'),
    ('rounded', in_bfloat16, 'bfloat16 or worse'),
    ('zeros', lambda session, t: 0 * session.run(t), 'wrong altogether'),
    ('nan', lambda session, t: numpy.nan * session.run(t), 'wrong altogether'),
    ('moved', lambda session, t: numpy.roll(session.run(t), 1, -1), 'wrong altogether')]


@pytest.mark.parametrize('build, options, copied', [
    (*case, values.MAX_VALUES) for case in CASES] + [
    (*case, 0) for case in CASES if case[1].get('type_') == FILTER], ids=lambda value: str(
        getattr(value, '__name__', value)))
def test_float32_is_recognised_and_faults_are_found(build, options, copied, cpu_session,
                                                    monkeypatch):
    """With MAX_VALUES of 0 the device adds the products up, and one element tells less."""
    monkeypatch.setattr(values, 'MAX_VALUES', copied)
    with tf.Graph().as_default() as default:
        target = build(**options)
        with cpu_session(default) as session:
            for seed in range(2):
                found = values.measured(session, [target], None, 'float32', seed=seed)
                assert 0 < found['error'] < 1e-6 and found['precision'] == 'float32'
                assert values.faults(found, 'float32') == []
            wrong = product_of(target)
            for name, value, word in FAULTS:
                found = values.measured(session, [target], {wrong: value(session, wrong)},
                                        'float32', seed=1)
                sentence, = values.faults(found, 'float32')
                assert (word if copied else 'not float32') in sentence, name
                assert found['worst'] in sentence
    assert len(found['errors']) == 1


def test_each_layer_has_its_own_places_and_a_seed_repeats_them():
    with tf.Graph().as_default():
        targets = [convolution(CONV), convolution(CONV)]
        first, again, other = [[sample.reads[0][1].tolist() for sample in values.sampled(
            targets, numpy.random.RandomState(seed))] for seed in (1, 1, 2)]
    assert first == again != other and first[0] != first[1]


def test_the_result_is_read_behind_what_is_fused(cpu_session):
    """So that Grappler fuses as in the timed steps: the executed operation is a fused one."""
    with tf.Graph().as_default() as default, cpu_session(default) as session:
        kernel = tf.Variable(variable(3, 3, 5, 4))
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(variable(2, 7, 6, 5), kernel, 1, 'SAME'),
                                      tf.Variable(variable(4))))
        session.run(tf.global_variables_initializer())
        run, metadata = session.run, tf.RunMetadata()
        session.run = lambda fetches, feed_dict: run(fetches, feed_dict, tf.RunOptions(
            trace_level=tf.RunOptions.SOFTWARE_TRACE), metadata)
        assert values.measured(session, [y], None, 'float32')['error'] < 1e-6
    labels = [node.timeline_label for device in metadata.step_stats.dev_stats
              for node in device.node_stats]
    assert any('Fused' in label and 'Conv2D' in label for label in labels)
    assert not any(' = Conv2D(' in label for label in labels)


@pytest.mark.parametrize('precision, errors, fault, caution', [
    ('float32', {'conv1': [1e-6], 'conv2': [2.6e-3]},
     'conv2 was computed to 2.6e-03, which is bfloat16 or worse, and not float32', None),
    ('float32', {'conv1': [4e-4], 'gradients of conv1': [1e-6, 0.5]},
     'conv1 was computed to 4.0e-04, which is TF32 or float16, and not float32: the first of 2',
     None),
    ('float32', {'gradients of conv1': [1e-6, 0.5]},
     'gradients of conv1 were computed to 5.0e-01, which is wrong altogether', None),
    ('float32', {'conv1': [9e-5]}, None, None),
    ('tf32', {'conv1': [4e-4], 'conv2': [1e-6]}, None, None),
    ('tf32', {'conv1': [3e-3]}, 'conv1 was computed to 3.0e-03, which is bfloat16 or worse', None),
    ('tf32', {'conv1': [2e-6]}, None, 'every layer was computed in float32'),
    ('mixed_bfloat16', {'conv1': [3e-3]}, None, None),
    ('mixed_float16', {'conv1': [3e-3]}, 'conv1 was computed to 3.0e-03', None)])
def test_what_is_said_of_errors(precision, errors, fault, caution):
    worst = max(errors, key=lambda name: max(errors[name]))
    found = {'errors': errors, 'worst': worst, 'error': max(errors[worst])}
    assert [text.startswith(fault or '') for text in values.faults(found, precision)] == (
        [True] if fault else [])
    assert [text.startswith(caution or '') for _, text in values.cautions(found, precision)] == (
        [True] if caution else [])


@pytest.mark.parametrize('length', [1000, 25088, 100000])
def test_many_products_of_one_sign_may_be_added_one_after_the_other(length, cpu_session):
    """Which in float32 loses more than 1e-4 of the root of their squares."""
    with tf.Graph().as_default() as default:
        x, w = (tf.constant(RANDOM.uniform(0, 1, shape).astype(numpy.float32))
                for shape in ((16, length), (length, 1)))
        y = tf.matmul(x, w)
        with cpu_session(default) as session:
            serial = numpy.cumsum(session.run(x) * session.run(w).T, 1)[:, -1:]
            for result, is_right in (serial, True), (1.01 * serial, False):
                found = values.measured(session, [y], {y: result}, 'float32')
                assert (found['error'] < values.FLOAT32) == is_right


@pytest.mark.parametrize('bias', [0, -1e3])
def test_zeros_tell_nothing(bias, cpu_session):
    """Neither those of zeros, nor those that a ReLU makes of negative sums."""
    with tf.Graph().as_default() as default:
        images = tf.zeros([2, 7, 6, 5]) if not bias else variable(2, 7, 6, 5)
        y = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(images, variable(3, 3, 5, 4), 1, 'SAME'),
                                      tf.fill([4], float(bias))))
        with cpu_session(default) as session:
            found = values.measured(session, [y], None, 'float32')
    assert found['precision'] == values.NOT_TESTED


@pytest.mark.parametrize('batch_size', ['32', '512'])
def test_what_is_copied_has_a_limit_for_every_batch(batch_size, timed):
    """Read from the graph, without a run: the products but for the filters' gradients need three
    times what the forward pass does."""
    run = timed(vgg16_benchmark, ['--batch_size', batch_size])
    with run.graph.as_default():
        forward, backward = (sum(
            graph.size(t) for reads, parameters in values._gathered(values.sampled(
                timed_pass.tensors, RANDOM))[0] for t in [*reads, *sum(parameters, [])])
            for timed_pass in run.passes.values())
    assert backward < 4 * values.MAX_VALUES + 3 * forward < 64e6


@pytest.mark.parametrize('script, flags, replaced', [
    (alexnet_benchmark, ['--fc'], {}), (vgg16_benchmark, ['--forward_only'], {'IMAGE_SIZE': 32}),
    (resnet_v2_benchmark, ['--depth', '50', '--forward_only'], {'IMAGE_SIZE': 64})] + [
    pytest.param(*row, marks=pytest.mark.slow) for row in [
        (inception_v3_benchmark, [], {}), (vgg16_benchmark, [], {}),
        (resnet_v2_benchmark, [], {})]])
def test_every_product_of_the_networks_is_float32(script, flags, replaced, timed, cpu_session):
    timed = timed(script, ['--batch_size', '2', *flags], **replaced)
    with cpu_session(timed.graph) as session:
        with timed.graph.as_default():
            session.run(tf.global_variables_initializer())
        for timed_pass in timed.passes.values():
            found = values.measured(session, timed_pass.tensors, timed_pass.feed_dict, 'float32')
            assert values.faults(found, 'float32') == []
            assert 1e-8 < found['error'] < 1e-5
            number = sum(op.type in graph.COUNTED
                         for op in graph.needed_ops(timed_pass.tensors))
            tested = sum(map(len, found['errors'].values()))     # few samples are of zeros
            assert 5 < 0.8 * number <= tested <= number


@pytest.fixture
def planted(monkeypatch):
    """A function: the check reads `value(session, tensor)` where this operation has its result."""
    def plant(name, value):
        measured = values.measured

        def with_a_fault(session, targets, feed_dict, *args):
            wrong = [t for op in session.graph.get_operations() if op.name == name
                     and op in graph.needed_ops(targets) for t in op.outputs]
            feed_dict = {**(feed_dict or {}), **{t: value(session, t) for t in wrong}}
            return measured(session, targets, feed_dict, *args)
        monkeypatch.setattr(values, 'measured', with_a_fault)
    return plant


def test_a_healthy_run_says_how_precise_it_was(tmp_path, capsys):
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--details', '--json', str(path)]) == 0
    out = capsys.readouterr().out
    forward, backward = (entry['values'] for entry in json.loads(path.read_text())['results'])
    assert list(forward['errors']) == ['conv%d' % i for i in range(1, 6)]
    assert len(backward['errors']) == 10 and len(backward['errors']['gradients of conv2']) == 2
    assert forward['seed'] != backward['seed'] and forward['precision'] == 'float32'
    for found in forward, backward:
        assert ('recomputed in float64: float32; the largest error is %.1e, in %s'
                % (found['error'], found['worst'])) in out


@pytest.mark.parametrize('name, value, passes, sentence', [
    ('conv2/Conv2D', in_bfloat16, 2, 'conv2 was computed to'),
    ('conv3/Conv2D', lambda session, t: 1.01 * session.run(t), 2, 'conv3 was computed to'),
    ('gradients/conv4/Conv2D_grad/Conv2DBackpropFilter', lambda session, t: numpy.roll(
        session.run(t), 1, -1), 1, 'gradients of conv4 were computed to'),
])
def test_a_planted_fault_is_invalid_with_its_layer(name, value, passes, sentence, planted, tmp_path,
                                                   capsys):
    planted(name, value)
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--json', str(path)]) == 1
    faults = [fault for entry in json.loads(path.read_text())['results']
              for fault in entry['faults']]
    assert len(faults) == passes and all(fault.startswith(sentence) for fault in faults)
    assert capsys.readouterr().out.count('INVALID: Forward') == passes


@pytest.mark.skipif(RUNTIME == 'classic', reason='TensorFlow 1.15 has no such mode')
@pytest.mark.skipif(not host.cpu_flags() & {'avx512_bf16', 'amx_bf16'},
                    reason='this CPU has no instructions for bfloat16')
def test_a_mode_of_onednn_that_os_environ_does_not_show_is_found(tmp_path):
    path = tmp_path / 'record.json'
    code = ("import ctypes, sys\n"
            "ctypes.CDLL(None).setenv(b'ONEDNN_DEFAULT_FPMATH_MODE', b'BF16', 1)\n"
            "import alexnet_benchmark\n"
            "sys.exit(alexnet_benchmark.main(sys.argv[1:]))")
    assert subprocess.run([sys.executable, '-c', code] + SHORT + ['--json', str(path)]
                          ).returncode == 1
    for entry in json.loads(path.read_text())['results']:
        assert 'bfloat16 or worse' in entry['faults'][0]
        assert entry['values']['precision'] == 'bfloat16 or worse'
