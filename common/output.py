"""What becomes of a program when its stdout cannot take what it prints."""
import os
import sys
from typing import Callable


def guarded(main: Callable[[], int]) -> int:
    """Returns the exit code of main(), or 3 if it cannot write: one line on stderr says why, none
    where a reader has read enough (`| head`). A stdout that is closed (`>&-`) takes all."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, 'w')               # noqa: SIM115
    sys.stdout.reconfigure(errors='backslashreplace')    # of letters that the terminal has not
    try:
        code = main()
        sys.stdout.flush()
        return code
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print('Stopped: %s' % error, file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())       # for what is left
        return 3
