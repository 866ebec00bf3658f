"""The command line."""
import argparse
import os

from . import inprocess, instructions, lockstep, loops, more, peers, servers

SUBJECTS = [*servers.ALL, instructions.Instructions, lockstep.LockStep, *inprocess.ALL, *more.ALL, loops.Loops, *inprocess.MORE]
SETS = {
    "default": lambda subject: subject.is_default,
    "all": lambda subject: True,
    "servers": lambda subject: subject.is_default and subject.kind in ("echo", "http"),
    "inprocess": lambda subject: subject.is_default and subject.kind == "micro",
}

DESCRIPTION = """Benchmarks of Eddy beside its peers: tables, and results.json, REPORT.md and charts in a directory.

    ./bench.py                                     what there is by default, within 25 minutes
    ./bench.py --quick                             one short round: does everything work?
    ./bench.py --subject echo --peers c-epoll,tokio,nio --rounds 9
    ./bench.py --subject echo --extra mine='/path/to/server {port}'
    ./bench.py --list                              subjects and peers
    ./bench.py gate [--update] [--thresholds FILE] the regression gate: instructions, misses, allocations, calls

Leave the machine alone meanwhile.
Exit status: 0; 1 when a measurement failed; 64 for a wrong command line; 130 after Ctrl-C, with what there was by then.
"""


class Parser(argparse.ArgumentParser):
    def error(self, message):
        self.exit(64, f"bench.py: {message}\n'bench.py --help' explains.\n")


def parse(words):
    parser = Parser(
        prog="bench.py", description=DESCRIPTION, formatter_class=argparse.RawDescriptionHelpFormatter)
    sets = ", ".join(SETS)
    parser.add_argument("--subject", default="default", metavar="A,B", help=f"names, or {sets}")
    parser.add_argument("--peers", default="", metavar="A,B",
                        help="names, their beginnings, or groups; or none. Eddy's own are always among them")
    parser.add_argument("--loads", default="", metavar="A;B", help="only loads whose name contains one of these")
    parser.add_argument("--extra", action="append", default=[], metavar="NAME='COMMAND {port}'",
                        help="one more server, or with {bench} one more program. echo: or http: in front of NAME says "
                             "what it serves, when subjects of both are chosen")
    parser.add_argument("--rounds", type=int, metavar="N", help="how often everything is measured (7)")
    parser.add_argument("--minutes", type=float, metavar="M",
                        help="fewer rounds where that would take longer (25; without a limit when --rounds is given)")
    parser.add_argument("--seconds", type=float, metavar="S", help="how long a server is under load each time (0.4)")
    parser.add_argument("--quick", action="store_true", help="one round, small N, 0.2 seconds each")
    parser.add_argument("--instructions", choices=["own", "all", "none"],
                        help="of whom those of one operation are counted (own)")
    here = peers.HERE
    parser.add_argument("--output", metavar="DIR", default=os.path.join(here, "results"))
    parser.add_argument("--peers-directory", metavar="DIR", default=os.path.join(here, "Peers"),
                        help="where the manifests are")
    parser.add_argument("--list", action="store_true", help="print subjects and peers")
    arguments = parser.parse_args(words)
    quick = arguments.quick
    if arguments.rounds is None:
        arguments.rounds = 1 if quick else 7
        arguments.minutes = arguments.minutes or (None if quick else 25)
    if arguments.seconds is None:
        arguments.seconds = 0.2 if quick else 0.4
    arguments.instructions = arguments.instructions or ("none" if quick else "own")
    if arguments.rounds < 1 or arguments.seconds <= 0 or (arguments.minutes or 1) <= 0:
        parser.error("--rounds, --minutes and --seconds are above 0")
    try:
        arguments.subjects = chosen_subjects(split(arguments.subject))
        kinds = {subject.kind for subject in arguments.subjects}
        arguments.extras = [peers.extra(text, kinds) for text in arguments.extra]
    except ValueError as error:
        parser.error(str(error))
    names = [peer.name for peer in arguments.extras]
    if len(set(names)) < len(names):
        parser.error("--extra: every one has a name of its own")
    for extra in arguments.extras:
        if not kinds & extra.commands.keys():
            parser.error(f"--extra: none of the chosen subjects has use for {extra.name}")
    arguments.peers = split(arguments.peers)
    arguments.loads = [word.strip() for word in arguments.loads.split(";") if word.strip()]
    arguments.parser = parser
    return arguments


def split(text):
    """Words, with commas or spaces between."""
    return text.replace(",", " ").split()


def chosen_subjects(words):
    """In the order of the tables. Raises ValueError for an unknown name."""
    names = {subject.name: subject for subject in SUBJECTS}
    wanted = set()
    for word in words or ["default"]:
        if word in names:
            wanted.add(word)
        elif word in SETS:
            wanted |= {subject.name for subject in SUBJECTS if SETS[word](subject)}
        else:
            raise ValueError(f"there is no subject {word!r}: there are {', '.join([*SETS, *names])}")
    return [subject for subject in SUBJECTS if subject.name in wanted]
