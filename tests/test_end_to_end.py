"""main([...]) of every script, at batch size 1: its record and its output."""
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time

import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common import cli, networks, report, tf1
from suite.records import schema, validator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '1', '--device', 'cpu']
SCRIPTS = [alexnet_benchmark, vgg16_benchmark, inception_v3_benchmark, resnet_v2_benchmark]

# Convolutions of a forward step, and of a forward-backward step (None: it is left out): each
# convolution runs once, its filter's gradient once, its input's gradient once, but for the first
# layer. The layers are those of figures 6-5 and 6-6, table 6-1 and figure 6-17; Inception's
# backward step has the auxiliary classifier's three too; a ResNet has a shortcut convolution in the
# first unit of each block. The other variants differ in their tables alone, which the tests of each
# network hold; VGG's backward step, of 138 million weights, is counted in the graph alone
# (test_graph.py).
RUNS = [
    (alexnet_benchmark, [], 'lrn', 5, 5),
    (alexnet_benchmark, ['--no_lrn', '--fetch', 'ops'], 'no_lrn', 5, 5),
    (vgg16_benchmark, ['--forward_only'], 'D', 13, None),
    (inception_v3_benchmark, [], 'aux', 95, 98),
    (resnet_v2_benchmark, [], '152', 156, 156),
]
SUMMARY = re.compile(r'^(Forward|Forward-backward): ([\d.]+) ms / batch, ([\d.]+) ms / image, '
                     r'([\d.]+) images / s')


@pytest.mark.parametrize('script, flags, variant, forward, both', [
    pytest.param(*run, marks=[] if run[2] in ('lrn', 'no_lrn') else pytest.mark.slow,
                 id=' '.join([run[0].__name__[:-len('_benchmark')]] + run[1])) for run in RUNS])
def test_a_script_runs_what_it_times(script, flags, variant, forward, both, tmp_path, capsys,
                                     monkeypatch):
    if script is resnet_v2_benchmark:                    # it pools globally: any size will do
        monkeypatch.setattr(script, 'IMAGE_SIZE', 64)
    expected = {'Forward': {'Conv2D': forward}}
    if both:
        expected['Forward-backward'] = {'Conv2D': both, 'Conv2DBackpropFilter': both,
                                        'Conv2DBackpropInput': both - 1}
    passes = list(expected)
    path = tmp_path / 'record.json'
    assert script.main(SHORT + flags + ['--json', str(path), '--details']) == 0

    record = json.loads(path.read_text())
    validator('record', strict=True)(record)
    for result in record['results']:                     # what an interrupted pass lacks is there
        assert set(result) == set(schema('record')['properties']['results']['items']['properties'])
    assert (record['error'], record['faults']) == (None, [])
    assert record['schema'] == 1
    assert record['benchmark'] == script.__name__[:-len('_benchmark')]
    assert record['variant'] == variant
    assert record['status'] == 'finished'
    assert record['options']['batch_size'] == 1
    assert record['environment']['device']['kind'] == 'cpu'
    assert record['environment']['runtime'] == tf1.RUNTIME
    assert set(record['network']) >= {'parameters', 'flops', 'layers'}
    assert [result['info_string'] for result in record['results']] == passes
    for result in record['results']:
        assert len(result['samples_s']) == 2
        assert len(result['burn_in_s']) == 1
        assert result['mean_s'] == pytest.approx(sum(result['samples_s']) / 2)
        assert result['fetch'] == ('ops' if 'ops' in flags else 'tensors')
        assert result['batch_size'] == 1
        assert result['faults'] == []
    assert [result['convolutions']['executed'] for result in record['results']] \
        == list(expected.values())

    lines = capsys.readouterr().out.splitlines()
    assert 'CPU figures' in lines[1]
    assert sum(' across 2 steps, ' in line for line in lines) == len(passes)
    for line, result in zip(filter(SUMMARY.match, lines), record['results']):
        name, *numbers = SUMMARY.match(line).groups()
        assert name == result['info_string']
        assert [float(number) for number in numbers] == pytest.approx(
            [1e3 * result['mean_s'], 1e3 * result['mean_s'], 1 / result['mean_s']], rel=0.01,
            abs=0.05)
    table = lines.index('') + 1
    assert lines[table] == '%s, batch 1, float32%s, quick (2 steps) - TensorFlow %s, %s' % (
        networks.title(record['benchmark'], variant), ', nothing fetched' * ('ops' in flags),
        tf1.VERSION, record['environment']['device']['name'])
    assert [line.split()[0] for line in lines[table + 2:table + 2 + len(passes)]] == passes
    assert lines[-1] == '  Record: %s    Next: %s' % (path, report.command('compare', str(path)))


def test_the_defaults_are_the_chapters():
    args = cli.argument_parser('').parse_args([])
    assert (args.batch_size, args.num_batches, args.num_steps_burn_in) == (32, 100, 10)
    assert (args.fetch, args.device, args.forward_only, args.json) \
        == ('tensors', 'auto', False, None)


