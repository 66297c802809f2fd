"""The words for the outcome of a run or a pass."""
import signal

import pytest

from suite import outcome

CAUTION = {'kind': 'drift', 'text': 'step time drifted'}


def record(status='finished', results=(), **fields):
    return dict({'status': status, 'faults': [], 'warnings': [], 'results': list(results)},
                **fields)


def entry(faults=(), cautions=0):
    return {'faults': list(faults), 'warnings': [CAUTION] * cautions}


@pytest.mark.parametrize('given, word', [
    (record(), 'ok'),
    (record(results=[entry(), entry()]), 'ok'),
    (record(results=[entry(cautions=1), entry()]), '1 caution'),
    (record(results=[entry(cautions=1), entry(cautions=1)], warnings=[CAUTION]), '3 cautions'),
    (record(results=[entry(), entry(['nan'], cautions=1)]), 'INVALID'),
    (record(results=[dict(entry(), scaling=None)]), 'ok'),
    (record(results=[{'warnings': []}]), 'INVALID'),      # not checked
    (record(faults=['nothing ran']), 'INVALID'),
    (record('refused', faults=['a second process']), 'INVALID'),
    (record('out_of_memory', [entry()]), 'out of memory'),
    (record('interrupted'), 'interrupted'),
    (record('failed'), 'failed'),
    (record('running'), 'killed'),
    ({}, 'killed')])
def test_a_run_by_its_record(given, word):
    assert outcome.of_run(given) == word


@pytest.mark.parametrize('code, word', [
    (-signal.SIGKILL, 'crashed: SIGKILL'), (-signal.SIGSEGV, 'crashed: SIGSEGV'),
    (-35, 'crashed: signal 35'), (3, 'could not run'), (130, 'interrupted'),
    (1, 'crashed: exit code 1'), (0, 'no record')])
def test_a_run_that_left_no_status_by_its_exit_code(code, word):
    assert outcome.of_run({}, code) == outcome.of_run(record('running'), code) == word
    assert outcome.of_run(record(), code) == 'ok'


@pytest.mark.parametrize('run, entry, word', [
    (record(), entry(cautions=1), '1 caution'), (record(), entry(['nan']), 'INVALID'),
    (record(), entry(), 'ok'), (record(warnings=[CAUTION]), entry(cautions=1), '2 cautions'),
    (record(warnings=[CAUTION]), entry(), '1 caution'),           # it counts for each pass
    (record(faults=['nothing ran']), entry(), 'INVALID'),
    (record(), {'warnings': []}, 'INVALID'),                      # not checked
    (record('interrupted'), entry(), 'ok'),
    (record('interrupted'), {'warnings': []}, 'interrupted')])    # the run ended in it
def test_a_pass(run, entry, word):
    assert outcome.of_pass(run, entry) == word


def test_kinds():
    words = ['ok', '1 caution', '12 cautions', 'INVALID', 'out of memory', 'interrupted', 'failed',
             'killed', 'crashed: signal 35', 'could not run', 'no record']
    assert [outcome.kind(word) for word in words] == ['good', 'warn', 'warn'] + ['bad'] * 8
