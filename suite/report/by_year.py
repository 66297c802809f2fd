"""The chart of `suite history`: images / s of GPUs by year, with the best of each year named."""
import math
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import text
from suite.report.charts import (
    AXIS,
    LETTER,
    LINE,
    Box,
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
    """A GPU in a year. differs: from the chapter's work. source: a name in references/, or the path
    of a record or of a folder of records."""
    benchmark: str
    variant: str
    info_string: str
    year: int
    gpu: str
    images_per_s: float
    precision: str
    batch_size: Optional[int]
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
    lines = [line for note in notes for line in wrapped(note, WIDTH - 2 * LINE)]
    points = [point for panel in panels for point in panel.points]
    height = PANEL if len(panels) == 1 else SMALL_PANEL
    drawing = Drawing(caption, math.inf, WIDTH)
    drawing.text(LINE, LINE, caption, classes='bold')
    top = 1.2 * LINE + legend(drawing, _entries(points), LINE, 2.1 * LINE)
    years = range(min(point.year for point in points), max(point.year for point in points) + 1)
    for panel in panels:
        if len(panels) > 1:
            drawing.text(LINE, top + LINE * 0.7, panel.title, classes='bold')
        _panel(drawing, panel, years, top + LINE * (len(panels) > 1), top + height - AXIS)
        top += height
    for line in lines:
        drawing.text(LINE, top + LINE / 2, line, classes='muted')
        top += LINE
    drawing.height = round(top + LINE / 2)
    return drawing


def _entries(points):
    """The names in the legend, with the classes of their marks."""
    entries = [(precision, precision) for precision in PRECISIONS
               if any(point.precision == precision for point in points)]
    if _is_mixed(points):
        entries.append(('muted hollow', "not the chapter's workload"))
    if any(point.is_own for point in points):
        entries.append(('square', 'measured with these scripts'))
    return entries + [('best', 'best so far')]


def _is_mixed(points):
    """Whether some points are of the chapter's work and others are not, which are hollow then."""
    return len({bool(point.differs) for point in points}) > 1


def _panel(drawing: Drawing, panel: Panel, years: range, top: float, bottom: float) -> None:
    """Draws a panel. A year is a column, in which points of nearly the same rate are side by
    side."""
    rates = [point.images_per_s for point in panel.points]
    spread = max(1.05, math.sqrt(LEAST_RATIO * min(rates) / max(rates)))
    ends = min(rates) / spread, max(rates) * spread
    place_y = scale(ends, (bottom - 16, top + HEADROOM), is_log=True)
    column = (WIDTH - LINE / 2 - LEFT) / len(years)
    centres = {year: LEFT + column * (i + 0.5) for i, year in enumerate(years)}
    levels(drawing, place_y, [rate for rate in log_ticks(ends[0] / 2, ends[1] * 2)
                              if top + LINE / 2 < place_y(rate) < bottom], LEFT, WIDTH - LINE / 2)
    for year, x in centres.items():
        drawing.text(x, bottom + AXIS / 2, str(year), 'middle', 'muted')
        drawing.path('grid', [(x + column / 2, top), (x + column / 2, bottom)])
    best = _best_so_far(panel.points, centres, column, place_y)
    drawing.path('best', best)
    is_mixed = _is_mixed(panel.points)
    places = _side_by_side(panel.points, centres, column, place_y)
    for point, (x, y) in places.items():
        drawing.dot(x, y, point.precision + ' square' * point.is_own
                    + ' hollow' * (is_mixed and bool(point.differs))
                    + ' marked' * (point == panel.chapters), _title(point), _radius(point))
    lines = [(min(x, other_x) - 1, min(y, other_y) - 1, max(x, other_x) + 1, max(y, other_y) + 1)
             for (x, y), (other_x, other_y) in zip(best, best[1:])]
    for point in named(panel):
        _name(drawing, point, point == panel.chapters, places[point], (top, bottom), lines)


def _radius(point):
    return OWN_RADIUS if point.is_own else RADIUS


def _best_so_far(points, centres, column, place_y) -> List[Place]:
    """The places of a line of steps: the best of all years up to each, from the first year of the
    points to the last."""
    line, best = [], 0.0                                 # type: List[Place], float
    for year, x in centres.items():
        best = max([best] + [point.images_per_s for point in points if point.year == year])
        if points[0].year <= year <= points[-1].year:
            line += [(x - column / 2, place_y(best)), (x + column / 2, place_y(best))]
    return line


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


def _title(point):
    return '%s, %d: %s images / s; %s, batch %s, %s %s, %s; %s' % (
        point.gpu, point.year, text.significant(point.images_per_s, 4), point.precision,
        point.batch_size or 'not stated', point.benchmark, point.variant, point.framework,
        point.source)


def named(panel: Panel) -> List[Point]:
    """Returns the points that have a label, the most important first: that of the chapter, the best
    of each of our own GPUs, and the best of each year."""
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
    gpu = re.sub(r'^Tesla |-SXM\d?|-PCIe| PCIe| \d+ GB\b', '', point.gpu)
    label = ["the chapter's " * is_chapters + gpu, text.significant(point.images_per_s, 3)]
    for box in _boxes(place, _radius(point) + 3, max(map(text_width, label)), 2 * LINE - 4):
        if (heights[0] < box[1] and box[3] < heights[1] and drawing.is_free(box)
                and not any(overlap(box, line) for line in lines)):
            for i, line in enumerate(label):
                drawing.text((box[0] + box[2]) / 2, box[1] + LETTER / 2 + 1 + i * (LINE - 3), line,
                             'middle')
            break


def _boxes(place: Place, gap: float, width: float, height: float) -> List[Box]:
    """Where a label could be, the best first: above its point rather than beside or below it."""
    boxes = []                                           # type: List[Tuple[float, Box]]
    for off in (gap, gap + 6, gap + 12, gap + 18):
        for cost, dx, dy in [(0, -width / 2, -off - height), (8, -width / 4, -off - height),
                             (8, -0.75 * width, -off - height), (12, -width / 2, off),
                             (12, off, -height / 2), (12, -off - width, -height / 2),
                             (16, -width / 4, off), (16, -0.75 * width, off)]:
            left, top = place[0] + dx, place[1] + dy
            boxes.append((off + cost, (left, top, left + width, top + height)))
    return [box for _, box in sorted(boxes)]
