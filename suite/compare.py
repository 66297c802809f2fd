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
(2008)). Between records, a row shows the time of B over that of A as a change in percent:
+17 % (-4 to +41 %). Verdicts: faster or slower if the whole interval is on that side of 0, else no
significant difference. Beside published figures it shows how many times as fast.

--fail-if-slower P judges each row by the interval of B's time over A's: PASS if it ends at or below
1 + P %, FAIL if it begins above, otherwise UNDECIDED, as is every row without a verdict.

Exit codes:
    0    compared; with --fail-if-slower: every row is PASS
    1    --fail-if-slower: a row is FAIL
    2    bad usage, or nothing that can be compared
    3    the output cannot be written, or a fault of this program
    4    --fail-if-slower: no row is FAIL, but some are UNDECIDED
"""
import argparse
import itertools
import math
import os
import sys
from typing import Optional, Sequence

from common import files, text
from common.arguments import returns_exit_code
from common.stop import Stop
from suite import blocks, gate, tables
from suite.figures import load, reference_names, references, short_names
from suite.pairs import NOTHING_SHARED, pairs_of
from suite.report import page


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Compares what `argv` names, prints it, and returns the exit code."""
    parser = _parser()
    args = parser.parse_args(argv)
    problem = _problem(args)
    if problem:
        parser.error(problem)
    sources = [load(name)._replace(name=short)
               for name, short in zip(args.results, short_names(args.results))]
    for problem in [problem for source in sources for problem in source.problems]:
        print(problem, file=sys.stderr)
    pairs = pairs_of(sources, references())
    _write(args, sources, pairs)
    if not sources[0].figures:
        raise Stop('%s has no figures, so nothing is compared' % sources[0].name, 2)
    shown = blocks.of(sources, pairs, args.details, args.fail_if_slower)
    print((text.as_markdown if args.markdown else text.as_text)(shown), end='', flush=True)
    if len(sources) > 1 and not any(row.ratio for pair in pairs for row in pair.rows):
        raise Stop(NOTHING_SHARED, 2)
    return 0 if args.fail_if_slower is None else gate.exit_code(pairs, args.fail_if_slower)


def _write(args, sources, pairs):
    """Writes the files that are asked for, after all of their contents are made. A source without a
    record, such as a name with a typing error, replaces no file."""
    contents = [
        (args.html, lambda: page.text_of(sources, references(), args.fail_if_slower)),
        (args.csv, lambda: text.as_csv(tables.CSV_COLUMNS, itertools.chain(
            tables.csv_rows(sources), gate.csv_rows(pairs, args.fail_if_slower)))),
        (args.junit, lambda: gate.junit(gate.judge(pairs, args.fail_if_slower),
                                        args.fail_if_slower))]
    empty = [source.name for source in sources if not (source.figures or source.records)]
    if empty and any(path for path, _ in contents):
        raise Stop('%s has no records: nothing is written' % empty[0], 2)
    for path, content in [(path, content()) for path, content in contents if path]:
        try:
            files.write(path, content)
        except OSError as error:
            raise Stop('%s: %s' % (path, error.strerror)) from None


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
    add('--junit', metavar='PATH', help='also write the outcomes of --fail-if-slower as JUnit XML')
    add('--fail-if-slower', type=float, metavar='PERCENT',
        help='say PASS, FAIL or UNDECIDED for each row, and exit with 0, 1 or 4')
    return parser


def _problem(args):
    """What is wrong with the flags together, or None."""
    outputs = [('--html', args.html), ('--csv', args.csv), ('--junit', args.junit)]
    for number, (flag, path) in enumerate(outputs):
        if path and path.endswith('.json'):
            return 'argument %s: %r would be taken for a record' % (flag, path)
        trouble = path and files.argument_problem(flag, path)
        if trouble:
            return trouble
        for other, earlier in outputs[:number]:
            if path and earlier and os.path.realpath(path) == os.path.realpath(earlier):
                return 'argument %s: it is the file of %s' % (flag, other)
    if args.fail_if_slower is None:
        return args.junit and '--junit needs --fail-if-slower' or None
    if not 0 <= args.fail_if_slower < math.inf:
        return 'argument --fail-if-slower: %g is not a percentage of at least 0' % (
            args.fail_if_slower)
    if len(args.results) < 2:
        return '--fail-if-slower needs two or more results'
    paths = list(map(os.path.realpath, args.results))
    return next(('--fail-if-slower: %s is named twice, and would always pass' % name
                 for name, path in zip(args.results, paths) if paths.count(path) > 1), None)
