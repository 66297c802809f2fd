"""tools/environment.py, as a table of faked machines; and the lists and locks. Nothing is
downloaded."""
import os
import re
import shutil
import subprocess
import sys
import types

import pytest
from test_nvidia import A100, K80, NO_CUDA10, NONE, T4

from tools import environment
from tools.environment import CLASSIC, MODERN, MODERN_CPU

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\n' + text)
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """An empty checkout on a machine that has nothing: no Python, no GPU, no variables; the folder
    of its PATH is bin/, its home is home/."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(environment, 'ROOT', str(tmp_path))
    monkeypatch.setattr(environment, 'SYSTEM_CONDAS', [])
    monkeypatch.setattr(environment.shutil, 'disk_usage',
                        lambda path: types.SimpleNamespace(free=100e9))
    monkeypatch.setattr(environment.platform, 'system', lambda: 'Linux')
    monkeypatch.setattr(environment.platform, 'machine', lambda: 'x86_64')
    for name in ('RUNTIME', 'PYTHON', 'PYTHON37', 'PYENV_ROOT', 'CONDA_PREFIX', 'PIP_TARGET',
                 'PIP_USER', 'PIP_PREFIX'):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'))
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    for one in CLASSIC, MODERN, MODERN_CPU:
        (tmp_path / one.lock).parent.mkdir(exist_ok=True)
        (tmp_path / one.lock).write_text('the lock of %s\n' % one.folder)
    return tmp_path


# Python 3.7

GOOD = 'echo "$0"\n'                                     # a Python that passes the probe
REFUSES = 'echo "pyenv: python3.7: command not found" >&2\nexit 127\n'


@pytest.mark.parametrize('place', [
    'bin/python3.7', 'bin/python3', 'bin/python', '.python37/cpython-3.7.9-linux/bin/python3.7',
    'home/.pyenv/versions/3.7.16/bin/python3.7', 'home/miniconda3/envs/old/bin/python3.7',
    'home/.local/share/uv/python/cpython-3.7.9-linux-x86_64-gnu/bin/python3.7'])
def test_a_python37_is_found(machine, place):
    path = write_program(machine / place, GOOD)
    assert environment.find_python37() == path


def test_a_shim_that_refuses_is_passed_over(machine):
    write_program(machine / 'bin' / 'python3.7', REFUSES)
    path = write_program(machine / 'home/.pyenv/versions/3.7.16/bin/python3.7', GOOD)
    assert environment.find_python37() == path


@pytest.mark.parametrize('variable, place', [('PYENV_ROOT', 'versions/3.7.2/bin/python3.7'),
                                             ('CONDA_PREFIX', 'envs/old/bin/python3.7')])
def test_pyenv_and_conda_elsewhere(machine, monkeypatch, variable, place):
    monkeypatch.setenv(variable, str(machine / 'elsewhere'))
    path = write_program(machine / 'elsewhere' / place, GOOD)
    assert environment.find_python37() == path


def test_the_environments_that_conda_lists_elsewhere(machine):
    path = write_program(machine / 'far' / 'bin' / 'python3.7', GOOD)
    (machine / 'home' / '.conda').mkdir(parents=True)
    (machine / 'home' / '.conda' / 'environments.txt').write_text('/gone\n%s\n' % (machine / 'far'))
    assert environment.find_python37() == path


def test_the_probe_knows_versions():
    path, why_not = environment.run_probe(sys.executable, environment.PROBE_37)
    if sys.version_info[:2] == (3, 7):
        assert os.path.samefile(path, sys.executable)
    else:
        assert (path, why_not) == (None, 'is Python %d.%d' % sys.version_info[:2])


def test_python37_named_by_hand(machine, monkeypatch):
    write_program(machine / 'bin' / 'python3.7', GOOD)
    path = write_program(machine / 'mine', GOOD)
    monkeypatch.setenv('PYTHON37', path)
    assert environment.find_python37() == path
    write_program(machine / 'mine', REFUSES)
    for name, words in (path, 'will not do: pyenv'), ('nowhere', 'PYTHON37=nowhere is not a'):
        monkeypatch.setenv('PYTHON37', name)
        with pytest.raises(environment.Stop, match=words) as stop:
            environment.find_python37()
        assert type(stop.value) is environment.Stop      # the modern runtime is not taken instead
        assert stop.value.code == 2


@pytest.mark.parametrize('works', ['uv', 'uv with pip alone', 'conda', None])
def test_a_python37_is_fetched_with_uv_or_conda(machine, monkeypatch, works):
    write_program(machine / 'bin' / 'python3', 'echo "is Python 3.12" >&2\nexit 1\n')
    write_program(machine / 'bin' / 'conda', 'exit 1\n')
    fetched = machine / '.python37'

    def logged(log, *command, **variables):
        log[:] = ['no network for ' + ' '.join(command)]
        if command[0].endswith('/tool/bin/uv') and works and works.startswith('uv'):
            assert variables == {'UV_PYTHON_INSTALL_DIR': str(fetched)}
            write_program(fetched / 'cpython-3.7.9' / 'bin' / 'python3.7', GOOD)
            return True
        if command[0].endswith('/conda') and works == 'conda':
            write_program(fetched / 'conda' / 'bin' / 'python3.7', GOOD)
            return True
        return {'uv': environment.UV in command or 'venv' in command,
                'uv with pip alone': '--target' in command}.get(works, False)

    monkeypatch.setattr(environment, 'logged', logged)
    if works:
        inner = 'conda' if works == 'conda' else 'cpython-3.7.9'
        assert environment.find_python37() == str(fetched / inner / 'bin' / 'python3.7')
        return
    with pytest.raises(environment.NoPython37) as error:
        environment.find_python37()
    for words in ['is Python 3.12', 'fetching with uv', 'fetching with conda', 'no network',
                  'pyenv install 3.7.17', 'PYTHON37=']:
        assert words in str(error.value)
    assert not fetched.exists()


def test_another_kind_of_machine_is_not_searched(machine, monkeypatch):
    write_program(machine / 'bin' / 'python3.7', GOOD)
    monkeypatch.setattr(environment.platform, 'machine', lambda: 'aarch64')
    with pytest.raises(environment.NoPython37, match='this is Linux aarch64'):
        environment.find_python37()


def test_a_modern_python_is_found(machine, monkeypatch, capsys):
    with pytest.raises(environment.Stop, match='PYTHON='):
        environment.find_modern_python()
    later = write_program(machine / 'home/.pyenv/versions/3.11.7/bin/python3', GOOD)
    assert environment.find_modern_python() == later
    write_program(machine / 'bin' / 'python3.12', REFUSES)
    monkeypatch.setenv('PYTHON', 'nowhere')
    assert environment.find_modern_python() == later
    assert 'PYTHON=nowhere will not do' in capsys.readouterr().err


# The environments

@pytest.fixture
def empty(machine):
    """A real environment with nothing in it, as pip leaves it when PIP_TARGET is set, that says it
    was made from today's lock."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', CLASSIC.folder], check=True)
    (machine / CLASSIC.folder / 'classic.lock').write_text((machine / CLASSIC.lock).read_text())
    return machine / CLASSIC.folder


