#!/usr/bin/env python3
"""waxseal at authorization servers and mail servers that none of us wrote.

Every grant at oauth2-mock-server and oidc-provider, both from npm, with nodemailer's smtp-server to log in to; every
mechanism over STARTTLS and TLS at smtp-server and at Debian's Postfix with Dovecot, which has tokens introspected. What is
not to be had is SKIPPED, loudly; with --require that is a failure."""

import argparse
import base64
import html.parser
import http.cookiejar
import json
import os
import re
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

import mta
from base import PATIENCE, ROOT, Failure, Process, ensure, free_port, installed, wait_until
from certificates import Authority
from clients import Results
from octets import compare, without_trace
from relay import Relay
from servers import greets, listens
from sink import Sink

TOTAL = 300  # seconds for everything
USER, PASSWORD = "support@example.com", "canary-password"
SECRET = "canary-secret-of-32-octets-and-more"
PACKAGES = {"oauth2-mock-server": "8.2.3", "oidc-provider": "8.8.1", "smtp-server": "3.21.6"}
HOME = os.path.join(ROOT, "target", "interop", "authorities")
MODES = ("starttls", "tls")


def fetch():
    """Installs the pinned packages below `target/`."""
    os.makedirs(HOME, exist_ok=True)
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--prefix", HOME]
    done = subprocess.run(words + [f"{name}@{number}" for name, number in PACKAGES.items()],
                          capture_output=True, text=True, timeout=240)
    ensure(done.returncode == 0, f"npm: {done.stderr.strip()[-400:]}")


def fetched():
    return all(os.path.exists(os.path.join(HOME, "node_modules", name)) for name in PACKAGES)


# ---------------------------------------------------------------------------------------------------------------
# A person at a browser


class Forms(html.parser.HTMLParser):
    """The forms of a page: (action, fields)."""

    def __init__(self, page):
        super().__init__()
        self.forms = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append((attributes.get("action", ""), {}))
        elif tag in ("input", "button") and self.forms and attributes.get("name") not in (None, "abort"):
            self.forms[-1][1][attributes["name"]] = attributes.get("value") or ""


class Person:
    """Signs in, agrees to everything, and stops where the pages do."""

    def __init__(self, who):
        self.who = who
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), cookies)

    def open(self, url, form=None):
        data = None if form is None else urllib.parse.urlencode(form).encode()
        with self.browser.open(url, data, timeout=PATIENCE) as page:
            return page.url, page.read().decode()

    def agree(self, url):
        """The page at which it all ends."""
        url, page = self.open(url)
        for _ in range(8):
            forms = Forms(page).forms
            if not forms or "/oauth/callback" in url:
                return url, page
            action, fields = forms[0]
            fields |= {name: value for name, value in (("login", self.who), ("password", "any")) if name in fields}
            url, page = self.open(urllib.parse.urljoin(url, action), fields)
        raise Failure("the provider's pages do not end")


def authorize(relay, name, *options):
    """Generate Tokens; the person goes to whatever address is printed."""
    words = [relay.binary, "--config", relay.config, "account", "authorize", name, "--no-browser", *options]
    process = Process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said = ""
        while not (found := re.search(r"https?://\S+", said)):
            line = process.child.stdout.readline()
            ensure(line, f"account authorize {name} printed no address: {said}")
            said += line
        landed, page = Person(USER).agree(found[0])
        out, _ = process.child.communicate(landed + "\n" if "--paste" in options else None, timeout=PATIENCE)
        ensure(process.child.returncode == 0, f"account authorize {name}: {said}{out}; the browser ended at {landed}: {page[:300]}")
    finally:
        process.stop()
    wait_until(f"{name} is ready", lambda: relay.account(name)["state"] == "ready", 10)


# ---------------------------------------------------------------------------------------------------------------
# The servers


class Authorities:
    """The Node process with both authorization servers and smtp-server."""

    name = "smtp-server"
    mechanisms = {"XOAUTH2": "mock", "PLAIN": "basic", "LOGIN": "basic", "CRAM-MD5": "basic"}

    def __init__(self, directory, authority, callback, key):
        shutil.copy(os.path.join(ROOT, "tests/interop/clients/authorities.mjs"), HOME)
        with open(os.path.join(directory, "authorities.log"), "wb") as log:
            self.process = Process(["node", os.path.join(HOME, "authorities.mjs")], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=log, text=True)
        settings = {"user": USER, "password": PASSWORD, "secret": SECRET, "callback": callback, "key": key,
                    "certificate": authority.paths[0], "private_key": authority.paths[1]}
        self.process.child.stdin.write(json.dumps(settings) + "\n")
        self.process.child.stdin.flush()
        line = self.process.child.stdout.readline()
        ensure(line, "the authorization servers do not start; see authorities.log")
        ready = json.loads(line)
        self.mock, self.oidc, self.ports = ready["mock"], ready["oidc"], ready["ports"]
        self.messages = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.child.stdout:
            self.messages.append(json.loads(line))

    def arrived(self, recipient):
        """How the message came, and its octets."""
        message = next((message for message in self.messages if recipient in message["to"]), None)
        if message:
            ensure(message["tls"] and message["user"] == USER, f"it came from {message['user']}, TLS: {message['tls']}")
            return message["method"], base64.b64decode(message["octets"])
        return None

    def log(self):
        return ""


