"""--precision and --xla: refused where not available, not timed if the results are wrong."""
import argparse
import json
import os
import subprocess
import sys

import numpy
import pytest

import alexnet_benchmark
from common import report, tf1
from common.machine import device, host, session
from common.probes import precision
from common.tf1 import tf
from common.workload import Pass, Run, Workload
from suite.records import validator

bfloat16 = pytest.mark.skipif(
    tf1.RUNTIME != 'modern' or not host.cpu_flags() & precision.BFLOAT16_FLAGS,
    reason='needs the modern runtime and a CPU with instructions for bfloat16')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '1']


def run_of(requested='float32', xla=False, capability=None, **options):
    """A run of AlexNet on a GPU of that compute capability, or on a CPU."""
    gpu = capability and device.Gpu('GPU X', '0000:3B:00.0', capability, 80, 2 ** 34)
    args = argparse.Namespace(**dict({'precision': requested, 'xla': xla, 'intra_op_threads': 0,
                                      'inter_op_threads': 0}, **options))
    return Run(args, device.Device('gpu' if gpu else 'cpu', 'X', 'X', gpu), None, None,
               Workload('alexnet', 'lrn', [], []))


@pytest.mark.parametrize('requested, capability, release, flags, why', [
    ('float32', None,   (1, 15), set(),           None),
    ('float32', (3, 5), (2, 21), set(),           None),
    ('tf32',    None,   (2, 21), set(),           'needs an NVIDIA GPU; this run uses the CPU'),
    ('tf32',    (8, 0), (1, 15), set(),           'has no TF32; use the modern runtime'),
    ('tf32',    (7, 5), (2, 21), set(),           'has compute capability 7.5, and it needs 8.0'),
    ('tf32',    (8, 0), (2, 21), set(),           None),
    ('mixed',   (6, 1), (1, 15), set(),           'has compute capability 6.1, and it needs 7.0'),
    ('mixed',   (7, 0), (1, 13), set(),           'has no mixed precision; 1.14 and later'),
    ('mixed',   (7, 0), (1, 14), set(),           None),
    ('mixed',   (7, 0), (2, 9),  set(),           None),
    ('mixed',   None,   (2, 9),  {'avx512_bf16'}, 'supports it on GPUs only; on a CPU use the m'),
    ('mixed',   None,   (2, 10), {'avx2'},        'no instructions for bfloat16 (amx_bf16 or av'),
    ('mixed',   None,   (2, 10), {'avx512_bf16'}, None),
])
def test_a_precision_that_is_not_available_is_refused_with_the_reason(
        requested, capability, release, flags, why, monkeypatch):
    monkeypatch.setattr(tf1, 'RELEASE', release)
    monkeypatch.setattr(tf1, 'RUNTIME', 'classic' if release[0] == 1 else 'modern')
    monkeypatch.setattr(host, 'cpu_flags', lambda: flags)
    problem = precision.problem(requested, run_of(capability=capability).device)
    assert (why in problem) if why else problem is None


def test_a_refusal_is_exit_code_3(capsys):
    assert alexnet_benchmark.main(SHORT + ['--precision', 'tf32']) == 3
    assert 'tf32 needs an NVIDIA GPU' in capsys.readouterr().err


def test_the_configuration_of_the_session():
    config = session.configuration(run_of('mixed', xla=True, capability=(7, 0),
                                          intra_op_threads=3, inter_op_threads=2))
    assert config.graph_options.rewrite_options.auto_mixed_precision == 1
    assert config.graph_options.optimizer_options.global_jit_level == tf.OptimizerOptions.ON_1
    assert config.intra_op_parallelism_threads == 3
    assert config.inter_op_parallelism_threads == 2
    plain = session.configuration(run_of(capability=(7, 0)))
    assert plain.graph_options == tf.ConfigProto().graph_options


def convolutions_and_gradients():
    """Two convolutions of random images; returns their output, and the gradients with respect to
    the kernels."""
    tf.set_random_seed(1)
    kernels = [tf.Variable(tf.random_normal(shape)) for shape in ([3, 3, 3, 8], [3, 3, 8, 8])]
    net = tf.random_uniform([2, 20, 20, 3])
    for kernel in kernels:
        biases = tf.Variable(tf.constant(0.1, shape=[8]))
        net = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(net, kernel, [1, 1, 1, 1], 'SAME'), biases))
    return net, tf.gradients(tf.nn.l2_loss(net), kernels)


