"""Child processes: Ctrl-C while one is started. That they end with their parent is tested where
they are used (test_suite_run.py)."""
import os
import signal
import subprocess
import threading

import pytest

from common import children


def test_ctrl_c_while_a_child_is_started_is_raised_afterwards(monkeypatch):
    started = []

    def interrupted(*_, **__):
        os.kill(os.getpid(), signal.SIGINT)
        started.append('to the end')
    monkeypatch.setattr(subprocess, 'Popen', interrupted)
    with pytest.raises(KeyboardInterrupt):
        children.start(['true'])
    assert started == ['to the end']
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_child_can_be_started_from_a_thread():
    codes = []

    def run():
        with children.start(['true']) as child:
            codes.append(child.wait())
    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert codes == [0]
