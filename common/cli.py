"""The flags that all four scripts share, and what becomes of errors: the exit codes.

    0    the figures are valid
    1    the run finished, but a validity check failed
    2    bad usage
    3    the machine cannot run it as asked: no GPU, missing libraries, out of memory, disk full
    130  interrupted (Ctrl-C, or SIGTERM)
"""
import argparse
import os
import signal
import sys
import threading
from typing import Callable, Optional, Sequence

from common import record, report, startup, tf1
from common.horovod import join as distributed
from common.machine import device
from common.probes import memory
from common.probes import precision as speedup
from common.tf1 import tf

LARGEST = 2 ** 31 - 1                # of a count; TensorFlow's shapes overflow beyond


def argument_parser(doc: str, leave_out: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Returns a parser with the shared flags, but for those to `leave_out`; `doc` is the docstring
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
    add('--precision', choices=speedup.PRECISIONS, default='float32',
        help='tf32: GPUs from Ampere on, modern runtime; mixed: float16 on a GPU, bfloat16 on a '
             'CPU (default: float32)')
    add('--xla', action='store_true', help='compile the graph with XLA, by auto-clustering')
    for name in 'intra', 'inter':
        add('--%s_op_threads' % name, '--%s-op-threads' % name, type=integer(0), default=0,
            metavar='N', help='of the CPU, %s one operation (default: 0, TensorFlow chooses)'
            % {'intra': 'within', 'inter': 'for more than'}[name])
    add('--profile', action='store_true',
        help='print where the time goes, layer by layer, from untimed steps')
    add('--trace', metavar='PATH',
        help='write an untimed step of each pass as a Chrome trace (chrome://tracing, Perfetto)')
    add('--layers', action='store_true',
        help='print the parameters and multiply-adds of each layer')
    add('--json', metavar='PATH', help='write the record of the run to this file')
    return parser


def add_switch(parser: argparse.ArgumentParser, name: str, default: bool, help: str) -> None:
    """Adds --NAME and --no_NAME."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument('--' + name, dest=name, action='store_true', default=default,
                       help=help + (' (default)' if default else ''))
    group.add_argument('--no_' + name, '--no-' + name, dest=name, action='store_false',
                       help='without it' + ('' if default else ' (default)'))


def integer(at_least: int) -> Callable[[str], int]:
    """Returns an argparse type: an integer from at_least to LARGEST."""
    def parse(text):
        try:
            value = int(text)
        except ValueError:
            value = None
        if value is None or not at_least <= value <= LARGEST:
            raise argparse.ArgumentTypeError('%r is not an integer from %d to %d'
                                             % (text, at_least, LARGEST))
        return value
    return parse


def main(parser: argparse.ArgumentParser,
         run_benchmark: Callable[[argparse.Namespace], int],
         argv: Optional[Sequence[str]] = None) -> int:
    """Parses `argv`, chooses the device (args.device becomes a device.Device), runs the benchmark.

    Returns the exit code. Every foreseeable error ends in one plain sentence on stderr.
    """
    job = distributed.launched()
    try:
        args = parser.parse_args(argv)
        if job and distributed.problem(args):
            parser.error(distributed.problem(args))
        if job and job.rank:                             # rank 0 writes for all
            args.json = None
        for flag, path in ('--json', args.json), ('--trace', args.trace):
            problem = path is not None and record.why_unwritable(path)
            if problem:
                parser.error('argument %s: cannot write %r: %s' % (flag, path, problem))
        if args.json and args.trace and os.path.realpath(args.json) == os.path.realpath(args.trace):
            parser.error('argument --trace: it is the file of --json')
        if args.profile and args.xla:
            parser.error('argument --profile: not allowed with --xla, which merges the layers')
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code

    def run():
        if speedup.asked(args):
            code, args.plain = speedup.plain_run(
                sys.modules[run_benchmark.__module__].__file__,
                sys.argv[1:] if argv is None else list(argv))
            if code:
                return _fail('The plain run, which this one is printed beside, failed.', code)
            print('\n*** The same in %s%s ***' % (speedup.precision(args), ', XLA' * args.xla))
            args.startup.end('plain run')
        script = os.path.basename(sys.modules[run_benchmark.__module__].__file__)
        with distributed.joined(job, args.device, script, args.options) as args.group:
            print('Device: %s' % args.device.sentence, flush=True)
            if args.device.kind == 'cpu':
                print('*** CPU figures: no GPU is used. ***', flush=True)
            if job:
                print(report.processes(args.group.processes, args.group.ranks), flush=True)
                args.startup.end('Horovod')
            return run_benchmark(args)
    return run_on_device(args, run)


def run_on_device(args: argparse.Namespace, run: Callable[[], int]) -> int:
    """Chooses args.device, which becomes a device.Device, calls run(), which returns an exit code,
    and returns that. Every foreseeable error ends in one plain sentence and an exit code."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    if on_main_thread:                                   # as Ctrl-C: steps are kept
        terminate = signal.signal(signal.SIGTERM, signal.default_int_handler)
    visible = os.environ.get('CUDA_VISIBLE_DEVICES')     # --device cpu sets it
    args.options = {name: value for name, value in vars(args).items()
                    if name not in ('json', 'trace')}
    args.startup = startup.Startup()
    args.startup.end('import')
    args.plain = []                                      # the results that it is printed beside
    try:
        job = distributed.launched()
        if job:
            distributed.pin(job, args.device)
        args.device = device.choose(args.device)
        problem = speedup.problem(args)
        if problem:
            return _fail(problem, 3)
        args.startup.end('device')
        tf1.allow_tf32(args.precision == 'tf32')
        return run()
    except KeyboardInterrupt:
        return _fail('Interrupted.', 130)
    except (device.Unusable, distributed.Lost, memory.Exhausted) as error:
        return _fail(str(error), 3)
    except tf.errors.OpError as error:
        return _fail('TensorFlow failed with %s at batch size %d: %s'
                     % (type(error).__name__, args.batch_size, error.message), 3)
    except BrokenPipeError:          # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3
    except OSError as error:
        return _fail('Cannot write the results: %s' % error, 3)
    finally:
        if on_main_thread:
            signal.signal(signal.SIGTERM, terminate)
        os.environ.pop('CUDA_VISIBLE_DEVICES', None)
        if visible is not None:
            os.environ['CUDA_VISIBLE_DEVICES'] = visible


def _fail(sentence, code):
    """Prints the sentence, of a job's process with its rank."""
    job = distributed.launched()
    if sentence:
        print('rank %d: %s' % (job.rank, sentence) if job else sentence, file=sys.stderr,
              flush=True)
    return code
