#!/usr/bin/env python3
"""Real mail clients against the real waxseal and a sandbox provider; see README.md beside this file.

Standard library only. Everything runs on loopback and ends by itself.
"""

import argparse
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import tempfile
import threading
import time

from base import PATIENCE, ROOT, Failure, Process, ensure, free_port, installed, wait_until
from drivers import BODY, CLIENTS, Job, send_smtplib, send_swaks
from octets import compare, without_per_run, without_trace
from recorder import Recorder
from relay import Relay, Sandbox, opener, redirected

TOTAL = 300  # seconds for everything


class Forwarder:
    """A port that leads to another one, or nowhere until it is opened: a service that is down, or that changes."""

    def __init__(self, to):
        self.host, self.port, self.to, self.server = "127.0.0.1", free_port(), to, None

    def open(self):
        self.server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                near, _ = self.server.accept()
                far = socket.create_connection(("127.0.0.1", self.to), PATIENCE)
            except OSError:
                return
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    @staticmethod
    def copy(one, other):
        try:
            while octets := one.recv(65536):
                other.sendall(octets)
            other.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        if self.server:
            self.server.close()


# ---------------------------------------------------------------------------------------------------------------
# The four account types

MATRIX_CLIENTS = ["swaks", "curl", "msmtp", "smtplib", "s-nail"]  # clients.py has the others, through one account
MATRIX = {  # account: domain, mechanism, sandbox flags, user
    "basic": ("basic.example", "PLAIN", ["--mechanisms", "PLAIN,LOGIN"], "user@basic.example"),
    "oauth2": ("oauth2.example", "XOAUTH2", ["--mechanisms", "XOAUTH2", "--security", "tls"], "user@oauth2.example"),
    "google": ("google.example", "XOAUTH2", ["--mechanisms", "XOAUTH2"], "user@google.example"),
    "microsoft": ("microsoft.example", "XOAUTH2", ["--mechanisms", "XOAUTH2", "--rotate"], "user@microsoft.example"),
}


def account_keys(kind, domain, sandbox, user, **more):
    keys = {"type": kind, "domain": domain, "address": sandbox.host, "port": sandbox.port, "ca_file": sandbox.ca,
            "username": user}
    if kind == "basic":
        keys["password"] = sandbox.fixed.get("password", "sandbox-password")
    else:
        keys.update(client_id=sandbox.fixed["client_id"], client_secret=sandbox.fixed["client_secret"],
                    authorization_endpoint=sandbox.authorization_endpoint, token_endpoint=sandbox.token_endpoint)
    if kind == "oauth2":
        keys["scope"] = "mail offline_access"
    keys.update(more)
    return {key: value for key, value in keys.items() if value is not None}


class Results:
    """Cells of the tables, and whether anything went wrong."""

    def __init__(self):
        self.cells, self.checks, self.skipped = {}, [], []

    def check(self, name, work):
        try:
            note = work()
            self.checks.append((name, "ok", note or ""))
        except (Failure, OSError, subprocess.SubprocessError, ValueError, KeyError, smtplib.SMTPException) as problem:
            self.checks.append((name, "FAIL", str(problem) or repr(problem)))
        print("  ", " ".join(self.checks[-1]).rstrip(), flush=True)
        return self.checks[-1][1] == "ok"

    def failures(self):
        return sum(cell != "ok" for cell in self.cells.values()) + sum(word != "ok" for _, word, _ in self.checks)


def one_message(client, account, relay, recorder, sandbox, directory):
    send = CLIENTS[client].send
    domain, mechanism, _, user = MATRIX[account]
    sender, recipient = f"app@{domain}", f"{client}-{account}@destination.example"

    kept = len(recorder.contents)
    given = send(Job(recorder.port, sender, recipient, directory))
    wait_until("the recording", lambda: len(recorder.contents) > kept, 10)
    recorded = recorder.contents[-1]
    if given is not None:
        compare("what the client sends of what it was given", without_per_run(recorded), without_per_run(given))

    given = send(Job(relay.port, sender, recipient, directory))
    envelope, arrived = wait_until("the arrival", lambda: sandbox.arrived(recipient))
    rest = without_trace(arrived, recorded)
    if given is not None:
        compare("what arrived", rest, given)
    else:
        # Two runs of a client that writes its own message differ in their Date and Message-ID.
        compare("what arrived", without_per_run(rest), without_per_run(recorded))
        ensure(BODY in rest, "the body is not in what arrived")
    ensure(envelope["from"] == sender, f"the reverse-path is {envelope['from']}")
    ensure(envelope["to"] == [recipient], f"the forward-paths are {envelope['to']}")
    ensure(envelope["mechanism"] == mechanism, f"the mechanism is {envelope['mechanism']}")
    ensure(envelope["user"] == user, f"the user is {envelope['user']}")
    ensure(envelope["tls"].startswith("TLS"), f"TLS is {envelope['tls']}")


