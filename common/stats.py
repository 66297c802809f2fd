"""What the kept samples of a pass say: a summary of them, and warnings about them.

Pure functions of durations in seconds: nothing is printed, nothing is measured. The steps of a
pass follow each other on one warm machine, so they are a time series, not independent draws; the
interval and the drift test allow for that. They do so with the same few low-frequency cosines.
"""
import math
import statistics
import time
from typing import List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

# Below this, four cosines are a large part of the series: no interval, no drift, no modes.
MIN_STEPS = 20

# The interval: COSINES projections and the 97.5 % quantile of Student's t with as many degrees of
# freedom. The source (see _cosines) recommends 0.4 n^(2/3) of them; so few keep the coverage when
# steps are strongly correlated (tests/test_stats.py), for an interval 1.3 times as wide when not.
COSINES, T_INTERVAL = 4, 2.776
# Drift: the first cosine, close to a trend, against the nine after it; the 99.5 % quantile of t, 9
# degrees of freedom: one false alarm in 100 runs of any size, and the size below must be met too.
DRIFT_COSINES, T_DRIFT = 10, 3.250
# Last third against first third, as a part of the median: twice the 1 % by which the steps of a
# quiet machine vary.
MAX_DRIFT = 0.02
# psf/pyperf warns of a standard deviation from 10 % of the mean on (pyperf check).
MAX_SPREAD = 0.10
# A step is far from 5 robust standard deviations above the median on (a normal step is once in 3.5
# million), and never below 10 %, because steps that are nearly equal have next to no deviation.
FAR_SDS, FAR_RATIO = 5.0, 0.10
# What far steps may do to the mean. pyperf warns of one value 50 % above it: 0.5 % in 100 steps.
MAX_MEAN_SHIFT = 0.005
# Two modes: each holds a fifth of the steps (fewer are outliers), and their medians are apart by
# 5 % of the median and by 5 of their robust standard deviations. Of 10,000 series of 100 steps,
# about 0 were so far apart when normal, 2 when uniform, 12 when exponential.
MODE_SHARE, MODE_DISTANCE, MODE_SDS = 0.20, 0.05, 5.0
# Ticks in a step that is timed to 0.1 %.
CLOCK_TICKS = 1000
# A session.run that ran nothing took 0.09 ms (AlexNet's gradients in a tf.group, TensorFlow 1.15);
# in less than five times that, more than a fifth of the step is the call.
CALL_S, CALLS = 1e-4, 5

ROBUST_SD = 1.4826      # standard deviation / median absolute deviation, for a normal distribution


class Summary(NamedTuple):
    """A pass in figures. Durations in seconds; `sd_s` is the population's, as in the chapter.

    `ci95_s` is the 95 % confidence interval (low, high) of the mean, None below MIN_STEPS steps.
    `n_effective`, 1 to n, is how many independent steps would fix the mean as well as these do.
    """
    n: int
    mean_s: float
    sd_s: float
    median_s: float
    min_s: float
    max_s: float
    p95_s: float
    p99_s: float
    ci95_s: Optional[Tuple[float, float]]
    n_effective: float


class Warning(NamedTuple):
    """`kind`: few_steps, clock, outliers, drift, bimodal or spread; `text`: a line to print."""
    kind: str
    text: str


def summarise(seconds: Sequence[float]) -> Summary:
    """Returns the Summary of the timed steps, durations in seconds, in the order they ran.

    Percentiles are interpolated linearly (numpy's default). Raises ValueError as `warn` does.
    """
    x = _series(seconds)
    n = len(x)
    mean_s = statistics.mean(x.tolist())        # exact: equal steps have this mean, and sd 0
    ci95_s = None
    if n >= MIN_STEPS:
        half_s = T_INTERVAL * _standard_error(x - mean_s)
        ci95_s = (mean_s - half_s, mean_s + half_s)
    median_s, p95_s, p99_s = np.percentile(x, [50, 95, 99]).tolist()
    return Summary(n, mean_s, statistics.pstdev(x.tolist()), median_s, float(x.min()),
                   float(x.max()), p95_s, p99_s, ci95_s, _n_effective(x - mean_s))


