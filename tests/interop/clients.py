#!/usr/bin/env python3
"""Real clients in the clear, over STARTTLS and over implicit TLS; see README.md beside this file.

Python's standard library, and of the clients what is there. Everything runs on loopback and ends by itself.
"""

import argparse
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

import mta
from base import ROOT, Failure, Process, ensure, free_port, wait_until
from certificates import Authority
from drivers import BODY, CLIENTS, SENDMAIL, Job, fetch_nodemailer
from octets import TRACE, compare, without_per_run, without_trace
from recorder import Recorder, asks
from relay import Relay, Sandbox

TOTAL = 240  # seconds for everything
DOMAIN = "basic.example"
TLS_LISTENERS = {"starttls": "starttls", "tls": "implicit"}  # a mode's name here and in the configuration
HIDDEN = "hidden@destination.example"  # whom mail.php writes to by Bcc
PROTOCOLS = {"plain": b"ESMTP", "starttls": b"ESMTPS", "tls": b"ESMTPS"}  # RFC 3848


class Results:
    def __init__(self):
        self.rows, self.skipped, self.failed = [], [], 0

    def check(self, name, mode, work):
        begun = time.monotonic()
        try:
            note = work() or "ok"
        except (Failure, OSError, subprocess.SubprocessError, smtplib.SMTPException, ValueError, KeyError) as problem:
            note = f"FAIL ({type(problem).__name__}: {problem})"
            self.failed += 1
        self.rows.append((name, mode, note))
        print(f"   {name}, {mode}: {note} ({time.monotonic() - begun:.1f} s)", flush=True)

    def skip(self, name, why):
        self.skipped.append(name)
        print(f"   {name}: SKIPPED, {why}", flush=True)


class House:
    """A relay with a listener for each mode, a provider behind it, and a recorder for each mode."""

    def __init__(self, arguments, directory):
        self.directory = directory
        self.authority = Authority(os.path.join(directory, "tls"))
        user = f"user@{DOMAIN}"
        self.sandbox = Sandbox(arguments.sandbox, directory, "basic", ["--mechanisms", "PLAIN,LOGIN"], username=user,
                               password="password of basic")
        self.relay = Relay(arguments.binary, directory)
        certificate, key = self.authority.paths
        for mode, word in TLS_LISTENERS.items():
            self.relay.listen(mode, f'tls = "{word}"', f'certificate = "{certificate}"', f'private_key = "{key}"')
        self.relay.configure({"basic": {
            "type": "basic", "domain": DOMAIN, "address": self.sandbox.host, "port": self.sandbox.port,
            "ca_file": self.sandbox.ca, "username": user, "password": "password of basic"}})
        self.relay.start()
        self.recorders = {mode: Recorder(self.relay.port, mode, self.authority) for mode in self.relay.ports}
        self.offers = {line[4:].split()[0].strip() for line in asks(self.relay.port)[1:]}
        self.sent = 0

    def job(self, client, mode, sender, recipient, port, **more):
        ca = self.authority.ca if mode != "plain" else None
        return Job(port, sender, recipient, self.directory, mode, ca, long=client.long, **more)

    def arrived(self, recipient):
        self.sent += 1
        return wait_until("the arrival", lambda: self.sandbox.arrived(recipient))

    def protocol(self, arrived, wanted):
        match = TRACE.match(arrived)
        ensure(match, f"the trace field is missing: {arrived[:200]!r}")
        ensure(match["with"] == wanted, f"the trace field says {match['with'].decode()}, not {wanted.decode()}")

    def enveloped(self, envelope, sender, recipients):
        ensure(envelope["from"] == sender, f"the reverse-path is {envelope['from']}")
        ensure(sorted(envelope["to"]) == sorted(recipients), f"the forward-paths are {envelope['to']}")


