"""Words for how a run, or one pass of it, came out: for the tables of `suite run` and `suite
compare` and for the HTML page. Nothing else words an outcome.

    ok, 2 cautions                                the figures are valid
    INVALID                                       a validity check failed or refused the pass
    out of memory, interrupted, failed            as the record says
    killed, crashed: SIGSEGV, could not run       the record does not say how the run ended
"""
import signal
from typing import Any, Dict, Optional

STATUS_WORDS = {'refused': 'INVALID', 'out_of_memory': 'out of memory'}
EXIT_CODE_WORDS = {0: 'no record', 3: 'could not run', 130: 'interrupted'}     # without a status


def of_run(record: Dict[str, Any], code: Optional[int] = None) -> str:
    """Returns the word for a run.

    Args:
        record: as suite.records.load returns it; {} if the run left none.
        code: the exit code of its process, negative for a signal; None if it is not known.
    """
    status = record.get('status', 'running')             # 'running': it ended without a last word
    if status == 'finished':
        return _of_checks([record] + record['results'])
    if status != 'running':
        return STATUS_WORDS.get(status, status)
    if code is None:
        return 'killed'
    if code < 0:                                         # a real-time signal has no name
        names = {number.value: number.name for number in signal.Signals}
        return 'crashed: ' + names.get(-code, 'signal %d' % -code)
    return EXIT_CODE_WORDS.get(code, 'crashed: exit code %d' % code)


def of_pass(record: Dict[str, Any], entry: Dict[str, Any]) -> str:
    """Returns the word for a pass: `entry` is one of the record's results. What is wrong with the
    whole run counts for each pass. A pass in which the run ended has the word of the run."""
    if 'faults' not in entry and record['status'] != 'finished':
        return of_run(record)
    return _of_checks([record, entry])


def of_cautions(count: int) -> str:
    """Returns the word for valid figures with so many cautions."""
    return '%d caution%s' % (count, 's' * (count > 1)) if count else 'ok'


def kind(word: str) -> str:
    """Returns 'good', 'warn' or 'bad' for a word of this module."""
    if word == 'ok':
        return 'good'
    return 'warn' if word.endswith(('caution', 'cautions')) else 'bad'


def _of_checks(parts):
    """`parts` are the record and passes of it. A pass without the key 'faults' was not checked."""
    if any(part.get('faults', ['not checked']) for part in parts):
        return 'INVALID'
    return of_cautions(sum(len(part.get('warnings', [])) for part in parts))
