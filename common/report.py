"""Prints a run's own lines. They are made from the record, so that screen and file agree.

This module does not import TensorFlow.
"""
import collections
import os
import shlex
import shutil
import sys
from typing import Any, Dict, List, Optional

from common import chapter, networks, stats, text
from common.chapter import VERSUS
from common.conditions import precision
from common.networks import PASSES


def print_device(on: Any, job: Any) -> None:
    """Prints the device that is timed, and in a job its processes."""
    lines = ['Device: ' + on.sentence]
    if on.kind == 'cpu':
        lines.append('*** CPU figures: no GPU is used. ***')
    if job:
        lines.append(processes(job.processes, job.ranks))
    _print(lines)


def print_start(record: Dict[str, Any]) -> None:
    """Prints the table of --layers, and why NVML cannot be read."""
    lines = layers(record['network']) if record['options']['layers'] else []
    why_no_nvml = record['environment'].get('nvml')      # only in GPU runs
    if why_no_nvml:
        lines.append('GPU clock, power and energy are unavailable: ' + why_no_nvml)
    _print(lines)


def print_faster(run: Any) -> None:
    """Prints the line between the float32 baseline run and the run with --precision or --xla."""
    _print(['', '*** The same in %s%s ***' % (run.precision, ', XLA' * run.args.xla)])


def print_latest(record: Dict[str, Any]) -> None:
    """Prints the details and the layers of the latest pass, if --details or --profile was given."""
    entry, lines = record['results'][-1], []                # type: Dict[str, Any], List[str]
    if record['options']['details']:
        lines = result(entry)
        if entry['info_string'] == PASSES[0]:
            lines.append(startup(record['startup_s']))
    if entry['layers']:
        lines += profile(entry)
    _print(lines)


def print_summary(record: Dict[str, Any], path: Optional[str]) -> None:
    """Prints the table of a run, its faults and cautions, and the next step for the user. `path` is
    the file of the record, None if none was written."""
    _print(summary(record) + [next_step(record, path)])


def _print(lines):
    print(end=''.join(line + '\n' for line in lines), flush=True)


# The summary

HEADINGS = ['', 'ms / batch', 'images / s', 'TFLOP / s', 'of peak', 'memory', 'copied', VERSUS]


def summary(record: Dict[str, Any]) -> List[str]:
    """Returns the title, the table of the passes, and a line for each fault and caution."""
    passes = [entry for entry in record['results'] if 'faults' in entry]
    rows = [[label(entry, record)] + cells(record, entry) for entry in passes]
    columns = [column for column in zip(HEADINGS, *rows) if any(column[1:])]
    lines = ['', title(record)]
    lines += ['  ' + line for line in text.table(list(zip(*columns)), [VERSUS])]
    for entry in passes:
        if entry.get('difference'):
            baseline = [other for other in passes if precision(other) == 'float32']
            lines.append('  ' + speedup(entry, baseline))
        if entry.get('scaling'):
            lines += ['  %s: %s' % (label(entry, record), line) for line in _scaling(entry)]
    lines += ['  caution: ' + caution['text'] for caution in record['warnings']]
    for entry in passes:
        lines += ['  INVALID: %s: %s' % (label(entry, record), fault) for fault in entry['faults']]
        lines += ['  caution: %s: %s' % (label(entry, record), caution['text'])
                  for caution in entry['warnings']]
    return lines


def title(record: Dict[str, Any]) -> str:
    """Returns the line with the network, its settings and the device: 'AlexNet with LRN, batch 32,
    float32 - TensorFlow 2.21.0, NVIDIA GeForce RTX 3090'."""
    entry, processes = record['results'][-1], process_count(record)
    steps = len(entry['samples_s'])
    return '%s, batch %d%s, %s%s%s - TensorFlow %s, %s' % (
        networks.title(record['benchmark'], record['variant']), entry['batch_size'],
        ' on each of %d processes' % processes if processes > 1 else '', precision(entry),
        '' if entry['fetch'] == 'tensors' else ', nothing fetched',
        ', quick (%d steps)' % steps if steps < stats.MIN_STEPS else '',
        record['environment']['tensorflow'], record['environment']['device']['name'])


