"""A fake pynvml: the functions that common.probes.gpu calls, of one scripted GPU.

Values are in NVML's units (MHz, mW, mJ) and may be changed while it runs. A value that is an
exception is raised.
"""
import os
import threading
import types


class NVMLError(Exception):
    """Any error of NVML."""


class NVMLError_NotSupported(NVMLError):
    """This GPU does not support the query."""

    def __str__(self):
        return 'Not Supported'


class NVMLError_FunctionNotFound(NVMLError):
    """This driver is too old for the function."""

    def __str__(self):
        return 'Function Not Found'


class NVMLError_GpuIsLost(NVMLError):
    """The GPU has fallen off the bus."""

    def __str__(self):
        return 'GPU is lost'


# What GPUs before Volta, and some later ones, do not support.
RARE = ('energy', 'cores', 'power_limit', 'reasons', 'utilisation', 'power', 'pids')


class FakeNvml:
    """Put into sys.modules as 'pynvml'."""

    def __init__(self, **values):
        self.values = dict({
            'init': None, 'bus_id': '0000:3B:00.0', 'name': 'Tesla V100-SXM2-16GB',
            'driver': '470.82.01', 'cores': 5120, 'capability': (7, 0), 'max_sm_clock': 1530,
            'memory': 16 * 2**30, 'power_limit': 300000, 'sm_clock': 1530, 'memory_clock': 877,
            'temperature': 60, 'power': 250000, 'utilisation': 0, 'reasons': 0, 'energy': 1000000,
            'mig_mode': NVMLError_NotSupported(), 'pids': [os.getpid()]}, **values)
        self.lost = False
        self.open = 0                       # nvmlInit less nvmlShutdown
        self.sampled = threading.Event()    # set by each sample

    def _value(self, key):
        if self.lost:
            raise NVMLError_GpuIsLost()
        value = self.values[key]
        if isinstance(value, Exception):
            raise value
        return value

    def nvmlInit(self):
        self._value('init')
        self.open += 1

    def nvmlShutdown(self):
        self.open -= 1

    def nvmlDeviceGetHandleByPciBusId(self, bus_id):
        if int(bus_id.split(':')[1], 16) != int(self._value('bus_id').split(':')[1], 16):
            raise NVMLError('Not Found')
        return 'handle'

    def nvmlDeviceGetName(self, handle):
        return self._value('name')

    def nvmlSystemGetDriverVersion(self):
        return self._value('driver')

    def nvmlDeviceGetNumGpuCores(self, handle):
        return self._value('cores')

    def nvmlDeviceGetCudaComputeCapability(self, handle):
        return self._value('capability')

    def nvmlDeviceGetMaxClockInfo(self, handle, clock):
        return self._value({1: 'max_sm_clock'}[clock])

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(total=self._value('memory'))

    def nvmlDeviceGetEnforcedPowerLimit(self, handle):
        return self._value('power_limit')

    def nvmlDeviceGetClockInfo(self, handle, clock):
        return self._value({1: 'sm_clock', 2: 'memory_clock'}[clock])

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._value({0: 'temperature'}[sensor])

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._value('power')

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=self._value('utilisation'), memory=0)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        self.sampled.set()
        return self._value('reasons')

    nvmlDeviceGetCurrentClocksThrottleReasons = nvmlDeviceGetCurrentClocksEventReasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [types.SimpleNamespace(pid=pid) for pid in self._value('pids')]

    nvmlDeviceGetComputeRunningProcesses_v2 = nvmlDeviceGetComputeRunningProcesses

    def nvmlDeviceGetMigMode(self, handle):
        return list(self._value('mig_mode'))             # now, and after the next reset

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._value('energy')


def healthy(**values):
    """A V100 that nothing else uses."""
    return FakeNvml(**values)


def throttled():
    """A GPU that is too hot and runs at half its clock."""
    return FakeNvml(reasons=0x40 | 0x08, sm_clock=765, temperature=92)


def busy():
    """A GPU that another program uses."""
    return FakeNvml(utilisation=37, pids=[4000000])


def unsupported():
    """A GPU that supports only the queries of a GeForce of 2014."""
    return FakeNvml(**{key: NVMLError_NotSupported() for key in RARE})


def failing():
    """A driver whose library and kernel module are of different versions."""
    return FakeNvml(init=NVMLError('Driver/library version mismatch'))
