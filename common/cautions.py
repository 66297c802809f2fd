"""Cautions about a series of timed steps: why its figure should not be quoted as it stands.

Pure functions of durations in seconds: nothing is printed, nothing is measured. How often they are
wrong is bounded, and tests/test_cautions.py simulates it: at most 5 % of sound series of 100 steps
get one, also if 2 % of the steps are 20 % slower; at least 95 % of those with a problem do.
"""
import time
from typing import List, NamedTuple, Sequence

import numpy as np

from common.stats import MIN_STEPS, cosines, series

# Fewer steps than this are not judged: one slow step of five says nothing about the machine.
MIN_JUDGED = 10
# Nor does a burn-in of fewer steps show a warm-up: its first step is always slow.
MIN_BURN_IN = 10
# Drift: the first cosine, close to a trend, against the nine after it; the 99.5 % quantile of t, 9
# degrees of freedom: one false alarm in 100 runs of any size, and the size below must be met too.
DRIFT_COSINES, T_DRIFT = 10, 3.250
# Last third against first third, as a part of the median: twice the 1 % by which the steps of a
# quiet machine vary. A steady drift of 5 % changes them by 3.3 %.
MAX_DRIFT = 0.02
# psf/pyperf warns of a standard deviation from 10 % of the mean on (pyperf check).
MAX_SPREAD = 0.10
# A step counts as far if it is at least 5 robust standard deviations (a normal step is once in 3.5
# million) and 5 % above the median: steps that are nearly equal have next to no deviation.
FAR_SDS, FAR_RATIO = 5.0, 0.05
# What far steps may do to the mean. 2 % of steps that are 20 % slower move it by 0.4 %. Where each
# step is one of them by chance, 100 steps hold eight, which move it by 1.6 %, in 1 of 1000 series.
MAX_MEAN_SHIFT = 0.015
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
KINDS = ('clock', 'outliers', 'drift', 'bimodal', 'spread')

QUIET = 'stop other programs and run again'


class Caution(NamedTuple):
    """Why a figure should not be quoted as it stands. `kind` is a word: one of KINDS, or that of a
    measurement; `text` is one line: what, how much, what to do."""
    kind: str
    text: str


def about(seconds: Sequence[float], burn_in_seconds: Sequence[float] = ()) -> List[Caution]:
    """Returns the cautions about the timed steps of a pass.

    Args:
        seconds: the durations of the timed steps, in seconds, in the order they ran.
        burn_in_seconds: those of the steps before them; they tell whether the first steps are slow
            because the run has not warmed up.

    Returns:
        A list, empty for a sound pass. Steps too short for the clock get no other caution, and
        fewer than MIN_JUDGED steps only that one; outliers from the start hide a drift, a drift
        hides two modes, and two modes hide a wide spread.

    Raises:
        ValueError: no steps, or a duration that is negative or not finite.
    """
    x, burn_in = series(seconds), np.asarray(burn_in_seconds, dtype=float)
    result = _clock(x)
    if np.median(x) < CLOCK_TICKS * _tick_s() or len(x) < MIN_JUDGED:
        return result
    modes = _modes(x)
    outliers, kept, from_the_start = _outliers(x, modes, burn_in)
    drift = _drift(kept, modes)
    result += outliers
    if drift is not None:
        if not (outliers and from_the_start):            # the same problem, and the same advice
            result.append(_drift_caution(x, drift, burn_in))
    elif modes is not None:
        result.append(_bimodal(x, modes, kept))
    else:
        result += _spread(x, kept)
    return result


def _clock(x):
    median_s, shortest_s = np.median(x), max(CLOCK_TICKS * _tick_s(), CALLS * CALL_S)
    if median_s >= shortest_s:
        return []
    return [Caution('clock', 'a step takes %s, too short to time (at least %s): use a larger '
                    '--batch_size' % (_ms(median_s), _ms(shortest_s)))]


def _outliers(x, modes, burn_in):
    """Returns ([a caution, if outliers move the mean or the spread], the steps without outliers,
    whether the outliers are the first steps)."""
    centre = x if modes is None else x[x >= modes[1].min()]     # outliers are above both modes
    far_s = np.median(centre) + max(FAR_SDS * _robust_sd(centre), FAR_RATIO * np.median(centre))
    far = x > far_s
    count, kept = int(far.sum()), x[~far]
    shift = x.mean() / kept.mean() - 1
    from_the_start = bool(far[:count].all()) and count > 0
    if not (shift >= MAX_MEAN_SHIFT or count > 0 and x.std() >= MAX_SPREAD * x.mean()):
        return [], kept, from_the_start
    advice = 'quote the median, %s, or ' % _ms(np.median(x)) + QUIET
    if from_the_start and _is_warming_up(burn_in, far_s):
        advice = _longer_burn_in(len(burn_in) + count + 10)
    which = ('%d of %d steps, up to %s, raise' % (count, len(x), _ms(x.max())) if count > 1 else
             'step %d, %s, raises' % (x.argmax(), _ms(x.max())))
    return [Caution('outliers', '%s the mean by %.1f %%: %s' % (which, 100 * shift, advice))
            ], kept, from_the_start


def _drift_caution(x, drift, burn_in):
    first_s, last_s = drift
    advice = QUIET
    if last_s < first_s and _is_warming_up(burn_in, first_s):
        advice = _longer_burn_in(len(burn_in) + len(x))
    return Caution('drift', 'step time drifted by %+.1f %% (%s to %s; limit %.0f %%): %s' % (
        100 * (last_s - first_s) / np.median(x), _ms(first_s), _ms(last_s), 100 * MAX_DRIFT,
        advice))


def _bimodal(x, modes, kept):
    low, high = modes[0], modes[1][modes[1] <= kept.max()]
    return Caution('bimodal', 'two modes, %d steps near %s and %d near %s: report both, or %s' % (
        len(low), _ms(np.median(low)), len(high), _ms(np.median(high)), QUIET))


def _spread(x, kept):
    if kept.std() < MAX_SPREAD * kept.mean():
        return []
    return [Caution('spread', 'the standard deviation%s is %.0f %% of the mean (limit %.0f %%): %s'
                    % (' without outliers' if len(kept) < len(x) else '',
                       100 * kept.std() / kept.mean(), 100 * MAX_SPREAD, QUIET))]


def _is_warming_up(burn_in, least_s):
    """True if the run has been slow from its first step on, as far as the burn-in tells; a program
    that slows a few steps down for a while is more likely than a warm-up of those steps alone."""
    return not len(burn_in) or len(burn_in) >= MIN_BURN_IN and np.median(burn_in) > least_s


def _longer_burn_in(steps):
    return 'use --num_steps_burn_in %d' % steps


def _tick_s():
    return time.get_clock_info('perf_counter').resolution


def _ms(seconds):
    return ('%.0f ms' if seconds >= 1 else '%.4g ms') % (1000 * seconds)


def _robust_sd(x):
    return ROBUST_SD * float(np.median(np.abs(x - np.median(x))))


def _drift(x, modes):
    """(median of the first third, of the last third), in seconds, or None if the steps settled."""
    if len(x) < MIN_STEPS:
        return None
    third = len(x) // 3
    first_s, last_s = float(np.median(x[:third])), float(np.median(x[-third:]))
    if abs(last_s - first_s) < MAX_DRIFT * np.median(x):
        return None
    trend, *others = cosines(x - x.mean(), DRIFT_COSINES)
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