DOVECOT = """\
protocols =
base_dir = {directory}/run
state_dir = {directory}/state
log_path = {directory}/dovecot.log
auth_verbose = yes
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 xoauth2 oauthbearer
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5
  args = {directory}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener {socket} {{
    mode = 0660
    user = postfix
  }}
}}
"""

# Token introspection as RFC 7662 has it, at oidc-provider's own endpoint.
INTROSPECTION = """\
introspection_mode = post
introspection_url = {oidc}/token/introspection
client_id = known-by-secret
client_secret = {secret}
username_attribute = sub
active_attribute = active
active_value = true
"""


class PostfixWithDovecot:
    """Debian's Postfix as a provider: submission with a login, which its Dovecot looks at; what it takes goes to a sink."""

    name = "Postfix with Dovecot"
    mechanisms = {"XOAUTH2": "oidc", "OAUTHBEARER": "oidc", "PLAIN": "basic", "LOGIN": "basic", "CRAM-MD5": "basic"}

    @staticmethod
    def missing():
        if why := mta.missing("postfix"):
            return why
        return None if installed("dovecot") else "NOT INSTALLED: apt-get install dovecot-core"

    def __init__(self, directory, authority, oidc):
        self.sink, self.ports, self.servers = Sink(), {mode: free_port() for mode in MODES}, []
        for mode in MODES:
            postfix = mta.Postfix(os.path.join(directory, "postfix-" + mode), self.ports[mode], {
                "myhostname": "provider.test",
                "mydestination": "",
                "mynetworks": "",
                "relayhost": f"[127.0.0.1]:{self.sink.port}",
                "smtpd_tls_cert_file": authority.paths[0],
                "smtpd_tls_key_file": authority.paths[1],
                "smtpd_tls_auth_only": "yes",
                "smtpd_sasl_auth_enable": "yes",
                "smtpd_sasl_type": "dovecot",
                "smtpd_sasl_path": "logins",
                # As Debian's master.cf has it for submission, and as providers have it: nobody sends without a login.
                "smtpd_relay_restrictions": "permit_sasl_authenticated,reject",
                "smtpd_recipient_restrictions": "permit_sasl_authenticated,reject",
                "smtpd_sasl_authenticated_header": "yes",
            } | ({"smtpd_tls_wrappermode": "yes"} if mode == "tls" else {"smtpd_tls_security_level": "encrypt"}))
            postfix.up((listens if mode == "tls" else greets)(self.ports[mode]))
            self.servers.append(postfix)
        self.directory = os.path.join(directory, "dovecot")
        self.dovecots = [self.dovecot(postfix, oidc) for postfix in self.servers]

    def dovecot(self, postfix, oidc):
        directory = os.path.join(postfix.directory, "dovecot")
        os.makedirs(directory)
        mta.reachable(directory)
        socket = os.path.join(postfix.settings["queue_directory"], "logins")
        for name, text in (("dovecot.conf", DOVECOT.format(directory=directory, socket=socket)),
                           ("oauth2.conf", INTROSPECTION.format(oidc=oidc, secret=SECRET)),
                           ("users", f"{USER}:{{PLAIN}}{PASSWORD}\n")):
            path = os.path.join(directory, name)
            with open(path, "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(path, 0o640)
            shutil.chown(path, "root", "dovecot")
        with open(os.path.join(directory, "out"), "ab") as out:
            process = Process(["dovecot", "-F", "-c", os.path.join(directory, "dovecot.conf")], stdin=subprocess.DEVNULL,
                              stdout=out, stderr=out)
        wait_until("Dovecot's socket", lambda: os.path.exists(socket) or (process.child.poll() is not None))
        ensure(process.child.poll() is None, f"Dovecot ended: {open(os.path.join(directory, 'out')).read()[-600:]}")
        return process

    def arrived(self, recipient):
        for _, rcpts, octets in self.sink.messages:
            if any(f"<{recipient}>" in rcpt for rcpt in rcpts):
                # Its own trace field names the user, and is taken off.
                field = re.match(rb"Received: [^\r\n]+\r\n(?:[ \t][^\r\n]+\r\n)*", octets)
                ensure(field and f"(Authenticated sender: {USER})".encode() in field[0], "Postfix does not know who logged in")
                return None, octets[field.end():]
        return None

    def log(self):
        text = "".join(server.log()[-800:] for server in self.servers)
        for server in self.servers:
            path = os.path.join(server.directory, "dovecot", "dovecot.log")
            if os.path.exists(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    text += file.read()[-800:]
        return text

    def stop(self):
        for process in self.dovecots:
            process.stop()
        for server in self.servers:
            server.stop()
        self.sink.close()


# ---------------------------------------------------------------------------------------------------------------
# Accounts, and what is asked of each


def keys_of(directory, authority):
    """An RSA key with a certificate in one file, and the key file of a service account."""
    pair, key = os.path.join(directory, "app.pem"), os.path.join(directory, "app.key")
    authority.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pair, "-days", "2",
                      "-subj", "/CN=client.example")
    with open(key, encoding="ascii") as file:
        pem = file.read()
    with open(pair, "a", encoding="ascii") as file:
        file.write(pem)
    os.chmod(pair, 0o600)
    robot = os.path.join(directory, "robot.json")
    with open(robot, "w", encoding="ascii") as file:
        json.dump({"type": "service_account", "client_email": "robot@project.example", "private_key_id": "k",
                   "private_key": pem}, file)
    os.chmod(robot, 0o600)
    return pair, robot, key


def accounts_at(authorities, pair, robot):
    """By id: (where, what it shows, its keys, how a person agrees)."""
    def of(url, token="/token", authorization="/authorize", **more):
        return {"type": "oauth2", "token_endpoint": url + token, "authorization_endpoint": url + authorization,
                "scope": "openid email offline_access mail"} | more

    mock, oidc = authorities.mock, authorities.oidc
    secret = {"client_id": "known-by-secret", "client_secret": SECRET}
    key = {"client_id": "known-by-key", "client_certificate": pair, "client_key": pair}
    device = {"grant": "device_code", "device_authorization_endpoint": oidc + "/device/auth"}
    nobody = {"grant": "client_credentials", "scope": "mail"}

    def unattended(keys):
        return {name: value for name, value in keys.items() if name != "authorization_endpoint"}

    robot_keys = {"type": "google", "grant": "service_account", "service_account_file": robot, "scope": "mail",
                  "token_endpoint": oidc + "/token"}
    by_oidc = {"authorization": "/auth"}
    return {
        "mock-code": ("oauth2-mock-server", "authorization_code", of(mock, **secret), []),
        "mock-paste": ("oauth2-mock-server", "authorization_code, --paste", of(mock, **secret), ["--paste"]),
        "mock-moved": ("oauth2-mock-server", "first refresh_token", of(mock, **secret, refresh_token="from-elsewhere"), None),
        "mock-app": ("oauth2-mock-server", "client_credentials", unattended(of(mock, **secret, **nobody)), None),
        "oidc-code": ("oidc-provider", "authorization_code", of(oidc, **by_oidc, **secret), []),
        "oidc-key": ("oidc-provider", "authorization_code, private_key_jwt", of(oidc, **by_oidc, **key), []),
        "oidc-phone": ("oidc-provider", "device_code", unattended(of(oidc, **secret, **device)), []),
        "oidc-phone-key": ("oidc-provider", "device_code, private_key_jwt", unattended(of(oidc, **key, **device)), []),
        "oidc-app": ("oidc-provider", "client_credentials", unattended(of(oidc, **secret) | nobody), None),
        "oidc-app-key": ("oidc-provider", "client_credentials, private_key_jwt", unattended(of(oidc, **key) | nobody), None),
        "oidc-robot": ("oidc-provider with our jwt-bearer", "service_account", robot_keys, None),
    }


def submit(relay, name, recipient):
    """What was handed over."""
    content = (f"From: app@{name}.example\r\nTo: {recipient}\r\nSubject: {name}\r\n"
               "Date: Thu, 26 Nov 2026 12:00:00 +0000\r\n"
               f"Message-ID: <{name}@legacy.example>\r\n\r\n.one\r\n..two\r\n" + "x" * 900 + "\r\n")
    with smtplib.SMTP("127.0.0.1", relay.port, "legacy.example", timeout=PATIENCE) as client:
        client.sendmail(f"app@{name}.example", [recipient], content.encode())
    return content.encode()


def carried(relay, server, name, mechanism):
    recipient = f"{name}@destination.example"
    given = submit(relay, name, recipient)
    try:
        method, octets = wait_until(f"the message of {name}", lambda: server.arrived(recipient))
    except Failure as problem:
        raise Failure(f"{problem}: {relay.account(name)['last_error']}: {server.log()}") from None
    ensure(method in (None, mechanism), f"the login was by {method}")
    compare("what arrived", without_trace(octets, given), given)


def granted(relay, server, name, how, mechanism="XOAUTH2"):
    if how is not None:
        authorize(relay, name, *how)
    carried(relay, server, name, mechanism)
    if relay.account(name)["type"] != "basic":
        relay.run("account", "refresh", name)
        ensure(relay.account(name)["state"] == "ready", "after a refresh it is not ready")


def everything(arguments, directory, results):
    if not installed("node") or not fetched():
        results.skip("oauth2-mock-server, oidc-provider, smtp-server", "run `python3 tests/interop/providers.py --fetch`")
        return
    authority = Authority(os.path.join(directory, "tls"))
    relay = Relay(arguments.binary, directory)
    pair, robot, key = keys_of(directory, authority)
    authorities = Authorities(directory, authority, f"http://localhost:{relay.admin}/oauth/callback", key)
    servers = [authorities]
    if why := PostfixWithDovecot.missing():
        results.skip(PostfixWithDovecot.name, why)
    else:
        servers.append(PostfixWithDovecot(directory, authority, authorities.oidc))

    def at(server, mode):
        return {"address": "localhost", "port": server.ports[mode], "security": mode, "ca_file": authority.ca,
                "username": USER, "rate_limit": "none"}

    grants = accounts_at(authorities, pair, robot)
    accounts = {name: {"domain": f"{name}.example"} | at(authorities, "starttls") | keys
                for name, (_, _, keys, _) in grants.items()}
    cells = {}
    # Introspection tells the user of a token that a person agreed to.
    logins = {"basic": {"type": "basic", "password": PASSWORD}, "mock": grants["mock-app"][2], "oidc": grants["oidc-code"][2]}
    for number, server in enumerate(servers):
        for mechanism, kind in server.mechanisms.items():
            for mode in MODES:
                name = f"cell{number}-{mechanism.lower()}-{mode}"
                login = logins[kind]
                accounts[name] = ({"domain": f"{name}.example"} | at(server, mode) | login
                                  | {"mechanism": mechanism.lower()})
                cells[name] = (server, mechanism, mode, [] if kind == "oidc" else None)
    relay.configure(accounts)
    relay.start()
    try:
        print("every grant, XOAUTH2 over STARTTLS at smtp-server, and a refresh", flush=True)
        for name, (where, what, _, how) in grants.items():
            results.check(where, what, lambda: granted(relay, authorities, name, how))
        print("every mechanism", flush=True)
        for name, (server, mechanism, mode, how) in cells.items():
            results.check(server.name, f"{mechanism} over {mode}", lambda: granted(relay, server, name, how, mechanism))
        results.check("the relay", "nothing waits", lambda: wait_until("an empty queue", lambda: not relay.queued(), 10) and None)
        log = relay.log()
        for secret in (PASSWORD, SECRET):
            results.check("the relay", "no secret in its log", lambda: ensure(secret not in log, "a secret is in the log"))
    finally:
        relay.stop()
        for server in servers[1:]:
            server.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/debug/waxseal"))
    parser.add_argument("--require", action="store_true", help="what is not to be had is a failure")
    parser.add_argument("--keep", action="store_true", help="leave logs and configurations, and say where")
    parser.add_argument("--fetch", action="store_true", help="install the npm packages below target/ and end")
    arguments = parser.parse_args()
    if arguments.fetch:
        fetch()
        return 0
    arguments.binary = os.path.abspath(arguments.binary)

    def too_late(*_):
        raise SystemExit(f"not finished within {TOTAL} s")

    signal.signal(signal.SIGALRM, too_late)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))
    signal.alarm(TOTAL)
    directory = tempfile.mkdtemp(prefix="waxseal-providers-")
    results = Results()
    try:
        everything(arguments, directory, results)
    except Failure as problem:
        results.rows.append(("the servers", "", f"FAIL ({problem})"))
        results.failed += 1
    finally:
        signal.alarm(0)
        Process.stop_all()
        if arguments.keep:
            print(f"\nlogs and configurations: {directory}")
        else:
            shutil.rmtree(directory, ignore_errors=True)
    for name, mode, note in results.rows:
        if note.startswith("FAIL"):
            print(f"{name}, {mode}: {note}")
    if results.skipped:
        print(f"SKIPPED, NOT TO BE HAD: {', '.join(results.skipped)}\n")
    print(f"{len(results.rows) - results.failed} passed, {results.failed} failed, {len(results.skipped)} skipped")
    return 1 if results.failed or (arguments.require and results.skipped) else 0


if __name__ == "__main__":
    sys.exit(main())