def test_an_environment_without_its_packages_cannot_be_used(empty, monkeypatch):
    assert 'numpy' in environment.trouble_with(CLASSIC)
    packages, = empty.glob('lib/python3*/site-packages')
    (packages / 'numpy.py').write_text('')
    assert environment.trouble_with(CLASSIC) == 'has no tensorflow'
    monkeypatch.setenv('PYTHONPATH', str(empty))
    (empty / 'tensorflow.py').write_text('')             # somebody else's
    assert environment.trouble_with(CLASSIC) == 'has no tensorflow'
    for name in CLASSIC.modules[1:]:
        (packages / (name + '.py')).write_text('raise SystemExit("does not import")')
    assert environment.trouble_with(CLASSIC) is None     # these take seconds
    assert environment.trouble_with(CLASSIC, imports_all=True) == 'does not import'
    with pytest.raises(environment.Stop, match=r'^.venv is complete, but cannot be used: does not '
                                               r'import\..* \(rm -r .venv\)') as stop:
        environment.provide(CLASSIC, None)
    assert stop.value.code == 1
    for name in CLASSIC.modules[1:]:
        (packages / (name + '.py')).write_text('')
    assert environment.trouble_with(CLASSIC, imports_all=True) is None
    (packages / 'numpy.py').write_text('import nothing_of_this_name')
    assert 'nothing_of_this_name' in environment.trouble_with(CLASSIC)


HAS_ALL = 'echo; echo all is here\n'


