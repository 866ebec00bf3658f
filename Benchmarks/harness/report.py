"""What is left of a run: tables on standard output, and results.json, REPORT.md and charts in a directory."""
import json
import os
import re
import shutil

from . import charts, table
from .figures import block, median_figures


def blocks_of(group_list):
    """The subjects in their order, each with its blocks."""
    found = {}
    for group in group_list:
        measured = []
        for peer in group.peers:
            rounds = [{**figures, **group.once.get(peer.name, {})} for figures in group.samples.get(peer.name, [])]
            measured.append((peer, rounds))
        one = block(group.load, measured, group.subject.columns, group.subject.yardstick)
        found.setdefault(group.subject, []).append(one)
    return {
        subject: kept for subject, blocks in found.items() if (kept := [one for one in blocks if one.rows])}


def print_tables(subjects, stream):
    for subject, blocks in subjects.items():
        print(f"\n{subject.title}", file=stream)
        for line in table.terminal(subject, blocks):
            print(f"  {line}".rstrip(), file=stream)
        for one in blocks:
            for remark in table.remarks(one):
                print(f"  {one.load}: {remark}", file=stream)
        if subject.note:
            print(f"  {subject.note}", file=stream)


def write(directory, about, peers, subjects, faults):
    """Replaces what an earlier run has left in this directory. Returns the path of the report."""
    folder = os.path.join(directory, "charts")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    lines = [*head(about), *who(peers)]
    for subject, blocks in subjects.items():
        lines += ["", f"## {subject.title}", ""]
        if subject.note:
            lines += [subject.note, ""]
        for one in blocks:
            lines += [f"### {one.load}", ""]
            for column in subject.charts:
                svg = charts.of_block(subject, one, column)
                if svg is None:
                    continue
                name = charts.file_name(subject, one, column)
                with open(os.path.join(folder, name), "w") as file:
                    file.write(svg)
                lines += [f"![{subject.title}, {one.load}: {column.title}](charts/{name})", ""]
            lines += [*table.markdown(subject, one), ""]
            lines += [f"{remark}\n" for remark in table.remarks(one)]
    if faults:
        lines += ["", "## What failed", "", *(f"- {fault}" for fault in faults)]
    path = os.path.join(directory, "REPORT.md")
    with open(path, "w") as file:
        file.write(re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).rstrip() + "\n")
    with open(os.path.join(directory, "results.json"), "w") as file:
        everything = {**about, "peers": describe_peers(peers), "results": flat(subjects), "faults": faults}
        json.dump(everything, file, indent=1, ensure_ascii=False)
        file.write("\n")
    return path


def head(about):
    return [
        "# Benchmarks of Eddy and its peers", "",
        f"{about['date']}, commit {about['commit']}, Swift {about['swift']}, Linux {about['kernel']}, "
        f"{about['processors']} processors ({about['processor']}); {about['pinning']}; up to {about['rounds']} "
        f"interleaved rounds, {about['seconds']:g} s each.", "",
        "*× limit*: the first column in proportion to C by hand (`c-epoll`, where it takes part). *× best peer*: in "
        "proportion to the best of the others. *least* is the least of the rounds, which is what repeats; everything "
        "else is the median. *other cpu*: processors that the rest of the machine used meanwhile; nothing is to be "
        "believed where it is not nearly 0.", "",
    ]


def who(peers):
    lines = ["| peer | what | version |", "|---|---|---|"]
    lines += [f"| {peer.name} | {cell(peer.about)} | {cell(peer.version)} |" for peer in peers if not peer.missing]
    absent = [f"{peer.name}: {peer.missing}" for peer in peers if peer.missing]
    return lines + (["", "Left out: " + "; ".join(absent) + "."] if absent else [])


def cell(text):
    return text.replace("|", "\\|")


def describe_peers(peers):
    return [{"name": peer.name, "group": peer.group, "role": peer.role, "about": peer.about, "version": peer.version,
             "missing": peer.missing} for peer in peers]


def flat(subjects):
    return [
        {"subject": subject.name, "load": one.load, "peer": row.peer.name, "yardstick": subject.yardstick.key,
         "value": row.yardstick, "to_limit": row.to_limit, "to_best": row.to_best, "median": median_figures(row.rounds),
         "rounds": row.rounds}
        for subject, blocks in subjects.items() for one in blocks for row in one.rows]
