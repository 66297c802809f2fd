"""What the charts of the page show: ratios, times, sweeps, jobs of several processes, shares of the
peak. charts.py draws them."""
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from common import report, text
from suite import blocks, gate, outcome, pairs, tables
from suite.figures import FLOAT32, Figure, Source, Work, rate
from suite.report import charts
from suite.report.headline import KINDS
from suite.report.runs import Run, batch_size

MIN_SWEEP = 3                        # batch sizes that make a sweep
COLOURS = {'Forward': 'forward', 'Forward-backward': 'backward'}     # of a pass


class Sweep(NamedTuple):
    """The same work at several batch sizes; `ends` says which sizes did not finish, and why."""
    title: str
    ends: List[str]
    charts: List[charts.Drawing]


def ms(seconds: float) -> str:
    """Returns seconds in milliseconds, with four digits."""
    return tables.four_digits(1e3 * seconds)


def colour(work: Work) -> str:
    """Returns the name of the colour of a pass."""
    return COLOURS.get(work.info_string, 'text')


def ratios(sources: Sequence[Source], compared: Sequence[pairs.Pair], percent: Optional[float]
           ) -> List[charts.Drawing]:
    """Returns a forest plot for each pair and network, on the same axis within a pair: how many
    times as fast the other figure is."""
    compared = list(compared) + list(map(pairs.against_float32, sources))
    drawn = []
    for pair in compared:
        by_network = {}                                  # type: Dict[str, List[pairs.Row]]
        for row in pair.rows:
            by_network.setdefault(row.base.work.benchmark, []).append(row)
        is_gated = percent is not None and pair.base.name != FLOAT32
        limit = 1 / (1 + percent / 100) if is_gated else None
        speeds = [1 / ratio for row in pair.rows if row.ratio
                  for ratio in (row.ratio,) + (row.interval or ())] + [limit or 1, 1]
        for rows in by_network.values():
            common, names = tables.names([row.other for row in rows])
            drawn.append(charts.ratios(
                '%s against %s: %s' % (pair.other.name, pair.base.name, common),
                [_ratio(name, row, percent if is_gated else None)
                 for name, row in zip(names, rows)],
                (min(speeds), max(speeds)), limit))
    return drawn


def _ratio(name: str, row: pairs.Row, percent: Optional[float]) -> charts.Mark:
    if row.ratio is None:
        words = [outcome.of_figure(one) for one in (row.base, row.other) if one.faults]
        return charts.Mark(name, None, (), *(words[0], 'bad') if words else (row.verdict, 'muted'))
    label, word = tables.times(row), row.verdict
    if percent is not None:
        word = gate.outcome(row, percent)[0]
        label = '%s, %s' % (word, label)
    interval = sorted(1 / ratio for ratio in row.interval or ())
    return charts.Mark(name, 1 / row.ratio, interval, label, KINDS.get(word, 'muted'))


def times(sources: Sequence[Source], references: Sequence[Source]
           ) -> List[Tuple[str, List[charts.Drawing]]]:
    """Returns bars of the mean times by network: one chart for what differs in the variant and the
    precision alone, which the bars name."""
    swept = _swept(sources) | {figure.work for source in sources
                             for figures in pairs.curves(source).values() for figure in figures}
    bars = {}                                            # type: Dict[str, Dict[Tuple, List]]
    for work, items in _by_work(sources, references).items():
        if work not in swept or len(items) > 1:          # sweeps and scaling draw the others
            chart = work.info_string, work.fetch, _batch_text(work)
            bars.setdefault(work.benchmark, {}).setdefault(chart, []).extend(
                _time_bar(label, figure) for label, figure in items)
    return [(benchmark, [charts.bars('%s, fetch %s, batch %s: ms / batch' % chart, rows)
                         for chart, rows in by_chart.items()])
            for benchmark, by_chart in bars.items()]


def _by_work(sources, references):
    """The names of sources with their figures, by work: those that published the same work too."""
    items = [(source, figure) for source in sources for figure in source.figures]
    items += [(pair.other, row.other) for source in sources
              for pair in pairs.beside_references(source, references) for row in pair.rows]
    by_work = {}                                         # type: Dict[Work, List]
    for source, figure in items:
        item = _source_name(source, figure) + _conditions(source, figure), figure
        if not figure.differs and item not in by_work.setdefault(figure.work, []):
            by_work[figure.work].append(item)
    return by_work


