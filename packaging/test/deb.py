#!/usr/bin/env python3
"""The .deb on a clean Debian: installed, used, upgraded with mail held, removed, installed again, purged. First without
systemd, then with it: the same Debian booted by systemd-nspawn. See ../README.md.

As root. debootstrap and apt fetch Debian into a temporary folder; what follows runs there with processes, mounts and
network of its own, which end with it.
"""

import argparse
import fcntl
import glob
import gzip
import hashlib
import json
import os
import shutil
import smtplib
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/interop"))

from base import PATIENCE, Failure, Process, ensure, environment, wait_until  # noqa: E402
from relay import Sandbox  # noqa: E402
from run import Forwarder  # noqa: E402

USER, DOMAIN, PASSWORD = "support@example.com", "example.com", "a password that is no word"
UNIT = "usr/lib/systemd/system/waxseal.service"
LINKS = ("/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases")
SEARCH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Results:
    """A line a check."""

    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def skip(self, why):
        self.skipped += 1
        print(f"SKIPPED: {why}", flush=True)

    def check(self, name, work):
        begun = time.monotonic()
        try:
            note, word = work() or "", "ok"
            self.passed += 1
        except (Failure, OSError, subprocess.SubprocessError, smtplib.SMTPException, LookupError, ValueError) as problem:
            note, word = f"{type(problem).__name__}: {problem}", "FAILED"
            self.failed += 1
        print(f"   {name}: {word}{', ' if note else ''}{note} ({time.monotonic() - begun:.1f} s)", flush=True)
        return word == "ok"


def unit_settings(path):
    """A unit's keys; each with all of its values."""
    settings = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith("#"):
                settings.setdefault(key, []).append(value)
    return settings


class Debian:
    """The Debian in the folder: what is in it, and commands that run there."""

    def __init__(self, root):
        self.root = root
        self.enter = ["chroot", root]

    def path(self, name):
        return os.path.join(self.root, name.lstrip("/"))

    def run(self, *words, **options):
        settings = {"PATH": SEARCH, "HOME": "/root", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        return subprocess.run([*self.enter, *words], env=settings, stdin=options.pop("stdin", subprocess.DEVNULL),
                              capture_output=True, text=True, timeout=600, check=False, **options)

    def does(self, *words):
        done = self.run(*words)
        ensure(done.returncode == 0, f"{' '.join(words)}: exit {done.returncode}: {(done.stdout + done.stderr)[-1500:]}")
        return done.stdout

    def install(self, deb, *more):
        """As unattended upgrades do: an administrator's file stays."""
        name = os.path.basename(deb)
        shutil.copy(deb, self.path(name))
        try:
            return self.does("apt-get", "install", "-y", "-q", "--no-install-recommends", "-o",
                             "Dpkg::Options::=--force-confold", *more, f"/{name}")
        finally:
            os.remove(self.path(name))

    def owner(self, name):
        """`0750 root waxseal`, by the names that this Debian has."""
        found = os.lstat(self.path(name))
        names = []
        for file, number in (("passwd", found.st_uid), ("group", found.st_gid)):
            with open(self.path("etc/" + file), encoding="utf-8") as lines:
                names.append(next(line.split(":")[0] for line in lines if line.split(":")[2] == str(number)))
        return f"{stat.S_IMODE(found.st_mode):04o} {' '.join(names)}"

    def numbers(self, user):
        with open(self.path("etc/passwd"), encoding="utf-8") as lines:
            fields = next(line.split(":") for line in lines if line.startswith(user + ":"))
        return int(fields[2]), int(fields[3])

    def present(self, name):
        return os.path.lexists(self.path(name))

    def processes(self):
        """Those that run the package's program, whoever started them. There are no others than ours here."""
        found = []
        for exe in glob.glob("/proc/[0-9]*/exe"):
            try:
                if os.path.basename(os.readlink(exe)).startswith("waxseal"):
                    found.append(int(exe.split("/")[2]))
            except OSError:
                continue
        return found


class Service:
    """The unit's own command line, started as systemd would with the unit's settings. What confines it further is for
    `systemd-analyze` to look at."""

    def __init__(self, debian):
        self.debian = debian
        self.log = os.path.join(os.path.dirname(debian.root), "service.log")
        self.process = None

    def start(self):
        unit = unit_settings(self.debian.path(UNIT))
        user, group = unit["User"][0], unit["Group"][0]
        settings = {"PATH": SEARCH, "LANG": "C.UTF-8", "USER": user, "LOGNAME": user, "NOTIFY_SOCKET": "/run/notify"}
        for kind, base in (("State", "/var/lib"), ("Runtime", "/run")):
            name = f"{base}/{unit[kind + 'Directory'][0]}"
            settings[kind.upper() + "_DIRECTORY"] = name
            os.makedirs(self.debian.path(name), exist_ok=True)
            os.chown(self.debian.path(name), *self.debian.numbers(user))
            os.chmod(self.debian.path(name), int(unit[kind + "DirectoryMode"][0], 8))
        keep = ",".join("+" + name.removeprefix("CAP_").lower() for name in unit["CapabilityBoundingSet"][0].split())
        # The environment is the unit's alone.
        words = ["chroot", self.debian.root, "env", "-i", *(f"{key}={value}" for key, value in settings.items()), "setpriv", "--reuid", user, "--regid", group, "--init-groups",
                 "--inh-caps", f"-all,{keep}", "--ambient-caps", f"-all,{keep}", "--bounding-set", f"-all,{keep}",
                 "--no-new-privs", *unit["ExecStart"][0].split()]
        at = self.debian.path("run/notify")
        if os.path.exists(at):
            os.remove(at)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, open(self.log, "ab") as log:
            manager.bind(at)
            os.chmod(at, 0o666)
            manager.settimeout(PATIENCE)
            self.process = Process(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, umask=int(unit["UMask"][0], 8))
            try:
                while "READY=1" not in (said := manager.recv(4096).decode()):
                    pass
            except TimeoutError:
                raise Failure(f"the service does not say that it is ready: {self.said()}") from None
        return said.replace("\n", ", ")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-1500:].strip()

    def stop(self):
        code = self.process.stop(patience=int(unit_settings(self.debian.path(UNIT))["TimeoutStopSec"][0].rstrip("s")))
        ensure(code == 0, f"exit {code}: {self.said()}")


