"""All that a record holds, as the page shows it: what it printed, its steps, its
environment."""
from typing import Any, Dict, List, NamedTuple, Tuple

from common import report
from suite import outcome
from suite.figures import FLOAT32, Figure
from suite.report import charts
from suite.report.plots import colour, ms
from suite.report.runs import Run, batch_size

LINE_CLASSES = {'caution': 'note warn', 'INVALID': 'note bad'}       # by the first word of a line


class Card(NamedTuple):
    """Everything the page shows of one run. Each line has its CSS class; a profile is a list of
    lines, its title first; facts are of the environment, by name."""
    run: Run
    word: str
    work: str
    lines: List[Tuple[str, str]]
    charts: List[charts.Drawing]
    profiles: List[List[str]]
    facts: List[Tuple[str, str]]


def card(run: Run) -> Card:
    """Returns all of a run."""
    data, environment = run.data, run.data['environment']
    lines = [('note bad', 'INVALID: ' + fault) for fault in data['faults']]
    lines += [('note bad', data['error'])] if data['error'] else []
    lines += [('note warn', 'caution: ' + caution['text']) for caution in data.get('warnings', [])]
    profiles = []
    for entry, figure in zip(data['results'], run.figures):
        head, rest, profile = _printed(data, entry, figure)
        lines += [('pass', head)] + [
            (LINE_CLASSES.get(line.split(':')[0].strip(), 'detail'), line.strip()) for line in rest]
        profiles += [[profile[0].rstrip(':')] + profile[1:]] if profile else []
    facts = [(key, value) for key, value in environment.items() if value not in (None, {}, [])]
    return Card(
        run, outcome.of_run(data), '%s %s, batch %s; %s; TensorFlow %s; %s' % (
            data['benchmark'], data['variant'], batch_size(run), environment['device']['name'],
            environment['tensorflow'], environment['date']),
        lines, [_steps(entry, figure) for entry, figure in zip(data['results'], run.figures)
                if entry['samples_s']], profiles,
        [(key, _fact(value)) for key, value in facts + [('flags', data['options'])]])


def _printed(data: Dict[str, Any], entry: Dict[str, Any], figure: Figure
             ) -> Tuple[str, List[str], List[str]]:
    """What a run prints about a pass: the summary line, the others, and the lines of its profile.
    Of a pass that the run ended in, or that is damaged: its steps, its cautions and its faults."""
    plain = [other for other in data['results'] if report.precision(other) == FLOAT32]
    try:
        head, *rest = report.result(entry)
        if entry.get('difference'):
            rest.append(report.speedup(entry, plain))
        return head, rest, report.profile(entry) if entry.get('layers') else []
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return ('%s: %d steps' % (entry['info_string'], len(entry['samples_s'])),
                ['caution: ' + caution['text'] for caution in entry['warnings']]
                + ['INVALID: ' + fault for fault in figure.faults], [])


def _steps(entry: Dict[str, Any], figure: Figure) -> charts.Drawing:
    burn_in_s = entry['burn_in_s']
    caption = '%s, %s: ms of each step; line: the median' % (
        figure.work.info_string, figure.work.precision)
    if burn_in_s:
        caption += '; hollow: %d of burn-in, %s to %s ms' % (
            len(burn_in_s), ms(min(burn_in_s)), ms(max(burn_in_s)))
    return charts.samples(caption, [1e3 * seconds for seconds in entry['samples_s']],
                          [1e3 * seconds for seconds in burn_in_s], colour(figure.work))


def _fact(value: Any) -> str:
    if isinstance(value, dict):
        return ', '.join('%s: %s' % (key, _fact(part)) for key, part in value.items()
                         if part is not None)
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