def _conditions(source: Source, figure: Figure) -> str:
    """In which conditions a figure of a source differs from others of the same work."""
    names = tables.varying(source.figures) if figure.records else []
    return ''.join(', %s %s' % (name, tables.condition(figure, name)) for name in names)


def _source_name(source: Source, figure: Figure) -> str:
    if figure.published:
        return '%s (%s, %s)' % (figure.published['hardware'], source.name,
                                figure.published['year'])
    return source.name


def _batch_text(work: Work) -> str:
    return '%s' % work.batch_size if work.processes == 1 else '%s in each of %d processes' % (
        work.batch_size, work.processes)


def _time_bar(source_name: str, figure: Figure) -> charts.Mark:
    label = '%s, %s' % (_variant(figure.work), source_name)
    if figure.faults:
        return charts.Mark(label, None, (), outcome.of_figure(figure), 'bad')
    if figure.mean_s is None:                            # published as a rate
        return charts.Mark(label, None, (), tables.images_per_s(figure) + ' images / s',
                           'published')
    mean_ms = 1e3 * figure.mean_s
    if not figure.records:                               # as it was published
        return charts.Mark(label, mean_ms, (), '%s%g ms' % ('about ' * figure.about, mean_ms),
                          'published')
    text = ms(figure.mean_s) + ' ms' + (', ' + outcome.of_figure(figure)) * bool(figure.warnings)
    interval_ms = [1e3 * bound for bound in figure.ci95_s or []]
    return charts.Mark(label, mean_ms, interval_ms, text, colour(figure.work))


def _variant(work: Work) -> str:
    return work.variant + ('' if work.precision == FLOAT32 else ', ' + work.precision)


def _series(sources: Sequence[Source]) -> Dict[Tuple, List[Work]]:
    """The works of each sweep, by source, network, variant, fetch, precision and processes."""
    series = {}                                          # type: Dict[Tuple, List[Work]]
    for source in sources:
        for work in [figure.work for figure in source.figures if figure.records]:
            series.setdefault((source.name, work.benchmark, work.variant, work.fetch,
                               work.precision, work.processes), []).append(work)
    return {key: works for key, works in series.items()
            if len({work.batch_size for work in works}) >= MIN_SWEEP}


def _swept(sources: Sequence[Source]):
    return {work for works in _series(sources).values() for work in works}


def _measured(runs: Sequence[Run], key: str) -> Dict[Tuple[str, Work], List[float]]:
    """The values of a key of the results, by source and work; of valid passes only."""
    values = {}                                          # type: Dict[Tuple, List[float]]
    for run in runs:
        for entry, figure in zip(run.data['results'], run.figures):
            if not figure.faults and entry.get(key) is not None:
                values.setdefault((run.source, figure.work), []).append(entry[key])
    return values


def sweeps(runs: Sequence[Run], sources: Sequence[Source]) -> List[Sweep]:
    """Returns time and memory, and the share of the peak where it is known, by batch size."""
    memory, shares = _measured(runs, 'peak_bytes'), _measured(runs, 'share_of_peak')
    figures = {(source.name, figure.work): figure
               for source in sources for figure in source.figures}
    found = []
    for key, works in _series(sources).items():
        works = sorted(works, key=lambda work: work.batch_size)
        at = [(key[0], work) for work in works]
        lines = [('ms / image', _lines((work, _time_of_image(figures[source, work]))
                                       for source, work in at if not figures[source, work].faults)),
                 ('peak memory, MB', _lines((work, (
                     work.batch_size, max(memory[source, work]) / 1e6, ()))
                     for source, work in at if (source, work) in memory)),
                 ('share of peak, %', _lines((work, (
                     work.batch_size, 100 * max(shares[source, work]), ()))
                     for source, work in at if (source, work) in shares))]
        title = '%s: %s %s, fetch %s, %s' % key[:5] + ', %d processes' % key[5] * (key[5] > 1)
        found.append(Sweep(title, _unfinished(runs, key), [
            charts.curves('%s: %s' % (title, what), of_passes, what.split(', ')[-1],
                          is_doubling=True, is_log=what == 'peak memory, MB')
            for what, of_passes in lines if of_passes]))
    return found


