"""A fake pynvml: the functions that common.probes.gpu calls, of one scripted GPU.

Values are in NVML's units (MHz, mW, mJ) and may be changed while it runs. A value that is an
exception is raised.
"""
import os
import threading
import types


class NVMLError(Exception):
    """Any error of NVML."""


NOT_SUPPORTED = NVMLError('Not Supported')
# What GPUs before Volta, and some later ones, do not support.
RARE = ('energy', 'cores', 'power_limit', 'reasons', 'utilisation', 'power', 'pids')

# The functions that return a value as it is: its name. The others are methods of FakeNvml.
PLAIN = {
    'nvmlDeviceGetName': 'name',
    'nvmlSystemGetDriverVersion': 'driver',
    'nvmlDeviceGetNumGpuCores': 'cores',
    'nvmlDeviceGetCudaComputeCapability': 'capability',
    'nvmlDeviceGetEnforcedPowerLimit': 'power_limit',
    'nvmlDeviceGetPowerUsage': 'power',
    'nvmlDeviceGetMigMode': 'mig_mode',                  # now, and after the next reset
    'nvmlDeviceGetTotalEnergyConsumption': 'energy',
}


class FakeNvml:
    """A V100 that nothing else uses, but for these values. Put into sys.modules as 'pynvml'."""

    def __init__(self, **values):
        self.values = dict({
            'init': None, 'bus_id': '0000:3B:00.0', 'name': 'Tesla V100-SXM2-16GB',
            'driver': '470.82.01', 'cores': 5120, 'capability': (7, 0), 'max_sm_clock': 1530,
            'memory': 16 * 2**30, 'power_limit': 300000, 'sm_clock': 1530, 'memory_clock': 877,
            'temperature': 60, 'power': 250000, 'utilisation': 0, 'reasons': 0, 'energy': 1000000,
            'mig_mode': NOT_SUPPORTED, 'pids': [os.getpid()]}, **values)
        self.lost = False
        self.open = 0                       # nvmlInit less nvmlShutdown
        self.sampled = threading.Event()    # set by each sample

    def __getattr__(self, name):
        if name not in PLAIN:
            raise AttributeError(name)
        return lambda *handle: self._value(PLAIN[name])

    def _value(self, key):
        value = NVMLError('GPU is lost') if self.lost else self.values[key]
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

    def nvmlDeviceGetMaxClockInfo(self, handle, clock):
        return self._value({1: 'max_sm_clock'}[clock])

    def nvmlDeviceGetMemoryInfo(self, handle):
        return types.SimpleNamespace(total=self._value('memory'))

    def nvmlDeviceGetClockInfo(self, handle, clock):
        return self._value({1: 'sm_clock', 2: 'memory_clock'}[clock])

    def nvmlDeviceGetTemperature(self, handle, sensor):
        return self._value({0: 'temperature'}[sensor])

    def nvmlDeviceGetUtilizationRates(self, handle):
        return types.SimpleNamespace(gpu=self._value('utilisation'), memory=0)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        self.sampled.set()
        return self._value('reasons')

    nvmlDeviceGetCurrentClocksThrottleReasons = nvmlDeviceGetCurrentClocksEventReasons

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [types.SimpleNamespace(pid=pid) for pid in self._value('pids')]

    nvmlDeviceGetComputeRunningProcesses_v2 = nvmlDeviceGetComputeRunningProcesses


def throttled(**values):
    """A GPU that is too hot and runs at half its clock."""
    return FakeNvml(reasons=0x40 | 0x08, sm_clock=765, temperature=92, **values)


def failing():
    """A driver whose library and kernel module are of different versions."""
    return FakeNvml(init=NVMLError('Driver/library version mismatch'))
