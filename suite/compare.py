"""Sets results side by side: records of runs, folders of them, published figures.

    python -m suite compare results/mine                    beside the references of the same work
    python -m suite compare chapter results/mine            the second against the first
    python -m suite compare before after --fail-if-slower 5 a gate for drivers and builds
    python -m suite compare results/mine --html report.html and a page with charts
    python -m suite compare --readme --write README.md      the table of the README

A is a record (--json of a script), a folder of records, or the name of a file in references/. Of
several the first is the base. Two figures stand side by side only if network, variant, pass, fetch,
batch size, precision and number of processes are the same; nothing is scaled, and what differs is
said below. What a record has of another precision, or compiled by XLA, has a table of its own
against its float32; so have jobs of several processes, beside as many times one process alone.

The ratio is other / base of the mean times: above 1 is slower. Its 95 % interval comes from those
of the two means by the method of variance estimates recovery, on logarithms (Zou and Donner,
Statistics in Medicine 27 (2008)). The interval of a mean allows for the correlation of steps
(common/stats.py) but knows one process only; of three or more records of the same work in a folder
it is the one of the processes' means, which differ by more than their steps. Verdicts: faster or
slower where the whole interval is on that side of 1, else no difference that these runs can show.

Exit codes:
    0    compared
    1    --fail-if-slower PERCENT: the whole interval of a ratio is above 1 + PERCENT / 100
    2    bad usage, or nothing that can be compared
    3    the output cannot be written
"""
import argparse
import math
import os
import sys
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import files, stats
from suite.figures import (
    MIN_PROCESSES,
    ORDER,
    PLAIN,
    PUBLISHED,
    REFERENCES,
    Figure,
    Interval,
    Side,
    Work,
    fact_order,
    load,
    order,
    rate,
    reference_names,
)

RESULTS = os.path.join(os.path.dirname(REFERENCES), 'results')
LABELS = ('network', 'variant', 'pass', 'fetch', 'batch', 'precision', 'processes')
NO_DIFFERENCE = 'no difference that these runs can show'


class Row(NamedTuple):
    """The same work on both sides; `ratio` is other / base, None if a figure is not valid."""
    base: Figure
    other: Figure
    ratio: Optional[float]
    interval: Optional[Interval]
    verdict: str


class Pair(NamedTuple):
    """Two sides: the rows of the same work, and a line for each figure that has no counterpart."""
    base: Side
    other: Side
    rows: List[Row]
    apart: List[str]


class Block(NamedTuple):
    """A part of the output: a title, a table (its header first) and lines, of which some are."""
    title: str
    table: List[List[str]]
    lines: List[str]


def compare(base: Side, others: Sequence[Side]) -> List[Pair]:
    """Returns a Pair of the base and each of the others."""
    return [Pair(base, other,
                 [_row(figure, match) for figure in base.figures
                  for match in [_match(figure, other)] if match],
                 _apart(other, base) + _apart(base, other)) for other in others]


def against_plain(side: Side) -> List[Row]:
    """Returns the rows of what ran in another precision or through XLA, against the plain run of
    the same work in the same records."""
    plain = {(figure.work, figure.records): figure for figure in side.figures if figure.records}
    bases = [(plain.get((figure.work._replace(precision=PLAIN), figure.records)), figure)
             for figure in side.figures if figure.work.precision != PLAIN]
    return [_row(base, figure) for base, figure in bases if base]


def curves(side: Side) -> Dict[Work, List[Figure]]:
    """Returns the figures of jobs of several processes, and of one, by the work of one process."""
    found = {}                                           # type: Dict[Work, List[Figure]]
    for figure in side.figures:
        if figure.records:
            found.setdefault(figure.work._replace(processes=1), []).append(figure)
    return {work: figures for work, figures in found.items()
            if any(figure.work.processes > 1 for figure in figures)}


def ideal(figure: Figure) -> Optional[float]:
    """Returns the images / s of as many processes as fast as one alone, timed in the same run."""
    return figure.alone_s and rate(figure) * figure.mean_s / figure.alone_s


