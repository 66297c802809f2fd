"""The geometry of the charts: which texts, dots and lines each of them has, and where.

chart.svg.jinja writes a Drawing as SVG, and charts.css gives it the colours of the reader's theme.
Places are in CSS pixels from the top left corner, rounded, so that the same figures give the same
bytes on every machine. The width of a text is that of a wide font, so that no text covers another.
"""
import functools
import math
import os
from typing import Any, Callable, List, NamedTuple, Sequence, Tuple

import jinja2
import markupsafe

from suite import records

WIDTH = 360                          # of a chart of the page, which fits on a phone unscaled
LETTER, LINE = 13, 18                # height of the letters, and of a line of text
BAND = 20                            # height of the bar or the interval below a label
AXIS = 24                            # height of the labels of a horizontal axis
MARGIN = 6                           # between the edge and what is drawn
MAX_DOTS = 12                        # a line of more points has a dot at the largest alone
MOST_RATIO = 1e3                     # of an axis of ratios, and its inverse
# Widths of letters of DejaVu Sans, a wide font, over their height; others are at most 0.64.
LETTER_WIDTHS = {letter: width for letters, width in (
    ("ijlI.,:;'|! ", 0.33), ('frt()[]-/"', 0.42), ('ABCDEFGHJKLNOPQRSTUVXYZ_<>=+&~', 0.79),
    ('mwMW%@\u2026', 1.0)) for letter in letters}
ROUND = [factor * 10.0 ** power for power in range(-110, 110) for factor in (1, 2, 5)]
RATIOS = [1 + sign * percent / 100 for percent in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
          for sign in (-1, 1)] + [value for value in ROUND if not 0.3 < value < 0.8]

Place = Tuple[float, float]
Box = Tuple[float, float, float, float]                  # left, top, right, bottom
Point = Tuple[float, float, Sequence[float]]             # x, y, its interval or ()


class Mark(NamedTuple):
    """A row of a chart: `text` is the value in words, `colour` a class of charts.css. A row whose
    value is None has no mark; one without an interval has only its value."""
    label: str
    value: Any
    interval: Sequence[float]
    text: str
    colour: str


class Line(NamedTuple):
    """A line of a chart. style: '', 'dashed' (neither dots nor in the legend), 'hollow' (dots
    alone)."""
    name: str
    points: List[Point]
    colour: str
    style: str = ''


class Drawing:
    """What the template draws: paths, dots above them, texts on top. Each element has its classes
    of charts.css, and may have a title, which a pointer shows."""

    def __init__(self, caption: str, height: float, width: float = WIDTH) -> None:
        self.caption, self.width, self.height = caption, width, height
        self.paths = []                                  # type: List[Tuple[str, str, str]]
        self.dots = []             # type: List[Tuple[float, float, float, str, str]]
        self.texts = []            # type: List[Tuple[float, float, str, str, str]]

    def path(self, classes: str, *lines: Sequence[Place], title: str = '') -> None:
        """Adds a path of one or more lines, each a list of places."""
        self.paths.append((''.join('M' + ' '.join('%g %g' % (round(x, 1), round(y, 1))
                                                  for x, y in line) for line in lines),
                           classes, title))

    def dot(self, x: float, y: float, classes: str, title: str = '', radius: float = 3.5) -> None:
        """Adds a dot."""
        self.dots.append((round(x, 1), round(y, 1), radius, classes, title))

    def text(self, x: float, y: float, text: str, anchor: str = 'start', classes: str = '') -> None:
        """Adds a line of text whose middle is at the height y; anchor: which part of it is at x,
        start, middle or end. It is cut where it would be wider than the chart."""
        text = clipped(records.one_line(text), self.width)
        if text:
            self.texts.append((round(x, 1), round(y + 0.36 * LETTER, 1), anchor, classes, text))

    def is_free(self, box: Box) -> bool:
        """Whether a box is inside the drawing and covers no text and no dot."""
        taken = [text_box(*text) for text in self.texts] + [
            (x - r, y - r, x + r, y + r) for x, y, r, _, _ in self.dots]
        return (box[0] >= 0 and box[1] >= 0 and box[2] <= self.width and box[3] <= self.height
                and not any(overlap(box, other) for other in taken))

    def axis(self, y: float, labels: Sequence[Tuple[float, str]]) -> List[float]:
        """Writes the labels of a horizontal axis at their x, those that are free; the first ones
        have precedence. Returns the x of those."""
        written = []
        for middle, label in labels:
            half = text_width(label) / 2
            x = _inside(middle, half, self.width - half)
            if self.is_free((max(0, x - half - 4), y - 6, min(self.width, x + half + 4), y + 6)):
                self.text(x, y, label, 'middle', 'muted')
                written.append(middle)
        return written


