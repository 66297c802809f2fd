"""Notices when a rank of a job is lost, names it, and ends the job.

The roll call at the start notices a rank that never starts, the watchdog one that is frozen or
hangs; horovodrun itself ends the job when one dies. docs/scaling.md has the table. Horovod 0.28.1
has its own check for stalled ranks, but over gloo it neither prints a message nor ends the job.

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
from typing import Any, Callable, Dict, Optional

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


def roll_call(key_store: Store, rank: launch.Rank, topic: str, words: str, within_s: float
              ) -> Dict[int, str]:
    """Sends `words` to the other ranks, and collects theirs until all have answered.

    Args:
        key_store: the store.
        rank: of this process.
        topic: the key, the same on all ranks; used once in a job.
        words: the message of this rank.
        within_s: how long to wait for the others, in seconds.

    Returns:
        The words by rank, without the ranks that did not answer.
    """
    answers, end_s = {rank.rank: words}, time.monotonic() + within_s
    with contextlib.suppress(OSError):                   # horovodrun is ending, and the job with it
        key_store.put(topic, rank.rank, words)
        while True:
            for other in set(range(rank.size)) - set(answers):
                answer = key_store.get(topic, other)
                if answer is not None:
                    answers[other] = answer
            if len(answers) == rank.size or time.monotonic() >= end_s:
                break
            time.sleep(POLL_S)
    return answers


def absent(rank: launch.Rank, answers: Dict[int, str], what: str) -> str:
    """Returns a sentence that lists the ranks that did not answer a roll call and says `what`
    happened to them. Returns '' on all ranks but the first that answered, so that it is printed
    once."""
    if rank.rank != min(answers):
        return ''
    missing = [other for other in range(rank.size) if other not in answers]
    return '%s %s.' % (launch.in_words(missing), what)


class Watchdog:
    """Sends a beat every BEAT_S seconds for the duration of its block, and reads those of the next
    rank; ends the job if that rank is lost. A beat is '3 17': the third beat, of a rank that has
    entered 17 exchanges. Does nothing without a store, or in a job of one process.

    Args:
        key_store: the store; None: there is none.
        rank: of this process.
        shutdown: makes Horovod fail all operations in which ranks wait; may block for ever.
        entered: returns the number of exchanges that this rank has entered.
        now_s: a monotonic time in seconds.

    Attributes:
        lost: a sentence that names the next rank, once it is lost.
    """

    def __init__(self, key_store: Optional[Store], rank: launch.Rank, shutdown: Callable[[], None],
                 entered: Callable[[], int], now_s: float):
        self._store, self._rank, self._shutdown, self._entered = key_store, rank, shutdown, entered
        self._next = (rank.rank + 1) % rank.size
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._beat: Optional[str] = None                 # of the next rank, and its exchanges
        self._exchanges: Optional[int] = None
        self._heard_s = now_s                            # when its last new beat arrived
        self._moved_s = now_s                            # when it last kept up or moved on
        self.lost: Optional[str] = None

    def __enter__(self) -> 'Watchdog':
        if self._store is not None and self._rank.size > 1:
            self._thread.start()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._thread.is_alive():
            self._ended.set()
            with contextlib.suppress(OSError):
                self._store.put('beat', self._rank.rank, ENDED)
            self._thread.join(BEAT_S)

    def hear(self, beat: Optional[str], entered: int, now_s: float) -> Optional[str]:
        """Takes note of the last beat of the next rank; None if there is none yet.

        Args:
            beat: as in the store.
            entered: the number of exchanges that this rank has entered.
            now_s: the same clock as at the start, in seconds.

        Returns:
            Why the next rank is lost; None while it lives.
        """
        if beat == ENDED:
            return None
        exchanges = int(beat.split()[1]) if beat else None
        if beat != self._beat:
            self._heard_s = now_s
        if exchanges is None or exchanges >= entered or exchanges != self._exchanges:
            self._moved_s = now_s
        self._beat, self._exchanges = beat, exchanges
        stall_s = seconds('HOROVOD_STALL_SHUTDOWN_TIME_SECONDS', STALL_S)
        if now_s - self._heard_s > SILENT_S:
            return 'nothing was heard from it for %g s' % SILENT_S
        if now_s - self._moved_s > stall_s:
            return 'the others have waited %g s for it' % stall_s
        return None

    def _watch(self):
        number, beat, reason = 0, None, None
        while not reason and not self._ended.wait(BEAT_S):
            number += 1
            entered = self._entered()
            with contextlib.suppress(OSError):           # no answer counts as silence
                self._store.put('beat', self._rank.rank, '%d %d' % (number, entered))
                beat = self._store.get('beat', self._next)
            reason = self.hear(beat, entered, time.monotonic())
        if reason:
            self._end_job('rank %d is lost: %s. The job ends.' % (self._next, reason))

    def _end_job(self, sentence):
        """Makes session.run fail by Horovod's shutdown, so that the main thread ends the process
        with the sentence. If that takes more than END_S (NCCL), prints it and ends the process at
        once. Horovod can also hang after that, in its own shutdown at the exit of the process,
        where no thread of Python helps: then the kernel's alarm ends it after KILL_S."""
        self.lost = sentence
        signal.alarm(KILL_S)
        threading.Thread(target=self._shutdown, daemon=True).start()
        if not self._ended.wait(END_S):
            print('rank %d: %s' % (self._rank.rank, sentence), file=sys.stderr, flush=True)
            os._exit(3)


def seconds(variable: str, default: float) -> float:
    """Returns the value of one of Horovod's variables, in seconds; `default` if it is not set or
    not a number."""
    value = os.environ.get(variable, '')
    return float(value) if re.match(r'\d+(\.\d+)?$', value) else default
