"""compare.py: planted differences are found, noise is not, unequal work never stands together."""
import csv
import json
import math
import os
import re
import stat
import subprocess
import sys

import fake_job
import numpy as np
import pytest

from suite import blocks, compare, docs, pairs
from suite.figures import Figure, combined, load, reference_names, short_names
from suite.run import command, plan

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
with open(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
    RECORD = json.load(file)
RECORD['network']['layers'] = RECORD['network']['layers'][:1]    # checking them takes the time
REFERENCE = {'source': 'x', 'year': 1, 'hardware': 'x', 'software': 'x', 'figures': [1]}
FIGURE = {'benchmark': 'alexnet', 'variant': 'lrn', 'info_string': 'Forward', 'fetch': 'tensors',
          'batch_size': 32, 'precision': 'float32', 'mean_s': 1, 'about': False, 'differs': []}
GATE = ['--fail-if-slower', '5']


def steps(mean_s=0.1, sd=0.001, seed=0):
    """A hundred durations with a relative standard deviation of `sd`."""
    random = np.random.default_rng(seed)
    return [mean_s * (1 + sd * random.standard_normal()) for _ in range(100)]


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
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(data if isinstance(data, str) else json.dumps(data))
        return str(path)
    return write_file


@pytest.fixture
def repeats(write):
    """A function that writes a record for each mean to the folder NAME and returns its path."""
    def write_folder(name, means_s, seed=0, **changes):
        for i, mean_s in enumerate(means_s):
            path = write('%s/%d.json' % (name, i), record(entry(
                steps(mean_s, seed=100 * seed + i), **changes)))
        return os.path.dirname(path)
    return write_folder


@pytest.mark.parametrize('factor, verdict', [(1.1, 'slower'), (0.9, 'faster')])
def test_ten_percent_are_seen_in_tight_samples(factor, verdict, repeats):
    means = [0.0999, 0.1, 0.1001]
    paths = [repeats('base', means, 1), repeats('other', [factor * mean_s for mean_s in means], 2)]
    row, = pairs.compare(load(paths[0]), [load(paths[1])])[0].rows
    assert row.verdict == verdict
    assert row.interval[0] < factor < row.interval[1]


@pytest.mark.parametrize('change, why', [
    ({'batch_size': 16}, 'batch 16, not 32'), ({'precision': 'tf32'}, 'precision tf32, not'),
    ({'fetch': 'ops'}, 'fetch ops, not tensors'), ({'xla': True}, 'precision float32, XLA, not'),
    ({'info_string': 'Forward-backward'}, 'pass Forward-backward, not Forward')])
def test_unequal_work_is_not_compared(change, why, write, capsys):
    base = write('base.json', record(entry(steps())))
    other = write('other.json', record(entry(steps(), **change)))
    assert compare.main([base, other] + GATE) == 2
    captured = capsys.readouterr()
    assert 'other, alexnet lrn' in captured.out and why in ' '.join(captured.out.split())
    assert 'other against base' not in captured.out
    assert 'No workload has valid figures on both sides' in captured.err


@pytest.mark.parametrize('data, why', [
    ('', 'not JSON'), ('[1, 2]', 'not a record of these benchmarks'),
    (dict(record(), schema=0), 'schema 0, and 1 is read here'),
    (record({'fetch': 'ops'}), 'damaged: results[0] must contain'),
    (dict(REFERENCE, figures=[FIGURE]), 'published figures among records'),
    (dict(record(), faults=['TF_SYNC_ON_FINISH=0'], status='refused'), 'TF_SYNC_ON_FINISH=0')])
def test_bad_input_is_one_line_and_the_rest_is_compared(data, why, write, capsys):
    """tests/test_records.py has the other sentences."""
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
    table = captured.out.split('a against float32, ms / batch')[1]
    assert re.search(r' mixed_float16 +100\.\d +50\.\d+ +-50 % +one process', table)
    assert re.search(r' float32, XLA +100\.\d +200\.\d+ +\+100 % +one process', table)

    write('apart/plain.json', record(plain))             # another process, another machine perhaps
    write('apart/faster.json', record(*faster))
    assert len(pairs.against_float32(load(os.path.dirname(both))).rows) == 2
    assert pairs.against_float32(load(os.path.dirname(both) + '/../apart')).rows == []


def test_jobs_of_several_processes(write, capsys):
    passes = [entry([0.1] * 100, info_string=name) for name in ('Forward', 'Forward-backward')]
    for size, efficiency in ((1, 1), (2, 0.95), (4, 0.8)):
        data = fake_job.job(record(*passes), size, efficiency) if size > 1 else record(*passes)
        path = write('jobs/%d.json' % size, data)
    jobs = os.path.dirname(path)
    assert compare.main([jobs]) == 0
    out = capsys.readouterr().out
    table = re.search(r'jobs: scaling\n(.*?)\n\n', out, re.DOTALL).group(1)
    head, *rows = table.split('  ideal: ')[0].splitlines()[1:]
    assert head.split() == ['images', '/', 's', 'ideal', 'efficiency', 'communication']
    assert [re.split(' {2,}', line.strip()) for line in rows] == [
        ['Forward', '320.0', '-', '-', '-'],
        ['Forward 2 processes', '608.0', '640.0', '95.0 %', '-'],
        ['Forward 4 processes', '1024', '1280', '80.0 %', '-'],
        ['Forward-backward', '320.0', '-', '-', '-'],
        ['Forward-backward 2 processes', '608.0', '640.0', '95.0 %', '10.0 %'],
        ['Forward-backward 4 processes', '1024', '1280', '80.0 %', '10.0 %']]
    assert compare.main([jobs, '--details']) == 0
    out = capsys.readouterr().out
    assert ('batch 32 float32 4 processes: rank 3 on host1 (GPU X) is a straggler'
            in ' '.join(out.split()))

    assert compare.main([jobs + '/1.json', path]) == 2   # other work
    captured = capsys.readouterr()
    assert '4, alexnet lrn Forward tensors batch 32 float32 4 processes' in captured.out
    assert 'processes 4, not 1' in captured.out
    invalid = fake_job.job(record(entry([0.1] * 100, faults=['nan'])), 8)
    assert blocks.scaling(load(write('8.json', invalid)))[0].table[1][-4:] == [
        'INVALID', '-', '-', '-']
    assert blocks.scaling(load(jobs + '/1.json')) == []


BUSY = {'kind': 'busy', 'text': 'the GPU was busy'}
NAME = ', alexnet lrn Forward tensors batch 32 float32: '


def test_an_invalid_figure_is_shown_and_never_compared(write, capsys):
    base = write('base.json', record(entry(steps())))
    invalid = write('nan.json', record(entry(steps(0.2), faults=['pool5 is not finite'])))
    assert compare.main([base, invalid] + GATE) == 2
    out = capsys.readouterr().out
    assert re.search(r'Forward +100\.\d+ +INVALID +- +UNDECIDED\n', out)
    assert '  nan' + NAME + 'INVALID: pool5 is not' in out
    assert '200' not in out.split('Notes')[0]


def test_a_warning_about_a_pass_or_the_run_marks_its_figures_once(write, capsys):
    for name, data in (('a', record(entry(steps(), warnings=[BUSY]))),
                       ('b', dict(record(entry(steps(seed=1))), warnings=[BUSY]))):
        path = os.path.dirname(write('two/%s.json' % name, data))
    assert compare.main([path]) == 0
    out = capsys.readouterr().out
    assert re.search(r' \d+\.\d+ \* ', out) and '* *' not in out
    assert out.count('* two' + NAME + 'the GPU was busy') == 1


def test_copies_of_a_record_are_no_repeats(write):
    for name in 'abc':
        path = write('copies/%s.json' % name, record(entry(steps())))
    figure, = load(os.path.dirname(path)).figures
    assert figure.faults == ('its 3 records are not repeats: two have identical steps',)


def test_repeats_are_as_uncertain_as_their_processes_differ(write):
    for i, mean_s in enumerate([0.100, 0.104, 0.108]):
        path = write('three/%d.json' % i, record(entry([mean_s] * 100)))
    figure, = load(os.path.dirname(path)).figures
    assert len(figure.records) == 3
    assert figure.mean_s == pytest.approx(0.104)
    half_s = 4.303 * 0.004 / 3 ** 0.5                    # t of 2 degrees of freedom, by hand
    factor = math.exp(half_s / 0.104)
    assert figure.ci95_s == pytest.approx((0.104 / factor, 0.104 * factor))
    os.remove(path)
    figure, = load(os.path.dirname(path)).figures
    assert (len(figure.records), figure.ci95_s) == (2, None)


def test_an_interrupted_pass_is_called_so(write, capsys):
    cut = entry(steps())
    del cut['faults']
    for i in range(3):
        write('runs/%d.json' % i, record(entry(steps(seed=i))))
    path = write('runs/3.json', dict(record(cut), status='interrupted'))
    figure, = load(os.path.dirname(path)).figures
    assert len(figure.records) == 3 and not figure.faults        # it does not spoil the others
    log = write('runs/3.log', 'what it printed')
    assert compare.main([os.path.dirname(path)]) == 0
    captured = capsys.readouterr()
    assert captured.err == path + ': the run did not finish (interrupted), see %s\n' % log
    assert '; did not finish: 3 (interrupted)\n' in captured.out.replace('\n    ', ' ')
    assert compare.main([path]) == 0
    out = capsys.readouterr().out
    assert 'interrupted' in out and 'INVALID' not in out


def test_folders_in_folders_and_files_that_are_no_records(write, capsys):
    write('deep/a/b/1.json', record(entry(steps())))
    write('deep/c/1.json', record(entry(steps(seed=1))))
    for name in 'xyz':
        write('deep/%s.json' % name, {'figures': []})
    path = write('deep/.hidden/1.json', record(entry(steps(seed=2))))
    deep = os.path.dirname(os.path.dirname(path))
    assert compare.main([deep]) == 0
    assert capsys.readouterr().err == (
        deep + ': 3 files are not records of these benchmarks: x, y, z\n')
    assert load(deep).figures[0].records == ('a/b/1', 'c/1')


def test_three_processes_against_three_equal_ones_rarely_get_a_verdict():
    """The means of processes scatter by 3 %, as measured: at most 5 % of the verdicts are false."""
    random, verdicts = np.random.RandomState(0), 0
    for means_s in 1 + 0.03 * random.standard_normal((2000, 6)):
        base, other = (combined([Figure(None, mean_s, (mean_s, mean_s), None, (str(mean_s),))
                                 for mean_s in side]) for side in (means_s[:3], means_s[3:]))
        verdicts += pairs.row(base, other).verdict in ('faster', 'slower')
    assert 0 < verdicts <= 0.05 * 2000


@pytest.mark.slow
def test_no_line_is_wider_than_a_terminal(capsys):
    results = os.path.join(ROOT, 'results', 'cpu-2-cores')
    for argv in (['chapter', results],
                 [results, results + '-2-processes', '--details'] + GATE,
                 *([name, '--details'] for name in reference_names())):
        compare.main(argv)
        assert max(map(len, capsys.readouterr().out.splitlines())) <= 100


def test_notes_are_ten_and_grouped(write, capsys):
    texts = ['a%s: %d %% of the steps' % (chr(97 + i % 12) * 3, i) for i in range(24)]
    for i in range(24):
        path = write('many/%d.json' % i, record(entry(
            steps(seed=i), batch_size=i + 1, warnings=[{'kind': 'x', 'text': texts[i]}])))
    assert compare.main([os.path.dirname(path)]) == 0
    notes = ' '.join(capsys.readouterr().out.split('Notes\n')[1].split()).split('* ')[1:]
    assert len(notes) == 9 and notes[8].endswith(' and 3 more: --details')
    assert notes[0] == ('many, 2 passes, such as alexnet lrn Forward tensors batch 1 float32: '
                        'aaaa: 0 % of the steps ')
    assert compare.main([os.path.dirname(path), '--details']) == 0
    assert capsys.readouterr().out.count('* many, alexnet') == 24


@pytest.mark.parametrize('paths, names', [
    (['before', 'after'], ['before', 'after']),
    (['driver-535/gpu', 'driver-550/gpu'], ['driver-535', 'driver-550']),
    (['old/a/gpu/lrn.json', 'new/a/gpu/lrn.json', 'base.json'], ['old', 'new', 'base']),
    (['a/x/gpu', 'a/y/gpu', 'b/x/gpu'], ['a/x/gpu', 'a/y/gpu', 'b/x/gpu']),
    (['old/chapter', 'chapter'], ['old/chapter', 'chapter']),
    (['gpu', 'gpu'], ['gpu (1)', 'gpu (2)'])])
def test_the_shortest_names_that_tell_results_apart(paths, names):
    assert short_names(paths) == names


def test_names_that_are_cut_stay_apart(write, capsys):
    long = 'driver-%d-of-the-machine-below-the-stairs'
    paths = [os.path.dirname(write((long + '/a.json') % i, record(entry(steps())))) for i in (5, 6)]
    assert compare.main(paths) == 0
    assert re.search(r' driver-5-of-\.\.  driver-6-of-\.\.  time', capsys.readouterr().out)


def test_csv_has_a_row_for_each_pass(write, tmp_path):
    path = write('a.json', record(entry([0.1, 0.3]), entry(
        [0.2] * 30, info_string='Forward-backward',
        warnings=[{'kind': 'throttled', 'text': 'a, "b"'}])))
    assert compare.main([path, 'chapter', '--csv', str(tmp_path / 'all.csv')]) == 0
    with open(str(tmp_path / 'all.csv'), newline='') as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 + len(load('chapter').figures) + 2         # and two ratios
    assert [(row['source'], row['base'], row['pass'], float(row['time_ratio']), row['outcome'])
            for row in rows[-2:]] == [
        ('a', 'chapter', 'Forward', pytest.approx(0.2 / 0.026), 'published: no verdict'),
        ('a', 'chapter', 'Forward-backward', pytest.approx(0.2 / 0.078),
         'published: no verdict')]
    assert all(re.fullmatch('[a-z0-9_]+', heading) for heading in rows[0])
    first, second, third = rows[:3]
    assert (first['source'], first['pass'], first['batch'], first['outcome']) == (
        'a', 'Forward', '32', 'ok')
    assert [float(first[key]) for key in ('n', 'mean_s', 'min_s', 'images_per_s')] == pytest.approx(
        [2, 0.2, 0.1, 160])
    assert first['ci95_low_s'] == '' and float(second['ci95_low_s']) == pytest.approx(0.2)
    assert (second['cautions'], second['outcome']) == ('a, "b"', '1 caution')
    assert first['driver'] == '535.1' and first['threads'] == 'as TensorFlow chooses'
    assert [third[key] for key in ('source', 'outcome', 'mean_s', 'device', 'date')] == [
        'chapter', 'published', '0.026', 'GeForce GTX 1080', '2016']


def test_nothing_is_replaced_by_a_command_that_fails(write, tmp_path, capsys):
    good, path = tmp_path / 'r.csv', write('a.json', record(entry([0.1, 0.3])))
    good.write_text('good')
    for words in [['befroe', path], [path, 'befroe'], [path, path, 'befroe']]:
        assert compare.main([*words, '--csv', str(good), '--html', str(tmp_path / 'r.html')]) == 2
    assert good.read_text() == 'good' and not (tmp_path / 'r.html').exists()


def test_texts_of_a_record_are_no_formula_and_no_html(write, tmp_path, capsys):
    data = record(entry([0.1, 0.3]))
    data['environment']['tensorflow'] = '=1+1'
    data['environment']['device']['name'] = '<script>'
    path = write('a.json', data)
    assert compare.main([path, 'chapter', '--markdown', '--csv', str(tmp_path / 'all.csv')]) == 0
    assert '<script>' not in capsys.readouterr().out
    with open(str(tmp_path / 'all.csv'), newline='') as file:
        assert next(csv.DictReader(file))['tensorflow'] == "'=1+1"


def test_one_record_stands_beside_the_references_of_its_work(write, capsys):
    mine = write('mine.json', record(entry(steps(0.013))))
    assert compare.main([mine]) == 0
    out = capsys.readouterr().out
    assert out.startswith('mine against chapter, ms / batch\n')
    assert re.search(r" 26 +13\.0\d +2\.0 times as fast as the chapter's GTX 1080\n", out)
    assert out.index('\nmine\n') > 0                     # its own figures behind it
    assert 'published figures of these networks measure other workloads: --details' in out
    assert compare.main([mine, '--details']) == 0
    out = capsys.readouterr().out
    apart = ' '.join(out.split('Not the same workload')[1].split())
    assert 'chapter, alexnet no_lrn Forward' in apart
    assert 'about 0.007 s / batch: variant no_lrn, not lrn' in apart
    assert 'soumith (GeForce GTX Titan X (Maxwell)), alexnet no_lrn_fc' in apart
    assert 'batch 128, not 32' in apart
    assert 'vgg16' not in out


@pytest.mark.parametrize('order', [['slow', 'chapter'], ['chapter', 'slow'], ['slow']])
def test_the_chapter_comes_first(order, write, capsys):
    slow = write('slow.json', record(entry(steps(0.78)), entry(
        steps(0.5), info_string='Forward-backward')))
    assert compare.main([slow if name == 'slow' else name for name in order]) == 0
    out = capsys.readouterr().out
    assert re.search(r'\n +chapter +slow +speed\n', out)
    assert re.search(r"  Forward +26 +7\d\d\.\d +0\.033 times as fast as the chapter's GTX", out)
    if len(order) > 1:
        assert compare.main([slow if name == 'slow' else name for name in order] + GATE) == 4
        out = ' '.join(capsys.readouterr().out.split())
        assert 'float32: 0.033 times as fast; published: no verdict' in out


def test_references_against_each_other(capsys):
    assert compare.main(['chapter', 'anosy']) == 0
    out = capsys.readouterr().out
    assert re.search(r'\n  vgg16 D Forward-backward +617 +444 +1\.39 times as fast', out)
    assert '160 channels' in ' '.join(out.split('Not the same workload')[1].split())
    assert compare.main(['tensorflow_guide']) == 0       # in images / s, as it was published
    assert '91.8 ' not in capsys.readouterr().out.split('Not the same workload')[1]
    assert compare.main(['chapter', 'anosy'] + GATE) == 4


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
    assert '**all (2) against all (1), ms / batch and the change of the time** batch 32 fl' in out
    rows = [line.split(' | ')[0][2:] for line in out.splitlines() if line.startswith('| ')]
    assert rows[2:22] == [
        '%s %s %s' % (network, name, fetch) for network in (
            'alexnet lrn', 'vgg16 D', 'inception_v3 aux', 'resnet_v2 152', 'resnet_v2 50')
        for name in ('Forward', 'Forward-backward') for fetch in ('tensors', 'ops')]


def test_a_run_on_a_gpu_fills_its_column_of_the_readme(write, tmp_path):
    """The records that `python -m suite run` writes there: AlexNet without LRN is one of them.
    CPU records, other batch sizes and folders for another purpose have no column."""
    assert docs.chapter_table(results='none').splitlines()[:3] == [
        '| network | variant | pass | GTX 1080 in the chapter, 2016, s / batch |',
        '| --- | --- | --- | --- |', '| alexnet | lrn | Forward | 0.026 +/- 0.000 |']
    runs = plan.make(command.argument_parser().parse_args(['--fetch', 'tensors']), 'gpu')
    for i, run in enumerate(runs):
        write('h100/%s.json' % run.name, dict(
            record(entry([0.001 * (i + 1)] * 100),
                   entry([0.003 * (i + 1)] * 100, info_string='Forward-backward'),
                   device='NVIDIA H100', tensorflow='2.21.0'),
            benchmark=run.benchmark, variant=run.variant))
    write('cpu/a.json', record(entry([7] * 100), device='CPU Y', kind='cpu'))
    for name in 'h100/profile/a.json', 'h100/sweep/alexnet-lrn-tensors-b32.json':
        write(name, record(entry([9] * 100), device='NVIDIA H100'))    # for another purpose
    heading, _, *rows = docs.chapter_table(results=str(tmp_path)).split('\n\n')[0].splitlines()
    assert heading == ('| network | variant | pass | GTX 1080 in the chapter, 2016, s / batch | '
                       'NVIDIA H100, TensorFlow 2.21.0 (results/h100), s / batch |')
    assert rows == [
        '| alexnet | lrn | Forward | 0.026 +/- 0.000 | 0.001000 +/- 0.000000 |',
        '| alexnet | lrn | Forward-backward | 0.078 +/- 0.000 | 0.003000 +/- 0.000000 |',
        '| alexnet | no_lrn | Forward | about 0.007 | 0.002000 +/- 0.000000 |',
        '| alexnet | no_lrn | Forward-backward | about 0.025 | 0.006000 +/- 0.000000 |',
        '| vgg16 | D | Forward | 0.152 +/- 0.002 | 0.003000 +/- 0.000000 |',
        '| vgg16 | D | Forward-backward | 0.617 +/- 0.002 | 0.009000 +/- 0.000000 |',
        '| inception_v3 | aux | Forward | 0.145 +/- 0.000 | 0.004000 +/- 0.000000 |',
        '| inception_v3 | aux | Forward-backward | not measured | 0.01200 +/- 0.00000 |',
        '| resnet_v2 | 152 | Forward | 0.203 +/- 0.000 | 0.005000 +/- 0.000000 |',
        '| resnet_v2 | 152 | Forward-backward | not measured | 0.01500 +/- 0.00000 |']


@pytest.mark.parametrize('argv, sentence', [
    ([], 'the following arguments are required: A'), (['--no_such_flag'], 'required: A'),
    (['chapter'] + GATE, '--fail-if-slower needs two or more results'),
    (['chapter', 'anosy', '--fail-if-slower', '-1'], '-1 is not a percentage of at least 0'),
    (['chapter', 'anosy', '--fail-if-slower', 'nan'], 'nan is not a percentage of at least 0'),
    (['a.json', './a.json'] + GATE, 'a.json is named twice, and would always pass'),
    (['no_such_thing'], 'no_such_thing: no such file, folder or reference (references: anosy, '),
    (['empty'], 'empty: a folder without records (*.json)'),
    (['a.json', '--csv', 'a.json'], "argument --csv: 'a.json' would be taken for a record"),
    (['a.json', '--csv', 'no/a.csv'], "argument --csv: cannot write 'no/a.csv': "),
    (['a.json', '--csv', 'same', '--html', 'same'], 'argument --csv: it is the file of --html'),
    (['a.json', '--html', 'pipe'], "argument --html: cannot write 'pipe': it is a device or a p"),
    (['a.json', '--csv', 'pipe'], "argument --csv: cannot write 'pipe': it is a device or a pipe")])
def test_bad_usage(argv, sentence, write, tmp_path, monkeypatch, capsys):
    write('a.json', record(entry([0.1, 0.3])))
    monkeypatch.chdir(tmp_path)
    os.mkfifo('pipe')
    os.mkdir('empty')
    assert compare.main(argv) == 2
    assert sentence in capsys.readouterr().err
    assert stat.S_ISFIFO(os.stat('pipe').st_mode)        # it was not replaced


def test_help_says_what_the_names_are(capsys):
    assert compare.main(['--help']) == 0
    out = ' '.join(capsys.readouterr().out.split())
    assert pairs.NO_DIFFERENCE in out and ', '.join(reference_names()) in out


def test_a_crash_ends_with_no_code_of_the_gate(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        'from suite import blocks\nblocks.of = lambda *_: 1 / 0\n')
    done = subprocess.run([sys.executable, '-m', 'suite', 'compare', 'chapter', 'anosy'] + GATE,
                          cwd=ROOT, text=True, capture_output=True,
                          env=dict(os.environ, PYTHONPATH='%s:%s' % (tmp_path, ROOT)))
    assert done.returncode == 3 and 'ZeroDivisionError' in done.stderr
