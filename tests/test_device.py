"""Every case of the device check, with fake drivers and libraries."""
import ctypes
import os
import subprocess
import sys

import pytest

import alexnet_benchmark
from common import tf1
from common.machine import device, host, support
from common.machine.device import Gpu, Machine
from common.stop import Stop

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GTX_1080 = Gpu('GeForce GTX 1080', '0000:01:00.0', (6, 1), 20, 8 * 2 ** 30)
K20 = Gpu('Tesla K20', '0000:01:00.0', (3, 5), 13, 5 * 2 ** 30)
GTX_750 = Gpu('GeForce GTX 750', '0000:01:00.0', (5, 0), 4, 2 * 2 ** 30)
T4 = Gpu('Tesla T4', '0000:01:00.0', (7, 5), 40, 16 * 2 ** 30)
B200 = Gpu('NVIDIA B200', '0000:01:00.0', (10, 0), 148, 180 * 2 ** 30)
RTX_5090 = Gpu('NVIDIA GeForce RTX 5090', '0000:01:00.0', (12, 0), 170, 32 * 2 ** 30)
H200 = Gpu('NVIDIA H200', '0000:01:00.0', (9, 0), 132, 141 * 2 ** 30)
GOOD = Machine(on_bus=1, driver='535.104.05', listed=['GeForce GTX 1080'], gpus=[GTX_1080],
               cuda_error=0, hidden_by=None, missing=[])
NONE = Machine(on_bus=0, driver=None, listed=[], gpus=[], cuda_error=None, hidden_by=None,
               missing=list(tf1.GPU_LIBRARIES))
WSL = Machine(on_bus=0, driver='unknown', listed=[], gpus=[GTX_1080], cuda_error=0, hidden_by=None,
              missing=[])


@pytest.fixture(params=['classic', 'modern'])
def runtime(request, monkeypatch):
    """Either runtime's needs, whichever runs the tests."""
    version, driver, capabilities = {
        'classic': ('1.15.0', '410.48', ((3, 5), (7, 5))),
        'modern': ('2.21.0', '525.60.13', ((6, 0), None))}[request.param]
    monkeypatch.setattr(tf1, 'VERSION', version)
    monkeypatch.setattr(tf1, 'OLDEST_DRIVER', driver)
    monkeypatch.setattr(tf1, 'CAPABILITIES', capabilities)
    return request.param


@pytest.fixture(autouse=True)
def pip_wheel(monkeypatch):
    """A TensorFlow with CUDA and not NVIDIA's, whichever runs the tests."""
    monkeypatch.setattr(tf1, 'NVIDIA_BUILD', False)
    monkeypatch.setattr(device, 'has_cuda', lambda: True)


PROBLEMS = [                                             # what is wrong, what the sentence says
    ({'driver': None, 'cuda_error': None, 'gpus': [], 'listed': []},
     ['no driver', 'install', '--gpus all']),
    ({'driver': '396.26'}, ['396.26 is too old', 'install']),
    ({'cuda_error': None, 'gpus': []}, ['libcuda.so.1 cannot be opened']),
    ({'cuda_error': 100, 'gpus': [], 'hidden_by': ''},
     ['GTX 1080 is hidden by CUDA_VISIBLE_DEVICES=:', 'unset it']),
    ({'cuda_error': 100, 'gpus': [], 'hidden_by': '7'}, ['CUDA_VISIBLE_DEVICES=7:']),
    ({'cuda_error': 0, 'gpus': [], 'hidden_by': '7'}, ['CUDA_VISIBLE_DEVICES=7:']),
    ({'cuda_error': 101, 'gpus': [], 'hidden_by': '0,0'}, ['CUDA_VISIBLE_DEVICES=0,0:']),
    ({'cuda_error': 34, 'gpus': []},
     ['cuInit returned 34, CUDA_ERROR_STUB_LIBRARY', 'out of LD_LIBRARY_PATH']),
    ({'cuda_error': 34, 'gpus': [], 'driver': None, 'listed': []}, ['no driver', 'install']),
    ({'cuda_error': 101, 'gpus': []}, ['cuInit returned 101, CUDA_ERROR_INVALID_DEVICE', 'dmesg']),
    ({'cuda_error': 7777, 'gpus': []}, ['cuInit returned 7777)', 'nvidia-smi', 'reboot']),
    ({'cuda_error': 100, 'gpus': []}, ['CUDA shows no GPU', '--gpus all']),
    ({'missing': ['libcudnn.so.7']}, ['libcudnn.so.7 cannot be opened', 'LD_LIBRARY_PATH']),
]