def matrix(arguments, directory, results):
    print("one message per client through each account type", flush=True)
    os.makedirs(directory)
    sandboxes = {}
    for name, (_, _, flags, user) in MATRIX.items():
        sandboxes[name] = Sandbox(arguments.sandbox, directory, name, flags, username=user,
                                  password=f"password of {name}", client_id=f"client-{name}",
                                  client_secret=f"secret-{name}")
    relay = Relay(arguments.binary, directory)
    accounts = {}
    for name, (domain, _, flags, user) in MATRIX.items():
        more = {"security": "tls"} if "tls" in flags else {}
        accounts[name] = account_keys(name, domain, sandboxes[name], user, **more)
    relay.configure(accounts)
    relay.start()
    recorder = Recorder(relay.port)
    for name, paste in (("oauth2", False), ("google", False), ("microsoft", True)):
        title = f"account authorize {name}" + (" --paste" if paste else "")
        results.check(title, lambda name=name, paste=paste: relay.authorize(name, paste))

    for client in MATRIX_CLIENTS:
        if not CLIENTS[client].there():
            results.skipped.append(client)
            print(f"   {client}: SKIPPED, NOT INSTALLED", flush=True)
            continue
        for account in MATRIX:
            try:
                one_message(client, account, relay, recorder, sandboxes[account], directory)
                cell = "ok"
            except (Failure, OSError, subprocess.SubprocessError, smtplib.SMTPException) as problem:
                cell = f"FAIL ({problem})"
            results.cells[client, account] = cell
            print(f"   {client} through {account}: {cell}", flush=True)

    results.check("the queue is empty afterwards",
                  lambda: wait_until("an empty queue", lambda: not relay.queued(), 10) and None)
    results.check("every message arrived once", lambda: ensure(
        sum(sandbox.count() for sandbox in sandboxes.values()) == len(results.cells),
        f"{[(name, sandbox.count()) for name, sandbox in sandboxes.items()]} for {len(results.cells)} messages"))

    def unknown_domain_smtplib():
        try:
            send_smtplib(Job(relay.port, "app@nobody.example", "x@destination.example", directory))
        except smtplib.SMTPSenderRefused as refusal:
            text = f"{refusal.smtp_code} {refusal.smtp_error.decode()}"
            ensure(text.startswith("550 5.7.1") and "nobody.example" in text, text)
            return text
        raise Failure("the sender was accepted")

    def unknown_domain_swaks():
        job = Job(relay.port, "app@nobody.example", "x@destination.example", directory)
        send_swaks(job, good=(23,))  # 23: swaks's code for a refused MAIL
        lines = [line for line in job.said.splitlines() if "550 5.7.1" in line]
        ensure(len(lines) == 1 and "nobody.example" in lines[0], job.said[-400:])

    results.check("unknown sender domain, smtplib", unknown_domain_smtplib)
    if installed("swaks"):
        results.check("unknown sender domain, swaks", unknown_domain_swaks)

    def stopped():
        code = relay.stop()
        ensure(code == 0, f"SIGTERM: exit {code}")
        ensure("panicked" not in relay.log(), "the relay panicked: " + relay.log()[-1000:])

    results.check("SIGTERM ends the relay with exit 0", stopped)
    recorder.close()
    for sandbox in sandboxes.values():
        results.check(f"SIGTERM ends sandbox {sandbox.name} with exit 0", lambda sandbox=sandbox: ensure(
            sandbox.process.stop() == 0, f"exit {sandbox.process.child.returncode}"))


# ---------------------------------------------------------------------------------------------------------------
# Troubles, each with its cure

MARKS = 2  # messages per trouble: the log names the trouble, not each message that waits for its end
AT_ONCE = 4  # seconds that a message may take after its trouble is over and somebody has said so


def first_refresh_token(sandbox):
    """Walks the authorization code flow without waxseal, to move in with a refresh token."""
    import base64
    import hashlib
    import secrets
    from urllib.parse import parse_qs, urlencode, urlsplit

    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    redirect = "http://127.0.0.1:1/"
    client = {"client_id": sandbox.fixed["client_id"], "redirect_uri": redirect}
    query = urlencode({"response_type": "code", "code_challenge": challenge, "code_challenge_method": "S256", **client})
    code = parse_qs(urlsplit(redirected(f"{sandbox.authorization_endpoint}?{query}")).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier,
            "client_secret": sandbox.fixed["client_secret"], **client}
    with opener().open(sandbox.token_endpoint, urlencode(form).encode(), timeout=PATIENCE) as answer:
        return json.load(answer)["refresh_token"]


