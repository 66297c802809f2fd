"""What the charts of the page show: ratios, times, sweeps, jobs of several processes."""
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from common import report, text
from suite import gate, outcome, pairs, tables
from suite.figures import FLOAT32, Figure, Source, Work, rate
from suite.report import charts
from suite.report.headline import KINDS

MIN_SWEEP = 3                        # batch sizes that make a sweep
COLOURS = {'Forward': 'forward', 'Forward-backward': 'backward'}     # of a pass


def ms(seconds: float) -> str:
    """Returns seconds in milliseconds, with four digits."""
    return tables.four_digits(1e3 * seconds)


def colour(work: Work) -> str:
    """Returns the name of the colour of a pass."""
    return COLOURS.get(work.info_string, 'text')


# Ratios and times

def ratios(sources: Sequence[Source], compared: Sequence[pairs.Pair], percent: Optional[float]
           ) -> List[charts.Drawing]:
    """Returns the ratios of each pair and network, on the same axis within a pair."""
    drawn = []
    for pair in [*compared, *map(pairs.against_float32, sources)]:
        limit_percent = None if pair.base.name == FLOAT32 else percent
        limit = limit_percent and 1 + limit_percent / 100
        of_times = [value for row in pair.rows if row.ratio
                    for value in (row.ratio, *(row.interval or ()), limit or 1)]
        by_network = {}                                  # type: Dict[str, List[pairs.Row]]
        for row in pair.rows:
            by_network.setdefault(row.base.work.benchmark, []).append(row)
        for rows in by_network.values():
            common, names = tables.names([row.other for row in rows])
            drawn.append(charts.ratios(
                '%s against %s: %s' % (pair.other.name, pair.base.name, common),
                [_ratio(name, row, limit_percent) for name, row in zip(names, rows)],
                (min(of_times + [1]), max(of_times + [1])), limit, not pair.base.records))
    return drawn


def _ratio(name, row, percent):
    if row.ratio is None:
        words = [figure.word for figure in (row.base, row.other) if figure.faults]
        return charts.Mark(name, None, (), *(words[0], 'bad') if words else (row.verdict, 'muted'))
    word, change = row.verdict, tables.times(row)
    if percent is not None:
        word = gate.outcome(row, percent)[0]
        change = '%s, %s' % (word, change)
    return charts.Mark(name, row.ratio, row.interval or (), change, KINDS.get(word, 'muted'))


def times(sources: Sequence[Source], references: Sequence[Source]
          ) -> List[Tuple[str, List[charts.Drawing]]]:
    """Returns the mean times by network, beside those published of the same work: one chart for
    what differs in the variant and the precision alone, which the labels name."""
    rows = {}                                            # type: Dict[Work, Dict[str, charts.Mark]]
    for source in sources:
        keys = tables.varying(source.figures)
        for figure in source.figures:
            _add_time(rows, source, figure, [
                '%s %s' % (key, tables.condition(figure, key)) for key in keys])
    for source in sources:
        for pair in pairs.beside_references(source, references):
            for row in pair.rows:
                _add_time(rows, *((pair.base, row.base) if pair.other is source
                                  else (pair.other, row.other)))
    in_curves = {figure.work for source in sources for lines in (_sweeps(source),
                                                                 pairs.curves(source))
                 for figures in lines.values() for figure in figures}
    bars = {}                                            # type: Dict[str, Dict[str, List]]
    for work, marks in rows.items():
        if work not in in_curves or len(marks) > 1:
            caption = '%s, fetch %s, batch %s%s: ms / batch' % (
                work.info_string, work.fetch, work.batch_size,
                ' in each of %d processes' % work.processes * (work.processes > 1))
            bars.setdefault(work.benchmark, {}).setdefault(caption, []).extend(marks.values())
    return [(benchmark, [charts.times(*chart) for chart in by_caption.items()])
            for benchmark, by_caption in bars.items()]


def _add_time(rows, source, figure, conditions=()):
    """Adds the row of a figure to those of its work, by its label."""
    work, name, kind = figure.work, source.name, colour(figure.work)
    if figure.differs:
        return
    if figure.published:
        name = '%s (%s, %s)' % (figure.published['hardware'], name, figure.published['year'])
        kind = 'muted'
    label = ', '.join([work.variant] + [work.precision] * (work.precision != FLOAT32)
                      + [name, *conditions])
    value, interval = 1e3 * (figure.mean_s or 0), [1e3 * bound for bound in figure.ci95_s or ()]
    if figure.faults:
        mark = charts.Mark(label, None, (), figure.word, 'bad')
    elif figure.mean_s is None:                          # published as a rate
        mark = charts.Mark(label, None, (), tables.images_per_s(figure) + ' images / s', kind)
    else:
        shares = _measured(source, figure, 'share_of_peak')
        words = [tables.step_time(figure) + ' ms']
        words += [text.percent(sum(shares) / len(shares)) + ' of peak'] if shares else []
        words += [figure.word] if figure.warnings else []
        mark = charts.Mark(label, value, interval, ', '.join(words), kind)
    rows.setdefault(work, {})[label] = mark


