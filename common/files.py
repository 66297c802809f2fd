"""Writes files atomically and JSON readably; ends a program cleanly if stdout cannot be written."""
import errno
import json
import os
import sys
import tempfile
import uuid
from typing import Any, Callable, Optional

DISK_FULL = errno.ENOSPC, errno.EDQUOT
ROOM_BYTES = 100000                  # what is tried before a run: more than most records have
LONGEST_LINE = 160                   # characters of JSON that are written on one line, not indented

NO_FILE = 'it is a device or a pipe, which would be replaced by a file'


def guarded(main: Callable[[], int]) -> int:
    """Returns the exit code of main(), or 3 if it could not write.

    One line on stderr says why, except when the reader of a pipe has gone (`| head`). With a closed
    stdout (`>&-`) the program runs and its output is discarded.
    """
    prepare_stdout()
    try:
        code = main()
        sys.stdout.flush()
        return code
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            print('Stopped: %s' % why_failed(error), file=sys.stderr)
        # Python flushes stdout again at exit; /dev/null takes the rest of the buffer.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 3


def prepare_stdout() -> None:
    """Makes printing to stdout safe: characters that the terminal cannot encode, such as those of a
    CPU's name, become escapes; output to a closed stdout is discarded."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, 'w')               # noqa: SIM115
    if hasattr(sys.stdout, 'reconfigure'):               # a notebook's has not
        sys.stdout.reconfigure(errors='backslashreplace')


def write(path: str, text: str) -> None:
    """Writes a text file as UTF-8. A reader sees the old file or the new one, never part of one;
    except where the file is itself a mount (docker run -v FILE:FILE) and cannot be replaced.

    Raises OSError, with the path: the folder is missing, not writable, or full; or the path is not
    that of a file.
    """
    try:
        path = os.path.realpath(path)                    # a link stays a link
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError(errno.EINVAL, NO_FILE)
        folder, name = os.path.split(path)
        temporary = os.path.join(folder, '.%s.%s.tmp' % (name[:40], uuid.uuid4().hex))
        file = open(temporary, 'x', encoding='utf-8')    # noqa: SIM115
        try:
            with file:
                _write_out(file, text)
            _replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def lock(folder: str, waiting: Optional[str] = None) -> int:
    """Locks a folder against other calls, also of other hosts that share it, until the returned
    descriptor is closed; so do the children that inherit it. Says so where that is impossible.

    Args:
        waiting: printed on stderr before it waits for another call.

    Raises OSError: the folder is not writable. BlockingIOError: another call has it, and `waiting`
    is None.
    """
    import fcntl  # only here: Windows has none

    # NFS locks only what is open for writing, so no folder.
    held = os.open(os.path.join(folder, '.lock'), os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if waiting is None:
                raise
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
    except BlockingIOError:
        os.close(held)
        raise
    except OSError as error:
        print('%s cannot be locked (%s): use it for one command at a time'
              % (os.path.abspath(folder), error.strerror), file=sys.stderr, flush=True)
    return held


def json_text(value: Any, indent: int = 0) -> str:
    """Returns a value as JSON, indented by one blank a level. A list of numbers or strings is
    written on one line, so that the samples of a pass take one line and not a hundred; so is
    everything short, so that a list of layers reads as a table.

    Args:
        value: what json.dumps takes, with strings as the keys of objects.
        indent: the level at which the value stands; its first line is not indented.

    Raises TypeError, ValueError: as json.dumps; NaN and infinity are not allowed in JSON.
    """
    line = json.dumps(value, allow_nan=False)
    if len(line) <= LONGEST_LINE:
        return line
    if isinstance(value, dict):
        brackets, lines = '{}', ['%s: %s' % (json.dumps(key), json_text(item, indent + 1))
                                 for key, item in value.items()]
    elif isinstance(value, (list, tuple)) and any(isinstance(item, (dict, list, tuple))
                                                  for item in value):
        brackets, lines = '[]', [json_text(item, indent + 1) for item in value]
    else:
        return line
    blanks = '\n' + ' ' * indent
    return brackets[0] + ','.join(blanks + ' ' + line for line in lines) + blanks + brackets[1]


def argument_problem(flag: str, path: str) -> Optional[str]:
    """Returns what argparse should say of a flag whose file `write` could not write, or None.
    Leaves nothing behind. Raises OSError: the disk is full."""
    why = _why_unwritable(path)
    return why and 'argument %s: cannot write %r: %s' % (flag, path, why)


def _why_unwritable(path):
    if not os.path.basename(path):
        return 'it has no file name'
    if os.path.isdir(path):
        return 'it is a folder'
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            return NO_FILE
        if any(_is_same(path, stream) for stream in (sys.stdout, sys.stderr)):
            return 'the output goes there'
        os.stat(path)                                    # the name is too long, a loop of links
        if not os.access(path, os.W_OK):
            return 'it is write-protected'
    except FileNotFoundError:
        pass
    except OSError as error:
        return error.strerror
    folder = os.path.dirname(os.path.realpath(path))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b' ' * ROOM_BYTES)
            file.flush()
            return None
    except OSError as error:
        if error.errno in DISK_FULL:
            raise OSError(error.errno, error.strerror, folder) from None
        return '%s: %s' % (folder, error.strerror)


def _is_same(path, stream):
    """Whether a file is where a stream goes, such as /dev/stdout in `> log`."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(stream.fileno()))
    except (AttributeError, OSError, ValueError):        # closed, or without a file behind it
        return False


def why_failed(error: OSError) -> str:
    """Returns what could not be written, and why; for a full disk also what to do."""
    return '%s: %s%s' % (error.filename or 'the output', error.strerror or error,
                         '; free some space, or write to another place'
                         if error.errno in DISK_FULL else '')


def _write_out(file, text):
    file.write(text)
    file.flush()
    os.fsync(file.fileno())


def _replace(temporary, path):
    """Renames the file; copies it where the target is a mount point, another user's file in a
    sticky folder, or open in another program on Windows, none of which can be renamed over."""
    try:
        os.replace(temporary, path)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EPERM, errno.EACCES):
            raise
        with open(temporary, encoding='utf-8') as source, open(path, 'w', encoding='utf-8') as file:
            _write_out(file, source.read())
        os.unlink(temporary)
