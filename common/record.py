"""The JSON record of a run: what was run, on what, and every sample. Times are in seconds.

record.schema.json beside this file describes it.
"""
import contextlib
import datetime
import os
import platform
import subprocess
import sys
from typing import Any, Dict, Iterator, List, Optional

import numpy

from common import cautions, files, graph, stats, text, tf1, variables
from common.machine import host
from common.startup import Startup
from common.stop import Stop
from common.timing import Timing
from common.workload import Run

SCHEMA = 1
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def new(run: Run) -> Dict[str, Any]:
    """Returns the record of a run before its first pass."""
    workload = run.workload
    return {'schema': SCHEMA, 'benchmark': workload.name, 'variant': workload.variant,
            'options': run.options, 'environment': environment(run),
            'network': graph.network(workload.passes[0].target, workload.parameters,
                                     run.args.batch_size),
            'processes': run.job and run.job.processes, 'status': 'running',
            'warnings': [], 'faults': [], 'error': None, 'startup_s': None, 'results': []}


def environment(run: Run) -> Dict[str, Any]:
    """Describes the machine, the software and the device that is timed."""
    on = run.device
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'commit': commit(),
        'command': variables.command(sys.argv),
        'host': platform.node(),
        'system': platform.platform(),
        'python': platform.python_version(),
        'numpy': numpy.__version__,
        'runtime': tf1.RUNTIME,
        'tensorflow': tf1.VERSION,
        'cuda': tf1.NEEDS.cuda,
        'cudnn': tf1.NEEDS.cudnn,
        'tf32': run.args.precision == 'tf32',
        'device': dict(on._asdict(), gpu=on.gpu and on.gpu._asdict()),
        'gpu': None,
        'gpu_before': None,
        'cpu': host.cpu_facts(),
        'cpu_before': None,
        'peak_flops': None,
        'variables': {name: value for name, value in variables.recorded(os.environ).items()
                      if not (name == 'CUDA_VISIBLE_DEVICES' and on.kind == 'cpu')},     # ours
    }


def add_first_steps(data: Dict[str, Any], timer: Startup, timing: Timing) -> None:
    """Adds the seconds of the start, by part, once the first pass has run. Its last parts are the
    first step (TensorFlow optimises the graph in it, unless the comparison with float32 has run
    the graph before), and the rest of the burn-in."""
    if data['startup_s'] is None:
        data['startup_s'] = dict(timer.seconds)
        if timing.burn_in_seconds:
            first, *rest = timing.burn_in_seconds
            data['startup_s'].update({'first run': first, 'burn-in': sum(rest, 0.0)})


def result(run: Run, timing: Timing) -> Dict[str, Any]:
    """Returns the entry of one pass: the samples, and their statistics, which are None for a pass
    that was interrupted in its burn-in."""
    summary = stats.summarise(timing.seconds)._asdict() if timing.seconds else None
    return {'info_string': timing.info_string, 'fetch': run.args.fetch,
            'batch_size': run.args.batch_size, 'precision': run.precision, 'xla': run.args.xla,
            'mean_s': summary and summary['mean_s'], 'sd_s': summary and summary['sd_s'],
            'statistics': summary,
            'warnings': [caution._asdict() for caution in cautions.about(
                timing.seconds, timing.burn_in_seconds)] if summary else [],
            'samples_s': list(timing.seconds), 'burn_in_s': list(timing.burn_in_seconds),
            'gpu': None, 'energy_per_image_j': None, 'difference': None, 'layers': None,
            'scaling': None}


@contextlib.contextmanager
def unfinished(run: Run, data: Dict[str, Any]) -> Iterator[List[Timing]]:
    """If the block ends early, by Ctrl-C or an error, adds its steps to the record: those of the
    Timing that the block has put into the list, or else those that came with the error."""
    finished, count = [], len(data['results'])            # type: List[Timing], int
    try:
        yield finished
    except (KeyboardInterrupt, Exception) as error:
        timing = finished[0] if finished else getattr(error, 'timing', None)
        is_added = len(data['results']) > count
        if timing and (timing.seconds or timing.burn_in_seconds) and not is_added:
            data['results'].append(result(run, timing))
        raise


@contextlib.contextmanager
def saved(data: Dict[str, Any], path: Optional[str]) -> Iterator[None]:
    """Writes the record and its status at the end of the block, also after an error. Raises
    KeyboardInterrupt for an error in which Ctrl-C is hidden."""
    try:
        yield
    except KeyboardInterrupt:
        data['status'] = 'interrupted'
        raise
    except Stop as stop:
        data.update(status=stop.status, **{'faults': [stop.text]} if stop.status == 'refused' else {
            'error': text.reason(stop.text)})
        raise
    except BaseException as error:
        # pybind11 raises this where Ctrl-C comes while it makes an exception of TensorFlow's error.
        if 'REPLACED BY KeyboardInterrupt' in str(error):
            data['status'] = 'interrupted'
            raise KeyboardInterrupt from error
        data.update(status='failed',
                   error=text.reason(getattr(error, 'message', None) or str(error)))
        raise
    finally:
        save(data, path)


def save(record: Dict[str, Any], path: Optional[str]) -> None:
    """Writes the record so that a reader sees the old file or the new one, never part of one; does
    nothing if `path` is None, because --json was not given.

    Raises OSError: the folder is missing, not writable, or full.
    """
    if path:
        files.write(path, files.json_text(record) + '\n')


TRACKED = 'alexnet_benchmark.py'                         # in any checkout of this project


def commit(root: str = ROOT) -> Optional[str]:
    """Returns the commit of the checkout whose root is this folder, as 40 digits, with '+' if
    tracked files differ from it. Where the folder is not the root of a checkout of these files (in
    an image, or unpacked from an archive, even into the root of another repository), returns
    BENCHMARK_COMMIT; None if that is not set."""
    # In a git hook GIT_DIR and others name the repository of the hook.
    environment = {name: value for name, value in os.environ.items()
                   if not name.startswith('GIT_')}

    def git(*words):
        return os.fsdecode(subprocess.run(
            ('git', '--no-optional-locks') + words, cwd=root, env=environment, check=True,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout).rstrip('\n')
    try:
        top, head = git('rev-parse', '--show-toplevel', 'HEAD').rsplit('\n', 1)
        if os.path.realpath(top) == os.path.realpath(root) and git('ls-files', TRACKED):
            return head + '+' * bool(git('status', '--porcelain', '--untracked-files=no'))
    except (OSError, subprocess.CalledProcessError):     # no git, or no repository
        pass
    return os.environ.get('BENCHMARK_COMMIT') or None
