"""What the parts of a measurement stand on: where they lie, troubles that fit a sentence, and programs that end."""

import os
import resource
import shutil
import socket
import subprocess
import time

PATIENCE = 60  # seconds that a program may take to start or to end
OPEN_FILES = 4096  # a thousand connections have two ends, and sinks and journals come on top


class Trouble(Exception):
    """What went wrong and the way out, in one sentence."""


def ensure(holds, sentence):
    if not holds:
        raise Trouble(sentence)


def allow_open_files():
    """Raises this process's limit of open files, which its children inherit, as far as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = hard == resource.RLIM_INFINITY or hard >= OPEN_FILES
    ensure(enough, f"only {hard} open files are allowed, {OPEN_FILES} are needed: raise the limit (ulimit -Hn) as root")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard == resource.RLIM_INFINITY else hard, hard))


class Place:
    """Where the parts lie: the harness, waxseal, a directory to work in, and four ports from `port` on."""

    def __init__(self, harness, waxseal, work, port):
        self.sink = os.path.join(harness, "sink/target/release/benchsink")
        self.certificates = os.path.join(harness, "certs")
        self.waxseal, self.work = waxseal, work
        self.client = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin")
        self.sink_port, self.control_port, self.port, self.admin_port = range(port, port + 4)

    def check(self):
        ensure(os.path.exists(self.sink), f"{self.sink} is not there: build the harness with its install.sh")
        pem = os.path.join(self.certificates, "server.pem")
        ensure(os.path.exists(pem), f"{pem} is not there: make it with certs/mkcerts.sh of the harness")
        ensure(os.path.exists(self.waxseal), f"{self.waxseal} is not there: build it, or name another by --waxseal")
        ensure(self.client, "smtp-source is not installed: it comes with Postfix")
        for port in (self.sink_port, self.control_port, self.port, self.admin_port):
            ensure(is_free(port), f"port {port} is taken: name the first of four free ones by --port")

    def clear(self):
        self.remove()
        os.makedirs(self.work)

    def remove(self):
        shutil.rmtree(self.work, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.work, name)


def is_free(port):
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(sentence, look, patience=PATIENCE, pause=0.005):
    """What look() gives as soon as it is true."""
    end = time.monotonic() + patience
    while True:
        value = look()
        if value:
            return value
        ensure(time.monotonic() < end, f"{sentence}: not within {patience} s")
        time.sleep(pause)


def environment():
    """What children see: none of our settings comes in from outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith("WAXSEAL_")}


class Program:
    """A child that is ended on the way out of its `with`."""

    obituary = "a program ended"  # what is said where it ended by itself

    def __init__(self, words, **options):
        self.child = subprocess.Popen(words, env=environment(), stdin=subprocess.DEVNULL, **options)
        self.pid = self.child.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def check_alive(self):
        ensure(self.child.poll() is None, self.obituary)

    def stop(self):
        """Its exit code; None where it had to be killed."""
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
                return None
        return self.child.returncode
