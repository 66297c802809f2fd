"""One table of machines, of each of which the device check, the doctor and tools/environment.py say
the same; what a TensorFlow needs of a GPU; and what is read from fake drivers and libraries."""
import ctypes
import os
import subprocess
import sys

import pytest

import alexnet_benchmark
from common import tf1
from common.machine import device, doctor, host, nvidia
from common.machine.nvidia import CLASSIC, MODERN, Gpu, Machine
from common.stop import Stop
from tools import environment

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GTX_1080 = Gpu('GeForce GTX 1080', '0000:01:00.0', (6, 1), 20, 8 * 2 ** 30)
GOOD = Machine(on_bus=1, driver='535.104.05', listed=['GeForce GTX 1080'], gpus=[GTX_1080],
               cuda_error=0, hidden_by=None, missing=[])
NONE = Machine(on_bus=0, driver=None, listed=[], gpus=[], cuda_error=None, hidden_by=None,
               missing=list(CLASSIC.libraries))
WSL = GOOD._replace(on_bus=0, driver='unknown', listed=[])
NO_CUDA10 = GOOD._replace(missing=['libcudart.so.10.0'])
SYSTEM_ERRORS = {
    802: '802, CUDA_ERROR_SYSTEM_NOT_READY): on machines with NVSwitch the fabric manager must '
         'run: systemctl start nvidia-fabricmanager (for a container: on the host)',
    803: '803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH): the running driver and libcuda.so.1 are of '
         'different versions: reboot (a container: start it anew)',
    804: '804, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE): libcuda.so.1 is of a forward '
         'compatibility package, which GeForce GPUs do not support: remove it (in a container: '
         '/usr/local/cuda/compat), or update the driver',
    999: '999, CUDA_ERROR_UNKNOWN): see `nvidia-smi` and `dmesg`, reboot',
    7777: '7777): see `nvidia-smi` and `dmesg`, reboot'}


def with_gpu(name, *capability, **changed):
    gpu = GTX_1080._replace(name=name, compute_capability=capability)
    return GOOD._replace(gpus=[gpu], listed=[name], **changed)


def unseen(machine=GOOD, **changed):
    return machine._replace(gpus=[], **changed)


K20, K80, GTX_680 = (with_gpu('Tesla K20', 3, 5), with_gpu('Tesla K80', 3, 7, driver='470.256.02'),
                     with_gpu('GeForce GTX 680', 3, 0))
T4, A100, H200 = (with_gpu('Tesla T4', 7, 5), with_gpu('NVIDIA A100', 8, 0),
                  with_gpu('NVIDIA H200', 9, 0))
B200 = with_gpu('NVIDIA B200', 10, 0)
RTX_5090 = with_gpu('NVIDIA GeForce RTX 5090', 12, 0, driver='570.86.15')
SAME = object()
TOO_NEW = (' is too new for TensorFlow 1.15.0, which supports GPUs up to 7.5: use the modern '
           'runtime (README, "Which GPU")')
TOO_NEW_TO_HOPPER = TOO_NEW + (
    ", or for TensorFlow 1 itself NVIDIA's image nvcr.io/nvidia/tensorflow:23.03-tf1-py3")
TOO_OLD = ' is too old for TensorFlow %s, which needs compute capability %s or later: use %s'
OLD_DRIVER = ' is too old for %s: install %s or later'
FOR_CLASSIC, FOR_MODERN = ('TensorFlow 1.15.0', '410.48'), ('TensorFlow 2.21.0', '525.60.13')
NO_DRIVER = ('An NVIDIA GPU is in this machine, but no driver: install NVIDIA driver %s or later '
             '(in a container: start it with --gpus all)')
HAS_NO_CUDA10 = (
    'CUDA 10.0 and cuDNN 7 are not installed for %s (libcudart.so.10.0 cannot be opened): install '
    'them for TensorFlow 1.15.0 and add their folder to LD_LIBRARY_PATH, or use the image (README, '
    '"In a container")')

