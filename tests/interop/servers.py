"""The servers that scripts are played to, as much alike as they can be: relay for loopback, the limits of the scripts'
test gate, everything goes to a sink. One instance of each for each scene, which is a listener and its limits."""

import os
import re
import socket
import subprocess

import mta
import sasl
from base import Process, ensure, free_port, wait_until
from sink import Sink

NAME = "relay.test"  # the host name that the scripts' own gate has


def greets(port):
    def look():
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as one:
                return one.recv(3) == b"220"
        except OSError:
            return False
    return look


def listens(port):
    def look():
        try:
            socket.create_connection(("127.0.0.1", port), 5).close()
        except OSError:
            return False
        return True
    return look


class Server:
    """One server in one scene."""

    name = ""

    def __init__(self, directory, authority, scene):
        self.sink, self.port, self.scene = Sink(), free_port(), scene
        self.certificate, self.key = authority.paths
        self.directory = os.path.join(directory, f"{self.name}-{scene.word()}")
        # The first octet of a TLS connection is the client's: nothing greets there.
        self.up = (listens if scene.tls == "implicit" else greets)(self.port)

    def port_for(self, _):
        return self.port

    def stop(self):
        self.server.stop()
        self.sink.close()

    def log(self):
        return self.server.log()


class Postfix(Server):
    """Debian's defaults."""

    name = "postfix"
    settings = {}

    def __init__(self, directory, authority, scene):
        super().__init__(directory, authority, scene)
        tls = {"required": {"smtpd_tls_security_level": "encrypt"}, "implicit": {"smtpd_tls_wrappermode": "yes"}}
        logins = {} if scene.authentication == "none" else {"smtpd_sasl_auth_enable": "yes",
                                                            "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "logins"}
        if scene.authentication == "required":
            # As Debian's master.cf has it for submission.
            logins["smtpd_relay_restrictions"] = "permit_sasl_authenticated,reject"
        self.server = mta.Postfix(self.directory, self.port, {
            "myhostname": NAME,
            "mydestination": "",
            "mynetworks": "127.0.0.0/8",
            "relayhost": f"[127.0.0.1]:{self.sink.port}",
            "message_size_limit": str(scene.message_size),
            "smtpd_recipient_limit": str(scene.recipients),
            # A message goes to the sink in one transaction: which of several came first would be chance.
            "smtp_destination_recipient_limit": str(scene.recipients),
            "smtpd_tls_cert_file": self.certificate,
            "smtpd_tls_key_file": self.key,
        } | tls.get(scene.tls, {}) | logins | self.settings)
        self.logins = None
        if logins:
            # Postfix is in its queue's directory, and may go nowhere else.
            path = os.path.join(self.server.settings["queue_directory"], "logins")
            self.logins = sasl.LoginServer(path, scene.authentication == "ignore")
        self.server.up(self.up)

    def stop(self):
        super().stop()
        if self.logins:
            self.logins.stop()

    def about(self):
        names = ["smtpd_forbid_bare_newline", "smtpd_forbid_unauth_pipelining", "smtpd_hard_error_limit",
                 "smtpd_forbidden_commands", "strict_rfc821_envelopes", "smtputf8_enable", "line_length_limit",
                 "smtpd_relay_restrictions", "message_size_limit", "smtpd_recipient_limit"]
        return {"version": mta.version("postfix"), "settings": {name: self.server.value(name) for name in names}}


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


class Exim(Server):
    """Debian's configuration for a smarthost."""

    name = "exim"

    def __init__(self, directory, authority, scene):
        super().__init__(directory, authority, scene)
        main = f"recipients_max = {scene.recipients}\n"
        main += f"tls_on_connect_ports = {self.port}\n" if scene.tls == "implicit" else ""
        # In one transaction, as with Postfix.
        more = [("  hosts_try_auth = <; ", "  max_rcpt = 0\n  hosts_try_auth = <; ")]
        if scene.tls == "required":
            more.append(("acl_check_mail:\n", "acl_check_mail:\n  require\n    message = TLS is required\n    encrypted = *\n\n"))
        if scene.authentication == "required":
            more.append(("acl_check_mail:\n", "acl_check_mail:\n  require\n    message = authentication is required\n    authenticated = *\n\n"))
        if scene.authentication != "none":
            more.append(("begin authenticators\n", "begin authenticators\n" + self.authenticators(scene)))
        self.server = mta.Exim(self.directory, self.port, f"127.0.0.1::{self.sink.port}", {
            "MAIN_HARDCODE_PRIMARY_HOSTNAME": NAME,
            "MAIN_QUALIFY_DOMAIN": NAME,
            "MESSAGE_SIZE_LIMIT": str(scene.message_size),
            "MAIN_TLS_ENABLE": "yes",
            "MAIN_TLS_CERTIFICATE": self.certificate,
            "MAIN_TLS_PRIVATEKEY": self.key,
        }, main=main, more=more)
        self.server.up(self.up)

    @staticmethod
    def authenticators(scene):
        """After the examples in Debian's configuration."""
        def right(user, password):
            if scene.authentication == "ignore":
                return "yes"
            return f"${{if and{{{{eq{{{user}}}{{{sasl.USER}}}}}{{eq{{{password}}}{{{sasl.PASSWORD}}}}}}}{{yes}}{{no}}}}"
        return "\n".join([
            "plain_server:", "  driver = plaintext", "  public_name = PLAIN", "  server_prompts = :",
            f"  server_condition = {right('$auth2', '$auth3')}", "  server_set_id = $auth2",
            "login_server:", "  driver = plaintext", "  public_name = LOGIN",
            '  server_prompts = "Username:: : Password::"',
            f"  server_condition = {right('$auth1', '$auth2')}", "  server_set_id = $auth1", ""])

    def about(self):
        names = ["smtp_enforce_sync", "smtp_max_synprot_errors", "smtp_max_unknown_commands", "helo_allow_chars",
                 "allow_utf8_domains", "smtputf8_advertise_hosts", "chunking_advertise_hosts",
                 "pipelining_advertise_hosts", "dsn_advertise_hosts", "received_headers_max", "header_maxsize",
                 "message_size_limit", "recipients_max"]
        return {"version": mta.version("exim"), "settings": {name: self.setting(name) for name in names}}

    def setting(self, name):
        said = self.server.value(name)
        return said.split("=", 1)[1].strip() if "=" in said else "no" if said.startswith("no_") else "yes"


class Waxseal(Server):
    """One account for example.com and what is below it, as the scripts' gate has it. Mail with a null reverse-path has
    no domain to be routed by, so it goes to a listener whose application has a default account."""

    name = "waxseal"
    binary = None

    def __init__(self, directory, authority, scene):
        super().__init__(directory, authority, scene)
        self.null_port = free_port()
        os.makedirs(self.directory)
        account = ['type = "basic"', 'address = "127.0.0.1"', f"port = {self.sink.port}", 'security = "none"',
                   "use_authentication = false"]
        listener = [] if scene.tls == "none" else [f'tls = "{scene.tls}"', f'certificate = "{self.certificate}"',
                                                   f'private_key = "{self.key}"']
        if scene.authentication != "none":
            listener.append(f'authentication = "{scene.authentication}"')
        users = [f"[user.{sasl.USER}]", f'password = "{sasl.PASSWORD}"']
        lines = [
            f'hostname = "{NAME}"', f'state_dir = "{self.directory}/state"',
            "[[listener]]", f'address = "127.0.0.1:{self.port}"', *listener,
            "[[listener]]", f'address = "127.0.0.1:{self.null_port}"', 'application = "any"', *listener,
            *users,
            "[application.any]",
            "[account.main]", *account, 'domains = ["example.com", "*.example.com"]',
            "[account.any]", *account, "default = true", 'application = "any"',
            "[limits]", f'message_size = "{scene.message_size}B"', f"recipients = {scene.recipients}",
            "[admin]", 'address = "off"',
        ]
        config = os.path.join(self.directory, "waxseal.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write("\n".join(lines) + "\n")
        self.log_path = os.path.join(self.directory, "log")
        with open(self.log_path, "wb") as log:
            self.process = Process([self.binary, "--config", config, "serve"], stdin=subprocess.DEVNULL, stderr=log)
        wait_until("waxseal listens", lambda: self.alive() and all(listens(port)() for port in (
            self.port, self.null_port)))

    def alive(self):
        ensure(self.process.child.poll() is None, "waxseal ended: " + self.log()[-2000:])
        return True

    def about(self):
        return {}

    def port_for(self, script):
        return self.null_port if re.search(rb"(?i)FROM: *<>", script.sent) else self.port

    def stop(self):
        self.process.stop()
        self.sink.close()

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()
