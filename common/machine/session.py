"""Opens TensorFlow sessions, and turns running out of memory into one sentence."""
import contextlib
from typing import Iterator, List, Optional

from common import tf1
from common.machine import host, nvidia
from common.machine.device import Device
from common.probes import memory
from common.stop import Stop
from common.tf1 import tf, without_lines
from common.workload import Pass, Run

# In the message of an error: TensorFlow's allocators; dnnl_out_of_memory, in an AbortedError.
OUT_OF_MEMORY = 'OOM', 'Status: 1, message'
# The threads that a session starts besides those of its two pools; XLA has two more pools.
OTHER_THREADS, XLA_THREADS = 6, 10


def configuration(run: Run) -> tf.ConfigProto:
    """Returns the configuration of a session with the threads, precision and XLA of the flags."""
    config = tf.ConfigProto(intra_op_parallelism_threads=run.args.intra_op_threads,
                            inter_op_parallelism_threads=run.args.inter_op_threads)
    rewrite = config.graph_options.rewrite_options
    if run.precision == 'mixed_float16':
        rewrite.auto_mixed_precision = rewrite.ON
    if run.precision == 'mixed_bfloat16':
        rewrite.auto_mixed_precision_onednn_bfloat16 = rewrite.ON
    if run.args.xla:
        config.graph_options.optimizer_options.global_jit_level = tf.OptimizerOptions.ON_1
        rewrite.remapping = rewrite.OFF                  # XLA cannot compile _FusedConv2D
    return config


def open_session(device: Device, config: Optional[tf.ConfigProto] = None) -> tf.Session:
    """Returns a session of the default graph. Raises Stop if TensorFlow has not
    registered the GPU that is to be timed."""
    config = config or tf.ConfigProto()
    noise = tf1.FIRST_STEP_NOISE
    if device.kind == 'cpu':
        config.device_count['GPU'] = 0
        noise += (b'failed call to cuInit',)             # an error of TensorFlow's GPU part only
    with without_lines(*noise):
        if tf1.FIRST_STEP_NOISE:                         # of the process: a step of an empty graph
            with tf.Session(graph=tf.Graph(), config=config) as first, first.graph.as_default():
                first.run(tf.no_op())
        session = tf.Session(config=config)
    if device.kind == 'cpu':
        return session
    if not any(d.device_type == 'GPU' for d in session.list_devices()):
        session.close()
        raise Stop(nvidia.sentence((
            '%s is installed, but TensorFlow %s did not register it' % (device.name, tf1.VERSION),
            'run with TF_CPP_MIN_LOG_LEVEL=0 to see why')))
    return session


@contextlib.contextmanager
def opened(run: Run, passes: List[Pass]) -> Iterator[tf.Session]:
    """Opens the session of a run, in the default graph.

    Raises Stop, status 'out_of_memory': the run does not fit into the CPU's free memory by the
    estimate of common/probes/memory.py, or TensorFlow has run out of memory in the block. Without
    the estimate the kernel would kill a CPU run without a message.
    """
    tf1.allow_tf32(run.args.precision == 'tf32')
    needed = memory.needed_bytes(passes, tf.global_variables(), run.args.batch_size)
    available = run.device.gpu.memory_bytes if run.device.gpu else host.free_bytes()
    usable = len(host.usable_cpus())
    pools = (run.args.intra_op_threads or usable) + (run.args.inter_op_threads or usable)
    host.check_threads(OTHER_THREADS + pools + (XLA_THREADS + pools) * run.args.xla)
    if run.device.kind == 'cpu':
        memory.refuse(run, needed, available)
    try:
        with open_session(run.device, configuration(run)) as session:
            yield session
    except (tf.errors.OpError, MemoryError) as error:
        lines = (getattr(error, 'message', None) or str(error)).strip().split('\n')
        why = [line for line in lines if any(words in line for words in OUT_OF_MEMORY)]
        if not why and not isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise
        raise memory.exhausted(run, needed, available,
                               (why + lines)[0] or 'Python was refused memory.') from None