# A machine, what is wrong with it for TensorFlow 1.15 and for 2.21, what `which` answers.
MACHINES = [
    (NONE, None, None, 'classic'),
    (NONE._replace(cuda_error=34), None, None, 'classic'),               # the toolkit's stub
    (NONE._replace(cuda_error=34, hidden_by='0'), None, None, 'classic'),
    (NONE._replace(cuda_error=100), None, None, 'classic'),              # a library left behind
    (NONE._replace(cuda_error=100, cuda_version=(11, 4)), None, None, 'classic'),
    (NONE._replace(hidden_by=''), None, None, 'classic'),
    (GOOD, None, None, 'classic'),
    (WSL, None, None, 'classic'),
    (T4, None, None, 'classic'),
    (NO_CUDA10, HAS_NO_CUDA10 % 'GeForce GTX 1080', None, 'modern'),
    (K20, None, 'Tesla K20 (compute capability 3.5)' + TOO_OLD
     % ('2.21.0', '6.0', 'the classic runtime (README, "Which GPU")'), 'classic'),
    # Kepler's last drivers are 470: it is not told to update its driver.
    (K80._replace(missing=['libcudart.so.10.0']), HAS_NO_CUDA10 % 'Tesla K80',
     'Tesla K80 (compute capability 3.7)' + TOO_OLD
     % ('2.21.0', '6.0', 'the classic runtime (README, "Which GPU")'), 3),
    (GTX_680, 'GeForce GTX 680 (compute capability 3.0)' + TOO_OLD
     % ('1.15.0', '3.5', 'a later GPU'), 'GeForce GTX 680 (compute capability 3.0)' + TOO_OLD
     % ('2.21.0', '6.0', 'a later GPU'), 3),
    (A100, 'NVIDIA A100 (compute capability 8.0)' + TOO_NEW_TO_HOPPER, None, 'modern'),
    (H200, 'NVIDIA H200 (compute capability 9.0)' + TOO_NEW_TO_HOPPER, None, 'modern'),
    (RTX_5090, 'NVIDIA GeForce RTX 5090 (compute capability 12.0)' + TOO_NEW, None, 'modern'),
    (B200._replace(driver='565.57.01', cuda_version=(12, 7)),
     'NVIDIA B200 (compute capability 10.0)' + TOO_NEW,
     'NVIDIA driver 565.57.01' + OLD_DRIVER
     % ('NVIDIA B200 (compute capability 10.0) with TensorFlow 2.21.0', '570'), 3),
    (A100._replace(driver='470.82.01', cuda_version=(11, 4)),
     'NVIDIA A100 (compute capability 8.0)' + TOO_NEW_TO_HOPPER,
     'NVIDIA driver 470.82.01' + OLD_DRIVER % FOR_MODERN, 3),
    (A100._replace(driver='470.82.01', cuda_version=(12, 4)),            # a compatibility package
     'NVIDIA A100 (compute capability 8.0)' + TOO_NEW_TO_HOPPER, None, 'modern'),
    (WSL._replace(cuda_version=(11, 4)), None,
     'An NVIDIA driver of unknown version' + OLD_DRIVER % FOR_MODERN, 'classic'),
    (GOOD._replace(driver='396.26'),
     'NVIDIA driver 396.26' + OLD_DRIVER % FOR_CLASSIC,
     'NVIDIA driver 396.26' + OLD_DRIVER % FOR_MODERN, 3),
    (unseen(driver=None, cuda_error=None, listed=[]), NO_DRIVER % '410.48',
     NO_DRIVER % '525.60.13', 3),
    (unseen(cuda_error=None), (
        'NVIDIA driver 535.104.05 runs, but its library libcuda.so.1 cannot be opened: install the '
        "driver's CUDA library, libcuda1 (in a container: start it with --gpus all)"), SAME, 3),
    (unseen(cuda_error=100, hidden_by=''),
     'GeForce GTX 1080 is hidden by CUDA_VISIBLE_DEVICES=: unset it', SAME, 3),
    (unseen(cuda_error=0, hidden_by='7'),
     'GeForce GTX 1080 is hidden by CUDA_VISIBLE_DEVICES=7: unset it', SAME, 3),
    (unseen(cuda_error=101, hidden_by='0,0'),
     'GeForce GTX 1080 is hidden by CUDA_VISIBLE_DEVICES=0,0: unset it', SAME, 3),
    (unseen(WSL, cuda_error=100, hidden_by='-1'),
     'An NVIDIA GPU is hidden by CUDA_VISIBLE_DEVICES=-1: unset it', SAME, 3),
    (unseen(cuda_error=100), (
        'GeForce GTX 1080 is in this machine, but CUDA shows no GPU: see `nvidia-smi` (in a '
        'container: start it with --gpus all)'), SAME, 3),
    (unseen(WSL, cuda_error=100), (
        'An NVIDIA driver of unknown version runs, but CUDA shows no GPU: see `nvidia-smi` (in WSL '
        '2: update the NVIDIA driver of Windows, then `wsl --update`)'), SAME, 3),
    (unseen(cuda_error=34), (
        'CUDA does not start on this machine (cuInit returned 34, CUDA_ERROR_STUB_LIBRARY): '
        "libcuda.so.1 is the CUDA toolkit's stub and not the driver's: take its folder "
        '(.../lib64/stubs) out of LD_LIBRARY_PATH'), SAME, 3),
    (unseen(cuda_error=101), (
        'CUDA does not start on this machine (cuInit returned 101, CUDA_ERROR_INVALID_DEVICE): it '
        'cannot open the GPU: see `nvidia-smi` and `dmesg`, reboot'), SAME, 3),
] + [(unseen(machine, cuda_error=error, hidden_by=hidden_by),        # never taken for a hidden GPU
      'CUDA does not start on this machine (cuInit returned ' + sentence, SAME, 3)
     for error, sentence in SYSTEM_ERRORS.items()
     for machine, hidden_by in ((GOOD, None), (WSL, '0'))]


