"""Compares outputs, and runs the four scripts, on TensorFlows from 1.13 to 2.20.

    python3 -m tools.test_range [VERSION ...]

Each version (default: those of DEFAULT) gets an environment of its own from pip, in a temporary
folder of up to 4 GB. There tests/test_runtimes.py compares outputs and gradients with those of
TensorFlow 1.15, and each script makes a short run. stdout gets the rows of the table in
docs/tensorflow.md, stderr what failed. A version needs its Python, on PATH or in pyenv.

Exit codes: 0 all agree; 1 a version failed or could not be installed; 2 bad usage.
"""
import datetime
import glob
import json
import os
import shutil
import subprocess
import sys
import tempfile

from common import networks

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
# The Python of each version.
RANGE = {'1.13.2': '3.7', '1.14.0': '3.7', '2.4.4': '3.8', '2.8.4': '3.9', '2.10.1': '3.10',
         '2.12.1': '3.9', '2.13.1': '3.8', '2.14.1': '3.11', '2.15.1': '3.11', '2.16.2': '3.12',
         '2.17.1': '3.12', '2.18.1': '3.12', '2.19.1': '3.10', '2.20.0': '3.13'}
DEFAULT = ['1.14', '2.10', '2.15', '2.17', '2.20']
SHORT_RUN = '--device cpu --batch_size 1 --num_batches 2 --num_steps_burn_in 1'.split()


def run(*command):
    """Runs a command in the checkout. Raises ChildProcessError with its last lines if it fails or
    a script prints to stderr."""
    variables = {name: value for name, value in os.environ.items()
                 if name not in ('PYTHONPATH', 'PIP_CONSTRAINT')}
    done = subprocess.run(command, cwd=ROOT, env=variables, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode or (done.stderr and command[1].endswith('_benchmark.py')):
        raise ChildProcessError('%s ended with %d:\n%s' % (
            ' '.join(command), done.returncode, (done.stdout + done.stderr)[-1500:]))


def row(version, folder):
    """Installs a TensorFlow into a folder and tries it; returns its row of the table. Raises
    ChildProcessError: it cannot be installed, an output differs, or a script fails."""
    pyenv = os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    pythons = glob.glob('%s/versions/%s.*/bin/python' % (pyenv, RANGE[version]))
    python = pythons[0] if pythons else shutil.which('python' + RANGE[version])
    if not python:
        raise ChildProcessError('Python %s is not installed' % RANGE[version])
    run(python, '-m', 'venv', folder)
    python = folder + '/bin/python'
    pip = python, '-m', 'pip', 'install', '-q'
    major, minor = map(int, version.split('.')[:2])
    # A TensorFlow does not exclude what came after it.
    run(*pip, 'pytest', 'tensorflow==' + version,
        *['numpy<1.19'] * (major == 1), *['numpy<2'] * (major == 2 and minor < 18),
        *['protobuf<3.20'] * ((major, minor) < (2, 12)))
    if major == 2:
        run(*pip, '--no-deps', 'tf_slim==1.1.0', *['tf_keras==2.%d.*' % minor] * (minor >= 16))
    # Without -m "" pytest leaves the comparison out: it is marked slow.
    run(python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', '-m', '', '--basetemp',
        folder + '/outputs', 'tests/test_runtimes.py')
    for name in networks.NETWORKS:
        run(python, networks.script(name), *SHORT_RUN)
    differences = []
    for path in glob.glob(folder + '/outputs/*/difference.json'):
        with open(path) as file:
            differences.append(json.load(file))
    return [version, RANGE[version], ', '.join(networks.NETWORKS)] + [
        '%.1e' % max(difference.get(info_string, 0) for difference in differences)
        for info_string in networks.PASSES] + [datetime.date.today().isoformat()]


def main(names):
    """Prints the rows; returns the exit code."""
    versions = [version for name in names or DEFAULT for version in RANGE
                if version.startswith(name + '.')]
    if len(versions) != len(names or DEFAULT):
        print('usage: python3 -m tools.test_range [VERSION ...], out of %s' % ', '.join(
            version.rpartition('.')[0] for version in RANGE), file=sys.stderr)
        return 2
    failed = False
    for version in versions:
        with tempfile.TemporaryDirectory() as folder:
            try:
                print('| %s |' % ' | '.join(row(version, folder)), flush=True)
            except ChildProcessError as error:
                print('TensorFlow %s: %s' % (version, error), file=sys.stderr)
                failed = True
    return int(failed)


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
