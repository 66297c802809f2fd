"""The summary of a pass: by hand, and by simulation with fixed seeds."""
import math
import warnings

import numpy as np
import pytest
from step_series import NO_SERIES, healthy, noise

from common.stats import interval, ratio, summarise

# How often the 95 % interval holds the mean, in percent of 10,000 series: (steps, correlation of
# successive steps, skewed, coverage). Of 20 steps that are correlated by 0.9 none can do it: they
# are worth one.
COVERAGE = [
    (20,   0.0, False, 95.1),
    (20,   0.5, False, 92.3),
    (20,   0.7, False, 87.1),
    (20,   0.9, False, 65.2),
    (20,   0.0, True,  93.7),
    (50,   0.7, False, 93.2),
    (50,   0.9, False, 83.0),
    (100,  0.0, False, 94.9),
    (100,  0.5, False, 94.7),
    (100,  0.7, False, 94.3),
    (100,  0.9, False, 90.7),
    (100,  0.0, True,  94.4),
    (100,  0.7, True,  93.1),
    (300,  0.9, False, 94.1),
    (1000, 0.0, False, 95.0),
    (1000, 0.9, False, 94.9),
    (1000, 0.9, True,  94.4),
]
RUNS = 400


def test_a_summary_worked_by_hand():
    summary = summarise([1.0, 2.0, 3.0, 4.0, 10.0])
    assert summary[:6] == (5, 4.0, math.sqrt(10.0), 3.0, 1.0, 10.0)
    assert summary.p95_s == pytest.approx(8.8)          # 4 + 0.8 x 6
    assert summary.p99_s == pytest.approx(9.76)         # 4 + 0.96 x 6
    assert summary.ci95_s is None


@pytest.mark.parametrize('n', [1, 2, 3, 19, 20, 100])
def test_equal_steps_have_no_deviation(n):
    summary = summarise([0.1] * n)
    assert summary[:8] == (n, 0.1, 0.0, 0.1, 0.1, 0.1, 0.1, 0.1)
    assert summary.ci95_s == (None if n < 20 else (0.1, 0.1))


def test_the_summary_is_plain_numbers_of_the_samples():
    samples = healthy().tolist()
    summary = summarise(samples)
    assert summarise(tuple(samples)) == summarise(np.array(samples)) == summary
    assert {type(value) for value in summary} == {int, float, tuple}
    assert {type(bound) for bound in summary.ci95_s} == {float}
    with pytest.raises(AttributeError):
        summary.mean_s = 0.0


@pytest.mark.parametrize('n, correlation, skewed, coverage', [
    pytest.param(*case, marks=pytest.mark.slow if case[0] > 100 else []) for case in COVERAGE])
def test_the_interval_covers_the_mean(n, correlation, skewed, coverage):
    rng = np.random.RandomState(n + int(10 * correlation) + skewed)
    series, mean = noise(rng, RUNS, n, correlation), 0.0
    if skewed:
        series, mean = np.exp(0.5 * series), math.exp(0.125)        # lognormal, skewness 1.75
    # Durations are not negative. A shift moves the interval and the mean alike.
    intervals = [summarise(row).ci95_s for row in series + 10]
    covered = 100 * np.mean([low <= mean + 10 <= high for low, high in intervals])
    assert abs(covered - coverage) < 3 * math.sqrt(coverage * (100 - coverage) / RUNS)


@pytest.mark.parametrize('stalled', [0, 10, 19])
def test_an_interval_stays_above_zero(stalled):
    """Nineteen steps of 10 ms and one of 2 s."""
    steps = np.full(20, 0.010)
    steps[stalled] = 2.0
    summary = summarise(steps)
    low, high = summary.ci95_s
    assert 0 < low < summary.mean_s < high
    assert low * high == pytest.approx(summary.mean_s ** 2)         # on logarithms


def test_an_interval_of_little_noise_is_symmetric():
    low, high = interval(0.200, 0.002)
    assert (low, high) == pytest.approx((0.198, 0.202), rel=6e-5)
    assert interval(0.0, 0.0) == (0.0, 0.0)


@pytest.mark.slow
@pytest.mark.parametrize('log_sd, steps, coverage', [(1.0, 20, 92.3), (1.0, 100, 94.3)])
def test_the_interval_of_very_skewed_steps(log_sd, steps, coverage):
    """Lognormal, skewness 6.2: mean -+ half would cover 89.3 % and 93.2 %."""
    rows = np.exp(log_sd * noise(np.random.RandomState(steps), 2000, steps))
    intervals = [summarise(row).ci95_s for row in rows]
    covered = 100 * np.mean([low <= math.exp(log_sd ** 2 / 2) <= high for low, high in intervals])
    assert abs(covered - coverage) < 3 * math.sqrt(coverage * (100 - coverage) / 2000)


def test_the_ratio_of_intervals_is_that_of_logarithms():
    """Two relative half widths of 3 % and 4 % give one of 5 %, on logarithms."""
    base, other = (0.2, *interval(0.2, 0.006)), (0.3, *interval(0.3, 0.012))
    assert ratio(base, other) == pytest.approx((1.5, 1.5 * math.exp(-0.05), 1.5 * math.exp(0.05)))


@pytest.mark.parametrize('seconds, message', NO_SERIES)
def test_what_is_not_a_series_of_durations(seconds, message):
    with pytest.raises(ValueError, match=message):
        summarise(seconds)


@pytest.mark.parametrize('steps', [[0.3], [0.3, 0.5], [0.0, 0.3, 0.3], [0.1] * 100])
def test_strange_series_are_summarised_without_numpy_warnings(steps):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        summarise(steps)
