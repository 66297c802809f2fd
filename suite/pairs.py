"""Which figures are of the same work, the ratio of their times, and its verdict.

The ratio is other / base of the mean times: above 1 is slower. Its 95 % interval comes from those
of the two means by the method of variance estimates recovery, on logarithms (Zou and Donner,
Statistics in Medicine 27 (2008); common.stats.ratio).
"""
from typing import Dict, List, NamedTuple, Optional, Sequence

from common import networks, stats
from suite.figures import FLOAT32, MIN_PROCESSES, Figure, Interval, Source, Work, rate, titled
from suite.tables import LABELS, named, speed

NO_DIFFERENCE = 'no significant difference'


class Row(NamedTuple):
    """Two figures of the same work; `ratio` is other / base, None if one of them is not valid."""
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


def compare(base: Source, others: Sequence[Source]) -> List[Pair]:
    """Returns a Pair of the base and each of the others."""
    return [Pair(base, other,
                 [_row(figure, match) for figure in base.figures
                  for match in [_match(figure, other)] if match],
                 _apart(other, base) + _apart(base, other)) for other in others]


def beside_references(source: Source, references: Sequence[Source]) -> List[Pair]:
    """Returns the Pairs of one source and the references that have figures of its networks. Only
    figures of these networks are in them."""
    benchmarks = {figure.work.benchmark for figure in source.figures}
    relevant = [reference._replace(figures=[figure for figure in reference.figures
                                            if figure.work.benchmark in benchmarks])
                for reference in references if reference.name != source.name]
    return [pair._replace(apart=_apart(pair.other, source))
            for pair in compare(source, [reference for reference in relevant if reference.figures])]


def against_float32(source: Source) -> List[Row]:
    """Returns the rows of what ran in another precision or through XLA, against the float32 run of
    the same work in the same records."""
    baselines = {(figure.work, figure.records): figure for figure in source.figures
                 if figure.records}
    bases = [(baselines.get((figure.work._replace(precision=FLOAT32), figure.records)), figure)
             for figure in source.figures if figure.work.precision != FLOAT32]
    return [_row(base, figure) for base, figure in bases if base]


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


def _match(figure, source):
    """The figure of the same work in a source, or None."""
    for other in source.figures:
        if other.work == figure.work and not (figure.differs or other.differs):
            return other
    return None


def _row(base, other):
    if base.faults or other.faults or not (base.mean_s and other.mean_s):
        return Row(base, other, None, None, 'not compared')
    ratio = other.mean_s / base.mean_s
    for figure in (base, other):
        if not figure.ci95_s:
            return Row(base, other, ratio, None, 'no interval: ' + _why_no_interval(figure))
    ratio, low, high = stats.ratio(*[(figure.mean_s, *figure.ci95_s) for figure in (base, other)])
    verdict = 'slower' if low > 1 else 'faster' if high < 1 else NO_DIFFERENCE
    return Row(base, other, ratio, (low, high), verdict)


def _why_no_interval(figure):
    if not figure.records:
        return 'published without samples'
    if len(figure.records) == 1:
        return 'fewer than %d steps' % stats.MIN_STEPS
    return '%d processes, fewer than %d' % (len(figure.records), MIN_PROCESSES)


def _apart(source, base):
    """A line for each figure of `source` that has no counterpart in `base`: how it differs from the
    most similar one. One line for all networks that `base` does not have."""
    benchmarks, lines = {figure.work.benchmark for figure in base.figures}, []
    for figure in source.figures:
        if figure.work.benchmark in benchmarks and not _match(figure, base):
            why = min([_unequal(figure.work, other.work) for other in base.figures
                       if other.work.benchmark == figure.work.benchmark], key=len)
            if why or figure.differs:
                lines.append('%s, %s: %s: %s' % (titled(source, figure), named(figure.work),
                                                 speed(figure),
                                                 '; '.join(why + list(figure.differs))))
    missing = [name for name in networks.NETWORKS if name not in benchmarks
               and any(figure.work.benchmark == name for figure in source.figures)]
    return lines + (['%s has no %s' % (base.name, ', '.join(missing))] if missing else [])


def _unequal(work, other):
    return ['%s %s' % (label, 'not stated' if value is None else '%s, not %s' % (value, wanted))
            for label, value, wanted in zip(LABELS, work, other)
            if value != wanted and (value, label) != (None, 'fetch')]
