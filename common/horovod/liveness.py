"""Notices when a rank of a job is lost, names it on stderr, and ends the job.

What happens to the rank                     noticed
it never starts                              after ARRIVAL_S, by the roll call at the start
it dies                                      at once, by horovodrun, which ends the others
it is frozen, or its host is gone            after SILENT_S, by the heartbeat; over gloo often
                                             earlier, after gloo's own timeout of 30 s
it hangs between two steps                   after STALL_S, by the heartbeat

It can take another minute until the other processes have ended. Horovod 0.28.1 has its own check
for stalled ranks, but over gloo it neither prints a message nor ends the job.

The ranks exchange messages through the key-value store of horovodrun, which works even while
Horovod is stuck. mpirun has no such store: there only Horovod's and mpirun's own messages appear.
"""
import contextlib
import http.client
import os
import re
import signal
import sys
import threading
import time
from typing import Callable, Dict, Iterator, Optional

from common.horovod import launch

ARRIVAL_S = 120                      # or HOROVOD_START_TIMEOUT
# or HOROVOD_STALL_SHUTDOWN_TIME_SECONDS. Must be longer than a step of one process, because the
# other ranks wait while rank 0 is timed alone.
STALL_S = 300
BEAT_S, SILENT_S = 10, 60
ANSWER_S = 5                         # for the roll call after an error
END_S = 45                           # gloo notices a frozen process after 30 s
KILL_S = 60                          # then the kernel ends a process that hangs while it exits
POLL_S = 0.2
ENDED = 'ended'                      # the last beat of a rank that ends normally


class Lost(Exception):
    """A rank died, hangs or never started. The text names it; it is empty on all ranks but the one
    that prints the message. `message` is for the record, also where the text is empty."""

    def __init__(self, text: str, message: Optional[str] = None):
        super().__init__(text)
        self.message = message or text


class Store:
    """The key-value store of horovodrun. Both methods raise OSError when it does not answer."""

    def __init__(self, address: str, port: int):
        self._address, self._port = address, port

    def put(self, topic: str, rank: int, words: str) -> None:
        """Stores the message of this rank about a topic."""
        self._request('PUT', topic, rank, words.encode())

    def get(self, topic: str, rank: int) -> Optional[str]:
        """Returns the last message of a rank about a topic; None if there is none."""
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
    if launch.MEETING_PLACE not in os.environ:
        return None
    return Store(os.environ[launch.MEETING_PLACE],
                 int(os.environ['HOROVOD_GLOO_RENDEZVOUS_PORT']))


def roll_call(key_store: Store, rank: launch.Rank, topic: str, words: str, within_s: float,
              clock: Callable[[], float] = time.monotonic,
              wait: Callable[[float], None] = time.sleep) -> Dict[int, str]:
    """Sends `words` to the other ranks, and collects theirs until all have answered.

    Args:
        key_store: the store.
        rank: of this process.
        topic: the key, the same on all ranks; used once in a job.
        words: the message of this rank.
        within_s: how long to wait for the others, in seconds.
        clock: returns a monotonic time in seconds.
        wait: sleeps for so many seconds.

    Returns:
        The words by rank, without the ranks that did not answer.
    """
    answers, end_s = {rank.rank: words}, clock() + within_s
    with contextlib.suppress(OSError):                   # horovodrun is ending, and the job with it
        key_store.put(topic, rank.rank, words)
        while True:
            for other in set(range(rank.size)) - set(answers):
                answer = key_store.get(topic, other)
                if answer is not None:
                    answers[other] = answer
            if len(answers) == rank.size or clock() >= end_s:
                break
            wait(POLL_S)
    return answers


def absent(rank: launch.Rank, answers: Dict[int, str], what: str) -> str:
    """Returns a sentence that lists the ranks that did not answer a roll call and says `what`
    happened to them. Returns '' on all ranks but the first that answered, so that it is printed
    once."""
    if rank.rank != min(answers):
        return ''
    missing = [other for other in range(rank.size) if other not in answers]
    return '%s %s.' % (launch.in_words(missing), what)


class Neighbour:
    """Decides from the beats of the next rank whether it is lost. A beat is '3 17': the third beat,
    of a rank that has entered 17 exchanges. The caller passes in the times.

    Args:
        now_s: a monotonic time in seconds.
        stall_s: how long the next rank may keep the others waiting, in seconds.
    """

    def __init__(self, now_s: float, stall_s: float):
        self._stall_s = stall_s
        self._beat: Optional[str] = None
        self._heard_s = now_s                            # when its last new beat arrived
        self._moved_s = now_s                            # when it last kept up or moved on

    def hear(self, beat: Optional[str], entered: int, now_s: float) -> Optional[str]:
        """Takes note of the last beat of the next rank; None if there is none yet.

        Args:
            beat: as in the store.
            entered: the number of exchanges that this rank has entered.
            now_s: the same clock, in seconds.

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
    """Sends a beat every BEAT_S seconds, and reads the beats of the next rank. Ends the job if that
    rank is lost.

    Args:
        key_store: the store.
        rank: of this process.
        shutdown: makes Horovod fail all operations in which ranks wait; may block for ever.
        entered: returns the number of exchanges that this rank has entered.
        clock: returns a monotonic time in seconds.
        wait: sleeps for so many seconds, or until `stop` is called; returns True if it was called.
            The default is threading.Event.wait.
    """

    def __init__(self, key_store: Store, rank: launch.Rank, shutdown: Callable[[], None],
                 entered: Callable[[], int], clock: Callable[[], float] = time.monotonic,
                 wait: Optional[Callable[[float], bool]] = None):
        self._store, self._rank, self._shutdown, self._entered = key_store, rank, shutdown, entered
        self._next = (rank.rank + 1) % rank.size
        self._stopped = threading.Event()
        self._clock, self._wait = clock, wait or self._stopped.wait
        self.found_lost: Optional[str] = None            # a sentence

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
        """Ends the beats, and tells the others that this rank ends normally."""
        self._stopped.set()
        with contextlib.suppress(OSError):
            self._store.put('beat', self._rank.rank, ENDED)

    def _end_job(self, reason):
        """Names the lost rank. Then Horovod's shutdown makes session.run fail, so that this process
        can end normally. If that takes more than END_S (NCCL), ends the process at once. Horovod
        can also hang after that, in its own shutdown at the exit of the process, where no thread of
        Python helps: then the kernel's alarm ends it after KILL_S."""
        self.found_lost = 'rank %d is lost: %s.' % (self._next, reason)
        print('rank %d: %s The job ends.' % (self._rank.rank, self.found_lost), file=sys.stderr,
              flush=True)
        signal.alarm(KILL_S)
        threading.Thread(target=self._shutdown, daemon=True).start()
        if not self._wait(END_S):
            os._exit(3)


@contextlib.contextmanager
def heartbeat(key_store: Optional[Store], rank: launch.Rank, shutdown: Callable[[], None],
              entered: Callable[[], int]) -> Iterator[Heartbeat]:
    """A Heartbeat in a thread of its own for the duration of the block. It does nothing without a
    store, or in a job of one process."""
    beating = Heartbeat(key_store, rank, shutdown, entered)
    if key_store is None or rank.size == 1:
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
    """Returns the value of one of Horovod's variables, in seconds; `default` if it is not set or
    not a number."""
    value = os.environ.get(variable, '')
    return float(value) if re.match(r'\d+(\.\d+)?$', value) else default


def _exchanges(beat):
    """The number of exchanges in a beat; None if there is no beat or the rank has ended."""
    return int(beat.split()[1]) if beat and beat != ENDED else None
