"""The image: its entrypoint, with scripts that only say how they were called, and what goes in."""
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

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = list(networks.NETWORKS)
PATIENCE_S = 120                     # for what takes a second at most on an idle machine

# Says how it was called; writes the record; then fails or waits to be stopped, if a flag says so.
# Once it has said so, it is ready for signals.
SCRIPT = """
import os, signal, sys, time
if '--stubborn' in sys.argv:
    signal.signal(signal.SIGINT, lambda *_: os.write(1, b'not yet\\n'))
try:
    print('called:', __file__.rpartition('/')[2], *sys.argv[1:], flush=True)
    if '--json' in sys.argv:
        with open(sys.argv[sys.argv.index('--json') + 1], 'w') as file:
            file.write('{}')
    if '--wait' in sys.argv or '--stubborn' in sys.argv:
        time.sleep(600)
except KeyboardInterrupt:
    sys.exit(130)
sys.exit(int('--fail=' + __file__.rpartition('/')[2][:-len('_benchmark.py')] in sys.argv) * 3)
"""


@pytest.fixture
def app():
    """A folder like /app in the image; beside it an empty folder `results` and bin/python. Not in
    pytest's tmp_path, which no other user may enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_app(pathlib.Path(folder))


def make_app(folder):
    app = folder / 'app'
    for inner in (app / 'docker', app / 'suite', app / 'common', folder / 'results',
                  folder / 'bin'):
        inner.mkdir(parents=True)
    (folder / 'bin' / 'python').symlink_to(sys.executable)
    shutil.copy(os.path.join(ROOT, 'docker', 'entrypoint.sh'), str(app / 'docker'))
    for name in NAMES:
        (app / (name + '_benchmark.py')).write_text(SCRIPT)
    shutil.copy(os.path.join(ROOT, 'common', 'networks.py'), str(app / 'common'))
    (app / 'suite' / '__main__.py').write_text('import sys; print("suite:", *sys.argv[1:])')
    return app


def start(app, *args, **options):
    environment = {'PATH': '%s:/usr/bin:/bin' % (app.parent / 'bin'),
                   'BENCHMARK_RESULTS': str(app.parent / 'results')}
    return subprocess.Popen(['sh', str(app / 'docker' / 'entrypoint.sh')] + list(args),
                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            universal_newlines=True, cwd='/', **options)


def run(app, *args, **options):
    """Returns exit code, stdout and stderr of the entrypoint."""
    process = start(app, *args, **options)
    out, error = process.communicate(timeout=PATIENCE_S)
    return process.returncode, out, error


def calls(out, folder='/no/records'):
    """The calls of the scripts in `out`, with FOLDER for the folder of the records."""
    return [line[len('called: '):].replace(str(folder), 'FOLDER') for line in out.splitlines()
            if line.startswith('called: ')]


def records(app):
    """The folder of the one run that is recorded, and the names of its files."""
    folder, = (app.parent / 'results').iterdir()
    assert re.match(r'^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ$', folder.name)
    return folder, sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize('flags', [[], ['--fetch', 'ops']])
def test_the_four_run_in_turn(app, flags):
    code, out, error = run(app, *flags)
    assert (code, error) == (0, '')
    folder, files = records(app)
    assert files == sorted(name + '.json' for name in NAMES)
    assert calls(out, folder) == [
        ' '.join(['%s_benchmark.py --json FOLDER/%s.json' % (name, name)] + flags)
        for name in NAMES]
    assert out.endswith('All benchmarks ran.\nRecords: %s\n' % folder)


def test_one_that_fails_does_not_stop_the_rest_and_is_named(app):
    code, out, error = run(app, '--fail=vgg16')
    assert code == 1
    assert error == '\nFailed: vgg16 (exit 3)\n'
    assert len(calls(out, records(app)[0])) == 4


@pytest.mark.parametrize('word', ['inception_v3', 'inception_v3_benchmark',
                                  'inception_v3_benchmark.py'])
def test_one_runs_with_its_flags_and_its_exit_code(app, word):
    code, out, _ = run(app, word, '--fail=inception_v3', 'a word with blanks')
    folder, files = records(app)
    assert (code, files) == (3, ['inception_v3.json'])
    call, = calls(out, folder)
    assert call == ('inception_v3_benchmark.py --json FOLDER/inception_v3.json '
                    '--fail=inception_v3 a word with blanks')


@pytest.mark.parametrize('args', [['doctor'], ['compare', 'chapter', '--csv', 'a b']])
def test_a_verb_of_the_suite_gets_its_flags_and_keeps_no_records(app, args):
    assert run(app, *args) == (0, 'suite: %s\n' % ' '.join(args), '')
    assert not list((app.parent / 'results').iterdir())


def test_horovodrun_gets_its_words_and_keeps_no_records(app):
    horovodrun = app.parent / 'bin' / 'horovodrun'
    horovodrun.write_text('#!/bin/sh\nshift 2\nexec "$@"\n')
    horovodrun.chmod(0o755)
    code, out, error = run(app, 'horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py',
                           '--fail=vgg16', 'a word with blanks')
    assert (code, error) == (3, '')
    assert out == 'called: vgg16_benchmark.py --fail=vgg16 a word with blanks\n'
    assert not list((app.parent / 'results').iterdir())


def test_without_horovod_it_says_which_image_has_it(app):
    code, out, error = run(app, 'horovodrun', '-np', '4', 'python', 'vgg16_benchmark.py')
    assert (code, out) == (3, '')
    assert '--target classic-horovod' in error


@pytest.mark.parametrize('word', ['--help', '-h', 'help'])
def test_help_names_what_there_is(app, word):
    code, out, _ = run(app, word)
    assert code == 0
    for name in NAMES + ['doctor', 'compare', 'horovodrun', '/results', '--gpus all']:
        assert name in out
    assert not calls(out)


@pytest.mark.parametrize('args, words', [
    (['resnet'], "Unknown benchmark 'resnet'"),
    (['alexnet vgg16'], "Unknown benchmark 'alexnet vgg16'"),
    (['*'], "Unknown benchmark '*'"),
    (['--json', 'all.json'], 'one file'),
    (['--json=all.json'], 'one file')])
def test_bad_usage_runs_nothing(app, args, words):
    code, out, error = run(app, *args)
    assert (code, out) == (2, '')
    assert words in error and '--help' in error


def test_two_runs_do_not_share_a_folder(app):
    processes = [start(app, 'alexnet') for _ in range(2)]
    assert [process.communicate(timeout=PATIENCE_S)[1] for process in processes] == ['', '']
    assert len(list((app.parent / 'results').iterdir())) == 2


def test_without_a_mount_it_runs_and_says_that_nothing_is_kept(app):
    (app.parent / 'results').rmdir()
    code, out, _ = run(app, 'alexnet')
    assert code == 0
    assert 'nothing is mounted' in out
    assert calls(out) == ['alexnet_benchmark.py']


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

    code, out, _ = run(app, 'alexnet', preexec_fn=become)
    assert code == 0
    assert 'user 54321 may not write' in out
    assert calls(out) == ['alexnet_benchmark.py']

    os.chown(str(app.parent / 'results'), 54321, 54321)  # a mount of that user's
    code, out, error = run(app, 'alexnet', preexec_fn=become)
    assert (code, error) == (0, '')
    folder, files = records(app)
    assert files == ['alexnet.json']
    assert (folder / 'alexnet.json').stat().st_uid == 54321


def start_and_wait(app, *args):
    """Starts the entrypoint and returns it once the first script is ready for signals."""
    process = start(app, *args)
    assert any('called' in line for line in iter(process.stdout.readline, ''))
    return process


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize('args', [['alexnet'], []], ids=['one', 'all'])
def test_a_signal_ends_the_script_and_starts_no_other(app, args, number, code):
    process = start_and_wait(app, *args + ['--wait'])
    process.send_signal(number)
    out, _ = process.communicate(timeout=PATIENCE_S)     # the script would wait longer than that
    assert process.returncode == code
    assert not calls(out)


def test_a_second_signal_kills_what_did_not_end_at_the_first(app):
    process = start_and_wait(app, 'alexnet', '--stubborn')
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == 'not yet\n'
    for _ in range(PATIENCE_S):      # a signal that meets the shell in its handler may be lost
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=1)
            break
        except subprocess.TimeoutExpired:
            pass
    assert process.returncode == 143


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
        if path.endswith('.py') and not path.endswith('__main__.py'):
            modules.append(path[:-len('.py')].replace('/__init__', '').replace('/', '.'))
    assert {'alexnet_benchmark', 'common.benchmark', 'suite.compare'} <= set(modules)
    code = ('import importlib\n'
            'for name in %r: importlib.import_module(name)\n'
            'from suite import compare\n'
            'assert compare.main(["chapter"]) == 0' % modules)
    done = subprocess.run([sys.executable, '-c', code], cwd=str(tmp_path), text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
