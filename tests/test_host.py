"""The host, from the files of fake machines: a table of proc and cgroup trees."""
import json
import os
import subprocess
import sys

import pytest

from common.machine import host
from common.machine.host import Snapshot

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
GIB = 2 ** 30
NO_LIMIT = '9223372036854771712\n'                       # version 1's

CPUINFO = ''.join("""\
processor\t: %d
model name\t: Intel(R) Xeon(R) CPU
physical id\t: 0
core id\t\t: %d
flags\t\t: fpu avx2 amx_bf16

""" % (thread, thread % 2) for thread in range(4))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that writes the files of a machine, {path: text}, and returns their root; this
    process may run on two of its four CPUs."""
    monkeypatch.setattr(host, 'usable_cpus', lambda: {0, 1})
    monkeypatch.setattr(os, 'cpu_count', lambda: 4)

    def write(files):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return str(tmp_path)
    return write


# Cgroups

def v2(folder, limit=None, used=0, cache=0, quota=None):
    """The files of a cgroup of version 2."""
    files = {'cpu.max': '%s 100000\n' % quota if quota else None}
    if limit:
        files.update({'memory.max': '%s\n' % limit, 'memory.current': '%d\n' % used,
                      'memory.stat': 'anon 5\ninactive_file %d\nactive_file %d\n'
                                     % (cache // 2, cache // 2)})
    return {'%s/%s' % (folder, name): text for name, text in files.items() if text}


def v1(folder, limit=None, used=0, cache=0, quota=None):
    """The files of a cgroup of version 1; its own cache, without its children's, is less."""
    files = {}
    if quota:
        files.update({'cpu.cfs_quota_us': '%s\n' % quota, 'cpu.cfs_period_us': '100000\n'})
    if limit:
        files.update({'memory.limit_in_bytes': '%s\n' % limit,
                      'memory.usage_in_bytes': '%d\n' % used,
                      'memory.stat': 'inactive_file 1\nactive_file 1\ntotal_inactive_file %d\n'
                                     'total_active_file %d\n' % (cache // 2, cache // 2)})
    return {'%s/%s' % (folder, name): text for name, text in files.items()}


def proc(cgroup, *mounts):
    """/proc/self/cgroup and mountinfo, the mounts as (file system, options, top, folder)."""
    return {'proc/self/cgroup': cgroup, 'proc/meminfo': MEMINFO, 'proc/self/mountinfo': ''.join(
        ['25 1 0:5 / / rw,relatime shared:1 - ext4 /dev/root rw\n']
        + ['%d 25 0:%d %s %s rw,nosuid shared:%d - %s %s %s\n'
           % (30 + i, 30 + i, top, folder, i, kind, kind, options)
           for i, (kind, options, top, folder) in enumerate(mounts)])}


MEMINFO = 'MemTotal:       67108864 kB\nMemFree: 1 kB\nMemAvailable:   62914560 kB\n'   # 60 GiB
LIMITS = ('Limit                     Soft Limit           Hard Limit           Units     \n'
          'Max data size             %-20s unlimited            bytes     \n'
          'Max address space         %-20s unlimited            bytes     \n')
ULIMIT = {'proc/self/status': 'VmSize:\t 5242880 kB\nVmData:\t 1048576 kB\n'}
V2 = 'cgroup2', 'rw,nsdelegate', '/', '/sys/fs/cgroup'
V1_MEMORY = 'cgroup', 'rw,memory', '/', '/sys/fs/cgroup/memory'
V1_CPU = 'cgroup', 'rw,cpu,cpuacct', '/', '/sys/fs/cgroup/cpu,cpuacct'
C = 'sys/fs/cgroup'
DOCKER_V1 = '4:memory:/docker/0a1b\n3:cpu,cpuacct:/docker/0a1b\n0::/docker/0a1b\n'

BOXES = {                            # the files, free GiB, the quota in CPUs
    'nothing': ({}, None, None),
    'no cgroups': ({'proc/meminfo': MEMINFO}, 60, None),
    'ulimit -d': (dict(ULIMIT, **{'proc/meminfo': MEMINFO, 'proc/self/limits':
                                  LIMITS % (3 * GIB, 'unlimited')}), 2, None),
    'ulimit -v': (dict(ULIMIT, **{'proc/meminfo': MEMINFO, 'proc/self/limits':
                                  LIMITS % ('unlimited', 9 * GIB)}), 4, None),
    'v2, no limit': (dict(proc('0::/user.slice\n', V2), **v2(C + '/user.slice', 'max', GIB,
                                                             quota='max')), 60, None),
    'v2, its own limit': (dict(proc('0::/box\n', V2), **v2(
        C + '/box', 8 * GIB, 3 * GIB, 2 * GIB, 250000)), 7, 2.5),
    'v2 nested, the parent is tighter (systemd)': (dict(
        proc('0::/system.slice/job.service/worker\n', V2),
        **v2(C + '/system.slice/job.service/worker', 'max', quota='max'),
        **v2(C + '/system.slice/job.service', 8 * GIB, 3 * GIB, quota=300000),
        **v2(C + '/system.slice', 6 * GIB, 4 * GIB, quota=150000)), 2, 1.5),
    'v2, a sibling does not count': (dict(
        proc('0::/a\n', V2), **v2(C + '/a', 8 * GIB), **v2(C + '/b', GIB, quota=100000)), 8, None),
    'v2 in a container with a namespace of its own': (dict(
        proc('0::/\n', V2), **v2(C, 4 * GIB, GIB, quota=50000)), 3, 0.5),
    "v2 in a container that shows the host's path": (dict(
        proc('0::/docker/0a1b\n', V2), **v2(C, 4 * GIB, GIB, quota=50000)), 3, 0.5),
    'v2, part of it mounted': (dict(
        proc('0::/docker/0a1b/step\n', ('cgroup2', 'rw', '/docker/0a1b', '/sys/fs/cgroup')),
        **v2(C + '/step', 4 * GIB, GIB, quota='max'), **v2(C, 9 * GIB, 7 * GIB, quota=200000)),
        2, 2.0),
    'v2, slowed down from memory.high on': (dict(
        proc('0::/box\n', V2), **v2(C + '/box', 'max', GIB), **{C + '/box/memory.high': '%d\n' % (
            3 * GIB)}), 2, None),
    'v2, moved out of its namespace': (dict(
        proc('0::/../other\n', V2), **v2(C, 4 * GIB, quota=50000)), 60, None),
    'v2, more in use than allowed': (dict(
        proc('0::/box\n', V2), **v2(C + '/box', 4 * GIB, 5 * GIB)), 0, None),
    'v2, a path with a blank': (dict(
        proc('0::/my job\n', ('cgroup2', 'rw', '/', '/sys/fs/c\\040group')),
        **v2('sys/fs/c group/my job', 4 * GIB)), 4, None),
    "v2, another container's cgroup is mounted too": (dict(
        proc('0::/\n', V2, ('cgroup2', 'rw', '/../0c2d', '/mnt/other')),
        **v2(C, 4 * GIB), **v2('mnt/other', GIB, quota=100000)), 4, None),
    'v1, no limit': (dict(
        proc('4:memory:/\n3:cpu,cpuacct:/\n', V1_MEMORY, V1_CPU),
        **v1(C + '/memory', NO_LIMIT, GIB), **v1(C + '/cpu,cpuacct', quota=-1)), 60, None),
    'v1 nested (Slurm)': (dict(
        proc('9:name=systemd:/x\n4:memory:/slurm/uid_1/job_2/step_0\n'
             '3:cpu,cpuacct:/slurm/uid_1/job_2/step_0\n0::/x\n', V1_MEMORY, V1_CPU,
             ('cgroup2', 'rw', '/', '/sys/fs/cgroup/unified')),
        **v1(C + '/memory/slurm/uid_1/job_2/step_0', NO_LIMIT, GIB),
        **v1(C + '/memory/slurm/uid_1/job_2', 16 * GIB, 5 * GIB, 2 * GIB),
        **v1(C + '/memory/slurm', NO_LIMIT, 9 * GIB),
        **v1(C + '/cpu,cpuacct/slurm/uid_1/job_2/step_0', quota=-1),
        **v1(C + '/cpu,cpuacct/slurm/uid_1', quota=125000)), 13, 1.25),
    'v1 in a container, its own part mounted': (dict(
        proc(DOCKER_V1, ('cgroup', 'ro,memory', '/docker/0a1b', '/sys/fs/cgroup/memory'),
             ('cgroup', 'ro,cpu,cpuacct', '/docker/0a1b', '/sys/fs/cgroup/cpu,cpuacct')),
        **v1(C + '/memory', 4 * GIB, GIB), **v1(C + '/cpu,cpuacct', quota=50000)), 3, 0.5),
    "v1 in a container that shows the host's path": (dict(
        proc(DOCKER_V1, V1_MEMORY, V1_CPU),
        **v1(C + '/memory', 4 * GIB, GIB), **v1(C + '/cpu,cpuacct', quota=50000)), 3, 0.5),
    "v1, a parent's limit out of sight": (dict(
        proc('4:memory:/\n', V1_MEMORY), **{
            C + '/memory/memory.limit_in_bytes': NO_LIMIT, C + '/memory/memory.usage_in_bytes':
            '%d\n' % GIB, C + '/memory/memory.stat': 'hierarchical_memory_limit %d\n' % (4 * GIB)}),
        3, None),
}


@pytest.mark.parametrize('files, free_gib, quota', BOXES.values(), ids=BOXES)
def test_the_limits_of_cgroups(machine, files, free_gib, quota):
    root = machine(files)
    assert host.free_bytes(root) == (None if free_gib is None else free_gib * GIB)
    assert host.quota_cpus(root) == quota


# CPUs

@pytest.mark.parametrize('usable, total, quota, words', [
    ({0, 1}, 2, None, '2 CPUs'),
    ({0}, 1, None, '1 CPU'),
    ({0}, 2, None, '1 of 2 CPUs'),                       # taskset -c 0
    ({4, 5}, 8, None, '2 of 8 CPUs'),
    ({0, 1}, 2, 150000, '2 CPUs, quota 1.5'),
    ({0, 1}, 8, 33333, '2 of 8 CPUs, quota 0.333'),
    ({0, 1}, 2, 200000, '2 CPUs'),                       # as much as they have
    ({0, 1}, 2, 'max', '2 CPUs'),
    ({0, 1}, None, None, '2 CPUs'),
])
def test_the_cpus_in_a_sentence(machine, monkeypatch, usable, total, quota, words):
    monkeypatch.setattr(host, 'usable_cpus', lambda: usable)
    monkeypatch.setattr(os, 'cpu_count', lambda: total)
    assert host.cpu_count(machine(dict(proc('0::/\n', V2), **v2(C, quota=quota)))) == words


@pytest.mark.skipif(not hasattr(os, 'sched_setaffinity') or len(host.usable_cpus()) < 2,
                    reason='needs Linux and two CPUs')
def test_the_cpus_of_a_process_that_may_use_one():
    """As `taskset -c 0` does it."""
    script = ('import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); '
              'from common.machine import host; print(host.cpu_count())')
    done = subprocess.run([sys.executable, '-c', script], cwd=ROOT, stdout=subprocess.PIPE,
                          text=True, check=True)
    assert done.stdout.startswith('1 of %d CPUs' % os.cpu_count())


def test_the_facts_of_a_cpu(machine):
    root = machine(dict(proc('0::/\n', V2), **v2(C, quota=250000), **{'proc/cpuinfo': CPUINFO}))
    assert host.cpu_facts(root) == {
        'model': 'Intel(R) Xeon(R) CPU', 'physical_cores': 2, 'logical_cores': 4,
        'usable_threads': 2, 'affinity': [0, 1], 'quota_cpus': 2.5}
    assert host.cpu_name(root) == 'Intel(R) Xeon(R) CPU'
    assert host.cpu_flags(root) == {'fpu', 'avx2', 'amx_bf16'}


def stat(*cpus):
    """/proc/stat with (user, idle) ticks of each CPU."""
    lines = ['cpu  1 2 3 4'] + ['cpu%d %d 0 0 %d 0 0 0 0 0 0' % (n, user, idle)
                                for n, (user, idle) in enumerate(cpus)]
    return '\n'.join(lines + ['intr 1 2 3', ''])


@pytest.mark.parametrize('after, ours_s, busy', [
    ([(0, 100), (0, 100)], 0.0, 0.0),
    ([(8, 92), (10, 90)], 0.0, 0.18),
    ([(100, 0), (0, 100)], 0.0, 1.0),
    ([(100, 0), (100, 0)], 0.0, 2.0),
    ([(0, 100), (0, 100), (100, 0)], 0.0, 0.0),          # the third is not ours to use
    ([(100, 0), (0, 100)], 1.0, 0.0),                    # it was this process
    ([(100, 0), (50, 50)], 1.0, 0.5),
])
def test_other_programs_on_the_cpu(machine, monkeypatch, after, ours_s, busy):
    """The ticks of each CPU grow from 0 to `after` in a second, in which this process used `ours_s`
    of CPU time."""
    root = machine({'proc/loadavg': '0.50 0.40 0.30 1/200 4321\n'})
    monkeypatch.setattr(host, 'snapshot', lambda root: Snapshot(stat(*after), 2.0 + ours_s, 11.0))
    load = host.cpu_load(Snapshot(stat(*[(0, 0)] * len(after)), 2.0, 10.0), root)
    assert load == {'busy_cpus': pytest.approx(busy), 'usable_cpus': 2, 'load_average_1min': 0.5}


# The process

def test_the_age_of_a_process(machine, monkeypatch):
    """Field 22 is its start in ticks since the machine was booted; field 2, its name, may be
    anything."""
    root = machine({'proc/self/stat': '7 (a b) c) S ' + ' '.join(map(str, range(4, 22)))
                    + ' 12345 ' + ' '.join(map(str, range(23, 53)))})
    monkeypatch.setattr(host.time, 'clock_gettime', lambda clock: 125.0)
    monkeypatch.setattr(host.os, 'sysconf', lambda name: 100)
    assert host.process_age_s(root) == pytest.approx(125.0 - 123.45)


@pytest.mark.parametrize('line, version', [
    ('NVRM version: NVIDIA UNIX x86_64 Kernel Module  410.48  Thu Sep  6 06:36:33 CDT 2018',
     '410.48'),
    ('NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build',
     '570.86.15'),
    ('no number', None)])
def test_the_driver(machine, line, version):
    root = machine({'proc/driver/nvidia/version': line + '\nGCC version:  gcc version 7.3.0\n'})
    assert host.driver_version(root) == version


# Elsewhere

def test_a_machine_without_proc(tmp_path):
    root = str(tmp_path)
    assert host.cpu_load(root=root) == {
        'busy_cpus': None, 'usable_cpus': None, 'load_average_1min': None}
    facts = host.cpu_facts(root)
    assert facts['model'] is facts['physical_cores'] is facts['quota_cpus'] is None
    assert host.cpu_name(root) != ''
    assert host.cpu_flags(root) == set()
    for value in (host.free_bytes, host.driver_version, host.process_age_s):
        assert value(root) is None


def test_this_machine_can_be_described():
    load, facts = host.cpu_load(), host.cpu_facts()
    json.dumps([load, facts], allow_nan=False)
    assert load['busy_cpus'] is None or load['busy_cpus'] <= load['usable_cpus']
    assert facts['usable_threads'] <= facts['logical_cores']
    assert host.free_bytes() is None or host.free_bytes() > 0