def scaling(side: Side) -> List[Block]:
    """Returns the table of its jobs of several processes, if there are any."""
    rows = []
    for figure in [figure for figures in curves(side).values() for figure in figures]:
        cells = ['INVALID' if figure.faults else _rate(figure)] + ['-'] * 3
        if figure.alone_s and not figure.faults:
            cells[1:3] = '%.4g' % ideal(figure), _percents(figure.alone_s / figure.mean_s)
        if figure.communication is not None and not figure.faults:
            cells[3] = _percents(figure.communication)
        rows.append((figure.work, cells))
    line = ('ideal: one process alone, timed in the same run, times their number; efficiency: of '
            'it; communication: the part of a step that is gone without the allreduce')
    head = ['images / s', 'ideal', 'efficiency', 'communication']
    return [Block(side.name + ': scaling', _table(head, rows), [line])] if rows else []


def beside_references(side: Side, references: Sequence[Side]) -> List[Pair]:
    """Returns the Pairs of one side and the references that have figures of its networks; of the
    figures without counterpart, those of these networks in the reference."""
    networks = {figure.work.benchmark for figure in side.figures}
    relevant = [reference._replace(figures=[figure for figure in reference.figures
                                            if figure.work.benchmark in networks])
                for reference in references if reference.name != side.name]
    return [pair._replace(apart=_apart(pair.other, side))
            for pair in compare(side, [one for one in relevant if one.figures])]


def too_slow(pairs: Sequence[Pair], percent: float) -> List[Row]:
    """Returns the rows whose ratio has its whole interval above 1 + percent / 100."""
    return [row for pair in pairs for row in pair.rows
            if row.interval and row.interval[0] > 1 + percent / 100]


def blocks(sides: Sequence[Side], pairs: Sequence[Pair]) -> List[Block]:
    """Returns what is shown: the sides and what differs, the tables, what is not the same work, the
    notes. With one side, the first table is its own."""
    notes = []                                           # type: List[str]
    runs = list(sides) + [pair.other for pair in pairs if len(sides) == 1 and pair.rows]
    found = [Block('What is compared', [], ['%s: %s' % (side.name, _described(side))
                                           for side in runs] + _mixes(sides)
                   + _differences(sides))]
    if len(sides) == 1:
        found.append(Block(sides[0].name, _table(['s / batch', '95 % interval', 'images / s'], [
            (figure.work, [_seconds(figure) + _marks(notes, sides[0], figure),
                           '-' if figure.faults else _interval(figure.ci95_s, '%.4g'),
                           _rate(figure)])
            for figure in sides[0].figures]), []))
    for side in sides:
        found += scaling(side)
        found += _against(notes, PLAIN, side, side, against_plain(side))
    for pair in pairs:
        found += _against(notes, pair.base.name, pair.base, pair.other, pair.rows)
    apart = [line for pair in pairs for line in pair.apart]
    if apart:
        found.append(Block('Not the same work', [], apart))
    lines = _numbered(notes)
    if any(len(figure.records) == 1 for side in sides for figure in side.figures):
        lines.append('Intervals of one process know its steps only, not how one process differs '
                     'from the next: for that, put %d records of each into a folder.'
                     % MIN_PROCESSES)
    return found + ([Block('Notes', [], lines)] if lines else [])


def _against(notes, name, base, other, rows):
    """The block of the rows, if there are any: other / base; `name` is of the base."""
    head = [name + ', s / batch', other.name + ', s / batch', 'ratio', '95 % interval', 'verdict']
    return [Block('%s against %s' % (other.name, name), _table(head, [
        (row.other.work, [_seconds(row.base) + _marks(notes, base, row.base),
                          _seconds(row.other) + _marks(notes, other, row.other),
                          _ratio(row), _interval(row.interval, '%.3f'), row.verdict])
        for row in rows]), [])] if rows else []


def _table(head, rows):
    """A table of works and what there is of each. A column of processes only if there are any."""
    count = len(LABELS) - all(work.processes == 1 for work, _ in rows)
    return [list(LABELS[:count]) + head] + [_cells(work)[:count] + cells for work, cells in rows]


