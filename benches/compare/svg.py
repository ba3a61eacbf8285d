"""Charts as SVG: panels one above the other over one logarithmic axis, every point labelled with its value."""

import math
from html import escape

WIDTH, LEFT, RIGHT = 760, 72, 48
TOP, PANEL, GAP, BOTTOM = 112, 168, 64, 92
PADDING = 36  # from a panel's edge to its outermost point, so that labels stay inside
STEEP, AWAY = 40, 12  # a climb to the next point, and how far a label gives way to it
COLOURS = ("#1d6a96", "#b4532a", "#4f7942")
# The card brings its own background: ink on paper reads the same on a light page and on a dark one.
STYLE = """
.card { fill: #fcfcfa; stroke: #d8d8d2; }
text { font-family: system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
text { font-size: 12px; fill: #5c6370; }
.title { font-size: 20px; font-weight: 600; fill: #1f2430; }
.subtitle { font-size: 13px; }
.panel { font-size: 13px; font-weight: 600; fill: #1f2430; }
.value { font-weight: 600; paint-order: stroke; stroke: #fcfcfa; stroke-width: 4px; stroke-linejoin: round; }
.small { font-size: 11px; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.grid { stroke: #e6e6e0; }
.axis { stroke: #9aa0a8; }
.line { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.area { opacity: 0.08; }
.spread { stroke-width: 1.5; opacity: 0.5; }
.point { stroke: #fcfcfa; stroke-width: 2; }
"""


class Panel:
    """One quantity: its name with the unit, and (lowest, middle, highest) of the runs for each x."""

    def __init__(self, name, values):
        self.name, self.values = name, values
        self.step = nice_step(max(high for _, _, high in values))
        # Room above the highest point for its label.
        self.top = self.step * math.ceil(max(high for _, _, high in values) * 1.15 / self.step)


def nice_step(highest):
    """A round distance of grid lines that makes three to five of them up to `highest`."""
    rough = max(highest, 1e-9) / 4
    power = 10 ** math.floor(math.log10(rough))
    return next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough)


def number(value):
    """A value with as many digits as one reads."""
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def text(x, y, words, classes, colour=None):
    fill = f' style="fill: {colour}"' if colour else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{classes}"{fill}>{escape(words)}</text>'


def line(x1, y1, x2, y2, classes, colour=None):
    stroke = f' stroke="{colour}"' if colour else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{classes}"{stroke}/>'


def places(xs):
    """Where each x stands on the logarithmic axis, in pixels."""
    low, high = math.log(xs[0]), math.log(xs[-1])
    width = WIDTH - LEFT - RIGHT - 2 * PADDING
    return [LEFT + PADDING + (width * (math.log(x) - low) / (high - low) if high > low else width / 2) for x in xs]


def grid(panel, floor):
    """Horizontal lines from zero up, each with its number."""
    parts, count = [], round(panel.top / panel.step)
    for n in range(count + 1):
        y = floor - PANEL * n / count
        parts.append(line(LEFT, y, WIDTH - RIGHT, y, "axis" if n == 0 else "grid"))
        parts.append(text(LEFT - 10, y + 4, number(n * panel.step), "end small"))
    return parts


def curve(panel, across, floor, colour):
    """Line, spread of the runs, points and their values."""

    def up(value):
        return floor - PANEL * value / panel.top

    track = " ".join(f"{x:.1f},{up(middle):.1f}" for x, (_, middle, _) in zip(across, panel.values))
    parts = [
        f'<polygon points="{across[0]:.1f},{floor} {track} {across[-1]:.1f},{floor}" class="area" fill="{colour}"/>',
        f'<polyline points="{track}" class="line" stroke="{colour}"/>',
    ]
    for x, (low, middle, high) in zip(across, panel.values):
        parts.append(line(x, up(low), x, up(high), "spread", colour))
        parts.append(f'<circle cx="{x:.1f}" cy="{up(middle):.1f}" r="5" class="point" fill="{colour}"/>')
    following = [up(middle) for _, middle, _ in panel.values[1:]] + [floor]
    for x, (_, middle, high), y in zip(across, panel.values, following):
        # A line that climbs steeply from here would run through the label: it makes way to the left.
        aside = AWAY if up(middle) - y > STEEP else 0
        parts.append(text(x - aside, up(high) - 11, number(middle), "value middle", colour))
    return parts


def chart(title, subtitle, x_name, xs, panels, notes):
    """The whole drawing. `notes` are lines of small print."""
    height = TOP + len(panels) * (PANEL + GAP) - GAP + BOTTOM + 16 * len(notes)
    across = places(xs)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="8" class="card"/>',
        text(28, 40, title, "title"),
        text(28, 62, subtitle, "subtitle"),
    ]
    for n, panel in enumerate(panels):
        floor = TOP + n * (PANEL + GAP) + PANEL
        parts.append(text(28, floor - PANEL - 16, panel.name, "panel"))
        parts += grid(panel, floor)
        parts += curve(panel, across, floor, COLOURS[n % len(COLOURS)])
        parts += [text(x, floor + 20, number(value), "middle") for x, value in zip(across, xs)]
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, floor + 42, x_name, "middle"))
    parts += [text(28, floor + 76 + 16 * n, note, "small") for n, note in enumerate(notes)]
    return "\n".join(parts + ["</svg>", ""])
