"""Refuses a run if an environment variable would make its record wrong."""
import os

from common import variables
from common.probes import Probe
from common.stop import Stop


class Settings(Probe):
    """Refuses a run because of a variable. It is the first probe, because the float32 baseline run
    would inherit the same variables."""

    def __enter__(self) -> 'Settings':
        fault = variables.refusal(self.run.args.precision, os.environ)
        if fault:
            raise Stop(fault, 1, 'refused')
        return self
