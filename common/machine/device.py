"""Chooses the device that is timed: the GPU if there is one, else the CPU.

A GPU that cannot be used is an error, and the CPU is not timed instead. The driver and the
libraries are examined before TensorFlow uses the GPU, so that the error is a sentence that says
what to do, and not a hang, a nan or a silent fall-back to the CPU. doctor.py in this folder prints
all findings.
"""
import ctypes
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from common import tf1
from common.machine import host, support
from common.stop import Stop

# Of the CUDA driver API, cuda.h: errors of cuInit, and attributes of a device.
STUB_LIBRARY, NO_DEVICE, INVALID_DEVICE = 34, 100, 101           # see support.CUDA_ERRORS
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76

# In WSL 2 Windows puts its driver's library and nvidia-smi here, which may not be on PATH.
WSL_FOLDER = '/usr/lib/wsl/lib/'
UNKNOWN = 'unknown'                  # a driver whose version cannot be read

OLDEST_OF_ALL = (3, 5)               # Kepler: the first GPUs of TensorFlow 1.15

SMI_S = 20                           # a machine of many GPUs without persistence takes a while

CPU_INSTEAD = 'or take --device cpu for CPU figures.'


class Gpu(NamedTuple):
    """A GPU as the driver describes it; `multiprocessors` is the number of its SMs."""
    name: str
    pci_bus_id: str                                      # such as '0000:3B:00.0'
    compute_capability: Tuple[int, int]
    multiprocessors: int
    memory_bytes: int


class Machine(NamedTuple):
    """The GPUs, driver and libraries of a machine, examined without TensorFlow.

    on_bus: NVIDIA GPUs on the PCI bus, whether or not a driver runs them.
    driver: version of the NVIDIA driver, such as '535.104.05'; UNKNOWN where there is one whose
        version cannot be read (WSL 2); None without one.
    listed: names of the GPUs that nvidia-smi lists.
    gpus: the GPUs that CUDA shows to this process.
    cuda_error: what cuInit returned; None where libcuda.so.1 cannot be opened.
    hidden_by: the value of CUDA_VISIBLE_DEVICES; None where it is not set.
    missing: the libraries of this TensorFlow that cannot be opened.
    cuda_version: of libcuda.so.1, such as (12, 4); None where it is not known.
    """
    on_bus: int
    driver: Optional[str]
    listed: List[str]
    gpus: List[Gpu]
    cuda_error: Optional[int]
    hidden_by: Optional[str]
    missing: List[str]
    cuda_version: Optional[Tuple[int, int]] = None


class Device(NamedTuple):
    """The device to be timed: kind is 'gpu' or 'cpu'; sentence says which device and why, followed
    by a line for each known limit of this TensorFlow on it ('warning: ...')."""
    kind: str
    name: str
    sentence: str
    gpu: Optional[Gpu] = None


def choose(requested: str, machine: Optional[Machine] = None) -> Device:
    """Chooses the device for --device `requested`: 'auto', 'gpu' or 'cpu'. `machine` is the result
    of look(), which is called here if it is not given.

    Raises Stop: 'gpu' was requested and there is none, or there is one that TensorFlow cannot
    use.
    """
    if requested == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''          # before the driver's first call
        return _cpu('--device cpu was given')
    machine = machine or look()
    reason = problem(machine)
    if reason:
        raise Stop(reason)
    if not machine.gpus:
        if requested == 'gpu':
            raise Stop('--device gpu was given, but %s.' % _no_gpu(machine))
        return _cpu(_no_gpu(machine))
    gpu = machine.gpus[0]
    why = 'as --device gpu asks' if requested == 'gpu' else 'the first GPU that CUDA shows'
    line = '%s (compute capability %d.%d, driver %s): %s' % (
        (gpu.name,) + gpu.compute_capability + (machine.driver, why))
    warnings = ['warning: ' + text for text in _limits(machine)[1]]
    return Device('gpu', gpu.name, '\n'.join([line] + warnings), gpu)


