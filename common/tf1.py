"""The TensorFlow 1 API as two names, `tf` and `slim`; every other file takes them from here.

Two runtimes are known, and no other file asks which of them runs:
    classic  Python 3.7, TensorFlow 1.15: `tf` is tensorflow, `slim` is tf.contrib.slim
    modern   Python 3.10 to 3.13, TensorFlow 2.21: `tf` is tensorflow.compat.v1, put back into
             graph mode with TensorFlow 1's variables, and `slim` is tf_slim

Importing this module imports TensorFlow and keeps its start-up noise off the screen: the
FutureWarnings of numpy, the lines about libraries that could not be opened, the banner of
tf.contrib, the deprecation warnings. Its errors stay. TF_CPP_MIN_LOG_LEVEL, where set, is kept.
Where TensorFlow cannot be imported, or is of another version, or where no temporary folder can be
written to, the process ends with exit code 3 and one line that says why.
"""
import contextlib
import importlib
import os
import sys
import tempfile
import warnings
from typing import Iterator


@contextlib.contextmanager
def without_lines(*words: bytes) -> Iterator[None]:
    """Drops the lines that hold one of `words` from stderr, C++'s among them; passes the others on
    at the end. Without words it does nothing."""
    if not words:
        yield
        return
    try:
        stderr = os.dup(2)
    except OSError:                                      # closed: nothing can be seen anyway
        yield
        return
    with tempfile.TemporaryFile() as log:
        sys.stderr.flush()
        os.dup2(log.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            log.seek(0)
            for line in log:
                if not any(word in line for word in words):
                    os.write(stderr, line)
            os.close(stderr)


def _refuse(why):
    _end('TensorFlow cannot be used: %s. Install what requirements.txt lists, or take the Python '
         'of the environment that `make test` makes: .venv/bin/python' % why)


def _end(sentence):
    print(sentence, file=sys.stderr)
    raise SystemExit(3)


def _modern(tensorflow):
    """Returns tensorflow.compat.v1 and tf_slim 1.1.0, with the two repairs that the latter needs
    on TensorFlow 2.14 and later: it was last released in 2020."""
    tf = importlib.import_module('tensorflow.compat.v1')
    tf.disable_v2_behavior()
    from tensorflow.python.framework import ops
    from tensorflow.python.layers import normalization
    ops.Tensor = tf.Tensor                               # moved; tf_slim looks for it here
    normalization.normalization = importlib.import_module(     # TensorFlow looks for it one
        'tf_keras.src.legacy_tf_layers.normalization')         # package too high
    return tf, importlib.import_module('tf_slim')


# NVIDIA's own TensorFlow 1.15.5, in nvcr.io/nvidia/tensorflow:*-tf1-py3, runs on later GPUs too.
NVIDIA_BUILD = bool(os.environ.get('NVIDIA_TENSORFLOW_VERSION'))

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')       # 2: errors alone
os.environ['TF_USE_LEGACY_KERAS'] = '1'                  # modern: Keras 2, as tf_slim needs

# TensorFlow 1.15, on Python 3.7, has no such lines, and what it says before it aborts is kept.
NOISE = (b'before absl::InitializeLog', b'oneDNN custom op', b'Could not find cuda drivers')

try:
    tempfile.gettempdir()            # needed here, for --precision and for --xla
except OSError as error:
    _end('No temporary folder can be written to (%s): set TMPDIR to one, or in a container add '
         '--tmpfs /tmp.' % error.strerror)

with warnings.catch_warnings(), without_lines(*(NOISE if sys.version_info >= (3, 8) else ())):
    warnings.simplefilter('ignore')  # numpy's FutureWarnings, and under -W error all the others
    try:
        import tensorflow
        tensorflow.get_logger().setLevel('ERROR')
        VERSION = tensorflow.__version__
        if VERSION.startswith('1.15.'):
            RUNTIME = 'classic'
            tf, slim = tensorflow, tensorflow.contrib.slim
            CUDA_VERSION, CUDNN_VERSION, OLDEST_DRIVER = '10.0', '7', '410.48'
            CAPABILITIES = (3, 5), (7, 5)                # Kepler to Turing
            GPU_LIBRARIES = ('libcudart.so.10.0', 'libcublas.so.10.0', 'libcufft.so.10.0',
                             'libcurand.so.10.0', 'libcusolver.so.10.0', 'libcusparse.so.10.0',
                             'libcudnn.so.7')
            if NVIDIA_BUILD:                             # with newer CUDA libraries of its own
                CUDA_VERSION, CUDNN_VERSION = os.environ.get('CUDA_VERSION'), None
                OLDEST_DRIVER, CAPABILITIES, GPU_LIBRARIES = '450.51', ((6, 0), None), ()
        elif VERSION.startswith('2.21.'):
            RUNTIME = 'modern'
            tf, slim = _modern(tensorflow)
            CUDA_VERSION, CUDNN_VERSION, OLDEST_DRIVER = '12', '9', '525.60.13'
            CAPABILITIES = (6, 0), None                  # Pascal and on
            GPU_LIBRARIES = ('libcudart.so.12', 'libcublas.so.12', 'libcublasLt.so.12',
                             'libcufft.so.11', 'libcusolver.so.11', 'libcusparse.so.12',
                             'libcudnn.so.9')
        else:
            _refuse('version %s is installed, and the graphs are tested on 1.15 and 2.21' % VERSION)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:       # protobuf 4 raises TypeError, a missing library ImportError
        _lines = str(error).strip().split('\n')          # TensorFlow may wrap a traceback: its end
        _refuse('importing it failed with %s: %s' % (
            type(error).__name__, _lines[-1 if _lines[0].startswith('Traceback') else 0]))

from tensorflow.python.client.timeline import Timeline  # noqa: E402, F401
from tensorflow.python.framework.ops import get_stats_for_node_def  # noqa: E402, F401


def allow_tf32(allowed: bool) -> None:
    """Whether float32 products may be rounded to TF32, in the whole process. TensorFlow 1.15 has no
    TF32, and NVIDIA's build of it leaves that to the libraries, which read a variable."""
    if RUNTIME == 'modern':
        tensorflow.config.experimental.enable_tensor_float_32_execution(allowed)
    elif NVIDIA_BUILD:
        os.environ['NVIDIA_TF32_OVERRIDE'] = str(int(allowed))


allow_tf32(False)                    # float32 means float32

warnings.filterwarnings('ignore', '`layer.apply` is deprecated')         # modern: tf_slim calls it
