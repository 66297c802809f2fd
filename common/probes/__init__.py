"""What is observed of a run besides the time of its steps: a file and a class for each thing.

To add a measurement: a class here, its name in benchmark.PROBES, a line in report.py, a key in
record.schema.json.
"""
import contextlib
from typing import Any, ContextManager, Dict, List, NamedTuple, Sequence

from common.cautions import Caution
from common.timing import Timing
from common.workload import Pass, Run


class Refused(Exception):
    """A figure would be wrong, so nothing is timed; the text says why."""


class Found(NamedTuple):
    """What a probe has to say.

    fields: for the record; faults: why a figure is not valid, a sentence each; cautions: why a
    figure should not be quoted as it stands.
    """
    fields: Dict[str, Any] = {}
    faults: Sequence[str] = ()
    cautions: Sequence[Caution] = ()


class Step(NamedTuple):
    """A pass that has been timed, for what is looked at afterwards."""
    run: Run
    session: Any
    one: Pass
    target: Any                          # what session.run is given
    timing: Timing
    ops: List[Any]                       # the operations that the pass needs, in graph order
    step_stats: Any                      # TensorFlow's StepStats of one more step
    log: Dict[str, Any]                  # the record so far
    entry: Dict[str, Any]                # this pass in it, so far
    faults: List[str]                    # of this pass, so far


class Probe:
    """One thing observed during a run. The methods are called in this order; by default each does
    nothing."""

    def __init__(self, run: Run):
        self.run = run

    @staticmethod
    def wanted(run: Run) -> bool:
        """Returns whether the probe applies to this run."""
        return True

    def __enter__(self) -> 'Probe':
        """Called when the graph is built, before the session opens."""
        return self

    def __exit__(self, *error: Any) -> None:
        """Called after the session has closed."""

    def describe(self) -> Found:
        """Returns what is known before the session opens; `fields` are those of the record. Raises
        Refused if nothing must be timed."""
        return Found()

    def rewrite(self, passes: List[Pass]) -> List[Pass]:
        """Returns the passes to time, in the place of these."""
        return passes

    def start(self, session: Any) -> Found:
        """Called once the variables have their initial values; returns as `describe` does."""
        return Found()

    def before(self, session: Any, one: Pass) -> None:
        """Called before each pass, untimed. Raises Refused if the pass must not be timed."""

    def watching(self) -> ContextManager[Any]:
        """Returns a context around the timed steps of a pass."""
        return contextlib.nullcontext()

    def after(self, step: Step) -> Found:
        """Called after each pass, untimed; `fields` are those of the pass in the record."""
        return Found()
