"""--precision and --xla: the float32 baseline run, and the comparison with float32's results.

Without --precision all products are computed in float32. Otherwise:
    tf32   products of convolutions and matrices are rounded to 10 bits of mantissa, on NVIDIA GPUs
           from Ampere on
    mixed  Grappler's auto mixed precision: float16 on a GPU with tensor cores, bfloat16 on a CPU
           with instructions for it

Before such a run, or one through XLA, is timed, its results are compared with float32's, computed
on the CPU from the same variables and the same random numbers. The float32 baseline runs first, in
a process of its own, because TF32 is a setting of the whole process and cuDNN keeps its choice of
algorithms for as long as the process lives.
"""
import json
import math
import os
import sys
import tempfile
from typing import Any, Dict, List, Optional

import numpy

from common import children, graph, networks, report, tf1, variables
from common.cautions import Caution
from common.machine import host
from common.machine.device import Device
from common.probes import checks
from common.record import ROOT
from common.stop import Stop
from common.tf1 import tf
from common.workload import Pass, Run

PRECISIONS = 'float32', 'tf32', 'mixed'

# Allowed relative difference (L2 norm) of the results of a pass: enough for another order of
# summation and for Winograd's convolutions. Where a network amplifies roundings, SENSITIVE times
# the change of float32's own results when all variables are rounded once, if that is more. (XLA in
# float32 changes the gradients of ResNet-50, batch norm in training, by 6 % on a CPU.)
TOLERANCE = {'float32': 1e-3, 'tf32': 0.02, 'mixed_float16': 0.02, 'mixed_bfloat16': 0.05}
ROUNDING = {'float32': 2 ** -24, 'tf32': 2 ** -11, 'mixed_float16': 2 ** -11,
            'mixed_bfloat16': 2 ** -8}
SENSITIVE = 4

# Compute capabilities: TF32 from Ampere on, tensor cores (which Grappler asks for) from Volta on.
TF32_FROM, TENSOR_CORES_FROM = (8, 0), (7, 0)
BFLOAT16_FLAGS = {'avx512_bf16', 'amx_bf16'}             # of /proc/cpuinfo
XLA_RUNS = 3                         # a cluster is compiled at its second run
RANDOM = 'RandomUniform', 'RandomStandardNormal', 'TruncatedNormal'


def is_requested(run: Run) -> bool:
    """Returns whether --precision or --xla was given."""
    return run.args.precision != 'float32' or run.args.xla


def problem(precision: str, device: Device) -> Optional[str]:
    """Returns why --precision is not available on the device; None if it is."""
    gpu, name = device.gpu, '--precision ' + precision
    if precision == 'tf32':
        if not gpu:
            return '%s: tf32 needs an NVIDIA GPU; this run uses the CPU.' % name
        if not (tf1.RUNTIME == 'modern' or tf1.NVIDIA_BUILD):
            return ('%s: TensorFlow %s has no TF32; use the modern runtime (README, "Which GPU").'
                    % (name, tf1.VERSION))
        if gpu.compute_capability < TF32_FROM:
            return _too_old(name, gpu, TF32_FROM)
    if precision == 'mixed':
        if gpu and gpu.compute_capability < TENSOR_CORES_FROM:
            return _too_old(name, gpu, TENSOR_CORES_FROM)
        if tf1.RELEASE < (1, 14):
            return ('%s: TensorFlow %s has no mixed precision; 1.14 and later have it.'
                    % (name, tf1.VERSION))
        if not gpu and tf1.RELEASE < (2, 10):
            return ('%s: TensorFlow %s supports it on GPUs only; on a CPU use the modern runtime.'
                    % (name, tf1.VERSION))
        if not gpu and not host.cpu_flags() & BFLOAT16_FLAGS:
            return '%s: this CPU has no instructions for bfloat16 (%s in /proc/cpuinfo).' % (
                name, ' or '.join(sorted(BFLOAT16_FLAGS)))
    return None


def refuse(precision: str, device: Device) -> None:
    """Raises Stop if --precision is not available on the device, or if a record of such a run would
    be wrong because of an environment variable."""
    fault = variables.refusal(os.environ)
    if fault:
        raise Stop(fault, 1, 'refused')
    trouble = problem(precision, device)
    if trouble:
        raise Stop(trouble)


# The baseline

def baseline(run: Run) -> List[Dict[str, Any]]:
    """Runs the same benchmark in float32, in a process of its own whose output is shown. Returns
    the results of its record.

    Raises KeyboardInterrupt, after the process has ended too, and Stop with its exit code.
    """
    options = dict(run.options, precision='float32', xla=False, profile=False, layers=False)
    script = os.path.join(ROOT, networks.script(run.workload.name))
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'baseline.json')
        child = children.start([sys.executable, script] + networks.words(options)
                               + ['--json', path])
        try:
            code = child.wait()
        except KeyboardInterrupt:
            child.terminate()                            # SIGINT may be ignored: `script &`
            child.wait()
            raise
        if code:
            raise Stop('The float32 baseline run failed.', code)
        with open(path) as file:
            results = json.load(file)['results']
    report.print_faster(run)
    return results