@pytest.fixture(autouse=True)
def x86(monkeypatch):
    """An x86-64 machine without variables, whichever runs the tests."""
    monkeypatch.setattr(nvidia.platform, 'machine', lambda: 'x86_64')
    monkeypatch.setattr(environment.os.path, 'exists', lambda path: False)     # NOT_FOUND
    monkeypatch.setenv('HOME', '/home/me')
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '')       # --device cpu sets it: undone at the end
    for name in 'RUNTIME', 'PYTHON37', 'CUDA_CACHE_PATH':
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def be(monkeypatch):
    """Makes this machine another one, with a TensorFlow of other needs."""
    def become(machine, needs=CLASSIC):
        monkeypatch.setattr(nvidia, 'look', lambda libraries: machine)
        monkeypatch.setattr(environment, 'look', lambda: machine)
        monkeypatch.setattr(tf1, 'NEEDS', needs)
    return become


@pytest.mark.parametrize('machine, classic, modern, which', MACHINES, ids=range(len(MACHINES)))
def test_the_scripts_the_doctor_and_the_chooser_say_the_same(be, capsys, machine, classic, modern,
                                                             which):
    problems = [classic, classic if modern is SAME else modern]
    sentences = [problem and problem + ', or use --device cpu for CPU figures.'
                 for problem in problems]
    for needs, sentence in zip((CLASSIC, MODERN), sentences):
        # `make` installs the libraries of the modern runtime.
        be(machine if needs is CLASSIC else machine._replace(missing=[]), needs)
        if sentence:
            with pytest.raises(Stop) as stop:
                device.choose('auto')
            assert (stop.value.text, stop.value.code) == (sentence, 3)
            assert doctor.main([]) == 3
            assert capsys.readouterr().out.splitlines()[-1] == 'Problem: ' + sentence
        else:
            assert device.choose('auto').kind == ('gpu' if machine.gpus else 'cpu')
    be(machine)
    assert environment.main(['which']) == (3 if which == 3 else 0)
    out, err = capsys.readouterr()
    if which == 3:
        assert out == ''
        assert err.splitlines() == list(dict.fromkeys(sentences)) + [
            'For CPU figures: make bench RUNTIME=classic ARGS="--device cpu"']
    else:
        assert out == which + '\n'
        assert which == 'classic' or sentences[0].startswith(err[len('modern runtime: '):-1])


@pytest.mark.parametrize('machine, no_python37, answer', [
    (NONE, 'no Python 3.7', ('modern', 'no Python 3.7')),
    (T4, 'no Python 3.7', ('modern', 'no Python 3.7')),
    (GOOD, None, ('classic', 'GeForce GTX 1080 (compute capability 6.1, driver 535.104.05)')),
    (NO_CUDA10, 'no Python 3.7', (
        'modern', (HAS_NO_CUDA10 % 'GeForce GTX 1080').split(':')[0]))])
def test_the_runtime_depends_on_the_python_too(machine, no_python37, answer):
    assert environment.choose(machine, no_python37) == answer


