"""The figures of records, of folders of them, and of references: what `suite compare` compares."""
import itertools
import math
import os
import re
import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

from common import report, stats
from suite import records as reading

REFERENCES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'references')
PLAIN = 'float32'

# The order of tables; what is not listed follows.
ORDER = {'benchmark': ['alexnet', 'vgg16', 'inception_v3', 'resnet_v2'],
         'variant': ['lrn', 'no_lrn', 'lrn_fc', 'no_lrn_fc', 'A', 'A-LRN', 'B', 'C', 'D', 'E',
                     'aux', '50', '101', '152', '200'],
         'info_string': ['Forward', 'Forward-backward'], 'fetch': ['tensors', 'ops']}
# What may explain a difference: of a record, before its environment variables, and of a reference.
FACTS = ['device', 'driver', 'runtime', 'tensorflow', 'cuda', 'cudnn', 'python', 'system', 'commit']
PUBLISHED = ('hardware', 'year', 'software', 'source', 'note')

# The 97.5 % quantile of Student's t by degrees of freedom; for more than 9, that of 9 is safe.
T_INTERVAL = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
MIN_PROCESSES = 3

Interval = Tuple[float, float]


class Work(NamedTuple):
    """What was timed; None is what a publication does not say, or has not."""
    benchmark: str
    variant: str
    info_string: str
    fetch: Optional[str]
    batch_size: Optional[int]        # of each process
    precision: str                   # with ', XLA' where that compiled it
    processes: int = 1               # that share the work


class Figure(NamedTuple):
    """A time of a step, in seconds, with the 95 % interval of the mean; None where there is none.

    records: the names of those that it is the mean of, none for a published figure. differs: what
    makes it other work than this project's. faults: why it is not valid. Of a job of several
    processes alone_s is the time of one of them alone, communication the share of the step.
    """
    work: Work
    mean_s: Optional[float]
    ci95_s: Optional[Interval]
    sd_s: Optional[float]
    records: Tuple[str, ...] = ()
    about: bool = False
    images_per_s: Optional[float] = None
    differs: Tuple[str, ...] = ()
    warnings: Tuple[str, ...] = ()
    faults: Tuple[str, ...] = ()
    alone_s: Optional[float] = None
    communication: Optional[float] = None


class Record(NamedTuple):
    """A record as it was read, and its figures in the order of its results."""
    name: str
    data: Dict[str, Any]
    figures: List[Figure]


class Side(NamedTuple):
    """One of the things compared: facts say on what it ran, problems what could not be used. The
    figures are in the order of tables, those of the same work in several records as one."""
    name: str
    facts: Dict[str, str]
    figures: List[Figure]
    problems: List[str]
    records: List[Record]


def load(name: str, kind: Optional[str] = None) -> Side:
    """Returns the side of a record, of a folder of records, or of a reference by its name. With
    `kind`, 'gpu' or 'cpu', the records of other devices are left out."""
    paths, problems = _paths(name)
    found, facts, records = {}, [], []                   # type: Dict[Work, List], List, List
    for path in paths:
        try:
            data = reading.load(path)
        except ValueError as error:
            problems.append('%s: %s' % (path, error))
            continue
        if 'figures' in data and os.path.isdir(name):
            problems.append('%s: published figures among records: name the file itself' % path)
            continue
        if 'figures' in data:
            one, figures = _reference(data)
        elif kind and data['environment']['device']['kind'] != kind:
            continue
        else:
            one, figures = _record(_short(path), data)
            records.append(Record(_short(path), data, figures))
            if data['status'] != 'finished':
                why = [data['error']] if data['error'] else data['faults']
                problems.append('%s: the run did not finish (%s)%s' % (
                    path, data['status'], ': ' * bool(why) + '; '.join(why)))
        facts.append(one)
        for figure in figures:
            found.setdefault(figure.work, []).append((one, figure))
    return Side(
        _short(name),
        {key: ', '.join(sorted({one.get(key, '(not set)') for one in facts}))
         for key in sorted({key for one in facts for key in one}, key=fact_order)},
        [_combined(repeats) for _, repeats in sorted(found.items(), key=order)],
        problems, records)


def _paths(name):
    """The files that a name stands for, and what is wrong with it."""
    if os.path.isdir(name):
        try:
            files = sorted(os.listdir(name), key=lambda file: _natural(_short(file)))
        except OSError as error:
            return [], ['%s: %s' % (name, error.strerror)]
        paths = [os.path.join(name, file) for file in files
                 if file.endswith('.json') and not file.startswith('.')]
        return paths, [] if paths else ['%s: a folder without records (*.json)' % name]
    if os.path.exists(name):
        return [name], []
    if name in reference_names():
        return [os.path.join(REFERENCES, name + '.json')], []
    return [], ['%s: no such file or folder, and no reference (those are: %s)' % (
        name, ', '.join(reference_names()))]


