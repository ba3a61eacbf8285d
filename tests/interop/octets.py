"""Comparing content, octet for octet."""

import re

from base import Failure, ensure

TRACE = re.compile(
    rb"\AReceived: from \S+ \((?:\[127\.0\.0\.1\]|local uid \d+)\)\r\n"
    rb"(?:\t\(using TLSv1\.[23] with cipher [A-Z0-9_]+\)\r\n)?"
    rb"\tby relay\.example\.com \(waxseal\) with (?P<with>[A-Z0-9]+) id \w+;\r\n"
    rb"\t[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}\r\n"
)
ADDED = {b"date": rb"Date: [^\r\n]+\r\n", b"message-id": rb"Message-ID: <\w+@relay\.example\.com>\r\n"}


def header_names(content):
    section = content.split(b"\r\n\r\n", 1)[0]
    return {line.split(b":", 1)[0].strip().lower() for line in section.split(b"\r\n") if b":" in line}


def without_trace(arrived, sent):
    """What arrived, less exactly what the relay may add: the trace field before it, and what the client left out of its
    header section, behind that. sendmail(8), which has the whole section at hand, adds it in front."""
    trace = TRACE.match(arrived)
    ensure(trace, f"the trace field is missing: {arrived[:200]!r}")
    section, blank, body = arrived[trace.end():].partition(b"\r\n\r\n")
    section += b"\r\n"
    missing = b"".join(ADDED[name] for name in ADDED if name not in header_names(sent))
    added = re.match(missing, section) or re.search(missing + rb"\Z", section)
    ensure(added, f"Date or Message-ID was not added: {section!r}")
    return section[:added.start()] + section[added.end():] + blank[2:] + body


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
