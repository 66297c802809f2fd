"""tools/harness_cost.py: its results on a CPU and on a GPU."""
import types

import fake_nvml
import pytest

from common.machine import device
from common.probes import gpu
from tools import harness_cost

CPU = device.Device('cpu', 'X', 'X')
SHORT = {'batch_size': 1, 'rounds': 2, 'steps': 5}
KEYS = {'device', 'tensorflow', 'harness_s_per_step', 'alexnet_forward_s',
        'harness_share_of_alexnet'}


def test_on_a_cpu_the_nvml_thread_is_not_measured():
    costs = harness_cost.measure(CPU, **SHORT)
    assert set(costs) == KEYS and costs['alexnet_forward_s'] > 0
    assert costs['harness_share_of_alexnet'] == pytest.approx(
        costs['harness_s_per_step'] / costs['alexnet_forward_s'])


def test_on_a_gpu_it_is(monkeypatch):
    monkeypatch.setattr(gpu, 'open_gpu', lambda bus_id: (
        gpu.NvmlGpu(fake_nvml.healthy(), 'gpu'), None))
    on = CPU._replace(gpu=types.SimpleNamespace(pci_bus_id='0000:af:00.0'))
    assert set(harness_cost.measure(on, **SHORT)) == KEYS | {'nvml_share_of_alexnet'}


def test_taking_turns():
    """Returns the median of the differences; each function runs first in every second round."""
    order = []

    def taking(name, values):
        def call():
            order.append(name)
            return values.pop(0)
        return call
    assert harness_cost.take_turns(3, taking('a', [1, 2, 3]), taking('b', [2, 4, 9])) == (2, 2)
    assert ''.join(order) == 'baabba'
