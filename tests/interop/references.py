#!/usr/bin/env python3
"""What Postfix, Exim and waxseal answer to the octets of tests/dialogues; see README.md beside this file.

Standard library only. Everything runs on loopback and ends by itself.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import mta
import table
from base import ROOT, Failure, Process, ensure
from certificates import Authority
from player import play
from script import Scene, escape, scripts
from servers import Exim, HardenedPostfix, Postfix, Waxseal

KEPT = os.path.join(ROOT, "tests", "interop", "references.json")
TOTAL = 170  # seconds for everything
AT_ONCE = 12  # scripts under way at a time, with each server
ARRIVAL = 12  # seconds that what was taken may need to the sink


# ---------------------------------------------------------------------------------------------------------------
# What is kept: everything but what differs from run to run

ID = re.compile(r"queued as (\w+)|\bid=([\w-]+)")
VOLATILE = [
    (ID, lambda match: match[0].replace(match[1] or match[2], "ID")),
    (re.compile(r"\w{3}, \d{1,2} \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}"), "NOW"),
    (re.compile(r"\b127\.0\.0\.1:\d+|\[127\.0\.0\.1\]:\d+"), "127.0.0.1:PORT"),
]


def steady(text):
    for pattern, put in VOLATILE:
        text = pattern.sub(put, text)
    return text


def kept_reply(lines):
    """The first line stands for a reply of several."""
    first = steady(lines[0])
    return first if len(lines) == 1 else f"{first} (and {len(lines) - 1} lines more)"


def without_additions(content):
    """Content less the trace field that the server put first; what it adds besides is made steady."""
    content = re.sub(rb"\AReceived: [^\n]*\n(?:[ \t][^\n]*\n)*", b"", content)
    head, blank, body = content.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^(Date: )\w{3}, +\d{1,2} \w{3} \d{4} [^\r]*", rb"\1NOW", head)
    head = re.sub(rb"<[^<>@\r\n]*@relay\.test>", b"<ID@relay.test>", head)
    return head + blank + body


def kept_content(octets):
    text = escape(without_additions(octets))
    if len(text) <= 400:
        return text
    return f"{text[:300]}… {len(octets_digest(octets)[0])} octets, sha256 {octets_digest(octets)[1]}"


def octets_digest(octets):
    rest = without_additions(octets)
    return rest, hashlib.sha256(rest).hexdigest()[:16]


def kept_path(line):
    """What of a MAIL or RCPT line is worth telling: all but what the server says of the message's size."""
    return re.sub(r"(.)\1{16,}", lambda run: f"\\*{len(run[0])}{{{run[1]}}}", re.sub(r" (SIZE=\d+|BODY=\w+)", "", line))


def message_id(message):
    """The server's id for a message, out of the trace field that it put first."""
    trace = re.match(rb"Received: [^\n]*\n(?:[ \t][^\n]*\n)*", message[2])
    match = trace and re.search(rb"\bid ([\w-]+)", trace[0])
    return match and match[1].decode()


def gathered(server, played):
    """The messages that came of one script: those whose id was named in a reply."""
    ids = [match[1] or match[2] for _, replies in played.steps for reply in replies
           if (match := ID.search(reply[-1])) and reply[-1].startswith("250")]
    end = time.monotonic() + ARRIVAL
    messages = []
    for one in ids:
        found, bounced = None, False
        while not found and not bounced and time.monotonic() < end:
            for message in list(server.sink.messages):
                if message_id(message) == one:
                    found = message
                elif message[0].startswith("MAIL FROM:<>") and one.encode() in message[2]:
                    bounced = True
            time.sleep(0 if found or bounced else 0.05)
        if not found:
            messages.append({"kept": "bounced" if bounced else "not passed on"})
            continue
        mail, rcpts, content = found
        messages.append({"mail": kept_path(mail), "rcpt": [kept_path(rcpt) for rcpt in rcpts],
                         "content": kept_content(content)})
    return messages


