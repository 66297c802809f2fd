"""compare.py: planted differences are found, noise is not, unequal work never stands together."""
import json
import math
import os
import re
import subprocess
import sys

import fake_job
import numpy as np
import pytest

from suite import compare, gate, pairs
from suite.results_table import results_table

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
REFERENCE = {'source': 'x', 'year': 1, 'hardware': 'x', 'software': 'x', 'figures': [1]}
FIGURE = {'benchmark': 'alexnet', 'variant': 'lrn', 'info_string': 'Forward', 'fetch': 'tensors',
          'batch_size': 32, 'precision': 'float32', 'mean_s': 1, 'about': False, 'differs': []}
GATE = ['--fail-if-slower', '5']


def steps(mean_s=0.1, sd=0.001, seed=0, correlation=0.0, n=100):
    """Durations whose deviations are an autoregressive series of standard deviation `sd`."""
    random = np.random.default_rng(seed)
    deviation, series = random.standard_normal(), []
    for _ in range(n):
        series.append(mean_s * (1 + sd * deviation))
        deviation = (correlation * deviation
                     + np.sqrt(1 - correlation ** 2) * random.standard_normal())
    return series


def entry(seconds, **changes):
    return dict({'info_string': 'Forward', 'fetch': 'tensors', 'batch_size': 32,
                 'precision': 'float32', 'samples_s': seconds, 'burn_in_s': [],
                 'mean_s': np.mean(seconds) if seconds else None, 'sd_s': 0, 'statistics': None,
                 'warnings': [], 'faults': []}, **changes)


def record(*results, device='GPU X', kind='gpu', driver='535.1', **environment):
    facts = {'device': {'kind': kind, 'name': device, 'sentence': device, 'gpu': None},
             'gpu': {'driver_version': driver}}
    return dict(RECORD, results=list(results),
                environment=dict(RECORD['environment'], **facts, **environment))


@pytest.fixture
def write(tmp_path):
    """A function that writes data (text as it is) to NAME below tmp_path and returns the path."""
    def write_file(name, data):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return str(path)
    return write_file


@pytest.fixture
def ratio(write):
    """A function that returns the only row of two records with these steps."""
    def row(base, other):
        paths = [write(name, record(entry(seconds)))
                 for name, seconds in (('base.json', base), ('other.json', other))]
        return compare.compare(*[compare.load(paths[0]), [compare.load(paths[1])]])[0].rows[0]
    return row


def test_identical_runs_do_not_differ(ratio):
    row = ratio(steps(), steps())
    assert row.ratio == 1
    assert row.interval[0] < 1 < row.interval[1]
    assert row.verdict == 'no significant difference'
    assert ratio([0.1] * 100, [0.1] * 100).verdict == compare.NO_DIFFERENCE


@pytest.mark.parametrize('factor, verdict', [(1.1, 'slower'), (0.9, 'faster')])
def test_ten_percent_are_seen_in_tight_samples(factor, verdict, ratio):
    row = ratio(steps(seed=1), steps(0.1 * factor, seed=2))
    assert row.verdict == verdict
    assert row.interval[0] < factor < row.interval[1]
    assert row.interval[1] - row.interval[0] < 0.01


def test_the_gate(write, capsys):
    base, slow = [write(name, record(entry(steps(mean_s, seed=seed))))
                  for name, mean_s, seed in (('base.json', 0.1, 1), ('slow.json', 0.11, 2))]
    assert compare.main([base, slow] + GATE) == 1
    assert 'in 1 the whole interval is above +5 %' in capsys.readouterr().err
    assert compare.main([base, slow, '--fail-if-slower', '15']) == 0
    assert compare.main([slow, base] + GATE) == 0
    assert compare.main([base, slow]) == 0               # no gate, no failure


def test_slow_steps_that_last_are_no_difference(ratio):
    """Successive steps are correlated by 0.9. Taken for independent, two of three pairs differ."""
    found = independent = 0
    for seed in range(100):
        pair = [steps(sd=0.05, seed=one, correlation=0.9) for one in (seed, seed + 5000)]
        found += ratio(*pair).verdict != compare.NO_DIFFERENCE
        error_s = np.sqrt(sum(np.var(seconds) for seconds in pair) / 100)
        independent += abs(np.mean(pair[0]) - np.mean(pair[1])) > 1.98 * error_s
    assert found <= 12
    assert independent >= 50


