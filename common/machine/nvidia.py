"""NVIDIA's GPUs: what a TensorFlow needs of one, what this machine has, and the diagnosis.

The scripts, the doctor and tools/environment.py all ask here, so that they say the same of the same
machine. It needs only the standard library, of Python 3.7 or later.

LIMITS was read from the binaries in pip's wheels, which contain code for some GPUs and PTX of some
version; it was not tried on a GPU. Code for a compute capability also runs on later ones of the
same major version; for all others the driver compiles the PTX.

    TensorFlow 1.15        code for 3.5, 3.7, 5.2, 6.0, 6.1, 7.0 (Turing, 7.5, runs that of 7.0)
    TensorFlow 2.16-2.20   PTX for sm_90a, which runs on Hopper alone
    TensorFlow 2.21        code for 6.0, 7.0, 8.0, 8.9, 9.0; PTX for 9.0, partly of version 8.5

PTX 8.5 came with CUDA 12.5 and driver R555; CUDA 12.8, the first for Blackwell, with driver R570
(PTX ISA, "Release History"; CUDA Toolkit Release Notes, "CUDA Driver"). The driver's cache of
compiled code: CUDA C++ Programming Guide, "CUDA Environment Variables".
"""
import ctypes
import glob
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common.machine import host

Version = Tuple[int, ...]

# In WSL 2 Windows puts its driver's library and nvidia-smi here, which may not be on PATH.
WSL_FOLDER = '/usr/lib/wsl/lib/'
UNKNOWN = 'unknown'                  # a driver whose version cannot be read
SMI_S = 20                           # a machine of many GPUs without persistence takes a while
NVIDIA_TF1_IMAGE = 'nvcr.io/nvidia/tensorflow:23.03-tf1-py3'       # 1.15.5, up to Hopper
NVIDIA_IMAGE = 'nvcr.io/nvidia/tensorflow:25.02-tf2-py3'
WITH_GPUS = ' (in a container: start it with --gpus all)'

MULTIPROCESSORS, CAPABILITY_MAJOR, CAPABILITY_MINOR = 16, 75, 76     # attributes, of cuda.h

STUB_LIBRARY, NO_DEVICE, INVALID_DEVICE = 34, 100, 101
OTHER_REMEDY = 'see `nvidia-smi` and `dmesg`, reboot'
# CUDA Driver API, "Data types used by CUDA driver", CUresult: errors of cuInit, with the remedy.
CUDA_ERRORS = {
    STUB_LIBRARY: ('CUDA_ERROR_STUB_LIBRARY', (
        "libcuda.so.1 is the CUDA toolkit's stub and not the driver's: take its folder "
        '(.../lib64/stubs) out of LD_LIBRARY_PATH')),
    NO_DEVICE: ('CUDA_ERROR_NO_DEVICE', OTHER_REMEDY),
    INVALID_DEVICE: ('CUDA_ERROR_INVALID_DEVICE', 'it cannot open the GPU: ' + OTHER_REMEDY),
    802: ('CUDA_ERROR_SYSTEM_NOT_READY', (
        'on machines with NVSwitch the fabric manager must run: systemctl start '
        'nvidia-fabricmanager (for a container: on the host)')),
    803: ('CUDA_ERROR_SYSTEM_DRIVER_MISMATCH', (
        'the running driver and libcuda.so.1 are of different versions: reboot (a container: '
        'start it anew)')),
    804: ('CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE', (
        'libcuda.so.1 is of a forward compatibility package, which GeForce GPUs do not support: '
        'remove it (in a container: /usr/local/cuda/compat), or update the driver')),
    999: ('CUDA_ERROR_UNKNOWN', OTHER_REMEDY),
}


def numbers(version: str) -> Version:
    """Returns the numbers in a version: (535, 104, 5) for '535.104.05', () for 'unknown'."""
    return tuple(int(number) for number in re.findall(r'\d+', version))


# What a TensorFlow needs

class Needs(NamedTuple):
    """What a TensorFlow needs to use a GPU.

    tensorflow: its version, such as '2.21.0'.
    has_cuda: whether it was built with CUDA.
    cuda, cudnn: their versions, such as '10.0' and '7'; None where it has none or does not say.
    driver: the oldest.
    capabilities: the oldest and the newest compute capability, such as ((3, 5), (7, 5)); None as
        the newest: no limit.
    libraries: those that it opens by name.
    is_nvidias: whether it is NVIDIA's own build, which contains other code than pip's wheels.
    """
    tensorflow: str
    has_cuda: bool
    cuda: Optional[str]
    cudnn: Optional[str]
    driver: str
    capabilities: Tuple[Version, Optional[Version]]
    libraries: Tuple[str, ...]
    is_nvidias: bool = False


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
CAPABILITIES_UNKNOWN = (6, 0), None  # where a build does not say: Pascal and later
OLDEST_OF_ALL = (3, 5)               # Kepler: the first GPUs of TensorFlow 1.15


