"""The summary and the cautions about a pass: by hand, and by simulation with fixed seeds."""
import collections
import math
import time
import warnings

import numpy as np
import pytest

from common.cautions import Caution, about
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


def noise(rng, runs, steps, correlation=0.0):
    """Standard normal AR(1) series, one per row."""
    series = rng.standard_normal((runs, steps))
    for i in range(1, steps if correlation else 0):
        series[:, i] = (correlation * series[:, i - 1]
                        + math.sqrt(1 - correlation ** 2) * series[:, i])
    return series


def healthy(seed=0, steps=100, step_s=0.3):
    """Steps with 1 % of noise, a little skewed to the right (gamma, skewness 0.5)."""
    return step_s * (1 + 0.01 * (np.random.RandomState(seed).gamma(16, 0.25, steps) - 4))


def the_only(kind, seconds, burn_in_seconds=()):
    found = about(seconds, burn_in_seconds)
    assert [caution.kind for caution in found] == [kind], found
    return found[0].text


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
    assert summary.n_effective == n


def test_the_summary_is_plain_numbers_of_the_samples():
    samples = healthy().tolist()
    summary = summarise(samples)
    assert summarise(tuple(samples)) == summarise(np.array(samples)) == summary
    assert {type(value) for value in summary} == {int, float, tuple}
    assert {type(bound) for bound in summary.ci95_s} == {float}
    with pytest.raises(AttributeError):
        summary.mean_s = 0.0


@pytest.mark.parametrize('n, correlation, skewed, coverage', COVERAGE)
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


def test_correlated_steps_are_worth_fewer():
    for correlation, most, least in [(0.0, 100, 60), (0.5, 60, 20), (0.9, 20, 1)]:
        rows = 10 + noise(np.random.RandomState(3), 100, 100, correlation)
        worth = np.percentile([summarise(row).n_effective for row in rows], [10, 90])
        assert least <= worth[0] and worth[1] <= most, (correlation, worth)


@pytest.mark.parametrize('function', [summarise, about])
@pytest.mark.parametrize('seconds, message', [
    ([], 'at least one step'),
    ([[0.1, 0.2]], r'shape \(1, 2\)'),
    ([0.1, float('nan')], 'step 1 took nan s'),
    ([float('inf'), 0.1], 'step 0 took inf s'),
    ([0.1, 0.1, -0.5], 'step 2 took -0.5 s'),
])
def test_what_is_not_a_series_of_durations(function, seconds, message):
    with pytest.raises(ValueError, match=message):
        function(seconds)


@pytest.mark.parametrize('steps', [20, 100, 1000])
@pytest.mark.parametrize('correlation', [0.0, 0.5])
def test_a_healthy_run_is_quiet(steps, correlation):
    runs = 300
    rows = 0.026 * np.exp(0.01 * noise(np.random.RandomState(steps), runs, steps, correlation))
    if not correlation:
        rows = [healthy(seed, steps) for seed in range(runs)]
    alarms = collections.Counter(caution.kind for row in rows for caution in about(row))
    assert all(count < 0.02 * runs for count in alarms.values()), alarms


def test_noise_of_5_percent_is_quiet():
    rows = 0.3 * np.exp(0.05 * noise(np.random.RandomState(5), 500, 100))
    assert sum(bool(about(row)) for row in rows) < 0.02 * 500


def test_the_published_outlier():
    # jcjohnson/cnn-benchmarks prints 383.8 ms for nine steps near 295 ms (those here are not its
    # own) and one of 1171 ms.
    steps = [0.2951, 0.2953, 0.2948, 0.2963, 0.2955, 1.171, 0.2959, 0.2962, 0.2966, 0.2967]
    few_steps, outliers = about(steps)
    assert few_steps == Caution('few_steps', '10 timed steps, fewer than 20: too few for a '
                                'confidence interval or to see a drift; use --num_batches 100')
    assert outliers == Caution('outliers', (
        '1 of 10 steps took more than 325.7 ms, far above the median, 296.1 ms; the worst, step 5, '
        'took 1171 ms. They raise the mean by 29.6 % (limit 0.5 %) to 383.3 ms, with a standard '
        'deviation of 68.5 % (limit 10.0 %): do not trust the mean, use the median; run '
        'again with nothing else on the machine'))