def test_the_interval_holds_the_ratio(ratio):
    held = 0
    for seed in range(100):
        low, high = ratio(steps(0.1, 0.02, seed), steps(0.12, 0.03, seed + 1000)).interval
        held += low < 1.2 < high
    assert held >= 92


@pytest.mark.parametrize('change, why', [
    ({'batch_size': 16}, 'batch 16, not 32'), ({'precision': 'tf32'}, 'precision tf32, not'),
    ({'fetch': 'ops'}, 'fetch ops, not tensors'),
    ({'info_string': 'Forward-backward'}, 'pass Forward-backward, not Forward')])
def test_unequal_work_is_not_set_side_by_side(change, why, write, capsys):
    base = write('base.json', record(entry(steps())))
    other = write('other.json', record(entry(steps(), **change)))
    assert compare.main([base, other]) == 2
    captured = capsys.readouterr()
    assert 'other, alexnet lrn' in captured.out and why in captured.out
    assert 'other against base' not in captured.out
    assert 'no valid figures of the same work' in captured.err
    assert compare.main([base, other] + GATE) == 2


def test_unequal_variants_and_xla_are_not_set_side_by_side(write):
    base = compare.load(write('base.json', record(entry(steps()))))
    variant = compare.load(write('v.json', dict(record(entry(steps())), variant='no_lrn')))
    xla = compare.load(write('xla.json', record(entry(steps(), xla=True))))
    for other, why in ((variant, 'variant no_lrn, not lrn'),
                       (xla, 'precision float32, XLA, not float32')):
        pair, = compare.compare(base, [other])
        assert pair.rows == []
        assert why in pair.apart[0]


@pytest.mark.parametrize('data, why', [
    (json.dumps(record(entry(steps())))[:2000], 'not JSON, or cut short'),
    ('', 'not JSON'), ('[1, 2]', 'not a record'), ('{"a": 1}', 'not a record'),
    (dict(record(), schema=0), 'schema 0, and 1 is read here'),
    (dict(record(), schema=[2]), 'schema [2], and 1 is read here'),
    (record({'fetch': 'ops'}), 'damaged: results[0] lacks batch_size'),
    (record(entry([0.1], samples_s=['x'])), 'damaged: results[0].samples_s[0] is "x", not number'),
    (record(entry([0.1], samples_s=[])), 'results[0] has a mean of 0.1 s, and 0 samples'),
    (record(entry([-1.0])), 'results[0].mean_s is -1.0, below 0'),
    (dict(record(), benchmark='alexnet\ud800'), 'is "alexnet ", none of ["alexnet", '),
    ('{"schema": 1, "error": 1e999}', 'not JSON, or cut short (a number of Infinity)'),
    ('[' * 10 ** 5, 'not JSON'), ('{"a": ' * 30 + '1' + '}' * 30, 'more than 20 levels'),
    ({'source': 'a page', 'figures': [FIGURE]}, 'it lacks hardware'),
    (REFERENCE, 'damaged: figures[0] is 1, not object'),
    (dict(REFERENCE, figures=[FIGURE]), 'published figures among records'),
    (dict(record(), faults=['TF_SYNC_ON_FINISH=0'], status='refused'), 'TF_SYNC_ON_FINISH=0')])
def test_bad_input_is_one_line_and_the_rest_is_compared(data, why, write, capsys):
    write('base/good.json', record(entry(steps())))
    bad = write('base/bad.json', data)
    other = write('other.json', record(entry(steps(seed=1))))
    assert compare.main([os.path.dirname(bad), other]) == 0
    captured = capsys.readouterr()
    line, = captured.err.splitlines()
    assert line.startswith(bad + ': ') and why in line
    assert 'other against base' in captured.out
    os.remove(os.path.join(os.path.dirname(bad), 'good.json'))
    assert compare.main([os.path.dirname(bad), other]) == 2    # and nothing is left


def test_a_mix_of_precisions_is_said_and_kept_apart(write, capsys):
    write('mix/a.json', record(entry(steps()), entry(steps(0.05), precision='mixed_float16')))
    other = write('other.json', record(entry(steps())))
    assert compare.main([os.path.dirname(other) + '/mix', other]) == 0
    captured = capsys.readouterr()
    assert 'mix: several precisions, compared separately: float32 | mixed_float16\n' in captured.out
    assert captured.err == ''
    assert 'mix, alexnet lrn Forward tensors batch 32 mixed_float16' in captured.out