def needs_of(tensorflow: str, build: Dict[str, Any], has_cuda: bool = True,
             is_nvidias: bool = False) -> Needs:
    """Returns what a TensorFlow needs to use a GPU.

    Args:
        tensorflow: the version, such as '2.15.1'.
        build: tf.sysconfig.get_build_info(), which came with TensorFlow 2.3; {} before.
        has_cuda: whether it was built with CUDA.
        is_nvidias: whether it is NVIDIA's own build, which brings newer libraries of its own.
    """
    release = numbers(tensorflow)[:2]
    cuda, cudnn, capabilities = build.get('cuda_version'), build.get('cudnn_version'), None
    if release[0] == 1:                                  # Kepler to Turing
        cuda, cudnn, capabilities = '10.0', '7', (OLDEST_OF_ALL, (7, 5))
    if release[0] == 1 and is_nvidias:
        return Needs(tensorflow, has_cuda, os.environ.get('CUDA_VERSION'), None, '450.51',
                     CAPABILITIES_UNKNOWN, (), True)
    if not cuda:                                         # built for the CPU: as its CUDA build
        driver, _ = CUDA['12' if release >= (2, 15) else '11']
        return Needs(tensorflow, has_cuda, None, None, driver, CAPABILITIES_UNKNOWN, ())
    driver, libraries = CUDA.get(cuda.split('.')[0], (CUDA['12'][0], ()))
    if cuda.startswith('11.0'):
        libraries = tuple(name.replace('cusolver.so.11', 'cusolver.so.10') for name in libraries)
    if libraries and cudnn:
        libraries += ('libcudnn.so.' + cudnn.split('.')[0],)
    oldest, newest = capabilities or _capabilities(build.get('cuda_compute_capabilities', []))
    if (2, 16) <= release <= (2, 20) and not is_nvidias:     # its code for later GPUs is sm_90a,
        newest = 9, 0                                        # which runs on 9.0 alone
    return Needs(tensorflow, has_cuda, cuda, cudnn, driver, (oldest, newest),
                 () if is_nvidias else libraries, is_nvidias)


def _capabilities(names: Sequence[str]) -> Tuple[Version, Optional[Version]]:
    """The oldest and the newest GPU that a build has code for, from its list: 'sm_80' runs on 8.x,
    'compute_80' (and '8.0') on all later ones. None as the newest: no limit."""
    codes = [((int(major), int(minor)), kind != 'sm_') for kind, major, minor
             in re.findall(r'(sm_|compute_|)(\d+)\.?(\d)', ' '.join(names))]
    if not codes:
        return CAPABILITIES_UNKNOWN
    newest, any_later = max(codes)
    return min(codes)[0], None if any_later else (newest[0], 9)


# Those that `make` installs.
CLASSIC = needs_of('1.15.0', {})
MODERN = needs_of('2.21.0', {
    'cuda_version': '12.5.1', 'cudnn_version': '9',
    'cuda_compute_capabilities': ['sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90']})


class Limit(NamedTuple):
    """A known limit of some versions of TensorFlow's wheels on some GPUs.

    tensorflow: the first and the last version, such as (2, 16).
    capabilities: the first and the last compute capability.
    driver, cuda: it holds only below this driver, which came with this CUDA; None: with any.
    text: what is wrong, with the fields name, capability, tensorflow, driver and cache.
    remedy: what to do, where the GPU is refused; None: the text is only a warning.
    """
    tensorflow: Tuple[Version, Version]
    capabilities: Tuple[Version, Version]
    driver: Optional[str]
    cuda: Optional[Version]
    text: str
    remedy: Optional[str] = None


MAXWELL, HOPPER, BLACKWELL = ((5, 0), (5, 1)), ((9, 0), (9, 9)), ((10, 0), (99, 9))
COMPILED = ('the driver compiles TensorFlow %(tensorflow)s for compute capability %(capability)s '
            'at the first start{}, and stores that in %(cache)s (CUDA_CACHE_PATH, '
            'CUDA_CACHE_MAXSIZE), which a container must mount to keep it (read from the wheel, '
            'not tried)')