def test_a_gpu_that_needs_a_python_37_is_sent_to_the_image():
    with pytest.raises(Stop) as stop:
        environment.choose(K20, 'no Python 3.7')
    first, _, last = stop.value.text.splitlines()
    assert first == ('Tesla K20 (compute capability 3.5, driver 535.104.05) can use TensorFlow '
                     '1.15.0, but no Python 3.7: use the image (README, "In a container").')
    assert last == 'For CPU figures: make bench RUNTIME=modern ARGS="--device cpu"'


@pytest.mark.parametrize('machine', [
    GOOD, WSL, T4, unseen(driver=None, cuda_error=None, listed=[])])
@pytest.mark.parametrize('kind, words', [
    ('aarch64', ['like all that pip installs on ARM (aarch64): use', nvidia.NVIDIA_IMAGE]),
    ('x86_64', ['without CUDA: install one that has it'])])
def test_a_tensorflow_without_cuda_is_told(monkeypatch, kind, words, machine):
    """As on a Jetson, a GH200 or a DGX Spark, or with tensorflow-cpu."""
    monkeypatch.setattr(nvidia.platform, 'machine', lambda: kind)
    needs = MODERN._replace(has_cuda=False)
    for word in words + ['is in this machine', '--device cpu']:
        assert word in nvidia.problem(machine, needs)
    assert nvidia.problem(NONE, needs) is None
    if kind == 'aarch64':
        with pytest.raises(Stop) as stop:
            environment.choose(machine, environment.no_python37())
        assert stop.value.text.splitlines() == [
            nvidia.problem(machine, needs),
            'For CPU figures: make bench RUNTIME=modern ARGS="--device cpu"']
        assert environment.choose(NONE, environment.no_python37())[0] == 'modern'


@pytest.mark.parametrize('error, hidden_by, said', [
    (None, None, 'no NVIDIA GPU and no driver was found'),
    (34, '-1', 'no NVIDIA GPU and no driver was found'),
    (100, None, 'the NVIDIA driver shows no GPU'),
    (100, '-1', 'the NVIDIA driver shows no GPU; CUDA_VISIBLE_DEVICES=-1 hides any there may be')])
def test_why_the_cpu_is_timed(be, monkeypatch, capsys, error, hidden_by, said):
    monkeypatch.setattr(host, 'cpu_name', lambda: 'AMD EPYC')
    monkeypatch.setattr(host, 'cpu_count', lambda: '1 of 2 CPUs')
    be(NONE._replace(cuda_error=error, hidden_by=hidden_by))
    assert device.choose('auto') == ('cpu', 'AMD EPYC', 'AMD EPYC, 1 of 2 CPUs: ' + said, None)
    assert alexnet_benchmark.main(['--device', 'gpu']) == 3
    assert capsys.readouterr().err == '--device gpu was given, but %s.\n' % said
    assert environment.main(['which']) == 0
    assert capsys.readouterr().err == 'classic runtime: %s\n' % said


def test_cpu_does_not_even_look(monkeypatch):
    monkeypatch.setattr(nvidia, 'look', lambda libraries: 1 / 0)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    assert device.choose('cpu').kind == 'cpu'
    assert os.environ['CUDA_VISIBLE_DEVICES'] == ''


def test_a_gpu_that_tensorflow_does_not_register_ends_the_run(be, capsys):
    """The driver shows a GPU, and TensorFlow, here without one, has only the CPU."""
    be(GOOD, CLASSIC._replace(tensorflow=tf1.VERSION, is_nvidias=True))
    assert alexnet_benchmark.main(['--batch_size', '1', '--forward_only']) == 3
    assert 'GeForce GTX 1080 is installed, but TensorFlow' in capsys.readouterr().err


def test_a_driver_that_crashes_ends_the_child_alone(monkeypatch):
    monkeypatch.setattr(sys, 'executable', '/bin/false')
    with pytest.raises(Stop, match='hangs or crashes: see `nvidia-smi`'):
        environment.look()


def test_this_machine_can_be_looked_at():
    machine = environment.look()
    assert machine == nvidia.look(CLASSIC.libraries)
    assert set(machine.missing) <= set(CLASSIC.libraries)


# The limits of the wheels

