"""Numbers, tables and reasons as text, for the screen and for Markdown. This module does not import
TensorFlow."""
import math
from typing import List, Optional, Sequence


def significant(number: float, digits: int = 3) -> str:
    """Returns a number with `digits` significant digits and no exponent: 0.00412, 41.2, 4120."""
    if not number or not math.isfinite(number):
        return '%g' % number
    exponent = int(('%.*e' % (digits - 1, abs(number))).split('e')[1])
    return '%.*f' % (max(0, digits - 1 - exponent), number)


def table(rows: Sequence[Sequence[str]], left: Sequence[str] = ()) -> List[str]:
    """Returns the lines of a table for the screen.

    Args:
        rows: the cells, the header first.
        left: headings of the columns that are aligned at the left, besides the first column.
    """
    widths = [max(map(len, column)) for column in zip(*rows)]
    at_left = [i == 0 or heading in left for i, heading in enumerate(rows[0])]
    return ['  '.join(cell.ljust(width) if is_left else cell.rjust(width)
                      for cell, width, is_left in zip(row, widths, at_left)).rstrip()
            for row in rows]


def markdown(rows: Sequence[Sequence[str]]) -> List[str]:
    """Returns the lines of a table in Markdown; `rows` are the cells, the header first."""
    escaped = [[cell.replace('|', '\\|').replace('<', '&lt;') for cell in row] for row in rows]
    escaped.insert(1, ['---'] * len(escaped[0]))
    return ['| %s |' % ' | '.join(row) for row in escaped]


def reason(message: str) -> str:
    """Returns the line of an error's message that says why. TensorFlow 1.15 may begin with a count
    of errors, TensorFlow 2 with the place in the program, which ends with "Node: '...'"."""
    lines = [line.strip() for line in message.split('\n')]
    nodes = [number for number, line in enumerate(lines) if line.startswith('Node: ')]
    after = lines[nodes[0] + 1:] if nodes else lines
    return next((line for line in after if line and line != 'Graph execution error:'
                 and not line.endswith('root error(s) found.')), 'no reason given')


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


def size(number: float) -> str:
    """Returns a number of bytes as '1.2 GB' or '18.7 MB'."""
    return significant(number / 1e9, 2) + ' GB' if number >= 1e9 else (
        significant(number / 1e6) + ' MB')


def thousands(number: float) -> str:
    """Returns a number with at least three significant digits: 9 969, 33.6."""
    return format(round(number), ',').replace(',', ' ') if number >= 1000 else significant(number)
