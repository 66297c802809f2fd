"""The charts of the page: matplotlib draws each as SVG, in the colours of the page.

The text of a drawing stays text, and its colours are CSS variables that page.css defines for light
and for dark. The same chart always gives the same drawing.
"""
import contextlib
import io
import re
import textwrap
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple, Union

import markupsafe
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from suite import records

WIDTH_IN = 4.5                       # of 72 CSS pixels each: about as wide as a phone
LINE_IN, BAND_IN, AXIS_IN = 0.19, 0.34, 0.3      # height of a line of text, of what is below it
MAX_LETTERS = 54                     # in a line of WIDTH_IN
MAX_DOTS = 10                        # a series of more steps is drawn as a line without dots
# matplotlib knows no CSS, so it draws in placeholder colours, which the page's then replace.
COLOURS = {name: '#0a0b%02x' % i for i, name in enumerate(
    ['text', 'muted', 'grid', 'forward', 'backward', 'published', 'bad', 'warn', 'good'], 1)}
STYLE = {'svg.fonttype': 'none', 'svg.hashsalt': 'report', 'font.family': 'sans-serif',
         'font.size': 10.5, 'axes.spines.top': False, 'axes.spines.right': False,
         'axes.spines.left': False, 'axes.grid': True, 'axes.axisbelow': True,
         'grid.linewidth': 0.5, 'grid.linestyle': (0, (1, 3)),
         'xtick.major.size': 0, 'ytick.major.size': 0,
         'text.color': COLOURS['text'], 'axes.labelcolor': COLOURS['text'],
         'xtick.color': COLOURS['muted'], 'ytick.color': COLOURS['muted'],
         'axes.edgecolor': COLOURS['grid'], 'grid.color': COLOURS['grid']}
