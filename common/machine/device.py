"""Which device is timed, and why: the GPU if there is one, else the CPU, never one for the other.

The machine is looked at before TensorFlow is asked, so that a GPU that TensorFlow cannot use ends
in a sentence that says what to do, and not in a hang, a nan or a silent fall-back to the CPU.

    python -m common.machine.device  prints the whole diagnosis (`make doctor`)
"""
import ctypes
import glob
import os
import platform
import re
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional, Tuple

from common import tf1
from common.tf1 import tf

# Of the CUDA driver API, cuda.h: an error, and attributes of a device.
NO_DEVICE = 100
MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76

SMI_S = 20                           # a machine of many GPUs without persistence takes a while

CPU_INSTEAD = 'or take --device cpu for CPU figures.'


class Unusable(Exception):
    """The machine cannot run it on the device asked for; the text says why and what to do."""


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


def choose(asked: str, machine: Optional[Machine] = None) -> Device:
    """Chooses the device for --device `asked`: 'auto', 'gpu' or 'cpu'; of `machine`, if it has been
    looked at already.

    Raises Unusable: a GPU is asked for and there is none, or there is one that TensorFlow cannot
    use.
    """
    if asked == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''          # before the driver's first call
        return _cpu('--device cpu was given')
    machine = machine or look()
    trouble = problem(machine)
    if trouble:
        raise Unusable(trouble)
    if not machine.gpus:
        if asked == 'gpu':
            raise Unusable('--device gpu was given, but no NVIDIA GPU and no driver was found.')
        return _cpu('no NVIDIA GPU and no driver was found')
    gpu = machine.gpus[0]
    why = 'as --device gpu asks' if asked == 'gpu' else 'the first GPU that CUDA shows'
    return Device('gpu', gpu.name, '%s (compute capability %d.%d, driver %s): %s' % (
        (gpu.name,) + gpu.compute_capability + (machine.driver, why)), gpu)


