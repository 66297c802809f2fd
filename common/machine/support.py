"""The known limits of TensorFlow's wheels on GPUs, and the errors of cuInit, with their sentences.

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
import os
import re
from typing import List, NamedTuple, Optional, Tuple

from common import tf1

Version = Tuple[int, ...]

NVIDIA_IMAGE = 'nvcr.io/nvidia/tensorflow:25.02-tf2-py3'

COMPILED = ('the driver compiles TensorFlow %(tensorflow)s for compute capability %(capability)s '
            'at the first start{}, and keeps that in %(cache)s (CUDA_CACHE_PATH, '
            'CUDA_CACHE_MAXSIZE), which a container must mount to keep it (read from the wheel, '
            'not tried)')


OLDER = ('TensorFlow %(tensorflow)s is older than %(name)s and may have no code for compute '
         'capability %(capability)s: if it does not start or gives wrong results, use the modern '
         'runtime (TensorFlow 2.21; not tried)')


class CudaError(NamedTuple):
    """An error of cuInit: its name, and a text with the cause and the remedy."""
    name: str
    remedy: str


# CUDA Driver API, "Data types used by CUDA driver", CUresult.
CUDA_ERRORS = {
    34: CudaError('CUDA_ERROR_STUB_LIBRARY',
                  "libcuda.so.1 is the CUDA toolkit's stub and not the driver's: take its folder "
                  '(.../lib64/stubs) out of LD_LIBRARY_PATH'),
    100: CudaError('CUDA_ERROR_NO_DEVICE', 'it finds no GPU: see `nvidia-smi`'),
    101: CudaError('CUDA_ERROR_INVALID_DEVICE',
                   'it cannot open the GPU: see `nvidia-smi` and `dmesg`, reboot'),
    802: CudaError('CUDA_ERROR_SYSTEM_NOT_READY',
                   'on machines with NVSwitch the fabric manager must run: systemctl start '
                   'nvidia-fabricmanager (for a container: on the host)'),
    803: CudaError('CUDA_ERROR_SYSTEM_DRIVER_MISMATCH',
                   'the running driver and libcuda.so.1 are of different versions: reboot (a '
                   'container: start it anew)'),
    804: CudaError('CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE',
                   'libcuda.so.1 is of a forward compatibility package, which GeForce GPUs do not '
                   'support: remove it (in a container: /usr/local/cuda/compat), or update the '
                   'driver'),
    999: CudaError('CUDA_ERROR_UNKNOWN',
                   'the reason is unknown: see `dmesg` and `nvidia-smi`, reboot'),
}
OTHER_ERROR = CudaError('', 'see `nvidia-smi` and `dmesg`, reboot')


class Limit(NamedTuple):
    """A known limit of some versions of TensorFlow on some GPUs.

    tensorflow: the first and the last version, such as (2, 16).
    capabilities: the first and the last compute capability.
    driver, cuda: it holds only below this driver, which came with this CUDA; None: with any.
    is_refused: True if the GPU is not timed then; otherwise the text is a warning.
    text: a sentence with the fields name, capability, tensorflow, driver and cache.
    """
    tensorflow: Tuple[Version, Version]
    capabilities: Tuple[Version, Version]
    driver: Optional[str]
    cuda: Optional[Version]
    is_refused: bool
    text: str


MAXWELL, HOPPER, BLACKWELL = ((5, 0), (5, 1)), ((9, 0), (9, 9)), ((10, 0), (99, 9))

LIMITS = [
    Limit(((1, 13), (1, 15)), MAXWELL, None, None, False, COMPILED.format('')),
    Limit(((2, 4), (2, 10)), HOPPER, None, None, False, OLDER),
    Limit(((2, 4), (2, 15)), BLACKWELL, None, None, False, OLDER),
    Limit(((2, 16), (2, 20)), BLACKWELL, None, None, True,
          'TensorFlow %(tensorflow)s has no code for %(name)s (compute capability %(capability)s), '
          'and its PTX (sm_90a) is for Hopper alone: use TensorFlow 2.21 (the modern runtime), '
          "NVIDIA's image " + NVIDIA_IMAGE + ', '),
    # A warning: TensorFlow may not need those kernels for these networks; nobody has tried.
    Limit(((2, 21), (2, 21)), HOPPER, '555', (12, 5), False,
          'part of the code of TensorFlow %(tensorflow)s for %(name)s is PTX 8.5, which needs '
          'driver 555 or later (this one: %(driver)s): if the run ends with '
          "UNSUPPORTED_PTX_VERSION, update the driver or use NVIDIA's image " + NVIDIA_IMAGE
          + ' (read from the wheel, not tried)'),
    Limit(((2, 21), (2, 21)), BLACKWELL, '570', (12, 8), True,
          'NVIDIA driver %(driver)s is too old for %(name)s (compute capability %(capability)s) '
          'with TensorFlow %(tensorflow)s: install 570 or later, '),
    Limit(((2, 21), (2, 21)), BLACKWELL, None, None, False,
          COMPILED.format(', which can take up to 30 minutes')),
    Limit(((2, 21), (2, 21)), BLACKWELL, None, None, False,
          '--xla is expected to fail on %(name)s with TensorFlow %(tensorflow)s; the other way to '
          "run there is NVIDIA's image " + NVIDIA_IMAGE + ' (not tried)'),
]


def limits(name: str, capability: Version, driver: Optional[str], cuda: Optional[Version]
           ) -> Tuple[Optional[str], List[str]]:
    """Returns why TensorFlow's wheel does not run on a GPU, and warnings, a sentence each. The
    first is None if no reason is known; otherwise the caller completes it with CPU_INSTEAD.

    Args:
        name, capability: of the GPU.
        driver: version of the NVIDIA driver; 'unknown' or None where it is not known.
        cuda: the CUDA version of the driver's library, used instead of `driver` if it is known:
            it may be newer than the driver (NVIDIA's forward compatibility packages).
    """
    if tf1.NVIDIA_BUILD:                                 # contains other code than the wheels
        return None, []
    known = [limit for limit in LIMITS
             if limit.tensorflow[0] <= numbers(tf1.VERSION)[:2] <= limit.tensorflow[1]
             and limit.capabilities[0] <= capability <= limit.capabilities[1]
             and (limit.driver is None or _is_older(driver, cuda, limit))]
    words = {'name': name, 'capability': '%d.%d' % capability, 'tensorflow': tf1.VERSION,
             'driver': driver or 'unknown', 'cache': os.environ.get('CUDA_CACHE_PATH')
             or os.path.expanduser('~/.nv/ComputeCache')}
    refusals = [limit.text % words for limit in known if limit.is_refused]
    warnings = [limit.text % words for limit in known if not limit.is_refused]
    return (refusals or [None])[0], warnings


def without_cuda(machine: str) -> str:
    """Returns why a TensorFlow built without CUDA cannot use a GPU, on a `machine` such as 'x86_64'
    or 'aarch64' (platform.machine()); the caller completes it with CPU_INSTEAD."""
    if machine in ('aarch64', 'arm64'):                  # Jetson, GH200, DGX Spark
        return ('TensorFlow %s was built without CUDA, as all that pip installs on ARM (%s): use '
                "NVIDIA's TensorFlow for ARM (%s, on a Jetson the tag with -igpu), "
                % (tf1.VERSION, machine, NVIDIA_IMAGE))
    return ('TensorFlow %s was built without CUDA: install one that has it (`make bench` does), '
            % tf1.VERSION)


def error_words(error: int) -> str:
    """Returns an error of cuInit as '803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH'."""
    return '%d, %s' % (error, CUDA_ERRORS[error].name) if error in CUDA_ERRORS else str(error)


def error_remedy(error: int) -> str:
    """Returns the cause of an error of cuInit and the remedy."""
    return CUDA_ERRORS.get(error, OTHER_ERROR).remedy


def numbers(version: str) -> Version:
    """Returns the numbers in a version: (535, 104, 5) for '535.104.05', () for 'unknown'."""
    return tuple(int(number) for number in re.findall(r'\d+', version))


def _is_older(driver, cuda, limit):
    if cuda:
        return cuda < limit.cuda
    version = numbers(driver or '')
    return bool(version) and version < numbers(limit.driver)
