"""A GPU run from end to end, with a GPU that is not there: the wiring of NVML, peak and memory.

The steps run on the CPU under the name of a GPU, so that the placement check must find every one.
"""
import json
import os

import jsonschema
import pytest

import alexnet_benchmark
from common import record
from common.machine import device, session
from common.probes import gpu as telemetry
from common.tf1 import tf
from tests import fake_nvml

V100 = device.Gpu('Tesla V100-SXM2-16GB', '0000:3B:00.0', (7, 0), 80, 16 * 2 ** 30)


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Runs AlexNet on the GPU that NVML shows; returns exit code, record, what was printed."""
    def run_alexnet(nvml, *flags):
        monkeypatch.setattr(device, 'choose', lambda asked: device.Device(
            'gpu', V100.name, 'Tesla V100: as --device gpu asks', V100))
        monkeypatch.setattr(session, 'open_session', lambda chosen, config: tf.Session(
            config=tf.ConfigProto(device_count={'GPU': 0})))
        monkeypatch.setattr(telemetry, 'open_gpu',
                            lambda bus: (telemetry.NvmlGpu(nvml, 'gpu') if nvml else None, 'none'))
        monkeypatch.setattr(telemetry, 'SETTLE_S', 0)
        path = tmp_path / 'record.json'
        code = alexnet_benchmark.main(['--batch_size', '1', '--num_batches', '20', '--json',
                                       str(path), *flags])
        return code, json.loads(path.read_text()), capsys.readouterr().out
    return run_alexnet


def test_the_record_of_a_gpu_fits_the_schema_and_names_what_fell_back(run):
    code, written, out = run(fake_nvml.healthy())
    with open(os.path.join(os.path.dirname(record.__file__), 'record.schema.json')) as file:
        jsonschema.validate(written, json.load(file))
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
    assert 'held the clock of the GPU down' in out


def test_a_busy_gpu_is_said_below_the_table(run):
    _, written, out = run(fake_nvml.busy(), '--forward_only')
    assert {warning['kind'] for warning in written['warnings']} == {'busy'}
    assert out.index('caution: the GPU was busy') > out.index('ms / batch')


def test_without_nvml_the_run_is_the_same(run):
    _, written, _ = run(None, '--forward_only')
    assert written['environment']['gpu'] is None
    assert written['environment']['peak_flops'] is None
    assert written['results'][0]['gpu'] is None
    assert written['results'][0]['share_of_peak'] is None
    assert len(written['results'][0]['samples_s']) == 20
