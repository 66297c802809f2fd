"""Why a run stops before its end: the one exception that carries a sentence, an exit code and the
status of the record, and the signals. This module needs the standard library alone."""
import os
import signal
from typing import Any, Callable, Dict, Sequence

# Windows has no SIGHUP.
SIGNALS = [getattr(signal, name) for name in ('SIGINT', 'SIGTERM', 'SIGHUP')
           if hasattr(signal, name)]


def end_on_signals() -> None:
    """Makes each of SIGNALS end the process at once, until on_signals() is called: the import of
    TensorFlow may swallow a KeyboardInterrupt, and Linux what process 1 of a container does not
    handle."""
    _handle(lambda *_: os._exit(130))


def on_signals(always: Sequence[int] = ()) -> Dict[int, Any]:
    """Makes the first of SIGNALS raise KeyboardInterrupt, as Ctrl-C does. A second one, which
    systemd and batch systems send soon, is ignored, so that what was timed is saved; a third ends
    the process at once. A signal that is ignored (nohup, a shell's background command) stays so,
    unless it is one of `always`. Returns the handlers that were set before, by number."""
    came = []

    def handle(number, _):
        came.append(number)
        if len(came) == 1:
            raise KeyboardInterrupt
        if len(came) > 2:
            os._exit(130)
    return _handle(handle, always)


def _handle(handler: Callable[..., None], always: Sequence[int] = ()) -> Dict[int, Any]:
    return {number: signal.signal(number, handler) for number in SIGNALS
            if number in always or signal.getsignal(number) != signal.SIG_IGN}


class Stop(Exception):
    """The command cannot go on.

    Attributes:
        text: a sentence: what is wrong, the value, what to do.
        code: the exit code of the process. 1: the figures would be wrong, 2: bad usage, 3: the
            machine cannot run it as asked.
        status: `status` of the record: 'refused' (then `text` is a fault of the run),
            'out_of_memory' or 'failed'.
    """

    def __init__(self, text: str, code: int = 3, status: str = 'failed'):
        super().__init__(text)
        self.text, self.code, self.status = text, code, status
