"""A GPU run from end to end, with a fake GPU: the wiring of NVML, peak and memory.

The steps run on the CPU under the name of a GPU, so that the placement check must find every one.
"""
import json
import os
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
        monkeypatch.setitem(sys.modules, 'pynvml', nvml)           # None: the import fails
        monkeypatch.setattr(gpu, 'SETTLE_S', 0)
        path = tmp_path / 'record.json'
        code = alexnet_benchmark.main(['--batch_size', '1', '--num_batches', '6', '--json',
                                       str(path), *flags])
        return code, json.loads(path.read_text()), capsys.readouterr().out
    return run_alexnet


def test_the_record_of_a_gpu_fits_the_schema_and_names_what_fell_back(run):
    code, written, out = run(fake_nvml.healthy())
    validator('record', strict=True)(written)
    assert code == 1
    assert written['environment']['device']['gpu']['multiprocessors'] == 80
    assert written['environment']['gpu']['max_sm_clock_mhz'] == 1530
    assert written['environment']['peak_flops'] == 2 * 64 * 80 * 1530e6
    assert written['environment']['cpu_before'] is None
    for result in written['results']:
        assert result['share_of_peak'] == pytest.approx(result['flops_per_s'] / 15.6672e12)
        assert result['gpu']['samples'] >= 1
        assert any('operations fell back to the CPU: ' in fault for fault in result['faults'])
    assert 'INVALID: Forward: ' in out and 'times' not in out       # never compared
    assert 'CPU figures' not in out


def test_throttling_stands_beside_the_figure(run):
    _, written, out = run(fake_nvml.throttled())
    kinds = {warning['kind'] for result in written['results'] for warning in result['warnings']}
    assert 'throttled' in kinds
    assert 'throttled the GPU clock' in out


def test_a_busy_gpu_is_said_below_the_table(run):
    _, written, out = run(fake_nvml.busy(), '--forward_only')
    assert {warning['kind'] for warning in written['warnings']} == {'busy'}
    assert out.index('caution: the GPU was busy') > out.index('ms / batch')


@pytest.mark.parametrize('nvml, why', [
    (None, 'pynvml is not installed (pip install nvidia-ml-py)'),
    (fake_nvml.failing(), 'NVML did not start: Driver/library version mismatch')])
def test_without_nvml_the_run_is_the_same_and_says_why(nvml, why, run, monkeypatch):
    monkeypatch.setattr(nvidia, 'nvidia_smi', lambda: [('470.82.01', V100.name)])
    _, written, out = run(nvml)
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


def test_a_driver_that_nvml_does_not_tell_is_known_from_elsewhere(run, monkeypatch):
    monkeypatch.setattr(nvidia, 'nvidia_smi', lambda: [('470.82.01', V100.name)])
    _, written, out = run(fake_nvml.healthy(driver=fake_nvml.NVMLError('Unknown Error')),
                          '--forward_only')
    assert written['environment']['gpu']['driver_version'] == '470.82.01'
    assert written['environment']['nvml'] is None
    assert 'unavailable' not in out


def test_no_energy_of_a_counter_that_stands_still(run):
    _, written, out = run(fake_nvml.healthy(), '--forward_only')
    assert written['results'][0]['energy_per_image_j'] is None
    assert 'J / image' not in out


def test_a_slice_has_its_own_memory_and_no_busy_neighbours(run, monkeypatch):
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', 'MIG-9b1ee0ac-5d9c-5e5e-8c1a-1c2f7a3b0d11')
    _, written, out = run(fake_nvml.healthy(utilisation=90, memory=40 * 2 ** 30,
                                            pids=[os.getpid(), 4000000]), '--forward_only')
    assert written['environment']['gpu']['memory_bytes'] == V100.memory_bytes
    assert 'busy' not in {one['kind'] for one in written['warnings']
                          + written['results'][0]['warnings']}
    assert written['results'][0]['energy_per_image_j'] is None
    assert written['results'][0]['gpu']['power_w'] is None
