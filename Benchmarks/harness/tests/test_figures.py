import unittest

from harness import figures
from harness.figures import Column
from harness.peers import Peer


def peer(name, role="peer"):
    return Peer(name, role=role)


COST = Column("least µs", "us", 2, "least")


class Figures(unittest.TestCase):
    def test_a_column_is_the_median_or_the_least_of_the_rounds(self):
        rounds = [{"us": 3}, {"us": 1}, {"us": 8}]
        self.assertEqual(Column("", "us").of(rounds), 3)
        self.assertEqual(COST.of(rounds), 1)

    def test_rounds_without_the_figure_do_not_count(self):
        self.assertEqual(COST.of([{}, {"us": None}, {"us": True}, {"us": 2}]), 2)
        self.assertIsNone(COST.of([{}]))

    def test_ratios_are_of_c_with_epoll_and_of_the_best_peer_but_not_of_our_own(self):
        block = figures.block("", [
            (peer("eddy", "own"), [{"us": 2}]), (peer("c-iouring", "limit"), [{"us": 0.5}]),
            (peer("c-epoll", "limit"), [{"us": 1}]), (peer("tokio"), [{"us": 4}]), (peer("node"), [{"us": 8}]),
        ], [COST], COST)
        rows = {row.peer.name: row for row in block.rows}
        self.assertEqual([row.peer.name for row in block.rows], ["c-iouring", "c-epoll", "eddy", "tokio", "node"])
        self.assertEqual((rows["eddy"].to_limit, rows["eddy"].to_best), (2, 0.5))
        self.assertEqual((rows["tokio"].to_limit, rows["tokio"].to_best), (4, 1))
        self.assertEqual(rows["c-iouring"].to_limit, 0.5)

    def test_without_limit_or_rivals_there_are_no_ratios(self):
        row = figures.block("", [(peer("eddy", "own"), [{"us": 2}])], [COST], COST).rows[0]
        self.assertIsNone(row.to_limit)
        self.assertIsNone(row.to_best)

    def test_who_was_not_measured_has_no_row_and_who_lacks_the_yardstick_comes_last(self):
        block = figures.block("", [
            (peer("tokio"), []), (peer("node"), [{"other": 1}]), (peer("go"), [{"us": 1}])], [COST], COST)
        self.assertEqual([row.peer.name for row in block.rows], ["go", "node"])

    def test_the_noise_is_how_far_the_control_is_from_the_limit_either_way(self):
        for value in (0.8, 1.25):
            block = figures.block("", [
                (peer("c-epoll", "limit"), [{"us": 1}]), (peer("c-epoll-again", "control"), [{"us": value}]),
            ], [COST], COST)
            self.assertAlmostEqual(block.noise, 0.25)

    def test_a_row_is_disturbed_when_most_of_its_rounds_were(self):
        block = figures.block("", [
            (peer("go"), [{"us": 1, "other_cpu": 0.5}, {"us": 1, "other_cpu": 0.4}, {"us": 1, "other_cpu": 0}]),
            (peer("node"), [{"us": 1, "other_cpu": 0.5}, {"us": 1}, {"us": 1}])], [COST], COST)
        self.assertEqual(block.disturbed, ["go"])

    def test_nothing_is_compared_with_nothing(self):
        self.assertIsNone(figures.ratio(1, 0))
        self.assertIsNone(figures.ratio(1, -3))
        self.assertIsNone(figures.ratio(None, 3))

    def test_numbers_are_short(self):
        self.assertEqual(figures.text(None), "-")
        self.assertEqual(figures.text(12345.678, 2), "12,346")
        self.assertEqual(figures.text(3.14159, 2), "3.14")
        self.assertEqual(figures.text(-0.001, 2), "0.00")
        self.assertEqual(figures.text(0), "0.0")


if __name__ == "__main__":
    unittest.main()
