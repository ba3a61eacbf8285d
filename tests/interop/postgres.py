#!/usr/bin/env python3
"""Runs a command beside a PostgreSQL server of its own: `python3 tests/interop/postgres.py COMMAND...`.

The server has an empty data directory, a loopback port and trust for everyone there, and ends with the command. The
command finds its URL, without a database, in WAXSEAL_TEST_POSTGRES. As root the server runs as the user postgres.
"""

import glob
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile


def programs():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[-2]))
    if not found:
        sys.exit("PostgreSQL is missing: apt-get install postgresql-15")
    return found[-1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main(command):
    bin_directory, home, port = programs(), tempfile.mkdtemp(prefix="waxseal-postgres-"), free_port()
    user = {}
    if os.geteuid() == 0:
        entry = pwd.getpwnam("postgres")
        os.chown(home, entry.pw_uid, entry.pw_gid)
        user = {"user": entry.pw_uid, "group": entry.pw_gid}

    def run(program, *arguments, **more):
        return subprocess.run([os.path.join(bin_directory, program), *arguments], cwd="/", check=True,
                              stdout=subprocess.DEVNULL, **user, **more)

    data = os.path.join(home, "data")
    run("initdb", "--no-sync", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--pgdata", data)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c max_connections=400 -c unix_socket_directories={home}"
    try:
        run("pg_ctl", "start", "-s", "-w", "-D", data, "-l", os.path.join(home, "log"), "-o", options)
        environment = dict(os.environ, WAXSEAL_TEST_POSTGRES=f"postgres://postgres@127.0.0.1:{port}")
        return subprocess.run(command, env=environment).returncode
    finally:
        subprocess.run([os.path.join(bin_directory, "pg_ctl"), "stop", "-s", "-m", "immediate", "-D", data], cwd="/", **user)
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
