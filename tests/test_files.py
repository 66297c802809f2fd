"""A stdout that is full, closed or no longer read ends the suite in one line; no
file is half written."""
import argparse
import inspect
import os
import shutil
import subprocess
import sys

import pytest

from common import files

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LINE = 3, 'Stopped: [Errno 28] No space left on device\n'
CALLS = [['-m', 'suite', 'compare', 'chapter'], ['-m', 'suite', 'compare', '--help'],
         ['-m', 'suite', 'run', '--help'],
         ['-m', 'suite', 'run', '--only', 'alexnet', '--device', 'cpu', '--batch_size', '1',
          '--num_batches', '1', '--output']]


def outcomes(words, expected):
    """What may come of a call: the argparse of later Pythons hides that --help was not printed."""
    hidden = 'OSError' in inspect.getsource(argparse.ArgumentParser._print_message)
    return [expected] + [(0, '')] * (hidden and words[-1] == '--help')


def call(words, tmp_path, redirected, **options):
    """Returns the exit code and what came to stderr."""
    words = [sys.executable] + words + [str(tmp_path)] * (words[-1] == '--output')
    done = subprocess.run(['sh', '-c', '"$@" ' + redirected, 'sh'] + words, cwd=ROOT,
                          stderr=subprocess.PIPE, text=True, timeout=60, **options)
    return done.returncode, done.stderr


@pytest.mark.parametrize('words', CALLS)
def test_a_full_disk(words, tmp_path):
    assert call(words, tmp_path, '> /dev/full') in outcomes(words, LINE)


@pytest.mark.parametrize('words', CALLS)
def test_a_closed_stdout(words, tmp_path):
    assert call(words, tmp_path, '>&-') == (0, '')
    assert (len(os.listdir(str(tmp_path))) == 2) == (words[-1] == '--output')


@pytest.mark.parametrize('words', CALLS[:3])
def test_a_reader_that_has_read_enough(words, tmp_path):
    end = subprocess.Popen(['true'], stdin=subprocess.PIPE)
    end.wait()
    with end.stdin as pipe:
        assert call(words, tmp_path, '', stdout=pipe) in outcomes(words, (3, ''))


def test_letters_that_the_terminal_has_not(tmp_path):
    name = tmp_path / '\u4e2d'
    name.mkdir()
    shutil.copy(os.path.join(ROOT, 'results', 'cpu-2-cores', 'alexnet.json'), str(name))
    assert call(['-m', 'suite', 'compare', str(name)], tmp_path, '> /dev/null',
                env=dict(os.environ, PYTHONIOENCODING='ascii')) == (0, '')


def test_a_file_is_the_old_one_or_the_new_one(tmp_path, monkeypatch):
    path = tmp_path / 'page.html'
    files.write(str(path), 'old')
    assert os.listdir(str(tmp_path)) == ['page.html']

    def full(descriptor):
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr(files.os, 'fsync', full)
    with pytest.raises(OSError, match='No space left on device.*page.html'):
        files.write(str(path), 'new')
    assert path.read_text() == 'old'
    assert os.listdir(str(tmp_path)) == ['page.html']
