"""The one place that opens a TensorFlow session, and what happens when memory runs out in it."""
import contextlib
import ctypes
import os
import resource
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional

from common import record, tf1
from common.machine import host
from common.machine.device import CPU_INSTEAD, Device, Unusable
from common.probes import memory
from common.tf1 import tf, without_lines
from common.workload import Pass, Run


class Exhausted(Exception):
    """Memory ran out; the text says at which batch size, what was allocated, and what to try."""


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
    """Returns a session of the default graph. Raises device.Unusable if TensorFlow has not
    registered the GPU that is to be timed."""
    config = config or tf.ConfigProto()
    if device.kind == 'cpu':
        config.device_count['GPU'] = 0
        with without_lines(b'failed call to cuInit'):    # an error of TensorFlow's GPU part only
            return tf.Session(config=config)
    session = tf.Session(config=config)
    if not any(d.device_type == 'GPU' for d in session.list_devices()):
        session.close()
        raise Unusable('%s is there, but TensorFlow %s did not register it: run with '
                       'TF_CPP_MIN_LOG_LEVEL=0 to see why, %s'
                       % (device.name, tf1.VERSION, CPU_INSTEAD))
    return session


@contextlib.contextmanager
def opened(run: Run, passes: List[Pass], log: Dict[str, Any]) -> Iterator[tf.Session]:
    """Opens the session of a run, in the default graph. When memory runs out, however that shows,
    the record `log` gets the status 'out_of_memory' and the block ends with Exhausted."""
    tf1.allow_tf32(run.args.precision == 'tf32')
    tensors = [t for one in passes for t in one.tensors]
    available = memory.available_bytes(run.device)

    def exhausted(allocated):
        log['status'] = 'out_of_memory'
        return Exhausted(memory.advice(run.args.batch_size, allocated, memory.worth_trying(
            tensors, tf.global_variables(), run.args.batch_size, available)))

    def last_words():                                    # limit() ends the process after them
        print(exhausted('A kernel was refused memory.'), file=sys.stderr, flush=True)
        record.keep(log, run.args.json)

    with limit(run.device, last_words):
        try:
            with open_session(run.device, configuration(run)) as session:
                yield session
        except (tf.errors.ResourceExhaustedError, MemoryError) as error:
            line = getattr(error, 'message', None) or str(error) or 'Python was refused memory.'
            raise exhausted(line.strip().split('\n')[0]) from None


@contextlib.contextmanager
def limit(device: Device, last_words: Callable[[], None]) -> Iterator[None]:
    """Lets a CPU run have the memory that is free now and no more.

    A tensor beyond it is then TensorFlow's ResourceExhaustedError, which names it; without the
    limit the kernel kills the process and nobody says why. Where TensorFlow's kernels themselves
    do not survive a refused allocation (an uncaught std::bad_alloc), last_words() is called and
    the process ends with exit code 3. GPU runs are left alone: the driver maps far more address
    space than it uses.
    """
    before = resource.getrlimit(resource.RLIMIT_DATA)
    free, held = host.free_bytes(), host.data_bytes()
    if device.kind != 'cpu' or free is None or held is None:
        yield
        return
    bound = free + held
    for earlier in before:
        if earlier != resource.RLIM_INFINITY:
            bound = min(bound, earlier)

    @ctypes.CFUNCTYPE(None)
    def terminate():                                     # runs in the thread that threw
        resource.setrlimit(resource.RLIMIT_DATA, before)
        last_words()
        sys.stdout.flush()
        os._exit(3)

    resource.setrlimit(resource.RLIMIT_DATA, (bound, before[1]))
    earlier_handler = _set_terminate(ctypes.cast(terminate, ctypes.c_void_p))
    try:
        yield
    finally:
        _set_terminate(earlier_handler)
        resource.setrlimit(resource.RLIMIT_DATA, before)


def _set_terminate(handler):
    """C++'s std::set_terminate: what an uncaught exception calls; returns the earlier handler."""
    set_terminate = ctypes.CDLL('libstdc++.so.6')._ZSt13set_terminatePFvvE
    set_terminate.argtypes, set_terminate.restype = [ctypes.c_void_p], ctypes.c_void_p
    return set_terminate(handler)
