"""Writes the generated parts of README.md, README.zh-CN.md and docs/ from results/ and references/.

    python -m suite docs            writes them
    python -m suite docs --check    only compares, and names each part that is out of date

A generated part stands between the lines `<!-- table: NAME -->` or `<!-- output: PATH -->`, its
marker, and `<!-- end -->`. PARTS, at the end of this file, says which function makes it. A
generated picture, one of PICTURES, is a file; it is up to date if the points in it are, because its
lines depend on the version of matplotlib. This module does not import TensorFlow.

Exit codes:
    0    written, or with --check: up to date
    1    --check: a part is out of date
    2    bad usage, a page whose markers are not those of PARTS, or a file in results/ that is
         missing or damaged
    3    a page cannot be read or written
"""
import argparse
import glob
import itertools
import json
import math
import os
import re
import statistics
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

from common import files, report, text
from common.arguments import returns_exit_code
from common.networks import PASSES
from suite import figures, history, records, scaling_model
from suite.peers import tables as peers
from suite.peers.contenders import MATCHES, OURS
from suite.results_table import CHINESE, results_table

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = os.path.join(ROOT, 'results', 'cpu-2-cores', 'performance')
RUNTIMES = 'classic', 'modern'
END = '<!-- end -->'
# The lines that time_tensorflow_run prints, which begin with the time of day.
CHAPTERS_LINE = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?: ')


# What a run prints

def sample(path: str, shorten: bool = False) -> str:
    """Returns the output of a run, to be shown as code.

    The device, the shapes and the chapter's lines, whose times of day are not in the record, are
    those that were printed. The table below them is made from the record, so that it is worded as
    it is now.

    Args:
        path: what was printed, a .txt relative to the root; the record is beside it.
        shorten: leave out the shapes and the single steps; `...` stands for them.

    Raises ValueError: the passes of the record are not those that were printed.
    """
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        printed = file.read().splitlines()
    record_path = os.path.splitext(path)[0] + '.json'
    record = records.load(os.path.join(ROOT, record_path))
    for result in record['results']:
        if sum(': %s across ' % result['info_string'] in line for line in printed) != 1:
            raise ValueError('%s does not show the pass %s of its record once'
                             % (path, result['info_string']))
    first = next(i for i, line in enumerate(printed) if CHAPTERS_LINE.match(line))
    lines = [(line, not line.startswith(' ')) for line in printed[:first]]     # line, is it kept
    lines += [(line, ' across ' in line) for line in printed[first:] if CHAPTERS_LINE.match(line)]
    shown = []                                           # type: List[str]
    for is_kept, group in itertools.groupby(lines, key=lambda one: one[1] or not shorten):
        shown += [line for line, _ in group] if is_kept else ['...']
    shown += report.summary(record)
    return _code(shown + [report.next_step(os.path.basename(record_path))])


def harness_cost() -> str:
    """Returns what the timer itself costs."""
    cost = _load_json(os.path.join(ROOT, 'results', 'cpu-2-cores', 'harness_cost.json'))
    return ('%.1f microseconds a step, %.4f %% of a forward step of AlexNet at batch size 32 on '
            'two CPU cores (TensorFlow %s).' % (
                1e6 * cost['harness_s_per_step'], 100 * cost['harness_share_of_alexnet'],
                cost['tensorflow']))


def false_verdicts() -> str:
    """Returns what the A/A experiment of tools/aa.py found."""
    found = _load_json(os.path.join(ROOT, 'results', 'cpu-2-cores', 'aa.json'))
    passes = found['passes']
    shares = ['%.1f %%' % (100 * one['verdicts'] / one['comparisons']) for one in passes]
    of_one = [sum(one[key + '_of_one_process'] for one in passes)
              for key in ('verdicts', 'comparisons')]
    return (
        'AlexNet, batch %d, %d steps, in %d identical processes (%s, TensorFlow %s; other programs '
        'kept %.1f of the 2 CPUs busy): of the comparisons of three processes with three others, '
        '%s got a false verdict (%s). From the steps of one process alone, %d of %d would have.' % (
            found['batch_size'], found['num_batches'], found['processes'], found['device'],
            found['tensorflow'], statistics.median(found['busy_cpus']), ' and '.join(shares),
            ' and '.join(one['info_string'] for one in passes), *of_one))


