"""The sandbox provider and the daemon, driven as an operator drives them."""

import glob
import json
import os
import re
import subprocess
import urllib.error
import urllib.request

from base import PATIENCE, Failure, Process, ensure, environment, free_port, wait_until

HOSTNAME = "relay.example.com"


class Sandbox:
    """The sandbox provider, and what has arrived there by recipient. Where it `asks`, a person has to agree on its page."""

    def __init__(self, program, directory, name, flags=(), asks=False, **fixed):
        self.program, self.name, self.fixed = program, name, fixed
        self.flags = [*flags] if asks else ["--auto-approve", *flags]
        self.directory = os.path.join(directory, "arrived-" + name)
        self.ca = os.path.join(directory, name + "-ca.pem")
        os.makedirs(self.directory)
        self.process = None
        self.start()

    def start(self):
        words = [self.program, "--directory", self.directory, "--ca", self.ca, *self.flags]
        for name, value in self.fixed.items():
            words += ["--" + name.replace("_", "-"), value]
        self.process = Process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        line = self.process.child.stdout.readline()
        ensure(line, f"the sandbox {self.name} does not start")
        ready = json.loads(line)
        host, port = ready["smtp"].rsplit(":", 1)
        self.host, self.port = host, int(port)
        self.authorization_endpoint, self.token_endpoint = ready["authorization_endpoint"], ready["token_endpoint"]

    def arrived(self, recipient):
        for path in sorted(glob.glob(os.path.join(self.directory, "*.json"))):
            with open(path, encoding="utf-8") as file:
                envelope = json.load(file)
            if recipient in envelope["to"]:
                with open(path[:-5] + ".eml", "rb") as file:
                    return envelope, file.read()
        return None

    def count(self):
        return len(glob.glob(os.path.join(self.directory, "*.json")))


class Relay:
    """The daemon and its command line."""

    def __init__(self, binary, directory):
        self.binary, self.directory = binary, directory
        self.port, self.admin = free_port(), free_port()
        self.ports = {"plain": self.port}
        self.listeners = [f'address = "127.0.0.1:{self.port}"']
        self.config = os.path.join(directory, "waxseal.toml")
        self.log_path = os.path.join(directory, "log")
        self.process = None

    def listen(self, mode, *keys):
        """One listener more, known by `mode`."""
        self.ports[mode] = free_port()
        self.listeners.append("\n".join([f'address = "127.0.0.1:{self.ports[mode]}"', *keys]))

    def configure(self, accounts):
        """Writes the configuration as a user would; `accounts` maps ids to keys."""
        lines = [
            f'hostname  = "{HOSTNAME}"',
            f'state_dir = "{self.directory}/state"',
            *(f"[[listener]]\n{listener}" for listener in self.listeners),
            "[admin]",
            f'address    = "127.0.0.1:{self.admin}"',
            f'public_url = "http://localhost:{self.admin}"',
            "[log]",
            'format = "text"',
        ]
        for name, keys in accounts.items():
            lines.append(f"[account.{name}]")
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        with open(self.config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")

    def start(self):
        with open(self.log_path, "ab") as log:
            words = [self.binary, "--config", self.config, "serve"]
            self.process = Process(words, stdin=subprocess.DEVNULL, stderr=log)
        wait_until("the relay is ready", self.ready)

    def ready(self):
        ensure(self.process.child.poll() is None, "the relay ended: " + self.log()[-2000:])
        try:
            with opener().open(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def stop(self):
        return self.process.stop()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def run(self, *words):
        done = subprocess.run(
            [self.binary, "--config", self.config, *words],
            env=environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        )
        ensure(done.returncode == 0, f"waxseal {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def account(self, name):
        accounts = json.loads(self.run("account", "list", "--json"))
        return next(account for account in accounts if account["id"] == name)

    def queued(self, name=None):
        messages = json.loads(self.run("queue", "list", "--json"))
        return [message for message in messages if name in (None, message["account"])]

    def authorize(self, name, paste):
        """Generate Tokens as a person does: open the page that is printed, agree, come back."""
        words = [self.binary, "--config", self.config, "account", "authorize", name, "--no-browser"]
        words += ["--paste"] if paste else []
        process = Process(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        try:
            said, url = "", None
            while url is None:
                line = process.child.stdout.readline()
                said += line
                ensure(line, f"account authorize {name} printed no URL: {said}")
                url = next(iter(re.findall(r"https?://\S+", line)), None)
            if paste:
                # A host without a browser: the person's own browser ends at an address that nobody answers.
                landed = redirected(url)
                out, _ = process.child.communicate(landed + "\n", timeout=PATIENCE)
            else:
                with opener().open(url, timeout=PATIENCE) as page:
                    ensure(page.status == 200, f"the callback page answers {page.status}")
                    ensure("/oauth/callback" in page.url, f"the browser ended at {page.url.split('?')[0]}")
                out, _ = process.child.communicate(timeout=PATIENCE)
            code = process.child.returncode
            ensure(code == 0, f"account authorize {name}: exit {code}: {said}{out}")
            wait_until(f"{name} is ready after its authorization", lambda: self.account(name)["state"] == "ready", 5)
            ensure(self.account(name)["token_expires_at"], f"after the authorization {name} has no token")
        finally:
            process.stop()


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_):
        return None


def opener(*handlers):
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), *handlers)


def redirected(url):
    """Where the provider sends the browser."""
    try:
        opener(NoRedirect()).open(url, timeout=PATIENCE)
    except urllib.error.HTTPError as answer:
        ensure(answer.code in (302, 303, 307), f"the provider answers {answer.code}")
        return answer.headers["Location"]
    raise Failure("the provider does not redirect")
