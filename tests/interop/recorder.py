"""A server that keeps what clients really send."""

import socket
import threading

from base import PATIENCE, ensure


class Recorder:
    """A scripted SMTP server that keeps what clients really send. It greets with the relay's own EHLO reply, so that
    a client makes the same choices with both."""

    def __init__(self, relay):
        with socket.create_connection(("127.0.0.1", relay.port), PATIENCE) as connection:
            file = connection.makefile("rwb")
            file.readline()
            file.write(b"EHLO localhost\r\n")
            file.flush()
            self.ehlo = []
            while not self.ehlo or self.ehlo[-1][3:4] == b"-":
                self.ehlo.append(file.readline())
        ensure(self.ehlo[0].startswith(b"250"), f"the relay refuses EHLO: {self.ehlo}")
        self.contents = []
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(PATIENCE)
                try:
                    self.session(connection.makefile("rwb"))
                except OSError:
                    pass

    def session(self, file):
        def say(*lines):
            file.write(b"".join(lines))
            file.flush()

        say(b"220 recorder ESMTP\r\n")
        while True:
            command = file.readline().strip().upper()
            if command.startswith(b"EHLO"):
                say(*self.ehlo)
            elif command == b"DATA":
                say(b"354 go on\r\n")
                lines = []
                while (line := file.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                self.contents.append(b"".join(lines))
                say(b"250 2.0.0 kept\r\n")
            elif command == b"QUIT" or not command:
                say(b"221 2.0.0 bye\r\n")
                return
            else:
                say(b"250 2.0.0 OK\r\n")

    def close(self):
        self.server.close()
