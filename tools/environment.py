"""Provides the Python environment for the commands of the Makefile; makes it if it is missing.

    python3 tools/environment.py bench    prints the folder of the environment for the benchmarks
    python3 tools/environment.py test     prints the folder of the environment for the tests
    python3 tools/environment.py which    prints `classic` or `modern`: the runtime `bench` would
                                          use on this machine; installs nothing

The answer goes to stdout, all messages go to stderr. Exit codes: 1 an environment could not be
made, 2 bad usage, 3 no runtime installed by pip can use this machine's GPU as things are, or the
disk is full or cannot be written (the message says what to do).

RUNTIME=classic or RUNTIME=modern chooses the runtime. PYTHON37=/path/to/python3.7 and
PYTHON=/path/to/python3.12 choose the Python from which the environment is made.

Needs only the standard library, of Python 3.8 or later.
"""
import glob
import json
import os
import platform
import shutil
import subprocess
import sys
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, ROOT)

from common.machine import nvidia  # noqa: E402
from common.stop import Stop  # noqa: E402

UV = 'uv==0.6.17'                    # of the last series that can install CPython 3.7
FETCHED = '.python37'                # the folder of a fetched Python 3.7
SYSTEM_CONDAS = ['/opt/conda', '/opt/miniconda3']
NOT_FOUND = '.python37-not-found'    # a search failed: only RUNTIME=classic or PYTHON37 repeats it


class Environment(NamedTuple):
    """An environment: its folder, its lock file, its download size and time, the least disk space
    that it takes, and the modules that a complete environment has."""
    folder: str
    lock: str
    download: str
    disk_gb: float
    modules: List[str]


SUITE = ['numpy', 'tensorflow', 'jinja2', 'fastjsonschema']
CLASSIC = Environment('.venv', 'requirements/classic.lock', '0.5 GB, about 2 minutes',
                      1.5, SUITE + ['pytest'])
MODERN = Environment('.venv-modern', 'requirements/modern.lock', '3.2 GB, about 10 minutes',
                     5, SUITE + ['tf_keras', 'tf_slim', 'nvidia.cudnn'])
MODERN_CPU = Environment('.venv-modern-cpu', 'requirements/modern-cpu.lock',
                         '0.6 GB, about 3 minutes', 2, SUITE + ['tf_keras', 'tf_slim', 'pytest'])


NO_GPU = nvidia.Machine(0, None, [], [], None, None, [])


class NoPython37(Stop):
    """There is no Python 3.7 here, and none could be fetched."""


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


# Python 3.7

# Prints the path of this Python, or on stderr why it cannot be used.
PROBE_37 = """
import sys
if sys.version_info[:2] != (3, 7):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
if sys.maxsize < 2 ** 32:
    sys.exit("is a 32-bit build")
try:
    import ssl, venv, ensurepip
except ImportError as error:
    sys.exit("%s (on Debian and Ubuntu: apt-get install python3.7-venv)" % error)
print(sys.executable)
"""
PROBE_MODERN = """
import sys
if not (3, 10) <= sys.version_info[:2] <= (3, 13):
    sys.exit("is Python %d.%d" % sys.version_info[:2])
try:
    import ssl, venv, ensurepip
except ImportError as error:
    sys.exit("%s (on Debian and Ubuntu: apt-get install python3-venv)" % error)
print(sys.executable)
"""


