"""Tables: on a terminal, and in Markdown."""
from .figures import text

# What all tables have after a subject's own columns.
RATIOS = ["× limit", "× best peer", "rounds"]


def heads(subject):
    return [subject.columns[0].title, *RATIOS[:2], *(column.title for column in subject.columns[1:]), RATIOS[2]]


def cells(subject, row):
    values = [text(value, column.digits) for value, column in zip(row.values, subject.columns)]
    return [values[0], text(row.to_limit, 2), text(row.to_best, 2), *values[1:], str(len(row.rounds))]


def without_empty(table):
    """Without the columns in which nobody has anything."""
    kept = [index for index in range(len(table[0])) if any(row[index] != "-" for row in table[1:])]
    return [[row[index] for index in kept] for row in table]


def terminal(subject, blocks):
    """One table for all loads."""
    table = without_empty([["load", "peer", *heads(subject)], *(
        [block.load, row.peer.name, *cells(subject, row)] for block in blocks for row in block.rows)])
    widths = [max(len(row[index]) for row in table) for index in range(len(table[0]))]
    lines, before = [], None
    for row in table:
        # A load is named once.
        shown = ["" if row[0] == before else row[0], *row[1:]]
        if before not in (None, "load", row[0]):
            lines.append("")
        before = row[0]
        lines.append("  ".join(
            cell.ljust(width) if index < 2 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(shown, widths))).rstrip())
    return lines


def markdown(subject, block):
    table = without_empty([["peer", *heads(subject)], *([row.peer.name, *cells(subject, row)] for row in block.rows)])
    emphasised = {index for index, row in enumerate(block.rows, 1) if row.peer.role == "own"}
    lines = []
    for index, row in enumerate(table):
        if index in emphasised:
            row = [cell if cell == "-" else f"**{cell}**" for cell in row]
        lines.append(f"| {' | '.join(row)} |")
        if index == 0:
            lines.append("|---" + "|---:" * (len(row) - 1) + "|")
    return lines


def remarks(block):
    """What a reader has to know before he believes a difference."""
    lines = []
    if block.noise is not None:
        lines.append(f"A/A: c-epoll twice differs by {100 * block.noise:.1f} %. No smaller difference is one.")
    if block.disturbed:
        lines.append(f"Disturbed, the rest of the machine was busy: {', '.join(block.disturbed)}.")
    return lines
