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
import json
import os
import re
import sys
from typing import Callable, Dict, List, Optional, Sequence, Tuple

from common import files, networks, report, text
from common.arguments import returns_exit_code
from common.stop import Stop
from suite import history, records, tables
from suite.figures import FLOAT32, RESULTS, Work, load, order
from suite.peers import tables as peers
from suite.peers.contenders import MATCHES

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RECORDS = os.path.join(ROOT, 'results', 'cpu-2-cores', 'performance')
# A part of a page: its marker, and what stands between that and the end.
PART = re.compile(r'(?sm)^<!-- (\w+: [^\n]*) -->\n(.*?)<!-- end -->$')
# Of the chapter's table, by language: the heads of its columns, and of a column of our own; what
# 'about' is, and a figure that the source lacks; the line below.
ENGLISH = (['network', 'variant', 'pass', 'GTX 1080 in the chapter, 2016, s / batch'],
           '%s, TensorFlow %s (results/%s), s / batch', 'about ', 'not measured',
           'Batch 32, float32, fetched as tensors: mean +/- standard deviation of the steps.')
CHINESE = (['网络', '变体', '阶段', '书中的 GTX 1080，2016 年，秒 / batch'],
           '%s，TensorFlow %s（results/%s），秒 / batch', '约 ', '未测量',
           'batch 为 32，float32，每步取回结果张量：各步耗时的平均值 ± 标准差。')


# The parts

def chapter_table(words: Tuple = ENGLISH, results: str = RESULTS) -> str:
    """Returns the chapter's figures as Markdown, in the language of `words`: a column for the
    chapter and for each folder of `results` that has GPU records, a row for each work of the
    chapter that one of them has. Folders in such a folder hold runs for another purpose, such as
    profiles, and do not count."""
    head, measured, about, not_measured, caption = words
    folders = sorted(os.listdir(results)) if os.path.isdir(results) else []
    sources = [load(os.path.join(results, folder), 'gpu', deep=False) for folder in folders
               if os.path.isdir(os.path.join(results, folder))]
    sources = [load('chapter')] + [source for source in sources if source.figures]
    works = {Work(*figure.work[:2], info_string, 'tensors', 32, FLOAT32)
             for figure in sources[0].figures for info_string in networks.PASSES}
    columns = [{figure.work: figure for figure in source.figures} for source in sources]
    rows = [head + [measured % (source.facts['device'], source.facts['tensorflow'], source.name)
                    for source in sources[1:]]]
    notes = []                                           # type: List[str]
    for work in sorted(works, key=order):
        figures = [column.get(work) for column in columns]
        if any(figures):
            rows.append(list(work[:3]) + [
                _with_sd(figure).replace('about ', about) if figure else not_measured
                for figure in figures])
        notes += ['* %s, %s: %s' % (source.name, tables.named(figure), note)
                  for source, figure in zip(sources, figures) if figure
                  for note in dict.fromkeys(figure.faults + figure.warnings)]
    return '\n'.join(text.markdown(rows) + ['', caption] + [''] * bool(notes) + notes)


def _with_sd(figure):
    """The seconds of a step, and their standard deviation with as many decimals; '*' if a note
    says more."""
    mean = tables.step_time(figure, 1)
    if not figure.faults and figure.sd_s is not None:
        mean += ' +/- %.*f' % (len(mean.partition('.')[2]), figure.sd_s)
    return mean + ' *' * bool(figure.faults or figure.warnings)


def sample(path: str) -> str:
    """Returns what a run prints at its end, from its record, a path relative to the root."""
    record = records.load(os.path.join(ROOT, path))
    lines = report.summary(record)
    lines.append(report.next_step(record, os.path.basename(path)).replace(
        report.command(), '.venv/bin/python -m suite'))
    return '\n'.join(('    ' + line).rstrip() for line in lines).strip('\n')


def decade(words: str) -> str:
    """Returns what the years brought to the training of ResNet-50, in the language of `words`."""
    return '\n'.join('* ' + line for line in history.decade(history.training_panel(), words))


