"""The summary of a pass's timed steps, with a confidence interval of their mean.

Pure functions of durations in seconds: nothing is printed, nothing is measured. The steps of a pass
follow each other on one warm machine, so they are a time series, not independent draws; the
interval allows for that.
"""
import math
import statistics
from typing import NamedTuple, Optional, Sequence, Tuple

import numpy as np

# Below this, four cosines are a large part of the series: no interval.
MIN_STEPS = 20

# The interval: COSINES projections and the 97.5 % quantile of Student's t with as many degrees of
# freedom. The source (see cosines) recommends 0.4 n^(2/3) cosines. With only 4 the interval keeps
# its coverage when steps are strongly correlated (tests/test_stats.py); when they are not, it is
# 1.3 times as wide.
COSINES, T_INTERVAL = 4, 2.776


class Summary(NamedTuple):
    """The statistics of a pass, in seconds; `sd_s` is the population's, as in the chapter.

    `ci95_s` is the 95 % confidence interval (low, high) of the mean, None below MIN_STEPS steps.
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


def summarise(seconds: Sequence[float]) -> Summary:
    """Returns the Summary of the timed steps, durations in seconds, in the order they ran.

    Percentiles are interpolated linearly (numpy's default). Raises ValueError as `series` does.
    """
    x = series(seconds)
    n = len(x)
    mean_s = statistics.mean(x.tolist())        # exact: equal steps have this mean, and sd 0
    ci95_s = None
    if n >= MIN_STEPS:
        ci95_s = interval(mean_s, T_INTERVAL * _standard_error(x - mean_s))
    median_s, p95_s, p99_s = np.percentile(x, [50, 95, 99]).tolist()
    return Summary(n, mean_s, statistics.pstdev(x.tolist()), median_s, float(x.min()),
                   float(x.max()), p95_s, p99_s, ci95_s)


def interval(mean_s: float, half_s: float) -> Tuple[float, float]:
    """Returns the confidence interval (low, high) of a mean duration with the half width half_s.

    It is computed for the mean's logarithm by the delta method, so that it never reaches below
    zero: from mean / f to mean x f. For a half width of 1 % both bounds are within 0.005 % of
    mean -+ half_s.
    """
    if not mean_s:
        return mean_s, mean_s
    factor = math.exp(half_s / mean_s)
    return mean_s / factor, mean_s * factor


def ratio(base: Tuple[float, float, float], other: Tuple[float, float, float]
          ) -> Tuple[float, float, float]:
    """Returns other / base of two means, and its 95 % interval: (ratio, low, high).

    Each is (mean, low, high) with the bounds of its own interval. They are joined by the method of
    variance estimates recovery, on logarithms (Zou and Donner, Statistics in Medicine 27 (2008)).
    """
    (mean, low, high), (other_mean, other_low, other_high) = [
        [math.log(value) if value > 0 else -math.inf for value in bounds]
        for bounds in (base, other)]
    value = other[0] / base[0]
    return (value, value * math.exp(-math.hypot(other_mean - other_low, high - mean)),
            value * math.exp(math.hypot(other_high - other_mean, mean - low)))


def series(seconds: Sequence[float]) -> np.ndarray:
    """Returns durations in seconds as an array.

    Raises ValueError: there are none, or one is negative or not finite.
    """
    x = np.asarray(seconds, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError('the durations have shape %s: at least one step, in one row, is needed'
                         % (x.shape,))
    for i, duration in enumerate(x.tolist()):
        if not 0 <= duration < math.inf:
            raise ValueError('step %d took %r s: a duration must be finite and not negative'
                             % (i, duration))
    return x


def cosines(deviations: np.ndarray, number: int) -> np.ndarray:
    """Returns the projections of a series on the `number` lowest type II cosines, without the
    constant one.

    They are nearly independent, and the variance of each is the long-run variance of the series,
    even if successive steps are correlated over a short range: Lazarus, Lewis, Stock and Watson,
    "HAR Inference: Recommendations for Practice", Journal of Business & Economic Statistics 36
    (2018), the EWC estimator. For independent normal steps both hold exactly.
    """
    n = len(deviations)
    angles = np.pi * np.outer(np.arange(1, number + 1), np.arange(n) + 0.5) / n
    return np.sqrt(2 / n) * np.cos(angles) @ deviations


def _standard_error(deviations):
    return float(np.sqrt(np.mean(cosines(deviations, COSINES) ** 2) / len(deviations)))
