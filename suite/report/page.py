"""The page of `suite compare --html`: one HTML file with all of its charts, which opens offline.

It has no script and loads nothing. matplotlib draws the charts as SVG, whose text stays text and
whose colours are the page's, light or dark. The same records give the same page.
"""
import html
import io
import math
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import matplotlib
from matplotlib.figure import Figure as Canvas

from common import files, report
from suite import compare
from suite import records as reading
from suite.figures import processes

WIDTH = 4.5                          # inches of 72: a chart is about as wide as a phone
ROW, AXIS = 0.5, 0.4                 # inches: of a bar with its text, of what is below the bars
LETTERS = 52                         # in the line above a bar; the tables have all in full
MIN_SWEEP = 3                        # batch sizes that make a sweep
MAX_DOTS = 500                       # more steps are drawn as a line alone
SETTINGS = {'svg.fonttype': 'none', 'svg.hashsalt': 'report', 'font.family': 'sans-serif',
            'font.size': 10.5, 'axes.spines.top': False, 'axes.spines.right': False,
            'axes.spines.left': False, 'axes.grid': True, 'axes.axisbelow': True,
            'grid.linewidth': 0.6, 'xtick.major.size': 0, 'ytick.major.size': 0}
# matplotlib knows no CSS: it draws in colours that the page's take the place of.
COLOURS = {name: '#0a0b%02x' % i for i, name in enumerate(
    ['text', 'muted', 'grid', 'forward', 'backward', 'published', 'bad'], 1)}
SETTINGS.update(dict.fromkeys(['text.color', 'axes.labelcolor'], COLOURS['text']))
SETTINGS.update(dict.fromkeys(['xtick.color', 'ytick.color'], COLOURS['muted']))
SETTINGS.update(dict.fromkeys(['axes.edgecolor', 'grid.color'], COLOURS['grid']))
PASS_COLOURS = {'Forward': COLOURS['forward'], 'Forward-backward': COLOURS['backward']}
KINDS = {'warning': 'note warn', 'INVALID': 'note bad'}
VERDICTS = {'running': 'killed', 'refused': 'INVALID', 'out_of_memory': 'out of memory'}

HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Benchmark report</title>
<style>
:root { color-scheme: light dark; --page: #fff; --card: #f6f7f9; --text: #1c2128; --muted: #59636e;
  --grid: #d5d9df; --forward: #1f6fb2; --backward: #c2570c; --published: #8b949e; --bad: #c62828;
  --warn: #8a5a00; --good: #1b7a3d }
@media (prefers-color-scheme: dark) { :root { --page: #14181d; --card: #1e242b; --text: #e4e8ed;
  --muted: #a3adb8; --grid: #3b444e; --forward: #63aeee; --backward: #f09a54;
  --published: #8b949e; --bad: #ff8a80; --warn: #f5c453; --good: #74d48c } }
body { margin: 0 auto; padding: 16px; max-width: 1400px; background: var(--page);
  color: var(--text); font: 15px/1.45 system-ui, sans-serif; overflow-wrap: anywhere }
h1 { margin: 0; font-size: 1.6em } h2 { margin: 1.6em 0 .3em; font-size: 1.3em }
h3 { margin: 1em 0 .3em; font-size: 1.05em } p { margin: .3em 0 } ul { padding-left: 1.2em }
a { color: inherit } .muted, figcaption { color: var(--muted) }
.bad, .warn, .good, .pass { font-weight: 600 } .detail { font-size: .9em; color: var(--muted) }
.bad { color: var(--bad) } .warn { color: var(--warn) } .good { color: var(--good) }
.note { font-size: .9em; padding-left: .6em; border-left: 3px solid; font-weight: 400 }
.scroll { overflow-x: auto; max-height: 80vh } pre { font-size: .85em }
table { border-collapse: collapse; font-size: .9em; font-variant-numeric: tabular-nums;
  overflow-wrap: normal }
th, td { padding: .2em .9em .2em 0; text-align: left; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--grid) }
thead th { position: sticky; top: 0; background: var(--page) }
td:last-child { white-space: normal; min-width: 9em }
.facts td + td { white-space: normal; overflow-wrap: anywhere }
.charts { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 324px), 1fr)) }
figure { margin: 0; max-width: 440px } figcaption { font-size: .9em }
svg { display: block; width: 100%; height: auto }
svg * { stroke-linejoin: round; stroke-linecap: butt; font-family: inherit !important }
article { margin: 16px 0; padding: 4px 14px 12px; background: var(--card); border-radius: 8px }
details { margin: .5em 0 } summary { cursor: pointer }
</style>
</head>
<body>
<h1>Benchmark report</h1>
"""
TIMES = """<p class="muted">Means in ms / batch, with the 95 % interval of the mean where there is
one: short runs and published figures have none. Published figures, in grey, stand only beside the
same work; what differs is below, in the comparison. A bar is of float32 if it names no other
precision.</p>"""
SWEEPS = '<p class="muted">Means with their 95 % intervals; INVALID passes are left out.</p>'


class Run(NamedTuple):
    """A record: its name here, the name of its side, what it holds, and its figures in the order of
    its results (compare.Figure, by whose faults a pass is judged)."""
    name: str
    side: str
    data: Dict[str, Any]
    figures: List[compare.Figure]


class Bar(NamedTuple):
    """A row of a bar chart: `text` is its value with the unit; no bar where `value` is None."""
    label: str
    value: Optional[float]
    interval: Optional[Tuple[float, float]]
    text: str
    colour: str


def write(path: str, names: Sequence[str], sides: Sequence[compare.Source]) -> None:
    """Writes the page of what `names` are, records, folders of them or references, and of the sides
    that compare.load made of them.

    Raises OSError: the file cannot be written.
    """
    references = [compare.load(name) for name in compare.reference_names()]
    text = page(runs(names, sides), sides, references)
    files.write(path, text)


def runs(names: Sequence[str], sides: Sequence[compare.Source]) -> List[Run]:
    """Returns all records of the sides, those too that did not finish."""
    return [Run('%s: %s' % (side.name, record.name) if len(sides) > 1 and os.path.isdir(name)
                else record.name, side.name, record.data, record.figures)
            for name, side in zip(names, sides) for record in side.records]


def page(found: Sequence[Run], sides: Sequence[compare.Source],
         references: Sequence[compare.Source]) -> str:
    """Returns the page: verdicts, charts, comparison, and each run with its steps."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()                          # not what the user has set for other work
        matplotlib.rcParams.update(SETTINGS)
        parts = [HEAD, _summary(found, sides), _times(sides, references), _sweeps(found, sides),
                 _scaling(sides), _shares(found, sides), _comparison(sides, references)]
        parts += ['<h2 id="runs">Each run</h2>'] * bool(found) + [
            _card(i, run) for i, run in enumerate(found)]
    return _unique_ids('\n'.join(filter(None, parts))) + '\n</body>\n</html>\n'


# Words and tables

def verdict(run: Run, i: Optional[int] = None) -> Tuple[str, str]:
    """Returns the verdict on a pass, or on the run, in a word or two, and its class in the page."""
    figures = run.figures if i is None else [run.figures[i]]
    status = run.data['status']
    count = sum(len(figure.warnings) for figure in figures)
    if i is None:                                        # what is of the run is with each pass
        count -= (len(figures) - 1) * len(run.data.get('warnings', []))
    if i is None and status != 'finished':
        return VERDICTS.get(status, status), 'bad'
    if any(figure.faults for figure in figures):
        return 'INVALID', 'bad'
    return ('%d warning%s' % (count, 's' * (count > 1)), 'warn') if count else ('ok', 'good')


