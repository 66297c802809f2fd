"""The image: its entrypoint, with scripts that only say how they were called, and what goes in.
tests/image.sh builds it and runs it."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import pytest

from common import networks
from suite.run import plan

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = list(networks.NETWORKS)
PATIENCE_S = 120                     # for what takes a second at most on an idle machine

# Says how it was called and by which process; writes the record; then fails, or waits for a signal.
SCRIPT = """
import os, sys, time
try:
    print('called:', __file__.rpartition('/')[2], *sys.argv[1:], flush=True)
    if '--json' in sys.argv:
        with open(sys.argv[sys.argv.index('--json') + 1], 'w') as file:
            file.write('{}')
    if '--pid' in sys.argv:
        print(os.getpid(), flush=True)
    if '--wait' in sys.argv:
        time.sleep(600)
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(3 * ('--fail' in sys.argv))
"""


@pytest.fixture
def app():
    """A folder like /app in the image; beside it an empty folder `results`, bin/python, and `dev`
    with a GPU. Not in pytest's tmp_path, which no other user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_app(pathlib.Path(folder))


def make_app(folder):
    app = folder / 'app'
    for inner in (app / 'docker', app / 'suite' / 'run', app / 'common', folder / 'results',
                  folder / 'bin', folder / 'dev'):
        inner.mkdir(parents=True)
    (folder / 'bin' / 'python').symlink_to(sys.executable)
    (folder / 'dev' / 'nvidia0').touch()
    for path in 'docker/entrypoint.sh', 'common/networks.py', 'suite/run/plan.py':
        shutil.copy(os.path.join(ROOT, path), str(app / path))
    for name in NAMES:
        (app / (name + '_benchmark.py')).write_text(SCRIPT)
    (app / 'suite' / '__main__.py').write_text('import sys; print("suite:", *sys.argv[1:])')
    return app


def start(app, *args, variables=(), **options):
    environment = {'PATH': '%s:/usr/bin:/bin' % (app.parent / 'bin'),
                   'BENCHMARK_RESULTS': str(app.parent / 'results'),
                   'BENCHMARK_DEVICES': str(app.parent / 'dev')}
    return subprocess.Popen(['sh', str(app / 'docker' / 'entrypoint.sh')] + list(args),
                            env=dict(environment, **dict(variables)), stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, universal_newlines=True, cwd='/', **options)


def run(app, *args, **options):
    """Returns exit code, stdout and stderr of the entrypoint. The date in stdout becomes DATE, the
    folder of the records RESULTS."""
    process = start(app, *args, **options)
    out, error = process.communicate(timeout=PATIENCE_S)
    out = re.sub(r'\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}Z', 'DATE', out)
    return process.returncode, out.replace(str(app.parent / 'results'), 'RESULTS'), error


def kept(app):
    """The names of what is in the folder of the records."""
    return sorted(path.name for path in (app.parent / 'results').iterdir())


@pytest.mark.parametrize('args', [[], ['run'], ['--fetch', 'ops'], ['run', '--only', 'alexnet']])
def test_without_a_name_the_suite_runs(app, args):
    flags = ''.join(' ' + word for word in args if word != 'run')
    assert run(app, *args) == (0, 'suite: run --output RESULTS/DATE%s\n' % flags, '')


@pytest.mark.parametrize('word', ['inception_v3', 'inception_v3_benchmark',
                                  'inception_v3_benchmark.py'])
def test_one_runs_with_its_flags_and_its_exit_code(app, word):
    code, out, error = run(app, word, '--fail', 'a word with blanks')
    assert (code, error) == (3, '')
    assert out == ('called: inception_v3_benchmark.py --json RESULTS/inception_v3_DATE.json '
                   '--fail a word with blanks\n')
    assert len(kept(app)) == 1


@pytest.mark.parametrize('args', [['doctor'], ['compare', 'chapter', '--csv', 'a b']])
def test_a_verb_of_the_suite_gets_its_flags_and_keeps_no_records(app, args):
    assert run(app, *args) == (0, 'suite: %s\n' % ' '.join(args), '')
    assert not kept(app)


def test_horovodrun_gets_its_words_and_keeps_no_records(app):
    horovodrun = app.parent / 'bin' / 'horovodrun'
    horovodrun.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    horovodrun.chmod(0o755)
    code, out, error = run(app, 'horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py',
                           '--fail', 'a word with blanks')
    assert (code, error) == (3, '')
    assert out == 'called: vgg16_benchmark.py --fail a word with blanks\n'
    assert not kept(app)


