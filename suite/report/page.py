"""The page of `suite compare --html`: one HTML file with all of its charts, which opens offline.

This module puts together what is on the page, as plain data: the answer (headline.py), the charts
(plots.py), each run (runs.py), tables and notes. page.html.jinja is the page, page.css its style.
The same records give the same page.
"""
from typing import Optional, Sequence

from common import text
from suite import blocks, tables
from suite.figures import Source
from suite.pairs import pairs_of
from suite.report import charts, headline, plots, runs


def text_of(sources: Sequence[Source], references: Sequence[Source],
            percent: Optional[float] = None) -> str:
    """Returns the page of what is compared.

    Args:
        sources: what was named, the base first.
        references: the published figures that stand beside the same work.
        percent: the limit of the gate, if there is one.
    """
    all_runs, compared = runs.of(sources), pairs_of(sources, references)
    problems = [problem for source in sources for problem in source.problems]
    problems += ['%s, %s: INVALID: %s' % (source.name, tables.named(figure), figure.faults[-1])
                 for source in sources for figure in source.figures
                 if len(figure.records) > 1 and figure.faults]      # they are no repeats
    faults = [(runs.BAD, fault, run)
              for run in all_runs for timed in run['passes'] for fault in timed['faults']]
    return charts.environment().get_template('page.html.jinja').render(
        headline=headline.of(sources, compared, percent), percent=percent,
        problems=[(runs.BAD, problem, None) for problem in problems] + faults,
        ratios=plots.ratios(sources, compared, percent), times=plots.times(sources, references),
        sweeps=plots.sweeps(sources), scaling=plots.scaling(sources), runs=all_runs,
        comparison=blocks.of(sources, compared, percent=percent),
        is_number=text.is_number)
