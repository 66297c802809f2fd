"""What is observed of the GPU, with a fake pynvml, and of the CPU."""
import contextlib
import json
import os
import sys
import threading
import time
import types

import pytest
from fake_nvml import NOT_SUPPORTED, PLAIN, RARE, FakeNvml, NVMLError, failing, throttled

from common.machine import device, nvidia
from common.probes import cpu, gpu

LIMIT_S = 60                         # of what takes a moment: more than a busy machine needs
V100 = device.Gpu('Tesla V100-SXM2-16GB', '0000:3B:00.0', (7, 0), 80, 16 * 2 ** 30)
SLICE = device.Gpu('NVIDIA A100-SXM4-40GB MIG 1g.5gb', '0000:3B:00.0', (8, 0), 14, 5 * 2 ** 30)


@pytest.fixture
def opened(monkeypatch):
    """A function that puts a fake pynvml in place and opens its GPU, sampled every 10 ms. At the
    end the thread has ended, and NVML is shut down."""
    monkeypatch.setattr(gpu, 'INTERVAL_S', 0.01)
    monkeypatch.setattr(gpu, 'MAX_DUTY', 1.0)
    monkeypatch.setattr(gpu, 'SETTLE_S', 0.05)
    fakes = []
    with contextlib.ExitStack() as stack:
        def open_fake(nvml, shown=V100):
            fakes.append(nvml)
            monkeypatch.setitem(sys.modules, 'pynvml', nvml)
            nvml_gpu, why_none = stack.enter_context(gpu.opened(shown))
            assert (why_none, nvml.open) == (None, 1)
            return nvml_gpu
        yield open_fake
    assert [nvml.open for nvml in fakes] == [0] * len(fakes)
    assert 'gpu-sampler' not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def clock(monkeypatch):
    """The clock of common/probes/gpu.py, which stands still unless a test sets clock.now_s."""
    clock = types.SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(gpu, 'time', types.SimpleNamespace(monotonic=lambda: clock.now_s,
                                                           sleep=time.sleep))
    return clock


def watched(nvml, nvml_gpu, samples=1):
    """The summary of a run in which the thread took some samples."""
    with gpu.Sampler(nvml_gpu) as sampler:
        wait(nvml, samples)
    return sampler.summary()


def wait(nvml, samples):
    """Waits until this many samples have been begun after now, and all but the last kept."""
    for _ in range(samples + 1):
        nvml.sampled.clear()
        assert nvml.sampled.wait(LIMIT_S)


def kinds(cautions):
    return [caution.kind for caution in cautions]


def test_the_summary_of_a_healthy_gpu(opened):
    nvml = FakeNvml(utilisation=98)
    with gpu.Sampler(opened(nvml)) as sampler:
        wait(nvml, 3)
        nvml.values['energy'] += 5000
    summary = sampler.summary()
    for key, value in [('sm_clock_mhz', 1530), ('memory_clock_mhz', 877), ('temperature_c', 60),
                       ('power_w', 250), ('utilisation_percent', 98)]:
        assert summary[key] == {'min': value, 'median': value, 'max': value}
    assert summary['throttle_reasons'] == summary['unavailable'] == {}
    assert (summary['other_processes'], summary['interval_s']) == (0, 0.01)
    assert summary['energy_j'] == pytest.approx(5.0)
    assert summary['samples'] >= 2
    assert gpu.cautions(summary) == []
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


@pytest.mark.parametrize('values', [
    {'name': b'Tesla V100-SXM2-16GB'},                   # as pynvml returned it before 11.5
    {'driver': NVMLError('Unknown Error')}])             # known from elsewhere
def test_the_facts_of_a_gpu(values, opened, monkeypatch):
    monkeypatch.setattr(nvidia, 'nvidia_smi', lambda: [('470.82.01', V100.name)])
    before = gpu.before(V100, opened(FakeNvml(**values)), None)
    assert before['gpu'] == {
        'name': 'Tesla V100-SXM2-16GB', 'driver_version': '470.82.01', 'cores': 5120,
        'compute_capability': [7, 0], 'max_sm_clock_mhz': 1530, 'memory_bytes': 16 * 2**30,
        'power_limit_w': 300.0}
    assert before['peak_flops'] == 2 * 64 * 80 * 1530e6


