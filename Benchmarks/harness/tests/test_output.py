import io
import json
import os
import tempfile
import unittest
import xml.etree.ElementTree

from harness import charts, report, table
from harness.figures import Column
from harness.peers import Peer
from harness.rounds import Group
from harness.subject import Subject


class Echo(Subject):
    name, title, note = "echo", "Echo <&>", "a note"
    columns = [Column("least µs", "us", 2, "least"), Column("req/s", "rate", 0), Column("nobody has it", "absent")]
    yardstick = columns[0]


def measured():
    group = Group(Echo(None, None), "64 × 64 B", [
        Peer("eddy", role="own"), Peer("tokio"), Peer("c-epoll", role="limit"), Peer("absent", missing="gcc missing")])
    group.samples = {"eddy": [{"us": 2, "rate": 1e6}, {"us": 3, "rate": 2e6}], "tokio": [{"us": 4, "rate": 5}],
                     "c-epoll": [{"us": 1, "rate": 9, "other_cpu": 0.7}]}
    return group, report.blocks_of([group])


class Tables(unittest.TestCase):
    def test_on_a_terminal(self):
        _, subjects = measured()
        [(subject, blocks)] = subjects.items()
        lines = table.terminal(subject, blocks)
        self.assertEqual(lines[0].split(), "load peer least µs × limit × best peer req/s rounds".split())
        # The load is named once.
        self.assertEqual([line[:11].strip() for line in lines], ["load", "64 × 64 B", "", ""])
        self.assertEqual([line[11:].split()[0] for line in lines], ["peer", "c-epoll", "eddy", "tokio"])
        self.assertEqual(lines[2].split(), ["eddy", "2.00", "2.00", "0.50", "1,500,000", "2"])

    def test_in_markdown_our_own_are_emphasised(self):
        _, subjects = measured()
        [(subject, [block])] = subjects.items()
        lines = table.markdown(subject, block)
        self.assertEqual(lines[1].count("|"), lines[0].count("|"))
        self.assertEqual(lines[3], "| **eddy** | **2.00** | **2.00** | **0.50** | **1,500,000** | **2** |")

    def test_remarks_say_what_not_to_believe(self):
        _, subjects = measured()
        [[block]] = subjects.values()
        block.noise = 0.052
        self.assertEqual(table.remarks(block), [
            "A/A: c-epoll twice differs by 5.2 %. No smaller difference is one.",
            "Disturbed, the rest of the machine was busy: c-epoll."])


class Charts(unittest.TestCase):
    def test_a_chart_is_xml_with_a_bar_for_each_in_proportion(self):
        _, subjects = measured()
        [(subject, [block])] = subjects.items()
        root = xml.etree.ElementTree.fromstring(charts.of_block(subject, block, subject.yardstick))
        bars = [element for element in root.iter("{http://www.w3.org/2000/svg}rect") if element.get("class") != "page"]
        self.assertEqual([bar.get("class") for bar in bars], ["limit", "own", "peer"])
        widths = [float(bar.get("width")) for bar in bars]
        self.assertAlmostEqual(widths[2] / widths[0], 4, places=1)
        texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertEqual(texts[:2], ["Echo <&>", "64 × 64 B: least µs; less is better"])

    def test_nought_and_less_still_have_a_bar(self):
        root = xml.etree.ElementTree.fromstring(charts.bars("t", "u", [("a", 0, "own"), ("b", -3, "peer")]))
        bars = [element for element in root.iter("{http://www.w3.org/2000/svg}rect") if element.get("class") != "page"]
        self.assertTrue(all(float(bar.get("width")) >= 1 for bar in bars))

    def test_nothing_measured_is_no_chart(self):
        _, subjects = measured()
        [(subject, [block])] = subjects.items()
        self.assertIsNone(charts.of_block(subject, block, Column("", "absent")))

    def test_files_are_named_after_subject_and_load(self):
        _, subjects = measured()
        [(subject, [block])] = subjects.items()
        self.assertEqual(charts.file_name(subject, block, subject.yardstick), "echo-64x64-b.svg")


class Files(unittest.TestCase):
    ABOUT = {"date": "now", "commit": "abc", "swift": "6.3", "kernel": "6", "processors": 2, "processor": "x",
             "pinning": "not pinned", "rounds": 2, "seconds": 1, "quick": False}

    def test_a_report_has_tables_charts_what_is_left_out_and_what_failed(self):
        group, subjects = measured()
        with tempfile.TemporaryDirectory() as directory:
            path = report.write(directory, self.ABOUT, group.peers, subjects, ["echo: it broke"])
            with open(path) as file:
                text = file.read()
            self.assertIn("(charts/echo-64x64-b.svg)", text)
            self.assertTrue(os.path.exists(os.path.join(directory, "charts", "echo-64x64-b.svg")))
            self.assertIn("Left out: absent: gcc missing.", text)
            self.assertIn("- echo: it broke", text)
            with open(os.path.join(directory, "results.json")) as file:
                results = json.load(file)
            self.assertEqual([one["peer"] for one in results["results"]], ["c-epoll", "eddy", "tokio"])
            self.assertEqual(results["results"][1]["rounds"], group.samples["eddy"])

    def test_the_terminal_gets_one_table_per_subject(self):
        _, subjects = measured()
        stream = io.StringIO()
        report.print_tables(subjects, stream)
        self.assertEqual(stream.getvalue().count("Echo <&>"), 1)
        self.assertIn("a note", stream.getvalue())


if __name__ == "__main__":
    unittest.main()
