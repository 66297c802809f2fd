"""The gate of compare --fail-if-slower: PASS, FAIL or UNDECIDED, the exit code, the rows named."""
import json
import os
import re

import pytest

from suite import compare, gate, pairs
from suite.figures import Figure, Work, combined

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
WORK = Work('alexnet', 'lrn', 'Forward', 'tensors', 32, 'float32')
TIGHT, WIDE = (0.999, 1.0, 1.001), (0.9, 1.0, 1.1)


def repeats(scale, means=TIGHT):
    return combined([Figure(WORK, scale * mean_s, None, None, (str(i),))
                     for i, mean_s in enumerate(means)])


def with_interval(low, high):
    return pairs.Row(repeats(1), repeats(1), 1.05, (low, high), '')


@pytest.mark.parametrize('low, high, word', [
    (0.9, 1.0, 'PASS'), (0.9, 1.05, 'PASS'), (0.9, 1.0501, 'UNDECIDED'), (1.05, 1.2, 'UNDECIDED'),
    (1.0501, 1.2, 'FAIL'), (0.63, 1.27, 'UNDECIDED')])
def test_a_row_by_its_interval(low, high, word):
    assert gate.outcome(with_interval(low, high), 5)[0] == word


@pytest.mark.parametrize('base, other, why', [
    (repeats(1), repeats(2, TIGHT[:1]), 'one process: no verdict; at least 3 on each side'),
    (repeats(1, TIGHT[:2]), repeats(2), '2 processes: no verdict; at least 3 on each side'),
    (Figure(WORK, 1, None, None), repeats(2), 'published: no verdict'),
    (repeats(1), Figure(WORK, 1, None, None, ('b',), faults=('nan',), word='INVALID'),
     'INVALID: nan (b)'),
    (repeats(1), Figure(WORK, 1, None, None, ('b',), faults=('cut',), word='interrupted'),
     'interrupted: cut (b)')])
def test_what_cannot_be_judged_is_undecided(base, other, why):
    word, reason = gate.outcome(pairs.row(base, other), 5)
    assert word == 'UNDECIDED' and reason.startswith(why)


def test_how_many_repeats_would_decide():
    row = pairs.row(repeats(1, WIDE), repeats(0.95, WIDE))
    assert gate.outcome(row, 5)[0] == 'UNDECIDED'
    n = gate.repeats_to_decide(row, 1.05)
    means = [0.9, 1.0, 1.1] * (n // 3)                   # as many, which scatter no more
    assert 9 < n < 40
    assert gate.outcome(pairs.row(repeats(1, means), repeats(0.95, means)), 5)[0] == 'PASS'
    assert gate.repeats_to_decide(pairs.row(repeats(1, WIDE), repeats(1.05, WIDE)), 1.05) is None


@pytest.fixture
def folder(tmp_path):
    """A function that writes a record for each mean of Forward to a folder; returns its path."""
    def write(name, means_s, **changes):
        (tmp_path / name).mkdir(exist_ok=True)
        for i, mean_s in enumerate(means_s):
            entry = dict(RECORD['results'][0], samples_s=[0.99 * mean_s, 1.01 * mean_s], sd_s=0.01,
                         mean_s=mean_s, warnings=[])
            data = dict(RECORD, results=[entry], warnings=[], **changes)
            (tmp_path / name / ('%s-%d.json' % (changes.get('variant', 'lrn'), i))).write_text(
                json.dumps(data))
        return str(tmp_path / name)
    return write


BASE = (0.1000, 0.1001, 0.1002)


@pytest.mark.parametrize('means, percent, code, word', [
    ((0.1001, 0.1002, 0.1003), '5', 0, 'PASS'), ((0.2, 0.2001, 0.2002), '5', 1, 'FAIL'),
    ((0.2, 0.2001, 0.2002), '150', 0, 'PASS'), ((0.05, 0.0501, 0.0502), '0', 0, 'PASS'),
    ((0.08, 0.1, 0.12), '5', 4, 'UNDECIDED'), ((0.2,), '5', 4, 'UNDECIDED')])
def test_the_exit_code(means, percent, code, word, folder, capsys):
    before, after = folder('before', BASE), folder('after', means)
    assert compare.main([before, after, '--fail-if-slower', percent]) == code
    out = capsys.readouterr().out
    assert out.startswith('Gate, at most %s %% slower: %s\n' % (percent, word))
    assert re.search(r' %s\n' % word, out.split('\n\n')[1] + '\n')
    assert compare.main([before, after]) == 0            # no gate, no failure


def test_the_rows_that_do_not_pass_are_named_failures_first(folder, capsys):
    for variant, means in (('lrn', (0.08, 0.1, 0.12)), ('no_lrn', (0.2, 0.2001, 0.2002)),
                           ('lrn_fc', (0.1001, 0.1002, 0.1003))):
        before, after = [folder(name, one, variant=variant)
                         for name, one in (('before', BASE), ('after', means))]
    assert compare.main([before, after, '--fail-if-slower', '5']) == 1
    lines = capsys.readouterr().out.split('\n\n')[0].replace('\n    ', ' ').splitlines()
    assert lines[0] == 'Gate, at most 5 % slower: FAIL'
    assert lines[1] == ('  FAIL: alexnet no_lrn Forward tensors batch 32 float32: 1.999 times '
                        'slower (1.993 to 2.005)')
    assert re.match(r'  UNDECIDED: alexnet lrn Forward tensors batch 32 float32: .*; about \d+ '
                    'processes on each side would decide', lines[2])
    assert len(lines) == 3


def test_a_run_that_did_not_finish_is_no_pass(folder, capsys):
    before, after = folder('before', BASE), folder('after', BASE)
    folder('before', BASE, variant='no_lrn')
    assert compare.main([before, after, '--fail-if-slower', '5']) == 4     # it was not run
    assert 'batch 32 float32: after has none' in ' '.join(capsys.readouterr().out.split())
    assert compare.main([after, before, '--fail-if-slower', '5']) == 0
    folder('after', BASE, variant='no_lrn', status='out_of_memory')
    for i in range(3):
        path = os.path.join(after, 'no_lrn-%d.json' % i)
        with open(path) as file:
            data = json.load(file)
        with open(path, 'w') as file:
            json.dump(dict(data, results=[]), file)
    assert compare.main([before, after, '--fail-if-slower', '5']) == 4
    assert 'the run of after did not finish' in ' '.join(capsys.readouterr().out.split())


def test_runs_under_other_conditions_are_not_judged_and_no_pass(folder, capsys):
    before, after = folder('before', BASE), folder('after', BASE)
    folder('after/limited', [3 * one for one in BASE], environment=dict(
        RECORD['environment'], cpu=dict(RECORD['environment']['cpu'], usable_threads=1)))
    assert compare.main([before, after, '--fail-if-slower', '5']) == 4
    assert 'not judged, because of other conditions: ' in ' '.join(
        capsys.readouterr().out.split())


def test_a_source_of_which_nothing_can_be_judged_is_no_pass(folder, tmp_path, capsys):
    before, after = folder('before', BASE), folder('after', BASE)
    assert compare.main([before, after, str(tmp_path / 'typo'), '--fail-if-slower', '5']) == 2
    captured = capsys.readouterr()
    assert 'after against before' in captured.out and 'no such file or folder' in captured.err
