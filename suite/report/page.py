"""The page of `suite compare --html`: one HTML file with all of its charts, which opens offline.

This module collects what is on the page, as plain data; page.html.jinja is the page, page.css its
style, and charts.py draws. The same records give the same page.
"""
import itertools
import os
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

import jinja2
import markupsafe

from common import files, report
from common.text import significant
from suite import compare, outcome, pairs, records, tables
from suite.figures import (
    FLOAT32,
    Figure,
    Source,
    Work,
    load,
    rate,
    reference_names,
)
from suite.report import charts

MIN_SWEEP = 3                        # batch sizes that make a sweep
COLOURS = {'Forward': 'forward', 'Forward-backward': 'backward'}     # of a pass
LINE_CLASSES = {'caution': 'note warn', 'INVALID': 'note bad'}       # by the first word of a line


class Run(NamedTuple):
    """A record: its place and its name on the page, the name of its source, what it holds, and the
    figures of its results, in their order."""
    number: int
    name: str
    source: str
    data: Dict[str, Any]
    figures: List[Figure]


class Note(NamedTuple):
    """A fault or a caution of a run, or of one pass of it."""
    run: Run
    info_string: str                 # '' if it is of the whole run
    text: str


class Table(NamedTuple):
    """What all rows have in common, as one line, and the table without it."""
    common: str
    head: List[str]
    rows: List[Any]


class Block(NamedTuple):
    """A part of the comparison; it has a table, lines, or both, and may be shown folded."""
    title: str
    table: Optional[Table]
    lines: List[str]
    open: bool


class Sweep(NamedTuple):
    """The same work at several batch sizes; `ends` says which sizes did not finish, and why."""
    title: str
    ends: List[str]
    charts: List[charts.LineChart]


class Card(NamedTuple):
    """All of one run. Each line has its CSS class; a profile is a list of lines, its title first;
    facts are of the environment, by name."""
    run: Run
    word: str
    work: str
    lines: List[Tuple[str, str]]
    charts: List[charts.StepChart]
    profiles: List[List[str]]
    facts: List[Tuple[str, str]]


def write(path: str, names: Sequence[str], sources: Sequence[Source]) -> None:
    """Writes the page of records, folders of records and references: their names, and the sources
    that load made of them.

    Raises OSError: the file cannot be written.
    """
    references = [load(name) for name in reference_names()]
    files.write(path, page(runs_of(names, sources), sources, references))


def runs_of(names: Sequence[str], sources: Sequence[Source]) -> List[Run]:
    """Returns all records of the sources, including those that did not finish."""
    all_records = [
        ('%s: %s' % (source.name, record.name) if len(sources) > 1 and os.path.isdir(name)
         else record.name, source.name, record.data, record.figures)
        for name, source in zip(names, sources) for record in source.records]
    return [Run(number, *record) for number, record in enumerate(all_records)]


def page(runs: Sequence[Run], sources: Sequence[Source],
         references: Sequence[Source]) -> str:
    """Returns the page: outcomes, charts, comparison, and each run with its steps."""
    with charts.style():
        return _template().render(
            runs=runs, counts=_counts(runs), problems=_problems(sources), faults=_faults(runs),
            cautions=_cautions(runs), passes=_passes(runs), times=_times(sources, references),
            sweeps=_sweeps(runs, sources), scaling=_scaling(sources),
            peak_is_known=any(run.data['environment']['peak_flops'] for run in runs),
            shares=_shares(runs, sources), comparison=_comparison(sources, references),
            cards=list(map(_card, runs)))


def _template() -> jinja2.Template:
    """The template, with a filter that draws charts and numbers them in the order of the page."""
    numbers = itertools.count()
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(os.path.abspath(__file__))), autoescape=True,
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_printable)
    environment.filters['kind'] = outcome.kind
    environment.filters['svg'] = lambda chart: charts.svg(chart, next(numbers))
    return environment.get_template('page.html.jinja')


def _printable(value: Any) -> Any:
    """What the template prints is a line, or has been made by the template itself."""
    return value if isinstance(value, markupsafe.Markup) else records.one_line(value)


def _ms(seconds: float) -> str:
    return significant(1e3 * seconds, 4)


# The outcomes

def _counts(runs: Sequence[Run]) -> List[Tuple[str, int]]:
    """How many runs had each kind of outcome."""
    kinds = [outcome.kind(outcome.of_run(run.data)) for run in runs]
    return [(kind, kinds.count(kind)) for kind in ('bad', 'warn', 'good') if kind in kinds]


