"""The gate of compare --fail-if-slower: PASS, FAIL or UNDECIDED, the exit code, the rows named."""
import json
import os
from xml.etree import ElementTree

import pytest

from suite import compare, gate, pairs
from suite.figures import Figure, Work, combined

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
WORK = Work('alexnet', 'lrn', 'Forward', 'tensors', 32, 'float32')
TIGHT, WIDE = (0.999, 1.0, 1.001), (0.9, 1.0, 1.1)
BASE, SAME, TWICE = (0.1, 0.1001, 0.1002), (0.10011, 0.10021, 0.10031), (0.2, 0.2001, 0.2002)
SCATTERED = (0.08, 0.10011, 0.12)


def repeats(scale, means=TIGHT):
    return combined([Figure(WORK, scale * mean_s, None, None, (str(i),),
                            steps=((scale * mean_s, i),))
                     for i, mean_s in enumerate(means)])


def invalid(word, fault):
    return Figure(WORK, 1, None, None, ('b',), faults=(fault,), word=word)


@pytest.mark.parametrize('low, high, word', [
    (0.9, 1.0, 'PASS'), (0.9, 1.05, 'PASS'), (0.9, 1.0501, 'UNDECIDED'), (1.05, 1.2, 'UNDECIDED'),
    (1.0501, 1.2, 'FAIL'), (0.63, 1.27, 'UNDECIDED')])
def test_a_row_by_its_interval(low, high, word):
    row = pairs.Row(repeats(1), repeats(1), 1.05, (low, high), '')
    assert gate.outcome(row, 5)[0] == word


@pytest.mark.parametrize('base, other, why', [
    (repeats(1), repeats(2, TIGHT[:1]), 'one process: no verdict; at least 3 on each side'),
    (repeats(1, TIGHT[:2]), repeats(2), '2 processes: no verdict; at least 3 on each side'),
    (Figure(WORK, 1, None, None), repeats(2), 'published: no verdict'),
    (repeats(1), repeats(1), 'identical steps: is one a copy of the other?'),
    (repeats(1), invalid('INVALID', 'nan'), 'INVALID: nan (b)'),
    (repeats(1), invalid('interrupted', 'cut'), 'interrupted: cut (b)'),
    (repeats(1, WIDE), repeats(1.05, WIDE), 'more than 100 processes on each side would be'),
    (repeats(1, WIDE), repeats(0.95, WIDE), 'about ')])
def test_what_cannot_be_judged_is_undecided(base, other, why):
    word, reason = gate.outcome(pairs.row(base, other), 5)
    assert word == 'UNDECIDED' and reason.startswith(why)