def test_a_faster_run_stands_against_the_plain_one_of_its_record(write, capsys):
    plain = entry(steps(), precision='float32', xla=False)
    faster = [entry(steps(0.05), precision='mixed_float16'), entry(steps(0.2), xla=True)]
    both = write('both/a.json', record(plain, *faster))
    assert compare.main([both]) == 0
    captured = capsys.readouterr()
    assert captured.err == ''                            # what was asked for is no alarm
    table = captured.out.split('a against float32\n')[1]
    assert re.search(r'mixed_float16 +0\.1\d* +0\.05\d* +0\.500 .* faster\n', table)
    assert re.search(r'float32, XLA +0\.1\d* +0\.2\d* +2\.000 .* slower\n', table)

    write('apart/plain.json', record(plain))             # another process, another machine perhaps
    write('apart/faster.json', record(*faster))
    assert compare.against_float32(compare.load(os.path.dirname(both))) != []
    assert compare.against_float32(compare.load(os.path.dirname(both) + '/../apart')) == []


def test_jobs_of_several_processes(write, capsys):
    passes = [entry([0.1] * 100, info_string=name) for name in ('Forward', 'Forward-backward')]
    for size, efficiency in ((1, 1), (2, 0.95), (4, 0.8)):
        data = fake_job.job(record(*passes), size, efficiency) if size > 1 else record(*passes)
        path = write('jobs/%d.json' % size, data)
    jobs = os.path.dirname(path)
    assert compare.main([jobs]) == 0
    out = capsys.readouterr().out
    table = re.search(r'jobs: scaling\n(.*?)\n\n', out, re.DOTALL).group(1)
    assert [line.split() for line in table.splitlines()[1:-1]] == [
        ['pass', 'processes', 'images', '/', 's', 'ideal', 'efficiency', 'communication'],
        ['Forward', '1', '320.0', '-', '-', '-'],
        ['Forward', '2', '608.0', '640.0', '95.0', '%', '-'],
        ['Forward', '4', '1024', '1280', '80.0', '%', '-'],
        ['Forward-backward', '1', '320.0', '-', '-', '-'],
        ['Forward-backward', '2', '608.0', '640.0', '95.0', '%', '10.0', '%'],
        ['Forward-backward', '4', '1024', '1280', '80.0', '%', '10.0', '%']]
    assert 'batch 32 float32 4 processes: rank 3 on host1 (GPU X) is a straggler' in out

    assert compare.main([jobs + '/1.json', path]) == 2   # other work
    captured = capsys.readouterr()
    assert '4, alexnet lrn Forward tensors batch 32 float32 4 processes' in captured.out
    assert 'processes 4, not 1' in captured.out
    invalid = fake_job.job(record(entry([0.1] * 100, faults=['nan'])), 8)
    assert compare.scaling(compare.load(write('8.json', invalid)))[0].table[1][-4:] == [
        'INVALID', '-', '-', '-']
    assert compare.scaling(compare.load(jobs + '/1.json')) == []


def test_an_invalid_figure_is_shown_and_never_compared(write, capsys):
    base = write('base.json', record(entry(steps())))
    invalid = write('nan.json', record(entry(steps(0.2), faults=['pool5 is not finite'])))
    assert compare.main([base, invalid] + GATE) == 2
    out = capsys.readouterr().out
    assert re.search(r'INVALID \[1\] +- +- +not compared', out)
    assert '[1] nan, alexnet lrn Forward tensors batch 32 float32: INVALID: pool5 is not' in out
    assert '0.2' not in out.split('Notes')[0]


def test_an_interrupted_pass_was_not_checked(write):
    cut = entry(steps())
    del cut['faults']
    data = dict(record(entry(steps(), info_string='Forward'), dict(cut, info_string='Second')),
                status='interrupted')
    side = compare.load(write('cut.json', data))
    assert [len(figure.faults) for figure in side.figures] == [0, 1]
    assert 'did not finish (interrupted)' in side.problems[0]


def test_the_mark_of_a_warning(write, capsys):
    warned = entry(steps(), warnings=[{'kind': 'drift', 'text': 'the steps have not settled'}])
    assert compare.main([write('a.json', record(warned))]) == 0
    out = capsys.readouterr().out
    assert re.search(r'0\.\d+ \[1\]', out)
    assert '[1] a, alexnet lrn Forward tensors batch 32 float32: the steps have not settled' in out