def decade(words: str) -> str:
    """Returns what the picture of the README shows, as a list in the language of `words`."""
    return '\n'.join('* ' + line for line in history.decade(history.overview(), words))


# The tables of docs/performance.md

def load(pattern: str) -> List[Any]:
    """Returns the content of the files of RECORDS that match, such as 'classic/alexnet-lrn-r*', in
    order. Raises ValueError: there are none."""
    paths = sorted(glob.glob(os.path.join(RECORDS, pattern + '.json')))
    if not paths:
        raise ValueError('no file %s.json' % os.path.join(RECORDS, pattern))
    return [_load_json(path) for path in paths]


def _load_json(path):
    with open(path, encoding='utf-8') as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError('%s: %s' % (path, error)) from None


def _results(records, info_string, which=0):
    """The result of a pass in each record; of several `which`: 0 is the float32 baseline, -1 the
    run with --precision or --xla."""
    return [[one for one in record['results'] if one['info_string'] == info_string][which]
            for record in records]


def _ratio(numerators, denominators):
    """The cells for the ratio of the mean times of two lists of results, one of each a round: the
    geometric mean of the rounds, and its 95 % interval by Student's t."""
    logs = [math.log(one['mean_s'] / other['mean_s'])
            for one, other in zip(numerators, denominators)]
    mean = statistics.mean(logs)
    half = figures.t_interval(len(logs)) * statistics.stdev(logs) / math.sqrt(len(logs))
    return ['%.2f' % math.exp(mean),
            '%.2f to %.2f' % (math.exp(mean - half), math.exp(mean + half))]


def lrn() -> str:
    """Returns the table about the chapter's claim that LRN makes AlexNet three times slower."""
    with open(os.path.join(figures.REFERENCES, 'chapter.json'), encoding='utf-8') as file:
        chapter = {(one['variant'], one['info_string']): one['mean_s']
                   for one in json.load(file)['figures'] if one['benchmark'] == 'alexnet'}
    rows = [['runtime', 'pass', 'time with LRN / without', '95 % interval', 'share of lrn1, lrn2',
             'the chapter: with / without']]
    for runtime in RUNTIMES:
        for info_string in PASSES:
            with_lrn, without = [
                _results(load('%s/alexnet-%s-r*' % (runtime, variant)), info_string)
                for variant in ('lrn', 'no_lrn')]
            shares = []
            for result in with_lrn:
                seconds = {layer['name']: layer['forward_s'] + layer['backward_s']
                           for layer in result['layers']}
                shares.append((seconds['lrn1'] + seconds['lrn2']) / sum(seconds.values()))
            rows.append([runtime, info_string] + _ratio(with_lrn, without) + [
                '%.0f %%' % (100 * statistics.mean(shares)),
                'about %.1f' % (chapter['lrn', info_string] / chapter['no_lrn', info_string])])
    return _table(rows)


def options() -> str:
    """Returns the table about precision, XLA and threads: the rate over that of the baseline."""
    rows = [['network', 'batch', 'runtime', 'option', 'pass', 'times the rate', '95 % interval',
             'results differ by', 'allowed']]
    for path in sorted(glob.glob(os.path.join(RECORDS, '*', '*-r1.json'))):
        runtime, name = os.path.relpath(path, RECORDS).split(os.sep)
        records = load('%s/%s*' % (runtime, name[:-len('1.json')]))
        network, option = name.split('-')[:2]
        for info_string in PASSES:
            baseline, faster = [_results(records, info_string, which) for which in (0, -1)]
            work = [network, str(baseline[0]['batch_size']), runtime]
            if faster[0].get('difference'):
                worst = max((one['difference'] for one in faster),
                            key=lambda one: one['relative_l2'])
                rows.append(work + [report.precision(faster[0]), info_string]
                            + _ratio(baseline, faster)
                            + ['%.1e' % worst[key] for key in ('relative_l2', 'allowed')])
            elif option == 'threads_1':
                two = _results(load('%s/alexnet-threads_2-r*' % runtime), info_string)
                rows.append(work + ['2 threads instead of 1', info_string] + _ratio(baseline, two)
                            + ['', ''])
    return _table(rows)


