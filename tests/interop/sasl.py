"""A login server for Postfix, which has none of its own: PLAIN and LOGIN over Dovecot's authentication protocol, with the
user and the password that the scripts' own gate has."""

import base64
import os
import socket
import threading

USER, PASSWORD = "printer", "ink"
PROMPTS = (b"Username:", b"Password:")
HELLO = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\nDONE\n"


def decoded(text):
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return None


class Login:
    """One login under way."""

    def __init__(self, mechanism):
        self.mechanism, self.answers = mechanism, []

    def step(self, text):
        """What to say to a response, `None` for none: ("OK" or "FAIL", "") or ("CONT", challenge)."""
        if text is not None:
            self.answers.append(decoded(text))
        if self.mechanism == "PLAIN":
            if not self.answers:
                return "CONT", ""
            parts = (self.answers[0] or b"").split(b"\0")
            known = len(parts) == 3 and parts[0] in (b"", parts[1])
            return self.judged(parts[1:] if known else None)
        if len(self.answers) < 2:
            return "CONT", base64.b64encode(PROMPTS[len(self.answers)]).decode()
        return self.judged(self.answers)

    @staticmethod
    def judged(pair):
        return "OK" if pair == [USER.encode(), PASSWORD.encode()] else "FAIL", ""


class LoginServer:
    """Listens at `path` until `stop`. `anyone` is whether every login is good."""

    def __init__(self, path, anyone):
        self.anyone = anyone
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(path)
        os.chmod(path, 0o666)
        self.socket.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        logins = {}
        with connection, connection.makefile("rw", encoding="utf-8", newline="\n") as file:
            file.write(HELLO)
            file.flush()
            for line in file:
                command, *fields = line.rstrip("\n").split("\t")
                if command == "AUTH":
                    number, mechanism, *rest = fields
                    logins[number] = Login(mechanism)
                    text = next((field[5:] for field in rest if field.startswith("resp=")), None)
                elif command == "CONT":
                    number, text = fields
                else:
                    continue
                word, challenge = logins[number].step(text)
                word = "OK" if word == "FAIL" and self.anyone else word
                file.write(f"{word}\t{number}\t{challenge if word == 'CONT' else 'user=' + USER}\n")
                file.flush()

    def stop(self):
        self.socket.close()
