"""The telemetry, with a pynvml that is not real."""
import json
import os
import sys
import threading
import time

import fake_nvml
import pytest

from common.probes import cpu
from common.probes import gpu as telemetry


@pytest.fixture
def opened(monkeypatch):
    """A function that puts a fake pynvml in place and opens its GPU, sampled every 10 ms."""
    monkeypatch.setattr(telemetry, 'INTERVAL_S', 0.01)
    monkeypatch.setattr(telemetry, 'MAX_DUTY', 1.0)
    monkeypatch.setattr(telemetry, 'SETTLE_S', 0.05)

    def open_fake(nvml):
        monkeypatch.setitem(sys.modules, 'pynvml', nvml)
        monitor, why_none = telemetry.open_gpu('0000:3B:00.0')
        assert why_none == ''
        return monitor
    yield open_fake
    assert 'telemetry' not in {thread.name for thread in threading.enumerate()}


def watched(nvml, monitor, samples=3):
    """The Watch of a run in which the thread took some samples."""
    with telemetry.Sampler(monitor) as watch:
        wait(nvml, samples)
    return watch


def wait(nvml, samples):
    """Waits until this many samples have been begun after now, and all but the last kept."""
    for _ in range(samples + 1):
        nvml.sampled.clear()
        assert nvml.sampled.wait(2)


def kinds(found):
    return [warning.kind for warning in found]


def test_the_summary_of_a_healthy_gpu(opened):
    nvml = fake_nvml.healthy(utilisation=98)
    summary = watched(nvml, opened(nvml)).summary()
    assert summary['sm_clock_mhz'] == {'min': 1530, 'median': 1530, 'max': 1530}
    assert summary['memory_clock_mhz']['median'] == 877
    assert summary['temperature_c']['max'] == 60
    assert summary['power_w'] == {'min': 250.0, 'median': 250.0, 'max': 250.0}
    assert summary['utilisation_percent']['median'] == 98
    assert summary['throttle_reasons'] == {}
    assert summary['other_processes'] == 0
    assert summary['energy_j'] == 0
    assert summary['samples'] >= 2
    assert summary['interval_s'] == 0.01
    assert summary['unavailable'] == {}
    assert telemetry.cautions(summary) == []
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_facts_of_a_gpu(opened):
    monitor = opened(fake_nvml.healthy(name=b'Tesla V100-SXM2-16GB'))
    assert monitor.facts() == {
        'name': 'Tesla V100-SXM2-16GB', 'driver_version': '470.82.01', 'cores': 5120,
        'compute_capability': [7, 0], 'max_sm_clock_mhz': 1530, 'memory_bytes': 16 * 2**30,
        'power_limit_w': 300.0}


def test_clocks_that_change_are_seen(opened):
    nvml = fake_nvml.healthy()
    with telemetry.Sampler(opened(nvml)) as watch:
        wait(nvml, 6)
        nvml.values['sm_clock'] = 1200
        wait(nvml, 1)
    clocks = watch.summary()['sm_clock_mhz']
    assert clocks == {'min': 1200, 'median': 1530, 'max': 1530}