def label(entry: Dict[str, Any], record: Dict[str, Any]) -> str:
    """Returns the name of a pass in its run: 'Forward', with the precision if there are several."""
    several = len({precision(other) for other in record['results']}) > 1
    return entry['info_string'] + (', ' + precision(entry) if several else '')


def cells(record: Dict[str, Any], entry: Dict[str, Any]) -> List[str]:
    """Returns the cells of a pass under HEADINGS but the first; only 'INVALID' for a pass that is
    not valid."""
    if record['faults'] or entry['faults']:
        return ['INVALID'] + [''] * (len(HEADINGS) - 2)
    mean_s, interval_s = entry['mean_s'], entry['statistics']['ci95_s']
    error_ms = 500 * (interval_s[1] - interval_s[0]) if interval_s else None
    share, peak_bytes = entry.get('share_of_peak'), entry.get('peak_bytes')
    return [text.with_error(1e3 * mean_s, error_ms),
            text.thousands(process_count(record) * entry['batch_size'] / mean_s),
            text.significant(entry['flops_per_s'] / 1e12),
            '' if share is None else '%.0f %%' % (100 * share),
            '' if peak_bytes is None else text.size(peak_bytes),
            text.size(entry['fetched_bytes']) if entry.get('fetched_bytes') else '',
            chapter.comparison(record, entry)]


def next_step(record: Dict[str, Any], path: Optional[str]) -> str:
    """Returns the last line: the file of the record, and the command to use next."""
    if path is None:
        return ('  No record was written; --json PATH saves one. --details prints percentiles, '
                'intervals and the start.')
    is_in_chapter = any(chapter.figure(record, entry) for entry in record['results'])
    return '  Record: %s    Next: %s' % (path, command(
        'compare', path, *['chapter'] * is_in_chapter))


def command(*words: str) -> str:
    """Returns the command line of `python -m suite WORDS` as it has to be typed: with this Python,
    by its path from the current folder if it lies below it; in our image as BENCHMARK_COMMAND."""
    in_image = os.environ.get('BENCHMARK_COMMAND')
    if in_image:
        return ' '.join([in_image, *map(shlex.quote, words)])
    python = sys.executable
    if python == shutil.which('python'):
        python = 'python'
    elif python.startswith(os.path.join(os.getcwd(), '')):
        python = os.path.relpath(python)
    return ' '.join(map(shlex.quote, [python, '-m', 'suite', *words]))


# The details

def result(entry: Dict[str, Any]) -> List[str]:
    """Returns the lines of --details for one entry of a record's results."""
    mean, batch_size = entry['mean_s'], entry['batch_size']
    statistics = entry['statistics']
    scaling = entry.get('scaling')                       # none in a plain run, and in old records
    images = batch_size * (scaling['processes'] if scaling else 1)
    lines = ['%s: %.3f ms / batch, %.3f ms / image, %.1f images / s (batch size %d%s, %s)'
             % (entry['info_string'], 1e3 * mean, 1e3 * mean / images, images / mean, batch_size,
                ' on each of %d processes' % scaling['processes'] if scaling else '',
                precision(entry))]
    lines.append('  median %.3f ms, min %.3f, p95 %.3f, p99 %.3f' % tuple(
        1e3 * statistics[key] for key in ('median_s', 'min_s', 'p95_s', 'p99_s')))
    if statistics['ci95_s']:
        lines[-1] += '; 95 %% interval of the mean %.3f to %.3f' % tuple(
            1e3 * bound for bound in statistics['ci95_s'])
    lines.append('  %s%s GFLOP a step, %s; %s; peak memory %s'
                 % ('each process: ' if scaling else '', text.significant(entry['flops'] / 1e9),
                    _rate(entry), _fetched(entry),
                    'unknown' if entry['peak_bytes'] is None else _megabytes(entry['peak_bytes'])))
    if entry['gpu']:
        lines.append('  GPU: ' + _gpu(entry))
    lines.append('  ' + _layers(entry['layers_that_run']))
    if entry.get('values'):                              # older records lack it
        lines.append('  recomputed in float64: %(precision)s; the largest error is %(error).1e, '
                     'in %(worst)s' % entry['values'])
    if scaling:
        lines += ['  ' + line for line in _scaling(entry)]
    lines += ['  caution: ' + caution['text'] for caution in entry['warnings']]
    lines += ['  INVALID: ' + fault for fault in entry['faults']]
    return lines