@pytest.mark.parametrize('wrong, words', PROBLEMS, ids=[words[0] for _, words in PROBLEMS])
def test_a_gpu_that_does_not_work_is_explained(runtime, wrong, words):
    sentence = device.problem(GOOD._replace(**wrong))
    for word in words + ['--device cpu']:
        assert word in sentence


@pytest.mark.parametrize('hidden_by', [None, '', '0'])
@pytest.mark.parametrize('error, words', [
    (802, ['802, CUDA_ERROR_SYSTEM_NOT_READY', 'systemctl start nvidia-fabricmanager']),
    (803, ['803, CUDA_ERROR_SYSTEM_DRIVER_MISMATCH', 'different versions', 'reboot']),
    (804, ['804, CUDA_ERROR_COMPAT_NOT_SUPPORTED_ON_DEVICE', 'GeForce', '/usr/local/cuda/compat']),
    (999, ['999, CUDA_ERROR_UNKNOWN', 'dmesg', 'nvidia-smi', 'reboot'])])
def test_an_error_of_the_driver_is_named_and_not_taken_for_a_hidden_gpu(runtime, error, words,
                                                                        hidden_by):
    for seen in GOOD, WSL:
        sentence = device.problem(seen._replace(cuda_error=error, gpus=[], hidden_by=hidden_by))
        assert sentence.startswith('CUDA does not start on ')
        for word in words + ['--device cpu']:
            assert word in sentence
        assert 'hidden' not in sentence and 'unset' not in sentence
        assert '\n' not in sentence


def test_a_stub_of_the_drivers_library_is_no_gpu(runtime):
    assert device.problem(NONE._replace(cuda_error=34)) is None
    assert device.problem(NONE._replace(cuda_error=34, hidden_by='0')) is None
    assert device.problem(NONE._replace(cuda_error=100)) is None         # a library left behind


def test_wsl_2_is_used_though_nothing_tells_its_driver(runtime):
    assert device.problem(WSL) is None
    assert '(compute capability 6.1, driver unknown)' in device.choose('auto', WSL).sentence


@pytest.mark.parametrize('wrong, words', [
    ({'gpus': [], 'cuda_error': 100, 'hidden_by': ''},
     ['hidden by CUDA_VISIBLE_DEVICES=:', 'unset it']),
    ({'gpus': [], 'cuda_error': 100, 'hidden_by': '-1'}, ['CUDA_VISIBLE_DEVICES=-1:']),
    ({'gpus': [], 'cuda_error': 100}, ['driver of unknown version runs', 'wsl --update']),
    ({'gpus': [], 'cuda_error': None}, ['driver of unknown version', 'libcuda.so.1 cannot be'])])
def test_a_gpu_in_wsl_2_is_not_timed_silently_as_a_cpu(runtime, wrong, words):
    with pytest.raises(Stop) as refusal:
        device.choose('auto', WSL._replace(**wrong))
    for word in words + ['--device cpu']:
        assert word in str(refusal.value)


@pytest.mark.parametrize('seen', [GOOD, WSL, GOOD._replace(driver=None, gpus=[], listed=[])])
@pytest.mark.parametrize('machine, words', [
    ('aarch64', ['all that pip installs on ARM (aarch64)', 'nvcr.io/nvidia/tensorflow:25.02']),
    ('x86_64', ['install one that has it'])])
