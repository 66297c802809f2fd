"""The figures of records, of folders of records and of references: what `suite compare` compares.

Figures are compared only when the work is the same: network, variant, pass, fetch, batch size,
precision and number of processes. The records of a folder that have the same work and ran under the
same conditions are repeats of each other, and become one figure.
"""
import functools
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
    word: of a figure of records, its outcome as suite.outcome has it. steps: the mean and the
    standard deviation of the steps of each record, by which copies are found.
    """
    work: Work
    mean_s: Optional[float] = None
    ci95_s: Optional[Interval] = None
    sd_s: Optional[float] = None
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
    steps: Tuple[Interval, ...] = ()


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
    facts: Dict[str, Any]
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
    facts, records, figures, others = [], [], [], []     # type: List, List, List, List[str]
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
                return Source(_short(name), *_reference(data), problems, [])
        elif kind in (None, data['environment']['device']['kind']):
            short = _short(path, name)
            records.append(Record(short, data, _record(short, data)))
            figures += records[-1].figures
            facts.append(conditions.of(data))
            if data['status'] != 'finished':
                why = [data['error']] if data['error'] else data['faults']
                log = os.path.splitext(path)[0] + '.log'
                problems.append('%s: the run did not finish (%s)%s%s' % (
                    path, outcome.of_run(data), ': ' * bool(why) + '; '.join(why),
                    ', see %s' % log if os.path.isfile(log) else ''))
    if len(others) == 1:
        problems.append('%s: %s' % (others[0], reading.NO_RECORD))
    elif others:
        problems.append('%s: %d files are not records of these benchmarks: %s%s' % (
            name, len(others), ', '.join(_short(path, name) for path in others[:3]),
            ', ...' * (len(others) > 3)))
    return Source(_short(name), conditions.merged(facts), _repeats(figures), problems, records)


def _paths(name, deep):
    """The files that a name stands for, and what is wrong with it."""
    if os.path.isdir(name):
        paths, problems = [], []                         # type: List[str], List[str]
        for folder, folders, files in os.walk(name, onerror=lambda error: problems.append(
                '%s: %s' % (error.filename, error.strerror))):
            folders[:] = [inner for inner in folders if deep and not inner.startswith('.')]
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
        parts = next((parts for parts in zip(*map(reversed, paths))
                      if all(parts) and len(set(parts)) == len(parts)), ())
        for i, part in zip(indices, parts):
            short[i] = reading.one_line(part)
    for unique in short, list(names):
        if len(set(unique)) == len(unique):
            return unique
    return ['%s (%d)' % (name, i) for i, name in enumerate(short, 1)]


def _record(name, data):
    """The figures of a record, in the order of its results."""
    figures = []
    for entry in data['results']:
        values, scaling = conditions.of(data, entry), entry.get('scaling') or {}
        measured = {}                                    # type: Dict[str, Any]
        if entry['samples_s']:
            summary = stats.summarise(entry['samples_s'])
            measured = {
                'steps': ((summary.mean_s, summary.sd_s),),
                'mean_s': summary.mean_s, 'ci95_s': summary.ci95_s, 'sd_s': summary.sd_s,
                'warnings': tuple(caution['text'] for part in (data, entry)
                                  for caution in part.get('warnings', [])),
                'alone_s': scaling.get('alone', {}).get('mean_s'),
                'communication': scaling.get('communication_share')}
        figures.append(Figure(
            Work(*[values.get(label, 1) for label in conditions.WORK]), records=(name,),
            faults=tuple(data['faults'] + entry.get('faults', [
                'not checked, because the run ended in this pass (%s)' % data['status']])),
            conditions=values, word=outcome.of_pass(data, entry), **measured))
    return figures


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
    figures = sorted([
        Figure(Work(*[entry.get(key, 1) for key in Work._fields]), entry.get('mean_s'),
               sd_s=entry.get('sd_s'), about=entry['about'], differs=tuple(entry['differs']),
               images_per_s=entry.get('images_per_s'),
               published={key: str(entry[key]) for key in PUBLISHED if key in entry})
        for entry in data['figures']],
        key=lambda figure: (order(figure.work), figure.published['year']))
    facts = {key: str(data[key]) for key in PUBLISHED if key in data}
    gpus, years = [{figure.published[key] for figure in figures} for key in PUBLISHED[:2]]
    facts.setdefault('hardware', '%d GPUs' % len(gpus) if len(gpus) > 1 else min(gpus))
    facts.setdefault('year', ' to '.join(sorted({min(years), max(years)})))
    return facts, figures


def order(work: Work) -> List[Tuple[int, str]]:
    """Returns a key that sorts works as common.networks has them, what it does not know behind."""
    known = {'benchmark': list(networks.NETWORKS), 'info_string': networks.PASSES, 'fetch': FETCHES,
             'variant': list(networks.NETWORKS[work.benchmark].variants)}
    key = []
    for field, value in work._asdict().items():
        values = known.get(field, ())
        key.append((values.index(value) if value in values else len(values),
                    '%9s' % value))                      # numbers by their size
    return key


def combined(figures: Sequence[Figure]) -> Figure:
    """Returns the figure of runs of the same work in fresh processes, under the same conditions.
    Its interval comes from how the means of the processes differ; a pass in which a run ended
    counts only where there is no other."""
    figures = [figure for figure in figures
               if not figure.faults or figure.word == 'INVALID'] or list(figures)
    n, first = len(figures), figures[0]
    if n == 1:
        return first
    words = [figure.word for figure in figures if figure.faults]
    faults = [fault for figure in figures for fault in figure.faults]
    steps = tuple(mean_and_sd for figure in figures for mean_and_sd in figure.steps)
    if len(set(steps)) < len(steps):                     # to the last digit
        faults.append('its %d records are not repeats: two have identical steps' % n)
    first = first._replace(records=tuple(name for figure in figures for name in figure.records))
    if faults:
        return first._replace(faults=tuple(faults), word=(words + ['INVALID'])[0])
    means, ci95_s = [figure.mean_s for figure in figures], None
    mean_s = statistics.mean(means)
    if n >= MIN_PROCESSES:
        ci95_s = stats.interval(
            mean_s, t_interval(n) * statistics.stdev(means) / math.sqrt(n))
    warnings = tuple(warning for figure in figures for warning in figure.warnings)
    return first._replace(
        mean_s=mean_s, ci95_s=ci95_s, sd_s=None, warnings=warnings, steps=steps,
        alone_s=_mean([figure.alone_s for figure in figures]),
        communication=_mean([figure.communication for figure in figures]),
        conditions=conditions.merged([figure.conditions for figure in figures]),
        word=outcome.of_cautions(len(warnings)))


def t_interval(n: int) -> float:
    """Returns the 97.5 % quantile of Student's t for the mean of n processes."""
    return T_INTERVAL[min(n - 1, max(T_INTERVAL))]


def _mean(values):
    return None if None in values else statistics.mean(values)
