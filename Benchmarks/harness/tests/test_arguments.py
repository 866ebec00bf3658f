import contextlib
import io
import unittest

from harness import arguments, gate


class Arguments(unittest.TestCase):
    def refused(self, *words):
        errors = io.StringIO()
        with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit) as ended:
            arguments.parse(words)
        self.assertEqual(ended.exception.code, 64)
        return errors.getvalue()

    def test_the_default_has_a_limit_of_time(self):
        parsed = arguments.parse([])
        self.assertEqual((parsed.rounds, parsed.minutes, parsed.instructions), (7, 25, "own"))
        self.assertTrue(all(subject.is_default for subject in parsed.subjects))

    def test_rounds_that_are_asked_for_are_made(self):
        parsed = arguments.parse(["--rounds", "9"])
        self.assertEqual((parsed.rounds, parsed.minutes), (9, None))
        self.assertEqual(arguments.parse(["--rounds", "9", "--minutes", "3"]).minutes, 3)

    def test_quick_is_one_short_round(self):
        parsed = arguments.parse(["--quick"])
        self.assertEqual((parsed.rounds, parsed.minutes, parsed.seconds), (1, None, 0.2))

    def test_subjects_are_names_and_sets_with_commas_or_spaces(self):
        def names(text):
            return [subject.name for subject in arguments.parse(["--subject", text]).subjects]

        self.assertEqual(names("yield echo"), ["echo", "yield"])
        self.assertEqual(names("yield,echo,"), ["echo", "yield"])
        self.assertEqual(names("servers"), ["echo", "http", "churn", "idle", "instructions"])
        self.assertEqual(len(names("all")), len(arguments.SUBJECTS))
        self.assertIn("udp", names("default,udp"))

    def test_no_two_subjects_have_one_name(self):
        names = [subject.name for subject in arguments.SUBJECTS]
        self.assertEqual(len(set(names)), len(names))

    def test_mistakes_are_named(self):
        self.assertIn("there is no subject 'ehco': there are default,", self.refused("--subject", "ehco"))
        self.assertIn("above 0", self.refused("--rounds", "0"))
        self.assertIn("above 0", self.refused("--seconds", "-1"))
        self.assertIn("--rounds", self.refused("--rounds", "many"))
        self.assertIn("--extra is NAME=", self.refused("--extra", "x"))
        self.assertIn("no use for x", self.refused("--subject", "yield", "--extra", "x=server {port}").replace(
            "none of the chosen subjects has use for x", "no use for x"))
        self.assertIn("a name of its own", self.refused("--extra", "x=a {port}", "--extra", "x=b {port}"))


class Gate(unittest.TestCase):
    LIMITS = {"yield": {"eddy": {"instructions": 1_000, "allocations": 0}}}

    def compare(self, **costs):
        return gate.compare({("yield", "eddy"): costs}, self.LIMITS)

    def test_at_the_limit_all_is_well(self):
        self.assertEqual(self.compare(instructions=1_000, allocations=0), ([], []))

    def test_above_it_is_too_dear(self):
        self.assertEqual(self.compare(instructions=1_100, allocations=1), ([
            "yield (eddy): 1,100 instructions; at most 1,000 are allowed, 10.0 % more",
            "yield (eddy): 1 allocations; at most 0 are allowed"], []))

    def test_far_below_it_is_worth_a_hint(self):
        self.assertEqual(self.compare(instructions=899, allocations=0), ([], [
            "yield (eddy): 899 instructions; 1,000 are allowed"]))
        self.assertEqual(self.compare(instructions=901), ([], []))

    def test_what_has_no_limit_is_said(self):
        self.assertEqual(gate.compare({("chan", "eddy"): {"instructions": 5}}, self.LIMITS)[0], [
            "chan (eddy): 5 instructions, and there is no limit yet"])

    def test_instructions_of_another_machine_are_not_compared(self):
        self.assertEqual(gate.compare(
            {("yield", "eddy"): {"instructions": 9_999, "allocations": 0}}, self.LIMITS, False), ([], []))


if __name__ == "__main__":
    unittest.main()
