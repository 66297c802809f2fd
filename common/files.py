"""Files that are written whole, and what becomes of a program whose stdout cannot take more."""
import os
import sys
import tempfile
from typing import Callable, Optional


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


def write(path: str, text: str) -> None:
    """Writes a file so that a reader finds the old one or the new one, never half of one.

    Raises OSError, with the path: the folder is missing, not writable, or full.
    """
    try:
        path = os.path.realpath(path)                    # a link stays one
        folder, name = os.path.split(path)
        handle, temporary = tempfile.mkstemp(prefix='.' + name[:100], suffix='.tmp', dir=folder)
        try:
            with os.fdopen(handle, 'w', encoding='utf-8') as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o666 & ~_umask())       # mkstemp's files are the owner's alone
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def why_unwritable(path: str) -> Optional[str]:
    """Returns why `write` to this path would fail, or None. Leaves nothing behind."""
    if not os.path.basename(path):
        return 'it has no file name'
    if os.path.isdir(path):
        return 'it is a folder'
    if os.path.exists(path) and not os.path.isfile(path):
        return 'it is a device or a pipe, which would be replaced by a file'
    folder = os.path.dirname(os.path.realpath(path))
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return '%s: %s' % (folder, error.strerror)


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask
