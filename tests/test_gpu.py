"""What is observed of the GPU, with a fake pynvml."""
import json
import os
import sys
import threading
import time
import types

import fake_nvml
import pytest

from common.machine import device
from common.probes import cpu, gpu

LIMIT_S = 60                         # of what takes a moment: more than a busy machine needs
V100 = device.Gpu('Tesla V100-SXM2-16GB', '0000:3B:00.0', (7, 0), 80, 16 * 2 ** 30)
SLICE = device.Gpu('NVIDIA A100-SXM4-40GB MIG 1g.5gb', '0000:3B:00.0', (8, 0), 14, 5 * 2 ** 30)


@pytest.fixture
def opened(monkeypatch):
    """A function that puts a fake pynvml in place and opens its GPU, sampled every 10 ms."""
    monkeypatch.setattr(gpu, 'INTERVAL_S', 0.01)
    monkeypatch.setattr(gpu, 'MAX_DUTY', 1.0)
    monkeypatch.setattr(gpu, 'SETTLE_S', 0.05)

    def open_fake(nvml, shown=V100):
        monkeypatch.setitem(sys.modules, 'pynvml', nvml)
        nvml_gpu, why_none = gpu.open_gpu(shown)
        assert why_none is None
        return nvml_gpu
    yield open_fake
    assert 'gpu-sampler' not in {thread.name for thread in threading.enumerate()}


@pytest.fixture
def clock(monkeypatch):
    """The clock of common/probes/gpu.py, which stands still unless a test sets clock.now_s."""
    clock = types.SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(gpu, 'time', types.SimpleNamespace(monotonic=lambda: clock.now_s,
                                                           sleep=time.sleep))
    return clock


def watched(nvml, nvml_gpu, samples=3):
    """The sampler of a run in which the thread took some samples."""
    with gpu.Sampler(nvml_gpu) as sampler:
        wait(nvml, samples)
    return sampler


def wait(nvml, samples):
    """Waits until this many samples have been begun after now, and all but the last kept."""
    for _ in range(samples + 1):
        nvml.sampled.clear()
        assert nvml.sampled.wait(LIMIT_S)


def kinds(cautions):
    return [caution.kind for caution in cautions]


def test_the_summary_of_a_healthy_gpu(opened):
    nvml = fake_nvml.healthy(utilisation=98)
    with gpu.Sampler(opened(nvml)) as sampler:
        wait(nvml, 3)
        nvml.values['energy'] += 5000
    summary = sampler.summary()
    assert summary['sm_clock_mhz'] == {'min': 1530, 'median': 1530, 'max': 1530}
    assert summary['memory_clock_mhz']['median'] == 877
    assert summary['temperature_c']['max'] == 60
    assert summary['power_w'] == {'min': 250.0, 'median': 250.0, 'max': 250.0}
    assert summary['utilisation_percent']['median'] == 98
    assert summary['throttle_reasons'] == {}
    assert summary['other_processes'] == 0
    assert summary['energy_j'] == pytest.approx(5.0)
    assert summary['samples'] >= 2
    assert summary['interval_s'] == 0.01
    assert summary['unavailable'] == {}
    assert gpu.cautions(summary) == []
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_facts_of_a_gpu(opened):
    nvml_gpu = opened(fake_nvml.healthy(name=b'Tesla V100-SXM2-16GB'))
    assert nvml_gpu.facts() == {
        'name': 'Tesla V100-SXM2-16GB', 'driver_version': '470.82.01', 'cores': 5120,
        'compute_capability': [7, 0], 'max_sm_clock_mhz': 1530, 'memory_bytes': 16 * 2**30,
        'power_limit_w': 300.0}


def test_clocks_that_change_are_seen(opened):
    nvml = fake_nvml.healthy()
    with gpu.Sampler(opened(nvml)) as sampler:
        wait(nvml, 6)
        nvml.values['sm_clock'] = 1200
        wait(nvml, 1)
    clocks = sampler.summary()['sm_clock_mhz']
    assert clocks == {'min': 1200, 'median': 1530, 'max': 1530}


