"""Figures as tables, and blocks of tables and lines as text, as Markdown and as CSV."""
import csv
import io
import itertools
import textwrap
from typing import Any, List, NamedTuple, Optional, Sequence, Tuple

from common import conditions, stats, text
from suite import outcome
from suite.figures import Figure, Interval, Source, Work, differing, rate
from suite.records import PUBLISHED

LABELS = ('network', 'variant', 'pass', 'fetch', 'batch', 'precision', 'processes')      # of Work
DIGITS = 4                           # significant ones of a measured time or rate
WIDTH = 100                          # columns of a terminal
NUMBERS = ('ideal', 'efficiency', 'communication')       # columns of numbers, and those with a unit
UNITS = (', ms', ' / s')
# A row of --csv: a pass of a record, or a published figure.
CSV_STATISTICS = ('n', 'mean_s', 'sd_s', 'median_s', 'min_s', 'max_s', 'p95_s', 'p99_s')
CSV_MEASURED = ('flops_per_s', 'share_of_peak', 'peak_bytes', 'fetched_bytes', 'energy_per_image_j')
CSV_CONDITIONS = tuple(condition.name for condition in conditions.CONDITIONS
                       if condition.means != conditions.NOT_COMPARABLE)
CSV_COLUMNS = (('source', 'record', 'date') + LABELS + ('outcome',) + CSV_STATISTICS
               + ('ci95_low_s', 'ci95_high_s', 'images_per_s') + CSV_MEASURED
               + ('cautions', 'faults') + CSV_CONDITIONS + ('variables', 'differs'))


class Block(NamedTuple):
    """A part of the output: a title, a table (its header first) and lines; each may be empty.
    `labels` is the number of the table's first columns that say what a row is about, where they
    are more than LABELS."""
    title: str
    table: List[List[str]]
    lines: List[str]
    labels: int = 0


def works_table(head: Sequence[str], rows: Sequence[Tuple[Work, List[str]]]) -> List[List[str]]:
    """Returns a table whose first columns are the work; `head` is above the other cells. There is a
    column of processes only if a job has more than one."""
    count = len(LABELS) - all(work.processes == 1 for work, _ in rows)
    return [list(LABELS[:count]) + list(head)] + [
        work_cells(work)[:count] + cells for work, cells in rows]


def figures_block(title: str, head: Sequence[str], rows: Sequence[Tuple[Figure, List[str]]],
                  lines: Sequence[str] = ()) -> Block:
    """Returns a block whose table is about figures: their work, then the conditions in which
    figures of the same work differ, then the cells below `head`."""
    keys = varying([figure for figure, _ in rows])
    table = works_table(keys + list(head), [
        (figure.work, [condition(figure, key) for key in keys] + cells)
        for figure, cells in rows])
    return Block(title, table, list(lines), len(table[0]) - len(head))


def varying(figures: Sequence[Figure]) -> List[str]:
    """Returns the conditions that tell figures of the same work apart, in the order of
    common.conditions: of those that change together only the first."""
    by_work = {}
    for figure in figures:
        if figure.records:
            by_work.setdefault(figure.work, []).append(figure)
    kept, parts = [], 0                                  # type: List[str], int
    for key in sorted({key for several in by_work.values()
                       for one, other in itertools.combinations(several, 2)
                       for key in differing(one, other)}, key=conditions.order):
        count = sum(len({tuple(condition(one, name) for name in kept + [key]) for one in several})
                    for several in by_work.values())
        if count > max(parts, len(by_work)):
            kept, parts = kept + [key], count
    return kept


def work_cells(work: Work) -> List[str]:
    """Returns the cells of a work, as LABELS; '-' for what is not known."""
    return ['-' if part is None else str(part) for part in work]


def named(work: Work) -> str:
    """Returns a work in one line: 'alexnet lrn Forward tensors batch 32 float32'."""
    formats = {'batch': 'batch %s', 'processes': '%d processes'}
    return ' '.join(formats.get(label, '%s') % part for label, part in zip(LABELS, work)
                    if part is not None and (label, part) != ('processes', 1))


def named_figure(figure: Figure, conditions: Sequence[str]) -> str:
    """Returns the work of a figure and these conditions of it in one line."""
    return ', '.join([named(figure.work)] + ['%s %s' % (key, condition(figure, key))
                                             for key in conditions])


def condition(figure: Figure, key: str) -> str:
    """Returns a condition of a figure; '-' for a published one."""
    return conditions.text(key, figure.conditions.get(key)) if figure.records else '-'


def four_digits(number: float) -> str:
    """Returns a measured time or rate with DIGITS significant digits."""
    return text.significant(number, DIGITS)


