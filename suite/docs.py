"""Writes the generated parts of README.md, README.zh-CN.md and docs/ from results/ and references/.

    python -m suite docs            writes them
    python -m suite docs --check    only compares, and names each part that is out of date

A generated part stands between the lines `<!-- table: NAME -->` or `<!-- output: PATH -->`, its
marker, and `<!-- end -->`. PARTS, at the end of this file, says which function makes it. A
generated picture, one of PICTURES, is a file. This module does not import TensorFlow.

Exit codes:
    0    written, or with --check: up to date
    1    --check: a part is out of date
    2    bad usage, a page whose markers are not those of PARTS, or a file in results/ that is
         missing or damaged
    3    a page cannot be read or written
"""
import argparse
import itertools
import json
import os
import re
import sys
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from common import files, report, text
from common.arguments import returns_exit_code
from suite import history, records, scaling_model
from suite.peers import tables as peers
from suite.peers.contenders import MATCHES
from suite.results_table import CHINESE, results_table

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = os.path.join(ROOT, 'results', 'cpu-2-cores', 'performance')
END = '<!-- end -->'
# The lines that time_tensorflow_run prints, which begin with the time of day.
CHAPTERS_LINE = re.compile(r'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?: ')


# What a run prints

def sample(path: str, shorten: bool = False) -> str:
    """Returns the output of a run, to be shown as code.

    The device, the shapes and the chapter's lines, whose times of day are not in the record, are
    those that were printed. The table below them is made from the record, so that it is worded as
    it is now.

    Args:
        path: what was printed, a .txt relative to the root; the record is beside it.
        shorten: leave out the shapes and the single steps; `...` stands for them.

    Raises ValueError: the passes of the record are not those that were printed.
    """
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        printed = file.read().splitlines()
    record_path = os.path.splitext(path)[0] + '.json'
    record = records.load(os.path.join(ROOT, record_path))
    for result in record['results']:
        if sum(': %s across ' % result['info_string'] in line for line in printed) != 1:
            raise ValueError('%s does not show the pass %s of its record once'
                             % (path, result['info_string']))
    first = next(i for i, line in enumerate(printed) if CHAPTERS_LINE.match(line))
    lines = [(line, not line.startswith(' ')) for line in printed[:first]]     # line, is it kept
    lines += [(line, ' across ' in line) for line in printed[first:] if CHAPTERS_LINE.match(line)]
    shown = []                                           # type: List[str]
    for is_kept, group in itertools.groupby(lines, key=lambda one: one[1] or not shorten):
        shown += [line for line, _ in group] if is_kept else ['...']
    shown += report.summary(record)
    return _code(shown + [report.next_step(os.path.basename(record_path))])


def decade(words: str) -> str:
    """Returns what the years brought to each network, as a list in the language of `words`."""
    return '\n'.join('* ' + line for line in history.decade(history.default_panels(), words))


def beside_peers(runtime: str) -> str:
    """Returns the table of `suite peers` for all networks, and below it what the peers compute
    differently. Raises ValueError: a record is damaged."""
    entries = []                                         # type: List[Any]
    for network in MATCHES:
        path = os.path.join(RECORDS, runtime, 'peers-%s.json' % network)
        with open(path, encoding='utf-8') as file:
            try:
                entries += json.load(file)['results']
            except ValueError as error:
                raise ValueError('%s: %s' % (path, error)) from None
    return '\n'.join(text.markdown(peers.table(entries)) + [''] + [
        '* ' + note for note in peers.notes(entries)])


def _code(lines):
    return '\n'.join(('    ' + line).rstrip() for line in lines)


# The pages

def replace(page: str, marker: str, content: str) -> str:
    """Returns the text of a page with `content` between `<!-- MARKER -->` and the next END.

    Raises ValueError: a marker is missing, or another one stands between the two.
    """
    begin = '<!-- %s -->\n' % marker
    before, found, rest = page.partition(begin)
    old, found_end, after = rest.partition(END)
    if not found or not found_end or '<!-- ' in old:
        raise ValueError('no lines %s and %s' % (begin.strip(), END))
    return '%s%s\n%s\n\n%s%s' % (before, begin, content.strip('\n'), END, after)


def markers(page: str) -> List[str]:
    """Returns the markers in the text of a page, in their order."""
    return re.findall(r'^<!-- (\w+: .*) -->$', page, re.MULTILINE)


def update() -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """Makes every part anew; writes nothing.

    Returns the new text of each page and picture that changes, by its path relative to the root,
    and the parts, as in PARTS, and pictures that are out of date.

    Raises ValueError: a page's markers are not those of PARTS, or a file in results/ is missing or
    damaged. OSError: a page cannot be read.
    """
    changed, out_of_date = {}, []
    for page in dict.fromkeys(page for page, _ in PARTS):
        with open(os.path.join(ROOT, page), encoding='utf-8') as file:
            content = old = file.read()
        expected = [marker for one, marker in PARTS if one == page]
        if sorted(markers(old)) != sorted(expected):
            raise ValueError('%s has the parts %s; suite/docs.py makes %s' % (
                page, ', '.join(sorted(markers(old))) or 'none', ', '.join(sorted(expected))))
        for marker in expected:
            try:
                updated = replace(content, marker, PARTS[page, marker]())
            except ValueError as error:
                raise ValueError('%s: %s: %s' % (page, marker, error)) from None
            if updated != content:
                out_of_date.append((page, marker))
            content = updated
        if content != old:
            changed[page] = content
    for path, draw in PICTURES.items():
        content = draw()
        if content != _content(os.path.join(ROOT, path)):
            changed[path] = content
            out_of_date.append((path, 'picture'))
    return changed, out_of_date


def _content(path):
    """The text of a file; None if there is none."""
    try:
        with open(path, encoding='utf-8') as file:
            return file.read()
    except FileNotFoundError:
        return None


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Writes or checks the pages; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true',
                        help='write nothing; name each part that is out of date')
    args = parser.parse_args(argv)
    try:
        changed, out_of_date = update()
        if not args.check:
            for page, content in changed.items():
                files.write(os.path.join(ROOT, page), content)
    except ValueError as error:
        print('Nothing written: %s.' % error, file=sys.stderr)
        return 2
    except OSError as error:
        print('%s: %s' % (error.filename, error.strerror), file=sys.stderr)
        return 3
    for page, marker in out_of_date:
        print('%s: %s: %s' % (page, marker, 'out of date; to mend it: python -m suite docs'
                              if args.check else 'written'))
    if not out_of_date:
        print('%d generated parts, all up to date' % (len(PARTS) + len(PICTURES)))
    return 1 if args.check and out_of_date else 0


PRINTED = 'results/cpu-2-cores/alexnet.txt'
PRINTED_BY_A_JOB = 'results/cpu-2-cores-2-processes/alexnet.txt'

# (page, marker): the function that makes the text between the marker and END.
PARTS: Dict[Tuple[str, str], Callable[[], str]] = {
    ('README.md', 'decade: references'): lambda: decade(history.ENGLISH),
    ('README.md', 'table: chapter'): results_table,
    ('README.zh-CN.md', 'decade: references'): lambda: decade(history.CHINESE),
    ('README.zh-CN.md', 'table: chapter'): lambda: results_table(words=CHINESE),

    ('docs/flags.md', 'output: ' + PRINTED): lambda: sample(PRINTED),

    ('docs/performance.md', 'table: peers-classic'): lambda: beside_peers('classic'),
    ('docs/performance.md', 'table: peers-modern'): lambda: beside_peers('modern'),


    ('docs/scaling.md', 'output: ' + PRINTED_BY_A_JOB):
        lambda: sample(PRINTED_BY_A_JOB, shorten=True),
    ('docs/scaling.md', 'table: limits'): scaling_model.limits,
}

# The SVG file: the function that returns its text.
PICTURES: Dict[str, Callable[[], str]] = {
    'docs/history.svg': history.training_svg,
    'docs/networks.svg': history.networks_svg,
}


if __name__ == '__main__':
    sys.exit(main())
