"""--xla: counts the convolutions in the clusters that XLA compiled, from the files it dumps.

The graph is compiled by auto-clustering. TensorFlow's trace of a step does not show the operations
inside a cluster, so the check that all convolutions ran reads the dumped clusters.
"""
import atexit
import contextlib
import glob
import os
import re
import shutil
import tempfile
from typing import Any, Iterator, Optional

_dump: Optional[str] = None          # one folder per process: XLA reads its flags only once


@contextlib.contextmanager
def dumping(is_requested: bool) -> Iterator[None]:
    """If --xla was given, makes XLA dump the clusters that it compiles during the block."""
    global _dump
    if not is_requested:
        yield
        return
    if _dump is None:
        _dump = tempfile.mkdtemp()
        atexit.register(shutil.rmtree, _dump, ignore_errors=True)
    flags = {'XLA_FLAGS': '--xla_dump_to=%s --xla_dump_hlo_as_text' % _dump,
             'TF_XLA_FLAGS': '--tf_xla_cpu_global_jit'}
    before = {name: os.environ.get(name) for name in flags}
    os.environ.update((name, ('%s %s' % (before[name] or '', added)).strip())
                      for name, added in flags.items())
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def clustered_convolutions(step_stats: Any) -> Optional[int]:
    """Counts the convolutions in the clusters that a traced step ran, from XLA's dump; None if
    --xla was not given."""
    if _dump is None:
        return None
    ran = {match.group(1) for device in step_stats.dev_stats for node in device.node_stats
           for match in [re.search(r'(cluster_\d+)\w*/xla_run = ', node.timeline_label)] if match}
    count = 0
    for path in glob.glob(os.path.join(_dump, '*before_optimizations.txt')):
        with open(path, errors='replace') as file:
            module = re.match(r'HloModule (cluster_\d+)__', file.readline())
            if module and module.group(1) in ran:
                count += sum(' convolution(' in line for line in file)
    return count