def start() -> str:
    """Returns the table of AlexNet's start: medians, in units of importing TensorFlow alone."""
    rows = []                                            # type: List[List[str]]
    for runtime in RUNTIMES:
        runs, = load(runtime + '/startup')
        alone_s = statistics.median(run['tensorflow_alone_s'] for run in runs)
        parts = [part for part in runs[0]['parts_s'] if part != 'burn-in']
        if not rows:
            rows.append(['runtime'] + parts + ['to the end of the first step'])
        in_units = [[run['parts_s'][part] / alone_s for part in parts] for run in runs]
        rows.append([runtime] + ['%.2f' % statistics.median(one) for one in zip(*in_units)]
                    + ['%.2f' % statistics.median(map(sum, in_units))])
    return _table(rows)


def layers(name: str) -> str:
    """Returns the table of --profile of a forward-backward pass, as it is printed."""
    record, = load(name)
    return _code(report.profile(record['results'][1]))


def beside_peers(runtime: str) -> str:
    """Returns the table of `suite peers` for all networks, and below it what the peers compute
    differently."""
    results = _of_peers([runtime + '/peers-%s' % network for network in MATCHES])
    return '\n'.join([_table(peers.table(results)), ''] + [
        '* ' + note for note in peers.notes(results)])


def controls() -> str:
    """Returns how often the A/A controls in all records of `suite peers` were right."""
    results = [one for one in _of_peers(['*/peers-*']) if one['peer'] == OURS]
    holding = [one for one in results if one['ci95'][0] <= 1 <= one['ci95'][1]]
    ratios = sorted(one['ratio'] for one in results)
    within = [ratio for ratio in ratios if abs(ratio - 1) <= 0.01]
    return ('%d controls, each of one pass in one run: the interval holds 1 in %d, the ratio is '
            'within 1 %% of 1 in %d; the ratios lie between %.3f and %.3f.' % (
                len(results), len(holding), len(within), ratios[0], ratios[-1]))


def _of_peers(patterns):
    """The entries of the records of `suite peers` whose names match, in order."""
    return [one for pattern in patterns for record in load(pattern) for one in record['results']]


def _table(rows):
    return '\n'.join(text.markdown(rows))


def _code(lines):
    return '\n'.join(('    ' + line).rstrip() for line in lines)


# The pages

def replace(page: str, marker: str, content: str) -> str:
    """Returns the text of a page with `content` between `<!-- MARKER -->` and the next END.

    Raises ValueError: a marker is missing, or another one stands between the two.
    """
    begin = '<!-- %s -->\n' % marker
    before, found, rest = page.partition(begin)
    old, found_end, after = rest.partition(END)
    if not found or not found_end or '<!-- ' in old:
        raise ValueError('no lines %s and %s' % (begin.strip(), END))
    return '%s%s\n%s\n\n%s%s' % (before, begin, content.strip('\n'), END, after)


def markers(page: str) -> List[str]:
    """Returns the markers in the text of a page, in their order."""
    return re.findall(r'^<!-- (\w+: .*) -->$', page, re.MULTILINE)


def update() -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """Makes every part anew; writes nothing.

    Returns the new text of each page and picture that changes, by its path relative to the root,
    and the parts, as in PARTS, and pictures that are out of date.

    Raises ValueError: a page's markers are not those of PARTS, or a file in results/ is missing or
    damaged. OSError: a page cannot be read.
    """
    changed, out_of_date = {}, []
    for page in dict.fromkeys(page for page, _ in PARTS):
        with open(os.path.join(ROOT, page), encoding='utf-8') as file:
            content = old = file.read()
        expected = [marker for one, marker in PARTS if one == page]
        if sorted(markers(old)) != sorted(expected):
            raise ValueError('%s has the parts %s; suite/docs.py makes %s' % (
                page, ', '.join(sorted(markers(old))) or 'none', ', '.join(sorted(expected))))
        for marker in expected:
            try:
                updated = replace(content, marker, PARTS[page, marker]())
            except ValueError as error:
                raise ValueError('%s: %s: %s' % (page, marker, error)) from None
            if updated != content:
                out_of_date.append((page, marker))
            content = updated
        if content != old:
            changed[page] = content
    for path, panels in PICTURES.items():
        shown = panels()
        if history.data(shown) != _embedded(os.path.join(ROOT, path)):
            changed[path] = history.svg(shown)
            out_of_date.append((path, 'picture'))
    return changed, out_of_date