OLDER = ('TensorFlow %(tensorflow)s is older than %(name)s and may have no code for compute '
         'capability %(capability)s: if it does not start or gives wrong results, use the modern '
         'runtime (TensorFlow 2.21; not tried)')
LIMITS = [
    Limit(((1, 13), (1, 15)), MAXWELL, None, None, COMPILED.format('')),
    Limit(((2, 4), (2, 10)), HOPPER, None, None, OLDER),
    Limit(((2, 4), (2, 15)), BLACKWELL, None, None, OLDER),
    Limit(((2, 16), (2, 20)), BLACKWELL, None, None,
          'TensorFlow %(tensorflow)s has no code for %(name)s (compute capability %(capability)s), '
          'and its PTX (sm_90a) is for Hopper alone',
          "use TensorFlow 2.21 (the modern runtime), NVIDIA's image " + NVIDIA_IMAGE),
    # A warning: TensorFlow may not need those kernels for these networks; nobody has tried.
    Limit(((2, 21), (2, 21)), HOPPER, '555', (12, 5),
          'part of the code of TensorFlow %(tensorflow)s for %(name)s is PTX 8.5, which needs '
          'driver 555 or later (this one: %(driver)s): if the run ends with '
          "UNSUPPORTED_PTX_VERSION, update the driver or use NVIDIA's image " + NVIDIA_IMAGE
          + ' (read from the wheel, not tried)'),
    Limit(((2, 21), (2, 21)), BLACKWELL, '570', (12, 8),
          'NVIDIA driver %(driver)s is too old for %(name)s (compute capability %(capability)s) '
          'with TensorFlow %(tensorflow)s', 'install 570 or later'),
    Limit(((2, 21), (2, 21)), BLACKWELL, None, None,
          COMPILED.format(', which can take up to 30 minutes')),
    Limit(((2, 21), (2, 21)), BLACKWELL, None, None,
          '--xla is expected to fail on %(name)s with TensorFlow %(tensorflow)s; the other way to '
          "run there is NVIDIA's image " + NVIDIA_IMAGE + ' (not tried)'),
]


