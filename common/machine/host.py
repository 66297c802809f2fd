"""Reads the host's CPUs and memory, their limits for this process, and how busy they are.

This is the only module that reads /proc and cgroups. It needs only the standard library and is
imported before TensorFlow: the load of other programs is measured while TensorFlow is imported, the
longest part of a start. Where a file is missing (macOS, another kernel) its value is None. `root`
is the folder that holds proc/ and sys/, for tests.

Formats: man 5 proc, man 7 cgroups; in the kernel's documentation cgroup-v2 and cgroup-v1/memory.
"""
import os
import platform
import re
import threading
import time
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

from common.stop import Stop

NO_LIMIT_BYTES = 2 ** 62             # version 1 writes "no limit" as the largest multiple of a page


class Snapshot(NamedTuple):
    """The load at one moment: /proc/stat ('' where there is none), the CPU time of this process and
    its finished children, and a monotonic time, both in seconds."""
    stat: str
    cpu_s: float
    at_s: float


def _read(root, path):
    """The text of a file; '' where it cannot be read."""
    try:
        with open(os.path.join(root, path.lstrip('/')), encoding='utf-8', errors='replace') as file:
            return file.read()
    except OSError:
        return ''


def snapshot(root: str = '/') -> Snapshot:
    """Returns the Snapshot of this moment."""
    return Snapshot(_read(root, 'proc/stat'), sum(os.times()[:4]), time.monotonic())


FIRST = snapshot()                   # as early in the process as possible


def process_age_s(root: str = '/') -> Optional[float]:
    """Returns the seconds since this process was started, to 10 ms; None where /proc is missing
    (starttime, field 22 of /proc/self/stat, in ticks since the machine was booted)."""
    fields = _read(root, 'proc/self/stat').rpartition(')')[2].split()    # the name may hold blanks
    if len(fields) < 20:
        return None
    return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME)
               - int(fields[19]) / os.sysconf('SC_CLK_TCK'))


# The CPU

def cpu_name(root: str = '/') -> str:
    """Returns the model of the CPU, such as 'AMD EPYC 7B13'."""
    return (_cpuinfo(root, 'model name') or [platform.processor() or platform.machine()])[0]


def cpu_flags(root: str = '/') -> Set[str]:
    """Returns the instruction sets of the CPU by the kernel's names, such as 'avx2'."""
    return set(' '.join(_cpuinfo(root, 'flags')).split())


def usable_cpus() -> Set[int]:
    """Returns the numbers of the CPUs on which this process may run (taskset, cpusets)."""
    if hasattr(os, 'sched_getaffinity'):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 0))               # macOS, Windows


def quota_cpus(root: str = '/') -> Optional[float]:
    """Returns the CPU quota, in CPUs, such as 2.5; None without a limit. It is the smallest quota
    of this process's cgroup and its parents."""
    quotas = []
    for folder in _cgroups(root, 'cpu'):
        words = (_read(root, folder + '/cpu.max')                        # version 2, else 1
                 or _read(root, folder + '/cpu.cfs_quota_us')
                 + _read(root, folder + '/cpu.cfs_period_us')).split()
        if len(words) == 2 and words[0].isdigit():       # not 'max', not -1
            quotas.append(int(words[0]) / int(words[1]))
    return min(quotas, default=None)


def cpu_count(root: str = '/') -> str:
    """Returns the CPUs that this process may use, for a sentence: '2 CPUs', '1 of 2 CPUs', or with
    a smaller quota '2 CPUs, quota 1.5'."""
    usable, quota = len(usable_cpus()), quota_cpus(root)
    total = max(usable, os.cpu_count() or 0)
    return '%s%d CPU%s%s' % (
        '%d of ' % usable if usable < total else '', total, 's' * (total != 1),
        ', quota %.3g' % quota if quota is not None and quota < usable else '')


