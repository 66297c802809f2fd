"""tools/environment.sh: the runtime that `make bench` takes on a machine, by its GPU."""
import os
import shutil
import subprocess

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOCKS = {'.venv': 'requirements.lock', '.venv-modern': 'requirements-modern.lock',
         '.venv-modern-cpu': 'requirements-modern-cpu.lock'}


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\n' + text)
    path.chmod(0o755)


@pytest.fixture
def chosen(tmp_path):
    """A function: the environment that `environment.sh PURPOSE` prints on a machine whose
    nvidia-smi answers with these compute capabilities; all environments are there already."""
    def choose(purpose, *capabilities):
        (tmp_path / 'tools').mkdir()
        shutil.copy(os.path.join(ROOT, 'tools', 'environment.sh'), str(tmp_path / 'tools'))
        for folder, lock in LOCKS.items():
            write_program(tmp_path / folder / 'bin' / 'python', 'exit 0\n')
            for path in tmp_path / lock, tmp_path / folder / lock:
                path.write_text('a lock\n')
        write_program(tmp_path / 'bin' / 'nvidia-smi', 'case $1 in\n'
                      '-L) %s ;;\n*) %s ;;\nesac\n' % (
                          'echo "GPU 0: a GPU (UUID: GPU-1)"' if capabilities else 'exit 9',
                          'printf "%s"' % ''.join('%s\\n' % one for one in capabilities)
                          if capabilities else 'exit 9'))
        environment = {name: value for name, value in os.environ.items() if name != 'RUNTIME'}
        environment['PATH'] = '%s:%s' % (tmp_path / 'bin', environment['PATH'])
        done = subprocess.run(['sh', str(tmp_path / 'tools' / 'environment.sh'), purpose],
                              env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()
    return choose


@pytest.mark.parametrize('capabilities, folder', [
    ((), '.venv'),                                       # no GPU
    (('6.1',), '.venv'),                                 # GeForce GTX 1080
    (('7.5',), '.venv'),                                 # Tesla T4
    (('8.0',), '.venv-modern'),                          # A100
    (('8.6', '8.6'), '.venv-modern'),                    # two GeForce RTX 3090
    (('8.9',), '.venv-modern'),                          # GeForce RTX 4090
    (('9.0',), '.venv-modern'),                          # H100
    (('10.0',), '.venv-modern'),                         # B200
    (('12.0',), '.venv-modern'),                         # GeForce RTX 5090
    (('[N/A]',), '.venv'),                               # a driver that does not tell
])
def test_the_environment_fits_the_gpu(chosen, capabilities, folder):
    assert chosen('bench', *capabilities) == folder


def test_the_tests_need_no_gpu_and_take_the_classic_runtime(chosen):
    assert chosen('test', '9.0') == '.venv'
