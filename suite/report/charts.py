"""The charts of the page: matplotlib draws each as SVG, in the colours of the page.

The text of a drawing stays text, and its colours are CSS variables that page.css defines for light
and for dark. The same chart always gives the same drawing.
"""
import contextlib
import io
import re
from typing import Iterator, List, NamedTuple, Optional, Sequence, Union

import markupsafe
import matplotlib
from matplotlib.figure import Figure

from suite import records

WIDTH_IN = 4.5                       # of 72 CSS pixels each: about as wide as a phone
ROW_IN, AXIS_IN = 0.5, 0.4           # height of a bar with its label; of the axis below the bars
MAX_LETTERS = 52                     # in the line above a bar; the tables show the whole text
MAX_DOTS = 500                       # a series of more steps is drawn as a line without dots
# matplotlib knows no CSS, so it draws in placeholder colours, which the page's then replace.
COLOURS = {name: '#0a0b%02x' % i for i, name in enumerate(
    ['text', 'muted', 'grid', 'forward', 'backward', 'published', 'bad'], 1)}
STYLE = {'svg.fonttype': 'none', 'svg.hashsalt': 'report', 'font.family': 'sans-serif',
         'font.size': 10.5, 'axes.spines.top': False, 'axes.spines.right': False,
         'axes.spines.left': False, 'axes.grid': True, 'axes.axisbelow': True,
         'grid.linewidth': 0.6, 'xtick.major.size': 0, 'ytick.major.size': 0,
         'text.color': COLOURS['text'], 'axes.labelcolor': COLOURS['text'],
         'xtick.color': COLOURS['muted'], 'ytick.color': COLOURS['muted'],
         'axes.edgecolor': COLOURS['grid'], 'grid.color': COLOURS['grid']}
SVG_TAG = markupsafe.Markup(
    '<svg {} xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    ' role="img" aria-label="{}">')


class Bar(NamedTuple):
    """A row of a bar chart: `text` is the value with its unit, `colour` a name in COLOURS. A row
    whose value is None has no bar."""
    label: str
    value: Optional[float]
    interval: Optional[Sequence[float]]
    text: str
    colour: str


class BarChart(NamedTuple):
    """Horizontal bars, each below its label. The axis reaches `least` or further."""
    caption: str
    bars: List[Bar]
    least: float = 0.0

    def draw(self) -> Figure:
        """Returns the drawing."""
        height = ROW_IN * len(self.bars) + AXIS_IN
        figure = Figure(figsize=(WIDTH_IN, height))
        axes = figure.add_axes([0.02, (AXIS_IN - 0.1) / height, 0.94,
                                1 - (AXIS_IN - 0.1) / height])
        right = max([self.least] + [max([bar.value, *(bar.interval or ())])
                                    for bar in self.bars if bar.value is not None]) or 1
        for i, bar in enumerate(self.bars):
            if bar.value is not None:
                axes.barh(i + 0.22, bar.value, 0.36, color=COLOURS[bar.colour])
            if bar.interval:
                axes.hlines(i + 0.22, *bar.interval, color=COLOURS['text'], linewidth=1.2)
                axes.vlines(bar.interval, i + 0.1, i + 0.34, color=COLOURS['text'], linewidth=1.2)
            axes.text(0, i - 0.2, _drawn(bar.label, MAX_LETTERS - len(bar.text)), va='center')
            axes.text(right, i - 0.2, _drawn(bar.text), va='center', ha='right',
                      color=COLOURS['bad' if bar.colour == 'bad' else 'text'])
        axes.set_xlim(0, 1.01 * right)                   # room for the end of an interval
        axes.set_ylim(len(self.bars) - 0.45, -0.5)
        axes.set_yticks([])
        axes.locator_params(axis='x', nbins=5)
        return figure


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
        return figure


Chart = Union[BarChart, LineChart, StepChart]


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
    drawing = re.sub(r'( id="|href="#|url\(#)', r'\1s%d-' % number, drawing)
    for name, colour in COLOURS.items():
        drawing = drawing.replace(colour, 'var(--%s)' % name)
    tag, rest = drawing.split('>', 1)
    view_box = re.search(r'viewBox="[\d. -]*"', tag).group()
    return SVG_TAG.format(markupsafe.Markup(view_box), records.one_line(chart.caption)
                          ) + markupsafe.Markup(rest)


def _drawn(text: str, letters: int = 200) -> str:
    """Cuts a text to a length; matplotlib would read what is between two $ as mathematics."""
    text = records.one_line(text)
    text = text if len(text) <= letters else text[:letters - 1] + '\u2026'
    return text.replace('$', r'\$')