def test_a_hot_gpu_is_throttled(opened):
    nvml = throttled()
    summary = watched(nvml, opened(nvml))
    assert summary['throttle_reasons'] == {'hw_slowdown': 1.0, 'hw_thermal_slowdown': 1.0}
    _, caution = gpu.cautions(summary)
    assert caution.text == (
        'hw_thermal_slowdown throttled the GPU clock in 100 % of the samples (more than '
        '5 %), medians 765 MHz, 250 W, 92 C: it is too hot: improve the cooling and '
        'run again')
    for share, number in (0.05, 0), (0.06, 1):           # a moment of it is no caution
        shares = {'hw_slowdown': share}
        assert len(gpu.cautions(dict(summary, throttle_reasons=shares))) == number


@pytest.mark.parametrize('bits, name, warned', [
    (0x001, 'gpu_idle', False),
    (0x002, 'applications_clocks_setting', False),
    (0x004, 'sw_power_cap', True),
    (0x008, 'hw_slowdown', True),
    (0x010, 'sync_boost', True),
    (0x020, 'sw_thermal_slowdown', True),
    (0x040, 'hw_thermal_slowdown', True),
    (0x080, 'hw_power_brake_slowdown', True),
    (0x100, 'display_clock_setting', False),
    (0x200, 'board_limit', True),
    (0x400, 'reliability', False),
    (1 << 63, 'unknown', False),
])
def test_which_reasons_are_throttling(opened, bits, name, warned):
    nvml = FakeNvml(reasons=bits)
    summary = watched(nvml, opened(nvml))
    assert summary['throttle_reasons'] == {name: 1.0}
    assert kinds(gpu.cautions(summary)) == ['throttled'] * warned


def test_a_busy_gpu_before_the_start(opened):
    before = opened(FakeNvml(utilisation=37, pids=[4000000])).before()
    assert before == {'utilisation_percent': 37, 'other_processes': 1}
    utilisation, processes = gpu.busy(before)
    assert utilisation.kind == processes.kind == 'busy'
    assert utilisation.text == (
        'the GPU was busy for 37 % of the time before the start (an idle one: at most 5 %): stop '
        'what else runs on it (nvidia-smi lists it) and run again')
    assert processes.text == (
        '1 other compute process had the GPU open before the start (0 on a GPU of your own): stop '
        'what runs there (nvidia-smi lists it) and run again')


def test_an_idle_gpu_before_the_start_and_a_driver_that_scrubs_memory(opened, monkeypatch):
    nvml = FakeNvml(utilisation=100, pids=[])
    monkeypatch.setattr(gpu.time, 'sleep', lambda _: nvml.values.update(utilisation=0))
    before = opened(nvml).before()
    assert before == {'utilisation_percent': 0, 'other_processes': 0}
    assert gpu.busy(before) == []


@pytest.mark.parametrize('pids, others', [
    ([os.getpid()], 0),
    ([os.getpid(), 4000000], 1),
    ([os.getpid(), 4000000, 4000000], 1),   # one process in two MIG instances
    ([4000000], 0),                         # in a container: our own, by the host's number
    ([4000000, 4000001, 4000002], 2),
    ([], 0),                                # in a container that hides processes
])
def test_other_processes_while_we_run(opened, pids, others):
    nvml = FakeNvml(pids=pids)
    summary = watched(nvml, opened(nvml))
    assert summary['other_processes'] == others
    assert kinds(gpu.cautions(summary)) == ['busy'] * bool(others)


def test_what_a_gpu_does_not_support_is_none(opened):
    nvml = FakeNvml(**dict.fromkeys(RARE, NOT_SUPPORTED))
    nvml_gpu = opened(nvml)
    environment = gpu.before(V100, nvml_gpu, None)
    facts, before, summary = environment['gpu'], environment['gpu_before'], watched(nvml, nvml_gpu)
    assert facts['cores'] is facts['power_limit_w'] is None
    assert facts['name'] == 'Tesla V100-SXM2-16GB'
    assert before == {'utilisation_percent': None, 'other_processes': None}
    for key in ('power_w', 'utilisation_percent', 'throttle_reasons', 'other_processes',
                'energy_j'):
        assert summary[key] is None
        assert summary['unavailable'][key] == 'Not Supported'
    assert summary['sm_clock_mhz']['median'] == 1530
    assert gpu.cautions(summary) + gpu.busy(before) == []


def test_an_old_driver_is_asked_by_the_old_names(opened):
    nvml = FakeNvml()

    def missing(handle):
        raise NVMLError('Function Not Found')
    nvml.nvmlDeviceGetCurrentClocksEventReasons = missing
    nvml.nvmlDeviceGetComputeRunningProcesses = missing
    summary = watched(nvml, opened(nvml))
    assert summary['throttle_reasons'] == {}
    assert summary['other_processes'] == 0
    assert summary['unavailable'] == {'energy_j': 'the counter stood still at 1000.000 J'}


