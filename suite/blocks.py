"""What `suite compare` says: tables of figures and of what they are compared with, the conditions
that differ, notes."""
import re
from typing import List, Optional, Sequence

from common import conditions, text
from common.text import TextBlock
from suite import gate, tables
from suite.figures import Source
from suite.pairs import Pair, against_float32, curves, ideal

MOST_NOTES = 10                      # lines of a block of notes; --details shows all
MAX_NAME = 14                        # letters of the name of a source above a column
MAX_GPU = 45                         # characters of a GPU's name in a table


def of(sources: Sequence[Source], pairs: Sequence[Pair], details: bool = False,
       percent: Optional[float] = None) -> List[TextBlock]:
    """Returns what is shown: the outcome of the gate, if it has `percent` as its limit, the tables,
    the devices and how they differ, figures without counterpart, notes. A single source has a table
    of its own figures behind that of the chapter. Without `details` the lines of a block are
    few."""
    shown = [_gate(pairs, percent, details)] if percent is not None else []
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
    apart = [line for pair in pairs for line in pair.apart]
    if len(sources) == 1 and apart and not details:
        apart = ['%d published figures of these networks measure other workloads: --details lists '
                 'them' % len(apart)]
    shown += [TextBlock('Not the same workload', [], _few(apart, details))] if apart else []
    notes = _notes(sources, details)
    return shown + ([TextBlock('Notes', [], _few(notes, details))] if notes else [])


def _gate(pairs, percent, details):
    judgements = gate.judge(pairs, percent)
    return TextBlock('%s: %s' % (gate.title(percent), gate.overall(judgements)), [],
                 _few(gate.lines(judgements), details))


def _against(pair, percent=None):
    """The rows of a pair, with the words of the gate instead of verdicts if it has a limit."""
    common, names = tables.names([row.other for row in pair.rows])
    head = ['', *_clipped([pair.base.name, pair.other.name])]
    if pair.base.records:
        head += ['time', 'verdict' if percent is None else 'limit %+g %%' % percent]
        last = [[tables.times(row), row.verdict if percent is None else
                 gate.outcome(row, percent)[0]] for row in pair.rows]
    else:
        head, last = head + ['speed'], [[tables.times(row, pair.base)] for row in pair.rows]
    return TextBlock('%s against %s, ms / batch%s' % (
        pair.other.name, pair.base.name, ' and the change of the time' * bool(pair.base.records)),
        [head] + [[name, tables.milliseconds(row.base), tables.milliseconds(row.other)] + cells
                  for name, row, cells in zip(names, pair.rows, last)], [], common)


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
    columns = [['', *names]]
    if len(set(gpus)) > 1:
        columns.append(['GPU'] + [gpu if len(gpu) <= MAX_GPU else gpu[:MAX_GPU - 3] + '...'
                                  for gpu in gpus])
    columns.append(['mean, ms', *map(tables.milliseconds, source.figures)])
    if any(figure.ci95_s for figure in source.figures):
        columns.append(['95 % interval, ms'] + [
            '-' if figure.faults else
            tables.interval(figure.ci95_s and tuple(1000 * bound for bound in figure.ci95_s))
            for figure in source.figures])
    columns.append(['images / s', *map(tables.images_per_s, source.figures)])
    lines = []
    if any(len(figure.records) == 1 and figure.ci95_s for figure in source.figures):
        lines.append('The interval of one process covers how its steps vary, not how processes '
                     'differ: suite run --repeat 3.')
    columns = [column for column in columns if set(column[1:]) != {'-'}]
    return TextBlock(source.name, list(map(list, zip(*columns))), lines, common)


def scaling(source: Source) -> List[TextBlock]:
    """Returns the table of its jobs of several processes, if there are any."""
    figures = [figure for same in curves(source).values() for figure in same]
    if not figures:
        return []
    common, names = tables.names(figures)
    rows = []
    for figure, name in zip(figures, names):
        cells = ['INVALID' if figure.faults else tables.images_per_s(figure)] + ['-'] * 3
        if figure.alone_s and not figure.faults:
            cells[1:3] = (tables.four_digits(ideal(figure)),
                          text.percent(figure.alone_s / figure.mean_s))
        if figure.communication is not None and not figure.faults:
            cells[3] = text.percent(figure.communication)
        rows.append([name] + cells)
    line = ('ideal: one process alone, timed in the same run, times the number of processes; '
            'efficiency: measured / ideal; communication: the share of a step that the allreduce '
            'adds')
    return [TextBlock(source.name + ': scaling', [
        ['', 'images / s', 'ideal', 'efficiency', 'communication']] + rows, [line], common)]


def _mixes(sources):
    """A line for each source that has figures of more than one precision."""
    precisions = [(source.name, sorted({figure.work.precision for figure in source.figures}))
                  for source in sources]
    return ['%s: several precisions, compared separately: %s' % (name, ' | '.join(several))
            for name, several in precisions if len(several) > 1]


def _differences(sources, pairs):
    """A line for each condition in which figures of records differ that are compared, and one for
    what is known of only one side."""
    names, unknown = set(), set()
    for pair in pairs:
        for row in pair.rows:
            base, other = row.base.conditions, row.other.conditions
            if base and other:
                names.update(conditions.differing(base, other))
                unknown.update(name for name in conditions.BY_NAME
                               if (name in base) != (name in other))
        if not pair.rows and pair.base.records and pair.other.records:
            facts = pair.base.facts, pair.other.facts
            names.update(name for name in {**facts[0], **facts[1]}
                         if facts[0].get(name) != facts[1].get(name)
                         and (name not in conditions.BY_NAME or all(name in of for of in facts)))
    lines = ['differs: %s: %s' % (name, ' | '.join(
        ', '.join(sorted({tables.condition(figure, name) for figure in source.figures}))
        for source in sources if source.records)) for name in sorted(names, key=conditions.order)]
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
    groups = {}
    for source in sources:
        keys = tables.varying(source.figures)
        for figure in source.figures:
            notes = ['%s: %s' % (figure.word or 'INVALID', fault) for fault in figure.faults]
            for note in dict.fromkeys(notes + list(figure.warnings)):
                name = tables.named_figure(figure, keys)
                key = source.name, (name, note) if details else re.sub(r'[\d.]+', '#', note)
                groups.setdefault(key, []).append((name, note))
    lines = []
    for (source_name, _), group in groups.items():
        name, note = group[0]
        passes = len({name for name, _ in group})
        if passes > 1:
            name = '%d passes, such as %s' % (passes, name)
        mark = '' if note.startswith('INVALID') else '* '
        lines.append('%s%s, %s: %s' % (mark, source_name, name, note))
    return lines
