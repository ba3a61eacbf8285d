#!/usr/bin/env python3
"""The README's first real account, followed literally: on a clean Debian booted by systemd-nspawn, each command as it is
written, until the first message has arrived. See ../README.md.

The provider is the sandbox. What makes Microsoft's addresses its own is a file of the test's in conf.d, put there behind
the README's; its client id, secret and mailbox are the README's example values. A script plays the person who signs in.
"""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from deb import ROOT, Box, Debian, Results, debian_made, launch, loopback_up  # noqa: E402
from base import Failure, Process, ensure, wait_until  # noqa: E402
from relay import Sandbox, opener  # noqa: E402

HEADING = "## A first real account"
LONGEST = 120  # seconds that a command may take


def commands():
    """The commands of the section's first block; those with a here-document are several lines."""
    with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
        section = file.read().split(HEADING, 1)[1]
    block = re.search(r"```sh\n(.*?)```", section, re.S).group(1)
    found, end = [], None
    for line in block.splitlines():
        if end:
            found[-1] += "\n" + line
            end = None if line == end else end
            continue
        found.append(line)
        here = re.search(r"<<'(\w+)'", line)
        end = here and here.group(1)
    return found


def value(text, key):
    return re.search(rf'^{key}\s*=\s*"([^"]*)"', text, re.M).group(1)


class Reader:
    """Somebody who types what the README says."""

    def __init__(self, debian, directory, sandbox_program):
        self.debian, self.commands = debian, commands()
        account = next(command for command in self.commands if "[account." in command)
        secret = next(command for command in self.commands if "<<'SECRET'" in command).splitlines()[1]
        self.id = re.search(r"\[account\.(\w+)\]", account).group(1)
        self.sandbox = Sandbox(sandbox_program, directory, "sandbox", ["--mechanisms", "XOAUTH2"],
                               username=value(account, "username"), client_id=value(account, "client_id"),
                               client_secret=secret)
        shutil.copy(self.sandbox.ca, debian.path("root/sandbox-ca.pem"))
        self.begun = time.monotonic()

    def sandbox_in_place_of_microsoft(self):
        with open(self.sandbox.ca, encoding="utf-8") as file, \
                open(self.debian.path("etc/waxseal/sandbox-ca.pem"), "w", encoding="utf-8") as copy:
            copy.write(file.read())
        with open(self.debian.path("etc/waxseal/conf.d/zz-sandbox.toml"), "w", encoding="utf-8") as file:
            file.write(f'[account.{self.id}]\naddress = "{self.sandbox.host}"\nport = {self.sandbox.port}\n'
                       f'ca_file = "../sandbox-ca.pem"\nscope = "mail offline_access"\n'
                       f'authorization_endpoint = "{self.sandbox.authorization_endpoint}"\n'
                       f'token_endpoint = "{self.sandbox.token_endpoint}"\n')

    def types(self, command):
        words = [*self.debian.enter, "bash", "-euo", "pipefail", "-c", "cd /root && " + command]
        settings = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root",
                    "LC_ALL": "C.UTF-8", "TERM": "dumb", "DEBIAN_FRONTEND": "noninteractive"}
        process = subprocess.Popen(words, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        said = ""
        try:
            if "account authorize" in command:
                for line in process.stdout:
                    said += line
                    url = re.search(r"https?://\S+", line)
                    if url and "/authorize" in url.group(0):
                        # The browser goes to the provider, agrees there, and comes back.
                        with opener().open(urllib.request.Request(url.group(0)), timeout=30) as page:
                            ensure(page.status == 200, f"the callback says {page.status}")
                        break
            rest, _ = process.communicate(timeout=LONGEST)
            said += rest
        finally:
            process.kill()
        ensure(process.returncode == 0, f"exit {process.returncode}: {said[-1200:]}")
        if "tee /etc/waxseal/conf.d" in command:
            self.sandbox_in_place_of_microsoft()
        return said


def inside(arguments):
    loopback_up()
    results, debian = Results(), Debian(os.path.join(arguments.inside, "root"))
    shutil.copy(arguments.deb, debian.path("root/"))
    box = None
    try:
        box = Box(debian)
        reader = Reader(debian, arguments.inside, arguments.sandbox)
        said = {}
        for command in reader.commands:
            shown = command.splitlines()[0].split("   #")[0].strip()
            if not results.check(shown, lambda typed=command: said.update({typed: reader.types(typed)})):
                break
        else:
            results.check("the test message and the program's have arrived", lambda: wait_until(
                "two arrivals", lambda: reader.sandbox.count() == 2) and f"{time.monotonic() - reader.begun:.0f} s from the package to here")
            trace = said[reader.commands[-1]]
            results.check("the trace has the provider's reply", lambda: ensure("250" in trace, trace))
    except Failure as problem:
        results.check("the Debian boots", lambda: ensure(False, str(problem)))
    finally:
        if box:
            box.end()
        Process.stop_all()
    print(f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped", flush=True)
    return 1 if results.failed else 0


def furnished(arguments, directory):
    """A Debian as people have it: with systemd and sudo, and somebody who says yes to apt."""
    reason = debian_made(arguments, directory)
    if reason:
        return reason
    debian = Debian(os.path.join(directory, "root"))
    shutil.copy(arguments.deb, debian.path("waxseal.deb"))
    try:
        debian.does("apt-get", "install", "-y", "-q", "--no-install-recommends", "systemd", "systemd-sysv", "dbus", "sudo")
        # What apt takes along by itself: inside there is no network.
        debian.does("apt-get", "install", "-y", "-q", "--download-only", "/waxseal.deb")
    except Failure as problem:
        return str(problem)
    finally:
        os.remove(debian.path("waxseal.deb"))
    with open(debian.path("etc/apt/apt.conf.d/yes"), "w", encoding="utf-8") as file:
        file.write('APT::Get::Assume-Yes "true";\n')
    return None


if __name__ == "__main__":
    sys.exit(launch(__file__, __doc__, inside, furnished, ["systemd-nspawn"]))
