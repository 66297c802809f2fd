"""Faster than the chapter, with the same graphs: --precision and --xla.

float32 means float32 unless --precision says otherwise:
    tf32   products of convolutions and matrices are rounded to 10 bits of mantissa: a format of
           NVIDIA GPUs from Ampere on
    mixed  Grappler's auto mixed precision: float16 on a GPU with tensor cores, bfloat16 on a CPU
           with instructions for it
--xla compiles the graph by auto-clustering.

Before such a run is timed its results are held against float32's, computed on the CPU from the same
variables and the same random numbers; and the run without these options, which it is printed
beside, is made first, in a process of its own (TF32 is a switch of the process, and cuDNN's choice
of algorithms is kept in it).
"""
import argparse
import atexit
import contextlib
import glob
import json
import math
import os
import re
import shutil
import sys
import tempfile
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy

from common import children, graph, stats, tf1
from common.probes import checks
from common.tf1 import tf

PRECISIONS = 'float32', 'tf32', 'mixed'

# Allowed relative difference (L2 norm) of the results of a pass: room for another order of
# summation and for Winograd's convolutions. Where a network makes more of roundings than that,
# SENSITIVE times what one rounding of all variables does to float32's own results. (XLA, in float32
# itself, moves the gradients of ResNet-50, batch norm in training, by 6 % on a CPU.)
TOLERANCE = {'float32': 1e-3, 'tf32': 0.02, 'mixed_float16': 0.02, 'mixed_bfloat16': 0.05}
ROUNDING = {'float32': 2 ** -24, 'tf32': 2 ** -11, 'mixed_float16': 2 ** -11,
            'mixed_bfloat16': 2 ** -8}
SENSITIVE = 4

# Compute capabilities: TF32 from Ampere on, tensor cores (which Grappler asks for) from Volta on.
TF32_FROM, TENSOR_CORES_FROM = (8, 0), (7, 0)
BFLOAT16_FLAGS = {'avx512_bf16', 'amx_bf16'}             # of /proc/cpuinfo
XLA_RUNS = 3                         # a cluster is compiled when it is met for the second time
RANDOM = 'RandomUniform', 'RandomStandardNormal', 'TruncatedNormal'

_dump = None                         # see xla_dump


class Difference(NamedTuple):
    """How far the results of a pass are from float32's, and how far they may be: the L2 norm of the
    difference over that of float32's."""
    relative_l2: float
    allowed: float


def asked(args: argparse.Namespace) -> bool:
    """Whether the run is to be faster than the plain one."""
    return args.precision != 'float32' or args.xla


def precision(args: argparse.Namespace) -> str:
    """Returns the precision by its full name: mixed_float16 and mixed_bfloat16 as Keras has it."""
    if args.precision == 'mixed':
        return 'mixed_float16' if args.device.kind == 'gpu' else 'mixed_bfloat16'
    return args.precision


def problem(args: argparse.Namespace) -> Optional[str]:
    """Returns why the precision is not to be had on args.device, a device.Device; None if it is."""
    gpu, name = args.device.gpu, '--precision ' + args.precision
    if args.precision == 'tf32':
        if not gpu:
            return '%s: TF32 is a format of NVIDIA GPUs, and a CPU is timed.' % name
        if not (tf1.RUNTIME == 'modern' or tf1.NVIDIA_BUILD):
            return ('%s: TensorFlow %s has no TF32; use the modern runtime (README, "Which GPU").'
                    % (name, tf1.VERSION))
        if gpu.compute_capability < TF32_FROM:
            return _too_old(name, gpu, TF32_FROM)
    if args.precision == 'mixed':
        if gpu and gpu.compute_capability < TENSOR_CORES_FROM:
            return _too_old(name, gpu, TENSOR_CORES_FROM)
        if not gpu and tf1.RUNTIME != 'modern':
            return ('%s: TensorFlow %s has it for GPUs alone; on a CPU use the modern runtime.'
                    % (name, tf1.VERSION))
        if not gpu and not _cpu_flags() & BFLOAT16_FLAGS:
            return '%s: this CPU has no instructions for bfloat16 (%s in /proc/cpuinfo).' % (
                name, ' or '.join(sorted(BFLOAT16_FLAGS)))
    return None


