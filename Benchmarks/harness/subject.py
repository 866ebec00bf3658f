"""What all subjects have in common. A subject is a table; under each of its loads there is a row for each peer."""
import json
import shutil
import socket
import subprocess
import time

from . import peers, processes, system
from .figures import Column
from .processes import Failure

LATENCY = [Column("p50 µs", "p50_us"), Column("p99 µs", "p99_us"), Column("p99.9 µs", "p999_us")]
PROCESSORS = [
    Column("server cpu", "server_cpu", 2), Column("load cpu", "client_cpu", 2), Column("other cpu", "other_cpu", 2)]


def cost_columns(operation):
    """The yardstick of servers. The least of the rounds is what repeats."""
    return [Column(f"least µs/{operation}", "server_us", 2, "least"), Column("median µs", "server_us", 2)]


class Settings:
    """How thorough everything is."""

    def __init__(self, seconds=0.4, quick=False, instructions="own"):
        self.seconds, self.quick, self.instructions = seconds, quick, instructions
        self.warmup = 0.1 if quick else 0.2

    @property
    def words(self):
        return [str(self.seconds), "--warmup", str(self.warmup)]


class NotOffered(Exception):
    """This peer has no such benchmark; perhaps with a reason that is worth telling."""


class Subject:
    """- name, title, note: for people. title says what is measured, note what it means.
    - kind: which of a peer's commands is used.
    - columns; yardstick: what the ratios are of; charted: what has a chart, which is the yardstick by default.
    - most_rounds: so many are enough, because it repeats. None: as many as all.
    - tools: what else it needs: program and package."""

    name = title = note = kind = ""
    columns = []
    yardstick = None
    charted = ()
    most_rounds = None
    is_default = True
    tools = ()
    # What stands behind a proxy.
    echo_server = None

    def __init__(self, session, settings):
        self.session, self.settings = session, settings

    @property
    def charts(self):
        return self.charted or (self.yardstick,)

    def missing(self):
        """Why it can't be measured here; None when it can."""
        for program, package in self.tools:
            if not shutil.which(program):
                return f"{program} is missing (apt install {package})"
        return None

    def loads(self):
        """Labels."""
        raise NotImplementedError

    def measure(self, peer, load):
        """Starts the peer, measures it once, ends it. Returns figures by name."""
        raise NotImplementedError

    def measure_once(self, peer, load):
        """What repeats exactly, and needs no rounds."""
        return {}

    # What subclasses are made of

    def started(self, peer, kind=socket.SOCK_STREAM, target=0):
        return Started(self.session, peer, peer.commands[self.kind], processes.free_port(kind), target)

    def run_load(self, command, server, holds=False):
        """Runs a client, and adds to what it returns how busy everybody else was: on a quiet machine nearly 0.

        - holds: the client keeps its connections until the server's processor time was read: one that forks loses its
          children, and their figures, with the connections."""
        busy, began = system.busy_time(), time.monotonic()
        before, dropped = server.processor_time(), system.dropped_packets()
        used = None

        def look():
            nonlocal used
            used = server.processor_time() - before

        try:
            if holds:
                output, own = self.session.hold([*command, "--hold"], look)
            else:
                output, own = self.session.load(command)
                look()
        except Failure as failure:
            # A load whose server has ended tells only half of it.
            server.expect_running(failure)
            dropped = system.dropped_packets() - dropped
            if dropped:
                raise Failure(f"{failure}; the kernel has dropped {dropped} packets meanwhile (see {system.BACKLOG})"
                              ) from failure
            raise
        elapsed = time.monotonic() - began
        others = system.others(system.busy_time() - busy, own + used, elapsed)
        return output, {"other_cpu": others, "server_seconds": used, "load_seconds": own, "elapsed": elapsed,
                        "dropped_packets": system.dropped_packets() - dropped}

    def eddy_load(self, words, server, holds=False):
        output, figures = self.run_load([peers.LOAD, *map(str, words)], server, holds)
        figures.update(json.loads(output))
        return figures


class Started:
    """A server, while the block lasts."""

    def __init__(self, session, peer, command, port, target):
        self.session, self.peer, self.command, self.port, self.target = session, peer, command, port, target

    def __enter__(self):
        # Nobody can connect to a server of datagrams; those that there are say when they listen.
        waits_for_port = "udp" not in self.peer.commands or self.command is not self.peer.commands["udp"]
        self.process = self.command.start(self.session, self.peer.name, self.port, self.target, waits_for_port)
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.session.end(self.process)

    def processor_time(self):
        used = system.processor_time(self.pid)
        if used is None:
            self.expect_running()
            raise Failure("the server has ended")
        return used

    def expect_running(self, failure=None):
        try:
            self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            return
        how = f"the server {processes.how_it_ended(self.process)}{processes.last_words(self.process)}"
        raise Failure(f"{how}; the load says: {failure}" if failure else how)
