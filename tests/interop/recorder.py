"""A server that keeps what clients really send."""

import socket
import ssl
import threading

from base import PATIENCE, ensure


def asks(port):
    """The relay's reply to EHLO, line by line."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        file = connection.makefile("rwb")
        file.readline()
        file.write(b"EHLO localhost\r\n")
        file.flush()
        lines = []
        while not lines or lines[-1][3:4] == b"-":
            lines.append(file.readline())
    ensure(lines[0].startswith(b"250"), f"the relay refuses EHLO: {lines}")
    return lines


class Recorder:
    """A scripted SMTP server that keeps what clients really send. It greets with the relay's own EHLO reply, so that
    a client makes the same choices with both. `mode` is plain, starttls or tls; `contents` and `envelopes` (MAIL and
    RCPT lines) are what came, in the latter two modes by TLS alone."""

    def __init__(self, port, mode="plain", authority=None):
        self.ehlo, self.mode, self.context = asks(port), mode, None
        self.contents, self.envelopes = [], []
        if authority:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*authority.paths)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = self.server.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE)
            try:
                self.session(connection)
            except OSError:
                connection.close()

    def session(self, connection):
        secure = self.mode == "tls"
        if secure:
            connection = self.context.wrap_socket(connection, server_side=True)
        file, envelope = connection.makefile("rwb"), []

        def say(*lines):
            file.write(b"".join(lines))
            file.flush()

        say(b"220 recorder ESMTP\r\n")
        while True:
            line = file.readline().strip()
            command = line.upper()
            if command.startswith(b"EHLO"):
                offer = [b"250-STARTTLS\r\n"] if self.mode == "starttls" and not secure else []
                say(*self.ehlo[:-1], *offer, self.ehlo[-1])
            elif command == b"STARTTLS":
                say(b"220 2.0.0 go on\r\n")
                connection = self.context.wrap_socket(connection, server_side=True)
                file, secure = connection.makefile("rwb"), True
            elif self.mode != "plain" and not secure and command.split(b" ")[0] not in (b"QUIT", b""):
                say(b"530 5.7.0 Must issue a STARTTLS command first\r\n")
            elif command.startswith((b"MAIL", b"RCPT")):
                envelope = [line] if command.startswith(b"MAIL") else [*envelope, line]
                say(b"250 2.1.0 OK\r\n")
            elif command == b"DATA":
                say(b"354 go on\r\n")
                lines = []
                while (line := file.readline()) != b".\r\n":
                    if not line:
                        return
                    lines.append(line[1:] if line.startswith(b".") else line)
                self.envelopes.append(envelope)
                self.contents.append(b"".join(lines))
                say(b"250 2.0.0 kept\r\n")
            elif command == b"QUIT" or not command:
                say(b"221 2.0.0 bye\r\n")
                connection.close()
                return
            else:
                say(b"250 2.0.0 OK\r\n")

    def close(self):
        self.server.close()