def seconds(figure: Figure) -> str:
    """Returns the seconds of a step: with four digits, or as they were published."""
    return _time(figure, 1)


def milliseconds(figure: Figure) -> str:
    """Returns the milliseconds of a step: with four digits, or with those that were published;
    '*' if there is a caution about them."""
    return _time(figure, 1000) + ' *' * bool(figure.warnings and not figure.faults)


def _time(figure, unit):
    if figure.faults:
        return figure.word or 'INVALID'
    if figure.records:
        return four_digits(unit * figure.mean_s)
    if figure.mean_s is None:
        return '-'
    return 'about ' * figure.about + (repr(figure.mean_s) if unit == 1 else
                                      '%g' % (unit * figure.mean_s))


def images_per_s(figure: Figure) -> str:
    """Returns the images / s of a valid measurement, or those that were published."""
    if figure.records and not figure.faults:
        return four_digits(rate(figure))
    return str(figure.images_per_s or '-')


def speed(figure: Figure) -> str:
    """Returns a figure in the unit in which it was published, and the seconds derived from it."""
    if figure.images_per_s is None:
        return seconds(figure) + ' s / batch'
    line = '%s images / s' % figure.images_per_s
    if figure.work.batch_size:
        line += ' (derived: %s s / batch)' % four_digits(
            figure.work.batch_size / figure.images_per_s)
    return line


def times(row: Any) -> str:
    """Returns how fast the other figure of a pairs.Row is: '1.8 times as fast (1.6 to 2.1)', or
    '1.8 times slower', with as many digits as its interval allows, or as were published; '-' where
    a figure is not valid."""
    if row.ratio is None:
        return '-'
    is_faster = row.ratio <= 1
    words = 'times as fast' if is_faster else 'times slower'
    value, *bounds = [1 / ratio if is_faster else ratio
                      for ratio in (row.ratio,) + (row.interval or ())]
    if bounds:
        half = (max(bounds) - min(bounds)) / 2
        decimals = next((d for d in (0, 1, 2) if half >= 10 ** -d or value >= 10 ** (3 - d)), 3)
        if value < 10:                                   # not '1 times slower (0 to 3)'
            decimals = max(decimals, 1, text.first_decimal(min(bounds)))
        return '%.*f %s (%.*f to %.*f)' % (decimals, value, words, decimals, min(bounds), decimals,
                                           max(bounds))
    digits = min([3] + [len(('%g' % figure.mean_s).replace('.', '').strip('0'))
                        for figure in (row.base, row.other) if not figure.records])
    return '%s%s %s' % ('about ' * (row.base.about or row.other.about),
                        text.significant(value, max(2, digits)), words)


def percent(share: float) -> str:
    """Returns a share of 1 in percent."""
    return '%.1f %%' % (100 * share)


def interval(bounds: Optional[Interval], number=four_digits) -> str:
    """Returns an interval, each bound by `number`; '-' for None."""
    return ' to '.join(map(number, bounds)) if bounds else '-'


def described(source: Source) -> str:
    """Returns on what it ran, or who published it, in one line."""
    facts = source.facts
    if 'device' in facts:
        driver = ', driver ' + facts['driver'] if 'driver' in facts else ''
        return '%s%s, TensorFlow %s (%s)' % (facts['device'], driver, facts['tensorflow'],
                                             facts['runtime'])
    return '; '.join(facts[key] for key in PUBLISHED if key in facts) or 'nothing that can be used'


def folded(table: List[List[str]], keep: Sequence[str] = ()) -> Tuple[str, List[List[str]]]:
    """Returns what all rows of a table have in common of the work, and the table without it; the
    columns in `keep` stay."""
    columns = list(zip(*table))
    common = [column for column in columns if column[0] in LABELS and column[0] not in keep
              and len(set(column[1:])) == 1]
    return (', '.join('%s %s' % column[:2] for column in common
                      if column[:2] != ('processes', '1')),
            list(map(list, zip(*[column for column in columns if column not in common]))))


def width(block: Block) -> int:
    """Returns the columns that the table of a block takes in a terminal."""
    return max((len(line) for line in _lines(block)), default=0)


