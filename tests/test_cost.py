"""The peak rate against the manufacturer's own figures."""
import types

import pytest

from common.probes import cost
from common.probes.cost import peak_flops


# Per GPU: capability, SMs, boost clock in MHz, published float32 TFLOP/s.
@pytest.mark.parametrize('capability, sms, clock_mhz, tflops', [
    ((3, 5),  15,  875,   5.04),    # Tesla K40: whitepaper NVIDIA Tesla P100, table 1
    ((3, 7),  13,  875,   4.37),    # Tesla K80, one of its two GPUs: data sheet, 8.74 for both
    ((5, 2),  24, 1114,   6.84),    # Tesla M40, Titan X's chip: whitepaper Tesla P100, table 1
    ((6, 0),  56, 1480,  10.6),     # Tesla P100 NVLink: the same table
    ((6, 1),  20, 1733,   8.87),    # GeForce GTX 1080: whitepaper NVIDIA GeForce GTX 1080, table 1
    ((7, 0),  80, 1530,  15.7),     # Tesla V100 SXM2: whitepaper NVIDIA Tesla V100, table 1
    ((7, 5),  40, 1590,   8.1),     # Tesla T4: data sheet
    ((7, 5),  68, 1635,  14.2),     # GeForce RTX 2080 Ti FE: whitepaper Turing, table 1
    ((8, 0), 108, 1410,  19.5),     # A100: whitepaper NVIDIA A100, table 1
    ((8, 6),  82, 1695,  35.6),     # GeForce RTX 3090: whitepaper Ampere GA102, table 2
    ((8, 9), 128, 2520,  82.6),     # GeForce RTX 4090: whitepaper Ada, table 2
    ((9, 0), 114, 1755,  51.2),     # H100 PCIe: whitepaper NVIDIA H100, table 3
    ((9, 0), 132, 1980,  66.9),     # H100 SXM5: the same table
    ((12, 0), 170, 2407, 104.8),    # GeForce RTX 5090: whitepaper RTX Blackwell, appendix A
])
def test_peak_is_the_data_sheets(capability, sms, clock_mhz, tflops):
    assert peak_flops(capability, sms, clock_mhz) == pytest.approx(1e12 * tflops, rel=0.01)


def test_peak_counts_a_multiply_add_as_two():
    assert peak_flops((6, 1), 1, 1.0) == 2e6 * 128


@pytest.mark.parametrize('capability, clock_mhz', [
    ((2, 0), 1000), ((99, 0), 1000),                     # Fermi, which CUDA 10 has dropped; later
    ((6, 1), None)])
def test_what_is_unknown_is_none(capability, clock_mhz):
    assert peak_flops(capability, 20, clock_mhz) is None


@pytest.mark.parametrize('tensors_s, ops_s, share', [
    ([9.0, 0.2, 0.3, 0.25], [8.0, 0.15, 0.17, 0.16], 0.25),
    ([9.0, 0.2, 0.3, 0.25], [8.0, 0.21, 0.22, 0.3], 0.0)])
def test_the_share_of_the_copy_comes_from_the_fastest_steps_after_the_first(tensors_s, ops_s,
                                                                            share):
    now, durations_s, fetched = [0.0], iter(tensors_s + ops_s), []
    target = [types.SimpleNamespace(op='an operation')]

    class Session:
        def run(self, fetches, feed_dict):
            fetched.append(fetches)
            now[0] += next(durations_s)
    assert cost.copy_share(Session(), target, None, clock=lambda: now[0]) == pytest.approx(share)
    assert fetched == [target] * 4 + [['an operation']] * 4
    cautions = cost.cautions({'copy_share': share, 'fetched_bytes': 553430176})
    expected = ('copying its results (553 MB) to the host takes 25 % of the step, as in the '
                'chapter: --fetch ops times the computation alone')
    assert [caution.text for caution in cautions] == [expected] * (share > 0.1)