def test_without_horovod_it_says_which_image_has_it(app):
    code, out, error = run(app, 'horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py')
    assert (code, out) == (3, '')
    assert 'IMAGE=classic-horovod' in error


@pytest.mark.parametrize('word', ['--help', '-h', 'help'])
def test_help_names_what_there_is(app, word):
    code, out, error = run(app, word)
    assert (code, error) == (0, '')
    for name in NAMES + ['doctor', 'compare', 'horovodrun', '/results', '--gpus all']:
        assert name in out
    assert 'called' not in out


@pytest.mark.parametrize('args, call', [
    (['alexnet', '--help'], 'called: alexnet_benchmark.py --help\n'),
    (['run', '--help'], None)])
def test_the_help_of_a_benchmark_says_nothing_of_gpus_and_records(app, args, call):
    (app.parent / 'results').rmdir()
    (app.parent / 'dev' / 'nvidia0').unlink()
    code, out, error = run(app, *args)
    assert (code, error) == (0, '')
    assert out == call or call is None and out.endswith(' --help\n')


@pytest.mark.parametrize('word', ['resnet', 'alexnet vgg16', '*', 'bash'])
def test_an_unknown_word_runs_nothing(app, word):
    code, out, error = run(app, word)
    assert (code, out) == (2, '')
    assert "Unknown benchmark '%s'" % word in error and '--help' in error


def test_two_runs_do_not_share_a_file(app):
    processes = [start(app, 'alexnet') for _ in range(2)]
    assert [process.communicate(timeout=PATIENCE_S)[1] for process in processes] == ['', '']
    assert len(kept(app)) == 2


def test_without_a_mount_it_runs_and_says_that_nothing_is_kept(app):
    (app.parent / 'results').rmdir()
    code, out, error = run(app, 'alexnet')
    assert (code, out) == (0, 'called: alexnet_benchmark.py\n')
    assert 'nothing is mounted' in error
    assert run(app)[:2] == (0, 'suite: run --output /tmp/results/DATE\n')


@pytest.mark.parametrize('device', ['nvidia1', 'dxg', None])
def test_without_a_gpu_the_run_is_quick_and_one_sentence_says_why(app, device):
    (app.parent / 'dev' / 'nvidia0').unlink()
    (app.parent / 'dev' / 'nvidiactl').touch()
    if device:                                           # some other GPU
        (app.parent / 'dev' / device).touch()
    quick = ' '.join(networks.words(plan.PROTOCOLS['quick']))
    for args, added in [
            (['vgg16', '--num_batches', '7'],
             ' --device cpu %s --num_batches 7' % quick),
            (['--fetch', 'ops'], ' --device cpu --protocol quick --fetch ops')]:
        code, out, error = run(app, *args)
        assert code == 0
        assert out.endswith(added + '\n') == (not device)
        assert ('--device cpu' in out) == (not device)
        assert (error.count('\n'), '--gpus all' in error) == ((0, False) if device else (1, True))


def test_without_a_folder_for_temporary_files_it_says_what_to_add(app):
    for args in ['alexnet'], [], ['doctor']:
        code, out, error = run(app, *args, variables={'TMPDIR': '/no/such/folder'})
        assert (code, out) == (3, '')
        assert 'add --tmpfs /no/such/folder' in error


@pytest.mark.skipif(os.getuid() != 0, reason='only root becomes another user')
def test_a_user_without_an_entry_and_without_a_home(app):
    def become():
        os.setgroups([])
        os.setgid(54321)
        os.setuid(54321)

    python = app.parent / 'bin' / 'python'
    python.unlink()
    python.symlink_to('/usr/bin/python3')                # that user may not reach the tests' own
    app.parent.chmod(0o755)
    if subprocess.run(['sh', '-c', '"$0" -c ""', str(python)], preexec_fn=become,
                      stderr=subprocess.DEVNULL).returncode:
        pytest.skip('that user cannot start /usr/bin/python3')

    for args in ['alexnet'], []:                         # refused at once
        code, out, error = run(app, *args, preexec_fn=become)
        assert (code, out) == (3, '')
        assert 'User 54321 may not write' in error and '--user "$(id -u):$(id -g)"' in error

    os.chown(str(app.parent / 'results'), 54321, 54321)  # a mount of that user's
    code, out, error = run(app, 'alexnet', preexec_fn=become)
    assert (code, error) == (0, '')
    record, = (app.parent / 'results').iterdir()
    assert record.stat().st_uid == 54321


