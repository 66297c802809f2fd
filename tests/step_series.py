"""Series of steps for the tests of the statistics and of the cautions."""
import math

import numpy as np

# What is no series of durations, and what the ValueError says of it.
NO_SERIES = [
    ([], 'at least one step'),
    ([[0.1, 0.2]], r'shape \(1, 2\)'),
    ([0.1, float('nan')], 'step 1 took nan s'),
    ([float('inf'), 0.1], 'step 0 took inf s'),
    ([0.1, 0.1, -0.5], 'step 2 took -0.5 s'),
]


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