# Texts

def text_width(text: str) -> float:
    """Returns an upper bound for the width of a text."""
    return LETTER * sum(LETTER_WIDTHS.get(letter, 0.64 if letter < '\u0250' else 1.0)
                        for letter in text)


def text_box(x: float, y: float, anchor: str, classes: str, text: str) -> Box:
    """Returns what a text of a Drawing covers at most."""
    width = text_width(text)
    left = x - width * {'start': 0, 'middle': 0.5, 'end': 1}[anchor]
    return left, y - 0.8 * LETTER, left + width, y + 0.25 * LETTER


def overlap(one: Box, other: Box) -> bool:
    """Returns whether two boxes have an area in common."""
    return (one[0] < other[2] and other[0] < one[2]) and (one[1] < other[3] and other[1] < one[3])


def clipped(text: str, width: float) -> str:
    """Returns a text, cut where it is wider."""
    if text_width(text) <= width:
        return text
    while text and text_width(text + '\u2026') > width:
        text = text[:-1]
    return text + '\u2026'


def wrapped(text: str, width: float) -> List[str]:
    """Returns the lines of a text, which are broken between words, or in a word that is wider."""
    lines = ['']
    for word in text.split():
        if lines[-1] and text_width(lines[-1] + ' ' + word) <= width:
            lines[-1] += ' ' + word
            continue
        lines.append('')
        for letter in word:
            if text_width(lines[-1] + letter) > width:
                lines.append('')
            lines[-1] += letter
    return lines[1:] or lines


# Scales

def scale(values: Sequence[float], places: Sequence[float], is_log: bool = False
          ) -> Callable[[float], float]:
    """Returns the function that gives a value its place, in pixels.

    Args:
        values: the two ends of the axis.
        places: where they are.
        is_log: whether equal ratios are equally far apart.
    """
    function = math.log if is_log else float
    low, high = map(function, values)
    return lambda value: places[0] + (places[1] - places[0]) * (function(value) - low) / (
        high - low)


