"""Which figures are of the same work, the ratio of their times, and its verdict.

The ratio is other / base of the mean times: above 1 is slower. Its 95 % interval comes from those
of the two means by the method of variance estimates recovery, on logarithms (Zou and Donner,
Statistics in Medicine 27 (2008); common.stats.ratio).
"""
from typing import Dict, List, NamedTuple, Optional, Sequence

from common import conditions, networks, stats
from suite.figures import FLOAT32, MIN_PROCESSES, Figure, Interval, Source, Work, differing, rate
from suite.tables import named, speed

NO_DIFFERENCE = 'no significant difference'
IDENTICAL = 'identical steps: is one a copy of the other?'
NOTHING_SHARED = 'No workload has valid figures on both sides'


class Row(NamedTuple):
    """Two figures of the same work. `ratio` is other / base, None if one of them is not valid;
    `interval` is that of the ratio, None without a verdict."""
    base: Figure
    other: Figure
    ratio: Optional[float]
    interval: Optional[Interval]
    verdict: str


class Pair(NamedTuple):
    """The rows of the work that two sources share, and lines on figures without counterpart."""
    base: Source
    other: Source
    rows: List[Row]
    apart: List[str]


def pairs_of(sources: Sequence[Source], references: Sequence[Source]) -> List[Pair]:
    """Returns the pairs that are compared: the first source and each of the others, or a single
    source and the references of the same work. The chapter comes first."""
    pairs = compare(sources[0], sources[1:]) if len(sources) > 1 else beside_references(
        sources[0], references)
    return sorted(pairs, key=lambda pair: pair.base.name != 'chapter')


def compare(base: Source, others: Sequence[Source]) -> List[Pair]:
    """Returns a Pair of the base and each of the others; published figures are always the base."""
    return [_pair(base, other, _apart(other, base) + _apart(base, other)) for other in others]


def beside_references(source: Source, references: Sequence[Source]) -> List[Pair]:
    """Returns the Pairs of one source and the references that have figures of its networks. Only
    figures of these networks are in them."""
    benchmarks = {figure.work.benchmark for figure in source.figures}
    relevant = [reference._replace(figures=[figure for figure in reference.figures
                                            if figure.work.benchmark in benchmarks])
                for reference in references if reference.name != source.name]
    return [_pair(source, reference, _apart(reference, source))
            for reference in relevant if reference.figures]


def _pair(base, other, apart):
    if base.records and other.figures and not other.records:
        base, other = other, base
    return Pair(base, other, [row(*match) for match in _matches(base, other)], apart)


def against_float32(source: Source) -> Pair:
    """Returns what ran in another precision or through XLA, against the float32 run of the same
    work in the same records."""
    plain = {(figure.work, figure.records): figure for figure in source.figures if figure.records}
    rows = []
    for figure in source.figures:
        base = plain.get((figure.work._replace(precision=FLOAT32), figure.records))
        if base and figure.work.precision != FLOAT32:
            rows.append(row(base, figure))
    return Pair(source._replace(name=FLOAT32), source, rows, [])


def curves(source: Source) -> Dict[Work, List[Figure]]:
    """Returns the figures of jobs of several processes, and of one, by the work of one process."""
    by_work = {}                                         # type: Dict[Work, List[Figure]]
    for figure in source.figures:
        if figure.records:
            by_work.setdefault(figure.work._replace(processes=1), []).append(figure)
    return {work: figures for work, figures in by_work.items()
            if any(figure.work.processes > 1 for figure in figures)}


def ideal(figure: Figure) -> Optional[float]:
    """Returns the images / s of a job without any loss: those of one process alone, timed in the
    same run, times the number of processes. None if none was timed alone."""
    return figure.alone_s and rate(figure) * figure.mean_s / figure.alone_s


def _matches(base, other):
    """The pairs of figures that are compared, in the order of the base: of the same work, and if a
    source has it under several conditions, each with the one whose conditions are most alike."""
    matches = []
    for figure in base.figures:
        theirs = _same_work(figure, other)
        if figure.records:
            theirs = [match for match in theirs if not match.records
                      or match is _nearest(figure, theirs)
                      and figure is _nearest(match, _same_work(match, base))]
        matches += [(figure, match) for match in theirs]
    return matches


def _same_work(figure, source):
    return [other for other in source.figures
            if other.work == figure.work and not (figure.differs or other.differs)]


def _nearest(figure, others):
    return min(others, key=lambda other: len(differing(figure, other)))


def row(base: Figure, other: Figure) -> Row:
    """Returns the comparison of two figures of the same work. A verdict needs MIN_PROCESSES
    processes on each side: the steps of one process say nothing about the next one."""
    if base.faults or other.faults or not (base.mean_s and other.mean_s):
        return Row(base, other, None, None, 'not compared')
    why = _no_verdict(base) or _no_verdict(other)
    if set(base.steps) & set(other.steps):               # to the last digit
        why = IDENTICAL
    if why:
        return Row(base, other, other.mean_s / base.mean_s, None, why)
    ratio, low, high = stats.ratio((base.mean_s, *base.ci95_s), (other.mean_s, *other.ci95_s))
    return Row(base, other, ratio, (low, high),
               'slower' if low > 1 else 'faster' if high < 1 else NO_DIFFERENCE)


def _no_verdict(figure):
    """Why there can be no verdict about a figure; '' if there can be one."""
    count = len(figure.records)
    if count >= MIN_PROCESSES:
        return ''
    return '%s: no verdict' % ('published' if not count else
                               'one process' if count == 1 else '%d processes' % count)


def _apart(source, base):
    """A line for each figure of `source` that has no counterpart in `base`: how it differs from the
    most similar one. One line for all networks that `base` does not have."""
    benchmarks, lines = {figure.work.benchmark for figure in base.figures}, []
    matched = [id(match) for _, match in _matches(base, source)]
    for figure in source.figures:
        if figure.work.benchmark in benchmarks and id(figure) not in matched:
            others = _same_work(figure, base) or [
                other for other in base.figures if other.work.benchmark == figure.work.benchmark]
            why = min([_differences(figure, other) for other in others], key=len)
            why.extend(figure.differs)
            gpu = (figure.published or source.facts).get('hardware')
            if why:
                lines.append('%s%s, %s: %s: %s' % (
                    source.name, '' if gpu == source.facts.get('hardware') else ' (%s)' % gpu,
                    named(figure), speed(figure), '; '.join(why)))
    lacking = [name for name in networks.NETWORKS if name not in benchmarks
               and any(figure.work.benchmark == name for figure in source.figures)]
    return lines + ['%s has no figures of %s' % (base.name, ', '.join(lacking))] * bool(lacking)


def _differences(figure, other):
    """How the work of a figure differs from that of another one, or, if it is the same, its
    conditions."""
    if figure.work == other.work:
        return ['%s %s, not %s' % (name, *[conditions.text(name, side.conditions.get(name))
                                           for side in (figure, other)])
                for name in differing(figure, other)]
    return ['%s %s' % (label, 'not stated' if value is None else '%s, not %s' % (value, wanted))
            for label, value, wanted in zip(conditions.WORK, figure.work, other.work)
            if value != wanted and (value, label) != (None, 'fetch')]
