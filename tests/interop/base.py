"""What all of the tests here stand on: checks that fail in a sentence, waiting, and processes that end."""

import os
import shutil
import socket
import subprocess
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PATIENCE = 30  # seconds that anything may take


class Failure(Exception):
    """A check that did not hold, in one sentence."""


def ensure(holds, sentence):
    if not holds:
        raise Failure(sentence)


def wait_until(sentence, look, patience=PATIENCE):
    """What look() gives as soon as it is true."""
    end = time.monotonic() + patience
    while True:
        value = look()
        if value:
            return value
        ensure(time.monotonic() < end, f"{sentence}: not within {patience} s")
        time.sleep(0.05)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def environment():
    """No proxy stands between two programs on loopback, and no setting comes in from outside."""
    drop = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
    return {k: v for k, v in os.environ.items() if k.upper() not in drop and not k.startswith("WAXSEAL_")}


class Process:
    """A child that is ended by its own handle, whatever happens."""

    running = []

    def __init__(self, words, more=None, **options):
        """`more`: variables besides the environment's."""
        self.child = subprocess.Popen(words, env=environment() | (more or {}), **options)
        Process.running.append(self)

    def stop(self, patience=15):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        if self in Process.running:
            Process.running.remove(self)
        return self.child.returncode

    @classmethod
    def stop_all(cls):
        for process in list(cls.running):
            process.stop()


def installed(program):
    return program is None or shutil.which(program) is not None