def test_the_benchmark_itself_gets_the_signals(app):
    process = start(app, 'alexnet', '--pid', '--wait')
    assert 'called' in process.stdout.readline()
    assert int(process.stdout.readline()) == process.pid
    process.send_signal(signal.SIGINT)                   # the STOPSIGNAL of the image
    process.communicate(timeout=PATIENCE_S)              # the script would wait longer than that
    assert process.returncode == 130


# tests/image.sh

def test_without_its_tools_it_says_that_the_image_is_not_tested(tmp_path):
    (tmp_path / 'dirname').symlink_to(shutil.which('dirname'))
    done = subprocess.run([shutil.which('bash'), os.path.join(ROOT, 'tests', 'image.sh')],
                          env={'PATH': str(tmp_path)}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr.startswith('The image is not tested: buildah is missing')


# Dockerfile.cuda

def dockerfile():
    with open(os.path.join(ROOT, 'Dockerfile.cuda')) as file:
        return file.read()


def locked(name):
    """The packages of a lock and their versions."""
    with open(os.path.join(ROOT, 'requirements', name)) as file:
        return dict(re.findall(r'^([\w.-]+)==([^\s;]+)', file.read(), re.MULTILINE))


def test_the_records_name_the_cuda_that_is_used():
    modern, classic = re.findall(r'CUDA_VERSION=(\S+)', dockerfile())
    assert modern == locked('modern.lock')['nvidia-cuda-runtime-cu12']
    assert 'cudatoolkit=%s ' % classic in dockerfile()


def test_no_tool_of_the_tests_is_inside():
    with open(os.path.join(ROOT, 'requirements', 'test.txt')) as file:
        tools = set(re.findall(r'^([\w.-]+)==', file.read(), re.MULTILINE))
    tools -= {'pip', 'setuptools', 'wheel'}
    uninstalled, = re.findall(r'pip uninstall --yes (.*)', dockerfile())
    assert set(uninstalled.split()) == tools
    assert not tools & set(locked('modern.lock'))


# .dockerignore

def sent(path):
    """Whether .dockerignore lets a file into the image: the last pattern that matches it, or a
    folder above it, decides."""
    with open(os.path.join(ROOT, '.dockerignore')) as file:
        patterns = [line for line in file.read().split('\n') if line and line[0] != '#']
    assert patterns[0] == '*'                            # nothing but what is named
    parts, answer = path.split('/'), True
    above = ['/'.join(parts[:i + 1]) for i in range(len(parts))]
    for pattern in patterns:
        expression = re.escape(pattern.lstrip('!')).replace(r'\*\*/', '(.*/)?').replace(
            r'\*', '[^/]*')
        if any(re.match(expression + '$', one) for one in above):
            answer = pattern[0] == '!'
    return answer


def test_the_context_holds_the_scripts_and_not_the_rest():
    for path in ['docker/entrypoint.sh', 'requirements/classic.lock', 'requirements/modern.lock',
                 'requirements/horovod-classic.lock', 'requirements/horovod-modern.lock',
                 'tools/horovod_wheel.sh']:
        assert sent(path) and os.path.exists(os.path.join(ROOT, path)), path
    for path in ['.git/HEAD', '.venv/bin/python', 'pyproject.toml', 'requirements/test.txt',
                 'tests/test_container.py', 'README.md',
                 'common/__pycache__/cli.cpython-37.pyc', 'common/probes/__pycache__/gpu.pyc',
                 'results-local/alexnet.json']:
        assert not sent(path), path


@pytest.mark.slow
def test_every_module_can_be_imported_from_what_the_image_holds(tmp_path):
    files = subprocess.run(['git', 'ls-files', '--cached', '--others', '--exclude-standard'],
                           cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
                           ).stdout.splitlines()
    inside = [path for path in files if sent(path) and os.path.exists(os.path.join(ROOT, path))]
    modules = []
    for path in inside:
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(os.path.join(ROOT, path), str(target))
        if path.endswith('.py') and not path.endswith(('__main__.py', 'torch_peer.py')):   # PyTorch
            modules.append(path[:-len('.py')].replace('/__init__', '').replace('/', '.'))
    assert {'alexnet_benchmark', 'common.benchmark', 'suite.compare'} <= set(modules)
    code = ('import importlib\n'
            'for name in %r: importlib.import_module(name)\n'
            'from suite import compare\n'
            'assert compare.main(["chapter"]) == 0' % modules)
    done = subprocess.run([sys.executable, '-c', code], cwd=str(tmp_path), text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