def _problems(sources: Sequence[Source]) -> List[str]:
    """What could not be read, and records that are not repeats of each other."""
    return [problem for source in sources for problem in source.problems] + [
        '%s, %s %s %s, batch %s: INVALID: %s' % (
            (source.name,) + figure.work[:3] + (figure.work.batch_size, figure.faults[-1]))
        for source in sources for figure in source.figures
        if len(figure.records) > 1 and figure.faults]


def _faults(runs: Sequence[Run]) -> List[Note]:
    return [Note(run, entry['info_string'], fault) for run in runs
            for entry in run.data['results'] for fault in entry.get('faults', [])]


def _cautions(runs: Sequence[Run]) -> List[List[Note]]:
    """Lists of cautions of the same kind."""
    by_kind = {}                                         # type: Dict[str, List[Note]]
    for run in runs:
        for part in [run.data] + run.data['results']:
            for caution in part.get('warnings', []):
                by_kind.setdefault(caution['kind'], []).append(
                    Note(run, part.get('info_string', ''), caution['text']))
    return list(by_kind.values())


def _passes(runs: Sequence[Run]) -> Table:
    """A row for each pass, and for each run that did not finish; with the run and its outcome."""
    outcomes, rows = [], []                              # type: List[Tuple[Run, str]], List
    for run in runs:
        data = run.data
        for entry, figure in zip(data['results'], run.figures):
            outcomes.append((run, outcome.of_pass(data, entry)))
            rows.append(_pass_cells(entry, figure))
        if data['status'] != 'finished' or not data['results']:
            outcomes.append((run, outcome.of_run(data)))
            rows.append(['-', '%s %s' % (data['benchmark'], data['variant']), _batch_size(run),
                         str(report.process_count(data))] + ['-'] * 6)
    head = ['pass', 'network', 'batch', 'processes', 'fetch', 'precision', 'ms / batch',
            '95 % interval of the mean', 'images / s', 'share of peak']
    table = _folded([head] + rows)
    return table._replace(rows=list(zip(outcomes, table.rows)))


def _pass_cells(entry: Dict[str, Any], figure: Figure) -> List[str]:
    work, share = figure.work, entry.get('share_of_peak')
    cells = [work.info_string, '%s %s' % work[:2], str(work.batch_size), str(work.processes),
             str(work.fetch), work.precision]
    if figure.faults:
        return cells + ['-'] * 4
    return cells + [_ms(figure.mean_s), ' to '.join(map(_ms, figure.ci95_s or [])) or '-',
                    significant(rate(figure), 4),
                    '-' if share is None else tables.percent(share)]


def _batch_size(run: Run) -> str:
    return str(run.data['options'].get('batch_size', '-'))


def _folded(table: List[List[str]]) -> Table:
    common, (head, *rows) = tables.folded(table)
    return Table(common, head, rows)


# The charts

