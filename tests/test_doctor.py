"""The doctor: its output for fake machines, and its exit codes."""
import json
import subprocess
import sys

import pytest
from test_nvidia import CLASSIC, GOOD, NONE, ROOT

from common import record, tf1
from common.machine import doctor, host, nvidia, session
from common.stop import Stop

BROKEN = GOOD._replace(cuda_error=803, gpus=[])
NEEDS = CLASSIC._replace(libraries=('libcudnn.so.7',))


@pytest.fixture(autouse=True)
def classic(monkeypatch):
    """The classic runtime, whichever runs the tests, on a CPU of two."""
    for name, value in ('VERSION', '1.15.0'), ('RUNTIME', 'classic'), ('NEEDS', NEEDS):
        monkeypatch.setattr(tf1, name, value)
    monkeypatch.setattr(host, 'cpu_name', lambda: 'AMD EPYC')
    monkeypatch.setattr(host, 'cpu_count', lambda: '1 of 2 CPUs')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # --device cpu sets it: undone at the end


@pytest.fixture
def run(monkeypatch, capsys):
    """Runs the doctor on a machine; returns exit code, stdout, stderr. On a GPU the session is
    `opened`: nothing, or an error."""
    def run_doctor(machine, *flags, opened=None):
        class Session:
            def close(self):
                pass

        def open_session(chosen):
            if opened:
                raise opened
            return Session()
        monkeypatch.setattr(nvidia, 'look', lambda libraries: machine)
        monkeypatch.setattr(session, 'open_session', open_session)
        code = doctor.main(list(flags))
        return (code,) + tuple(capsys.readouterr())
    return run_doctor


def test_a_good_gpu(run):
    code, out, err = run(GOOD)
    assert (code, err) == (0, '')
    assert out == """\
Python %s, TensorFlow 1.15.0 (classic runtime)
Needs: driver 410.48 or later, compute capability 3.5 to 7.5, CUDA 10.0, cuDNN 7
CPU: AMD EPYC, 1 of 2 CPUs
NVIDIA GPUs on the PCI bus: 1
NVIDIA driver: 535.104.05
GPUs that nvidia-smi lists: GeForce GTX 1080
libcuda.so.1: cuInit returned 0
CUDA_VISIBLE_DEVICES: not set
GPU that CUDA shows: GeForce GTX 1080, compute capability 6.1, 20 multiprocessors, 8.0 GiB, PCI \
0000:01:00.0
libcudnn.so.7: found

The benchmarks would time: GeForce GTX 1080 (compute capability 6.1, driver 535.104.05): the first \
GPU that CUDA shows
""" % sys.version.split()[0]


def test_without_a_gpu_it_ends_with_what_to_do(run):
    code, out, _ = run(NONE)
    assert code == 0
    assert out.split('\n\n')[1] == """\
The benchmarks would time: AMD EPYC, 1 of 2 CPUs: no NVIDIA GPU and no driver was found
For GPU figures: use a machine with an NVIDIA GPU (compute capability 3.5 to 7.5) and driver \
410.48 or later.
In a container: start it with --gpus all.
For CPU figures: nothing is missing, run the benchmarks as they are (`make bench`).
"""


GTX_1080 = 'GeForce GTX 1080 (compute capability 6.1, driver 535.104.05): '
AMD_EPYC = 'AMD EPYC, 1 of 2 CPUs: '
DOES_NOT_START = 'TensorFlow 1.15.0 does not start on GeForce GTX 1080: '

# A machine, flags, what opening a session raises, the exit code, the sentence.
CASES = {
    'a GPU': (GOOD, (), None, 0, GTX_1080 + 'the first GPU that CUDA shows'),
    'a GPU is asked for': (GOOD, ('--device', 'gpu'), None, 0, GTX_1080 + 'as --device gpu asks'),
    'no GPU': (NONE, ('--device', 'auto'), None, 0,
               AMD_EPYC + 'no NVIDIA GPU and no driver was found'),
    'the CPU is asked for': (BROKEN, ('--device', 'cpu'), None, 0,
                             AMD_EPYC + '--device cpu was given'),
    'a broken driver': (BROKEN, (), None, 3, 'CUDA does not start on this machine'),
    'a GPU is asked for and there is none': (
        NONE, ('--device', 'gpu'), None, 3, '--device gpu was given, but no NVIDIA GPU'),
    'not registered': (GOOD, (), Stop('TensorFlow did not register it'), 3,
                       'TensorFlow did not register it'),
    'a TensorFlow error': (GOOD, (), tf1.tf.errors.InternalError(None, None, 'out of luck'), 3,
                           DOES_NOT_START + 'out of luck'),
    'any error': (GOOD, (), RuntimeError('what?'), 3, DOES_NOT_START + 'what?')}