def test_a_tensorflow_without_cuda_is_told(monkeypatch, machine, words, seen):
    """As on a Jetson, a GH200 or a DGX Spark, or with tensorflow-cpu."""
    monkeypatch.setattr(device, 'has_cuda', lambda: False)
    monkeypatch.setattr(device.platform, 'machine', lambda: machine)
    sentence = device.problem(seen)
    for word in words + ['was built without CUDA', '--device cpu']:
        assert word in sentence
    assert device.problem(NONE) is None


def test_tensorflow_is_asked_how_it_was_built(monkeypatch):
    monkeypatch.undo()
    assert device.has_cuda() in (True, False)


def test_a_gpu_too_new_or_too_old_is_sent_to_the_other_runtime(runtime):
    too_new = device.problem(GOOD._replace(gpus=[H200]))
    too_old = device.problem(GOOD._replace(gpus=[K20]))
    if runtime == 'classic':
        assert 'NVIDIA H200 (compute capability 9.0) is too new for TensorFlow 1.15.0' in too_new
        assert 'modern runtime' in too_new
        assert too_old is None
    else:
        assert too_new is None
        assert 'Tesla K20 (compute capability 3.5) is too old for TensorFlow 2.21.0' in too_old
        assert 'classic runtime' in too_old
    sentence = device.problem(GOOD._replace(gpus=[K20._replace(compute_capability=(3, 0))]))
    assert 'use a later GPU, or take --device cpu' in sentence       # no TensorFlow here has it


def test_a_gpu_that_is_too_old_is_not_told_to_update_its_driver(monkeypatch):
    """Kepler's last drivers are 470."""
    for name, value in (('VERSION', '2.21.0'), ('OLDEST_DRIVER', '525.60.13'),
                        ('CAPABILITIES', ((6, 0), None))):
        monkeypatch.setattr(tf1, name, value)
    kepler = GOOD.gpus[0]._replace(name='Tesla K80', compute_capability=(3, 7))
    sentence = device.problem(GOOD._replace(gpus=[kepler], driver='470.256.02'))
    assert sentence.startswith(
        'Tesla K80 (compute capability 3.7) is too old for TensorFlow 2.21.0')
    assert 'the classic runtime' in sentence


@pytest.mark.parametrize('error, hidden_by, said', [
    (None, None, 'no NVIDIA GPU and no driver was found'),
    (34, '-1', 'no NVIDIA GPU and no driver was found'),       # the toolkit's stub
    (100, None, 'the NVIDIA driver shows no GPU'),
    (100, '-1', 'the NVIDIA driver shows no GPU; CUDA_VISIBLE_DEVICES=-1 hides any there may be')])
def test_why_the_cpu_is_timed(error, hidden_by, said):
    nothing = device.Machine(0, None, [], [], error, hidden_by, [])
    assert device.choose('auto', nothing).sentence.endswith(': ' + said)
    with pytest.raises(Stop, match='--device gpu was given, but ' + said):
        device.choose('gpu', nothing)


# TensorFlow, GPU, driver, CUDA of its library; what is refused, what is warned of.
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
    ('2.21.0', B200, '565.57.01', (12, 7),
     ['driver 565.57.01 is too old for NVIDIA B200 (compute capability 10.0)', '570 or later'],
     []),
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
    ('1.15.0', GTX_750, '535.104.05', (12, 2), None,
     [['compiles TensorFlow 1.15.0 for compute capability 5.0 at the first start, and keeps']]),
    ('1.13.2', GTX_750, '535.104.05', (12, 2), None,
     [['compiles TensorFlow 1.13.2 for compute capability 5.0']]),
    ('1.15.0', GTX_750._replace(compute_capability=(5, 2)), '535.104.05', (12, 2), None, []),
    ('1.15.0', T4, '535.104.05', (12, 2), None, []),           # by the code for 7.0
    ('2.21.0', T4, '535.104.05', (12, 2), None, []),
]


