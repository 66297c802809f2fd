"""Provides the Python environment for the commands of the Makefile; makes it if it is missing.

    python3 tools/environment.py bench    prints the folder of the environment for the benchmarks
    python3 tools/environment.py test     prints the folder of the environment for the tests
    python3 tools/environment.py which    prints `classic` or `modern`: the runtime `bench` would
                                          use on this machine; installs nothing

The answer goes to stdout, all messages go to stderr. Exit codes: 1 an environment could not be
made, 2 bad usage, 3 no runtime installed by pip can use this machine's GPU as things are, or the
disk is full or not writable (the message says what to do).

RUNTIME=classic or RUNTIME=modern chooses the runtime. PYTHON37=/path/to/python3.7 and
PYTHON=/path/to/python3.12 choose the Python from which the environment is made.

uv makes the environments; it is installed into .venv-uv. Needs only the standard library, of
Python 3.8 or later.
"""
import ast
import contextlib
import glob
import os
import pickle
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path.insert(0, ROOT)

from common import files  # noqa: E402
from common.machine import nvidia  # noqa: E402
from common.stop import Stop  # noqa: E402

UV_FOLDER, UV_LOCK = '.venv-uv', 'requirements/uv.lock'
FETCHED = '.python37'                # the folder of a fetched Python 3.7
MODERN_PYTHONS = '3.10', '3.11', '3.12', '3.13'
# Where Pythons are beside PATH, in the order of preference.
FOLDERS = ['$PYENV_ROOT/versions/*/bin', '~/.pyenv/versions/*/bin', '$CONDA_PREFIX/envs/*/bin',
           '~/*conda*/bin', '~/*conda*/envs/*/bin', '~/.conda/envs/*/bin', '~/*forge*/bin',
           '~/*forge*/envs/*/bin', '~/micromamba/envs/*/bin', '/opt/*conda*/bin',
           '/opt/*conda*/envs/*/bin', '~/.local/share/uv/python/*/bin']
NOT_FOUND = '.python37-not-found'    # a search failed: only RUNTIME=classic or PYTHON37 repeats it
NO_GPU = nvidia.Machine(0, None, [], [], None, None, [])

# What of the user's variables for uv reaches it: where it gets packages from, and how.
UV_VARIABLES = re.compile('UV_(.*INDEX.*|FIND_LINKS|OFFLINE|NATIVE_TLS|INSECURE_HOST|KEYRING.*|'
                          'HTTP_TIMEOUT|REQUEST_TIMEOUT|CONCURRENT.*|CACHE_DIR|NO_CACHE|LINK_MODE|'
                          'CONFIG_FILE|PYTHON_INSTALL_MIRROR)$')
# pip's settings that uv has too, under these names.
PIP_SETTINGS = {'index-url': 'UV_DEFAULT_INDEX', 'extra-index-url': 'UV_INDEX',
                'find-links': 'UV_FIND_LINKS', 'no-index': 'UV_NO_INDEX', 'cert': 'SSL_CERT_FILE',
                'client-cert': 'SSL_CLIENT_CERT', 'trusted-host': 'UV_INSECURE_HOST',
                'proxy': 'ALL_PROXY', 'timeout': 'UV_HTTP_TIMEOUT',
                'default-timeout': 'UV_HTTP_TIMEOUT'}


class Environment(NamedTuple):
    """An environment: its folder, its locks, its download size and time, the least disk space that
    it takes, and the modules that a complete environment has."""
    folder: str
    locks: List[str]
    download: str
    disk_gb: float
    modules: List[str]


SUITE = ['numpy', 'tensorflow', 'jinja2', 'fastjsonschema', 'pytest']
CLASSIC = Environment('.venv', ['requirements/classic.lock'], '0.5 GB, about a minute', 1.5, SUITE)
MODERN_CPU = Environment('.venv-modern-cpu', ['requirements/modern.lock'],
                         '0.6 GB, about 2 minutes', 2, SUITE + ['tf_keras', 'tf_slim'])
MODERN = Environment('.venv-modern', MODERN_CPU.locks + ['requirements/cuda.lock'],
                     '3.2 GB, about 8 minutes', 5, MODERN_CPU.modules + ['nvidia.cudnn'])


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# The runtime

