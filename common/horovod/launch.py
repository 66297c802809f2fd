"""Reads the rank of this process from horovodrun or mpirun, and chooses its GPU."""
import itertools
import os
import platform
from typing import Any, Iterable, Mapping, NamedTuple, Optional, Sequence

from common.machine import nvidia
from common.stop import Stop

# The variables of each launcher: rank, size, local rank, local size.
LAUNCHERS = [
    ['HOROVOD_' + name for name in ('RANK', 'SIZE', 'LOCAL_RANK', 'LOCAL_SIZE')],
    ['OMPI_COMM_WORLD_' + name for name in ('RANK', 'SIZE', 'LOCAL_RANK', 'LOCAL_SIZE')]]

# Variables of launchers that start no job of Horovod, and the value from which on they show one of
# several processes: MPICH, Intel MPI, MVAPICH, PMIx, and of Slurm what srun sets (sbatch sets
# SLURM_PROCID=0 and no SLURM_STEP_NUM_TASKS).
OTHER_LAUNCHERS = {'PMI_SIZE': 2, 'MPI_LOCALNRANKS': 2, 'MV2_COMM_WORLD_SIZE': 2,
                   'SLURM_STEP_NUM_TASKS': 2, 'PMI_RANK': 1, 'MPI_LOCALRANKID': 1,
                   'MV2_COMM_WORLD_RANK': 1, 'PMIX_RANK': 1, 'SLURM_PROCID': 1}

MEETING_PLACE = 'HOROVOD_GLOO_RENDEZVOUS_ADDR'           # set by horovodrun

NO_SCRIPT = ('this command starts processes of its own: use horovodrun or mpirun to start one of '
             'the four scripts')


class Rank(NamedTuple):
    """The place of a process in its job. `local_rank` and `local_size` count the processes of the
    same host."""
    rank: int
    size: int
    local_rank: int
    local_size: int


def current(environment: Mapping[str, str] = os.environ) -> Optional[Rank]:
    """Returns the rank of this process; None for a run of one process.

    Raises Stop, exit code 2: no launcher sets such values; exit code 3: another launcher started it
    as one of several processes, which would be timed as so many single runs that overwrite each
    other's record; or the variables of horovodrun are left over from a job, with which Horovod
    would abort after half a minute.
    """
    names = _variables(environment)
    if names is None:
        for name, least in OTHER_LAUNCHERS.items():
            value = environment.get(name, '')
            if value.isdigit() and int(value) >= least:
                raise Stop(
                    '%s is %s: a launcher started this process as one of several, but a job needs '
                    "horovodrun or Open MPI's mpirun. Start it with horovodrun, or for a run of "
                    'one process unset %s.' % (name, value, name))
        return None
    values = [environment[name] for name in names]
    rank = Rank(*(int(value) if value.isdigit() else -1 for value in values))
    if not (0 <= rank.rank < rank.size and 0 <= rank.local_rank < rank.local_size <= rank.size):
        raise Stop(
            'The values of %s are %s: they must be integers, each rank below its size. horovodrun '
            'and mpirun set them; for a run of one process unset them.'
            % (', '.join(names), ', '.join(map(repr, values))), 2)
    if names == LAUNCHERS[0] and rank.size > 1 and MEETING_PLACE not in environment:
        raise Stop(
            'HOROVOD_SIZE is %d, but horovodrun did not start this process (%s is not set): start '
            'it with horovodrun, or for a run of one process unset %s.'
            % (rank.size, MEETING_PLACE, ', '.join(names)))
    return rank


def is_launched(environment: Mapping[str, str] = os.environ) -> bool:
    """True if a launcher started this process."""
    return _variables(environment) is not None


def problem(args: Any) -> Optional[str]:
    """Returns which flag a job does not allow, and what to do instead; None if all are allowed."""
    if args.precision != 'float32' or args.xla:
        return ('argument %s: not allowed with more than one process: the float32 run that it is '
                'compared with would be a job of its own'
                % ('--xla' if args.xla else '--precision'))
    if args.profile or args.trace:
        return ('argument %s: not allowed with more than one process: run the script by itself, or '
                "set HOROVOD_TIMELINE for Horovod's own trace"
                % ('--profile' if args.profile else '--trace'))
    return None


def pin(rank: Rank, requested: str) -> None:
    """Sets CUDA_VISIBLE_DEVICES to one GPU, a different one for each rank of this host, out of
    those that it lists now, or of all if it is not set. Changes nothing for --device cpu, or
    without a GPU and a driver.

    Args:
        rank: of this process.
        requested: the value of --device.

    Raises Stop: there are fewer GPUs than processes on this host.
    """
    if requested == 'cpu':
        return
    installed = nvidia.count()
    if not installed and nvidia.has_driver_library():
        installed = rank.local_size                      # nobody counts them; CUDA knows
    if not installed:
        return
    given = os.environ.get('CUDA_VISIBLE_DEVICES')
    gpus = list(map(str, range(installed))) if given is None else _visible(given)
    if not gpus:                                         # hidden on purpose: a CPU run
        return
    if len(gpus) < rank.local_size:
        raise Stop(
            '%d processes were started on %s, which has %d GPU%s (CUDA_VISIBLE_DEVICES=%s): each '
            'needs one of its own. Start no more than that (-np, -H host:%d), or use --device cpu '
            'for CPU figures.'
            % (rank.local_size, platform.node(), len(gpus), 's' * (len(gpus) > 1),
               'not set' if given is None else given, len(gpus)))
    os.environ['CUDA_VISIBLE_DEVICES'] = gpus[rank.local_rank]


def in_words(ranks: Sequence[int]) -> str:
    """Returns 'rank 1', or 'ranks 0, 2'."""
    return 'rank%s %s' % ('s' * (len(ranks) > 1), ', '.join(map(str, ranks)))


def _variables(environment: Mapping[str, str]) -> Optional[Sequence[str]]:
    """The names of the launcher's variables, if all four are set."""
    for names in LAUNCHERS:
        if all(name in environment for name in names):
            return names
    return None


def _visible(given: str) -> Sequence[str]:
    """The different GPUs of CUDA_VISIBLE_DEVICES; CUDA ignores the entries from -1 on (CUDA C++
    Programming Guide, "CUDA Environment Variables")."""
    entries: Iterable[str] = (entry.strip() for entry in given.split(','))
    return list(dict.fromkeys(
        str(int(entry)) if entry.lstrip('+').isdigit() else entry            # 00 and +0 are 0
        for entry in itertools.takewhile(lambda entry: entry != '-1', entries) if entry))
