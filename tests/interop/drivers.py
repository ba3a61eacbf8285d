"""The message that every client sends, and the clients themselves."""

import email.utils
import os
import shutil
import smtplib
import ssl
import subprocess

import mta
from base import PATIENCE, ROOT, ensure, environment, installed

HERE = os.path.join(ROOT, "tests", "interop", "clients")
JAVA_MAIL = ["/usr/share/java/jakarta-mail.jar", "/usr/share/java/jakarta-activation.jar"]
NODEMAILER = "10.6.1"

BODY_LINES = [
    b"Latin-1 octets: caf\xe9, na\xefve, \xa3 12, \xff.",
    b".a line that begins with a dot",
    b"..and one with two",
    b". ",
    b"",
    b"trailing spaces and a tab:   \t ",
    b"long: " + b"0123456789" * 89 + b"abcd",  # 900 octets
    b"  leading spaces; From here on: a colon; a backslash \\, a percent 100%, a tilde",
    b"the last line, after an empty one:",
    b"",
    b"end",
]
BODY = b"".join(line + b"\r\n" for line in BODY_LINES)
# Past the 998 octets of RFC 5322 §2.1.1, for clients that do not break lines.
LONG = b"longer than a line may be: " + b"0123456789" * 500 + b"\r\n"


class Job:
    """One message of one client from one sender, in the clear, by STARTTLS (demanded) or by TLS from the first octet
    on. The server's certificate has to verify against `ca`."""

    def __init__(self, port, sender, recipient, directory, mode="plain", ca=None, sendmail=None, long=False):
        self.port, self.sender, self.recipient, self.directory = port, sender, recipient, directory
        self.mode, self.ca, self.sendmail, self.body = mode, ca, sendmail, BODY + (LONG if long else b"")

    def content(self, date, message_id):
        """The content with CRLF line ends; with or without the fields that the relay adds where they are missing."""
        name = "message"
        lines = [f"From: Legacy <{self.sender}>", f"To: {self.recipient}", "Subject: one for each client"]
        if date:
            lines.append("Date: " + email.utils.formatdate())
        if message_id:
            name = self.recipient.split("@")[0].encode("ascii", "ignore").decode()
            lines.append(f"Message-ID: <{name}@legacy.example>")
        lines += ["MIME-Version: 1.0", 'Content-Type: text/plain; charset="iso-8859-1"',
                  "Content-Transfer-Encoding: 8bit", "X-Folded: first", "\tand folded", ""]
        return "".join(line + "\r\n" for line in lines).encode("utf-8") + self.body

    def file(self, octets):
        path = os.path.join(self.directory, "content")
        with open(path, "wb") as file:
            file.write(octets)
        return path

    def command(self, words, octets=b"", good=(0,), more=None):
        done = subprocess.run(words, input=octets, env=environment() | (more or {}), capture_output=True,
                              timeout=PATIENCE)
        said = (done.stdout + done.stderr).decode("utf-8", "replace").strip()
        ensure(done.returncode in good, f"{words[0]} exits {done.returncode}: {said[-400:]}")
        return said

    def words(self, content):
        """What the clients in `clients/` are told, in this order."""
        return [str(self.port), self.mode, self.ca or "", self.sender, self.recipient, self.file(content)]


# Each client is a function that sends, and returns what it was given to send: CRLF line ends, or None where it makes
# the message itself.


def send_swaks(job, good=(0,)):
    # swaks stuffs dots, turns LF into CRLF, and ends the last line itself. It replaces tokens such as %DATE%; none
    # are in the content.
    content = job.content(date=True, message_id=False)
    path = job.file(content.replace(b"\r\n", b"\n").removesuffix(b"\n"))
    words = ["swaks", "--server", f"127.0.0.1:{job.port}", "--helo", "legacy.example", "--from", job.sender]
    words += {"plain": [], "starttls": ["--tls"], "tls": ["--tls-on-connect"]}[job.mode]
    if job.mode != "plain":
        words += ["--tls-verify", "--tls-ca-path", job.ca, "--tls-sni", "localhost"]
    job.said = job.command(words + ["--to", job.recipient, "--data", "@" + path], good=good)
    return content


def send_curl(job):
    # curl sends the file as it is, and stuffs dots.
    content = job.content(date=True, message_id=True)
    scheme = "smtps" if job.mode == "tls" else "smtp"
    words = ["curl", "--silent", "--show-error", "--noproxy", "*", "--max-time", str(PATIENCE), "--url",
             f"{scheme}://127.0.0.1:{job.port}/legacy.example"]
    words += ["--ssl-reqd", "--cacert", job.ca] if job.mode != "plain" else []
    words += ["--mail-from", job.sender, "--mail-rcpt", job.recipient, "--upload-file", job.file(content)]
    # Addresses beyond ASCII go as they are only where curl knows the terminal's character set.
    job.command(words, more={"LC_ALL": "C.UTF-8"})
    return content


