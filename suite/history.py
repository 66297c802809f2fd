"""Shows what the years brought: images / s of each GPU by year.

    python -m suite history                                      the four networks, forward
    python -m suite history --network resnet_v2 --variant 50 --pass training
    python -m suite history --svg history.svg                    the same as a chart

It lists the published figures of references/ and the valid GPU records of results/, or of the
records and folders A instead. Each row has its framework and source, and the numbers of what
differs from the chapter's work, which are explained below the tables. A network is shown in one
size: VGG in configuration D and ResNet with 152 layers, unless --variant says otherwise.

The chart has a logarithmic axis, a colour for each precision, and no lines: no two points need be
of the same work. It follows the light or dark theme of the reader.

Exit codes:
    0    shown, or written
    2    bad usage, or no figure to show
    3    the chart cannot be drawn or written
"""
import argparse
import json
import os
import re
import sys
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import files, networks, text
from common.arguments import returns_exit_code
from suite import figures
from suite.figures import RESULTS

CHAPTER = 'chapter'
PASSES = {'forward': 'Forward', 'forward-backward': 'Forward-backward', 'inference': 'Inference',
          'training': 'Training with optimizer'}
# Networks whose variants are sizes, such as 152 or D: the last part of their names in references/.
SIZED = [name for name, network in networks.NETWORKS.items()
         if any(set(variant.flags) - set(networks.SWITCHES)
                for variant in network.variants.values())]
PRECISIONS = 'float32', 'tf32', 'mixed_float16', 'float16'
# What a publication adds to the name of a GPU, such as 'Tesla K80 (one of its two GPUs), EC2 p2'.
ADDED = re.compile(r' \(((?:one of|EC2|ECC)[^)]*)\)|, (.*)')
FRAMEWORK = re.compile(r'[A-Za-z]+(?: \d+(?:\.\d+)?\b)?')        # 'TensorFlow 1.15' of '1.15.3'


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
    """The points of a network, of one size and pass, in the order of years and rates."""
    title: str
    points: List[Point]


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
        own = []
        for figure in source.figures:
            if figure.records and not figure.faults and figure.work.processes == 1:
                name = figure.records[0]                 # of a folder, with the folders below it
                place = os.path.join(path, os.path.dirname(name)) if os.path.isdir(path) else path
                own.append(_measured(figure, environments[name], os.path.normpath(place)))
        points, problems = points + own, problems + source.problems
        if not own and not source.problems:
            problems.append('%s: no valid GPU record' % path)
    return points, problems