def plain_name(text):
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def over_smtp(house, name, client, mode, sender, recipient):
    """The client sends to the recorder, then to the relay; what arrives has to be what it sent."""
    recorder = house.recorders[mode]
    kept = len(recorder.contents)
    given = client.send(house.job(client, mode, sender, recipient, recorder.port))
    wait_until("the recording", lambda: len(recorder.contents) > kept, 10)
    recorded = recorder.contents[-1]
    if given is not None:
        compare("what the client sends of what it was given", without_per_run(recorded), without_per_run(given))
    given = client.send(house.job(client, mode, sender, recipient, house.relay.ports[mode]))
    envelope, arrived = house.arrived(recipient)
    utf8 = not (sender + recipient).isascii()
    # There is no word for TLS without EHLO.
    protocol = PROTOCOLS[mode] if client.ehlo else b"SMTP"
    house.protocol(arrived, protocol.replace(b"ESMTP", b"UTF8SMTP") if utf8 else protocol)
    rest = without_trace(arrived, recorded)
    if given is not None:
        compare("what arrived", rest, given)
    else:
        compare("what arrived", without_per_run(rest), without_per_run(recorded))
        ensure(BODY in rest, "the body is not in what arrived")
    house.enveloped(envelope, sender, [recipient])


# ---------------------------------------------------------------------------------------------------------------
# Through sendmail(8)


