"""Compares results: records of runs, folders of records, published figures.

    python -m suite compare results/mine                    with the references of the same work
    python -m suite compare results/mine chapter            with the chapter's GTX 1080
    python -m suite compare before after --fail-if-slower 5 a gate for drivers and builds
    python -m suite compare results/mine --html report.html and a page with charts

A is a record (--json of a script), a folder of records at any depth, or the name of a file in
references/. Of several the first is the base, except that a run is compared with a published figure
and not the other way round. Two figures are compared only if network, variant, pass, fetch, batch
size, precision and number of processes are the same; nothing is scaled, and what differs is listed.
Records in a folder are averaged as repeats only if they also ran under the same conditions: device,
driver, host, CPUs, clocks, steps, TensorFlow, environment variables and more (docs/record.md).
Results in another precision, or compiled by XLA, are compared with the float32 results of the same
record in a table of their own; jobs of several processes with the ideal, one process alone times
their number.

The steps of one process say nothing about the next process. So a verdict needs three processes on
each side (suite run --repeat 3); the 95 % interval of the ratio comes from how their means differ
(the method of variance estimates recovery, on logarithms: Zou and Donner, Statistics in Medicine 27
(2008)). Verdicts: faster or slower if the whole interval is on that side of 1, else no significant
difference.

--fail-if-slower P judges each row by the interval of B's time over A's: PASS if it ends at or below
1 + P %, FAIL if it begins above, otherwise UNDECIDED, as is every row without a verdict.

Exit codes:
    0    compared; with --fail-if-slower: every row is PASS
    1    --fail-if-slower: a row is FAIL
    2    bad usage, or nothing that can be compared
    3    the output cannot be written
    4    --fail-if-slower: no row is FAIL, but some are UNDECIDED
"""
import argparse
import math
import os
import re
import sys
from typing import List, Optional, Sequence

from common import conditions, files
from common.arguments import returns_exit_code
from suite import gate, tables
from suite.figures import (
    FLOAT32,
    Source,
    load,
    reference_names,
    references,
    short_names,
)
from suite.pairs import (
    Pair,
    Row,
    against_float32,
    beside_references,
    compare,
    curves,
    ideal,
    reversed_pair,
)
from suite.tables import Block, format_csv, format_markdown, format_text

MOST_NOTES = 10                      # lines of a block of notes; --details shows all
NAME_WIDTHS = 24, 16, 12, 10, 8      # of a heading, until the table fits into a terminal
MAX_GPU = 45                         # characters of a GPU's name in a table
NOTHING_SHARED = 'There are no valid figures of the same work'


def pairs_of(sources: Sequence[Source], references: Sequence[Source]) -> List[Pair]:
    """Returns the pairs that are compared: the first source and each of the others, or a single
    source and the references of the same work; a published figure is always the base, and the
    chapter comes first."""
    found = (compare(sources[0], sources[1:]) if len(sources) > 1 else
             beside_references(sources[0], references))
    return sorted(map(_published_first, found), key=lambda pair: pair.base.name != 'chapter')


def blocks(sources: Sequence[Source], pairs: Sequence[Pair], details: bool = False,
           percent: Optional[float] = None, width: float = tables.WIDTH) -> List[Block]:
    """Returns what is shown: the outcome of the gate, if it has `percent` as its limit, the tables,
    the devices and how they differ, figures without counterpart, notes. A single
    source has a table of its own figures behind that of the chapter. Without `details` the lines of
    a block are few; names of sources are cut until a table fits into `width` columns."""
    shown = [] if percent is None else [_gate(gate.judge(pairs, percent), percent, details)]
    tables_of_pairs = [_against(pair.base, pair.other, pair.rows, percent, width)
                       for pair in pairs if pair.rows]
    if len(sources) == 1:
        first = int(bool(pairs) and bool(pairs[0].rows) and pairs[0].base.name == 'chapter')
        tables_of_pairs.insert(first, _own_figures(sources[0]))
    shown += tables_of_pairs
    for source in sources:
        shown += scaling(source)
        shown += [_against(source._replace(name=FLOAT32), source, rows, width=width)
                  for rows in [against_float32(source)] if rows]
    compared = list(sources) + [pair.base for pair in pairs if len(sources) == 1 and pair.rows]
    shown.append(Block('What is compared', [], [
        '%s: %s' % (source.name, tables.described(source)) for source in compared]
        + _mixes(sources) + _differences(sources, pairs)))
    apart = [line for pair in pairs for line in pair.apart]
    if len(sources) == 1 and apart and not details:
        apart = ['%d published figures of the same networks are of other work: --details lists them'
                 % len(apart)]
    shown += [Block('Not the same work', [], few(apart, details))] if apart else []
    notes = _notes(sources, details)
    return shown + ([Block('Notes', [], few(notes, details))] if notes else [])