def ratio(base: Tuple[float, float, float], other: Tuple[float, float, float]
          ) -> Tuple[float, float, float]:
    """Returns other / base of two means, and its 95 % interval: (ratio, low, high).

    Each is (mean, low, high) with the bounds of its own interval. They are joined by the method of
    variance estimates recovery, on logarithms (Zou and Donner, Statistics in Medicine 27 (2008)).
    """
    (mean, low, high), (other_mean, other_low, other_high) = [
        [math.log(value) if value > 0 else -math.inf for value in one] for one in (base, other)]
    value = other[0] / base[0]
    return (value, value * math.exp(-math.hypot(other_mean - other_low, high - mean)),
            value * math.exp(math.hypot(other_high - other_mean, mean - low)))


def warn(seconds: Sequence[float], burn_in_seconds: Sequence[float] = ()) -> List[Warning]:
    """Returns what is wrong with the timed steps: the value, its limit, and what to do next.

    Args:
        seconds: the durations of the timed steps, in seconds, in the order they ran.
        burn_in_seconds: those of the steps before them; only their number is used.

    Returns:
        A list, empty for a sound pass. Nothing else is looked for in steps too short for the clock;
        two modes hide a wide spread, and a drift hides both.

    Raises:
        ValueError: no steps, or a duration that is negative or not finite.
    """
    x = _series(seconds)
    n, burn_in, warnings = len(x), len(burn_in_seconds), []
    median_s = float(np.median(x))

    def add(kind, text, *values):
        warnings.append(Warning(kind, text % values))

    if n < MIN_STEPS:
        add('few_steps', '%d timed step%s, fewer than %d, too few for a confidence interval or to '
            'see a drift: use --num_batches 100', n, '' if n == 1 else 's', MIN_STEPS)

    tick_s = time.get_clock_info('perf_counter').resolution
    shortest_s = max(CLOCK_TICKS * tick_s, CALLS * CALL_S)
    if median_s < shortest_s:
        add('clock', 'the median step, %s, is below %s (%d ticks of the clock, %d times what an '
            'empty session.run takes): use a larger --batch_size', _ms(median_s), _ms(shortest_s),
            CLOCK_TICKS, CALLS)
    if median_s < CLOCK_TICKS * tick_s:
        return warnings

    modes = _modes(x)
    centre = x if modes is None else x[x >= modes[1].min()]     # outliers are above both modes
    far_s = np.median(centre) + max(FAR_SDS * _robust_sd(centre), FAR_RATIO * np.median(centre))
    far = x > far_s
    count, kept = int(far.sum()), x[~far]
    shift = x.mean() / kept.mean() - 1
    from_the_start = bool(far[:count].all()) and count > 0
    outliers = shift >= MAX_MEAN_SHIFT or count > 0 and x.std() >= MAX_SPREAD * x.mean()
    if outliers:
        if from_the_start:
            advice = 'use --num_steps_burn_in %d' % (burn_in + count + 10)
        else:
            advice = 'run again with nothing else on the machine'
        add('outliers', '%d of %d steps took more than %s, far above the median, %s; the worst, '
            'step %d, took %s. They raise the mean by %.1f %% (limit %.1f %%) to %s, with a '
            'standard deviation of %.1f %% (limit %.1f %%): the mean is not to be trusted, use the '
            'median; %s', count, n, _ms(far_s), _ms(median_s), x.argmax(), _ms(x.max()),
            100 * shift, 100 * MAX_MEAN_SHIFT, _ms(x.mean()), 100 * x.std() / x.mean(),
            100 * MAX_SPREAD, advice)

    drift = _drift(kept, modes)
    if drift is not None:
        if not (outliers and from_the_start):       # the same fault, and the same advice
            first_s, last_s = drift
            add('drift', 'the steps have not settled: from the first third to the last, the median '
                'goes from %s to %s, by %+.1f %% of that of all (limit %.1f %%): use '
                '--num_steps_burn_in %d', _ms(first_s), _ms(last_s),
                100 * (last_s - first_s) / median_s, 100 * MAX_DRIFT, burn_in + n)
    elif modes is not None:
        low, high = modes[0], modes[1][modes[1] <= kept.max()]
        add('bimodal', 'the steps have two modes, %d near %s and %d near %s, %.1f %% of the median '
            'apart (limit %.1f %%): neither the mean nor the median is typical; report both modes, '
            'and look for another process or a clock that switches', len(low), _ms(np.median(low)),
            len(high), _ms(np.median(high)),
            100 * (np.median(high) - np.median(low)) / median_s, 100 * MODE_DISTANCE)
    elif kept.std() >= MAX_SPREAD * kept.mean():
        add('spread', 'the standard deviation%s, %s, is %.1f %% of the mean, %s (limit %.1f %%): '
            'use a larger --num_batches, and run with nothing else on the machine',
            ' without outliers' if count else '', _ms(kept.std()),
            100 * kept.std() / kept.mean(), _ms(kept.mean()), 100 * MAX_SPREAD)
    return warnings


