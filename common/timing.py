"""Times session.run, step by step, and keeps every sample.

The timer of the chapter (6.1, used in 6.2 to 6.4 too) with three corrections: the clock is
monotonic; the mean and the standard deviation are computed from the kept samples (the chapter's
one-pass variance can be negative when all durations are equal); and the steps printed are 0, 10,
20, ... for any length of the burn-in.
"""
import dataclasses
import operator
import statistics
import time
from datetime import datetime
from typing import Any, Callable, Optional, Tuple


@dataclasses.dataclass(frozen=True)
class Timing:
    """The measured steps of one pass.

    Attributes:
        info_string: the name of the pass, such as 'Forward'.
        seconds: the duration of every timed step, in seconds, in order.
        burn_in_seconds: the durations of the untimed steps before them, in seconds, in order.
    """
    info_string: str
    seconds: Tuple[float, ...]
    burn_in_seconds: Tuple[float, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, 'seconds', tuple(self.seconds))
        object.__setattr__(self, 'burn_in_seconds', tuple(self.burn_in_seconds))

    @property
    def mean(self) -> float:
        """Mean duration of a timed step, in seconds. Raises StatisticsError without samples."""
        return statistics.mean(self.seconds)

    @property
    def sd(self) -> float:
        """Population standard deviation, as in the chapter, in seconds; exact, never negative."""
        return statistics.pstdev(self.seconds)


def time_tensorflow_run(session: Any,
                        target: Any,
                        info_string: str,
                        feed_dict: Optional[dict] = None,
                        num_batches: int = 100,
                        num_steps_burn_in: int = 10,
                        clock: Callable[[], float] = time.perf_counter,
                        after_step: Optional[Callable[[float], float]] = None) -> Timing:
    """Runs `target` num_steps_burn_in + num_batches times and prints the chapter's lines.

    Args:
        session: a tf.Session, or anything with its `run(target, feed_dict=...)`.
        target: what session.run fetches. Fetched tensors are copied to the host in each step;
            operations are run without the copy.
        info_string: the name of the pass, printed in the last line.
        feed_dict: fed in every step.
        num_batches: number of timed steps, at least 1.
        num_steps_burn_in: number of steps before them, at least 0.
        clock: returns a monotonic time in seconds.
        after_step: called after each step, outside its time, with its duration in seconds; returns
            the duration to record, in a job that of the slowest process.

    Returns:
        A Timing with num_batches samples.

    Raises:
        ValueError: num_batches is not an integer of at least 1, or num_steps_burn_in of at least 0.
        KeyboardInterrupt: Ctrl-C; like every other error it has the finished steps as `timing`.
    """
    num_batches = _count('num_batches', num_batches, at_least=1)
    num_steps_burn_in = _count('num_steps_burn_in', num_steps_burn_in, at_least=0)
    durations = []
    try:
        for i in range(-num_steps_burn_in, num_batches):
            start_time = clock()
            session.run(target, feed_dict=feed_dict)
            duration = clock() - start_time
            if after_step:
                duration = after_step(duration)
            durations.append(duration)
            if i >= 0 and i % 10 == 0:
                print('%s: step %d, duration = %.3f' % (datetime.now(), i, duration), flush=True)
        timing = _timing(info_string, durations, num_steps_burn_in)
        print('%s: %s across %d steps, %.3f +/- %.3f sec / batch' %
              (datetime.now(), info_string, num_batches, timing.mean, timing.sd), flush=True)
        return timing
    except (KeyboardInterrupt, Exception) as error:
        error.timing = _timing(info_string, durations, num_steps_burn_in)
        raise


def _timing(info_string, durations, num_steps_burn_in):
    return Timing(info_string, durations[num_steps_burn_in:], durations[:num_steps_burn_in])


def _count(name, value, at_least):
    try:
        count = operator.index(value)
    except TypeError:
        count = None
    if count is None or isinstance(value, bool) or count < at_least:
        raise ValueError('%s is %r: it must be an integer of at least %d' % (name, value, at_least))
    return count
