"""Notices when a rank of a job is lost, names it on stderr, and ends the job.

What happened to the rank                    noticed
it never starts                              after ARRIVAL_S, by the roll call at the start
it dies                                      at once, by horovodrun, which ends the others
it is frozen, or its host is gone            after SILENT_S, by the heartbeat; over gloo often
                                             earlier, after gloo's own timeout of 30 s
it hangs between two steps                   after STALL_S, by the heartbeat

Until the other processes have ended it can take a minute more. Horovod 0.28.1 has a check for
stalled ranks of its own, but over gloo it prints nothing and ends nothing.

The ranks hear of each other through the key-value store of horovodrun, which works while Horovod
itself is stuck. mpirun has no such store: there Horovod's and mpirun's own messages must do.
"""
import contextlib
import http.client
import os
import re
import sys
import threading
import time
from typing import Callable, Dict, Iterator, Optional

from common.horovod import launch

ARRIVAL_S = 120                      # or HOROVOD_START_TIMEOUT
# or HOROVOD_STALL_SHUTDOWN_TIME_SECONDS. While rank 0 is timed alone the others wait for it, so
# that this must be longer than a step of one process.
STALL_S = 300
BEAT_S, SILENT_S = 10, 60
ANSWER_S = 5                         # for the roll call after an error
END_S = 45                           # gloo notices a frozen process after 30 s
POLL_S = 0.2
ENDED = 'ended'                      # the last beat of a rank that ends in order


class Lost(Exception):
    """A rank died, hangs or never came. The text names it; it is empty on the ranks that leave the
    message to another one."""


class Store:
    """The key-value store of horovodrun. Both methods raise OSError when it does not answer."""

    def __init__(self, address: str, port: int):
        self._address, self._port = address, port

    def put(self, topic: str, rank: int, words: str) -> None:
        """Stores what this rank says about a topic."""
        self._request('PUT', topic, rank, words.encode())

    def get(self, topic: str, rank: int) -> Optional[str]:
        """Returns what that rank said last about the topic; None if nothing."""
        return self._request('GET', topic, rank)

    def _request(self, method, topic, rank, body=None):
        connection = http.client.HTTPConnection(self._address, self._port, timeout=5)
        try:
            # Horovod keeps its own keys in the same store: the prefix keeps ours apart.
            connection.request(method, '/benchmark_%s/%d' % (topic, rank), body)
            response = connection.getresponse()
            text = response.read().decode()
            return text if response.status == 200 else None
        except http.client.HTTPException as error:
            raise OSError(str(error)) from None
        finally:
            connection.close()


def store() -> Optional[Store]:
    """Returns the store of horovodrun; None under another launcher."""
    if 'HOROVOD_GLOO_RENDEZVOUS_ADDR' not in os.environ:
        return None
    return Store(os.environ['HOROVOD_GLOO_RENDEZVOUS_ADDR'],
                 int(os.environ['HOROVOD_GLOO_RENDEZVOUS_PORT']))


def roll_call(kept: Store, rank: launch.Rank, topic: str, words: str, within_s: float,
              clock: Callable[[], float] = time.monotonic,
              wait: Callable[[float], None] = time.sleep) -> Dict[int, str]:
    """Says `words` to the other ranks, and collects theirs until all have answered.

    Args:
        kept: the store.
        rank: of this process.
        topic: the key, the same on all ranks; used once in a job.
        words: of this rank.
        within_s: how long to wait for the others, in seconds.
        clock, wait: a monotonic time and a sleep, in seconds.

    Returns:
        The words by rank, without the ranks that did not answer.
    """
    answers, end_s = {rank.rank: words}, clock() + within_s
    with contextlib.suppress(OSError):                   # horovodrun is ending, and the job with it
        kept.put(topic, rank.rank, words)
        while True:
            for other in set(range(rank.size)) - set(answers):
                answer = kept.get(topic, other)
                if answer is not None:
                    answers[other] = answer
            if len(answers) == rank.size or clock() >= end_s:
                break
            wait(POLL_S)
    return answers


def absent(rank: launch.Rank, answers: Dict[int, str], what: str) -> str:
    """Returns a sentence about the ranks that did not answer a roll call; '' on all ranks but the
    first of those that did, so that it is printed once."""
    if rank.rank != min(answers):
        return ''
    missing = [other for other in range(rank.size) if other not in answers]
    return '%s %s.' % (launch.in_words(missing), what)