def process_count(record: Dict[str, Any]) -> int:
    """Returns how many processes shared the work of a record."""
    return (record.get('processes') or {'size': 1})['size']


def processes(job: Dict[str, Any], ranks: List[Dict[str, Any]]) -> str:
    """Returns the line about the processes of a job: how many, on which hosts and devices."""
    devices = collections.Counter((rank['host'], rank['device']) for rank in ranks)
    return 'Processes: %d (%s); Horovod %s, gradients over %s' % (
        job['size'], ', '.join('%d on %s: %s' % (number, *where)
                               for where, number in devices.items()),
        job['horovod'], job['backend'])


def speedup(entry: Dict[str, Any], baseline: List[Dict[str, Any]]) -> str:
    """Returns the line with the speed-up of a pass over its float32 baseline, and how much its
    results differ."""
    base, = [other for other in baseline if other['info_string'] == entry['info_string']]
    bounds = _bounds(entry['statistics'], base['statistics'])
    return ('%s, %s: %.3f times%s the rate of float32; the results differ by %.1e (relative L2 '
            'norm, allowed: %.1e)' % (
                entry['info_string'], precision(entry), base['mean_s'] / entry['mean_s'],
                bounds and ' (95 %% interval %.3f to %.3f)' % bounds or '',
                entry['difference']['relative_l2'], entry['difference']['allowed']))


def _bounds(base, other):
    """The 95 % interval (low, high) of the ratio of two means, other / base; None if one of them
    has no interval."""
    if not (base['ci95_s'] and other['ci95_s']):
        return None
    return stats.ratio(*((timed['mean_s'], *timed['ci95_s']) for timed in (base, other)))[1:]


def _share_interval(entry):
    """The 95 % interval of the share of communication, in brackets; '' where it is unknown."""
    bounds = _bounds(entry['statistics'], entry['scaling']['without_allreduce'])
    if not bounds:
        return ''
    low, high = bounds
    return ' (95 %% interval %.1f to %.1f%s)' % (
        100 * (1 - high), 100 * (1 - low), ': it cannot be told from 0' * (low < 1 < high))


def startup(seconds: Dict[str, float]) -> str:
    """Returns the line about the time from the command to the first timed step, by part."""
    return 'Start-up: %.2f s from the command to the first timed step: %s' % (
        sum(seconds.values()), ', '.join('%s %.2f' % part for part in seconds.items()))


def profile(entry: Dict[str, Any]) -> List[str]:
    """Returns the table of --profile: the time of a step by layer, and how the sum compares with
    the timed step."""
    rows = [('layer', 'forward ms', 'backward ms', 'share', 'GFLOP', 'TFLOP / s', 'output MB')]
    if entry['precision'].startswith('mixed'):           # their size in the graph
        rows[0] = rows[0][:-1] + ('float32 output MB',)
    forward_s, backward_s = (sum(layer[key] for layer in entry['layers'])
                             for key in ('forward_s', 'backward_s'))
    sum_s = forward_s + backward_s
    total = {'name': 'sum', 'forward_s': forward_s, 'backward_s': backward_s,
             'flops': entry['flops'], 'output_bytes': None}
    for layer in entry['layers'] + [total]:
        seconds, flops = layer['forward_s'] + layer['backward_s'], layer['flops']
        rows.append((layer['name'], '%.3f' % (1e3 * layer['forward_s']),
                     '%.3f' % (1e3 * layer['backward_s']), '%.1f %%' % (100 * seconds / sum_s),
                     '%.3f' % (flops / 1e9) if flops else '',
                     text.significant(flops / seconds / 1e12) if flops else '',
                     '' if layer is total else '%.3f' % (layer['output_bytes'] / 1e6)))
    if not backward_s:
        rows = [row[:2] + row[3:] for row in rows]
    return (['%s by layer, from untimed, traced steps:' % entry['info_string']]
            + ['  ' + line for line in text.table(rows)]
            + ['  The sum differs by %+.1f %% from the timed step, %.3f ms: operations that run '
               'side by side count in full, gaps between them do not count.' % (
                   100 * (sum_s / entry['mean_s'] - 1), 1e3 * entry['mean_s'])])


