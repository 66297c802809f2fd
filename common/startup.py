"""The start of a run, by its parts: from the command to the first timed step.

Imported before TensorFlow, for importing TensorFlow is the longest part, and what other programs
did to the CPU meanwhile says whether the machine is idle.
"""
import os
import time
from typing import Dict, NamedTuple


class Snapshot(NamedTuple):
    """A moment: /proc/stat ('' where there is none), the CPU time of this process and of its
    finished children, and a monotonic time, both in seconds."""
    stat: str
    cpu_s: float
    at_s: float


class Startup:
    """Seconds of each part of the start. The first one of a process begins with the process; a
    later one, of a second run in it, begins when it is made."""

    def __init__(self):
        global _began_s
        self.seconds: Dict[str, float] = {}
        self._last_s, _began_s = _began_s or time.monotonic(), None

    def end(self, part: str) -> None:
        """`part` is over: it lasted from the end of the part before until now."""
        now = time.monotonic()
        self.seconds[part], self._last_s = now - self._last_s, now


def snapshot(root: str = '/') -> Snapshot:
    """Returns this moment; `root` is for tests."""
    try:
        with open(os.path.join(root, 'proc/stat')) as file:
            stat = file.read()
    except OSError:
        stat = ''
    return Snapshot(stat, sum(os.times()[:4]), time.monotonic())


def process_age_s() -> float:
    """Returns the seconds since this process was started, to 10 ms; 0 where /proc does not tell
    (man 5 proc: starttime, field 22 of /proc/self/stat, in ticks since the machine started)."""
    try:
        with open('/proc/self/stat') as file:
            ticks = int(file.read().rpartition(')')[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME)
                   - ticks / os.sysconf('SC_CLK_TCK'))
    except (OSError, ValueError, IndexError):
        return 0.0


FIRST = snapshot()
_began_s = FIRST.at_s - process_age_s()
