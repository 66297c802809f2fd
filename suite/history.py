"""Shows what the years brought: images / s of each GPU by year.

    python -m suite history                                      the four networks, forward
    python -m suite history --network resnet_v2 --variant 50 --pass training
    python -m suite history --svg history.svg                    the same as a chart
    python -m suite history --csv history.csv                    a row for each figure

It lists the published figures of references/ and the valid GPU records of results/, or of the
records and folders A instead. Each row has its framework and source, and the numbers of what
differs from the chapter's work, which are explained below the tables. A network is shown in one
size: VGG in configuration D and ResNet with 152 layers, unless --variant says otherwise.

The chart has a logarithmic axis and a colour for each precision. It names the best GPU of each
year; the line is the best so far. It follows the light or dark theme of the reader. A pointer on a
point shows its figure, batch, framework and source.

Exit codes:
    0    shown, or written
    2    bad usage, or no figure to show
    3    the chart cannot be drawn or written
"""
import argparse
import os
import re
import sys
from typing import Dict, List, Optional, Sequence, Tuple

from common import files, networks, text
from common.arguments import returns_exit_code
from common.stop import Stop
from suite import figures, tables
from suite.figures import RESULTS
from suite.report import by_year, charts
from suite.report.by_year import Panel, Point

CHAPTER, CHAPTERS_GPU = 'chapter', 'GTX 1080'
PASSES = {'forward': 'Forward', 'forward-backward': 'Forward-backward', 'inference': 'Inference',
          'training': 'Training with optimizer'}
# Networks whose variants are sizes, such as 152 or D: the last part of their names in references/.
SIZED = [name for name, network in networks.NETWORKS.items()
         if any(set(variant.flags) - set(networks.SWITCHES)
                for variant in network.variants.values())]
# What a publication adds to the name of a GPU, such as 'Tesla K80 (one of its two GPUs), EC2 p2'.
ADDED = re.compile(r' \(((?:one of|EC2|ECC)[^)]*)\)|, (.*)')
FRAMEWORK = re.compile(r'[A-Za-z]+(?: \d+(?:\.\d+)?\b)?')        # 'TensorFlow 1.15' of '1.15.3'


# The points

def published() -> Tuple[List[Point], Dict[str, str]]:
    """Returns the points of references/, and the address of each reference by its name."""
    points, addresses = [], {}                           # type: List[Point], Dict[str, str]
    for source in figures.references():
        addresses[source.name] = source.facts.get('source', '')
        for figure in source.figures:
            rate = figure.images_per_s
            if rate is None and figure.work.batch_size and figure.mean_s:
                rate = figures.rate(figure)
            if rate:
                points.append(_point(figure, rate, source.name, figure.published['year'],
                                     figure.published['hardware'], figure.published['software']))
    return points, addresses


def measured(paths: Sequence[str]) -> Tuple[List[Point], List[str]]:
    """Returns the points of the valid figures of one process in the GPU records among `paths`,
    records and folders at any depth, and a line for each file and path that has none."""
    points, problems = [], []                            # type: List[Point], List[str]
    for path in paths:
        source = figures.load(path, 'gpu')
        environments = {record.name: record.data['environment'] for record in source.records}
        own = [_measured(path, figure, environments[figure.records[0]])
               for figure in source.figures
               if figure.records and not figure.faults and figure.work.processes == 1]
        points, problems = points + own, problems + source.problems
        if not own and not source.problems:
            problems.append('%s: no valid GPU record' % path)
    return points, problems


def _measured(path, figure, environment):
    """The point of a figure of records, which differs at most in the fetch and the batch size."""
    if os.path.isdir(path):                              # with the folders below it
        path = os.path.join(path, os.path.dirname(figure.records[0]))
    path = os.path.normpath(path)
    if path.startswith(RESULTS):
        path = os.path.relpath(path, os.path.dirname(RESULTS))
    differs = [('gradients and outputs stay on the GPU (--fetch ops)', figure.work.fetch == 'ops'),
               ('batch size other than 32', figure.work.batch_size != 32)]
    figure = figure._replace(differs=tuple(note for note, is_true in differs if is_true))
    return _point(figure, figures.rate(figure), path,
                  environment['date'][:4], environment['device']['name'],
                  'TensorFlow %s' % environment['tensorflow'])._replace(is_own=True)


