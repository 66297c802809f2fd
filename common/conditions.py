"""What the speed of a run depends on: the one list of conditions, and what a difference means.

`suite compare`, its repeats and its gate, `suite run` when it resumes, a job when its ranks meet,
--csv and the page ask here.
"""
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Union

# What a difference means. NOT_COMPARABLE: other work, never compared. NOT_A_REPEAT: may be
# compared, and then it is listed, but is never averaged. MENTIONED: only listed.
NOT_COMPARABLE, NOT_A_REPEAT, MENTIONED = 'not comparable', 'not a repeat', 'mentioned'
NOT_SET = '(not set)'                # of an environment variable


class Condition(NamedTuple):
    """One condition.

    where: its place in a record, where 'result' stands for the entry of a pass, or a function of
        the record and that entry (None: of no pass).
    absent: the value where a record says null, or what null means in it; None: it is unknown then,
        as where a record lacks the key, which is no difference.
    tolerance: numbers whose ratio is at most 1 + tolerance are the same.
    unit: how a number is shown.
    in_job: whether all ranks of a job must have it in common.
    """
    name: str
    where: Union[str, Callable[[Dict[str, Any], Optional[Dict[str, Any]]], Any]]
    means: str
    absent: Any = None
    in_job: bool = False
    unit: str = '%s'
    tolerance: float = 0


def precision(entry: Dict[str, Any]) -> str:
    """Returns the precision of a pass, and whether XLA compiled it: 'float32', 'float32, XLA'."""
    return entry['precision'] + ', XLA' * entry.get('xla', False)      # before --xla: no key


def _threads(record, entry):
    """The threads that were requested by flags, '2 intra-op'; None: as TensorFlow chooses."""
    options = record['options']
    return ', '.join('%s %s-op' % (options[key], key[:5]) for key in (
        'intra_op_threads', 'inter_op_threads') if options.get(key)) or None


def _board_memory(record, entry):
    """The memory of the GPU by CUDA, in GB."""
    gpu = record['environment']['device'].get('gpu')
    return gpu and gpu['memory_bytes'] / 1e9


def _host(record, entry):
    """The host, or those of a job, 'a: 2, b: 2'. None for the name of a Docker container, which is
    another one in each `docker run` on the same host."""
    hosts = (record.get('processes') or {}).get('hosts')
    if hosts:
        return ', '.join('%s: %d' % host for host in sorted(hosts.items()))
    host = record['environment'].get('host')
    return None if re.fullmatch('[0-9a-f]{12}', host or '') else host


def _affinity(record, entry):
    """The numbers of the usable CPUs, as taskset has them: '0-3,8'."""
    numbers = record['environment']['cpu'].get('affinity')
    if not numbers:
        return None
    starts = [n for n in numbers if n - 1 not in numbers]
    ends = [n for n in numbers if n + 1 not in numbers]
    return ','.join('%d' % low if low == high else '%d-%d' % (low, high)
                    for low, high in zip(sorted(starts), sorted(ends)))


# In the order in which they are listed. A clock that is held down, or was locked lower, is 5 % or
# more below the other; repeats on one GPU differ by 1 to 3 %. The memory that CUDA shows depends a
# little on the driver.
CONDITIONS = (
    Condition('network', 'benchmark', NOT_COMPARABLE),
    Condition('variant', 'variant', NOT_COMPARABLE),
    Condition('pass', 'result.info_string', NOT_COMPARABLE),
    Condition('fetch', 'result.fetch', NOT_COMPARABLE),
    Condition('batch', 'result.batch_size', NOT_COMPARABLE),     # of each process
    Condition('precision', lambda record, entry: entry and precision(entry), NOT_COMPARABLE),
    Condition('processes', 'processes.size', NOT_COMPARABLE, 1),

    Condition('device', 'environment.device.name', NOT_A_REPEAT),
    Condition('board memory', _board_memory, NOT_A_REPEAT, unit='%.3g GB', tolerance=0.01),
    Condition('maximum SM clock', 'environment.gpu.max_sm_clock_mhz', NOT_A_REPEAT, unit='%g MHz'),
    Condition('driver', 'environment.gpu.driver_version', NOT_A_REPEAT),
    Condition('power limit', 'environment.gpu.power_limit_w', NOT_A_REPEAT, unit='%g W'),
    Condition('host', _host, NOT_A_REPEAT),
    Condition('CPUs', 'environment.cpu.usable_threads', NOT_A_REPEAT),
    Condition('CPU affinity', _affinity, NOT_A_REPEAT),
    Condition('CPU quota', 'environment.cpu.quota_cpus', NOT_A_REPEAT, 'none', unit='%g'),
    Condition('threads', _threads, NOT_A_REPEAT, 'as TensorFlow chooses', in_job=True),
    Condition('tensorflow', 'environment.tensorflow', NOT_A_REPEAT, in_job=True),
    Condition('cuda', 'environment.cuda', NOT_A_REPEAT, 'none', in_job=True),
    Condition('cudnn', 'environment.cudnn', NOT_A_REPEAT, 'none', in_job=True),
    Condition('horovod', 'processes.horovod', NOT_A_REPEAT, in_job=True),
    Condition('backend', 'processes.backend', NOT_A_REPEAT),
    Condition('steps', 'options.num_batches', NOT_A_REPEAT, in_job=True),
    Condition('burn-in', 'options.num_steps_burn_in', NOT_A_REPEAT, in_job=True),
    Condition('median SM clock', 'result.gpu.sm_clock_mhz.median', NOT_A_REPEAT, unit='%.0f MHz',
              tolerance=0.05),

    Condition('runtime', 'environment.runtime', MENTIONED, in_job=True),
    Condition('python', 'environment.python', MENTIONED, in_job=True),
    Condition('numpy', 'environment.numpy', MENTIONED, in_job=True),
    Condition('system', 'environment.system', MENTIONED),
    Condition('commit', 'environment.commit', MENTIONED, in_job=True),
)
BY_NAME = {condition.name: condition for condition in CONDITIONS}
# What was timed: only figures that have all of it in common are compared.
WORK = tuple(condition.name for condition in CONDITIONS if condition.means == NOT_COMPARABLE)
PLACES = {name: i for i, name in enumerate(BY_NAME)}