def send_msmtp(job):
    # msmtp turns LF into CRLF and stuffs dots. It would add Date and Message-ID itself.
    content = job.content(date=True, message_id=True)
    words = ["msmtp", "--file=/dev/null", "--host=127.0.0.1", f"--port={job.port}", "--auth=off", "--domain=legacy.example"]
    words += {"plain": ["--tls=off"], "starttls": ["--tls=on"], "tls": ["--tls=on", "--tls-starttls=off"]}[job.mode]
    words += [f"--tls-trust-file={job.ca}"] if job.mode != "plain" else []
    words += [f"--from={job.sender}", "--timeout=20", job.recipient]
    job.command(words, content.replace(b"\r\n", b"\n"))
    return content


def send_smtplib(job):
    # Given octets, smtplib stuffs dots and changes nothing else. Neither Date nor Message-ID: the relay adds both.
    content = job.content(date=False, message_id=False)
    context = ssl.create_default_context(cafile=job.ca) if job.mode != "plain" else None
    if job.mode == "tls":
        client = smtplib.SMTP_SSL("127.0.0.1", job.port, "legacy.example", timeout=PATIENCE, context=context)
    else:
        client = smtplib.SMTP("127.0.0.1", job.port, "legacy.example", timeout=PATIENCE)
    with client:
        if job.mode == "starttls":
            client.starttls(context=context)
        options = ["BODY=8BITMIME"] + ([] if (job.sender + job.recipient).isascii() else ["SMTPUTF8"])
        client.sendmail(job.sender, [job.recipient], content, mail_options=options)
    return content


def s_nail(job, mta):
    # s-nail makes the header section itself, and chooses how to encode the body: only a recording tells what it sent.
    words = ["s-nail", "-:/", "-S", "v15-compat", "-S", f"mta={mta}"]
    words += ["-S", "smtp-auth=none", "-S", "hostname=legacy.example", "-S", f"from={job.sender}"]
    words += ["-S", "ttycharset=iso-8859-1", "-S", "sendcharsets=iso-8859-1", "-S", "mime-encoding=8bit"]
    if job.mode != "plain":
        words += ["-S", f"tls-ca-file={job.ca}", "-S", "tls-ca-no-defaults", "-S", "tls-verify=strict"]
    words += ["-S", "smtp-use-starttls"] if job.mode == "starttls" else []
    words += ["-S", "nosave", "-S", "sendwait", "-s", "one for each client", "-r", job.sender, job.recipient]
    job.command(words, job.body.replace(b"\r\n", b"\n"))


def send_s_nail(job):
    s_nail(job, f"{'smtps' if job.mode == 'tls' else 'smtp'}://localhost:{job.port}")


def send_s_nail_sendmail(job):
    s_nail(job, job.sendmail)


def mutt(job, *settings):
    path = os.path.join(job.directory, "muttrc")
    own = [f'set from="{job.sender}"', "set use_from=yes", "set use_envelope_from=yes", "set copy=no",
           'set charset="iso-8859-1"', 'set send_charset="iso-8859-1"', "set allow_8bit=yes", "set use_8bitmime=yes",
           'set hostname="legacy.example"', f'set tmpdir="{job.directory}"']
    with open(path, "w", encoding="utf-8") as file:
        file.write("\n".join([*own, *settings]) + "\n")
    # It reads nothing from its standard input but the body, and asks nobody anything.
    words = ["mutt", "-n", "-F", path, "-s", "one for each client", "--", job.recipient]
    job.command(words, job.body.replace(b"\r\n", b"\n"), more={"HOME": job.directory, "TERM": "dumb"})


def send_mutt(job):
    settings = [f'set smtp_url="{"smtps" if job.mode == "tls" else "smtp"}://localhost:{job.port}/"']
    if job.mode == "plain":
        settings += ["set ssl_starttls=no", "set ssl_force_tls=no"]
    else:
        settings += ["set ssl_starttls=yes", "set ssl_force_tls=yes", f'set certificate_file="{job.ca}"',
                     f'set ssl_ca_certificates_file="{job.ca}"']
    mutt(job, *settings)


def send_mutt_sendmail(job):
    mutt(job, f'set sendmail="{job.sendmail} -oem -oi"')