class Neighbour:
    """What this rank knows about the next one, from its beats. A beat is '3 17': the third, by a
    rank that has entered 17 exchanges. It knows no clock: the times are passed in.

    Args:
        now_s: a monotonic time in seconds.
        stall_s: how long the next rank may keep the others waiting, in seconds.
    """

    def __init__(self, now_s: float, stall_s: float):
        self._stall_s = stall_s
        self._beat: Optional[str] = None
        self._heard_s = now_s                            # when a beat last was a new one
        self._moved_s = now_s                            # when it last was not behind, or moved on

    def hear(self, beat: Optional[str], entered: int, now_s: float) -> Optional[str]:
        """Takes note of the last beat of the next rank; None if there is none yet.

        Args:
            beat: as in the store.
            entered: the number of exchanges that this rank has entered.
            now_s: the time.

        Returns:
            Why the next rank is lost; None while it lives.
        """
        if beat != self._beat or beat == ENDED:
            self._heard_s = now_s
        exchanges = _exchanges(beat)
        if exchanges is None or exchanges >= entered or exchanges != _exchanges(self._beat):
            self._moved_s = now_s
        self._beat = beat
        if now_s - self._heard_s > SILENT_S:
            return 'nothing was heard from it for %g s' % SILENT_S
        if now_s - self._moved_s > self._stall_s:
            return 'the others have waited %g s for it' % self._stall_s
        return None


class Heartbeat:
    """Every BEAT_S tells the others that this rank lives, and listens to the next rank. Ends the
    job if that one is lost.

    Args:
        kept: the store.
        rank: of this process.
        shutdown: makes Horovod fail all that the ranks wait in; may block for ever.
        entered: returns the number of exchanges that this rank has entered.
        clock: returns a monotonic time in seconds.
        wait: sleeps for so many seconds, or until `stop`; returns True once it was called. The
            default does.
    """

    def __init__(self, kept: Store, rank: launch.Rank, shutdown: Callable[[], None],
                 entered: Callable[[], int], clock: Callable[[], float] = time.monotonic,
                 wait: Optional[Callable[[float], bool]] = None):
        self._store, self._rank, self._shutdown, self._entered = kept, rank, shutdown, entered
        self._next = (rank.rank + 1) % rank.size
        self._stopped = threading.Event()
        self._clock, self._wait = clock, wait or self._stopped.wait
        self.found_lost = False

    def listen(self) -> None:
        """Beats until `stop`, or until the next rank is lost."""
        neighbour = Neighbour(self._clock(), seconds('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS',
                                                     STALL_S))
        number, beat = 0, None
        while not self._wait(BEAT_S):
            number += 1
            entered = self._entered()
            with contextlib.suppress(OSError):           # no answer counts as silence
                self._store.put('beat', self._rank.rank, '%d %d' % (number, entered))
                beat = self._store.get('beat', self._next)
            reason = neighbour.hear(beat, entered, self._clock())
            if reason:
                self._end_job(reason)
                return

    def stop(self) -> None:
        """Ends the beats, and tells the others not to miss them."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._store.put('beat', self._rank.rank, ENDED)

    def _end_job(self, reason):
        """Names the lost rank. Then Horovod's shutdown makes session.run fail, so that this process
        can end in order; where it does not (NCCL), the process is ended as it is."""
        self.found_lost = True
        print('rank %d: rank %d is lost: %s. The job ends.'
              % (self._rank.rank, self._next, reason), file=sys.stderr, flush=True)
        threading.Thread(target=self._shutdown, daemon=True).start()
        if not self._wait(END_S):
            os._exit(3)


@contextlib.contextmanager
def heartbeat(kept: Optional[Store], rank: launch.Rank, shutdown: Callable[[], None],
              entered: Callable[[], int]) -> Iterator[Heartbeat]:
    """A Heartbeat in a thread of its own for the duration of the block. It does nothing without a
    store, or in a job of one process."""
    beating = Heartbeat(kept, rank, shutdown, entered)
    if kept is None or rank.size == 1:
        yield beating
        return
    thread = threading.Thread(target=beating.listen, daemon=True)
    thread.start()
    try:
        yield beating
    finally:
        beating.stop()
        thread.join(BEAT_S)


def seconds(variable: str, default: float) -> float:
    """Returns a variable of Horovod, in seconds; the default where it is not set, or no number."""
    value = os.environ.get(variable, '')
    return float(value) if re.match(r'\d+(\.\d+)?$', value) else default


def _exchanges(beat):
    """How many exchanges the rank of this beat has entered; None where it does not say."""
    return int(beat.split()[1]) if beat and beat != ENDED else None