def _summary(found, sides):
    """The head: how many of what, and a line for each pass."""
    kinds = [verdict(run)[1] for run in found]
    lines = ['<p>%d record%s: %s</p>' % (len(found), 's' * (len(found) != 1), ', '.join(
        '<span class="%s">%d %s</span>' % (kind, kinds.count(kind), words)
        for kind, words in (('bad', 'INVALID or not finished'), ('warn', 'with warnings'),
                            ('good', 'without a warning')) if kind in kinds) or 'nothing was run')]
    lines += ['<p class="note bad">%s</p>' % _text(problem)
              for side in sides for problem in side.problems]
    lines += ['<p class="note bad">%s</p>' % _text('%s, %s %s %s, batch %s: INVALID: %s' % (
        (side.name,) + figure.work[:3] + (figure.work.batch_size, figure.faults[-1])))
        for side in sides for figure in side.figures if len(figure.records) > 1 and figure.faults]
    rows, warned = [], {}                                # type: List, Dict[str, List[str]]
    for number, run in enumerate(found):
        link = '<a href="#run-%d">%s</a>' % (number, _text(run.name))
        for one in run.data.get('warnings', []):
            warned.setdefault(one['kind'], []).append('%s: %s' % (link, _text(one['text'])))
        for i, entry in enumerate(run.data['results']):
            figure, share = run.figures[i], entry.get('share_of_peak')
            named = '%s, %s: ' % (link, _text(figure.work.info_string))
            lines += ['<p class="note bad">%sINVALID: %s</p>' % (named, _text(fault))
                      for fault in entry.get('faults', [])]
            for one in entry['warnings']:
                warned.setdefault(one['kind'], []).append(named + _text(one['text']))
            cells = [figure.work.info_string, '%s %s' % figure.work[:2],
                     figure.work.batch_size, figure.work.processes, figure.work.fetch,
                     figure.work.precision]
            cells += ['-'] * 4 if figure.faults else [
                _ms(figure.mean_s), ' to '.join(map(_ms, figure.ci95_s or [])) or '-',
                '%.4g' % compare.rate(figure),
                '-' if share is None else '%.1f %%' % (100 * share)]
            rows.append([link, _badge(verdict(run, i))] + list(map(_text, cells)))
        if run.data['status'] != 'finished' or not run.data['results']:
            rows.append([link, _badge(verdict(run)), '-', _text('%s %s' % (
                run.data['benchmark'], run.data['variant'])), _text(_batch(run)),
                         _text(processes(run.data))] + ['-'] * 6)
    lines += ['<p class="note warn">%s%s</p>' % (texts[0], '' if len(texts) == 1 else
                                                 ' (and %d more like it)' % (len(texts) - 1))
              for texts in warned.values()]
    head = ['record', 'verdict', 'pass', 'network', 'batch', 'processes', 'fetch', 'precision',
            'ms / batch', '95 % interval of the mean', 'images / s', 'share of peak']
    return '\n'.join(lines + [_table(head, rows)] * bool(rows))


def _comparison(sides, references):
    """What `suite compare` prints for the same sides."""
    pairs = compare.compare(sides[0], sides[1:]) if len(sides) > 1 else \
        compare.beside_references(sides[0], references)
    parts = ['<h2>Comparison</h2>']
    shown = [block for side in sides for block in compare.scaling(side)]      # by _scaling
    parts += ['<details%s><summary>%s</summary>%s</details>' % (
        ' open' * (' against ' in block.title), _text(block.title), _block(block))
        for block in compare.blocks(sides, pairs) if block not in shown]
    return '\n'.join(parts)


def _block(block):
    body = _table(block.table[0], [list(map(_text, row)) for row in block.table[1:]]) \
        if block.table else ''
    return body + '<ul>%s</ul>' % ''.join('<li>%s</li>' % _text(line) for line in block.lines) \
        if block.lines else body