def _point(figure, rate, source, year, hardware, software):
    added = tuple(a or b for a, b in ADDED.findall(hardware))
    gpu = re.sub('^(NVIDIA )?(GeForce )?', '', ADDED.sub('', hardware))
    precision, _, xla = figure.work.precision.partition(', ')
    return Point(figure.work._replace(precision=precision), int(year), gpu, rate,
                 FRAMEWORK.match(software).group(),
                 figure.differs + ((xla,) if xla else ()) + added, source)


def panels(points: Sequence[Point], benchmarks: Sequence[str], info_string: str,
           variant: Optional[str] = None) -> List[Panel]:
    """Returns a panel for each of the networks that has points of the pass.

    Args:
        points: of any work.
        benchmarks: names in common.networks.
        info_string: the pass.
        variant: the size of VGG or ResNet; the chapter's if it is None.
    """
    shown = []
    for benchmark in benchmarks:
        network = networks.NETWORKS[benchmark]
        size = variant or next(iter(network.variants))
        chosen = [point for point in points
                  if (point.work.benchmark, point.work.info_string) == (benchmark, info_string)
                  and (benchmark not in SIZED or point.work.variant.split('_')[-1] == size)]
        chosen.sort(key=lambda point: (point.year, point.images_per_s))
        title = network.title + (' ' + size if benchmark in SIZED else '')
        chapters = [point for point in chosen if (point.source, point.work.variant) == (
            CHAPTER, next(iter(network.variants)))]
        if chosen:
            shown.append(Panel('%s, %s' % (title, info_string.lower()), chosen,
                               next(iter(chapters), None)))
    return shown


def standings(source: figures.Source) -> List[str]:
    """Returns a line for each valid figure of one process: between which published GPUs its
    images / s lie, of any variant of the same size, pass and precision, with what they ran."""
    points, _ = published()
    places = [(tables.named(figure), _standing(figure, points)) for figure in source.figures
              if figure.records and not figure.faults and figure.work.processes == 1]
    return ['%s: %s' % (name, place) for name, place in places if place]


def _standing(figure, points):
    work, rate = figure.work, figures.rate(figure)
    size = work.variant if work.benchmark in SIZED else None
    points = [point for panel in panels(points, [work.benchmark], work.info_string, size)
              for point in panel.points if point.work.precision == work.precision]
    points.sort(key=_images_per_s)
    slower = [point for point in points if point.images_per_s <= rate][-1:]
    faster = [point for point in points if point.images_per_s > rate][:1]
    named = ['the %s (%d: %s in %s, batch %s%s)' % (
        point.gpu, point.year, text.significant(point.images_per_s), point.framework,
        point.work.batch_size or '?', '' if point.work.variant == work.variant
        else ', variant ' + point.work.variant) for point in slower + faster]
    if not points:
        return None
    return '%s images / s, %s' % (text.significant(rate), (
        'between ' + ' and '.join(named)) if slower and faster else (
            'less than the slowest published, ' if faster else 'more than the fastest published, ')
            + named[0])


# As text

ENGLISH = ('%s, %s: from %s images / s on the %s (%d, %s, batch %s) to %s on the %s (%d, %s, batch '
           '%s), %s times as many')
CHINESE = ('%s，%s：从每秒 %s 张（%s，%d 年，%s，batch %s）提高到'
           '每秒 %s 张（%s，%d 年，%s，batch %s），是前者的 %s 倍')


