"""The TensorFlow 1 API as two names, `tf` and `slim`; every other file takes them from here.

TensorFlow 1.13 to 1.15 and 2.4 to 2.21 run the same graphs:
    classic  TensorFlow 1: `tf` is tensorflow, `slim` is tf.contrib.slim
    modern   TensorFlow 2: `tf` is tensorflow.compat.v1, put back into graph mode with TensorFlow
             1's variables, and `slim` is tf_slim
The first TensorFlow 2 that can turn TF32 off is 2.4. docs/tensorflow.md says what was run.

Importing this module imports TensorFlow and keeps its start-up noise off the screen: the
FutureWarnings of numpy, the lines about libraries that could not be opened, the banner of
tf.contrib, the deprecation warnings. Its errors stay. TF_CPP_MIN_LOG_LEVEL, where set, is kept.
Where TensorFlow cannot be imported, or is of another version, or where no temporary folder can be
written to, the process ends with exit code 3 and one line that says why. The same goes for `slim`,
which is imported when it is first needed: AlexNet runs without it.
"""
import contextlib
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import warnings
from typing import Any, Iterator, Optional, Tuple

from common.machine import host, nvidia
from common.stop import Stop

TF_SLIM = 'tf_slim==1.1.0'           # tf.contrib.slim for TensorFlow 2; its last release
# The versions on which a test compared outputs and gradients with 1.15: docs/tensorflow.md.
COMPARED = [(1, 13), (1, 14), (1, 15), (2, 4), (2, 10), (2, 15), (2, 17), (2, 18), (2, 20), (2, 21)]


@contextlib.contextmanager
def without_lines(*words: bytes) -> Iterator[None]:
    """Keeps lines that contain one of `words` off stderr, those that C++ writes too. The others
    pass through grep, a process of its own, so that the last words of a process that aborts are
    shown. Without words, grep or an open stderr it does nothing."""
    patterns = [part for word in words for part in (b'-e', word)]
    if sys.platform == 'win32':                          # without grep
        patterns = []
    try:
        stderr = os.dup(2)
    except OSError:                                      # closed: nothing can be seen anyway
        patterns = []
    try:
        grep = patterns and subprocess.Popen(
            [b'grep', b'--text', b'--line-buffered', b'--fixed-strings', b'-v'] + patterns,
            stdin=subprocess.PIPE, stdout=stderr, stderr=subprocess.DEVNULL,
            start_new_session=True)                      # Ctrl-C is not for it
    except OSError:
        grep = None
    if not grep:
        yield
        return
    sys.stderr.flush()
    os.dup2(grep.stdin.fileno(), 2)
    grep.stdin.close()
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(stderr, 2)                               # closes the pipe; grep ends
        os.close(stderr)
        grep.wait()


def _end(sentence: str) -> None:
    """Ends the process with exit code 3 and one line that says why and what to do."""
    print(sentence, file=sys.stderr)
    raise SystemExit(3)


def _refuse(why: str) -> None:
    """Ends the process: this TensorFlow, or none, cannot be used."""
    python = sys.version_info[:2]
    if python <= (3, 7):
        command = 'pip install -r requirements.txt'
    elif python <= (3, 9):
        command = "pip install 'tensorflow==2.13.*' && pip install --no-deps " + TF_SLIM
    elif python <= (3, 13):
        command = 'pip install -r requirements/modern.txt' + (
            ' -r requirements/cuda.txt' if nvidia.count() else '')
    else:
        command = 'it is too new, use Python 3.10 to 3.13'
    _end('TensorFlow cannot be used: %s. These scripts run on TensorFlow 1.13 to 1.15 and 2.4 to '
         '2.21. For this Python, %d.%d: %s' % ((why,) + python + (command,)))


def _version(*packages: str) -> Optional[str]:
    """Returns the version of the first of these packages that pip has installed."""
    if sys.version_info < (3, 8):                        # no importlib.metadata
        return None
    from importlib import metadata
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            return metadata.version(package)
    return None


def _release(version: Optional[str]) -> Tuple[int, ...]:
    """Returns (2, 15) for '2.15.1', and () for None."""
    return tuple(int(part) for part in re.findall(r'\d+', version or '')[:2])


def _check_numpy() -> None:
    """Ends the process if the import of TensorFlow would fail because NumPy is too new for it."""
    numpy, version = _version('numpy'), _version('tensorflow', 'tensorflow-cpu', 'tensorflow-gpu')
    if (2,) <= _release(numpy) and () < _release(version) < (2, 18):
        _end("NumPy %s is too new for TensorFlow %s: pip install 'numpy<2'" % (numpy, version))


def _reason(error: Exception) -> str:
    """'ImportError: libfoo.so', of an exception; TensorFlow may wrap a traceback: its end."""
    lines = str(error).strip().split('\n')
    return '%s: %s' % (type(error).__name__,
                       lines[-1 if lines[0].startswith('Traceback') else 0])


# NVIDIA's own builds, in the images nvcr.io/nvidia/tensorflow, run on later GPUs too.
NVIDIA_BUILD = bool(os.environ.get('NVIDIA_TENSORFLOW_VERSION'))

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')       # 2: errors alone
os.environ['TF_USE_LEGACY_KERAS'] = '1'                  # modern: Keras 2, as tf_slim needs