def _measured(figure, environment, path):
    """The point of a figure of records, which differs at most in the fetch and the batch size."""
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
    return Point(*figure.work[:3], int(year), gpu, rate, precision, figure.work.batch_size,
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
    found = []
    for benchmark in benchmarks:
        network = networks.NETWORKS[benchmark]
        size = variant or next(iter(network.variants))
        chosen = [point for point in points
                  if (point.benchmark, point.info_string) == (benchmark, info_string)
                  and (benchmark not in SIZED or point.variant.split('_')[-1] == size)]
        chosen.sort(key=lambda point: (point.year, point.images_per_s, point))
        title = network.title + (' ' + size if benchmark in SIZED else '')
        if chosen:
            found.append(Panel('%s, %s' % (title, info_string.lower()), chosen))
    return found


# As text

ENGLISH = '%s: from %s images / s on the %s of %d to %s on the %s of %d (%s), %s times as many'
CHINESE = '%s：从 %s 张 / 秒（%s，%d 年）到 %s 张 / 秒（%s，%d 年，%s），为 %s 倍'


def decade(shown: Sequence[Panel], words: str = ENGLISH) -> List[str]:
    """Returns a line for each panel with the chapter's point: from that to the fastest point, in
    the language of `words`."""
    lines = []
    for panel in shown:
        for chapters in [point for point in panel.points if (point.source, point.variant) == (
                CHAPTER, next(iter(networks.NETWORKS[point.benchmark].variants)))]:
            best = max(panel.points, key=lambda point: point.images_per_s)
            lines.append(words % (
                panel.title, text.significant(chapters.images_per_s, 3), chapters.gpu,
                chapters.year, text.significant(best.images_per_s, 4), best.gpu, best.year,
                best.precision, text.significant(best.images_per_s / chapters.images_per_s, 2)))
    return lines


def listing(shown: Sequence[Panel], addresses: Dict[str, str]) -> List[str]:
    """Returns the lines of the tables, of what differs and of the sources."""
    notes = list(dict.fromkeys(
        note for panel in shown for point in panel.points for note in point.differs))
    lines = decade(shown)
    lines += [''] * bool(lines)
    for panel in shown:
        rows = [['year', 'GPU', 'images / s', 'precision', 'batch', 'variant', 'framework',
                 'source', 'differs in']]
        for point in panel.points:
            rows.append([str(point.year), point.gpu, text.significant(point.images_per_s, 4),
                         point.precision, str(point.batch_size or '-'), point.variant,
                         point.framework, point.source,
                         ' '.join('%d' % (notes.index(note) + 1) for note in point.differs)])
        left = [heading for heading in rows[0] if heading not in ('images / s', 'batch')]
        lines += [panel.title] + ['  ' + line for line in text.table(rows, left=left)] + ['']
    lines += ["Differs from the chapter's work in"]
    lines += ['  %d  %s' % numbered for numbered in enumerate(notes, 1)] + ['', 'Sources']
    for name in _sources(shown):
        lines.append('  %s: %s' % (name, addresses.get(name, 'measured with these scripts')))
    return lines


def _sources(shown):
    return sorted({point.source for panel in shown for point in panel.points})


# As a chart

def svg(shown: Sequence[Panel]) -> str:
    """Returns the chart: an SVG file that holds its points too (see embedded). The same points give
    the same text with the same version of matplotlib. Raises ImportError: without matplotlib."""
    # Not at the top: only the chart needs matplotlib.
    from suite.report import history as chart
    return chart.svg(shown, data(shown))


def data(shown: Sequence[Panel]) -> str:
    """Returns the points as JSON, one on each line, as an SVG file holds them."""
    rows = [json.dumps([panel.title] + list(point)) for panel in shown for point in panel.points]
    return '[\n%s\n]' % ',\n'.join(rows)


def embedded(drawing: str) -> Optional[str]:
    """Returns the points that the text of an SVG file holds, as data() has them; None: it has none.
    They tell whether a chart is up to date; its lines depend on the version of matplotlib."""
    found = re.search(r'(?s)<metadata>(.*?)</metadata>', drawing)
    unescaped = {'&lt;': '<', '&gt;': '>', '&#34;': '"', '&#39;': "'", '&amp;': '&'}
    return found and re.sub('&[^;]*;', lambda one: unescaped[one.group()], found.group(1))


def overview() -> List[Panel]:
    """Returns the panels of docs/history.svg: those that are shown without any flag."""
    points, _ = published()
    return panels(points + measured([RESULTS])[0], list(networks.NETWORKS), 'Forward')


# The command

@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints or writes what `argv` asks for; returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    problem = _problem(args)
    if problem:
        parser.error(problem)
    points, addresses = published()
    own, problems = measured(args.results or [RESULTS])
    for problem in problems if args.results else []:
        print(problem, file=sys.stderr)
    shown = panels(points + own, [args.network] if args.network else list(networks.NETWORKS),
                   PASSES[args.info_string], args.variant)
    if not shown:
        print('There is no figure of the pass %s of %s.' % (
            args.info_string, ' '.join(filter(None, [args.network, args.variant]))),
            file=sys.stderr)
        return 2
    if not args.svg:
        print('\n'.join(listing(shown, addresses)), flush=True)
        return 0
    return _write(args.svg, shown)


def _write(path, shown):
    """Writes the chart; returns an exit code."""
    try:
        files.write(path, svg(shown))
    except ImportError as error:
        print('--svg needs matplotlib and jinja2 (%s): %s -m pip install matplotlib jinja2'
              % (error, os.path.basename(sys.executable)), file=sys.stderr)
        return 3
    except OSError as error:
        print('%s: %s' % (path, error.strerror), file=sys.stderr)
        return 3
    print('%s: %d figures from %d sources' % (
        path, sum(len(panel.points) for panel in shown), len(_sources(shown))), flush=True)
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


def _problem(args: Any) -> Optional[str]:
    """What is wrong with the flags together, or None."""
    trouble = args.svg and files.argument_problem('--svg', args.svg)
    if trouble:
        return trouble
    if args.variant is None:
        return None
    if args.network not in SIZED:
        return '--variant needs --network %s' % ' or '.join(SIZED)
    variants = networks.NETWORKS[args.network].variants
    if args.variant not in variants:
        return 'argument --variant: %s has no %r: it has %s' % (
            args.network, args.variant, ', '.join(variants))
    return None
