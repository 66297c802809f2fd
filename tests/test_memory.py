"""What a run needs, estimated from the graphs of the four networks, and the sentence of a run for
which the memory does not suffice."""
import argparse
import functools
import json

import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common.machine import host
from common.probes import memory
from common.tf1 import tf
from common.workload import Pass

MIB, MB = 2 ** 20, 10 ** 6
ALEXNET = ['--device', 'cpu', '--num_batches', '1', '--num_steps_burn_in', '0']


@pytest.fixture(scope='module')
def needed(timed):
    """A function that returns the needed_bytes of a script with these flags."""
    @functools.lru_cache(maxsize=None)
    def estimate(script, *flags):
        run = timed(script, flags)
        batch_size = int(flags[1])
        with run.graph.as_default():
            return memory.needed_bytes(list(run.passes.values()), tf.global_variables(), batch_size)
    return estimate


# Flags, and the MiB by which a run on a CPU made its process larger than it was before the session
# (the peak of VmHWM; TensorFlow 1.15 and 2.21).
MEASURED = [
    (alexnet_benchmark, ['--batch_size', '64'], 582, 594),
    (vgg16_benchmark, ['--batch_size', '2'], 1800, 1721),
    (inception_v3_benchmark, ['--batch_size', '4'], 1202, 1398),
    (resnet_v2_benchmark, ['--batch_size', '4', '--depth', '50'], 855, 846),
    (resnet_v2_benchmark, ['--batch_size', '2'], None, 1297),
]


@pytest.mark.parametrize('script, flags, classic, modern', [
    pytest.param(*row, marks=pytest.mark.slow if row[0] is resnet_v2_benchmark else [])
    for row in MEASURED])
def test_the_estimate_is_at_or_a_little_above_the_measured_peak(script, flags, classic, modern,
                                                                needed):
    estimate = needed(script, *flags)(int(flags[1])) / MIB
    for measured in filter(None, (classic, modern)):
        assert measured <= estimate <= 1.5 * measured


@pytest.mark.parametrize('batch_size', ['2', '3', '64', '100000'])
def test_the_batch_size_of_the_graph_does_not_matter(batch_size, needed):
    """Also where a kernel has it as its first dimension: 3 x 3 convolutions, 64 biases."""
    other, usual = needed(alexnet_benchmark, '--batch_size', batch_size), needed(
        alexnet_benchmark, '--batch_size', '32')
    for n in 1, 32, 4096:
        assert other(n) == pytest.approx(usual(n), rel=1e-6)


def test_bytes_by_hand():
    """An image takes 40 bytes, its product 12, into which relu writes, and the gradient of the
    product 12 more; the weights and their gradient take 120 each. Up to KEPT_BYTES, what is not a
    variable counts twice."""
    with tf.Graph().as_default():
        images = tf.Variable(tf.zeros([8, 10]), trainable=False)
        weights = tf.Variable(tf.zeros([10, 3]))
        forward = tf.nn.relu(tf.matmul(images, weights))
        passes = [Pass('Forward', forward),
                  Pass('Forward-backward', tf.gradients(forward, [weights]))]
        needed = memory.needed_bytes(passes, [images, weights], 8)
        only_forward = memory.needed_bytes(passes[:1], [images, weights], 8)
    assert only_forward(1000) - only_forward(0) == 1000 * (40 + 2 * 12)
    assert needed(0) - only_forward(0) >= 2 * 120        # and more operations
    assert needed(1000) - needed(500) == 500 * (40 + 2 * (12 + 12))
    assert needed(2e9) - needed(1e9) == 1e9 * (40 + 12 + 12)


NO_SMALLER = 'no smaller batch size fits either'


@pytest.mark.parametrize('batch_size, free, needs, are_free, advice', [
    (4096, 3200 * MB, '9.8 GB', '3.2 GB', 'use --batch_size 1024'),
    (1000000, 700 * MB, '2209 GB', '700 MB', 'use --batch_size 128'),
    (64, 50 * MB, '422 MB', '50.0 MB', NO_SMALLER), (1, 0, '182 MB', '0 kB', NO_SMALLER)])
def test_a_run_that_does_not_fit_is_refused_before_it_starts(
        batch_size, free, needs, are_free, advice, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(host, 'free_bytes', lambda: free)
    monkeypatch.setattr(tf, 'Session', None)
    path = tmp_path / 'x.json'
    assert alexnet_benchmark.main(['--batch_size', str(batch_size), '--forward_only', '--json',
                                   str(path), *ALEXNET]) == 3
    sentence = ('Out of memory: AlexNet with LRN at batch size %d needs about %s (an estimate), '
                'and %s are free: %s.' % (batch_size, needs, are_free, advice))
    assert capsys.readouterr().err == sentence + '\n'
    record = json.loads(path.read_text())
    assert (record['status'], record['error'], record['results']) == (
        'out_of_memory', sentence, [])


def test_a_run_that_needs_the_free_memory_starts(needed, monkeypatch, capsys):
    estimate = needed(alexnet_benchmark, '--batch_size', '1', '--forward_only')(1)
    monkeypatch.setattr(host, 'free_bytes', lambda: int(estimate) + 1)
    assert alexnet_benchmark.main(['--batch_size', '1', '--forward_only', *ALEXNET]) == 0


@pytest.mark.parametrize('batch_size, available, advice', [
    (1000000, None, 'use --batch_size 524288'), (512, 10 ** 12, 'use --batch_size 256'),
    (512, 700 * MB, 'use --batch_size 128'), (512, 5 * MB, NO_SMALLER),
    (1, 10 ** 12, NO_SMALLER)])
def test_what_to_do_when_tensorflow_runs_out_of_memory(batch_size, available, advice, needed):
    run = argparse.Namespace(args=argparse.Namespace(batch_size=batch_size))
    estimate = needed(alexnet_benchmark, '--batch_size', '32', '--forward_only')
    stop = memory.exhausted(run, estimate, available, 'OOM: a tensor')
    assert (stop.code, stop.status) == (3, 'out_of_memory')
    assert stop.text == 'Out of memory: batch size %d does not fit: %s.\n  OOM: a tensor' % (
        batch_size, advice)
