"""Shows what the years brought: images / s of each GPU by year.

    python -m suite history                                      the four networks, forward
    python -m suite history --network resnet_v2 --variant 50 --pass training
    python -m suite history --svg history.svg                    the same as a chart

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
from suite import figures
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


# As text

ENGLISH = '%s: from %s images / s on the %s of %d to %s on the %s of %d (%s), %s times as many'
CHINESE = '%s：从 %s 张 / 秒（%s，%d 年）到 %s 张 / 秒（%s，%d 年，%s），为 %s 倍'


def decade(shown: Sequence[Panel], words: str = ENGLISH) -> List[str]:
    """Returns a line for each panel with the chapter's point: from that to the fastest point, in
    the language of `words`."""
    lines = []
    for panel in shown:
        if panel.chapters:
            chapters = panel.chapters
            best = max(panel.points, key=lambda point: point.images_per_s)
            lines.append(words % (
                panel.title, text.significant(chapters.images_per_s, 3), chapters.gpu,
                chapters.year, text.significant(best.images_per_s, 4), best.gpu, best.year,
                best.work.precision,
                text.significant(best.images_per_s / chapters.images_per_s, 2)))
    return lines


def listing(shown: Sequence[Panel], addresses: Dict[str, str]) -> str:
    """Returns what the years brought, the tables, what differs and the sources."""
    notes = list(dict.fromkeys(
        note for panel in shown for point in panel.points for note in point.differs))
    blocks = []
    for panel in shown:
        rows = [['year', 'GPU', 'images / s', 'precision', 'batch', 'variant', 'framework',
                 'source', 'differs in']]
        for point in panel.points:
            rows.append([str(point.year), point.gpu, text.significant(point.images_per_s, 4),
                         point.work.precision, str(point.work.batch_size or '-'),
                         point.work.variant, point.framework, point.source,
                         ' '.join('%d' % (notes.index(note) + 1) for note in point.differs)])
        blocks.append(text.TextBlock(panel.title, rows, []))
    blocks.append(text.TextBlock("Differs from the chapter's work in", [], [
        '%d  %s' % numbered for numbered in enumerate(notes, 1)]))
    blocks.append(text.TextBlock('Sources', [], [
        '%s: %s' % (name, addresses.get(name, 'measured with these scripts'))
        for name in _sources(shown)]))
    lines = decade(shown)
    return '\n'.join(lines + [''] * bool(lines) + [text.as_text(blocks)])


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


def training_svg() -> str:
    """Returns docs/history.svg: the training of ResNet-50, of which there are the most figures. The
    chapter's GPU stands there with a forward and a backward pass, as jcjohnson published them."""
    points, _ = published()
    panel, = panels(points, ['resnet_v2'], PASSES['training'], '50')
    passes = [point for point in points if (point.source, point.gpu, point.work.variant) == (
        'jcjohnson', CHAPTERS_GPU, 'v1_50')]
    chapters = passes[0]._replace(
        images_per_s=1 / sum(1 / point.images_per_s for point in passes))
    shown = sorted(panel.points + [chapters], key=lambda point: (point.year, point.images_per_s))
    return svg([panel._replace(points=shown, chapters=chapters)],
               'Training ResNet-50: images / s of one GPU by year', [
                   'ResNet-50 V1, V1.5 or V2 in TensorFlow, PyTorch or MXNet, at the batch size of '
                   'each publication. The %s: a forward and a backward pass, without an '
                   'optimizer (jcjohnson).' % CHAPTERS_GPU])


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
    problem = args.svg and files.argument_problem('--svg', args.svg)
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
    if args.svg:
        try:
            files.write(args.svg, svg(shown))
        except OSError as error:
            raise Stop('%s: %s' % (args.svg, error.strerror)) from None
        print('%s: %d figures from %d sources' % (args.svg, sum(
            len(panel.points) for panel in shown), len(_sources(shown))), flush=True)
    else:
        print(listing(shown, addresses), end='', flush=True)
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
    return parser
