"""What was measured, as charts: which series has which title, panels and small print."""

import json
import os
import statistics

from rig import Trouble, ensure
from svg import Panel, chart

DRAIN = ("drain_rate", "Delivered, messages a second")
MEMORY = ("peak_pss_mib", "Peak memory (PSS), MiB")
READY = ("ready_s", "Ready after a restart, seconds")
# Title, subtitle, name of the x axis, panels.
PLOTS = {
    "clients": (
        "More clients at once",
        "Messages of 4 KiB over kept connections, through one account with 20 connections",
        "concurrent clients",
        (DRAIN, MEMORY),
    ),
    "accounts": (
        "More accounts",
        "The same messages of 4 KiB from 64 clients over 64 connections upstream, split evenly",
        "accounts, each with a sender domain of its own",
        (DRAIN, MEMORY),
    ),
    "queued": (
        "A longer queue",
        "A restart with messages of 1 KiB in the queue and the provider back, 20 connections",
        "messages in the queue when waxseal starts",
        (DRAIN, MEMORY, READY),
    ),
}


def read(path):
    """Each series' latest measurement: the machine, and its points by x."""
    found, machine, opened = {}, None, set()
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            line = parsed(text, f"{path}:{number}")
            if "machine" in line:
                machine, opened = line["machine"], set()
                continue
            ensure(machine, f"{path} does not begin with a line about the machine: it is not growth.py's")
            name = line["series"]
            if name not in opened:
                opened.add(name)
                found[name] = (machine, {})
            found[name][1].setdefault(line["x"], []).append(line)
    ensure(found, f"{path} has no points")
    return found


def parsed(text, where):
    try:
        return json.loads(text)
    except json.JSONDecodeError as problem:
        raise Trouble(f"{where}: no line of growth.py's: {problem}") from problem


def spread(points, key):
    """(lowest, median, highest) of the runs."""
    values = [point[key] for point in points]
    return min(values), statistics.median(values), max(values)


def notes(machine, by_x):
    points = [point for some in by_x.values() for point in some]
    runs = max(len(some) for some in by_x.values())
    sent, lost, twice = (sum(point[key] for point in points) for key in ("messages", "lost", "twice"))
    times = f"Median of {runs} runs, bars from the lowest to the highest" if runs > 1 else "One run"
    return [
        f"{times}. {sent:,} messages in all: {lost:,} lost, {twice:,} delivered twice.",
        f"{machine['cpu']}, {machine['cores']} cores shared with clients and provider, {machine['kernel']}.",
        f"{machine['waxseal']}, {machine['date']}.",
    ]


def drawn(name, machine, by_x):
    title, subtitle, x_name, quantities = PLOTS[name]
    xs = sorted(by_x)
    panels = [Panel(words, [spread(by_x[x], key) for x in xs]) for key, words in quantities]
    return chart(title, subtitle, x_name, xs, panels, notes(machine, by_x))


def draw(path, directory):
    """Writes a chart a series into the directory."""
    os.makedirs(directory, exist_ok=True)
    for name, (machine, by_x) in read(path).items():
        target = os.path.join(directory, name + ".svg")
        with open(target, "w", encoding="utf-8") as file:
            file.write(drawn(name, machine, by_x))
        print(target)
