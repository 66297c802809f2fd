"""Figures as text: their names, times, rates and ratios, and the rows of --csv."""
import itertools
import re
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

from common import conditions, stats, text
from suite import outcome
from suite.figures import Figure, Interval, Source, differing, rate
from suite.records import PUBLISHED

DIGITS = 4                           # significant ones of a measured time or rate
# A row of --csv: a pass of a record, or a published figure.
CSV_STATISTICS = ('n', 'mean_s', 'sd_s', 'median_s', 'min_s', 'max_s', 'p95_s', 'p99_s')
CSV_MEASURED = ('flops_per_s', 'share_of_peak', 'peak_bytes', 'fetched_bytes', 'energy_per_image_j')
# The other conditions by their headings, in snake_case and with the unit: power_limit_w.
CSV_CONDITIONS = {
    re.sub('[ -]+', '_', (condition.name + ' ' + condition.unit.partition(' ')[2]).strip().lower()):
    condition.name for condition in conditions.CONDITIONS if condition.name not in conditions.WORK}
CSV_COLUMNS = (('source', 'record', 'date') + conditions.WORK + ('outcome',) + CSV_STATISTICS
               + ('ci95_low_s', 'ci95_high_s', 'images_per_s') + CSV_MEASURED
               + ('base', 'time_ratio', 'ratio_low', 'ratio_high')       # rows of their own
               + ('cautions', 'faults', *CSV_CONDITIONS, 'variables', 'differs'))


# Names

def named(figure: Figure, keys: Sequence[str] = ()) -> str:
    """Returns the work of a figure and these conditions of it in one line: 'alexnet lrn Forward
    tensors batch 32 float32, driver 551'."""
    return _line(_parts(figure), figure, keys)


def names(figures: Sequence[Figure]) -> Tuple[str, List[str]]:
    """Returns what the work of all figures has in common, and a name for each, which has its pass,
    the rest and the conditions that tell figures of the same work apart:
    'vgg16 D Forward, tensorflow 2.21.0'."""
    rows, keys = list(map(_parts, figures)), varying(figures)
    is_common = [len(set(column)) == 1 and name != 'pass'
                 for name, column in zip(conditions.WORK, zip(*rows))]
    return ' '.join(filter(None, itertools.compress(rows[0] if rows else [], is_common))), [
        _line([part for part, common in zip(row, is_common) if not common], figure, keys)
        for figure, row in zip(figures, rows)]


def varying(figures: Sequence[Figure]) -> List[str]:
    """Returns the conditions that tell figures of the same work apart, in the order of
    common.conditions: of those that change together only the first."""
    by_work = {}
    for figure in figures:
        if figure.records:
            by_work.setdefault(figure.work, []).append(figure)
    kept, parts = [], 0                                  # type: List[str], int
    for key in sorted({key for same in by_work.values()
                       for pair in itertools.combinations(same, 2)
                       for key in differing(*pair)}, key=conditions.order):
        count = sum(len({tuple(condition(figure, name) for name in kept + [key])
                         for figure in same}) for same in by_work.values())
        if count > max(parts, len(by_work)):
            kept, parts = kept + [key], count
    return kept


def condition(figure: Figure, key: str) -> str:
    """Returns a condition of a figure; '-' for a published one."""
    return conditions.text(key, figure.conditions.get(key)) if figure.records else '-'


def _parts(figure):
    """The work as conditions.WORK; '' for what is not known or not worth a word."""
    *parts, batch_size, precision, processes = figure.work
    return [part or '' for part in parts] + [
        'batch %d' % batch_size if batch_size else '', precision,
        '%d processes' % processes if processes > 1 else '']


def _line(parts, figure, keys):
    return ', '.join([' '.join(filter(None, parts))] + [
        '%s %s' % (key, condition(figure, key)) for key in keys])


def described(source: Source) -> str:
    """Returns on what it ran and which runs did not finish, or who published it, in one line."""
    facts = source.facts
    if source.records:
        driver = ', driver ' + facts['driver'] if 'driver' in facts else ''
        ended = ', '.join('%s (%s)' % (record.name, outcome.of_run(record.data))
                          for record in source.records if record.data['status'] != 'finished')
        return '%s%s, TensorFlow %s (%s)%s%s' % (
            facts['device'], driver, facts['tensorflow'], facts['runtime'],
            _protocol(source.figures), '; did not finish: %s' % ended if ended else '')
    return '; '.join(facts[key] for key in PUBLISHED if key in facts) or 'nothing that can be used'


