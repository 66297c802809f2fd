"""Reads the GPU during the timed steps, by NVML: clocks, temperature, power, energy, processes.

NVML comes with the driver; its Python module is nvidia-ml-py (`import pynvml`). Both are optional:
without them a run is the same, but clocks, power and other processes are unavailable. A value that
the GPU does not support is None, and `unavailable` says why. An error of NVML never ends a run.

A slice of a GPU (MIG, Multi-Instance GPU) shares the clock, the temperature and the power limit of
its board with the other slices. NVML's power, energy, utilisation and processes are those of the
whole board, so they are None on a slice.

Constants and their meaning: NVML API Reference Guide, docs.nvidia.com/deploy/nvml-api. MIG:
docs.nvidia.com/datacenter/tesla/mig-user-guide.
"""
import collections
import contextlib
import math
import os
import statistics
import threading
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy

from common.cautions import Caution
from common.machine import nvidia
from common.probes import cost
from common.timing import Timing

# The pause between two samples. NVML updates utilisation every 1/6 to 1 s, so that more samples
# would show little. Where queries are slow the pause grows: they take at most MAX_DUTY of the time.
INTERVAL_S, MAX_DUTY = 0.2, 0.01
JOIN_S = 1.0                        # a thread that hangs in the driver dies with the process
SETTLE_S = 2.0                      # a driver just loaded scrubs ECC memory, which counts too

SM, MEMORY = 1, 2                   # nvml.h: nvmlClockType_t
GPU_DIE = 0                         # nvml.h: nvmlTemperatureSensors_t
MIG_ENABLED = 1                     # nvml.h: NVML_DEVICE_MIG_ENABLE

# The properties that do not change in a run, and how NVML is asked; `cores` are FP32 cores of all
# SMs.
FACTS = {
    'name': lambda nvml, gpu: _text(nvml.nvmlDeviceGetName(gpu)),
    'driver_version': lambda nvml, gpu: _text(nvml.nvmlSystemGetDriverVersion()),
    'cores': lambda nvml, gpu: nvml.nvmlDeviceGetNumGpuCores(gpu),
    'compute_capability': lambda nvml, gpu: list(nvml.nvmlDeviceGetCudaComputeCapability(gpu)),
    'max_sm_clock_mhz': lambda nvml, gpu: nvml.nvmlDeviceGetMaxClockInfo(gpu, SM),
    'memory_bytes': lambda nvml, gpu: nvml.nvmlDeviceGetMemoryInfo(gpu).total,
    'power_limit_w': lambda nvml, gpu: nvml.nvmlDeviceGetEnforcedPowerLimit(gpu) / 1e3,
}
# The state of the GPU: energy since the driver was loaded, of the whole board, from Volta on;
# reasons as bits; the ids of all processes that compute on it.
STATE = {
    'energy_j': lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1e3,
    'sm_clock_mhz': lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, SM),
    'memory_clock_mhz': lambda nvml, gpu: nvml.nvmlDeviceGetClockInfo(gpu, MEMORY),
    'temperature_c': lambda nvml, gpu: nvml.nvmlDeviceGetTemperature(gpu, GPU_DIE),
    'power_w': lambda nvml, gpu: nvml.nvmlDeviceGetPowerUsage(gpu) / 1e3,
    'utilisation_percent': lambda nvml, gpu: nvml.nvmlDeviceGetUtilizationRates(gpu).gpu,
    'throttle_reasons': lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksEventReasons(gpu),
    'other_processes': lambda nvml, gpu: _pids(nvml.nvmlDeviceGetComputeRunningProcesses(gpu)),
}
# How a driver is asked that lacks one of these functions; later pynvmls lack the first.
OTHERWISE = {
    'temperature_c': lambda nvml, gpu: nvml.nvmlDeviceGetTemperatureV(gpu, GPU_DIE),
    'throttle_reasons': lambda nvml, gpu: nvml.nvmlDeviceGetCurrentClocksThrottleReasons(gpu),
    'other_processes': lambda nvml, gpu: _pids(nvml.nvmlDeviceGetComputeRunningProcesses_v2(gpu)),
}
MEASURED = ('sm_clock_mhz', 'memory_clock_mhz', 'temperature_c', 'power_w', 'utilisation_percent')

# NVML reads these for the whole board only, not for a slice.
OF_BOARD = ('cores', 'memory_bytes', 'power_w', 'energy_j', 'utilisation_percent',
            'other_processes')
NOT_OF_SLICE = 'this is a MIG slice, and NVML reads the whole board'

