#!/usr/bin/env python3
"""Counts the instructions that one message takes, and compares them with benches/instructions/counts.json.

    check.py --check [--require]   more than 5 % off, either way, is an error
    check.py --write               writes what was counted

Callgrind counts what runs in user space, whatever the machine's speed and whatever else it does. Each case runs with
two numbers of messages, and the difference counts, so that starting up does not. What still differs from machine to
machine: libraries that choose code by the processor (memchr, crc32fast; Callgrind shows them the host's AVX2), the C
library's version, the compiler's. On another compiler than the counts were written with, only more is an error, and
only from 15 % on.

Exit 0: in order; 1: not; 2: cannot be counted. Without valgrind it says so and exits 0, but for --require.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COUNTS = Path(__file__).with_name("counts.json")
CASES = ["session", "journal"]
FEW, MANY = 200, 1200
TOLERANCE, ELSEWHERE = 5.0, 15.0


def build():
    """The program's path. Its profile is said here: what else is set must not change the counts."""
    env = dict(os.environ, CARGO_PROFILE_BENCH_LTO="thin", CARGO_PROFILE_BENCH_CODEGEN_UNITS="4")
    command = ["cargo", "bench", "--locked", "--bench", "instructions", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=ROOT, env=env, stdout=subprocess.PIPE, check=True, text=True)
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "instructions":
            return message["executable"]
    raise SystemExit("cargo built no `instructions`")


def instructions(program, case, messages):
    with tempfile.TemporaryDirectory() as scratch:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={scratch}/out", program, case, str(messages)]
        ran = subprocess.run(command, cwd=scratch, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", ran.stderr)
    if ran.returncode or not found:
        raise SystemExit(f"{' '.join(command)} ended with {ran.returncode}:\n{ran.stderr}")
    return int(found.group(1))


def count(program):
    def each(case):
        return round((instructions(program, case, MANY) - instructions(program, case, FEW)) / (MANY - FEW))

    return {case: each(case) for case in CASES}


def compiler():
    return subprocess.run(["rustc", "--version"], stdout=subprocess.PIPE, check=True, text=True).stdout.strip()


def compare(counted, known):
    same = compiler() == known["compiler"]
    wrong = []
    for case, now in counted.items():
        before = known["instructions"][case]
        change = 100 * (now - before) / before
        print(f"{case}: {now} instructions a message, {before} before: {change:+.1f} %")
        if change > (TOLERANCE if same else ELSEWHERE) or same and change < -TOLERANCE:
            wrong.append(case)
    if not same:
        print(f"counted with {compiler()}, before with {known['compiler']}")
    if wrong:
        print(
            f"{', '.join(wrong)}: look for the cause (callgrind_annotate); where it is meant, or a gain, write it down:"
            " benches/instructions/check.py --write"
        )
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser()
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true")
    mode.add_argument("--write", action="store_true")
    parser.add_argument("--require", action="store_true")
    options = parser.parse_args()
    if not shutil.which("valgrind"):
        print("SKIPPED: valgrind is not installed, so that no instructions are counted (apt-get install valgrind)")
        return 2 if options.require else 0
    counted = count(build())
    if options.write:
        known = {"compiler": compiler(), "instructions": counted}
        COUNTS.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        print(f"{COUNTS.name}: {counted}")
        return 0
    return compare(counted, json.loads(COUNTS.read_text(encoding="utf-8")))


if __name__ == "__main__":
    sys.exit(main())