def problem(machine: Machine) -> Optional[str]:
    """Returns a sentence that says why this TensorFlow cannot use the GPU, and what to do; None if
    it can use the first GPU, or if there is no GPU."""
    reason = _build_problem(machine)
    if reason:
        return reason
    if machine.driver is None and machine.cuda_error in (None, STUB_LIBRARY):
        return _no_driver(machine)
    return (_gpu_problem(machine) or _driver_problem(machine) or _cuda_problem(machine)
            or _library_problem(machine))


def _no_gpu(machine):
    """Why the CPU is timed where nothing shows that there is a GPU."""
    if machine.cuda_error in (None, STUB_LIBRARY):
        return 'no NVIDIA GPU and no driver was found'
    return 'the NVIDIA driver shows no GPU' + (
        '' if machine.hidden_by is None else
        '; CUDA_VISIBLE_DEVICES=%s hides any there may be' % machine.hidden_by)


def has_cuda() -> bool:
    """Returns whether this TensorFlow was built with CUDA."""
    return tf1.tf.test.is_built_with_cuda()


def _build_problem(machine):
    """The sentence if this TensorFlow was built without CUDA and there is a GPU; else None."""
    names = [gpu.name for gpu in machine.gpus] or machine.listed or ['An NVIDIA GPU']
    if has_cuda() or not (machine.gpus or machine.listed or machine.on_bus):
        return None
    return '%s is in this machine, but %s%s' % (
        names[0], support.without_cuda(platform.machine()), CPU_INSTEAD)


def _no_driver(machine):
    if not machine.on_bus:
        return None                                      # no GPU either
    return ('An NVIDIA GPU is in this machine, but no driver: install NVIDIA driver %s or later '
            '(in a container: start it with --gpus all), %s' % (tf1.OLDEST_DRIVER, CPU_INSTEAD))


def _driver_problem(machine):
    """The sentence if the driver is too old or its library is missing; else None."""
    version = support.numbers(machine.driver or '')      # () where it is not known
    if version and version < support.numbers(tf1.OLDEST_DRIVER):
        return ('NVIDIA driver %s is too old for TensorFlow %s: install %s or later, %s'
                % (machine.driver, tf1.VERSION, tf1.OLDEST_DRIVER, CPU_INSTEAD))
    if machine.cuda_error is None:
        return ('%s runs, but its library libcuda.so.1 cannot be opened: install the '
                "driver's CUDA library (libcuda1; in a container: start it with --gpus all), %s"
                % (_driver(machine), CPU_INSTEAD))
    return None


def _driver(machine):
    return ('An NVIDIA driver of unknown version' if machine.driver == UNKNOWN
            else 'NVIDIA driver %s' % machine.driver)


def _cuda_problem(machine):
    """The sentence if CUDA does not start or does not show an installed GPU; else None."""
    error, names = machine.cuda_error, machine.listed or [gpu.name for gpu in machine.gpus]
    unseen = not machine.gpus and (machine.listed or machine.on_bus or machine.driver)
    if unseen and machine.hidden_by is not None and error in (0, NO_DEVICE, INVALID_DEVICE):
        return ('%s is hidden by CUDA_VISIBLE_DEVICES=%s: unset it, %s'
                % (names[0] if names else 'An NVIDIA GPU', machine.hidden_by, CPU_INSTEAD))
    if error not in (0, NO_DEVICE):
        return ('CUDA does not start on %s (cuInit returned %s): %s, %s'
                % (names[0] if names else 'the NVIDIA GPU', support.error_words(error),
                   support.error_remedy(error), CPU_INSTEAD))
    if unseen and (machine.listed or machine.on_bus):
        return ('%s is in this machine, but CUDA shows no GPU: see `nvidia-smi` (in a container: '
                'start it with --gpus all), %s'
                % (names[0] if names else 'An NVIDIA GPU', CPU_INSTEAD))
    if unseen:
        return ('%s runs, but CUDA shows no GPU: see `nvidia-smi` (in WSL 2: update the NVIDIA '
                'driver of Windows, then `wsl --update`), %s' % (_driver(machine), CPU_INSTEAD))
    return None


