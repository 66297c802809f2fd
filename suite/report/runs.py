"""All that the page shows of each run: what it printed, its steps, its environment."""
from typing import Any, Dict, List, Sequence, Tuple

from common import report
from common.conditions import precision
from suite import outcome
from suite.figures import FLOAT32, Record, Source
from suite.report import charts
from suite.report.plots import colour, ms

WARN, BAD = 'note warn', 'note bad'  # the classes of cautions and faults


def of(sources: Sequence[Source]) -> List[Dict[str, Any]]:
    """Returns all runs, those too that did not finish: the `number` and the `name` of each on the
    page, its outcome as a `word` of a `kind`, its `work`, `notes` on all of it, its `passes` and
    its `facts` by name. A pass has a `head`, `lines`, `notes`, a `chart`, a `profile`, the title
    first, and `faults`. Notes and lines are (class, text, None). Where there are several sources, a
    name begins with that of its source."""
    named = [(record.name if len(sources) == 1 else source.name if len(source.records) == 1 else
              '%s: %s' % (source.name, record.name), record)
             for source in sources for record in source.records]
    return [dict(_run(record), number=number, name=name)
            for number, (name, record) in enumerate(named)]


def _run(record: Record) -> Dict[str, Any]:
    data, environment = record.data, record.data['environment']
    word = outcome.of_run(data)
    notes = ['INVALID: ' + fault for fault in data['faults']]
    notes += ['caution: ' + caution['text'] for caution in data.get('warnings', [])]
    facts = [(key, value) for key, value in environment.items() if value not in (None, {}, [])]
    return {
        'word': word, 'kind': outcome.kind(word),
        'notes': [(BAD, data['error'], None)] * bool(data['error']) + _notes(notes),
        'work': '%s %s, batch %s; %s; TensorFlow %s; %s' % (
            data['benchmark'], data['variant'], data['options'].get('batch_size', '-'),
            environment['device']['name'], environment['tensorflow'], environment['date']),
        'passes': [_pass(data, *timed) for timed in zip(data['results'], record.figures)],
        'facts': [(key, _fact(value)) for key, value in facts + [('flags', data['options'])]]}


def _pass(data, entry, figure):
    head, lines, profile = _printed(data, entry, figure)
    lines = [line.strip() for line in lines]
    notes = [line for line in lines if line.startswith(('INVALID: ', 'caution: '))]
    return {'head': head, 'lines': [('detail', line, None) for line in lines if line not in notes],
            'notes': _notes(notes), 'profile': profile,
            'chart': _steps(entry, figure) if entry['samples_s'] else None,
            'faults': ['%s: INVALID: %s' % (entry['info_string'], fault)
                       for fault in entry.get('faults', [])]}


def _notes(lines):
    return [(BAD if line.startswith('INVALID') else WARN, line, None) for line in lines]


def _printed(data, entry, figure) -> Tuple[str, List[str], List[str]]:
    """What a run prints about a pass: the summary line, the others, and the lines of its profile.
    Of a pass that the run ended in, or that is damaged: its steps, its cautions and its faults."""
    plain = [other for other in data['results'] if precision(other) == FLOAT32]
    try:
        head, *lines = report.result(entry)
        if entry.get('difference'):
            lines.append(report.speedup(entry, plain))
        return head, lines, report.profile(entry) if entry.get('layers') else []
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return ('%s: %d steps' % (entry['info_string'], len(entry['samples_s'])),
                ['caution: ' + caution['text'] for caution in entry['warnings']]
                + ['INVALID: ' + fault for fault in figure.faults], [])


def _steps(entry, figure):
    burn_in_s = entry['burn_in_s']
    caption = '%s, %s: ms of each step; dashed: the median' % (
        figure.work.info_string, figure.work.precision)
    if burn_in_s:
        caption += '; hollow: %d of burn-in, %s to %s ms' % (
            len(burn_in_s), ms(min(burn_in_s)), ms(max(burn_in_s)))
    return charts.samples(caption, [1e3 * seconds for seconds in entry['samples_s']],
                          [1e3 * seconds for seconds in burn_in_s], colour(figure.work))


def _fact(value):
    if isinstance(value, dict):
        return ', '.join('%s: %s' % (key, _fact(part)) for key, part in value.items()
                         if part is not None)
    return ' '.join(map(str, value)) if isinstance(value, list) else str(value)
