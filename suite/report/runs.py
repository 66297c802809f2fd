"""All that the page shows of each run: what it printed, its steps, its environment."""
from typing import Any, Dict, List, Sequence, Tuple

from common import report
from suite import outcome
from suite.figures import FLOAT32, Record, Source
from suite.report import charts
from suite.report.plots import colour, ms

LINE_CLASSES = {'caution': 'note warn', 'INVALID': 'note bad'}       # by the first word of a line


def of(sources: Sequence[Source]) -> List[Dict[str, Any]]:
    """Returns all runs, those too that did not finish: the `number` and the `name` of each on the
    page, its `record`, its outcome as a `word`, its `work`, its `lines` with their classes,
    `charts`, `profiles` (lists of lines, the title first) and `facts` by name. Where there are
    several sources, a name begins with that of its source."""
    named = [(record.name if len(sources) == 1 else source.name if len(source.records) == 1 else
              '%s: %s' % (source.name, record.name), record)
             for source in sources for record in source.records]
    return [dict(_run(record), number=number, name=name)
            for number, (name, record) in enumerate(named)]


def _run(record: Record) -> Dict[str, Any]:
    data, environment = record.data, record.data['environment']
    lines = [('note bad', 'INVALID: ' + fault) for fault in data['faults']]
    lines += [('note bad', data['error'])] if data['error'] else []
    lines += [('note warn', 'caution: ' + caution['text']) for caution in data.get('warnings', [])]
    passes, profiles = list(zip(data['results'], record.figures)), []
    for entry, figure in passes:
        head, rest, profile = _printed(data, entry, figure)
        lines += [('pass', head)] + [
            (LINE_CLASSES.get(line.split(':')[0].strip(), 'detail'), line.strip()) for line in rest]
        profiles += [[profile[0].rstrip(':')] + profile[1:]] if profile else []
    facts = [(key, value) for key, value in environment.items() if value not in (None, {}, [])]
    return {
        'record': record, 'word': outcome.of_run(data), 'lines': lines, 'profiles': profiles,
        'work': '%s %s, batch %s; %s; TensorFlow %s; %s' % (
            data['benchmark'], data['variant'], data['options'].get('batch_size', '-'),
            environment['device']['name'], environment['tensorflow'], environment['date']),
        'charts': [_steps(entry, figure) for entry, figure in passes if entry['samples_s']],
        'facts': [(key, _fact(value)) for key, value in facts + [('flags', data['options'])]]}


def _printed(data, entry, figure) -> Tuple[str, List[str], List[str]]:
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


def _steps(entry, figure):
    burn_in_s = entry['burn_in_s']
    caption = '%s, %s: ms of each step; line: the median' % (
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