def decade(panel: Panel, words: str = ENGLISH) -> List[str]:
    """Returns what the years brought in the same variant and precision, in the language of `words`:
    for each precision the variant with the most years between its first and its fastest figure. It
    begins with the chapter's point or the best of the first year; a single GPU has no line."""
    spans = {}                                           # type: Dict[str, Tuple[Point, Point]]
    for variant, precision in dict.fromkeys((point.work.variant, point.work.precision)
                                            for point in panel.points):
        points = [point for point in panel.points
                  if (point.work.variant, point.work.precision) == (variant, precision)]
        first = panel.chapters if panel.chapters in points else max(
            [point for point in points if point.year == points[0].year], key=_images_per_s)
        fastest = max(points, key=_images_per_s)
        before = spans.get(precision)
        years = fastest.year - first.year
        if years and by_year.model(first) != by_year.model(fastest) and not (
                before and before[1].year - before[0].year >= years):
            spans[precision] = first, fastest
    return [words % (precision, fastest.work.variant, *_words(first), *_words(fastest),
                     text.significant(fastest.images_per_s / first.images_per_s, 2))
            for precision, (first, fastest) in spans.items()]


def _images_per_s(point):
    return point.images_per_s


def _words(point):
    return (text.significant(point.images_per_s, 4), point.gpu, point.year, point.framework,
            point.work.batch_size or '?')


def blocks(shown: Sequence[Panel], addresses: Dict[str, str]) -> List[text.TextBlock]:
    """Returns what the years brought, the tables, what differs and the sources."""
    notes = list(dict.fromkeys(
        note for panel in shown for point in panel.points for note in point.differs))
    years = ['%s, %s' % (panel.title, line) for panel in shown for line in decade(panel)]
    listed = [text.TextBlock('What the years brought', [], years)] * bool(years)
    for panel in shown:
        rows = [['year', 'GPU', 'images / s', 'precision', 'batch', 'variant', 'framework',
                 'source', 'differs in']]
        for point in panel.points:
            rows.append([str(point.year), point.gpu, text.significant(point.images_per_s, 4),
                         point.work.precision, str(point.work.batch_size or '-'),
                         point.work.variant, point.framework, point.source,
                         ' '.join('%d' % (notes.index(note) + 1) for note in point.differs)])
        listed.append(text.TextBlock(panel.title, rows, []))
    listed.append(text.TextBlock("Differs from the chapter's workload in", [], [
        '%d  %s' % numbered for numbered in enumerate(notes, 1)]))
    listed.append(text.TextBlock('Sources', [], [
        '%s: %s' % (name, addresses.get(name, 'measured with these scripts'))
        for name in _sources(shown)]))
    return listed


COLUMNS = ('network', 'variant', 'pass', 'year', 'gpu', 'images_per_s', 'precision', 'batch_size',
           'framework', 'source', 'differs')


def as_csv(shown: Sequence[Panel]) -> str:
    """Returns a row for each point, with the headings COLUMNS."""
    return text.as_csv(COLUMNS, [dict(zip(COLUMNS, (
        point.work.benchmark, point.work.variant, point.work.info_string, point.year, point.gpu,
        point.images_per_s, point.work.precision, point.work.batch_size, point.framework,
        point.source, '; '.join(point.differs))))
        for panel in shown for point in panel.points])


def _sources(shown):
    return sorted({point.source for panel in shown for point in panel.points})


# As a chart

def svg(shown: Sequence[Panel], caption: str = 'Images / s of one GPU by year',
        notes: Sequence[str] = ()) -> str:
    """Returns the chart as an SVG file, with the notes below it. The same points give the same
    text."""
    published = [name for name in _sources(shown) if name in figures.reference_names()]
    sources = ['Published figures: %s (references/)' % ', '.join(published)] if published else []
    return charts.svg(by_year.chart(caption, shown, [*notes, *sources]), is_file=True) + '\n'


def default_panels() -> List[Panel]:
    """Returns the panels that are shown without any flag."""
    return panels(published()[0] + measured([RESULTS])[0], list(networks.NETWORKS), 'Forward')


def training_panel() -> Panel:
    """Returns the training of ResNet-50, of which there are the most figures."""
    panel, = panels(published()[0], ['resnet_v2'], PASSES['training'], '50')
    return panel


