"""tools/environment.py on faked machines; and the lists and locks. Nothing is downloaded."""
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import types

import pytest
from test_nvidia import A100, K80, NO_CUDA10, NONE, T4

from common.stop import Stop
from tools import environment
from tools.environment import CLASSIC, MODERN

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
    monkeypatch.setattr(environment, 'FOLDERS', [
        folder for folder in environment.FOLDERS if not folder.startswith('/')])
    monkeypatch.setattr(environment.shutil, 'disk_usage',
                        lambda path: types.SimpleNamespace(free=100e9))
    monkeypatch.setattr(environment.platform, 'system', lambda: 'Linux')
    monkeypatch.setattr(environment.platform, 'machine', lambda: 'x86_64')
    for name in list(os.environ):
        if name.startswith(('RUNTIME', 'PYTHON', 'PYENV', 'CONDA', 'PIP_', 'UV_', 'SSL_',
                            'REQUESTS_', 'CURL_')):
            monkeypatch.delenv(name)
    monkeypatch.setenv('PATH', str(tmp_path / 'bin'))
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    (tmp_path / 'requirements').mkdir()
    for name in 'classic', 'modern', 'cuda', 'uv':
        (tmp_path / 'requirements' / (name + '.lock')).write_text('uv==0.6.17\n')
    return tmp_path


# A uv that notes how it is called. It finds the Pythons on PATH that run, and with FETCHES fetches
# one; its environments answer the check of the packages with CHECK.
UV = r"""[ "$1" != --version ] || { echo uv 0.6.99; exit; }
[ "$2" = find ] || echo "$@" >>uv.log
case "$1 $2" in
'python find') IFS=:
    for folder in $UV_PYTHON_INSTALL_DIR/cpython/bin $PATH; do
        for name in python3.7 python3.11 python3; do
            case "$4 $("$folder/$name" -c '' 2>/dev/null)" in
            'cpython@3.7 3.7' | 'cpython>=3.10,<3.14 3.11') echo "$folder/$name"; exit ;; esac
        done
    done
    exit 2 ;;
'python install') [ "$FETCHES" ] || { echo no network >&2; exit 1; }
    /bin/mkdir -p "$UV_PYTHON_INSTALL_DIR/cpython/bin"
    printf '#!/bin/sh\necho 3.7\n' >"$UV_PYTHON_INSTALL_DIR/cpython/bin/python3.7"
    /bin/chmod +x "$UV_PYTHON_INSTALL_DIR/cpython/bin/python3.7" ;;
'venv -q') /bin/mkdir -p "$5/bin"
    printf '#!/bin/sh\necho; echo all is installed; exit ${CHECK:-0}\n' >"$5/bin/python"
    /bin/chmod +x "$5/bin/python" ;;
'pip install') exit ${FAIL:-0} ;;
esac
"""


@pytest.fixture
def uv(machine, monkeypatch):
    """A uv on PATH, and a Python without pip."""
    monkeypatch.setattr(sys, 'executable', '/nowhere')
    return write_program(machine / 'bin' / 'uv', UV)


# Python

REFUSES = 'echo "pyenv: python3.7: command not found" >&2\nexit 127\n'


@pytest.mark.parametrize('place, variable', [
    ('bin/python3', None),
    ('.python37/cpython/bin/python3.7', None),
    ('home/.pyenv/versions/3.7.16/bin/python3.7', None),
    ('elsewhere/versions/3.7.2/bin/python3.7', 'PYENV_ROOT'),
    ('home/miniconda3/bin/python3.7', None),
    ('home/miniforge3/envs/old/bin/python3.7', None),
    ('elsewhere/envs/old/bin/python3.7', 'CONDA_PREFIX'),
    ('home/.local/share/uv/python/cpython-3.7.9-linux-x86_64-gnu/bin/python3.7', None)])
def test_a_python37_is_found(machine, monkeypatch, uv, place, variable):
    write_program(machine / 'bin' / 'python3.7', REFUSES)        # pyenv's shim is passed over
    if variable:
        monkeypatch.setenv(variable, str(machine / 'elsewhere'))
    path = write_program(machine / place, 'echo 3.7\n')
    assert environment.find_python37() == path
    assert not (machine / 'uv.log').exists()             # none is fetched


@pytest.mark.parametrize('text, words', [
    (REFUSES, 'mine cannot be used: pyenv: python3.7: command not found'),
    ('echo 3.11\n', 'mine cannot be used: is Python 3.11'), (None, 'No such file')])
