"""Each check of common/probes/checks.py finds a planted fault, and reports none without it."""
import json
import re
import types

import numpy
import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common import graph
from common.machine.device import Device
from common.probes import checks, ranks, values
from common.tf1 import tf

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu']
GPU = Device('gpu', 'a GPU', '')
CPU = Device('cpu', 'a CPU', '')


NAN, INFINITY = float('nan'), float('inf')

# A script, and flags and constants that make it small.
NETWORKS = {
    'alexnet': (alexnet_benchmark, [], {}),
    'vgg16': (vgg16_benchmark, [], {'IMAGE_SIZE': 32}),
    'inception_v3': (inception_v3_benchmark, ['--forward_only'], {}),
    'resnet_v2': (resnet_v2_benchmark, ['--depth', '50', '--forward_only'], {'IMAGE_SIZE': 64}),
}


@pytest.fixture
def run(tmp_path, capsys, monkeypatch):
    """Runs a network on the CPU; returns the exit code and the faults by pass, all of which are
    printed. (VGG-16 for small images has fewer parameters, which is no fault here.)"""
    def run_script(name, *flags):
        script, its_flags, replaced = NETWORKS[name]
        for constant, value in replaced.items():
            monkeypatch.setattr(script, constant, value)
        path = tmp_path / 'record.json'
        code = script.main(SHORT + its_flags + list(flags) + ['--json', str(path)])
        faults = {result['info_string']: result['faults']
                  for result in json.loads(path.read_text())['results']}
        printed = ['INVALID: %s: %s' % (name, fault) for name in faults for fault in faults[name]]
        out = capsys.readouterr().out
        assert out.count('INVALID: ') == len(printed) and all(line in out for line in printed)
        if name == 'vgg16':
            faults = {name: [fault for fault in faults[name] if 'parameters' not in fault]
                      for name in faults}
        return code, faults
    return run_script


@pytest.mark.parametrize('change, fault', [
    (tf.group, 'executed no convolution, the graph has 5 Conv2D + 5 Conv2DBackpropFilter'),
    (lambda *gradients: list(gradients[2:]), '4 Conv2DBackpropFilter')])     # without conv1's
def test_a_gradient_that_did_not_run_is_noticed(change, fault, run, monkeypatch):
    whole = graph.fetches
    monkeypatch.setattr(graph, 'fetches', lambda target, fetch: (
        change(*target) if isinstance(target, list) else whole(target, fetch)))
    code, faults = run('alexnet')
    text, = faults['Forward-backward']
    assert (code, faults['Forward'], fault in text) == (1, [], True)


def test_a_nan_behind_argmax_is_noticed():
    with tf.Graph().as_default(), tf.Session() as session:
        scores = tf.placeholder(tf.float32, [1, 3], name='scores')
        best = tf.argmax(scores, 1)
        assert checks.finite(session, [best], {scores: [[1, 2, 3]]}) == []
        faults = checks.finite(session, [best], {scores: [[1, float('inf'), 3]]})
    assert faults == ['not finite: scores']


def test_a_missing_parameter_is_noticed(run, monkeypatch):
    inference = alexnet_benchmark.inference

    def without_the_last_biases(*args):
        pool5, parameters = inference(*args)
        return pool5, parameters[:-1]
    monkeypatch.setattr(alexnet_benchmark, 'inference', without_the_last_biases)
    fault = 'the graph has 2469440 parameters, the network has 2469696'
    assert run('alexnet', '--forward_only') == (1, {'Forward': [fault]})


@pytest.fixture
def initial_values(monkeypatch):
    """A function: variables of whose name `of(name)` says so start with `value`."""
    def replace(of, value):
        def initializers():
            return [variable.assign(tf.fill(variable.shape, value)) if of(variable.op.name)
                    else variable.initializer for variable in tf.global_variables()]
        monkeypatch.setattr(tf, 'global_variables_initializer', initializers)
    return replace


