import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

from harness import gate, lockstep, loops, processes
from harness.processes import Failure, Session

HERE = os.path.dirname(os.path.abspath(__file__))
LOAD = os.path.join(os.path.dirname(os.path.dirname(HERE)), "Sources", "load")

WRITTEN = """desc: I1 cache:         32768 B, 64 B, 8-way associative
cmd: server
events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw
fl=file.c
fn=main
1 1000 1 1 500 30 0 300 10 0
summary: 1000 1 1 500 30 0 300 10 0
"""


class Cachegrind(unittest.TestCase):
    def written(self, text):
        with tempfile.NamedTemporaryFile("w", suffix=".out") as file:
            file.write(text)
            file.flush()
            return lockstep.read(file.name)

    def test_its_sums_are_read_by_the_names_of_the_events(self):
        self.assertEqual(self.written(WRITTEN), {"instructions": 1_000, "misses": 40})

    def test_a_run_that_was_killed_has_no_figures(self):
        with self.assertRaisesRegex(Failure, "not ended by SIGINT"):
            self.written(WRITTEN.split("summary")[0])
        with self.assertRaisesRegex(Failure, "not ended by SIGINT"):
            lockstep.read("/nonexistent")

    def test_a_request_costs_what_the_longer_run_costs_more(self):
        runs = {(50, 20): (5_000, 100), (50, 120): (505_000, 5_100), (1_000, 2): (0, 7), (1_000, 12): (20_000, 7)}

        def run(session, name, command, kind, connections, size, rounds, stop):
            return dict(zip(("instructions", "misses"), runs[connections, rounds]))

        served, lockstep.served = lockstep.served, run
        try:
            self.assertEqual(lockstep.per_request(None, "server", None, 50), {"instructions": 100, "misses": 1})
            self.assertEqual(lockstep.per_request(None, "server", None, 1_000), {"instructions": 2, "misses": 0})
        finally:
            lockstep.served = served


    def test_in_a_closed_loop_the_load_says_how_many_requests_there_were(self):
        runs = {2: (1_000, 50, 10), 6: (3_000, 90, 30)}

        def run(session, name, command, kind, connections, size, seconds):
            return dict(zip(("instructions", "misses", "requests"), runs[seconds]))

        served, lockstep.served = lockstep.served, run
        try:
            self.assertEqual(
                lockstep.per_request_of_closed_loop(None, "server", None, 50), {"instructions": 100, "misses": 2})
        finally:
            lockstep.served = served


class GateOfMisses(unittest.TestCase):
    LIMITS = {"echo": {"eddy": {"first-level misses": 1.3}}}

    def compare(self, misses, is_same_machine=True):
        return gate.compare({("echo", "eddy"): {"first-level misses": misses}}, self.LIMITS, is_same_machine)

    def test_limits_have_the_slack_of_their_figure(self):
        self.assertEqual(gate.limit_of("instructions", 1_000), 1_030)
        self.assertEqual(gate.limit_of("first-level misses", 20.0), 21)
        self.assertEqual(gate.limit_of("first-level misses", 1.0), 1.3)
        self.assertEqual(gate.limit_of("allocations", 7), 7)
        self.assertEqual(gate.limit_of("system calls", 2.04), 2.04)

    def test_a_miss_more_is_too_dear_and_the_slack_alone_is_no_gain(self):
        self.assertEqual(self.compare(1.3), ([], []))
        self.assertEqual(self.compare(1.4)[0], [
            "echo (eddy): 1.4 first-level misses; at most 1.3 are allowed, 7.7 % more"])
        # Its limit would be 1.3 again.
        self.assertEqual(self.compare(1.0), ([], []))
        self.assertEqual(self.compare(0.8)[1], ["echo (eddy): 0.8 first-level misses; 1.3 are allowed"])

    def test_misses_of_another_machine_are_not_compared(self):
        self.assertEqual(self.compare(99, is_same_machine=False), ([], []))