def troubles(arguments, directory, results):
    print("troubles: the message stays queued, the trouble is named once, the cure lets it go", flush=True)
    os.makedirs(directory)
    user = "user@trouble.example"
    fixed = {"username": user, "password": "right", "client_id": "client", "client_secret": "secret"}

    def sandbox(name, *flags):
        return Sandbox(arguments.sandbox, directory, name, flags, **fixed)

    boxes = {
        "nostarttls": sandbox("nostarttls", "--mechanisms", "PLAIN"),
        "untrusted": sandbox("untrusted", "--mechanisms", "PLAIN"),
        "refused": sandbox("refused", "--mechanisms", "PLAIN"),
        "deadtoken": sandbox("deadtoken", "--mechanisms", "XOAUTH2"),
        "unauthorized": sandbox("unauthorized", "--mechanisms", "XOAUTH2"),
    }
    # Somebody on the way strips STARTTLS: the account's port leads to a server without it, and later to the right one.
    stripped = sandbox("stripped", "--mechanisms", "PLAIN", "--security", "none")
    way = Forwarder(stripped.port)
    way.open()
    dead = boxes["deadtoken"]
    forwarder = Forwarder(int(dead.token_endpoint.split(":")[2].split("/")[0]))
    good = {
        name: account_keys("basic" if name in ("nostarttls", "untrusted", "refused") else "oauth2",
                           f"{name}.example", box, user)
        for name, box in boxes.items()
    }
    good["deadtoken"].update(token_endpoint=f"http://127.0.0.1:{forwarder.port}/token",
                             refresh_token=first_refresh_token(dead))
    good["nostarttls"]["port"] = way.port
    accounts = {name: dict(keys) for name, keys in good.items()}
    del accounts["untrusted"]["ca_file"]
    accounts["refused"]["password"] = "wrong"
    relay = Relay(arguments.binary, directory)
    relay.configure(accounts)
    relay.start()

    def recipients(name):
        return [f"{name}-{number}@destination.example" for number in range(MARKS)]

    def submit(name):
        for recipient in recipients(name):
            send_smtplib(Job(relay.port, f"app@{name}.example", recipient, directory))

    def said_about(name):
        """Warnings and errors that name the account."""
        lines = [line for line in relay.log().splitlines() if re.search(r"\s(WARN|ERROR)\s", line)]
        return [line for line in lines if re.search(rf'account="?{name}\b', line)]

    def trouble(name, state, words):
        """`words`: what last_error and remedy have to speak of."""
        submit(name)
        account = wait_until(f"account list tells of {name}", lambda: next(
            (a for a in [relay.account(name)] if a["last_error"] and a["state"] == state), None), 15)
        time.sleep(1)
        account = relay.account(name)
        ensure(account["remedy"], f"no remedy beside {account['last_error']!r}")
        told = f"{account['last_error']}; {account['remedy']}"
        for word in words:
            ensure(word.lower() in told.lower(), f"{told!r} does not speak of {word!r}")
        waiting = relay.queued(name)
        ensure(len(waiting) == MARKS, f"{len(waiting)} of {MARKS} messages are queued")
        ensure(not any(m["state"] == "failed" for m in waiting), f"states {[m['state'] for m in waiting]}")
        ensure(not any(boxes[name].arrived(r) for r in recipients(name)), "a message arrived all the same")
        return f"[{account['state']}; messages {waiting[0]['state']}] {told}"

    def logged_once(name):
        # The alert about the account is an event of its own.
        lines = [line for line in said_about(name) if "alert begins" not in line]
        ensure(len(lines) == 1, f"{len(lines)} warnings name the account: " + " || ".join(lines))

    def cured(name, patience):
        begun = time.monotonic()
        for recipient in recipients(name):
            _, arrived = wait_until("delivery after the cure", lambda: boxes[name].arrived(recipient), patience)
            ensure(arrived.endswith(BODY), "the content was hurt by waiting")
        wait_until("the account is ready", lambda: relay.account(name)["state"] == "ready", 10)
        ensure(relay.account(name)["last_error"] is None, f"last_error stays: {relay.account(name)['last_error']}")
        wait_until("the queue lets go", lambda: not relay.queued(name), 10)
        ensure(boxes[name].count() == MARKS, f"{boxes[name].count()} messages for {MARKS}")
        return f"after {time.monotonic() - begun:.1f} s"

    def starttls_back():
        ensure(stripped.count() == 0, "mail went out in the clear")
        way.to = boxes["nostarttls"].port
        relay.run("queue", "retry", "--all")
        return cured("nostarttls", AT_ONCE)

    def reload_cures(name):
        accounts[name] = good[name]
        relay.configure(accounts)
        relay.run("reload")
        return cured(name, AT_ONCE)

    def endpoint_back():
        forwarder.open()
        relay.run("queue", "retry", "--account", "deadtoken")
        return cured("deadtoken", AT_ONCE)

    def authorized_at_last():
        relay.authorize("unauthorized", paste=False)
        return cured("unauthorized", AT_ONCE)

    cases = [
        ("nostarttls", "upstream without STARTTLS", "failing", ["STARTTLS", "security"], starttls_back,
         "STARTTLS comes back, queue retry --all"),
        ("untrusted", "certificate that does not verify", "failing", ["certificate", "ca_file"],
         lambda: reload_cures("untrusted"), "ca_file set, waxseal reload"),
        ("refused", "refused login", "failing", ["password"], lambda: reload_cures("refused"),
         "password set right, waxseal reload"),
        ("deadtoken", "dead token endpoint", "failing", ["token"], endpoint_back,
         "the endpoint comes back, queue retry --account"),
        ("unauthorized", "account that nobody authorized", "needs_authorization", ["account authorize"],
         authorized_at_last, "account authorize"),
    ]
    for name, title, state, words, cure, how in cases:
        results.check(title, lambda name=name, state=state, words=words: trouble(name, state, words))
        results.check(f"{title}: one line in the log", lambda name=name: logged_once(name))
        results.check(f"{title}: cured ({how})", cure)
    results.check("no secret in the log", lambda: ensure(
        not any(secret in relay.log() for secret in ('"wrong"', '"right"', good["deadtoken"]["refresh_token"])),
        "a password or token is in the log"))
    results.check("SIGTERM ends the relay with exit 0", lambda: ensure(relay.stop() == 0, "it does not"))
    forwarder.close()
    way.close()


