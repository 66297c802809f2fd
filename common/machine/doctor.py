"""The GPU, driver and libraries of this machine, and which device the benchmarks would time.

    python -m suite doctor [--device auto|gpu|cpu] [--json]

Exit code: 0; 3 where the requested device cannot be used, and a sentence says why and what to do
(with --json on stderr); 2 bad usage; 130 interrupted.
"""
import argparse
import json
import platform
import sys
import types
from typing import List, Optional, Sequence

from common import files, record, tf1
from common.arguments import returns_exit_code
from common.machine import device, host, nvidia, session
from common.stop import Stop


def diagnosis(machine: nvidia.Machine) -> List[str]:
    """Returns the lines of the diagnosis: versions, CPU, GPUs, driver and libraries."""
    lines = ['Python %s, TensorFlow %s (%s runtime)'
             % (platform.python_version(), tf1.VERSION, tf1.RUNTIME),
             'Needs: ' + _needs(),
             'CPU: %s, %s' % (host.cpu_name(), host.cpu_count()),
             'NVIDIA GPUs on the PCI bus: %d' % machine.on_bus,
             'NVIDIA driver: %s' % (machine.driver or 'none'),
             'GPUs that nvidia-smi lists: %s' % (', '.join(machine.listed) or 'none'),
             'libcuda.so.1: ' + ('cannot be opened' if machine.cuda_error is None else
                                 'cuInit returned ' + nvidia.error_words(machine.cuda_error)),
             'CUDA_VISIBLE_DEVICES: %s' % ('not set' if machine.hidden_by is None
                                           else repr(machine.hidden_by))]
    for gpu in machine.gpus:
        lines.append('GPU that CUDA shows: %s, compute capability %d.%d, %d multiprocessors, '
                     '%.1f GiB, PCI %s' % ((gpu.name,) + gpu.compute_capability
                                           + (gpu.multiprocessors, gpu.memory_bytes / 2 ** 30,
                                              gpu.pci_bus_id)))
    for library in tf1.NEEDS.libraries:
        lines.append('%s: %s' % (library,
                                 'cannot be opened' if library in machine.missing else 'found'))
    return lines


def without_gpu() -> List[str]:
    """Returns what to do on a machine without an NVIDIA GPU."""
    gpu = ('(compute capability %s) and driver %s or later'
           % (_capabilities(), tf1.NEEDS.driver)) if tf1.NEEDS.has_cuda else (
               'and a TensorFlow with CUDA (`make bench` installs one)')
    return ['For GPU figures: use a machine with an NVIDIA GPU %s.' % gpu,
            'In a container: start it with --gpus all.',
            'For CPU figures: nothing is missing, run the benchmarks as they are (`make bench`).']


def examine(requested: str, machine: Optional[nvidia.Machine] = None) -> device.Device:
    """Returns the device that would be timed, after TensorFlow has opened a session on it.

    Raises Stop, as device.choose does, or because TensorFlow does not start on it.
    """
    chosen = device.choose(requested, machine)
    try:
        session.open_session(chosen).close()
    except Stop:
        raise
    except Exception as error:       # of any kind: a diagnosis must not end in a traceback
        raise Stop('TensorFlow %s does not start on %s: %s' % (
            tf1.VERSION, chosen.name, getattr(error, 'message', None) or error)) from None
    return chosen


@returns_exit_code
def main(argv: Optional[Sequence[str]] = None) -> int:
    """Prints the diagnosis, or with --json the device alone; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--device', choices=['auto', 'gpu', 'cpu'], default='auto',
                        help='as of the benchmarks (default: auto)')
    parser.add_argument('--json', action='store_true',
                        help='print the device that would be timed, and the environment as records '
                             'have it, as one line of JSON')
    args = parser.parse_args(argv)
    try:
        return _print_device(args.device) if args.json else _print_diagnosis(args.device)
    except KeyboardInterrupt:
        print('Interrupted.', file=sys.stderr)
        return 130


def _print_device(requested):
    try:
        chosen = examine(requested)
    except Stop as error:
        print(error, file=sys.stderr)
        return 3
    run = types.SimpleNamespace(device=chosen, args=types.SimpleNamespace(precision='float32'))
    environment = record.environment(run)
    if chosen.gpu:
        environment['gpu'] = {'driver_version': nvidia.driver_version()}
    print(json.dumps({'kind': chosen.kind, 'name': chosen.name, 'sentence': chosen.sentence,
                      'environment': environment}))
    return 0


def _print_diagnosis(requested):
    machine = nvidia.look(tf1.NEEDS.libraries)
    print('\n'.join(diagnosis(machine)) + '\n', flush=True)
    try:
        chosen = examine(requested, machine)
    except Stop as error:
        print('Problem: %s' % error)
        return 3
    print('The benchmarks would time: ' + chosen.sentence)
    if chosen.kind == 'cpu' and requested == 'auto':
        print('\n'.join(without_gpu()))
    return 0


def _needs():
    if not tf1.NEEDS.has_cuda:
        return 'no GPU, because it was built without CUDA'
    needs = ['driver %s or later' % tf1.NEEDS.driver, 'compute capability ' + _capabilities()]
    return ', '.join(needs + ['%s %s' % (name, version) for name, version in (
        ('CUDA', tf1.NEEDS.cuda), ('cuDNN', tf1.NEEDS.cudnn)) if version])


def _capabilities():
    oldest, newest = tf1.NEEDS.capabilities
    return '%d.%d to %d.%d' % (oldest + newest) if newest else '%d.%d or later' % oldest


if __name__ == '__main__':
    sys.exit(files.guarded(main))