def test_a_hot_gpu_is_throttled(opened):
    nvml = fake_nvml.throttled()
    summary = watched(nvml, opened(nvml)).summary()
    assert summary['throttle_reasons'] == {'hw_slowdown': 1.0, 'hw_thermal_slowdown': 1.0}
    found = telemetry.cautions(summary)
    assert kinds(found) == ['throttled', 'throttled']
    assert found[1].text == (
        'hw_thermal_slowdown held the clock of the GPU down in 100 % of the samples (more than '
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
    assert kinds(telemetry.cautions(summary)) == ['throttled'] * warned


def test_a_moment_of_throttling_is_no_warning(opened):
    nvml = fake_nvml.healthy()
    summary = watched(nvml, opened(nvml)).summary()
    for share, warned in ((0.05, []), (0.06, ['throttled'])):
        assert kinds(telemetry.cautions(dict(summary, throttle_reasons={'hw_slowdown': share}))
                     ) == warned


def test_the_power_cap_is_called_normal(opened):
    nvml = fake_nvml.healthy(reasons=0x4)
    text, = [warning.text for warning in telemetry.cautions(watched(nvml, opened(nvml)).summary())]
    assert 'normal under load' in text
    assert 'nvidia-smi -pl' in text


def test_a_busy_gpu_before_the_start(opened):
    before = opened(fake_nvml.busy()).before()
    assert before == {'utilisation_percent': 37, 'other_processes': 1}
    utilisation, processes = telemetry.gpu_busy(before)
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
    assert telemetry.gpu_busy(before) == []


def test_a_driver_that_scrubs_memory_is_waited_for(opened, monkeypatch):
    nvml = fake_nvml.healthy(utilisation=100)
    monitor = opened(nvml)
    monkeypatch.setattr(telemetry.time, 'sleep', lambda _: nvml.values.update(utilisation=0))
    assert monitor.before()['utilisation_percent'] == 0


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
    assert kinds(telemetry.cautions(summary)) == ['busy'] * bool(others)


def test_what_a_gpu_does_not_support_is_none(opened):
    nvml = fake_nvml.unsupported()
    monitor = opened(nvml)
    facts, before, summary = monitor.facts(), monitor.before(), watched(nvml, monitor).summary()
    assert facts['cores'] is None
    assert facts['power_limit_w'] is None
    assert facts['name'] == 'Tesla V100-SXM2-16GB'
    assert before == {'utilisation_percent': None, 'other_processes': None}
    for key in ('power_w', 'utilisation_percent', 'throttle_reasons', 'other_processes',
                'energy_j'):
        assert summary[key] is None
        assert summary['unavailable'][key] == 'Not Supported'
    assert summary['sm_clock_mhz']['median'] == 1530
    assert telemetry.cautions(summary) + telemetry.gpu_busy(before) == []


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
    assert summary['unavailable'] == {}


def test_a_gpu_that_is_lost_leaves_what_was_read(opened):
    nvml = fake_nvml.healthy()
    with telemetry.Sampler(opened(nvml)) as watch:
        wait(nvml, 2)
        nvml.lost = True
        wait(nvml, 1)
    summary = watch.summary()
    assert summary['sm_clock_mhz']['median'] == 1530
    assert summary['energy_j'] is None
    assert summary['unavailable']['sm_clock_mhz'] == 'GPU is lost'
    json.dumps(summary, allow_nan=False)


def test_energy_of_the_whole_block(opened):
    nvml = fake_nvml.healthy()
    with telemetry.Sampler(opened(nvml)) as watch:
        nvml.values['energy'] += 5000
    summary = watch.summary()
    assert 0 <= summary['watched_s'] < 1
    assert summary['energy_j'] == pytest.approx(5.0)


def test_the_burn_in_can_be_left_out(opened):
    nvml = fake_nvml.healthy(sm_clock=300, power=30000)
    watch = telemetry.Sampler(opened(nvml))
    with watch:
        wait(nvml, 2)
        nvml.values.update(sm_clock=1530, energy=1010000)
        wait(nvml, 2)
        start_s = time.monotonic()
        wait(nvml, 2)
        nvml.values['energy'] = 1030000
        last_s = time.monotonic() - start_s
    assert watch.summary()['sm_clock_mhz']['min'] == 300
    assert watch.summary()['energy_j'] == pytest.approx(30)
    summary = watch.summary(last_s)
    assert summary['sm_clock_mhz']['min'] == 1530
    assert summary['watched_s'] == pytest.approx(last_s)
    assert summary['energy_j'] == pytest.approx(20)


def test_a_run_shorter_than_the_interval_has_one_sample(opened, monkeypatch):
    monitor = opened(fake_nvml.healthy())
    monkeypatch.setattr(telemetry, 'INTERVAL_S', 60.0)
    start_s = time.monotonic()
    with telemetry.Sampler(monitor) as watch:
        pass
    assert time.monotonic() - start_s < 1                      # the thread does not sleep it out
    assert watch.summary()['samples'] == 1
    assert watch.summary()['sm_clock_mhz']['median'] == 1530


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt, SystemExit])
def test_the_thread_ends_with_the_block_however_it_ends(opened, error):
    monitor = opened(fake_nvml.healthy())
    with pytest.raises(error):
        with telemetry.Sampler(monitor):
            assert 'telemetry' in {thread.name for thread in threading.enumerate()}
            raise error                                        # `opened` looks for the thread


def test_slow_queries_take_no_more_than_their_share(opened, monkeypatch):
    monkeypatch.setattr(telemetry, 'MAX_DUTY', 0.1)
    nvml = fake_nvml.healthy()
    monitor, taken = opened(nvml), []

    def slow_sample():
        taken.append(1)
        time.sleep(0.02)
        return fake_sample
    fake_sample = monitor.sample()
    monkeypatch.setattr(monitor, 'sample', slow_sample)
    with telemetry.Sampler(monitor):
        time.sleep(0.5)
    assert 2 <= len(taken) <= 4                 # 0.02 s in every 0.22 s, and one at the end


def test_sampling_costs_the_steps_nothing_in_python(opened):
    monitor = opened(fake_nvml.healthy())
    start_s = time.process_time()
    for _ in range(100):
        monitor.sample()
    assert (time.process_time() - start_s) / 100 < 0.01 * 0.2  # 1 % of the 0.2 s between samples


@pytest.mark.parametrize('nvml, why', [
    (None, 'pynvml is not installed (pip install nvidia-ml-py)'),
    (fake_nvml.failing(), 'NVML did not start: Driver/library version mismatch'),
    (fake_nvml.healthy(bus_id='0000:AF:00.0'),
     'NVML does not show the GPU 0000:3B:00.0: Not Found'),
])
def test_a_run_without_telemetry(monkeypatch, nvml, why):
    monkeypatch.setitem(sys.modules, 'pynvml', nvml)           # None: the import fails
    monitor, why_none = telemetry.open_gpu('0000:3B:00.0')
    assert monitor is None
    assert why_none == why
    with telemetry.Sampler(monitor) as watch:
        pass
    assert watch.summary() is None
    assert watch.summary(1.0) is None
    assert telemetry.cautions(watch.summary()) == []
    assert nvml is None or nvml.open == 0


def test_nvml_is_shut_down(opened):
    nvml = fake_nvml.healthy()
    monitor = opened(nvml)
    assert nvml.open == 1
    monitor.close()
    assert nvml.open == 0


def test_the_constants_and_functions_are_pynvmls():
    pynvml = pytest.importorskip('pynvml')
    assert pynvml.NVML_CLOCK_SM == telemetry.SM
    assert pynvml.NVML_CLOCK_MEM == telemetry.MEMORY
    assert pynvml.NVML_TEMPERATURE_GPU == telemetry.GPU_DIE
    ours = {name.replace('_', ''): bit for bit, name in telemetry.REASONS.items()}
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