def _limits(machine):
    """The known limits of TensorFlow's wheel on the first GPU: a refusal or None, and warnings."""
    gpu = machine.gpus[0]
    return support.limits(gpu.name, gpu.compute_capability, machine.driver, machine.cuda_version)


def _gpu_problem(machine):
    """The sentence if this TensorFlow has no code for the first GPU; else None."""
    if not machine.gpus:
        return None
    refusal, _ = _limits(machine)
    if refusal:
        return refusal + CPU_INSTEAD
    gpu, (oldest, newest) = machine.gpus[0], tf1.CAPABILITIES
    if newest and gpu.compute_capability > newest:
        return ('%s (compute capability %d.%d) is too new for TensorFlow %s, which supports GPUs '
                'up to %d.%d: use the modern runtime (README, "Which GPU"), %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + newest + (CPU_INSTEAD,)))
    if gpu.compute_capability < oldest:
        return ('%s (compute capability %d.%d) is too old for TensorFlow %s, which supports GPUs '
                'from %d.%d on: use %s, %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + oldest
                   + ('the classic runtime (README, "Which GPU")' if gpu.compute_capability
                      >= OLDEST_OF_ALL else 'a later GPU', CPU_INSTEAD)))
    return None


def _library_problem(machine):
    """The sentence if libraries of CUDA are missing; else None."""
    if not machine.gpus or not machine.missing:
        return None
    return ('%s is there, but %s cannot be opened: install CUDA %s and cuDNN %s for TensorFlow %s '
            'and add their folder to LD_LIBRARY_PATH, or use the image (README), %s'
            % (machine.gpus[0].name, ', '.join(machine.missing), tf1.CUDA_VERSION,
               tf1.CUDNN_VERSION, tf1.VERSION, CPU_INSTEAD))


def look() -> Machine:
    """Examines this machine, without making a CUDA context and without TensorFlow."""
    error, gpus = cuda_gpus()
    listed = nvidia_smi()
    driver = driver_version(listed)
    if driver is None and (gpus or os.path.exists(WSL_FOLDER + 'libcuda.so.1')):
        driver = UNKNOWN
    return Machine(_on_bus(), driver, [name for _, name in listed], gpus, error,
                   os.environ.get('CUDA_VISIBLE_DEVICES'), missing_libraries(), cuda_version())


def _libcuda() -> Any:
    """The driver's library; None where it cannot be opened. In WSL 2 the loader may not know its
    folder; once it is open, TensorFlow finds it by its name."""
    for path in 'libcuda.so.1', WSL_FOLDER + 'libcuda.so.1':
        try:
            return ctypes.CDLL(path)
        except OSError:
            pass
    return None


def cuda_version() -> Optional[Tuple[int, int]]:
    """Returns the CUDA version of libcuda.so.1, such as (12, 4); None where it is not known."""
    version = ctypes.c_int()
    try:
        error = _libcuda().cuDriverGetVersion(ctypes.byref(version))
    except AttributeError:                               # no library, or one without that function
        return None
    return (version.value // 1000, version.value % 1000 // 10) if error == 0 else None


def driver_version(listed: Optional[List[Tuple[str, str]]] = None) -> Optional[str]:
    """Returns the version of the NVIDIA driver, from the kernel or else from nvidia-smi (`listed`:
    an earlier result of nvidia_smi()); None without one."""
    running = host.driver_version()
    if running or listed == []:
        return running
    return next((version for version, _ in listed or nvidia_smi()), None)


def cuda_gpus() -> Tuple[Optional[int], List[Gpu]]:
    """Returns the error code of cuInit, 0 for success (None without libcuda.so.1), and the GPUs
    that CUDA shows."""
    cuda = _libcuda()
    try:
        error = cuda.cuInit(0)
    except AttributeError:                               # no library, or one without that function
        return None, []
    gpu_count = ctypes.c_int()
    if error == 0:
        cuda.cuDeviceGetCount(ctypes.byref(gpu_count))
    return error, [_gpu(cuda, i) for i in range(gpu_count.value)]


def _gpu(cuda, ordinal):
    def text(function):
        buffer = ctypes.create_string_buffer(100)
        function(buffer, len(buffer), ordinal)
        return buffer.value.decode(errors='replace')

    def attribute(number):
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), number, ordinal)
        return value.value

    memory = ctypes.c_size_t()
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), ordinal)
    return Gpu(text(cuda.cuDeviceGetName), text(cuda.cuDeviceGetPCIBusId),
               (attribute(CAPABILITY_MAJOR), attribute(CAPABILITY_MINOR)),
               attribute(MULTIPROCESSORS), memory.value)