@pytest.fixture
def convolutions():
    with tf.Graph().as_default():
        yield convolutions_and_gradients()[1]


class Planted:
    """A session whose results are changed."""

    def __init__(self, session, change):
        self._session, self._change, self.graph = session, change, session.graph

    def run(self, fetches, feed_dict=None):
        values = self._session.run(fetches, feed_dict)
        return [self._change(value) for value in values] if feed_dict else values


@pytest.mark.parametrize('change, same', [
    (lambda value: value, True),
    (lambda value: value * (1 + 1e-5), True),
    (lambda value: value * 1.01, False),
    (lambda value: numpy.zeros_like(value), False),
    (lambda value: value * numpy.float32(numpy.nan), False),
    (lambda value: value + numpy.float32(numpy.inf), False),
])
def test_other_results_than_float32s_are_not_timed(convolutions, change, same):
    with tf.Session() as opened:
        opened.run(tf.global_variables_initializer())
        measured = precision.difference(Planted(opened, change), Pass('Forward', convolutions),
                                        run_of(xla=True))
    assert measured['allowed'] == 1e-3
    assert (measured['relative_l2'] <= measured['allowed']) == same
    json.dumps(measured, allow_nan=False)


def test_a_network_that_amplifies_roundings_is_allowed_more():
    """The difference of two large sums: one rounding of the variables is a large part of it."""
    with tf.Graph().as_default(), tf.Session() as opened:
        variable = tf.Variable(numpy.linspace(1, 2, 1000).astype(numpy.float32))
        result = tf.reduce_sum(variable) - 1499.9
        opened.run(tf.global_variables_initializer())
        measured = precision.difference(opened, Pass('Forward', result),
                                        run_of('mixed', capability=(7, 0)))
    assert measured['relative_l2'] == 0
    assert measured['allowed'] > 0.02
    assert precision.cautions(measured) == []


def test_a_comparison_that_proves_nothing_is_a_caution():
    assert precision.cautions(None) == []
    assert precision.cautions({'relative_l2': 0.9, 'allowed': 0.99}) == []
    caution, = precision.cautions({'relative_l2': 0.9, 'allowed': 2.0})
    assert "changes float32's own results by 50 % (limit: 25 %)" in caution.text


