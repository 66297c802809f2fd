"""The flags that all four scripts share, and the exit code for each kind of error.

    0    the figures are valid
    1    the run finished, but a validity check failed
    2    bad usage
    3    the machine cannot run it as asked: no GPU, missing libraries, out of memory, disk full
    130  interrupted (Ctrl-C, SIGTERM, or the closing of the terminal)
"""
import argparse
import os
import signal
import sys
import threading
from typing import Callable, Optional, Sequence

from common import files
from common.arguments import integer
from common.horovod import launch
from common.probes.precision import PRECISIONS
from common.stop import SIGNALS, Stop, on_signals
from common.tf1 import tf

MAX_THREADS = 1024                   # millions fill the memory of the machine


def argument_parser(doc: str, leave_out: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Returns a parser with the shared flags except those in `leave_out`; `doc` is the docstring
    of the script."""
    parser = argparse.ArgumentParser(description=doc, allow_abbrev=False,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)

    def add(*names, **described):
        if names[0].lstrip('-') not in leave_out:
            parser.add_argument(*names, **described)

    add('--batch_size', '--batch-size', type=integer(1), default=32, metavar='N',
        help='images in a batch (default: 32)')
    add('--num_batches', '--num-batches', type=integer(1), default=100, metavar='N',
        help='timed steps of each pass (default: 100)')
    add('--num_steps_burn_in', '--num-steps-burn-in', type=integer(0), default=10, metavar='N',
        help='steps before the timed ones (default: 10)')
    add('--forward_only', '--forward-only', action='store_true',
        help='leave out the forward-backward pass')
    add('--fetch', choices=['tensors', 'ops'], default='tensors',
        help='tensors: the results are copied to the host in every step, as in the chapter; '
             'ops: the same work without the copy (default: tensors)')
    add('--device', choices=['auto', 'gpu', 'cpu'], default='auto',
        help='auto: the GPU if there is one, else the CPU (default: auto)')
    add('--precision', choices=PRECISIONS, default='float32',
        help='tf32: GPUs from Ampere on, modern runtime; mixed: float16 on a GPU, bfloat16 on a '
             'CPU (default: float32)')
    add('--xla', action='store_true', help='compile the graph with XLA, by auto-clustering')
    for name in 'intra', 'inter':
        add('--%s_op_threads' % name, '--%s-op-threads' % name, default=0, metavar='N',
            type=integer(0, MAX_THREADS), help='CPU threads %s (default: 0, TensorFlow chooses)'
            % {'intra': 'within one operation', 'inter': 'for operations side by side'}[name])
    add('--profile', action='store_true',
        help='print where the time goes, layer by layer, from untimed steps')
    add('--trace', metavar='PATH',
        help='write an untimed step of each pass as a Chrome trace (chrome://tracing, Perfetto)')
    add('--layers', action='store_true',
        help='print the parameters and multiply-adds of each layer')
    add('--details', action='store_true',
        help='print percentiles, intervals, bytes copied and the time of the start too')
    add('--json', metavar='PATH', help='write the record of the run to this file')
    return parser


def add_switch(parser: argparse.ArgumentParser, name: str, default: bool, help: str) -> None:
    """Adds --NAME and --no_NAME."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--' + name, dest=name, action='store_true', default=default,
                       help=help + (' (default)' if default else ''))
    group.add_argument('--no_' + name, '--no-' + name, dest=name, action='store_false',
                       help='without it' + ('' if default else ' (default)'))


def main(parser: argparse.ArgumentParser,
         run_benchmark: Callable[[argparse.Namespace], int],
         argv: Optional[Sequence[str]] = None) -> int:
    """Parses `argv` and runs the benchmark.

    Returns the exit code. Every foreseeable error ends in one plain sentence on stderr.
    """
    files.prepare_stdout()
    try:
        args = parser.parse_args(argv)
        rank = launch.current()
        trouble = rank and launch.problem(args) or file_problem(args)
        if trouble:
            parser.error(trouble)
        if rank and rank.rank:                           # rank 0 writes for all
            args.json = None
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code
    except Stop as stop:             # of launch.current
        print(stop, file=sys.stderr, flush=True)
        return stop.code
    except OSError as error:         # of file_problem: the disk is full
        return _fail('Cannot write %s' % files.why_failed(error), 3)
    try:
        code = exit_code(lambda: run_benchmark(args), args.batch_size)
        if code == 130 and argv is None:                 # the process ends: no second signal counts
            for number in SIGNALS:
                signal.signal(number, signal.SIG_IGN)
        return code
    except KeyboardInterrupt:        # between the end of the run and that of the process
        return _fail('Interrupted.', 130)


def file_problem(args: argparse.Namespace) -> Optional[str]:
    """Returns why --json, --trace or --profile cannot be used as given; None if all can."""
    for flag in 'json', 'trace':
        path = getattr(args, flag)
        trouble = path is not None and files.argument_problem('--' + flag, path)
        if trouble:
            return trouble
    if args.json and args.trace and os.path.realpath(args.json) == os.path.realpath(args.trace):
        return 'argument --trace: it is the file of --json'
    if args.profile and args.xla:
        return 'argument --profile: not allowed with --xla, which merges the layers'
    return None


def exit_code(run: Callable[[], int], batch_size: int) -> int:
    """Returns what run() returns. If it raises a foreseeable error, prints one sentence on stderr
    and returns its exit code. SIGTERM, and the closing of the terminal except under nohup, are
    treated as Ctrl-C: finished steps are kept."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    handlers = on_signals() if on_main_thread else {}
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')     # --device cpu sets it
    try:
        return run()
    except KeyboardInterrupt:
        return _fail('Interrupted.', 130)
    except Stop as stop:
        return _fail('INVALID: ' * (stop.status == 'refused') + stop.text, stop.code)
    except tf.errors.OpError as error:
        return _fail('TensorFlow failed with %s at batch size %d: %s'
                     % (type(error).__name__, batch_size, error.message), 3)
    except RuntimeError as error:    # TensorFlow 2 needs a seed then, and the chapter has none
        if 'determinism' not in str(error):
            raise
        return _fail('%s Unset TF_DETERMINISTIC_OPS.' % error, 3)
    except BrokenPipeError:          # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except OSError as error:
        return _fail('Cannot write %s' % files.why_failed(error), 3)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        os.environ.pop('CUDA_VISIBLE_DEVICES', None)
        if visible is not None:
            os.environ['CUDA_VISIBLE_DEVICES'] = visible


def _fail(sentence, code):
    """Prints the sentence (in a job: after the rank of this process); returns the exit code."""
    rank = launch.current()
    if sentence:
        print('rank %d: %s' % (rank.rank, sentence) if rank else sentence, file=sys.stderr,
              flush=True)
    return code
