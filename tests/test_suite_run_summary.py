"""suite run: the table and the notes at the end."""
import os

import pytest

from common import networks
from suite.run import command, execute, plan, summary

CAUTION = {'kind': 'drift', 'text': 'x'}


def planned(*flags):
    return plan.make(command.argument_parser().parse_args(flags), 'gpu').runs


def completed(benchmark, variant, fetch='tensors', batch_size=32, is_sweep=False,
              status='finished', **entry):
    results = [dict({'info_string': name, 'fetch': fetch, 'batch_size': batch_size,
                     'precision': 'float32', 'mean_s': 0.5, 'sd_s': 0.25, 'peak_bytes': 1,
                     'warnings': [], 'faults': []}, **entry) for name in networks.PASSES]
    options = {'fetch': fetch, 'batch_size': batch_size, 'device': 'gpu'}
    return execute.CompletedRun(plan.Run(benchmark, variant, options, 1, is_sweep),
                                {'status': status, 'faults': [], 'results': results}, 0)


@pytest.fixture
def figures():
    same = {'fetch': 'tensors', 'batch_size': 32, 'precision': 'float32'}
    return [dict(same, benchmark='alexnet', variant='lrn', info_string='Forward-backward',
                 mean_s=0.111, sd_s=0.002),
            dict(same, benchmark='alexnet', variant='no_lrn', info_string='Forward', mean_s=0.009,
                 sd_s=None),
            dict(same, benchmark='vgg16', variant='D', info_string='Forward', images_per_s=9)]


def test_the_chapters_figures_stand_beside_the_same_work_only(figures):
    same = [completed('alexnet', 'lrn'), completed('alexnet', 'no_lrn')]
    others = [completed('alexnet', 'lrn', fetch='ops'), completed('alexnet', 'lrn', batch_size=16),
              completed('alexnet', 'lrn_fc'), completed('vgg16', 'D')]
    heading, *lines = summary.table(same + others, figures)
    assert heading.endswith('chapter, s / batch')
    assert [line[heading.index('chapter'):].strip() for line in lines] \
        == ['', '0.111 +/- 0.002', 'about 0.009', ''] + [''] * 8
    assert 'chapter' not in summary.table(others, figures)[0]
    assert 'chapter' not in summary.table(same, [])[0]


def test_the_float32_baseline_is_not_in_the_table(figures):
    run, = planned('--only', 'alexnet', '--precision', 'mixed', '--xla')
    same = completed('alexnet', 'lrn').record['results']
    faster = [dict(entry, mean_s=0.25, precision='mixed_float16', xla=True) for entry in same]
    record = {'status': 'finished', 'faults': [], 'results': same + faster}
    heading, *lines = summary.table([execute.CompletedRun(run, record, 0)], figures)
    assert [line.split()[2:6] for line in lines] == [
        ['Forward', 'tensors', 'mixed_float16,', 'XLA'],
        ['Forward-backward', 'tensors', 'mixed_float16,', 'XLA']]
    assert all('250.000 +/-' in line for line in lines)
    assert 'precision' in heading and 'chapter' not in heading
    assert completed('alexnet', 'lrn', xla=True).passes == []    # not asked for in this run


def test_the_columns_are_aligned():
    lines = summary.table([completed('vgg16', 'D', 'ops'),
                           completed('vgg16', 'A-LRN', 'ops', 256)], [])
    assert [line.replace('  outcome', '') for line in lines] == [
        'network  variant  pass              fetch  batch           ms / batch  images / s',
        'vgg16    D        Forward           ops       32  500.000 +/- 250.000        64.0  ok',
        'vgg16    D        Forward-backward  ops       32  500.000 +/- 250.000        64.0  ok',
        'vgg16    A-LRN    Forward           ops      256  500.000 +/- 250.000       512.0  ok',
        'vgg16    A-LRN    Forward-backward  ops      256  500.000 +/- 250.000       512.0  ok']


def test_no_run_no_table():
    assert summary.table([], []) == summary.notes([]) == []


@pytest.mark.parametrize('entry, word, code', [
    ({}, 'ok', 0), ({'warnings': [CAUTION]}, '1 caution', 0),
    ({'warnings': [CAUTION] * 2}, '2 cautions', 0),
    ({'warnings': [CAUTION], 'faults': ['y']}, 'INVALID', 1)])
def test_outcomes(entry, word, code):
    one = completed('alexnet', 'lrn', **entry)
    assert [row['outcome'] for row in summary.rows(one, [])] == [word] * 2
    assert one.exit_code == code


def test_a_refused_run():
    record = {'status': 'refused', 'faults': ['z'], 'results': []}
    one = execute.CompletedRun(completed('alexnet', 'lrn').run, record, 1)
    assert (one.word, one.exit_code) == ('INVALID', 1)
    row, = summary.rows(one, [])
    assert (row['pass'], row['outcome']) == ('Forward', 'INVALID')


def test_the_peak_memory_of_a_sweep_may_be_unknown():
    sweep = [completed('alexnet', 'lrn', batch_size=1, is_sweep=True, peak_bytes=5000000),
             completed('alexnet', 'lrn', batch_size=2, is_sweep=True, peak_bytes=None)]
    heading, *lines = summary.table(sweep, [])
    end = heading.index('peak MB') + len('peak MB')
    assert [line[:end].split()[-1] for line in lines] == ['5', '5', 'unknown', 'unknown']


def test_a_run_that_ended_after_its_last_pass():
    one = completed('alexnet', 'lrn', status='interrupted')
    assert [row.get('pass') for row in summary.rows(one, [])] == list(networks.PASSES) + [None]
    assert summary.table([one], [])[-1].endswith('interrupted')


def test_the_file_of_the_chapters_figures_fits():
    if not os.path.exists(summary.CHAPTER):
        pytest.skip('no references/chapter.json')
    figures = summary.chapter_figures()
    runs = {(run.benchmark, run.variant) for run in planned('--variants')}
    assert figures
    assert all((figure['benchmark'], figure['variant']) in runs for figure in figures)
    beside = [summary.chapter_text(run, {'info_string': name, 'fetch': 'tensors', 'batch_size': 32,
                                         'precision': 'float32'}, figures)
              for run in planned('--variants') for name in networks.PASSES]
    assert len(list(filter(None, beside))) == len(figures)


def test_a_damaged_file_of_the_chapters_figures(tmp_path, monkeypatch):
    path = tmp_path / 'chapter.json'
    monkeypatch.setattr(summary, 'CHAPTER', str(path))
    for text in '{"figures": 1, "source": 2}', '{"schema": 9, "benchmark": 1, "results": 2}', '':
        path.write_text(text)
        assert summary.chapter_figures() == []
