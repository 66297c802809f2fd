"""The record: its schema, and that a crash or a full disk never leaves half of one."""
import json
import os
import resource
import shutil
import stat
import subprocess
import sys

import pytest

import alexnet_benchmark
from common import files, record, tf1
from common.tf1 import tf
from suite.records import validator

SHORT = ['--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '0', '--device', 'cpu']


def run(script, tmp_path, *flags):
    path = tmp_path / 'record.json'
    code = script.main(SHORT + list(flags) + ['--json', str(path)])
    return code, json.loads(path.read_text())


def test_the_record_of_a_profile_fits_the_schema(tmp_path):
    code, written = run(alexnet_benchmark, tmp_path, '--num_batches', '25', '--forward_only',
                        '--profile')
    assert (code, written['status'], bool(written['results'][0]['layers'])) == (0, 'finished', True)
    validator('record', strict=True)(written)


def test_the_record_of_a_refused_run_fits_the_schema(tmp_path, monkeypatch):
    monkeypatch.setenv('TF_SYNC_ON_FINISH', '0')
    code, written = run(alexnet_benchmark, tmp_path)
    assert (code, written['status']) == (1, 'refused')
    validator('record', strict=True)(written)


def test_the_record_of_an_interrupted_run_fits_the_schema(tmp_path, monkeypatch):
    monkeypatch.setattr('common.timing.print', interrupt, raising=False)
    code, written = run(alexnet_benchmark, tmp_path)
    assert (code, written['status']) == (130, 'interrupted')
    assert len(written['results'][0]['samples_s']) == 1
    validator('record', strict=True)(written)


def interrupt(*_, **__):
    raise KeyboardInterrupt


@pytest.mark.parametrize('error, line', [
    (MemoryError(), 'Python was refused memory.'),
    (tf.errors.ResourceExhaustedError(None, None, 'Graph execution error:\n\nOOM: a tensor\nHint'),
     'OOM: a tensor'),
    (tf.errors.AbortedError(None, None, 'Graph execution error:\n\nan exception:Status: 1, '
                                        'message: could not create a memory object, in file x\n'),
     'an exception:Status: 1, message: could not create a memory object, in file x')])
def test_a_record_that_ran_out_of_memory_keeps_the_pass_before(error, line, tmp_path,
                                                               monkeypatch, capsys):
    """The forward pass is done when the backward one finds no memory."""
    time_run = alexnet_benchmark.benchmark.time_tensorflow_run

    def no_memory_backward(session, target, info_string, *rest, **options):
        if info_string == 'Forward-backward':
            raise error
        return time_run(session, target, info_string, *rest, **options)
    monkeypatch.setattr(alexnet_benchmark.benchmark, 'time_tensorflow_run', no_memory_backward)
    code, written = run(alexnet_benchmark, tmp_path)
    assert (code, written['status']) == (3, 'out_of_memory')
    assert [result['info_string'] for result in written['results']] == ['Forward']
    assert 'batch size 1 does not fit' in written['error']
    assert capsys.readouterr().err.splitlines()[-1] == '  ' + line
    validator('record', strict=True)(written)


def test_other_errors_of_tensorflow_are_not_out_of_memory(tmp_path, monkeypatch, capsys):
    def fail(*_, **__):
        raise tf.errors.AbortedError(None, None, 'Status: 3, message: could not create a primitive')
    monkeypatch.setattr(alexnet_benchmark.benchmark, 'time_tensorflow_run', fail)
    code, written = run(alexnet_benchmark, tmp_path)
    assert (code, written['status']) == (3, 'failed')
    assert 'TensorFlow failed with AbortedError at batch size 1' in capsys.readouterr().err


def test_the_finished_steps_of_a_pass_are_kept_whatever_ends_it(tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('common.timing.print', full, raising=False)
    code, written = run(alexnet_benchmark, tmp_path)
    assert (code, written['status']) == (3, 'failed')
    assert len(written['results'][0]['samples_s']) == 1
    validator('record', strict=True)(written)


@pytest.mark.slow
def test_the_record_says_what_ran(tmp_path, monkeypatch):
    monkeypatch.setenv('TF_A_SWITCH', '1')
    monkeypatch.setenv('OMP_NUM_THREADS', '2')
    monkeypatch.setenv('A_SECRET', 'x')
    change_speed = ['ONEDNN_MAX_CPU_ISA', 'DNNL_VERBOSE', 'KMP_AFFINITY', 'GOMP_SPINCOUNT',
                    'MALLOC_ARENA_MAX', 'OPENBLAS_NUM_THREADS', 'CUBLASLT_LOG_LEVEL',
                    'CUBLAS_WORKSPACE_CONFIG', 'CUDNN_LOGINFO_DBG', 'LD_PRELOAD', 'GLIBC_TUNABLES']
    for name in change_speed:
        monkeypatch.setenv(name, '')
    _, written = run(alexnet_benchmark, tmp_path, '--fc')
    environment = written['environment']
    assert environment['variables']['TF_A_SWITCH'] == '1'
    assert environment['variables']['OMP_NUM_THREADS'] == '2'
    assert set(change_speed) <= set(environment['variables'])
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


def test_an_old_record_survives_a_crash_while_writing(tmp_path):
    path = tmp_path / 'record.json'
    record.save({'old': True}, str(path))
    with pytest.raises(ValueError):
        record.save({'new': float('nan')}, str(path))
    assert json.loads(path.read_text()) == {'old': True}
    assert os.listdir(str(tmp_path)) == ['record.json']


def test_an_old_record_survives_a_full_disk(tmp_path):
    """A file size limit fails a write as a full disk does, with an OSError in the middle."""
    path = tmp_path / 'record.json'
    record.save({'old': True}, str(path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError):
            record.save({'new': 'x' * 100000}, str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert json.loads(path.read_text()) == {'old': True}
    assert os.listdir(str(tmp_path)) == ['record.json']


def test_a_full_disk_ends_in_one_sentence(tmp_path, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(record.os, 'fsync', full)
    assert alexnet_benchmark.main(SHORT + ['--json', str(tmp_path / 'record.json')]) == 3
    captured = capsys.readouterr()
    assert 'No space left on device' in captured.err
    assert 'Forward across 2 steps' in captured.out      # the figures are on the screen


def test_a_record_is_as_readable_as_other_files(tmp_path):
    path, other = tmp_path / 'record.json', tmp_path / 'other'
    record.save({}, str(path))
    other.touch()
    assert path.stat().st_mode == other.stat().st_mode


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'link.json').symlink_to(tmp_path / 'record.json')
    record.save({'new': True}, str(tmp_path / 'link.json'))
    assert (tmp_path / 'link.json').is_symlink()
    assert json.loads((tmp_path / 'record.json').read_text()) == {'new': True}


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    assert 'a device or a pipe' in files.why_unwritable(str(tmp_path / 'pipe'))
    with pytest.raises(OSError, match='a device or a pipe'):
        files.write(str(tmp_path / 'pipe'), 'x')
    assert stat.S_ISFIFO(os.stat(str(tmp_path / 'pipe')).st_mode)


def test_a_loop_of_links_is_not_replaced(tmp_path):
    (tmp_path / 'a').symlink_to(tmp_path / 'b')
    (tmp_path / 'b').symlink_to(tmp_path / 'a')
    assert 'symbolic links' in files.why_unwritable(str(tmp_path / 'a'))


def test_the_file_of_the_output_is_not_replaced(tmp_path, monkeypatch):
    with open(str(tmp_path / 'log'), 'w') as log:
        monkeypatch.setattr(sys, 'stdout', log)
        assert files.why_unwritable(str(tmp_path / 'log')) == 'the output goes there'


def test_a_full_disk_is_noticed_before_anything_is_timed(tmp_path, monkeypatch, capsys):
    def full(dir):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(files.tempfile, 'TemporaryFile', full)
    code = alexnet_benchmark.main(SHORT + ['--json', str(tmp_path / 'x.json')])
    captured = capsys.readouterr()
    assert (code, captured.out) == (3, '')
    assert captured.err == ('Cannot write %s: No space left on device; free some space, or write '
                            'to another place\n' % tmp_path)


@pytest.mark.parametrize('path, why', [
    ('no/such/record.json', 'No such file'), ('.', 'a folder'), (300 * 'x', 'name too long')])
def test_why_unwritable(path, why, tmp_path):
    assert why in files.why_unwritable(str(tmp_path / path))
    assert os.listdir(str(tmp_path)) == []
    assert files.why_unwritable(str(tmp_path / 'record.json')) is None
    assert os.listdir(str(tmp_path)) == []


# The commit

@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository with one commit in tmp_path/checkout: returns its folder and the commit."""
    for name in [name for name in os.environ if name.startswith('GIT_')] + ['BENCHMARK_COMMIT']:
        monkeypatch.delenv(name, raising=False)
    return commit_in(tmp_path / 'checkout')


def commit_in(folder):
    folder.mkdir()
    (folder / 'file').write_text('text of %s' % folder)
    git(folder, 'init', '-q')
    git(folder, 'add', 'file')
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
    (folder / 'file').write_text('changed')
    assert record.commit(str(folder)) == commit + '+'
    git(folder, 'add', 'file')
    assert record.commit(str(folder)) == commit + '+'


def test_an_archive_inside_another_repository_has_no_commit_of_its_own(checkout, monkeypatch):
    folder, _ = checkout
    (folder / 'archive').mkdir()
    assert record.commit(str(folder / 'archive')) is None
    monkeypatch.setenv('BENCHMARK_COMMIT', 'b' * 40)
    assert record.commit(str(folder / 'archive')) == 'b' * 40


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


def test_ctrl_c_within_the_making_of_an_error_is_ctrl_c():
    log = {'status': 'running'}
    with pytest.raises(KeyboardInterrupt), record.saved(log, None):
        raise RuntimeError('pybind11::error_already_set: MISMATCH of original and normalized '
                           'active exception types: ORIGINAL UnknownError REPLACED BY '
                           'KeyboardInterrupt: <EMPTY MESSAGE>')
    assert log == {'status': 'interrupted'}
