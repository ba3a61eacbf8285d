"""The servers that scripts are played to, as much alike as they can be: relay for loopback, the limits of the scripts'
test gate, everything goes to a sink."""

import os
import re
import socket
import subprocess

import mta
from base import Process, ensure, free_port, wait_until
from sink import Sink

NAME = "relay.test"  # the host name that the scripts' own gate has
SIZE, RECIPIENTS = 400_000, 2  # and its limits


def greets(port):
    def look():
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as one:
                return one.recv(3) == b"220"
        except OSError:
            return False
    return look


class Postfix:
    """Debian's defaults."""

    name = "postfix"
    settings = {}

    def __init__(self, directory, authority):
        self.sink, self.port = Sink(), free_port()
        certificate, key = authority.paths
        self.server = mta.Postfix(os.path.join(directory, self.name), self.port, {
            "myhostname": NAME,
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "relayhost": f"[127.0.0.1]:{self.sink.port}",
            "message_size_limit": str(SIZE),
            "smtpd_recipient_limit": str(RECIPIENTS),
            "smtpd_tls_cert_file": certificate,
            "smtpd_tls_key_file": key,
        } | self.settings)
        self.server.up(greets(self.port))

    def about(self):
        names = ["smtpd_forbid_bare_newline", "smtpd_forbid_unauth_pipelining", "smtpd_hard_error_limit",
                 "smtpd_forbidden_commands", "strict_rfc821_envelopes", "smtputf8_enable", "line_length_limit",
                 "smtpd_relay_restrictions", "message_size_limit", "smtpd_recipient_limit"]
        return {"version": mta.version("postfix"), "settings": {name: self.server.value(name) for name in names}}

    def port_for(self, _):
        return self.port

    def stop(self):
        self.server.stop()
        self.sink.close()

    def log(self):
        return self.server.log()


class HardenedPostfix(Postfix):
    """With what its makers brought back to 3.7 against smuggling. Loopback is exempt unless that is said too."""

    name = "postfix-hardened"
    settings = {
        "smtpd_forbid_bare_newline": "normalize",
        "smtpd_forbid_bare_newline_exclusions": "",
        "smtpd_forbid_unauth_pipelining": "yes",
    }

    def about(self):
        return {"version": mta.version("postfix"), "settings": self.settings}


class Exim:
    """Debian's configuration for a smarthost."""

    name = "exim"

    def __init__(self, directory, authority):
        self.sink, self.port = Sink(), free_port()
        certificate, key = authority.paths
        self.server = mta.Exim(os.path.join(directory, self.name), self.port, f"127.0.0.1::{self.sink.port}", {
            "MAIN_HARDCODE_PRIMARY_HOSTNAME": NAME,
            "MAIN_QUALIFY_DOMAIN": NAME,
            "MESSAGE_SIZE_LIMIT": str(SIZE),
            "MAIN_TLS_ENABLE": "yes",
            "MAIN_TLS_CERTIFICATE": certificate,
            "MAIN_TLS_PRIVATEKEY": key,
        }, main=f"recipients_max = {RECIPIENTS}\n")
        self.server.up(greets(self.port))

    def about(self):
        names = ["smtp_enforce_sync", "smtp_max_synprot_errors", "smtp_max_unknown_commands", "helo_allow_chars",
                 "allow_utf8_domains", "smtputf8_advertise_hosts", "chunking_advertise_hosts", "pipelining_advertise_hosts",
                 "dsn_advertise_hosts", "received_headers_max", "header_maxsize", "message_size_limit", "recipients_max"]
        settings = dict(re.split(r" *= *", self.server.value(name), maxsplit=1) if "=" in self.server.value(name)
                        else (name, "no" if self.server.value(name).startswith("no_") else "yes") for name in names)
        return {"version": mta.version("exim"), "settings": settings}

    def port_for(self, _):
        return self.port

    def stop(self):
        self.server.stop()
        self.sink.close()

    def log(self):
        return self.server.log()


class Waxseal:
    """One account for example.com, as the scripts' gate has it. Mail with a null reverse-path has no domain to be
    routed by, so it goes to a listener whose application has a default account."""

    name = "waxseal"

    def __init__(self, directory, authority, binary):
        self.sink, self.ports = Sink(), (free_port(), free_port())
        self.directory = os.path.join(directory, self.name)
        os.makedirs(self.directory)
        account = ['type = "basic"', 'address = "127.0.0.1"', f"port = {self.sink.port}", 'security = "none"',
                   "use_authentication = false"]
        lines = [
            f'hostname = "{NAME}"', f'state_dir = "{self.directory}/state"',
            "[[listener]]", f'address = "127.0.0.1:{self.ports[0]}"',
            "[[listener]]", f'address = "127.0.0.1:{self.ports[1]}"', 'application = "any"',
            "[application.any]",
            "[account.main]", *account, 'domain = "example.com"',
            "[account.any]", *account, "default = true", 'application = "any"',
            "[limits]", f'message_size = "{SIZE}B"', f"recipients = {RECIPIENTS}",
            "[admin]", 'address = "off"',
        ]
        config = os.path.join(self.directory, "waxseal.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.log_path = os.path.join(self.directory, "log")
        with open(self.log_path, "wb") as log:
            self.process = Process([binary, "--config", config, "serve"], stdin=subprocess.DEVNULL, stderr=log)
        wait_until("waxseal greets", lambda: self.alive() and all(greets(port)() for port in self.ports))

    def alive(self):
        ensure(self.process.child.poll() is None, "waxseal ended: " + self.log()[-2000:])
        return True

    def about(self):
        return {}

    def port_for(self, script):
        return self.ports[1 if re.search(rb"(?i)FROM: *<>", script.sent) else 0]

    def stop(self):
        self.process.stop()
        self.sink.close()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()