def _card(number, run):
    """All of one run: its verdict, what was printed, its steps, its environment."""
    data, lines, profiles = run.data, [], []
    lines += [('note bad', 'INVALID: ' + fault) for fault in data['faults']]
    lines += [('note bad', data['error'])] if data['error'] else []
    lines += [('note warn', 'warning: ' + one['text']) for one in data.get('warnings', [])]
    plain = [entry for entry in data['results'] if report.precision(entry) == compare.FLOAT32]
    for entry, figure in zip(data['results'], run.figures):
        try:
            head, *rest = report.result(entry)
            if entry.get('difference'):
                rest.append(report.speedup(entry, plain))
            if entry.get('layers'):
                profiles.append(report.profile(entry))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):     # the run ended in it
            head = '%s: %d steps' % (figure.work.info_string, len(entry['samples_s']))
            rest = ['warning: ' + one['text'] for one in entry['warnings']]
            rest += ['INVALID: ' + fault for fault in figure.faults]
        lines += [('pass', head)] + [(KINDS.get(line.split(':')[0].strip(), 'detail'), line)
                                     for line in rest]
    charts = [_steps(entry, figure) for entry, figure in zip(data['results'], run.figures)
              if entry['samples_s']]
    environment = data['environment']
    facts = [(key, value) for key, value in environment.items() if value not in (None, {}, [])]
    return '\n'.join(
        ['<article id="run-%d">' % number,
         '<h3>%s %s</h3>' % (_text(run.name), _badge(verdict(run))),
         '<p class="muted">%s</p>' % _text('%s %s, batch %s; %s; TensorFlow %s; %s' % (
             data['benchmark'], data['variant'], _batch(run), environment['device']['name'],
             environment['tensorflow'], environment['date']))]
        + ['<p class="%s">%s</p>' % (kind, _text(line.strip())) for kind, line in lines]
        + ['<div class="charts">%s</div>' % ''.join(charts)] * bool(charts)
        + ['<details><summary>%s</summary><pre class="scroll">%s</pre></details>' % (
            _text(lines[0].rstrip(':')), '\n'.join(map(_text, lines[1:]))) for lines in profiles]
        + ['<details><summary>Environment and flags</summary>', _table(
            [], [[_text(key), _text(_value(value))] for key, value in facts + [
                ('flags', data['options'])]], 'facts'), '</details>', '</article>'])


def _value(value):
    if isinstance(value, dict):
        return ', '.join('%s: %s' % (key, _value(one)) for key, one in value.items()
                         if one is not None)
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)


def _batch(run):
    return run.data['options'].get('batch_size', '-')


def _table(head, rows, kind='scroll'):
    common, (head, *rows) = compare.folded([head] + rows) if head else ('', [[]] + rows)
    lines = ['<p class="muted">all: %s</p>' % common] * bool(common)
    lines += ['<div class="%s"><table>' % kind]
    if head:
        lines += ['<thead><tr>%s</tr></thead>' % ''.join('<th>%s</th>' % _text(cell)
                                                         for cell in head)]
    lines += ['<tr>%s</tr>' % ''.join('<td>%s</td>' % cell for cell in row) for row in rows]
    return '\n'.join(lines + ['</table></div>'])


def _badge(judged):
    return '<span class="%s">%s</span>' % (judged[1], _text(judged[0]))


def _text(text):
    return html.escape(reading.one_line(text))


def _ms(seconds):
    """In ms, with four digits."""
    ms = 1e3 * seconds
    return '%.*f' % (max(0, 3 - math.floor(math.log10(abs(ms)))) if ms else 0, ms)


# Charts

def _times(sides, references):
    """Bars of the mean times, one chart for what may stand side by side but for the variant and the
    precision, which the bars name."""
    works = {}                                           # type: Dict[compare.Work, List]
    beside = [(pair.other, row.other) for side in sides
              for pair in compare.beside_references(side, references) for row in pair.rows]
    for one, figure in [(side, figure) for side in sides for figure in side.figures] + beside:
        item = _label(one), figure
        if not figure.differs and item not in works.setdefault(figure.work, []):
            works[figure.work].append(item)
    swept = {work for works_of_side in _series(sides).values() for work in works_of_side}
    swept.update(figure.work for side in sides for figures in compare.curves(side).values()
                 for figure in figures)
    charts = {}                                          # type: Dict[str, Dict[Tuple, List[Bar]]]
    for work, items in works.items():
        if work not in swept or len(items) > 1:          # _sweeps and _scaling draw the others
            bars = charts.setdefault(work.benchmark, {}).setdefault(
                work[2:4] + (_each(work),), [])
            bars += [_time_bar(work, label, figure) for label, figure in items]
    parts = ['<h2>Time of a step</h2>', TIMES]
    for benchmark, by_work in charts.items():
        parts += ['<h3>%s</h3>' % _text(benchmark), '<div class="charts">'] + [
            _figure('%s, fetch %s, batch %s: ms / batch' % key, _bars(bars))
            for key, bars in by_work.items()] + ['</div>']
    return '\n'.join(parts) if charts else ''


