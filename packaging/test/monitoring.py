#!/usr/bin/env python3
"""The alert rules, the dashboard and the metrics themselves, held against each other and against promtool.

A relay and a sandbox provider make the metrics, after some traffic of every kind.
"""

import argparse
import json
import os
import re
import shutil
import smtplib
import subprocess
import sys
import tempfile
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/interop"))
from base import Failure, Process, ensure, wait_until  # noqa: E402
from relay import Relay, Sandbox, opener  # noqa: E402

RULES = os.path.join(ROOT, "packaging/prometheus/waxseal.rules.yml")
DASHBOARD = os.path.join(ROOT, "packaging/grafana/waxseal.json")
OF_PROMETHEUS = {"up"}


def names(text):
    return set(re.findall(r"\b(?:waxseal|process)_[a-z_]+", text))


def base(name):
    """A histogram is documented by its own name."""
    return re.sub(r"_(bucket|sum|count)$", "", name) if name.startswith("waxseal_delivery") else name


def expressions():
    with open(DASHBOARD, encoding="utf-8") as file:
        board = json.load(file)
    for panel in board["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    with open(RULES, encoding="utf-8") as file:
        for line in file:
            if line.strip().startswith("expr:"):
                yield "rule", line.split("expr:", 1)[1].strip()


def metrics(binary, sandbox_binary, directory):
    """What /metrics says after mail that went, waits, failed and was refused."""
    sandbox = Sandbox(sandbox_binary, directory, "one", ["--mechanisms", "PLAIN"], username="u@a.example", password="p")
    relay = Relay(binary, directory)
    keys = {"type": "basic", "address": sandbox.host, "port": sandbox.port, "ca_file": sandbox.ca, "username": "u@a.example",
            "password": "p"}
    relay.configure({"works": {**keys, "domain": "a.example"}, "away": {**keys, "domain": "b.example", "port": 9}})
    relay.start()
    for sender, taken in (("x@a.example", True), ("x@b.example", True), ("x@nobody.example", False)):
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=30) as client:
            try:
                client.sendmail(sender, ["y@example.org"], f"From: {sender}\r\nSubject: hello\r\n\r\nhello\r\n")
                ensure(taken, f"{sender} was taken")
            except smtplib.SMTPSenderRefused:
                ensure(not taken, f"{sender} was refused")
    wait_until("one arrival", lambda: sandbox.count() == 1)
    with open(os.path.join(directory, "state/admin.token"), encoding="utf-8") as file:
        token = file.read().strip()

    def look():
        request = urllib.request.Request(f"http://127.0.0.1:{relay.admin}/metrics")
        request.add_header("Authorization", f"Bearer {token}")
        with opener().open(request, timeout=10) as answer:
            text = answer.read().decode()
        return text if 'waxseal_messages_delivered_total{account="works"} 1' in text else None

    return wait_until("the delivery in the metrics", look)


def promtool(*words, given=None):
    done = subprocess.run(["promtool", *words], input=given, capture_output=True, text=True, timeout=60)
    # Linting remarks are on standard output with exit code 3; both count.
    ensure(done.returncode == 0, f"promtool {' '.join(words)}: {done.stdout}{done.stderr}".strip())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--require", action="store_true", help="a promtool that is missing is a failure")
    arguments = parser.parse_args()
    sandbox = os.path.join(os.path.dirname(os.path.abspath(arguments.binary)), "examples/sandbox")
    directory = tempfile.mkdtemp(prefix="waxseal-monitoring-")
    skipped = False
    try:
        with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
            documented = names(file.read())
        text = metrics(os.path.abspath(arguments.binary), sandbox, directory)
        exposed = {base(name) for name in re.findall(r"^# TYPE (\S+)", text, re.M)}
        count = 0
        for where, expression in expressions():
            for name in names(expression):
                count += 1
                ensure(base(name) in documented, f"{where}: {name} is not documented")
                known_later = base(name).startswith(("waxseal_token", "waxseal_grant"))  # an account with a grant has these
                ensure(base(name) in exposed or known_later, f"{where}: {name} is not exposed")
        print(f"   {count} uses of metrics in rules and dashboard: documented and exposed")
        if shutil.which("promtool"):
            promtool("check", "metrics", given=text)
            promtool("check", "rules", RULES)
            promtool("test", "rules", os.path.join(ROOT, "packaging/prometheus/waxseal.rules.test.yml"))
            print("   promtool: metrics, rules and their test are clean")
        else:
            skipped = True
            print("SKIPPED, NOT TO BE HAD: promtool (Debian: prometheus)")
    except Failure as problem:
        print(f"   FAIL ({problem})")
        return 1
    finally:
        Process.stop_all()
        shutil.rmtree(directory, ignore_errors=True)
    return 1 if skipped and arguments.require else 0


if __name__ == "__main__":
    sys.exit(main())
