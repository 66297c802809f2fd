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
import fcntl
import glob
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from common.machine import nvidia  # noqa: E402
from common.stop import Stop  # noqa: E402

UV_FOLDER, UV_LOCK = '.venv-uv', 'requirements/uv.lock'
FETCHED = '.python37'                # the folder of a fetched Python 3.7
SYSTEM_CONDAS = ['/opt/conda', '/opt/miniconda3']
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
    script = ('import json, sys; from common.machine import nvidia; '
              'print(json.dumps(nvidia.look(sys.argv[1:])))')
    try:
        done = subprocess.run([sys.executable, '-c', script, *nvidia.CLASSIC.libraries], cwd=ROOT,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=60)
        machine = nvidia.Machine(*json.loads(done.stdout.decode().splitlines()[-1]))
    except (subprocess.TimeoutExpired, ValueError, IndexError):
        raise Stop('The NVIDIA driver of this machine hangs or crashes: see `nvidia-smi` and '
                   '`dmesg`, reboot. For CPU figures: make bench RUNTIME=classic ARGS="--device '
                   'cpu"') from None
    gpus = [nvidia.Gpu(*gpu) for gpu in machine.gpus]
    return machine._replace(
        gpus=[gpu._replace(compute_capability=tuple(gpu.compute_capability)) for gpu in gpus],
        cuda_version=machine.cuda_version and tuple(machine.cuda_version))


def wrong_machine() -> Optional[str]:
    """Returns why TensorFlow 1.15 cannot be installed on this kind of machine, else None."""
    machine = '%s %s' % (platform.system(), platform.machine())
    return None if machine == 'Linux x86_64' else (
        'tensorflow-gpu 1.15 has wheels for x86-64 Linux only (and Windows, where make is no '
        'help); this is %s' % machine)


# Python

