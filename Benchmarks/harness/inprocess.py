"""The subjects inside one process: a program runs a benchmark by name, and prints one line of JSON."""
import json
import time

from . import instructions, system
from .figures import Column
from .processes import Failure, TooSlow
from .subject import NotOffered, Subject

TIME = [Column("least ns", "ns", 1, "least", "ns"), Column("median ns", "ns", 1)]
COUNTS = [Column("allocations", "allocations", 2), Column("instructions", "instructions", 0)]
# Seconds for a program, with all its repetitions.
PATIENCE = 60
OTHERS = Column("other cpu", "other_cpu", 2)
MEMORY = [Column("wall ms", "wall_ms"), Column("bytes each", "rss_per_task", 0, unit="bytes")]


class InProcess(Subject):
    """- count, quick_count: N, the same for all peers. None: the program's own.
    - counted: N of the runs whose instructions are counted, and then twice that; None: they are not.
    - per_count: how many operations N = 1 makes: two where two tasks take turns.
    - both: it may use two processors."""

    kind = "micro"
    columns = [*TIME, *COUNTS, OTHERS]
    yardstick = TIME[0]
    count = quick_count = None
    counted = 4_096
    per_count = 1
    both = False

    def loads(self):
        return [f"N = {self.number:,}"]

    @property
    def number(self):
        return self.quick_count if self.settings.quick else self.count

    @property
    def program_name(self):
        # One program; which processors it may use is our choice.
        return "xthread" if self.name == "xthread2" else self.name

    def measure(self, peer, load):
        processors = self.session.processors
        command = peer.commands[self.kind]
        words = [*command.filled(bench=self.program_name), str(self.number)]
        busy, began = system.busy_time(), time.monotonic()
        try:
            output, own = self.session.run(
                words, processors.both if self.both else processors.server, command.directory, PATIENCE)
        except TooSlow as slow:
            if peer.role == "own":
                raise
            # A million of something is too much for some, which is not worth a failure; the others have to go on.
            raise NotOffered(slow) from slow
        except Failure as failure:
            if failure.status == 64:
                raise NotOffered() from failure
            raise
        elapsed = time.monotonic() - began
        busy = system.busy_time() - busy
        try:
            figures = json.loads(output.strip().splitlines()[-1])
            figures["ns"] = float(figures["ns"])
        except (IndexError, KeyError, TypeError, ValueError) as error:
            raise Failure(f"prints no line of JSON with \"ns\": {output.strip()[-100:]!r}") from error
        figures["other_cpu"] = system.others(busy, own, elapsed)
        return figures

    def measure_once(self, peer, load):
        wanted = self.settings.instructions
        if self.counted is None or wanted == "none" or (wanted == "own" and peer.role != "own"):
            return {}
        command = peer.commands[self.kind]
        if not instructions.is_possible(command):
            return {}
        words = command.filled(bench=self.program_name)
        # One repetition, and nothing counted beside.
        options = ["--once"] if peer.role == "own" else []
        try:
            value = instructions.per_operation(
                self.session, words, self.counted, options, self.per_count, command.directory)
        except Failure:
            # Some runtimes do not run under valgrind. The table has a dash there.
            return {}
        return {"instructions": value}


def subject(name, title, count, quick_count, **attributes):
    return type(name, (InProcess,), {
        "name": name, "title": f"{name}: {title}", "count": count, "quick_count": quick_count, **attributes})


def sleepers(name, count, quick_count, **attributes):
    return subject(
        name, "tasks that sleep 10 ms at once, started and joined, per task", count, quick_count, counted=None,
        columns=[*TIME, *MEMORY, COUNTS[0], OTHERS], charted=(TIME[0], MEMORY[1]),
        note="bytes: growth of the peak resident size per task. What starts tasks while the first already run has "
             "fewer of them at once.", **attributes)


ALL = [
    subject("spawn", "many tasks are started, then all are joined, per task", 200_000, 20_000),
    subject("spawn1", "a task is started and joined, one after the other", 50_000, 5_000),
    subject("yield", "two tasks give way to each other, per switch", 100_000, 10_000, per_count=2),
    subject("wake", "two tasks wake each other through two events, per wake-up", 100_000, 10_000, per_count=2),
    subject("chan", "two tasks play ping-pong over channels of capacity 1, per message", 50_000, 5_000, per_count=2),
    subject("timer", "arm and cancel, 1,024 pending", 300_000, 30_000),
    subject("timer1m", "arm and cancel, while 1,000,000 others are pending", 300_000, 30_000, counted=None),
    subject("timeout", "a timeout of 60 s around a body that is ready at once", 1_000_000, 50_000,
            columns=[*TIME, Column("bytes left", "left_bytes", 1, unit="bytes"), *COUNTS, OTHERS],
            note="bytes left: growth of the resident size per timeout when all are over, and none was due."),
    subject("pipe", "a byte to and fro over a socketpair, per round trip", 20_000, 2_000),
    subject("xthread", "another thread posts and waits for the answer, on the same processor", 10_000, 1_000,
            counted=None),
    subject("xthread2", "the same with two processors", 10_000, 1_000, counted=None, both=True),
    subject("wakeup", "how late a sleep of 1 ms ends", 1_000, 50, counted=None,
            columns=[Column("p50 µs", "p50_us", unit="µs"), Column("p99 µs", "p99_us", unit="µs"),
                     Column("mean µs", "mean_us"), COUNTS[0], OTHERS],
            yardstick=Column("p50 µs", "p50_us", unit="µs"),
            charted=(Column("p50 µs", "p50_us", unit="µs"), Column("p99 µs", "p99_us", unit="µs"))),
    sleepers("sleepers", 100_000, 10_000),
    sleepers("sleepers1m", 1_000_000, 50_000),
]

# By name. The most of them only eddy-bench has.
MORE = [
    subject("crowd", "tasks that all exist at once and then sleep up to 1 s, as the example sleepers does, per task",
            1_000_000, 20_000, counted=None, columns=[*TIME, *MEMORY, Column("mean µs late", "mean_us"), OTHERS],
            charted=(TIME[0], Column("mean µs late", "mean_us")),
            note="Also when each of them ends: how late its sleep is over, on average."),
    subject("serve-task", "a served connection, from its acceptance to the end of an empty handler, without a socket",
            100_000, 5_000),
    subject("scope-start", "a task is started in a scope and joined, one after the other", 50_000, 5_000),
    subject("gather", "two bodies that are ready at once, per gather", 50_000, 5_000),
    subject("wake-group", "two children of a task group wake each other, per wake-up", 100_000, 5_000, per_count=2),
    subject("sleep", "a sleep that is due at once", 100_000, 5_000),
    subject("sleep-cancel", "a task is spawned, sleeps, is cancelled, and is awaited", 50_000, 5_000),
    subject("timeout-yield", "a timeout around one yield", 50_000, 5_000),
    subject("spawn1-task", "the standard library's Task, one after the other", 50_000, 5_000),
    subject("pipe-tcp", "a byte to and fro between two streams over loopback, per round trip", 20_000, 2_000),
    subject("tcp-array", "one end's part in an echo, with arrays, per request", 20_000, 2_000, per_count=2),
    subject("tcp-span", "one end's part in an echo, with spans, per request", 20_000, 2_000, per_count=2),
    subject("tcp-lines", "eight lines and one write, per request", 20_000, 2_000, per_count=2),
]
for more in MORE:
    more.is_default = False
