"""Bar charts, as SVG by hand. They can be read on a light and on a dark page."""
import re
from xml.sax.saxutils import escape

from .figures import text

WIDTH, BAR, GAP, TOP, SIDE = 720, 18, 8, 58, 14
NUMBERS = 96
# Of the widest of these fonts, in bold, a letter is about so wide.
LETTER = 7.8

STYLE = """
  text { font: 13px system-ui, -apple-system, 'Segoe UI', sans-serif; fill: #24292f; }
  .title { font-size: 15px; font-weight: 600; }
  .unit, .number { fill: #57606a; }
  .number { font-variant-numeric: tabular-nums; }
  .own-name { font-weight: 600; }
  .page { fill: #ffffff; }
  .axis { stroke: #d0d7de; }
  .own { fill: #0a7f6f; }
  .limit, .control { fill: #8c959f; }
  .peer { fill: #b6c8e0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .unit, .number { fill: #9da7b3; }
    .page { fill: #0d1117; }
    .axis { stroke: #30363d; }
    .own { fill: #2bbfa8; }
    .limit, .control { fill: #6e7681; }
    .peer { fill: #3d5878; }
  }
"""


def bars(title, unit, entries):
    """One bar for each entry: a name, a value, and a role. The order is the caller's."""
    names = max([len(name) for name, _, _ in entries], default=0) * LETTER + 12
    most = max([value for _, value, _ in entries], default=0) or 1
    room = WIDTH - 2 * SIDE - names - NUMBERS
    height = TOP + len(entries) * (BAR + GAP) + SIDE
    left = SIDE + names
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="6"/>',
        f'<text class="title" x="{SIDE}" y="24">{escape(title)}</text>',
        f'<text class="unit" x="{SIDE}" y="43">{escape(unit)}</text>',
        f'<line class="axis" x1="{left:.1f}" y1="{TOP - 4}" x2="{left:.1f}" y2="{height - SIDE + 4}"/>',
    ]
    for place, (name, value, role) in enumerate(entries):
        y = TOP + place * (BAR + GAP)
        length = max(1.0, room * max(0, value) / most)
        own = " own-name" if role == "own" else ""
        number = text(value, 2 if value < 100 else 0)
        lines += [
            f'<text class="name{own}" x="{left - 8:.1f}" y="{y + 14}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{role}" x="{left:.1f}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>',
            f'<text class="number{own}" x="{left + length + 6:.1f}" y="{y + 14}">{number}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def of_block(subject, block, column):
    """None when nobody has this figure."""
    values = [(row.peer.name, column.of(row.rounds), row.peer.role) for row in block.rows]
    entries = sorted([entry for entry in values if entry[1] is not None], key=lambda entry: entry[1])
    if not entries:
        return None
    reduced = "" if column.reduce in column.title else f", {column.reduce} of the rounds"
    return bars(subject.title, f"{block.load}: {column.title}{reduced}; less is better", entries)


def file_name(subject, block, column):
    """echo-64x64.svg; with the figure where a subject has several charts."""
    load = re.sub(r"[^a-z0-9]+", "-", block.load.lower().replace(" × ", "x").replace(",", "")).strip("-")
    figure = f"-{column.key.replace('_', '-')}" if len(subject.charts) > 1 else ""
    return f"{subject.name}-{load}{figure}.svg"
