"""The JSON record of a run: what was run, on what, and every sample. Times are in seconds.

record.schema.json beside this file describes it.
"""
import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from typing import Any, Dict, Optional

import numpy

from common import files, stats, tf1
from common.machine.device import Device
from common.probes import cost as peak
from common.probes import gpu as telemetry
from common.timing import Timing

SCHEMA = 1
# Environment variables that change speed, by prefix; and others: Terraform's, not TensorFlow's, and
# what horovodrun tells each process.
VARIABLES = ('TF_', 'XLA_', 'NVIDIA_', 'CUDA_', 'OMP_', 'MKL_', 'NCCL_', 'HOROVOD_')
OTHERS = ('TF_CLI_', 'TF_VAR_', 'TF_LOG', 'TF_DATA_DIR', 'HOROVOD_GLOO_RENDEZVOUS',
          'HOROVOD_HOSTNAME')


def new(benchmark: str, variant: str, options: Dict[str, Any], device: Device,
        monitor: Optional[telemetry.Monitor], network: Dict[str, Any],
        processes: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Returns a record without results. `options` are the flags as given; `monitor` watches the
    GPU, None where there is none; `network` is workload.network's; `processes` those of a job,
    distributed.Group's, None for a plain run."""
    described = environment(device, monitor, options)
    busy = (telemetry.gpu_busy(described['gpu_before']) if monitor else
            telemetry.cpu_busy(described['cpu_before'])
            if device.kind == 'cpu' and not _shared(processes) else [])
    return {'schema': SCHEMA, 'benchmark': benchmark, 'variant': variant, 'options': options,
            'environment': described, 'network': network, 'processes': processes,
            'status': 'running',
            'warnings': [warning._asdict() for warning in busy], 'faults': [], 'error': None,
            'startup_s': None, 'results': []}


def _shared(processes):
    """Whether other processes of the job run on this host, which start at the same time."""
    return processes and processes['hosts'].get(platform.node(), 0) > 1


def environment(device: Device, monitor: Optional[telemetry.Monitor], options: Dict[str, Any]
                ) -> Dict[str, Any]:
    """Describes the machine, the software and the device that is timed, and whether it was idle
    before the start."""
    gpu = monitor.facts() if monitor else None
    clock_mhz = gpu and gpu['max_sm_clock_mhz']
    return {
        'date': datetime.datetime.now(datetime.timezone.utc).isoformat(timespec='seconds'),
        'commit': commit(),
        'command': sys.argv,
        'host': platform.node(),
        'system': platform.platform(),
        'python': platform.python_version(),
        'numpy': numpy.__version__,
        'runtime': tf1.RUNTIME,
        'tensorflow': tf1.VERSION,
        'cuda': tf1.CUDA_VERSION,
        'cudnn': tf1.CUDNN_VERSION,
        'tf32': options['precision'] == 'tf32',
        'device': dict(device._asdict(), gpu=device.gpu and device.gpu._asdict()),
        'gpu': gpu,
        'gpu_before': monitor.before() if monitor else None,
        'cpu': telemetry.cpu_facts(),
        'cpu_before': telemetry.cpu_before() if device.kind == 'cpu' else None,
        'peak_flops': peak.peak_flops(device.gpu.compute_capability, device.gpu.multiprocessors,
                                      1e6 * clock_mhz) if device.gpu and clock_mhz else None,
        'variables': {name: value for name, value in sorted(os.environ.items())
                      if name.startswith(VARIABLES) and not name.startswith(OTHERS)
                      and not (name == 'CUDA_VISIBLE_DEVICES' and device.kind == 'cpu')},  # ours
    }


def result(timing: Timing, fetch: str, batch_size: int, precision: str = 'float32',
           xla: bool = False) -> Dict[str, Any]:
    """Returns the entry of one pass: the samples, and what common.stats makes of them. An
    interrupted pass without samples has None for the latter."""
    summary = stats.summarise(timing.seconds)._asdict() if timing.seconds else None
    return {'info_string': timing.info_string, 'fetch': fetch, 'batch_size': batch_size,
            'precision': precision, 'xla': xla,
            'mean_s': timing.mean if timing.seconds else None,
            'sd_s': timing.sd if timing.seconds else None,
            'statistics': summary,
            'warnings': [warning._asdict() for warning in
                         stats.warn(timing.seconds, timing.burn_in_seconds)] if summary else [],
            'samples_s': list(timing.seconds), 'burn_in_s': list(timing.burn_in_seconds)}


def write(record: Dict[str, Any], path: str) -> None:
    """Writes the record so that a reader finds the old file or the new one, never half of one.

    Raises OSError: the folder is missing, not writable, or full.
    """
    files.write(path, json.dumps(record, indent=1, allow_nan=False) + '\n')


def keep(record: Dict[str, Any], path: Optional[str]) -> None:
    """Writes the record where --json PATH was given."""
    if path:
        write(record, path)


def why_unwritable(path: str) -> Optional[str]:
    """Returns why `write` to this path would fail, or None. Leaves nothing behind."""
    if not os.path.basename(path):
        return 'it has no file name'
    if os.path.isdir(path):
        return 'it is a folder'
    if os.path.exists(path) and not os.path.isfile(path):
        return 'it is a device or a pipe, which would be replaced by a file'
    folder = os.path.dirname(os.path.realpath(path))
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return '%s: %s' % (folder, error.strerror)


def commit() -> Optional[str]:
    """Returns the commit of this checkout, with '+' if files differ from it; an image, which has
    no checkout, says it in BENCHMARK_COMMIT; None where neither is known."""
    try:
        return subprocess.run(['git', 'describe', '--always', '--abbrev=40', '--dirty=+'],
                              cwd=os.path.dirname(os.path.abspath(__file__)), check=True,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return os.environ.get('BENCHMARK_COMMIT') or None
