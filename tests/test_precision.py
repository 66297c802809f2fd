"""--precision and --xla: refused where there is no such thing, not timed with wrong results."""
import argparse
import contextlib
import glob
import json
import os
import signal
import subprocess
import sys
import time

import jsonschema
import numpy
import pytest

import alexnet_benchmark
from common import record, report, stats, tf1
from common.machine import device
from common.probes import precision as speedup
from common.tf1 import tf

classic = pytest.mark.skipif(tf1.RUNTIME != 'classic', reason='of TensorFlow 1.15')
modern = pytest.mark.skipif(tf1.RUNTIME != 'modern', reason='of TensorFlow 2')
bfloat16 = pytest.mark.skipif(
    tf1.RUNTIME != 'modern' or not speedup._cpu_flags() & speedup.BFLOAT16_FLAGS,
    reason='needs the modern runtime and a CPU with instructions for bfloat16')
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '1']


def flags(precision='float32', xla=False, capability=None):
    """Parsed flags on a GPU of that compute capability, or on a CPU."""
    gpu = capability and device.Gpu('GPU X', '0000:3B:00.0', capability, 80, 2 ** 34)
    return argparse.Namespace(precision=precision, xla=xla, intra_op_threads=0, inter_op_threads=0,
                              device=device.Device('gpu' if gpu else 'cpu', 'X', 'X', gpu))


@pytest.mark.parametrize('precision, capability, why', [
    ('float32', None, None),
    ('float32', (3, 5), None),
    ('tf32', None, 'TF32 is a format of NVIDIA GPUs, and a CPU is timed'),
    pytest.param('tf32', (7, 5), 'has no TF32; use the modern runtime', marks=classic),
    pytest.param('tf32', (7, 5), 'has compute capability 7.5, and it needs 8.0', marks=modern),
    pytest.param('tf32', (8, 0), None, marks=modern),
    ('mixed', (6, 1), 'GPU X has compute capability 6.1, and it needs 7.0 or later'),
    ('mixed', (7, 0), None),
    pytest.param('mixed', None, 'has it for GPUs alone', marks=classic),
    pytest.param('mixed', None, None, marks=bfloat16),
])
def test_what_is_not_to_be_had_is_refused_with_the_reason(precision, capability, why):
    problem = speedup.problem(flags(precision, capability=capability))
    assert (why in problem) if why else problem is None


@modern
def test_mixed_on_a_cpu_without_bfloat16_is_refused(monkeypatch):
    monkeypatch.setattr(speedup, '_cpu_flags', lambda: {'avx2'})
    problem = speedup.problem(flags('mixed'))
    assert 'no instructions for bfloat16 (amx_bf16 or avx512_bf16' in problem


def test_a_refusal_is_exit_code_3(capsys):
    assert alexnet_benchmark.main(SHORT + ['--precision', 'tf32']) == 3
    assert 'TF32 is a format of NVIDIA GPUs' in capsys.readouterr().err


def test_what_is_asked_of_the_session():
    args = flags('mixed', xla=True, capability=(7, 0))
    args.intra_op_threads, args.inter_op_threads = 3, 2
    config = speedup.configuration(args)
    assert config.graph_options.rewrite_options.auto_mixed_precision == 1
    assert config.graph_options.optimizer_options.global_jit_level == tf.OptimizerOptions.ON_1
    assert config.intra_op_parallelism_threads == 3
    assert config.inter_op_parallelism_threads == 2
    plain = speedup.configuration(flags(capability=(7, 0)))
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
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found = speedup.difference(Planted(session, change), convolutions, None, flags(xla=True))
    assert found.allowed == 1e-3
    faults = speedup.disagreement('Forward', found)
    assert len(faults) == (not same)
    json.dumps(found._asdict(), allow_nan=False)


def test_where_roundings_grow_more_is_allowed():
    """The difference of two large sums: one rounding of the variables is a large part of it."""
    with tf.Graph().as_default(), tf.Session() as session:
        variable = tf.Variable(numpy.linspace(1, 2, 1000).astype(numpy.float32))
        result = tf.reduce_sum(variable) - 1499.9
        session.run(tf.global_variables_initializer())
        found = speedup.difference(session, [result], None, flags('mixed', capability=(7, 0)))
    assert found.relative_l2 == 0
    assert found.allowed > 0.02
    assert speedup.doubts(found) == []


def test_where_roundings_change_all_it_is_said():
    assert speedup.doubts(None) == speedup.doubts(speedup.Difference(0.9, 0.99)) == []
    warning, = speedup.doubts(speedup.Difference(0.9, 2.0))
    assert "moves float32's own by 50 % (limit: 25 %)" in warning.text


