"""Child processes that end with their parent."""
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
from typing import Any, Iterator, List, Sequence

from common.stop import SIGNALS

PR_SET_PDEATHSIG = 1                 # linux/prctl.h


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Starts a child in a session of its own, so that Ctrl-C does not reach it twice, from the
    terminal and from us. If this process is killed, the child is killed too: it would otherwise
    run on and slow down the next benchmark."""
    if sys.platform == 'win32':                          # which has neither sessions nor forks
        return subprocess.Popen(command, **options)
    prctl = getattr(ctypes.CDLL(None), 'prctl', None)    # before the fork; only on Linux

    def die_with_parent():
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    with _signals_wait():
        return subprocess.Popen(command, start_new_session=True, preexec_fn=die_with_parent,
                                **options)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Ctrl-C that comes in the block is raised at its end. In a fork Python would drop it: the
    callbacks of other modules run then, and their exceptions are printed and forgotten."""
    came: List[int] = []
    handlers = {number: signal.signal(number, lambda number, _: came.append(number))
                for number in SIGNALS
                if threading.current_thread() is threading.main_thread()
                and callable(signal.getsignal(number))}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            os.kill(os.getpid(), came[0])
