"""Draws the chart of `suite history`. matplotlib does; the colours are those of the theme."""
from typing import List, NamedTuple, Sequence

import markupsafe
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator
from matplotlib.transforms import Bbox

from common import networks, text
from suite import history
from suite.report import charts

WIDTH, ROW = 760, 250                # pixels: of the chart, of a row of two panels
TOP, BOTTOM = 44, 40                 # pixels above and below the panels
LABEL_PX = 9.0                       # height of the letters of a label
LETTER = 0.56                        # mean width of a letter over its height
# matplotlib draws in placeholder colours (see suite.report.charts): light and dark. The precisions
# are told apart by lightness too.
COLOURS = {'page': ('#0c0d01', '#ffffff', '#0d1117'), 'float32': ('#0c0d02', '#1f6fb2', '#63aeee'),
           'tf32': ('#0c0d03', '#00795c', '#3fd0a4'),
           'mixed_float16': ('#0c0d04', '#c2570c', '#f09a54'),
           'float16': ('#0c0d05', '#93278f', '#e08add')}
THEME = {'text': ('#1c2128', '#e4e8ed'), 'muted': ('#59636e', '#a3adb8'),
         'grid': ('#d5d9df', '#3b444e')}
STYLE = ('<style>svg { %s } @media (prefers-color-scheme: dark) { svg { %s } } '
         'svg * { font-family: system-ui, sans-serif !important }</style>')
# Where a label can stand: its alignment, and how far it is from its point in pixels.
PLACES = [(horizontal, vertical, dx, dy) for distance in (1, 2.4, 3.8, 6) for
          horizontal, vertical, dx, dy in [
              ('center', 'bottom', 0, 6 * distance), ('center', 'top', 0, -6 * distance),
              ('left', 'center', 7 * distance, 0), ('right', 'center', -7 * distance, 0),
              ('right', 'bottom', -5 * distance, 4 * distance),
              ('left', 'bottom', 5 * distance, 4 * distance),
              ('left', 'top', 5 * distance, -4 * distance),
              ('right', 'top', -5 * distance, -4 * distance)]]


