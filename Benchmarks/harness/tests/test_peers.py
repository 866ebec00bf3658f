import json
import os
import tempfile
import unittest

from harness import manifests, peers
from harness.peers import Command, Peer
from harness.processes import Failure

GOOD = {"group": "c", "peers": [{
    "name": "libuv", "about": "a loop", "needs": {"commands": ["gcc"]}, "install": "apt install gcc",
    "build": ["gcc -o {build}/echo 'a file.c'"], "echo": "{build}/echo {port}", "http": None,
    "version": "gcc --version"}]}


def changed(**changes):
    return {"group": "c", "peers": [{**GOOD["peers"][0], **changes}]}


class Manifests(unittest.TestCase):
    def problem(self, manifest):
        problems = manifests.check(manifest)
        self.assertEqual(len(problems), 1, problems)
        return problems[0]

    def test_a_good_one_has_no_problems(self):
        self.assertEqual(manifests.check(GOOD), [])

    def test_problems_are_named(self):
        self.assertIn("'group'", self.problem([]))
        self.assertIn("peer 1 has no name", self.problem({"group": "c", "peers": [{}]}))
        self.assertIn("libuv: there is no key 'ehco'", self.problem(changed(ehco="x {port}")))
        self.assertIn("'echo' has no {port}", self.problem(changed(echo="server")))
        self.assertIn("'micro' has no {bench}", self.problem(changed(micro="program {port}")))
        self.assertIn("has none of", self.problem(changed(echo=None)))
        self.assertIn("'build' is a list", self.problem(changed(build="make")))
        self.assertIn("'needs' has lists", self.problem(changed(needs={"tools": ["gcc"]})))
        self.assertIn("'about' is a text", self.problem(changed(about=3)))

    def test_commands_are_split_without_a_shell_and_know_the_build_directory(self):
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(os.path.join(directory, "c"))
            with open(os.path.join(directory, "c", "peers.json"), "w") as file:
                json.dump(GOOD, file)
            [(peer, source)] = manifests.read_all(directory, "/build")
            self.assertEqual(peer.commands["echo"].filled(port=7), ["/build/c/echo", "7"])
            self.assertEqual(peer.commands["echo"].directory, os.path.join(directory, "c"))
            self.assertEqual(source["build"], [["gcc", "-o", "/build/c/echo", "a file.c"]])
            self.assertNotIn("http", peer.commands)

    def test_two_groups_share_no_name(self):
        with tempfile.TemporaryDirectory() as directory:
            for group in "ab":
                os.mkdir(os.path.join(directory, group))
                with open(os.path.join(directory, group, "peers.json"), "w") as file:
                    json.dump(GOOD, file)
            with self.assertRaisesRegex(Failure, "'libuv' is also in"):
                manifests.read_all(directory, "/build")

    def test_what_is_no_json_is_said(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "peers.json")
            with open(path, "w") as file:
                file.write("{")
            with self.assertRaisesRegex(Failure, "peers.json"):
                manifests.read(path, "/build")


class Peers(unittest.TestCase):
    ALL = [Peer("eddy", group="eddy", role="own"), Peer("c-epoll", group="c", role="limit"),
           Peer("tokio", group="rust"), Peer("nio-channel", group="swift"), Peer("nio-async", group="swift"),
           Peer("node", group="javascript")]

    def names(self, *words):
        return [peer.name for peer in peers.chosen(self.ALL, list(words))]

    def test_they_are_chosen_by_name_beginning_and_group(self):
        self.assertEqual(self.names("tokio"), ["eddy", "tokio"])
        self.assertEqual(self.names("nio", "c"), ["eddy", "c-epoll", "nio-channel", "nio-async"])
        self.assertEqual(self.names("javascript"), ["eddy", "node"])
        self.assertEqual(self.names("none"), ["eddy"])
        self.assertEqual(self.names(), [peer.name for peer in self.ALL])

    def test_nobody_is_meant_by_mistake(self):
        with self.assertRaisesRegex(ValueError, "no peer 'tokoi': there are eddy, c-epoll"):
            self.names("tokoi")

    def test_c_by_hand_is_the_limit(self):
        self.assertEqual([peers.role_of(name) for name in ("c", "c-epoll", "cpp", "asio")],
                         ["limit", "limit", "peer", "peer"])

    def test_the_control_is_the_limit_again(self):
        limit = Peer("c-epoll", role="limit", commands={"echo": Command(("a",)), "micro": Command(("b",))})
        first, control, last = peers.with_control([limit, Peer("tokio")])
        self.assertEqual((control.name, control.role, list(control.commands)), ("c-epoll-again", "control", ["echo"]))
        self.assertEqual([first.name, last.name], ["c-epoll", "tokio"])

    def test_extra_commands_know_what_they_are_for(self):
        def kind(text, *kinds):
            return list(peers.extra(text, kinds).commands)

        self.assertEqual(kind("mine=server {port}", "echo", "http"), ["echo"])
        self.assertEqual(kind("mine=server {port}", "http"), ["http"])
        self.assertEqual(kind("http:mine=server {port}", "echo", "http"), ["http"])
        self.assertEqual(kind("mine=program {bench}", "micro"), ["micro"])
        command = peers.extra("mine=a --b='c d' {port}", []).commands["echo"]
        self.assertEqual(command.filled(port=1), ["a", "--b=c d", "1"])

    def test_extra_mistakes_are_named(self):
        for text in ("mine", "=server {port}", "mine=", "mine=server", "mine={port} {bench}", "ftp:mine={port}",
                     "micro:mine={port}"):
            with self.assertRaisesRegex(ValueError, "--extra"):
                peers.extra(text, ["echo"])


if __name__ == "__main__":
    unittest.main()
