"""Which device is timed, and why: the GPU if there is one, else the CPU, never one for the other.

The driver and the libraries are examined before TensorFlow uses the GPU, so that a GPU that it
cannot use ends in a sentence that says what to do, and not in a hang, a nan or a silent fall-back
to the CPU. doctor.py beside this file prints everything that is found.
"""
import ctypes
import glob
import os
import re
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional, Tuple

from common import tf1
from common.machine import host

# Of the CUDA driver API, cuda.h: an error, and attributes of a device.
NO_DEVICE = 100
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76

SMI_S = 20                           # a machine of many GPUs without persistence takes a while

CPU_INSTEAD = 'or take --device cpu for CPU figures.'


class Unusable(Exception):
    """The requested device cannot be used; the text says why and what to do."""


class Gpu(NamedTuple):
    """What the driver says of a GPU; `multiprocessors` are its SMs."""
    name: str
    pci_bus_id: str                                      # such as '0000:3B:00.0'
    compute_capability: Tuple[int, int]
    multiprocessors: int
    memory_bytes: int


class Machine(NamedTuple):
    """What can be seen of a machine's GPUs without TensorFlow.

    on_bus: NVIDIA GPUs on the PCI bus, whether or not a driver runs them.
    driver: version of the NVIDIA driver, such as '535.104.05'; None without one.
    listed: names of the GPUs that nvidia-smi lists.
    gpus: the GPUs that CUDA shows to this process.
    cuda_error: what cuInit returned; None where libcuda.so.1 cannot be opened.
    hidden_by: the value of CUDA_VISIBLE_DEVICES; None where it is not set.
    missing: the libraries that this TensorFlow needs and that cannot be opened.
    """
    on_bus: int
    driver: Optional[str]
    listed: List[str]
    gpus: List[Gpu]
    cuda_error: Optional[int]
    hidden_by: Optional[str]
    missing: List[str]


class Device(NamedTuple):
    """The device to be timed: kind is 'gpu' or 'cpu'; sentence says which device and why."""
    kind: str
    name: str
    sentence: str
    gpu: Optional[Gpu] = None


def choose(requested: str, machine: Optional[Machine] = None) -> Device:
    """Chooses the device for --device `requested`: 'auto', 'gpu' or 'cpu'; on `machine`, which is
    looked at here unless it is given.

    Raises Unusable: 'gpu' was requested and there is none, or there is one that TensorFlow cannot
    use.
    """
    if requested == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''          # before the driver's first call
        return _cpu('--device cpu was given')
    machine = machine or look()
    reason = problem(machine)
    if reason:
        raise Unusable(reason)
    if not machine.gpus:
        if requested == 'gpu':
            raise Unusable('--device gpu was given, but no NVIDIA GPU and no driver was found.')
        return _cpu('no NVIDIA GPU and no driver was found')
    gpu = machine.gpus[0]
    why = 'as --device gpu asks' if requested == 'gpu' else 'the first GPU that CUDA shows'
    return Device('gpu', gpu.name, '%s (compute capability %d.%d, driver %s): %s' % (
        (gpu.name,) + gpu.compute_capability + (machine.driver, why)), gpu)


def problem(machine: Machine) -> Optional[str]:
    """Returns why there is a GPU that this TensorFlow cannot use and what to do, in plain words;
    None where the first GPU can be used or there is none at all."""
    if machine.driver is None and machine.cuda_error is None:
        return _no_driver(machine)
    return (_driver_problem(machine) or _cuda_problem(machine)
            or _gpu_problem(machine) or _library_problem(machine))


def _no_driver(machine):
    if not machine.on_bus:
        return None                                      # no GPU either
    return ('An NVIDIA GPU is in this machine, but no driver: install NVIDIA driver %s or later '
            '(in a container: start it with --gpus all), %s' % (tf1.OLDEST_DRIVER, CPU_INSTEAD))


def _driver_problem(machine):
    """The driver, or its library, is not there or too old."""
    if machine.driver and _numbers(machine.driver) < _numbers(tf1.OLDEST_DRIVER):
        return ('NVIDIA driver %s is too old for TensorFlow %s: install %s or later, %s'
                % (machine.driver, tf1.VERSION, tf1.OLDEST_DRIVER, CPU_INSTEAD))
    if machine.cuda_error is None:
        return ('NVIDIA driver %s runs, but its library libcuda.so.1 cannot be opened: install the '
                "driver's CUDA library (libcuda1; in a container: start it with --gpus all), %s"
                % (machine.driver, CPU_INSTEAD))
    return None


