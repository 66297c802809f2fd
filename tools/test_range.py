"""Runs the four scripts, and compares their outputs, on TensorFlows from 1.13 to 2.20.

    python3 -m tools.test_range [--folder FOLDER] [VERSION ...]

Each version (default: those of DEFAULT) gets an environment of its own from pip, in a temporary
folder that is removed when the version is done, or in FOLDER, where it stays. There
tests/test_runtimes.py compares outputs and gradients with those of TensorFlow 1.15, and each script
makes a short run. stdout gets the table of docs/tensorflow.md, stderr what goes on and what failed.

A version needs its Python, on PATH or in pyenv, and up to 4 GB of disk while it is at work. Exit
code: 0; 1 a version failed or could not be installed; 2 bad usage. A version without its Python is
named and is no failure, unless none is left.
"""
import argparse
import datetime
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import Dict, List, NamedTuple, Optional, Sequence

from common import networks, text
from tools import environment

# Version: its Python, and what pip is told. A TensorFlow does not exclude what came after it.
RANGE = {
    '1.13': ('3.7', ['tensorflow==1.13.2', 'numpy<1.19', 'protobuf<3.21']),
    '1.14': ('3.7', ['tensorflow==1.14.0', 'numpy<1.19', 'protobuf<3.21']),
    '2.4': ('3.8', ['tensorflow==2.4.4', 'protobuf<3.21']),
    '2.8': ('3.9', ['tensorflow==2.8.4', 'numpy<2', 'protobuf<3.21']),
    '2.10': ('3.10', ['tensorflow==2.10.1', 'numpy<2', 'protobuf<3.20']),
    '2.12': ('3.9', ['tensorflow==2.12.1', 'numpy<2']),
    '2.13': ('3.8', ['tensorflow==2.13.1']),
    '2.14': ('3.11', ['tensorflow==2.14.1', 'numpy<2']),
    '2.15': ('3.11', ['tensorflow==2.15.1', 'numpy<2']),
    '2.16': ('3.12', ['tensorflow==2.16.2', 'numpy<2']),
    '2.17': ('3.12', ['tensorflow==2.17.1', 'numpy<2']),
    '2.18': ('3.12', ['tensorflow==2.18.1']),
    '2.19': ('3.10', ['tensorflow==2.19.1']),
    '2.20': ('3.13', ['tensorflow==2.20.0']),
}
DEFAULT = ['1.14', '2.10', '2.15', '2.17', '2.20']

# Without -m "" pytest leaves the comparison out: it is marked slow.
COMPARISON = ['-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', '', 'tests/test_runtimes.py']
SHORT_RUN = ['--device', 'cpu', '--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in',
             '1']
HEADER = ('TensorFlow', 'Python', 'short runs', 'outputs differ by', 'gradients differ by', 'date')


class Failed(Exception):
    """A version cannot be installed, or a step of it failed; the text says what."""


def find_python(version: str) -> Optional[str]:
    """Returns the path of a Python of this version that can make environments, else None."""
    pyenv = os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    probe = ('import sys, ssl, venv, ensurepip\n'
             'assert "%%d.%%d" %% sys.version_info[:2] == %r\nprint(sys.executable)' % version)
    paths = [shutil.which('python' + version)]
    paths += sorted(glob.glob('%s/versions/%s.*/bin/python' % (pyenv, version)))
    found = (environment.run_probe(path, probe)[0] for path in paths if path)
    return next(filter(None, found), None)


def run(*command: str) -> 'subprocess.CompletedProcess[str]':
    """Runs a command in the checkout. Raises Failed with its last lines if it fails."""
    done = subprocess.run(command, cwd=environment.ROOT, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, env=environment.pip_environ())
    if done.returncode:
        raise Failed('`%s` ended with %d:\n%s' % (' '.join(command), done.returncode, '\n'.join(
            (done.stdout + done.stderr).strip().split('\n')[-15:])))
    return done


def install(version: str, python: str, folder: str) -> str:
    """Makes the environment of a version; returns the path of its Python. Raises Failed."""
    run(python, '-m', 'venv', folder)
    pip = [folder + '/bin/python', '-m', 'pip', 'install', '-q', '--disable-pip-version-check']
    run(*pip, '--no-compile', 'pytest', *RANGE[version][1])
    extra = ['tf_slim==1.1.0'] if version[0] == '2' else []
    if version in ('2.16', '2.17', '2.18', '2.19', '2.20'):          # Keras 3 came with 2.16
        extra.append('tf_keras==%s.*' % version)
    if extra:
        run(*pip, '--no-deps', *extra)
    return folder + '/bin/python'


class Result(NamedTuple):
    """Of a version: the scripts that ran, and the largest difference from 1.15 by pass."""
    scripts: List[str]
    differences: Dict[str, float]


def examine(python: str, folder: str) -> Result:
    """Compares the outputs and runs the scripts; `folder` is for what they write. Raises Failed:
    an output differs, or a script fails or prints to stderr."""
    run(python, *COMPARISON, '--basetemp', folder)
    differences = {}                                     # type: Dict[str, float]
    for path in glob.glob(folder + '/*/difference.json'):
        with open(path) as file:
            for info_string, value in json.load(file).items():
                differences[info_string] = max(value, differences.get(info_string, 0))
    scripts = []
    for name in networks.NETWORKS:
        done = run(python, networks.script(name), *SHORT_RUN)
        if done.stderr:
            raise Failed('%s printed to stderr:\n%s' % (networks.script(name), done.stderr))
        scripts.append(name)
    return Result(scripts, differences)


def row(version: str, folder: str) -> List[str]:
    """Installs and examines a version; returns its row of the table. Raises Failed."""
    wanted = RANGE[version][0]
    python = find_python(wanted)
    if not python:
        return [version, wanted, 'not run: no Python %s here' % wanted, '', '', '']
    environment.say('TensorFlow %s on Python %s ...' % (version, wanted))
    found = examine(install(version, python, os.path.join(folder, version)),
                    os.path.join(folder, version + '-outputs'))
    return [RANGE[version][1][0].split('==')[1], wanted, ', '.join(found.scripts)] + [
        '%.1e' % found.differences[info_string] for info_string in networks.PASSES] + [
            datetime.date.today().isoformat()]


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('versions', nargs='*', metavar='VERSION', default=DEFAULT,
                        help='of %s (default: %s)' % (', '.join(RANGE), ' '.join(DEFAULT)))
    parser.add_argument('--folder', help='keep the environments here (default: a temporary one)')
    args = parser.parse_args(argv)
    unknown = [version for version in args.versions if version not in RANGE]
    if unknown:
        parser.error('%s: not among %s' % (', '.join(unknown), ', '.join(RANGE)))
    rows, failed = [HEADER], False
    for version in args.versions:
        with tempfile.TemporaryDirectory() as temporary:
            try:
                rows.append(row(version, os.path.abspath(args.folder or temporary)))
            except Failed as error:
                environment.say('TensorFlow %s: %s' % (version, error))
                rows.append([version, RANGE[version][0], 'failed', '', '', ''])
                failed = True
    print('\n'.join(text.markdown(rows)))
    return int(failed or not any(cells[-1] for cells in rows[1:]))


if __name__ == '__main__':
    sys.exit(main())
