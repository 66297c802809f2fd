"""The same seeds and weights give the same outputs on every TensorFlow.

tests/same_outputs.json holds what this test computed on TensorFlow 1.15.0 and a CPU; every version
is held against it. `python -m pytest -m "" tests/test_runtimes.py --basetemp FOLDER` leaves what it
computed now, and how far that differs, under FOLDER. It needs pytest, and what the four scripts
need.
"""
import json
import os

import numpy
import pytest

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common.tf1 import tf

with open(os.path.join(os.path.dirname(__file__), 'same_outputs.json')) as _file:
    EXPECTED = json.load(_file)

# Outputs of the two were seen to differ by less than 1e-6, gradients by up to 0.9 % where batch
# norm takes its statistics from 8 values.
TOLERANCE = {'Forward': 1e-5, 'Forward-backward': 2e-2}

RUNS = {                                                 # dropout keeps all: no random numbers
    'alexnet': (alexnet_benchmark, ['--fc'], {}),
    'vgg16': (vgg16_benchmark, [], {'IMAGE_SIZE': 64}),
    'inception_v3': (inception_v3_benchmark, ['--forward_only'], {}),
    'resnet_v2': (resnet_v2_benchmark, ['--depth', '50'], {'IMAGE_SIZE': 64}),
}


@pytest.mark.slow
@pytest.mark.parametrize('name', list(RUNS))
def test_the_same_weights_give_the_same_outputs(name, timed, cpu_session, randomise, tmp_path):
    script, flags, replaced = RUNS[name]
    run = timed(script, ['--batch_size', '2', *flags], **replaced)
    feed = {}
    for op in run.graph.get_operations():
        if op.name == 'keep_prob':
            feed[op.outputs[0]] = 1.0
        if op.name == 'random_uniform/RandomUniform':    # the images of Inception and ResNet
            feed[op.outputs[0]] = numpy.random.RandomState(2).uniform(size=op.outputs[0].shape)
    found = {}
    with cpu_session(run.graph) as session:
        randomise(session, seed=3)
        for info_string, one in run.passes.items():
            found[info_string] = [describe(value) for value in
                                  session.run([first_float(t) for t in one.tensors], feed)]
    (tmp_path / (name + '.json')).write_text(json.dumps(found))
    assert list(found) == list(EXPECTED[name])
    (tmp_path / 'difference.json').write_text(json.dumps({
        info_string: difference(values, EXPECTED[name][info_string], TOLERANCE[info_string])
        for info_string, values in found.items()}))
    for info_string, values in found.items():
        largest = numpy.max(EXPECTED[name][info_string])     # some gradients are rounding alone
        numpy.testing.assert_allclose(values, EXPECTED[name][info_string],
                                      rtol=TOLERANCE[info_string], atol=1e-6 * largest)


def difference(values, expected, tolerance):
    """The largest relative difference, above `tolerance` exactly where the test fails."""
    expected = numpy.array(expected)
    floor = 1e-6 * expected.max() / tolerance
    return float(numpy.max(numpy.abs(values - expected) / (expected + floor)))


def first_float(tensor):
    """VGG's predictions are classes: the probabilities they are taken from say more."""
    return tensor if tensor.dtype == tf.float32 else tensor.op.inputs[0]


def describe(value):
    """The norm of an array, and that of its product with a fixed wave, which knows the order."""
    flat = value.ravel().astype(numpy.float64)
    return [float(numpy.linalg.norm(flat)),
            float(numpy.linalg.norm(flat * numpy.sin(numpy.arange(flat.size))))]