def test_a_hiccup():
    steps = healthy()
    steps[57] += 1.0
    text = the_only('outliers', steps)
    assert text.startswith('1 of 100 steps took more than 3')
    assert 'the worst, step 57, took 1' in text and 'raise the mean by 3.3 %' in text


def test_slow_first_steps_are_burn_in():
    steps = healthy()
    steps[:7] *= 2
    text = the_only('outliers', steps, [1.0] * 10)
    assert text.startswith('7 of 100 steps') and text.endswith('use --num_steps_burn_in 27')


def test_a_step_that_does_not_move_the_mean_is_no_outlier():
    steps = healthy()
    steps[57] *= 1.2
    assert about(steps) == []


@pytest.mark.parametrize('course, change', [
    (np.linspace(1, 1.05, 100), 3.3),
    (np.linspace(1.05, 1, 100), -3.3),
    (np.repeat([1, 1.2], 50), 18),              # throttled half-way: two modes, but in turn
    (np.repeat([1.2, 1], [25, 75]), -20),
])
def test_a_drift(course, change):
    text = the_only('drift', healthy() * course, [0.3] * 10)
    assert float(text.split('drifted by ')[1].split()[0]) == pytest.approx(change, abs=0.8)
    assert text.endswith('; limit 2.0 %): use --num_steps_burn_in 110')


@pytest.mark.parametrize('correlation', [0.0, 0.5])
def test_a_drift_is_seen_every_time(correlation):
    rows = 1 + 0.01 * noise(np.random.RandomState(6), 100, 100, correlation)
    drifting = rows * np.linspace(1, 1.05, 100)
    assert all([one.kind for one in about(row)] == ['drift'] for row in drifting)


def test_two_modes():
    slow = np.random.RandomState(1).permutation(100) < 40
    text = the_only('bimodal', healthy() * np.where(slow, 1.2, 1))
    assert text.startswith('the steps have two modes, 60 near 299.9 ms and 40 near 360.5 ms, '
                           '20.0 % of the median apart (limit 5.0 %)')

    steps = healthy() * np.where(slow, 1.2, 1)
    steps[3] += 1.0                             # beside the modes, not among them
    assert [caution.kind for caution in about(steps)] == ['outliers', 'bimodal']


def test_one_wide_mode_is_a_wide_spread():
    rng = np.random.RandomState(2)
    for wide in [rng.normal(1, 0.2, 100), rng.uniform(0.6, 1.4, 100), rng.lognormal(0, 0.2, 100)]:
        text = the_only('spread', 0.3 * wide)
        assert text.startswith('the standard deviation, ') and ' (limit 10.0 %): use a lar' in text
        assert '%.1f %% of the mean' % (100 * wide.std() / wide.mean()) in text


def test_a_step_too_short_to_time():
    text = the_only('clock', np.tile([9.9e-8, 1e-7, 1.01e-7], 33))
    assert text.startswith('the median step, 0.0001 ms, is below 0.5 ms (')
    assert 'larger --batch_size' in the_only('clock', [0.0] * 100)
    assert 'is below 0.5 ms' in the_only('clock', healthy(step_s=4e-4))


def test_the_tick_of_the_clock_counts(monkeypatch):
    clock = time.get_clock_info('perf_counter')
    clock.resolution = 0.0156                   # that of time.time on some systems
    monkeypatch.setattr(time, 'get_clock_info', lambda name: clock)
    assert 'is below 15600 ms (1000 ticks of the clock' in the_only('clock', healthy())


@pytest.mark.parametrize('steps', [[0.3], [0.3, 0.5], [0.1, 0.1, 0.5], [0.0, 0.3, 0.3],
                                   [0.0] * 50 + [0.3] * 51, [0.0, 0.3] * 50 + [0.3], [0.1] * 100])
def test_strange_series_are_judged_without_numpy_warnings(steps):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        summarise(steps)
        assert all(isinstance(warning.text, str) for warning in about(steps))