def nvidia_smi() -> List[Tuple[str, str]]:
    """Returns (driver version, name) of each GPU that nvidia-smi lists, hidden from CUDA or not;
    nothing where it is missing, fails, or does not answer in SMI_S."""
    command = shutil.which('nvidia-smi') or WSL_FOLDER + 'nvidia-smi'
    try:
        done = subprocess.run([command, '--query-gpu=driver_version,name',
                               '--format=csv,noheader'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=SMI_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors='replace').splitlines() if done.returncode == 0 else []
    rows = [tuple(part.strip() for part in line.split(',', 1)) for line in lines]
    return [row for row in rows if len(row) == 2 and re.match(r'\d+\.\d', row[0])]


def has_driver_library() -> bool:
    """Returns whether the library of the NVIDIA driver can be opened."""
    return _libcuda() is not None


def count() -> int:
    """Returns the number of GPUs of this machine, also those hidden from CUDA. Does not call CUDA,
    which would read CUDA_VISIBLE_DEVICES before launch.pin sets it."""
    return len(nvidia_smi()) or _on_bus()


def _on_bus():
    """Counts the display controllers of vendor 10de, NVIDIA, on the PCI bus."""
    gpus = 0
    for folder in glob.glob('/sys/bus/pci/devices/*'):
        try:
            with open(folder + '/vendor') as vendor, open(folder + '/class') as class_:
                gpus += vendor.read().strip() == '0x10de' and class_.read().startswith('0x03')
        except OSError:
            pass
    return gpus


def missing_libraries() -> List[str]:
    """Returns which of the libraries that this TensorFlow opens by name cannot be opened, neither
    by the loader nor in the CUDA packages that pip installs."""
    folders = [folder for base in sys.path for folder in glob.glob(base + '/nvidia/*/lib')]
    missing = []
    for library in tf1.GPU_LIBRARIES:
        if any(os.path.exists(os.path.join(folder, library)) for folder in folders):
            continue
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    return missing


def loaded_versions() -> Dict[str, str]:
    """Returns the versions of the CUDA runtime and of cuDNN that the loader finds, once a session
    has loaded them: {'cuda': '10.0', 'cudnn': '7.6.5'}, without those that cannot be read."""
    versions = {}
    for library in tf1.GPU_LIBRARIES:
        try:
            if library.startswith('libcudart.'):
                version = ctypes.c_int()
                ctypes.CDLL(library).cudaRuntimeGetVersion(ctypes.byref(version))
                versions['cuda'] = '%d.%d' % (version.value // 1000, version.value % 1000 // 10)
            if library.startswith('libcudnn.'):
                version = ctypes.CDLL(library).cudnnGetVersion()
                major = 10000 if version >= 90000 else 1000              # since cuDNN 9
                versions['cudnn'] = '%d.%d.%d' % (version // major, version % major // 100,
                                                  version % 100)
        except (OSError, AttributeError):
            pass
    return versions


def _cpu(reason):
    name = host.cpu_name()
    return Device('cpu', name, '%s, %s: %s' % (name, host.cpu_count(), reason))
