"""Measures the records of docs/performance.md: time by layer, the options, the peers, the start.

    python -m tools.performance FOLDER [--device gpu --batch_size 32 --num_batches 100]

Writes records to FOLDER/classic or FOLDER/modern, by the runtime; a record that exists is not
measured again. Runs that are compared alternate ROUNDS times, each in a new process, so that a
change of the machine affects both. The default batch sizes and steps are for two CPU cores; on a
GPU use more: --batch_size 32 --num_batches 100. The peers have a number of steps of their own.
"""
import argparse
import json
import os
import subprocess
import sys
import time

from common import files, tf1

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROUNDS = 3
CONTROLS = 3                         # runs of `suite peers` that time our network against itself
ALEXNET_STEPS = ['--num_batches', '20', '--num_steps_burn_in', '3']
FEW_STEPS = ['--batch_size', '1', '--num_batches', '8', '--num_steps_burn_in', '2']
NETWORKS = {'alexnet': ['--batch_size', '8'] + ALEXNET_STEPS,
            'vgg16': FEW_STEPS,
            'inception_v3': FEW_STEPS,
            'resnet_v2': ['--depth', '50'] + FEW_STEPS}
# On a machine without one of these, the script stops at once and writes no record.
OPTIONS = {'mixed': ['--precision', 'mixed'], 'tf32': ['--precision', 'tf32'], 'xla': ['--xla']}
# The libraries that people use beside each runtime. slim belongs to TensorFlow 1.
PEERS = {'classic': ['slim', 'keras'], 'modern': ['keras', 'torchvision', 'timm']}
# The batch size and the timed steps of each contender in each pass: what takes half an hour or less
# on two cores. PyTorch does not train Inception V3 on one image.
PEERS_WORK = {'alexnet': ('8', '80'), 'vgg16': ('1', '240'), 'inception_v3': ('2', '240'),
              'resnet_v2': ('1', '240')}


def plan():
    """Returns {name of a record: (network, flags)} in the order of running."""
    runs = {}
    for i in range(1, ROUNDS + 1):
        for name in 'lrn', 'no_lrn':
            runs['alexnet-%s-r%d' % (name, i)] = 'alexnet', [
                '--' + name, '--profile', '--batch_size', '32'] + ALEXNET_STEPS
        for threads in '1', '2':
            runs['alexnet-threads_%s-r%d' % (threads, i)] = 'alexnet', NETWORKS['alexnet'] + [
                '--intra_op_threads', threads]
        for network, flags in NETWORKS.items():
            for option, words in OPTIONS.items():
                runs['%s-%s-r%d' % (network, option, i)] = network, flags + words
    for network, flags in NETWORKS.items():
        runs['%s-profile' % network] = network, flags + ['--profile']
    return runs


def run(words, path):
    """Runs a command whose record does not exist yet; a run that fails or is interrupted leaves no
    record."""
    if os.path.exists(path):
        return
    print(' '.join(words), flush=True)
    code = None
    try:
        code = subprocess.call([sys.executable] + words + ['--json', path], cwd=ROOT,
                               stdout=subprocess.DEVNULL)
    finally:
        if code not in (0, 1) and os.path.exists(path):
            os.unlink(path)


def startup(folder, device):
    """Returns the seconds of importing TensorFlow in a process that does nothing else, and those of
    each part of AlexNet's start."""
    start_s, path = time.monotonic(), os.path.join(folder, 'start.tmp')
    subprocess.check_call([sys.executable, '-c', 'import tensorflow'], stderr=subprocess.DEVNULL)
    alone_s = time.monotonic() - start_s
    run(['alexnet_benchmark.py', '--device', device, '--forward_only', '--num_batches', '1',
         '--num_steps_burn_in', '1'], path)
    with open(path) as file:
        parts = json.load(file)['startup_s']
    os.unlink(path)
    return {'tensorflow_alone_s': alone_s, 'parts_s': parts}


def main(argv=None):
    """Measures the records that the folder does not have yet; returns 0."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', metavar='FOLDER')
    parser.add_argument('--device', choices=['auto', 'gpu', 'cpu'], default='auto')
    for flag in '--batch_size', '--num_batches':
        parser.add_argument(flag, metavar='N', help='instead of the default of each run')
    args = parser.parse_args(argv)
    folder = os.path.abspath(os.path.join(args.folder, tf1.RUNTIME))
    os.makedirs(folder, exist_ok=True)
    common = ['--device', args.device]
    for flag, value in ('--batch_size', args.batch_size), ('--num_batches', args.num_batches):
        common += [flag, value] if value else []
    path = os.path.join(folder, 'startup.json')
    if not os.path.exists(path):
        starts = [startup(folder, args.device) for _ in range(5)]
        files.write(path, files.json_text(starts) + '\n')
    for name, (network, flags) in plan().items():
        run([network + '_benchmark.py'] + flags + common,
            os.path.join(folder, name + '.json'))
    for network, (batch_size, num_batches) in PEERS_WORK.items():
        run(['-m', 'suite', 'peers', '--only', network, '--peers'] + PEERS[tf1.RUNTIME]
            + ['--batch_size', args.batch_size or batch_size, '--num_batches', num_batches,
               '--num_steps_burn_in', '1', '--device', args.device],
            os.path.join(folder, 'peers-%s.json' % network))
    for i in range(1, CONTROLS + 1):
        run(['-m', 'suite', 'peers', '--only', 'alexnet', '--peers', '--batch_size', '4',
             '--num_steps_burn_in', '1', '--device', args.device],
            os.path.join(folder, 'peers-control-%d.json' % i))
    return 0


if __name__ == '__main__':
    sys.exit(main())