def test_a_python_named_by_hand(machine, monkeypatch, uv, capsys, text, words):
    found = write_program(machine / 'bin' / 'python3.7', 'echo 3.7\n')
    named = write_program(machine / 'mine', 'echo 3.7\n')
    monkeypatch.setenv('PYTHON37', named)
    assert environment.find_python37() == named
    (machine / 'mine').unlink()
    if text:
        write_program(machine / 'mine', text)
    with pytest.raises(Stop, match=words) as stop:
        environment.find_python37()
    assert stop.value.code == 2                          # the modern runtime is not used instead

    monkeypatch.setenv('PYTHON', found)
    with pytest.raises(Stop, match='needs a Python from 3.10 to 3.13, and none') as stop:
        environment.find_modern_python()
    assert stop.value.code == 1
    assert 'python3.7 cannot be used: is Python 3.7. Looking for' in capsys.readouterr().err
    later = write_program(machine / 'home/.pyenv/versions/3.11.7/bin/python3.11', 'echo 3.11\n')
    assert environment.find_modern_python() == later
    monkeypatch.setenv('PYTHON', write_program(machine / 'mine', 'echo 3.12\n'))
    assert environment.find_modern_python() == named


@pytest.mark.parametrize('fetches', ['1', ''])
def test_a_python37_is_fetched(machine, monkeypatch, uv, capfd, fetches):
    write_program(machine / 'bin' / 'python3', 'echo 3.11\n')
    monkeypatch.setenv('FETCHES', fetches)
    path = environment.find_python37()
    assert (machine / 'uv.log').read_text() == 'python install 3.7.9\n'
    said = capfd.readouterr().err
    if fetches:
        assert path == str(machine / '.python37/cpython/bin/python3.7')
        return
    assert path is None
    for words in 'no network', 'pyenv install 3.7.17', 'PYTHON37=/path/to/python3.7 make test':
        assert words in said
    assert not (machine / '.python37').exists()


def test_another_kind_of_machine_is_not_searched(machine, monkeypatch, capsys):
    monkeypatch.setattr(environment.platform, 'machine', lambda: 'aarch64')
    assert environment.find_python37() is None
    assert 'this is Linux aarch64' in capsys.readouterr().err


# uv

PIP = """case "$1 $2 $3" in
'-m venv .venv-uv') %s; /bin/mkdir -p .venv-uv/bin; /bin/cp "$0" .venv-uv/bin/python ;;
'-m pip install') %s; /bin/mkdir -p .venv-uv/bin; /bin/cp home/uv .venv-uv/bin/uv ;;
'-m pip config') /bin/cat home/pip.conf ;;
esac
"""


@pytest.mark.parametrize('venv, pip, is_installed', [
    ('', '', True), ('echo no ensurepip; exit 1', '', True), ('', 'echo no network; exit 1', False),
    ('echo no ensurepip; exit 1', 'echo no module pip; exit 1', False)])
def test_uv_is_installed_into_the_checkout(machine, monkeypatch, capsys, venv, pip, is_installed):
    write_program(machine / 'home' / 'uv', UV)
    write_program(machine / 'bin' / 'uv', 'echo uv 0.9.1\n')     # another series offers no 3.7
    monkeypatch.setattr(sys, 'executable', write_program(
        machine / 'python3', PIP % (venv or ':', pip or ':')))
    if is_installed:
        assert environment.find_uv() == str(machine / '.venv-uv' / 'bin' / 'uv')
        monkeypatch.setattr(sys, 'executable', '/nowhere')
        assert environment.find_uv() == str(machine / '.venv-uv' / 'bin' / 'uv')
        return
    with pytest.raises(Stop, match='could not install uv.*or put uv 0.6 on PATH') as stop:
        environment.find_uv()
    assert stop.value.code == 1
    assert ' '.join(pip.split(';')[0].split()[1:]) in capsys.readouterr().err