def choose(machine: nvidia.Machine, no_python37: Optional[str]) -> Tuple[str, str]:
    """Returns the runtime for a machine, 'classic' or 'modern', and the reason.

    no_python37: why the classic runtime has no Python here; None if it has one or may find one.
    Raises Stop, with exit code 3, for a GPU that neither runtime can use as things are.
    """
    modern_needs = nvidia.MODERN._replace(has_cuda=not nvidia.is_arm())
    classic, modern = (nvidia.diagnose(machine, nvidia.CLASSIC),     # modern: pip has its libraries
                       nvidia.diagnose(machine._replace(missing=[]), modern_needs))
    if not classic and not no_python37:
        return 'classic', nvidia.describe(machine) if machine.gpus else nvidia.no_gpu(machine)
    if not modern:
        return 'modern', classic[0] if classic else str(no_python37)
    problems = [nvidia.sentence(modern)]
    if classic and not wrong_machine():
        problems.insert(0, nvidia.sentence(classic))
    elif not wrong_machine():
        problems.insert(0, '%s can use TensorFlow %s, but %s: use the image (README, "In a '
                        'container").' % (nvidia.describe(machine), nvidia.CLASSIC.tensorflow,
                                          no_python37))
    raise Stop('%s\nFor CPU figures: make bench RUNTIME=%s ARGS="--device cpu"' % (
        '\n'.join(dict.fromkeys(problems)), 'modern' if no_python37 else 'classic'))


def look() -> nvidia.Machine:
    """Examines this machine, in a child process: a driver that hangs or crashes ends that one.
    Raises Stop then."""
    script = ('import pickle, sys; from common.machine import nvidia; '
              'print("\\n" + pickle.dumps(nvidia.look(sys.argv[1:])).hex())')
    try:
        done = subprocess.run([sys.executable, '-c', script, *nvidia.CLASSIC.libraries], cwd=ROOT,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError):
        raise Stop('The NVIDIA driver of this machine hangs or crashes: see `nvidia-smi` and '
                   '`dmesg`, reboot. For CPU figures: make bench RUNTIME=classic ARGS="--device '
                   'cpu"') from None
    return pickle.loads(bytes.fromhex(done.stdout.split()[-1].decode()))


def wrong_machine() -> Optional[str]:
    """Returns why TensorFlow 1.15 cannot be installed on this kind of machine, else None."""
    machine = '%s %s' % (platform.system(), platform.machine())
    return None if machine == 'Linux x86_64' else (
        'tensorflow-gpu 1.15 has wheels for x86-64 Linux only (and Windows, where make is no '
        'help); this is %s' % machine)


# Python

