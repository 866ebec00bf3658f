"""Several loops: does a second loop on a second processor serve as much as the first one, for the same processor time?"""
import dataclasses
import os

from . import processes
from .figures import Column
from .processes import Failure
from .subject import Started, Subject

CONNECTIONS, SIZE, RATE = 64, 64, 200


class Loops(Subject):
    """Two processors have no room for two loops and a load under full steam: the load would be what is measured. So the load is
    paced, and works while the loops do not: it stops the server, sends a message on each connection, lets the server go, and
    looks at the answers when the next round is due. Each loop has the same number of connections and rounds, whether it is
    alone or has a companion, and so turns of the same shape."""

    name = kind = "loops"
    title = "One loop and two, each with 64 connections and 200 rounds per second"
    note = ("µs: processor time of the server per request. Scaling: what two loops serve per second of a processor, times two, "
            "in proportion to one: 2 when a companion costs nothing.")
    columns = [Column("least µs/request, one", "one_us", 2, "least"),
               Column("least µs/request, two", "two_us", 2, "least"), Column("scaling", "scaling", 2),
               Column("requests/s, one", "one_rate", 0), Column("requests/s, two", "two_rate", 0),
               Column("late rounds", "late", 0), Column("other cpu", "other_cpu", 2)]
    yardstick = columns[0]
    charted = (columns[2],)
    is_default = False

    def missing(self):
        return super().missing() or (None if self.session.processors.both else "two processors and taskset are needed")

    def loads(self):
        return [f"{CONNECTIONS} × {SIZE} B per loop"]

    def measure(self, peer, load):
        one, two = (self.with_loops(peer, count) for count in (1, 2))
        return {
            "one_us": one["server_us"], "two_us": two["server_us"], "one_rate": one["rate"], "two_rate": two["rate"],
            "scaling": scaling(one["server_us"], two["server_us"]), "late": one["late"] + two["late"],
            "other_cpu": max(one["other_cpu"], two["other_cpu"])}

    def with_loops(self, peer, count):
        rounds = max(20, round(RATE * self.settings.seconds * 5))
        command = peer.commands[self.kind]
        command = dataclasses.replace(command, words=tuple(command.filled(loops=count)))
        with Started(self.session, peer, command, processes.free_port(), 0) as server:
            spread(server.pid, self.session.processors, count)
            return self.eddy_load(
                ["lock-step", server.port, count * CONNECTIONS, SIZE, rounds, "--rate", RATE, "--pid", server.pid,
                 "--stop"], server)


def scaling(one, two):
    """Throughput per processor second of two loops over that of one, times two, from the time that a request takes."""
    return 2 * one / two


def spread(pid, processors, count):
    """Each loop's thread gets a processor of its own. Those are the first threads of the process."""
    threads = sorted(int(name) for name in os.listdir(f"/proc/{pid}/task"))
    if len(threads) < count:
        raise Failure(f"the server has {len(threads)} threads, and was to have {count} loops")
    for thread, processor in zip(threads, (processors.server, processors.load)[:count]):
        os.sched_setaffinity(thread, {processor})