@pytest.mark.parametrize('version, gpu, driver, cuda, refused, warned', LIMITS)
def test_what_is_known_of_the_wheels_is_enforced(monkeypatch, version, gpu, driver, cuda, refused,
                                                 warned):
    for name, value in (('VERSION', version), ('OLDEST_DRIVER', '410.48'),
                        ('CAPABILITIES', ((3, 5), None))):
        monkeypatch.setattr(tf1, name, value)
    monkeypatch.setenv('HOME', '/home/me')
    monkeypatch.delenv('CUDA_CACHE_PATH', raising=False)
    seen = GOOD._replace(gpus=[gpu], driver=driver, cuda_version=cuda)
    sentence = device.problem(seen)
    if refused:
        for word in refused + ['or take --device cpu']:
            assert word in sentence
        assert '\n' not in sentence
        return
    assert sentence is None
    _, *lines = device.choose('auto', seen).sentence.split('\n')
    assert len(lines) == len(warned)
    for line, words in zip(lines, warned):
        for word in ['warning: '] + words:
            assert word in line


def test_the_folder_of_what_is_compiled_is_the_drivers(monkeypatch):
    monkeypatch.setattr(tf1, 'VERSION', '2.21.0')
    monkeypatch.setenv('CUDA_CACHE_PATH', '/cache')
    assert ' in /cache (' in support.limits('a GPU', (12, 0), '570.86.15', None)[1][0]


def test_the_wheels_limits_are_not_those_of_nvidias_build(monkeypatch):
    monkeypatch.setattr(tf1, 'VERSION', '2.17.0')
    monkeypatch.setattr(tf1, 'NVIDIA_BUILD', True)
    monkeypatch.setattr(tf1, 'CAPABILITIES', ((6, 0), None))
    seen = GOOD._replace(gpus=[B200], driver='570.86.15')
    assert device.problem(seen) is None
    assert '\n' not in device.choose('auto', seen).sentence


@pytest.mark.parametrize('module', ['common', 'alexnet_benchmark', 'suite.__main__'])
def test_windows_is_told_of_wsl_in_one_sentence(module):
    """Windows has no fcntl and no resource."""
    done = subprocess.run(
        [sys.executable, '-c', "import sys; sys.platform = 'win32'; sys.modules['fcntl'] = "
         "sys.modules['resource'] = None; import %s" % module],
        cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, '')
    assert done.stderr == (
        'These benchmarks run on Linux: on Windows, run them in WSL 2, which can use the GPU.\n')


def test_nothing_is_wrong_with_a_good_gpu_or_with_none(runtime):
    assert device.problem(GOOD) is None
    assert device.problem(NONE) is None
    assert device.problem(NONE._replace(hidden_by='')) is None


@pytest.fixture
def machine(monkeypatch):
    """Lets device.look see the machine that a test describes."""
    def see(seen):
        monkeypatch.setattr(device, 'look', lambda: seen)
    return see


def test_auto_takes_the_gpu_that_works(machine, monkeypatch):
    monkeypatch.setattr(tf1, 'CAPABILITIES', ((3, 5), (7, 5)))
    machine(GOOD)
    chosen = device.choose('auto')
    assert (chosen.kind, chosen.gpu) == ('gpu', GTX_1080)
    assert 'GeForce GTX 1080 (compute capability 6.1, driver 535.104.05)' in chosen.sentence


def test_auto_takes_the_cpu_where_there_is_no_gpu(machine, monkeypatch):
    monkeypatch.setattr(host, 'cpu_name', lambda: 'AMD EPYC')
    monkeypatch.setattr(host, 'cpu_count', lambda: '1 of 2 CPUs')
    machine(NONE)
    chosen = device.choose('auto')
    assert (chosen.kind, chosen.gpu) == ('cpu', None)
    assert chosen.sentence == 'AMD EPYC, 1 of 2 CPUs: no NVIDIA GPU and no driver was found'


