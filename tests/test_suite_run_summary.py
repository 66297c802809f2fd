"""suite run: the table and the notes at the end."""
import json
import os
import re

import pytest

from common import chapter, networks, report
from suite.run import command, execute, plan, summary

CAUTION = {'kind': 'drift', 'text': 'x'}


def planned(*flags):
    return plan.make(command.argument_parser().parse_args(['--fetch', 'tensors', *flags]), 'gpu')


def completed(benchmark, variant, fetch='tensors', batch_size=32, is_sweep=False,
              status='finished', **entry):
    results = [dict({'info_string': name, 'fetch': fetch, 'batch_size': batch_size,
                     'precision': 'float32', 'mean_s': 0.5, 'flops_per_s': 1.23e11,
                     'statistics': {'ci95_s': [0.47, 0.53]}, 'peak_bytes': 5000000,
                     'warnings': [], 'faults': []}, **entry) for name in networks.PASSES]
    options = {'fetch': fetch, 'batch_size': batch_size, 'device': 'gpu'}
    return execute.CompletedRun(plan.PlannedRun(benchmark, variant, options, 1, is_sweep),
                                {'benchmark': benchmark, 'variant': variant, 'status': status,
                                 'faults': [], 'results': results}, 0)


@pytest.fixture
def figures(monkeypatch):
    """In the place of the chapter's."""
    same = {'fetch': 'tensors', 'batch_size': 32, 'precision': 'float32', 'about': False}
    monkeypatch.setattr(chapter, 'figures', lambda: [
        dict(same, benchmark='alexnet', variant='lrn', info_string='Forward-backward', mean_s=1.25),
        dict(same, benchmark='alexnet', variant='no_lrn', info_string='Forward', mean_s=0.25,
             about=True)])


def test_the_chapter_stands_beside_the_same_work_only(figures):
    same = [completed('alexnet', 'lrn'), completed('alexnet', 'no_lrn')]
    others = [completed('alexnet', 'lrn', fetch='ops'), completed('alexnet', 'lrn', batch_size=16),
              completed('alexnet', 'lrn_fc'), completed('vgg16', 'D')]
    heading, *lines = summary.table(same + others)
    assert heading.endswith("vs the chapter's GTX 1080")
    assert [line[heading.index('vs the'):].strip() for line in lines] \
        == ['', '2.5 times as fast', 'about 0.50 times as fast', ''] + [''] * 8
    assert 'chapter' not in summary.table(others)[0]


def test_the_float32_baseline_is_not_in_the_table(figures):
    run, *_ = planned('--only', 'alexnet', '--precision', 'mixed', '--xla')
    same = completed('alexnet', 'lrn').record['results']
    faster = [dict(entry, mean_s=0.25, precision='mixed_float16', xla=True) for entry in same]
    record = {'benchmark': 'alexnet', 'variant': 'lrn', 'status': 'finished', 'faults': [],
              'results': same + faster}
    heading, *lines = summary.table([execute.CompletedRun(run, record, 0)])
    assert [re.split('  +', line)[1:3] for line in lines] == [
        ['Forward', 'mixed_float16, XLA'], ['Forward-backward', 'mixed_float16, XLA']]
    assert all('250 +/- 30' in line for line in lines)
    assert 'precision' in heading and 'chapter' not in heading
    assert completed('alexnet', 'lrn', xla=True).passes == []    # not requested in this run


def test_the_columns_are_aligned():
    lines = summary.table([completed('vgg16', 'D', 'ops'), completed('vgg16', 'A-LRN', 'ops', 256)])
    assert [line.rstrip() for line in lines] == """\
network                  pass              fetch  batch  ms / batch  images / s  TFLOP / s   memory
VGG-16 (D)               Forward           ops       32  500 +/- 30        64.0      0.123  5.00 MB
VGG-16 (D)               Forward-backward  ops       32  500 +/- 30        64.0      0.123  5.00 MB
VGG-11 with LRN (A-LRN)  Forward           ops      256  500 +/- 30         512      0.123  5.00 MB
VGG-11 with LRN (A-LRN)  Forward-backward  ops      256  500 +/- 30         512      0.123  5.00 MB
""".splitlines()


@pytest.mark.parametrize('entry, word, code', [
    ({}, 'ok', 0), ({'warnings': [CAUTION]}, '1 caution', 0),
    ({'warnings': [CAUTION] * 2}, '2 cautions', 0),
    ({'warnings': [CAUTION], 'faults': ['y']}, 'INVALID', 1)])
