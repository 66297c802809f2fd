"""Measures the parts of a run's start, from the command to the first timed step.

Imported before TensorFlow, because importing TensorFlow is the longest part.
"""
import time
from typing import Dict

from common.machine import host


class Startup:
    """The seconds of each part of the start. The first Startup of a process counts from the start
    of the process, later ones from their own creation."""

    def __init__(self):
        global _began_s
        self.seconds: Dict[str, float] = {}
        self._last_s, _began_s = _began_s or time.monotonic(), None

    def end(self, part: str) -> None:
        """Ends `part`, which began when the part before it ended."""
        now = time.monotonic()
        self.seconds[part], self._last_s = now - self._last_s, now


_began_s = host.FIRST.at_s - (host.process_age_s() or 0.0)
