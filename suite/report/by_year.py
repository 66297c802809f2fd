"""The chart of `suite history`: images / s of GPUs by year, with the best of each year named."""
import math
import re
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from common import text
from suite.figures import Work
from suite.report.charts import (
    AXIS,
    LETTER,
    LINE,
    Drawing,
    Place,
    legend,
    levels,
    log_ticks,
    overlap,
    scale,
    text_width,
    wrapped,
)

WIDTH = 840                          # about that of a README on GitHub, which shows it unscaled
PANEL, SMALL_PANEL = 400, 260        # height of the only panel, and of one of several
LEFT, HEADROOM = 52, 42              # for the labels of the rates, and of the fastest points
PRECISIONS = 'float32', 'tf32', 'mixed_float16', 'float16'
RADIUS, OWN_RADIUS = 4.0, 6.0
LEAST_RATIO = 4.0                    # of the ends of the axis


class Point(NamedTuple):
    """A GPU in a year. work: its precision without XLA. differs: from the chapter's work. source: a
    name in references/, or the path of a record or of a folder of records."""
    work: Work
    year: int
    gpu: str
    images_per_s: float
    framework: str
    differs: Tuple[str, ...]
    source: str
    is_own: bool = False


class Panel(NamedTuple):
    """The points of a network, of one size and pass, in the order of years and rates; chapters: the
    point of the chapter's GPU, which is named."""
    title: str
    points: List[Point]
    chapters: Optional[Point] = None


def chart(caption: str, panels: Sequence[Panel], notes: Sequence[str]) -> Drawing:
    """Returns the panels below each other, all with the same years, and the notes below them."""
    points = [point for panel in panels for point in panel.points]
    is_mixed = len({bool(point.differs) for point in points}) > 1
    entries = [(precision, precision) for precision in PRECISIONS
               if any(point.work.precision == precision for point in points)]
    entries += [('muted hollow', "not the chapter's workload")] * is_mixed
    entries += [('square', 'measured with these scripts')] * any(point.is_own for point in points)
    height = PANEL if len(panels) == 1 else SMALL_PANEL
    drawing = Drawing(caption, math.inf, WIDTH)
    drawing.text(LINE, LINE, caption, classes='bold')
    top = 1.2 * LINE + legend(drawing, entries + [('best', 'best so far')], LINE, 2.1 * LINE)
    years = range(min(point.year for point in points), max(point.year for point in points) + 1)
    for panel in panels:
        if len(panels) > 1:
            drawing.text(LINE, top + LINE * 0.7, panel.title, classes='bold')
        _panel(drawing, panel, years, top + LINE * (len(panels) > 1), top + height - AXIS, is_mixed)
        top += height
    for line in [line for note in notes for line in wrapped(note, WIDTH - 2 * LINE)]:
        drawing.text(LINE, top + LINE / 2, line, classes='muted')
        top += LINE
    drawing.height = round(top + LINE / 2)
    return drawing


