"""The table and the notes at the end of `suite run`."""
from typing import Any, Dict, List

from common import chapter, networks, report, text
from suite import outcome
from suite.run.execute import CompletedRun

WORK = ['network', 'pass', 'fetch', 'precision', 'batch', 'process']
HEADINGS = WORK + ['ms / image'] + report.HEADINGS[1:] + ['outcome']
LEFT = ['pass', 'fetch', 'precision', chapter.VERSUS, 'outcome']
# A column that has only its usual value is left out.
USUAL = {'process': '1', 'precision': 'float32', 'outcome': 'ok', 'fetch': 'tensors'}


def table(completed: List[CompletedRun]) -> List[str]:
    """Returns the lines of the table, repetitions next to each other, without columns that are
    empty or usual; no line if nothing was run."""
    works = [finished.run.work for finished in completed]
    lines = [row for finished in sorted(completed, key=lambda ended: works.index(ended.run.work))
             for row in rows(finished)]
    if not lines:
        return []
    columns = [[heading] + [row.get(heading, '') for row in lines] for heading in HEADINGS]
    columns = [column for column in columns if set(column[1:]) - {'', USUAL.get(column[0])}]
    return text.table(list(zip(*columns)), LEFT)


def rows(completed: CompletedRun) -> List[Dict[str, str]]:
    """Returns the rows of the table for one run, as cells by their heading: one for each pass that
    was timed, and one for the pass in which the run ended."""
    run, passes = completed.run, completed.passes
    same = {'network': networks.title(run.benchmark, run.variant), 'fetch': run.options['fetch'],
            'batch': str(run.options['batch_size']), 'process': str(run.repeat)}
    lines = [dict(same, **_figures(completed, entry)) for entry in passes]
    if not completed.is_finished:
        lines.append(dict(same, outcome=completed.word))
        if len(passes) < len(networks.PASSES):
            lines[-1]['pass'] = networks.PASSES[len(passes)]
    return lines


def _figures(completed: CompletedRun, entry: Dict[str, Any]) -> Dict[str, str]:
    """The cells of one pass."""
    cells = dict(zip(report.HEADINGS[1:], report.cells(completed.record, entry)))
    cells.update({'pass': entry['info_string'], 'precision': report.precision(entry),
                  'outcome': outcome.of_pass(completed.record, entry)})
    if completed.run.is_sweep:
        cells['ms / image'] = text.significant(1e3 * entry['mean_s'] / entry['batch_size'], 4)
        cells['memory'] = cells['memory'] or 'unknown'
    return cells


def notes(completed: List[CompletedRun]) -> List[str]:
    """Returns the lines below the table: the largest batch of each sweep that ran, and the range
    over the processes of --repeat."""
    return _sweeps(completed) + _repetitions(completed)


def _sweeps(completed: List[CompletedRun]) -> List[str]:
    lines = []
    for series in dict.fromkeys(one.run.series for one in completed if one.run.is_sweep):
        sweep = [one for one in completed if one.run.series == series]
        sizes = [one.run.options['batch_size'] for one in sweep if one.is_finished]
        lines.append('%s: the largest batch that ran is %s' % (
            series, sizes[-1] if sizes else 'none'))
        if sweep[-1].sweep_end:
            lines[-1] += '; %d: %s' % (sweep[-1].run.options['batch_size'], sweep[-1].sweep_end)
    return lines


def _repetitions(completed: List[CompletedRun]) -> List[str]:
    lines = []
    for work in dict.fromkeys(one.run.work for one in completed):
        for name in networks.PASSES:
            means_ms = [1e3 * entry['mean_s'] for one in completed if one.run.work == work
                        for entry in one.passes if entry['info_string'] == name]
            if len(means_ms) > 1:
                lines.append('%s, %s: %.3f to %.3f ms / batch in %d processes'
                             % (work, name, min(means_ms), max(means_ms), len(means_ms)))
    return lines