def test_uv_has_the_users_indexes_and_nothing_that_leads_it_elsewhere(machine, monkeypatch):
    (machine / 'home').mkdir()
    (machine / 'home' / 'pip.conf').write_text(r"""
:env:.timeout='60'
global.cert='/etc/ca.pem'
global.constraint='/etc/constraints.txt'
global.extra-index-url='\nhttps://a/simple\nhttps://b/simple'
global.find-links='/opt/a /opt/b'
global.index-url='https://mirror/simple'
install.index-url='https://nearer/simple'
""")
    monkeypatch.setattr(sys, 'executable', write_program(machine / 'python3', PIP % (':', ':')))
    for name in ('PYTHONPATH', 'PIP_CONSTRAINT', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_USER',
                 'UV_TARGET', 'UV_CONSTRAINT', 'UV_PYTHON', 'UV_EXCLUDE_NEWER', 'UV_NATIVE_TLS'):
        monkeypatch.setenv(name, 'mine')
    variables = environment.uv_variables()
    assert variables.pop('UV_PYTHON_INSTALL_DIR') == str(machine / '.python37')
    assert {name: value for name, value in variables.items() if value != os.environ.get(name)} == {
        'PIP_USER': '0', 'PIP_CONSTRAINT': os.devnull, 'UV_INDEX_STRATEGY': 'unsafe-best-match',
        'UV_HTTP_TIMEOUT': '60', 'SSL_CERT_FILE': '/etc/ca.pem', 'UV_FIND_LINKS': '/opt/a,/opt/b',
        'UV_INDEX': 'https://a/simple https://b/simple',
        'UV_DEFAULT_INDEX': 'https://nearer/simple'}
    assert variables['UV_NATIVE_TLS'] == 'mine'
    assert 'mine' not in [value for name, value in variables.items() if name != 'UV_NATIVE_TLS']
    monkeypatch.setenv('UV_DEFAULT_INDEX', 'https://mine/simple')
    assert environment.uv_variables()['UV_DEFAULT_INDEX'] == 'https://mine/simple'
    monkeypatch.setenv('UV_INDEX_URL', 'https://mine/simple')
    monkeypatch.delenv('UV_DEFAULT_INDEX')
    assert 'UV_DEFAULT_INDEX' not in environment.uv_variables()


# The environments

@pytest.fixture
def empty(machine):
    """A real environment with nothing in it that says it was made from today's lock."""
    subprocess.run([sys.executable, '-m', 'venv', '--without-pip', CLASSIC.folder], check=True)
    (machine / CLASSIC.folder / 'lock').write_text((machine / CLASSIC.locks[0]).read_text())
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
    with pytest.raises(Stop, match=r'^.venv is complete, but cannot be used: does not '
                                   r'import\..* \(rm -r .venv\)') as stop:
        environment.provide(CLASSIC, None)
    assert stop.value.code == 1
    for name in CLASSIC.modules[1:]:
        (packages / (name + '.py')).write_text('')
    assert environment.provide(CLASSIC, None) == '.venv'
    (packages / 'numpy.py').write_text('import nothing_of_this_name')
    assert 'nothing_of_this_name' in environment.trouble_with(CLASSIC)


def test_an_environment_is_made_where_it_belongs(machine, uv, capfd):
    (machine / 'other').mkdir()
    (machine / 'other' / 'file').write_text('')
    (machine / '.venv-modern').symlink_to(machine / 'other')     # a link is replaced
    assert environment.provide(MODERN, lambda: '/my/python') == '.venv-modern'
    assert (machine / 'uv.log').read_text() == (
        'venv -q --python /my/python .venv-modern\n'
        'pip install -q --python .venv-modern/bin/python --require-hashes '
        '-r requirements/modern.lock --build-constraints requirements/modern.lock '
        '-r requirements/cuda.lock --build-constraints requirements/cuda.lock\n')
    assert '3.2 GB, about 8 minutes' in capfd.readouterr().err
    assert environment.provide(MODERN, None) == '.venv-modern'   # it is complete
    assert [path.name for path in (machine / 'other').iterdir()] == ['file']


@pytest.mark.parametrize('change, trouble', [
    (lambda folder: (folder / 'lock').unlink(), 'is not complete'),      # was interrupted
    (lambda folder: (folder / 'lock').write_text('an older lock\n'),
     'was made from another requirements/classic.lock'),
    (lambda folder: write_program(folder / 'bin' / 'python', 'exit 0\n'),
     'has a Python that does not run (exit code 0)'),
    (lambda folder: (folder / 'bin' / 'python').unlink(), 'has a Python that does not start (')])
