"""Plays a script's octets to a server as its client would, and keeps what the server answers.

In steps: a line, its reply, the next line; what follows 354 goes whole, up to the CRLF.CRLF that ends it for a client
that keeps to the standard. At once: everything in one write behind the greeting. (Before the greeting it would be a
matter of microseconds whether Exim finds it too early.)
"""

import re
import select
import socket
import ssl
import time

from script import escape

REPLY = 6.0  # seconds for a reply; Postfix waits one before each of many errors
MORE = 0.06  # seconds for more than one reply to a line
IN_THE_CLEAR = 0.4  # seconds for words in place of a handshake
ERROR = 0.4  # seconds for more than one reply to a line that was refused
SMUGGLED = 1.0  # seconds for replies to what a server took for commands inside content
IDLE = 2.5  # seconds after which a silent server has nothing more to say


class Connection:
    """Reply lines as they come, and whether the server has closed."""

    def __init__(self, port, tls=False):
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer, self.closed = b"", False
        if tls:
            self.starttls()

    def send(self, octets):
        try:
            self.socket.sendall(octets)
        except OSError:
            # It closed while we spoke; what it said before that is still to be read.
            pass

    def reply(self, patience):
        """One whole reply as a list of lines, or None when there is none in time or the server has closed."""
        end = time.monotonic() + patience
        while True:
            if match := re.match(rb"(?:\d{3}-[^\n]*\n)*\d{3}(?: [^\n]*)?\n|[^\n]*\n", self.buffer):
                whole = self.buffer[:match.end()]
                lines = whole.decode("utf-8", "backslashreplace").split("\n")[:-1]
                lines = [re.sub(r"[\x00-\x0c\x0e-\x1f]", lambda octet: f"\\x{ord(octet[0]):02x}", line) for line in lines]
                last = lines[-1]
                if not re.match(r"\d{3}-", last):
                    self.buffer = self.buffer[match.end():]
                    return [line.rstrip("\r") for line in lines]
            left = end - time.monotonic()
            if self.closed or left <= 0:
                return None
            pending = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
            if pending or select.select([self.socket], [], [], left)[0]:
                try:
                    octets = self.socket.recv(65536)
                except (ssl.SSLWantReadError, BlockingIOError):
                    continue
                except OSError:
                    octets = b""
                self.buffer += octets
                self.closed = not octets

    def starttls(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.socket.settimeout(REPLY)
        self.socket = context.wrap_socket(self.socket)

    def end(self):
        """Says that nothing more comes, without closing."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass


def end_of_data(octets):
    if octets.startswith(b".\r\n"):
        return 3
    at = octets.find(b"\r\n.\r\n")
    return len(octets) if at < 0 else at + 5


def looks_smuggled(content):
    return re.search(rb"[\r\n]\.[^a-zA-Z.]", content.removesuffix(b"\r\n.\r\n")) is not None


def label(line):
    """A command line in the form of the scripts, short enough to be read."""
    text = escape(line.rstrip(b"\r\n"))
    return text if len(text) <= 100 else f"{text[:60]}… ({len(line)} octets)"


class Played:
    """What came of it: `steps` (label, replies), how the connection ended."""

    def __init__(self):
        self.steps, self.ended = [], "open"


def play(script, port):
    played, connection = Played(), Connection(port, script.begins_with_tls)
    with connection.socket:
        (all_at_once if script.at_once else in_steps)(script.sent, connection, played)
        if not connection.closed:
            gather(connection, played, IDLE)
        said = [reply for _, replies in played.steps for reply in replies]
        if connection.closed:
            goodbye = said and said[-1][0].startswith("221") and played.steps[-1][0].upper() == "QUIT"
            played.ended = "after QUIT" if goodbye else "closed by the server"
        else:
            connection.end()
            played.steps.append(("(end of input)", []))
            gather(connection, played, IDLE)
            if not played.steps[-1][1]:
                played.steps.pop()
            played.ended = "left open"
    return played


def gather(connection, played, patience):
    while (reply := connection.reply(patience)) is not None:
        played.steps[-1][1].append(reply)


def all_at_once(octets, connection, played):
    greeting = connection.reply(REPLY)
    played.steps.append(("(greeting)", [greeting] if greeting else []))
    played.steps.append(("(all at once)", []))
    connection.send(octets)
    gather(connection, played, IDLE)


def in_steps(octets, connection, played):
    greeting = connection.reply(REPLY)
    played.steps.append(("(greeting)", [greeting] if greeting else []))
    at, in_data = 0, False
    while at < len(octets) and not connection.closed:
        rest = octets[at:]
        more = MORE
        if in_data:
            unit = rest[:end_of_data(rest)]
            name = "(content)"
            more = SMUGGLED if looks_smuggled(unit) else MORE
        else:
            end = rest.find(b"\n") + 1 or len(rest)
            if chunk := re.match(rb"(?i)BDAT +(\d+)[^\n]*\n", rest):
                end = min(chunk.end() + int(chunk[1]), len(rest))
            unit = rest[:end]
            if re.match(rb"(?i)STARTTLS\s*\n", unit):
                # What is sent behind it in the clear comes in the same write: that is the attack.
                unit = rest
            name = label(unit.split(b"\n", 1)[0])
        played.steps.append((name, []))
        connection.send(unit)
        at += len(unit)
        reply = connection.reply(REPLY)
        while reply is not None:
            played.steps[-1][1].append(reply)
            last = reply[-1]
            in_data = last.startswith("354")
            if last.startswith("220") and re.match(rb"(?i)STARTTLS\s*\n", unit):
                handshake(connection, played)
                return
            reply = connection.reply(more if last[:1] in "23" else max(more, ERROR))
        if not played.steps[-1][1]:
            in_data = False


def handshake(connection, played):
    """Goes on to TLS, and looks whether what was sent before it is answered in it."""
    if (reply := connection.reply(IN_THE_CLEAR)) is not None:
        # Words where a handshake was due.
        played.steps.append(("(in the clear)", [reply]))
        gather(connection, played, IDLE)
        return
    played.steps.append(("(TLS)", []))
    try:
        connection.starttls()
    except OSError as problem:
        played.steps[-1][1].append([f"no handshake: {type(problem).__name__}"])
        connection.closed = True
        return
    gather(connection, played, IDLE)