def test_a_hot_gpu_is_throttled(opened):
    nvml = fake_nvml.throttled()
    summary = watched(nvml, opened(nvml)).summary()
    assert summary['throttle_reasons'] == {'hw_slowdown': 1.0, 'hw_thermal_slowdown': 1.0}
    cautions = gpu.cautions(summary)
    assert kinds(cautions) == ['throttled', 'throttled']
    assert cautions[1].text == (
        'hw_thermal_slowdown throttled the GPU clock in 100 % of the samples (more than '
        '5 %), medians 765 MHz, 250 W, 92 C: it is too hot: improve the cooling and '
        'run again')


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
    nvml = fake_nvml.healthy(reasons=bits)
    summary = watched(nvml, opened(nvml), samples=1).summary()
    assert summary['throttle_reasons'] == {name: 1.0}
    assert kinds(gpu.cautions(summary)) == ['throttled'] * warned


def test_a_moment_of_throttling_is_no_warning(opened):
    nvml = fake_nvml.healthy()
    summary = watched(nvml, opened(nvml)).summary()
    for share, warned in ((0.05, []), (0.06, ['throttled'])):
        assert kinds(gpu.cautions(dict(summary, throttle_reasons={'hw_slowdown': share}))
                     ) == warned


def test_the_power_cap_is_called_normal(opened):
    nvml = fake_nvml.healthy(reasons=0x4)
    text, = [warning.text for warning in gpu.cautions(watched(nvml, opened(nvml)).summary())]
    assert 'normal under load' in text
    assert 'nvidia-smi -pl' in text


def test_a_busy_gpu_before_the_start(opened):
    before = opened(fake_nvml.busy()).before()
    assert before == {'utilisation_percent': 37, 'other_processes': 1}
    utilisation, processes = gpu.busy(before)
    assert utilisation.kind == processes.kind == 'busy'
    assert utilisation.text == (
        'the GPU was busy for 37 % of the time before the start (an idle one: at most 5 %): stop '
        'what else runs on it (nvidia-smi lists it) and run again')
    assert processes.text == (
        '1 other compute process had the GPU open before the start (0 on a GPU of your own): stop '
        'what runs there (nvidia-smi lists it) and run again')


def test_an_idle_gpu_before_the_start(opened):
    before = opened(fake_nvml.healthy(pids=[])).before()
    assert before == {'utilisation_percent': 0, 'other_processes': 0}
    assert gpu.busy(before) == []


def test_a_driver_that_scrubs_memory_is_waited_for(opened, monkeypatch):
    nvml = fake_nvml.healthy(utilisation=100)
    nvml_gpu = opened(nvml)
    monkeypatch.setattr(gpu.time, 'sleep', lambda _: nvml.values.update(utilisation=0))
    assert nvml_gpu.before()['utilisation_percent'] == 0


@pytest.mark.parametrize('pids, others', [
    ([os.getpid()], 0),
    ([os.getpid(), 4000000], 1),
    ([os.getpid(), 4000000, 4000000], 1),   # one process in two MIG instances
    ([4000000], 0),                         # in a container: our own, by the host's number
    ([4000000, 4000001, 4000002], 2),
    ([], 0),                                # in a container that hides processes
])
def test_other_processes_while_we_run(opened, pids, others):
    nvml = fake_nvml.healthy(pids=pids)
    summary = watched(nvml, opened(nvml), samples=1).summary()
    assert summary['other_processes'] == others
    assert kinds(gpu.cautions(summary)) == ['busy'] * bool(others)


def test_what_a_gpu_does_not_support_is_none(opened):
    nvml = fake_nvml.unsupported()
    nvml_gpu = opened(nvml)
    facts, before, summary = nvml_gpu.facts(), nvml_gpu.before(), watched(nvml, nvml_gpu).summary()
    assert facts['cores'] is None
    assert facts['power_limit_w'] is None
    assert facts['name'] == 'Tesla V100-SXM2-16GB'
    assert before == {'utilisation_percent': None, 'other_processes': None}
    for key in ('power_w', 'utilisation_percent', 'throttle_reasons', 'other_processes',
                'energy_j'):
        assert summary[key] is None
        assert summary['unavailable'][key] == 'Not Supported'
    assert summary['sm_clock_mhz']['median'] == 1530
    assert gpu.cautions(summary) + gpu.busy(before) == []


