#!/usr/bin/env python3
"""Runs the tests, watches that they go on, and says behind their output what failed, what was skipped, and why.

    Scripts/test.py [ARGUMENTS OF SWIFT TEST]

A test that hangs would hang this and whoever waits for it. When no test has begun or ended for EDDY_TEST_SILENCE seconds (300 unless
told), the tests that are under way are named, the stacks of their threads are printed if gdb is there, and the run is ended, with
status 1.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path


class Progress:
    """What the stream of events says: which tests are under way, which have failed, which were skipped."""

    def __init__(self):
        self.has_begun = False
        self.hangs = False
        self.under_way = {}
        self.failures = {}
        self.skips = Counter()

    def take(self, record):
        if record.get("kind") != "event":
            return
        event = record["payload"]
        kind, test = event["kind"], event.get("testID", "")
        texts = [message["text"] for message in event.get("messages", [])]
        case = (test, event.get("_testCase", {}).get("id"))
        if kind == "runStarted":
            self.has_begun = True
        elif kind in ("testStarted", "testCaseStarted"):
            self.under_way[case] = event.get("_testCase", {}).get("displayName", "")
        elif kind in ("testEnded", "testCaseEnded"):
            self.under_way.pop(case, None)
        elif kind == "testSkipped":
            self.skips["; ".join(event.get("_comments", [])) or "no reason given"] += 1
        elif kind == "issueRecorded" and not event.get("issue", {}).get("isKnown"):
            self.failures.setdefault(test or "outside of any test", texts[0] if texts else "")

    def names_under_way(self):
        """The innermost ones: a suite is under way as long as one of its tests is."""
        tests = {test for test, _ in self.under_way}
        inner = [key for key in self.under_way if not any(other.startswith(key[0] + "/") for other in tests)]
        with_cases = {test for test, case in inner if case}
        return sorted(f"{test} {shown}".rstrip() for test, case in inner
                      for shown in [self.under_way[test, case]] if case or test not in with_cases)


class Events:
    """Reads the lines that have been added to a file, only whole ones."""

    def __init__(self, path):
        self.path, self.position = path, 0

    def new(self):
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            file.seek(self.position)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self.position += len(line)
                yield json.loads(line)


def descendants(pid):
    """The processes below one, the parents before their children."""
    children = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        children.setdefault(parent, []).append(int(entry.name))
    found = list(children.get(pid, []))
    for child in found:
        found.extend(children.get(child, []))
    return found


def print_stacks(pid):
    for process in descendants(pid):
        try:
            command = Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        print(f"\ntest: process {process}: {command[:200]}", file=sys.stderr, flush=True)
        if "xctest" not in command or not shutil.which("gdb"):
            continue
        backtrace = ["gdb", "-p", str(process), "-batch", "-ex", "set pagination off", "-ex", "thread apply all bt 40"]
        try:
            stacks = subprocess.run(backtrace, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=180).stdout
            print(stacks.decode(errors="replace"), file=sys.stderr)
        except subprocess.TimeoutExpired:
            print("test: gdb did not end in 180 s", file=sys.stderr)


def end(process):
    """Ends it and what it has started, also what has a group of its own by now."""
    everyone = [process.pid, *descendants(process.pid)]
    for pid in everyone:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def report(progress):
    if progress.skips:
        reasons = "; ".join(f"{count} × {reason}" for reason, count in progress.skips.most_common())
        print(f"test: {sum(progress.skips.values())} tests were skipped: {reasons}", file=sys.stderr)
    for test, text in sorted(progress.failures.items()):
        print(f"test: FAILED {test}: {text}", file=sys.stderr)


def run(arguments):
    """Runs the tests once.

    Returns what became of them, and the status.
    """
    silence = float(os.environ.get("EDDY_TEST_SILENCE", "300"))
    with tempfile.TemporaryDirectory(prefix="eddy-test-") as folder:
        path = Path(folder, "events.jsonl")
        command = ["swift", "test", *arguments, "--event-stream-output-path", str(path), "--event-stream-version", "0"]
        progress, events = Progress(), Events(path)
        # A session of its own, so that all of it can be ended; so what a terminal sends must be handed on.
        process = subprocess.Popen(command, start_new_session=True)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: os.killpg(process.pid, number))
        last = time.monotonic()
        while process.poll() is None:
            time.sleep(0.2)
            for record in events.new():
                progress.take(record)
                last = time.monotonic()
            if progress.has_begun and time.monotonic() - last > silence:
                print(f"\ntest: no test has begun or ended for {silence:.0f} s; under way are:", file=sys.stderr)
                for name in progress.names_under_way():
                    print(f"test:   {name}", file=sys.stderr)
                print_stacks(process.pid)
                end(process)
                progress.hangs = True
        for record in events.new():
            progress.take(record)
    if progress.hangs:
        return progress, 1
    return progress, process.returncode if process.returncode >= 0 else 128 - process.returncode


def main(arguments):
    progress, status = run(arguments)
    report(progress)
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
