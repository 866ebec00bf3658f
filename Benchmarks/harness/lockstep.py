"""Instructions and first-level misses of a server per request, with many requests in each of its turns.

cachegrind counts both. The requests come in rounds, all connections at once (eddy-load lock-step), so that the turns of the
server have the same shape each time: under a closed loop they don't, and what a request costs depends on how many share a
turn."""
import os

from . import instructions, peers, processes
from .figures import Column
from .processes import Failure
from .subject import NotOffered, Subject

SIZE = 64
# Starting differs by some thousand instructions from one time to the next: that is spread over so many requests, and ten
# rounds at least.
REQUESTS = 5_000
# Of a common processor, so that figures do not depend on the one that they were taken on.
CACHES = ["--D1=32768,8,64", "--I1=32768,8,64", "--LL=8388608,16,64"]


def cachegrind(out):
    return ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *CACHES, f"--cachegrind-out-file={out}"]


def per_request(session, name, command, connections):
    """What more rounds of one request per connection cost, divided: instructions, and misses of the data cache."""
    more = max(10, REQUESTS // connections)
    few = more // 5
    start, end = (served(session, name, command, connections, rounds) for rounds in (few, few + more))
    return {key: (end[key] - start[key]) / (more * connections) for key in start}


def served(session, name, command, connections, rounds):
    """Of a server's whole run."""
    port = processes.free_port()
    out = os.path.join(session.directory, f"cachegrind-{port}")
    server = session.launch(cachegrind(out) + command.filled(port=port), name, None, command.directory)
    try:
        processes.wait_for_port(server, port, patience=60)
        words = ["lock-step", port, connections, SIZE, rounds, "--pid", server.pid, "--stop"]
        session.run([peers.LOAD, *map(str, words)])
        instructions.stop(server)
    finally:
        session.end(server)
    return read(out)


def read(file):
    """'events: Ir I1mr …' names the columns, and 'summary: …' has their sums (cg_annotate(1))."""
    names, sums = [], []
    try:
        with open(file) as lines:
            for line in lines:
                head, _, rest = line.partition(":")
                if head == "events":
                    names = rest.split()
                elif head == "summary":
                    sums = [int(word) for word in rest.split()]
    except FileNotFoundError:
        pass
    if not sums or len(sums) != len(names):
        raise Failure("cachegrind wrote no figures: the program was not ended by SIGINT or SIGTERM")
    counts = dict(zip(names, sums))
    return {"instructions": counts["Ir"], "misses": counts["D1mr"] + counts["D1mw"]}


class LockStep(Subject):
    """Of the echo servers."""

    name = "cachelines"
    kind = "echo"
    title = "User-space instructions and first-level misses per echoed request, all connections in step"
    note = ("As cachegrind counts them for a data cache of 32 KiB; all connections send at once, and again when all have "
            "their answers. It repeats however busy the machine is. The kernel's part is not in it.")
    columns = [Column("instructions", "instructions", 0), Column("first-level misses", "misses", 2)]
    yardstick = columns[0]
    charted = tuple(columns)
    most_rounds = 1
    is_default = False
    tools = (("valgrind", "valgrind"),)

    def loads(self):
        return [f"{count} × {SIZE} B" for count in (50, 1_000)]

    def measure(self, peer, load):
        command = peer.commands[self.kind]
        if not instructions.is_possible(command):
            raise NotOffered()
        try:
            return per_request(self.session, peer.name, command, int(load.split()[0]))
        except Failure as failure:
            if peer.role == "own":
                raise
            # Not everything runs under valgrind, which is nobody's fault.
            raise NotOffered(failure) from failure
