"""The table of the README: the chapter's figures beside those of the GPU records in results/."""
import os
from typing import List

from common import networks, text
from suite.figures import FLOAT32, RESULTS, Figure, Source, Work, load, order
from suite.tables import LABELS, named, seconds, work_cells

CAPTION = 'Batch 32, float32, fetched as tensors: mean +/- standard deviation of the steps.'


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


def results_table(results: str = RESULTS) -> str:
    """Returns the table as Markdown, with a column for the chapter and for each folder of `results`
    that has GPU records, and a row for each work of the chapter that one of them has."""
    chapter = load('chapter')
    folders = sorted(os.listdir(results)) if os.path.isdir(results) else []
    measured = [load(os.path.join(results, folder), 'gpu') for folder in folders
                if os.path.isdir(os.path.join(results, folder))]
    measured = [source for source in measured if source.figures]
    works = {Work(*figure.work[:2], info_string, 'tensors', 32, FLOAT32)
             for figure in chapter.figures for info_string in networks.PASSES}
    columns = [(source, {figure.work: figure for figure in source.figures})
               for source in [chapter] + measured]
    table = [list(LABELS[:3]) + ['GTX 1080 in the chapter, 2016, s / batch'] + [
        '%s, TensorFlow %s (results/%s), s / batch' % (
            source.facts['device'], source.facts['tensorflow'], source.name)
        for source in measured]]
    notes = Notes()
    for work in sorted(works, key=order):
        if any(work in figures for _, figures in columns):
            table.append(work_cells(work)[:3] + [
                _with_sd(figures[work]) + notes.marks(source, figures[work])
                if work in figures else 'not measured' for source, figures in columns])
    lines = text.markdown(table) + ['', CAPTION]
    if notes.lines():
        lines += [''] + ['* ' + note for note in notes.lines()]
    return '\n'.join(lines) + '\n'


def _with_sd(figure):
    """The seconds of a step, and their standard deviation with as many decimals."""
    mean = seconds(figure)
    if figure.faults or figure.sd_s is None:
        return mean
    return '%s +/- %.*f' % (mean, len(mean.partition('.')[2]), figure.sd_s)
