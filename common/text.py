"""Numbers, tables and reasons as text: for the screen, as Markdown and as CSV. This module does not
import TensorFlow."""
import csv
import io
import math
import re
import textwrap
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

WIDTH = 100                          # columns of a terminal
MIN_NAME = 16                        # of them for the first column of a table, which is wrapped
NUMBER = re.compile(r'(about )?\d+(\.\d+)?( to \d+(\.\d+)?)?( %)?( \*)?')


class TextBlock(NamedTuple):
    """A part of what is shown: a title, what all rows of the table have in common, the table (its
    header first; the first column says what a row is about) and lines; each may be empty."""
    title: str
    table: List[List[str]]
    lines: List[str]
    common: str = ''


# Numbers

def significant(number: float, digits: int = 3) -> str:
    """Returns a number with `digits` significant digits and no exponent: 0.00412, 41.2, 4120."""
    if not number or not math.isfinite(number):
        return '%g' % number
    exponent = int(('%.*e' % (digits - 1, abs(number))).split('e')[1])
    return '%.*f' % (max(0, digits - 1 - exponent), number)


def first_decimal(number: float) -> int:
    """Returns after how many decimals a number above 0 has its first significant digit: 0.04 gives
    2; 0 for numbers from 1 on."""
    return max(0, -int(('%.0e' % number).split('e')[1]))


def with_error(number: float, error: Optional[float]) -> str:
    """Returns a number and its error, both rounded to the first significant digit of the error:
    3.2134 and 0.021 give '3.21 +/- 0.02'. Without an error: four significant digits."""
    if not error:
        return significant(number, 4)
    decimals = first_decimal(error)
    return '%.*f +/- %.*f' % (decimals, number, decimals, error)


def change(ratio: float, bounds: Sequence[float] = ()) -> str:
    """Returns a ratio of times, and the bounds of its interval if there are any, as a change in
    percent: '+17 % (-4 to +41 %)'."""
    percents = [100 * (value - 1) for value in (ratio, *bounds)]
    half = (max(percents[1:]) - min(percents[1:])) / 2 if bounds else abs(percents[0])
    decimals = 0 if half >= 10 else max(1, first_decimal(half)) if half else 1
    texts = ['%+.*f' % (decimals, round(value, decimals) + 0.0) for value in percents]
    return ('%s %% (%s to %s %%)' if bounds else '%s %%') % tuple(texts)


def percent(share: float) -> str:
    """Returns a share of 1 in percent."""
    return '%.1f %%' % (100 * share)


def size(number: float) -> str:
    """Returns a number of bytes as '1.2 GB', '18.7 MB' or '73.7 kB'."""
    return significant(number / 1e9, 2) + ' GB' if number >= 1e9 else (
        significant(number / 1e6) + ' MB') if number >= 1e6 else significant(number / 1e3) + ' kB'


def thousands(number: float) -> str:
    """Returns a number with at least three significant digits: 9 969, 33.6."""
    return format(round(number), ',').replace(',', ' ') if number >= 1000 else significant(number)


# Tables

def table(rows: Sequence[Sequence[str]], left: Sequence[str] = (), width: int = 0) -> List[str]:
    """Returns the lines of a table for the screen.

    Args:
        rows: the cells, the header first.
        left: headings of the columns that are aligned at the left, besides the first column.
        width: the first column is wrapped so that the table has at most so many columns, if that
            leaves it MIN_NAME; 0: it is not wrapped.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    if width:
        widths[0] = min(widths[0], max(MIN_NAME, width - sum(widths[1:]) - 2 * len(widths[1:])))
    at_left = [i == 0 or heading in left for i, heading in enumerate(rows[0])]
    lines = []
    for first, *rest in rows:
        *above, last = _wrapped(first, widths[0]) if width else [first]
        lines += above + ['  '.join(
            cell.ljust(space) if is_left else cell.rjust(space)
            for cell, space, is_left in zip([last] + rest, widths, at_left)).rstrip()]
    return lines


def is_number(cells: Iterable[str]) -> bool:
    """True if the cells of a column are numbers, among which INVALID or '-' may be."""
    with_digits = [cell for cell in cells if re.search(r'\d', cell)]
    return bool(with_digits) and all(map(NUMBER.fullmatch, with_digits))


def markdown(rows: Sequence[Sequence[str]]) -> List[str]:
    """Returns the lines of a table in Markdown; `rows` are the cells, the header first."""
    escaped = [[cell.replace('|', '\\|').replace('<', '&lt;') for cell in row] for row in rows]
    escaped.insert(1, ['---'] * len(escaped[0]))
    return ['| %s |' % ' | '.join(row) for row in escaped]


def as_csv(columns: Sequence[str], rows: Iterable[Dict[str, Any]]) -> str:
    """Returns rows, each by column, as CSV with a header. An apostrophe stands before a text that a
    spreadsheet would take for a formula."""
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, restval='', lineterminator='\n')
    writer.writeheader()
    for row in rows:
        writer.writerow({
            key: "'" + value if isinstance(value, str) and value.startswith(('=', '+', '-', '@'))
            else value for key, value in row.items()})
    return file.getvalue()


# Blocks

def grouped(notes: Iterable[Tuple[str, str]]) -> List[Tuple[str, str]]:
    """Returns (name, note) pairs with one for all notes that are the same but for their numbers:
    ('3 passes, such as Forward', 'two modes, ...')."""
    groups = {}                                          # type: Dict[str, Tuple[str, Dict]]
    for name, note in notes:
        groups.setdefault(re.sub(r'[\d.]+', '#', note), (note, {}))[1][name] = True
    return [(('%d passes, such as ' % len(names) if len(names) > 1 else '') + next(iter(names)),
             note) for note, names in groups.values()]


def as_text(blocks: Iterable[TextBlock]) -> str:
    """Returns the blocks for a terminal of WIDTH columns."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += _wrapped(block.title, WIDTH)
        lines += ['  ' + line for line in _wrapped(block.common, WIDTH - 2)] * bool(block.common)
        if block.table:
            left = [head for head, *cells in zip(*block.table) if not is_number(cells)]
            lines += ['  ' + line for line in table(block.table, left, WIDTH - 2)]
        for line in block.lines:
            lines += ['  ' + part for part in _wrapped(line, WIDTH - 2, '  ')]
        lines += ['']
    return '\n'.join(lines).rstrip() + '\n'


def as_markdown(blocks: Iterable[TextBlock]) -> str:
    """Returns the blocks as Markdown."""
    lines = []                                           # type: List[str]
    for block in blocks:
        lines += ['**%s**%s' % (block.title, ' ' * bool(block.common) + block.common), '']
        if block.table:
            lines += markdown(block.table) + ['']
        if block.lines:
            lines += ['* ' + re.sub('^[*]', r'\\*', line.replace('<', '&lt;'))
                      for line in block.lines] + ['']
    return '\n'.join(lines).rstrip() + '\n'


def _wrapped(line, width, indent=''):
    return textwrap.wrap(line, width, subsequent_indent=indent, break_on_hyphens=False,
                         break_long_words=False) or ['']


# Errors

def reason(message: str) -> str:
    """Returns the line of an error's message that says why. TensorFlow 1.15 may begin with a count
    of errors, TensorFlow 2 with the place in the program, which ends with "Node: '...'"."""
    lines = [line.strip() for line in message.split('\n')]
    nodes = [number for number, line in enumerate(lines) if line.startswith('Node: ')]
    after = lines[nodes[0] + 1:] if nodes else lines
    return next((line for line in after if line and line != 'Graph execution error:'
                 and not line.endswith('root error(s) found.')), 'no reason given')