def test_an_old_driver_is_asked_by_the_old_names(opened):
    nvml = fake_nvml.healthy()
    not_found = fake_nvml.NVMLError_FunctionNotFound()

    def missing(handle):
        raise not_found
    nvml.nvmlDeviceGetCurrentClocksEventReasons = missing
    nvml.nvmlDeviceGetComputeRunningProcesses = missing
    summary = watched(nvml, opened(nvml)).summary()
    assert summary['throttle_reasons'] == {}
    assert summary['other_processes'] == 0
    assert summary['unavailable'] == {'energy_j': 'the counter stood still at 1000.000 J'}


def test_a_gpu_that_is_lost_leaves_what_was_read(opened):
    nvml = fake_nvml.healthy()
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
    nvml = fake_nvml.healthy(energy=readings_mj[0])
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
    json.dumps(summary, allow_nan=False)


def test_a_counter_that_stands_still_after_the_burn_in_gives_no_energy(opened, clock):
    nvml = fake_nvml.healthy()
    with gpu.Sampler(opened(nvml)) as sampler:
        nvml.values['energy'] += 5000
        clock.now_s = 0.001
        wait(nvml, 1)
        clock.now_s = 0.002
    assert sampler.summary()['energy_j'] == pytest.approx(5)
    summary = sampler.summary(last_s=0.001)
    assert summary['energy_j'] is None
    assert summary['unavailable']['energy_j'].startswith('the counter stood still')


def test_the_burn_in_can_be_left_out(opened, clock):
    nvml = fake_nvml.healthy(sm_clock=300, power=30000)
    sampler = gpu.Sampler(opened(nvml))
    with sampler:
        wait(nvml, 2)
        clock.now_s = 0.009
        nvml.values.update(sm_clock=1530, energy=1010000)
        wait(nvml, 2)
        clock.now_s = 0.010
        wait(nvml, 2)
        clock.now_s = 0.019
        nvml.values['energy'] = 1030000
        wait(nvml, 2)
        clock.now_s = 0.020
    assert sampler.summary()['sm_clock_mhz']['min'] == 300
    assert sampler.summary()['energy_j'] == pytest.approx(30)
    summary = sampler.summary(last_s=0.010)
    assert summary['sm_clock_mhz']['min'] == 1530
    assert summary['watched_s'] == pytest.approx(0.010)
    assert summary['energy_j'] == pytest.approx(20)


@pytest.mark.parametrize('mode, shown, visible', [
    ((1, 1), V100, None),                                # NVML says it
    (fake_nvml.NVMLError_NotSupported(), SLICE, None),   # CUDA's name says it
    ((0, 0), V100, 'MIG-9b1ee0ac-5d9c-5e5e-8c1a-1c2f7a3b0d11')])
def test_on_a_slice_of_a_gpu_nothing_of_the_whole_board_is_ours(mode, shown, visible, opened,
                                                                monkeypatch):
    if visible:
        monkeypatch.setenv('CUDA_VISIBLE_DEVICES', visible)
    nvml = fake_nvml.healthy(mig_mode=mode, utilisation=90, pids=[os.getpid(), 4000000, 4000001])
    nvml_gpu = opened(nvml, shown)
    before = nvml_gpu.before()
    with gpu.Sampler(nvml_gpu) as sampler:
        wait(nvml, 1)
        nvml.values['energy'] += 5000
    summary = sampler.summary()
    assert gpu.busy(before) + gpu.cautions(summary) == []
    for key in 'energy_j', 'power_w', 'other_processes', 'utilisation_percent':
        assert summary[key] is None
        assert summary['unavailable'][key] == 'this is a MIG slice, and NVML reads the whole board'
    assert nvml_gpu.facts()['cores'] is None
    assert nvml_gpu.facts()['power_limit_w'] == 300      # and the clock are those of all slices
    assert summary['sm_clock_mhz']['median'] == 1530


def test_a_gpu_that_is_not_split_is_read_as_a_whole(opened):
    nvml = fake_nvml.healthy(mig_mode=(0, 1))            # the second mode is for after a reset
    summary = watched(nvml, opened(nvml)).summary()
    assert summary['other_processes'] == 0
    assert summary['power_w']['median'] == 250


