"""Reads tests/dialogues/*.txt; the form is described at the top of tests/dialogues.rs."""

import dataclasses
import glob
import itertools
import os
import re

from base import ROOT, ensure

FOLDER = os.path.join(ROOT, "tests", "dialogues")
FIELDS = ("what", "kind", "who", "rfc", "why", "sent", "listener", "apart")


@dataclasses.dataclass(frozen=True)
class Scene:
    """What a script wants of the listener, and of its limits."""

    message_size: int = 400_000
    recipients: int = 2
    tls: str = "none"
    authentication: str = "none"
    local: bool = False  # a client at a Unix socket, which the other servers do not have

    def word(self):
        return f"{self.message_size}-{self.recipients}-{self.tls}-{self.authentication}"


def unescape(text):
    """The octets that a line of a script stands for."""
    out, at = b"", 0
    while at < len(text):
        if text[at] != "\\":
            out += text[at].encode("utf-8")
            at += 1
            continue
        escape = text[at + 1:]
        if match := re.match(r"\*(\d+)\{(.*?)\}", escape):
            # `\\#` is the number of the time.
            once = match[2]
            for number in range(int(match[1])) if "\\#" in once else ():
                out += unescape(once.replace("\\#", str(number + 1)))
            out += b"" if "\\#" in once else unescape(once) * int(match[1])
            at += 1 + match.end()
        elif escape[:1] == "x":
            out += bytes.fromhex(escape[1:3])
            at += 4
        else:
            out += {"r": b"\r", "n": b"\n", "t": b"\t"}.get(escape[0], escape[0].encode("utf-8"))
            at += 2
    return out


def escape(octets):
    """Octets in the form of the scripts, readable and short: what repeats is folded."""
    out = ""
    for line, same in itertools.groupby(octets.splitlines(keepends=True) if b"\r" not in octets else
                                        re.findall(rb"[^\n]*\n|[^\n]+", octets)):
        count = sum(1 for _ in same)
        text = ""
        for octet, run in itertools.groupby(line):
            length = sum(1 for _ in run)
            one = {0x0d: "\\r", 0x0a: "\\n", 0x09: "\\t", 0x5c: "\\\\"}.get(
                octet, chr(octet) if 0x20 <= octet < 0x7f else f"\\x{octet:02x}")
            text += f"\\*{length}{{{one}}}" if length > 16 else one * length
        nested = "{" in text
        out += f"\\*{count}{{{text}}}" if count > 3 and not nested else text * count
    return out


class Script:
    def __init__(self, path):
        self.name = os.path.basename(path)[:-len(".txt")]
        self.head, self.sent, self.replies, self.contents, self.closes = {}, b"", [], [], False
        field, limits = None, {}
        with open(path, encoding="utf-8") as file:
            lines = file.read().split("\n")
        for line in lines:
            kind, text = line[:3].rstrip(), line[3:]
            if match := re.match(r"# (\w+): (.*)", line):
                field = match[1]
                ensure(field in FIELDS, f"{path}: {field!r} is no field of the head")
                self.head[field] = match[2].strip()
            elif line.startswith("#  ") and field:
                self.head[field] += " " + line[1:].strip()
            elif kind == "C:":
                self.sent += unescape(text) + b"\r\n"
            elif kind == "C+":
                self.sent += unescape(text)
            elif kind == "S:":
                # A repeated reply is one line here and many there.
                self.replies += unescape(text).decode("utf-8").rstrip("\n").split("\n")
            elif kind == "Q:":
                self.contents.append(unescape(text))
            elif kind == "E:":
                self.replies.append("250 *")
            elif kind == "L:":
                key, _, value = text.strip().partition("=")
                limits[key] = int(value)
            elif kind == "X":
                self.closes = True
            if not line.startswith("#"):
                field = None
        for name in FIELDS[:5]:
            ensure(self.head.get(name), f"{path}: the head has no `{name}`")
        listener = dict(word.split("=", 1) for word in self.head.get("listener", "").split())
        local = listener.get("client", "").startswith("uid:")
        authentication = listener.get("authentication", "none")
        self.scene = Scene(tls=listener.get("tls", "none"), authentication=authentication, local=local, **limits)
        # Where the listener begins with TLS, the client does too, unless it is one that does not.
        self.begins_with_tls = self.scene.tls == "implicit" and listener.get("handshake") != "no"

    @property
    def at_once(self):
        return self.head.get("sent") == "at once"

    def whole_replies(self):
        """The lines of what we answer, gathered into replies."""
        replies = [[]]
        for line in self.replies:
            replies[-1].append(line)
            if line[3:4] != "-":
                replies.append([])
        return replies[:-1]


def scripts(names=()):
    found = [Script(path) for path in sorted(glob.glob(os.path.join(FOLDER, "*.txt")))]
    for name in names:
        ensure(any(script.name == name for script in found), f"there is no script {name}")
    return [script for script in found if not names or script.name in names]
