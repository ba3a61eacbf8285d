#!/usr/bin/env python3
"""flame.py TITLE < STACKS > flame.svg: a flame graph of what `perf script` writes.

Needs a daemon with symbols and frame pointers, built apart from the one that is shipped:

    RUSTFLAGS=-Cforce-frame-pointers=yes CARGO_PROFILE_RELEASE_STRIP=none cargo build --release --target-dir target/profiled
    perf record -F 1999 -e cpu-clock -g -p PID -- sleep 4 && perf script | benches/compare/flame.py TITLE > flame.svg

A frame is as wide as its share of the samples; the callers are below. Where a frame has no name its library stands for
it. Frames of the runtime that all stacks share are left out.
"""

import re
import sys
from collections import Counter
from html import escape

WIDTH, ROW, FONT = 1200, 17, 11
SMALLEST = 0.002  # of all samples; narrower frames are not drawn
SAMPLE = re.compile(r"\s+[0-9a-f]+ (.*) \((.*)\)$")
SHARED = re.compile(
    r"^(_?start|clone3?|__libc_start|start_thread|std::|<std::|__rust|core::ops::|<core::panic|<alloc::boxed|main$|"
    r"tokio::runtime::(task|blocking|scheduler::multi_thread::worker|context|coop|thread_id)|<?tokio_util::task)"
)


def name(frame):
    found = SAMPLE.match(frame.rstrip())
    if not found:
        return None
    symbol = re.sub(r"\+0x[0-9a-f]+$|::h[0-9a-f]{16}", "", found.group(1))
    symbol = symbol.replace("::{{closure}}", "").replace("waxseal::", "")
    return f"[{found.group(2).rsplit('/', 1)[-1]}]" if symbol == "[unknown]" else symbol


def stacks(lines):
    """Counts stacks, outermost frame first, the thread's name before it."""
    counts, stack, thread = Counter(), [], None
    for line in [*lines, ""]:
        if not line.strip():
            if thread:
                frames = [frame for frame in reversed(stack) if not SHARED.match(frame)]
                counts[(thread, *(frame for at, frame in enumerate(frames) if at == 0 or frames[at - 1] != frame))] += 1
            stack, thread = [], None
        elif not line[0].isspace():
            thread = re.sub(r"\s+\d+.*", "", line.strip())
        elif (frame := name(line)) is not None:
            stack.append(frame)
    return counts


def colour(frame, depth):
    if depth == 0:
        return "#b8c4d0"
    if "::" not in frame and not frame.startswith("<"):
        return "#e8b88a"  # C and the kernel
    if re.match(r"<?(rustls|ring|tokio_rustls)", frame):
        return "#c7b3e0"
    if re.match(r"<?(tokio|core|alloc|std|tracing|serde|samotop|memchr)", frame):
        return "#a9d3b0"
    return "#f2d16b"  # our own


def boxes(counts, total):
    """Yields depth, first sample, samples and name of every frame that is wide enough."""
    level = [((), 0, list(counts.items()))]
    while level:
        below = []
        for prefix, start, items in level:
            depth, children = len(prefix), {}
            for stack, count in items:
                if len(stack) > depth:
                    children.setdefault(stack[depth], []).append((stack, count))
            for frame, inner in sorted(children.items()):
                samples = sum(count for _, count in inner)
                if samples >= SMALLEST * total:
                    yield depth, start, samples, frame
                    below.append(((*prefix, frame), start, inner))
                start += samples
        level = below


def main(title):
    counts = stacks(sys.stdin)
    total = sum(counts.values()) or 1
    drawn = list(boxes(counts, total))
    rows = max((depth for depth, *_ in drawn), default=0) + 1
    height = rows * ROW + 40
    print(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="{FONT}">')
    print(f'<rect width="{WIDTH}" height="{height}" fill="#fbfaf7"/>')
    print(f'<text x="8" y="18" font-size="14" fill="#222">{escape(title)}: {total} samples</text>')
    for depth, start, samples, frame in drawn:
        x, width = start / total * WIDTH, samples / total * WIDTH
        y = height - (depth + 1) * ROW - 4
        fits = int((width - 4) / (FONT * 0.56))
        print(f'<g><title>{escape(frame)}: {100 * samples / total:.1f} %</title>')
        print(f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, 0.3):.1f}" height="{ROW - 1}" fill="{colour(frame, depth)}"/>')
        if fits > 3:
            shown = frame if len(frame) <= fits else frame[: fits - 1] + "…"
            print(f'<text x="{x + 2:.1f}" y="{y + 12}" fill="#222">{escape(shown)}</text>')
        print("</g>")
    print("</svg>")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "flame graph")