def test_a_gpu_that_is_lost_leaves_what_was_read(opened):
    nvml = FakeNvml()
    with gpu.Sampler(opened(nvml)) as sampler:
        wait(nvml, 2)
        nvml.lost = True
        wait(nvml, 1)
    summary = sampler.summary()
    assert summary['sm_clock_mhz']['median'] == 1530
    assert summary['energy_j'] is None
    assert summary['unavailable']['sm_clock_mhz'] == 'GPU is lost'
    json.dumps(summary, allow_nan=False)


@pytest.mark.parametrize('readings_mj, energy_j, why_none', [
    ((1000000, 1002000, 1005000), 5.0, None),
    ((1000000, 1000000, 1000000), None, 'the counter stood still at 1000.000 J'),
    ((1000000, 2000, 5000), None, 'the counter fell, as when the driver is loaded again'),
    ((1000000, 2000, 1005000), None, 'the counter fell, as when the driver is loaded again')])
def test_the_energy_of_the_whole_block(readings_mj, energy_j, why_none, opened, clock):
    nvml = FakeNvml(energy=readings_mj[0])
    with gpu.Sampler(opened(nvml)) as sampler:
        wait(nvml, 1)
        for reading_mj in readings_mj[1:]:
            clock.now_s += 0.001
            nvml.values['energy'] = reading_mj
            wait(nvml, 1)
    summary = sampler.summary()
    assert summary['watched_s'] == pytest.approx(0.002)
    assert summary['energy_j'] == (energy_j and pytest.approx(energy_j))
    assert summary['unavailable'].get('energy_j') == why_none


def test_the_burn_in_can_be_left_out(opened, clock):
    nvml = FakeNvml(sm_clock=300, power=30000)
    sampler = gpu.Sampler(opened(nvml))
    with sampler:
        for now_s, changed in [(0.009, {'sm_clock': 1530, 'energy': 1010000}), (0.010, {}),
                               (0.019, {'energy': 1030000})]:
            wait(nvml, 2)
            clock.now_s = now_s
            nvml.values.update(changed)
        wait(nvml, 2)
        clock.now_s = 0.020
    for last_s, watched_s, slowest_mhz, energy_j in (1, 0.020, 300, 30), (0.010, 0.010, 1530, 20):
        summary = sampler.summary(last_s)
        assert summary['sm_clock_mhz'] == {'min': slowest_mhz, 'median': 1530, 'max': 1530}
        assert summary['watched_s'] == pytest.approx(watched_s)
        assert summary['energy_j'] == pytest.approx(energy_j)


@pytest.mark.parametrize('mode, shown, visible', [
    ((1, 1), V100, None),                                # NVML says it
    (NOT_SUPPORTED, SLICE, None),                        # CUDA's name says it
    ((0, 0), V100, 'MIG-9b1ee0ac-5d9c-5e5e-8c1a-1c2f7a3b0d11'),
    ((0, 1), V100, None)])                               # not split until the next reset
def test_on_a_slice_of_a_gpu_nothing_of_the_whole_board_is_ours(mode, shown, visible, opened,
                                                                monkeypatch):
    if visible:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    nvml = FakeNvml(mig_mode=mode, memory=40 * 2 ** 30, utilisation=90,
                    pids=[os.getpid(), 4000000, 4000001])
    nvml_gpu = opened(nvml, shown)
    environment = gpu.before(shown, nvml_gpu, None)
    summary = watched(nvml, nvml_gpu)
    assert environment['gpu']['power_limit_w'] == 300    # and the clock are those of all slices
    assert summary['sm_clock_mhz']['median'] == 1530
    cautions = gpu.busy(environment['gpu_before']) + gpu.cautions(summary)
    if mode == (0, 1):
        assert kinds(cautions) == ['busy'] * 3 and summary['power_w']['median'] == 250
        return
    assert cautions == []
    for key in 'energy_j', 'power_w', 'other_processes', 'utilisation_percent':
        assert summary[key] is None
        assert summary['unavailable'][key] == 'this is a MIG slice, and NVML reads the whole board'
    assert environment['gpu']['cores'] is None
    assert environment['gpu']['memory_bytes'] == shown.memory_bytes


