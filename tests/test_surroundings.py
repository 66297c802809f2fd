"""What a run must cope with: links to the scripts, an ASCII terminal, no temporary folder, little
memory."""
import json
import os
import re
import subprocess
import sys

import pytest

import alexnet_benchmark

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu']
SCRIPTS = ['alexnet_benchmark.py', 'vgg16_benchmark.py', 'inception_v3_benchmark.py',
           'resnet_v2_benchmark.py']


def run(folder, *words, customise='', **environment):
    """Runs Python with these words in a folder. Each process first runs the lines `customise`, in
    the place of sitecustomize.py."""
    (folder / 'sitecustomize.py').write_text(customise)
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(folder), ROOT]), **environment)
    return subprocess.run((sys.executable,) + words, cwd=str(folder), env=environment,
                          encoding='utf-8', capture_output=True)


# Links

@pytest.mark.parametrize('script', SCRIPTS)
def test_a_script_finds_its_modules_through_a_link_to_it(script, tmp_path):
    (tmp_path / 'first.py').symlink_to(os.path.join(ROOT, script))
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'elsewhere' / 'x.py').symlink_to('../first.py')
    (tmp_path / 'tensorflow.py').write_text('raise ImportError("here")')
    done = subprocess.run([sys.executable, 'elsewhere/x.py', '--help'], cwd=str(tmp_path),
                          env=dict(os.environ, PYTHONPATH=str(tmp_path)), text=True,
                          capture_output=True)
    assert done.returncode == 3
    assert 'TensorFlow cannot be used: importing it failed with ImportError: here.' in done.stderr


@pytest.mark.slow
def test_a_run_through_a_link_is_the_same_run(tmp_path):
    (tmp_path / 'x.py').symlink_to(os.path.join(ROOT, 'alexnet_benchmark.py'))
    done = subprocess.run([sys.executable, str(tmp_path / 'x.py'), *SHORT, '--json', 'x.json'],
                          cwd=str(tmp_path), capture_output=True)
    assert (done.returncode, done.stderr) == (0, b'')
    assert done.stdout.startswith(b'Device: ') and b'WARNING' not in done.stdout
    record = json.loads((tmp_path / 'x.json').read_text())
    assert (record['benchmark'], record['status']) == ('alexnet', 'finished')


# An ASCII terminal

NAMES = """import platform
from common.machine import host
host.cpu_name = lambda root='/': '\\u9f99\\u82af 3A6000'
platform.node = lambda: 'h\\u00f6st'
"""
ASCII = {'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C', 'PYTHONCOERCECLOCALE': '0', 'PYTHONUTF8': '0'}


@pytest.mark.slow
def test_an_ascii_terminal_and_names_that_are_not(tmp_path):
    """Also the test of suite run with a real script."""
    def suite(*words):
        done = run(tmp_path, '-m', 'suite', *words, customise=NAMES, **ASCII)
        assert 'Traceback' not in done.stdout + done.stderr
        assert done.returncode == 0
        return done.stdout
    shown = '\\u9f99\\u82af 3A6000'                       # as the six characters of each escape
    assert 'Device: ' + shown in suite('run', '--only', 'alexnet', *SHORT)
    folder, = (tmp_path / 'results-local').iterdir()
    assert '_h-st_3A6000' in folder.name
    log = folder / 'alexnet-lrn-tensors-b1.log'
    assert 'Device: ' + shown in log.read_text()         # what the script printed
    assert 'Forward-backward across 2 steps' in log.read_text()
    record = json.loads(log.with_suffix('.json').read_text())
    assert (record['status'], record['variant']) == ('finished', 'lrn')
    assert record['options']['batch_size'] == 1
    environment = record['environment']
    assert (environment['host'], environment['device']['name']) == (
        'h\u00f6st', '\u9f99\u82af 3A6000')
    assert shown in suite('compare', str(folder))


@pytest.mark.slow
def test_a_closed_stdout_is_no_error(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, 'stdout', None)
    assert alexnet_benchmark.main([*SHORT, '--json', str(tmp_path / 'x.json')]) == 0
    assert capfd.readouterr() == ('', '')
    assert json.loads((tmp_path / 'x.json').read_text())['status'] == 'finished'


# No temporary folder

NO_FOLDER = """import tempfile
tempfile._candidate_tempdir_list = lambda: ['/no/such/folder']
"""


@pytest.mark.parametrize('words', [
    [os.path.join(ROOT, SCRIPTS[0]), *SHORT], ['-m', 'suite', 'doctor'],
    ['-m', 'suite', 'run', '--only', 'alexnet', '--device', 'cpu', '--output', 'out']])
def test_no_temporary_folder_ends_in_a_sentence(words, tmp_path):
    done = run(tmp_path, *words, customise=NO_FOLDER)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr.count('\n') == 1
    assert 'set TMPDIR to one, or in a container add --tmpfs /tmp.' in done.stderr


# Little memory

@pytest.fixture
def memory_cgroup():
    """The folder of a cgroup below this process's own, where one can be made, limited to 900 MB."""
    with open('/proc/self/cgroup') as file:
        paths = {name: path for line in file.read().splitlines()
                 for name, path in [line.split(':', 2)[1:]]}
    base, name = ('/sys/fs/cgroup/memory', 'memory.limit_in_bytes') if 'memory' in paths \
        else ('/sys/fs/cgroup', 'memory.max')
    folder = base + paths.get('memory', paths.get('', '')) + '/benchmark-test-%d' % os.getpid()
    try:
        os.mkdir(folder)
    except OSError as error:
        pytest.skip('no cgroup can be made here: %s' % error)
    try:
        with open(os.path.join(folder, name), 'w') as file:
            file.write(str(900 * 10 ** 6))
        yield folder
    except FileNotFoundError:
        pytest.skip('the memory controller is not enabled here')
    finally:
        os.rmdir(folder)


@pytest.mark.slow
def test_the_advised_batch_runs_in_a_small_cgroup(memory_cgroup, tmp_path):
    def alexnet(batch_size):
        return run(tmp_path, os.path.join(ROOT, SCRIPTS[0]), *SHORT[2:], '--batch_size', batch_size,
                   customise='with open(%r, "w") as file: file.write("0")'
                   % os.path.join(memory_cgroup, 'cgroup.procs'))
    refused = alexnet('4096')
    assert (refused.returncode, refused.stderr.count('\n')) == (3, 1)
    advised = re.search(r'are free: use --batch_size (\d+)\.$', refused.stderr.strip()).group(1)
    assert alexnet(advised).returncode == 0
