"""Compares results: records of runs, folders of records, published figures.

    python -m suite compare results/mine                    with the references of the same work
    python -m suite compare chapter results/mine            the second against the first
    python -m suite compare before after --fail-if-slower 5 a gate for drivers and builds
    python -m suite compare results/mine --html report.html and a page with charts

A is a record (--json of a script), a folder of records, or the name of a file in references/. Of
several the first is the base. Two figures are compared only if network, variant, pass, fetch, batch
size, precision and number of processes are the same; nothing is scaled, and what differs is listed.
Results in another precision, or compiled by XLA, are compared with the float32 results of the same
record in a table of their own; jobs of several processes with the ideal, one process alone times
their number.

The ratio is other / base of the mean times: above 1 is slower. Its 95 % interval combines those of
the two means (the method of variance estimates recovery, on logarithms: Zou and Donner, Statistics
in Medicine 27 (2008)). The interval of one process allows for the correlation of its steps
(common/stats.py) but cannot know how processes differ. The interval of three or more records of the
same work in a folder comes from the means of the processes, which differ by more than their steps.
Verdicts: faster or slower if the whole interval is on that side of 1, else no significant
difference.

Exit codes:
    0    compared
    1    --fail-if-slower PERCENT: the whole interval of a ratio is above 1 + PERCENT / 100
    2    bad usage, or nothing that can be compared
    3    the output cannot be written
"""
import argparse
import math
import os
import sys
from typing import List, Optional, Sequence

from suite import gate, tables
from suite.figures import (
    FLOAT32,
    MIN_PROCESSES,
    REFERENCES,
    Figure,
    Source,
    Work,
    load,
    rate,
    reference_names,
)
from suite.pairs import (
    NO_DIFFERENCE,
    Pair,
    against_float32,
    beside_references,
    compare,
    curves,
    ideal,
)
from suite.tables import Block, folded, format_markdown, format_text

# What the page, the peers and the generated documents take from here.
__all__ = ['FLOAT32', 'NO_DIFFERENCE', 'REFERENCES', 'Block', 'Figure', 'Pair', 'Source', 'Work',
           'against_float32', 'beside_references', 'blocks', 'compare', 'curves', 'folded',
           'format_text', 'ideal', 'load', 'main', 'rate', 'reference_names',
           'scaling']


def blocks(sources: Sequence[Source], pairs: Sequence[Pair]) -> List[Block]:
    """Returns what is shown: what is compared and how the runs differ, the tables, figures without
    counterpart, notes. A single source has a table of its own figures first."""
    notes = tables.Notes()
    runs = list(sources) + [pair.other for pair in pairs if len(sources) == 1 and pair.rows]
    shown = [Block('What is compared', [], [
        '%s: %s' % (source.name, tables.described(source)) for source in runs]
        + _mixes(sources) + tables.differences(sources))]
    if len(sources) == 1:
        shown.append(_own_figures(notes, sources[0]))
    for source in sources:
        shown += scaling(source)
        shown += _against(notes, FLOAT32, source, source, against_float32(source))
    for pair in pairs:
        shown += _against(notes, pair.base.name, pair.base, pair.other, pair.rows)
    apart = [line for pair in pairs for line in pair.apart]
    if apart:
        shown.append(Block('Not the same work', [], apart))
    lines = notes.lines()
    if any(len(figure.records) == 1 for source in sources for figure in source.figures):
        lines.append('The interval of one process covers how its steps vary, not how processes '
                     'differ: for that, put %d records of each run into a folder.' % MIN_PROCESSES)
    return shown + ([Block('Notes', [], lines)] if lines else [])


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


def _own_figures(notes, source):
    """The block of the figures of one source, with their GPUs if it has several."""
    gpus = [figure.published['hardware'] for figure in source.figures if figure.published]
    column = ['GPU'] if len(set(gpus)) > 1 else []
    rows = [(figure.work, [figure.published['hardware'] for _ in column] + [
        tables.seconds(figure) + notes.marks(source, figure),
        '-' if figure.faults else tables.interval(figure.ci95_s),
        tables.images_per_s(figure)]) for figure in source.figures]
    head = column + ['s / batch', '95 % interval', 'images / s']
    return Block(source.name, tables.works_table(head, rows), [])