# What a machine has

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
    missing: the libraries of a TensorFlow that cannot be opened.
    cuda_version: of libcuda.so.1, such as (12, 4); None where it is unknown.
    """
    on_bus: int
    driver: Optional[str]
    listed: List[str]
    gpus: List[Gpu]
    cuda_error: Optional[int]
    hidden_by: Optional[str]
    missing: List[str]
    cuda_version: Optional[Version] = None


def look(libraries: Sequence[str]) -> Machine:
    """Examines this machine, without making a CUDA context; `libraries`: of Needs."""
    error, gpus = cuda_gpus()
    listed = nvidia_smi()
    driver = driver_version(listed)
    if driver is None and (gpus or os.path.exists(WSL_FOLDER + 'libcuda.so.1')):
        driver = UNKNOWN
    return Machine(_on_bus(), driver, [name for _, name in listed], gpus, error,
                   os.environ.get('CUDA_VISIBLE_DEVICES'), missing_libraries(libraries),
                   cuda_version())


def _libcuda() -> Any:
    """The driver's library; None where it cannot be opened. In WSL 2 the loader may not know its
    folder; once it is open, TensorFlow finds it by its name."""
    names = ['libcuda.so.1', WSL_FOLDER + 'libcuda.so.1']
    for path in ['nvcuda.dll'] if sys.platform == 'win32' else names:
        try:
            return ctypes.CDLL(path)
        except OSError:
            pass
    return None


def has_driver_library() -> bool:
    """Returns whether the library of the NVIDIA driver can be opened."""
    return _libcuda() is not None


def cuda_version() -> Optional[Version]:
    """Returns the CUDA version of libcuda.so.1, such as (12, 4); None where it is unknown."""
    version = ctypes.c_int()
    try:
        error = _libcuda().cuDriverGetVersion(ctypes.byref(version))
    except AttributeError:                               # no library, or one without that function
        return None
    return (version.value // 1000, version.value % 1000 // 10) if error == 0 else None


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
                               '--format=csv,noheader'], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=SMI_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode(errors='replace').splitlines() if done.returncode == 0 else []
    rows = [tuple(part.strip() for part in line.split(',', 1)) for line in lines]
    return [row for row in rows if len(row) == 2 and re.match(r'\d+\.\d', row[0])]


def driver_version(listed: Optional[List[Tuple[str, str]]] = None) -> Optional[str]:
    """Returns the version of the NVIDIA driver, from the kernel or else from nvidia-smi (`listed`:
    an earlier result of nvidia_smi()); None without one."""
    running = host.driver_version()
    if running or listed == []:
        return running
    return next((version for version, _ in listed or nvidia_smi()), None)


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


def missing_libraries(libraries: Sequence[str]) -> List[str]:
    """Returns which of these libraries cannot be opened, neither by the loader nor in the CUDA
    packages that pip installs. On Windows, where they have other names, none: TensorFlow says
    which it cannot load."""
    if sys.platform == 'win32':
        return []
    folders = [folder for base in sys.path
               for folder in glob.glob(glob.escape(base) + '/nvidia/*/lib')]
    missing = []
    for library in libraries:
        if any(os.path.exists(os.path.join(folder, library)) for folder in folders):
            continue
        try:
            ctypes.CDLL(library)
        except OSError:
            missing.append(library)
    return missing


def loaded_versions(libraries: Sequence[str]) -> Dict[str, str]:
    """Returns the versions of the CUDA runtime and of cuDNN that the loader finds, once a session
    has loaded them: {'cuda': '10.0', 'cudnn': '7.6.5'}, without those that cannot be read."""
    versions = {}
    for library in libraries:
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


# The diagnosis

def problem(machine: Machine, needs: Needs) -> Optional[str]:
    """Returns a sentence that says why this TensorFlow cannot use the GPU, and what to do; None if
    it can use the first GPU, or if there is no GPU."""
    diagnosis = diagnose(machine, needs)
    return diagnosis and sentence(diagnosis)


def sentence(diagnosis: Tuple[str, str]) -> str:
    """Returns the sentence of what diagnose() returned."""
    return '%s: %s, or use --device cpu for CPU figures.' % diagnosis


def diagnose(machine: Machine, needs: Needs) -> Optional[Tuple[str, str]]:
    """Returns what is wrong and what to do, of a GPU that this TensorFlow cannot use; else None."""
    gpu = machine.gpus[0] if machine.gpus else None
    name = ([gpu.name] if gpu else machine.listed or ['An NVIDIA GPU'])[0]
    is_seen = gpu or machine.listed or machine.on_bus
    error = machine.cuda_error
    if is_seen and not needs.has_cuda:
        return '%s is in this machine, but TensorFlow %s was built without CUDA%s' % (
            name, needs.tensorflow, ', like all that pip installs on ARM (%s)' % platform.machine()
            if is_arm() else ''), (
                "use NVIDIA's TensorFlow for ARM (%s, on a Jetson the tag with -igpu)"
                % NVIDIA_IMAGE if is_arm() else 'install one that has it (`make bench` does)')
    if machine.driver is None and error in (None, STUB_LIBRARY):
        return (name + ' is in this machine, but no driver',
                'install NVIDIA driver %s or later%s' % (needs.driver, WITH_GPUS)
                ) if machine.on_bus else None
    wrong_gpu = _wrong_gpu(gpu, machine, needs) if gpu else None
    if wrong_gpu:
        return wrong_gpu
    driver = ('An NVIDIA driver of unknown version' if machine.driver == UNKNOWN
              else 'NVIDIA driver %s' % machine.driver)
    if machine.driver and _is_older(machine, needs.driver, (numbers(needs.cuda or '0')[0], 0)):
        return ('%s is too old for TensorFlow %s' % (driver, needs.tensorflow),
                'install %s or later' % needs.driver)
    if error is None:
        return (driver + ' runs, but its library libcuda.so.1 cannot be opened',
                "install the driver's CUDA library, libcuda1" + WITH_GPUS)
    is_unseen = not gpu and (is_seen or machine.driver)
    if is_unseen and machine.hidden_by is not None and error in (0, NO_DEVICE, INVALID_DEVICE):
        return '%s is hidden by CUDA_VISIBLE_DEVICES=%s' % (name, machine.hidden_by), 'unset it'
    if error not in (0, NO_DEVICE):
        return ('CUDA does not start on this machine (cuInit returned %s)' % error_words(error),
                CUDA_ERRORS.get(error, ('', OTHER_REMEDY))[1])
    if is_unseen and is_seen:
        return (name + ' is in this machine, but CUDA shows no GPU',
                'see `nvidia-smi`' + WITH_GPUS)
    if is_unseen:
        return driver + ' runs, but CUDA shows no GPU', (
            'see `nvidia-smi` (in WSL 2: update the NVIDIA driver of Windows, then `wsl --update`)')
    if gpu and machine.missing:
        return ('CUDA %s and cuDNN %s are not installed for %s (%s cannot be opened)'
                % (needs.cuda, needs.cudnn, name, ', '.join(machine.missing)),
                'install them for TensorFlow %s and add their folder to LD_LIBRARY_PATH, or use '
                'the image (README, "In a container")' % needs.tensorflow)
    return None


def _wrong_gpu(gpu, machine, needs):
    """What is wrong and what to do if this TensorFlow has no code for the GPU; else None."""
    for text, remedy in _limits(gpu, machine, needs):
        if remedy:
            return text, remedy
    oldest, newest = needs.capabilities
    described = '%s (compute capability %d.%d)' % ((gpu.name,) + gpu.compute_capability)
    if newest and gpu.compute_capability > newest:
        return ('%s is too new for TensorFlow %s, which supports GPUs up to %d.%d'
                % ((described, needs.tensorflow) + newest),
                'use the modern runtime (README, "Which GPU")' + (
                    ", or for TensorFlow 1 itself NVIDIA's image " + NVIDIA_TF1_IMAGE
                    if numbers(needs.tensorflow) < (2,) and gpu.compute_capability <= HOPPER[1]
                    else ''))
    if gpu.compute_capability < oldest:
        return ('%s is too old for TensorFlow %s, which needs compute capability %d.%d or later'
                % ((described, needs.tensorflow) + oldest),
                'use the classic runtime (README, "Which GPU")'
                if gpu.compute_capability >= OLDEST_OF_ALL else 'use a later GPU')
    return None


def warnings(machine: Machine, needs: Needs) -> List[str]:
    """Returns the known limits of a TensorFlow's wheel on the first GPU, a sentence each."""
    return [text for gpu in machine.gpus[:1]
            for text, remedy in _limits(gpu, machine, needs) if not remedy]


