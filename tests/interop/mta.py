#!/usr/bin/env python3
"""Debian's Postfix and Exim, unpacked beside each other and run without touching the system.

Installed, each would drive the other out (and mailx would bring in one of them). `python3 tests/interop/mta.py` fetches both with `apt-get download`, unpacks
them below `target/interop`, and sees to the libraries and the users that they need; it wants root. As servers and as
clients they run as Debian configures them, from directories of their own, on loopback ports.
"""

import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import sys

from base import ROOT, Failure, Process, ensure, environment, wait_until

HOME = os.path.join(ROOT, "target", "interop")
PACKAGES = {"postfix": ["postfix"], "exim": ["exim4-base", "exim4-config", "exim4-daemon-light"],
            "bsd-mailx": ["bsd-mailx"]}
USERS = {"postfix": "postfix", "exim": "Debian-exim"}  # as Debian names them; Exim's is compiled in
DROP_GROUP = "postdrop"


def root_of(name):
    return os.path.join(HOME, name)


def missing(name):
    """Why a server cannot be run here, in a few words, or None."""
    if os.geteuid() != 0:
        return "needs root"
    if not os.path.exists(os.path.join(root_of(name), "version")):
        return "not unpacked; run `python3 tests/interop/mta.py`"
    try:
        pwd.getpwnam(USERS[name])
    except KeyError:
        return f"no user {USERS[name]}; run `python3 tests/interop/mta.py`"
    return None


def version(name):
    """Debian's version of the package, such as `4.96-15+deb12u10`."""
    with open(os.path.join(root_of(name), "version"), encoding="utf-8") as file:
        return file.read().strip()


# ---------------------------------------------------------------------------------------------------------------
# Fetching


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=300, **options)
    ensure(done.returncode == 0, f"{' '.join(words[:4])}: exit {done.returncode}: {done.stderr.strip()[-800:]}")
    return done.stdout


