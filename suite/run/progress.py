"""The lines on the screen while the scripts run."""
import datetime
import math
import re
import shutil
import sys
import time
from typing import List, Tuple

from common import networks
from suite.run.plan import PlannedRun

LAST_LINES = 5                       # of the log of a run that failed


class Progress:
    """Prints one line for each run and, on a terminal, the position of the current one."""

    def __init__(self) -> None:
        self._start_s = time.monotonic()
        self._finished = []          # type: List[Tuple[PlannedRun, float]]     # with their seconds

    def begin(self, head: str, waiting: List[PlannedRun], log: str) -> None:
        """Announces the start of the first of the waiting runs; `log` is the path of its output."""
        self._head, self._waiting, self._log = head, waiting, log
        self._run_start_s = time.monotonic()
        self._show('started', is_replaced=sys.stdout.isatty())

    def tick(self) -> None:
        """Shows the position of the run, on a terminal."""
        if sys.stdout.isatty():
            self._show(position(self._read_log(), self._waiting[0]), is_replaced=True)

    def end(self, word: str, is_finished: bool = False) -> None:
        """Prints the outcome of the run, `word`. The time of a finished run is used to estimate the
        time left."""
        run_s = time.monotonic() - self._run_start_s
        if is_finished:
            self._finished.append((self._waiting[0], run_s))
        print('%s%s%s, %.0f s' % (_erase(), self._head, word, run_s), flush=True)

    def show_end_of_log(self, problem: str = '') -> None:
        """Shows the last lines of the log of a run that failed, and the problem of its record, if
        any."""
        for line in self._read_log().splitlines()[-LAST_LINES:] + [problem] * bool(problem):
            print('    ' + line, flush=True)

    def _read_log(self) -> str:
        with open(self._log, errors='replace') as log:
            return log.read()

    def _show(self, where: str, is_replaced: bool) -> None:
        now_s = time.monotonic()
        line = '%s%s; %s elapsed, %s left' % (
            self._head, where, _clock(now_s - self._start_s),
            time_left(self._finished, self._waiting, now_s - self._run_start_s))
        if is_replaced:                                  # the next line is written over it
            line = line[:shutil.get_terminal_size().columns - 1]
        print(_erase() + line, end='' if is_replaced else '\n', flush=True)


def position(log: str, run: PlannedRun) -> str:
    """Returns the current pass and step of a run, read from the chapter's lines in its log."""
    parts = log.split(' sec / batch\n')                  # the end of a pass's last line
    order = networks.PASSES * (2 if run.has_baseline else 1)
    steps = re.findall(r': step (\d+), duration', parts[-1])
    return order[min(len(parts), len(order)) - 1] + (
        ', step %s of %d' % (steps[-1], run.options['num_batches']) if steps else '')


def time_left(finished: List[Tuple[PlannedRun, float]], waiting: List[PlannedRun],
              spent_s: float) -> str:
    """Returns an estimate of the time that the waiting runs take, in words.

    Args:
        finished: runs, and how many seconds each took.
        waiting: at least one run. The time of a sweep is unknown, because its end is.
        spent_s: seconds since the first of the waiting runs started.
    """
    if not finished or any(run.is_sweep for run in waiting):
        return 'unknown'
    scale = sum(run_s for _, run_s in finished) / sum(_rough_weight(run) for run, _ in finished)
    expected_s = [scale * _rough_weight(run) for run in waiting]
    return 'about ' + _clock(max(0, expected_s[0] - spent_s) + sum(expected_s[1:]))


def _rough_weight(run: PlannedRun) -> float:
    """How long a run takes, relative to others. The square root of the number of parameters is good
    enough: relative to AlexNet it gives 7.5, 3.3 and 4.9 for the chapter's other three; quick runs
    on two CPU cores took 3 s, and 8, 4 and 6 times that."""
    return math.sqrt(networks.NETWORKS[run.benchmark].variants[run.variant].parameters)


def _clock(duration_s: float) -> str:
    return str(datetime.timedelta(seconds=round(duration_s)))


def _erase() -> str:
    return '\r\033[K' if sys.stdout.isatty() else ''