def _differences(sources, pairs):
    """A line for each condition in which figures of records differ that are compared, and one for
    what is known of only one side."""
    names, unknown = set(), set()
    for pair in pairs:
        for row in pair.rows:
            one, other = row.base.conditions, row.other.conditions
            if one and other:
                names.update(conditions.differing(one, other))
                unknown.update(name for name in conditions.BY_NAME
                               if (name in one) != (name in other))
        if not pair.rows and pair.base.records and pair.other.records:
            names.update(name for name, fact in {**pair.base.facts, **pair.other.facts}.items()
                         if pair.base.facts.get(name) != pair.other.facts.get(name))
    lines = ['differs: %s: %s' % (name, ' | '.join(
        ', '.join(sorted({tables.condition(figure, name) for figure in source.figures}))
        for source in sources if source.records)) for name in sorted(names, key=conditions.order)]
    if unknown:
        lines.append('known of only one side: ' + ', '.join(sorted(unknown, key=conditions.order)))
    return lines


def few(lines: List[str], details: bool) -> List[str]:
    """Returns the first MOST_NOTES of the lines, and how many more there are; all with details."""
    if details or len(lines) <= MOST_NOTES:
        return lines
    return lines[:MOST_NOTES - 1] + ['and %d more: --details' % (len(lines) - MOST_NOTES + 1)]


def _published_first(pair):
    """The pair with published figures as its base, if one of the two is published."""
    is_run = 'device' in pair.base.facts and 'hardware' in pair.other.facts
    return reversed_pair(pair) if is_run else pair


def _notes(sources, details):
    """Why figures are not valid, or should not be quoted: a line for all passes of a source of
    which the same is said but for the numbers; with details, one for each."""
    groups = {}
    for source in sources:
        names = tables.varying(source.figures)
        for figure in source.figures:
            texts = ['%s: %s' % (figure.word or 'INVALID', fault) for fault in figure.faults]
            for text in dict.fromkeys(texts + list(figure.warnings)):
                name = tables.named_figure(figure, names)
                key = source.name, (name, text) if details else re.sub(r'[\d.]+', '#', text)
                groups.setdefault(key, []).append((name, text))
    lines = []
    for (source_name, _), group in groups.items():
        name, text = group[0]
        passes = len({name for name, _ in group})
        if passes > 1:
            name = '%d passes, such as %s' % (passes, name)
        mark = '' if text.startswith('INVALID') else '* '
        lines.append('%s%s, %s: %s' % (mark, source_name, name, text))
    return lines


def scaling(source: Source) -> List[Block]:
    """Returns the table of its jobs of several processes, if there are any."""
    rows = []
    for figure in [figure for figures in curves(source).values() for figure in figures]:
        cells = ['INVALID' if figure.faults else tables.images_per_s(figure)] + ['-'] * 3
        if figure.alone_s and not figure.faults:
            cells[1:3] = (tables.four_digits(ideal(figure)),
                          tables.percent(figure.alone_s / figure.mean_s))
        if figure.communication is not None and not figure.faults:
            cells[3] = tables.percent(figure.communication)
        rows.append((figure.work, cells))
    line = ('ideal: one process alone, timed in the same run, times the number of processes; '
            'efficiency: measured / ideal; communication: the share of a step that the allreduce '
            'adds')
    head = ['images / s', 'ideal', 'efficiency', 'communication']
    if not rows:
        return []
    return [Block(source.name + ': scaling', tables.works_table(head, rows), [line])]