def fetch(name):
    root, debs = root_of(name), os.path.join(HOME, name + "-debs")
    shutil.rmtree(root, ignore_errors=True)
    shutil.rmtree(debs, ignore_errors=True)
    os.makedirs(root)
    os.makedirs(debs)
    download = ("apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES[name])
    try:
        run(*download, cwd=debs)
    except Failure:
        # The lists of packages may be missing, or of yesterday.
        run("apt-get", "-qq", "update")
        run(*download, cwd=debs)
    libraries = []
    for deb in sorted(glob.glob(os.path.join(debs, "*.deb"))):
        run("dpkg", "-x", deb, root)
        depends = run("dpkg-deb", "-f", deb, "Depends").strip()
        # The rest of what it depends on is there to set up a system, which is not done here.
        libraries += [one.strip() for one in depends.split(",") if re.match(r"\s*lib", one)]
        number = run("dpkg-deb", "-f", deb, "Version").strip()
    environ = {**environment(), "DEBIAN_FRONTEND": "noninteractive"}
    run("apt-get", "satisfy", "-y", "-qq", "--no-install-recommends", ", ".join(sorted(set(libraries))), env=environ)
    shutil.rmtree(debs)
    for program in glob.glob(os.path.join(root, "usr/sbin/post[dq]*")):
        if os.path.basename(program) in ("postdrop", "postqueue"):
            shutil.chown(program, "root", DROP_GROUP)
            os.chmod(program, 0o2755)
    with open(os.path.join(root, "version"), "w", encoding="utf-8") as file:
        file.write(number + "\n")
    return number


def add_users():
    for user in USERS.values():
        try:
            pwd.getpwnam(user)
        except KeyError:
            run("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", user)
    if subprocess.run(["getent", "group", DROP_GROUP], capture_output=True).returncode != 0:
        run("groupadd", "--system", DROP_GROUP)


# ---------------------------------------------------------------------------------------------------------------
# Running


def owned(path, user):
    os.makedirs(path, exist_ok=True)
    shutil.chown(path, user, pwd.getpwnam(user).pw_gid)
    return path


def reachable(directory):
    """The servers' own users have to come in."""
    while len(directory) > len(os.path.sep) and os.stat(directory).st_uid == os.geteuid():
        os.chmod(directory, os.stat(directory).st_mode | 0o711)
        directory = os.path.dirname(directory)
        if directory in ("/tmp", "/var/tmp", "/"):
            return


class Mta:
    """What both have in common: a directory, a port, a process in the foreground, a log."""

    def __init__(self, directory, port):
        self.directory, self.port, self.process = directory, port, None
        os.makedirs(directory)
        reachable(directory)

    def start(self, words, greeted, **more):
        with open(os.path.join(self.directory, "out"), "ab") as out:
            # A session of its own: stopping it stops its children and nobody else.
            self.process = Process(words, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
                                   more=more)
        wait_until(f"{self.name} greets", lambda: self.alive() and greeted())

    def alive(self):
        ensure(self.process.child.poll() is None, f"{self.name} ended: {self.log()[-1000:]}")
        return True

    def stop(self):
        if self.process is None:
            return
        group = self.process.child.pid
        self.process.stop()
        try:
            os.killpg(group, signal.SIGTERM)
        except ProcessLookupError:
            pass

    def log(self):
        text = ""
        for path in sorted(glob.glob(self.directory + "/*log") + glob.glob(self.directory + "/logs/*log")) + [os.path.join(self.directory, "out")]:
            if os.path.isfile(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()
        return text


POSTFIX_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n - n 60 1 pickup
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
verify    unix  - - n - 1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp      unix  - - n - - smtp
relay     unix  - - n - - smtp
showq     unix  n - n - - showq
error     unix  - - n - - error
retry     unix  - - n - - error
discard   unix  - - n - - discard
anvil     unix  - - n - 1 anvil
scache    unix  - - n - 1 scache
tlsproxy  unix  - - n - 0 tlsproxy
postlog   unix-dgram n - n - 1 postlogd
"""


class Postfix(Mta):
    """Debian's main.cf, with `settings` in place of its own of the same name."""

    name = "Postfix"

    def __init__(self, directory, port, settings):
        super().__init__(directory, port)
        root, self.etc = root_of("postfix"), os.path.join(directory, "etc")
        os.makedirs(self.etc)
        os.makedirs(os.path.join(directory, "spool"))
        lib = os.path.join(root, "usr/lib/postfix")
        self.settings = self.debian(root) | {
            "config_directory": self.etc,
            "queue_directory": os.path.join(directory, "spool"),
            "data_directory": owned(os.path.join(directory, "lib"), USERS["postfix"]),
            "command_directory": os.path.join(root, "usr/sbin"),
            "daemon_directory": os.path.join(lib, "sbin"),
            "shlib_directory": lib,
            "meta_directory": os.path.join(root, "etc/postfix"),
            "sendmail_path": os.path.join(root, "usr/sbin/sendmail"),
            "import_environment": f"MAIL_CONFIG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH={lib}",
            "mail_owner": USERS["postfix"],
            "setgid_group": DROP_GROUP,
            "maillog_file": os.path.join(directory, "log"),
            "maillog_file_prefixes": "/",
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "alias_maps": "",
            "smtp_dns_support_level": "disabled",
        } | settings
        self.more = {"MAIL_CONFIG": self.etc, "LD_LIBRARY_PATH": lib}
        with open(os.path.join(self.etc, "main.cf"), "w", encoding="utf-8") as file:
            file.writelines(f"{key} = {value}\n" for key, value in self.settings.items())
        with open(os.path.join(self.etc, "master.cf"), "w", encoding="utf-8") as file:
            file.write(POSTFIX_SERVICES.format(port=port))

    @staticmethod
    def debian(root):
        settings = {}
        for part in ("main.cf.debian", "main.cf.tls"):
            with open(os.path.join(root, "usr/share/postfix", part), encoding="utf-8") as file:
                for line in file:
                    if match := re.match(r"(\w+)\s*=\s*(.*)", line):
                        settings[match[1]] = match[2]
        return settings

    def up(self, greeted):
        master = os.path.join(self.settings["daemon_directory"], "master")
        # `postfix check` makes the queue's directories.
        self.command("postfix", "check")
        self.start([master, "-c", self.etc, "-s"], greeted, **self.more)

    def command(self, program, *words):
        path = os.path.join(self.settings["command_directory"], program)
        return run(path, "-c", self.etc, *words, env={**environment(), **self.more})

    def value(self, name):
        """What a setting is in the end, macros expanded."""
        return self.command("postconf", "-x", "-h", name).strip()


class Exim(Mta):
    """Debian's configuration for a smarthost, with `macros` as its administrator sets them, and `main` put at the top
    of the main section."""

    name = "Exim"

    def __init__(self, directory, port, smarthost, macros, main="", more=()):
        super().__init__(directory, port)
        self.root = root_of("exim")
        spool = owned(os.path.join(directory, "spool"), USERS["exim"])
        owned(os.path.join(directory, "logs"), USERS["exim"])
        confdir = os.path.join(directory, "etc")
        os.makedirs(confdir)
        self.macros = {  # what update-exim4.conf makes of the answers "mail sent by smarthost", relay for loopback
            "DCconfig_smarthost": "1",
            "DC_minimaldns": "1",
            "DCsmarthost": smarthost,
            "MAIN_LOCAL_INTERFACES": f"127.0.0.1.{port}",
            "MAIN_LOCAL_DOMAINS": "@:localhost",
            "MAIN_RELAY_TO_DOMAINS": "",
            "MAIN_RELAY_NETS": ": 127.0.0.1 : ::::1",
            "CONFDIR": confdir,
            "SPOOLDIR": spool,
        } | macros
        macros = "".join(f"{key} = {value}\n" for key, value in self.macros.items())
        lines = f"log_file_path = {directory}/logs/%slog\npid_file_path = {directory}/exim.pid\n" + main
        with open(os.path.join(self.root, "etc/exim4/exim4.conf.template"), encoding="utf-8") as file:
            text = file.read()
        # The smarthost is on this host, which Exim takes for a loop unless it is told.
        for old, new in [("UPEX4CmacrosUPEX4C = 1\n", lines),
                         ("exim_path = /usr/sbin/exim4\n", f"exim_path = {self.root}/usr/sbin/exim4\n"),
                         ("  host_find_failed = ignore\n", "  host_find_failed = ignore\n  self = send\n"),
                         ("  hosts_try_auth = <; ", "  allow_localhost = true\n  hosts_try_auth = <; "),
                         *more]:
            ensure(old in text, f"Debian's configuration of Exim has no {old!r}")
            text = text.replace(old, new)
        self.config = os.path.join(directory, "exim.conf")
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(macros + text)

    def up(self, greeted):
        self.start([os.path.join(self.root, "usr/sbin/exim4"), "-C", self.config, "-bdf", "-q1s"], greeted)

    def command(self, *words):
        return run(os.path.join(self.root, "usr/sbin/exim4"), "-C", self.config, *words, env=environment())

    def value(self, name):
        return self.command("-bP", name).strip()


def main():
    if os.geteuid() != 0:
        sys.exit("apt-get and two users to be added: this needs root")
    try:
        add_users()
        for name in PACKAGES:
            print(f"{name} {fetch(name)} in {root_of(name)}", flush=True)
    except (Failure, OSError, subprocess.SubprocessError) as problem:
        sys.exit(str(problem))


if __name__ == "__main__":
    main()