def cpu_facts(root: str = '/') -> Dict[str, Any]:
    """Returns model, physical_cores, logical_cores, usable_threads (the CPUs on which this process
    may run), affinity (their numbers) and quota_cpus, each None where it is not known."""
    cores = set(zip(_cpuinfo(root, 'physical id'), _cpuinfo(root, 'core id')))
    return {'model': (_cpuinfo(root, 'model name') or [None])[0],
            'physical_cores': len(cores) or None, 'logical_cores': os.cpu_count(),
            'usable_threads': len(usable_cpus()) or None,
            'affinity': sorted(usable_cpus()) or None, 'quota_cpus': quota_cpus(root)}


def cpu_load(since: Snapshot = FIRST, root: str = '/') -> Dict[str, Any]:
    """Returns busy_cpus, how many of the usable_cpus other programs kept busy since a Snapshot, by
    default the start of this process; and load_average_1min. Each is None where it is not known.

    busy_cpus comes from /proc/stat, less the time of this process. The load average is not enough:
    it covers a minute, and so includes our own start-up and programs that ended before it.
    """
    now, first = snapshot(root), _ticks(since.stat)
    ours = (now.cpu_s - since.cpu_s) / max(now.at_s - since.at_s, 1e-3)
    pairs = [(first[cpu], ticks) for cpu, ticks in _ticks(now.stat).items() if cpu in first]
    total = sum(after[0] - before[0] for before, after in pairs)
    idle = sum(after[1] - before[1] for before, after in pairs)
    load = _read(root, 'proc/loadavg').split()
    return {'busy_cpus': max(0.0, len(pairs) * (1 - idle / total) - ours) if total > 0 else None,
            'usable_cpus': len(pairs) or None,
            'load_average_1min': float(load[0]) if load else None}


def check_threads(needed: int) -> None:
    """Raises Stop if this process cannot start so many more threads: a library would abort it.
    Starts them, because users, cgroups and memory all have limits that may count."""
    threads, end = [], threading.Event()                 # type: List[threading.Thread], Any
    try:
        for _ in range(needed):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            threads.append(thread)
    except (RuntimeError, MemoryError):
        raise Stop('This process can start %d of the %d threads that it may need: raise the limit '
                   'on processes (ulimit -u; docker run --pids-limit; pids.max of the cgroup) or '
                   'on memory (ulimit -v).' % (len(threads), needed)) from None
    finally:
        end.set()
        for thread in threads:
            thread.join()


# Memory

def free_bytes(root: str = '/') -> Optional[int]:
    """Returns the bytes of memory that this process can still get: the smallest of what the kernel,
    its cgroup and the parents of that, and its own limits (ulimit -d, -v) allow. None where all are
    unknown."""
    free = [_kilobytes(root, 'proc/meminfo', 'MemAvailable'),
            _free_in_limit(root, 'Max data size', 'VmData'),
            _free_in_limit(root, 'Max address space', 'VmSize')]
    free += [_free_in_cgroup(root, folder) for folder in _cgroups(root, 'memory')]
    return min((number for number in free if number is not None), default=None)


# The driver

def driver_version(root: str = '/') -> Optional[str]:
    """Returns the version of the running NVIDIA kernel driver, such as '535.104.05'; None where
    there is none."""
    version = re.search(r'\b\d{3,}\.[\d.]+', _read(root, 'proc/driver/nvidia/version'))
    return version and version.group()


def _cpuinfo(root, key):
    """The values of a key of /proc/cpuinfo, one for each CPU."""
    lines = [line.partition(':')[::2] for line in _read(root, 'proc/cpuinfo').splitlines()]
    return [value.strip() for name, value in lines if name.strip() == key]


def _kilobytes(root, path, key):
    """Bytes from a line such as `MemAvailable:  24471440 kB`; None without it."""
    match = re.search(r'(?m)^%s:\s*(\d+)' % key, _read(root, path))
    return match and 1024 * int(match.group(1))


def _free_in_limit(root, limit, used):
    """The bytes that are left of a limit of /proc/self/limits; None where it is unlimited."""
    most = re.search(r'(?m)^%s +(\d+)' % limit, _read(root, 'proc/self/limits'))
    used_bytes = _kilobytes(root, 'proc/self/status', used)
    return max(0, int(most.group(1)) - used_bytes) if most and used_bytes is not None else None


