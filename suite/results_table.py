"""The table of the README: the chapter's figures beside those of the GPU records in results/."""
import os
from typing import List, NamedTuple, Tuple

from common import networks, text
from suite.figures import FLOAT32, RESULTS, Figure, Source, Work, load, order
from suite.tables import LABELS, named, seconds


class Words(NamedTuple):
    """The words of the table in one language; `measured` has places for the GPU, the version of
    TensorFlow and the folder of the records."""
    head: Tuple[str, ...]
    chapter: str
    measured: str
    about: str
    not_measured: str
    caption: str


ENGLISH = Words(
    LABELS[:3], 'GTX 1080 in the chapter, 2016, s / batch',
    '%s, TensorFlow %s (results/%s), s / batch', 'about ', 'not measured',
    'Batch 32, float32, fetched as tensors: mean +/- standard deviation of the steps.')
CHINESE = Words(
    ('网络', '变体', '计算过程'), '书中的 GTX 1080，2016 年，秒 / batch',
    '%s，TensorFlow %s（results/%s），秒 / batch', '约 ', '未测量',
    'batch 为 32，float32，每步取回结果张量：各步耗时的平均值 +/- 标准差。')


class Notes:
    """The numbered notes below the tables: why a figure is not valid, or should not be quoted."""

    def __init__(self) -> None:
        self._texts = []                                 # type: List[str]

    def marks(self, source: Source, figure: Figure) -> str:
        """Adds what there is to say about a figure, and returns the marks of it: ' [1] [2]'."""
        marks = ''
        texts = ['INVALID: ' + fault for fault in figure.faults] + list(figure.warnings)
        for note in dict.fromkeys(texts):                # repeats may all have the same
            note = '%s, %s: %s' % (source.name, named(figure.work), note)
            if note not in self._texts:
                self._texts.append(note)
            marks += ' [%d]' % (self._texts.index(note) + 1)
        return marks

    def lines(self) -> List[str]:
        """Returns the notes, each behind its number."""
        return ['[%d] %s' % numbered for numbered in enumerate(self._texts, 1)]


def results_table(results: str = RESULTS, words: Words = ENGLISH) -> str:
    """Returns the table as Markdown, in the language of `words`: a column for the chapter and for
    each folder of `results` that has GPU records, a row for each work of the chapter that one of
    them has. Folders in such a folder hold runs for another purpose, such as profiles, and do not
    count."""
    chapter = load('chapter')
    folders = sorted(os.listdir(results)) if os.path.isdir(results) else []
    measured = [load(os.path.join(results, folder), 'gpu', deep=False) for folder in folders
                if os.path.isdir(os.path.join(results, folder))]
    measured = [source for source in measured if source.figures]
    works = {Work(*figure.work[:2], info_string, 'tensors', 32, FLOAT32)
             for figure in chapter.figures for info_string in networks.PASSES}
    columns = [(source, {figure.work: figure for figure in source.figures})
               for source in [chapter] + measured]
    table = [list(words.head) + [words.chapter] + [
        words.measured % (source.facts['device'], source.facts['tensorflow'], source.name)
        for source in measured]]
    notes = Notes()
    for work in sorted(works, key=order):
        if any(work in figures for _, figures in columns):
            table.append(list(work[:3]) + [
                _with_sd(figures[work]).replace('about ', words.about)
                + notes.marks(source, figures[work])
                if work in figures else words.not_measured for source, figures in columns])
    lines = text.markdown(table) + ['', words.caption]
    if notes.lines():
        lines += [''] + ['* ' + note for note in notes.lines()]
    return '\n'.join(lines) + '\n'


def _with_sd(figure):
    """The seconds of a step, and their standard deviation with as many decimals."""
    mean = seconds(figure)
    if figure.faults or figure.sd_s is None:
        return mean
    return '%s +/- %.*f' % (mean, len(mean.partition('.')[2]), figure.sd_s)