def test_a_run_shorter_than_the_interval_has_one_sample(opened, monkeypatch):
    nvml_gpu = opened(fake_nvml.healthy())
    monkeypatch.setattr(gpu, 'INTERVAL_S', 60.0)
    start_s = time.monotonic()
    with gpu.Sampler(nvml_gpu) as sampler:
        pass
    assert time.monotonic() - start_s < 30                     # the thread does not sleep it out
    assert sampler.summary()['samples'] == 1
    assert sampler.summary()['sm_clock_mhz']['median'] == 1530


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_with_the_block_however_it_ends(opened, error):
    nvml_gpu = opened(fake_nvml.healthy())
    with pytest.raises(error):
        with gpu.Sampler(nvml_gpu):
            assert 'gpu-sampler' in {thread.name for thread in threading.enumerate()}
            raise error                                        # `opened` looks for the thread


def test_slow_queries_take_no_more_than_their_share(opened, clock, monkeypatch):
    pauses_s, waited = [], threading.Event()

    class Stop(threading.Event):
        """An event with a short wait."""

        def wait(self, timeout):
            pauses_s.append(timeout)
            if len(pauses_s) == 4:
                waited.set()
            return super().wait(0.001)
    monkeypatch.setattr(gpu, 'MAX_DUTY', 0.1)
    nvml_gpu = opened(fake_nvml.healthy())
    sample = nvml_gpu.sample()

    def slow_sample():
        clock.now_s += 0.02
        return sample
    monkeypatch.setattr(nvml_gpu, 'sample', slow_sample)
    monkeypatch.setattr(gpu, 'threading', types.SimpleNamespace(Event=Stop,
                                                                Thread=threading.Thread))
    with gpu.Sampler(nvml_gpu):
        assert waited.wait(LIMIT_S)
    assert pauses_s[0] == 0.01                           # INTERVAL_S
    assert pauses_s[1:] == pytest.approx([0.2] * len(pauses_s[1:]))


def test_sampling_costs_the_steps_nothing_in_python(opened):
    """1 % of the 0.2 s between samples: the time of this thread, in the best of some rounds."""
    nvml_gpu, rounds_s = opened(fake_nvml.healthy()), []
    for _ in range(10):
        start_s = time.thread_time()
        for _ in range(20):
            nvml_gpu.sample()
        rounds_s.append((time.thread_time() - start_s) / 20)
    assert min(rounds_s) < 0.01 * 0.2


@pytest.mark.parametrize('nvml, why', [
    (None, 'pynvml is not installed (pip install nvidia-ml-py)'),
    (fake_nvml.failing(), 'NVML did not start: Driver/library version mismatch'),
    (fake_nvml.healthy(bus_id='0000:AF:00.0'),
     'NVML does not show the GPU 0000:3B:00.0: Not Found'),
])
def test_a_run_without_nvml(monkeypatch, nvml, why):
    monkeypatch.setitem(sys.modules, 'pynvml', nvml)           # None: the import fails
    nvml_gpu, why_none = gpu.open_gpu(V100)
    assert nvml_gpu is None
    assert why_none == why
    with gpu.Sampler(nvml_gpu) as sampler:
        pass
    assert sampler.summary() is None
    assert sampler.summary(1.0) is None
    assert gpu.cautions(sampler.summary()) == []
    assert nvml is None or nvml.open == 0


def test_nvml_is_shut_down(opened):
    nvml = fake_nvml.healthy()
    nvml_gpu = opened(nvml)
    assert nvml.open == 1
    nvml_gpu.close()
    assert nvml.open == 0


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
    assert [name for name in vars(fake_nvml.FakeNvml)
            if name.startswith('nvml') and not hasattr(pynvml, name)] == []


@pytest.mark.parametrize('busy, usable, warned', [
    (0.0, 2, False), (0.19, 2, False), (0.21, 2, True), (2.0, 2, True), (None, None, False)])
def test_other_programs_on_the_cpu(busy, usable, warned):
    load = {'busy_cpus': busy, 'usable_cpus': usable, 'load_average_1min': None}
    assert kinds(cpu.busy(load)) == ['busy'] * warned


def test_the_text_about_a_busy_cpu():
    warning, = cpu.busy({'busy_cpus': 1.2, 'usable_cpus': 2, 'load_average_1min': None})
    assert warning.text == (
        'other programs kept 1.2 of the 2 CPUs busy before the start (an idle machine: at most '
        '0.2): stop them (top lists them) and run again')