def program(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write("#!/bin/sh\n" + text)
    os.chmod(path, 0o755)
    return path


def over_sendmail(house, name, client, sender, recipient):
    """The client calls a program that keeps what it is given, then `waxseal sendmail`."""
    kept = os.path.join(house.directory, "given")
    keeper = program(os.path.join(house.directory, "keeper"), f'cat >"{kept}"\n')
    wrapper = program(os.path.join(house.directory, "sendmail"),
                      f'exec "{house.relay.binary}" --config "{house.relay.config}" sendmail "$@"\n')
    client.send(house.job(client, "plain", sender, recipient, 0, sendmail=keeper))
    with open(kept, "rb") as file:
        given = file.read()
    client.send(house.job(client, "plain", sender, recipient, 0, sendmail=wrapper))
    envelope, arrived = house.arrived(recipient)
    hidden = re.search(rb"(?im)^Bcc: .*\n", given.replace(b"\r\n", b"\n"))
    wanted = re.sub(rb"(?im)^Bcc: .*\n", b"", given.replace(b"\r\n", b"\n"), count=1).replace(b"\n", b"\r\n")
    rest = without_trace(arrived, wanted)
    compare("what arrived", without_per_run(rest), without_per_run(wanted))
    ensure(BODY in rest, "the body is not in what arrived")
    house.enveloped(envelope, sender, [recipient, HIDDEN] if hidden else [recipient])


# ---------------------------------------------------------------------------------------------------------------
# Postfix and Exim with waxseal as their smarthost


class PostfixClient:
    """`may` is Debian's default: encrypted where it is offered, whoever it is."""

    name, package, modes = "Postfix", "postfix", ("plain", "may", "starttls", "tls")
    may = "starttls"
    trace = re.compile(rb"\AReceived: from legacy\.example [^\n]*\n\tby mta\.example \(Postfix\)[^\n]*\n\t[^;]*; [^\n]*\n")

    def __init__(self, directory, mode, port, authority):
        self.port = free_port()
        tls = {
            "plain": {"smtp_tls_security_level": "none"},
            "may": {},
            "starttls": {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": authority.ca},
            "tls": {"smtp_tls_security_level": "verify", "smtp_tls_CAfile": authority.ca,
                    "smtp_tls_wrappermode": "yes"},
        }[mode]
        # By name, since a certificate is verified against a name.
        self.server = mta.Postfix(directory, self.port, {
            "myhostname": "mta.example", "mydestination": "", "mynetworks": "127.0.0.0/8",
            "relayhost": f"[localhost]:{port}", "smtp_host_lookup": "native"} | tls)
        self.server.up(lambda: speaks(self.port))


class EximClient:
    name, package, modes = "Exim", "exim", ("plain", "may", "starttls", "tls")
    # It does verify, against the system's authorities, and goes on in the clear where it cannot.
    may = "plain"
    trace = re.compile(rb"\AReceived: from [^\n]*\n(?:\t[^\n]*\n)*?\tby mta\.example with [^\n]*\n(?:\t[^\n]*\n)*")

    def __init__(self, directory, mode, port, authority):
        self.port = free_port()
        verified = {"REMOTE_SMTP_SMARTHOST_HOSTS_REQUIRE_TLS": "*",
                    "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_CERTIFICATES": authority.ca,
                    "REMOTE_SMTP_SMARTHOST_TLS_VERIFY_HOSTS": "*"}
        tls = {"plain": {"REMOTE_SMTP_SMARTHOST_HOSTS_AVOID_TLS": "*"}, "may": {}, "starttls": verified,
               "tls": verified | {"REMOTE_SMTP_SMARTHOST_PROTOCOL": "smtps"}}[mode]
        self.server = mta.Exim(directory, self.port, f"localhost::{port}", {
            "MAIN_HARDCODE_PRIMARY_HOSTNAME": "mta.example", "MAIN_QUALIFY_DOMAIN": "mta.example",
            "MAIN_SMTPUTF8_ADVERTISE_HOSTS": "*"} | tls, main="disable_ipv6 = true\n")
        self.server.up(lambda: speaks(self.port))


def speaks(port):
    try:
        with smtplib.SMTP("127.0.0.1", port, "legacy.example", timeout=5):
            return True
    except (OSError, smtplib.SMTPException):
        return False


def over_mta(house, kind, mode, sender, recipient):
    """An application hands its message to the MTA, and the MTA to waxseal; the octets have to be the application's."""
    listener = "starttls" if mode == "may" else mode
    server = kind(os.path.join(house.directory, plain_name(f"{kind.name} {mode} {sender.isascii()}")), mode,
                  house.relay.ports[listener], house.authority)
    try:
        job = Job(server.port, sender, recipient, house.directory)
        given = job.content(date=True, message_id=True)
        with smtplib.SMTP("127.0.0.1", server.port, "legacy.example") as client:
            utf8 = [] if (sender + recipient).isascii() else ["SMTPUTF8"]
            client.sendmail(sender, [recipient], given, mail_options=["BODY=8BITMIME", *utf8])
        try:
            envelope, arrived = house.arrived(recipient)
        except Failure as problem:
            raise Failure(f"{problem}: {server.server.log()[-600:]}") from None
        protocol = PROTOCOLS[kind.may if mode == "may" else mode]
        house.protocol(arrived, protocol.replace(b"ESMTP", b"UTF8SMTP") if utf8 else protocol)
        rest = without_trace(arrived, given)
        trace = kind.trace.match(rest)
        ensure(trace, f"the MTA's own trace field is missing: {rest[:300]!r}")
        compare("what arrived", rest[trace.end():], given)
        house.enveloped(envelope, sender, [recipient])
    finally:
        server.server.stop()


# ---------------------------------------------------------------------------------------------------------------


def everything(arguments, directory, results):
    house = House(arguments, directory)
    sender = f"app@{DOMAIN}"
    print("one message of each client in each mode", flush=True)
    for name, client in CLIENTS.items():
        if arguments.only and arguments.only.lower() not in name.lower():
            continue
        if not client.there():
            results.skip(name, "NOT INSTALLED")
            continue
        for mode in client.modes:
            recipient = f"{plain_name(name)}-{mode}@destination.example"
            if client.modes == SENDMAIL:
                results.check(name, mode, lambda: over_sendmail(house, name, client, sender, recipient))
            else:
                results.check(name, mode, lambda: over_smtp(house, name, client, mode, sender, recipient))
        if client.utf8:
            results.check(name, "SMTPUTF8", lambda: over_smtp(
                house, name, client, "plain", f"b\u00fcro@{DOMAIN}", f"j\u00fcrgen-{plain_name(name)}@destination.example"))
    print("Postfix and Exim with waxseal as their smarthost", flush=True)
    for kind in (PostfixClient, EximClient):
        if arguments.only and arguments.only.lower() not in kind.name.lower():
            continue
        if why := mta.missing(kind.package):
            results.skip(kind.name, why)
            continue
        for mode in kind.modes:
            recipient = f"{kind.package}-{mode}@destination.example"
            results.check(kind.name, mode, lambda: over_mta(house, kind, mode, sender, recipient))
        results.check(kind.name, "SMTPUTF8", lambda: over_mta(
            house, kind, "plain", f"b\u00fcro@{DOMAIN}", f"j\u00fcrgen-{kind.package}@destination.example"))
    results.check("the relay", "nothing waits", lambda: wait_until(
        "an empty queue", lambda: not house.relay.queued(), 10) and None)
    results.check("the relay", "nothing came twice", lambda: ensure(
        house.sandbox.count() == house.sent, f"{house.sandbox.count()} messages for {house.sent}"))

    def stopped():
        code = house.relay.stop()
        ensure(code == 0, f"SIGTERM: exit {code}")
        ensure("panicked" not in house.relay.log(), "the relay panicked: " + house.relay.log()[-1000:])

    results.check("the relay", "SIGTERM", stopped)
    for recorder in house.recorders.values():
        recorder.close()


def table(results):
    modes = ["plain", "may", "starttls", "tls", "sendmail", "SMTPUTF8"]
    names = [name for name in dict.fromkeys(row[0] for row in results.rows) if name != "the relay"]
    width = max(map(len, names), default=6) + 2
    cells = {(name, mode): note.split(" ")[0] for name, mode, note in results.rows}
    print("\n" + "client".ljust(width) + "".join(mode.ljust(10) for mode in modes))
    for name in names:
        print(name.ljust(width) + "".join(cells.get((name, mode), "-").ljust(10) for mode in modes))
    print()
    for name, mode, note in results.rows:
        if note.startswith("FAIL"):
            print(f"{name}, {mode}: {note}")


def main():
    parser = argparse.ArgumentParser(description="real clients against waxseal, plain and over TLS")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--sandbox", help="the example program `sandbox`; by default in examples/ beside the binary")
    parser.add_argument("--require", action="store_true", help="a client that is not installed is a failure")
    parser.add_argument("--keep", action="store_true", help="leave the temporary directory, logs included")
    parser.add_argument("--only", metavar="NAME", help="clients whose name has this in it")
    parser.add_argument("--fetch", action="store_true", help="install nodemailer below target/ and end")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch_nodemailer()
        return 0
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.sandbox = os.path.abspath(
        arguments.sandbox or os.path.join(os.path.dirname(arguments.binary), "examples/sandbox"))
    for path in (arguments.binary, arguments.sandbox):
        if not os.access(path, os.X_OK):
            sys.exit(f"{path} is not there; run `cargo build --bins --example sandbox` first")

    def too_late(*_):
        raise SystemExit(f"not finished within {TOTAL} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    signal.alarm(TOTAL)
    directory = tempfile.mkdtemp(prefix="waxseal-clients-")
    results, begun = Results(), time.monotonic()
    try:
        everything(arguments, directory, results)
    except Failure as problem:
        results.rows.append(("the relay", "", f"FAIL ({problem})"))
        results.failed += 1
    finally:
        signal.alarm(0)
        Process.stop_all()
        if arguments.keep:
            print(f"\nlogs and messages: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    table(results)
    if results.skipped:
        print(f"SKIPPED, NOT TO BE HAD: {', '.join(results.skipped)}\n")
    print(f"{len(results.rows) - results.failed} passed, {results.failed} failed, {len(results.skipped)} skipped")
    print(f"in {time.monotonic() - begun:.0f} s")
    return 1 if results.failed or (arguments.require and results.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
