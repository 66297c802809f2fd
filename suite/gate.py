"""The gate of `suite compare --fail-if-slower`: PASS, FAIL or UNDECIDED for each row."""
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

from suite import pairs
from suite.figures import MIN_PROCESSES, Figure, t_interval
from suite.tables import named, named_figure, times, varying

PASS, FAIL, UNDECIDED = 'PASS', 'FAIL', 'UNDECIDED'
EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 4}
MOST_REPEATS = 100                   # more than that is not worth asking for


class Judgement(NamedTuple):
    """The outcome of a row, or (`row` is None) of a workload that the other source lacks, or of a
    source without any row; and why it is not decided ('' where it is)."""
    name: str
    row: Optional[pairs.Row]
    word: str
    why: str


def judge(compared: Sequence[pairs.Pair], percent: float) -> List[Judgement]:
    """Returns the outcome of each row of the pairs. PASS: the interval of other / base ends at or
    below 1 + percent / 100; FAIL: it begins above; UNDECIDED: it includes that limit, or there is
    no interval, or the other source has no figure of the work."""
    judgements = []
    for pair in compared:
        prefix = pair.other.name + ', ' if len(compared) > 1 else ''
        keys = varying([row.base for row in pair.rows])
        judgements += [Judgement(prefix + named_figure(row.base, keys), row, *outcome(row, percent))
                       for row in pair.rows]
        judgements += [Judgement(prefix + named(figure.work), None, UNDECIDED, why)
                       for figure, why in pairs.missing(pair)]
        judgements += [Judgement(prefix + named(figure.work), None, UNDECIDED,
                                 'not judged, because of other conditions: %s'
                                 % ', '.join(figure.records))
                       for figure in pairs.other_conditions(pair)]
        if not pair.rows:
            judgements.append(Judgement(pair.other.name, None, UNDECIDED,
                                        'nothing of it can be judged'))
    return judgements


def overall(judgements: Sequence[Judgement]) -> str:
    """Returns FAIL if a row fails, PASS if all pass, else UNDECIDED."""
    words = {judgement.word for judgement in judgements}
    return FAIL if FAIL in words else UNDECIDED if UNDECIDED in words else PASS


def exit_code(compared: Sequence[pairs.Pair], percent: float) -> int:
    """Returns the exit code of `suite compare`. A source of which nothing can be judged is no
    pass."""
    word = overall(judge(compared, percent))
    return EXIT_CODES[word] if word == FAIL or all(pair.rows for pair in compared) else 2


def title(percent: float) -> str:
    """Returns what the gate asks for."""
    return 'Gate, at most %g %% slower' % percent


def lines(judgements: Sequence[Judgement], words: Sequence[str] = (FAIL, UNDECIDED)) -> List[str]:
    """Returns a line for each row with these outcomes, in the order of `words`."""
    return ['%s: %s: %s' % (judgement.word, judgement.name, '; '.join(filter(None, [
        times(judgement.row) if judgement.row and judgement.row.ratio else '', judgement.why])))
        for word in words for judgement in judgements if judgement.word == word]


def outcome(row: pairs.Row, percent: float) -> Tuple[str, str]:
    """Returns the word for a row, and why it is not decided ('' where it is)."""
    limit = 1 + percent / 100
    for figure in (row.base, row.other):
        if figure.faults:
            return UNDECIDED, '%s: %s (%s)' % (figure.word or 'INVALID', figure.faults[0],
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
    distance = abs(math.log(row.ratio / limit))
    scatters = [_scatter(figure) for figure in (row.base, row.other)]
    least = min(len(figure.records) for figure in (row.base, row.other)) + 1
    for n in range(least, MOST_REPEATS + 1):
        if t_interval(n) / math.sqrt(n) * math.hypot(*scatters) < distance:
            return n
    return None


def _scatter(figure: Figure) -> float:
    """The standard deviation of the logarithms of the means of the processes, from the interval."""
    n, (low, high) = len(figure.records), figure.ci95_s
    return math.log(high / low) / 2 * math.sqrt(n) / t_interval(n)
