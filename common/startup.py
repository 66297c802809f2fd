"""The start of a run, by its parts: from the command to the first timed step.

Imported before TensorFlow, because importing TensorFlow is the longest part.
"""
import time
from typing import Dict

from common.machine import host


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


_began_s = host.FIRST.at_s - (host.process_age_s() or 0.0)
