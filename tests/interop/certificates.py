"""A throw-away certificate authority and a certificate for loopback, made with openssl."""

import os
import subprocess

from base import PATIENCE, ensure

NAMES = "subjectAltName=DNS:localhost,DNS:relay.example.com,IP:127.0.0.1"


class Authority:
    """`ca` is what clients trust, `paths` the server's certificate and key."""

    def __init__(self, directory):
        os.makedirs(directory, exist_ok=True)
        self.directory = directory
        self.ca, ca_key = self.path("ca.pem"), self.path("ca.key")
        self.paths = (self.path("server.pem"), self.path("server.key"))
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.openssl("req", "-x509", *curve, "-keyout", ca_key, "-out", self.ca, "-days", "2", "-subj",
                     "/CN=waxseal interop CA", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                     "keyUsage=critical,keyCertSign,cRLSign")
        request, extensions = self.path("server.csr"), self.path("extensions")
        self.openssl("req", *curve, "-keyout", self.paths[1], "-out", request, "-subj", "/CN=localhost")
        with open(extensions, "w", encoding="ascii") as file:
            file.write(f"{NAMES}\nextendedKeyUsage=serverAuth\n")
        self.openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2",
                     "-extfile", extensions, "-out", self.paths[0])
        # Servers under test read them as users of their own. They are thrown away within minutes.
        for path in (directory, self.ca, *self.paths):
            os.chmod(path, 0o755 if path == directory else 0o644)

    def path(self, name):
        return os.path.join(self.directory, name)

    @staticmethod
    def openssl(*words):
        done = subprocess.run(["openssl", *words], capture_output=True, text=True, timeout=PATIENCE)
        ensure(done.returncode == 0, f"openssl {words[0]}: {done.stderr.strip()[-400:]}")
