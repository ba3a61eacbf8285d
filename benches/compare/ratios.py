#!/usr/bin/env python3
"""ratios.py RAW: the relay benchmark's lines as one Markdown table, waxseal beside the better of its peers.

A cell shows the median of the runs, and the lowest and the highest behind it. The ratio is that of the medians, and of
the better peer's in each row; a rate is better when it is high, a time or a size when it is low.
"""

import json
import statistics
import sys

US = "waxseal"


def drain(line):
    return line.get("drain_rate")


def cpu(line):
    return line.get("cpu_ms_per_msg")


def pss(line):
    kib = line.get("peak_pss_kib", line.get("pss_kib"))
    return kib and kib / 1024


def quantile(name):
    return lambda line: line["client"].get(name)


# Row, cell of the benchmark, figure, whether more is better, target: a ratio to the better peer, or MiB.
ROWS = [
    ("4 KiB, a connection each: drain msg/s", "4k-close", drain, True, "10 ×"),
    ("4 KiB, kept connections: drain msg/s", "4k-keep", drain, True, "15 ×"),
    ("100 KiB, kept: drain msg/s", "100k-keep", drain, True, "10 ×"),
    ("10 MiB, kept: drain msg/s", "10m-keep", drain, True, "5 ×"),
    ("4 KiB, kept, 20 ms round trip: drain msg/s", "4k-keep-rtt20", drain, True, "6 ×"),
    ("CPU a 4 KiB message, ms (kept)", "4k-keep", cpu, False, "1/10"),
    ("CPU a 4 KiB message, ms (a connection each)", "4k-close", cpu, False, "1/10"),
    ("memory under 4 KiB load, PSS MiB", "4k-keep", pss, False, "16 MiB"),
    ("memory under 100 KiB load, PSS MiB", "100k-keep", pss, False, ""),
    ("memory under 10 MiB load, PSS MiB", "10m-keep", pss, False, ""),
    ("idle, PSS MiB", "idle", pss, False, "8 MiB"),
    ("acceptance p50, kept, ms", "latency-keep", quantile("p50_ms"), False, "1/4"),
    ("acceptance p99, kept, ms", "latency-keep", quantile("p99_ms"), False, "1/4"),
    ("acceptance p50, a connection each, ms", "latency-close", quantile("p50_ms"), False, "1/4"),
    ("acceptance p99, a connection each, ms", "latency-close", quantile("p99_ms"), False, "1/4"),
]


def short(number):
    return f"{number:.0f}" if number >= 100 else f"{number:.1f}" if number >= 10 else f"{number:.2f}"


def spread(values):
    if not values:
        return "–"
    middle = short(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({short(min(values))}–{short(max(values))})"


def ratio(ours, better, more_is_better):
    if more_is_better:
        return f"{ours / better:.1f} ×"
    return f"1/{better / ours:.1f}" if ours < better else f"{ours / better:.1f} ×"


def row(lines, peers, what, cell, figure, more_is_better, target):
    values = {
        peer: [figure(line) for line in lines if line["peer"] == peer and line["cell"] == cell and figure(line)]
        for peer in peers
    }
    medians = {peer: statistics.median(found) for peer, found in values.items() if found}
    others = [median for peer, median in medians.items() if peer != US]
    said = "–"
    if US in medians and others:
        better = max(others) if more_is_better else min(others)
        said = ratio(medians[US], better, more_is_better)
    return [what, *(spread(values[peer]) for peer in peers), said, target or "–"]


def main(path):
    with open(path, encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    peers = list(dict.fromkeys(line["peer"] for line in lines))
    peers.sort(key=lambda peer: peer != US)
    print("| " + " | ".join(["work", *peers, "ratio to the better one", "target"]) + " |")
    print("|---" * (len(peers) + 3) + "|")
    for columns in ROWS:
        print("| " + " | ".join(row(lines, peers, *columns)) + " |")
    lost = sum((line.get("missing") or 0) + (line.get("duplicates") or 0) for line in lines if line["peer"] == US)
    print(f"\nMessages of {US} lost or doubled: {lost}.")


if __name__ == "__main__":
    main(sys.argv[1])