def configuration(args: argparse.Namespace) -> tf.ConfigProto:
    """Returns the configuration of a session that has what the flags ask: threads, precision,
    XLA."""
    config = tf.ConfigProto(intra_op_parallelism_threads=args.intra_op_threads,
                            inter_op_parallelism_threads=args.inter_op_threads)
    rewrite = config.graph_options.rewrite_options
    if precision(args) == 'mixed_float16':
        rewrite.auto_mixed_precision = rewrite.ON
    if precision(args) == 'mixed_bfloat16':
        rewrite.auto_mixed_precision_onednn_bfloat16 = rewrite.ON
    if args.xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
        rewrite.remapping = rewrite.OFF                  # XLA cannot compile _FusedConv2D
    return config


# The plain run

def plain_run(script: str, words: Sequence[str]) -> Tuple[int, List[Dict[str, Any]]]:
    """Runs a script with the flags in `words` but for those that make it faster or show where the
    time goes, and lets it print. Returns its exit code and the results of its record.

    Raises KeyboardInterrupt once the script has ended, which is told of the Ctrl-C.
    """
    leave_out = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for flag in '--xla', '--profile', '--layers':
        leave_out.add_argument(flag, action='store_true')
    for flag in '--precision', '--trace', '--json':
        leave_out.add_argument(flag)
    _, words = leave_out.parse_known_args(words)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'plain.json')
        running = children.start([sys.executable, script] + words + ['--json', path])
        try:
            code = running.wait()
        except KeyboardInterrupt:
            running.terminate()                          # SIGINT may be ignored: `script &`
            running.wait()
            raise
        if code:
            return code, []
        with open(path) as file:
            return 0, json.load(file)['results']


# The same results

def difference(session: tf.Session, tensors: List[Any], feed_dict: Optional[Dict[Any, Any]],
               args: argparse.Namespace) -> Difference:
    """Compares what `session` computes with float32 on the CPU, the random numbers of the step fed
    to both. A result that is nan or infinite makes the difference as large as a float is."""
    floats = [t for tensor in tensors for t in checks.floats(tensor)]
    numbers = [op.outputs[0] for op in graph.needed_ops(floats) if op.type in RANDOM]
    variables = tf.global_variables()
    values = session.run(variables)
    with tf.Session(graph=session.graph, config=tf.ConfigProto(device_count={'GPU': 0})) as plain:
        def load(new):                                   # as initial values: no operation is added
            plain.run([variable.initializer for variable in variables], {
                variable.initializer.inputs[1]: value for variable, value in zip(variables, new)})

        load(values)
        feed = dict(feed_dict or {})
        if numbers:
            feed.update(zip(numbers, plain.run(numbers, feed_dict)))
        wanted = plain.run(floats, feed)
        random, rounding = numpy.random.RandomState(0), ROUNDING[precision(args)]
        load([value * (1 + rounding * random.uniform(-1, 1, value.shape)) for value in values])
        rounded = plain.run(floats, feed)
    for _ in range(XLA_RUNS if args.xla else 1):
        found = session.run(floats, feed)
    return Difference(_distance(found, wanted), max(TOLERANCE[precision(args)],
                                                    SENSITIVE * _distance(rounded, wanted)))


def disagreement(info_string: str, found: Optional[Difference]) -> List[str]:
    """Returns a sentence if the difference is more than allowed."""
    if found is None or found.relative_l2 <= found.allowed:
        return []
    return ["%s: the results differ from float32's by %.2g (relative L2 norm; allowed: %.2g): they "
            'are not timed' % (info_string, found.relative_l2, found.allowed)]


