"""The page of `suite compare --html`: one HTML file with all of its charts, which opens offline.

This module puts together what is on the page, as plain data: the answer (headline.py), the charts
(plots.py), each run (cards.py), tables and notes. page.html.jinja is the page, page.css its style.
The same records give the same page.
"""
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from common import files, report, text
from suite import blocks, outcome, tables
from suite.figures import Figure, Source, rate
from suite.pairs import Pair, pairs_of
from suite.report import cards, charts, headline, plots, runs
from suite.report.runs import Run

MIN_CONTENTS = 10                    # records that make a contents list worth its place
WORK = ['pass', 'network', 'batch', 'processes', 'fetch', 'precision']    # of the table of passes


class Note(NamedTuple):
    """A fault or a caution of a run, or of one pass of it."""
    run: Run
    info_string: str                 # '' if it is of the whole run
    text: str


class Table(NamedTuple):
    """What all rows have in common, as one line, and the table without it; whether each column has
    numbers."""
    common: str
    head: List[str]
    is_number: List[bool]
    rows: List[Any]


def write(path: str, sources: Sequence[Source], references: Sequence[Source],
          percent: Optional[float] = None) -> None:
    """Writes the page of what is compared.

    Args:
        path: where to.
        sources: what was named, the base first.
        references: the published figures that stand beside the same work.
        percent: the limit of the gate, if there is one.

    Raises OSError: the file cannot be written.
    """
    files.write(path, page(sources, references, percent))


def page(sources: Sequence[Source], references: Sequence[Source],
         percent: Optional[float]) -> str:
    """Returns the page: the answer, the charts of ratios and times, and the rest, folded."""
    all_runs, pairs = runs.of(sources), pairs_of(sources, references)
    return charts.environment().get_template('page.html.jinja').render(
        headline=headline.of(sources, pairs, percent), percent=percent, runs=all_runs,
        counts=_counts(all_runs), has_contents=len(all_runs) >= MIN_CONTENTS,
        problems=_problems(sources), faults=_faults(all_runs), kind_of=outcome.kind,
        ratios=plots.ratios(sources, pairs, percent), times=plots.times(sources, references),
        passes=_passes(all_runs), cautions=_cautions(all_runs),
        sweeps=plots.sweeps(all_runs, sources),
        scaling=[(drawn, list(map(_block, blocks))) for drawn, blocks in plots.scaling(sources)],
        shares=plots.shares(all_runs, sources), comparison=_comparison(sources, pairs, percent),
        cards=list(map(cards.card, all_runs)))


# The outcomes

def _counts(all_runs: Sequence[Run]) -> List[Tuple[str, int]]:
    """How many runs had each kind of outcome."""
    kinds = [outcome.kind(outcome.of_run(run.data)) for run in all_runs]
    return [(kind, kinds.count(kind)) for kind in ('bad', 'warn', 'good') if kind in kinds]


def _problems(sources: Sequence[Source]) -> List[str]:
    """What could not be read, and records that are not repeats of each other."""
    return [problem for source in sources for problem in source.problems] + [
        '%s, %s %s %s, batch %s: INVALID: %s' % (
            (source.name,) + figure.work[:3] + (figure.work.batch_size, figure.faults[-1]))
        for source in sources for figure in source.figures
        if len(figure.records) > 1 and figure.faults]


def _faults(all_runs: Sequence[Run]) -> List[Note]:
    return [Note(run, entry['info_string'], fault) for run in all_runs
            for entry in run.data['results'] for fault in entry.get('faults', [])]


def _cautions(all_runs: Sequence[Run]) -> List[List[Note]]:
    """Lists of cautions of the same kind."""
    by_kind = {}                                         # type: Dict[str, List[Note]]
    for run in all_runs:
        for part in [run.data] + run.data['results']:
            for caution in part.get('warnings', []):
                by_kind.setdefault(caution['kind'], []).append(
                    Note(run, part.get('info_string', ''), caution['text']))
    return list(by_kind.values())


def _passes(all_runs: Sequence[Run]) -> Table:
    """A row for each pass, and for each run that did not finish, with its run."""
    of_rows, rows = [], []                               # type: List[Run], List[List[str]]
    for run in all_runs:
        data = run.data
        for entry, figure in zip(data['results'], run.figures):
            rows.append([run.name, outcome.of_pass(data, entry)] + _pass_cells(entry, figure))
        if data['status'] != 'finished' or not data['results']:
            rows.append([run.name, outcome.of_run(data), '-',
                         '%s %s' % (data['benchmark'], data['variant']), runs.batch_size(run),
                         str(report.process_count(data))] + ['-'] * 6)
        of_rows += [run] * (len(rows) - len(of_rows))
    head = ['record', 'verdict', *WORK, 'ms / batch', '95 % interval of the mean',
            'images / s', 'share of peak']
    table = _folded([head] + rows)
    return table._replace(rows=list(zip(of_rows, table.rows)))


def _pass_cells(entry: Dict[str, Any], figure: Figure) -> List[str]:
    work, share = figure.work, entry.get('share_of_peak')
    cells = [work.info_string, '%s %s' % work[:2], str(work.batch_size), str(work.processes),
             str(work.fetch), work.precision]
    if figure.faults:
        return cells + ['-'] * 4
    return cells + [plots.ms(figure.mean_s), tables.interval(figure.ci95_s, plots.ms),
                    tables.four_digits(rate(figure)),
                    '-' if share is None else text.percent(share)]


# Tables

def _folded(rows: List[List[str]]) -> Table:
    """The table without empty columns, and without those of WORK whose rows are all the same."""
    columns = [column for column in zip(*rows) if set(column[1:]) != {'-'}]
    shared = [column for column in columns if column[0] in WORK and len(set(column[1:])) == 1]
    common = ', '.join('%s %s' % column[:2] for column in shared
                       if column[:2] != ('processes', '1'))
    return _table(common, list(zip(*[column for column in columns if column not in shared])))


def _table(common: str, rows: Sequence[Sequence[str]]) -> Table:
    head, *rest = rows
    return Table(common, list(head), [text.is_number(cells) for _, *cells in zip(*rows)],
                 list(map(list, rest)))


def _comparison(sources: Sequence[Source], pairs: Sequence[Pair],
                percent: Optional[float]) -> List[text.Block]:
    """What `suite compare` prints for the same sources, without the tables of plots.scaling."""
    shown = [block for source in sources for block in blocks.scaling(source)]
    return [_block(block) for block in blocks.of(sources, pairs, percent=percent)
            if block not in shown]


def _block(block: text.Block) -> Any:
    """The block with a Table, where it has a table."""
    return block._replace(table=_table(block.common, block.table)) if block.table else block