def _ticks(stat):
    """(total, idle) ticks of each CPU on which this process may run, from the text of
    /proc/stat."""
    ticks, usable = {}, usable_cpus()
    for line in stat.splitlines():
        name, _, columns = line.partition(' ')
        if name[3:].isdigit() and name.startswith('cpu') and int(name[3:]) in usable:
            values = [int(value) for value in columns.split()[:8]]   # guests are in user already
            ticks[name] = sum(values), values[3] + values[4]         # idle, iowait
    return ticks


# Cgroups

def _cgroups(root: str, controller: str) -> List[str]:
    """Returns the folders of the cgroups that may limit this process: its own, then its parents up
    to the mount, of version 2 and of version 1 of the controller.

    In a container the path in /proc/self/cgroup may be the host's, which does not exist below the
    mount. Then only the folders that exist have limits, among them the mount itself.
    """
    paths = {}                                           # by controller; '': version 2
    for line in _read(root, 'proc/self/cgroup').splitlines():
        controllers, path = line.split(':', 2)[1:]
        paths.update(dict.fromkeys(controllers.split(','), path))
    folders, all_mounts = [], _mounts(root)
    for version in '', controller:
        path = paths.get(version, '/')
        mounts = [(top, folder) for name, top, folder in all_mounts if name == version]
        for top, folder in [mount for mount in mounts if _is_below(path, mount[0])] or mounts:
            below = path[len(top.rstrip('/')):] if _is_below(path, top) else path
            parts = [part for part in below.split('/') if part]
            if '..' not in parts:                        # '..': outside this namespace
                folders += [os.path.join(folder, *parts[:n]) for n in range(len(parts), -1, -1)]
    return folders


def _mounts(root: str) -> List[Tuple[str, str, str]]:
    """Returns the mounted cgroups: the controller ('': version 2, which has all controllers in one
    folder), the cgroup that is mounted, and the folder."""
    mounts = []
    for line in _read(root, 'proc/self/mountinfo').splitlines():
        mount, _, kind = line.partition(' - ')
        fields = kind.split(' ')                         # file system, source, options
        if fields[0] in ('cgroup', 'cgroup2'):
            top, folder = [re.sub(r'\\(\d{3})', lambda code: chr(int(code.group(1), 8)), field)
                           for field in mount.split(' ')[3:5]]
            names = fields[-1].split(',') if fields[0] == 'cgroup' else ['']
            mounts += [(name, top, folder) for name in names]
    return mounts


def _is_below(path, top):
    return (path + '/').startswith(top.rstrip('/') + '/')


def _free_in_cgroup(root, folder):
    """The bytes that are free in a cgroup; None where it has no limit. The page cache counts as
    free, because the kernel releases it when memory is needed."""
    def number(*names):
        text = ''.join(_read(root, '%s/%s' % (folder, name)) for name in names).strip()
        return int(text) if text.isdigit() else None     # 'max': no limit

    limits = [number('memory.max', 'memory.limit_in_bytes'),           # version 2, version 1
              number('memory.high')]                     # above it the process is slowed down
    limit = min((limit for limit in limits if limit is not None), default=None)
    used = number('memory.current', 'memory.usage_in_bytes')
    lines = map(str.split, _read(root, folder + '/memory.stat').splitlines())
    stat = {line[0]: int(line[1]) for line in lines if len(line) == 2}
    if limit is None or used is None:
        return None
    limit = min(limit, stat.get('hierarchical_memory_limit', limit))   # unmounted parents
    if limit >= NO_LIMIT_BYTES:
        return None
    # Version 1 has total_inactive_file for the cgroup with its children, as version 2's plain name.
    cache = sum(stat.get('total_' + name, stat.get(name, 0))
                for name in ('inactive_file', 'active_file'))
    return max(0, limit - used + cache)