def record(server, script):
    played = play(script, server.port_for(script))
    return {
        "dialogue": [[name, [kept_reply(reply) for reply in replies]] for name, replies in played.steps],
        "ended": played.ended,
        "messages": gathered(server, played),
    }


def sent_digest(script):
    return hashlib.sha256(script.sent).hexdigest()[:16]


# ---------------------------------------------------------------------------------------------------------------
# waxseal against its own scripts


def unlike_script(script, recorded):
    """Where the daemon does not do what the script says, in a sentence, or None."""
    if "apart" in script.head:
        return None
    wanted = [reply[-1][:3] for reply in script.whole_replies()]
    said = [reply[:3] for _, replies in recorded["dialogue"] for reply in replies]
    if said != wanted:
        return f"the daemon says {' '.join(said)}, the script {' '.join(wanted)}"
    contents = [message.get("content") for message in recorded["messages"]]
    expected = [kept_content(b"Received: x\r\n" + re.sub(rb"<0000000000007@", b"<ID@", content))
                for content in script.contents]
    if contents != expected:
        return f"the daemon passes on {contents}, the script has {expected}"
    return None


# ---------------------------------------------------------------------------------------------------------------


def start(kinds, scenes, directory, authority, servers):
    """Every server in every scene, at the same time; `servers` are those that have begun."""
    def one(kind, scene):
        server = kind(directory, authority, scene)
        servers[kind.name, scene] = server
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for job in [pool.submit(one, kind, scene) for scene in scenes for kind in kinds]:
            job.result()


def play_all(kinds, servers, chosen):
    """Script by script what each server does."""
    jobs = {}
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE * len(kinds)) as pool:
        # Those that take longest go first.
        for script in sorted(chosen, key=lambda script: -script.sent.count(b"\n")):
            for kind in kinds:
                jobs[script.name, kind] = pool.submit(record, servers[kind.name, script.scene], script)
        done = {key: job.result() for key, job in jobs.items()}
    found = {}
    for script in chosen:
        of = {kind.name: done[script.name, kind] for kind in kinds}
        if of.get(HardenedPostfix.name) == of.get(Postfix.name):
            of.pop(HardenedPostfix.name, None)
        found[script.name] = {"sent": sent_digest(script)} | of
    return found


def of(recorded, server):
    """What a server did with a script; hardened, Postfix is in the file only where that makes a difference."""
    return recorded.get(server) or (recorded.get(Postfix.name) if server == HardenedPostfix.name else None)


def differences(kept, found, server):
    """What of the committed file is no longer true."""
    for name, now in found.items():
        before = kept["scripts"].get(name)
        if before is None:
            yield f"{name}: not in the file"
        elif before["sent"] != now["sent"]:
            yield f"{name}: the script has changed since"
        elif (was := of(before, server)) != (does := of(now, server)):
            yield f"{name}: {server} now does otherwise\n" + indented(was, does)
    yield from (f"{name}: there is no such script" for name in sorted(set(kept["scripts"]) - set(found)))


def indented(before, now):
    def lines(value):
        if value is None:
            return []
        rows = [f"{name}: {' | '.join(replies) or '(nothing)'}" for name, replies in value["dialogue"]]
        return rows + [f"connection: {value['ended']}"] + [json.dumps(message) for message in value["messages"]]
    import difflib
    return "\n".join("    " + line for line in difflib.unified_diff(lines(before), lines(now), "kept", "now", lineterm="",
                                                                    n=1))


def written(value, depth=0):
    """JSON with a line a step, so that a change of the file can be read."""
    one_line = json.dumps(value, ensure_ascii=False)
    # A step is a list that begins with its name; so are the recipients of a message.
    if not isinstance(value, (dict, list)) or not value or (isinstance(value, list) and isinstance(value[0], str)):
        return one_line
    indent = "\n" + " " * (depth + 1)
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {written(part, depth + 1)}" for key, part in value.items()]
        return "{" + indent + ("," + indent).join(parts) + "\n" + " " * depth + "}"
    return "[" + indent + ("," + indent).join(written(part, depth + 1) for part in value) + "\n" + " " * depth + "]"


