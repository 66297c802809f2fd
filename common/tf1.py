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
import glob
import importlib
import importlib.util
import os
import re
import subprocess
import sys
import tempfile
import warnings
from typing import Any, Dict, Iterator, NamedTuple, Optional, Sequence, Tuple

Capability = Tuple[int, int]         # a GPU's compute capability, such as (8, 6)
Capabilities = Tuple[Capability, Optional[Capability]]      # from, to; None: no limit
CAPABILITIES_UNKNOWN = (6, 0), None  # where a build does not say: Pascal and on

TF_SLIM = 'tf_slim==1.1.0'           # tf.contrib.slim for TensorFlow 2; its last release
# The versions on which a test compared outputs and gradients with 1.15: docs/tensorflow.md.
COMPARED = [(1, 13), (1, 14), (1, 15), (2, 4), (2, 10), (2, 15), (2, 17), (2, 18), (2, 20), (2, 21)]


@contextlib.contextmanager
def without_lines(*words: bytes) -> Iterator[None]:
    """Keeps lines that contain one of `words` off stderr, those that C++ writes too. The others
    pass through grep, a process of its own, so that the last words of a process that aborts are
    shown. Without words, grep or an open stderr it does nothing."""
    patterns = [part for word in words for part in (b'-e', word)]
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
        has_gpu = glob.glob('/dev/nvidia[0-9]*') or os.path.exists('/dev/dxg')       # dxg: WSL 2
        command = 'pip install -r requirements/modern.txt' + (
            ' -r requirements/cuda.txt' if has_gpu else '')
    else:
        command = 'it is too new, take Python 3.10 to 3.13'
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


def _capabilities(names: Sequence[str]) -> Capabilities:
    """Returns the oldest and the newest GPU that a build has code for, from its list: 'sm_80' runs
    on 8.x, 'compute_80' (and '8.0') on all that follow. None as the newest: no limit."""
    codes = []
    for kind, major, minor in re.findall(r'(sm_|compute_|)(\d+)\.?(\d)', ' '.join(names)):
        codes.append(((int(major), int(minor)), kind != 'sm_'))
    if not codes:
        return CAPABILITIES_UNKNOWN
    newest, any_later = max(codes)
    return min(codes)[0], None if any_later else (newest[0], 9)


class Gpus(NamedTuple):
    """What this TensorFlow needs to use a GPU; cuda and cudnn are None where it has no CUDA."""
    cuda: Optional[str]
    cudnn: Optional[str]
    driver: str                          # the oldest
    capabilities: Capabilities
    libraries: Tuple[str, ...]           # that it opens by name


# By the major version of CUDA: the oldest driver (CUDA's release notes, minor version
# compatibility) and the libraries' names but for libcudnn.
CUDA = {
    '10': ('410.48', ('libcudart.so.10.0', 'libcublas.so.10.0', 'libcufft.so.10.0',
                      'libcurand.so.10.0', 'libcusolver.so.10.0', 'libcusparse.so.10.0')),
    '11': ('450.80.02', ('libcudart.so.11.0', 'libcublas.so.11', 'libcublasLt.so.11',
                         'libcufft.so.10', 'libcusolver.so.11', 'libcusparse.so.11')),
    '12': ('525.60.13', ('libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12',
                         'libcufft.so.11', 'libcusolver.so.11', 'libcusparse.so.12')),
}


def _gpus(build: Dict[str, Any], release: Tuple[int, int], nvidia: bool) -> Gpus:
    """Returns what a TensorFlow needs to use a GPU.

    Args:
        build: tf.sysconfig.get_build_info(), which came with TensorFlow 2.3; {} before.
        release: the version, such as (2, 15).
        nvidia: whether it is NVIDIA's own build, which brings newer libraries of its own.
    """
    if release[0] == 1 and nvidia:
        return Gpus(os.environ.get('CUDA_VERSION'), None, '450.51', ((6, 0), None), ())
    if release[0] == 1:                                  # Kepler to Turing
        driver, libraries = CUDA['10']
        return Gpus('10.0', '7', driver, ((3, 5), (7, 5)), libraries + ('libcudnn.so.7',))
    cuda, cudnn = build.get('cuda_version'), build.get('cudnn_version')
    if not cuda:                                         # built for the CPU: as its CUDA build
        driver, _ = CUDA['12' if release >= (2, 15) else '11']
        return Gpus(None, None, driver, CAPABILITIES_UNKNOWN, ())
    driver, libraries = CUDA.get(cuda.split('.')[0], (CUDA['12'][0], ()))
    if cuda.startswith('11.0'):
        libraries = tuple(name.replace('cusolver.so.11', 'cusolver.so.10') for name in libraries)
    if libraries and cudnn:
        libraries += ('libcudnn.so.' + cudnn.split('.')[0],)
    oldest, newest = _capabilities(build.get('cuda_compute_capabilities', []))
    if (2, 16) <= release <= (2, 20) and not nvidia:     # its code for later GPUs is sm_90a, which
        newest = 9, 0                                    # runs on 9.0 alone
    return Gpus(cuda, cudnn, driver, (oldest, newest), () if nvidia else libraries)


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

CUDA_VERSION, CUDNN_VERSION, OLDEST_DRIVER, CAPABILITIES, GPU_LIBRARIES = _gpus(
    _build, RELEASE, NVIDIA_BUILD)

# What the first step of a process prints, whatever the log level, that is no error.
FIRST_STEP_NOISE = (NOISE[0], b'MLIR V1 optimization pass') if (2, 18) <= RELEASE <= (2, 20) else ()

from tensorflow.python.client.timeline import Timeline  # noqa: E402, F401
from tensorflow.python.framework.ops import get_stats_for_node_def  # noqa: E402, F401


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