class Chart(NamedTuple):
    """The panels, two in a row, all with the same years."""
    caption: str
    panels: Sequence[history.Panel]

    @property
    def height(self) -> int:
        """In pixels."""
        return TOP + BOTTOM + ROW * -(-len(self.panels) // 2)

    def draw(self) -> Figure:
        """Returns the drawing."""
        columns, height = min(2, len(self.panels)), self.height
        figure = Figure(figsize=(WIDTH / 72, height / 72), dpi=72)
        points = [point for panel in self.panels for point in panel.points]
        years = min(point.year for point in points), max(point.year for point in points)
        for i, panel in enumerate(self.panels):
            left, width = 52 + WIDTH / columns * (i % columns), WIDTH / columns - 66
            bottom = height - TOP - ROW * (1 + i // columns) + 22
            axes = figure.add_axes([left / WIDTH, bottom / height, width / WIDTH,
                                    (ROW - 48) / height])
            _draw_panel(axes, panel, years)
        figure.legend(handles=_legend(points), loc='upper left', ncol=7, frameon=False,
                      bbox_to_anchor=(8 / WIDTH, 1 - 24 / height), columnspacing=1.4,
                      handletextpad=0.2, borderpad=0)
        figure.text(14 / WIDTH, 1 - 16 / height, self.caption, va='baseline', weight='bold')
        figure.text(14 / WIDTH, 26 / height, _footer(points), va='top', fontsize=LABEL_PX,
                    color=charts.COLOURS['muted'], linespacing=1.5)
        return figure


def svg(panels: Sequence[history.Panel], data: str) -> str:
    """Returns the text of the SVG file of the panels, with `data` in it."""
    chart = Chart('Images / s of GPUs by year', panels)
    with charts.style():
        drawing = str(charts.svg(chart, 0))
    for name, (placeholder, _, _) in COLOURS.items():
        drawing = drawing.replace(placeholder, 'var(--%s)' % name)
    themes = [' '.join('--%s: %s;' % (name, colours[i - 2])
                       for name, colours in [*THEME.items(), *COLOURS.items()]) for i in (0, 1)]
    tag, rest = drawing.split('>', 1)
    return '%s width="%d" height="%d">\n<metadata>%s</metadata>\n%s\n%s%s\n' % (
        tag, WIDTH, chart.height, markupsafe.escape(data), STYLE % tuple(themes),
        '<rect width="100%" height="100%" rx="6" style="fill: var(--page)"/>', rest)


def _draw_panel(axes, panel, years):
    axes.set_yscale('log')
    axes.set_title(panel.title, loc='left', fontsize=10.5)
    axes.set_xlim(years[0] - 0.8, years[1] + 0.8)
    axes.set_xticks(range(years[0], years[1] + 1, 2))
    rates = [point.images_per_s for point in panel.points]
    axes.set_ylim(min(rates) / 1.6, max(rates) * 1.9)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter('{x:.0f}')
    axes.xaxis.set_major_formatter('{x:.0f}')
    axes.minorticks_off()
    for point in sorted(panel.points, key=lambda point: not point.differs):      # filled on top
        colour = COLOURS[point.precision][0]
        axes.plot(_x(point), point.images_per_s, '*' if point.is_own else 'o',
                  markersize=10 if point.is_own else 5, color=colour, markeredgewidth=1.1,
                  markerfacecolor=COLOURS['page'][0] if point.differs else colour)
    _label(axes, panel.points)


def _x(point):
    """The year; the precisions stand side by side within it, float32 first."""
    return point.year + 0.2 * history.PRECISIONS.index(point.precision)


def _legend(points):
    def handle(marker, colour, label):
        return Line2D([], [], marker=marker, linestyle='', color=colour, label=label, markersize=6)

    handles = [handle('o', COLOURS[precision][0], precision) for precision in history.PRECISIONS
               if any(point.precision == precision for point in points)]
    if any(point.is_own for point in points):
        handles.append(handle('*', charts.COLOURS['text'], 'measured with these scripts'))
    return handles


def _footer(points):
    names = sorted({point.source for point in points if not point.is_own})
    return ("Hollow: not the chapter's own work. What differs, and the sources: "
            'python -m suite history\nPublished figures: %s' % ', '.join(names))


def labelled(points: Sequence[history.Point]) -> List[history.Point]:
    """Returns the few points of a panel that have a label: the chapter's, the fastest of each of
    our own GPUs, the first if it is older than the chapter's, the fastest, and the fastest in
    float32."""
    def fastest(some):
        return sorted(some, key=lambda point: point.images_per_s)[-1:]

    variants = list(networks.NETWORKS[points[0].benchmark].variants)
    chosen = sorted([point for point in points if point.source == history.CHAPTER],
                    key=lambda point: variants.index(point.variant))[:1]
    for gpu in sorted({point.gpu for point in points if point.is_own}):
        chosen += fastest([point for point in points if point.is_own and point.gpu == gpu])
    if not chosen or points[0].year < chosen[0].year:
        chosen += fastest([point for point in points if point.year == points[0].year])
    chosen += fastest(points)
    chosen += fastest([point for point in points if point.precision == 'float32'])
    return list(dict.fromkeys(chosen))


def _label(axes, points):
    """Writes the labels, each where it covers the least."""
    dots = [axes.transData.transform((_x(point), point.images_per_s)) for point in points]
    taken = []                                           # type: List[Bbox]
    for point in labelled(points):
        label = '%s%s: %s' % ("the chapter's " * (point.source == history.CHAPTER), point.gpu,
                              text.significant(point.images_per_s, 3))
        x, y = dots[points.index(point)]
        boxes = [_box(label, x, y, place) for place in PLACES]
        costs = [_cost(box, axes.bbox, taken, dots) for box in boxes]
        best = costs.index(min(costs))
        taken.append(boxes[best])
        horizontal, vertical, dx, dy = PLACES[best]
        axes.annotate(label, (x, y), (x + dx, y + dy), xycoords='figure pixels',
                      textcoords='figure pixels', ha=horizontal, va=vertical, fontsize=LABEL_PX,
                      arrowprops={'arrowstyle': '-', 'color': charts.COLOURS['muted'],
                                  'linewidth': 0.7, 'shrinkA': 0, 'shrinkB': 3})


def _box(label, x, y, place):
    """What a label covers that stands in a place beside the point x, y, in pixels."""
    horizontal, vertical, dx, dy = place
    width, height = LETTER * LABEL_PX * len(label), 1.2 * LABEL_PX
    return Bbox.from_bounds(x + dx - width * {'left': 0, 'center': 0.5, 'right': 1}[horizontal],
                            y + dy - height * {'bottom': 0, 'center': 0.5, 'top': 1}[vertical],
                            width, height)


def _cost(box, panel, labels, dots):
    """How bad it is to cover a box: other labels and the edge of the panel are worse than dots."""
    is_outside = not (panel.x0 <= box.x0 and box.x1 <= panel.x1
                      and panel.y0 <= box.y0 and box.y1 <= panel.y1)
    return (100 * sum(box.overlaps(label) for label in labels) + 100 * is_outside
            + sum(box.padded(3).contains(*dot) for dot in dots))
