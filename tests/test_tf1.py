"""The versions of TensorFlow: one that cannot be used ends in exit code 3 and one plain line, in
every script."""
import glob
import os
import re
import shlex
import subprocess
import sys

import pytest

from common import networks, tf1
from common.probes import checks

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = list(map(networks.script, networks.NETWORKS))
OURS = 'requirements.txt' if sys.version_info < (3, 8) else 'requirements/modern.txt'


def run(script, stub, folder):
    """Runs a script with a module `tensorflow` that consists of the text `stub`."""
    (folder / 'tensorflow.py').write_text(stub)
    return subprocess.run([sys.executable, script, '--device', 'cpu'], cwd=ROOT, text=True,
                          env=dict(os.environ, PYTHONPATH=str(folder)), capture_output=True)


VERSION_OF = """import logging
get_logger = lambda: logging.getLogger("tensorflow")
__version__ = %r"""
NO_TENSORFLOW = 'raise ModuleNotFoundError("No module named tensorflow")'


@pytest.mark.parametrize('script, stub, why', [
    (script, NO_TENSORFLOW,
     'importing it failed with ModuleNotFoundError: No module named tensorflow')
    for script in SCRIPTS] + [
    (SCRIPTS[0], 'raise TypeError("""Descriptors cannot not be created directly.\nIf this""")',
     'importing it failed with TypeError: Descriptors cannot not be created directly.')] + [
    (SCRIPTS[0], VERSION_OF % version, 'version %s is installed' % version)
    for version in ('1.12.3', '2.0.0', '2.3.4', '2.22.0', '3.0.0')])
def test_a_tensorflow_that_cannot_be_used(script, stub, why, tmp_path):
    """The line names what is installed, what is allowed, and the command."""
    done = run(script, stub, tmp_path)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr == (
        'TensorFlow cannot be used: %s. These scripts run on TensorFlow 1.13 to 1.15 and 2.4 to '
        '2.21. For this Python, %d.%d: pip install -r %s\n'
        % ((why,) + sys.version_info[:2] + (OURS,)))


@pytest.mark.parametrize('name', ['SIGINT', 'SIGTERM'])
def test_a_signal_that_the_import_would_swallow(name, tmp_path):
    done = run(SCRIPTS[0], 'import os, signal\ntry: os.kill(os.getpid(), signal.%s)\n'
                           'except BaseException: pass' % name, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, '', '')


@pytest.mark.parametrize('python, gpus, command', [
    ((3, 7), 1, 'pip install -r requirements.txt'),
    ((3, 9), 1, "pip install 'tensorflow==2.13.*' && pip install --no-deps tf_slim==1.1.0"),
    ((3, 13), 0, 'pip install -r requirements/modern.txt'),
    ((3, 12), 1, 'pip install -r requirements/modern.txt -r requirements/cuda.txt'),
    ((3, 14), 1, 'it is too new, use Python 3.10 to 3.13')])
def test_the_command_is_one_for_this_python(python, gpus, command, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'version_info', python + (0,))
    monkeypatch.setattr(tf1.nvidia, 'count', lambda: gpus)
    with pytest.raises(SystemExit) as stop:
        tf1._refuse('version 1.0.0 is installed')
    assert stop.value.code == 3
    assert capsys.readouterr().err.endswith('%d.%d: %s\n' % (python + (command,)))


HIDDEN = """
import atexit, importlib.util, runpy, sys
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name, *more: (
    None if name in %r else find_spec(name, *more))
atexit.register(lambda: [print(name, file=sys.stderr) for name in sys.modules
                         if name.endswith('slim')])
sys.argv = [%r, '--device', 'cpu', '--batch_size', '1', '--num_batches', '1', '--forward_only']
runpy.run_path(sys.argv[0], run_name='__main__')
"""


def without(names, script):
    """Runs a script where these packages are not installed. Its stderr ends with the names of the
    modules of slim that it imported."""
    return subprocess.run([sys.executable, '-c', HIDDEN % (names, script)], cwd=ROOT, text=True,
                          env=dict(os.environ, PYTHONPATH=ROOT), capture_output=True)


@pytest.mark.skipif(tf1.RUNTIME != 'modern', reason='TensorFlow 1 has slim in itself')
def test_what_slim_needs_is_named_with_the_command():
    done = without(['tf_slim', 'tf_keras'], 'vgg16_benchmark.py')
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr == (
        'TensorFlow %s is installed, but not tf_slim and tf_keras, which VGGNet, Inception V3 and '
        'ResNet V2 need: pip install --no-deps tf_slim==1.1.0 tf_keras==%d.%d.*\n'
        % ((tf1.VERSION,) + tf1.RELEASE))


@pytest.mark.slow
def test_alexnet_needs_no_slim():
    done = without(['tf_slim', 'tf_keras'], 'alexnet_benchmark.py')
    assert (done.returncode, done.stderr) == (0, '')


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match='nonsense'):
        getattr(tf1, 'nonsense')     # noqa: B009