def _against(notes, name, base, other, rows):
    """A list of the block of the rows, other / base, if there are any; `name` is the base's."""
    if not rows:
        return []
    head = [name + ', s / batch', other.name + ', s / batch', 'ratio', '95 % interval', 'verdict']
    cells = [(row.other.work, [
        tables.seconds(row.base) + notes.marks(base, row.base),
        tables.seconds(row.other) + notes.marks(other, row.other),
        _ratio(row), tables.interval(row.interval, tables.three_decimals), row.verdict])
        for row in rows]
    return [Block('%s against %s' % (other.name, name), tables.works_table(head, cells), [])]


def _ratio(row):
    if row.ratio is None:
        return '-'
    return 'about ' * (row.base.about or row.other.about) + tables.three_decimals(row.ratio)


def _mixes(sources):
    """A line for each source that has figures of more than one precision."""
    precisions = [(source.name, sorted({figure.work.precision for figure in source.figures}))
                  for source in sources]
    return ['%s: several precisions, compared separately: %s' % (name, ' | '.join(several))
            for name, several in precisions if len(several) > 1]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compares what `argv` names, prints it, and returns the exit code."""
    parser = _parser()
    try:
        args = parser.parse_args(argv)
        problem = _problem(args)
        if problem:
            parser.error(problem)
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code
    return _compare(args)


def _parser():
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add('results', nargs='+', metavar='A', help='a record, a folder of records, or one of: %s'
        % ', '.join(reference_names()))
    add('--markdown', action='store_true', help='Markdown instead of text')
    add('--html', metavar='PATH', help='also write a page with charts, which opens offline')
    add('--fail-if-slower', type=_percent, metavar='PERCENT',
        help='exit with 1 if a ratio has its whole interval above 1 + PERCENT / 100')
    return parser


def _problem(args):
    """What is wrong with the flags together, or None."""
    if args.html and args.html.endswith('.json'):
        return 'argument --html: %r would be taken for a record' % args.html
    if args.fail_if_slower is not None and len(args.results) < 2:
        return '--fail-if-slower needs two or more results'
    return None


def _compare(args):
    sources = [load(name) for name in args.results]
    if len({source.name for source in sources}) < len(sources):
        sources = [source._replace(name=name) for source, name in zip(sources, args.results)]
    for problem in [problem for source in sources for problem in source.problems]:
        print(problem, file=sys.stderr)
    code = _write_page(args.html, args.results, sources) if args.html else 0
    if code:
        return code
    if not sources[0].figures:
        return _nothing('%s has no figures' % sources[0].name)
    if len(sources) > 1:
        pairs = compare(sources[0], sources[1:])
    else:
        pairs = beside_references(sources[0], [load(name) for name in reference_names()])
    shown = blocks(sources, pairs)
    print((format_markdown if args.markdown else format_text)(shown), end='', flush=True)

    rows = [row for pair in pairs for row in pair.rows]
    if len(sources) > 1 and not any(row.ratio for row in rows):
        print('There are no valid figures of the same work.', file=sys.stderr)
        return 2
    if args.fail_if_slower is None:
        return 0
    code, sentence = gate.judge(rows, args.fail_if_slower)
    print(sentence, file=sys.stderr)
    return code


def _write_page(path, names, sources):
    """Writes the page of --html; returns an exit code."""
    try:
        # Not at the top: only the page needs matplotlib and jinja2.
        from suite.report import page
    except ImportError as error:
        return _nothing('--html needs matplotlib and jinja2 (%s): %s -m pip install '
                        'matplotlib jinja2' % (error, os.path.basename(sys.executable)))
    try:
        page.write(path, names, sources)
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