# Lines

def _sweeps(source: Source) -> Dict[Work, List[Figure]]:
    """The figures of each sweep of the batch size, by their work without pass and batch size."""
    series = {}                                          # type: Dict[Work, List[Figure]]
    for figure in source.figures:
        if figure.records:
            series.setdefault(figure.work._replace(info_string='', batch_size=None), []).append(
                figure)
    return {work: figures for work, figures in series.items()
            if len({figure.work.batch_size for figure in figures}) >= MIN_SWEEP}


def _measured(source: Source, figure: Figure, key: str) -> List[float]:
    """The values of a key of the results that a figure is the mean of; of valid passes only."""
    return [entry[key] for record in source.records if record.name in figure.records
            for entry, own in zip(record.data['results'], record.figures)
            if own.work == figure.work and not own.faults and entry.get(key) is not None]


def _lines(points: Iterable[Tuple[Work, charts.Point]], style: str = '') -> List[charts.Line]:
    """A line for each pass."""
    lines = {}                                           # type: Dict[str, charts.Line]
    for work, point in points:
        lines.setdefault(work.info_string, charts.Line(
            work.info_string, [], colour(work), style)).points.append(point)
    return list(lines.values())


def sweeps(sources: Sequence[Source]) -> List[Tuple[str, List[str], List[charts.Drawing]]]:
    """Returns for each sweep its title, a line for each batch size that did not finish, and time,
    memory and, where it is known, share of the peak by batch size."""
    shown = []
    for source in sources:
        for sweep, figures in _sweeps(source).items():
            title = '%s: %s %s, fetch %s, %s' % (source.name, sweep.benchmark, sweep.variant,
                                                 sweep.fetch, sweep.precision)
            title += ', %d processes' % sweep.processes * (sweep.processes > 1)
            figures = sorted(figures, key=lambda figure: figure.work.batch_size)
            lines = {'ms / image': _lines((figure.work, _time_of_image(figure))
                                          for figure in figures if not figure.faults)}
            for what, key, unit in (('peak memory, MB', 'peak_bytes', 1e6),
                                    ('share of peak, %', 'share_of_peak', 0.01)):
                values = [(figure.work, _measured(source, figure, key)) for figure in figures]
                lines[what] = _lines((work, (work.batch_size, max(of_work) / unit, ()))
                                     for work, of_work in values if of_work)
            shown.append((title, _unfinished(source, sweep), [
                charts.curves('%s: %s' % (title, what), of_passes, what.split(', ')[-1],
                              is_doubling=True, is_log=what == 'peak memory, MB')
                for what, of_passes in lines.items() if of_passes]))
    return shown


def _time_of_image(figure):
    factor = 1e3 / figure.work.batch_size
    return (figure.work.batch_size, factor * figure.mean_s,
            [factor * bound for bound in figure.ci95_s or []])


def _unfinished(source, sweep):
    """A line for each run of a sweep that did not finish."""
    return ['batch %s: %s' % (data['options'].get('batch_size', '-'), outcome.of_run(data))
            for data in [record.data for record in source.records]
            if data['status'] != 'finished' and sweep._replace(info_string='') == Work(
                data['benchmark'], data['variant'], '', data['options'].get('fetch'), None,
                sweep.precision, report.process_count(data))]


def scaling(sources: Sequence[Source]) -> List[charts.Drawing]:
    """Returns the images / s of jobs against the number of processes, dashed what they would be
    without loss. The measured line begins with one process alone, as the smallest job timed it."""
    drawn = []
    for source in sources:
        lines = {}                                       # type: Dict[Work, List[charts.Line]]
        for work, figures in pairs.curves(source).items():
            jobs = [figure for figure in figures if not figure.faults]
            ideal = [(figure.work.processes, pairs.ideal(figure), ()) for figure in jobs
                     if figure.alone_s]
            if ideal:
                first = [(1, ideal[0][1] / ideal[0][0], ())]
                measured = list(map(_rate, jobs))
                lines.setdefault(work._replace(info_string=''), []).extend(
                    _lines((work, point) for point in first * (measured[0][0] > 1) + measured)
                    + _lines(((work, point) for point in first + ideal), 'dashed'))
        drawn += [charts.curves(
            '%s: %s %s, fetch %s, batch %s of each, %s: images / s of all processes; dashed: '
            'ideal' % (source.name, work.benchmark, work.variant, work.fetch, work.batch_size,
                       work.precision), of_passes, 'images / s')
            for work, of_passes in lines.items()]
    return drawn


def _rate(figure):
    bounds = figure.ci95_s if figure.ci95_s and figure.ci95_s[0] > 0 else ()
    return (figure.work.processes, rate(figure),
            [rate(figure) * figure.mean_s / bound for bound in bounds])
