"""The gate of `suite compare --fail-if-slower`: PASS, FAIL or UNDECIDED for each row."""
import math
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple
from xml.etree import ElementTree

from common import conditions
from suite import pairs
from suite.figures import MIN_PROCESSES, t_interval
from suite.tables import named, times, varying

PASS, FAIL, UNDECIDED = 'PASS', 'FAIL', 'UNDECIDED'
EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 4}
MOST_REPEATS = 100                   # more than that is not worth asking for


def judge(compared: Sequence[pairs.Pair], percent: float) -> List[Tuple[str, str]]:
    """Returns the word and the line of each row of the pairs. PASS: the interval of other / base
    ends at or below 1 + percent / 100; FAIL: it begins above; UNDECIDED: it includes that limit, or
    there is no interval. UNDECIDED are also what the other source has no figure of, or one of other
    conditions, and a source without any row."""
    judged = []
    for pair in compared:
        keys = varying([row.base for row in pair.rows])
        lines = []
        for row in pair.rows:
            word, why = outcome(row, percent)
            lines.append((word, '%s: %s' % (named(row.base, keys), '; '.join(
                filter(None, [times(row) if row.ratio else '', why])))))
        ended = {(record.data['benchmark'], record.data['variant'])
                 for record in pair.other.records if record.data['status'] != 'finished'}
        works = {figure.work for figure in pair.other.figures}
        lines += [(UNDECIDED, '%s: %s' % (named(figure), (
            'the run of %s did not finish' if figure.work[:2] in ended else '%s has no figure')
            % pair.other.name))
            for figure in pair.base.figures if figure.records and figure.work not in works]
        works = {row.base.work for row in pair.rows}
        lines += [(UNDECIDED, '%s: not judged, because of other conditions: %s' % (
            named(figure), ', '.join(figure.records)))
            for figure in pair.other.figures if figure.records and figure.work in works
            and not any(row.other is figure for row in pair.rows)]
        prefix = pair.other.name + ', ' if len(compared) > 1 else ''
        judged += [(word, prefix + line) for word, line in lines]
        if not pair.rows:
            judged.append((UNDECIDED, pair.other.name + ': nothing of it can be judged'))
    return judged


def overall(judged: Sequence[Tuple[str, str]]) -> str:
    """Returns FAIL if a row fails, PASS if all pass, else UNDECIDED."""
    words = {word for word, _ in judged}
    return FAIL if FAIL in words else UNDECIDED if UNDECIDED in words else PASS


def exit_code(compared: Sequence[pairs.Pair], percent: float) -> int:
    """Returns the exit code of `suite compare`. A source of which nothing can be judged is no
    pass."""
    word = overall(judge(compared, percent))
    return EXIT_CODES[word] if word == FAIL or all(pair.rows for pair in compared) else 2


def csv_rows(compared: Sequence[pairs.Pair], percent: Optional[float]) -> Iterator[Dict[str, Any]]:
    """Yields a row, by tables.CSV_COLUMNS, for each row of the pairs: the ratio of the times, its
    interval, and the outcome of the gate, or without one the verdict."""
    for pair in compared:
        for row in pair.rows:
            low, high = row.interval or (None, None)
            yield dict(zip(conditions.WORK, row.other.work), source=pair.other.name,
                       base=pair.base.name, time_ratio=row.ratio, ratio_low=low, ratio_high=high,
                       outcome=row.verdict if percent is None else outcome(row, percent)[0])


def junit(judged: Sequence[Tuple[str, str]], percent: float) -> str:
    """Returns the outcomes as JUnit XML, which every CI shows: FAIL is a failure, UNDECIDED is
    skipped."""
    words = [word for word, _ in judged]
    counts = {'name': 'suite compare', 'tests': str(len(words)), 'errors': '0',
              'failures': str(words.count(FAIL)), 'skipped': str(words.count(UNDECIDED))}
    suites = ElementTree.Element('testsuites', counts)
    suite = ElementTree.SubElement(suites, 'testsuite', dict(counts, name=title(percent)))
    for word, line in judged:
        name, _, why = line.partition(': ')
        case = ElementTree.SubElement(suite, 'testcase', classname='suite.compare', name=name)
        if word != PASS:
            ElementTree.SubElement(case, 'failure' if word == FAIL else 'skipped',
                                   message='%s: %s' % (word, why))
    return ('<?xml version="1.0" encoding="UTF-8"?>\n'
            + ElementTree.tostring(suites, encoding='unicode') + '\n')


def title(percent: float) -> str:
    """Returns what the gate asks for."""
    return 'Gate, at most %g %% slower' % percent


def lines(judged: Sequence[Tuple[str, str]], words: Sequence[str] = (FAIL, UNDECIDED)
          ) -> List[str]:
    """Returns the lines of these outcomes, in the order of `words`."""
    return ['%s: %s' % (word, line) for word in words for judgement, line in judged
            if judgement == word]


def outcome(row: pairs.Row, percent: float) -> Tuple[str, str]:
    """Returns the word for a row, and why it is not decided ('' where it is)."""
    limit = 1 + percent / 100
    for figure in (row.base, row.other):
        if figure.faults:
            return UNDECIDED, '%s: %s (%s)' % (figure.word, figure.faults[0],
                                               ', '.join(figure.records))
    if row.interval is None:
        if row.verdict == pairs.IDENTICAL or not (row.base.records and row.other.records):
            return UNDECIDED, row.verdict
        return UNDECIDED, '%s; at least %d on each side are needed (suite run --repeat %d)' % (
            row.verdict, MIN_PROCESSES, MIN_PROCESSES)
    low, high = row.interval
    if high <= limit:
        return PASS, ''
    if low > limit:
        return FAIL, ''
    repeats = repeats_to_decide(row, limit)
    return UNDECIDED, ('more than %d processes on each side would be needed' % MOST_REPEATS
                       if repeats is None else
                       'about %d processes on each side would decide' % repeats)


def repeats_to_decide(row: pairs.Row, limit: float) -> Optional[int]:
    """Returns how many processes on each side would make the interval leave out the limit, a ratio,
    if ratio and scatter stay as they are; None for more than MOST_REPEATS."""
    scatter = 0.0                        # of the logarithms of the means, from the intervals
    for figure in row.base, row.other:
        n, (low, high) = len(figure.records), figure.ci95_s
        scatter = math.hypot(scatter, math.log(high / low) / 2 * math.sqrt(n) / t_interval(n))
    distance = abs(math.log(row.ratio / limit))
    least = min(len(row.base.records), len(row.other.records)) + 1
    return next((n for n in range(least, MOST_REPEATS + 1)
                 if t_interval(n) / math.sqrt(n) * scatter < distance), None)