def test_as_many_repeats_as_are_asked_for_decide():
    n = gate.repeats_to_decide(pairs.row(repeats(1, WIDE), repeats(0.95, WIDE)), 1.05)
    means = WIDE * (n // 3)                              # which scatter no more
    assert 9 < n < 40
    assert gate.outcome(pairs.row(repeats(1, means), repeats(0.95, means)), 5)[0] == 'PASS'


@pytest.fixture
def folder(tmp_path):
    """A function that writes a record for each mean of Forward to a folder; returns its path."""
    def write(name, means_s, **changes):
        (tmp_path / name).mkdir(exist_ok=True)
        for i, mean_s in enumerate(means_s):
            entry = dict(RECORD['results'][0], samples_s=[0.99 * mean_s, 1.01 * mean_s], sd_s=0.01,
                         mean_s=mean_s, warnings=[])
            data = dict(RECORD, results=[entry], warnings=[])
            data.update(changes)
            (tmp_path / name / ('%s-%d.json' % (data['variant'], i))).write_text(json.dumps(data))
        return str(tmp_path / name)
    return write


LIMITED = dict(RECORD['environment'], cpu=dict(RECORD['environment']['cpu'], usable_threads=1))
FULL = {'variant': 'no_lrn', 'status': 'out_of_memory', 'results': []}
NAME = 'alexnet %s Forward tensors batch 32 float32: '


@pytest.mark.parametrize('before, after, percent, code, lines', [
    ([(BASE, {})], [(SAME, {})], 5, 0, ['PASS']), ([(BASE, {})], [(TWICE, {})], 150, 0, ['PASS']),
    ([(TWICE, {})], [(BASE, {})], 0, 0, ['PASS']),
    ([(BASE, {})], [(TWICE, {})], 5, 1, ['FAIL', 'FAIL: ' + NAME % 'lrn' + '+99.9 % (+99.3 to ']),
    ([(BASE, {})], [(SCATTERED, {})], 5, 4, [
        'UNDECIDED', 'UNDECIDED: ' + NAME % 'lrn' + '+0 % (-39 to +64 %); about 84 processes on']),
    ([(BASE, {})], [(TWICE[:1], {})], 5, 4, [
        'UNDECIDED', 'UNDECIDED: ' + NAME % 'lrn' + '+100 %; one process: no verdict; at least 3']),
    ([(BASE, {})], [(BASE, {})], 5, 4, [
        'UNDECIDED', 'UNDECIDED: ' + NAME % 'lrn' + '+0.0 %; identical steps']),
    ([(BASE, {})], [((*SAME[1:], BASE[1]), {})], 5, 4, [     # one of them is a copy
        'UNDECIDED', 'UNDECIDED: ' + NAME % 'lrn' + '+0.1 %; identical steps']),
    # Failures come first. What passes is not named.
    ([(BASE, {'variant': variant}) for variant in ('lrn', 'no_lrn', 'lrn_fc')],
     [(SCATTERED, {}), (TWICE, {'variant': 'no_lrn'}), (SAME, {'variant': 'lrn_fc'})], 5, 1,
     ['FAIL', 'FAIL: ' + NAME % 'no_lrn' + '+99.9 %', 'UNDECIDED: ' + NAME % 'lrn' + '+0 % (']),
    # What was not run, ran out of memory or ran under other conditions is no pass.
    ([(BASE, {}), (BASE, {'variant': 'no_lrn'})], [(SAME, {})], 5, 4,
     ['UNDECIDED', 'UNDECIDED: ' + NAME % 'no_lrn' + 'after has no figure']),
    ([(BASE, {})], [(SAME, {}), (BASE, {'variant': 'no_lrn'})], 5, 0, ['PASS']),
    ([(BASE, {}), (BASE, {'variant': 'no_lrn'})], [(SAME, {}), (BASE, FULL)], 5, 4,
     ['UNDECIDED', 'UNDECIDED: ' + NAME % 'no_lrn' + 'the run of after did not finish']),
    ([(BASE, {})], [(SAME, {}), (TWICE, {'environment': LIMITED})], 5, 4,
     ['UNDECIDED', 'UNDECIDED: ' + NAME % 'lrn' + 'not judged, because of other conditions: 1/lrn'])
])
def test_the_exit_code_and_the_rows_that_do_not_pass(
        before, after, percent, code, lines, folder, capsys):
    for name, runs in ('before', before), ('after', after):
        for i, (means_s, changes) in enumerate(runs):
            # In a folder of its own where the names of the files would be the same.
            path = folder(name, ())
            folder('%s/%d' % (name, i), means_s, **changes)
    paths = [os.path.join(os.path.dirname(path), name) for name in ('before', 'after')]
    assert compare.main(paths + ['--fail-if-slower', str(percent)]) == code
    out = capsys.readouterr().out
    shown = out.split('\n\n')[0].replace('\n    ', ' ').splitlines()
    assert shown[0] == 'Gate, at most %d %% slower: %s' % (percent, lines[0])
    assert len(shown) == len(lines)
    for line, expected in zip(shown[1:], lines[1:]):
        assert line.startswith('  ' + expected)
    assert 'limit +%d %%' % percent in out               # beside the ratios, in the same unit
    assert compare.main(paths) == 0                      # no gate, no failure


def test_every_ci_can_show_the_outcomes(folder, tmp_path):
    for variant, means_s in ('lrn', SAME), ('no_lrn', TWICE), ('lrn_fc', SCATTERED):
        folder('before', BASE, variant=variant)
        after = folder('after', means_s, variant=variant)
    path = tmp_path / 'gate.xml'
    assert compare.main([str(tmp_path / 'before'), after, '--fail-if-slower', '5', '--junit',
                         str(path)]) == 1
    suites = ElementTree.parse(str(path)).getroot()
    suite, = suites
    assert {key: suite.get(key) for key in ('tests', 'failures', 'skipped', 'errors')} == {
        'tests': '3', 'failures': '1', 'skipped': '1', 'errors': '0'}
    assert [(case.get('name'), [(outcome.tag, outcome.get('message')[:12]) for outcome in case])
            for case in suite] == [
        (NAME[:-2] % 'lrn', []), (NAME[:-2] % 'no_lrn', [('failure', 'FAIL: +99.9 ')]),
        (NAME[:-2] % 'lrn_fc', [('skipped', 'UNDECIDED: +')])]


def test_a_source_of_which_nothing_can_be_judged_is_no_pass(folder, tmp_path, capsys):
    before, after = folder('before', BASE), folder('after', SAME)
    assert compare.main([before, after, str(tmp_path / 'typo'), '--fail-if-slower', '5']) == 2
    captured = capsys.readouterr()
    assert 'after against before' in captured.out
    assert 'typo: no such file, folder or reference (' in captured.err
