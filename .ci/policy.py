#!/usr/bin/env python3
"""Checks the dependency trees, the program's and the fuzz targets', against deny.toml: licences, banned crates, sources.

The same lists as cargo-deny's, with nothing but Python's standard library (3.11) and cargo, so that CI needs no
further tool. Several versions of a crate are listed and do no harm. Exit 0: in order; 1: not; 2: cannot be checked.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MANIFESTS = ["Cargo.toml", "fuzz/Cargo.toml"]
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


def tokens(expression):
    """An SPDX expression in pieces. Old crates write `/` for OR."""
    return re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))


def allowed(expression, allow):
    """Whether an SPDX expression can be met with the licences in `allow`. AND binds closer than OR, WITH closest."""
    pieces = tokens(expression)
    at = 0

    def peek():
        return pieces[at] if at < len(pieces) else None

    def take():
        nonlocal at
        piece = peek()
        if piece is None:
            raise ValueError(f"{expression!r} ends too soon")
        at += 1
        return piece

    def either():
        result = both()
        while peek() == "OR":
            take()
            right = both()
            result = result or right
        return result

    def both():
        result = single()
        while peek() == "AND":
            take()
            right = single()
            result = result and right
        return result

    def single():
        piece = take()
        if piece == "(":
            result = either()
            if take() != ")":
                raise ValueError(f"{expression!r} lacks a bracket")
            return result
        if piece in (")", "OR", "AND", "WITH"):
            raise ValueError(f"{expression!r} has {piece} in the wrong place")
        if peek() == "WITH":
            take()
            piece = f"{piece} WITH {take()}"
        return piece in allow

    result = either()
    if peek() is not None:
        raise ValueError(f"{expression!r} goes on behind its end")
    return result


def self_test():
    allow = {"MIT", "ISC", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"}
    cases = [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("GPL-3.0/MIT", True),
        ("MIT AND GPL-3.0", False),
        ("MIT AND ISC", True),
        ("GPL-3.0 OR MIT AND ISC", True),
        ("(GPL-3.0 OR MIT) AND LGPL-2.1", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("MIT WITH LLVM-exception", False),
    ]
    for expression, wanted in cases:
        if allowed(expression, allow) is not wanted:
            raise AssertionError(f"{expression} is judged wrongly")
    for broken in ["", "(MIT", "MIT OR", "MIT ISC", "AND"]:
        try:
            allowed(broken, allow)
        except ValueError:
            continue
        raise AssertionError(f"{broken!r} is no expression and passes")


def trees():
    """The packages of all trees by their id, and the ids of our own."""
    packages, own = {}, set()
    for manifest in MANIFESTS:
        command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", manifest]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
        if done.returncode != 0:
            sys.exit(2)
        tree = json.loads(done.stdout)
        packages |= {package["id"]: package for package in tree["packages"]}
        own |= set(tree["workspace_members"])
    return packages, own


def main():
    self_test()
    policy = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    allow = set(policy["licenses"]["allow"])
    denied = {entry["crate"]: entry["reason"] for entry in policy["bans"]["deny"]}
    if policy["sources"]["allow-registry"] != [CRATES_IO.removeprefix("registry+")] or policy["sources"]["allow-git"]:
        print("policy: deny.toml allows other sources than crates.io, which this script does not know")
        return 2
    packages, own = trees()
    problems, versions, met = [], defaultdict(set), set()
    for package in packages.values():
        name = f"{package['name']} {package['version']}"
        versions[package["name"]].add(package["version"])
        if package["name"] in denied:
            problems.append(f"{name} is banned: {denied[package['name']]}")
        if package["id"] not in own and package["source"] != CRATES_IO:
            problems.append(f"{name} comes from {package['source'] or package['manifest_path']}, not from crates.io")
        expression = package["license"]
        try:
            if not expression:
                problems.append(f"{name} names no licence")
            elif not allowed(expression, allow):
                problems.append(f"{name} has a licence that is not allowed: {expression}")
            else:
                met.update(licence for licence in allow if licence in expression)
        except ValueError as error:
            problems.append(f"{name}: {error}")
    for name, found in sorted(versions.items()):
        if len(found) > 1:
            print(f"policy: note: {name} in {len(found)} versions: {', '.join(sorted(found))}")
    for licence in sorted(allow - met):
        print(f"policy: note: no crate needs {licence} any more")
    for problem in sorted(problems):
        print(f"policy: {problem}")
    print(f"policy: {len(packages)} packages, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