def format_text(found: Sequence[Block]) -> str:
    """Returns the blocks for a terminal; what all rows have in common stands above the table."""
    lines = []                                           # type: List[str]
    for block in found:
        lines += [block.title]
        common, table = folded(block.table)
        lines += ['  all: ' + common] * bool(common)
        widths = [max(map(len, column)) for column in zip(*table)]
        lines += ['  ' + '  '.join(map(str.ljust, row, widths)).rstrip() for row in table]
        lines += ['  ' + line for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'


def folded(table: List[List[str]]) -> Tuple[str, List[List[str]]]:
    """Returns what all rows of a table have in common of the work, and the table without it."""
    columns = list(zip(*table))
    common = [column for column in columns if column[0] in LABELS and len(set(column[1:])) == 1]
    return (', '.join('%s %s' % column[:2] for column in common
                      if column[:2] != ('processes', '1')),
            list(map(list, zip(*[column for column in columns if column not in common]))))


def format_markdown(found: Sequence[Block]) -> str:
    """Returns the blocks as Markdown, every column in every table."""
    lines = []                                           # type: List[str]
    for block in found:
        lines += ['**%s**' % block.title, '']
        if block.table:
            lines += _markdown_table(block.table) + ['']
        if block.lines:
            lines += ['* ' + line for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'


def readme_table(results: str = RESULTS) -> str:
    """Returns the table of the README: the chapter's work, in the chapter and in each folder of
    `results` that has GPU records."""
    chapter = load('chapter')
    folders = sorted(os.listdir(results)) if os.path.isdir(results) else []
    sides = [load(os.path.join(results, folder), 'gpu') for folder in folders
             if os.path.isdir(os.path.join(results, folder))]
    sides = [side for side in sides if side.figures]
    networks = {figure.work[:2] for figure in chapter.figures}
    works = {Work(*network, info_string, 'tensors', 32, PLAIN)
             for network in networks for info_string in ORDER['info_string']}
    cells = [{figure.work: figure for figure in side.figures} for side in [chapter] + sides]
    table = [['network', 'variant', 'pass', 'GTX 1080 in the chapter, 2016, s / batch'] + [
        '%s, TensorFlow %s (results/%s), s / batch' % (
            side.facts['device'], side.facts['tensorflow'], os.path.basename(side.name))
        for side in sides]]
    notes = []                                           # type: List[str]
    for work in sorted(works, key=lambda work: order((work, None))):
        if any(work in column for column in cells):
            table.append(_cells(work)[:3] + [
                _with_sd(column[work]) + _marks(notes, side, column[work])
                if work in column else 'not measured'
                for side, column in zip([chapter] + sides, cells)])
    caption = 'Batch 32, float32, fetched as tensors: mean +/- standard deviation of the steps.'
    lines = _markdown_table(table) + ['', caption] + [''] * bool(notes)
    return '\n'.join(lines + ['* ' + note for note in _numbered(notes)]) + '\n'


def replace_table(text: str, name: str, table: str) -> str:
    """Returns the text with the table between `<!-- table: NAME -->` and the next `<!-- end -->`.

    Raises ValueError: a marker is missing.
    """
    begin, end = '<!-- table: %s -->\n' % name, '<!-- end -->'
    before, found, rest = text.partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError('no lines %s and %s' % (begin.strip(), end))
    return before + begin + '\n' + table + '\n' + end + after


def _match(figure, side):
    """The figure of the same work on that side, or None."""
    for other in side.figures:
        if other.work == figure.work and not (figure.differs or other.differs):
            return other
    return None


def _row(base, other):
    if base.faults or other.faults or not (base.mean_s and other.mean_s):
        return Row(base, other, None, None, 'not compared')
    ratio = other.mean_s / base.mean_s
    for figure in (base, other):
        if not figure.ci95_s:
            return Row(base, other, ratio, None, 'no interval: ' + (
                'published without samples' if not figure.records else
                'fewer than %d steps' % stats.MIN_STEPS if len(figure.records) == 1 else
                '%d processes, fewer than %d' % (len(figure.records), MIN_PROCESSES)))
    bounds = [(figure.mean_s,) + figure.ci95_s for figure in (base, other)]
    ratio, *interval = stats.ratio(*bounds)
    verdict = ('slower' if interval[0] > 1 else 'faster' if interval[1] < 1 else NO_DIFFERENCE)
    return Row(base, other, ratio, tuple(interval), verdict)


def _apart(side, base):
    """A line for each figure of `side` that has no counterpart in `base`: how it differs from the
    one that is nearest. A line for all networks that `base` does not have."""
    networks, lines = {figure.work.benchmark for figure in base.figures}, []
    for figure in side.figures:
        if figure.work.benchmark in networks and not _match(figure, base):
            why = min([_unequal(figure.work, other.work) for other in base.figures
                       if other.work.benchmark == figure.work.benchmark], key=len)
            if why or figure.differs:
                lines.append('%s, %s: %s: %s' % (side.name, _named(figure.work), _speed(figure),
                                                 '; '.join(why + list(figure.differs))))
    missing = [name for name in ORDER['benchmark'] if name not in networks
               and any(figure.work.benchmark == name for figure in side.figures)]
    return lines + (['%s has no %s' % (base.name, ', '.join(missing))] if missing else [])


def _unequal(work, other):
    return ['%s %s' % (label, 'not stated' if value is None else '%s, not %s' % (value, wanted))
            for label, value, wanted in zip(LABELS, work, other)
            if value != wanted and (value, label) != (None, 'fetch')]


def _named(work):
    words = {'batch': 'batch %s', 'processes': '%d processes'}
    return ' '.join(words.get(label, '%s') % part for label, part in zip(LABELS, work)
                    if part is not None and (label, part) != ('processes', 1))


def _described(side):
    facts = side.facts
    if 'device' in facts:
        return '%s, driver %s, TensorFlow %s (%s)' % tuple(
            facts[key] for key in ('device', 'driver', 'tensorflow', 'runtime'))
    return '; '.join(facts[key] for key in PUBLISHED if key in facts) or 'nothing that can be used'


def _mixes(sides):
    """A line for each side that has figures of more than one precision."""
    precisions = [(side.name, sorted({figure.work.precision for figure in side.figures}))
                  for side in sides]
    return ['%s: a mix of precisions, kept apart: %s' % (name, ' | '.join(found))
            for name, found in precisions if len(found) > 1]


def _differences(sides):
    """Lines for the facts in which the runs differ."""
    runs = [side for side in sides if 'device' in side.facts]
    keys = sorted({key for side in runs for key in side.facts}, key=fact_order)
    values = [(key, [side.facts.get(key, '(not set)') for side in runs]) for key in keys]
    return ['differs: %s: %s' % (key, ' | '.join(found)) for key, found in values
            if len(set(found)) > 1]


def _cells(work):
    return ['-' if part is None else str(part) for part in work]


def _marks(notes, side, figure):
    """The marks of the figure's faults and warnings, which are added to the notes."""
    marks = ''
    texts = ['INVALID: ' + fault for fault in figure.faults] + list(figure.warnings)
    for text in dict.fromkeys(texts):                    # repeats may all have the same
        text = '%s, %s: %s' % (side.name, _named(figure.work), text)
        if text not in notes:
            notes.append(text)
        marks += ' [%d]' % (notes.index(text) + 1)
    return marks


def _numbered(notes):
    return ['[%d] %s' % numbered for numbered in enumerate(notes, 1)]


def _seconds(figure):
    """A published figure as it was published, else four significant digits."""
    if figure.faults:
        return 'INVALID'
    if figure.records:
        return '%.*f' % (max(0, 3 - math.floor(math.log10(figure.mean_s))), figure.mean_s)
    return 'about ' * figure.about + ('-' if figure.mean_s is None else repr(figure.mean_s))


def _with_sd(figure):
    text = _seconds(figure)
    if figure.faults or figure.sd_s is None:
        return text
    return '%s +/- %.*f' % (text, len(text.partition('.')[2]), figure.sd_s)


def _speed(figure):
    """The figure in the unit it was published in; what is derived from it says so."""
    if figure.images_per_s is None:
        return _seconds(figure) + ' s / batch'
    derived = figure.work.batch_size and figure.work.batch_size / figure.images_per_s
    return '%s images / s%s' % (figure.images_per_s,
                                ' (derived: %.4g s / batch)' % derived if derived else '')


def _rate(figure):
    if figure.records and not figure.faults:
        return '%.4g' % rate(figure)
    return str(figure.images_per_s or '-')


def _ratio(row):
    if row.ratio is None:
        return '-'
    return 'about ' * (row.base.about or row.other.about) + '%.3f' % row.ratio


def _percents(share):
    return '%.1f %%' % (100 * share)


def _interval(interval, number):
    return ' to '.join(number % bound for bound in interval) if interval else '-'


def _markdown_table(table):
    rows = [[cell.replace('|', '\\|') for cell in row] for row in table]
    rows.insert(1, ['---'] * len(rows[0]))
    return ['| %s |' % ' | '.join(row) for row in rows]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compares what `argv` names, prints it, and returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('results', nargs='*', metavar='A', help='a record, a folder of records, or one of: %s'
        % ', '.join(reference_names()))
    add('--markdown', action='store_true', help='Markdown instead of text')
    add('--html', metavar='PATH', help='also write a page with charts, which opens offline')
    add('--fail-if-slower', type=_percent, metavar='PERCENT',
        help='exit with 1 if a ratio has its whole interval above 1 + PERCENT / 100')
    add('--readme', action='store_true',
        help='the table of the README: the chapter beside the GPU records in results/')
    add('--write', metavar='FILE', help='with --readme: replace the table in this file')
    try:
        args = parser.parse_args(argv)
        if args.readme == bool(args.results):
            parser.error('give results to compare, or --readme alone')
        if args.write and not args.readme:
            parser.error('--write goes with --readme')
        if args.html and args.readme:
            parser.error('--html does not go with --readme')
        if args.html and args.html.endswith('.json'):
            parser.error('argument --html: %r would be taken for a record' % args.html)
        if args.fail_if_slower is not None and len(args.results) < 2:
            parser.error('--fail-if-slower needs two or more results')
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code
    return _readme(args.write) if args.readme else _compare(args)


def _compare(args):
    sides = [load(name) for name in args.results]
    if len({side.name for side in sides}) < len(sides):
        sides = [side._replace(name=name) for side, name in zip(sides, args.results)]
    for problem in [problem for side in sides for problem in side.problems]:
        print(problem, file=sys.stderr)
    if args.html:
        try:
            # Not above: it needs matplotlib, which nothing else does.
            from suite.report import page as report_html
        except ImportError as error:
            return _nothing('--html needs matplotlib (%s): %s -m pip install matplotlib'
                            % (error, os.path.basename(sys.executable)))
        try:
            report_html.write(args.html, args.results, sides)
        except OSError as error:
            return _nothing('%s: %s' % (args.html, error.strerror), 3)
    if not sides[0].figures:
        return _nothing('%s has no figures' % sides[0].name)
    if len(sides) > 1:
        pairs = compare(sides[0], sides[1:])
    else:
        pairs = beside_references(sides[0], [load(name) for name in reference_names()])
    found = blocks(sides, pairs)
    print((format_markdown if args.markdown else format_text)(found), end='', flush=True)

    rows = [row for pair in pairs for row in pair.rows]
    if len(sides) > 1 and not any(row.ratio for row in rows):
        print('There are no valid figures of the same work.', file=sys.stderr)
        return 2
    if args.fail_if_slower is None:
        return 0
    judged, slow = [row for row in rows if row.interval], too_slow(pairs, args.fail_if_slower)
    if not judged:
        print('--fail-if-slower finds no ratio with an interval.', file=sys.stderr)
        return 2
    print('--fail-if-slower %g: %d of %d rows have an interval, in %d it is above %+g %% as a whole'
          % (args.fail_if_slower, len(judged), len(rows), len(slow), args.fail_if_slower),
          file=sys.stderr)
    return 1 if slow else 0


def _readme(path):
    table = readme_table()
    if not path:
        print(table, end='')
        return 0
    try:
        with open(path, encoding='utf-8') as file:
            text = replace_table(file.read(), 'chapter', table)
        files.write(path, text)
    except OSError as error:
        return _nothing('%s: %s' % (path, error.strerror), 3)
    except ValueError as error:
        return _nothing('%s: %s' % (path, error))
    return 0


def _nothing(why, code=2):
    print('Nothing done: %s.' % why, file=sys.stderr)
    return code


def _percent(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError('%r is not a percentage from 0' % text)
    return value