def _time_bar(work, label, figure):
    colour = PASS_COLOURS.get(work.info_string) if figure.records else COLOURS['published']
    label = '%s, %s' % (_variant(work), label)
    if figure.faults or figure.mean_s is None:
        return Bar(label, None, None, 'INVALID', COLOURS['bad'])
    count = len(figure.warnings)
    return Bar(label, 1e3 * figure.mean_s, figure.ci95_s and tuple(
        1e3 * bound for bound in figure.ci95_s), '%s%s ms%s' % (
            'about ' * figure.about,
            _ms(figure.mean_s) if figure.records else '%g' % (1e3 * figure.mean_s),
            ', %d warning%s' % (count, 's' * (count > 1)) if count else ''), colour)


def _variant(work):
    return work.variant + ('' if work.precision == compare.FLOAT32 else ', ' + work.precision)


def _each(work):
    return '%s' % work.batch_size if work.processes == 1 else '%s in each of %d processes' % (
        work.batch_size, work.processes)


def _label(side):
    if 'hardware' in side.facts:
        return '%s (%s, %s)' % (side.facts['hardware'], side.name, side.facts.get('year', '-'))
    return side.name


def _series(sides):
    """The works of each sweep, by side, network, variant, fetch, precision and processes."""
    found = {}                                           # type: Dict[Tuple, List[compare.Work]]
    for side in sides:
        for work in [figure.work for figure in side.figures if figure.records]:
            found.setdefault((side.name, work.benchmark, work.variant, work.fetch, work.precision,
                              work.processes), []).append(work)
    return {key: works for key, works in found.items()
            if len({work.batch_size for work in works}) >= MIN_SWEEP}


def _measured(found, key):
    """The values of a key of the results, valid ones alone, by side and work."""
    values = {}                                          # type: Dict[Tuple, List[float]]
    for run in found:
        for entry, figure in zip(run.data['results'], run.figures):
            if not figure.faults and entry.get(key) is not None:
                values.setdefault((run.side, figure.work), []).append(entry[key])
    return values


def _sweeps(found, sides):
    """Time and memory, and the share of the peak where it is known, against the batch size."""
    memory, shares = _measured(found, 'peak_bytes'), _measured(found, 'share_of_peak')
    figures = {(side.name, figure.work): figure for side in sides for figure in side.figures}
    parts = []
    for key, works in _series(sides).items():
        ends = ['batch %s: %s' % (_batch(run), verdict(run)[0]) for run in found
                if run.data['status'] != 'finished' and key == (
                    run.side, run.data['benchmark'], run.data['variant'],
                    run.data['options'].get('fetch'), key[4], processes(run.data))]
        times, megabytes, percents = {}, {}, {}          # type: Dict[str, List[Tuple]], Dict, Dict
        for work in sorted(works, key=lambda work: work.batch_size):
            figure, at = figures[key[0], work], (key[0], work)
            if not figure.faults:
                per_image = 1e3 / work.batch_size
                times.setdefault(work.info_string, []).append(
                    (work.batch_size, figure.mean_s * per_image,
                     [bound * per_image for bound in figure.ci95_s or []]))
            for values, scale, line in ((memory, 1e-6, megabytes), (shares, 100, percents)):
                if at in values:
                    line.setdefault(work.info_string, []).append(
                        (work.batch_size, scale * max(values[at]), []))
        title = '%s: %s %s, fetch %s, %s' % key[:5] + ', %d processes' % key[5] * (key[5] > 1)
        parts += ['<h3>%s</h3>' % _text(title)] + ['<p>%s</p>' % _text(end) for end in ends]
        parts += ['<div class="charts">'] + [
            _figure('%s: %s' % (title, what), _lines(lines, True, what == 'peak memory, MB'))
            for what, lines in (('ms / image', times), ('peak memory, MB', megabytes),
                                ('share of peak, %', percents)) if lines] + ['</div>']
    return '\n'.join(['<h2>Against the batch size</h2>', SWEEPS] + parts) if parts else ''


