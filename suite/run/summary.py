"""The table and the notes that `suite run` ends with."""
import os
from typing import Any, Dict, List

from common import networks, report, text
from suite import outcome
from suite import records as reading
from suite.run import plan
from suite.run.execute import CompletedRun

CHAPTER = os.path.join(plan.ROOT, 'references', 'chapter.json')
HEADINGS = ('network', 'variant', 'pass', 'fetch', 'precision', 'batch', 'process', 'ms / batch',
            'ms / image', 'images / s', 'peak MB', 'outcome', 'chapter, s / batch')
LEFT = 'network', 'variant', 'pass', 'fetch', 'precision', 'outcome'
USUAL = {'process': '1', 'precision': 'float32'}         # a column of these alone is left out


def chapter_figures() -> List[Dict[str, Any]]:
    """Returns the figures of the chapter; none if their file is missing or damaged."""
    try:
        return reading.load(CHAPTER).get('figures', [])
    except ValueError:
        return []


def table(completed: List[CompletedRun], figures: List[Dict[str, Any]]) -> List[str]:
    """Returns the lines of the table, repetitions next to each other, without the columns that say
    nothing; no line if nothing was run. `figures` are the chapter's."""
    works = [one.run.work for one in completed]
    cells = [row for one in sorted(completed, key=lambda one: works.index(one.run.work))
             for row in rows(one, figures)]
    if not cells:
        return []
    columns = [[heading] + [row.get(heading, '') for row in cells] for heading in HEADINGS]
    columns = [column for column in columns if set(column[1:]) - {'', USUAL.get(column[0])}]
    return text.table(list(zip(*columns)), LEFT)


def rows(completed: CompletedRun, figures: List[Dict[str, Any]]) -> List[Dict[str, str]]:
    """Returns the rows of the table for one run, as cells by their heading: one for each pass that
    was timed, and one for the pass in which the run ended."""
    run, passes = completed.run, completed.passes
    same = {'network': run.benchmark, 'variant': run.variant, 'fetch': run.options['fetch'],
            'batch': str(run.options['batch_size']), 'process': str(run.repeat)}
    lines = [dict(same, **_figures(completed, entry, figures)) for entry in passes]
    if not completed.is_finished:
        lines.append(dict(same, outcome=completed.word))
        if len(passes) < len(networks.PASSES):
            lines[-1]['pass'] = networks.PASSES[len(passes)]
    return lines


def _figures(completed: CompletedRun, entry: Dict[str, Any], figures: List[Dict[str, Any]]
             ) -> Dict[str, str]:
    """The cells of one pass."""
    mean_s, batch_size, peak_bytes = entry['mean_s'], entry['batch_size'], entry.get('peak_bytes')
    cells = {'pass': entry['info_string'], 'precision': report.precision(entry),
             'ms / batch': '%.3f +/- %.3f' % (1e3 * mean_s, 1e3 * entry['sd_s']),
             'images / s': '%.1f' % (batch_size / mean_s),
             'outcome': outcome.of_pass(completed.record, entry),
             'chapter, s / batch': chapter_text(completed.run, entry, figures)}
    if completed.run.is_sweep:
        cells['ms / image'] = '%.3f' % (1e3 * mean_s / batch_size)
        cells['peak MB'] = 'unknown' if peak_bytes is None else '%.0f' % (peak_bytes / 1e6)
    return cells


def chapter_text(run: plan.Run, entry: Dict[str, Any], figures: List[Dict[str, Any]]) -> str:
    """Returns the chapter's seconds for the same work; '' where it has none."""
    work = dict(entry, benchmark=run.benchmark, variant=run.variant,
                precision=report.precision(entry))
    keys = 'benchmark', 'variant', 'info_string', 'fetch', 'batch_size', 'precision'
    for figure in figures:
        if all(figure[key] == work[key] for key in keys) and 'mean_s' in figure:
            return 'about %.3f' % figure['mean_s'] if figure.get('sd_s') is None \
                else '%.3f +/- %.3f' % (figure['mean_s'], figure['sd_s'])
    return ''


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
