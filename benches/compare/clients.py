"""The load: smtp-source, a process a sender domain."""

import subprocess
import time

from rig import Program, ensure


def send(place, domains, sessions, count, size):
    """Seconds that `sessions` clients took for `count` messages of `size` octets, both split evenly over `domains`."""
    shares = len(domains)
    words = [place.client, "-d", "-s", str(sessions // shares), "-m", str(count // shares), "-l", str(size)]
    began = time.monotonic()
    clients = []
    try:
        for domain in domains:
            more = ["-f", f"user@{domain}", "-t", "to@example.test", f"127.0.0.1:{place.port}"]
            clients.append(Program(words + more, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True))
        for client in clients:
            complaint = client.child.communicate()[1].strip()
            ensure(client.child.returncode == 0, f"a client gave up: {complaint or client.child.returncode}")
    finally:
        for client in clients:
            client.stop()
    return time.monotonic() - began