def test_an_environment_of_another_lock_or_python_cannot_be_used(machine):
    assert environment.trouble_with(CLASSIC) == 'is not complete'
    write_program(machine / CLASSIC.folder / 'bin' / 'python', HAS_ALL)
    assert environment.trouble_with(CLASSIC) == 'is not complete'
    copy = machine / CLASSIC.folder / 'classic.lock'
    copy.write_text('an older lock\n')
    assert 'another requirements/classic.lock' in environment.trouble_with(CLASSIC)
    copy.write_text((machine / CLASSIC.lock).read_text())
    assert environment.trouble_with(CLASSIC) is None
    write_program(machine / CLASSIC.folder / 'bin' / 'python', 'exit 0\n')      # /bin/true
    assert (environment.trouble_with(CLASSIC)
            == 'has a Python that does not run (exit code 0)')
    (machine / CLASSIC.folder / 'bin' / 'python').unlink()       # its Python was removed
    assert 'does not start' in environment.trouble_with(CLASSIC)


# A Python whose venv has a Python that notes how pip is called, fails if FAIL is set, and answers
# the check of the packages with the exit code CHECK.
MAKER = r"""[ "$2" = venv ] || exit 1
/bin/mkdir -p "$3/bin"
/bin/cat >"$3/bin/python" <<'END'
#!/bin/sh
[ "$2" = pip ] || { echo; echo all is here; exit ${CHECK:-0}; }
echo "$@ user=$PIP_USER target=$PIP_TARGET prefix=$PIP_PREFIX" >pip.log
exit ${FAIL:-0}
END
/bin/chmod +x "$3/bin/python"
"""


def test_an_environment_is_made_where_it_belongs(machine, monkeypatch, capfd):
    monkeypatch.setenv('PIP_USER', '1')
    monkeypatch.setenv('PIP_TARGET', '/elsewhere')
    monkeypatch.setenv('PIP_PREFIX', '/elsewhere')
    python = write_program(machine / 'maker', MAKER)
    assert environment.provide(CLASSIC, lambda: python) == '.venv'
    assert (machine / 'pip.log').read_text() == (
        '-m pip install --disable-pip-version-check -q --require-hashes '
        '-r requirements/classic.lock user=0 target= prefix=\n')
    assert '0.5 GB, about 2 minutes' in capfd.readouterr().err
    (machine / 'pip.log').unlink()
    assert environment.provide(CLASSIC, None) == '.venv'         # it is there
    assert not (machine / 'pip.log').exists()


def test_an_environment_replaces_a_link_and_not_what_it_leads_to(machine):
    (machine / 'other').mkdir()
    (machine / 'other' / 'file').write_text('')
    (machine / '.venv').symlink_to(machine / 'other')
    environment.provide(CLASSIC, lambda: write_program(machine / 'maker', MAKER))
    assert [path.name for path in (machine / 'other').iterdir()] == ['file']


@pytest.mark.parametrize('variable, words', [('FAIL', 'could not install'),
                                             ('CHECK', 'pip config list')])
def test_what_pip_did_not_make_is_not_good(machine, monkeypatch, variable, words):
    monkeypatch.setenv(variable, '1')
    python = write_program(machine / 'maker', MAKER)
    with pytest.raises(environment.Stop, match=words) as stop:
        environment.provide(CLASSIC, lambda: python)
    assert stop.value.code == 1
    monkeypatch.delenv(variable)
    assert environment.trouble_with(CLASSIC) == 'is not complete'


@pytest.mark.parametrize('environment_, free_gb, writable, sentence', [
    (CLASSIC, 0.2, True, 'The disk is full: .venv takes at least 1.5 GB, and 0.2 GB are free in '),
    (MODERN, 4.9, True, 'The disk is full: .venv-modern takes at least 5 GB, and 4.9 GB are free '),
    (CLASSIC, 100, False, ' cannot be written, and .venv is to be made in it.')])
def test_where_an_environment_cannot_be_written_none_is_made(
        machine, monkeypatch, environment_, free_gb, writable, sentence):
    monkeypatch.setattr(environment.shutil, 'disk_usage',
                        lambda path: types.SimpleNamespace(free=free_gb * 1e9))
    monkeypatch.setattr(environment.os, 'access', lambda path, mode: writable)
    with pytest.raises(environment.Stop) as stop:
        environment.provide(environment_, None)          # before a Python is looked for
    assert stop.value.code == 3
    assert sentence in str(stop.value)