# TensorFlow 1.15, on Python 3.7, has no such lines, and what it says before it aborts is kept.
NOISE = (b'before absl::InitializeLog', b'oneDNN custom op', b'Could not find cuda drivers',
         b'when one has already been registered', b'computation placer already registered')

try:
    tempfile.gettempdir()            # needed here, for --precision and for --xla
except OSError as error:
    _end('No temporary folder can be written to (%s): set TMPDIR to one, or in a container add '
         '--tmpfs /tmp.' % error.strerror)

try:
    host.check_threads(len(host.usable_cpus()))          # or NumPy's OpenBLAS sends itself Ctrl-C
except Stop as error:
    _end(error.text)

_check_numpy()
with warnings.catch_warnings(), without_lines(*(NOISE if sys.version_info >= (3, 8) else ())):
    warnings.simplefilter('ignore')  # numpy's FutureWarnings, and under -W error all the others
    try:
        import tensorflow
        tensorflow.get_logger().setLevel('ERROR')
        VERSION = tensorflow.__version__
        RELEASE = _release(VERSION)
        if not ((1, 13) <= RELEASE <= (1, 15) or (2, 4) <= RELEASE <= (2, 21)):
            _refuse('version %s is installed' % VERSION)
        RUNTIME = 'classic' if RELEASE[0] == 1 else 'modern'
        tf, _build = tensorflow, {}
        if RUNTIME == 'modern':
            tf = importlib.import_module('tensorflow.compat.v1')
            tf.disable_v2_behavior()
            _build = tensorflow.sysconfig.get_build_info()
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:       # protobuf 4 raises TypeError, a missing library ImportError
        _refuse('importing it failed with ' + _reason(error))

NEEDS = nvidia.needs_of(VERSION, _build, tf.test.is_built_with_cuda(), NVIDIA_BUILD)

# What the first step of a process prints, whatever the log level, that is no error.
FIRST_STEP_NOISE = (NOISE[0], b'MLIR V1 optimization pass') if (2, 18) <= RELEASE <= (2, 20) else ()

from tensorflow.python.client.timeline import Timeline  # noqa: E402, F401
from tensorflow.python.framework.ops import get_stats_for_node_def  # noqa: E402, F401
from tensorflow.python.framework.tensor_util import constant_value  # noqa: E402, F401


def allow_tf32(allowed: bool) -> None:
    """Whether float32 products may be rounded to TF32, in the whole process. TensorFlow 1.15 has no
    TF32, and NVIDIA's build of it leaves that to the libraries, which read a variable."""
    if RUNTIME == 'modern':
        tensorflow.config.experimental.enable_tensor_float_32_execution(allowed)
    elif NVIDIA_BUILD:
        os.environ['NVIDIA_TF32_OVERRIDE'] = str(int(allowed))


def __getattr__(name: str) -> Any:
    """`slim`, imported when it is first asked for."""
    if name != 'slim':
        raise AttributeError('module %r has no attribute %r' % (__name__, name))
    with warnings.catch_warnings(), without_lines(*(NOISE if RUNTIME == 'modern' else ())):
        warnings.simplefilter('ignore')
        try:
            globals()['slim'] = tensorflow.contrib.slim if RUNTIME == 'classic' else _tf_slim()
        except KeyboardInterrupt:
            raise SystemExit(130) from None
        except Exception as error:
            _end('TensorFlow %s is installed, but its slim cannot be imported, which VGGNet, '
                 'Inception V3 and ResNet V2 need: %s' % (VERSION, _reason(error)))
    return globals()['slim']


def _mend(normalization: Any) -> None:
    """Gives tensorflow.python.layers.normalization its layer: from 2.13 on it looks for it one
    package too high."""
    with contextlib.suppress(ImportError):
        normalization.BatchNormalization  # noqa: B018
        return
    package = 'tf_keras' if RELEASE >= (2, 16) else 'keras'
    normalization.normalization = importlib.import_module(
        package + '.src.legacy_tf_layers.normalization')


def _tf_slim() -> Any:
    """Returns tf_slim 1.1.0, with the two repairs that it needs on later versions: it was last
    released in 2020."""
    keras = ['tf_keras'] if RELEASE >= (2, 16) else []   # Keras 2; TensorFlow came with it before
    missing = [name for name in ['tf_slim'] + keras if importlib.util.find_spec(name) is None]
    if missing:
        wanted = {'tf_slim': TF_SLIM, 'tf_keras': 'tf_keras==%d.%d.*' % RELEASE}
        _end('TensorFlow %s is installed, but not %s, which VGGNet, Inception V3 and ResNet V2 '
             'need: pip install --no-deps %s' % (VERSION, ' and '.join(missing),
                                                 ' '.join(wanted[name] for name in missing)))
    if keras and _release(_version('tf_keras')) not in ((), RELEASE):
        _end('tf_keras %s is not for TensorFlow %s: pip install --no-deps tf_keras==%d.%d.*'
             % ((_version('tf_keras'), VERSION) + RELEASE))
    from tensorflow.python.framework import ops
    from tensorflow.python.layers import normalization
    if not hasattr(ops, 'Tensor'):                       # moved; tf_slim looks for it here
        ops.Tensor = tf.Tensor
    _mend(normalization)
    return importlib.import_module('tf_slim')


allow_tf32(False)                    # float32 means float32

warnings.filterwarnings('ignore', '`layer.apply` is deprecated')         # modern: tf_slim calls it
