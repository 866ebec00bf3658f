"""Instructions and first-level misses of a server per request, with many requests in each of its turns.

cachegrind counts both. The requests come in rounds, all connections at once (eddy-load lock-step), so that the turns of the
server have the same shape each time: under a closed loop they don't, and what a request costs depends on how many share a
turn."""
import json
import os

from . import instructions, peers, processes
from .figures import Column
from .processes import Failure
from .subject import NotOffered, Subject

SIZE = 64
# Starting differs by some thousand instructions from one time to the next: that is spread over so many requests, and ten
# rounds at least.
REQUESTS = 5_000
# Of a closed loop.
SHORT, LONG = 2, 6
# Of a common processor, so that figures do not depend on the one that they were taken on.
CACHES = ["--D1=32768,8,64", "--I1=32768,8,64", "--LL=8388608,16,64"]


def cachegrind(out):
    return ["valgrind", "--tool=cachegrind", "--cache-sim=yes", *CACHES, f"--cachegrind-out-file={out}"]


def per_request(session, name, command, connections):
    """What more rounds of one request per connection cost, divided: instructions, and misses of the data cache."""
    more = max(10, REQUESTS // connections)
    few = more // 5
    start, end = (
        served(session, name, command, "lock-step", connections, SIZE, rounds, "--stop") for rounds in (few, few + more))
    return {key: (end[key] - start[key]) / (more * connections) for key in ("instructions", "misses")}


def per_request_of_closed_loop(session, name, command, connections):
    """The same of a server under full load, where its turns have the size that they happen to have."""
    start, end = (served(session, name, command, "echo", connections, SIZE, seconds) for seconds in (SHORT, LONG))
    requests = end["requests"] - start["requests"]
    return {key: (end[key] - start[key]) / requests for key in ("instructions", "misses")}


def served(session, name, command, *load):
    """Of a server's whole run, and the requests that its load has counted: load is its kind, and what follows the port."""
    port = processes.free_port()
    out = os.path.join(session.directory, f"cachegrind-{port}")
    words = command.filled(port=port)
    server = session.launch(
        cachegrind(out) + [instructions.readable(session, words[0]), *words[1:]], name, None, command.directory)
    try:
        processes.wait_for_port(server, port, patience=60)
        kind, *words = map(str, load)
        text, _ = session.run([peers.LOAD, kind, str(port), *words, "--pid", str(server.pid)])
        instructions.stop(server)
    finally:
        session.end(server)
    return {**read(out), "requests": json.loads(text)["requests"]}


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
    title = "User-space instructions and first-level misses per echoed request"
    note = ("As cachegrind counts them for a data cache of 32 KiB, without the kernel's part. In step: all connections send at "
            "once, and again when all have their answers, which repeats however busy the machine is. In a closed loop turns "
            "are smaller, and have another size on another day.")
    columns = [Column("instructions", "instructions", 0), Column("first-level misses", "misses", 2)]
    yardstick = columns[0]
    charted = tuple(columns)
    most_rounds = 1
    is_default = False
    tools = (("valgrind", "valgrind"),)

    def loads(self):
        return [f"{count} × {SIZE} B, {how}" for how in ("in step", "closed loop") for count in (50, 1_000)]

    def measure(self, peer, load):
        command = peer.commands[self.kind]
        if not instructions.is_possible(command):
            raise NotOffered()
        try:
            measure = per_request if load.endswith("in step") else per_request_of_closed_loop
            return measure(self.session, peer.name, command, int(load.split()[0]))
        except Failure as failure:
            if peer.role == "own":
                raise
            # Not everything runs under valgrind, which is nobody's fault.
            raise NotOffered(failure) from failure