def _series(seconds):
    x = np.asarray(seconds, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError('the durations have shape %s: at least one step, in one row, is needed'
                         % (x.shape,))
    for i, duration in enumerate(x.tolist()):
        if not 0 <= duration < math.inf:
            raise ValueError('step %d took %r s: a duration must be finite and not negative'
                             % (i, duration))
    return x


def _ms(seconds):
    return ('%.0f ms' if seconds >= 1 else '%.4g ms') % (1000 * seconds)


def _robust_sd(x):
    return ROBUST_SD * float(np.median(np.abs(x - np.median(x))))


def _cosines(deviations, number):
    """Projections of a series on its `number` lowest type II cosines, constant left out.

    Nearly independent, each with the long-run variance of the series as its variance, whatever the
    (short) correlation of successive steps: Lazarus, Lewis, Stock and Watson, "HAR Inference:
    Recommendations for Practice", Journal of Business & Economic Statistics 36 (2018), the EWC
    estimator; exactly so for independent normal steps.
    """
    n = len(deviations)
    angles = np.pi * np.outer(np.arange(1, number + 1), np.arange(n) + 0.5) / n
    return np.sqrt(2 / n) * np.cos(angles) @ deviations


def _standard_error(deviations):
    return float(np.sqrt(np.mean(_cosines(deviations, COSINES) ** 2) / len(deviations)))


def _n_effective(deviations):
    """n / (1 + 2 x the sum of autocorrelations), the sum cut off by Geyer's initial monotone
    sequence ("Practical Markov chain Monte Carlo", Statistical Science 7 (1992), 3.3)."""
    n = len(deviations)
    if not deviations.any():
        return float(n)
    spectrum = np.fft.rfft(deviations, 2 * n)
    covariances = np.fft.irfft(np.abs(spectrum) ** 2)[:n]
    pairs = covariances[:n // 2 * 2].reshape(-1, 2).sum(axis=1)
    pairs = np.minimum.accumulate(pairs[np.cumprod(pairs > 0) == 1])
    correlation_time = 2 * pairs.sum() / covariances[0] - 1
    return float(n / np.clip(correlation_time, 1, n))


def _drift(x, modes):
    """(median of the first third, of the last third), in seconds, or None if the steps settled."""
    if len(x) < MIN_STEPS:
        return None
    third = len(x) // 3
    first_s, last_s = float(np.median(x[:third])), float(np.median(x[-third:]))
    if abs(last_s - first_s) < MAX_DRIFT * np.median(x):
        return None
    trend, *others = _cosines(x - x.mean(), DRIFT_COSINES)
    # A single jump has much of the other cosines: one mode, and then the other.
    jump = modes is not None and np.count_nonzero(np.diff(x >= modes[1].min())) == 1
    trending = abs(trend) > T_DRIFT * np.sqrt(np.mean(np.square(others)))
    return (first_s, last_s) if trending or jump else None


def _modes(x):
    """The steps below and above the widest gap, each sorted, in seconds; None if there is one mode.

    The distance of two modes in their standard deviations is Ashman's D (Ashman, Bird and Zepf,
    Astronomical Journal 108 (1994)), from medians here, so that outliers do not count.
    """
    least = int(np.ceil(MODE_SHARE * len(x)))
    if len(x) < MIN_STEPS:
        return None
    ordered = np.sort(x)
    cut = least + int(np.argmax(np.diff(ordered[least - 1:len(x) - least + 1])))
    low, high = ordered[:cut], ordered[cut:]
    distance_s = np.median(high) - np.median(low)
    sd_s = np.hypot(_robust_sd(low), _robust_sd(high)) / np.sqrt(2)
    apart = distance_s >= MODE_DISTANCE * np.median(x) and distance_s > MODE_SDS * sd_s
    return (low, high) if apart else None
