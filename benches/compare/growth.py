#!/usr/bin/env python3
"""How waxseal behaves as load grows: more clients, more accounts, a longer queue.

    growth.py HARNESS --out growth.jsonl            measures; HARNESS is a built copy of the relay benchmark
    growth.py --plot growth.jsonl --into DIRECTORY  draws what was measured: clients.svg, accounts.svg, queued.svg

Each point has a waxseal and a queue of its own, and is checked for messages that are missing or came twice. Data lies
in BENCH_WORK (default /var/tmp/bench-work), which must be on a real disk: a million messages take about 5 GB of it. It
takes Linux, Python's standard library, and smtp-source from Postfix. Exit 0: measured, nothing lost; 1: not.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import time

import plots
from clients import send
from meter import Meter, Neighbours, machine
from relay import Account, Relay
from rig import Place, Trouble, allow_open_files, ensure
from sink import Sink

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONNECTIONS = 20  # upstream, where there is one account
SPREAD = 64  # clients, and connections upstream, that are split over the accounts
WARM_UP = 64  # messages that are not counted: logins proved, connections open
FILLERS = 100  # clients that fill the queue; commits are shared by those that wait for them
KIB = 1024
DISK_PER_MESSAGE = 5 * KIB  # octets that a queued KiB takes: journal, departure, history, log; rounded up


def measured(place, domains, sessions, count, accounts):
    """One point under a running load: 4 KiB messages from `sessions` clients, over kept connections on both sides."""
    place.clear()
    with Sink(place) as sink, Relay(place, accounts) as relay:
        relay.await_ready()
        send(place, domains, min(sessions, WARM_UP), WARM_UP, 4 * KIB)
        sink.await_messages(WARM_UP)
        sink.reset()
        neighbours = Neighbours([sink.pid, relay.pid])
        with Meter(relay.pid) as meter:
            began = time.time()
            accept_s = send(place, domains, sessions, count, 4 * KIB)
            stats = sink.await_messages(count)
        relay.check_alive()
        return {
            "accept_rate": count / accept_s,
            "drain_rate": stats["messages"] / (stats["last_us"] / 1e6 - began),
            **costs(meter, neighbours, stats, count),
            **sink.audit(count),
        }


def costs(meter, neighbours, stats, count):
    """What every point tells beside its rates."""
    return {
        "peak_pss_mib": meter.peak_mib,
        "cpu_ms": meter.cpu_s * 1000 / count,
        "connections": stats["peak_open"],
        "other_cores": neighbours.cores(),
    }


def clients(place, sessions, count):
    return measured(place, ["d0.test"], sessions, count, [Account("d0.test", CONNECTIONS)])


def accounts(place, number, count):
    """The same work, clients and connections whatever the number of accounts, so that it alone makes the difference."""
    domains = [f"d{n}.test" for n in range(number)]
    return measured(place, domains, SPREAD, count, [Account(domain, SPREAD // number) for domain in domains])


def fill(place, account, count):
    """Queues messages of 1 KiB while the provider is away, and stops waxseal.

    A refused connection is the account's trouble and no message's attempt: all of them are due at the next start.
    """
    with Relay(place, [account]) as relay:
        relay.await_ready()
        with Meter(relay.pid) as meter:
            fill_s = send(place, [account.domain], min(count, FILLERS), count, KIB)
        relay.check_alive()
        ensure(relay.stop() == 0, f"waxseal did not end in order; {place.path('log')} says why")
    return {"fill_rate": count / fill_s, "fill_peak_pss_mib": meter.peak_mib}


def queued(place, count, _):
    """A restart with `count` messages in the queue and the provider back, until all are delivered."""
    place.clear()
    free = shutil.disk_usage(place.work).free
    needed = count * DISK_PER_MESSAGE + 2**30
    ensure(free > needed, f"{place.work} has {free >> 20} MiB free of {needed >> 20}: name another disk by BENCH_WORK")
    account = Account("d0.test", CONNECTIONS)
    filled = fill(place, account, count)
    with Sink(place) as sink, Relay(place, [account]) as relay:
        neighbours = Neighbours([sink.pid, relay.pid])
        with Meter(relay.pid) as meter:
            ready_s = relay.await_ready()
            stats = sink.await_messages(count)
        relay.check_alive()
        return {
            **filled,
            "ready_s": ready_s,
            "first_delivery_s": stats["first_us"] / 1e6 - relay.started_at,
            "drain_rate": (stats["messages"] - 1) * 1e6 / max(1, stats["last_us"] - stats["first_us"]),
            **costs(meter, neighbours, stats, count),
            **sink.audit(count),
        }


# What is measured, at what, and with how many messages: enough for ten seconds or so, and evenly split over accounts.
SERIES = {
    "clients": (clients, {1: 5_000, 10: 20_000, 100: 40_000, 1000: 40_000}),
    "accounts": (accounts, {2**n: 40_000 for n in range(7)}),
    "queued": (queued, {10**n: 10**n for n in range(2, 7)}),
}
QUICK = 25  # --quick: one message in so many, and queues no longer than QUICK_QUEUE
QUICK_QUEUE = 10_000


def planned(name, quick):
    """(x, messages) of a series."""
    for x, count in SERIES[name][1].items():
        if not quick:
            yield x, count
        elif name != "queued":
            yield x, count // QUICK
        elif count <= QUICK_QUEUE:
            yield x, count


def measure(place, names, runs, quick, out):
    """Writes a line about the machine and one a point; whether every message arrived once."""

    def write(line):
        out.write(json.dumps(line) + "\n")
        out.flush()

    in_order = True
    write({"machine": machine(place.waxseal)})
    for run in range(runs):
        for name in names:
            for x, count in planned(name, quick):
                point = {"series": name, "x": x, "run": run, "messages": count, **SERIES[name][0](place, x, count)}
                write({key: round(value, 3) if isinstance(value, float) else value for key, value in point.items()})
                print(told(point), flush=True)
                in_order = in_order and not point["lost"] and not point["twice"]
    return in_order


def told(point):
    """A point in a line."""
    text = (
        f"{point['series']} {point['x']:,}: {point['drain_rate']:,.0f} messages/s, "
        f"peak {point['peak_pss_mib']:.1f} MiB, {point['cpu_ms']:.3f} ms CPU a message, "
        f"{point['lost']} lost, {point['twice']} twice"
    )
    if "ready_s" in point:
        text += f", filled at {point['fill_rate']:,.0f}/s, ready after {point['ready_s']:.2f} s"
    return text + f" (others took {point['other_cores']:.1f} cores)"


def arguments():
    parser = argparse.ArgumentParser(description="How waxseal behaves as load grows.")
    parser.add_argument("harness", nargs="?", help="a built copy of the relay benchmark, as run.sh leaves it")
    parser.add_argument("--waxseal", default=os.path.join(ROOT, "target/release/waxseal"), help="the binary to measure")
    parser.add_argument("--only", choices=SERIES, help="one series alone")
    parser.add_argument("--runs", type=int, default=3, help="how often; plots show the median (default 3)")
    parser.add_argument("--quick", action="store_true", help="few messages and short queues, to try it out")
    parser.add_argument("--port", type=int, default=2700, help="the first of four ports on loopback (default 2700)")
    parser.add_argument("--out", help="the file that points are added to")
    parser.add_argument("--plot", metavar="FILE", help="draw what is in this file")
    parser.add_argument("--into", metavar="DIRECTORY", help="where the plots go")
    chosen = parser.parse_args()
    if bool(chosen.harness) == bool(chosen.plot):
        parser.error("either a HARNESS with --out, or --plot with --into")
    if chosen.harness and not chosen.out or chosen.plot and not chosen.into:
        parser.error("HARNESS needs --out, and --plot needs --into")
    return chosen


def main():
    chosen = arguments()
    if chosen.plot:
        plots.draw(chosen.plot, chosen.into)
        return True
    # Ended from outside, it still ends what it has started.
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    allow_open_files()
    work = os.path.join(os.environ.get("BENCH_WORK", "/var/tmp/bench-work"), f"growth-{chosen.port}")
    place = Place(os.path.abspath(chosen.harness), os.path.abspath(chosen.waxseal), work, chosen.port)
    place.check()
    names = [chosen.only] if chosen.only else list(SERIES)
    with open(chosen.out, "a", encoding="utf-8") as out:
        in_order = measure(place, names, chosen.runs, chosen.quick, out)
    place.remove()
    return in_order


if __name__ == "__main__":
    try:
        sys.exit(0 if main() else 1)
    except (Trouble, OSError) as trouble:
        sys.exit(f"growth.py: {trouble}")