class Box:
    """The Debian booted, with systemd as its first process; the network is the test's own."""

    HIERARCHIES = ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")

    def __init__(self, debian):
        self.debian = debian
        # A control group of its own, for systemd-nspawn makes some beside its own and leaves them.
        tops = [top for top in self.HIERARCHIES if os.path.isdir(top)] or ["/sys/fs/cgroup"]
        self.groups = [os.path.join(top, os.path.basename(os.path.dirname(debian.root))) for top in tops]
        joining = "".join(f"echo $$ >{group}/cgroup.procs; " for group in self.groups)
        for group in self.groups:
            os.mkdir(group)
        self.log = os.path.join(os.path.dirname(debian.root), "boot.log")
        with open(self.log, "wb") as log:
            words = ["systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe", "--directory",
                     debian.root]
            self.process = Process(["sh", "-euc", joining + 'exec "$@"', "sh", *words], stdin=subprocess.DEVNULL, stdout=log,
                                   stderr=log)
        try:
            leader = wait_until("systemd's process", self.leader)
            debian.enter = ["nsenter", "--all", "--target", str(leader), "--"]
            wait_until("the boot", self.booted)
        except Failure:
            self.end()
            raise

    def leader(self):
        with open(f"/proc/{self.process.child.pid}/task/{self.process.child.pid}/children", encoding="ascii") as file:
            for number in file.read().split():
                with open(f"/proc/{number}/comm", encoding="ascii") as name:
                    if name.read().strip() == "systemd":
                        return int(number)
        ensure(self.process.child.poll() is None, f"systemd-nspawn ended: {self.said()}")
        return None

    def booted(self):
        return self.debian.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded")

    def said(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()[-1500:]

    def end(self):
        self.debian.enter = ["chroot", self.debian.root]
        self.process.stop(patience=60)
        for group in self.groups:
            for at, _, _ in os.walk(group, topdown=False):
                os.rmdir(at)


class Way(Forwarder):
    """A forwarder that can be cut: what goes through it breaks off, too."""

    def __init__(self, to):
        super().__init__(to)
        self.ends = []

    def copy(self, one, other):
        self.ends.append(one)
        Forwarder.copy(one, other)

    def close(self):
        for end in (self.server, *self.ends):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.ends.clear()
        super().close()


class Story:
    """What an administrator does with the package, in order."""

    def __init__(self, arguments, results):
        self.arguments, self.results = arguments, results
        self.debian = Debian(os.path.join(arguments.inside, "root"))
        self.service = Service(self.debian)
        self.sent = 0
        self.sandbox = self.way = self.id = self.box = None
        self.version = subprocess.run(["dpkg-deb", "-f", arguments.deb, "Version"], capture_output=True, text=True,
                                      check=True).stdout.strip()
        self.edited = {}

    # ---- helpers

    def waxseal(self, *words):
        return self.debian.does("waxseal", *words)

    def recipient(self, name):
        """Each message has its own."""
        return f"{name}-{'booted' if self.box else 'unbooted'}@example.org"

    def queued(self):
        return json.loads(self.waxseal("queue", "list", "--json"))

    def send(self, recipient):
        with smtplib.SMTP("127.0.0.1", 25, local_hostname="app.example.com", timeout=PATIENCE) as client:
            client.sendmail(f"app@{DOMAIN}", [recipient], f"Subject: to {recipient}\r\n\r\nhello\r\n")

    def arrives(self, recipient):
        envelope, content = wait_until(f"the message to {recipient}", lambda: self.sandbox.arrived(recipient))
        self.sent += 1
        ensure(envelope["user"] == USER and envelope["tls"].startswith("TLS"), f"it came as {envelope}")
        ensure(b"hello" in content, f"its content is {content!r}")
        ensure(self.sandbox.count() == self.sent, f"{self.sandbox.count()} messages arrived, not {self.sent}")

    def kept(self):
        """The administrator's own files, as they were left."""
        for name, (digest, owner) in self.edited.items():
            with open(self.debian.path(name), "rb") as file:
                ensure(hashlib.sha256(file.read()).hexdigest() == digest, f"{name} has changed")
            ensure(self.debian.owner(name) == owner, f"{name} is {self.debian.owner(name)}, and was {owner}")

    def links(self):
        for link in LINKS:
            end = self.debian.does("readlink", "-f", link).strip()
            ensure(end == "/usr/bin/waxseal", f"{link} ends at {end}")

    def enabled(self):
        wanted = "etc/systemd/system/multi-user.target.wants/waxseal.service"
        ensure(self.debian.present(wanted), "the service is not enabled")
        ensure(not self.debian.present("etc/systemd/system/sockets.target.wants/waxseal.socket"), "the socket is enabled")
        ensure(not self.debian.present("etc/systemd/system/waxseal.service"), "the service is masked")

    # ---- installation

    def installed(self):
        self.debian.install(self.arguments.deb)
        state = self.debian.does("dpkg-query", "-W", "-f", "${Status} ${Version} ${Provides}", "waxseal")
        ensure(state == f"install ok installed {self.version} mail-transport-agent", state)
        changed = self.debian.does("dpkg", "--verify", "waxseal")
        ensure(not changed, changed)
        ensure(not self.debian.processes(), "something runs, though systemd does not")
        return self.version

    def user(self):
        line = self.debian.does("getent", "passwd", "waxseal").strip()
        fields = line.split(":")
        ensure(int(fields[2]) < 1000 and fields[5] == "/var/lib/waxseal" and fields[6].endswith("nologin"), line)
        return line

    def owners(self):
        wanted = {
            "/usr/bin/waxseal": "0755 root root",
            "/etc/waxseal": "0750 root waxseal",
            "/etc/waxseal/waxseal.toml": "0640 root waxseal",
            "/etc/waxseal/conf.d": "0770 root waxseal",
            "/etc/waxseal/secrets": "2750 root waxseal",
            "/var/spool/waxseal": "0755 waxseal waxseal",
            "/var/spool/waxseal/drop": "3733 waxseal waxseal",
            "/var/spool/waxseal/taken": "0700 waxseal waxseal",
            "/var/spool/waxseal/aside": "0700 waxseal waxseal",
            "/" + UNIT: "0644 root root",
            "/usr/lib/systemd/system/waxseal.socket": "0644 root root",
        }
        wrong = [f"{name} is {self.debian.owner(name)}, not {owner}" for name, owner in wanted.items()
                 if self.debian.owner(name) != owner]
        ensure(not wrong, "; ".join(wrong))

    def conffiles(self):
        said = self.debian.does("dpkg-query", "-W", "-f", "${Conffiles}", "waxseal").split()[::2]
        ensure(said == ["/etc/waxseal/waxseal.toml"], said)

    def manual(self):
        pages = [self.debian.path(f"usr/share/man/man{name[-1]}/{name}.gz")
                 for name in ("waxseal.1", "waxseal-serve.1", "waxseal-queue-list.1", "waxseal.toml.5")]
        for page in pages:
            with gzip.open(page, "rt", encoding="utf-8") as file:
                ensure(".SH NAME" in file.read(), f"{page} is no manual page")
        count = len(glob.glob(self.debian.path("usr/share/man/man*/waxseal*.gz")))
        documents = self.debian.does("dpkg-query", "-L", "waxseal").split()
        for name in ("README.md", "copyright", "CHANGELOG.md", "docs/sendmail.md", "examples/waxseal.toml",
                     "examples/microsoft.toml"):
            ensure(f"/usr/share/doc/waxseal/{name}" in documents, f"{name} is not among the documents")
        return f"{count} pages"

    def completions(self):
        script = "source /usr/share/bash-completion/completions/waxseal && complete -p waxseal"
        self.debian.does("bash", "-c", script)
        for name, mark in (("zsh/vendor-completions/_waxseal", "#compdef waxseal"),
                           ("fish/vendor_completions.d/waxseal.fish", "complete -c waxseal")):
            with open(self.debian.path("usr/share/" + name), encoding="utf-8") as file:
                ensure(mark in file.read(), f"{name} has no {mark}")

    def build(self):
        said = self.waxseal("--version").strip()
        ensure(said.startswith(f"waxseal {self.version.rsplit('-', 1)[0]} ("), said)
        ensure(self.debian.does("sendmail", "--version").strip() == said, "sendmail --version differs")
        return said

    def verified(self):
        units = [f"/{UNIT}", "/usr/lib/systemd/system/waxseal.socket"]
        done = self.debian.run("systemd-analyze", "verify", "--man=no", *units)
        said = [line for line in (done.stdout + done.stderr).splitlines() if "waxseal" in line]
        ensure(done.returncode == 0 and not said, f"exit {done.returncode}: {done.stderr.strip()}")

    def confined(self):
        # 20 is a rating of 2.0.
        said = self.debian.does("systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", f"/{UNIT}")
        return said.strip().splitlines()[-1].lstrip("→ ")

    # ---- use

    def starts_as_installed(self):
        said = self.service.start()
        status = json.loads(self.waxseal("status", "--json"))
        ensure(status["listeners"], status)
        with smtplib.SMTP("127.0.0.1", 25, timeout=PATIENCE) as client:
            client.ehlo("app.example.com")
            code, text = client.mail(f"app@{DOMAIN}")
        ensure(code == 550 and DOMAIN in text.decode(), f"without an account, MAIL gets {code} {text}")
        self.service.stop()
        return said

    def configured(self):
        """An account in conf.d, and a line in the main file."""
        if self.sandbox is None:
            self.sandbox = Sandbox(self.arguments.sandbox, self.arguments.inside, "sandbox", ["--mechanisms", "PLAIN"],
                                   username=USER, password=PASSWORD)
            self.way = Way(self.sandbox.port)
            self.way.open()
        group = self.debian.numbers("waxseal")[1]
        shutil.copy(self.sandbox.ca, self.debian.path("etc/waxseal/sandbox-ca.pem"))
        with open(self.debian.path("etc/waxseal/conf.d/support.toml"), "w", encoding="utf-8") as file:
            file.write(f'[account.support]\ntype = "basic"\ndomain = "{DOMAIN}"\naddress = "{self.way.host}"\n'
                       f'port = {self.way.port}\nca_file = "../sandbox-ca.pem"\nusername = "{USER}"\n'
                       f'password = "{PASSWORD}"\n')
        with open(self.debian.path("etc/waxseal/waxseal.toml"), "a", encoding="utf-8") as file:
            file.write('hostname = "relay.example.com"\n[queue]\nretry = ["2s"]\n')
        for name in ("etc/waxseal/sandbox-ca.pem", "etc/waxseal/conf.d/support.toml"):
            os.chown(self.debian.path(name), 0, group)
            os.chmod(self.debian.path(name), 0o640)
        # An administrator's choice that an upgrade is not to undo.
        os.chmod(self.debian.path("etc/waxseal/waxseal.toml"), 0o660)
        for name in ("etc/waxseal/waxseal.toml", "etc/waxseal/conf.d/support.toml"):
            with open(self.debian.path(name), "rb") as file:
                self.edited[name] = hashlib.sha256(file.read()).hexdigest(), self.debian.owner(name)
        self.waxseal("check")

    def configured_and_started(self):
        self.configured()
        self.service.start()

    def as_the_unit_says(self):
        lines = {}
        with open(f"/proc/{self.debian.processes()[0]}/status", encoding="ascii") as file:
            for line in file:
                key, _, value = line.partition(":")
                lines[key] = value.split()
        ensure(lines["Uid"] == [str(self.debian.numbers("waxseal")[0])] * 4, f"its user is {lines['Uid']}")
        # CAP_NET_BIND_SERVICE is number 10.
        ensure(all(int(lines[name][0], 16) == 1 << 10 for name in ("CapEff", "CapBnd", "CapAmb")), f"{lines['CapEff']}")
        ensure(lines["NoNewPrivs"] == ["1"], "it may gain privileges")
        ensure(self.debian.owner("/var/lib/waxseal") == "0700 waxseal waxseal", self.debian.owner("/var/lib/waxseal"))

    def smtp(self):
        self.send(self.recipient("smtp"))
        self.arrives(self.recipient("smtp"))

    def sendmail(self, recipient):
        """By cron's way: any user, the link, standard input."""
        words = [*self.debian.enter, "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups",
                 "/usr/sbin/sendmail", "-f", f"cron@{DOMAIN}", recipient]
        done = subprocess.run(words, env={"PATH": SEARCH}, input="Subject: cron\n\nhello\n", capture_output=True, text=True,
                              timeout=PATIENCE, check=False)
        ensure(done.returncode == 0, f"exit {done.returncode}: {done.stderr.strip()}")

    def by_sendmail(self):
        self.sendmail(self.recipient("sendmail"))
        self.arrives(self.recipient("sendmail"))

    def by_spool(self):
        self.service.stop()
        self.sendmail(self.recipient("spool"))
        names = os.listdir(self.debian.path("var/spool/waxseal/drop"))
        ensure(len(names) == 1, f"in the spool: {names}")
        self.service.start()
        self.arrives(self.recipient("spool"))

    def holds(self):
        self.way.close()
        self.send(self.recipient("held"))
        waiting = wait_until("the message in the queue", self.queued)
        self.id = waiting[0]["id"]
        wait_until("a message that no worker has in hand", lambda: self.queued()[0]["state"] in ("queued", "deferred", "held"))
        self.waxseal("queue", "hold", self.id)
        ensure([m["state"] for m in self.queued()] == ["held"], self.queued())
        return self.id

    # ---- upgrade, removal

    def next_build(self):
        """The same package, later, with a configuration file that has changed as well."""
        parts = tempfile.mkdtemp(dir=self.arguments.inside)
        subprocess.run(["dpkg-deb", "-R", self.arguments.deb, parts], check=True)
        later = self.version + "+next"
        for name, old, new in (("DEBIAN/control", f"Version: {self.version}", f"Version: {later}"),
                               ("etc/waxseal/waxseal.toml", "# waxseal's", "# Since the last version: waxseal's")):
            with open(os.path.join(parts, name), encoding="utf-8") as file:
                text = file.read()
            ensure(old in text, f"{name} has no {old}")
            with open(os.path.join(parts, name), "w", encoding="utf-8") as file:
                file.write(text.replace(old, new, 1))
        deb = os.path.join(self.arguments.inside, "waxseal_next.deb")
        subprocess.run(["dpkg-deb", "-Zgzip", "-z1", "-b", parts, deb], check=True, stdout=subprocess.DEVNULL)
        return deb, later

    def upgrade(self):
        deb, later = self.next_build()
        self.debian.install(deb)
        state = self.debian.does("dpkg-query", "-W", "-f", "${Status} ${Version}", "waxseal")
        ensure(state == f"install ok installed {later}", state)
        return later

    def upgraded(self):
        later = self.upgrade()
        ensure(self.service.process.child.poll() is None, "the daemon ended, and nobody is there to start it again")
        ensure(self.debian.present("etc/waxseal/waxseal.toml.dpkg-dist"), "the new configuration file is not laid beside")
        self.kept()
        self.links()
        self.enabled()
        # The unit's restart, in systemd's place.
        self.service.stop()
        self.service.start()
        ensure([(m["id"], m["state"]) for m in self.queued()] == [(self.id, "held")], self.queued())
        return later

    def released(self):
        self.way.open()
        self.waxseal("queue", "release", self.id)
        self.arrives(self.recipient("held"))
        wait_until("an empty queue", lambda: not self.queued())

    def removed(self):
        self.way.close()
        self.send(self.recipient("removed"))
        ensure(len(wait_until("the message in the queue", self.queued)) == 1, self.queued())
        ensure(self.debian.processes(), "the daemon does not run")
        self.debian.does("apt-get", "remove", "-y", "-q", "waxseal")
        code = self.service.process.child.wait(PATIENCE)
        ensure(code == 0 and not self.debian.processes(), f"exit {code}, running: {self.debian.processes()}")
        left = [name for name in (*LINKS, "/usr/bin/waxseal", f"/{UNIT}") if self.debian.present(name)]
        ensure(not left, f"still there: {left}")
        self.kept()
        ensure(glob.glob(self.debian.path("var/lib/waxseal/queue/journal/*.wxj")), "the queue is gone")

    def installed_again(self):
        self.debian.install(self.arguments.deb)
        self.kept()
        self.links()
        self.enabled()
        self.way.open()
        self.service.start()
        self.arrives(self.recipient("removed"))

    def purged(self):
        said = self.debian.does("apt-get", "purge", "-y", "-q", "waxseal")
        places = ("/etc/waxseal", "/var/lib/waxseal", "/var/spool/waxseal")
        untold = [name for name in places if f"purging {name}:" not in said]
        ensure(not untold, f"nothing was said of {untold}: {said[-500:]}")
        ensure(not self.debian.processes(), f"running: {self.debian.processes()}")
        left = [name for name in self.named_files() if not name.startswith(("/var/log/", "/run/"))]
        ensure(not left, f"still there: {left}")

    def named_files(self):
        """Everything that has the package's name in its own."""
        found = []
        for at, directories, files in os.walk(self.debian.root):
            if at == self.debian.path("proc"):
                directories.clear()
                continue
            found += [os.path.join(at, name)[len(self.debian.root):] for name in directories + files if "waxseal" in name]
        return found

    # ---- with systemd

    def manager(self, *words):
        return self.debian.does("systemctl", *words).strip()

    def main_process(self):
        return int(self.manager("show", "--value", "--property=MainPID", "waxseal.service"))

    def active(self):
        return self.debian.run("systemctl", "is-active", "waxseal.service").stdout.strip()

    def boots(self):
        """Installed while nothing runs, as in an image: the next boot starts it."""
        self.debian.install(self.arguments.deb)
        self.enabled()
        ensure(not self.debian.processes(), "something runs, though systemd does not")
        # systemd mounts its own, and does not start where one is.
        subprocess.run(["umount", self.debian.path("proc")], check=True)
        self.box = Box(self.debian)
        wait_until("the service is active", lambda: self.active() == "active")
        ensure(self.main_process() in self.own_processes(), f"main process {self.main_process()}")
        ensure(self.debian.owner("/var/lib/waxseal") == "0700 waxseal waxseal", self.debian.owner("/var/lib/waxseal"))

    def own_processes(self):
        """The program's, by their numbers in the box."""
        found = []
        for number in self.debian.processes():
            with open(f"/proc/{number}/status", encoding="ascii") as file:
                found.append(int(next(line for line in file if line.startswith("NSpid:")).split()[-1]))
        return found

    def reloaded(self):
        self.configured()
        before = self.main_process()
        self.manager("reload", "waxseal.service")
        ensure(self.main_process() == before, "reloading made it another process")
        wait_until("the account", lambda: json.loads(self.waxseal("account", "list", "--json")))
        self.smtp()

    def restarted_by_upgrade(self):
        self.holds()
        before = self.main_process()
        later = self.upgrade()
        ensure(self.active() == "active", self.active())
        ensure(self.main_process() not in (0, before), "the upgrade did not restart it")
        ensure(self.own_processes() == [self.main_process()], f"running: {self.own_processes()}")
        with open(f"/proc/{self.debian.processes()[0]}/exe", "rb") as running, \
                open(self.debian.path("usr/bin/waxseal"), "rb") as there:
            ensure(os.fstat(running.fileno()).st_ino == os.fstat(there.fileno()).st_ino, "the old program still runs")
        self.kept()
        ensure([(m["id"], m["state"]) for m in self.queued()] == [(self.id, "held")], self.queued())
        return later

    def disabled_stays_so(self):
        """What an administrator has switched off, an upgrade does not switch on."""
        self.manager("disable", "--now", "waxseal.service")
        self.debian.install(self.arguments.deb, "--allow-downgrades")
        ensure(self.active() == "inactive" and not self.debian.processes(), f"{self.active()}, {self.debian.processes()}")
        ensure(self.manager("list-unit-files", "--no-legend", "waxseal.service").split()[1] == "disabled", "it is enabled")
        self.manager("enable", "--now", "waxseal.service")
        ensure([m["id"] for m in self.queued()] == [self.id], self.queued())

    def stopped_by_removal(self):
        self.debian.does("apt-get", "remove", "-y", "-q", "waxseal")
        ensure(self.active() == "inactive" and not self.debian.processes(), f"{self.active()}, {self.debian.processes()}")
        self.kept()
        ensure(glob.glob(self.debian.path("var/lib/waxseal/queue/journal/*.wxj")), "the queue is gone")

    def started_by_installation(self):
        self.debian.install(self.arguments.deb)
        ensure(self.active() == "active", self.active())
        self.kept()
        self.released()

    def told(self):
        chapters = {
            "installation": [
                ("apt installs it, with what it depends on", self.installed), ("user", self.user),
                ("owners and modes", self.owners), ("configuration files", self.conffiles),
                ("manual and documents", self.manual), ("completions", self.completions),
                ("sendmail, mailq and newaliases", self.links), ("version and build", self.build),
                ("enabled", self.enabled), ("systemd-analyze verify", self.verified),
                ("systemd-analyze security", self.confined)],
            "use, as the unit runs it": [
                ("the configuration as installed starts", self.starts_as_installed),
                ("an account in conf.d", self.configured_and_started), ("user, capabilities, privileges", self.as_the_unit_says),
                ("a message by SMTP arrives", self.smtp), ("a message by /usr/sbin/sendmail arrives", self.by_sendmail),
                ("a message spooled while the daemon is down arrives", self.by_spool)],
            "upgrade, removal, purge": [
                ("a message is held", self.holds), ("upgrade keeps queue and configuration", self.upgraded),
                ("the held message goes when it is released", self.released),
                ("removal ends the daemon, keeps queue and configuration", self.removed),
                ("installed again, the queue goes on", self.installed_again), ("purge", self.purged)],
            "with systemd": [
                ("installed, then booted, it runs", self.boots), ("systemctl reload takes an account", self.reloaded),
                ("user, capabilities, privileges", self.as_the_unit_says),
                ("upgrade restarts it, keeps queue and configuration", self.restarted_by_upgrade),
                ("an upgrade leaves it off where it is", self.disabled_stays_so),
                ("removal stops it, keeps queue and configuration", self.stopped_by_removal),
                ("installed again, it starts, and the held message goes", self.started_by_installation),
                ("purge", self.purged)],
        }
        if not shutil.which("systemd-nspawn"):
            del chapters["with systemd"]
            self.results.skip("systemd-nspawn is not installed, so that nothing is known of it under systemd")
        for chapter, checks in chapters.items():
            print(chapter, flush=True)
            for name, work in checks:
                # What is looked at after the installation stands by itself; everything else builds on what went before.
                if not self.results.check(name, work) and (chapter != "installation" or work == self.installed):
                    if os.path.exists(self.service.log):
                        print(self.service.said())
                    print("NOT TRIED, all that comes later in the story: it needs what failed", flush=True)
                    return


def loopback_up():
    with socket.socket() as one:
        # SIOCSIFFLAGS, IFF_UP and IFF_RUNNING.
        fcntl.ioctl(one, 0x8914, struct.pack("16sH14x", b"lo", 0x41))


def inside(arguments):
    """In namespaces of its own: whatever is left open, mounted or running here ends with this process."""
    loopback_up()
    proc = os.path.join(arguments.inside, "root/proc")
    subprocess.run(["mount", "-t", "proc", "proc", proc], check=True)
    results = Results()
    story = Story(arguments, results)
    try:
        story.told()
    finally:
        if story.box:
            story.box.end()
        Process.stop_all()
        if os.path.ismount(proc):
            subprocess.run(["umount", proc], check=True)
    print(f"{results.passed} passed, {results.failed} failed, {results.skipped} skipped", flush=True)
    return 1 if results.failed or (arguments.require and results.skipped) else 0


def missing(arguments):
    """What cannot be done without, in a sentence; None where all is there."""
    if os.getuid() != 0:
        return "it takes root"
    for program in ("debootstrap", "unshare", "chroot", "dpkg-deb"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.exists(arguments.sandbox):
        return f"{arguments.sandbox} is not built: cargo build --example sandbox"
    if subprocess.run(["unshare", "--mount", "--net", "--pid", "--fork", "true"], capture_output=True, check=False).returncode:
        return "namespaces are not to be had here"
    return None


def suite():
    """The Debian that the .deb was built on."""
    with open("/etc/os-release", encoding="utf-8") as file:
        keys = dict(line.strip().split("=", 1) for line in file if "=" in line)
    return keys["VERSION_CODENAME"] if keys.get("ID") == "debian" else "bookworm"


def debian_made(arguments, directory):
    """debootstrap, and what the package depends on fetched: inside there is no network."""
    root = os.path.join(directory, "root")
    begun = time.monotonic()
    words = ["debootstrap", "--variant=minbase", arguments.suite, root, arguments.mirror]
    done = subprocess.run(words, capture_output=True, text=True, timeout=900, check=False)
    if done.returncode:
        return f"{' '.join(words)}: exit {done.returncode}: {(done.stdout + done.stderr)[-800:]}"
    debian = Debian(root)
    shutil.copy(arguments.deb, debian.path("waxseal.deb"))
    try:
        debian.does("apt-get", "update", "-q")
        debian.does("apt-get", "install", "-y", "-q", "--no-install-recommends", "--download-only", "/waxseal.deb")
    except Failure as problem:
        return str(problem)
    finally:
        os.remove(debian.path("waxseal.deb"))
    print(f"Debian {arguments.suite}, minimal ({time.monotonic() - begun:.0f} s)", flush=True)
    return None


def launch(script, description, within, prepare, programs=()):
    """Makes the Debian, then runs `script` again in namespaces of its own, where `within` goes on. What cannot be done
    is said as SKIPPED."""
    parser = argparse.ArgumentParser(description=description.split("\n", maxsplit=1)[0])
    parser.add_argument("--deb", help="default: the one in target/debian")
    parser.add_argument("--sandbox", default=os.path.join(ROOT, "target/debug/examples/sandbox"))
    parser.add_argument("--suite", default=suite())
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--require", action="store_true", help="what is skipped is a failure")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        return within(arguments)
    built = sorted(glob.glob(os.path.join(ROOT, "target/debian/waxseal_*.deb")), key=os.path.getmtime)
    if not (arguments.deb or built):
        print("there is no .deb: packaging/build-deb.sh")
        return 1
    arguments.deb = os.path.abspath(arguments.deb or built[-1])
    arguments.sandbox = os.path.abspath(arguments.sandbox)
    directory = tempfile.mkdtemp(prefix="waxseal-debian-")
    try:
        os.chmod(directory, 0o755)
        lacking = [program for program in programs if not shutil.which(program)]
        reason = missing(arguments) or (f"{', '.join(lacking)} is not installed" if lacking else None)
        reason = reason or prepare(arguments, directory)
        if reason:
            print(f"SKIPPED, ALL OF IT: {reason}\n0 passed, {int(arguments.require)} failed, 1 skipped")
            return int(arguments.require)
        words = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable,
                 os.path.abspath(script), "--inside", directory, "--deb", arguments.deb, "--sandbox", arguments.sandbox,
                 *(["--require"] if arguments.require else [])]
        return subprocess.run(words, env=environment(), check=False).returncode
    finally:
        mounted = [line.split()[1] for line in open("/proc/mounts", encoding="utf-8") if f" {directory}/" in line]
        if mounted:
            print(f"LEFT BEHIND, something is still mounted there: {mounted}")
        else:
            shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(launch(__file__, __doc__, inside, debian_made))