def named_python(variable: str, versions: Sequence[str]) -> Tuple[Optional[str], str]:
    """Returns the Python that the user names in a variable, None if it is not set or cannot be
    used, and in that case what to say."""
    named = os.environ.get(variable)
    if not named:
        return None, ''
    script = 'import sys; print("%d.%d" % sys.version_info[:2])'
    try:
        done = subprocess.run([named, '-c', script], stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        return None, '%s=%s cannot be used: %s' % (variable, named, error)
    version = done.stdout.decode().strip()
    if version in versions:
        return named, ''
    lines = done.stderr.decode(errors='replace').splitlines() or ['is Python ' + version]
    return None, '%s=%s cannot be used: %s' % (variable, named, lines[0])


def find_python(versions: str) -> Optional[str]:
    """Returns the path of a Python that runs, on PATH, in FETCHED or in FOLDERS, None if there is
    none. `versions` is such as '@3.7' or '>=3.10,<3.14'."""
    variables = uv_variables()
    folders = [path for folder in FOLDERS
               for path in sorted(glob.glob(os.path.expanduser(os.path.expandvars(folder))))]
    variables['PATH'] = os.pathsep.join([variables.get('PATH', os.defpath)] + folders)
    done = subprocess.run([find_uv(), 'python', 'find', '--system', 'cpython' + versions],
                          env=variables, stdin=subprocess.DEVNULL, capture_output=True)
    return done.stdout.decode().strip() if done.returncode == 0 else None


def find_python37() -> Optional[str]:
    """Returns the path of a Python 3.7 that runs; fetches one into FETCHED if there is none. Where
    that fails too it says so and returns None. Raises Stop for a PYTHON37 that will not do."""
    if wrong_machine():
        say(wrong_machine() + '. Use an x86-64 Linux machine, or a container or virtual machine of '
            'that kind.')
        return None
    python, why_not = named_python('PYTHON37', ['3.7'])
    if why_not:
        raise Stop(why_not, 2)
    python = python or find_python('@3.7')
    if not python:
        say('No Python 3.7 was found: fetching one (up to 100 MB, about a minute) into %s ...'
            % FETCHED)
        subprocess.run([find_uv(), 'python', 'install', '3.7.9'], env=uv_variables(),
                       stdin=subprocess.DEVNULL, stdout=sys.stderr)
        python = find_python('@3.7')
    if python:
        say('Python 3.7: %s' % python)
        return python
    shutil.rmtree(FETCHED, ignore_errors=True)
    say('No Python 3.7 was found on PATH, in pyenv, conda or uv, and TensorFlow 1.15 runs on no '
        'later one. Why uv could not fetch one is above. Do one of these, then give the same '
        'command again:\n'
        '  pyenv install 3.7.17\n'
        '  conda create -n python37 -c conda-forge python=3.7\n'
        '  name one that you have: PYTHON37=/path/to/python3.7 make test')
    return None


def find_modern_python() -> str:
    """Returns the path of a Python from 3.10 to 3.13 that runs. Raises Stop."""
    python, why_not = named_python('PYTHON', MODERN_PYTHONS)
    if why_not:
        say(why_not + '. Looking for another.')
    python = python or find_python('>=3.10,<3.14')
    if python:
        return python
    raise Stop('The modern runtime needs a Python from 3.10 to 3.13, and none was found on PATH, '
               'in pyenv, conda or uv. Install one (on Debian and Ubuntu: apt-get install '
               'python3), or name one: PYTHON=/path/to/python3.12', 1)


# uv

def variables() -> Dict[str, str]:
    """Returns this process's environment variables for pip and uv, without those that lead them to
    other packages, versions or folders than the locks' (PYTHONPATH, PIP_CONSTRAINT, ...)."""
    kept = {name: value for name, value in os.environ.items()
            if name not in ('PYTHONPATH', 'PYTHONHOME', 'PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT',
                            'VIRTUAL_ENV', 'CONDA_PREFIX')
            and not (name.startswith('UV_') and not UV_VARIABLES.match(name))}
    # Also where pip.conf says otherwise.
    return dict(kept, PIP_USER='0', PIP_CONSTRAINT=os.devnull)


def uv_variables() -> Dict[str, str]:
    """Returns variables() with pip's indexes and certificates, which uv does not read itself. The
    user's own variables for uv come first."""
    settings = {}                                        # type: Dict[str, str]
    for python in UV_FOLDER + '/bin/python', sys.executable:
        try:
            done = subprocess.run([python, '-m', 'pip', 'config', 'list'], env=variables(),
                                  stdin=subprocess.DEVNULL, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        for section in 'global', 'install', ':env:':     # the last counts
            for name, value in re.findall(r'(?m)^%s\.([a-z-]+)=(.*)' % section,
                                          done.stdout.decode(errors='replace')):
                separator = ',' if name == 'find-links' else ' '
                if name in PIP_SETTINGS:
                    settings[PIP_SETTINGS[name]] = separator.join(ast.literal_eval(value).split())
        break
    for name in 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE':  # pip reads these too
        if os.environ.get(name):
            settings.setdefault('SSL_CERT_FILE', os.environ[name])
    if os.environ.get('UV_INDEX_URL'):                   # the old name of UV_DEFAULT_INDEX
        settings.pop('UV_DEFAULT_INDEX', None)
    # As pip does, look for a version in all indexes; the hashes say which file it must be.
    return {'UV_INDEX_STRATEGY': 'unsafe-best-match', **settings, **variables(),
            'UV_PYTHON_INSTALL_DIR': os.path.abspath(FETCHED)}


def find_uv() -> str:
    """Returns the path of uv: of the version in its lock, or one of the same series on PATH.
    Installs it into UV_FOLDER if there is none. Raises Stop."""
    series = re.search(r'^uv==(\d+\.\d+)\.', text_of([UV_LOCK]), re.MULTILINE).group(1)
    uv = os.path.abspath(UV_FOLDER + '/bin/uv')
    for path in filter(None, (uv, shutil.which('uv'))):
        with contextlib.suppress(OSError):
            done = subprocess.run([path, '--version'], stdin=subprocess.DEVNULL,
                                  capture_output=True)
            if done.stdout.decode().startswith('uv %s.' % series):
                return path
    shutil.rmtree(UV_FOLDER, ignore_errors=True)
    pip = ['-m', 'pip', 'install', '-q', '--disable-pip-version-check', '--require-hashes', '-r',
           UV_LOCK]
    # A Debian python3 without python3-venv cannot make a venv, but may have pip.
    for commands in ([[sys.executable, '-m', 'venv', UV_FOLDER], [UV_FOLDER + '/bin/python', *pip]],
                     [[sys.executable, *pip, '--target', UV_FOLDER]]):
        for command in commands:
            done = subprocess.run(command, env=variables(), stdin=subprocess.DEVNULL,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            if done.returncode != 0:
                break
        else:
            return uv
    say(done.stdout.decode(errors='replace').rstrip())
    raise Stop('%s could not install uv, which makes the environments; the reason is above. '
               'Without a network: connect, or name a mirror in PIP_INDEX_URL. Without pip and '
               'venv (Debian, Ubuntu): apt-get install python3-venv, or put uv %s on PATH.'
               % (sys.executable, series), 1)


# The environments

def text_of(paths: List[str]) -> str:
    """Returns the text of files, such as an environment's locks, of which a complete environment
    has a copy."""
    return ''.join(Path(path).read_text() for path in paths)


def trouble_with(environment: Environment, imports_all: bool = False) -> Optional[str]:
    """Returns why an environment cannot be used as it is, None if it can.

    Its copy of the locks must equal the locks, numpy must import, and the other modules must exist;
    all must import if `imports_all`, which takes seconds. -I leaves out modules from elsewhere
    (PYTHONPATH, the user's own), which would hide that the environment is empty.
    """
    try:
        if text_of([environment.folder + '/lock']) != text_of(environment.locks):
            return 'was made from another %s' % ' and '.join(environment.locks)
    except OSError:
        return 'is not complete'
    check = ('import numpy\nfrom importlib import import_module, util\n'
             'for name in %r:\n'
             '    if util.find_spec(name) is None: raise SystemExit("has no " + name)\n'
             '    if %r: import_module(name)\n'
             'print("\\nall is installed")' % (environment.modules, imports_all))
    try:
        done = subprocess.run([environment.folder + '/bin/python', '-I', '-c', check],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env=dict(os.environ, TF_USE_LEGACY_KERAS='1'))     # as common/tf1.py
    except OSError as error:
        return 'has a Python that does not start (%s)' % error
    if done.returncode == 0 and done.stdout.decode().endswith('\nall is installed\n'):
        return None
    return (done.stderr.decode(errors='replace').strip().splitlines()
            or ['has a Python that does not run (exit code %d)' % done.returncode])[-1]


def make(environment: Environment, python: str) -> None:
    """Makes an environment, and replaces an old one. The copy of its locks is written last, so an
    environment that was interrupted has none and is made again. Raises Stop."""
    folder, locks = environment.folder, ' and '.join(environment.locks)
    uv, with_pips = find_uv(), uv_variables()
    say('Installing %s into %s with %s: %s at 100 Mbit/s, once ...'
        % (locks, folder, python, environment.download))
    if os.path.islink(folder):
        os.unlink(folder)
    shutil.rmtree(folder, ignore_errors=True)
    install = [uv, 'pip', 'install', '-q', '--python', folder + '/bin/python', '--require-hashes']
    for lock in environment.locks:                       # gast 0.2.2 is built, with these versions
        install += ['-r', lock, '--build-constraints', lock]
    for command in [uv, 'venv', '-q', '--python', python, folder], install:
        if subprocess.run(command, env=with_pips, stdin=subprocess.DEVNULL,
                          stdout=sys.stderr).returncode != 0:
            raise Stop('uv could not install %s into %s; its reason is above. Without a network: '
                       'connect, or name a mirror in PIP_INDEX_URL. Then give the same command '
                       'again.' % (locks, folder), 1)
    Path(folder + '/lock').write_text(text_of(environment.locks))
    trouble = trouble_with(environment, imports_all=True)
    if trouble:
        os.remove(folder + '/lock')
        raise Stop('uv installed %s, but %s %s' % (locks, folder, trouble), 1)


def provide(environment: Environment, find: Callable[[], Optional[str]]) -> Optional[str]:
    """Returns the folder of an environment; makes the environment first if it is not complete; None
    if find() finds no Python. Raises Stop, also for one that is complete but does not import: the
    cause may lie elsewhere."""
    folder = environment.folder
    if trouble_with(environment):
        check_disk(environment)
        with only_one():
            trouble = trouble_with(environment)          # another process may have made it
            python = find() if trouble else None
            if trouble and not python:
                return None
            if python:
                if os.path.exists(folder):
                    say('%s %s: making it again.' % (folder, trouble))
                make(environment, python)
                return folder
    trouble = trouble_with(environment, imports_all=True)
    if trouble:
        raise Stop('%s is complete, but cannot be used: %s. If nothing outside it is the cause '
                   '(LD_LIBRARY_PATH, memory), remove it (rm -r %s) and try again.'
                   % (folder, trouble, folder), 1)
    return folder


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Waits until no other process makes an environment in this folder, and lets others wait."""
    held = files.lock('.', 'Waiting for another make, which is making an environment in %s ...'
                      % os.getcwd())
    try:
        yield
    finally:
        os.close(held)


def check_disk(environment: Environment) -> None:
    """Raises Stop, with exit code 3, if an environment cannot be written here."""
    if not os.access('.', os.W_OK):
        raise Stop('%s is not writable, so %s cannot be created there; use a writable checkout.'
                   % (os.getcwd(), environment.folder))
    free_gb = shutil.disk_usage('.').free / 1e9
    if free_gb < environment.disk_gb and not os.path.exists(environment.folder):
        raise Stop('The disk is full: %s takes at least %g GB, and %.1f GB are free in %s.'
                   % (environment.folder, environment.disk_gb, free_gb, os.getcwd()))


# The commands

def no_python37() -> Optional[str]:
    """Returns why a search for Python 3.7 cannot succeed, else None."""
    if os.path.exists(NOT_FOUND) and not os.environ.get('PYTHON37'):
        return 'no Python 3.7 was found before (RUNTIME=classic looks again)'
    return wrong_machine()


def folder_for(purpose: str) -> str:
    """Returns the folder of the environment for 'bench' or 'test', made first where it is missing.
    Raises Stop."""
    requested = os.environ.get('RUNTIME')
    machine = look() if purpose == 'bench' else NO_GPU           # no test needs a GPU
    runtime, reason = (requested, '') if requested else choose(machine, no_python37())
    not_found = Path(NOT_FOUND)
    if runtime == 'classic':
        folder = provide(CLASSIC, find_python37)
        if folder:
            if not_found.exists():
                not_found.unlink()
            return folder
        if requested:
            raise Stop('RUNTIME=classic needs a Python 3.7.', 1)
        reason = choose(machine, 'no Python 3.7 was found')[1]   # raises Stop if modern cannot be
    if not requested:
        say('Using the modern runtime, TensorFlow 2.21: %s.' % reason)
    modern = MODERN if machine.gpus and not nvidia.is_arm() else MODERN_CPU
    folder = str(provide(modern, find_modern_python))
    if runtime == 'classic':
        not_found.touch()            # so that the slow search is not repeated
    return folder


def which() -> str:
    """Returns the runtime that `bench` would use; prints the reason on stderr. Raises Stop."""
    requested = os.environ.get('RUNTIME')
    runtime, reason = ((requested, 'RUNTIME=' + requested) if requested
                       else choose(look(), no_python37()))
    say('%s runtime: %s' % (runtime, reason))
    return runtime


def main(argv: List[str]) -> int:
    """Runs the command in `argv`; returns the exit code."""
    if argv in (['-h'], ['--help']):
        print(__doc__)
        return 0
    if argv not in (['bench'], ['test'], ['which']):
        say(__doc__)
        return 2
    if os.environ.get('RUNTIME') not in (None, '', 'classic', 'modern'):
        say('RUNTIME=%s is not one of: classic, modern' % os.environ['RUNTIME'])
        return 2
    try:
        os.chdir(ROOT)
        print(which() if argv == ['which'] else folder_for(argv[0]))
    except Stop as stop:
        say(stop.text)
        return stop.code
    except OSError as error:                             # a disk that has filled up
        say('%s is not writable: %s' % (ROOT, error))
        return 3
    return 0


if __name__ == '__main__':
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
        sys.exit(code)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:             # of stdout
        say('Cannot print the answer: %s.' % error.strerror)
        os._exit(3)                      # Python would flush stdout again