def test_a_run_shorter_than_the_interval_has_one_sample(opened, monkeypatch):
    nvml_gpu = opened(FakeNvml())
    monkeypatch.setattr(gpu, 'INTERVAL_S', 60.0)
    monkeypatch.setattr(gpu, 'JOIN_S', LIMIT_S / 2)
    with gpu.Sampler(nvml_gpu) as sampler:
        pass
    assert sampler.summary()['samples'] == 1             # the thread does not sleep it out
    assert sampler.summary()['sm_clock_mhz']['median'] == 1530


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_with_the_block_however_it_ends(opened, error):
    nvml_gpu = opened(FakeNvml())
    with pytest.raises(error):
        with gpu.Sampler(nvml_gpu):
            assert 'gpu-sampler' in {thread.name for thread in threading.enumerate()}
            raise error                                        # `opened` looks for the thread


def test_slow_queries_take_no_more_than_their_share(opened, clock, monkeypatch):
    pauses_s, waited = [], threading.Event()

    class ShortWait(threading.Event):
        """An event that notes how long it should be waited for, and waits for 1 ms."""

        def wait(self, timeout):
            pauses_s.append(timeout)
            if len(pauses_s) == 4:
                waited.set()
            return super().wait(0.001)
    nvml_gpu = opened(FakeNvml())
    sample = nvml_gpu.sample()

    def slow_sample():
        clock.now_s += 0.02
        return sample
    monkeypatch.setattr(nvml_gpu, 'sample', slow_sample)
    monkeypatch.setattr(gpu, 'MAX_DUTY', 0.1)
    monkeypatch.setattr(gpu, 'threading', types.SimpleNamespace(Event=ShortWait,
                                                                Thread=threading.Thread))
    with gpu.Sampler(nvml_gpu):
        assert waited.wait(LIMIT_S)
    assert pauses_s[0] == 0.01                           # INTERVAL_S
    assert pauses_s[1:] == pytest.approx([0.2] * len(pauses_s[1:]))


@pytest.mark.parametrize('nvml, why', [
    (None, 'pynvml is not installed (pip install nvidia-ml-py)'),
    (failing(), 'NVML did not start: Driver/library version mismatch'),
    (FakeNvml(bus_id='0000:AF:00.0'), 'NVML does not show the GPU 0000:3B:00.0: Not Found'),
])
def test_a_run_without_nvml(monkeypatch, nvml, why):
    monkeypatch.setitem(sys.modules, 'pynvml', nvml)           # None: the import fails
    with gpu.opened(V100) as (nvml_gpu, why_none):
        assert (nvml_gpu, why_none) == (None, why)
        with gpu.Sampler(nvml_gpu) as sampler:
            pass
        assert sampler.summary() is None
        assert gpu.cautions(sampler.summary()) == []
    assert nvml is None or nvml.open == 0


def test_the_constants_and_functions_are_pynvmls():
    pynvml = pytest.importorskip('pynvml')
    assert pynvml.NVML_CLOCK_SM == gpu.SM
    assert pynvml.NVML_CLOCK_MEM == gpu.MEMORY
    assert pynvml.NVML_TEMPERATURE_GPU == gpu.GPU_DIE
    assert pynvml.NVML_DEVICE_MIG_ENABLE == gpu.MIG_ENABLED
    ours = {name.replace('_', ''): bit for bit, name in gpu.REASONS.items()}
    prefix = 'nvmlClocksThrottleReason'
    theirs = {name[len(prefix):].lower(): value for name, value in vars(pynvml).items()
              if name.startswith(prefix) and value
              and name[len(prefix):] not in ('All', 'UserDefinedClocks', 'Unknown')}
    assert {name: ours[name] for name in theirs} == theirs
    assert [name for name in {**vars(FakeNvml), **PLAIN}
            if name.startswith('nvml') and not hasattr(pynvml, name)] == []


@pytest.mark.parametrize('busy_cpus, usable_cpus, warned', [
    (0.0, 2, False), (0.19, 2, False), (0.21, 2, True), (1.2, 2, True), (None, None, False)])
def test_other_programs_on_the_cpu(busy_cpus, usable_cpus, warned):
    cautions = cpu.busy({'busy_cpus': busy_cpus, 'usable_cpus': usable_cpus})
    assert [(caution.kind, caution.text) for caution in cautions] == [(
        'busy', 'other programs kept %.1f of the 2 CPUs busy before the start (an idle machine: at '
        'most 0.2): stop them (top lists them) and run again' % (busy_cpus or 0))] * warned