# TensorFlow, machine, driver, CUDA of its library; what is refused, what is warned of.
MAXWELL = with_gpu('GeForce GTX 750', 5, 0)
LIMITS = [
    ('2.21.0', H200, '535.104.05', (12, 2), None, [
        ['TensorFlow 2.21.0 for NVIDIA H200 is PTX 8.5', 'driver 555 or later', 'this one: 535.104',
         'UNSUPPORTED_PTX_VERSION', 'tensorflow:25.02-tf2-py3', 'not tried']]),
    ('2.21.0', H200, '550.54.15', None, None, [['PTX 8.5']]),
    ('2.21.0', H200, '535.104.05', (12, 8), None, []),         # with a compatibility package
    ('2.21.0', H200, '555.42.06', None, None, []),
    ('2.21.0', H200, 'unknown', None, None, []),
    ('2.21.0', H200, 'unknown', (12, 4), None, [['PTX 8.5', 'this one: unknown']]),
    ('2.20.0', H200, '535.104.05', (12, 2), None, []),
    ('2.21.0', RTX_5090, '570.86.15', (12, 8), None,
     [['compiles TensorFlow 2.21.0 for compute capability 12.0 at the first start',
       'up to 30 minutes', 'in /home/me/.nv/ComputeCache', 'CUDA_CACHE_PATH', 'CUDA_CACHE_MAXSIZE',
       'a container must mount', 'not tried'],
      ['--xla is expected to fail', 'tensorflow:25.02-tf2-py3', 'not tried']]),
    ('2.15.1', RTX_5090, '570.86.15', (12, 8), None,
     [['2.15.1 is older than NVIDIA GeForce RTX 5090', 'compute capability 12.0', 'not tried']]),
    ('2.10.1', H200, '535.104.05', (12, 2), None, [['2.10.1 is older than NVIDIA H200', '9.0']]),
    ('2.11.1', H200, '535.104.05', (12, 2), None, []),         # not known
    ('2.16.1', RTX_5090, '570.86.15', (12, 8),
     ['2.16.1 has no code for NVIDIA GeForce RTX 5090', 'sm_90a', 'use TensorFlow 2.21'], []),
    ('2.20.0', B200, '580.65.06', (13, 0), ['sm_90a', 'tensorflow:25.02-tf2-py3'], []),
    ('1.15.0', MAXWELL, '535.104.05', (12, 2), None,
     [['compiles TensorFlow 1.15.0 for compute capability 5.0 at the first start, and stores']]),
    ('1.13.2', MAXWELL, '535.104.05', (12, 2), None,
     [['compiles TensorFlow 1.13.2 for compute capability 5.0']]),
    ('1.15.0', with_gpu('GeForce GTX 980', 5, 2), '535.104.05', (12, 2), None, []),
    ('1.15.0', T4, '535.104.05', (12, 2), None, []),           # by the code for 7.0
    ('2.21.0', T4, '535.104.05', (12, 2), None, []),
]


@pytest.mark.parametrize('version, machine, driver, cuda, refused, warned', LIMITS)
def test_what_is_known_of_the_wheels_is_enforced(be, version, machine, driver, cuda, refused,
                                                 warned):
    needs = CLASSIC._replace(tensorflow=version, capabilities=((3, 5), None))
    machine = machine._replace(driver=driver, cuda_version=cuda)
    be(machine, needs)
    if refused:
        for word in refused + ['or use --device cpu']:
            assert word in nvidia.problem(machine, needs)
        return
    _, *lines = device.choose('auto').sentence.split('\n')
    assert len(lines) == len(warned)
    for line, words in zip(lines, warned):
        for word in ['warning: '] + words:
            assert word in line


def test_the_wheels_limits_are_not_those_of_nvidias_build(be, monkeypatch):
    be(B200, MODERN._replace(tensorflow='2.17.0', is_nvidias=True))
    assert '\n' not in device.choose('auto').sentence
    be(RTX_5090, MODERN)
    monkeypatch.setenv('CUDA_CACHE_PATH', '/cache')
    assert ' in /cache (' in device.choose('auto').sentence


# What a TensorFlow needs

BUILD = {'cuda_version': '12.5.1', 'cudnn_version': '9',
         'cuda_compute_capabilities': ['sm_60', 'sm_80', 'compute_90']}
CUDA_11, CUDA_12 = nvidia.CUDA['11'][1], nvidia.CUDA['12'][1]


@pytest.mark.parametrize('names, capabilities', [
    (['sm_60', 'sm_70', 'sm_80', 'sm_89', 'compute_90'], ((6, 0), None)),
    (['sm_35', 'compute_80'], ((3, 5), None)),
    (['sm_52', 'sm_61'], ((5, 2), (6, 9))),
    (['7.5', '8.0', '12.0'], ((7, 5), None)),
    (['sm_100', 'compute_120'], ((10, 0), None)),
    (['sm_90', 'sm_90a'], ((9, 0), (9, 9))),
    ([], ((6, 0), None))])