def _protocol(figures):
    """', 3 processes x 100 steps', of all figures; 'quick' where that is too few steps for an
    interval."""
    counts = sorted({len(figure.records) for figure in figures})
    steps = sorted({figure.conditions['steps'] for figure in figures
                    if 'steps' in figure.conditions})
    if not steps:
        return ''
    ends = [' to '.join(map(str, sorted({several[0], several[-1]}))) for several in (counts, steps)]
    return ', %s process%s x %s steps%s' % (
        ends[0], 'es' * (counts[-1] > 1), ends[1], ' (quick)' * (steps[0] < stats.MIN_STEPS))


# Cells

def four_digits(number: float) -> str:
    """Returns a measured time or rate with DIGITS significant digits."""
    return text.significant(number, DIGITS)


def step_time(figure: Figure, factor: float = 1000) -> str:
    """Returns the time of a step, by default in ms: with four digits, or with those that were
    published; the outcome if the figure is not valid."""
    if figure.faults:
        return figure.word
    if figure.records:
        return four_digits(factor * figure.mean_s)
    if figure.mean_s is None:
        return '-'
    return 'about ' * figure.about + '%.12g' % (factor * figure.mean_s)


def images_per_s(figure: Figure) -> str:
    """Returns the images / s of a valid measurement, or those that were published."""
    if figure.records and not figure.faults:
        return four_digits(rate(figure))
    return str(figure.images_per_s or '-')


def speed(figure: Figure) -> str:
    """Returns a figure in the unit in which it was published, and the seconds derived from it."""
    if figure.images_per_s is None:
        return step_time(figure, 1) + ' s / batch'
    line = '%s images / s' % figure.images_per_s
    if figure.work.batch_size:
        line += ' (derived: %s s / batch)' % four_digits(
            figure.work.batch_size / figure.images_per_s)
    return line


def times(row: Any, base: Optional[Source] = None) -> str:
    """Returns how the time of the other figure of a pairs.Row compares with the base's.

    Between records: the change of the time with its interval, '+17 % (-4 to +41 %)'. Beside a
    published figure: a rate with as many digits as were published, 'about 0.31 times as fast', and
    with its source as `base` also as what: "as the chapter's GTX 1080". '-' where a figure is not
    valid.
    """
    if row.ratio is None:
        return '-'
    if row.base.records and row.other.records:
        return text.change(row.ratio, row.interval or ())
    digits = min([3] + [len(('%g' % figure.mean_s).replace('.', '').strip('0'))
                        for figure in (row.base, row.other) if not figure.records])
    rate = '%s%s times as fast' % ('about ' * (row.base.about or row.other.about),
                                   text.significant(1 / row.ratio, max(2, digits)))
    if base is None:
        return rate
    hardware = row.base.published['hardware']
    return '%s as %s' % (rate, "the chapter's " + hardware.replace('GeForce ', '')
                         if base.name == 'chapter' else '%s (%s)' % (hardware, base.name))


def interval(bounds: Optional[Interval], number=four_digits) -> str:
    """Returns an interval, each bound by `number`; '-' for None."""
    return ' to '.join(map(number, bounds)) if bounds else '-'


# CSV

def csv_rows(sources: Sequence[Source]) -> Iterator[Dict[str, Any]]:
    """Yields a row, by CSV_COLUMNS, for each pass of each record and for each published figure,
    with all numbers and conditions; durations in seconds."""
    for source in sources:
        for record in source.records:
            for entry, figure in zip(record.data['results'], record.figures):
                yield dict(_csv_row(record, entry, figure), source=source.name)
        for figure in source.figures:
            if not figure.records:
                yield dict(zip(conditions.WORK, figure.work), source=source.name,
                           outcome='published', mean_s=figure.mean_s, sd_s=figure.sd_s,
                           images_per_s=figure.images_per_s, device=figure.published['hardware'],
                           date=figure.published['year'], differs='; '.join(figure.differs))


def _csv_row(record, entry, figure):
    environment = record.data['environment']
    row = {heading: figure.conditions[name] for heading, name in CSV_CONDITIONS.items()
           if name in figure.conditions}
    row.update(zip(conditions.WORK, figure.work), record=record.name, outcome=figure.word,
               date=environment['date'], cautions='; '.join(figure.warnings),
               faults='; '.join(figure.faults),
               variables=' '.join('%s=%s' % item for item in environment['variables'].items()))
    row.update((key, entry.get(key)) for key in CSV_MEASURED)
    if entry['samples_s']:
        summary = stats.summarise(entry['samples_s'])
        row.update((key, getattr(summary, key)) for key in CSV_STATISTICS)
        row['ci95_low_s'], row['ci95_high_s'] = summary.ci95_s or ('', '')
        row['images_per_s'] = rate(figure)
    return row
