"""A server that takes everything and keeps it: where the servers under test send what they took."""

import re
import socket
import threading

from base import PATIENCE

OFFERS = [b"sink", b"PIPELINING", b"8BITMIME", b"SMTPUTF8", b"DSN", b"ENHANCEDSTATUSCODES", b"SIZE 0"]


class Sink:
    """`messages` are (MAIL's line, RCPTs' lines, content as it came over the wire less dot stuffing)."""

    def __init__(self):
        self.messages = []
        self.server = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            threading.Thread(target=self.session, args=(connection,), daemon=True).start()

    def session(self, connection):
        connection.settimeout(PATIENCE)
        with connection, connection.makefile("rwb") as file:
            try:
                self.talk(file)
            except (OSError, ValueError):
                pass

    def talk(self, file):
        def say(octets):
            file.write(octets)
            file.flush()

        mail, rcpts = None, []
        say(b"220 sink ESMTP\r\n")
        while line := file.readline():
            command = line.strip().upper()
            if command.startswith(b"EHLO"):
                say(b"".join(b"250-" + offer + b"\r\n" for offer in OFFERS[:-1]) + b"250 " + OFFERS[-1] + b"\r\n")
            elif command.startswith(b"MAIL"):
                mail, rcpts = text(line), []
                say(b"250 2.1.0 OK\r\n")
            elif command.startswith(b"RCPT"):
                rcpts.append(text(line))
                say(b"250 2.1.5 OK\r\n")
            elif command == b"DATA":
                say(b"354 go on\r\n")
                lines, ended = [b"\r\n"], False
                while not ended:
                    if not (line := file.readline()):
                        return
                    # Strict: what comes here is to be seen as it came.
                    ended = line == b".\r\n" and lines[-1].endswith(b"\r\n")
                    lines.append(line)
                content = b"".join(lines[1:-1])
                self.messages.append((mail, rcpts, re.sub(rb"(\A|(?<=\r\n))\.", b"", content)))
                say(b"250 2.0.0 kept\r\n")
            elif command == b"QUIT":
                say(b"221 2.0.0 bye\r\n")
                return
            else:
                say(b"250 2.0.0 OK\r\n")

    def close(self):
        self.server.close()


def text(line):
    return line.strip().decode("utf-8", "backslashreplace")