def ticks(low: float, high: float, most: int) -> List[float]:
    """Returns the multiples of a round value from low to high, as many as `most` or one more."""
    step = next(value for value in ROUND if (high - low) / value <= most)
    return [number * step for number in range(math.ceil(low / step - 1e-9),
                                              math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> List[float]:
    """Returns the round values from low to high."""
    return [value for value in ROUND if low <= value <= high]


# The charts of the page

def times(caption: str, rows: Sequence[Mark]) -> Drawing:
    """Returns bars of times from 0."""
    right = max([value for row in rows if row.value is not None
                 for value in (row.value, *row.interval)], default=0) or 1
    return _bars(caption, rows, scale((0, right), (MARGIN, WIDTH - MARGIN)), 0,
                 [(value, '%g' % value) for value in ticks(0, right, 5)])


def ratios(caption: str, rows: Sequence[Mark], ends: Sequence[float], limit: Any, is_rate: bool
           ) -> Drawing:
    """Returns bars of ratios of times from 1.

    Args:
        caption: what is compared.
        rows: the ratios, above 1 if it takes longer.
        ends: of the ratios; the axis has all between them, and is logarithmic, so that twice the
            time is as far from 1 as half of it. What is beyond MOST_RATIO is drawn at the edge.
        limit: that of a gate, which is dashed, or None.
        is_rate: whether the axis says how many times as fast, instead of the change of the time.
    """
    low, high = max(ends[0], 1 / MOST_RATIO), min(ends[1], MOST_RATIO)
    spread = max(1.001, (high / low) ** 0.04)
    low, high = low / spread, high * spread
    place = scale((high, low) if is_rate else (low, high), (MARGIN, WIDTH - MARGIN), is_log=True)
    steps = sorted([step for step in RATIOS if low <= (1 / step if is_rate else step) <= high],
                   key=lambda step: (step != 1, -abs(math.log(step))))
    labels = [(1 / step, '%g' % step) if is_rate else
              (step, '%+g %%' % round(100 * step - 100, 6) if step != 1 else '0') for step in steps]
    return _bars(caption, rows, lambda value: place(_inside(value, low, high)), 1, labels, limit,
                 ('', 'times as fast') if is_rate else ('faster', 'slower'))


def _inside(value, low, high):
    return min(max(value, low), high)


def _bars(caption, rows, place, origin, labels, limit=None, directions=()):
    """Bars from `origin`, each below its label, with a dot at its end, which is hollow without an
    interval. The first labels of the axis have precedence; `directions` stand below its ends."""
    drawing, middles, y = Drawing(caption, 0), [], 0
    for row in rows:
        lines = wrapped(records.one_line(row.label), WIDTH)
        if text_width(lines[-1]) + text_width(row.text) + LETTER > WIDTH:
            lines.append('')
        for line in lines:
            drawing.text(0, y + LINE / 2, line)
            y += LINE
        drawing.text(WIDTH, y - LINE / 2, row.text, 'end',
                     row.colour if row.colour in ('bad', 'warn', 'good') else '')
        middles.append(y + BAND / 2)
        y += BAND + 4
    drawing.height = y + AXIS + LINE * bool(directions)
    grid = drawing.axis(y + AXIS / 2, [(place(value), label) for value, label in labels])
    for name, x, anchor in zip(directions, (0, WIDTH), ('start', 'end')):
        drawing.text(x, y + AXIS + LINE / 2, name, anchor, 'muted')
    for row, y in zip(rows, middles):
        lines = [('grid', x) for x in grid] + [('muted', place(origin))]
        lines += [('muted dashed', place(limit))] if limit else []
        for classes, x in lines:
            drawing.path(classes, [(x, y - 9), (x, y + 9)])
        if row.value is not None:
            drawing.path('bar ' + row.colour, [(place(origin), y - 4), (place(row.value), y - 4)])
            drawing.dot(place(row.value), y - 4, row.colour + ' hollow' * (not row.interval),
                        '%s: %s' % (row.label, row.text))
        if row.interval:                                 # below the bar, to be seen beside it
            low, high = map(place, row.interval)
            drawing.path('interval', [(low, y + 5), (high, y + 5)],
                         *[[(end, y + 2), (end, y + 8)] for end in (low, high)])
    return drawing


def samples(caption: str, ms: Sequence[float], burn_in_ms: Sequence[float], colour: str) -> Drawing:
    """Returns the time of each step in order, with a line at the median. The burn-in is hollow,
    before step 0, and drawn at the edge where it is outside the scale, which shows at least 10 % of
    the median."""
    middle = sorted(ms)[len(ms) // 2]
    low, high = min([*ms, 0.95 * middle]), max([*ms, 1.05 * middle])
    lines = [Line('step', [(step, value, ()) for step, value in enumerate(ms)], colour),
             Line('median', [(step, middle, ()) for step in (
                 -len(burn_in_ms), max(1, len(ms) - 1))], 'muted', 'dashed')]
    if burn_in_ms:
        lines.append(Line('burn-in', [(step, value, ()) for step, value in enumerate(
            burn_in_ms, -len(burn_in_ms))], 'muted', 'hollow'))
    return curves(caption, lines, 'ms', ends=(
        low - 0.08 * (high - low), high + 0.08 * (high - low) or 1))


def curves(caption: str, lines: Sequence[Line], unit: str, is_doubling: bool = False,
           is_log: bool = False, ends: Sequence[float] = ()) -> Drawing:
    """Returns lines with intervals.

    Args:
        caption: what is drawn.
        lines: one or more.
        unit: of y, in the titles of the dots.
        is_doubling: whether x is logarithmic, as y is if `is_log`; other axes begin at 0.
        ends: of the y axis; what is beyond is drawn at the edge. Without them it has all points.
    """
    points = [point for line in lines for point in line.points]
    xs, ys = sorted({x for x, _, _ in points}), [y for _, *bounds in points
                                                 for y in (bounds[0], *bounds[1])]
    drawing = Drawing(caption, 200)
    top = LINE + legend(drawing, [(_shape(line), line.name) for line in lines
                                  if line.style != 'dashed'], 0, LINE / 2)
    is_log, is_doubling = is_log and min(ys) > 0, is_doubling and len(xs) > 1
    low, high = ends or (
        (min(ys) / 1.1, max(ys) * 1.1) if is_log else (0, max(ys) * 1.05 or 1))
    values = log_ticks(low, high) if is_log else ticks(low, high, 5)
    left = max([text_width('%g' % round(value, 6)) for value in values] or [0]) + 4
    bottom = drawing.height - AXIS
    place_y = scale((low, high), (bottom, top), is_log)
    levels(drawing, place_y, values, left, WIDTH)
    place_x = scale((xs[0] if is_doubling else min(0, xs[0]), xs[-1]), (left + MARGIN, WIDTH - 10),
                    is_doubling)
    labels = [x for x in reversed(xs) if x >= 0] if len(xs) <= MAX_DOTS else ticks(0, xs[-1], 5)
    drawing.axis(bottom + AXIS / 2, [(place_x(x), '%g' % x) for x in labels])
    for line in lines:
        places = [(place_x(x), place_y(_inside(y, low, high))) for x, y, _ in line.points]
        largest = max(line.points, key=lambda point: point[1])
        if line.style != 'hollow':
            drawing.path(' '.join(filter(None, [line.colour, line.style])), places)
        for (x, y), point in zip(places, line.points):
            number, value, interval = point
            if interval:
                drawing.path('thick ' + line.colour, [(x, place_y(end)) for end in interval])
            if line.style != 'dashed' and (len(places) <= MAX_DOTS or point == largest
                                           or line.style == 'hollow'):
                drawing.dot(x, y, _shape(line),
                            '%s, %g: %.4g %s' % (line.name, number, value, unit), 3)
    return drawing


def _shape(line):
    return line.colour + ' square' * (line.colour == 'backward') + ' hollow' * (
        line.style == 'hollow')


def levels(drawing: Drawing, place: Callable[[float], float], values: Sequence[float], left: float,
           right: float) -> None:
    """Draws a horizontal line from left to right at each value, lowest first, with the value left
    of it; values whose labels would cover each other are left out."""
    last = math.inf
    for value in values:
        if last - place(value) >= LINE:
            last = place(value)
            drawing.text(left - 4, last, '%g' % round(value, 6), 'end', 'muted')
            drawing.path('grid', [(left, last), (right, last)])


def legend(drawing: Drawing, entries: Sequence[Tuple[str, str]], x: float, y: float) -> float:
    """Writes names, each behind a dot of its classes, or a line if they are 'best'; returns the
    height of the last line of text."""
    first = x
    for classes, name in entries:
        mark = 24 if classes == 'best' else 8
        if x > first and x + mark + 6 + text_width(name) > drawing.width:
            x, y = first, y + LINE
        if classes == 'best':
            drawing.path('best', [(x, y), (x + mark, y)])
        else:
            drawing.dot(x + mark / 2, y, classes)
        name = clipped(name, drawing.width - first - mark - 8)
        drawing.text(x + mark + 6, y, name)
        x += mark + 22 + text_width(name)
    return y


# As SVG

@functools.lru_cache(maxsize=None)
def environment() -> jinja2.Environment:
    """Returns the environment of the templates: everything they print is escaped, and one line."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(__file__))), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        finalize=lambda value: value if isinstance(value, markupsafe.Markup)
        else records.one_line(value))
    made.filters['svg'] = svg
    return made


def svg(drawing: Drawing, is_file: bool = False) -> markupsafe.Markup:
    """Returns a drawing as an SVG element for the page, or as the content of a file of its own,
    with a background, its size and the colours."""
    return markupsafe.Markup(environment().get_template('chart.svg.jinja').render(
        drawing=drawing, is_file=is_file))
