"""A TensorFlow that cannot be used ends in exit code 3 and one plain line, in every script."""
import os
import subprocess
import sys

import pytest

from common import tf1

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = ['alexnet_benchmark.py', 'vgg16_benchmark.py', 'inception_v3_benchmark.py',
           'resnet_v2_benchmark.py']


def run(script, stub, folder):
    """Runs a script with a module `tensorflow` that consists of the text `stub`."""
    (folder / 'tensorflow.py').write_text(stub)
    return subprocess.run([sys.executable, script, '--device', 'cpu'], cwd=ROOT, text=True,
                          env=dict(os.environ, PYTHONPATH=str(folder)), capture_output=True)


@pytest.mark.parametrize('script', SCRIPTS)
def test_no_tensorflow(script, tmp_path):
    done = run(script, 'raise ModuleNotFoundError("No module named tensorflow")', tmp_path)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr.count('\n') == 1
    assert 'ModuleNotFoundError: No module named tensorflow' in done.stderr
    assert 'requirements.txt' in done.stderr


def test_a_protobuf_that_is_too_new(tmp_path):
    done = run(SCRIPTS[0], 'raise TypeError("""Descriptors cannot not be created directly.\nIf '
               'this call came from a _pb2.py file""")', tmp_path)
    assert done.returncode == 3
    assert 'TypeError: Descriptors cannot not be created directly.' in done.stderr
    assert 'Traceback' not in done.stderr


LOGGER = 'import logging\nget_logger = lambda: logging.getLogger("tensorflow")\n'


@pytest.mark.parametrize('version', ['1.14.0', '2.5.0', '2.22.0'])
def test_an_untested_version(version, tmp_path):
    done = run(SCRIPTS[0], LOGGER + '__version__ = %r' % version, tmp_path)
    assert done.returncode == 3
    assert 'version %s is installed, and the graphs are tested on 1.15 and 2.21' % version \
        in done.stderr


def test_ctrl_c_while_importing(tmp_path):
    done = run(SCRIPTS[0], 'raise KeyboardInterrupt', tmp_path)
    assert (done.returncode, done.stderr) == (130, '')


def test_the_lines_named_are_dropped_and_the_others_kept(capfd):
    with tf1.without_lines(b'noise'):
        os.write(2, b'an error\n')
        os.write(2, b'some noise here\n')
        os.write(2, b'another error\n')
    assert capfd.readouterr().err == 'an error\nanother error\n'


def test_an_exception_loses_no_line(capfd):
    with pytest.raises(ZeroDivisionError), tf1.without_lines(b'noise'):
        os.write(2, b'an error\n')
        raise ZeroDivisionError
    assert capfd.readouterr().err == 'an error\n'


@pytest.mark.skipif(tf1.RUNTIME != 'modern', reason='TensorFlow 1.15 has no TF32')
def test_float32_is_float32_unless_asked():
    import tensorflow
    enabled = tensorflow.config.experimental.tensor_float_32_execution_enabled
    assert not enabled()
    tf1.allow_tf32(True)
    assert enabled()
    tf1.allow_tf32(False)
    assert not enabled()
