"""The record: its schema, however a run ends, and the commit in it."""
import json
import os
import shutil
import subprocess

import pytest

import alexnet_benchmark
from common import files, record, tf1
from common.tf1 import tf
from suite.figures import load
from suite.records import validator

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu']
FULL = OSError(28, 'No space left on device')


@pytest.fixture
def run(tmp_path):
    """Runs AlexNet; returns its exit code and the record, which fits the schema."""
    def run_alexnet(*flags):
        path = tmp_path / 'record.json'
        code = alexnet_benchmark.main(SHORT + list(flags) + ['--json', str(path)])
        written = json.loads(path.read_text())
        validator('record', strict=True)(written)
        return code, written
    return run_alexnet


def raising(error):
    def fail(*_, **__):
        raise error
    return fail


def test_the_record_of_a_profile(run):
    code, written = run('--num_batches', '25', '--forward_only', '--profile')
    assert (code, written['status'], bool(written['results'][0]['layers'])) == (0, 'finished', True)


def test_the_record_of_a_refused_run(run, monkeypatch):
    monkeypatch.setenv('TF_SYNC_ON_FINISH', '0')
    code, written = run()
    assert (code, written['status'], written['results']) == (1, 'refused', [])


@pytest.mark.parametrize('error, code, status', [
    (KeyboardInterrupt(), 130, 'interrupted'), (FULL, 3, 'failed')])
def test_the_finished_steps_of_a_pass_are_kept_whatever_ends_it(error, code, status, run,
                                                                monkeypatch, tmp_path):
    def fail(*_, **__):
        line, = load(str(tmp_path / 'record.json')).problems     # if the process were killed here
        assert line.endswith(': the run did not finish (killed)')
        raise error

    monkeypatch.setattr('common.timing.print', fail, raising=False)
    exit_code, written = run()
    assert (exit_code, written['status']) == (code, status)
    assert len(written['results'][0]['samples_s']) == 1


NO_MEMORY = 'out_of_memory', 'batch size 1 does not fit'


@pytest.mark.parametrize('error, status, line', [
    (MemoryError(), NO_MEMORY, '  Python was refused memory.'),
    (tf.errors.ResourceExhaustedError(None, None, 'Graph execution error:\n\nOOM: a tensor\nHint'),
     NO_MEMORY, '  OOM: a tensor'),
    (tf.errors.AbortedError(None, None, 'Graph execution error:\n\nan exception:Status: 1, '
                                        'message: could not create a memory object, in file x\n'),
     NO_MEMORY,
     '  an exception:Status: 1, message: could not create a memory object, in file x'),
    (tf.errors.AbortedError(None, None, 'Status: 3, message: could not create a primitive'),
     ('failed', 'could not create a primitive'), (
         'TensorFlow failed with AbortedError at batch size 1: Status: 3, message: could not '
         'create a primitive'))])
def test_an_error_of_tensorflow_keeps_the_pass_before(error, status, line, run, monkeypatch,
                                                      capsys):
    """The forward pass is done when the backward one fails."""
    time_run = alexnet_benchmark.benchmark.time_tensorflow_run

    def fail_backward(session, target, info_string, *rest, **options):
        if info_string == 'Forward-backward':
            raise error
        return time_run(session, target, info_string, *rest, **options)
    monkeypatch.setattr(alexnet_benchmark.benchmark, 'time_tensorflow_run', fail_backward)
    code, written = run()
    assert (code, written['status']) == (3, status[0])
    assert [result['info_string'] for result in written['results']] == ['Forward']
    assert status[1] in written['error']
    assert capsys.readouterr().err.splitlines()[-1] == line


@pytest.mark.slow
def test_the_record_says_what_ran(run, monkeypatch):
    monkeypatch.setenv('TF_A_SWITCH', '1')
    monkeypatch.setenv('A_SECRET', 'x')
    code, written = run('--fc')
    assert (code, written['variant']) == (0, 'lrn_fc')
    environment = written['environment']
    assert environment['variables']['TF_A_SWITCH'] == '1'
    assert 'A_SECRET' not in environment['variables']
    assert environment['tensorflow'] == tf1.VERSION
    assert environment['tf32'] is False
    assert written['options']['fc'] is True
    assert written['network']['parameters'] == 61100840
    forward, both = written['results']
    assert forward['fetched_bytes'] == 4 * 1000          # fc8, float32
    assert both['fetched_bytes'] == 4 * 61100840         # a gradient for each parameter
    assert forward['flops'] == written['network']['flops']
    assert both['flops_per_s'] == both['flops'] / both['mean_s']
    assert both['peak_bytes'] > 2 * 4 * 61100840         # the parameters and their gradients
    assert both['layers_that_run'] == {'lrn': True, 'fully_connected': True, 'dropout': True,
                                       'batch_norm': None}