class Settled(unittest.TestCase):
    """What the gate makes of a figure that is wrong in one run of twenty."""

    def settled(self, limits, *misses):
        self.found = iter(misses)
        return gate.settled(lambda: {"first-level misses": next(self.found)}, limits)["first-level misses"]

    def test_what_is_within_its_limit_is_measured_once(self):
        self.assertEqual(self.settled({"first-level misses": 5}, 5), 5)

    def test_what_exceeds_it_is_measured_again_and_the_least_counts(self):
        self.assertEqual(self.settled({"first-level misses": 5}, 7, 4), 4)
        self.assertEqual(self.settled({"first-level misses": 5}, 7, 6, 8), 6)

    def test_limits_are_made_of_a_median(self):
        self.assertEqual(self.settled(None, 7, 3, 6), 6)

    def test_a_figure_without_a_limit_stays_one(self):
        self.assertEqual(self.settled({}, 7, 6, 8), 6)


class Scaling(unittest.TestCase):
    def test_a_companion_that_costs_nothing_doubles_what_is_served(self):
        self.assertEqual(loops.scaling(5.0, 5.0), 2)
        self.assertEqual(loops.scaling(4.0, 5.0), 1.6)


# An echo server that says how many messages each of its turns had.
SERVER = """
import select, socket, sys
listener = socket.create_server(("127.0.0.1", 0), backlog=128)
print("listening on", listener.getsockname()[1], flush=True)
poll, connections = select.epoll(), {}
poll.register(listener, select.EPOLLIN)
while True:
    messages = 0
    for descriptor, _ in poll.poll():
        if descriptor == listener.fileno():
            connection, _ = listener.accept()
            connections[connection.fileno()] = connection
            poll.register(connection, select.EPOLLIN)
        elif bytes := connections[descriptor].recv(65536):
            connections[descriptor].sendall(bytes + SPOILT)
            messages += 1
        else:
            connections.pop(descriptor).close()
    if messages:
        print(messages, flush=True)
"""


@unittest.skipUnless(shutil.which("gcc"), "gcc is missing")
class Load(unittest.TestCase):
    """eddy-load lock-step, which is built without io_uring: it has no part in this."""

    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.program = os.path.join(cls.directory.name, "eddy-load")
        sources = [os.path.join(LOAD, name) for name in sorted(os.listdir(LOAD)) if name.endswith(".c")]
        subprocess.run(["gcc", "-O1", "-o", cls.program, *sources], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def measured(self, *words, spoilt="b''"):
        """What the load prints, and the messages of each of the server's turns."""
        with Session() as session:
            server = session.launch([sys.executable, "-c", SERVER.replace("SPOILT", spoilt)], "server")
            processes.wait_for_line(server)
            port = processes.said(server).split()[-1]
            words = [port, *map(str, words)]
            if "--stop" in words:
                words += ["--pid", str(server.pid)]
            text, _ = session.run([self.program, "lock-step", *words], patience=30)
            return json.loads(text), [int(line) for line in processes.said(server).splitlines()[1:]]

    def test_a_server_that_is_held_finds_all_messages_in_one_turn(self):
        figures, turns = self.measured(60, 64, 30, "--stop")
        self.assertEqual(turns, [60] * 30)
        # The first tenth, and one more, count for nothing.
        self.assertEqual((figures["rounds"], figures["requests"]), (30, 26 * 60))
        self.assertGreater(figures["server_us"], 0)

    def test_without_a_hold_every_round_is_answered_all_the_same(self):
        _, turns = self.measured(60, 64, 30)
        self.assertEqual(sum(turns), 60 * 30)

    def test_rounds_come_at_their_rate(self):
        figures, _ = self.measured(4, 64, 20, "--rate", 200)
        # Each takes its 5 ms, or more on a busy machine.
        self.assertGreater(figures["seconds"], 0.9 * figures["requests"] / 4 / 200)

    def test_wrong_bytes_and_a_hold_of_nobody_are_faults(self):
        with self.assertRaisesRegex(Failure, "other bytes came back"):
            self.measured(4, 64, 20, spoilt="b'x'")
        with self.assertRaisesRegex(Failure, "--stop needs --pid"):
            with Session() as session:
                session.run([self.program, "lock-step", "1", "1", "1", "1", "--stop"])


if __name__ == "__main__":
    unittest.main()