# The comparison

def compared(session: tf.Session, timed_pass: Pass, run: Run) -> Dict[str, float]:
    """Returns the difference of a pass from float32. Raises Stop if it is more than allowed."""
    measured = difference(session, timed_pass, run)
    if measured['relative_l2'] > measured['allowed']:
        raise Stop("%s: the results differ from float32's by %.2g (relative L2 norm; allowed: "
                   '%.2g), so this pass is not timed' % (
                       timed_pass.info_string, measured['relative_l2'], measured['allowed']),
                   1, 'refused')
    return measured


def difference(session: tf.Session, timed_pass: Pass, run: Run) -> Dict[str, float]:
    """Compares the results of a pass in `session` with float32 on the CPU; both are fed the same
    random numbers.

    Returns:
        'relative_l2': the L2 norm of the difference divided by the L2 norm of float32's results,
        the largest float if a result is nan or infinite; 'allowed': the most that is accepted.
    """
    floats = [t for tensor in timed_pass.tensors for t in checks.floats(tensor)]
    random_tensors = [op.outputs[0] for op in graph.needed_ops(floats) if op.type in RANDOM]
    stored = tf.global_variables()
    values = session.run(stored)
    with tf.Session(graph=session.graph, config=tf.ConfigProto(device_count={'GPU': 0})) as cpu:
        def load(new):                                   # by the initializers: adds no operation
            cpu.run([variable.initializer for variable in stored], {
                variable.initializer.inputs[1]: value for variable, value in zip(stored, new)})

        load(values)
        feed = dict(timed_pass.feed_dict or {})
        if random_tensors:
            feed.update(zip(random_tensors, cpu.run(random_tensors, timed_pass.feed_dict)))
        expected = cpu.run(floats, feed)
        random, rounding = numpy.random.RandomState(0), ROUNDING[run.precision]
        load([value * (1 + rounding * random.uniform(-1, 1, value.shape)) for value in values])
        rounded = cpu.run(floats, feed)
    for _ in range(XLA_RUNS if run.args.xla else 1):
        results = session.run(floats, feed)
    return {'relative_l2': _distance(results, expected),
            'allowed': max(TOLERANCE[run.precision], SENSITIVE * _distance(rounded, expected))}


def cautions(measured: Optional[Dict[str, float]]) -> List[Caution]:
    """Returns a 'comparison' caution if float32's own results are so sensitive to roundings that a
    difference of 100 % or more would be allowed; none in a float32 run (None)."""
    if measured is None or measured['allowed'] < 1:
        return []
    return [Caution('comparison', "one rounding of the variables changes float32's own results by "
                    '%.0f %% (limit: %.0f %%), as batch norm over few values does, so the '
                    'comparison proves nothing: use a larger --batch_size'
                    % (100 * measured['allowed'] / SENSITIVE, 100 / SENSITIVE))]


# The check

def half_precision(run: Run, session: tf.Session, target: Any,
                   feed_dict: Optional[Dict[Any, Any]]) -> List[str]:
    """Returns a sentence if --precision mixed left every convolution in float32: Grappler skips a
    graph in which it sees no gain, and says so only in its log."""
    if run.args.precision != 'mixed' or run.args.xla:     # its clusters are not visible here
        return []
    name = run.precision[len('mixed_'):]
    type_ = tf.as_dtype(name).as_datatype_enum
    metadata = tf.RunMetadata()
    session.run(target, feed_dict=feed_dict, run_metadata=metadata,
                options=tf.RunOptions(output_partition_graphs=True))
    if any('Conv2D' in node.op and node.attr['T'].type == type_
           for partition in metadata.partition_graphs for node in partition.node):
        return []
    return ['no convolution ran in %s: Grappler left the graph in float32' % name]


def _too_old(name, gpu, oldest):
    return '%s: %s has compute capability %d.%d, and it needs %d.%d or later.' % (
        (name, gpu.name) + gpu.compute_capability + oldest)


def _distance(arrays, expected):
    """The L2 norm of the difference divided by that of `expected`; at most the largest float,
    because JSON has no infinity."""
    def norm(terms):
        return math.sqrt(sum(numpy.sum(numpy.square(array, dtype=numpy.float64))
                             for array in terms))

    distance = norm([a - b for a, b in zip(arrays, expected)]) / max(norm(expected),
                                                                     sys.float_info.min)
    return distance if distance < math.inf else sys.float_info.max
