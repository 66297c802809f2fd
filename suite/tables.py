"""Figures as tables, and blocks of tables and lines as text and as Markdown."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

from common import text
from suite.figures import PUBLISHED, Figure, Interval, Source, Work, fact_order, rate

LABELS = ('network', 'variant', 'pass', 'fetch', 'batch', 'precision', 'processes')      # of Work
DIGITS = 4                           # significant ones of a measured time or rate


class Block(NamedTuple):
    """A part of the output: a title, a table (its header first) and lines; each may be empty."""
    title: str
    table: List[List[str]]
    lines: List[str]


class Notes:
    """The numbered notes below the tables: why a figure is not valid, or should not be quoted."""

    def __init__(self) -> None:
        self._texts = []                                 # type: List[str]

    def marks(self, source: Source, figure: Figure) -> str:
        """Adds what there is to say about a figure, and returns the marks of it: ' [1] [2]'."""
        marks = ''
        texts = ['INVALID: ' + fault for fault in figure.faults] + list(figure.warnings)
        for note in dict.fromkeys(texts):                # repeats may all have the same
            note = '%s, %s: %s' % (source.name, named(figure.work), note)
            if note not in self._texts:
                self._texts.append(note)
            marks += ' [%d]' % (self._texts.index(note) + 1)
        return marks

    def lines(self) -> List[str]:
        """Returns the notes, each behind its number."""
        return ['[%d] %s' % numbered for numbered in enumerate(self._texts, 1)]


def works_table(head: Sequence[str], rows: Sequence[Tuple[Work, List[str]]]) -> List[List[str]]:
    """Returns a table whose first columns are the work; `head` is above the other cells. There is a
    column of processes only if a job has more than one."""
    count = len(LABELS) - all(work.processes == 1 for work, _ in rows)
    return [list(LABELS[:count]) + list(head)] + [
        work_cells(work)[:count] + cells for work, cells in rows]


def work_cells(work: Work) -> List[str]:
    """Returns the cells of a work, as LABELS; '-' for what is not known."""
    return ['-' if part is None else str(part) for part in work]


def named(work: Work) -> str:
    """Returns a work in one line: 'alexnet lrn Forward tensors batch 32 float32'."""
    formats = {'batch': 'batch %s', 'processes': '%d processes'}
    return ' '.join(formats.get(label, '%s') % part for label, part in zip(LABELS, work)
                    if part is not None and (label, part) != ('processes', 1))


def four_digits(number: float) -> str:
    """Returns a measured time or rate with DIGITS significant digits."""
    return text.significant(number, DIGITS)


def three_decimals(ratio: float) -> str:
    """Returns a ratio of two times."""
    return '%.3f' % ratio


def seconds(figure: Figure) -> str:
    """Returns the seconds of a step: with four digits, or as they were published."""
    if figure.faults:
        return 'INVALID'
    if figure.records:
        return four_digits(figure.mean_s)
    return 'about ' * figure.about + ('-' if figure.mean_s is None else repr(figure.mean_s))


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
        return '%s, driver %s, TensorFlow %s (%s)' % tuple(
            facts[key] for key in ('device', 'driver', 'tensorflow', 'runtime'))
    return '; '.join(facts[key] for key in PUBLISHED if key in facts) or 'nothing that can be used'


def differences(sources: Sequence[Source]) -> List[str]:
    """Returns a line for each fact in which the runs among `sources` differ."""
    runs = [source for source in sources if 'device' in source.facts]
    keys = sorted({key for source in runs for key in source.facts}, key=fact_order)
    values = {key: [source.facts.get(key, '(not set)') for source in runs] for key in keys}
    return ['differs: %s: %s' % (key, ' | '.join(of_runs)) for key, of_runs in values.items()
            if len(set(of_runs)) > 1]


def folded(table: List[List[str]]) -> Tuple[str, List[List[str]]]:
    """Returns what all rows of a table have in common of the work, and the table without it."""
    columns = list(zip(*table))
    common = [column for column in columns if column[0] in LABELS and len(set(column[1:])) == 1]
    return (', '.join('%s %s' % column[:2] for column in common
                      if column[:2] != ('processes', '1')),
            list(map(list, zip(*[column for column in columns if column not in common]))))


def format_text(blocks: Sequence[Block]) -> str:
    """Returns the blocks for a terminal; what all rows have in common is above the table."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += [block.title]
        if block.table:
            common, table = folded(block.table)
            lines += ['  all: ' + common] * bool(common)
            lines += ['  ' + line for line in text.table(table, left=table[0])]
        lines += ['  ' + line for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'


def format_markdown(blocks: Sequence[Block]) -> str:
    """Returns the blocks as Markdown, with all columns in every table."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += ['**%s**' % block.title, '']
        if block.table:
            lines += text.markdown(block.table) + ['']
        if block.lines:
            lines += ['* ' + line for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'
