"""Processes that are started here, and how they end."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time


class Failure(Exception):
    """A measurement that came to nothing, and why. `status`: the exit status behind it, if there is one."""

    def __init__(self, text, status=None):
        super().__init__(text)
        self.status = status


class TooSlow(Failure):
    """A program that was not finished in time."""


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processors:
    """What is measured has a processor, and the load another one, where there are two and taskset(1) chooses them."""

    def __init__(self):
        allowed = sorted(os.sched_getaffinity(0))
        self.server = self.load = self.both = None
        if len(allowed) > 1 and shutil.which("taskset"):
            self.server, self.load = allowed[:2]
            self.both = f"{self.server},{self.load}"

    @property
    def description(self):
        if self.server is None:
            return "not pinned"
        return f"servers and programs on processor {self.server}, load on {self.load}"

    @staticmethod
    def prefix(processor):
        return [] if processor is None else ["taskset", "-c", str(processor)]


class Session:
    """Everything that runs because of us. Leaving it ends all of it, by process id."""

    def __init__(self):
        self.processors = Processors()
        self.running = []
        # Nothing is started any more, from no thread.
        self.is_ending = False

    def __enter__(self):
        # Servers inherit it: 10,000 connections are 10,000 descriptors.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.descriptors = hard
        self.directory = tempfile.mkdtemp(prefix="eddy-bench-")
        return self

    def __exit__(self, *_):
        # An impatient second Ctrl-C would leave processes behind.
        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = [signal.signal(number, signal.SIG_IGN) for number in numbers]
        for process in list(self.running):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)
        for number, handler in zip(numbers, before):
            signal.signal(number, handler)

    def launch(self, command, name, processor=None, directory=None, **streams):
        """Starts a process in a group of its own, so that Ctrl-C reaches only us. Its `log` has what it says."""
        if self.is_ending:
            raise Failure("interrupted")
        log = tempfile.TemporaryFile("w+", dir=self.directory)
        streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log, **streams}
        try:
            process = subprocess.Popen(
                Processors.prefix(processor) + command, cwd=directory, start_new_session=True, **streams)
        except OSError as error:
            log.close()
            raise Failure(f"{name} does not start: {error}") from error
        process.log, process.name = log, name
        self.running.append(process)
        return process

    def start(self, command, name="server", directory=None):
        """Starts a server on its processor."""
        return self.launch(command, name, self.processors.server, directory)

    def end(self, process):
        """SIGTERM, and SIGKILL for the one that does not listen; the whole group, because some servers fork."""
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(process.pid, number)
                except ProcessLookupError:
                    break
                try:
                    process.wait(5)
                    # Its children may still be there.
                    os.killpg(process.pid, signal.SIGKILL)
                    break
                except ProcessLookupError:
                    break
                except subprocess.TimeoutExpired:
                    pass
        finally:
            process.wait()
            process.log.close()
            if process in self.running:
                self.running.remove(process)

    def run(self, command, processor=None, directory=None, patience=120):
        """Runs a program to its end. Returns what it printed, and its processor time in seconds."""
        before = children_time()
        output = tempfile.TemporaryFile("w+", dir=self.directory)
        process = self.launch(command, os.path.basename(command[0]), processor, directory, stdout=output)
        try:
            process.wait(patience)
            output.seek(0)
            text = output.read()
            if process.returncode != 0:
                reason = (said(process).strip() or text.strip()).splitlines()
                raise Failure(reason[-1] if reason else how_it_ended(process), process.returncode)
        except subprocess.TimeoutExpired as late:
            raise TooSlow(f"not finished after {patience} s") from late
        finally:
            self.end(process)
            output.close()
        return text, children_time() - before

    def load(self, command):
        """Runs a client on the load's processor."""
        return self.run(command, self.processors.load)

    def hold(self, command, look):
        """Runs a client that prints a line and goes on until its input is closed; meanwhile `look` is called.

        Returns the line, and the client's processor time in seconds."""
        before = children_time()
        process = self.launch(
            command, os.path.basename(command[0]), self.processors.load, None, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()
            if line:
                look()
            process.stdin.close()
            process.stdout.close()
            process.wait(30)
            if process.returncode != 0 or not line:
                raise Failure((said(process).strip() or how_it_ended(process)).splitlines()[-1])
        except subprocess.TimeoutExpired as late:
            raise Failure("the load does not end") from late
        finally:
            self.end(process)
        return line, children_time() - before


def children_time():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def how_it_ended(process):
    if process.returncode < 0:
        return f"ended by {signal.Signals(-process.returncode).name}"
    return f"ended with status {process.returncode}"


def said(process):
    """What a process has printed so far."""
    process.log.flush()
    with open(f"/proc/self/fd/{process.log.fileno()}", errors="replace") as log:
        return log.read()


def last_words(process):
    lines = [line for line in said(process).splitlines() if line.strip()]
    return f": {lines[-1]}" if lines else ""


def wait_until(process, condition, what, patience=15):
    deadline = time.monotonic() + patience
    while not condition():
        if process.poll() is not None:
            raise Failure(f"{process.name} {how_it_ended(process)}{last_words(process)}")
        if time.monotonic() > deadline:
            raise Failure(f"{process.name} {what} within {patience} s{last_words(process)}")
        time.sleep(0.02)


def wait_for_port(process, port, patience=15):
    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    wait_until(process, answers, f"does not listen on port {port}", patience)


def wait_for_line(process, text="listening on"):
    wait_until(process, lambda: text in said(process), f"does not say '{text}'")
