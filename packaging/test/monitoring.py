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
RULES_TEST = os.path.join(ROOT, "packaging/prometheus/waxseal.rules.test.yml")
DASHBOARD = os.path.join(ROOT, "packaging/grafana/waxseal.json")
# Prometheus' own, and blackbox_exporter's.
OF_OTHERS = {"up", "probe_success"}
LANGUAGE = {"sum", "by", "on", "unless", "and", "rate", "increase", "deriv", "max", "histogram_quantile"}


def names(text):
    return set(re.findall(r"\b(?:waxseal|process)_[a-z_]+", text))


def metrics_of(expression):
    """All names of an expression that are neither labels, nor words of the language, nor Grafana's: a name that is
    mistyped is not passed over."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|on) \([^)]*\)|\{[^}]*\}|\[[^]]*\]", " ", bare)
    return set(re.findall(r"\b[a-z_]+\b", bare)) - LANGUAGE - OF_OTHERS


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


def board_is_whole():
    """What Grafana would take amiss, or show in the wrong place."""
    with open(DASHBOARD, encoding="utf-8") as file:
        board = json.load(file)
    variables = {variable["name"] for variable in board["templating"]["list"]}
    ensure(variables == {"datasource", "account"}, f"variables {variables}")
    ids = [panel["id"] for panel in board["panels"]]
    ensure(len(ids) == len(set(ids)), "two panels with one id")
    taken = {}
    for panel in board["panels"]:
        title, place = panel["title"], panel["gridPos"]
        ensure(place["x"] + place["w"] <= 24, f"{title} is beyond the right edge")
        for source in [panel, *panel["targets"]]:
            ensure(source["datasource"]["uid"] == "${datasource}", f"{title}: a data source of its own")
        ensure(len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]), f"{title}: refId twice")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                other = taken.setdefault((x, y), title)
                ensure(other == title, f"{title} lies over {other}")
    return len(ids)


def every_alert_is_tried():
    """Each rule is in its test, with a case in which it fires."""
    with open(RULES, encoding="utf-8") as file:
        alerts = re.findall(r"- alert: (\S+)", file.read())
    with open(RULES_TEST, encoding="utf-8") as file:
        fires = set(re.findall(r"alertname: (\w+)\n\s+exp_alerts:\n", file.read()))
    ensure(set(alerts) == fires, f"alerts without a case in which they fire: {sorted(set(alerts) ^ fires)}")
    return len(alerts)


def scrape_configs():
    """What docs/metrics.md has one write into prometheus.yml."""
    with open(os.path.join(ROOT, "docs/metrics.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```yaml\n(.*?)^```", file.read(), re.M | re.S)
    ensure(len(blocks) == 1, f"{len(blocks)} blocks of YAML in docs/metrics.md")
    return blocks[0]


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
            for name in metrics_of(expression):
                count += 1
                ensure(base(name) in documented, f"{where}: {name} is not documented")
                known_later = base(name).startswith(("waxseal_token", "waxseal_grant"))  # an account with a grant has these
                ensure(base(name) in exposed or known_later, f"{where}: {name} is not exposed")
        print(f"   {count} uses of metrics in rules and dashboard: documented and exposed")
        print(f"   {board_is_whole()} panels stand beside each other, {every_alert_is_tried()} alerts have a case each")
        if shutil.which("promtool"):
            written = os.path.join(directory, "prometheus.yml")
            with open(written, "w", encoding="utf-8") as file:
                file.write(scrape_configs())
            promtool("check", "config", "--syntax-only", written)
            promtool("check", "metrics", given=text)
            promtool("check", "rules", RULES)
            promtool("test", "rules", RULES_TEST)
            print("   promtool: metrics, rules, their test and the documented prometheus.yml are clean")
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