def test_an_environment_that_is_not_whole_is_made_again(machine, uv, capfd, change, trouble):
    environment.provide(CLASSIC, lambda: '/my/python')
    change(machine / '.venv')
    assert environment.trouble_with(CLASSIC).startswith(trouble)
    assert environment.provide(CLASSIC, lambda: '/my/python') == '.venv'
    assert '.venv ' + trouble in capfd.readouterr().err
    assert environment.trouble_with(CLASSIC) is None
    assert environment.provide(CLASSIC, None) == '.venv'


@pytest.mark.parametrize('variable, words', [
    ('FAIL', 'uv could not install requirements/classic.lock into .venv; its reason is above'),
    ('CHECK', 'uv installed requirements/classic.lock, but .venv has a Python that does not run')])
def test_what_uv_did_not_make_is_not_good(machine, monkeypatch, uv, variable, words):
    monkeypatch.setenv(variable, '1')
    with pytest.raises(Stop, match=words) as stop:
        environment.provide(CLASSIC, lambda: '/my/python')
    assert stop.value.code == 1
    monkeypatch.delenv(variable)
    assert environment.trouble_with(CLASSIC) == 'is not complete'


def test_two_calls_at_once_wait_for_each_other(machine, uv, monkeypatch, capfd):
    process = subprocess.Popen([shutil.which('python3', path=os.defpath), '-c', """if True:
        import os, sys
        from common import files
        held = files.lock('.')
        print('locked', flush=True)
        sys.stdin.readline()
        os.makedirs('.venv/bin')
        with open('.venv/bin/python', 'w') as file:
            file.write('#!/bin/sh\\necho; echo all is installed\\n')
        os.chmod('.venv/bin/python', 0o755)
        with open('.venv/lock', 'w') as file:
            file.write('uv==0.6.17\\n')"""], env={'PYTHONPATH': ROOT}, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'locked\n'
    flock = fcntl.flock

    def flock_after_the_other(held, how):
        if how == fcntl.LOCK_EX:                         # it waits
            process.communicate(b'\n')
        flock(held, how)
    monkeypatch.setattr(fcntl, 'flock', flock_after_the_other)
    assert environment.provide(CLASSIC, None) == '.venv'         # the other one has made it
    assert capfd.readouterr().err.startswith('Waiting for another make, which is making an env')


@pytest.mark.parametrize('environment_, free_gb, writable, sentence', [
    (CLASSIC, 0.2, True, 'The disk is full: .venv takes at least 1.5 GB, and 0.2 GB are free in '),
    (MODERN, 4.9, True, 'The disk is full: .venv-modern takes at least 5 GB, and 4.9 GB are free '),
    (CLASSIC, 100, False, ' is not writable, so .venv cannot be created there; use a writable')])
def test_where_an_environment_cannot_be_written_none_is_made(
        machine, monkeypatch, environment_, free_gb, writable, sentence):
    monkeypatch.setattr(environment.shutil, 'disk_usage',
                        lambda path: types.SimpleNamespace(free=free_gb * 1e9))
    monkeypatch.setattr(environment.os, 'access', lambda path, mode: writable)
    with pytest.raises(Stop) as stop:
        environment.provide(environment_, None)          # before a Python is looked for
    assert stop.value.code == 3
    assert sentence in str(stop.value)


# The commands

@pytest.fixture
def ask(machine, monkeypatch):
    """A function: the exit code of a command on a machine where every environment can be made."""
    def call(command, machine=NONE, python37=True, **variables):
        def provide(wanted, find_python):
            return wanted.folder if wanted is not CLASSIC or python37 else None
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
    assert 'no Python 3.7 was found' in err and marker.exists()

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


def test_it_runs_as_make_calls_it_with_the_standard_library_alone():
    done = subprocess.run(
        [sys.executable, '-S', os.path.join(ROOT, 'tools', 'environment.py'), 'which'],
        cwd='/', capture_output=True, text=True, env=dict(os.environ, RUNTIME='modern'))
    assert (done.returncode, done.stdout) == (0, 'modern\n'), done.stderr


@pytest.mark.skipif(not shutil.which('make'), reason='no make')
def test_a_make_without_oneshell_says_so():
    variables = {name: value for name, value in os.environ.items()
                 if not name.startswith(('MAKE', 'MFLAGS'))}           # of the make of these tests
    done = subprocess.run(['make', '.FEATURES=', 'doctor'], cwd=ROOT, capture_output=True,
                          text=True, env=variables)
    assert done.returncode == 2
    assert 'is too old, as that of macOS is: this needs 3.82 or later' in done.stderr


def test_make_passes_a_dollar_on_to_the_shell():
    done = subprocess.run(['make', '-n', 'compare', 'A=$HOME/a', "B='b$1'", "ARGS=--csv 'c$$.csv'"],
                          cwd=ROOT, capture_output=True, text=True)
    assert """ -m suite compare $HOME/a 'b$1' --csv 'c$$.csv'; fi\n""" in done.stdout


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
    with open(str(tmp_path / '.venv' / 'horovod'), 'a') as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        second = subprocess.Popen(['sh', 'tools/horovod.sh'], cwd=str(tmp_path), env=dict(
            os.environ, PATH='%s:%s' % (tmp_path / 'bin', os.environ['PATH'])),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)
        assert b'Waiting for another make horovod in ' in second.stderr.readline()
        os.killpg(second.pid, signal.SIGKILL)            # and the flock that waits
        second.communicate()
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

# The lists of each lock; the lock below has what it lacks.
LOCKS = {'classic': (['requirements.txt', 'requirements/suite.txt', 'requirements/test.txt'], None),
         'modern': (['requirements/modern.txt', 'requirements/suite.txt', 'requirements/test.txt'],
                    None),
         'cuda': (['requirements/modern.txt', 'requirements/cuda.txt'], 'modern'),
         'horovod-classic': (['requirements/horovod.txt'], 'classic'),
         'horovod-modern': (['requirements/horovod.txt'], 'modern'),
         'uv': (['requirements/uv.txt'], None)}
NAMED = re.compile(r'^([A-Za-z][\w.-]*)(?:\[[\w-]+\])?(?:==([\w.]+))?', re.MULTILINE)


def read(path):
    with open(os.path.join(ROOT, path)) as file:
        return file.read()


def packages(text):
    """The (name, version) of each line that names a package."""
    return {(name.lower().replace('_', '-'), version) for name, version in NAMED.findall(text)}


@pytest.mark.parametrize('name', sorted(LOCKS))
def test_the_locks_hold_what_the_lists_ask_for_and_name_no_place(name):
    lists, below = LOCKS[name]
    left_out = "python_version >= '3" if 'classic' in name else "python_version < '3"
    lines = [line for path in lists for line in read(path).splitlines() if left_out not in line]
    text = read('requirements/%s.lock' % name)
    locked = packages(text) | (packages(read('requirements/%s.lock' % below)) if below else set())
    for package, version in packages('\n'.join(lines)):
        versions = {locked_version for other, locked_version in locked if other == package}
        assert versions, package
        assert not version or {version, version + '.0'} & versions, package
    assert text.startswith('# Made by tools/locks.py from %s\n' % ', '.join(lists))
    assert not re.search(r'https?:|file:|--(extra-)?index-url|--find-links|@', text)
    entry = re.compile(r'[\w.-]+==[\w.]+( ; [^\\]+)?( \\\n    --hash=sha256:[0-9a-f]{64})+$')
    assert [line for line in re.split(r'\n(?! )', text.rstrip())[1:] if not entry.match(line)] == []


@pytest.mark.skipif(sys.version_info < (3, 11), reason='no tomllib')
@pytest.mark.parametrize('wheel, targets', [
    ('absl_py-2.5.1-py3-none-any.whl', 8), ('astunparse-1.6.3-py2.py3-none-any.whl', 8),
    ('numpy-2.4.6-cp311-cp311-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl', 1),
    ('numpy-2.4.6-cp313-cp313t-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl', 0),
    ('numpy-2.4.6-cp314-cp314-manylinux_2_27_x86_64.whl', 0),
    ('numpy-2.4.6-pp311-pypy311_pp73-manylinux_2_27_x86_64.whl', 0),
    ('numpy-2.4.6-cp312-cp312-musllinux_1_2_x86_64.whl', 0),
    ('numpy-2.4.6-cp312-cp312-macosx_14_0_arm64.whl', 0),
    ('psutil-7.2.2-cp36-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64.whl', 4),
    ('cryptography-1-cp312-abi3-manylinux_2_28_x86_64.whl', 2),
    ('uv-0.6.17-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl', 4)])
def test_a_lock_has_the_wheels_that_are_installed_here(wheel, targets):
    from tools import locks
    assert len(locks.targets(wheel, locks.MODERN, locks.BOTH)) == targets
