"""The batch size to try when memory runs out, from the graphs of the four networks; none runs."""
import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common.probes import memory
from common.tf1 import tf

IMAGES = 224 * 224 * 3 * 4                               # bytes of an image in a variable

# Flags, and by hand: the parameters, and the bytes of an image.
NETWORKS = {
    # The four tensors of LRN's gradient at 56 x 56 x 64.
    'alexnet': (alexnet_benchmark, [], 2469696, IMAGES + 4 * 56 * 56 * 64 * 4),
    # The input and the output of LRN.
    'alexnet-forward': (alexnet_benchmark, ['--forward_only'], 2469696,
                        IMAGES + 2 * 56 * 56 * 64 * 4),
    # The three tensors of ReLU's gradient at 224 x 224 x 64.
    'vgg16': (vgg16_benchmark, [], 138357544, IMAGES + 3 * 224 * 224 * 64 * 4),
    # The input of batch norm at 147 x 147 x 64 and its output.
    'inception_v3': (inception_v3_benchmark, ['--forward_only'], 27143152,
                     2 * 147 * 147 * 64 * 4),
    # The inputs of all convolutions.
    'resnet_v2': (resnet_v2_benchmark, ['--depth', '50'], 25568360, None),
}


@pytest.fixture(scope='module', params=[
    pytest.param(name, marks=pytest.mark.slow if name == 'resnet_v2' else []) for name in NETWORKS])
def network(request, timed):
    """The name of a network, and the targets and variables of its graph at batch size 100000."""
    script, flags, _, _ = NETWORKS[request.param]
    run = timed(script, ['--batch_size', '100000', *flags])
    with run.graph.as_default():
        variables = tf.global_variables()
    return request.param, [t for one in run.passes.values() for t in one.tensors], variables


def test_bytes_by_hand(network):
    name, targets, variables = network
    _, flags, parameters, image = NETWORKS[name]
    needed = memory.least_bytes(targets, variables, 100000)
    if image:
        assert (needed(4096) - needed(2048)) / 2048 == pytest.approx(image, rel=1e-6)
    copies = 1 if '--forward_only' in flags else 2       # and the gradients
    assert needed(0) == pytest.approx(4 * copies * parameters, rel=0.01)        # batch norm's means


@pytest.mark.parametrize('trial', [64, 512, 65536])
def test_the_largest_power_of_two_that_fits(network, trial):
    _, targets, variables = network
    needed = memory.least_bytes(targets, variables, 100000)
    assert memory.worth_trying(targets, variables, 100000, needed(trial)) == trial
    assert memory.worth_trying(targets, variables, 100000, needed(trial) - 1) == trial // 2
    assert memory.worth_trying(targets, variables, 100000, needed(1) - 1) is None


@pytest.mark.parametrize('available, words', [
    (int(1.2e9), 'The largest power of two worth trying: --batch_size 512.'),
    (int(5e6), 'No smaller batch is likely to fit either.')])
def test_what_alexnet_says_when_the_images_do_not_fit(available, words, monkeypatch, capsys):
    """A million images take 602 GB, but a forward step of 512 needs 1.1 GB."""
    def run(*_):                     # a real refusal takes TensorFlow 2.21 ten seconds
        raise tf.errors.ResourceExhaustedError(None, None, 'OOM')
    monkeypatch.setattr(tf.Session, 'run', run)
    monkeypatch.setattr(memory, 'available_bytes', lambda device: available)
    assert alexnet_benchmark.main(['--batch_size', '1000000', '--device', 'cpu', '--forward_only',
                                   '--num_batches', '1']) == 3
    assert capsys.readouterr().err.startswith(
        'Out of memory: batch size 1000000 does not fit. ' + words)


@pytest.mark.parametrize('batch_size', [2, 3, 64])
def test_the_batch_size_of_the_graph_does_not_matter(batch_size, timed):
    """Also where a kernel has it as its first dimension: 3 x 3 convolutions, 64 biases."""
    run = timed(alexnet_benchmark, ['--batch_size', str(batch_size)])
    with run.graph.as_default():
        variables = tf.global_variables()
    needed = memory.least_bytes([t for one in run.passes.values() for t in one.tensors],
                                variables, batch_size)
    _, _, parameters, image = NETWORKS['alexnet']
    assert needed(1024) == pytest.approx(4 * parameters + 1024 * image)