def test_nothing_is_timed_beside_wrong_results(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(precision, 'problem', lambda requested, on: None)
    monkeypatch.setattr(precision, 'baseline', lambda run: [])
    monkeypatch.setattr(precision, 'difference', lambda *_: {
        'relative_l2': 0.5, 'allowed': 0.02})
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--precision', 'tf32', '--json', str(path)]) == 1
    written = json.loads(path.read_text())
    assert (written['status'], written['results']) == ('refused', [])
    assert "the results differ from float32's by 0.5" in written['faults'][0]
    assert 'INVALID: Forward: the results differ' in capsys.readouterr().err


SCRIPT = """
import json, sys
words = sys.argv[1:]
open('seen', 'w').write(json.dumps(words))
json.dump({{'results': ['a result']}}, open(words[words.index('--json') + 1], 'w'))
sys.exit({code})
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """A function that puts a script in the place of AlexNet's, which notes its flags in the file
    'seen', leaves a record, and ends with the exit code `code`."""
    monkeypatch.setattr(precision, 'ROOT', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return lambda code: (tmp_path / 'alexnet_benchmark.py').write_text(SCRIPT.format(code=code))


def test_the_baseline_has_the_other_flags(script, tmp_path):
    script(code=0)
    run = run_of('mixed', xla=True, lrn=False, fc=False, batch_size=4, forward_only=True,
                 profile=True, layers=True, trace='trace.json', json='mine.json')
    assert precision.baseline(run) == ['a result']
    words = json.loads((tmp_path / 'seen').read_text())
    assert words[:-2] == ['--precision', 'float32', '--intra_op_threads', '0',
                          '--inter_op_threads', '0', '--no_lrn', '--no_fc', '--batch_size', '4',
                          '--forward_only']
    assert words[-2] == '--json' and not os.path.exists(words[-1])


def test_the_exit_code_of_the_baseline_is_passed_on(script, monkeypatch, capsys):
    script(code=3)
    monkeypatch.setattr(precision, 'problem', lambda requested, on: None)
    assert alexnet_benchmark.main(SHORT + ['--precision', 'tf32']) == 3
    assert capsys.readouterr().err == 'The float32 baseline run failed.\n'


def test_ctrl_c_ends_the_baseline(monkeypatch):
    """The baseline is told, and has ended before the error of Ctrl-C goes on."""
    calls = []

    def wait():
        calls.append('wait')
        if len(calls) == 1:
            raise KeyboardInterrupt
    child = argparse.Namespace(wait=wait, terminate=lambda: calls.append('terminate'))
    monkeypatch.setattr(precision.children, 'start', lambda words: child)
    with pytest.raises(KeyboardInterrupt):
        precision.baseline(run_of())
    assert calls == ['wait', 'terminate', 'wait']


def test_the_rate_beside_the_baseline():
    plain = {'info_string': 'Forward', 'mean_s': 0.2,
             'statistics': {'mean_s': 0.2, 'ci95_s': [0.19, 0.21]}}
    entry = dict(plain, precision='mixed_float16', xla=True, mean_s=0.1,
                 statistics={'mean_s': 0.1, 'ci95_s': [0.099, 0.101]},
                 difference={'relative_l2': 0.003, 'allowed': 0.02})
    assert report.speedup(entry, [plain]) == (
        'Forward, mixed_float16, XLA: 2.000 times (95 % interval 1.898 to 2.102) the rate of '
        'float32; the results differ by 3.0e-03 (relative L2 norm, allowed: 2.0e-02)')
    entry['statistics'] = {'ci95_s': None}
    assert 'XLA: 2.000 times the rate' in report.speedup(entry, [plain])


XLA = """
from common import graph
from common.machine import session
from common.probes import checks, precision, xla
from common.tf1 import tf
from tests import test_precision
with tf.Graph().as_default():
    net, gradients = test_precision.convolutions_and_gradients()
    run = test_precision.run_of(xla=True)
    with xla.dumping(True), tf.Session(config=session.configuration(run)) as opened:
        opened.run(tf.global_variables_initializer())
        for target in net, gradients:
            for _ in range(precision.XLA_RUNS):
                opened.run(target)
            step_stats = graph.trace(opened, target)
            clustered = xla.clustered_convolutions(step_stats)
            print(clustered)
for number in clustered, 4, 0:
    print(checks.executed(checks.convolutions(step_stats, gradients, number)))
"""


@pytest.mark.slow
def test_xla_ran_the_convolutions_of_the_graph():
    """In a process of its own, for XLA reads its flags once: 2 forward; 2 filters, 1 input. In the
    first, TensorFlow would fuse convolution, bias and ReLU into what XLA cannot compile."""
    done = subprocess.run([sys.executable, '-c', XLA], cwd=ROOT, stdout=subprocess.PIPE, text=True,
                          check=True)
    forward, counted, valid, one_less, none = done.stdout.splitlines()
    assert (forward, counted, valid) == ('2', '5', '[]')
    assert one_less.startswith("['the step executed 4 in clusters, the graph has 2 Conv2D + 2 Conv")
    assert none == "['XLA compiled no convolution: what was timed is the graph without it']"


def test_a_graph_that_was_left_in_float32_is_not_mixed(convolutions):
    mixed = run_of('mixed', capability=(7, 0))
    with tf.Session() as opened:
        opened.run(tf.global_variables_initializer())
        assert precision.half_precision(mixed, opened, convolutions, None) == [
            'no convolution ran in float16: Grappler left the graph in float32']
        assert precision.half_precision(run_of(), opened, convolutions, None) == []


@bfloat16
def test_a_mixed_run_stands_beside_its_baseline(tmp_path, capfd):
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--precision', 'mixed', '--json', str(path)]) == 0
    written, out = json.loads(path.read_text()), capfd.readouterr().out
    validator('record', strict=True)(written)
    assert [(entry['info_string'], entry['precision']) for entry in written['results']] == [
        (name, kind) for kind in ('float32', 'mixed_bfloat16')
        for name in ('Forward', 'Forward-backward')]
    for entry in written['results'][2:]:
        assert 1e-4 < entry['difference']['relative_l2'] < entry['difference']['allowed'] < 0.2
        assert entry['faults'] == [] and entry['share_of_peak'] is None
    assert '*** The same in mixed_bfloat16 ***' in out
    assert out.count('times the rate of float32; the results differ by') == 2
    assert 'baseline' in written['startup_s']