def _times(sources: Sequence[Source], references: Sequence[Source]
           ) -> List[Tuple[str, List[charts.BarChart]]]:
    """Bars of the mean times by network: one chart for what differs in the variant and the
    precision alone, which the bars name."""
    swept = _swept(sources) | {figure.work for source in sources
                             for figures in pairs.curves(source).values() for figure in figures}
    bars = {}                                            # type: Dict[str, Dict[Tuple, List]]
    for work, items in _by_work(sources, references).items():
        if work not in swept or len(items) > 1:          # _sweeps and _scaling draw the others
            chart = work.info_string, work.fetch, _batch_text(work)
            bars.setdefault(work.benchmark, {}).setdefault(chart, []).extend(
                _time_bar(label, figure) for label, figure in items)
    return [(benchmark, [charts.BarChart('%s, fetch %s, batch %s: ms / batch' % chart, rows)
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


def _time_bar(source_name: str, figure: Figure) -> charts.Bar:
    label = '%s, %s' % (_variant(figure.work), source_name)
    if figure.faults or figure.mean_s is None:
        return charts.Bar(label, None, None, figure.word or 'INVALID', 'bad')
    mean_ms = 1e3 * figure.mean_s
    if not figure.records:                               # as it was published
        return charts.Bar(label, mean_ms, None, '%s%g ms' % ('about ' * figure.about, mean_ms),
                          'published')
    text, count = _ms(figure.mean_s) + ' ms', len(figure.warnings)
    if count:
        text += ', %d caution%s' % (count, 's' * (count > 1))
    interval_ms = [1e3 * bound for bound in figure.ci95_s or []]
    return charts.Bar(label, mean_ms, interval_ms, text, _colour(figure.work))


def _variant(work: Work) -> str:
    return work.variant + ('' if work.precision == FLOAT32 else ', ' + work.precision)


def _colour(work: Work) -> str:
    return COLOURS.get(work.info_string, 'text')


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


def _sweeps(runs: Sequence[Run], sources: Sequence[Source]) -> List[Sweep]:
    """Time and memory, and the share of the peak where it is known, against the batch size."""
    memory, shares = _measured(runs, 'peak_bytes'), _measured(runs, 'share_of_peak')
    figures = {(source.name, figure.work): figure
               for source in sources for figure in source.figures}
    sweeps = []
    for key, works in _series(sources).items():
        works = sorted(works, key=lambda work: work.batch_size)
        at = [(key[0], work) for work in works]
        lines = [('ms / image', _lines((work, _time_of_image(figures[source, work]))
                                       for source, work in at if not figures[source, work].faults)),
                 ('peak memory, MB', _lines((work, charts.Point(
                     work.batch_size, max(memory[source, work]) / 1e6))
                     for source, work in at if (source, work) in memory)),
                 ('share of peak, %', _lines((work, charts.Point(
                     work.batch_size, 100 * max(shares[source, work])))
                     for source, work in at if (source, work) in shares))]
        title = '%s: %s %s, fetch %s, %s' % key[:5] + ', %d processes' % key[5] * (key[5] > 1)
        sweeps.append(Sweep(title, _unfinished(runs, key), [
            charts.LineChart('%s: %s' % (title, what), of_passes, doubling=True,
                             logarithmic=what == 'peak memory, MB')
            for what, of_passes in lines if of_passes]))
    return sweeps


def _unfinished(runs: Sequence[Run], key: Tuple) -> List[str]:
    """A text for each run of a sweep that did not finish."""
    return ['batch %s: %s' % (_batch_size(run), outcome.of_run(run.data)) for run in runs
            if run.data['status'] != 'finished' and key == (
                run.source, run.data['benchmark'], run.data['variant'],
                run.data['options'].get('fetch'), key[4], report.process_count(run.data))]


def _time_of_image(figure: Figure) -> charts.Point:
    ms = 1e3 / figure.work.batch_size
    return charts.Point(figure.work.batch_size, ms * figure.mean_s,
                        [ms * bound for bound in figure.ci95_s or []])


def _lines(points: Iterable[Tuple[Work, charts.Point]], dashed: bool = False
           ) -> List[charts.Line]:
    """A line for each pass."""
    lines = {}                                           # type: Dict[str, charts.Line]
    for work, point in points:
        lines.setdefault(work.info_string, charts.Line(
            work.info_string, [], _colour(work), dashed)).points.append(point)
    return list(lines.values())


def _scaling(sources: Sequence[Source]
             ) -> List[Tuple[List[charts.LineChart], List[Block]]]:
    """For each source that has jobs, its charts and tables: images / s against the number of
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
        drawn = [charts.LineChart(
            '%s: %s %s, fetch %s, batch %s of each, %s: images / s of all processes; '
            'dashed: ideal' % ((source.name,) + key), of_passes)
            for key, of_passes in lines.items()]
        blocks = list(map(_block, compare.scaling(source)))
        if blocks:
            parts.append((drawn, blocks))
    return parts


def _scaling_points(figures: Sequence[Figure]
                    ) -> Tuple[List[charts.Point], List[charts.Point]]:
    """The measured and the ideal images / s of valid jobs, which begin with one process alone, as
    the smallest job timed it."""
    measured, ideal = [], []                             # type: List, List
    for figure in figures:
        if figure.alone_s and not ideal:
            ideal.append(charts.Point(1, figure.work.batch_size / figure.alone_s))
            measured += [] if measured else ideal
        number, images_per_s = figure.work.processes, rate(figure)
        interval = []                                    # type: List[float]
        if figure.ci95_s and figure.ci95_s[0] > 0:
            interval = [images_per_s * figure.mean_s / bound for bound in figure.ci95_s]
        measured.append(charts.Point(number, images_per_s, interval))
        if figure.alone_s:
            ideal.append(charts.Point(number, pairs.ideal(figure)))
    return measured, ideal


def _shares(runs: Sequence[Run], sources: Sequence[Source]) -> List[charts.BarChart]:
    """Bars of the share of the device's peak; that of a sweep is drawn with it."""
    swept = {(key[0], work) for key, works in _series(sources).items() for work in works}
    bars = {}                                            # type: Dict[str, List[charts.Bar]]
    for (source, work), values in _measured(runs, 'share_of_peak').items():
        if (source, work) not in swept:
            share = sum(values) / len(values)
            label = '%s %s, batch %s, %s, %s' % (_variant(work), work.info_string, work.batch_size,
                                                 work.fetch, source)
            bars.setdefault(work.benchmark, []).append(
                charts.Bar(label, 100 * share, None, tables.percent(share), _colour(work)))
    return [charts.BarChart('%s: share of peak, %%' % benchmark, rows, least=100)
            for benchmark, rows in bars.items()]


# The comparison

def _comparison(sources: Sequence[Source], references: Sequence[Source]) -> List[Block]:
    """What `suite compare` prints for the same sources, without the tables of _scaling."""
    compared = pairs.compare(sources[0], sources[1:]) if len(sources) > 1 else \
        pairs.beside_references(sources[0], references)
    shown = [block for source in sources for block in compare.scaling(source)]
    return [_block(block) for block in compare.blocks(sources, compared, details=True)
            if block not in shown]


def _block(block: tables.Block) -> Block:
    return Block(block.title, _folded(block.table) if block.table else None, block.lines,
                 open=' against ' in block.title)


# Each run

def _card(run: Run) -> Card:
    data, environment = run.data, run.data['environment']
    lines = [('note bad', 'INVALID: ' + fault) for fault in data['faults']]
    lines += [('note bad', data['error'])] if data['error'] else []
    lines += [('note warn', 'caution: ' + caution['text']) for caution in data.get('warnings', [])]
    profiles = []
    for entry, figure in zip(data['results'], run.figures):
        head, rest, profile = _printed(data, entry, figure)
        lines += [('pass', head)] + [
            (LINE_CLASSES.get(line.split(':')[0].strip(), 'detail'), line.strip()) for line in rest]
        profiles += [[profile[0].rstrip(':')] + profile[1:]] if profile else []
    facts = [(key, value) for key, value in environment.items() if value not in (None, {}, [])]
    return Card(
        run, outcome.of_run(data), '%s %s, batch %s; %s; TensorFlow %s; %s' % (
            data['benchmark'], data['variant'], _batch_size(run), environment['device']['name'],
            environment['tensorflow'], environment['date']),
        lines, [_steps(entry, figure) for entry, figure in zip(data['results'], run.figures)
                if entry['samples_s']], profiles,
        [(key, _fact(value)) for key, value in facts + [('flags', data['options'])]])


def _printed(data: Dict[str, Any], entry: Dict[str, Any], figure: Figure
             ) -> Tuple[str, List[str], List[str]]:
    """What a run prints about a pass: the summary line, the others, and the lines of its profile.
    Of a pass that the run ended in, or that is damaged: its steps, its cautions and its faults."""
    plain = [other for other in data['results'] if report.precision(other) == FLOAT32]
    try:
        head, *rest = report.result(entry)
        if entry.get('difference'):
            rest.append(report.speedup(entry, plain))
        return head, rest, report.profile(entry) if entry.get('layers') else []
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return ('%s: %d steps' % (entry['info_string'], len(entry['samples_s'])),
                ['caution: ' + caution['text'] for caution in entry['warnings']]
                + ['INVALID: ' + fault for fault in figure.faults], [])


def _steps(entry: Dict[str, Any], figure: Figure) -> charts.StepChart:
    burn_in_s = entry['burn_in_s']
    caption = '%s, %s: ms of each step; line: the median' % (
        figure.work.info_string, figure.work.precision)
    if burn_in_s:
        caption += '; hollow: %d of burn-in, %s to %s ms' % (
            len(burn_in_s), _ms(min(burn_in_s)), _ms(max(burn_in_s)))
    return charts.StepChart(caption, [1e3 * seconds for seconds in entry['samples_s']],
                            [1e3 * seconds for seconds in burn_in_s], _colour(figure.work))


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join('%s: %s' % (key, _fact(part)) for key, part in value.items()
                         if part is not None)
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
