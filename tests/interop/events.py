#!/usr/bin/env python3
"""Whether tests have seen every event that docs/log-events.md documents, with the fields that it names.

    events.py --begin    forgets what earlier test runs saw
    events.py --check    after `cargo test`; exit 1 where an event was not seen, or not with its fields

Tests keep what they see in the build's tmp/events (tests/support/events.rs): lines of the log as text.
"""

import argparse
import os
import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs" / "log-events.md"
SEEN = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "tmp" / "events"

# Events that no test can provoke in a true way, each with the reason.
UNPROVOKED = {
    "login not looked at": "passwords are verified in a task that neither panics nor is cut off",
    "admin HTTP ended": "the server goes on accepting whatever accept() says",
    "a page cannot be written": "pages are filled in in memory, by code that does not fail",
    "some background task did not end in time": "each of them has a shorter limit of its own",
    "the number of file descriptors stays as it was": "every process may have as many as its own hard limit",
}
# What all events of a table have, which the document says above it.
MAIL = {"queue_id", "account", "from", "to", "size"}
ATTEMPT = MAIL | {"relay", "tls", "reply", "delay_ms"}
FIELDS = {
    "received": MAIL | {"application"},
    "delivered": ATTEMPT,
    "deferred": ATTEMPT,
    "failed": ATTEMPT,
    "expired": ATTEMPT,
    "bounced": MAIL | {"told", "notification"},
}
# Fields that some lines of an event have, as the document says.
SOMETIMES = {("rejected", "reply")}
LEVELS = {"error", "warn", "info", "debug", "trace"}
LINE = re.compile(r"^\S+Z\s+(?:ERROR|WARN|INFO|DEBUG|TRACE) (?:waxseal[a-z_:]*: )?(.*)$")
FIELD = re.compile(r"(?:^| )([a-z_]+)=")


def documented():
    """Events with their fields, in the document's order. `…` stands for what varies."""
    events, heading = {}, []
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("|---"):
            continue
        cells = [cell.strip() for cell in line.strip("|").split(" | ")] if line.startswith("| ") else []
        if not cells:
            heading = []
        elif not heading:
            heading = cells
        else:
            row = dict(zip(heading, cells))
            said = row.get("fields", "")
            # What stands in brackets, or behind a colon, are values; a second sentence is about something else.
            said = re.sub(r"\([^)]*\)", "", said).split(". ")[0].split(": ")[0]
            fields = {field for field in re.findall(r"`([a-z_]+)`", said)} - LEVELS
            for event in re.findall(r"`([^`]+)`", cells[0]):
                before = events.get(event)
                events[event] = FIELDS.get(event, fields if before is None else fields & before)
    return events


def seen():
    """Every line's text and fields."""
    lines = set()
    for path in sorted(SEEN.glob("*.log")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := LINE.match(line):
                lines.add(match.group(1))
    return lines


def is_about(text, event):
    if "…" in event:
        return text.startswith(event.split("…")[0])
    rest = text[len(event) :]
    return text.startswith(event) and (not rest or re.match(r" [a-z_]+=", rest) is not None)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--begin", action="store_true")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    if arguments.begin:
        shutil.rmtree(SEEN, ignore_errors=True)
        return 0
    events, lines, problems, count = documented(), seen(), [], 0
    for event, fields in events.items():
        about = [text for text in lines if is_about(text, event)]
        if event in UNPROVOKED:
            if about:
                problems.append(f"{event!r} is listed as one that cannot be provoked, and was seen")
            continue
        if not about:
            problems.append(f"{event!r} was not seen")
            continue
        count += 1
        for text in about:
            missing = fields - set(FIELD.findall(text[len(event.split("…")[0]) :]))
            missing -= {field for field in missing if (event, field) in SOMETIMES}
            if missing:
                problems.append(f"{event!r} was seen without {', '.join(sorted(missing))}: {text[:160]}")
                break
    for event in UNPROVOKED.keys() - events.keys():
        problems.append(f"{event!r} is listed as one that is not seen, and is not documented")
    for problem in problems:
        print(f"events: {problem}")
    print(f"events: {len(events)} documented, {count} seen, {len(UNPROVOKED)} that cannot be provoked")
    return 1 if problems and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
