"""The upstream: takes every message, counts it, and notes its Message-ID."""

import json
import os
import socket
import time

from rig import PATIENCE, Program, ensure, wait_until

USER, PASSWORD = "bench@example.test", "bench-secret"
STALL = 20  # seconds without a message after which no more is expected


class Sink(Program):
    """The harness's benchsink, run for as long as its `with` lasts."""

    obituary = "the sink ended; what it said stands above"

    def __init__(self, place):
        self.ids = place.path("ids")
        self.counted_from = 0
        super().__init__([
            place.sink, "--listen", f"127.0.0.1:{place.sink_port}", "--ctl", f"127.0.0.1:{place.control_port}",
            "--cert", place.certificates + "/server.pem", "--key", place.certificates + "/server.key",
            "--user", USER, "--pass", PASSWORD, "--ids", self.ids,
        ])
        try:
            control = wait_until("the sink is up", lambda: self.connect(place.control_port))
        except BaseException:
            self.stop()
            raise
        self.control = control.makefile("rw")

    def connect(self, port):
        self.check_alive()
        try:
            return socket.create_connection(("127.0.0.1", port), PATIENCE)
        except OSError:
            return None

    def ask(self, line):
        self.control.write(line + "\n")
        self.control.flush()
        answer = self.control.readline().strip()
        ensure(answer, self.obituary)
        return json.loads(answer) if answer.startswith("{") else answer

    def reset(self):
        """Counts from zero; what came before is not audited."""
        self.ask("reset")
        self.counted_from = os.path.getsize(self.ids)

    def await_messages(self, count):
        """The sink's counters once `count` messages are there, or once no more come."""
        last, moved_at = -1, time.monotonic()
        while True:
            stats = self.ask(f"wait {count} 1000")
            if stats["messages"] != last:
                last, moved_at = stats["messages"], time.monotonic()
            if last >= count or time.monotonic() - moved_at > STALL:
                time.sleep(0.2)  # a message too many would come about now
                return self.ask("stats")

    def audit(self, count):
        """How many of `count` messages are missing, and how many came again.

        A sink that others use, too, proves nothing: their mail, or their resets, would pass for losses.
        """
        self.check_alive()
        counted = self.ask("stats")["messages"]
        with open(self.ids, "rb") as file:
            file.seek(self.counted_from)
            arrived = file.read().split(b"\n")[:-1]
        different = len(set(arrived))
        undisturbed = len(arrived) == counted and different <= count
        ensure(undisturbed, "others have used the sink meanwhile: name the first of four ports of your own by --port")
        return {"lost": count - different, "twice": len(arrived) - different}
