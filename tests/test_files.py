"""A stdout that is full, closed or no longer read ends the suite in one line; no file is half
written; JSON that a person can read."""
import argparse
import errno
import fcntl
import inspect
import json
import math
import os
import shutil
import stat
import subprocess
import sys

import pytest

from common import files

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
FULL = 'the output: No space left on device; free some space, or write to another place\n'
LINE = 3, 'Stopped: ' + FULL
CALLS = [['-m', 'suite', 'compare', 'chapter'], ['-m', 'suite', 'compare', '--help'],
         ['-m', 'suite', 'run', '--help'],
         ['-m', 'suite', 'run', '--only', 'alexnet', '--device', 'cpu', '--batch_size', '1',
          '--num_batches', '1', '--output']]


def outcomes(words, expected):
    """The exit codes allowed: the argparse of later Pythons hides that --help was not printed."""
    hidden = 'OSError' in inspect.getsource(argparse.ArgumentParser._print_message)
    return [expected] + [(0, '')] * (hidden and words[-1] == '--help')


def call(words, tmp_path, redirected, **options):
    """Returns the exit code and what came to stderr."""
    words = [sys.executable] + words + [str(tmp_path)] * (words[-1] == '--output')
    done = subprocess.run(['sh', '-c', '"$@" ' + redirected, 'sh'] + words, cwd=ROOT,
                          stderr=subprocess.PIPE, text=True, timeout=60, **options)
    return done.returncode, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize('words', CALLS)
def test_a_full_disk(words, tmp_path):
    assert call(words, tmp_path, '> /dev/full') in outcomes(words, LINE)


@pytest.mark.slow
@pytest.mark.parametrize('words', CALLS[:3])
def test_a_closed_stdout(words, tmp_path):
    assert call(words, tmp_path, '>&-') == (0, '')


@pytest.mark.parametrize('words', CALLS[:3])
def test_a_reader_that_has_read_enough(words, tmp_path):
    end = subprocess.Popen(['true'], stdin=subprocess.PIPE)
    end.wait()
    with end.stdin as pipe:
        assert call(words, tmp_path, '', stdout=pipe) in outcomes(words, (3, ''))