def send_bsd_mailx(job):
    words = [mailx(), "-n", "-s", "one for each client", "-r", job.sender, job.recipient]
    path = os.path.join(job.directory, "mailrc")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"set sendmail={job.sendmail}\n")
    # Without a character set it asks about octets beyond ASCII.
    job.command(words, job.body.replace(b"\r\n", b"\n"), more={"MAILRC": path, "LC_ALL": "C.UTF-8"})


def send_php(job):
    # mail() gives the message to the program named by sendmail_path, as `-t -i` wants it.
    words = ["php", "-n", "-d", f"sendmail_path={job.sendmail} -t -i", os.path.join(HERE, "mail.php")]
    job.command(words + job.words(job.body))


def send_net_smtp(job):
    content = job.content(date=True, message_id=True)
    job.command(["perl", os.path.join(HERE, "net_smtp.pl"), *job.words(content)])
    return content


def send_nodemailer(job):
    content = job.content(date=True, message_id=True)
    more = {"NODE_PATH": modules()} | ({"NODE_EXTRA_CA_CERTS": job.ca} if job.ca else {})
    job.command(["node", os.path.join(HERE, "nodemailer.cjs"), *job.words(content)], more=more)
    return content


def send_jakarta(job):
    content = job.content(date=True, message_id=True)
    classes = os.path.join(ROOT, "target", "interop", "classes")
    if not os.path.exists(os.path.join(classes, "Send.class")):
        os.makedirs(classes, exist_ok=True)
        job.command(["javac", "-cp", ":".join(JAVA_MAIL), "-d", classes, os.path.join(HERE, "Send.java")])
    job.command(["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", ":".join([classes, *JAVA_MAIL]), "Send",
                 *job.words(content)])
    return content


def modules():
    return os.path.join(ROOT, "target", "interop", "node_modules")


def mailx():
    # Debian's package wants a mail server to be installed with it, so it is unpacked, as Postfix and Exim are.
    return os.path.join(mta.root_of("bsd-mailx"), "usr/bin/bsd-mailx")


def has_nodemailer():
    return installed("node") and os.path.isdir(os.path.join(modules(), "nodemailer"))


def has_jakarta():
    return installed("javac") and all(map(os.path.exists, JAVA_MAIL))


def has_perl_tls():
    return installed("perl") and subprocess.run(["perl", "-MNet::SMTP", "-MIO::Socket::SSL", "-e1"],
                                                capture_output=True).returncode == 0


class Client:
    """`utf8`: whether it sends addresses beyond ASCII with SMTPUTF8. `long`: whether it sends lines past 998 octets as
    they are. `ehlo`: whether it says EHLO where it wants no extension. `modes`: how it can be had to speak to the
    server; sendmail is no SMTP."""

    def __init__(self, there, send, utf8=False, long=False, ehlo=True, modes=("plain", "starttls", "tls")):
        self.there = there if callable(there) else lambda: installed(there)
        self.send, self.utf8, self.long, self.ehlo, self.modes = send, utf8, long, ehlo, modes


SENDMAIL = ("sendmail",)
CLIENTS = {
    "swaks": Client("swaks", send_swaks, long=True),
    "curl": Client("curl", send_curl, utf8=True, long=True),
    "msmtp": Client("msmtp", send_msmtp, utf8=True, long=True),
    "smtplib": Client(None, send_smtplib, utf8=True, long=True),
    "s-nail": Client("s-nail", send_s_nail, ehlo=False),
    "nodemailer": Client(has_nodemailer, send_nodemailer, utf8=True, long=True),
    "Net::SMTP": Client(has_perl_tls, send_net_smtp, long=True),
    "Jakarta Mail": Client(has_jakarta, send_jakarta, utf8=True, long=True),
    "mutt": Client("mutt", send_mutt),
    "PHP mail()": Client("php", send_php, long=True, modes=SENDMAIL),
    "s-nail, sendmail": Client("s-nail", send_s_nail_sendmail, modes=SENDMAIL),
    "mutt, sendmail": Client("mutt", send_mutt_sendmail, modes=SENDMAIL),
    "bsd-mailx": Client(lambda: os.path.exists(mailx()), send_bsd_mailx, modes=SENDMAIL),
}


def fetch_nodemailer():
    """Installs the pinned nodemailer below `target/`, which has no dependencies."""
    home = os.path.dirname(modules())
    os.makedirs(home, exist_ok=True)
    words = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-save", "--no-package-lock", "--prefix", home,
             f"nodemailer@{NODEMAILER}"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    ensure(done.returncode == 0, f"npm: {done.stderr.strip()[-400:]}")
    shutil.rmtree(os.path.join(home, "classes"), ignore_errors=True)
