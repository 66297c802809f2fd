"""Child processes that end with their parent."""
import ctypes
import signal
import subprocess
from typing import Any, Sequence

PR_SET_PDEATHSIG = 1                 # linux/prctl.h


def start(command: Sequence[str], **options: Any) -> subprocess.Popen:
    """Starts a child in a session of its own, so that Ctrl-C does not reach it twice, from the
    terminal and from us. If this process is killed, the child is killed too: it would otherwise
    run on and slow down the next benchmark."""
    prctl = getattr(ctypes.CDLL(None), 'prctl', None)    # before the fork; only on Linux

    def die_with_parent():
        if prctl:
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    return subprocess.Popen(command, start_new_session=True, preexec_fn=die_with_parent, **options)