def test_the_capabilities_of_a_build(names, capabilities):
    build = dict(BUILD, cuda_compute_capabilities=names)
    assert nvidia.needs_of('2.21.0', build).capabilities == capabilities


@pytest.mark.parametrize('version, build, is_nvidias, needs', [
    ('1.15.0', {}, False, ('10.0', '7', '410.48', ((3, 5), (7, 5)),
                           nvidia.CUDA['10'][1] + ('libcudnn.so.7',))),
    ('2.21.0', BUILD, False,
     ('12.5.1', '9', '525.60.13', ((6, 0), None), CUDA_12 + ('libcudnn.so.9',))),
    ('2.17.1', dict(BUILD, cuda_version='12.3', cudnn_version='8'), False,     # PTX of Hopper alone
     ('12.3', '8', '525.60.13', ((6, 0), (9, 0)), CUDA_12 + ('libcudnn.so.8',))),
    ('2.10.0', {'cuda_version': '11.2', 'cudnn_version': '8',
                'cuda_compute_capabilities': ['sm_35', 'sm_50', 'compute_80']}, False,
     ('11.2', '8', '450.80.02', ((3, 5), None), CUDA_11 + ('libcudnn.so.8',))),
    ('2.4.0', dict(BUILD, cuda_version='11.0', cudnn_version='8'), False,      # an older cuSOLVER
     ('11.0', '8', '450.80.02', ((6, 0), None),
      CUDA_11[:4] + ('libcusolver.so.10',) + CUDA_11[5:] + ('libcudnn.so.8',))),
    ('2.20.0', {'is_cuda_build': False}, False, (None, None, '525.60.13', ((6, 0), None), ())),
    ('2.21.0', {'cuda_version': '13.0', 'cudnn_version': '9'}, False,
     ('13.0', '9', '525.60.13', ((6, 0), None), ())),          # its libraries are unknown
    ('1.15.0', {}, True, ('11.8', None, '450.51', ((6, 0), None), ())),
    ('2.17.0', dict(BUILD, cuda_compute_capabilities=['7.5', '12.0']), True,
     ('12.5.1', '9', '525.60.13', ((7, 5), None), ()))])
def test_a_build_says_what_it_needs(monkeypatch, version, build, is_nvidias, needs):
    monkeypatch.setenv('CUDA_VERSION', '11.8')           # of NVIDIA's images
    assert nvidia.needs_of(version, build, True, is_nvidias) == (
        (version, True) + needs + (is_nvidias,))


def test_the_chooser_knows_what_these_builds_need():
    expected = {'1.15.0': CLASSIC, '2.21.0': MODERN}.get(tf1.VERSION, tf1.NEEDS)
    assert tf1.NEEDS._replace(has_cuda=True) == expected