def _embedded(path):
    """The points that a picture holds; None if there is no such file or it holds none."""
    try:
        with open(path, encoding='utf-8') as file:
            return history.embedded(file.read())
    except FileNotFoundError:
        return None


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes or checks the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true',
                        help='write nothing; name each part that is out of date')
    args = parser.parse_args(argv)
    try:
        changed, out_of_date = update()
        if not args.check:
            for page, content in changed.items():
                files.write(os.path.join(ROOT, page), content)
    except ValueError as error:
        print('Nothing written: %s.' % error, file=sys.stderr)
        return 2
    except OSError as error:
        print('%s: %s' % (error.filename, error.strerror), file=sys.stderr)
        return 3
    for page, marker in out_of_date:
        print('%s: %s: %s' % (page, marker, 'out of date; to mend it: python -m suite docs'
                              if args.check else 'written'))
    if not out_of_date:
        print('%d generated parts, all up to date' % (len(PARTS) + len(PICTURES)))
    return 1 if args.check and out_of_date else 0


PRINTED = 'results/cpu-2-cores/alexnet.txt'
PRINTED_BY_A_JOB = 'results/cpu-2-cores-2-processes/alexnet.txt'

# (page, marker): the function that makes the text between the marker and END.
PARTS: Dict[Tuple[str, str], Callable[[], str]] = {
    ('README.md', 'decade: references'): lambda: decade(history.ENGLISH),
    ('README.md', 'table: chapter'): results_table,
    ('README.zh-CN.md', 'decade: references'): lambda: decade(history.CHINESE),
    ('README.zh-CN.md', 'table: chapter'): lambda: results_table(words=CHINESE),

    ('docs/flags.md', 'output: ' + PRINTED): lambda: sample(PRINTED),

    ('docs/performance.md', 'table: lrn'): lrn,
    ('docs/performance.md', 'table: alexnet-profile'): lambda: layers('classic/alexnet-profile'),
    ('docs/performance.md', 'table: vgg16-profile'): lambda: layers('classic/vgg16-profile'),
    ('docs/performance.md', 'table: inception_v3-profile'):
        lambda: layers('classic/inception_v3-profile'),
    ('docs/performance.md', 'table: resnet_v2-profile'):
        lambda: layers('classic/resnet_v2-profile'),
    ('docs/performance.md', 'table: options'): options,
    ('docs/performance.md', 'controls: peers'): controls,
    ('docs/performance.md', 'table: peers-classic'): lambda: beside_peers('classic'),
    ('docs/performance.md', 'table: peers-modern'): lambda: beside_peers('modern'),
    ('docs/performance.md', 'table: start'): start,
    ('docs/performance.md', 'harness: results/cpu-2-cores/harness_cost.json'): harness_cost,

    ('docs/record.md', 'verdicts: results/cpu-2-cores/aa.json'): false_verdicts,

    ('docs/scaling.md', 'output: ' + PRINTED_BY_A_JOB):
        lambda: sample(PRINTED_BY_A_JOB, shorten=True),
    ('docs/scaling.md', 'table: limits'): scaling_model.limits,
    ('docs/scaling.md', 'table: stops'): scaling_model.stops,
}

# The SVG file: the function that returns its panels. To draw one again although its points are up
# to date: python -m suite history --svg PATH.
PICTURES = {'docs/history.svg': history.overview}        # type: Dict[str, Callable]


if __name__ == '__main__':
    sys.exit(main())
