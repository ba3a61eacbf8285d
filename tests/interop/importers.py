#!/usr/bin/env python3
"""The importers on the tools' own samples, as Debian's packages have them: fetched, unpacked below a scratch directory, and
never installed. Email OAuth 2.0 Proxy has no package with its sample in it; `tests/import` has one with the same settings."""

import argparse
import glob
import gzip
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

from base import ROOT, Failure, ensure, environment
from clients import Results

PACKAGES = ("msmtp", "ssmtp", "postfix")


def fetched(directory, name):
    """The package's files and its control files."""
    root, control = os.path.join(directory, name), os.path.join(directory, name + "-control")
    debs = os.path.join(directory, name + "-deb")
    os.makedirs(debs)
    words = ["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", name]
    for again in (False, True):
        done = subprocess.run(words, cwd=debs, capture_output=True, text=True, timeout=120)
        if done.returncode == 0:
            break
        ensure(not again, f"apt-get download {name}: {done.stderr.strip()[-300:]}")
        subprocess.run(["apt-get", "-qq", "update"], capture_output=True, timeout=300)
    deb = glob.glob(os.path.join(debs, "*.deb"))[0]
    subprocess.run(["dpkg-deb", "-x", deb, root], check=True)
    subprocess.run(["dpkg-deb", "-e", deb, control], check=True)
    return root, control


class Host:
    """A configuration of its own, and the importer's answers."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, tempfile.mkdtemp(dir=directory)
        self.config = os.path.join(self.directory, "waxseal.toml")
        with open(self.config, "w", encoding="ascii") as file:
            file.write('hostname = "relay.example.com"\n')

    def run(self, *words):
        return subprocess.run([self.binary, "--config", self.config, *words], env=environment(), capture_output=True,
                              text=True, timeout=30)

    def takes(self, tool, path, accounts):
        """What it wrote has to be these accounts, and `check` has to take it."""
        done = self.run("import", tool, path, "--json")
        ensure(done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip()}")
        written = [account["id"] for account in json.loads(done.stdout)]
        ensure(written == accounts, f"it wrote {written}")
        checked = self.run("check")
        ensure(checked.returncode == 0, f"check: {checked.stderr.strip()}")
        return f"ok: {', '.join(written)}"


def ssmtp_conf(directory, control):
    """The file that Debian's postinst writes, by its own lines."""
    with open(os.path.join(control, "postinst"), encoding="utf-8") as file:
        text = file.read()
    found = re.search(r'exec 1>/etc/ssmtp/ssmtp.conf\n(.*?)\nfi\n\n# Program End', text, re.DOTALL)
    ensure(found, "Debian's postinst of ssmtp has changed")
    answers = "root=postmaster mailhub=mail.example.com port=465 rewritedomain=example.com hostname=host.example.com FromOverride=YES"
    done = subprocess.run(["sh", "-c", answers.replace(" ", "\n") + "\n" + found[1]], capture_output=True, text=True, check=True)
    path = os.path.join(directory, "ssmtp.conf")
    with open(path, "w", encoding="utf-8") as file:
        file.write(done.stdout)
    return path


def everything(binary, directory, results):
    def host():
        return Host(binary, directory)

    roots = {}
    for name in PACKAGES:
        try:
            roots[name] = fetched(directory, name)
        except (Failure, OSError, subprocess.SubprocessError) as problem:
            results.skip(name, str(problem))
    if "msmtp" in roots:
        examples = os.path.join(roots["msmtp"][0], "usr/share/doc/msmtp/examples")
        for kind, accounts in (("user", ["freemail", "freemail2", "company"]), ("system", ["mail-oursite-example"])):
            path = os.path.join(examples, f"msmtprc-{kind}.example")
            if os.path.exists(path + ".gz"):
                with gzip.open(path + ".gz") as packed, open(path, "wb") as plain:
                    shutil.copyfileobj(packed, plain)
            results.check("msmtp", f"msmtprc-{kind}.example", lambda: host().takes("msmtp", path, accounts))
    if "ssmtp" in roots:
        results.check("ssmtp", "ssmtp.conf of Debian's postinst", lambda: host().takes(
            "ssmtp", ssmtp_conf(directory, roots["ssmtp"][1]), ["mail-example-com"]))
    if "postfix" in roots:
        with open(os.path.join(roots["postfix"][0], "usr/share/postfix/main.cf.debian"), encoding="utf-8") as file:
            stock = file.read()
        etc = os.path.join(directory, "etc-postfix")
        os.makedirs(etc)
        main = os.path.join(etc, "main.cf")

        def as_it_comes():
            with open(main, "w", encoding="utf-8") as file:
                file.write(stock)
            done = host().run("import", "postfix", main)
            ensure(done.returncode == 1 and "relayhost" in done.stderr, f"exit {done.returncode}: {done.stderr.strip()}")

        def with_a_smarthost():
            # What SASL_README has for one smarthost with a password.
            with open(main, "w", encoding="utf-8") as file:
                file.write(stock + "\nsmtp_sasl_auth_enable = yes\nsmtp_tls_security_level = encrypt\n"
                           "smtp_sasl_tls_security_options = noanonymous\nrelayhost = [mail.isp.example]:submission\n"
                           f"smtp_sasl_password_maps = hash:{etc}/sasl_passwd\n")
            with open(os.path.join(etc, "sasl_passwd"), "w", encoding="utf-8") as file:
                file.write("[mail.isp.example]:submission username:canary-password\n")
            return host().takes("postfix", main, ["mail-isp-example"])

        results.check("postfix", "main.cf as it comes: no smarthost, nothing to carry", as_it_comes)
        results.check("postfix", "main.cf with the smarthost of SASL_README", with_a_smarthost)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--require", action="store_true", help="a package that is not to be had is a failure")
    arguments = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="waxseal-importers-")
    results = Results()
    try:
        everything(os.path.abspath(arguments.binary), directory, results)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    if results.skipped:
        print(f"SKIPPED, NOT TO BE HAD: {', '.join(results.skipped)}\n")
    print(f"{len(results.rows) - results.failed} passed, {results.failed} failed, {len(results.skipped)} skipped")
    return 1 if results.failed or (arguments.require and results.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
