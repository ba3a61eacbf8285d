"""What a process costs while it works: the memory that is its own, and processor time."""

import datetime
import os
import platform
import subprocess
import threading

TICK = os.sysconf("SC_CLK_TCK")
INTERVAL = 0.1  # seconds between two looks at the memory


def pss_mib(pid):
    """The process's proportional set size in MiB; 0 once it is gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    except (OSError, StopIteration):
        return 0.0


def cpu_seconds(pid):
    """User and system time that the process has taken so far, in seconds."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        # The name stands in parentheses and may hold blanks: count from behind it.
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def busy_seconds():
    """Processor time that the whole machine has spent so far on anything but waiting, in seconds."""
    with open("/proc/stat", encoding="ascii") as file:
        user, nice, system, _, _, irq, softirq, steal = map(int, file.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / TICK


class Meter:
    """Watches a process for as long as its `with` lasts; then `peak_mib` and `cpu_s` hold."""

    def __init__(self, pid):
        self.pid, self.peak_mib, self.cpu_s = pid, 0.0, 0.0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def __enter__(self):
        self.cpu_before = cpu_seconds(self.pid)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        try:
            self.cpu_s = cpu_seconds(self.pid) - self.cpu_before
        except OSError:
            pass  # the process has died; whoever works with it says so

    def watch(self):
        while True:
            self.peak_mib = max(self.peak_mib, pss_mib(self.pid))
            if self.ended.wait(INTERVAL):
                return


class Neighbours:
    """Cores that others kept busy meanwhile, the kernel's threads among them: above some 0.2 a point is disturbed."""

    def __init__(self, parts):
        """`parts`: the processes that belong to the measurement beside this one and its children that have ended."""
        self.parts = parts
        self.before = self.taken()

    def taken(self):
        """(seconds on the clock, processor seconds of others)"""
        own = os.times()
        ours = sum(own[:4]) + sum(cpu_seconds(pid) for pid in self.parts)
        return own.elapsed, busy_seconds() - ours

    def cores(self):
        elapsed, taken = self.taken()
        return max(0.0, (taken - self.before[1]) / (elapsed - self.before[0]))


def cpu_model():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        names = (line.partition(":")[2].strip() for line in file if line.startswith("model name"))
        return next(names, platform.machine())


def machine(waxseal):
    """Where and with what it is measured."""
    version = subprocess.run([waxseal, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": f"{platform.system()} {platform.release()}",
        "waxseal": version,
        "date": datetime.date.today().isoformat(),
    }