def layers(network: Dict[str, Any]) -> List[str]:
    """Returns the table of --layers: one line for each layer that has parameters, and the sum."""
    rows = [('layer', 'output of one image', 'parameters', 'multiply-adds')]
    for layer in network['layers']:
        shape = layer['output_shape']
        rows.append((layer['name'], ' x '.join(map(str, shape[1:])) if shape else '',
                     format(layer['parameters'], ','), format(layer['flops'] // 2, ',')))
    rows.append(('sum', '', format(network['parameters'], ','), format(network['flops'] // 2, ',')))
    return text.table(rows, left=['output of one image'])


def _scaling(entry):
    """The lines about a job of several processes: its efficiency and its communication."""
    scaling, alone = entry['scaling'], entry['scaling']['alone']
    bounds = _bounds(entry['statistics'], alone)
    lines = ['%.2f times the images / s of one process alone (%.3f ms / batch, %.1f images / s): '
             'scaling efficiency %.1f %%%s' % (
                 scaling['processes'] * scaling['efficiency'], 1e3 * alone['mean_s'],
                 entry['batch_size'] / alone['mean_s'], 100 * scaling['efficiency'],
                 bounds and ' (95 %% interval %.1f to %.1f)' % tuple(
                     100 * bound for bound in bounds) or '')]
    if scaling['without_allreduce']:
        lines.append('communication takes %.1f %% of the step%s, %.3f ms without the allreduce; '
                     '%s of gradients reduced a step in %d allreduces' % (
                         100 * scaling['communication_share'], _share_interval(entry),
                         1e3 * scaling['without_allreduce']['mean_s'],
                         _megabytes(scaling['reduced_bytes']), scaling['allreduces']['executed']))
    own = sorted(scaling['ranks'], key=lambda rank: rank['own_mean_s'])
    lines.append('ranks%s: %s' % (
        ' without the allreduce' if scaling['without_allreduce'] else '', ' to '.join(
            '%.3f ms (rank %d)' % (1e3 * rank['own_mean_s'], rank['rank'])
            for rank in (own[0], own[-1]))))
    return lines


def _rate(entry):
    rate = '%s TFLOP / s' % text.significant(entry['flops_per_s'] / 1e12)
    if entry['share_of_peak'] is None:
        return rate + " (the device's peak is unknown)"
    return rate + ", %.0f %% of the device's peak%s" % (
        100 * entry['share_of_peak'],
        ': cuDNN may use Winograd, which multiplies less than is counted'
        if entry['share_of_peak'] > 1 else '')


def _fetched(entry):
    if entry['fetch'] == 'ops':
        return 'fetched as ops, nothing copied to the host'
    return 'fetched as tensors, %s copied to the host a step' % _megabytes(entry['fetched_bytes'])


def _gpu(entry):
    gpu, parts = entry['gpu'], []
    for key, unit in (('sm_clock_mhz', 'MHz'), ('temperature_c', 'C'), ('power_w', 'W')):
        if gpu[key]:
            parts.append('%.0f %s' % (gpu[key]['median'], unit))
    if entry['energy_per_image_j'] is not None:
        parts.append('%s J / image' % text.significant(entry['energy_per_image_j']))
    return ', '.join(parts) or 'clock, temperature and power are unavailable'


def _layers(ran):
    """'with LRN; without batch norm, FC layers, dropout': the layers by which published networks
    differ."""
    norm = {None: 'batch norm', 'batch': 'batch norm (statistics of the batch)',
            'moving': 'batch norm (moving averages)'}[ran['batch_norm']]
    names = {'batch_norm': norm, 'lrn': 'LRN', 'fully_connected': 'FC layers', 'dropout': 'dropout'}
    parts = [(word, [name for key, name in names.items() if bool(ran[key]) == wanted])
             for word, wanted in (('with', True), ('without', False))]
    return '; '.join('%s %s' % (word, ', '.join(listed)) for word, listed in parts if listed)


def _megabytes(number):
    return '%s MB' % text.significant(number / 1e6)
