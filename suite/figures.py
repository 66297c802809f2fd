"""The figures of records, of folders of records and of references: what `suite compare` compares.

Figures are compared only when the work is the same: network, variant, pass, fetch, batch size,
precision and number of processes. The records of a folder that have the same work and ran under the
same conditions are repeats of each other, and become one figure.
"""
import functools
import itertools
import math
import os
import re
import statistics
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import conditions, networks, stats
from common.stop import Stop
from suite import outcome
from suite import records as reading
from suite.records import PUBLISHED

REFERENCES, RESULTS = [os.path.join(reading.ROOT, folder) for folder in ('references', 'results')]
FLOAT32 = 'float32'

FETCHES = 'tensors', 'ops'           # in the order of tables

# The 97.5 % quantile of Student's t by degrees of freedom; for more than 9, that of 9 is safe.
T_INTERVAL = {2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}
MIN_PROCESSES = 3

Interval = Tuple[float, float]


class Work(NamedTuple):
    """What was timed: common.conditions.WORK. None: a publication does not say it, or it does not
    apply."""
    benchmark: str
    variant: str
    info_string: str
    fetch: Optional[str]
    batch_size: Optional[int]        # of each process
    precision: str                   # with ', XLA' where that compiled it
    processes: int = 1               # of the job, each with a batch of its own


