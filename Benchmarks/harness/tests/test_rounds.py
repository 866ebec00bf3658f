import io
import unittest

from harness.peers import Peer
from harness.processes import Failure
from harness.rounds import Group, Progress, Sampling, rounds_within, undisturbed
from harness.subject import NotOffered, Subject


class Counted(Subject):
    """Says who was measured, in which order; and does what it is told to."""

    name = "counted"

    def __init__(self, behaviour=None):
        self.order, self.behaviour = [], behaviour or {}

    def measure(self, peer, load):
        self.order.append(peer.name)
        if error := self.behaviour.get(peer.name):
            raise error
        return {"us": len(self.order)}


def sample(subject, names, rounds, minutes=None):
    group = Group(subject, "load", [Peer(name) for name in names])
    stream = io.StringIO()
    sampling = Sampling([group], rounds, minutes, Progress(stream))
    sampling.run()
    return group, sampling, stream.getvalue()


class Rounds(unittest.TestCase):
    def test_the_order_rotates(self):
        subject = Counted()
        sample(subject, "abc", 3)
        self.assertEqual("".join(subject.order), "abcbcacab")

    def test_all_rounds_are_made_when_there_is_time(self):
        group, sampling, _ = sample(Counted(), "ab", 5, minutes=1)
        self.assertEqual([len(group.samples[name]) for name in "ab"], [5, 5])
        self.assertFalse(sampling.is_interrupted)

    def test_a_subject_that_repeats_needs_fewer_rounds(self):
        subject = Counted()
        subject.most_rounds = 1
        sample(subject, "ab", 5)
        self.assertEqual(subject.order, ["a", "b"])

    def test_who_fails_twice_is_left_out_and_the_others_go_on(self):
        subject = Counted({"a": Failure("it is broken")})
        group, sampling, said = sample(subject, "ab", 5)
        self.assertEqual(len(sampling.faults), 2)
        self.assertEqual(subject.order.count("a"), 2)
        self.assertEqual(len(group.samples["b"]), 5)
        self.assertIn("counted, load, a: it is broken; it is left out from now on", said)

    def test_who_has_no_such_benchmark_is_no_fault(self):
        subject = Counted({"a": NotOffered()})
        group, sampling, _ = sample(subject, "ab", 3)
        self.assertEqual(sampling.faults, [])
        self.assertEqual([peer.name for peer in group.peers], ["b"])

    def test_an_interruption_keeps_what_there_is(self):
        group, sampling, _ = sample(Counted({"b": KeyboardInterrupt()}), "ab", 3)
        self.assertTrue(sampling.is_interrupted)
        self.assertEqual(len(group.samples["a"]), 1)

    def test_a_disturbed_measurement_is_repeated_and_the_best_is_kept(self):
        found = iter([{"other_cpu": 0.5}, {"other_cpu": 0.3}, {"other_cpu": 0.4}, {"other_cpu": 0}])
        self.assertEqual(undisturbed(lambda: next(found), 2), {"other_cpu": 0.3, "repeats": 2})
        self.assertEqual(undisturbed(lambda: next(found), 2), {"other_cpu": 0, "repeats": 0})

    def test_time_is_shared_so_that_the_dear_get_fewer_rounds(self):
        self.assertEqual(rounds_within([1, 1], [6, 6], 100), [6, 6])
        self.assertEqual(rounds_within([1, 10], [6, 6], 16), [6, 1])
        self.assertEqual(rounds_within([1, 10], [6, 6], 0), [0, 0])
        costs = [1, 3, 20]
        counts = rounds_within(costs, [6, 6, 6], 40)
        self.assertLessEqual(sum(count * cost for count, cost in zip(counts, costs)), 40)
        self.assertEqual(counts, sorted(counts, reverse=True))


if __name__ == "__main__":
    unittest.main()