# ---------------------------------------------------------------------------------------------------------------


def table(results):
    width = max(len(name) for name in MATRIX_CLIENTS) + 2
    print("\n" + "client".ljust(width) + "".join(account.ljust(12) for account in MATRIX))
    for client in MATRIX_CLIENTS:
        cells = (results.cells.get((client, account), "-") for account in MATRIX)
        print(client.ljust(width) + "".join(cell.split(" ")[0].ljust(12) for cell in cells))
    for (client, account), cell in results.cells.items():
        if cell != "ok":
            print(f"{client} through {account}: {cell}")
    print()
    for name, word, note in results.checks:
        print(f"{word:5} {name}" + (f": {note}" if note else ""))
    done = len(results.cells) + len(results.checks)
    failed, skipped = results.failures(), len(results.skipped) * len(MATRIX)
    if skipped:
        print(f"\nSKIPPED, NOT INSTALLED: {', '.join(results.skipped)} ({skipped} messages not sent)")
    print(f"\n{done - failed} passed, {failed} failed, {skipped} skipped")


def main():
    parser = argparse.ArgumentParser(description="real mail clients against waxseal and a sandbox provider")
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--sandbox", help="the example program `sandbox`; by default in examples/ beside the binary")
    parser.add_argument("--require", action="store_true", help="a client that is not installed is a failure")
    parser.add_argument("--keep", action="store_true", help="leave the temporary directory, logs included")
    parser.add_argument("--only", choices=["matrix", "troubles"], help="one half alone")
    arguments = parser.parse_args()
    arguments.binary = os.path.abspath(arguments.binary)
    arguments.sandbox = os.path.abspath(
        arguments.sandbox or os.path.join(os.path.dirname(arguments.binary), "examples/sandbox"))
    for program in (arguments.binary, arguments.sandbox):
        if not os.access(program, os.X_OK):
            sys.exit(f"{program} is not there; run `cargo build --bins --example sandbox` first")

    def too_late(*_):
        raise SystemExit(f"not finished within {TOTAL} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    signal.alarm(TOTAL)
    directory = tempfile.mkdtemp(prefix="waxseal-interop-")
    results = Results()
    begun = time.monotonic()
    try:
        for name, part in (("matrix", matrix), ("troubles", troubles)):
            if arguments.only in (None, name):
                try:
                    part(arguments, os.path.join(directory, name), results)
                except Failure as problem:
                    results.checks.append((name, "FAIL", str(problem)))
                Process.stop_all()
    finally:
        signal.alarm(0)
        Process.stop_all()
        if arguments.keep:
            print(f"\nlogs and messages: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    table(results)
    print(f"in {time.monotonic() - begun:.0f} s")
    return 1 if results.failures() or (arguments.require and results.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