WORD_COLOURS = 'bad', 'warn', 'good'     # of verdicts, in which their words are drawn too
SVG_TAG = markupsafe.Markup(
    '<svg {} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' role="img" aria-label="{}">')


class Bar(NamedTuple):
    """A row of a bar chart: `text` is the value with its unit, `colour` a name in COLOURS. A row
    whose value is None has no bar."""
    label: str
    value: Optional[float]
    interval: Sequence[float]
    text: str
    colour: str


class BarChart(NamedTuple):
    """Horizontal bars, each below its label. The axis reaches `least` or further."""
    caption: str
    rows: List[Bar]
    least: float = 0.0

    def draw(self) -> Figure:
        """Returns the drawing."""
        figure, axes, places = _labelled(self.rows)
        for row, y in zip(self.rows, places):
            if row.value is not None:
                axes.barh(y - 0.05, row.value, 0.11, color=COLOURS[row.colour])
            if row.interval:                             # below the bar, to be seen beside it
                axes.hlines(y + 0.05, *row.interval, color=COLOURS['text'], linewidth=1.2)
                axes.vlines(row.interval, y + 0.02, y + 0.08, color=COLOURS['text'], linewidth=1.2)
        right = max([self.least] + [max([row.value, *row.interval])
                                    for row in self.rows if row.value is not None]) or 1
        axes.set_xlim(0, 1.01 * right)                   # room for the end of an interval
        axes.locator_params(axis='x', nbins=5)
        return figure


class Ratio(NamedTuple):
    """A row of a forest plot: how many times as fast, its interval (none without a verdict, where
    the point is hollow), and both in words. A row whose value is None has no point."""
    label: str
    value: Optional[float]
    interval: Sequence[float]
    text: str
    colour: str


class ForestChart(NamedTuple):
    """Ratios with their intervals, each below its label, around a line at 1. The axis has all
    between `ends`, and is logarithmic, so that twice as fast is as far from 1 as twice slower.
    `limit` is that of a gate, dashed."""
    caption: str
    rows: List[Ratio]
    ends: Tuple[float, float]
    limit: Optional[float]

    def draw(self) -> Figure:
        """Returns the drawing."""
        figure, axes, places = _labelled(self.rows, LINE_IN)
        axes.set_xscale('log')
        axes.set_xlim(self.ends[0] ** 1.08 / 1.001, self.ends[1] ** 1.08 * 1.001)
        tops, bottoms = zip(*[(y - 0.12, y + 0.12) for y in places])     # the texts stay free
        axes.vlines([1] * len(places), tops, bottoms, color=COLOURS['muted'], linewidth=1)
        if self.limit:
            axes.vlines([self.limit] * len(places), tops, bottoms, color=COLOURS['muted'],
                        linewidth=1, linestyle=(0, (2, 1)))
        for row, y in zip(self.rows, places):
            if row.interval:
                axes.hlines(y, *row.interval, color=COLOURS[row.colour], linewidth=1.6)
            if row.value is not None:
                axes.plot(row.value, y, 'o', markersize=6, color=COLOURS[row.colour],
                          markerfacecolor=COLOURS[row.colour] if row.interval else 'none')
        ticks = _ratio_ticks(*self.ends)
        axes.set_xticks(list(ticks))
        axes.set_xticklabels(list(ticks.values()))
        axes.minorticks_off()
        axes.grid(False)
        below = axes.get_ylim()[0] + AXIS_IN
        if self.ends[0] < 1:
            _write(axes, 0, below, 'times slower', 'left', 'muted')
        if self.ends[1] > 1:
            _write(axes, 1, below, 'times as fast', 'right', 'muted')
        return figure


def _labelled(rows: Sequence[Union[Bar, Ratio]], below_in: float = 0.0
              ) -> Tuple[Figure, Axes, List[float]]:
    """A drawing of rows: the label of each, its text at the right, and below them a free band. y is
    in inches, downwards. Returns it with the middle of each band; below the axis are `below_in`."""
    texts = [_wrapped(row.label, row.text) for row in rows]
    height_in = sum(len(lines) * LINE_IN + BAND_IN for lines in texts)
    figure = Figure(figsize=(WIDTH_IN, height_in + AXIS_IN + below_in))
    share = height_in / (height_in + AXIS_IN + below_in)
    axes = figure.add_axes([0.02, 1 - share, 0.96, share])
    axes.set_ylim(height_in, 0)
    axes.set_yticks([])
    y, middles = 0.0, []                                 # type: float, List[float]
    for row, lines in zip(rows, texts):
        for label, text in lines:
            _write(axes, 0, y + LINE_IN / 2, label, 'left')
            _write(axes, 1, y + LINE_IN / 2, text, 'right',
                   row.colour if row.colour in WORD_COLOURS else 'text')
            y += LINE_IN
        middles.append(y + BAND_IN / 2 - 0.04)
        y += BAND_IN
    return figure, axes, middles


def _wrapped(label: str, text: str) -> List[Tuple[str, str]]:
    """The lines above a band, each with what is at its left and at its right."""
    lines = [(line, '') for line in textwrap.wrap(
        records.one_line(label), MAX_LETTERS, break_on_hyphens=False)] or [('', '')]
    if len(lines[-1][0]) + len(text) < MAX_LETTERS:
        return lines[:-1] + [(lines[-1][0], text)]
    return lines + [('', text)]


def _write(axes: Axes, x: float, y_in: float, text: str, side: str, colour: str = 'text') -> None:
    """Writes a text at a part x of the width; y_in is of the middle of its line."""
    if text:
        axes.text(x, y_in, _drawn(text), transform=axes.get_yaxis_transform(), va='center',
                  ha=side, color=COLOURS[colour])


def _ratio_ticks(low: float, high: float) -> Dict[float, str]:
    """Labels of a logarithmic axis by their place: 2 stands for twice as fast at one side of 1, and
    for twice slower at the other."""
    reach = max(high, 1 / low)
    if reach < 3:
        values = list(MaxNLocator(3, steps=[1, 2, 5, 10]).tick_values(1, reach))
    else:
        values = [10.0 ** e * m for e in range(9) for m in (1, 2, 5)]
    values = [value for value in values if 1.0001 < value <= reach]
    ticks = {1.0: '1'}
    for value in values[(len(values) - 1) % (1 + len(values) // 4)::1 + len(values) // 4]:
        ticks.update((place, '%g' % round(value, 6)) for place in (1 / value, value)
                     if low <= place <= high)
    return ticks


class Point(NamedTuple):
    """A point of a line, with the ends of its interval."""
    x: int
    y: float
    interval: Optional[Sequence[float]] = None


class Line(NamedTuple):
    """A line of a chart, of one pass; a dashed one is not in the legend."""
    name: str
    points: List[Point]
    colour: str
    dashed: bool = False


class LineChart(NamedTuple):
    """Lines with intervals. x is logarithmic (powers of 2) if `doubling`, y if `logarithmic`; other
    axes begin at 0."""
    caption: str
    lines: List[Line]
    doubling: bool = False
    logarithmic: bool = False

    def draw(self) -> Figure:
        """Returns the drawing."""
        figure = Figure(figsize=(WIDTH_IN, 2.6))
        axes = figure.add_axes([0.13, 0.12, 0.85, 0.76])
        for line in self.lines:
            style = '--' if line.dashed else '-o' if line.name == 'Forward' else '-s'
            axes.plot([point.x for point in line.points], [point.y for point in line.points],
                      style, markersize=4, color=COLOURS[line.colour],
                      label='_' if line.dashed else _drawn(line.name))
            for point in line.points:
                if point.interval:
                    axes.vlines(point.x, *point.interval, color=COLOURS[line.colour],
                                linewidth=1.2)
        ticks = sorted({point.x for line in self.lines for point in line.points})
        if self.doubling:
            axes.set_xscale('log', base=2)
        else:
            axes.set_xlim(left=0)
        axes.set_xticks(ticks[::1 + len(ticks) // 10])
        if self.logarithmic:
            axes.set_yscale('log', base=2)
            axes.yaxis.set_major_formatter('{x:.4g}')
        else:
            axes.set_ylim(bottom=0)
        axes.xaxis.set_major_formatter('{x:.0f}')
        axes.minorticks_off()
        axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=2, frameon=False, borderpad=0)
        return figure


class StepChart(NamedTuple):
    """The time of each step in order, in ms. The burn-in is hollow, before step 0, and drawn at the
    edge where it is outside the scale, which shows at least 10 % of the median."""
    caption: str
    ms: List[float]
    burn_in_ms: List[float]
    colour: str

    def draw(self) -> Figure:
        """Returns the drawing."""
        middle = sorted(self.ms)[len(self.ms) // 2]
        low, high = min(self.ms + [0.95 * middle]), max(self.ms + [1.05 * middle])
        low, high = low - 0.08 * (high - low), high + 0.08 * (high - low) or 1
        figure = Figure(figsize=(WIDTH_IN, 1.9))
        axes = figure.add_axes([0.13, 0.14, 0.85, 0.82])
        axes.axhline(middle, color=COLOURS['muted'], linewidth=0.8)
        axes.plot(range(len(self.ms)), self.ms, '-', color=COLOURS[self.colour], linewidth=0.8)
        if len(self.ms) <= MAX_DOTS:
            axes.plot(range(len(self.ms)), self.ms, 'o', color=COLOURS[self.colour],
                      markersize=3, markeredgewidth=0)
        axes.plot(range(-len(self.burn_in_ms), 0),
                  [min(max(ms, low), high) for ms in self.burn_in_ms], 'o', markersize=3.2,
                  markerfacecolor='none', markeredgecolor=COLOURS['muted'], markeredgewidth=0.8,
                  clip_on=False)
        axes.set_ylim(low, high)
        axes.locator_params(axis='y', nbins=5)
        axes.ticklabel_format(useOffset=False, style='plain')
        axes.locator_params(axis='x', integer=True, nbins=6)
        axes.grid(False, axis='x')
        return figure


Chart = Union[BarChart, ForestChart, LineChart, StepChart]


@contextlib.contextmanager
def style() -> Iterator[None]:
    """A context in which matplotlib draws as this page needs it, whatever the user has set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def svg(chart: Chart, number: int) -> markupsafe.Markup:
    """Returns a chart as an SVG element, to be called within style().

    Args:
        chart: what to draw.
        number: of the chart in its page; its ids begin with it, so that no two charts share one.
    """
    file = io.StringIO()
    chart.draw().savefig(file, format='svg', transparent=True)
    drawing = file.getvalue()
    drawing = drawing[drawing.index('<svg'):]            # no XML declaration, no DOCTYPE
    drawing = re.sub(r'(?s) *<metadata>.*?</metadata>\n?| *<defs>\s*<style.*?</defs>\n?'
                     r'|<!--.*?-->\n?', '', drawing)
    drawing = re.sub(r'<g id="[^"]*"', '<g', drawing)
    drawing = _smaller(drawing)
    drawing = re.sub(r'( id="|href="#|url\(#)', r'\1s%d-' % number, drawing)
    for name, colour in COLOURS.items():
        drawing = drawing.replace(colour, 'var(--%s)' % name)
    tag, rest = drawing.split('>', 1)
    view_box = re.search(r'viewBox="[\d. -]*"', tag).group()
    return SVG_TAG.format(markupsafe.Markup(view_box), records.one_line(chart.caption)
                          ) + markupsafe.Markup(rest)


def _smaller(drawing: str) -> str:
    """A drawing without empty elements, rotations by nothing, and fonts, which are those of the
    page; in hundredths of a unit."""
    for nothing in (r'<path [^>]*style="fill: none"/>', r' transform="rotate\(-?0[ ,][^"]*"',
                    r'font-family: [^;"]*; ', r'<g/>', r'<g>\s*</g>', r'<g>\s*</g>'):
        drawing = re.sub(nothing, '', drawing)
    drawing = re.sub(r' (?:d|x|y)="[^"]*"', lambda attribute: re.sub(
        r'\d+\.\d{3,}', lambda number: '%g' % round(float(number.group()), 2), attribute.group()),
        drawing)
    return re.sub(r'\s*\n\s*', '\n', drawing)


def _drawn(text: str, letters: int = 200) -> str:
    """Cuts a text to a length; matplotlib would read what is between two $ as mathematics."""
    text = records.one_line(text)
    text = text if len(text) <= letters else text[:letters - 1] + '\u2026'
    return text.replace('$', r'\$')