def problem(machine: Machine) -> Optional[str]:
    """Returns why there is a GPU that this TensorFlow cannot use and what to do, in plain words;
    None where the first GPU can be used or there is none at all."""
    names = machine.listed or [gpu.name for gpu in machine.gpus]
    name = names[0] if names else 'An NVIDIA GPU'
    if machine.driver is None and machine.cuda_error is None:
        if machine.on_bus:
            return ('An NVIDIA GPU is in this machine, but no driver: install NVIDIA driver %s or '
                    'later (in a container: start it with --gpus all), %s'
                    % (tf1.OLDEST_DRIVER, CPU_INSTEAD))
        return None
    if machine.driver and _numbers(machine.driver) < _numbers(tf1.OLDEST_DRIVER):
        return ('NVIDIA driver %s is too old for TensorFlow %s: install %s or later, %s'
                % (machine.driver, tf1.VERSION, tf1.OLDEST_DRIVER, CPU_INSTEAD))
    if machine.cuda_error is None:
        return ('NVIDIA driver %s runs, but its library libcuda.so.1 cannot be opened: install the '
                "driver's CUDA library (libcuda1; in a container: start it with --gpus all), %s"
                % (machine.driver, CPU_INSTEAD))
    if not machine.gpus and machine.hidden_by is not None and (machine.listed or machine.on_bus):
        return ('%s is hidden by CUDA_VISIBLE_DEVICES=%s: unset it, %s'
                % (name, machine.hidden_by, CPU_INSTEAD))
    if machine.cuda_error not in (0, NO_DEVICE):
        return ('CUDA does not start on %s (cuInit returned %d): reboot after a driver update, see '
                '`nvidia-smi` and `dmesg`, %s' % (name, machine.cuda_error, CPU_INSTEAD))
    if not machine.gpus:
        if machine.listed or machine.on_bus:
            return ('%s is in this machine, but CUDA shows no GPU: see `nvidia-smi` (in a '
                    'container: start it with --gpus all), %s' % (name, CPU_INSTEAD))
        return None
    gpu = machine.gpus[0]
    oldest, newest = tf1.CAPABILITIES
    if newest and gpu.compute_capability > newest:
        return ('%s (compute capability %d.%d) is too new for TensorFlow %s, which has no code for '
                'it beyond %d.%d: use the modern runtime (README, "Which GPU"), %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + newest + (CPU_INSTEAD,)))
    if gpu.compute_capability < oldest:
        return ('%s (compute capability %d.%d) is too old for TensorFlow %s, which begins at %d.%d:'
                ' use the classic runtime from 3.5 on (README, "Which GPU"), %s'
                % ((gpu.name,) + gpu.compute_capability + (tf1.VERSION,) + oldest + (CPU_INSTEAD,)))
    if machine.missing:
        return ('%s is there, but %s cannot be opened: install CUDA %s and cuDNN %s for TensorFlow '
                '%s and add their folder to LD_LIBRARY_PATH, or use the image (README), %s'
                % (gpu.name, ', '.join(machine.missing), tf1.CUDA_VERSION, tf1.CUDNN_VERSION,
                   tf1.VERSION, CPU_INSTEAD))
    return None


def look() -> Machine:
    """Looks at this machine. Makes no CUDA context and does not touch TensorFlow."""
    error, gpus = cuda_gpus()
    listed = nvidia_smi()
    driver = driver_version() or next((version for version, _ in listed), None)
    return Machine(_on_bus(), driver, [name for _, name in listed], gpus, error,
                   os.environ.get('CUDA_VISIBLE_DEVICES'), missing_libraries())


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
    count = ctypes.c_int()
    if error == 0:
        cuda.cuDeviceGetCount(ctypes.byref(count))
    return error, [_gpu(cuda, i) for i in range(count.value)]


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


def driver_version() -> Optional[str]:
    """Returns the version of the running NVIDIA kernel driver; None where /proc does not tell."""
    try:
        with open('/proc/driver/nvidia/version') as file:
            return re.search(r'\b\d{3,}\.[\d.]+', file.read()).group()
    except (OSError, AttributeError):                    # no such file, or no number in it
        return None


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
    count = 0
    for folder in glob.glob('/sys/bus/pci/devices/*'):
        try:
            with open(folder + '/vendor') as vendor, open(folder + '/class') as class_:
                count += vendor.read().strip() == '0x10de' and class_.read().startswith('0x03')
        except OSError:
            pass
    return count


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


def _cpu(reason):
    name = cpu_name()
    return Device('cpu', name, '%s, %d threads: %s' % (name, os.cpu_count() or 1, reason))


def _numbers(version):
    return [int(number) for number in re.findall(r'\d+', version)]


def diagnosis(machine: Machine) -> List[str]:
    """Returns the lines that `make doctor` prints."""
    lines = ['Python %s, TensorFlow %s (%s runtime)'
             % (platform.python_version(), tf1.VERSION, tf1.RUNTIME),
             'Needs: driver %s or later, compute capability %s, CUDA %s, cuDNN %s'
             % (tf1.OLDEST_DRIVER, ' to '.join('%d.%d' % bound if bound else 'the newest'
                                               for bound in tf1.CAPABILITIES),
                tf1.CUDA_VERSION, tf1.CUDNN_VERSION),
             'CPU: %s, %d threads' % (cpu_name(), os.cpu_count() or 1),
             'NVIDIA GPUs on the PCI bus: %d' % machine.on_bus,
             'NVIDIA driver: %s' % (machine.driver or 'none'),
             'GPUs that nvidia-smi lists: %s' % (', '.join(machine.listed) or 'none'),
             'libcuda.so.1: %s' % ('cannot be opened' if machine.cuda_error is None
                                   else 'cuInit returned %d' % machine.cuda_error),
             'CUDA_VISIBLE_DEVICES: %s' % ('not set' if machine.hidden_by is None
                                           else repr(machine.hidden_by))]
    for gpu in machine.gpus:
        lines.append('GPU that CUDA shows: %s, compute capability %d.%d, %d multiprocessors, '
                     '%.1f GiB, PCI %s' % ((gpu.name,) + gpu.compute_capability
                                           + (gpu.multiprocessors, gpu.memory_bytes / 2 ** 30,
                                              gpu.pci_bus_id)))
    for library in tf1.GPU_LIBRARIES:
        lines.append('%s: %s' % (library,
                                 'cannot be opened' if library in machine.missing else 'found'))
    return lines


def main() -> int:
    """Prints the diagnosis and what follows from it; returns 0, or 3 for a GPU that is unusable."""
    machine = look()
    print('\n'.join(diagnosis(machine)))
    trouble = problem(machine)
    if trouble:
        print('\nProblem: ' + trouble)
        return 3
    from common.machine import session  # here: session.py needs this module
    device = choose('auto', machine)
    try:
        session.open_session(device).close()
    except (Unusable, tf.errors.OpError) as error:
        print('\nProblem: %s' % error)
        return 3
    print('\nThe benchmarks would time: ' + device.sentence)
    return 0


if __name__ == '__main__':
    sys.exit(main())