# nvml.h: nvmlClocksEventReasons, ThrottleReasons in older drivers. Names as in nvidia-smi.
REASONS = {
    0x001: 'gpu_idle',
    0x002: 'applications_clocks_setting',
    0x004: 'sw_power_cap',
    0x008: 'hw_slowdown',
    0x010: 'sync_boost',
    0x020: 'sw_thermal_slowdown',
    0x040: 'hw_thermal_slowdown',
    0x080: 'hw_power_brake_slowdown',
    0x100: 'display_clock_setting',
    0x200: 'board_limit',
    0x400: 'reliability',           # the voltage: where every GPU's fastest clock ends
}
# The reasons that hold a GPU below the clocks it was set to, each with a remedy.
THROTTLING = {
    'sw_power_cap': 'normal under load on many GPUs: publish the power limit with the figure, or '
                    'raise it (nvidia-smi -pl) and run again',
    'board_limit': "the board's power or current limit: publish it with the figure",
    'hw_slowdown': 'heat or power supply: check both (nvidia-smi -q -d PERFORMANCE) and run again',
    'sync_boost': 'it runs no faster than the GPUs in its sync boost group: take it out of the '
                  'group and run again',
    'sw_thermal_slowdown': 'it is too hot: improve the cooling and run again',
    'hw_thermal_slowdown': 'it is too hot: improve the cooling and run again',
    'hw_power_brake_slowdown': 'the power supply asks for less: check it and run again',
}
# A share of the samples. A hardware slowdown at least halves the clock, so 5 % of the samples can
# cost 5 % of the time. NVML may also report it for a moment when the clock changes.
MAX_THROTTLED = 0.05
# Before the start: another program busy for 5 % of the time may cost 5 %; a desktop uses less.
MAX_GPU_BUSY_PERCENT = 5


@contextlib.contextmanager
def opened(gpu: Optional[nvidia.Gpu]) -> Iterator[Tuple[Optional['NvmlGpu'], Optional[str]]]:
    """Opens NVML for the block. Yields the GPU as NVML sees it, and None; or None, and why it
    cannot be read; in a CPU run, where `gpu` is None, (None, None).

    The GPU is found by the PCI bus id that CUDA shows, because NVML and CUDA may number the same
    GPUs differently: '0000:3B:00.0', with a domain of any length; that of a MIG slice is its
    board's.
    """
    with contextlib.ExitStack() as closing:
        yield _open(gpu, closing) if gpu else (None, None)


def _open(gpu, closing):
    try:
        import pynvml  # here, because it is optional
    except ImportError:
        return None, 'pynvml is not installed (pip install nvidia-ml-py)'
    try:
        pynvml.nvmlInit()
    except Exception as error:      # of any kind: the benchmark does not need NVML
        return None, 'NVML did not start: %s' % error
    closing.callback(_shut_down, pynvml)
    try:
        handle = pynvml.nvmlDeviceGetHandleByPciBusId(gpu.pci_bus_id)
    except Exception as error:
        return None, 'NVML does not show the GPU %s: %s' % (gpu.pci_bus_id, error)
    # CUDA's name of a slice is such as 'NVIDIA A100-SXM4-40GB MIG 1g.5gb'.
    is_slice = ' MIG ' in gpu.name or os.environ.get('CUDA_VISIBLE_DEVICES', '').startswith('MIG-')
    with contextlib.suppress(Exception):         # before Ampere: there is no MIG
        is_slice = is_slice or pynvml.nvmlDeviceGetMigMode(handle)[0] == MIG_ENABLED
    return NvmlGpu(pynvml, handle, is_slice), None


def _shut_down(pynvml):
    with contextlib.suppress(Exception):
        pynvml.nvmlShutdown()


def before(gpu: nvidia.Gpu, nvml: Optional['NvmlGpu'], why_none: Optional[str]) -> Dict[str, Any]:
    """Returns keys of the record's `environment`: the GPU, and how busy it was before the start."""
    facts = {key: nvml.read(key) if nvml else None for key in FACTS}
    by_cuda = {'name': gpu.name, 'compute_capability': list(gpu.compute_capability),
               'memory_bytes': gpu.memory_bytes}
    facts.update((key, value) for key, value in by_cuda.items() if facts[key] is None)
    facts['driver_version'] = facts['driver_version'] or nvidia.driver_version()
    return {'nvml': why_none, 'gpu': facts, 'gpu_before': nvml and nvml.before(),
            'peak_flops': cost.peak_flops(gpu.compute_capability, gpu.multiprocessors,
                                          facts['max_sm_clock_mhz'])}


