"""Chooses the device that is timed: the GPU if there is one, else the CPU.

A GPU that cannot be used is an error, and the CPU is not timed instead. The driver and the
libraries are examined before TensorFlow uses the GPU (nvidia.py in this folder), so that the error
is a sentence that says what to do, and not a hang, a nan or a silent fall-back to the CPU.
"""
import os
from typing import NamedTuple, Optional

from common import tf1
from common.machine import host, nvidia
from common.machine.nvidia import Gpu, Machine
from common.stop import Stop


class Device(NamedTuple):
    """The device to be timed: kind is 'gpu' or 'cpu'; sentence says which device and why, followed
    by a line for each known limit of this TensorFlow on it ('warning: ...')."""
    kind: str
    name: str
    sentence: str
    gpu: Optional[Gpu] = None


def choose(requested: str, machine: Optional[Machine] = None) -> Device:
    """Chooses the device for --device `requested`: 'auto', 'gpu' or 'cpu'. `machine` is the result
    of nvidia.look(), which is called here if it is not given.

    Raises Stop: 'gpu' was requested and there is none, or there is one that TensorFlow cannot
    use.
    """
    if requested == 'cpu':
        os.environ['CUDA_VISIBLE_DEVICES'] = ''          # before the driver's first call
        return _cpu('--device cpu was given')
    machine = machine or nvidia.look(tf1.NEEDS.libraries)
    problem = nvidia.problem(machine, tf1.NEEDS)
    if problem:
        raise Stop(problem)
    if not machine.gpus:
        if requested == 'gpu':
            raise Stop('--device gpu was given, but %s.' % nvidia.no_gpu(machine))
        return _cpu(nvidia.no_gpu(machine))
    line = '%s: %s' % (nvidia.describe(machine), 'as --device gpu asks' if requested == 'gpu'
                       else 'the first GPU that CUDA shows')
    warnings = ['warning: ' + text for text in nvidia.warnings(machine, tf1.NEEDS)]
    return Device('gpu', machine.gpus[0].name, '\n'.join([line] + warnings), machine.gpus[0])


def _cpu(reason):
    name = host.cpu_name()
    return Device('cpu', name, '%s, %s: %s' % (name, host.cpu_count(), reason))
