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


CALLED = 'called: %s_benchmark.py'
SAVED = 'called: inception_v3_benchmark.py --json RESULTS/inception_v3_DATE.json%s\n'
SUITE = 'suite: run --output RESULTS/DATE%s\n'


@pytest.mark.parametrize('words, code, out, records', [
    ([], 0, SUITE % '', 0), (['run'], 0, SUITE % '', 0),
    (['--fetch', 'ops'], 0, SUITE % ' --fetch ops', 0),
    (['run', '--only', 'alexnet'], 0, SUITE % ' --only alexnet', 0),
    (['inception_v3'], 0, SAVED % '', 1),
    (['inception_v3_benchmark.py'], 0, SAVED % '', 1),
    (['inception_v3_benchmark', '--fail', 'a word with blanks'], 3,
     SAVED % ' --fail a word with blanks', 1),
    (['doctor'], 0, 'suite: doctor\n', 0),
    (['history', '--svg', 'a b'], 0, 'suite: history --svg a b\n', 0),
    (['docs', '--check'], 0, 'suite: docs --check\n', 0),
    (['sh', '-c', 'echo "a  b"; exit 3'], 3, 'a  b\n', 0),
    (['compare', 'chapter', '--csv', 'a b'], 0, 'suite: compare chapter --csv a b\n', 0),
    (['horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py', '--fail', 'a b'], 3,
     'called: vgg16_benchmark.py --fail a b\n', 0)])
def test_what_is_called(words, code, out, records, app):
    horovodrun = app.parent / 'bin' / 'horovodrun'
    horovodrun.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    horovodrun.chmod(0o755)
    assert run(app, *words) == (code, out, '')
    assert len(kept(app)) == records


@pytest.mark.parametrize('words, code, says', [
    (['resnet'], 2, "Unknown benchmark 'resnet'"), (['*'], 2, r"Unknown benchmark '\*'"),
    (['alexnet vgg16'], 2, "Unknown benchmark 'alexnet vgg16'"), (['fish'], 2, 'bash, sh .*--help'),
    (['horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py'], 3, 'IMAGE=classic-horovod')])
def test_what_is_refused(words, code, says, app):
    found, out, error = run(app, *words)
    assert (found, out) == (code, '')
    assert re.search(says, error)


@pytest.mark.parametrize('word', ['--help', '-h', 'help'])
def test_help_names_what_there_is(app, word):
    code, out, error = run(app, word)
    assert (code, error) == (0, '')
    for name in NAMES + ['doctor', 'compare', 'horovodrun', '/results', '--gpus all']:
        assert name in out
    assert 'called' not in out


@pytest.mark.parametrize('words, call', [
    (['alexnet', '--help'], CALLED % 'alexnet' + ' --help\n'), (['run', '--help'], ' --help\n')])
def test_the_help_of_a_benchmark_says_nothing_of_gpus_and_records(app, words, call):
    (app.parent / 'results').rmdir()
    (app.parent / 'dev' / 'nvidia0').unlink()
    code, out, error = run(app, *words)
    assert (code, error) == (0, '')
    assert out.endswith(call)


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


def test_a_file_in_the_place_of_the_folder_is_named(app):
    (app.parent / 'results').rmdir()
    (app.parent / 'results').touch()
    code, out, error = run(app)
    assert (code, out) == (3, '') and 'is a file: mount a folder there' in error


def test_a_gpu_without_compute_is_refused(app):
    code, out, error = run(app, 'alexnet', variables={'NVIDIA_DRIVER_CAPABILITIES': 'utility'})
    assert (code, out) == (3, '')
    assert error.startswith('NVIDIA_DRIVER_CAPABILITIES=utility lacks compute')


@pytest.mark.parametrize('words', [['alexnet', '--device', 'gpu'], ['--protocol', 'chapter']])
def test_what_the_user_has_chosen_is_not_called_quick(words, app):
    (app.parent / 'dev' / 'nvidia0').unlink()
    code, out, error = run(app, *words)
    assert (code, error) == (0, '') and '--num_batches' not in out
    assert '--protocol quick' not in out


def test_a_helper_that_fails_leads_to_no_full_run_on_the_cpu(app):
    (app.parent / 'dev' / 'nvidia0').unlink()
    (app / 'suite' / 'run' / 'plan.py').write_text('raise ValueError')
    assert run(app, 'alexnet')[:2] == (3, '')


@pytest.mark.parametrize('device', ['nvidia1', 'dxg', None])
def test_without_a_gpu_the_run_is_quick_and_one_sentence_says_why(app, device):
    (app.parent / 'dev' / 'nvidia0').unlink()
    (app.parent / 'dev' / 'nvidiactl').touch()
    if device:                                           # some other GPU
        (app.parent / 'dev' / device).touch()
    quick = ' '.join(networks.words(plan.protocol_options('quick', 'vgg16')))
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


def test_a_signal_before_the_benchmark_starts_ends_the_container(app):
    python = app.parent / 'bin' / 'python'
    python.unlink()
    python.write_text('#!/bin/sh\nkill -TERM $PPID\nexec %s "$@"\n' % sys.executable)
    python.chmod(0o755)
    assert run(app, 'alexnet')[:2] == (130, '')


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
    assert modern == locked('cuda.lock')['nvidia-cuda-runtime-cu12']
    assert 'cudatoolkit=%s ' % classic in dockerfile()


def test_no_tool_of_the_tests_is_inside():
    with open(os.path.join(ROOT, 'requirements', 'test.txt')) as file:
        tools = set(re.findall(r'^([\w.-]+)==', file.read(), re.MULTILINE))
    tools -= {'pip', 'setuptools', 'wheel'}
    for uninstalled in re.findall(r'pip uninstall --yes (.*)', dockerfile()):
        assert set(uninstalled.split()) == tools
