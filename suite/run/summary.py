"""The table and the notes at the end of `suite run`."""
from typing import Any, Dict, List

from common import chapter, networks, report, text
from common.conditions import precision
from suite import figures, history, outcome
from suite.run.execute import CompletedRun

CHAPTER = 'chapter, ms'
WORK = ['network', 'pass', 'fetch', 'precision', 'batch', 'process']
HEADINGS = WORK + ['ms / image', CHAPTER] + report.HEADINGS[1:] + ['outcome']
LEFT = ['pass', 'fetch', 'precision', chapter.VERSUS, 'outcome']
# A column that has only its usual value is left out.
USUAL = {'process': '1', 'precision': 'float32', 'outcome': 'ok', 'fetch': 'tensors'}


def table(completed: List[CompletedRun]) -> List[str]:
    """Returns the lines of the table, repetitions next to each other, without columns that are
    empty or usual; no line if nothing was run."""
    works = [ended.run.label(repeat=False) for ended in completed]
    lines = [row for ended in sorted(
        completed, key=lambda ended: works.index(ended.run.label(repeat=False)))
        for row in rows(ended)]
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
    published = chapter.figure(completed.record, entry)
    cells.update({'pass': entry['info_string'], 'precision': precision(entry),
                  CHAPTER: published and '%s%.0f' % (
                      'about ' * published['about'], 1e3 * published['mean_s']) or '',
                  'outcome': outcome.of_pass(completed.record, entry)})
    if completed.run.is_sweep:
        cells['ms / image'] = text.significant(1e3 * entry['mean_s'] / entry['batch_size'], 4)
        cells['memory'] = cells['memory'] or 'unknown'
    return cells


def ending(completed: List[CompletedRun], folder: str) -> List[str]:
    """Returns the last lines: where the figures stand among published ones (of a sweep none; of two
    kinds of fetch, those of the first), each caution once for all runs, where the records are, and
    the next command."""
    cautions = [('%s, %s' % (networks.title(ended.run.benchmark, ended.run.variant),
                             entry['info_string']), caution['text'])
                for ended in completed for entry in ended.passes
                for where in (ended.record, entry) for caution in where.get('warnings', [])]
    lines = ['caution: %s: %s' % note for note in text.grouped(cautions)]
    is_in_chapter = any(chapter.figure(ended.record, entry)
                        for ended in completed for entry in ended.passes)
    source, first = figures.load(folder), completed[0].run
    places = [] if first.is_sweep else history.standings(source._replace(figures=[
        figure for figure in source.figures if figure.work.fetch == first.options['fetch']]))
    return places + lines + ['Records: %s    Next: %s' % (folder, report.command(
        'compare', folder, *['chapter'] * is_in_chapter))]


def notes(completed: List[CompletedRun]) -> List[str]:
    """Returns the lines below the table: the largest batch of each sweep that ran, and the range
    over the processes of --repeat."""
    lines = []
    for series in dict.fromkeys(ended.run.label(batch=False) for ended in completed
                                if ended.run.is_sweep):
        sweep = [ended for ended in completed if ended.run.label(batch=False) == series]
        sizes = [ended.run.options['batch_size'] for ended in sweep if ended.is_finished]
        end = sweep[-1].sweep_end
        lines.append('%s: the largest batch that ran is %s' % (
            series, sizes[-1] if sizes else 'none') + (
                '; %d: %s' % (sweep[-1].run.options['batch_size'], end) if end else ''))
    means_ms = {}                                        # type: Dict
    for ended in completed:
        for entry in ended.passes:
            means_ms.setdefault((ended.run.label(repeat=False), entry['info_string']), []).append(
                1e3 * entry['mean_s'])
    return lines + ['%s, %s: %.3f to %.3f ms / batch in %d processes' % (
        *key, min(values), max(values), len(values))
        for key, values in means_ms.items() if len(values) > 1]