@pytest.mark.slow
@pytest.mark.skipif(tf1.RUNTIME != 'classic', reason='NVIDIA builds TensorFlow 1.15 alone')
def test_nvidias_build_of_tensorflow_1_is_let_onto_later_gpus():
    """Its image has CUDA 12 and code for Hopper; TF32, on by default there, is turned off."""
    done = subprocess.run(
        [sys.executable, '-c', """from common import tf1; import os; print(tf1.NEEDS.capabilities,
         tf1.NEEDS.libraries, os.environ['NVIDIA_TF32_OVERRIDE'], end=' ')
tf1.allow_tf32(True); print(os.environ['NVIDIA_TF32_OVERRIDE'])"""],
        env=dict(os.environ, NVIDIA_TENSORFLOW_VERSION='23.03-tf1', PYTHONPATH=ROOT),
        stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == '((6, 0), None) () 0 1\n'


# What a machine has

class FakeCuda:
    """libcuda.so.1 of a machine with one GTX 1080, or whose cuInit returns an error."""

    def __init__(self, error=0, version=12040):
        self.error, self.version = error, version

    def cuInit(self, flags):
        return self.error

    def cuDriverGetVersion(self, version):
        version._obj.value = self.version
        return 0 if self.version else 34

    def cuDeviceGetCount(self, count):
        count._obj.value = 1

    def cuDeviceGetName(self, buffer, size, ordinal):
        buffer.value = b'GeForce GTX 1080'

    def cuDeviceGetPCIBusId(self, buffer, size, ordinal):
        buffer.value = b'0000:01:00.0'

    def cuDeviceTotalMem_v2(self, size, ordinal):
        size._obj.value = 8 * 2 ** 30

    def cuDeviceGetAttribute(self, value, attribute, ordinal):
        value._obj.value = {16: 20, 75: 6, 76: 1}[attribute]


@pytest.fixture
def computer(monkeypatch, tmp_path):
    """A machine without GPU, driver and libraries; returns the libraries that ctypes opens, and
    the folder where WSL 2 has its files."""
    libraries = {}

    def cdll(path):
        if path not in libraries:
            raise OSError(path)
        return libraries[path]
    monkeypatch.undo()
    monkeypatch.setattr(ctypes, 'CDLL', cdll)
    monkeypatch.setattr(nvidia, 'WSL_FOLDER', str(tmp_path) + '/')
    monkeypatch.setattr(nvidia.glob, 'glob', lambda pattern: [])
    monkeypatch.setattr(host, 'driver_version', lambda: None)
    monkeypatch.setenv('PATH', '')
    monkeypatch.delenv('CUDA_VISIBLE_DEVICES', raising=False)
    return libraries, tmp_path


def write_smi(folder, text):
    (folder / 'nvidia-smi').write_text('#!/bin/sh\n' + text)
    (folder / 'nvidia-smi').chmod(0o755)


@pytest.mark.parametrize('cuda, error, gpus, version', [
    (FakeCuda(), 0, [GTX_1080], (12, 4)), (FakeCuda(version=9020), 0, [GTX_1080], (9, 2)),
    (FakeCuda(803), 803, [], (12, 4)), (FakeCuda(34, 0), 34, [], None),
    (object(), None, [], None), (None, None, [], None)])
@pytest.mark.parametrize('in_wsl', [False, True])
def test_the_driver_is_asked_for_its_gpus(computer, cuda, error, gpus, version, in_wsl):
    libraries, folder = computer
    if cuda:
        libraries[str(folder / 'libcuda.so.1') if in_wsl else 'libcuda.so.1'] = cuda
    machine = nvidia.look(('libcudnn.so.7',))
    assert machine == (0, 'unknown' if gpus else None, [], gpus, error, None, ['libcudnn.so.7'],
                       version)
    assert nvidia.has_driver_library() == bool(cuda)


@pytest.mark.parametrize('output, listed', [
    ('echo 535.104.05, NVIDIA A100, 40GB; echo 535.104.05, Tesla T4',
     [('535.104.05', 'NVIDIA A100, 40GB'), ('535.104.05', 'Tesla T4')]),
    ('', []), (r'printf "\377 garbage\n"', []), ('echo No devices were found; exit 6', []),
    ('echo 535.104.05, Tesla T4; exit 9', []), ('exec /bin/sleep 60', [])])
def test_what_nvidia_smi_lists(computer, monkeypatch, output, listed):
    monkeypatch.setattr(nvidia, 'SMI_S', 0.5)
    write_smi(computer[1], output + '\n')                # of WSL 2, not on PATH
    assert nvidia.nvidia_smi() == listed
    machine = nvidia.look(())
    assert machine.listed == [name for _, name in listed]
    assert machine.driver == (listed[0][0] if listed else None)
    assert nvidia.count() == len(listed)


def test_wsl_2_with_hidden_gpus_has_a_driver(computer):
    libraries, folder = computer
    (folder / 'libcuda.so.1').touch()
    libraries[str(folder / 'libcuda.so.1')] = FakeCuda(error=100)
    assert nvidia.look(()).driver == 'unknown'


def test_pips_cuda_packages_are_looked_into(monkeypatch, tmp_path, computer):
    libraries, _ = computer
    libraries['libcudart.so.12'] = object()
    monkeypatch.undo()
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: libraries[name] if name in libraries
                        else ctypes.PyDLL('/nowhere'))
    (tmp_path / 'nvidia' / 'cudnn' / 'lib').mkdir(parents=True)
    (tmp_path / 'nvidia' / 'cudnn' / 'lib' / 'libcudnn.so.9').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert nvidia.missing_libraries(['libcudart.so.12', 'libcudnn.so.9', 'libcublas.so.12']) == [
        'libcublas.so.12']