def _own_figures(source):
    """The block of the figures of one source, with their GPUs if it has several."""
    gpus = [figure.published['hardware'] for figure in source.figures if figure.published]
    has_interval = any(figure.ci95_s for figure in source.figures)
    head = (['GPU'] * (len(set(gpus)) > 1) + ['mean, ms'] + ['95 % interval, ms'] * has_interval
            + ['images / s'])
    rows = []
    for figure in source.figures:
        bounds_ms = figure.ci95_s and tuple(1000 * bound for bound in figure.ci95_s)
        hardware = (figure.published or {}).get('hardware', '')
        cells = {'GPU': hardware if len(hardware) <= MAX_GPU else hardware[:MAX_GPU - 3] + '...',
                 'mean, ms': tables.milliseconds(figure),
                 '95 % interval, ms': '-' if figure.faults else tables.interval(bounds_ms),
                 'images / s': tables.images_per_s(figure)}
        rows.append((figure, [cells[name] for name in head]))
    lines = []
    if any(len(figure.records) == 1 and figure.ci95_s for figure in source.figures):
        lines.append('The interval of one process covers how its steps vary, not how processes '
                     'differ: suite run --repeat 3.')
    return tables.figures_block(source.name, head, rows, lines)


def _gate(judgements, percent, details):
    """The block of the gate."""
    return Block('%s: %s' % (gate.title(percent), gate.overall(judgements)), [],
                 few(gate.lines(judgements), details))


def times_as(base: Source, row: Row) -> str:
    """Returns how fast the other figure of a row is: '1.8 times as fast (1.6 to 2.1)', or 'about 8
    times as fast as the chapter's GTX 1080'; '-' where a figure is not valid."""
    times = tables.times(row)
    if 'device' in base.facts or row.ratio is None:
        return times
    return '%s %s %s' % (times, 'as' if row.ratio <= 1 else 'than', _called(base, row.base))


def _against(base, other, rows, percent=None, width=tables.WIDTH):
    """The block of the rows, with the words of the gate instead of verdicts if it has a limit."""
    is_published = 'device' not in base.facts
    cells = [(row.other, [
        tables.milliseconds(row.base), tables.milliseconds(row.other), times_as(base, row),
        row.verdict if percent is None else gate.outcome(row, percent)[0]]) for row in rows]
    for letters in NAME_WIDTHS:
        head = _clipped([base.name, other.name], letters)
        head += [head[1] + ' is', 'verdict' if percent is None else 'gate']
        if is_published:
            cells = [(figure, texts[:3]) for figure, texts in cells]
            head = head[:3]
        block = tables.figures_block('%s against %s, ms / batch' % (other.name, base.name), head,
                                     cells)
        if tables.width(block) <= width:
            break
    return block


def _called(reference, figure):
    """The device of a published figure, in a sentence."""
    hardware = figure.published['hardware']
    if reference.name == 'chapter':
        return "the chapter's " + hardware.replace('GeForce ', '')
    return '%s (%s)' % (hardware, reference.name)


def _clipped(names, letters):
    """The names cut to a length: at the front, or where that makes them equal, at the end."""
    for cut in lambda name: '..' + name[2 - letters:], lambda name: name[:letters - 2] + '..':
        clipped = [name if len(name) <= letters else cut(name) for name in names]
        if len(set(clipped)) == len(clipped):
            return clipped
    return clipped


