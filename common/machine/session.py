"""Opens TensorFlow sessions, and turns running out of memory into one sentence."""
import contextlib
import ctypes
import os
import resource
import signal
import sys
from typing import Any, Callable, Dict, Iterator, List, Optional

from common import graph, record, text, tf1
from common.machine import host, nvidia
from common.machine.device import Device
from common.probes import memory
from common.stop import Stop
from common.tf1 import tf, without_lines
from common.workload import Pass, Run

ONEDNN_OUT_OF_MEMORY = 'Status: 1, message'     # dnnl_out_of_memory, in an AbortedError
SA_SIGINFO, SI_ADDR_OFFSET = 4, 16   # signal.h; siginfo_t of 64-bit Linux
NULL_PAGE_BYTES = 4096               # faults through a null pointer are below this


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
def opened(run: Run, passes: List[Pass], log: Dict[str, Any]) -> Iterator[tf.Session]:
    """Opens the session of a run, in the default graph. When memory runs out, by an error of any
    kind, the block ends with a Stop of the status 'out_of_memory'."""
    tf1.allow_tf32(run.args.precision == 'tf32')
    tensors = [t for one in passes for t in one.tensors]
    available = memory.available_bytes(run.device)
    largest_bytes = max(graph.size(t) for op in graph.needed_ops(tensors) for t in op.outputs
                        if t.shape.is_fully_defined())

    def exhausted(allocated):
        return Stop(memory.advice(run.args.batch_size, allocated, memory.worth_trying(
            tensors, tf.global_variables(), run.args.batch_size, available)), 3, 'out_of_memory')

    def last_words():                                    # then limit() ends the process
        stop = exhausted('A kernel was refused memory.')
        log.update(status=stop.status, error=text.reason(stop.text))
        print(stop, file=sys.stderr, flush=True)
        record.keep(log, run.args.json)

    try:
        # The limit ends before the session, which TensorFlow 2 closes in a new thread.
        with open_session(run.device, configuration(run)) as session, \
                limit(run.device, largest_bytes, last_words):
            yield session
    except (tf.errors.OpError, MemoryError) as error:
        lines = (getattr(error, 'message', None) or str(error)).strip().split('\n')
        why = [line for line in lines if 'OOM' in line or ONEDNN_OUT_OF_MEMORY in line]
        if not why and not isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
            raise
        raise exhausted((why + lines)[0] or 'Python was refused memory.') from None


@contextlib.contextmanager
def limit(device: Device, largest_bytes: int, last_words: Callable[[], None]) -> Iterator[None]:
    """Limits a CPU run to the memory that is free now.

    A tensor that does not fit then raises TensorFlow's ResourceExhaustedError, which names it;
    without the limit the kernel kills the process without a message. Some of TensorFlow's kernels
    crash when an allocation fails: with an uncaught std::bad_alloc, or because oneDNN uses the null
    pointer that it got. Then last_words() is called and the process ends with exit code 3. A crash
    is taken for oneDNN's if less memory is left than `largest_bytes`, the largest tensor of a step.
    GPU runs have no limit: the driver maps far more address space than it uses.
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

    def end():                                           # runs in the thread that failed
        resource.setrlimit(resource.RLIMIT_DATA, before)
        last_words()
        sys.stdout.flush()
        os._exit(3)

    def is_refused(address):
        return address < NULL_PAGE_BYTES and bound - host.data_bytes() < largest_bytes

    resource.setrlimit(resource.RLIMIT_DATA, (bound, before[1]))
    try:
        with _on_terminate(end), _on_segmentation_fault(is_refused, end):
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, before)


@contextlib.contextmanager
def _on_terminate(end: Callable[[], None]) -> Iterator[None]:
    """Calls end() where C++ throws an exception that nobody catches."""
    set_terminate = ctypes.CDLL('libstdc++.so.6')._ZSt13set_terminatePFvvE
    set_terminate.argtypes, set_terminate.restype = [ctypes.c_void_p], ctypes.c_void_p
    handler = ctypes.CFUNCTYPE(None)(end)
    earlier = set_terminate(ctypes.cast(handler, ctypes.c_void_p))
    try:
        yield
    finally:
        set_terminate(earlier)


class _SignalAction(ctypes.Structure):
    """struct sigaction of Linux's C libraries, bits/sigaction.h."""
    _fields_ = [('handler', ctypes.c_void_p), ('mask', ctypes.c_ubyte * 128),
                ('flags', ctypes.c_int), ('restorer', ctypes.c_void_p)]


@contextlib.contextmanager
def _on_segmentation_fault(is_ours: Callable[[int], bool], end: Callable[[], None]
                           ) -> Iterator[None]:
    """Calls end() at a segmentation fault for whose address is_ours() is true. Other faults end the
    process as usual. (Python's signal module cannot do this: it runs handlers only after the
    faulting instruction, which never completes.)"""
    libc, earlier = ctypes.CDLL(None), _SignalAction()

    @ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    def handler(_, info, __):
        if is_ours(ctypes.c_size_t.from_address(info + SI_ADDR_OFFSET).value):
            end()
        libc.sigaction(signal.SIGSEGV, ctypes.byref(earlier), None)     # then it faults again

    action = _SignalAction(ctypes.cast(handler, ctypes.c_void_p), flags=SA_SIGINFO)
    libc.sigaction(signal.SIGSEGV, ctypes.byref(action), ctypes.byref(earlier))
    try:
        yield
    finally:
        libc.sigaction(signal.SIGSEGV, ctypes.byref(earlier), None)