# max_pool on a CPU turns nan into -3.4e38, ReLU on TensorFlow 2 into 0.
@pytest.mark.parametrize('name, variables, value, fault', [
    ('alexnet', '.*/weights', NAN, 'conv1, the first of'),
    ('alexnet', 'images', NAN, 'conv1'),
    ('alexnet', 'conv5/weights', NAN, 'conv5'),
    ('alexnet', 'conv5/biases', NAN, 'conv5'),
    ('alexnet', 'conv3/weights', -INFINITY, 'conv3'),
] + [pytest.param(*row, marks=pytest.mark.slow) for row in [
    ('vgg16', 'fc8/b', NAN, 'fc8'),
    ('inception_v3', 'InceptionV3/Conv2d_1a_3x3/BatchNorm/beta', NAN, 'Conv2d_1a_3x3/BatchNorm'),
    ('resnet_v2', 'resnet_v2_50/postnorm/beta', NAN, 'postnorm'),
    ('resnet_v2', 'resnet_v2_50/conv1/biases', NAN, 'conv1'),
]])
def test_a_nan_is_noticed_wherever_it_is_born(name, variables, value, fault, run,
                                              initial_values):
    initial_values(lambda variable: re.fullmatch(variables, variable), value)
    code, faults = run(name)
    assert code == 1
    for text, in faults.values():
        assert text.startswith('not finite: ' + fault)


@pytest.mark.slow
def test_random_images_of_nan_are_noticed(run, monkeypatch):
    monkeypatch.setattr(tf, 'random_uniform', lambda shape: tf.fill(shape, NAN))
    code, faults = run('resnet_v2')
    assert code == 1 and faults['Forward'][0].startswith('not finite: conv1')


@pytest.mark.parametrize('parameter, fault', [
    (0, 'not finite: gradients of conv1'), (9, 'not finite: gradients of conv5')])
def test_an_infinity_in_one_gradient_is_noticed(parameter, fault, run, monkeypatch):
    gradients = tf.gradients

    def with_an_infinity(objective, parameters):
        computed = gradients(objective, parameters)
        with tf.name_scope(computed[parameter].op.name + '_grad/'):
            computed[parameter] += INFINITY
        return computed
    monkeypatch.setattr(tf, 'gradients', with_an_infinity)
    assert run('alexnet') == (1, {'Forward': [], 'Forward-backward': [fault]})


def test_a_gradient_of_a_convolution_is_checked(run, initial_values):
    """Finite activations whose gradients are too large for float32."""
    initial_values(lambda variable: variable in ('conv4/weights', 'conv5/weights'), 1e10)
    code, faults = run('alexnet')
    assert (code, faults['Forward']) == (1, [])
    assert faults['Forward-backward'][0].startswith('not finite: gradients of conv')


def test_an_infinite_variance_is_noticed():
    """A batch norm in training makes zeros of it."""
    with tf.Graph().as_default(), tf.Session() as session:
        x, ones = tf.placeholder(tf.float32, [2, 1, 1, 1]), tf.ones([1])
        normed, _, _ = tf.nn.fused_batch_norm(x, ones, ones, name='conv1/norm')
        for value, faults in (1e10, []), (1e30, ['not finite: conv1']):
            feed_dict = {x: [[[[value]]], [[[-value]]]]}
            assert numpy.isfinite(session.run(normed, feed_dict)).all()
            assert checks.finite(session, [normed], feed_dict) == faults


@pytest.mark.parametrize('fetch', ['tensors', 'ops'])
def test_the_checks_change_nothing_that_is_timed(fetch, run, monkeypatch):
    """The traced step, which has the executor of the timed ones, runs the same operations on the
    same inputs, in both passes."""
    trace, executed = graph.trace, []

    def kept(*args):
        step_stats = trace(*args)
        labels = [re.sub(r'^\[.*?\] ', '', node.timeline_label)      # without '[cpu 0.1MB ...] '
                  for device in step_stats.dev_stats if graph.is_executor(device)
                  for node in device.node_stats]
        executed.append(sorted(labels))
        return step_stats
    monkeypatch.setattr(graph, 'trace', kept)
    assert run('alexnet', '--fetch', fetch)[0] == 0
    monkeypatch.setattr(checks, 'finite', lambda *args: [])
    monkeypatch.setattr(values, 'measured', lambda *args: {
        'seed': 0, 'precision': 'float32', 'worst': 'conv1', 'error': 0.0,
        'errors': {'conv1': [0]}})
    assert run('alexnet', '--fetch', fetch)[0] == 0
    with_forward, with_backward, without_forward, without_backward = executed
    assert len(with_forward) > 10 and len(with_backward) > len(with_forward)
    assert (with_forward, with_backward) == (without_forward, without_backward)