@pytest.mark.parametrize('machine, flags, opened, code, sentence', CASES.values(), ids=CASES)
def test_what_would_be_timed(run, monkeypatch, machine, flags, opened, code, sentence):
    monkeypatch.setattr(nvidia, 'driver_version', lambda: '535.104.05')
    ended, out, err = run(machine, *flags, opened=opened)
    assert (ended, err) == (code, '')
    assert ('\nProblem: ' if code else '\nThe benchmarks would time: ') + sentence in out
    ended, out, err = run(machine, '--json', *flags, opened=opened)
    assert ended == code
    if code:
        assert (out, err.count('\n')) == ('', 1)
        assert err.startswith(sentence)
        return
    assert (err, out.count('\n')) == ('', 1)
    answer = json.loads(out)
    environment = answer.pop('environment')
    kind, name = (('gpu', 'GeForce GTX 1080') if sentence.startswith(GTX_1080)
                  else ('cpu', 'AMD EPYC'))
    assert answer == {'kind': kind, 'name': name, 'sentence': sentence}
    assert (environment['device']['name'], environment['tensorflow'], environment['commit'],
            environment['gpu']) == (name, '1.15.0', record.commit(),
                                    {'driver_version': '535.104.05'} if kind == 'gpu' else None)


def test_errors_of_the_driver_are_named(run):
    _, out, _ = run(BROKEN)
    assert 'libcuda.so.1: cuInit returned 803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH\n' in out


def test_warnings_have_lines_of_their_own(run):
    seen = GOOD._replace(gpus=[GOOD.gpus[0]._replace(compute_capability=(5, 0))])
    code, out, _ = run(seen)
    assert code == 0
    assert [line.split(':')[0] for line in out.splitlines()[-2:]] == [
        'The benchmarks would time', 'warning']
    code, out, _ = run(seen, '--json')
    assert (code, out.count('\n')) == (0, 1)
    assert '\nwarning: the driver compiles TensorFlow 1.15.0 for' in json.loads(out)['sentence']


def test_a_tensorflow_without_cuda_needs_no_gpu(run, monkeypatch):
    monkeypatch.setattr(tf1, 'NEEDS', NEEDS._replace(has_cuda=False))
    code, out, _ = run(NONE)
    assert code == 0
    assert 'Needs: no GPU, because it was built without CUDA\n' in out
    assert out.endswith("""
For GPU figures: use a machine with an NVIDIA GPU and a TensorFlow with CUDA (`make bench` \
installs one).
In a container: start it with --gpus all.
For CPU figures: nothing is missing, run the benchmarks as they are (`make bench`).
""")


def test_an_interrupted_doctor(monkeypatch, capsys):
    def interrupted(libraries):
        raise KeyboardInterrupt
    monkeypatch.setattr(nvidia, 'look', interrupted)
    assert doctor.main([]) == 130
    assert capsys.readouterr().err == 'Interrupted.\n'


@pytest.mark.parametrize('flags, code', [(['--help'], 0), (['--device', 'tpu'], 2), (['x'], 2)])
def test_usage(flags, code, capsys):
    assert doctor.main(flags) == code
    captured = capsys.readouterr()
    assert 'usage: ' in (captured.err if code else captured.out)


@pytest.mark.slow
def test_it_runs_in_a_process_of_its_own():
    """As suite/run calls it, with the real TensorFlow."""
    done = subprocess.run([sys.executable, '-m', 'common.machine.doctor', '--json', '--device',
                           'cpu'], cwd=ROOT, stdout=subprocess.PIPE, check=True)
    assert json.loads(done.stdout.decode())['kind'] == 'cpu'


def test_nvidias_build_brings_its_own_cudnn(monkeypatch):
    monkeypatch.setattr(tf1, 'NEEDS', NEEDS._replace(cudnn=None, capabilities=((6, 0), None)))
    assert doctor.diagnosis(GOOD)[1] == (
        'Needs: driver 410.48 or later, compute capability 6.0 or later, CUDA 10.0')