def test_characters_the_terminal_cannot_encode(tmp_path):
    name = tmp_path / '\u4e2d'
    name.mkdir()
    shutil.copy(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json'), str(name))
    assert call(['-m', 'suite', 'compare', str(name)], tmp_path, '> /dev/null',
                env=dict(os.environ, PYTHONIOENCODING='ascii')) == (0, '')


def failing(number):
    def fail(*paths, **options):
        raise OSError(number, os.strerror(number))
    return fail


@pytest.mark.parametrize('function, number', [('fsync', errno.ENOSPC), ('replace', errno.EIO)])
def test_a_file_is_the_old_one_or_the_new_one(function, number, tmp_path, monkeypatch):
    path = tmp_path / 'page.html'
    files.write(str(path), 'old')
    assert os.listdir(str(tmp_path)) == ['page.html']
    monkeypatch.setattr(files.os, function, failing(number))
    with pytest.raises(OSError, match='%s.*page.html' % os.strerror(number)):
        files.write(str(path), 'new')
    assert path.read_text() == 'old'
    assert os.listdir(str(tmp_path)) == ['page.html']


@pytest.mark.parametrize('number', [errno.EBUSY, errno.EPERM, errno.EACCES])
def test_a_file_that_cannot_be_renamed_over_is_written_in_place(number, tmp_path, monkeypatch):
    """A mount point, another user's file in a sticky folder, a file that is open on Windows."""
    path = tmp_path / 'a.json'
    path.write_text('the old one, which is longer')
    file_number = path.stat().st_ino
    monkeypatch.setattr(files.os, 'replace', failing(number))
    files.write(str(path), 'new \u4e2d')
    assert path.read_text(encoding='utf-8') == 'new \u4e2d'
    assert path.stat().st_ino == file_number
    assert os.listdir(str(tmp_path)) == ['a.json']


def test_a_link_stays_a_link_to_a_file_as_readable_as_others(tmp_path):
    path, link, other = tmp_path / 'a.json', tmp_path / 'link.json', tmp_path / 'other'
    link.symlink_to(path)
    other.touch()
    files.write(str(link), 'new')
    assert link.is_symlink() and path.read_text() == 'new'
    assert path.stat().st_mode == other.stat().st_mode


@pytest.mark.parametrize('name, why', [
    ('no/such/record.json', 'No such file'), ('.', 'it is a folder'), ('x/', 'it has no file name'),
    (300 * 'x', 'name too long'), ('loop', 'symbolic links'), ('log', 'the output goes there'),
    ('pipe', 'it is a device or a pipe'), ('record.json', None)])
def test_why_a_file_cannot_be_written(name, why, tmp_path, monkeypatch):
    (tmp_path / 'loop').symlink_to(tmp_path / 'loop')
    os.mkfifo(str(tmp_path / 'pipe'))
    path = os.path.join(str(tmp_path), name)
    with open(str(tmp_path / 'log'), 'w') as log:
        monkeypatch.setattr(sys, 'stdout', log)
        problem = files.argument_problem('--json', path)
    if why:
        assert problem.startswith('argument --json: cannot write %r: ' % path) and why in problem
    else:
        assert problem is None
    assert sorted(os.listdir(str(tmp_path))) == ['log', 'loop', 'pipe']


def test_a_write_protected_file_is_refused_before_the_run(tmp_path, monkeypatch):
    """As an immutable one is, also to root."""
    path = tmp_path / 'a.json'
    path.touch()
    monkeypatch.setattr(files.os, 'access', lambda path, mode: mode != os.W_OK)
    assert files.argument_problem('--json', str(path)).endswith(': it is write-protected')


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(str(tmp_path / 'pipe'))
    with pytest.raises(OSError, match='a device or a pipe'):
        files.write(str(tmp_path / 'pipe'), 'x')
    assert stat.S_ISFIFO(os.stat(str(tmp_path / 'pipe')).st_mode)


def test_json_has_each_list_of_numbers_on_one_line():
    samples = [0.25] * 100
    value = {'samples_s': samples, 'command': ['a', '\u4e2d'], 'none': [], 'empty': {},
             'pairs': [[1, 2], []], 'pair': (1, None),
             'layers': [{'name': 'conv1', 'shape': [1, 2]}, {'name': 'x' * 160}]}
    text = files.json_text(value)
    assert text == """{
 "samples_s": %s,
 "command": ["a", "\\u4e2d"],
 "none": [],
 "empty": {},
 "pairs": [[1, 2], []],
 "pair": [1, null],
 "layers": [
  {"name": "conv1", "shape": [1, 2]},
  {
   "name": "%s"
  }
 ]
}""" % (samples, 'x' * 160)
    assert json.loads(text) == dict(value, pair=[1, None])


@pytest.mark.parametrize('value', [math.nan, [math.inf], {'a': [{'b': math.nan}]}])
def test_json_has_no_infinity(value):
    with pytest.raises(ValueError):
        files.json_text(value)


@pytest.mark.parametrize('error, said', [
    (errno.EBADF, ''), (errno.ENOLCK, 'cannot be locked (No locks available): use it for one ')])
def test_a_folder_is_locked_on_nfs_and_where_that_is_impossible_it_is_said(error, said, tmp_path,
                                                                         monkeypatch, capsys):
    flock = fcntl.flock

    def fake(held, how):
        read_only = fcntl.fcntl(held, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        if read_only or error != errno.EBADF:            # EBADF: as NFS, of what is not writable
            raise OSError(error, os.strerror(error))
        flock(held, how)
    monkeypatch.setattr(fcntl, 'flock', fake)
    held = files.lock(str(tmp_path))
    if not said:
        with pytest.raises(BlockingIOError):
            files.lock(str(tmp_path))
    os.close(held)
    os.close(files.lock(str(tmp_path)))
    assert said in capsys.readouterr().err