# The commands

@pytest.fixture
def ask(machine, monkeypatch):
    """A function: the exit code of a command on a machine where every environment can be made."""
    def call(command, machine=NONE, python37=True, **variables):
        def provide(wanted, find_python):
            if wanted is CLASSIC and not python37:
                raise environment.NoPython37('No Python 3.7 found', 1)
            return wanted.folder
        kind = variables.pop('MACHINE', 'x86_64')
        monkeypatch.setattr(environment.platform, 'machine', lambda: kind)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(environment, 'look', lambda: machine)
        monkeypatch.setattr(environment, 'provide', provide)
        return environment.main([command])
    return call


@pytest.mark.parametrize('command, machine_, variables, answer', [
    ('bench', NONE, {}, '.venv'),
    ('bench', T4, {}, '.venv'),
    ('bench', NO_CUDA10, {}, '.venv-modern'),
    ('bench', A100, {}, '.venv-modern'),
    ('bench', A100, {'RUNTIME': ''}, '.venv-modern'),
    ('bench', A100, {'RUNTIME': 'classic'}, '.venv'),
    ('bench', K80._replace(missing=['libcudnn.so.7']), {'RUNTIME': 'classic'}, '.venv'),
    ('bench', T4, {'RUNTIME': 'modern'}, '.venv-modern'),
    ('bench', NONE, {'RUNTIME': 'modern'}, '.venv-modern-cpu'),
    ('bench', NONE, {'MACHINE': 'aarch64'}, '.venv-modern-cpu'),
    ('bench', A100, {'MACHINE': 'aarch64', 'RUNTIME': 'modern'}, '.venv-modern-cpu'),
    ('test', A100, {}, '.venv'),              # the tests need no GPU
    ('test', K80._replace(missing=['libcudnn.so.7']), {}, '.venv'),
    ('test', A100, {'RUNTIME': 'modern'}, '.venv-modern-cpu'),
    ('which', NONE, {}, 'classic'),
    ('which', T4, {}, 'classic'),
    ('which', NO_CUDA10, {}, 'modern'),
    ('which', A100, {}, 'modern'),
    ('which', A100, {'RUNTIME': 'classic'}, 'classic')])
def test_the_answer_is_the_only_line_on_stdout(ask, capsys, command, machine_, variables, answer):
    assert ask(command, machine_, **variables) == 0
    out, err = capsys.readouterr()
    assert out == answer + '\n'
    assert err or command != 'which'


def test_without_a_python37_the_modern_runtime_is_taken_and_remembered(ask, machine, capsys):
    marker = machine / '.python37-not-found'
    assert ask('bench', python37=False) == 0
    out, err = capsys.readouterr()
    assert out == '.venv-modern-cpu\n'
    assert 'No Python 3.7 found' in err and marker.exists()

    assert ask('test') == 0                              # not searched again
    out, err = capsys.readouterr()
    assert out == '.venv-modern-cpu\n'
    assert 'RUNTIME=classic looks again' in err
    assert ask('which') == 0
    assert capsys.readouterr().out == 'modern\n'

    assert ask('test', PYTHON37='/mine') == 0
    assert capsys.readouterr().out == '.venv\n'
    assert ask('test', RUNTIME='classic') == 0
    assert capsys.readouterr().out == '.venv\n'
    assert not marker.exists()
    assert ask('test', python37=False, RUNTIME='classic') == 1
    assert not marker.exists()


def test_bad_usage(ask, capsys):
    assert ask('bench', RUNTIME='newest') == 2
    assert ask('fly') == 2
    assert environment.main([]) == 2
    assert capsys.readouterr().out == ''


def test_it_runs_as_make_calls_it():
    done = subprocess.run([sys.executable, os.path.join(ROOT, 'tools', 'environment.py'), 'which'],
                          cwd='/', capture_output=True, text=True,
                          env=dict(os.environ, RUNTIME='modern'))
    assert (done.returncode, done.stdout) == (0, 'modern\n'), done.stderr


@pytest.mark.skipif(not shutil.which('make'), reason='no make')
def test_a_make_without_oneshell_says_so():
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith(('MAKE', 'MFLAGS'))}           # of the make of these tests
    done = subprocess.run(['make', '.FEATURES=', 'doctor'], cwd=ROOT, capture_output=True,
                          text=True, env=variables)
    assert done.returncode == 2
    assert 'is too old, as that of macOS is: this needs 3.82 or later' in done.stderr


