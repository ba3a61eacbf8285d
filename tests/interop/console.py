#!/usr/bin/env python3
"""The console in a real browser: Chromium without a window, driven by playwright-core, looked at by axe-core.

One relay with some mail in every state, one sandbox provider whose consent page a person has to answer. The browser's
half is in console/console.mjs. `--images DIR` keeps what it saw: each page in both themes and both widths.
"""

import argparse
import json
import math
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time

from base import ROOT, Failure, Process, ensure, environment, wait_until
from relay import Relay, Sandbox

TOTAL = 300  # seconds for everything
PACKAGES = {"playwright-core": "1.65.1", "axe-core": "4.14.1"}
HOME = os.path.join(ROOT, "target/interop/console")
BROWSERS = ["chromium", "chromium-browser", "google-chrome"]
USER, SECRET = "support@contoso.example", "sandbox-secret"


def fetch():
    """Installs the pinned packages below `target/`; neither has dependencies, or brings a browser along."""
    os.makedirs(HOME, exist_ok=True)
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--prefix", HOME]
    words += [f"{name}@{version}" for name, version in PACKAGES.items()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=180)
    ensure(done.returncode == 0, f"npm: {done.stderr.strip()[-400:]}")


def send(relay, sender, recipient, subject):
    with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
        text = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {subject}\r\n\r\nhello\r\n"
        client.sendmail(sender, [recipient], text)


def furnish(arguments, directory):
    """A relay as an administrator finds it on a Tuesday."""
    asking = Sandbox(arguments.sandbox, directory, "asking", ["--mechanisms", "XOAUTH2"], asks=True, username=USER,
                     client_secret=SECRET)
    plain = Sandbox(arguments.sandbox, directory, "plain", ["--mechanisms", "PLAIN"], username="printers@fabrikam.example",
                    password="password of plain")
    relay = Relay(arguments.binary, directory)
    basic = {"type": "basic", "address": plain.host, "port": plain.port, "ca_file": plain.ca,
             "username": "printers@fabrikam.example", "password": "password of plain"}
    oauth = {"type": "oauth2", "address": asking.host, "port": asking.port, "ca_file": asking.ca, "username": USER,
             "client_id": "sandbox-client", "client_secret": SECRET, "scope": "mail offline_access",
             "client_secret_expires": "2027-05-01",
             "authorization_endpoint": asking.authorization_endpoint, "token_endpoint": asking.token_endpoint}
    relay.configure({
        "printers": {"name": "Printers", "description": "Scan to mail", "domain": "fabrikam.example", **basic},
        "away": {"name": "Server that is away", "domain": "away.example", **basic, "port": 9},
        "erp": {"name": "ERP notices", "domain": "erp.example", **oauth},
    })
    with open(relay.config, "a", encoding="utf-8") as file:
        file.write('[application.ticketing]\nclients = ["127.0.0.2/32"]\n')
    # A day that has gone by, for the plots to show: mail as offices send it, and an hour without a provider.
    os.makedirs(os.path.join(directory, "state"), mode=0o700)
    now = int(time.time()) // 60
    minutes = []
    for back in range(1, 1440):
        hour = (now - back) // 60 % 24
        busy = round(14 * max(0.1, math.sin(math.pi * (hour - 5) / 15))) if 5 <= hour <= 20 else 1
        away = 600 < back < 660
        delivered = 0 if away else busy + (9 if 540 < back <= 600 else 0)
        minutes.append({"minute": now - back, "received": busy, "delivered": delivered, "failed": int(back % 97 == 0),
                        "deferred": busy if away else 0, "depth": busy * (660 - back) if away else busy // 3,
                        "longest": 900 + 37 * (back % 41), "delays": delivered * (350 + back % 83)})
    with open(os.path.join(directory, "state", "day.json"), "w", encoding="utf-8") as file:
        json.dump({"minutes": minutes}, file)
    relay.start()
    for number in range(12):
        send(relay, "scanner@fabrikam.example", f"someone{number}@example.org", f"Scan {number}")
    send(relay, "jobs@away.example", "someone@example.org", "Nightly report")
    send(relay, "erp@erp.example", "buyer@example.org", "Order 4711")
    wait_until("twelve arrivals", lambda: plain.count() == 12)
    return asking, plain, relay


def browse(arguments, directory, asking, relay):
    browser = next(filter(None, map(shutil.which, BROWSERS)))
    images = os.path.abspath(arguments.images or os.path.join(directory, "images"))
    os.makedirs(images, exist_ok=True)
    links = [relay.run("admin-url").strip() for _ in range(2)]
    task = {
        "browser": browser, "images": images, "links": links, "base": f"http://localhost:{relay.admin}",
        "address": asking.host, "port": asking.port, "ca": asking.ca, "username": USER, "secret": SECRET,
        "authorization": asking.authorization_endpoint, "token": asking.token_endpoint,
    }
    script = os.path.join(ROOT, "tests/interop/console/console.mjs")
    process = Process(["node", script], {"NODE_PATH": os.path.join(HOME, "node_modules"), "TASK": json.dumps(task),
                                         "MODULES": os.path.join(HOME, "node_modules")},
                      stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    failed = passed = 0
    for line in process.child.stdout:
        if not line.startswith("{"):
            print(line, end="")
            continue
        check = json.loads(line)
        print(f"   {check['name']}: {'ok' if check['ok'] else 'FAIL'}{' (' + check['note'] + ')' if check['note'] else ''}",
              flush=True)
        passed, failed = passed + check["ok"], failed + (not check["ok"])
    ensure(process.child.wait() == 0, f"the browser's half ended with {process.child.returncode}")
    return passed, failed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--images", metavar="DIR", help="keep the screenshots there")
    parser.add_argument("--fetch", action="store_true", help="install the packages below target/ and end")
    parser.add_argument("--require", action="store_true", help="a browser or package that is missing is a failure")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch()
        return 0
    arguments.sandbox = os.path.join(os.path.dirname(os.path.abspath(arguments.binary)), "examples/sandbox")
    missing = [name for name in PACKAGES if not os.path.isdir(os.path.join(HOME, "node_modules", name))]
    if not any(map(shutil.which, BROWSERS)):
        missing.append("chromium")
    if not shutil.which("node"):
        missing.append("node")
    if missing:
        print(f"SKIPPED, NOT TO BE HAD: {', '.join(missing)}")
        return 1 if arguments.require else 0
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not finished within {TOTAL} s"))
    signal.alarm(TOTAL)
    directory, begun = tempfile.mkdtemp(prefix="waxseal-console-"), time.monotonic()
    try:
        asking, plain, relay = furnish(arguments, directory)
        passed, failed = browse(arguments, directory, asking, relay)
        log = relay.log()
        for secret in (SECRET, "password of plain"):
            ensure(secret not in log, "a secret is in the log")
        ensure(asking.arrived("proof@example.org"), "the test message did not arrive")
    except Failure as problem:
        print(f"   FAIL ({problem})")
        passed, failed = 0, 1
    finally:
        signal.alarm(0)
        Process.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    print(f"{passed} passed, {failed} failed in {time.monotonic() - begun:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
