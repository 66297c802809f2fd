"""Fixtures of the networks' tests: the graph that a script times, weights, comparison."""
import os
import signal
import types

import numpy
import pytest

# A shell's background commands ignore Ctrl-C, those of nohup the closing of the terminal too, and
# what the tests start would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# The first session of a process decides on TensorFlow's threads in it. A worker of pytest-xdist has
# one, because the threads of the workers would compete for the CPUs. What the tests start as
# processes of their own has a thread for each CPU. The process that only hands out the tests needs
# no TensorFlow, so the fixtures import it.
if os.environ.get('PYTEST_XDIST_WORKER'):
    from common.tf1 import tf
    with tf.Graph().as_default(), tf.Session(config=tf.ConfigProto(
            device_count={'GPU': 0}, intra_op_parallelism_threads=1,
            inter_op_parallelism_threads=1)) as first:
        first.run(tf.constant(0))


@pytest.fixture(scope='session')
def timed():
    """A function that builds what a script times with these flags, in a graph of its own, and
    returns it: graph, name, variant, passes (a dict by info_string), parameters. `replaced` are
    names of the script's module that have another value meanwhile."""
    from common.tf1 import tf

    def build(script, flags=(), **replaced):
        built = []

        def keep(args):
            with tf.Graph().as_default() as graph:
                workload = script.build(args)
            passes = {its.info_string: its for its in workload.passes}
            built.append(types.SimpleNamespace(graph=graph, name=workload.name,
                                               variant=workload.variant, passes=passes,
                                               parameters=workload.parameters))
            return 0

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(script, 'run_benchmark', keep)
            for name, value in replaced.items():
                patch.setattr(script, name, value)
            assert script.main(['--device', 'cpu', *flags]) == 0
        return built[0]
    return build


@pytest.fixture(scope='session')
def cpu_session():
    """A function that opens a session of a graph on the CPU."""
    from common.tf1 import tf

    def open_session(graph):
        return tf.Session(graph=graph, config=tf.ConfigProto(device_count={'GPU': 0}))
    return open_session


@pytest.fixture(scope='session')
def assert_fc6_and_fc7_are_dropped(cpu_session):
    """A function that feeds fc6 and fc7 of a graph, and checks what the next layer reads."""
    def check(graph, keep_prob):
        with cpu_session(graph) as session:
            for layer in 'fc6', 'fc7':
                before = graph.get_tensor_by_name(layer + ':0')
                assert 'MatMul' not in [op.type for op in before.consumers()]
                after, = [op.inputs[0] for op in graph.get_operations() if op.type == 'MatMul'
                          and op.inputs[0].op.name.startswith(layer + '_drop/')]
                ones = {before: numpy.ones([2, 4096])}
                assert (session.run(after, {keep_prob: 1.0, **ones}) == 1).all()
                first, second = [session.run(after, {keep_prob: 0.5, **ones}) for _ in range(2)]
                assert (first != second).any()
                assert set(first.ravel().tolist()) == {0, 2}
                assert 0.45 < (first == 0).mean() < 0.55
    return check


@pytest.fixture(scope='session')
def with_slims(cpu_session, randomise):
    """A function that gives what a run's network and slim's on the same variables and inputs
    compute, from one step: what -> (names, ours, theirs), lists of arrays.

    `fetches` has such triples of names and tensors. `updates` are the two lists of updates of the
    moving averages, whose changes are added to what is compared.
    """
    from common.tf1 import slim

    def compute(run, inputs, fetches, updates):
        with run.graph.as_default():
            averages = (slim.get_variables_by_suffix('moving_mean')
                        + slim.get_variables_by_suffix('moving_variance'))
        changes = []
        with cpu_session(run.graph) as session:
            randomise(session, seed=1)
            before = session.run(averages)
            arrays = session.run({what: tensors for what, (_, *tensors) in fetches.items()})
            feed = {inputs: numpy.random.RandomState(2).uniform(size=inputs.shape)}
            for its_updates in updates:
                assert len(its_updates) == len(averages)
                randomise(session, seed=1)
                session.run(its_updates, feed)
                changes.append([after - was for after, was in zip(session.run(averages), before)])
        both = {what: (fetches[what][0], *arrays[what]) for what in fetches}
        return dict(both, **{'moving averages': ([v.op.name for v in averages], *changes)})
    return compute


@pytest.fixture(scope='session')
def randomise():
    """A function that gives every variable of a session's graph values, the same for the same
    seed, for which nothing is neutral: no bias is 0, no variance 1. `scales` has factors by the
    last part of the name."""
    from common.tf1 import tf

    def give_values(session, seed, **scales):
        random = numpy.random.default_rng(seed)
        with session.graph.as_default():
            variables = tf.global_variables()
        values = {}
        for variable in variables:
            shape, kind = variable.shape.as_list(), variable.op.name.rpartition('/')[2]
            if kind in ('gamma', 'moving_variance'):
                value = random.uniform(0.5, 1.5, shape).astype(numpy.float32)
            else:
                value = random.standard_normal(shape, dtype=numpy.float32)
                if kind in ('weights', 'w'):             # as wide as keeps activations in range
                    value *= numpy.float32(numpy.sqrt(2 / numpy.prod(shape[:-1])))
                else:
                    value *= numpy.float32(0.2)
            values[variable] = value * numpy.float32(scales.get(kind, 1))
        session.run([variable.initializer for variable in variables],
                    {variable.initializer.inputs[1]: value for variable, value in values.items()})
    return give_values


@pytest.fixture(scope='session')
def assert_same():
    """A function that compares lists of arrays: each pair may differ by `rtol` of the largest value
    of the pair, or by 1e-6 of the largest of all (a gradient that is zero but for rounding)."""
    def compare(names, ours, theirs, rtol=1e-4):
        assert len(names) == len(ours) == len(theirs) > 0
        largest = max(numpy.abs(their).max() for their in theirs)
        assert 0 < largest < numpy.inf
        for name, our, their in zip(names, ours, theirs):
            assert our.shape == their.shape, name
            worst = numpy.abs(our - their).max()
            assert worst <= rtol * numpy.abs(their).max() + 1e-6 * largest, name
    return compare