@pytest.mark.parametrize('requested', ['auto', 'gpu'])
def test_a_gpu_that_does_not_work_ends_the_run(requested, machine, capsys):
    machine(GOOD._replace(missing=['libcudnn.so.7']))
    assert alexnet_benchmark.main(['--device', requested]) == 3
    captured = capsys.readouterr()
    assert 'libcudnn.so.7' in captured.err
    assert captured.out == ''                            # nothing was built


def test_gpu_is_refused_where_there_is_none(machine, capsys):
    machine(NONE)
    assert alexnet_benchmark.main(['--device', 'gpu']) == 3
    assert 'no NVIDIA GPU and no driver was found' in capsys.readouterr().err


def test_cpu_does_not_even_look(monkeypatch):
    monkeypatch.setattr(device, 'look', lambda: 1 / 0)
    monkeypatch.setenv('CUDA_VISIBLE_DEVICES', '0')
    assert device.choose('cpu').kind == 'cpu'
    assert device.os.environ['CUDA_VISIBLE_DEVICES'] == ''


def test_a_gpu_that_tensorflow_does_not_register_ends_the_run(machine, monkeypatch, capsys):
    """The driver shows a GPU, and TensorFlow, here without one, has only the CPU."""
    monkeypatch.setattr(tf1, 'CAPABILITIES', ((3, 5), (7, 5)))
    machine(GOOD)
    assert alexnet_benchmark.main(['--batch_size', '1', '--forward_only']) == 3
    assert 'GeForce GTX 1080 is there, but TensorFlow' in capsys.readouterr().err


class FakeCuda:
    """libcuda.so.1 of a machine with one GTX 1080."""

    def cuInit(self, flags):
        return 0

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


def opens(monkeypatch, **libraries):
    """Lets ctypes.CDLL find only these libraries."""
    def cdll(name):
        key = name.partition('.')[0]
        if key not in libraries:
            raise OSError(name)
        return libraries[key]
    monkeypatch.setattr(ctypes, 'CDLL', cdll)


def test_cuda_is_asked_for_its_gpus(monkeypatch):
    opens(monkeypatch, libcuda=FakeCuda())
    assert device.cuda_gpus() == (0, [GTX_1080])


def test_no_libcuda_is_no_error(monkeypatch):
    opens(monkeypatch)
    assert device.cuda_gpus() == (None, [])


def test_a_stub_gives_its_error(monkeypatch):
    cuda = FakeCuda()
    cuda.cuInit = lambda flags: 34
    opens(monkeypatch, libcuda=cuda)
    assert device.cuda_gpus() == (34, [])
    opens(monkeypatch, libcuda=object())                 # one without any function
    assert (device.cuda_gpus(), device.cuda_version()) == ((None, []), None)


@pytest.mark.parametrize('number, error, version', [(12040, 0, (12, 4)), (9020, 0, (9, 2)),
                                                    (0, 34, None)])
def test_the_cuda_version_of_the_drivers_library(monkeypatch, number, error, version):
    class Cuda:
        def cuDriverGetVersion(self, value):
            value._obj.value = number
            return error
    opens(monkeypatch, libcuda=Cuda())
    assert device.cuda_version() == version
    opens(monkeypatch)
    assert device.cuda_version() is None


@pytest.mark.parametrize('smi', [True, False])
def test_wsl_2_is_looked_at_where_its_files_are(monkeypatch, tmp_path, smi):
    """No nvidia-smi on PATH, no /proc/driver, no GPU on the bus, a library the loader misses."""
    (tmp_path / 'libcuda.so.1').touch()
    if smi:
        (tmp_path / 'nvidia-smi').write_text('#!/bin/sh\necho 555.85, GeForce GTX 1080\n')
        (tmp_path / 'nvidia-smi').chmod(0o755)

    def cdll(path):
        if path != str(tmp_path / 'libcuda.so.1'):
            raise OSError(path)
        return FakeCuda()
    monkeypatch.setattr(ctypes, 'CDLL', cdll)
    monkeypatch.setattr(device, 'WSL_FOLDER', str(tmp_path) + '/')
    monkeypatch.setattr(device.shutil, 'which', lambda name: None)
    monkeypatch.setattr(device, '_on_bus', lambda: 0)
    monkeypatch.setattr(host, 'driver_version', lambda: None)
    seen = device.look()
    assert (seen.gpus, seen.cuda_error) == ([GTX_1080], 0)
    assert (seen.driver, seen.listed) == (('555.85', ['GeForce GTX 1080']) if smi
                                          else ('unknown', []))
    monkeypatch.setattr(FakeCuda, 'cuInit', lambda self, flags: 100)
    assert device.look().driver == ('555.85' if smi else 'unknown')      # hidden, not absent


