"""Medians, the tables, and the file with the results."""
import json
import os
import platform
import re
import statistics
import subprocess
import time


def median_figures(rounds):
    """The median of each number over the rounds."""
    figures = {}
    for name in {name for one in rounds for name in one}:
        values = [one[name] for one in rounds if isinstance(one.get(name), (int, float)) and not isinstance(one[name], bool)]
        if values:
            figures[name] = statistics.median(values)
    return figures


def print_table(subject, results, rounds):
    print(f"\n{subject.title}; {'medians of ' + str(rounds) + ' rounds' if rounds > 1 else 'one round'}")
    heads = ["load", "server", *(column.title for column in subject.columns)]
    rows = []
    for load in subject.loads():
        for peer in subject.peers:
            figures = results.get((load, peer.name))
            if figures is None:
                continue
            cells = []
            for column in subject.columns:
                value = figures.get(column.key)
                cells.append("-" if value is None else f"{value:,.{column.digits}f}")
            rows.append([load, peer.name, *cells])
    if not rows:
        print("  nothing was measured")
        return
    widths = [max(len(row[index]) for row in [heads, *rows]) for index in range(len(heads))]
    for row in [heads, *rows]:
        cells = [cell.ljust(width) if index < 2 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths))]
        print("  " + "  ".join(cells).rstrip())
    if subject.note:
        print(f"  {subject.note}")


def describe_machine(session, arguments):
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": output_of("git", "rev-parse", "--short", "HEAD"),
        "kernel": platform.release(),
        "processors": os.cpu_count(),
        "processor": first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "pinning": session.processors.description,
        "swift": (re.search(r"Swift version (\S+)", output_of("swift", "--version")) or ["", "unknown"])[1],
        "load_average": os.getloadavg()[0],
        "rounds": arguments.rounds,
        "seconds": arguments.seconds,
        "quick": arguments.quick,
    }


def write(file, about, subjects, samples):
    results = [
        {"subject": subject.name, "load": load, "server": peer.name, "median": median_figures(rounds), "rounds": rounds}
        for subject in subjects for load in subject.loads() for peer in subject.peers
        if (rounds := samples.get((subject.name, load, peer.name)))]
    os.makedirs(os.path.dirname(os.path.abspath(file)), exist_ok=True)
    with open(file, "w") as out:
        json.dump({**about, "results": results}, out, indent=1, ensure_ascii=False)
        out.write("\n")


def output_of(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def first_match(file, pattern):
    try:
        with open(file) as text:
            match = re.search(pattern, text.read())
            return match[1] if match else "unknown"
    except OSError:
        return "unknown"