@pytest.mark.parametrize('script', SCRIPTS)
@pytest.mark.parametrize('flags', [
    ['--batch_size', '0'], ['--batch-size', 'many'], ['--num_batches', '0'],
    ['--num_batches', '1.5'], ['--num_steps_burn_in', '-1'], ['--batch_size', str(2 ** 31)],
    ['--fetch', 'nothing'], ['--device', 'tpu'], ['--depth', '34'], ['--configuration', 'F'],
    ['--lrn=maybe'], ['--unknown'], ['--json', '/no/such/folder/record.json'], ['--json', '.']])
def test_bad_flags_exit_with_2_and_are_named(script, flags, capsys):
    assert script.main(flags) == 2
    captured = capsys.readouterr()
    assert flags[0].partition('=')[0] in captured.err
    assert captured.out == ''                            # nothing was built, nothing timed


def test_help_exits_with_0(capsys):
    assert alexnet_benchmark.main(['--help']) == 0
    assert '--no_lrn' in capsys.readouterr().out


def start(*arguments, **environment):
    return subprocess.Popen([sys.executable] + list(arguments), cwd=ROOT,
                            env=dict(os.environ, **environment), text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_two_signals_exit_with_130_and_keep_the_finished_steps(tmp_path):
    path = tmp_path / 'record.json'
    process = start('alexnet_benchmark.py', '--batch_size', '1', '--num_batches', '1000000',
                    '--device', 'cpu', '--json', str(path))
    for line in process.stdout:
        if 'step 10,' in line:
            break
    process.send_signal(signal.SIGTERM)
    time.sleep(0.005)                                    # as systemd, scancel and terminals do
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (130, 'Interrupted.\n')
    record = json.loads(path.read_text())
    assert record['status'] == 'interrupted'
    assert record['results'][0]['info_string'] == 'Forward'
    assert len(record['results'][0]['samples_s']) > 10


@pytest.mark.slow
def test_on_windows_a_script_runs_and_leaves_its_record(tmp_path):
    """Simulated: without the modules and functions that Windows lacks. Its console may know neither
    UTF-8 nor the name of the CPU."""
    path = tmp_path / 'record.json'
    done = subprocess.run(
        [sys.executable, os.path.join('tests', 'windows.py'), 'alexnet_benchmark.py', *SHORT,
         '--json', str(path)], cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL,
        env=dict(os.environ, PYTHONIOENCODING='ascii'))
    assert (done.returncode, b'Traceback' in done.stderr) == (0, False), done.stderr
    assert b'conv1   [1, 56, 56, 64]' in done.stdout and b'INVALID' not in done.stdout
    assert json.loads(path.read_text())['status'] == 'finished'


def test_a_second_signal_is_ignored_and_a_third_ends_the_process():
    """The second comes while the first is handled."""
    code = """if True:
        import os, signal, time
        from common import stop
        stop.on_signals()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)
        except KeyboardInterrupt:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.1)
            print('saved', flush=True)
            %s
            time.sleep(0.1)
            print('still here', flush=True)"""
    for third, out, exit_code in [('', 'saved\nstill here\n', 0),
                                  ('os.kill(os.getpid(), signal.SIGTERM)', 'saved\n', 130)]:
        done = subprocess.run([sys.executable, '-c', code % third], cwd=ROOT, capture_output=True,
                              text=True)
        assert (done.stdout, done.returncode, done.stderr) == (out, exit_code, '')


def test_a_limit_of_threads_is_a_sentence():
    """Of memory: that of processes does not hold for root. Each thread reserves a stack."""
    def limit():
        for kind in resource.RLIMIT_STACK, resource.RLIMIT_AS:
            resource.setrlimit(kind, (2 ** 30, 2 ** 30))

    done = subprocess.run([sys.executable, 'alexnet_benchmark.py', *SHORT], cwd=ROOT, text=True,
                          preexec_fn=limit, capture_output=True)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr.startswith('This process can start 0 of the ')
    assert 'ulimit -u; docker run --pids-limit' in done.stderr and done.stderr.count('\n') == 1


@pytest.mark.parametrize('signal_', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_programs_counts_as_ctrl_c(signal_, capsys):
    assert cli.exit_code(lambda: os.kill(os.getpid(), signal_), 1) == 130
    assert capsys.readouterr().err == 'Interrupted.\n'


def test_ctrl_c_after_the_run_is_no_traceback(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt
    monkeypatch.setattr(cli, 'exit_code', interrupted)
    assert alexnet_benchmark.main(SHORT) == 130
    assert capsys.readouterr().err == 'Interrupted.\n'


@pytest.mark.slow
def test_the_screen_shows_the_benchmark_and_no_noise():
    """Of slim and Keras either; AlexNet's is looked at in test_surroundings.py."""
    process = start('resnet_v2_benchmark.py', '--depth', '50', '--batch_size', '1', '--num_batches',
                    '1', '--num_steps_burn_in', '0', '--device', 'cpu', '--forward_only')
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0
    assert err == ''
    assert 'WARNING' not in out
    assert out.splitlines()[0].startswith('Device: ')


@pytest.mark.slow
def test_a_reader_that_leaves_is_no_traceback():
    process = start('alexnet_benchmark.py', '--batch_size', '1', '--num_batches', '1000000',
                    '--device', 'cpu')
    process.stdout.readline()
    process.stdout.close()
    deadline = time.time() + 60
    while process.poll() is None and time.time() < deadline:
        time.sleep(0.1)
    assert process.returncode not in (None, 0)
    assert process.stderr.read() == ''
    process.stderr.close()