def doubts(found: Optional[Difference]) -> List[stats.Warning]:
    """Returns a 'comparison' warning where float32's own results are so sensitive to roundings that
    as large a difference as themselves is allowed."""
    if found is None or found.allowed < 1:
        return []
    return [stats.Warning('comparison', "the results cannot be told from others: one rounding of "
                          "the variables moves float32's own by %.0f %% (limit: %.0f %%), as batch "
                          'norm over few values does: use a larger --batch_size'
                          % (100 * found.allowed / SENSITIVE, 100 / SENSITIVE))]


# What ran

def half_precision(session: tf.Session, target: Any, feed_dict: Optional[Dict[Any, Any]],
                   args: argparse.Namespace) -> List[str]:
    """Auto mixed precision leaves a graph alone where it sees no gain, and says so in a log alone:
    a sentence if no convolution of the graph as it was run computes in the half precision."""
    if args.precision != 'mixed' or args.xla:            # XLA's clusters show no operations
        return []
    name = precision(args)[len('mixed_'):]
    type_ = tf.as_dtype(name).as_datatype_enum
    metadata = tf.RunMetadata()
    session.run(target, feed_dict=feed_dict, run_metadata=metadata,
                options=tf.RunOptions(output_partition_graphs=True))
    if any('Conv2D' in node.op and node.attr['T'].type == type_
           for graph in metadata.partition_graphs for node in graph.node):
        return []
    return ['no convolution ran in %s: Grappler left the graph in float32' % name]


@contextlib.contextmanager
def xla_dump(args: argparse.Namespace) -> Iterator[Optional[str]]:
    """With --xla: the folder into which XLA writes what it compiles in this block; else None. The
    folder is the process's: XLA reads its flags once, when it first needs them."""
    global _dump
    if not args.xla:
        yield None
        return
    if _dump is None:
        _dump = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, _dump, ignore_errors=True)
    before = dict(os.environ)
    flags = {'XLA_FLAGS': '--xla_dump_to=%s --xla_dump_hlo_as_text' % _dump,
             'TF_XLA_FLAGS': '--tf_xla_cpu_global_jit'}
    os.environ.update((name, (before.get(name, '') + ' ' + added).strip())
                      for name, added in flags.items())
    try:
        yield _dump
    finally:
        for name in flags:
            os.environ.pop(name)
            if name in before:
                os.environ[name] = before[name]


def clustered_convolutions(step_stats: Any, folder: str) -> int:
    """Counts the convolutions in the clusters that a traced step ran, in what XLA compiled."""
    ran = {match.group(1) for device in step_stats.dev_stats for node in device.node_stats
           for match in [re.search(r'(cluster_\d+)\w*/xla_run = ', node.timeline_label)] if match}
    count = 0
    for path in glob.glob(os.path.join(folder, '*before_optimizations.txt')):
        with open(path, errors='replace') as file:
            module = re.match(r'HloModule (cluster_\d+)__', file.readline())
            if module and module.group(1) in ran:
                count += sum(' convolution(' in line for line in file)
    return count


def _too_old(name, gpu, oldest):
    return '%s: %s has compute capability %d.%d, and it needs %d.%d or later.' % (
        (name, gpu.name) + gpu.compute_capability + oldest)


def _cpu_flags():
    try:
        with open('/proc/cpuinfo') as file:
            return {flag for line in file if line.startswith('flags') for flag in line.split()}
    except OSError:
        return set()


def _distance(arrays, wanted):
    """The L2 norm of the difference over that of `wanted`; JSON has no infinity."""
    def norm(one):
        return math.sqrt(sum(numpy.sum(numpy.square(array, dtype=numpy.float64)) for array in one))

    distance = norm([a - b for a, b in zip(arrays, wanted)]) / max(norm(wanted),
                                                                   sys.float_info.min)
    return distance if distance < math.inf else sys.float_info.max