def training_svg() -> str:
    """Returns docs/history.svg, the chart of training_panel(). The chapter's GPU stands there with
    a forward and a backward pass, as jcjohnson published them."""
    points, panel = published()[0], training_panel()
    passes = [point for point in points if (point.source, point.gpu, point.work.variant) == (
        'jcjohnson', CHAPTERS_GPU, 'v1_50')]
    chapters = passes[0]._replace(
        images_per_s=1 / sum(1 / point.images_per_s for point in passes))
    shown = sorted(panel.points + [chapters], key=lambda point: (point.year, point.images_per_s))
    caption = 'Training ResNet-50: images / s of one GPU by year'
    return svg([panel._replace(points=shown, chapters=chapters)], caption, [
        'ResNet-50 V1, V1.5 or V2 in TensorFlow, PyTorch or MXNet, at the batch size of each '
        'publication. The %s: a forward and a backward pass, without an optimizer (jcjohnson).'
        % CHAPTERS_GPU])


def networks_svg() -> str:
    """Returns docs/networks.svg: the forward pass of the chapter's own networks, no variants of
    others."""
    own = [panel._replace(points=[
        point for point in panel.points
        if point.work.variant in networks.NETWORKS[point.work.benchmark].variants])
        for panel in default_panels()]
    return svg(own, "The chapter's networks: images / s of one GPU by year", [
        'AlexNet with or without LRN and fully connected layers; the others as in the chapter.'])


# The command

@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints or writes what `argv` asks for; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    if args.variant and args.network not in SIZED:
        parser.error('--variant needs --network %s' % ' or '.join(SIZED))
    variants = networks.NETWORKS[args.network or SIZED[0]].variants
    if args.variant and args.variant not in variants:
        parser.error('argument --variant: %s has no %r: it has %s' % (
            args.network, args.variant, ', '.join(variants)))
    if args.svg and not args.svg.endswith('.svg'):
        parser.error('argument --svg: %s: only SVG is written, into a file that ends in .svg; a '
                     'browser turns it into PNG or PDF' % args.svg)
    for flag, path in ('--svg', args.svg), ('--csv', args.csv):
        problem = path and files.argument_problem(flag, path)
        if problem:
            parser.error(problem)
    points, addresses = published()
    own, problems = measured(args.results or [RESULTS])
    for problem in problems if args.results else []:
        print(problem, file=sys.stderr)
    shown = panels(points + own, [args.network] if args.network else list(networks.NETWORKS),
                   PASSES[args.info_string], args.variant)
    if not shown:
        raise Stop('There is no figure of the pass %s of %s.' % (
            args.info_string, ' '.join(filter(None, [args.network, args.variant]))), 2)
    written = [(path, content) for path, content in (
        (args.svg, svg), (args.csv, as_csv)) if path]
    for path, content in written:
        try:
            files.write(path, content(shown))
        except OSError as error:
            raise Stop('%s: %s' % (path, error.strerror)) from None
        counts = sum(len(panel.points) for panel in shown), len(_sources(shown))
        print('%s: %s' % (path, ' from '.join('%d %s%s' % (number, noun, 's' * (number > 1))
                                              for number, noun in zip(counts, ['figure', 'source'])
                                              )), flush=True)
    if not written:
        as_words = text.as_markdown if args.markdown else text.as_text
        print(as_words(blocks(shown, addresses)), end='', flush=True)
    return 0


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('results', nargs='*', metavar='A', help='records and folders of records, instead of '
                                                'results/')
    add('--network', choices=list(networks.NETWORKS), help='one network instead of all')
    add('--variant', help='; '.join('of %s: %s' % (
        benchmark, ', '.join(networks.NETWORKS[benchmark].variants)) for benchmark in SIZED))
    add('--pass', dest='info_string', type=str.lower, choices=list(PASSES), default='forward',
        help='default: forward')
    add('--svg', metavar='PATH', help='write a chart instead of the tables')
    add('--csv', metavar='PATH', help='write a row for each figure instead of the tables')
    add('--markdown', action='store_true', help='Markdown instead of text')
    return parser