def test_a_warning_about_the_run_marks_its_figures_once(write, capsys):
    busy = dict(record(entry(steps())), warnings=[{'kind': 'busy', 'text': 'the GPU was busy'}])
    other = dict(busy, results=[entry(steps(seed=1))])
    path = os.path.dirname(write('two/a.json', busy))
    write('two/b.json', other)
    assert compare.main([path]) == 0
    out = capsys.readouterr().out
    assert re.search(r' 0\.1\d* \[1\] ', out) and '[1] [1]' not in out
    assert '[1] two, alexnet lrn Forward tensors batch 32 float32: the GPU was busy' in out


def test_copies_of_a_record_are_no_repeats(write):
    for name in 'abc':
        path = write('copies/%s.json' % name, record(entry(steps())))
    figure, = compare.load(os.path.dirname(path)).figures
    assert figure.faults == ('its 3 records are not repeats: two have identical steps',)


def test_repeats_are_as_uncertain_as_their_processes_differ(write):
    for i, mean_s in enumerate([0.100, 0.104, 0.108]):
        path = write('three/%d.json' % i, record(entry([mean_s] * 100)))
    figure, = compare.load(os.path.dirname(path)).figures
    assert len(figure.records) == 3
    assert figure.mean_s == pytest.approx(0.104)
    half_s = 4.303 * 0.004 / 3 ** 0.5                    # t of 2 degrees of freedom, by hand
    factor = math.exp(half_s / 0.104)
    assert figure.ci95_s == pytest.approx((0.104 / factor, 0.104 * factor))
    os.remove(path)
    figure, = compare.load(os.path.dirname(path)).figures
    assert (len(figure.records), figure.ci95_s) == (2, None)
    row = compare.compare(compare.load('chapter'), [compare.load(os.path.dirname(path))])[0].rows[0]
    assert row.verdict == 'no interval: published without samples'
    one = compare.load(write('one.json', record(entry(steps()))))
    row = compare.compare(one, [compare.load(os.path.dirname(path))])[0].rows[0]
    assert row.verdict == 'no interval: 2 processes, fewer than 3'


def test_records_of_two_machines_are_no_repeats(write):
    write('two/a.json', record(entry(steps())))
    path = write('two/b.json', record(entry(steps()), driver='550.2'))
    figure, = compare.load(os.path.dirname(path)).figures
    assert figure.faults == ('its 2 records are not repeats: they differ in driver',)


def test_what_differs_between_the_machines_is_said(write, capsys):
    a = write('a.json', record(entry(steps()), variables={'TF_A': '1'}))
    b = write('b.json', record(entry(steps()), driver='550.2'))
    assert compare.main([a, b]) == 0
    out = capsys.readouterr().out
    assert 'differs: driver: 535.1 | 550.2' in out
    assert 'differs: TF_A: 1 | (not set)' in out
    assert 'differs: tensorflow' not in out


def test_one_record_stands_beside_the_references_of_its_work(write, capsys):
    mine = write('mine.json', record(entry(steps(0.013))))
    assert compare.main([mine]) == 0
    out = capsys.readouterr().out
    assert 'chapter against mine' in out
    assert re.search(r'0\.0130\d* +0\.026 +(2\.0|1\.9)\d+ +- +no interval: published without', out)
    apart = out.split('Not the same work')[1]
    assert 'chapter, alexnet no_lrn Forward' in apart
    assert 'about 0.007 s / batch: variant no_lrn, not lrn' in apart
    assert 'soumith (GeForce GTX Titan X (Maxwell)), alexnet no_lrn_fc' in apart
    assert 'batch 128, not 32' in apart
    assert 'vgg16' not in out


def test_references_against_each_other(capsys):
    assert compare.main(['chapter', 'anosy']) == 0
    out = capsys.readouterr().out
    assert re.search(r'vgg16 +D +Forward-backward +0\.617 +0\.444 +0\.720', out)
    assert '160 channels' in out.split('Not the same work')[1]
    assert compare.main(['tensorflow_guide']) == 0       # in images / s, as it was published
    assert '91.8 ' not in capsys.readouterr().out.split('Not the same work')[1]
    assert compare.main(['chapter', 'anosy'] + GATE) == 2


