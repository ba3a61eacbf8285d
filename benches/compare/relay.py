"""The waxseal that is measured, and its configuration."""

import http.client
import time

from rig import PATIENCE, Program, wait_until
from sink import PASSWORD, USER

START = 600  # seconds that reading a long queue may take


class Account:
    """One account: the domain that it serves and its connections upstream."""

    def __init__(self, domain, connections):
        self.domain, self.connections = domain, connections

    def written(self, name, place):
        return f"""
[account.{name}]
type = "basic"
domain = "{self.domain}"
address = "localhost"
port = {place.sink_port}
ca_file = "{place.certificates}/ca.pem"
username = "{USER}"
password = "{PASSWORD}"
max_connections = {self.connections}
"""


def configuration(place, accounts):
    head = f"""hostname = "bench.test"
state_dir = "{place.work}/state"
[[listener]]
address = "127.0.0.1:{place.port}"
[admin]
address = "127.0.0.1:{place.admin_port}"
public_url = "http://localhost:{place.admin_port}"
[limits]
connections = 1200
connections_per_client = 1200
"""
    return head + "".join(account.written(f"a{n}", place) for n, account in enumerate(accounts))


class Relay(Program):
    """One waxseal with the settings that it comes with, but for accounts and the number of clients let in."""

    def __init__(self, place, accounts):
        self.place = place
        self.obituary = f"waxseal ended; {place.path('log')} says why"
        config = place.path("waxseal.toml")
        with open(config, "w", encoding="utf-8") as file:
            file.write(configuration(place, accounts))
        self.started_at = time.time()
        with open(place.path("log"), "ab") as log:
            super().__init__([place.waxseal, "serve", "--config", config], stderr=log)

    def await_ready(self):
        """Seconds from its start until /readyz says 200."""
        wait_until("waxseal is ready", self.is_ready, START)
        return time.time() - self.started_at

    def is_ready(self):
        self.check_alive()
        connection = http.client.HTTPConnection("127.0.0.1", self.place.admin_port, timeout=PATIENCE)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()
