"""Which device is timed, and why: the GPU if there is one, else the CPU, never one for the other.

The driver is asked before TensorFlow is, so that a GPU that TensorFlow cannot use is an error and
not a silent fall-back to the CPU.
"""
import ctypes
import os
import platform
from typing import List, NamedTuple, Optional, Tuple

from common.tf1 import GPU_LIBRARIES, tf, without_lines

# Of the CUDA driver API, cuda.h: an error, and attributes of a device.
NO_DEVICE = 100
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76


class Unusable(Exception):
    """The machine cannot run it on the device asked for; the text says why and what to do."""


class Gpu(NamedTuple):
    """What the driver says of a GPU; `multiprocessors` are its SMs."""
    name: str
    pci_bus_id: str                                      # such as '0000:3B:00.0'
    compute_capability: Tuple[int, int]
    multiprocessors: int
    memory_bytes: int


class Device(NamedTuple):
    """The device to be timed: kind is 'gpu' or 'cpu'; sentence says which device and why."""
    kind: str
    name: str
    sentence: str
    gpu: Optional[Gpu] = None


def choose(asked: str) -> Device:
    """Chooses the device for --device `asked`: 'auto', 'gpu' or 'cpu'.

    Raises Unusable: a GPU is asked for and there is none, or one that TensorFlow cannot use.
    """
    if asked == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''      # before the driver's first call: not touched
        return _cpu('--device cpu was given')
    gpus, why_none = driver_gpus()
    if not gpus:
        if asked == 'gpu':
            raise Unusable('--device gpu was given, but %s.' % why_none)
        return _cpu(why_none)
    gpu = gpus[0]
    missing = missing_libraries()
    if missing:
        raise Unusable('%s is there, but TensorFlow %s cannot use it: %s could not be opened. '
                       'Install CUDA and cuDNN for it, add their folder to LD_LIBRARY_PATH, or '
                       'take --device cpu.' % (gpu.name, tf.__version__, ', '.join(missing)))
    why = 'as --device gpu asks' if asked == 'gpu' else 'the first GPU that the driver reports'
    return Device('gpu', gpu.name, '%s: %s' % (gpu.name, why), gpu)


def _cpu(reason):
    name = cpu_name()
    return Device('cpu', name, '%s, %d threads: %s' % (name, os.cpu_count() or 1, reason))


def driver_gpus() -> Tuple[List[Gpu], str]:
    """Returns the GPUs that CUDA_VISIBLE_DEVICES leaves visible, and why there are none ('' where
    there are some). Asks the driver's library; makes no CUDA context."""
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return [], 'no NVIDIA driver was found (libcuda.so.1 cannot be opened)'
    error = cuda.cuInit(0)
    if error == NO_DEVICE and 'CUDA_VISIBLE_DEVICES' in os.environ:
        return [], ('CUDA_VISIBLE_DEVICES=%s hides every GPU from CUDA'
                    % os.environ['CUDA_VISIBLE_DEVICES'])
    if error == NO_DEVICE:
        return [], 'the NVIDIA driver reports no GPU'
    if error:
        return [], 'the NVIDIA driver failed to start (cuInit returned %d)' % error
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    return [_gpu(cuda, i) for i in range(count.value)], ''


def _gpu(cuda, ordinal):
    def text(function):
        buffer = ctypes.create_string_buffer(100)
        function(buffer, len(buffer), ordinal)
        return buffer.value.decode()

    def attribute(number):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), number, ordinal)
        return value.value

    memory = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), ordinal)
    return Gpu(text(cuda.cuDeviceGetName), text(cuda.cuDeviceGetPCIBusId),
               (attribute(CAPABILITY_MAJOR), attribute(CAPABILITY_MINOR)),
               attribute(MULTIPROCESSORS), memory.value)


def missing_libraries() -> List[str]:
    """Returns which of the GPU libraries that this TensorFlow opens by name cannot be opened."""
    missing = []
    for library in GPU_LIBRARIES:
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    return missing


def open_session(device: Device) -> tf.Session:
    """Returns a session of the default graph. Raises Unusable if TensorFlow has not registered
    the GPU that is to be timed."""
    if device.kind == 'gpu':
        session = tf.Session()
        if not any(d.device_type == 'GPU' for d in session.list_devices()):
            session.close()
            raise Unusable('%s is there, but TensorFlow %s did not register it: run with '
                           'TF_CPP_MIN_LOG_LEVEL=0 to see why, or take --device cpu.'
                           % (device.name, tf.__version__))
        return session
    with without_lines(b'failed call to cuInit'):       # an error to TensorFlow, not to a CPU run
        return tf.Session(config=tf.ConfigProto(device_count={'GPU': 0}))


def cpu_name() -> str:
    """Returns the model of the CPU, such as 'AMD EPYC 7B13'."""
    try:
        with open('/proc/cpuinfo') as cpuinfo:
            for line in cpuinfo:
                if line.startswith('model name'):
                    return line.split(':', 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
