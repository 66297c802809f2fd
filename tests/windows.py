"""Makes this process look like one on Windows, as far as Python code can tell, and runs a script in
it: python windows.py alexnet_benchmark.py --batch_size 1. TensorFlow is imported before."""
import builtins
import ctypes
import os
import runpy
import signal
import subprocess
import sys

import tensorflow  # noqa: F401

for name in 'fcntl', 'grp', 'pwd', 'resource', 'termios':
    sys.modules[name] = None
for module, names in [
        (os, ['fork', 'forkpty', 'getloadavg', 'geteuid', 'getuid', 'killpg', 'sched_getaffinity',
              'setsid', 'statvfs', 'uname']),
        (signal, ['SIGHUP', 'SIGKILL', 'SIGALRM', 'SIGUSR1', 'pthread_sigmask', 'setitimer'])]:
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

real_open, real_dll, real_popen = builtins.open, ctypes.CDLL, subprocess.Popen


def open_file(path, *args, **options):
    if str(path).startswith(('/proc', '/sys')):
        raise FileNotFoundError(2, 'No such file or directory', path)
    return real_open(path, *args, **options)


class Dll(real_dll):
    def __init__(self, name, *args, **options):
        if name is None or '.so' in name or name.endswith('.dll'):
            raise OSError('no such DLL: %s' % name)
        super().__init__(name, *args, **options)


class Popen(real_popen):
    def __init__(self, command, *args, **options):
        posix = {'preexec_fn', 'pass_fds', 'start_new_session'} & set(options)
        if posix:
            raise ValueError('%s is not supported on Windows platforms' % posix)
        if any(isinstance(word, bytes) for word in command):
            raise TypeError('a bytes-like object is not a str')
        if command[0] not in ('git', sys.executable):
            raise FileNotFoundError(2, 'The system cannot find the file specified')
        super().__init__(command, *args, **options)


builtins.open, ctypes.CDLL, subprocess.Popen = open_file, Dll, Popen
sys.platform = 'win32'
sys.argv[:1] = []
sys.path.insert(0, os.getcwd())
runpy.run_path(sys.argv[0], run_name='__main__')