def beside_peers(runtime: str) -> str:
    """Returns the table of `suite peers` for all networks, and below it what the peers compute
    differently. Raises ValueError: a record is damaged."""
    entries = []                                         # type: List[Any]
    for network in MATCHES:
        path = os.path.join(RECORDS, runtime, 'peers-%s.json' % network)
        try:
            entries += json.loads(_read(path))['results']
        except ValueError as error:
            raise ValueError('%s: %s' % (path, error)) from None
    return '\n'.join(text.markdown(peers.table(entries)) + [''] + [
        '* ' + note for note in peers.notes(entries)])


# The pages

def update() -> Tuple[Dict[str, str], List[Tuple[str, str]]]:
    """Makes every part anew; writes nothing.

    Returns the new text of each page and picture that changes, by its path relative to the root,
    and the parts, as in PARTS, and pictures that are out of date.

    Raises ValueError: a page's markers are not those of PARTS, or a file in results/ is missing or
    damaged. OSError: a page cannot be read.
    """
    changed, out_of_date = {}, []                        # type: Dict[str, str], List
    for page in dict.fromkeys(page for page, _ in PARTS):
        content = _read(page)
        markers = [marker for marker, _ in PART.findall(content)]
        expected = [marker for part_page, marker in PARTS if part_page == page]
        if sorted(markers) != sorted(expected):
            raise ValueError('%s has the parts %s; suite/docs.py makes %s' % (
                page, ', '.join(sorted(markers)) or 'none', ', '.join(sorted(expected))))
        for marker, old in PART.findall(content):
            new = '\n%s\n\n' % PARTS[page, marker]().strip('\n')
            if new != old:
                out_of_date.append((page, marker))
                begin = '<!-- %s -->\n' % marker
                changed[page] = content = content.replace(begin + old, begin + new)
    for path, draw in PICTURES.items():
        drawn = draw()
        if not os.path.exists(os.path.join(ROOT, path)) or drawn != _read(path):
            changed[path] = drawn
            out_of_date.append((path, 'picture'))
    return changed, out_of_date


def _read(path):
    with open(os.path.join(ROOT, path), encoding='utf-8') as file:
        return file.read()


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
        raise Stop('Nothing written: %s.' % error, 2) from None
    except OSError as error:
        raise Stop('%s: %s' % (error.filename, error.strerror)) from None
    for page, marker in out_of_date:
        print('%s: %s: %s' % (page, marker, 'out of date; to mend it: python -m suite docs'
                              if args.check else 'written'))
    if not out_of_date:
        print('%d generated parts, all up to date' % (len(PARTS) + len(PICTURES)))
    return 1 if args.check and out_of_date else 0


SAMPLES = 'results/cpu-2-cores/alexnet.json', 'results/cpu-2-cores-2-processes/alexnet.json'

# (page, marker): the function that makes the text between the marker and the end.
PARTS: Dict[Tuple[str, str], Callable[[], str]] = {
    ('README.md', 'decade: references'): lambda: decade(history.ENGLISH),
    ('README.md', 'table: chapter'): chapter_table,
    ('README.zh-CN.md', 'decade: references'): lambda: decade(history.CHINESE),
    ('README.zh-CN.md', 'table: chapter'): lambda: chapter_table(CHINESE).replace('+/-', '±'),
    ('docs/flags.md', 'output: ' + SAMPLES[0]): lambda: sample(SAMPLES[0]),
    ('docs/performance.md', 'table: peers-classic'): lambda: beside_peers('classic'),
    ('docs/performance.md', 'table: peers-modern'): lambda: beside_peers('modern'),
    ('docs/scaling.md', 'output: ' + SAMPLES[1]): lambda: sample(SAMPLES[1]),
}

# The SVG file: the function that returns its text.
PICTURES: Dict[str, Callable[[], str]] = {
    'docs/history.svg': history.training_svg,
    'docs/networks.svg': history.networks_svg,
}


if __name__ == '__main__':
    sys.exit(main())