def _scaling(sides):
    """Images / s against the number of processes, dashed what they would be without loss."""
    parts = []
    for side in sides:
        charts = {}                                      # type: Dict[Tuple, Dict[str, List]]
        for work, figures in compare.curves(side).items():
            measured, ideal = [], []                     # type: List, List
            for figure in [figure for figure in figures if not figure.faults]:
                if figure.alone_s and not ideal:         # one process alone, of the smallest job
                    ideal.append((1, work.batch_size / figure.alone_s, []))
                    measured += [] if measured else ideal
                number, per_s = figure.work.processes, compare.rate(figure)
                measured.append((number, per_s, [per_s * figure.mean_s / bound
                                                 for bound in figure.ci95_s]
                                 if figure.ci95_s and figure.ci95_s[0] > 0 else []))
                if figure.alone_s:
                    ideal.append((number, compare.ideal(figure), []))
            if ideal:                                    # a valid job
                lines = charts.setdefault(work[:2] + work[3:6], {})
                lines.update({work.info_string: measured, '_' + work.info_string: ideal})
        parts += ['<div class="charts">%s</div>' % ''.join(
            _figure('%s: %s %s, fetch %s, batch %s of each, %s: images / s of all processes; '
                    'dashed: ideal' % ((side.name,) + key), _lines(lines, False, False))
            for key, lines in charts.items())] * bool(charts)
        parts += map(_block, compare.scaling(side))
    return '\n'.join(['<h2>Against the number of processes</h2>'] + parts) if parts else ''


def _shares(found, sides):
    """Bars of the share of the device's peak; that of a sweep is drawn with it."""
    swept = {(key[0], work) for key, works in _series(sides).items() for work in works}
    charts = {}                                          # type: Dict[str, List[Bar]]
    for (side, work), values in _measured(found, 'share_of_peak').items():
        if (side, work) not in swept:
            share = 100 * sum(values) / len(values)
            charts.setdefault(work.benchmark, []).append(Bar(
                '%s %s, batch %s, %s, %s' % (_variant(work), work.info_string, work.batch_size,
                                             work.fetch, side),
                share, None, '%.1f %%' % share, PASS_COLOURS.get(work.info_string)))
    body = '<div class="charts">%s</div>' % ''.join(
        _figure('%s: share of peak, %%' % benchmark, _bars(bars, 100))
        for benchmark, bars in charts.items()) if charts else ''
    known = any(run.data['environment']['peak_flops'] for run in found)
    return '<h2>Share of the peak</h2>\n<p class="muted">%s</p>%s' % (
        'The rate of convolutions and matrix products, of the float32 peak of the device.' if known
        else 'Not known: these devices have no float32 peak here.', body) if found else ''


def _bars(bars, least=0.0):
    """Horizontal bars, each below its text; the axis goes to `least` at least."""
    height = ROW * len(bars) + AXIS
    canvas = Canvas(figsize=(WIDTH, height))
    axes = canvas.add_axes([0.02, (AXIS - 0.1) / height, 0.94, 1 - (AXIS - 0.1) / height])
    right = max([least] + [max((bar.value,) + (bar.interval or ()))
                           for bar in bars if bar.value is not None]) or 1
    for i, bar in enumerate(bars):
        if bar.value is not None:
            axes.barh(i + 0.22, bar.value, 0.36, color=bar.colour)
        if bar.interval:
            axes.hlines(i + 0.22, *bar.interval, color=COLOURS['text'], linewidth=1.2)
            axes.vlines(bar.interval, i + 0.1, i + 0.34, color=COLOURS['text'], linewidth=1.2)
        axes.text(0, i - 0.2, _drawn(bar.label, LETTERS - len(bar.text)), va='center')
        axes.text(right, i - 0.2, _drawn(bar.text), va='center', ha='right',
                  color=COLOURS['bad'] if bar.colour == COLOURS['bad'] else COLOURS['text'])
    axes.set_xlim(0, 1.01 * right)                       # room for the end of an interval
    axes.set_ylim(len(bars) - 0.45, -0.5)
    axes.set_yticks([])
    axes.locator_params(axis='x', nbins=5)
    return canvas


