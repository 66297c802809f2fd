"""The measurements of a run besides the time of its steps: a file and a class for each.

To add a measurement: a class here, its name in benchmark.PROBES, a line in report.py, a key in
record.schema.json.
"""
import contextlib
from typing import Any, ContextManager, Dict, List, NamedTuple, Sequence

from common.cautions import Caution
from common.timing import Timing
from common.workload import Pass, Run


class Found(NamedTuple):
    """The findings of a probe.

    fields: for the record; faults: why a result is not valid, a sentence each; cautions: why a
    result should not be quoted without a remark.
    """
    fields: Dict[str, Any] = {}
    faults: Sequence[str] = ()
    cautions: Sequence[Caution] = ()


class Step(NamedTuple):
    """A pass that has been timed, with all that the probes need to examine it."""
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
        """Returns the findings before the session opens; `fields` are keys of the record. Raises
        Stop if nothing may be timed."""
        return Found()

    def rewrite(self, passes: List[Pass]) -> List[Pass]:
        """Returns the passes to time instead of these."""
        return passes

    def start(self, session: Any) -> Found:
        """Called once the variables have their initial values; returns as `describe` does."""
        return Found()

    def before(self, session: Any, one: Pass) -> None:
        """Called before each pass, untimed. Raises Stop if the pass may not be timed."""

    def watching(self) -> ContextManager[Any]:
        """Returns a context around the timed steps of a pass."""
        return contextlib.nullcontext()

    def after(self, step: Step) -> Found:
        """Called after each pass, untimed; `fields` are keys of its entry in the record."""
        return Found()