def format_text(blocks: Sequence[Block]) -> str:
    """Returns the blocks for a terminal of WIDTH columns; what all rows of a table have in common
    is above it. A table that is too wide has the rows of one work below a line that names it."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += _wrapped(block.title) + _lines(block)
        for line in block.lines:
            lines += _wrapped(line, '  ')
        lines += ['']
    return '\n'.join(lines).rstrip() + '\n'


def _wrapped(line, indent=''):
    return textwrap.wrap(line, WIDTH, initial_indent=indent, subsequent_indent=indent + '  ' * bool(
        indent), break_on_hyphens=False, break_long_words=False) or ['']


def _lines(block):
    """The lines of the table of a block, for a terminal."""
    if not block.table:
        return []
    common, table = folded(block.table)
    lines = ['  ' + line for line in _aligned(table)]
    if max(len(line) for line in lines) > WIDTH:
        common, table = folded(block.table, ['pass'])
        labels = block.labels or len([name for name in block.table[0] if name in LABELS])
        lines = _grouped(table, labels - len(block.table[0]) + len(table[0]))
    return (_wrapped('all: ' + common, '  ') if common else []) + lines


def _aligned(rows):
    return text.table(rows, left=[name for name in rows[0]
                                  if name not in NUMBERS and not name.endswith(UNITS)])


def _grouped(table, labels):
    """The rows of a table below a line for each work, which has all of its labels but the pass."""
    head = table[0]
    rest = [i for i, name in enumerate(head) if i >= labels or name == 'pass']
    header, *rows = _aligned([[row[i] for i in rest] for row in table])
    groups = {}
    for row, line in zip(table[1:], rows):
        name = _row_name([(head[i], row[i]) for i in range(labels) if i not in rest])
        groups.setdefault(name, []).append('    ' + line)
    lines = ['    ' + header]
    for name, of_group in groups.items():
        lines += _wrapped(name, '  ') + of_group
    return lines


def _row_name(cells):
    """The cells of a row that say what it is about, by their heading, in one line."""
    return ', '.join('%s %s' % (head, cell) if head in ('fetch', 'batch', 'processes')
                     or head not in LABELS else cell for head, cell in cells if cell != '-')


def row_names(figures: Sequence[Figure]) -> Tuple[str, List[str]]:
    """Returns what the work of all figures has in common, and a name for each, which has the rest
    and the conditions that tell them apart: 'lrn, Forward, tensorflow 2.21.0'."""
    common, (head, *rows) = folded(
        figures_block('', [], [(figure, []) for figure in figures]).table, ['pass'])
    return common, [_row_name(zip(head, row)) for row in rows]


def format_markdown(blocks: Sequence[Block]) -> str:
    """Returns the blocks as Markdown, with all columns in every table."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += ['**%s**' % block.title, '']
        if block.table:
            lines += text.markdown(block.table) + ['']
        if block.lines:
            lines += ['* ' + line.replace('<', '&lt;') for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'


def format_csv(sources: Sequence[Source]) -> str:
    """Returns a row for each pass of each record and for each published figure, with all numbers
    and conditions, as CSV; durations in seconds."""
    file = io.StringIO()
    writer = csv.DictWriter(file, CSV_COLUMNS, restval='', lineterminator='\n')
    writer.writeheader()
    for source in sources:
        for record in source.records:
            for entry, figure in zip(record.data['results'], record.figures):
                writer.writerow(_as_text(_csv_row(source, record, entry, figure)))
        for figure in source.figures:
            if not figure.records:
                writer.writerow(_as_text(dict(
                    _csv_work(source, figure), outcome='published', mean_s=figure.mean_s,
                    sd_s=figure.sd_s, images_per_s=figure.images_per_s,
                    device=figure.published['hardware'], date=figure.published['year'],
                    differs='; '.join(figure.differs))))
    return file.getvalue()


def _as_text(row):
    """The row with an apostrophe before texts that a spreadsheet would take for a formula."""
    return {key: "'" + value if isinstance(value, str) and value.startswith(('=', '+', '-', '@'))
            else value for key, value in row.items()}


def _csv_work(source, figure):
    return dict(zip(LABELS, figure.work), source=source.name)


def _csv_row(source, record, entry, figure):
    data = record.data
    environment = data['environment']
    row = dict(_csv_work(source, figure), record=record.name, date=environment['date'],
               outcome=outcome.of_pass(data, entry), cautions='; '.join(figure.warnings),
               faults='; '.join(figure.faults))
    if entry['samples_s']:
        summary = stats.summarise(entry['samples_s'])
        row.update((key, getattr(summary, key)) for key in CSV_STATISTICS)
        row['ci95_low_s'], row['ci95_high_s'] = summary.ci95_s or ('', '')
        row['images_per_s'] = rate(figure)
    row.update((key, entry.get(key)) for key in CSV_MEASURED)
    row.update((key, condition(figure, key)) for key in CSV_CONDITIONS if key in figure.conditions)
    row['variables'] = ' '.join('%s=%s' % one for one in environment['variables'].items())
    return row