def check_python(python: str, oldest: Tuple[int, int], newest: Tuple[int, int]
                 ) -> Tuple[Optional[str], str]:
    """Returns the real path of a Python and '', or None and why it cannot be used. It must be run
    to know: pyenv puts a python3.7 on PATH that refuses to run while another version is chosen."""
    script = 'import sys; print((sys.executable, sys.version_info[:2], sys.maxsize))'
    try:
        done = subprocess.run([python, '-c', script], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
        path, version, largest = ast.literal_eval(done.stdout.decode().strip() or 'None')
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    except (TypeError, ValueError, SyntaxError):
        lines = done.stderr.decode(errors='replace').strip().splitlines()
        return None, lines[0] if lines else 'exit code %d' % done.returncode
    if not oldest <= version <= newest:
        return None, 'is Python %d.%d' % version
    return (path, '') if largest > 2 ** 32 else (None, 'is a 32-bit build')


def pythons(version: str) -> Iterator[Tuple[str, str]]:
    """Yields (path, source) of every program that may be a Python of this version, such as '3.7'; a
    source is such as 'PATH'."""
    home = os.path.expanduser('~')
    folders = [(folder, 'PATH') for folder in os.environ.get('PATH', '').split(os.pathsep)
               if folder]
    folders.append(((os.environ.get('PYENV_ROOT') or home + '/.pyenv')
                    + '/versions/%s*/bin' % version, 'pyenv'))
    bases = [os.environ.get('CONDA_PREFIX')] + [home + '/' + name for name in (
        'miniconda3', 'anaconda3', 'miniforge3', 'mambaforge', 'micromamba', '.conda')]
    for base in filter(None, bases + SYSTEM_CONDAS):
        folders += [(base + '/bin', 'conda'), (base + '/envs/*/bin', 'conda')]
    try:                                                 # where conda lists environments elsewhere
        with open(home + '/.conda/environments.txt') as file:
            folders += [(line.strip() + '/bin', 'conda') for line in file]
    except OSError:
        pass
    folders.append((home + '/.local/share/uv/python/cpython-%s*/bin' % version, 'uv'))
    for folder, source in [('%s/*/bin' % os.path.abspath(FETCHED), 'fetched before')] + folders:
        for path in sorted(glob.glob('%s/python%s' % (folder, version))):
            if os.access(path, os.X_OK):
                yield path, source
    for path in filter(None, map(shutil.which, ('python3', 'python'))):
        yield path, 'PATH'


def find_python37() -> Optional[str]:
    """Returns the path of a Python 3.7 that runs; fetches one into FETCHED if there is none. Where
    that fails too it says what was tried and returns None. Raises Stop for a PYTHON37 that will not
    do."""
    if wrong_machine():
        say(wrong_machine() + '. Use an x86-64 Linux machine, or a container or virtual machine of '
            'that kind.')
        return None
    named = os.environ.get('PYTHON37')
    if named:
        path, why_not = check_python(named, (3, 7), (3, 7))
        if not path:
            raise Stop('PYTHON37=%s cannot be used: %s' % (named, why_not), 2)
        say('Python 3.7: %s (PYTHON37)' % path)
        return path
    tried = []                                           # type: List[str]
    for candidate, source in itertools.chain(pythons('3.7'), fetch_python37(tried)):
        path, why_not = check_python(candidate, (3, 7), (3, 7))
        if path:
            say('Python 3.7: %s (%s)' % (path, source))
            return path
        tried.append('%s: %s: %s' % (source, candidate, why_not))
    shutil.rmtree(FETCHED, ignore_errors=True)
    say('\n'.join(
        ['No Python 3.7 found, and TensorFlow 1.15 runs on no later one. Tried:']
        + ['  ' + line for line in tried]
        + ['Do one of these, then give the same command again:',
           '  pyenv install 3.7.17',
           '  conda create -n python37 -c conda-forge python=3.7',
           '  name one that you have: PYTHON37=/path/to/python3.7 make test']))
    return None


def fetch_python37(tried: List[str]) -> Iterator[Tuple[str, str]]:
    """Fetches Python 3.7 with uv or else with conda, and yields (path, source); adds to `tried`
    what failed."""
    folder = os.path.abspath(FETCHED)
    conda = next(filter(None, map(shutil.which, ('conda', 'mamba', 'micromamba'))), None)
    for name in 'uv', 'conda':
        if name == 'conda' and not conda:
            tried.append('fetching with conda: no conda, mamba or micromamba on PATH')
            continue
        say('No Python 3.7 was found: fetching one (up to 100 MB, about a minute) into %s with %s '
            '...' % (FETCHED, name))
        shutil.rmtree(folder, ignore_errors=True)
        try:
            command = ([find_uv(), 'python', 'install', '3.7.9'] if name == 'uv' else
                       [conda, 'create', '-y', '-q', '-p', folder + '/conda',
                        '--override-channels', '-c', 'conda-forge', 'python=3.7'])
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT,
                                  env=dict(uv_variables(), UV_PYTHON_INSTALL_DIR=folder))
        except (OSError, Stop) as error:
            tried.append('fetching with %s: %s' % (name, error))
            continue
        lines = done.stdout.decode(errors='replace').splitlines()[-6:]
        for path in glob.glob(folder + '/*/bin/python3.7'):
            yield path, 'fetched now'
        tried.append(''.join(['fetching with %s:' % name] + ['\n      ' + line for line in lines]))


