"""The page of `suite compare --html`: one HTML file with all of its charts, which opens offline.

This module puts together what is on the page, as plain data: the answer (headline.py), the charts
(plots.py), each run (runs.py), tables and notes. page.html.jinja is the page, page.css its style.
The same records give the same page.
"""
from typing import Any, Dict, List, Optional, Sequence, Tuple

from common import files, text
from common.text import TextBlock
from suite import blocks, outcome, tables
from suite.figures import Source, rate
from suite.pairs import pairs_of
from suite.report import charts, headline, plots, runs

MIN_CONTENTS = 10                    # records that make a contents list worth its place


def write(path: str, sources: Sequence[Source], references: Sequence[Source],
          percent: Optional[float] = None) -> None:
    """Writes the page of what is compared.

    Args:
        path: where to.
        sources: what was named, the base first.
        references: the published figures that stand beside the same work.
        percent: the limit of the gate, if there is one.

    Raises OSError: the file cannot be written.
    """
    all_runs, compared = runs.of(sources), pairs_of(sources, references)
    scaling = plots.scaling(sources)
    of_scaling = [block for _, shown in scaling for block in shown]
    files.write(path, charts.environment().get_template('page.html.jinja').render(
        headline=headline.of(sources, compared, percent), percent=percent, runs=all_runs,
        counts=_counts(all_runs), has_contents=len(all_runs) >= MIN_CONTENTS,
        problems=_problems(sources), faults=_faults(all_runs), kind_of=outcome.kind,
        ratios=plots.ratios(sources, compared, percent), times=plots.times(sources, references),
        passes=_passes(all_runs), cautions=_cautions(all_runs), sweeps=plots.sweeps(sources),
        scaling=scaling, shares=plots.shares(sources), comparison=[
            block for block in blocks.of(sources, compared, percent=percent)
            if block not in of_scaling],
        is_number=text.is_number))


def _counts(all_runs: Sequence[Dict[str, Any]]) -> List[Tuple[str, int]]:
    """How many runs had each kind of outcome."""
    kinds = [outcome.kind(run['word']) for run in all_runs]
    return [(kind, kinds.count(kind)) for kind in ('bad', 'warn', 'good') if kind in kinds]


def _problems(sources: Sequence[Source]) -> List[str]:
    """What could not be read, and records that are not repeats of each other."""
    return [problem for source in sources for problem in source.problems] + [
        '%s, %s: INVALID: %s' % (source.name, tables.named(figure), figure.faults[-1])
        for source in sources for figure in source.figures
        if len(figure.records) > 1 and figure.faults]


def _faults(all_runs) -> List[Tuple[Dict[str, Any], str, str]]:
    """The run, the pass and the text of each fault."""
    return [(run, entry['info_string'], fault) for run in all_runs
            for entry in run['record'].data['results'] for fault in entry.get('faults', [])]


def _cautions(all_runs) -> List[List[Tuple[Dict[str, Any], str, str]]]:
    """Lists of cautions of the same kind: of each the run, the pass ('' if it is of the whole run)
    and the text."""
    by_kind = {}                                         # type: Dict[str, List]
    for run in all_runs:
        data = run['record'].data
        for part in [data] + data['results']:
            for caution in part.get('warnings', []):
                by_kind.setdefault(caution['kind'], []).append(
                    (run, part.get('info_string', ''), caution['text']))
    return list(by_kind.values())


def _passes(all_runs) -> Dict[str, Any]:
    """A table with a row for each pass, and for each run that did not finish, beside its run; what
    all passes have in common; columns without a value are left out."""
    common, names = tables.names([                       # by their work alone
        figure._replace(records=()) for run in all_runs for figure in run['record'].figures])
    rows, remaining = [], iter(names)
    for run in all_runs:
        data = run['record'].data
        for entry, figure in zip(data['results'], run['record'].figures):
            share = entry.get('share_of_peak')
            rows.append((run, [figure.word, next(remaining)] + (
                ['-'] * 4 if figure.faults else [
                    plots.ms(figure.mean_s), tables.interval(figure.ci95_s, plots.ms),
                    tables.four_digits(rate(figure)),
                    '-' if share is None else text.percent(share)])))
        if data['status'] != 'finished' or not data['results']:
            rows.append((run, [run['word'], '%s %s' % (data['benchmark'], data['variant'])]
                         + ['-'] * 4))
    head = ['verdict', 'pass', 'ms / batch', '95 % interval of the mean', 'images / s',
            'share of peak']
    shown = [i for i, cells in enumerate(zip(*[cells for _, cells in rows])) if set(cells) != {'-'}]
    table = [[cells[i] for i in shown] for cells in [head, *[cells for _, cells in rows]]]
    return {'rows': [run for run, _ in rows],
            'block': TextBlock('Mean of each pass of each record', table, [], common)}