def _lines(lines, doubling, logarithmic):
    """Values with intervals, a line for each pass, dashed where the name begins with _; `doubling`
    sets x in powers of 2, else both axes begin at 0."""
    canvas = Canvas(figsize=(WIDTH, 2.6))
    axes = canvas.add_axes([0.13, 0.12, 0.85, 0.76])
    for name, points in lines.items():
        x, y, intervals = zip(*points)
        style = '--' if name[0] == '_' else '-o' if name == 'Forward' else '-s'
        colour = PASS_COLOURS.get(name.lstrip('_'), COLOURS['text'])
        axes.plot(x, y, style, markersize=4, label=name, color=colour)
        for at, interval in zip(x, intervals):
            if interval:
                axes.vlines(at, *interval, color=colour, linewidth=1.2)
    sizes = sorted({point[0] for points in lines.values() for point in points})
    if doubling:
        axes.set_xscale('log', base=2)
    else:
        axes.set_xlim(left=0)
    axes.set_xticks(sizes[::1 + len(sizes) // 10])
    if logarithmic:
        axes.set_yscale('log', base=2)
        axes.yaxis.set_major_formatter('{x:.4g}')
    else:
        axes.set_ylim(bottom=0)
    axes.xaxis.set_major_formatter('{x:.0f}')
    axes.minorticks_off()
    axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=2, frameon=False, borderpad=0)
    return canvas


def _steps(entry, figure):
    """The steps in order; those of the burn-in, hollow, before step 0, and at the edge where they
    are beyond it. The scale shows at least 10 % of the median."""
    ms = [1e3 * seconds for seconds in entry['samples_s']]
    burn_in = [1e3 * seconds for seconds in entry['burn_in_s']]
    middle = sorted(ms)[len(ms) // 2]
    low, high = min(ms + [0.95 * middle]), max(ms + [1.05 * middle])
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low) or 1
    colour = PASS_COLOURS.get(figure.work.info_string, COLOURS['text'])
    canvas = Canvas(figsize=(WIDTH, 1.9))
    axes = canvas.add_axes([0.13, 0.14, 0.85, 0.82])
    axes.axhline(middle, color=COLOURS['muted'], linewidth=0.8)
    axes.plot(range(len(ms)), ms, '-', color=colour, linewidth=0.8)
    if len(ms) <= MAX_DOTS:
        axes.plot(range(len(ms)), ms, 'o', color=colour, markersize=3, markeredgewidth=0)
    axes.plot(range(-len(burn_in), 0), [min(max(one, low), high) for one in burn_in], 'o',
              markersize=3.2, markerfacecolor='none', markeredgecolor=COLOURS['muted'],
              markeredgewidth=0.8, clip_on=False)
    axes.set_ylim(low, high)
    axes.locator_params(axis='y', nbins=5)
    axes.ticklabel_format(useOffset=False, style='plain')
    axes.locator_params(axis='x', integer=True, nbins=6)
    return _figure('%s, %s: ms of each step; line: the median%s' % (
        figure.work.info_string, figure.work.precision, '; hollow: %d of burn-in, %s to %s ms' % (
            len(burn_in), _ms(min(burn_in) / 1e3), _ms(max(burn_in) / 1e3)) if burn_in else ''),
        canvas)


def _drawn(text, letters=200):
    """Cut to a length, and not read as mathematics, which $ would begin."""
    text = reading.one_line(text)
    text = text if len(text) <= letters else text[:letters - 1] + '\u2026'
    return text.replace('$', r'\$')


def _figure(caption, canvas):
    """The drawing as part of the page: without what makes it a file, in the page's colours."""
    file = io.StringIO()
    canvas.savefig(file, format='svg', transparent=True)
    svg = file.getvalue()
    svg = svg[svg.index('<svg'):]
    svg = re.sub(r'(?s) *<metadata>.*?</metadata>\n?| *<defs>\s*<style.*?</defs>\n?|<!--.*?-->\n?',
                 '', svg)
    svg = re.sub(r'<g id="[^"]*"', '<g', svg)
    svg = re.sub(r'<svg [^>]*?(viewBox="[^"]*")[^>]*>',
                 lambda match: '<svg %s xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://'
                 'www.w3.org/1999/xlink" role="img" aria-label="%s">' % (
                     match.group(1), _text(caption)), svg, count=1)
    for name, colour in COLOURS.items():
        svg = svg.replace(colour, 'var(--%s)' % name)
    return '<figure><figcaption>%s</figcaption>\n%s</figure>\n' % (_text(caption), svg)


def _unique_ids(text):
    """Numbers the drawings, for two that have the same part call it the same."""
    numbers = iter(range(text.count('<svg')))
    return re.sub(r'(?s)<svg .*?</svg>', lambda match: re.sub(
        r'( id="|href="#|url\(#)', r'\1s%d-' % next(numbers), match.group()), text)