def run_probe(python: str, probe: str) -> Tuple[Optional[str], str]:
    """Returns the real path of this Python and '', or None and why it cannot be used. It must be
    run to know: pyenv puts a python3.7 on PATH that refuses to run while another version is
    chosen."""
    try:
        done = subprocess.run([python, '-c', probe], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, str(error)
    if done.returncode == 0:
        return done.stdout.decode().strip(), ''
    lines = done.stderr.decode(errors='replace').strip().splitlines()
    return None, lines[0] if lines else 'exit code %d' % done.returncode


def pythons37() -> Iterator[Tuple[str, str]]:
    """Yields (path, source) of every program that may be a Python 3.7; a source is such as
    'PATH'."""
    home = os.path.expanduser('~')
    patterns = [('%s/*/bin/python3.7' % os.path.abspath(FETCHED), 'fetched before')]
    patterns += [(folder + '/python3.7', 'PATH')
                 for folder in os.environ.get('PATH', '').split(os.pathsep) if folder]
    patterns += [(path, 'PATH') for path in map(shutil.which, ('python3', 'python')) if path]
    patterns.append(((os.environ.get('PYENV_ROOT') or home + '/.pyenv')
                     + '/versions/3.7*/bin/python3.7', 'pyenv'))
    bases = [os.environ.get('CONDA_PREFIX')] + [home + '/' + name for name in (
        'miniconda3', 'anaconda3', 'miniforge3', 'mambaforge', 'micromamba', '.conda')]
    for base in bases + SYSTEM_CONDAS:
        if base:
            patterns += [(base + '/bin/python3.7', 'conda'),
                         (base + '/envs/*/bin/python3.7', 'conda')]
    try:                                                 # where conda lists environments elsewhere
        with open(home + '/.conda/environments.txt') as file:
            patterns += [(line.strip() + '/bin/python3.7', 'conda') for line in file]
    except OSError:
        pass
    patterns.append((home + '/.local/share/uv/python/cpython-3.7*/bin/python3.7', 'uv'))
    for pattern, where in patterns:
        for path in sorted(glob.glob(pattern)):
            if os.access(path, os.X_OK):
                yield path, where


def wrong_machine() -> Optional[str]:
    """Returns why TensorFlow 1.15 cannot be installed on this kind of machine, else None."""
    machine = '%s %s' % (platform.system(), platform.machine())
    return None if machine == 'Linux x86_64' else (
        'tensorflow-gpu 1.15 has wheels for x86-64 Linux only (and Windows, where make is no '
        'help); this is %s' % machine)


def find_python37() -> str:
    """Returns the path of a Python 3.7 that runs; fetches one into FETCHED if there is none.
    Raises NoPython37, and Stop for a PYTHON37 that will not do."""
    if wrong_machine():
        raise NoPython37('%s. Use an x86-64 Linux machine, or a container or virtual machine of '
                         'that kind.' % wrong_machine(), 1)
    named = os.environ.get('PYTHON37')
    if named:
        command = shutil.which(named)
        if not command:
            raise Stop('PYTHON37=%s is not a program that can be run.' % named, 2)
        path, why_not = run_probe(command, PROBE_37)
        if not path:
            raise Stop('PYTHON37=%s will not do: %s' % (named, why_not), 2)
        say('Python 3.7: %s (PYTHON37)' % path)
        return path

    tried = []                                           # type: List[str]
    for candidates in pythons37, lambda: fetch_with_uv(tried), lambda: fetch_with_conda(tried):
        for candidate, where in candidates():
            path, why_not = run_probe(candidate, PROBE_37)
            if path:
                say('Python 3.7: %s (%s)' % (path, where))
                return path
            tried.append('%s: %s: %s' % (where, candidate, why_not))
    shutil.rmtree(FETCHED, ignore_errors=True)
    raise NoPython37('\n'.join(
        ['No Python 3.7 found, and TensorFlow 1.15 runs on no later one. Tried:']
        + ['  ' + line for line in tried]
        + ['Do one of these, then give the same command again:',
           '  pyenv install 3.7.17',
           '  conda create -n python37 -c conda-forge python=3.7',
           '  apt-get install python3-venv, if that is what stopped the fetching',
           '  name one that you have: PYTHON37=/path/to/python3.7 make test']), 1)


def logged(log: List[str], *command: str, **variables: str) -> bool:
    """Runs a command and puts the lines of its output into `log`; returns whether it succeeded."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=dict(pip_environ(), **variables))
    except OSError as error:
        log[:] = [str(error)]
        return False
    log[:] = done.stdout.decode(errors='replace').splitlines()
    return done.returncode == 0


def end_of(log: List[str]) -> str:
    """Returns the last lines of a log, each on a line of its own, for the list of what was
    tried."""
    return ''.join('\n      ' + line for line in log[-6:])


def fetch_with_uv(tried: List[str]) -> Iterator[Tuple[str, str]]:
    """Fetches CPython 3.7 with uv and yields it; adds to `tried` what failed."""
    python = shutil.which('python3') or shutil.which('python') or sys.executable
    say('No Python 3.7 here: fetching CPython 3.7.9 (25 MB, under a minute) into %s with %s ...'
        % (FETCHED, UV))
    folder = os.path.abspath(FETCHED)
    shutil.rmtree(folder, ignore_errors=True)
    tool, log = folder + '/tool', []                     # type: str, List[str]
    # A Debian python3 without python3-venv cannot make a venv, but may have pip.
    if not (logged(log, python, '-m', 'venv', tool)
            and logged(log, tool + '/bin/python', '-m', 'pip', 'install', '-q', UV)
            or logged(log, python, '-m', 'pip', 'install', '-q', '--target', tool, UV)):
        tried.append('fetching with uv: %s could not install uv: %s' % (python, end_of(log)))
        return
    installed = logged(log, tool + '/bin/uv', '--no-config', 'python', 'install', '3.7.9',
                       UV_PYTHON_INSTALL_DIR=folder)
    shutil.rmtree(tool, ignore_errors=True)
    pythons = glob.glob(folder + '/cpython-3.7*/bin/python3.7')
    if not installed or not pythons:
        tried.append('fetching with uv: %s' % (end_of(log) or 'it installed no Python 3.7'))
        return
    yield pythons[0], 'fetched now'


def fetch_with_conda(tried: List[str]) -> Iterator[Tuple[str, str]]:
    """Fetches Python 3.7 with conda and yields it; adds to `tried` what failed."""
    conda = next(filter(None, map(shutil.which, ('conda', 'mamba', 'micromamba'))), None)
    if not conda:
        tried.append('fetching with conda: no conda, mamba or micromamba on PATH')
        return
    say('Fetching Python 3.7 (100 MB, about a minute) into %s with %s ...' % (FETCHED, conda))
    folder = os.path.abspath(FETCHED)
    shutil.rmtree(folder, ignore_errors=True)
    log = []                                             # type: List[str]
    if logged(log, conda, 'create', '-y', '-q', '-p', folder + '/conda', '--override-channels',
              '-c', 'conda-forge', 'python=3.7'):
        yield folder + '/conda/bin/python3.7', 'fetched now'
    else:
        tried.append('fetching with conda: %s' % end_of(log))


# The environments

def find_modern_python() -> str:
    """Returns the path of a Python from 3.10 to 3.13 that runs and can make environments. Raises
    Stop."""
    named = os.environ.get('PYTHON')
    pyenv = os.environ.get('PYENV_ROOT') or os.path.expanduser('~/.pyenv')
    names = ([named] if named else []) + ['python3.12', 'python3.13', 'python3.11', 'python3.10',
                                          'python3']
    for name in names + sorted(glob.glob(pyenv + '/versions/3.1[0-3]*/bin/python3')):
        path, why_not = run_probe(name, PROBE_MODERN)
        if path:
            return path
        if name == named:
            say('PYTHON=%s will not do: %s. Looking for another.' % (named, why_not))
    raise Stop('The modern runtime needs a Python from 3.10 to 3.13 with venv, and none was found '
               'on PATH or in pyenv. Install one (on Debian and Ubuntu: apt-get install python3 '
               'python3-venv), or name one: PYTHON=/path/to/python3.12', 1)


def pip_environ() -> Dict[str, str]:
    """Returns this process's environment variables without those that make pip install outside the
    environment it runs in."""
    variables = {name: value for name, value in os.environ.items()
                 if name not in ('PIP_TARGET', 'PIP_PREFIX', 'PIP_ROOT')}
    return dict(variables, PIP_USER='0')                 # also where pip.conf says user = true


def trouble_with(environment: Environment, imports_all: bool = False) -> Optional[str]:
    """Returns why an environment cannot be used as it is, None if it can.

    Its copy of the lock must equal the lock, numpy must import, and the other modules must exist;
    all must import if `imports_all`, which takes seconds. -I leaves out modules from elsewhere
    (PYTHONPATH, the user's own), which would hide that the environment is empty.
    """
    copy = os.path.join(environment.folder, os.path.basename(environment.lock))
    try:
        with open(copy) as ours, open(environment.lock) as todays:
            if ours.read() != todays.read():
                return 'was made from another %s' % environment.lock
    except OSError:
        return 'is not complete'
    check = ('import numpy\nfrom importlib import import_module, util\n'
             'for name in %r:\n'
             '    if util.find_spec(name) is None: raise SystemExit("has no " + name)\n'
             '    if %r: import_module(name)\n'
             'print("\\nall is here")' % (environment.modules, imports_all))
    try:
        done = subprocess.run([environment.folder + '/bin/python', '-I', '-c', check],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              env=dict(os.environ, TF_USE_LEGACY_KERAS='1'))     # as common/tf1.py
    except OSError as error:
        return 'has a Python that does not start (%s)' % error
    if done.returncode == 0 and done.stdout.decode().endswith('\nall is here\n'):
        return None
    return (done.stderr.decode(errors='replace').strip().splitlines()
            or ['has a Python that does not run (exit code %d)' % done.returncode])[-1]


def make(environment: Environment, python: str) -> None:
    """Makes an environment, and replaces an old one. The copy of its lock is written last, so an
    environment that was interrupted has none and is made again. Raises Stop."""
    folder, lock = environment.folder, environment.lock
    say('Installing %s into %s with %s: %s at 100 Mbit/s, once ...'
        % (lock, folder, python, environment.download))
    if os.path.islink(folder):
        os.unlink(folder)
    shutil.rmtree(folder, ignore_errors=True)

    def succeeds(*command: str) -> bool:
        return subprocess.run(command, env=pip_environ(), stdin=subprocess.DEVNULL,
                              stdout=sys.stderr).returncode == 0

    if not succeeds(python, '-m', 'venv', folder):
        raise Stop('%s could not make an environment; its reason is above.' % python, 1)
    if not succeeds(folder + '/bin/python', '-m', 'pip', 'install', '--disable-pip-version-check',
                    '-q', '--require-hashes', '-r', lock):
        raise Stop('pip could not install %s; its reason is above. If it found no network: '
                   'connect, or name a mirror in PIP_INDEX_URL. Then give the same command again.'
                   % lock, 1)
    copy = os.path.join(folder, os.path.basename(lock))
    shutil.copy(lock, copy)
    trouble = trouble_with(environment, imports_all=True)
    if trouble:
        os.remove(copy)
        raise Stop("pip installed %s, but %s %s. See pip's settings: %s/bin/python -m pip config "
                   'list' % (lock, folder, trouble, folder), 1)


def provide(environment: Environment, find_python: Callable[[], str]) -> str:
    """Returns the folder of an environment; makes the environment first if it is not complete.
    Raises Stop, also for one that is complete but does not import: the cause may lie elsewhere."""
    folder, trouble = environment.folder, trouble_with(environment)
    if trouble:
        check_disk(environment)
        python = find_python()
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


def check_disk(environment: Environment) -> None:
    """Raises Stop, with exit code 3, if an environment cannot be written here."""
    if not os.access('.', os.W_OK):
        raise Stop('%s cannot be written, and %s is to be made in it. Use a checkout that can.'
                   % (os.getcwd(), environment.folder), 3)
    free_gb = shutil.disk_usage('.').free / 1e9
    if free_gb < environment.disk_gb and not os.path.exists(environment.folder):
        raise Stop('The disk is full: %s takes at least %g GB, and %.1f GB are free in %s.'
                   % (environment.folder, environment.disk_gb, free_gb, os.getcwd()), 3)


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
    if requested == 'modern':
        return provide(modern, find_modern_python)
    if requested == 'classic':
        if os.path.exists(NOT_FOUND):
            os.remove(NOT_FOUND)
        return provide(CLASSIC, find_python37)
    runtime, reason = choose(machine, no_python37())
    if runtime == 'modern':
        say('Using the modern runtime, TensorFlow 2.21: %s.' % reason)
        return provide(modern, find_modern_python)
    try:
        return provide(CLASSIC, find_python37)
    except NoPython37 as error:
        choose(machine, 'no Python 3.7 was found')           # raises Stop if modern cannot be used
        say('%s\nUsing the modern runtime, TensorFlow 2.21, instead.' % error)
        folder = provide(modern, find_modern_python)
        with open(NOT_FOUND, 'w'):   # so that the slow search is not repeated
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
        say(str(stop))
        return stop.code
    except OSError as error:                             # a disk that has filled up
        say('%s cannot be written: %s' % (ROOT, error))
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
