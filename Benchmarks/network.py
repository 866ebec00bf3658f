#!/usr/bin/env python3
"""Benchmarks of the network: Eddy's example servers beside C, nginx, socat and Redis, under the load of eddy-load.

    ./network.py                                   # all subjects, five rounds: tables, and results/network.json
    ./network.py --quick                           # one short round: does everything work?
    ./network.py --subjects echo,udp --rounds 9

The servers have one processor and the load has another, where there are two. Each measurement starts its server afresh;
every round measures everything once, in an order that rotates, and the tables have the medians of the rounds. A program
that is missing is left out. Exit status 1 when a measurement failed.

Leave the machine alone meanwhile: "other cpu" is what the rest of it has used, in processors. Don't believe a row where it
is not nearly 0.
"""
import argparse
import os
import signal
import subprocess
import sys

# The sources stay as they are.
sys.dont_write_bytecode = True

from netbench import peers, report, subjects
from netbench.processes import Failure, Session

HERE = os.path.dirname(os.path.abspath(__file__))


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [subject.name for subject in subjects.ALL]
    parser.add_argument("--subjects", metavar="A,B", help=f"some of {', '.join(names)}")
    parser.add_argument("--servers", metavar="A,B", help="only those whose names contain one of these words")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured (5)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long a measurement lasts (3)")
    parser.add_argument("--quick", action="store_true", help="one round of 0.3 seconds each")
    parser.add_argument("--output", metavar="FILE", default=os.path.join(HERE, "results", "network.json"))
    arguments = parser.parse_args()
    arguments.rounds = arguments.rounds or (1 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (0.3 if arguments.quick else 3)
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds are above 0")
    wanted = arguments.subjects.split(",") if arguments.subjects else names
    for name in wanted:
        if name not in names:
            parser.error(f"there is no subject '{name}': there are {', '.join(names)}")
    arguments.subjects = [subject for subject in subjects.ALL if subject.name in wanted]
    return arguments


def build_load():
    """eddy-load is small, so it is built here; the servers are the caller's to build, because that takes minutes."""
    command = ["swift", "build", "-c", "release", "--product", "eddy-load", "--package-path", HERE]
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise Failure(f"swift does not start: {error}") from error
    if result.returncode != 0 or not os.access(peers.LOAD, os.X_OK):
        raise Failure(f"eddy-load does not build:\n{result.stdout}{result.stderr}")


def tell(text):
    print(f"network.py: {text}", file=sys.stderr, flush=True)


def show_progress(text):
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def leave_out_missing(subject, words):
    for peer in subject.peers:
        if peer.missing:
            tell(f"{subject.name}: left out {peer.name}: {peer.missing}")
    subject.peers = [
        peer for peer in subject.peers
        if not peer.missing and (not words or any(word in peer.name for word in words))]


def measure_all(chosen, rounds):
    """Returns the figures of all rounds by subject, load and peer, and whether all went well."""
    samples, is_well = {}, True
    for number in range(rounds):
        for subject in chosen:
            for load in subject.loads():
                start = number % max(1, len(subject.peers))
                for peer in subject.peers[start:] + subject.peers[:start]:
                    what = f"{subject.name}, {load}, {peer.name}"
                    show_progress(f"round {number + 1} of {rounds}: {what}")
                    try:
                        figures = subject.measure(peer, load)
                    except Failure as failure:
                        is_well = False
                        show_progress("")
                        tell(f"{what}: {failure}")
                        continue
                    samples.setdefault((subject.name, load, peer.name), []).append(figures)
    show_progress("")
    return samples, is_well


def main():
    arguments = parse_arguments()
    # A session that is asked to end leaves nothing behind, however it is asked.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    show_progress("building eddy-load")
    try:
        build_load()
    except Failure as failure:
        tell(failure)
        return 1
    load_average = os.getloadavg()[0]
    if load_average > 0.5:
        show_progress("")
        tell(f"the machine is busy (load average {load_average:.1f}): times will not be worth much")
    with Session() as session:
        if session.descriptors < 10_000 + 64:
            show_progress("")
            tell(f"no loads of 10,000 connections: the hard limit of open descriptors is {session.descriptors}; as root, "
                 "'ulimit -Hn 20000' raises it")
        settings = subjects.Settings(arguments.seconds, arguments.quick)
        chosen = [subject(session, settings) for subject in arguments.subjects]
        words = arguments.servers.split(",") if arguments.servers else []
        for subject in chosen:
            leave_out_missing(subject, words)
        about = report.describe_machine(session, arguments)
        samples, is_well = measure_all(chosen, arguments.rounds)
        print(f"{session.processors.description}; {arguments.seconds:g} s each")
        for subject in chosen:
            results = {
                (load, peer): report.median_figures(rounds)
                for (name, load, peer), rounds in samples.items() if name == subject.name}
            report.print_table(subject, results, arguments.rounds)
        report.write(arguments.output, about, chosen, samples)
    return 0 if is_well else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        show_progress("")
        sys.exit(130)