def test_a_full_disk_ends_in_one_sentence(tmp_path, monkeypatch, capsys):
    first = iter([files.os.fsync])                       # the record before the first pass fits
    monkeypatch.setattr(files.os, 'fsync', lambda file: next(first, raising(FULL))(file))
    assert alexnet_benchmark.main(SHORT + ['--json', str(tmp_path / 'record.json')]) == 3
    captured = capsys.readouterr()
    assert 'No space left on device' in captured.err
    assert 'Forward across 2 steps' in captured.out      # the figures are on the screen


def test_a_full_disk_is_noticed_before_anything_is_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files.tempfile, 'TemporaryFile', raising(FULL))
    code = alexnet_benchmark.main(SHORT + ['--json', str(tmp_path / 'x.json')])
    captured = capsys.readouterr()
    assert (code, captured.out) == (3, '')
    assert captured.err == ('Cannot write %s: No space left on device; free some space, or write '
                            'to another place\n' % tmp_path)


def test_ctrl_c_within_the_making_of_an_error_is_ctrl_c():
    log = {'status': 'running'}
    with pytest.raises(KeyboardInterrupt), record.saved(log, None):
        raise RuntimeError('pybind11::error_already_set: MISMATCH of original and normalized '
                           'active exception types: ORIGINAL UnknownError REPLACED BY '
                           'KeyboardInterrupt: <EMPTY MESSAGE>')
    assert log == {'status': 'interrupted'}


# The commit

@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit in tmp_path/checkout: returns its folder and the commit."""
    for name in [name for name in os.environ if name.startswith('GIT_')] + ['BENCHMARK_COMMIT']:
        monkeypatch.delenv(name, raising=False)
    return commit_in(tmp_path / 'checkout')


def commit_in(folder):
    folder.mkdir()
    (folder / record.TRACKED).write_text('text of %s' % folder)
    git(folder, 'init', '-q')
    git(folder, 'add', record.TRACKED)
    git(folder, '-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '-q', '-m', 'One')
    return folder, git(folder, 'rev-parse', 'HEAD')


def git(folder, *words):
    return subprocess.run(('git',) + words, cwd=str(folder), check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def test_the_commit_of_a_checkout(checkout):
    folder, commit = checkout
    assert len(commit) == 40
    git(folder, 'tag', 'v1')
    git(folder, '-c', 'user.name=A', '-c', 'user.email=a@example.com', 'tag', '-a', 'v2', '-m', '2')
    assert record.commit(str(folder)) == commit          # not by the name of a tag
    (folder / 'untracked').touch()
    assert record.commit(str(folder)) == commit
    (folder / record.TRACKED).write_text('changed')
    assert record.commit(str(folder)) == commit + '+'
    git(folder, 'add', record.TRACKED)
    assert record.commit(str(folder)) == commit + '+'


def test_an_archive_inside_another_repository_has_no_commit_of_its_own(checkout, monkeypatch):
    folder, _ = checkout
    (folder / 'archive').mkdir()
    assert record.commit(str(folder / 'archive')) is None
    monkeypatch.setenv('BENCHMARK_COMMIT', 'b' * 40)
    assert record.commit(str(folder / 'archive')) == 'b' * 40


def test_an_archive_in_the_root_of_another_repository_has_no_commit_either(checkout):
    folder, _ = checkout
    git(folder, 'mv', record.TRACKED, 'main.c')
    git(folder, '-c', 'user.name=A', '-c', 'user.email=a@example.com', 'commit', '-q', '-m', 'Two')
    (folder / record.TRACKED).touch()
    assert record.commit(str(folder)) is None


def test_the_variables_of_another_repository_do_not_count(checkout, tmp_path, monkeypatch):
    folder, commit = checkout
    other, other_commit = commit_in(tmp_path / 'other')
    assert other_commit != commit
    monkeypatch.setenv('GIT_DIR', str(other / '.git'))
    assert record.commit(str(folder)) == commit
    monkeypatch.setenv('GIT_WORK_TREE', str(folder))
    monkeypatch.setenv('GIT_INDEX_FILE', str(other / '.git' / 'index'))
    assert record.commit(str(folder)) == commit
    (tmp_path / 'archive').mkdir()
    monkeypatch.setenv('GIT_WORK_TREE', str(tmp_path / 'archive'))
    assert record.commit(str(tmp_path / 'archive')) is None


def test_the_commit_of_a_worktree_and_through_a_link(checkout, tmp_path):
    folder, commit = checkout
    git(folder, 'worktree', 'add', '-q', '--detach', str(tmp_path / 'worktree'))
    assert record.commit(str(tmp_path / 'worktree')) == commit
    (tmp_path / 'link').symlink_to(folder)
    assert record.commit(str(tmp_path / 'link')) == commit


def test_without_git_and_without_a_commit(checkout, tmp_path, monkeypatch):
    folder, _ = checkout
    shutil.rmtree(str(folder / '.git' / 'refs' / 'heads'))
    assert record.commit(str(folder)) is None            # a repository without a commit
    monkeypatch.setenv('PATH', str(tmp_path))
    assert record.commit(str(folder)) is None
    monkeypatch.setenv('BENCHMARK_COMMIT', 'b' * 40)
    assert record.commit(str(folder)) == 'b' * 40
