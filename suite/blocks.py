"""What `suite compare` says: tables of figures and of what they are compared with, the conditions
that differ, notes."""
import itertools
from typing import List, Optional, Sequence

from common import conditions, text
from common.text import TextBlock
from suite import gate, history, tables
from suite.figures import Source
from suite.pairs import Pair, against_float32, curves, ideal

MOST_NOTES = 10                      # lines of a block of notes; --details shows all
MAX_NAME = 14                        # letters of the name of a source above a column
MAX_GPU = 45                         # characters of a GPU's name in a table
ONE_PROCESS = ('The interval of one process covers how its steps vary, not how processes differ: '
               'suite run --repeat 3.')


def of(sources: Sequence[Source], pairs: Sequence[Pair], details: bool = False,
       percent: Optional[float] = None) -> List[TextBlock]:
    """Returns what is shown: the outcome of the gate, if it has `percent` as its limit, the tables,
    the devices and how they differ, figures without counterpart, notes. A single source has a table
    of its own figures behind that of the chapter. Without `details` the lines of a block are
    few."""
    shown = []
    if percent is not None:
        judged = gate.judge(pairs, percent)
        shown.append(TextBlock('%s: %s' % (gate.title(percent), gate.overall(judged)), [],
                               _few(gate.lines(judged), details)))
    tables_of_pairs = [_against(pair, percent) for pair in pairs if pair.rows]
    if len(sources) == 1 and sources[0].figures:
        first = int(bool(pairs) and bool(pairs[0].rows) and pairs[0].base.name == 'chapter')
        tables_of_pairs.insert(first, _own_figures(sources[0]))
    shown += tables_of_pairs
    for source in sources:
        shown += scaling(source)
        shown += [_against(pair) for pair in [against_float32(source)] if pair.rows]
    compared = list(sources) + [pair.base for pair in pairs if len(sources) == 1 and pair.rows]
    shown.append(TextBlock('What is compared', [], [
        '%s: %s' % (source.name, tables.described(source)) for source in compared]
        + _mixes(sources) + _differences(sources, pairs)))
    mine = [source for source in sources if source.records]
    if len(mine) == 1:
        lines = history.standings(mine[0])
        shown += [TextBlock('Among published figures of the same pass and precision', [],
                            _few(lines, details))] * bool(lines)
    apart = [line for pair in pairs for line in pair.apart]
    if len(sources) == 1 and apart and not details:
        apart = ['%d published figures of these networks measure other workloads: --details lists '
                 'them' % len(apart)]
    notes = [('Not the same workload', apart), ('Notes', _notes(sources, details))]
    return shown + [TextBlock(title, [], _few(lines, details)) for title, lines in notes if lines]


def _against(pair, percent=None):
    """The rows of a pair, with the words of the gate instead of verdicts if it has a limit."""
    common, names = tables.names([row.other for row in pair.rows])
    rows = [['', *_clipped([pair.base.name, pair.other.name])]]
    rows += [[name, _milliseconds(row.base), _milliseconds(row.other)]
             for name, row in zip(names, pair.rows)]
    title = '%s against %s, ms / batch' % (pair.other.name, pair.base.name)
    if not pair.base.records:
        last = [['speed']] + [[tables.times(row, pair.base)] for row in pair.rows]
    else:
        title += ' and the change of the time'
        last = [['time', 'verdict' if percent is None else 'limit %+g %%' % percent]] + [
            [tables.times(row), row.verdict if percent is None else gate.outcome(row, percent)[0]]
            for row in pair.rows]
    return TextBlock(title, [row + cells for row, cells in zip(rows, last)], [], common)


def _milliseconds(figure):
    """The time of a step; '*' if there is a caution about it."""
    return tables.step_time(figure) + ' *' * bool(figure.warnings and not figure.faults)


def _clipped(names):
    """The names cut to MAX_NAME: at the front, or where that makes them equal, at the end."""
    for cut in (lambda name: '..' + name[2 - MAX_NAME:]), (lambda name: name[:MAX_NAME - 2] + '..'):
        clipped = [name if len(name) <= MAX_NAME else cut(name) for name in names]
        if len(set(clipped)) == len(clipped):
            break
    return clipped