class Figure(NamedTuple):
    """The mean time of a step with its 95 % interval and standard deviation, in seconds.

    records: the names of those that it is the mean of; none for a published figure. about: it was
    published as approximate. images_per_s: of a figure that was published as a rate. differs: how
    the work of a published figure differs from this project's. warnings: cautions about it.
    faults: why it is not valid. Of a job of several processes, alone_s is the time of a step of one
    process alone, and communication the share of the allreduce in a step. published: the PUBLISHED
    of a published figure, by name; None for records. conditions: of a figure of records, as
    common.conditions.of has them.
    word: of a figure that is not valid, such as INVALID or interrupted.
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
    published: Optional[Dict[str, str]] = None
    conditions: Dict[str, Any] = {}
    word: str = ''


class Record(NamedTuple):
    """A record as it was read, and its figures in the order of its results."""
    name: str
    data: Dict[str, Any]
    figures: List[Figure]


class Source(NamedTuple):
    """Figures that have one name: those of a record, of a folder of records or of a reference.

    facts: on what it ran, or who published it. figures: in the order of tables; repeats of the same
    work under the same conditions are one figure. problems: a line for each file that could not be
    used, and one for all that are no records.
    """
    name: str
    facts: Dict[str, str]
    figures: List[Figure]
    problems: List[str]
    records: List[Record]


def load(name: str, kind: Optional[str] = None, deep: bool = True) -> Source:
    """Returns the figures of a record, of a folder of records at any depth, or of a reference by
    its name.

    Args:
        name: a path, or a name out of reference_names().
        kind: 'gpu' or 'cpu' to leave out the records of other devices.
        deep: whether the records in folders of the folder count too.
    """
    paths, problems = _paths(name, deep)
    files, records, published = [], [], []               # type: List, List, List
    others = []                                          # type: List[str]
    for path in paths:
        try:
            data = reading.load(path)
        except (ValueError, Stop) as error:
            if str(error) == reading.NO_RECORD:
                others.append(path)
            else:
                problems.append('%s: %s' % (path, error))
            continue
        if 'figures' in data:
            if os.path.isdir(name):
                problems.append('%s: published figures among records: name the file itself' % path)
            else:
                facts, published = _reference(data)
                files.append((facts, []))
        elif kind in (None, data['environment']['device']['kind']):
            facts, figures = _record(_short(path, name), data)
            files.append((facts, figures))
            records.append(Record(_short(path, name), data, figures))
            if data['status'] != 'finished':
                why = [data['error']] if data['error'] else data['faults']
                problems.append('%s: the run did not finish (%s)%s' % (
                    path, data['status'], ': ' * bool(why) + '; '.join(why)))
    return Source(_short(name), _all_facts([facts for facts, _ in files]),
                  published or _repeats([figure for _, figures in files for figure in figures]),
                  problems + _no_records(name, others), records)


def _paths(name, deep):
    """The files that a name stands for, and what is wrong with it."""
    if os.path.isdir(name):
        paths, problems = [], []                         # type: List[str], List[str]
        for folder, folders, files in os.walk(name, onerror=lambda error: problems.append(
                '%s: %s' % (error.filename, error.strerror))):
            folders[:] = [one for one in folders if deep and not one.startswith('.')]
            paths += [os.path.join(folder, file) for file in files
                      if file.endswith('.json') and not file.startswith('.')]
        if not paths and not problems:
            problems.append('%s: a folder without records (*.json)' % name)
        return sorted(paths, key=lambda path: _natural(_short(path, name))), problems
    if os.path.exists(name):
        return [name], []
    if name in reference_names():
        return [os.path.join(REFERENCES, name + '.json')], []
    return [], ['%s: no such file, folder or reference (references: %s)' % (
        name, ', '.join(reference_names()))]


def _no_records(name, paths):
    """The line about the files that are something else than a record, if there are any."""
    if not paths:
        return []
    if len(paths) == 1:
        return ['%s: %s' % (paths[0], reading.NO_RECORD)]
    return ['%s: %d files are not records of these benchmarks: %s%s' % (
        name, len(paths), ', '.join(_short(path, name) for path in paths[:3]),
        ', ...' * (len(paths) > 3))]


def reference_names() -> List[str]:
    """Returns the names of the files in references/, without .json."""
    if not os.path.isdir(REFERENCES):
        return []
    return sorted(file[:-5] for file in os.listdir(REFERENCES) if file.endswith('.json'))


@functools.lru_cache(maxsize=None)
def references() -> Tuple[Source, ...]:
    """Returns all references, in the order of their names. They are read once a process."""
    return tuple(load(os.path.join(REFERENCES, name + '.json')) for name in reference_names())


def rate(figure: Figure) -> float:
    """Returns the images / s of a valid figure of records, of all processes together."""
    return figure.work.batch_size * figure.work.processes / figure.mean_s


def _natural(name):
    """A key that sorts b8 before b16."""
    return [int(part) if i % 2 else part for i, part in enumerate(re.split(r'(\d+)', name))]


def _short(name, folder=None):
    """The name of a file or a folder, without .json; in a folder with those between them."""
    short = (os.path.relpath(name, folder) if folder and os.path.isdir(folder)
             else os.path.basename(os.path.abspath(name)))
    short = reading.one_line(short)
    return short[:-5] if short.endswith('.json') else short


def short_names(names: Sequence[str]) -> List[str]:
    """Returns the shortest names that tell several sources apart: those of the files or folders,
    or where these are the same, the last part in which their paths differ."""
    short, published = list(map(_short, names)), reference_names()
    for shared in {name for name in short if short.count(name) > 1}:
        indices = [i for i, name in enumerate(short)
                   if name == shared and names[i] not in published]
        paths = [os.path.abspath(names[i]).split(os.sep) for i in indices]
        for parts in zip(*map(reversed, paths)):
            if all(parts) and len(set(parts)) == len(parts):
                for i, part in zip(indices, parts):
                    short[i] = reading.one_line(part)
                break
    if len(set(short)) == len(short):
        return short
    if len(set(names)) == len(names):
        return list(names)
    return ['%s (%d)' % (name, i) for i, name in enumerate(short, 1)]


def _record(name, data):
    """The facts and the figures of a record."""
    figures = []
    for entry in data['results']:
        values = conditions.of(data, entry)
        scaling, word = entry.get('scaling') or {}, outcome.of_pass(data, entry)
        faults = tuple(data['faults']) + tuple(entry.get('faults', [
            'not checked, because the run ended in this pass (%s)' % data['status']]))
        figure = Figure(Work(*[values.get(label, 1) for label in conditions.WORK]), None, None,
                        None, (name,), faults=faults, conditions=values,
                        word=word if faults else '')
        if entry['samples_s']:
            summary = stats.summarise(entry['samples_s'])
            cautions = data.get('warnings', []) + entry['warnings']
            figure = figure._replace(
                mean_s=summary.mean_s, ci95_s=summary.ci95_s, sd_s=summary.sd_s,
                warnings=tuple(caution['text'] for caution in cautions),
                alone_s=scaling.get('alone', {}).get('mean_s'),
                communication=scaling.get('communication_share'))
        figures.append(figure)
    return {name: conditions.text(name, value) for name, value in conditions.of(data).items()
            if name not in conditions.WORK}, figures


def _repeats(figures):
    """The figures in the order of tables; those of the same work that differ in no condition are
    repeats of each other, and become one."""
    groups = []                                          # type: List[List[Figure]]
    for figure in figures:
        group = next((group for group in groups if group[0].work == figure.work and not any(
            differing(figure, other) for other in group)), None)
        if group is None:
            groups.append([figure])
        else:
            group.append(figure)
    return sorted(map(combined, groups), key=lambda figure: (
        order(figure.work), [(name, conditions.text(name, value))
                             for name, value in figure.conditions.items()]))


def differing(figure: Figure, other: Figure) -> List[str]:
    """Returns the names of the conditions in which two figures of records differ, so that they are
    no repeats."""
    return [name for name in conditions.differing(figure.conditions, other.conditions)
            if conditions.means(name) == conditions.NOT_A_REPEAT]


def _reference(data):
    """The facts and the figures of a reference. Its figures may be of many GPUs: they are never
    repeats of each other."""
    figures = []
    for entry in data['figures']:
        published = {key: str(entry[key]) for key in PUBLISHED if key in entry}
        figures.append(Figure(
            Work(*(entry.get(key, 1) for key in Work._fields)), entry.get('mean_s'), None,
            entry.get('sd_s'), (), entry['about'], entry.get('images_per_s'),
            tuple(entry['differs']), published=published))
    figures.sort(key=lambda figure: (order(figure.work), figure.published['year']))
    facts = {key: str(data[key]) for key in PUBLISHED if key in data}
    gpus, years = [{figure.published[key] for figure in figures} for key in PUBLISHED[:2]]
    facts.setdefault('hardware', '%d GPUs' % len(gpus) if len(gpus) > 1 else min(gpus))
    facts.setdefault('year', ' to '.join(sorted({min(years), max(years)})))
    return facts, figures


def titled(source: Source, figure: Figure) -> str:
    """Returns the name of the source, with the GPU of a figure whose source has several."""
    if not figure.published or figure.published['hardware'] == source.facts['hardware']:
        return source.name
    return '%s (%s)' % (source.name, figure.published['hardware'])


def _all_facts(files):
    """The facts of several files as one: the values in which they differ, separated by commas."""
    return {key: ', '.join(sorted({facts.get(key, conditions.text(key, None)) for facts in files}))
            for key in sorted({key for facts in files for key in facts}, key=conditions.order)}


def order(work: Work) -> List[Tuple[int, str]]:
    """Returns a key that sorts works as common.networks has them, what it does not know behind."""
    known = {'benchmark': list(networks.NETWORKS), 'info_string': networks.PASSES, 'fetch': FETCHES,
             'variant': list(networks.NETWORKS[work.benchmark].variants)}
    key = []
    for field, value in work._asdict().items():
        values = known.get(field, [])
        key.append((values.index(value) if value in values else len(values),
                    '%9s' % value))                      # numbers by their size
    return key


def combined(figures: Sequence[Figure]) -> Figure:
    """Returns the figure of runs of the same work in fresh processes, under the same conditions.
    Its interval comes from how the means of the processes differ; a pass in which a run ended
    counts only where there is no other."""
    figures = [figure for figure in figures if figure.word in ('', 'INVALID')] or list(figures)
    if len(figures) == 1:
        return figures[0]
    n, first = len(figures), figures[0]
    faults = tuple(fault for figure in figures for fault in figure.faults)
    word = next((figure.word for figure in figures if figure.word), 'INVALID')
    if any(one.sd_s and (one.mean_s, one.sd_s) == (other.mean_s, other.sd_s)
           for one, other in itertools.combinations(figures, 2)):        # to the last digit
        faults += ('its %d records are not repeats: two have identical steps' % n,)
    first = first._replace(records=tuple(name for figure in figures for name in figure.records))
    if faults:
        return first._replace(faults=faults, word=word)
    means = [figure.mean_s for figure in figures]
    mean_s, ci95_s = statistics.mean(means), None
    if n >= MIN_PROCESSES:
        ci95_s = stats.interval(
            mean_s, t_interval(n) * statistics.stdev(means) / math.sqrt(n))
    return first._replace(
        mean_s=mean_s, ci95_s=ci95_s, sd_s=None,
        alone_s=_mean([figure.alone_s for figure in figures]),
        communication=_mean([figure.communication for figure in figures]),
        conditions=conditions.merged([figure.conditions for figure in figures]),
        warnings=tuple(warning for figure in figures for warning in figure.warnings))


def t_interval(n: int) -> float:
    """Returns the 97.5 % quantile of Student's t for the mean of n processes."""
    return T_INTERVAL[min(n - 1, max(T_INTERVAL))]


def _mean(values):
    return None if None in values else statistics.mean(values)