def of(record: Dict[str, Any], entry: Optional[Dict[str, Any]] = None) -> Dict[str, Any]:
    """Returns the values of all conditions that are known, by name in the order of CONDITIONS; then
    the environment variables.

    Args:
        record: a record, or a part of one that has `environment` and `options`.
        entry: one of its results; None for what is the same in all passes.
    """
    values, places = {}, dict(record, result=entry)
    for condition in CONDITIONS:
        where = condition.where
        try:
            value = _at(places, where) if isinstance(where, str) else where(record, entry)
        except KeyError:                                 # of an older record, or of a part of one
            continue
        value = condition.absent if value is None else value
        if value is not None:
            values[condition.name] = value
    environment = record['environment']
    for name, value in environment['variables'].items():
        # Of a run on the CPU: set by older versions themselves.
        if name != 'CUDA_VISIBLE_DEVICES' or environment['device']['kind'] != 'cpu':
            values[name] = value
    return values


def differing(one: Dict[str, Any], other: Dict[str, Any]) -> List[str]:
    """Returns the names of the conditions in which two results of of() differ, in the order of the
    list. What only one of them knows is no difference, but an environment variable that only one of
    them sets is."""
    if one == other:                                     # as most repeats are
        return []
    return [name for name in sorted({**one, **other}, key=order)
            if not _agree(name, one.get(name), other.get(name))]


def means(name: str) -> str:
    """Returns what a difference in a condition means."""
    return BY_NAME[name].means if name in BY_NAME else NOT_A_REPEAT      # a variable


def order(name: str) -> Any:
    """Returns a key that sorts names as CONDITIONS, environment variables behind."""
    return PLACES.get(name, len(PLACES)), name


def text(name: str, value: Any) -> str:
    """Returns a value as text with its unit. None is the value that a variable has where it is not
    set, and that any other condition has where it is not known."""
    if value is None:
        return 'unknown' if name in BY_NAME else NOT_SET
    return BY_NAME[name].unit % value if name in BY_NAME and not isinstance(value, str) else value


def merged(several: List[Dict[str, Any]]) -> Dict[str, Any]:
    """Returns the conditions of repeats: of numbers with a tolerance the mean, of what is MENTIONED
    all values."""
    merged_values = {}
    for name in sorted({name for values in several for name in values}, key=order):
        known = [values[name] for values in several if name in values]
        if name in BY_NAME and BY_NAME[name].tolerance:
            merged_values[name] = sum(known) / len(known)
        else:
            merged_values[name] = (known[0] if len(set(known)) == 1 else
                                   ', '.join(sorted({text(name, value) for value in known})))
    return merged_values


def _agree(name, one, other):
    if one == other:
        return True
    if name not in BY_NAME:
        return False
    if one is None or other is None:
        return True
    tolerance = BY_NAME[name].tolerance
    return bool(tolerance) and max(one, other) <= (1 + tolerance) * min(one, other)


def _at(record, where):
    """The value at a place; None if it is null, or in something that is. Raises KeyError: the
    record lacks it."""
    for key in where.split('.'):
        record = None if record is None else record[key]
    return record