def test_nothing_is_timed_beside_wrong_results(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(speedup, 'problem', lambda args: None)
    monkeypatch.setattr(speedup, 'plain_run', lambda script, words: (0, []))
    monkeypatch.setattr(speedup, 'difference', lambda *_: speedup.Difference(0.5, 0.02))
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--precision', 'tf32', '--json', str(path)]) == 1
    written = json.loads(path.read_text())
    assert (written['status'], written['results']) == ('refused', [])
    assert "the results differ from float32's by 0.5" in written['faults'][0]
    assert 'INVALID: Forward: the results differ' in capsys.readouterr().err


SCRIPT = """
import json, signal, sys, time
signal.signal(signal.SIGTERM, signal.default_int_handler)          # as the scripts
words = sys.argv[1:]
open({seen!r}, 'w').write(json.dumps(words))
try:
    time.sleep({sleep_s})
except KeyboardInterrupt:
    open({seen!r}, 'w').write('interrupted')
    sys.exit(130)
json.dump({{'results': ['a result']}}, open(words[words.index('--json') + 1], 'w'))
sys.exit({code})
"""


PARENT = """
import sys
from common.probes import precision as speedup
try:
    speedup.plain_run(sys.argv[1], [])
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.fixture
def script(tmp_path):
    """A function that writes a script that notes its flags and leaves a record; returns the paths
    of the script and of the note."""
    def write(sleep_s=0, code=0):
        path, seen = tmp_path / 'script.py', tmp_path / 'seen'
        path.write_text(SCRIPT.format(seen=str(seen), sleep_s=sleep_s, code=code))
        return str(path), seen
    return write


def test_the_plain_run_has_the_other_flags(script):
    path, seen = script()
    words = ['--no_lrn', '--precision', 'mixed', '--xla', '--batch-size=4', '--profile', '--trace',
             'trace.json', '--json=mine.json', '--precision=tf32', '--layers']
    assert speedup.plain_run(path, words) == (0, ['a result'])
    left = json.loads(seen.read_text())
    assert left[:-2] == ['--no_lrn', '--batch-size=4']
    assert left[-2] == '--json' and not os.path.exists(left[-1])


def test_the_exit_code_of_the_plain_run_is_passed_on(script):
    assert speedup.plain_run(script(code=3)[0], []) == (3, [])


def started(path, seen):
    """Starts PARENT and returns its process once the script at `path` has left its note."""
    parent = subprocess.Popen([sys.executable, '-c', PARENT, path], cwd=ROOT)
    deadline_s = time.monotonic() + 60
    while not seen.exists() and time.monotonic() < deadline_s:
        time.sleep(0.1)
    return parent


def test_ctrl_c_ends_the_plain_run(script):
    path, seen = script(sleep_s=60)
    parent = started(path, seen)
    time.sleep(0.5)
    parent.send_signal(signal.SIGINT)
    assert parent.wait(60) == 130
    assert seen.read_text() == 'interrupted'


def test_the_rate_beside_the_plain_run():
    plain = {'info_string': 'Forward', 'mean_s': 0.2, 'statistics': {'ci95_s': [0.19, 0.21]}}
    entry = dict(plain, precision='mixed_float16', xla=True, mean_s=0.1,
                 statistics={'ci95_s': [0.099, 0.101]},
                 difference={'relative_l2': 0.003, 'allowed': 0.02})
    assert report.speedup(entry, [plain]) == (
        'Forward, mixed_float16, XLA: 2.000 times (95 % interval 1.898 to 2.102) the rate of '
        'float32; the results differ by 3.0e-03 (relative L2 norm, allowed: 2.0e-02)')
    entry['statistics'] = {'ci95_s': None}
    assert 'XLA: 2.000 times the rate' in report.speedup(entry, [plain])


def test_the_interval_of_a_ratio_covers_it():
    """95 % of the intervals of two noisy means have the true ratio in them."""
    random, hits = numpy.random.RandomState(0), 0
    for _ in range(400):
        means = [(value, value - 1.96 * sd, value + 1.96 * sd) for mean, sd in ((1, .02), (3, .1))
                 for value in [random.normal(mean, sd)]]
        value, low, high = stats.ratio(*means)
        assert low < value < high
        hits += low <= 3 <= high
    assert 0.92 < hits / 400 < 0.98


XLA = """
import sys
from common.probes import precision as speedup
from common.probes import checks
from common.tf1 import tf
from tests import test_precision
with tf.Graph().as_default():
    net, gradients = test_precision.convolutions_and_gradients()
    args = test_precision.flags(xla=True)
    with speedup.xla_dump(args) as dump, tf.Session(config=speedup.configuration(args)) as session:
        session.run(tf.global_variables_initializer())
        for target in net, gradients:
            for _ in range(speedup.XLA_RUNS):
                session.run(target)
            step_stats = checks.trace(session, target)
            clustered = speedup.clustered_convolutions(step_stats, dump)
            print(clustered)
for number in clustered, 4, 0:
    print(checks.executed(step_stats, gradients, number))
"""


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
    args = flags('mixed', capability=(7, 0))
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        assert speedup.half_precision(session, convolutions, None, args) == [
            'no convolution ran in float16: Grappler left the graph in float32']
        assert speedup.half_precision(session, convolutions, None, flags()) == []


@bfloat16
def test_a_mixed_run_stands_beside_the_plain_one(tmp_path, capfd):
    path = tmp_path / 'record.json'
    assert alexnet_benchmark.main(SHORT + ['--precision', 'mixed', '--json', str(path)]) == 0
    written, out = json.loads(path.read_text()), capfd.readouterr().out
    with open(os.path.join(os.path.dirname(record.__file__), 'record.schema.json')) as file:
        jsonschema.validate(written, json.load(file))
    assert [(one['info_string'], one['precision']) for one in written['results']] == [
        (name, precision) for precision in ('float32', 'mixed_bfloat16')
        for name in ('Forward', 'Forward-backward')]
    for one in written['results'][2:]:
        assert 1e-4 < one['difference']['relative_l2'] < one['difference']['allowed'] < 0.2
        assert one['faults'] == [] and one['share_of_peak'] is None
    assert '*** The same in mixed_bfloat16 ***' in out
    assert out.count('times the rate of float32; the results differ by') == 2
    assert 'plain run' in written['startup_s']


def test_a_killed_script_takes_the_plain_run_with_it(script):
    path, seen = script(sleep_s=60)
    parent = started(path, seen)
    parent.kill()
    parent.wait(60)
    deadline_s = time.monotonic() + 60
    while any(path in command for command in commands()):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def commands():
    """The command lines of all processes."""
    for name in glob.glob('/proc/[0-9]*/cmdline'):
        with contextlib.suppress(OSError), open(name, errors='replace') as file:
            yield file.read()
