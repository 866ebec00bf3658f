"""The regression gate: what Eddy's operations and requests may cost in instructions, first-level misses, allocations and
system calls."""
import argparse
import concurrent.futures
import json
import math
import os
import platform
import re
import statistics
import subprocess

from . import builds, instructions, lockstep, peers, syscalls, system
from .processes import Failure, Session

FILE = os.path.join(peers.HERE, "thresholds.json")
OPERATIONS = ["yield", "wake", "chan", "timer", "sleep", "pipe", "tcp-array", "tcp-span", "spawn1", "timeout",
              "scope-start", "serve-task"]
REQUESTS = {"echo request": "echo", "HTTP request": "http"}
IN_STEP = {"echo, 50 connections": 50, "echo, 1,000 connections": 1_000}
# Above the 1,024 timers that are armed at any time.
COUNT = 4_096

# Instructions differ by a few per thousand from machine to machine, and misses by where memory comes to lie: this share, or so
# many, and how many digits a limit has. The others are exact.
SLACK = {"instructions": (0.03, 0, 0), "first-level misses": (0.05, 0.3, 1)}
# This much below its limit, something became cheaper, and could become dear again without anybody noticing.
MUCH = 0.1
FIGURES = ("instructions", "first-level misses", "allocations", "system calls")
# What is another on another machine.
OF_THE_MACHINE = ("instructions", "first-level misses")

# What eddy-bench prints besides system calls.
FIELDS = {"peer", "bench", "n", "reps", "ns", "ns_min", "ns_max", "operations", "allocations", "left_bytes"}

DESCRIPTION = f"""Compares what Eddy's operations cost with the limits in thresholds.json. Time is no part of
it: it does not repeat.

--update writes what was measured as the new limits: instructions and misses with some slack, the others exactly.
Exit status: 0; 1 when a limit is exceeded, or when valgrind is missing and CI is set in the environment.
"""