def test_horovod_is_built_again_for_another_compiler_cuda_or_nccl(tmp_path):
    (tmp_path / 'requirements').mkdir()
    for name in 'horovod-classic.lock', 'classic.lock':
        (tmp_path / 'requirements' / name).write_text('tensorflow-gpu==1.15.0\n')
    write_program(tmp_path / 'bin' / 'python3', 'echo .venv\n')
    write_program(tmp_path / '.venv' / 'bin' / 'python', 'exit 0\n')
    write_program(tmp_path / 'tools' / 'horovod_wheel.sh',
                  'mkdir -p "$3"\n: >"$3/horovod-0.whl"\necho built >>builds\n')
    shutil.copy(os.path.join(ROOT, 'tools', 'horovod.sh'), str(tmp_path / 'tools'))
    nccl, variables = tmp_path / 'nccl' / 'include' / 'nccl.h', {}
    nccl.parent.mkdir(parents=True)

    def builds(**more):
        variables.update(more)
        own = {name: value for name, value in os.environ.items() if not name.startswith('HOROVOD_')}
        subprocess.run(['sh', 'tools/horovod.sh'], cwd=str(tmp_path), check=True, env=dict(
            own, PATH='%s:%s' % (tmp_path / 'bin', os.environ['PATH']),
            XDG_CACHE_HOME=str(tmp_path / 'cache'), HOROVOD_NCCL_HOME=str(tmp_path / 'nccl'),
            **variables))
        return (tmp_path / 'builds').read_text().count('built')

    assert [builds(), builds()] == [1, 1]
    nccl.write_text('#define NCCL_VERSION_CODE 22203\n')
    assert [builds(), builds()] == [2, 2]
    write_program(tmp_path / 'bin' / 'nvcc', 'echo release 12.4\n')
    assert [builds(), builds()] == [3, 3]
    assert [builds(CXXFLAGS='-O1'), builds()] == [4, 4]
    write_program(tmp_path / 'bin' / 'c++-15', 'echo 15.1\n')
    assert [builds(CXX='c++-15'), builds()] == [5, 5]
    write_program(tmp_path / 'bin' / 'c++-15', 'echo 15.2\n')
    assert [builds(), builds()] == [6, 6]


# The lists and locks

LOCKS = {'classic': ['requirements.txt', 'requirements/suite.txt', 'requirements/test.txt'],
         'modern': ['requirements/modern.txt', 'requirements/cuda.txt', 'requirements/suite.txt'],
         'modern-cpu': ['requirements/modern.txt', 'requirements/suite.txt',
                        'requirements/test.txt'],
         'horovod-classic': ['requirements/horovod.txt'],
         'horovod-modern': ['requirements/horovod.txt']}
NAMED = re.compile(r'^([A-Za-z][\w.-]*)(?:\[[\w-]+\])?(?:==([\w.]+))?', re.MULTILINE)


def packages(text):
    """The (name, version) of each line that names a package."""
    return {(name.lower().replace('_', '-'), version) for name, version in NAMED.findall(text)}


@pytest.mark.parametrize('name', sorted(LOCKS))
def test_the_locks_hold_what_the_lists_ask_for_and_name_no_place(name):
    asked = set()
    for path in LOCKS[name]:
        with open(os.path.join(ROOT, path)) as file:
            lines = file.read().splitlines()
        left_out = "python_version >= '3" if 'classic' in name else "python_version < '3"
        asked |= packages('\n'.join(line for line in lines if left_out not in line))
    with open(os.path.join(ROOT, 'requirements', name + '.lock')) as file:
        text = file.read()
    locked = packages(text)
    known = {package for package, _ in locked}
    versions = {package: {one for other, one in locked if other == package} for package in known}
    assert asked
    for package, version in asked:
        assert package in known
        assert not version or any(one == version or one == version + '.0'
                                  for one in versions[package]), package
    assert all(version for _, version in locked)
    assert ' '.join(LOCKS[name]) in text.splitlines()[1]
    assert not re.search(r'https?:|file:|--(extra-)?index-url|--find-links|@', text)
    assert text.count('--hash=sha256:') >= len(locked)