def of_pass(sampler: 'Sampler', timing: Timing, batch_size: int) -> Dict[str, Any]:
    """Returns keys of a pass in the record: the state of the GPU during its timed steps."""
    summary = sampler.summary(last_s=sum(timing.seconds))
    energy_j = summary and summary['energy_j']
    return {'gpu': summary, 'energy_per_image_j': None if energy_j is None else (
        energy_j / batch_size / len(timing.seconds))}


class NvmlGpu:
    """A GPU as NVML sees it. `unavailable` says why a value could not be read, by its name."""

    def __init__(self, nvml: Any, handle: Any, is_slice: bool):
        self._nvml, self._handle, self._is_slice = nvml, handle, is_slice
        self.unavailable: Dict[str, str] = {}

    def read(self, key: str) -> Any:
        """Returns the value of this name in FACTS or STATE; None if NVML cannot tell it."""
        if self._is_slice and key in OF_BOARD:
            self.unavailable[key] = NOT_OF_SLICE
            return None
        for query in filter(None, (FACTS.get(key), STATE.get(key), OTHERWISE.get(key))):
            try:
                value = query(self._nvml, self._handle)
                self.unavailable.pop(key, None)
                return value
            except Exception as error:   # not NVMLError alone: a run must not end because of this
                self.unavailable[key] = str(error) or type(error).__name__
        return None

    def before(self) -> Dict[str, Any]:
        """Returns utilisation_percent and other_processes (their number) before the start.

        Must be called before TensorFlow opens the GPU: in a container NVML's process numbers do not
        show which process is ours. Waits up to SETTLE_S seconds while the GPU looks busy.
        """
        end_s = time.monotonic() + SETTLE_S
        utilisation = self.read('utilisation_percent')
        while (utilisation or 0) > MAX_GPU_BUSY_PERCENT and time.monotonic() < end_s:
            time.sleep(INTERVAL_S)
            utilisation = self.read('utilisation_percent')
        pids = self.read('other_processes')
        return {'utilisation_percent': utilisation,
                'other_processes': None if pids is None else len(pids - {os.getpid()})}

    def sample(self) -> Dict[str, Any]:
        """Returns the state of the GPU now, while we run on it: the values of STATE, with the
        number of other processes, and time_s on the monotonic clock."""
        state = {'time_s': time.monotonic(), **{key: self.read(key) for key in STATE}}
        if state['other_processes'] is not None:         # one is ours: in a container by the
            pids = state['other_processes']              # host's number, or hidden
            state['other_processes'] = max(0, len(pids) - 1)
        return state