def test_markdown_is_in_the_order_of_the_chapter(write, capsys):
    path = None
    for name, variant in (('vgg16', 'D'), ('alexnet', 'lrn'), ('resnet_v2', '152'),
                          ('resnet_v2', '50'), ('inception_v3', 'aux')):
        results = [entry(steps(), fetch=fetch, info_string=one)
                   for fetch in ('ops', 'tensors') for one in ('Forward-backward', 'Forward')]
        path = write('all/%s_%s.json' % (name, variant),
                     dict(record(*results), benchmark=name, variant=variant))
    folder = os.path.dirname(path)
    assert compare.main([folder, folder, '--markdown']) == 0
    out = capsys.readouterr().out
    rows = [line.split(' | ')[:4] for line in out.splitlines() if line.startswith('| ')][2:]
    assert [row[0][2:] + ' ' + row[1] for row in rows[::4]] == [
        'alexnet lrn', 'vgg16 D', 'inception_v3 aux', 'resnet_v2 152', 'resnet_v2 50']
    assert [row[2:] for row in rows[:4]] == [
        ['Forward', 'tensors'], ['Forward', 'ops'],
        ['Forward-backward', 'tensors'], ['Forward-backward', 'ops']]
    assert 's / batch | ratio | 95 % interval | verdict |' in out


def test_the_table_of_the_readme(write, tmp_path):
    chapter_alone = results_table(str(tmp_path / 'none'))
    assert '| alexnet | no_lrn | Forward | about 0.007 |' in chapter_alone
    assert '| vgg16 | D | Forward-backward | 0.617 +/- 0.002 |' in chapter_alone
    assert 'not measured' not in chapter_alone
    assert len([line for line in chapter_alone.splitlines() if line.startswith('|')]) == 2 + 8

    write('gpu/a.json', dict(record(entry([0.1] * 100, info_string='Forward-backward'),
                                    entry([0.01] * 100), entry([9] * 100, batch_size=16)),
                             benchmark='inception_v3', variant='aux'))
    write('cpu/a.json', record(entry([7] * 100), device='CPU Y', kind='cpu'))
    table = results_table(str(tmp_path))
    assert 'GPU X, TensorFlow 1.15.0 (results/gpu), s / batch |' in table
    assert '| inception_v3 | aux | Forward | 0.145 +/- 0.000 | 0.01000 +/- 0.00000 |' in table
    assert '| inception_v3 | aux | Forward-backward | not measured | 0.1000 +/- 0.0000 |' in table
    assert '| vgg16 | D | Forward | 0.152 +/- 0.002 | not measured |' in table
    assert 'CPU Y' not in table and '9.000' not in table


@pytest.mark.parametrize('argv', [
    [], ['chapter'] + GATE,
    ['chapter', 'anosy', '--fail-if-slower', '-1'], ['chapter', 'anosy', '--fail-if-slower', 'nan'],
    ['no_such_thing'], ['--no_such_flag']])
def test_bad_usage(argv, capsys):
    assert compare.main(argv) == 2
    assert capsys.readouterr().err


def test_help_says_what_the_names_are(capsys):
    assert compare.main(['--help']) == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert compare.NO_DIFFERENCE in out and ', '.join(compare.reference_names()) in out


def test_neither_tensorflow_nor_matplotlib_is_imported():
    code = ('from suite import compare; import sys; code = compare.main(["chapter", "anosy"]); '
            'sys.exit(code or any(name.startswith(("tensorflow", "tf_slim", "matplotlib")) '
            'or name == "common.tf1" for name in sys.modules))')
    assert subprocess.run([sys.executable, '-c', code], cwd=ROOT,
                          stdout=subprocess.DEVNULL).returncode == 0


def test_the_gate_judges_the_rows_with_an_interval():
    def row(interval):
        return pairs.Row(None, None, 1.0, interval, '')

    slow, undecided, none = row((1.06, 1.2)), row((1.0, 1.2)), row(None)
    assert gate.too_slow([slow, undecided, none], 5) == [slow]
    assert gate.judge([slow, undecided, none], 5) == (1, (
        '--fail-if-slower 5: 2 of 3 rows have an interval; in 1 the whole interval is above +5 %'))
    assert gate.judge([slow, none], 6)[0] == 0           # above, not at
    assert gate.judge([none], 5) == (2, '--fail-if-slower: no ratio has an interval.')
