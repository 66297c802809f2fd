"""The calculation of docs/scaling.md, on cases that can be worked out by hand."""
import pytest

from suite import scaling_model


def test_a_ring_of_two_sends_each_byte_once_and_a_long_one_twice():
    assert scaling_model.reduction_s(100, 1, 50) == 0
    assert scaling_model.reduction_s(100, 2, 50) == 2
    assert scaling_model.reduction_s(100, 10 ** 9, 50) == pytest.approx(4)


@pytest.mark.parametrize('communication_s, apart, overlapped', [
    (0, 1, 1), (2, 3 / 5, 1), (3, 1 / 2, 3 / 4), (9, 1 / 4, 3 / 10)])
def test_what_is_hidden_behind_the_backward_pass_costs_nothing(communication_s, apart, overlapped):
    """A step of 3 s, of which 2 are the backward pass."""
    assert scaling_model.efficiency(3, communication_s, False) == pytest.approx(apart)
    assert scaling_model.efficiency(3, communication_s, True) == pytest.approx(overlapped)


def test_every_figure_is_from_references():
    rows = [(case.network, case.gpu, case.gradients / 4, round(case.images_per_s, 1))
            for case in scaling_model.cases()]
    assert len(rows) == 15
    assert ('AlexNet, convolutions', 'GTX 1080', 2469696, 410.3) in rows
    assert ('VGG-16', 'A100', 138357544, 503.6) in rows
    assert ('ResNet-152', 'Tesla P100', 60236904, 91.8) in rows
