"""Every case of the device check, with drivers and libraries that are not there."""
import ctypes
import os
import subprocess
import sys

import pytest

import alexnet_benchmark
from common import tf1
from common.machine import device, host
from common.machine.device import Gpu, Machine

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GTX_1080 = Gpu('GeForce GTX 1080', '0000:01:00.0', (6, 1), 20, 8 * 2 ** 30)
K20 = Gpu('Tesla K20', '0000:01:00.0', (3, 5), 13, 5 * 2 ** 30)
H200 = Gpu('NVIDIA H200', '0000:01:00.0', (9, 0), 132, 141 * 2 ** 30)
GOOD = Machine(on_bus=1, driver='535.104.05', listed=['GeForce GTX 1080'], gpus=[GTX_1080],
               cuda_error=0, hidden_by=None, missing=[])
NONE = Machine(on_bus=0, driver=None, listed=[], gpus=[], cuda_error=None, hidden_by=None,
               missing=list(tf1.GPU_LIBRARIES))


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


PROBLEMS = [                                             # what is wrong, what the sentence says
    ({'driver': None, 'cuda_error': None, 'gpus': [], 'listed': []},
     ['no driver', 'install', '--gpus all']),
    ({'driver': '396.26'}, ['396.26 is too old', 'install']),
    ({'cuda_error': None, 'gpus': []}, ['libcuda.so.1 cannot be opened']),
    ({'cuda_error': 100, 'gpus': [], 'hidden_by': ''},
     ['GTX 1080 is hidden by CUDA_VISIBLE_DEVICES=:', 'unset it']),
    ({'cuda_error': 100, 'gpus': [], 'hidden_by': '7'}, ['CUDA_VISIBLE_DEVICES=7:']),
    ({'cuda_error': 0, 'gpus': [], 'hidden_by': '7'}, ['CUDA_VISIBLE_DEVICES=7:']),
    ({'cuda_error': 803, 'gpus': []}, ['cuInit returned 803', 'reboot']),
    ({'cuda_error': 100, 'gpus': []}, ['CUDA shows no GPU', '--gpus all']),
    ({'missing': ['libcudnn.so.7']}, ['libcudnn.so.7 cannot be opened', 'LD_LIBRARY_PATH']),
]


@pytest.mark.parametrize('wrong, words', PROBLEMS, ids=[words[0] for _, words in PROBLEMS])
def test_a_gpu_that_does_not_work_is_explained(runtime, wrong, words):
    sentence = device.problem(GOOD._replace(**wrong))
    for word in words + ['--device cpu']:
        assert word in sentence


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


def test_nothing_is_wrong_with_a_good_gpu_or_with_none(runtime):
    assert device.problem(GOOD) is None
    assert device.problem(NONE) is None
    assert device.problem(NONE._replace(hidden_by='')) is None


@pytest.fixture
def machine(monkeypatch):
    """Lets device.look see the machine that a test says."""
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
