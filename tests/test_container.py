"""The image's entrypoint, with scripts that only say how they were called, and its Dockerfile."""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NAMES = ['alexnet', 'vgg16', 'inception_v3', 'resnet_v2']

# Says how it was called; writes the record; then fails or waits to be stopped, if a flag says so.
SCRIPT = """
import sys, time
print('called:', __file__.rpartition('/')[2], *sys.argv[1:], flush=True)
if '--json' in sys.argv:
    with open(sys.argv[sys.argv.index('--json') + 1], 'w') as file:
        file.write('{}')
if '--wait' in sys.argv:
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
if '--stubborn' in sys.argv:
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            print('not yet', flush=True)
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
    for inner in (app / 'docker', app / 'suite', folder / 'results', folder / 'bin'):
        inner.mkdir(parents=True)
    (folder / 'bin' / 'python').symlink_to(sys.executable)
    shutil.copy(os.path.join(ROOT, 'docker', 'entrypoint.sh'), str(app / 'docker'))
    for name in NAMES:
        (app / (name + '_benchmark.py')).write_text(SCRIPT)
    (app / 'suite' / '__init__.py').write_text('')
    (app / 'suite' / '__main__.py').write_text(
        'import sys; print(*{"doctor": ["the diagnosis"]}[sys.argv[1]])')
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
    out, error = process.communicate(timeout=60)
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
    assert out.endswith('All four ran.\nRecords: %s\n' % folder)


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


def test_doctor_keeps_no_records(app):
    assert run(app, 'doctor') == (0, 'the diagnosis\n', '')
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
    for name in NAMES + ['doctor', 'horovodrun', '/results', '--gpus all']:
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
    assert [process.communicate(timeout=60)[1] for process in processes] == ['', '']
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


@pytest.mark.parametrize('number, code', [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize('args', [['alexnet'], []], ids=['one', 'all'])
def test_a_signal_ends_the_script_and_starts_no_other(app, args, number, code):
    process = start(app, *args + ['--wait'])
    while 'called' not in process.stdout.readline():
        pass
    time.sleep(0.2)                                      # from the print to the sleep
    process.send_signal(number)
    before = time.perf_counter()
    out, _ = process.communicate(timeout=30)
    assert time.perf_counter() - before < 5
    assert process.returncode == code
    assert not calls(out)


def test_a_second_signal_kills_what_did_not_end_at_the_first(app):
    process = start(app, 'alexnet', '--stubborn')
    while 'called' not in process.stdout.readline():
        pass
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.stdout.readline() == 'not yet\n'
    end = time.monotonic() + 30      # a signal that meets the shell in its handler may be lost
    while process.poll() is None and time.monotonic() < end:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
    process.communicate(timeout=30)
    assert process.returncode == 143


# Dockerfile.cuda

def instructions():
    """The instructions of Dockerfile.cuda, continued lines joined, without comments."""
    with open(os.path.join(ROOT, 'Dockerfile.cuda')) as file:
        lines = [line for line in file.read().splitlines() if not line.lstrip().startswith('#')]
    joined = '\n'.join(lines).replace('\\\n', ' ')
    return [re.sub(r'\s+', ' ', line).strip() for line in joined.splitlines() if line.strip()]


def stages():
    """The instructions of each stage, by its name, in order."""
    found = {}
    for instruction in instructions():
        match = re.match(r'FROM (\S+) AS (\S+)$', instruction)
        if match:
            found[match.group(2)] = current = [instruction]
        elif found:
            current.append(instruction)
    return found


def test_the_default_target_is_classic():
    assert list(stages())[-1] == 'classic'
    assert {'modern', 'classic-horovod', 'modern-horovod'} < set(stages())


def test_images_and_conda_packages_are_pinned():
    for instruction in instructions():
        if re.match(r'ARG \w+_IMAGE=', instruction):
            assert re.search(r':\d+\.\d+\.\d+(-[\w.-]+)?$', instruction), instruction
        if instruction.startswith('FROM '):
            image = instruction.split()[1]
            assert re.match(r'\$\{\w+_IMAGE\}$', image) or image in stages(), instruction
        if 'micromamba install' in instruction:
            packages = re.search(r'--channel \S+ (.*?) &&', instruction).group(1).split()
            assert packages and all(re.match(r'[a-z]+=\d+(\.\d+)+$', one) for one in packages)


@pytest.mark.parametrize('stage, lock', [('modern-build', 'requirements-modern.lock'),
                                         ('classic-build', 'requirements.lock')])
def test_python_packages_come_from_the_lock_with_hashes(stage, lock):
    install, = [line for line in stages()[stage] if 'pip install' in line]
    assert '--require-hashes -r /tmp/%s' % lock in install
    assert '--no-cache-dir' in install
    assert 'COPY --chmod=644 %s /tmp/' % lock in stages()[stage]


def test_the_modern_image_for_several_gpus_has_a_horovod_with_nccl_of_its_own_tensorflow():
    built, installed = stages()['modern-horovod-wheels'], stages()['modern-horovod-build']
    lock, = [line for line in built if line.startswith('COPY ')]
    assert set(lock.split()) >= {'requirements-modern.lock', 'requirements-horovod-modern.lock'}
    run = built[-1]
    assert run.index('-r /tmp/requirements-modern.lock') < run.index(
        'HOROVOD_GPU_OPERATIONS=NCCL sh /tmp/horovod_wheel.sh /venv/bin/python ')
    assert 'COPY --from=modern-horovod-wheels /wheels /tmp/wheels' in installed
    assert '--no-deps /tmp/wheels/*.whl' in installed[-1]


@pytest.mark.parametrize('target', ['classic', 'classic-horovod', 'modern', 'modern-horovod'])
def test_no_image_runs_as_root_nor_reinstalls_when_the_code_changes(target):
    shared, own = stages()['base'], stages()[target]
    users = [line for line in shared + own if line.startswith('USER ')]
    assert users == ['USER 1000:1000']
    assert 'ENTRYPOINT ["sh", "/app/docker/entrypoint.sh"]' in shared
    copies = [line for line in own if line.startswith('COPY ')]
    assert '--from=%s-build' % target in copies[0]
    assert copies[1:] == ['COPY --chmod=755 . /app/']
    assert own.index('ARG BENCHMARK_COMMIT=') > own.index(copies[1])
    assert not any(line.startswith('RUN ') for line in own)


def test_horovod_is_built_from_its_lock_for_nccl_and_not_into_the_plain_image():
    build = stages()['classic-horovod-build']
    assert 'COPY --chmod=644 requirements-horovod.lock /tmp/' in build
    others, own = [line for line in build if 'pip install' in line]
    for install in (others, own):
        assert re.search(r'--no-cache-dir .*--no-deps --require-hashes -r /tmp/\w+\.lock', install)
    for flag in ('GPU_OPERATIONS=NCCL', 'NCCL_LINK=STATIC', 'BUILD_CUDA_CC_LIST=50,60,70,75',
                 'BUILD_ARCH_FLAGS=-mavx', 'WITHOUT_MPI=1'):
        assert 'HOROVOD_%s ' % flag in own
    assert 'nccl_built()' in build[-1]
    assert 'horovod' not in ' '.join(stages()['classic'] + stages()['classic-build'])


def test_older_drivers_are_let_in():
    # With an empty NVIDIA_REQUIRE_CUDA the container toolkit asks for CUDA_VERSION instead.
    assert 'NVIDIA_REQUIRE_CUDA="cuda>=10.0"' in ' '.join(stages()['classic'])
    assert 'CUDA_VERSION=10.0.130' in ' '.join(stages()['classic'])
    for target in ('modern', 'classic-horovod'):
        assert 'NVIDIA_REQUIRE_CUDA="cuda>=12.0"' in ' '.join(stages()[target])


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
    for path in ['docker/entrypoint.sh', 'requirements.lock', 'requirements-horovod.lock',
                 'requirements-modern.lock', 'requirements-horovod-modern.lock',
                 'tools/horovod_wheel.sh']:
        assert sent(path) and os.path.exists(os.path.join(ROOT, path)), path
    for path in ['.git/HEAD', '.venv/bin/python', 'tests/test_container.py', 'README.md',
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


# The locks

@pytest.mark.parametrize('name, at_least', [
    ('requirements-modern', 4), ('requirements-modern-cpu', 4), ('requirements-horovod', 2),
    ('requirements-horovod-modern', 2)])
def test_the_locks_hold_what_is_asked_for_and_name_no_place(name, at_least):
    def pins(path):
        with open(os.path.join(ROOT, path)) as file:
            text = file.read()
        found = re.findall(r'^([A-Za-z][\w.-]*)(?:\[[\w-]+\])?==([\w.]+)', text, re.MULTILINE)
        return text, {(package.lower().replace('_', '-'), version) for package, version in found}

    _, asked = pins(name + '.txt')
    text, locked = pins(name + '.lock')
    assert len(asked) >= at_least
    assert asked <= locked
    assert not re.search(r'https?:|file:|--(extra-)?index-url|--find-links|@', text)
    assert text.count('--hash=sha256:') >= len(locked)
