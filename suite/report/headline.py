"""The headline of the page: the outcome of the gate, the most important ratio, or the figure of
what is compared with nothing. Its words are those that `suite compare` prints."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

from suite import gate, outcome, tables
from suite.figures import Figure, Source
from suite.pairs import NO_DIFFERENCE, NOTHING_SHARED, Pair, Row

KINDS = {gate.PASS: 'good', gate.FAIL: 'bad', gate.UNDECIDED: 'warn', 'faster': 'good',
         'slower': 'bad', NO_DIFFERENCE: 'warn'}     # the colour of a verdict; others have none


class Headline(NamedTuple):
    """The answer in one line, with the colour `kind`; the verdict, of the colour `word_kind`; what
    it is about; and a line for each row, where the answer is about several."""
    title: str
    kind: str
    word: str
    word_kind: str
    about: str
    lines: List[str]


def of(sources: Sequence[Source], pairs: Sequence[Pair], percent: Optional[float]) -> Headline:
    """Returns the headline.

    Args:
        sources: what was named.
        pairs: those of suite.pairs.pairs_of.
        percent: the limit of the gate, or None.
    """
    if percent is not None:
        return _of_gate(pairs, percent)
    rows = [(pair, row) for pair in pairs for row in pair.rows if row.ratio is not None]
    valid = [figure for figure in sources[0].figures if not figure.faults]
    if rows:
        return _of_row(*max(rows, key=lambda one: _weight(one[1])),
                       [row.verdict for pair in pairs for row in pair.rows])
    if valid and len(sources) == 1:
        return _of_figure(valid[0], valid)
    return _of_nothing(sources, valid)


def _weight(row: Row) -> Tuple[bool, bool, bool]:
    """The headline is about the first row that is slower, or else faster, or has a verdict."""
    return row.verdict == 'slower', row.verdict == 'faster', bool(row.interval)


def _of_gate(pairs: Sequence[Pair], percent: float) -> Headline:
    judgements = gate.judge(pairs, percent)
    word = gate.overall(judgements)
    return Headline(word, KINDS[word], '', '', '%s: %s' % (
        gate.title(percent), _counts([one.word for one in judgements])),
        gate.lines(judgements, (gate.FAIL, gate.UNDECIDED, gate.PASS)))


def _of_row(pair: Pair, row: Row, verdicts: Sequence[str]) -> Headline:
    """Of the ratio of one row; `verdicts` are those of all rows."""
    name = tables.named_figure(row.other, tables.varying([one.other for one in pair.rows]))
    if not row.base.records:                             # published: no verdict about the ratio
        title = '%s is %s' % (pair.other.name, tables.times(row, pair.base))
        return Headline(title, '', *_word(row.other), '%s: %s' % (name, _speed(row.other)), [])
    title = '%s against %s: time %s' % (pair.other.name, pair.base.name, tables.times(row))
    if row.verdict == NO_DIFFERENCE:                     # claims no direction
        title = '%s and %s: %s' % (pair.base.name, pair.other.name, NO_DIFFERENCE)
        name += ': time ' + tables.times(row)
    about = '%s: %s %s, %s %s ms / batch' % (
        name, pair.base.name, _ms(row.base), pair.other.name, _ms(row.other))
    if len(verdicts) > 1:
        about += '. All %d rows: %s' % (len(verdicts), _counts(verdicts))
    return Headline(title, '', row.verdict, KINDS.get(row.verdict, ''), about, [])


def _of_figure(figure: Figure, figures: Sequence[Figure]) -> Headline:
    return Headline(_speed(figure), '', *_word(figure),
                    tables.named_figure(figure, tables.varying(figures)), [])


def _of_nothing(sources: Sequence[Source], valid: Sequence[Figure]) -> Headline:
    """Of sources without a figure that can be compared."""
    if not sources[0].figures:
        ends = [outcome.of_run(record.data) for record in sources[0].records]
        return Headline('%s has no figures' % sources[0].name, 'bad', _joined(ends), 'bad',
                        '%d records could be read' % len(ends), [])
    for source in sources:
        words = [outcome.of_figure(figure) for figure in source.figures if figure.faults]
        if words and len(words) == len(source.figures):
            return Headline(_joined(words), 'bad', '', '', '0 of %d figures of %s are valid' % (
                len(words), source.name), [])
    return Headline(NOTHING_SHARED, 'warn', '', '', ', '.join(
        '%s has %d valid figures' % (source.name, sum(not one.faults for one in source.figures))
        for source in sources), [])


def _word(figure: Figure) -> Tuple[str, str]:
    """The verdict about a figure itself, and its colour."""
    if not figure.records:
        return 'published', ''
    word = outcome.of_figure(figure)
    return word, outcome.kind(word)


def _joined(words: Sequence[str]) -> str:
    return ', '.join(dict.fromkeys(words))


def _counts(words: Sequence[str]) -> str:
    return ', '.join('%d %s' % (words.count(word), word) for word in dict.fromkeys(words))


def _ms(figure: Figure) -> str:
    return tables.milliseconds(figure._replace(warnings=()))


def _speed(figure: Figure) -> str:
    """The time and the rate of a valid figure, whichever is known."""
    parts = [(_ms(figure), 'ms / batch'), (tables.images_per_s(figure), 'images / s')]
    return ', '.join(' '.join(part) for part in parts if part[0] != '-')