def _panel(drawing, panel, years, top, bottom, is_mixed):
    """Draws a panel between two heights. A year is a column, in which points of nearly the same
    rate are side by side; if the points are of mixed work, those of other work are hollow."""
    rates = [point.images_per_s for point in panel.points]
    spread = max(1.05, math.sqrt(LEAST_RATIO * min(rates) / max(rates)))
    ends = min(rates) / spread, max(rates) * spread
    place_y = scale(ends, (bottom - 16, top + HEADROOM), is_log=True)
    column = (WIDTH - LINE / 2 - LEFT) / len(years)
    centres = {year: LEFT + column * (i + 0.5) for i, year in enumerate(years)}
    levels(drawing, place_y, [rate for rate in log_ticks(ends[0] / 2, ends[1] * 2)
                              if top + LINE / 2 < place_y(rate) < bottom], LEFT, WIDTH - LINE / 2)
    best, fastest = [], 0.0                              # type: List[Place], float
    for year, x in centres.items():
        drawing.text(x, bottom + AXIS / 2, str(year), 'middle', 'muted')
        drawing.path('grid', [(x + column / 2, top), (x + column / 2, bottom)])
        fastest = max([fastest] + [point.images_per_s for point in panel.points
                                   if point.year == year])
        if panel.points[0].year <= year <= panel.points[-1].year:
            best += [(x - column / 2, place_y(fastest)), (x + column / 2, place_y(fastest))]
    drawing.path('best', best)
    places = _side_by_side(panel.points, centres, column, place_y)
    for point, (x, y) in places.items():
        work = point.work
        drawing.dot(x, y, work.precision + ' square' * point.is_own
                    + ' hollow' * (is_mixed and bool(point.differs))
                    + ' marked' * (point == panel.chapters),
                    '%s, %d: %s images / s; %s, batch %s, %s %s, %s; %s' % (
                        point.gpu, point.year, text.significant(point.images_per_s, 4),
                        work.precision, work.batch_size or 'not stated', work.benchmark,
                        work.variant, point.framework, point.source), _radius(point))
    lines = [(min(x, other_x) - 1, min(y, other_y) - 1, max(x, other_x) + 1, max(y, other_y) + 1)
             for (x, y), (other_x, other_y) in zip(best, best[1:])]
    for point in _named(panel):
        _name(drawing, point, point == panel.chapters, places[point], (top, bottom), lines)


def model(point: Point) -> str:
    """Returns the GPU without its form and memory: 'A100' for an A100-SXM4 40 GB."""
    return re.sub(r'^Tesla |-SXM\d?|-PCIe| PCIe| \d+ GB\b', '', point.gpu)


def _radius(point):
    return OWN_RADIUS if point.is_own else RADIUS


def _side_by_side(points, centres, column, place_y) -> Dict[Point, Place]:
    """The place of each point: the fastest in the middle of its year, others as near to the middle
    as they can be without covering another one."""
    places = {}                                          # type: Dict[Point, Place]
    for point in sorted(points, key=lambda point: -point.images_per_s):
        y, radius = place_y(point.images_per_s), _radius(point)
        steps = [sign * step for step in range(int(column / 2 - radius)) for sign in (1, -1)]
        free = [step for step in steps if all(
            abs(centres[point.year] + step - x) > radius + _radius(other) or abs(y - other_y)
            > radius + _radius(other) for other, (x, other_y) in places.items())]
        places[point] = centres[point.year] + (free or [0])[0], y
    return places


def _named(panel) -> List[Point]:
    """The points that have a label, the most important first: that of the chapter, the best of each
    of our own GPUs, and the best of each year."""
    best = {}                                            # type: Dict[Tuple, Point]
    for point in panel.points:                           # in the order of their rates
        best[1, point.year] = point
        if point.is_own:
            best[0, point.gpu] = point
    chapters = [panel.chapters] if panel.chapters else []
    return list(dict.fromkeys(chapters + [best[key] for key in sorted(best)]))


def _name(drawing, point, is_chapters, place, heights, lines):
    """Writes the label of a point where it covers nothing, also none of the lines, near its point
    and between these heights; without such a place the point has its title alone."""
    label = ["the chapter's " * is_chapters + model(point), text.significant(point.images_per_s, 3)]
    width, height = max(map(text_width, label)), 2 * LINE - 4
    for left, top in _corners(place, _radius(point) + 3, width, height):
        box = left, top, left + width, top + height
        if (heights[0] < box[1] and box[3] < heights[1] and drawing.is_free(box)
                and not any(overlap(box, line) for line in lines)):
            for i, line in enumerate(label):
                drawing.text(left + width / 2, top + LETTER / 2 + 1 + i * (LINE - 3), line,
                             'middle')
            break


def _corners(place, gap, width, height) -> Iterator[Place]:
    """Where the top left corner of a label could be, the best first: above its point rather than
    below or beside it, and near it."""
    x, y = place
    for off in (gap, gap + 6, gap + 12, gap + 18):
        for top in (y - off - height, y + off):
            for left in (x - width / 2, x - width / 4, x - 0.75 * width):
                yield left, top
        yield x + off, y - height / 2
        yield x - off - width, y - height / 2