def reference_names() -> List[str]:
    """Returns the names of the files in references/, without .json."""
    if not os.path.isdir(REFERENCES):
        return []
    return sorted(file[:-5] for file in os.listdir(REFERENCES) if file.endswith('.json'))


def processes(data: Dict[str, Any]) -> int:
    """Returns how many processes shared the work of a record."""
    return (data.get('processes') or {'size': 1})['size']


def rate(figure: Figure) -> float:
    """Returns the images / s of a valid figure of records, of all processes together."""
    return figure.work.batch_size * figure.work.processes / figure.mean_s


def _natural(name):
    """A key by which b8 comes before b16."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r'(\d+)', name))]


def _short(name):
    short = reading.one_line(os.path.basename(os.path.abspath(name)))
    return short[:-5] if short.endswith('.json') else short


def _record(name, data):
    environment = data['environment']
    facts = {'device': environment['device']['name'],
             'driver': (environment['gpu'] or {}).get('driver_version')}
    facts.update((key, environment[key]) for key in FACTS[2:])
    if data.get('processes'):
        facts.update((key, data['processes'][key]) for key in ('horovod', 'backend'))
    facts.update(environment['variables'])
    figures = []
    for entry in data['results']:
        work = Work(data['benchmark'], data['variant'], entry['info_string'], entry['fetch'],
                    entry['batch_size'], report.precision(entry), processes(data))
        scaling = entry.get('scaling') or {}
        faults = tuple(data['faults']) + tuple(entry.get('faults', [
            'not checked, because the run ended in this pass (%s)' % data['status']]))
        if not entry['samples_s']:
            figures.append(Figure(work, None, None, None, (name,), faults=faults))
            continue
        summary = stats.summarise(entry['samples_s'])
        warnings = [one['text'] for one in data.get('warnings', []) + entry['warnings']]
        figures.append(Figure(work, summary.mean_s, summary.ci95_s, summary.sd_s, (name,),
                              warnings=tuple(warnings), faults=faults,
                              alone_s=scaling.get('alone', {}).get('mean_s'),
                              communication=scaling.get('communication_share')))
    return {key: 'none' if fact is None else str(fact) for key, fact in facts.items()}, figures


def _reference(data):
    figures = [Figure(Work(*(figure.get(key, 1) for key in Work._fields)), figure.get('mean_s'),
                      None, figure.get('sd_s'), (), figure['about'], figure.get('images_per_s'),
                      tuple(figure['differs'])) for figure in data['figures']]
    return {key: str(data[key]) for key in PUBLISHED if key in data}, figures


def fact_order(key: str) -> Tuple[int, str]:
    """Returns a key that sorts the names of facts as FACTS, the others behind."""
    return FACTS.index(key) if key in FACTS else len(FACTS), key


def order(item: Tuple[Work, Any]) -> List[Tuple[int, str]]:
    """Returns a key that sorts works with what there is of each as ORDER."""
    key = []                                             # type: List[Tuple[int, str]]
    for field, value in zip(Work._fields, item[0]):
        listed = ORDER.get(field, [])
        key.append((listed.index(value) if value in listed else len(listed),
                    '%9s' % value))                      # numbers by their size
    return key


def _combined(repeats):
    """One figure of the runs of the same work in fresh processes: how their means differ counts."""
    facts, figures = zip(*repeats)
    if len(figures) == 1:
        return figures[0]
    n, first = len(figures), figures[0]
    faults = tuple(fault for figure in figures for fault in figure.faults)
    odd = sorted({key for one in facts for key in one
                  if any(other.get(key) != one[key] for other in facts)})
    if odd:
        faults += ('its %d records are no repeats: they differ in %s' % (n, ', '.join(odd)),)
    elif any(one.sd_s and one[1:4] == other[1:4]         # to the last digit
             for one, other in itertools.combinations(figures, 2)):
        faults += ('its %d records are no repeats: two have the same steps' % n,)
    first = first._replace(records=tuple(name for figure in figures for name in figure.records))
    if faults:
        return first._replace(faults=faults)
    means = [figure.mean_s for figure in figures]
    mean_s, ci95_s = statistics.mean(means), None
    if n >= MIN_PROCESSES:
        half_s = T_INTERVAL[min(n - 1, max(T_INTERVAL))] * statistics.stdev(means) / math.sqrt(n)
        ci95_s = mean_s - half_s, mean_s + half_s
    return first._replace(
        mean_s=mean_s, ci95_s=ci95_s, sd_s=None,
        alone_s=_mean([figure.alone_s for figure in figures]),
        communication=_mean([figure.communication for figure in figures]),
        warnings=tuple(warning for figure in figures for warning in figure.warnings))


def _mean(values):
    return None if None in values else statistics.mean(values)