def _unfinished(runs: Sequence[Run], key: Tuple) -> List[str]:
    """A text for each run of a sweep that did not finish."""
    return ['batch %s: %s' % (batch_size(run), outcome.of_run(run.data)) for run in runs
            if run.data['status'] != 'finished' and key == (
                run.source, run.data['benchmark'], run.data['variant'],
                run.data['options'].get('fetch'), key[4], report.process_count(run.data))]


def _time_of_image(figure: Figure) -> charts.Point:
    factor = 1e3 / figure.work.batch_size
    return (figure.work.batch_size, factor * figure.mean_s,
            [factor * bound for bound in figure.ci95_s or []])


def _lines(points: Iterable[Tuple[Work, charts.Point]], dashed: bool = False
           ) -> List[charts.Line]:
    """A line for each pass."""
    lines = {}                                           # type: Dict[str, charts.Line]
    for work, point in points:
        lines.setdefault(work.info_string, charts.Line(
            work.info_string, [], colour(work), dashed)).points.append(point)
    return list(lines.values())


def scaling(sources: Sequence[Source]
            ) -> List[Tuple[List[charts.Drawing], List[text.Block]]]:
    """Returns for each source that has jobs its charts and tables: images / s against the number of
    processes, dashed what they would be without loss."""
    parts = []
    for source in sources:
        lines = {}                                       # type: Dict[Tuple, List[charts.Line]]
        for work, figures in pairs.curves(source).items():
            measured, ideal = _scaling_points([one for one in figures if not one.faults])
            if ideal:                                    # a valid job
                lines.setdefault(work[:2] + work[3:6], []).extend(
                    _lines((work, point) for point in measured)
                    + _lines(((work, point) for point in ideal), dashed=True))
        drawn = [charts.curves(
            '%s: %s %s, fetch %s, batch %s of each, %s: images / s of all processes; '
            'dashed: ideal' % ((source.name,) + key), of_passes, 'images / s')
            for key, of_passes in lines.items()]
        if lines or blocks.scaling(source):
            parts.append((drawn, blocks.scaling(source)))
    return parts


def _scaling_points(figures: Sequence[Figure]
                    ) -> Tuple[List[charts.Point], List[charts.Point]]:
    """The measured and the ideal images / s of valid jobs, which begin with one process alone, as
    the smallest job timed it."""
    measured, ideal = [], []                             # type: List, List
    for figure in figures:
        if figure.alone_s and not ideal:
            ideal.append((1, figure.work.batch_size / figure.alone_s, ()))
            measured += [] if measured else ideal
        number, images_per_s = figure.work.processes, rate(figure)
        interval = []                                    # type: List[float]
        if figure.ci95_s and figure.ci95_s[0] > 0:
            interval = [images_per_s * figure.mean_s / bound for bound in figure.ci95_s]
        measured.append((number, images_per_s, interval))
        if figure.alone_s:
            ideal.append((number, pairs.ideal(figure), ()))
    return measured, ideal


def shares(runs: Sequence[Run], sources: Sequence[Source]) -> List[charts.Drawing]:
    """Returns bars of the share of the device's peak; sweeps have their own charts."""
    swept = {(key[0], work) for key, works in _series(sources).items() for work in works}
    bars = {}                                            # type: Dict[str, List[charts.Mark]]
    for (source, work), values in _measured(runs, 'share_of_peak').items():
        if (source, work) not in swept:
            share = sum(values) / len(values)
            label = '%s %s, batch %s, %s, %s' % (_variant(work), work.info_string, work.batch_size,
                                                 work.fetch, source)
            bars.setdefault(work.benchmark, []).append(
                charts.Mark(label, 100 * share, (), text.percent(share), colour(work)))
    return [charts.bars('%s: share of peak, %%' % benchmark, rows, least=100)
            for benchmark, rows in bars.items()]
