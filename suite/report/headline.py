"""The headline of the page: the outcome of the gate, the most important ratio, or the figure of
what is compared with nothing."""
from typing import Any, Dict, Optional, Sequence

from suite import gate, outcome, tables
from suite.figures import Source
from suite.pairs import NO_DIFFERENCE, NOTHING_SHARED, Pair

# The colours of verdicts; others have none.
KINDS = {gate.PASS: 'good', gate.FAIL: 'bad', gate.UNDECIDED: 'warn', 'faster': 'good',
         'slower': 'bad', NO_DIFFERENCE: 'warn'}


def of(sources: Sequence[Source], compared: Sequence[Pair], percent: Optional[float]
       ) -> Dict[str, Any]:
    """Returns the headline: the answer as `title`, what it is `about`, the verdict `word` ('' if
    the title is the verdict) with the colour `kind`, and `lines`, one for each row of the gate.

    Args:
        sources: what was named.
        compared: those of pairs.pairs_of.
        percent: the limit of the gate, or None.
    """
    if percent is not None:
        judgements = gate.judge(compared, percent)
        word = gate.overall(judgements)
        return _headline(word, '%s: %s' % (gate.title(percent), _counts(
            [judgement for judgement, _ in judgements])), '', KINDS[word],
            [('row', line, None) for line in gate.lines(
                judgements, (gate.FAIL, gate.UNDECIDED, gate.PASS))])
    rows = [(pair, row) for pair in compared for row in pair.rows if row.ratio is not None]
    if rows:                                             # the first slower one, or else faster
        return _of_row(*max(rows, key=lambda item: (
            item[1].verdict == 'slower', item[1].verdict == 'faster', bool(item[1].interval))),
            [row.verdict for pair in compared for row in pair.rows])
    valid = [figure for figure in sources[0].figures if not figure.faults]
    if valid and len(sources) == 1:
        return _of_figure(_speed(valid[0]), valid[0], tables.named(
            valid[0], tables.varying(valid)))
    return _of_nothing(sources)


def _headline(title, about, word, kind, lines=()):
    return {'title': title, 'about': about, 'word': word, 'kind': kind, 'lines': lines}


def _of_row(pair, row, verdicts):
    """Of the ratio of one row; `verdicts` are those of all rows."""
    name = tables.named(row.other, tables.varying([match.other for match in pair.rows]))
    if not row.base.records:                             # published: no verdict about the ratio
        return _of_figure('%s is %s' % (pair.other.name, tables.times(row, pair.base)), row.other,
                          '%s: %s' % (name, _speed(row.other)))
    title = '%s against %s: time %s' % (pair.other.name, pair.base.name, tables.times(row))
    if row.verdict == NO_DIFFERENCE:                     # claims no direction
        title = '%s and %s: %s' % (pair.base.name, pair.other.name, NO_DIFFERENCE)
        name += ': time ' + tables.times(row)
    about = '%s: %s %s, %s %s ms / batch' % (
        name, pair.base.name, tables.step_time(row.base), pair.other.name,
        tables.step_time(row.other))
    if len(verdicts) > 1:
        about += '. All %d rows: %s' % (len(verdicts), _counts(verdicts))
    return _headline(title, about, row.verdict, KINDS.get(row.verdict, ''))


def _of_figure(title, figure, about):
    word = figure.word or 'published'
    return _headline(title, about, word, outcome.kind(word) if figure.records else '')


def _of_nothing(sources):
    """Of sources without a figure that can be compared."""
    if not sources[0].figures:
        words = [outcome.of_run(record.data) for record in sources[0].records]
        return _headline('%s has no figures' % sources[0].name, '%d records could be read' % len(
            words), ', '.join(dict.fromkeys(words)), 'bad')
    for source in sources:
        words = [figure.word for figure in source.figures if figure.faults]
        if words and len(words) == len(source.figures):
            return _headline(', '.join(dict.fromkeys(words)), '0 of %d figures of %s are valid' % (
                len(words), source.name), '', 'bad')
    return _headline(NOTHING_SHARED, ', '.join(
        '%s has %d valid figures' % (source.name, sum(not figure.faults
                                                      for figure in source.figures))
        for source in sources), '', 'warn')


def _counts(words):
    return ', '.join('%d %s' % (words.count(word), word) for word in dict.fromkeys(words))


def _speed(figure):
    """The time and the rate of a valid figure, whichever is known."""
    parts = [(tables.step_time(figure), 'ms / batch'),
             (tables.images_per_s(figure), 'images / s')]
    return ', '.join(' '.join(part) for part in parts if part[0] != '-')
