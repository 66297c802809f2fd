"""What the charts of the page show: ratios, times, sweeps, jobs of several processes, shares of the
peak."""
from typing import Dict, Iterable, List, Optional, Sequence, Tuple

from common import report, text
from suite import gate, outcome, pairs, tables
from suite.blocks import scaling as scaling_tables
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
    labelled = {}                                        # type: Dict[Work, Dict[str, Figure]]
    for source in sources:
        keys = tables.varying(source.figures)
        for figure in source.figures:
            conditions = ['%s %s' % (key, tables.condition(figure, key)) for key in keys]
            _add(labelled, source, figure, conditions)
    for source in sources:
        for pair in pairs.beside_references(source, references):
            for row in pair.rows:
                _add(labelled, *((pair.base, row.base) if pair.other is source
                                 else (pair.other, row.other)))
    elsewhere = {figure.work for source in sources for figure in _in_curves(source)}
    bars = {}                                            # type: Dict[str, Dict[str, List]]
    for work, figures in labelled.items():
        if work not in elsewhere or len(figures) > 1:
            caption = '%s, fetch %s, batch %s%s: ms / batch' % (
                work.info_string, work.fetch, work.batch_size,
                ' in each of %d processes' % work.processes * (work.processes > 1))
            bars.setdefault(work.benchmark, {}).setdefault(caption, []).extend(
                _time(label, figure) for label, figure in figures.items())
    return [(benchmark, [charts.bars(*chart) for chart in by_caption.items()])
            for benchmark, by_caption in bars.items()]


def _add(labelled, source, figure, conditions=()):
    """Adds a figure to those of its work, with its label."""
    work, name = figure.work, source.name
    if figure.published:
        name = '%s (%s, %s)' % (figure.published['hardware'], name, figure.published['year'])
    if not figure.differs:
        parts = [work.variant] + [work.precision] * (work.precision != FLOAT32)
        labelled.setdefault(work, {})[', '.join([*parts, name, *conditions])] = figure


def _time(label, figure):
    if figure.faults:
        return charts.Mark(label, None, (), figure.word, 'bad')
    if figure.mean_s is None:                            # published as a rate
        return charts.Mark(label, None, (), tables.images_per_s(figure) + ' images / s', 'muted')
    value = tables.step_time(figure) + ' ms'
    if figure.warnings:
        value += ', ' + figure.word
    return charts.Mark(label, 1e3 * figure.mean_s, [1e3 * bound for bound in figure.ci95_s or ()],
                       value, colour(figure.work) if figure.records else 'muted')


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


def _in_curves(source):
    """The figures that are drawn as points of a line."""
    return [figure for lines in (_sweeps(source), pairs.curves(source))
            for figures in lines.values() for figure in figures]


def _measured(source: Source, key: str) -> Dict[Work, List[float]]:
    """The values of a key of the results of a source, by work; of valid passes only."""
    values = {}                                          # type: Dict[Work, List[float]]
    for record in source.records:
        for entry, figure in zip(record.data['results'], record.figures):
            if not figure.faults and entry.get(key) is not None:
                values.setdefault(figure.work, []).append(entry[key])
    return values


def _lines(points: Iterable[Tuple[Work, charts.Point]], is_dashed: bool = False
           ) -> List[charts.Line]:
    """A line for each pass."""
    lines = {}                                           # type: Dict[str, charts.Line]
    for work, point in points:
        lines.setdefault(work.info_string, charts.Line(
            work.info_string, [], colour(work), is_dashed)).points.append(point)
    return list(lines.values())


def sweeps(sources: Sequence[Source]) -> List[Tuple[str, List[str], List[charts.Drawing]]]:
    """Returns for each sweep its title, a line for each batch size that did not finish, and time,
    memory and, where it is known, share of the peak by batch size."""
    shown = []
    for source in sources:
        memory, shares = _measured(source, 'peak_bytes'), _measured(source, 'share_of_peak')
        for sweep, figures in _sweeps(source).items():
            title = '%s: %s %s, fetch %s, %s' % (source.name, sweep.benchmark, sweep.variant,
                                                 sweep.fetch, sweep.precision)
            title += ', %d processes' % sweep.processes * (sweep.processes > 1)
            figures = sorted(figures, key=lambda figure: figure.work.batch_size)
            works = list(dict.fromkeys(figure.work for figure in figures))
            lines = {
                'ms / image': _lines((figure.work, _time_of_image(figure))
                                     for figure in figures if not figure.faults),
                'peak memory, MB': _lines((work, (work.batch_size, max(memory[work]) / 1e6, ()))
                                          for work in works if work in memory),
                'share of peak, %': _lines((work, (work.batch_size, 100 * max(shares[work]), ()))
                                           for work in works if work in shares)}
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


def scaling(sources: Sequence[Source]) -> List[Tuple[List[charts.Drawing], List[text.TextBlock]]]:
    """Returns for each source that has jobs its charts and tables: images / s against the number of
    processes, dashed what they would be without loss."""
    parts = []
    for source in sources:
        lines = {}                                       # type: Dict[Work, List[charts.Line]]
        for work, figures in pairs.curves(source).items():
            measured, ideal = _scaling_points(
                [figure for figure in figures if not figure.faults])
            if ideal:                                    # a valid job
                lines.setdefault(work._replace(info_string=''), []).extend(
                    _lines((work, point) for point in measured)
                    + _lines(((work, point) for point in ideal), is_dashed=True))
        drawn = [charts.curves(
            '%s: %s %s, fetch %s, batch %s of each, %s: images / s of all processes; dashed: '
            'ideal' % (source.name, work.benchmark, work.variant, work.fetch, work.batch_size,
                       work.precision), of_passes, 'images / s')
            for work, of_passes in lines.items()]
        if scaling_tables(source):
            parts.append((drawn, scaling_tables(source)))
    return parts


def _scaling_points(figures: Sequence[Figure]) -> Tuple[List[charts.Point], List[charts.Point]]:
    """The measured and the ideal images / s of valid jobs, which begin with one process alone, as
    the smallest job timed it."""
    measured, ideal = [], []                             # type: List, List
    for figure in figures:
        if figure.alone_s and not ideal:
            ideal.append((1, figure.work.batch_size / figure.alone_s, ()))
            measured += [] if measured else ideal
        number, images_per_s = figure.work.processes, rate(figure)
        bounds = figure.ci95_s if figure.ci95_s and figure.ci95_s[0] > 0 else ()
        measured.append((number, images_per_s,
                         [images_per_s * figure.mean_s / bound for bound in bounds]))
        if figure.alone_s:
            ideal.append((number, pairs.ideal(figure), ()))
    return measured, ideal


def shares(sources: Sequence[Source]) -> List[charts.Drawing]:
    """Returns bars of the share of the device's peak; sweeps have their own charts."""
    drawn = []
    for source in sources:
        swept = {figure.work for figures in _sweeps(source).values() for figure in figures}
        values = _measured(source, 'share_of_peak')
        by_network = {}                                  # type: Dict[str, Dict[Work, Figure]]
        for figure in source.figures:
            if figure.work in values and figure.work not in swept:
                by_network.setdefault(figure.work.benchmark, {})[figure.work] = figure
        for figures in by_network.values():
            common, names = tables.names(list(figures.values()))
            means = [sum(values[work]) / len(values[work]) for work in figures]
            drawn.append(charts.bars('%s: %s: share of peak, %%' % (source.name, common), [
                charts.Mark(name, 100 * share, (), text.percent(share), colour(work))
                for name, share, work in zip(names, means, figures)], least=100))
    return drawn