def _mixes(sources):
    """A line for each source that has figures of more than one precision."""
    precisions = [(source.name, sorted({figure.work.precision for figure in source.figures}))
                  for source in sources]
    return ['%s: several precisions, compared separately: %s' % (name, ' | '.join(several))
            for name, several in precisions if len(several) > 1]


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compares what `argv` names, prints it, and returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    problem = _problem(args)
    if problem:
        parser.error(problem)
    return _compare(args)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('results', nargs='+', metavar='A', help='a record, a folder of records, or one of: %s'
        % ', '.join(reference_names()))
    add('--details', action='store_true', help='all notes, and all figures of other work')
    add('--markdown', action='store_true', help='Markdown instead of text')
    add('--csv', metavar='PATH', help='also write a row for each pass, with all numbers')
    add('--html', metavar='PATH', help='also write a page with charts, which opens offline')
    add('--fail-if-slower', type=_percent, metavar='PERCENT',
        help='say PASS, FAIL or UNDECIDED for each row, and exit with 0, 1 or 4')
    return parser


def _problem(args):
    """What is wrong with the flags together, or None."""
    for flag, path in ('--html', args.html), ('--csv', args.csv):
        if path and path.endswith('.json'):
            return 'argument %s: %r would be taken for a record' % (flag, path)
        trouble = path and files.argument_problem(flag, path)
        if trouble:
            return trouble
    if args.html and args.csv and os.path.realpath(args.html) == os.path.realpath(args.csv):
        return 'argument --csv: it is the file of --html'
    if args.fail_if_slower is not None and len(args.results) < 2:
        return '--fail-if-slower needs two or more results'
    paths = list(map(os.path.realpath, args.results))
    if args.fail_if_slower is not None and len(set(paths)) < len(paths):
        return '--fail-if-slower: %s is named twice, and would always pass' % max(
            args.results, key=lambda name: paths.count(os.path.realpath(name)))
    return None


def _compare(args):
    sources = [load(name)._replace(name=short)
               for name, short in zip(args.results, short_names(args.results))]
    for problem in [problem for source in sources for problem in source.problems]:
        print(problem, file=sys.stderr)
    code = (_write_page(args.html, sources, references(), args.fail_if_slower) if args.html else 0
            ) or (_write_csv(args.csv, sources) if args.csv else 0)
    if code:
        return code
    if not sources[0].figures:
        return _nothing('%s has no figures' % sources[0].name)
    pairs = pairs_of(sources, references())
    shown = blocks(sources, pairs, args.details, args.fail_if_slower)
    print((format_markdown if args.markdown else format_text)(shown), end='', flush=True)
    if len(sources) > 1 and not any(row.ratio for pair in pairs for row in pair.rows):
        print(NOTHING_SHARED + '.', file=sys.stderr)
        return 2
    return 0 if args.fail_if_slower is None else _code(pairs, args.fail_if_slower)


def _code(pairs, percent):
    """The exit code of the gate. A source of which nothing can be judged is no pass."""
    word = gate.overall(gate.judge(pairs, percent))
    return gate.EXIT_CODES[word] if word == gate.FAIL or all(pair.rows for pair in pairs) else 2


def _write_csv(path, sources):
    """Writes the rows of --csv; returns an exit code."""
    try:
        files.write(path, format_csv(sources))
    except OSError as error:
        return _nothing('%s: %s' % (path, error.strerror), 3)
    return 0


def _write_page(path, sources, references, percent):
    """Writes the page of --html; returns an exit code."""
    try:
        # Not at the top: only the page needs jinja2.
        from suite.report import page
    except ImportError as error:
        return _nothing('--html needs jinja2 (%s): %s -m pip install jinja2'
                        % (error, os.path.basename(sys.executable)))
    try:
        page.write(path, sources, references, percent)
    except OSError as error:
        return _nothing('%s: %s' % (path, error.strerror), 3)
    return 0


def _nothing(why, code=2):
    print('Nothing done: %s.' % why, file=sys.stderr)
    return code


def _percent(text):
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError('%r is not a percentage of at least 0' % text)
    return value
