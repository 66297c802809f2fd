"""A GPU run from end to end, with a fake GPU: the wiring of NVML, peak and memory.

The steps run on the CPU under the name of a GPU, so that the placement check must find every one.
"""
import json
import sys

import pytest

import alexnet_benchmark
from common.machine import device, nvidia, session
from common.probes import gpu
from common.tf1 import tf
from suite.records import validator
from tests import fake_nvml

pytestmark = pytest.mark.slow
V100 = device.Gpu('Tesla V100-SXM2-16GB', '0000:3B:00.0', (7, 0), 80, 16 * 2 ** 30)


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs AlexNet on the GPU that NVML shows; returns exit code, record, what was printed."""
    def run_alexnet(nvml, *flags):
        monkeypatch.setattr(device, 'choose', lambda asked: device.Device(
            'gpu', V100.name, 'Tesla V100: as --device gpu asks', V100))
        monkeypatch.setattr(session, 'open_session', lambda chosen, config: tf.Session(
            config=tf.ConfigProto(device_count={'GPU': 0})))
        monkeypatch.setitem(sys.modules, 'pynvml', nvml)
        monkeypatch.setattr(gpu, 'SETTLE_S', 0)
        path = tmp_path / 'record.json'
        code = alexnet_benchmark.main(['--batch_size', '1', '--num_batches', '6', '--json',
                                       str(path), *flags])
        return code, json.loads(path.read_text()), capsys.readouterr().out
    return run_alexnet


def test_the_record_of_a_gpu_fits_the_schema_and_names_what_fell_back(run):
    code, written, out = run(fake_nvml.FakeNvml())
    validator('record', strict=True)(written)
    assert code == 1
    assert written['environment']['device']['gpu']['multiprocessors'] == 80
    assert written['environment']['gpu']['max_sm_clock_mhz'] == 1530
    assert written['environment']['peak_flops'] == 2 * 64 * 80 * 1530e6
    assert written['environment']['cpu_before'] is None
    for result in written['results']:
        assert result['share_of_peak'] == pytest.approx(result['flops_per_s'] / 15.6672e12)
        assert result['gpu']['samples'] >= 1
        assert result['energy_per_image_j'] is None      # its counter stands still
        assert any('operations fell back to the CPU: ' in fault for fault in result['faults'])
    assert 'INVALID: Forward: ' in out and 'times as fast' not in out        # never compared
    assert 'CPU figures' not in out


def test_a_busy_and_hot_gpu_is_said_below_the_table(run):
    _, written, out = run(fake_nvml.throttled(utilisation=37), '--forward_only')
    kinds = [caution['kind'] for caution in written['results'][0]['warnings']]
    assert kinds.count('throttled') == 2
    assert [caution['kind'] for caution in written['warnings']] == ['busy']
    assert (out.index('ms / batch') < out.index('caution: the GPU was busy')
            < out.index('throttled the GPU clock'))


def test_without_nvml_the_run_is_the_same_and_says_why(run, monkeypatch):
    why = 'NVML did not start: Driver/library version mismatch'
    monkeypatch.setattr(nvidia, 'nvidia_smi', lambda: [('470.82.01', V100.name)])
    _, written, out = run(fake_nvml.failing(), '--forward_only')
    environment = written['environment']
    assert environment['nvml'] == why
    assert environment['gpu'] == {
        'name': V100.name, 'driver_version': '470.82.01', 'compute_capability': [7, 0],
        'memory_bytes': 16 * 2 ** 30, 'cores': None, 'max_sm_clock_mhz': None,
        'power_limit_w': None}
    assert environment['peak_flops'] is None
    assert written['results'][0]['gpu'] is None
    assert written['results'][0]['share_of_peak'] is None
    assert len(written['results'][0]['samples_s']) == 6
    line = 'GPU clock, power and energy are unavailable: %s\n' % why
    assert out.count(line) == out.count(why) == 1
    assert out.index(line) < out.index('step 0, duration')