def _cuda_problem(machine):
    """CUDA does not show a GPU that is there."""
    names = machine.listed or [gpu.name for gpu in machine.gpus]
    name = names[0] if names else 'An NVIDIA GPU'
    unseen = not machine.gpus and (machine.listed or machine.on_bus)
    if unseen and machine.hidden_by is not None:
        return ('%s is hidden by CUDA_VISIBLE_DEVICES=%s: unset it, %s'
                % (name, machine.hidden_by, CPU_INSTEAD))
    if machine.cuda_error not in (0, NO_DEVICE):
        return ('CUDA does not start on %s (cuInit returned %d): reboot after a driver update, see '
                '`nvidia-smi` and `dmesg`, %s' % (name, machine.cuda_error, CPU_INSTEAD))
    if unseen:
        return ('%s is in this machine, but CUDA shows no GPU: see `nvidia-smi` (in a container: '
                'start it with --gpus all), %s' % (name, CPU_INSTEAD))
    return None


def _gpu_problem(machine):
    """This TensorFlow has no code for the first GPU."""
    if not machine.gpus:
        return None
    gpu, (oldest, newest) = machine.gpus[0], tf1.CAPABILITIES
    if newest and gpu.compute_capability > newest:
        return ('%s (compute capability %d.%d) is too new for TensorFlow %s, which supports GPUs '
                'up to %d.%d: use the modern runtime (README, "Which GPU"), %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + newest + (CPU_INSTEAD,)))
    if gpu.compute_capability < oldest:
        return ('%s (compute capability %d.%d) is too old for TensorFlow %s, which supports GPUs '
                'from %d.%d on: use the classic runtime from 3.5 on (README, "Which GPU"), %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + oldest + (CPU_INSTEAD,)))
    return None


def _library_problem(machine):
    """CUDA's libraries are not installed."""
    if not machine.gpus or not machine.missing:
        return None
    return ('%s is there, but %s cannot be opened: install CUDA %s and cuDNN %s for TensorFlow %s '
            'and add their folder to LD_LIBRARY_PATH, or use the image (README), %s'
            % (machine.gpus[0].name, ', '.join(machine.missing), tf1.CUDA_VERSION,
               tf1.CUDNN_VERSION, tf1.VERSION, CPU_INSTEAD))


def look() -> Machine:
    """Looks at this machine. Makes no CUDA context and does not touch TensorFlow."""
    error, gpus = cuda_gpus()
    listed = nvidia_smi()
    return Machine(_on_bus(), driver_version(listed), [name for _, name in listed], gpus, error,
                   os.environ.get('CUDA_VISIBLE_DEVICES'), missing_libraries())


def driver_version(listed: Optional[List[Tuple[str, str]]] = None) -> Optional[str]:
    """Returns the version of the NVIDIA driver, by the kernel, else by nvidia-smi (`listed` is what
    nvidia_smi() returned before); None without one."""
    running = host.driver_version()
    if running or listed == []:
        return running
    return next((version for version, _ in listed or nvidia_smi()), None)


def cuda_gpus() -> Tuple[Optional[int], List[Gpu]]:
    """Returns what cuInit returned (None without libcuda.so.1) and the GPUs that CUDA shows."""
    try:
        cuda = ctypes.CDLL('libcuda.so.1')
    except OSError:
        return None, []
    try:
        error = cuda.cuInit(0)
    except AttributeError:                               # a stub of the library
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
    try:
        done = subprocess.run(['nvidia-smi', '--query-gpu=driver_version,name',
                               '--format=csv,noheader'], stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=SMI_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors='replace').splitlines() if done.returncode == 0 else []
    rows = [tuple(part.strip() for part in line.split(',', 1)) for line in lines]
    return [row for row in rows if len(row) == 2 and re.match(r'\d+\.\d', row[0])]


def count() -> int:
    """Returns the number of GPUs of this machine, hidden from CUDA or not, without CUDA: the driver
    reads CUDA_VISIBLE_DEVICES in its first call."""
    return len(nvidia_smi()) or _on_bus()


def _on_bus():
    """Counts the display controllers of vendor 10de, NVIDIA, on the PCI bus."""
    found = 0
    for folder in glob.glob('/sys/bus/pci/devices/*'):
        try:
            with open(folder + '/vendor') as vendor, open(folder + '/class') as class_:
                found += vendor.read().strip() == '0x10de' and class_.read().startswith('0x03')
        except OSError:
            pass
    return found


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
    has loaded them: {'cuda': '10.0', 'cudnn': '7.6.5'}, without what cannot be asked."""
    found = {}
    for library in tf1.GPU_LIBRARIES:
        try:
            if library.startswith('libcudart.'):
                version = ctypes.c_int()
                ctypes.CDLL(library).cudaRuntimeGetVersion(ctypes.byref(version))
                found['cuda'] = '%d.%d' % (version.value // 1000, version.value % 1000 // 10)
            if library.startswith('libcudnn.'):
                version = ctypes.CDLL(library).cudnnGetVersion()
                major = 10000 if version >= 90000 else 1000              # since cuDNN 9
                found['cudnn'] = '%d.%d.%d' % (version // major, version % major // 100,
                                               version % 100)
        except (OSError, AttributeError):
            pass
    return found


def _cpu(reason):
    name = host.cpu_name()
    return Device('cpu', name, '%s, %s: %s' % (name, host.cpu_count(), reason))


def _numbers(version):
    return [int(number) for number in re.findall(r'\d+', version)]