# A version whose outputs were not compared

def test_a_compared_version_has_no_caution():
    assert tf1.RELEASE in tf1.COMPARED
    assert checks.untested_version() == []


@pytest.mark.slow
def test_a_version_that_was_not_compared(monkeypatch):
    monkeypatch.setattr(tf1, 'RELEASE', (2, 11))
    monkeypatch.setattr(tf1, 'VERSION', '2.11.1')
    caution, = checks.untested_version()
    assert caution.kind == 'version'
    assert caution.text.startswith('the outputs of TensorFlow 2.11.1 have not been compared')
    *_, compare = re.findall('`([^`]+)`', caution.text)
    command = shlex.split(compare)[1:]
    assert command[-1] == 'tests/test_runtimes.py'
    done = subprocess.run([sys.executable, *command, '--collect-only'], cwd=ROOT,
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    assert done.stdout.count('test_the_same_weights_give_the_same_outputs') == 4


def test_the_compared_versions_are_those_of_the_page():
    with open(os.path.join(ROOT, 'docs', 'tensorflow.md'), encoding='utf-8') as file:
        rows = re.findall(r'^\| (\d+)\.(\d+)\.\d+ \| 3\.\d+ \| [^|]+ '
                          r'\| (?:\d\.\de-\d+|reference|make test-all) \|', file.read(),
                          re.MULTILINE)
    assert sorted((int(major), int(minor)) for major, minor in rows) == tf1.COMPARED


def test_ctrl_c_while_importing(tmp_path):
    done = run(SCRIPTS[0], 'raise KeyboardInterrupt', tmp_path)
    assert (done.returncode, done.stderr) == (130, '')


def test_the_lines_named_are_dropped_and_the_others_kept(capfd):
    with pytest.raises(ZeroDivisionError), tf1.without_lines(b'noise'):
        os.write(2, b'an error\n')
        os.write(2, b'some noise here\n')
        os.write(2, b'another error\n')
        raise ZeroDivisionError
    assert capfd.readouterr().err == 'an error\nanother error\n'


def test_the_last_words_of_a_process_that_aborts_are_shown():
    done = subprocess.run([sys.executable, '-c', """import os
from common import tf1
with tf1.without_lines(b'noise'):
    os.write(2, b'noise\\nwhy it aborts\\n')
    os.abort()"""], cwd=ROOT, text=True, capture_output=True)
    assert (done.returncode, done.stderr) == (-6, 'why it aborts\n')


@pytest.mark.parametrize('numpy, tensorflow, is_refused', [
    ('2.2.6', '2.10.1', True), ('1.26.4', '2.10.1', False), ('2.4.6', '2.21.0', False),
    (None, '2.10.1', False), ('2.2.6', None, False)])
def test_a_numpy_that_is_too_new(numpy, tensorflow, is_refused, monkeypatch, capsys):
    versions = {'numpy': numpy, 'tensorflow': tensorflow}
    monkeypatch.setattr(tf1, '_version', lambda name, *others: versions[name])
    if not is_refused:
        tf1._check_numpy()
        return
    with pytest.raises(SystemExit) as stop:
        tf1._check_numpy()
    assert stop.value.code == 3
    assert capsys.readouterr().err == (
        "NumPy 2.2.6 is too new for TensorFlow 2.10.1: pip install 'numpy<2'\n")


@pytest.mark.skipif(tf1.RUNTIME != 'modern', reason='TensorFlow 1 has slim in itself')
def test_a_tf_keras_of_another_version_is_named_with_the_command(monkeypatch, capsys):
    monkeypatch.setattr(tf1, '_version', lambda *names: '2.15.0')
    with pytest.raises(SystemExit) as stop:
        tf1._tf_slim()
    assert stop.value.code == 3
    assert capsys.readouterr().err == (
        'tf_keras 2.15.0 is not for TensorFlow %s: pip install --no-deps tf_keras==%d.%d.*\n'
        % ((tf1.VERSION,) + tf1.RELEASE))


@pytest.mark.parametrize('words', [SCRIPTS[0], '-m suite compare'])
def test_a_python_that_is_too_old(words):
    python = os.path.join(os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv'),
                          'versions', '3.6.*', 'bin', 'python3')
    pythons = glob.glob(python)
    if not pythons:
        pytest.skip('no Python 3.6 in pyenv')
    done = subprocess.run([pythons[0], '-B'] + words.split(), cwd=ROOT, stderr=subprocess.PIPE)
    assert done.returncode == 3
    assert done.stderr == (b'These benchmarks need Python 3.7 to 3.13; this is Python 3.6: start '
                           b'them with another one.\n')


@pytest.mark.skipif(tf1.RUNTIME != 'modern', reason='TensorFlow 1.15 has no TF32')
def test_float32_is_float32_unless_asked():
    import tensorflow
    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled
    assert not enabled()
    tf1.allow_tf32(True)
    assert enabled()
    tf1.allow_tf32(False)
    assert not enabled()