def main():
    parser = argparse.ArgumentParser(description="what Postfix, Exim and waxseal answer to the dialogue scripts")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--check", action="store_true", help="fail where the committed files are no longer true")
    parser.add_argument("--write", action="store_true", help="write references.json and the tables of docs/smtp.md")
    parser.add_argument("--require", action="store_true", help="a server that cannot be run is a failure")
    parser.add_argument("--keep", action="store_true", help="leave the servers' directories, logs included")
    parser.add_argument("script", nargs="*", help="these alone, printed")
    arguments = parser.parse_args()
    binary = os.path.abspath(arguments.binary)
    if not os.access(binary, os.X_OK):
        sys.exit(f"{binary} is not there; run `cargo build --bins` first")
    if arguments.script and (arguments.check or arguments.write):
        sys.exit("--check and --write take all scripts")

    def too_late(*_):
        raise SystemExit(f"not finished within {TOTAL} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    signal.alarm(TOTAL)
    directory = tempfile.mkdtemp(prefix="waxseal-references-")
    begun, problems, skipped, passed = time.monotonic(), [], [], 0
    servers = {}
    try:
        chosen = [script for script in scripts(arguments.script) if not script.scene.local]
        authority = Authority(os.path.join(directory, "tls"))
        kinds = [Waxseal]
        for kind, package in ((Exim, "exim"), (HardenedPostfix, "postfix"), (Postfix, "postfix")):
            if why := mta.missing(package):
                skipped.append(kind.name)
                print(f"   {kind.name}: SKIPPED, {why}", flush=True)
            else:
                kinds.insert(0, kind)
        Waxseal.binary = binary
        scenes = [*dict.fromkeys([Scene(), *(script.scene for script in chosen)])]
        start(kinds, scenes, directory, authority, servers)
        found = play_all(kinds, servers, chosen)
        about = {kind.name: servers[kind.name, Scene()].about() for kind in kinds}
        for scene in scenes:
            servers[Waxseal.name, scene].alive()
        for script in chosen:
            if unlike := unlike_script(script, found[script.name]["waxseal"]):
                problems.append(f"{script.name}: {unlike}")
            else:
                passed += 1
        if arguments.script:
            print(written(found))
        kept = {"servers": {}, "scripts": {}}
        if os.path.exists(KEPT):
            with open(KEPT, encoding="utf-8") as file:
                kept = json.load(file)
        if arguments.write:
            ensure(not skipped, "the file is not written while a server is missing")
            kept = {"servers": about, "scripts": found}
            with open(KEPT, "w", encoding="utf-8") as file:
                file.write(written(kept) + "\n")
            table.write(chosen, kept)
        if arguments.check:
            for kind in kinds:
                stale = list(differences(kept, found, kind.name))
                problems += stale
                passed += len(chosen) - len(stale)
                if kept["servers"].get(kind.name) != about[kind.name]:
                    print(f"   {kind.name}: recorded with {kept['servers'].get(kind.name)}, this is {about[kind.name]}")
            if table.is_stale(chosen, kept):
                problems.append("docs/smtp.md: its tables are not what the scripts and references.json make them")
    except (Failure, OSError, subprocess.SubprocessError, KeyError) as problem:
        problems.append(f"{type(problem).__name__}: {problem}")
    finally:
        signal.alarm(0)
        if arguments.keep:
            for (name, scene), server in servers.items():
                print(f"   {name} {scene.word()}: {server.log()[-3000:]}")
        for server in servers.values():
            server.stop()
        Process.stop_all()
        if arguments.keep:
            print(f"directories: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for problem in dict.fromkeys(problems):
        print(f"FAIL  {problem}")
    if skipped:
        print(f"\nSKIPPED, NOT TO BE HAD: {', '.join(skipped)}")
    print(f"\n{passed} passed, {len(problems)} failed, {len(skipped)} skipped")
    print(f"in {time.monotonic() - begun:.0f} s")
    return 1 if problems or (arguments.require and skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