def _limits(gpu, machine, needs):
    """The text and the remedy of each of the LIMITS that a TensorFlow has on a GPU."""
    words = {'name': gpu.name, 'capability': '%d.%d' % gpu.compute_capability,
             'tensorflow': needs.tensorflow, 'driver': machine.driver or UNKNOWN,
             'cache': os.environ.get('CUDA_CACHE_PATH') or os.path.expanduser('~/.nv/ComputeCache')}
    return [(limit.text % words, limit.remedy) for limit in LIMITS
            if not needs.is_nvidias                      # contains other code than the wheels
            and limit.tensorflow[0] <= numbers(needs.tensorflow)[:2] <= limit.tensorflow[1]
            and limit.capabilities[0] <= gpu.compute_capability <= limit.capabilities[1]
            and (limit.driver is None or _is_older(machine, limit.driver, limit.cuda))]


def _is_older(machine, driver, cuda):
    """Whether a machine's driver is older than `driver`, which came with `cuda`. The CUDA version
    of the driver's library counts if it is known: it may be newer than the driver (NVIDIA's
    forward compatibility packages)."""
    if machine.cuda_version:
        return machine.cuda_version < cuda
    version = numbers(machine.driver or '')              # () where it is unknown
    return bool(version) and version < numbers(driver)


def no_gpu(machine: Machine) -> str:
    """Returns why the CPU is timed where nothing shows that there is a GPU."""
    if machine.cuda_error in (None, STUB_LIBRARY):
        return 'no NVIDIA GPU and no driver was found'
    return 'the NVIDIA driver shows no GPU' + (
        '' if machine.hidden_by is None else
        '; CUDA_VISIBLE_DEVICES=%s hides any there may be' % machine.hidden_by)


def describe(machine: Machine) -> str:
    """Returns the first GPU, such as 'Tesla T4 (compute capability 7.5, driver 535.104.05)'."""
    gpu = machine.gpus[0]
    return '%s (compute capability %d.%d, driver %s)' % (
        (gpu.name,) + gpu.compute_capability + (machine.driver,))


def error_words(error: int) -> str:
    """Returns an error of cuInit as '803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH'."""
    return '%d, %s' % (error, CUDA_ERRORS[error][0]) if error in CUDA_ERRORS else str(error)


def is_arm() -> bool:
    """Returns whether this is an ARM machine: a Jetson, GH200 or DGX Spark."""
    return platform.machine() in ('aarch64', 'arm64')