def test_the_missing_library_is_found_out(monkeypatch):
    monkeypatch.setattr(tf1, 'GPU_LIBRARIES', ('libcudart.so.10.0', 'libcudnn.so.7'))
    opens(monkeypatch, libcudart=object())
    assert device.missing_libraries() == ['libcudnn.so.7']


def test_pips_cuda_packages_are_looked_into(monkeypatch, tmp_path):
    monkeypatch.setattr(tf1, 'GPU_LIBRARIES', ('libcudnn.so.9', 'libcublas.so.12'))
    (tmp_path / 'nvidia' / 'cudnn' / 'lib').mkdir(parents=True)
    (tmp_path / 'nvidia' / 'cudnn' / 'lib' / 'libcudnn.so.9').touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    opens(monkeypatch)
    assert device.missing_libraries() == ['libcublas.so.12']


@pytest.mark.parametrize('output, code, found', [
    (b'535.104.05, NVIDIA A100, 40GB\n535.104.05, Tesla T4\n', 0,
     [('535.104.05', 'NVIDIA A100, 40GB'), ('535.104.05', 'Tesla T4')]),
    (b'', 0, []), (b'\xff garbage\n', 0, []), (b'No devices were found\n', 6, []),
    (b'NVIDIA-SMI has failed because it could not communicate with the driver\n', 9, [])])
def test_what_nvidia_smi_lists(monkeypatch, output, code, found):
    monkeypatch.setattr(subprocess, 'run',
                        lambda *_, **__: subprocess.CompletedProcess([], code, stdout=output))
    assert device.nvidia_smi() == found


def test_an_nvidia_smi_that_hangs_is_left(monkeypatch, tmp_path):
    (tmp_path / 'nvidia-smi').write_text('#!/bin/sh\nexec sleep 60\n')
    (tmp_path / 'nvidia-smi').chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(device, 'SMI_S', 0.1)
    assert device.nvidia_smi() == []


def test_the_driver_is_nvidia_smis_where_proc_says_nothing(monkeypatch):
    monkeypatch.setattr(host, 'driver_version', lambda: None)
    monkeypatch.setattr(device, 'nvidia_smi', lambda: [('535.104.05', 'Tesla T4')])
    opens(monkeypatch)
    machine = device.look()
    assert (machine.driver, machine.listed) == ('535.104.05', ['Tesla T4'])


@pytest.mark.skipif(tf1.RUNTIME != 'classic', reason='NVIDIA builds TensorFlow 1.15 alone')
def test_nvidias_build_of_tensorflow_1_is_let_onto_later_gpus():
    """Its image has CUDA 12 and code for Hopper; TF32, on by default there, is turned off."""
    done = subprocess.run(
        [sys.executable, '-c', """from common import tf1; import os; print(tf1.CAPABILITIES,
         tf1.GPU_LIBRARIES, os.environ['NVIDIA_TF32_OVERRIDE'], end=' ')
tf1.allow_tf32(True); print(os.environ['NVIDIA_TF32_OVERRIDE'])"""],
        env=dict(os.environ, NVIDIA_TENSORFLOW_VERSION='23.03-tf1', PYTHONPATH=ROOT),
        stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == '((6, 0), None) () 0 1\n'
