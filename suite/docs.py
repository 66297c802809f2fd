"""Writes the tables of docs/performance.md from the records of tools/performance.py.

    python -m suite.docs

The ratio of two runs is the geometric mean over the rounds, in each of which both ran, and its 95 %
interval: peers.ratio.
"""
import glob
import json
import os
import statistics
import sys

from common import report
from suite import compare
from suite.peers import command as peers

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = os.path.join(ROOT, 'results', 'cpu-2-cores', 'performance')
PAGE = os.path.join(ROOT, 'docs', 'performance.md')
RUNTIMES = 'classic', 'modern'


def load(pattern):
    """Returns what is in the files of a pattern such as 'classic/alexnet-lrn-r*', in order."""
    found = []
    for path in sorted(glob.glob(os.path.join(RECORDS, pattern + '.json'))):
        with open(path) as file:
            found.append(json.load(file))
    return found


def results(records, info_string, which=0):
    """Returns the result of a pass in each record; `which`: 0 the plain run's, -1 the last one."""
    return [[one for one in record['results'] if one['info_string'] == info_string][which]
            for record in records]


def ratio(over, under):
    """Returns the cells of the ratio of the mean seconds of two lists of results, by round."""
    value, *bounds = peers.ratio(*[[one['mean_s'] for one in side] for side in (over, under)])
    return ['%.2f' % value, '%.2f to %.2f' % tuple(bounds)]


def lrn():
    """Returns the rows on the chapter's claim about LRN, which is of its GTX 1080."""
    with open(os.path.join(compare.REFERENCES, 'chapter.json')) as file:
        chapter = {(one['variant'], one['info_string']): one['mean_s']
                   for one in json.load(file)['figures'] if one['benchmark'] == 'alexnet'}
    rows = [['runtime', 'pass', 'time with LRN / without', '95 % interval', 'share of lrn1, lrn2',
             'the chapter: with / without']]
    for runtime in RUNTIMES:
        for name in peers.PASSES:
            found, without = [results(load('%s/alexnet-%s-r*' % (runtime, variant)), name)
                              for variant in ('lrn', 'no_lrn')]
            shares = []
            for one in found:
                layers = {layer['name']: layer['forward_s'] + layer['backward_s']
                          for layer in one['layers']}
                shares.append((layers['lrn1'] + layers['lrn2']) / sum(layers.values()))
            rows.append([runtime, name] + ratio(found, without) + [
                '%.0f %%' % (100 * statistics.mean(shares)),
                'about %.1f' % (chapter['lrn', name] / chapter['no_lrn', name])])
    return rows


def options():
    """Returns the rows on precision, XLA and threads: the rate over the plain run's."""
    rows = [['network', 'batch', 'runtime', 'option', 'pass', 'times the rate', '95 % interval',
             'results differ by', 'allowed']]
    for path in sorted(glob.glob(os.path.join(RECORDS, '*', '*-r1.json'))):
        runtime, name = os.path.relpath(path, RECORDS).split(os.sep)
        records = load('%s/%s*' % (runtime, name[:-len('1.json')]))
        network, option = name.split('-')[:2]
        for info_string in peers.PASSES:
            plain, faster = [results(records, info_string, which) for which in (0, -1)]
            beside = [network, str(plain[0]['batch_size']), runtime]
            if faster[0].get('difference'):
                worst = max((one['difference'] for one in faster),
                            key=lambda one: one['relative_l2'])
                rows.append(beside + [report.precision(faster[0]), info_string]
                            + ratio(plain, faster)
                            + ['%.1e' % worst[key] for key in ('relative_l2', 'allowed')])
            elif option == 'threads_1':
                two = results(load('%s/alexnet-threads_2-r*' % runtime), info_string)
                rows.append(beside + ['2 threads instead of 1', info_string] + ratio(plain, two)
                            + ['', ''])
    return rows


def start():
    """Returns the rows on the start of AlexNet: medians, in units of importing TensorFlow alone."""
    rows = []
    for runtime in RUNTIMES:
        runs, = load(runtime + '/startup')
        alone_s = statistics.median(run['tensorflow_alone_s'] for run in runs)
        parts = [part for part in runs[0]['parts_s'] if part != 'burn-in']
        if not rows:
            rows.append(['runtime'] + parts + ['to the end of the first step'])
        of_alone = [[run['parts_s'][part] / alone_s for part in parts] for run in runs]
        rows.append([runtime] + ['%.2f' % statistics.median(one) for one in zip(*of_alone)]
                    + ['%.2f' % statistics.median(map(sum, of_alone))])
    return rows


def by_layer(name):
    """Returns the table of --profile of the forward-backward pass, as it was printed."""
    record, = load('classic/' + name)
    return ''.join('    %s\n' % line for line in report.profile(record['results'][1]))


def beside_peers(name):
    """Returns the table of `suite peers`, and what differs below it."""
    record, = load(name)
    found = [dict(one, differs=peers.DIFFERS.get((one['benchmark'], one['peer'])))
             for one in record['results']]               # some was found after the measurement
    return markdown(peers.table(found)) + ''.join(
        '\n* %s' % note for note in peers.notes(found)) + '\n'


def markdown(rows):
    """Returns rows, the header first, as a table in Markdown."""
    return '\n'.join(['| %s |' % ' | '.join(row) for row in rows[:1] + [['---'] * len(rows[0])]
                      + rows[1:]]) + '\n'


def tables():
    """Returns the generated parts of the page by the names of their markers."""
    found = {'lrn': markdown(lrn()), 'options': markdown(options()), 'start': markdown(start())}
    found.update((name, by_layer(name)) for name in (
        'alexnet-profile', 'vgg16-profile', 'inception_v3-profile', 'resnet_v2-profile'))
    found.update((name, beside_peers(path)) for name, path in (
        ('peers-classic', 'classic/peers'), ('peers-modern', 'modern/peers'),
        ('peers-alexnet-classic', 'classic/peers-alexnet')))
    return found


def main():
    """Writes the page; returns 0."""
    with open(PAGE, encoding='utf-8') as file:
        text = file.read()
    for name, table in tables().items():
        text = compare.replace_table(text, name, table)
    with open(PAGE, 'w', encoding='utf-8') as file:
        file.write(text)
    return 0


if __name__ == '__main__':
    sys.exit(main())