def test_outcomes(entry, word, code):
    one = completed('alexnet', 'lrn', **entry)
    assert [row['outcome'] for row in summary.rows(one)] == [word] * 2
    assert one.exit_code == code


def test_the_peak_memory_of_a_sweep_may_be_unknown():
    sweep = [completed('alexnet', 'lrn', batch_size=1, is_sweep=True, peak_bytes=5000000),
             completed('alexnet', 'lrn', batch_size=2, is_sweep=True, peak_bytes=None)]
    heading, *lines = summary.table(sweep)
    end = heading.index('memory') + len('memory')
    assert [re.split('  +', line[:end])[-1] for line in lines] == [
        '5.00 MB', '5.00 MB', 'unknown', 'unknown']


@pytest.mark.parametrize('status, results, word, code, passes', [
    ('refused', [], 'INVALID', 1, ['Forward']),
    ('interrupted', [{}, {}], 'interrupted', 3, [*networks.PASSES, None])])
def test_a_run_that_did_not_finish_has_a_row_where_it_ended(status, results, word, code, passes):
    ended = completed('alexnet', 'lrn', status=status)
    del ended.record['results'][len(results):]
    assert (ended.word, ended.exit_code) == (word, code)
    assert [row.get('pass') for row in summary.rows(ended)] == passes
    assert summary.table([ended])[-1].endswith(word)


def test_the_file_of_the_chapters_figures_fits():
    entry = {'fetch': 'tensors', 'batch_size': 32, 'precision': 'float32', 'mean_s': 1.0}
    compared = [chapter.comparison({'benchmark': run.benchmark, 'variant': run.variant},
                                   dict(entry, info_string=name))
                for run in planned('--variants') for name in networks.PASSES]
    assert len(list(filter(None, compared))) == len(chapter.figures()) == 8
    assert all(text.startswith(('0.', 'about 0.')) for text in compared if text)


def test_the_last_lines_are_the_cautions_the_folder_and_the_next_command(monkeypatch):
    monkeypatch.setattr(report.sys, 'executable', os.path.join(os.getcwd(), '.venv/bin/python'))
    drift = {'kind': 'drift', 'text': 'the steps drift by 2.5 %'}
    runs = [completed('alexnet', 'lrn', warnings=[drift]), completed('vgg16', 'D')]
    runs[1].record['results'][0]['warnings'] = [dict(drift, text='the steps drift by 3.1 %')]
    assert summary.ending(runs, 'out put') == [
        'caution: 3 passes, such as AlexNet with LRN, Forward: the steps drift by 2.5 %',
        "Records: out put    Next: .venv/bin/python -m suite compare 'out put' chapter"]
    others = [completed('vgg16', 'D', batch_size=4)]
    assert summary.ending(others, 'out')[-1].endswith('Next: .venv/bin/python -m suite compare out')


def test_the_chapters_way_of_two_kinds_of_fetch_stands_among_published_figures(tmp_path):
    with open(os.path.join(plan.ROOT, 'results', 'cpu-2-cores', 'alexnet.json')) as file:
        record = json.load(file)
    for fetch in 'tensors', 'ops':
        results = [dict(entry, fetch=fetch) for entry in record['results']]
        (tmp_path / (fetch + '.json')).write_text(json.dumps(dict(record, results=results)))
    runs = [completed('alexnet', 'lrn', fetch) for fetch in ('tensors', 'ops')]
    places = summary.ending(runs, str(tmp_path))[:-1]
    assert [line.partition(' images / s, less than the slowest published')[0] for line in places] \
        == ['alexnet lrn Forward tensors batch 32 float32: 120',
            'alexnet lrn Forward-backward tensors batch 32 float32: 30.8']
    sweep = [completed('alexnet', 'lrn', is_sweep=True)]
    assert len(summary.ending(sweep, str(tmp_path))) == 1


@pytest.mark.parametrize('content', ['{"figures": ', '{}', ''])
def test_a_damaged_file_of_the_chapters_figures(content, tmp_path, monkeypatch):
    path = tmp_path / 'chapter.json'
    path.write_text(content)
    monkeypatch.setattr(chapter, 'PATH', str(path))
    assert chapter.figures.__wrapped__() == []
