"""Comparing content, octet for octet."""

import re

from base import Failure, ensure

TRACE = re.compile(
    rb"\AReceived: from \S+ \((?:\[127\.0\.0\.1\]|local uid \d+)\)\r\n"
    rb"(?:\t\(using TLSv1\.[23] with cipher [A-Z0-9_]+\)\r\n)?"
    rb"\tby relay\.example\.com \(waxseal\) with (?P<with>[A-Z0-9]+) id \w+;\r\n"
    rb"\t[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n"
)
DATE = re.compile(rb"\ADate: [^\r\n]+\r\n")
MESSAGE_ID = re.compile(rb"\AMessage-ID: <\w+@relay\.example\.com>\r\n")


def header_names(content):
    section = content.split(b"\r\n\r\n", 1)[0]
    return {line.split(b":", 1)[0].strip().lower() for line in section.split(b"\r\n") if b":" in line}


def without_trace(arrived, sent):
    """What arrived, less exactly what the relay may add: the trace field, and what the client left out."""
    names = header_names(sent)
    expected = [("the trace field", TRACE)]
    expected += [] if b"date" in names else [("Date", DATE)]
    expected += [] if b"message-id" in names else [("Message-ID", MESSAGE_ID)]
    for name, pattern in expected:
        match = pattern.match(arrived)
        ensure(match, f"{name} is missing: {arrived[:200]!r}")
        arrived = arrived[match.end():]
    return arrived


def without_per_run(content):
    """Without the header fields that a client makes anew for every message."""
    section, blank, body = content.partition(b"\r\n\r\n")
    kept = [line for line in section.split(b"\r\n") if not re.match(rb"(?i)(date|message-id):", line)]
    return b"\r\n".join(kept) + blank + body


def compare(what, got, wanted):
    if got == wanted:
        return
    at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
    near = slice(max(at - 20, 0), at + 40)
    raise Failure(f"{what} differs at octet {at}: {got[near]!r}, should be {wanted[near]!r}")