def find_modern_python() -> str:
    """Returns the path of a Python from 3.10 to 3.13 that runs. Raises Stop."""
    named = os.environ.get('PYTHON')
    if named:
        path, why_not = check_python(named, (3, 10), (3, 13))
        if path:
            return path
        say('PYTHON=%s cannot be used: %s. Looking for another.' % (named, why_not))
    for candidate, _ in itertools.chain(*map(pythons, ('3.12', '3.13', '3.11', '3.10'))):
        path, _ = check_python(candidate, (3, 10), (3, 13))
        if path:
            return path
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
                                  stdin=subprocess.DEVNULL, capture_output=True)
        except OSError:
            continue
        lines = [re.match(r'(global|install|:env:)\.([a-z-]+)=(.*)', line)
                 for line in done.stdout.decode(errors='replace').splitlines()]
        for line in sorted(filter(None, lines), key=lambda line: (
                'global', 'install', ':env:').index(line.group(1))):
            name = PIP_SETTINGS.get(line.group(2))
            if name:
                separator = ',' if name == 'UV_FIND_LINKS' else ' '
                settings[name] = separator.join(ast.literal_eval(line.group(3)).split())
        if done.returncode == 0:
            break
    for name in 'REQUESTS_CA_BUNDLE', 'CURL_CA_BUNDLE':  # pip reads these too
        if os.environ.get(name):
            settings.setdefault('SSL_CERT_FILE', os.environ[name])
    if os.environ.get('UV_INDEX_URL'):                   # the old name of UV_DEFAULT_INDEX
        settings.pop('UV_DEFAULT_INDEX', None)
    # As pip does, look for a version in all indexes; the hashes say which file it must be.
    return {'UV_INDEX_STRATEGY': 'unsafe-best-match', **settings, **variables()}


def find_uv() -> str:
    """Returns the path of uv: of the version in its lock, or one of the same series on PATH.
    Installs it into UV_FOLDER if there is none. Raises Stop."""
    with open(UV_LOCK) as file:
        series = re.search(r'^uv==(\d+\.\d+)\.', file.read(), re.MULTILINE).group(1)
    uv = os.path.abspath(UV_FOLDER + '/bin/uv')
    for path in filter(None, (uv, shutil.which('uv'))):
        try:
            done = subprocess.run([path, '--version'], stdin=subprocess.DEVNULL,
                                  capture_output=True)
        except OSError:
            continue
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

def text_of(locks: List[str]) -> str:
    """Returns the text of an environment's locks, which a complete environment has a copy of."""
    texts = []
    for lock in locks:
        with open(lock) as file:
            texts.append(file.read())
    return ''.join(texts)


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
    with open(folder + '/lock', 'w') as file:
        file.write(text_of(environment.locks))
    trouble = trouble_with(environment, imports_all=True)
    if trouble:
        os.remove(folder + '/lock')
        raise Stop('uv installed %s, but %s %s' % (locks, folder, trouble), 1)


def provide(environment: Environment, find_python: Callable[[], Optional[str]]) -> Optional[str]:
    """Returns the folder of an environment; makes the environment first if it is not complete; None
    if find_python finds none. Raises Stop, also for one that is complete but does not import: the
    cause may lie elsewhere."""
    folder = environment.folder
    if trouble_with(environment):
        check_disk(environment)
        with only_one():
            trouble = trouble_with(environment)
            if trouble:
                python = find_python()
                if not python:
                    return None
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
    folder = os.open('.', os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say('Waiting for another make, which is making an environment in %s ...' % os.getcwd())
        fcntl.flock(folder, fcntl.LOCK_EX)
    except OSError:                                      # a file system without locks
        pass
    try:
        yield
    finally:
        os.close(folder)


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
    modern = MODERN if machine.gpus and not nvidia.is_arm() else MODERN_CPU
    runtime, reason = (requested, '') if requested else choose(machine, no_python37())
    if runtime == 'classic':
        folder = provide(CLASSIC, find_python37)
        if folder and os.path.exists(NOT_FOUND):
            os.remove(NOT_FOUND)
        if folder:
            return folder
        if requested:
            raise Stop('RUNTIME=classic needs a Python 3.7.', 1)
        reason = choose(machine, 'no Python 3.7 was found')[1]   # raises Stop if modern cannot be
    if not requested:
        say('Using the modern runtime, TensorFlow 2.21: %s.' % reason)
    folder = str(provide(modern, find_modern_python))
    if runtime == 'classic':         # so that the slow search is not repeated
        with open(NOT_FOUND, 'w'):
            pass
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