def main(words, progress):
    parser = argparse.ArgumentParser(
        prog="bench.py gate", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--update", action="store_true", help="write new limits")
    parser.add_argument("--thresholds", metavar="FILE", default=FILE, help="another file with limits")
    arguments = parser.parse_args(words)
    if not instructions.is_available():
        progress.tell("gate: nothing was compared, because valgrind is missing (apt install valgrind, or make setup)")
        return 1 if os.environ.get("CI") else 0
    stored = read(arguments.thresholds) if not arguments.update else {"limits": {}}
    builds.build_own(["echo", "http", "micro"], progress.step)
    with Session() as session:
        measured = measure_all(session, stored["limits"], progress)
    if arguments.update:
        write(arguments.thresholds, measured)
        stored = read(arguments.thresholds)
    print_table(measured, stored["limits"])
    if arguments.update:
        print(f"\n{os.path.relpath(arguments.thresholds)} has these as its limits now")
        return 0
    return judge(measured, stored)


def measure_all(session, limits, progress):
    """By what and mode, the figures. Two at a time, or as many as there are processors: time plays no part.

    - limits: those that the figures will be compared with."""
    jobs = {}
    host, guest, *_ = peers.own()
    offered = subprocess.run([peers.BENCH, "list"], capture_output=True, text=True, check=True).stdout
    offered = {line.split("\t")[0] for line in offered.splitlines()}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        try:
            for peer in (host, guest):
                # First, because these take the longest.
                for what, connections in IN_STEP.items():
                    jobs[what, peer.name] = pool.submit(
                        settled, lambda peer=peer, count=connections: in_step(session, peer, count),
                        limits.get(what, {}).get(peer.name))
                for name in OPERATIONS:
                    if name in offered:
                        words = peer.commands["micro"].filled(bench=name)
                        jobs[name, peer.name] = pool.submit(operation, session, words)
                for what, kind in REQUESTS.items():
                    jobs[what, peer.name] = pool.submit(request, session, peer, kind)
            for number, _ in enumerate(concurrent.futures.as_completed(jobs.values()), 1):
                progress.show(f"{number} of {len(jobs)} are counted")
        except BaseException:
            for job in jobs.values():
                job.cancel()
            session.is_ending = True
            for process in list(session.running):
                process.kill()
            raise
        finally:
            progress.clear()
    found = {}
    for key, job in jobs.items():
        try:
            found[key] = job.result()
        except (Failure, OSError) as failure:
            raise Failure(f"gate: {' '.join(key)}: {failure}") from failure
    order = [*OPERATIONS, *REQUESTS, *IN_STEP]
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def operation(session, words):
    line = session.run([*words, "1000"])[0].strip().splitlines()[-1]
    figures = json.loads(line)
    costs = {"instructions": round(instructions.per_operation(session, words, COUNT, ["--once"]))}
    if "allocations" in figures:
        costs["allocations"] = tidy(figures["allocations"])
    # A clock is read in user space (vdso(7)).
    calls = [value for name, value in figures.items() if name not in FIELDS and name != "clock_gettime"]
    if calls:
        costs["system calls"] = tidy(sum(calls))
    return costs


def tidy(count):
    """To a hundredth: 7, not 7.0."""
    return round(count) if abs(count - round(count)) < 0.005 else round(count, 2)


def request(session, peer, kind):
    command = peer.commands[kind]
    costs = {"instructions": round(instructions.per_request(session, peer.name, command, kind))}
    try:
        # The lesser of two: a server that is kept waiting by a busy machine makes one more now and then, for a timer.
        costs["system calls"] = min(
            tidy(syscalls.per_request(session, peer.name, command, kind)["all"]) for _ in range(2))
    except Failure:
        # Not everywhere may, or can, strace look at another process. eddy-bench counts its own.
        pass
    return costs


def settled(measure, limits, most=3):
    """One measurement when it is within its limits. One run in twenty has a start that costs a server of 1,000 connections some
    thousand instructions more for each: what exceeds a limit is measured again, and the least counts. Without limits it is the
    median of all."""
    found = [measure()]
    while len(found) < most and (limits is None or any(
            min(costs[name] for costs in found) > limits.get(name, -1) for name in found[0])):
        found.append(measure())
    reduce = statistics.median if limits is None else min
    return {name: reduce(costs[name] for costs in found) for name in found[0]}


def in_step(session, peer, connections):
    figures = lockstep.per_request(session, peer.name, peer.commands["echo"], connections)
    return {"instructions": round(figures["instructions"]), "first-level misses": round(figures["misses"], 1)}


def limit_of(name, value):
    """What --update writes for a figure."""
    if name not in SLACK:
        return value
    share, count, digits = SLACK[name]
    with_slack = max(value * (1 + share), value + count)
    step = 10 ** digits
    # 105.00000000000001 is 105.
    limit = math.ceil(round(with_slack * step, 6))
    return limit / step if digits else limit


def toolchain():
    swift = re.search(r"Swift version (\S+)", system.output_of("swift", "--version"))
    return {"machine": platform.machine(), "swift": swift[1] if swift else "unknown"}


def read(file):
    try:
        with open(file) as text:
            return json.load(text)
    except FileNotFoundError as error:
        raise Failure(f"gate: {file} is missing: 'bench.py gate --update' writes it") from error
    except ValueError as error:
        raise Failure(f"gate: {file}: {error}") from error


def write(file, measured):
    limits = {}
    for (what, mode), costs in measured.items():
        limits.setdefault(what, {})[mode] = {name: limit_of(name, value) for name, value in costs.items()}
    with open(file, "w") as text:
        about = "Limits per operation: see README.md. 'bench.py gate --update' writes this file."
        json.dump({"about": about, **toolchain(), "limits": limits}, text, indent=2)
        text.write("\n")


def print_table(measured, limits):
    """What was measured, and what it may be."""
    width = max(len(what) for what, _ in measured)
    print(f"{'':{width}} {'':10}" + "".join(f"  {name:>18}" for name in FIGURES))
    for (what, mode), costs in measured.items():
        cells = []
        for name in FIGURES:
            limit = limits.get(what, {}).get(mode, {}).get(name)
            cells.append(f"{costs[name]:,} / {'?' if limit is None else f'{limit:,}'}" if name in costs else "-")
        print(f"{what:{width}} {mode:10}" + "".join(f"  {cell:>18}" for cell in cells))


def judge(measured, stored):
    here = toolchain()
    if here["machine"] != stored.get("machine"):
        print(f"\ninstructions and misses are not compared: the limits are for {stored.get('machine')}, this is {here['machine']}")
    elif here["swift"] != stored.get("swift"):
        print(f"\nthe limits were measured with Swift {stored.get('swift')}, and this is {here['swift']}")
    too_dear, much_cheaper = compare(measured, stored["limits"], here["machine"] == stored.get("machine"))
    if much_cheaper:
        print("\nFar cheaper than the limits; 'Benchmarks/bench.py gate --update' lowers them, so that it stays so:")
        for line in much_cheaper:
            print(f"  {line}")
    if not too_dear:
        print("\ngate: no limit is exceeded")
        return 0
    print("\nerror: gate: these are above their limits, or have none:")
    for line in too_dear:
        print(f"  {line}")
    print("""
What to do: find out why. `valgrind --tool=callgrind Benchmarks/.build/release/eddy-bench NAME 4096 --once` and
callgrind_annotate show where instructions go, `Benchmarks/trace.sh NAME` where memory is allocated. For connections in
step, `valgrind --tool=cachegrind --cache-sim=yes .build/release/echo-server --port 7777`, with the load of
`Benchmarks/.build/release/eddy-load lock-step 7777 50 64 100`, and cg_annotate show who misses. Compare with the commit
before. If the cost is meant and worth it, `Benchmarks/bench.py gate --update` takes it over: say why in the
commit.""")
    return 1


def compare(measured, limits, is_same_machine=True):
    """What exceeds its limit or has none, and what is far below, as sentences."""
    too_dear, much_cheaper = [], []
    for (what, mode), costs in measured.items():
        for name, value in costs.items():
            if name in OF_THE_MACHINE and not is_same_machine:
                continue
            limit = limits.get(what, {}).get(mode, {}).get(name)
            if limit is None:
                too_dear.append(f"{what} ({mode}): {value:,} {name}, and there is no limit yet")
            elif value > limit:
                more = f", {100 * (value / limit - 1):.1f} % more" if limit else ""
                too_dear.append(f"{what} ({mode}): {value:,} {name}; at most {limit:,} are allowed{more}")
            elif value + SLACK.get(name, (0, 0, 0))[1] < limit * (1 - MUCH):
                much_cheaper.append(f"{what} ({mode}): {value:,} {name}; {limit:,} are allowed")
    return too_dear, much_cheaper