class Sampler:
    """Samples the GPU in a thread while a `with` block runs, however the block ends.

    Without NVML it does nothing: `with Sampler(None) as sampler`.
    """

    def __init__(self, gpu: Optional[NvmlGpu]):
        self._gpu = gpu
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, name='gpu-sampler', daemon=True)
        self._samples: List[Dict[str, Any]] = []
        self._energy: List[Tuple[float, Optional[float]]] = []   # s, J: also at both ends
        self._start_s = self._end_s = 0.0

    def __enter__(self) -> 'Sampler':
        if self._gpu:
            self._start_s = time.monotonic()
            self._energy.append((self._start_s, self._gpu.read('energy_j')))
            self._thread.start()
        return self

    def __exit__(self, *error) -> None:
        if self._gpu:
            self._stop.set()
            self._end_s = time.monotonic()
            self._energy.append((self._end_s, self._gpu.read('energy_j')))
            self._thread.join(JOIN_S)
            if not self._thread.is_alive():
                self._add(self._gpu.sample())

    def _sample(self):
        pause_s = INTERVAL_S
        while not self._stop.wait(pause_s):
            start_s = time.monotonic()
            sample = self._gpu.sample()
            if not self._stop.is_set():  # else energy may be read after the end
                self._add(sample)
            pause_s = max(INTERVAL_S, (time.monotonic() - start_s) / MAX_DUTY)

    def _add(self, sample):
        self._samples.append(sample)
        self._energy.append((sample['time_s'], sample['energy_j']))

    def summary(self, last_s: float = math.inf) -> Optional[Dict[str, Any]]:
        """Returns the statistics of the watched time, after the block; None without NVML.

        Args:
            last_s: use only this many seconds before the end: sum(timing.seconds) leaves the
                burn-in out. Energy is then interpolated between two samples; the counter moves
                every 20 to 100 ms, so the energy of less than a second is inaccurate.

        Returns:
            A dict that JSON can hold: the values MEASURED are {min, median, max}; throttle_reasons
            {name: share of samples}; other_processes the largest number of compute processes other
            than ours; energy_j; watched_s; samples; interval_s; unavailable {key: reason}. A value
            never read is None. power_w is an average over 1 s on GPUs after the A100, else an
            instantaneous value.
        """
        if not self._gpu:
            return None
        start_s = max(self._start_s, self._end_s - last_s)
        # The sample at the end is for a run that is shorter than the interval.
        samples = ([s for s in self._samples[:-1] if start_s <= s['time_s'] <= self._end_s]
                   or self._samples[-1:])
        read = {key: [s[key] for s in samples if s[key] is not None] for key in STATE}
        energy_j, why_none = self._joules(start_s)
        unavailable = dict(self._gpu.unavailable)
        if why_none:
            unavailable.setdefault('energy_j', why_none)
        return {
            **{key: {'min': min(read[key]), 'median': statistics.median(read[key]),
                     'max': max(read[key])} if read[key] else None for key in MEASURED},
            'throttle_reasons': _shares(read['throttle_reasons']),
            'other_processes': max(read['other_processes'], default=None),
            'energy_j': energy_j, 'watched_s': self._end_s - start_s,
            'samples': len(samples), 'interval_s': INTERVAL_S, 'unavailable': unavailable}

    def _joules(self, start_s: float) -> Tuple[Optional[float], Optional[str]]:
        """The energy from start_s to the end; or None, and why."""
        readings = sorted(reading for reading in self._energy if reading[1] is not None)
        if len(readings) < 2 or readings[0][0] > start_s or readings[-1][0] < self._end_s:
            return None, 'the counter was not read at both ends'
        times_s, joules = zip(*readings)
        if list(joules) != sorted(joules):
            return None, 'the counter fell, as when the driver is loaded again'
        first, last = numpy.interp([start_s, self._end_s], times_s, joules)
        if first == last:
            return None, 'the counter stood still at %.3f J' % last
        return float(last - first), None


def cautions(summary: Optional[Dict[str, Any]]) -> List[Caution]:
    """Returns a caution for each thing that slowed the GPU in the watched time: kind 'throttled' or
    'busy'."""
    if summary is None:
        return []
    return [Caution('throttled', '%s throttled the GPU clock in %.0f %% of the samples (more than '
                    '%.0f %%)%s: %s' % (reason, 100 * share, 100 * MAX_THROTTLED,
                                        _medians(summary), THROTTLING[reason]))
            for reason, share in (summary['throttle_reasons'] or {}).items()
            if reason in THROTTLING and share > MAX_THROTTLED
            ] + _neighbours(summary['other_processes'], 'during the run')


def busy(before: Optional[Dict[str, Any]]) -> List[Caution]:
    """Returns a 'busy' caution for each sign, in the result of NvmlGpu.before, that the GPU was not
    idle; none where it is None."""
    if before is None:
        return []
    percent, result = before['utilisation_percent'], []
    if percent is not None and percent > MAX_GPU_BUSY_PERCENT:
        result.append(Caution('busy', 'the GPU was busy for %d %% of the time before the start (an '
                             'idle one: at most %d %%): stop what else runs on it (nvidia-smi '
                             'lists it) and run again' % (percent, MAX_GPU_BUSY_PERCENT)))
    return result + _neighbours(before['other_processes'], 'before the start')


def _neighbours(count, when):
    if not count:
        return []
    return [Caution('busy', '%d other compute process%s the GPU open %s (0 on a GPU of your own): '
                    'stop what runs there (nvidia-smi lists it) and run again'
                    % (count, ' had' if count == 1 else 'es had', when))]


def _medians(summary):
    known = ['%.0f %s' % (summary[key]['median'], unit) for key, unit in
             (('sm_clock_mhz', 'MHz'), ('power_w', 'W'), ('temperature_c', 'C')) if summary[key]]
    return known and ', medians ' + ', '.join(known) or ''


def _shares(samples):
    """{name: share} of the reasons in samples of bits; None without samples."""
    counts = collections.Counter(
        name for bits in samples for bit, name in [*REASONS.items(), (~sum(REASONS), 'unknown')]
        if bits & bit)
    return {name: count / len(samples) for name, count in sorted(counts.items())
            } if samples else None


def _pids(processes):
    return {process.pid for process in processes}


def _text(value):
    return value.decode() if isinstance(value, bytes) else value     # bytes: pynvml before 11.5