def traced(*nodes):
    """StepStats as a GPU run gives them, from (device, node name, operation)."""
    stats = tf.RunMetadata().step_stats
    for device in ('CPU:0', 'GPU:0'):
        one = stats.dev_stats.add(device='/job:localhost/replica:0/task:0/device:' + device)
        for where, name, op in nodes:
            if where == device:
                one.node_stats.add(node_name=name, timeline_label='%s = %s(x, y)' % (name, op))
    streams = stats.dev_stats.add(device='/device:GPU:0/stream:all')     # the tracer's copy
    for _, name, op in nodes:
        streams.node_stats.add(node_name=name, timeline_label='%s = %s(x, y)' % (name, op))
    return stats


@pytest.mark.parametrize('fallen', [[], ['conv']])
def test_an_operation_on_the_cpu_is_named(fallen):
    with tf.Graph().as_default():
        images = tf.random_uniform([1, 8, 8, 3], name='images')          # its shape is an integer
        kernel = tf.Variable(tf.zeros([3, 3, 3, 4]), name='kernel')
        conv = tf.nn.conv2d(images, kernel, 1, 'SAME', name='conv')
    stats = traced(('CPU:0', 'images/shape', 'Const'), ('GPU:0', 'kernel', 'VariableV2'),
                   ('CPU:0' if fallen else 'GPU:0', 'conv', 'Conv2D'))
    assert checks.executed_convolutions(stats) == {'Conv2D': 1}
    faults = checks.placement(stats, [conv], GPU)
    assert faults == ['1 operations fell back to the CPU: conv'] * len(fallen)
    assert checks.placement(stats, [conv], CPU) == []


class Op(types.SimpleNamespace):
    """A stand-in for an operation, its device and its outputs: the real one needs Horovod."""
    __hash__ = object.__hash__


def test_allreduces_are_counted_and_may_be_on_the_cpu():
    """gloo reduces on the CPU what was computed on a GPU."""
    stats = traced(('CPU:0', 'allreduce/kernel', 'HorovodAllreduce'), ('GPU:0', 'conv', 'Conv2D'))
    assert ranks.executed_allreduces(stats) == 1
    kernel = Op(name='allreduce/kernel', type='HorovodAllreduce', inputs=[], control_inputs=[],
                outputs=[Op(dtype=tf.float32, shape=tf.TensorShape([3, 3]))])
    kernel.graph = Op(get_operations=lambda: [kernel])
    assert ranks.graph_allreduces([kernel]) == 1
    assert checks.placement(stats, [kernel], GPU) == []
    kernel.type = 'Conv2D'
    assert checks.placement(stats, [kernel], GPU) != []


@pytest.mark.parametrize('op, counted', [
    ('Conv2D', 'Conv2D'), ('_FusedConv2D', 'Conv2D'), ('_MklNativeFusedConv2D', 'Conv2D'),
    ('_MklConv2D', 'Conv2D'), ('Conv2DBackpropInput', 'Conv2DBackpropInput'),
    ('_MklNativeConv2DBackpropFilterWithBias', 'Conv2DBackpropFilter')])
def test_fused_convolutions_count(op, counted):
    assert checks.executed_convolutions(traced(('GPU:0', 'conv', op))) == {counted: 1}


def test_a_rate_beyond_the_hardware_is_refused():
    """VGG-16 is known to reach 117 % of a Titan X by Winograd, which a 1x1 convolution cannot."""
    with tf.Graph().as_default():
        images = tf.zeros([32, 56, 56, 64])
        three = tf.nn.conv2d(images, tf.zeros([3, 3, 64, 64]), [1, 1, 1, 1], 'SAME').op
        strided = tf.nn.conv2d(images, tf.zeros([3, 3, 64, 64]), [1, 2, 2, 1], 'SAME').op
        one = tf.nn.conv2d(images, tf.zeros([1, 1, 64, 64]), [1, 1, 1, 1], 'SAME').op
    peak = 11.0e12                                       # a Titan X
    for op, most in [(three, 4.0), (strided, 1.0), (one, 1.0)]:
        seconds = graph.flops(op) / peak              # at 100 % of the peak
        assert checks.rate([op], seconds / (0.99 * most), peak) == []
        faults = checks.rate([op], seconds / (1.01 * most), peak)
        assert len(faults) == 1 and 'it cannot have run in' in faults[0]
        assert checks.rate([op], 1e-9, None) == []     # an unknown device is not judged
