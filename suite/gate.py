"""The gate of `suite compare --fail-if-slower`: a row fails if it is slower beyond doubt."""
from typing import List, Sequence, Tuple

from suite.pairs import Row

EXIT_PASSED, EXIT_FAILED, EXIT_NOTHING_TO_JUDGE = 0, 1, 2


def too_slow(rows: Sequence[Row], percent: float) -> List[Row]:
    """Returns the rows whose ratio has its whole interval above 1 + percent / 100."""
    return [row for row in rows if row.interval and row.interval[0] > 1 + percent / 100]


def judge(rows: Sequence[Row], percent: float) -> Tuple[int, str]:
    """Returns the exit code of the gate and the sentence that explains it."""
    judged = [row for row in rows if row.interval]
    if not judged:
        return EXIT_NOTHING_TO_JUDGE, '--fail-if-slower: no ratio has an interval.'
    slow = too_slow(judged, percent)
    return EXIT_FAILED if slow else EXIT_PASSED, (
        '--fail-if-slower %g: %d of %d rows have an interval; in %d the whole interval is above '
        '%+g %%' % (percent, len(judged), len(rows), len(slow), percent))
