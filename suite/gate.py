"""The gate of `suite compare --fail-if-slower`: PASS, FAIL or UNDECIDED for each row."""
import math
from typing import List, NamedTuple, Optional, Sequence, Tuple

from suite import pairs, tables
from suite.figures import MIN_PROCESSES, Figure, t_interval

PASS, FAIL, UNDECIDED = 'PASS', 'FAIL', 'UNDECIDED'
EXIT_CODES = {PASS: 0, FAIL: 1, UNDECIDED: 4}
MOST_REPEATS = 100                   # more than that is not worth asking for


class Judgement(NamedTuple):
    """The outcome of a row, or (`row` is None) of a work that the other source has not, or of a
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
        conditions = tables.varying([row.base for row in pair.rows])
        for row in pair.rows:
            name = prefix + tables.named_figure(row.base, conditions)
            judgements.append(Judgement(name, row, *outcome(row, percent)))
        judgements += [Judgement(prefix + tables.named(figure.work), None, UNDECIDED, why)
                       for figure, why in pairs.missing(pair)]
        judgements += [Judgement(prefix + tables.named(figure.work), None, UNDECIDED,
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


def title(percent: float) -> str:
    """Returns what the gate asks for."""
    return 'Gate, at most %g %% slower' % percent


def lines(judgements: Sequence[Judgement], words: Sequence[str] = (FAIL, UNDECIDED)) -> List[str]:
    """Returns a line for each row with these outcomes, in the order of `words`."""
    shown = [one for word in words for one in judgements if one.word == word]
    return ['%s: %s: %s' % (one.word, one.name, '; '.join(filter(None, [
        tables.times(one.row) if one.row and one.row.ratio else '', one.why]))) for one in shown]


def outcome(row: pairs.Row, percent: float) -> Tuple[str, str]:
    """Returns the word for a row, and why it is not decided ('' where it is)."""
    limit = 1 + percent / 100
    for figure in (row.base, row.other):
        if figure.faults:
            return UNDECIDED, '%s: %s (%s)' % (figure.word or 'INVALID', figure.faults[0],
                                               ', '.join(figure.records))
    if row.interval is None:
        counts = [len(figure.records) for figure in (row.base, row.other)]
        if not all(counts):
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