def _own_figures(source):
    """The block of the figures of one source, with their GPUs if it has several."""
    gpus = [(figure.published or {}).get('hardware', '') for figure in source.figures]
    common, names = tables.names(source.figures)
    columns = [
        ['', *names],
        ['GPU', *[gpu if len(gpu) <= MAX_GPU else gpu[:MAX_GPU - 3] + '...' for gpu in gpus]],
        ['mean, ms', *map(_milliseconds, source.figures)],
        ['95 % interval, ms', *[
            '-' if figure.faults else tables.interval(
                figure.ci95_s, lambda bound: tables.four_digits(1000 * bound))
            for figure in source.figures]],
        ['images / s', *map(tables.images_per_s, source.figures)]]
    columns = [column for column in columns if set(column[1:]) != {'-'}
               and (column[0] != 'GPU' or len(set(gpus)) > 1)]
    is_one_process = any(len(figure.records) == 1 and figure.ci95_s for figure in source.figures)
    return TextBlock(source.name, list(map(list, zip(*columns))),
                     [ONE_PROCESS] * is_one_process, common)


def scaling(source: Source) -> List[TextBlock]:
    """Returns the table of its jobs of several processes, if there are any."""
    figures = [figure for same in curves(source).values() for figure in same]
    if not figures:
        return []
    common, names = tables.names(figures)
    rows = [['', 'images / s', 'ideal', 'efficiency', 'communication']]
    for figure, name in zip(figures, names):
        cells = ['INVALID', '-', '-', '-']
        if not figure.faults:
            cells = [tables.images_per_s(figure),
                     tables.four_digits(ideal(figure)) if figure.alone_s else '-',
                     text.percent(figure.alone_s / figure.mean_s) if figure.alone_s else '-',
                     '-' if figure.communication is None else text.percent(figure.communication)]
        rows.append([name] + cells)
    line = ('ideal: one process alone, timed in the same run, times the number of processes; '
            'efficiency: measured / ideal; communication: the share of a step that the allreduce '
            'adds')
    return [TextBlock(source.name + ': scaling', rows, [line], common)]


def _mixes(sources):
    """A line for each source that has figures of more than one precision."""
    precisions = [(source.name, sorted({figure.work.precision for figure in source.figures}))
                  for source in sources]
    return ['%s: several precisions, compared separately: %s' % (name, ' | '.join(several))
            for name, several in precisions if len(several) > 1]


def _differences(sources, pairs):
    """A line for each condition in which figures of records differ that are compared, or, where no
    work is the same, any figures, and one for what is known of only one side."""
    names, unknown = set(), set()
    for pair in pairs:
        for base, other in [(row.base, row.other) for row in pair.rows] or itertools.product(
                pair.base.figures, pair.other.figures):
            ours, theirs = base.conditions, other.conditions
            names.update(conditions.differing(ours, theirs) if ours and theirs else ())
            unknown.update(name for name in conditions.BY_NAME if ours and theirs and pair.rows
                           and (name in ours) != (name in theirs))
    lines = ['differs: %s: %s' % (name, ' | '.join(
        ', '.join(sorted({tables.condition(figure, name) for figure in source.figures}))
        for source in sources if source.records))
        for name in sorted(names - set(conditions.WORK), key=conditions.order)]
    if unknown:
        lines.append('recorded on one side only: %s' % ', '.join(
            sorted(unknown, key=conditions.order)))
    return lines


def _few(lines, details):
    """The first MOST_NOTES of the lines, and how many more there are; all with details."""
    if details or len(lines) <= MOST_NOTES:
        return lines
    return lines[:MOST_NOTES - 1] + ['and %d more: --details' % (len(lines) - MOST_NOTES + 1)]


def _notes(sources, details):
    """Why figures are not valid, or should not be quoted: a line for all passes of a source of
    which the same is said but for the numbers; with details, one for each."""
    lines = []
    for source in sources:
        keys = tables.varying(source.figures)
        notes = [(tables.named(figure, keys), note) for figure in source.figures
                 for note in dict.fromkeys(['%s: %s' % (figure.word, fault)
                                            for fault in figure.faults] + list(figure.warnings))]
        lines += ['%s%s, %s: %s' % ('* ' * (not note.startswith('INVALID')), source.name, name,
                                    note)
                  for name, note in (notes if details else text.grouped(notes))]
    return lines
