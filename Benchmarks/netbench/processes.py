"""Processes that are started here, what they use, and how they end."""
import os
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class Failure(Exception):
    """A measurement that came to nothing, and why."""


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Processors:
    """The server has a processor, and the load another one, where there are two and taskset(1) can choose them."""

    def __init__(self):
        allowed = sorted(os.sched_getaffinity(0))
        self.server = self.load = None
        if len(allowed) > 1 and shutil.which("taskset"):
            self.server, self.load = allowed[:2]

    @property
    def description(self):
        if self.server is None:
            return "not pinned"
        return f"servers on processor {self.server}, load on {self.load}"

    @staticmethod
    def prefix(processor):
        return [] if processor is None else ["taskset", "-c", str(processor)]


class Session:
    """Everything that runs because of us. Leaving it ends all of it, by process id."""

    def __init__(self):
        self.processors = Processors()
        self.running = []

    def __enter__(self):
        # Servers inherit it: 10,000 connections are 10,000 descriptors.
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        self.descriptors = hard
        self.directory = tempfile.mkdtemp(prefix="eddy-network-")
        return self

    def __exit__(self, *_):
        # An impatient second Ctrl-C would leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        for process in list(self.running):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self, command, name="server"):
        """Starts a server on its processor, in a process group of its own, so that Ctrl-C reaches only us."""
        return self.launch(self.processors.server, command, name)

    def start_beside(self, command, name="server"):
        """Starts a server on the load's processor: one that stands behind the one that is measured."""
        return self.launch(self.processors.load, command, name)

    def launch(self, processor, command, name):
        log = tempfile.TemporaryFile("w+", dir=self.directory)
        try:
            process = subprocess.Popen(
                Processors.prefix(processor) + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)
        except OSError as error:
            raise Failure(f"{name} does not start: {error}") from error
        process.log, process.name = log, name
        self.running.append(process)
        return process

    def end(self, process):
        """SIGTERM, and SIGKILL for the one that does not listen; the whole group, because socat forks."""
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

    def load(self, command):
        """Runs a client on the load's processor. Returns what it printed, and its processor time in seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        output, errors = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
        words = Processors.prefix(self.processors.load) + command
        process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True)
        process.log, process.name = errors, command[0]
        self.running.append(process)
        try:
            process.wait()
        finally:
            if process.returncode is None:
                self.end(process)
        self.running.remove(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for file in (output, errors):
            file.seek(0)
        text, complaint = output.read(), errors.read().strip()
        output.close()
        errors.close()
        if process.returncode != 0:
            reason = (complaint or text.strip() or f"exit status {process.returncode}").splitlines()
            raise Failure(reason[0])
        return text, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def hold(self, command, look):
        """Runs a client that prints a line and goes on until its input is closed; meanwhile `look` is called.

        Returns the line, and the client's processor time in seconds."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = Processors.prefix(self.processors.load) + command
        errors = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True, text=True)
        process.log, process.name = errors, command[0]
        self.running.append(process)
        try:
            line = process.stdout.readline()
            if line:
                look()
            process.stdin.close()
            process.stdout.close()
            process.wait(30)
            if process.returncode != 0 or not line:
                raise Failure((said(process).strip() or f"exit status {process.returncode}").splitlines()[0])
        except subprocess.TimeoutExpired as late:
            raise Failure("the load does not end") from late
        finally:
            self.end(process)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return line, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def said(process):
    """What a process has printed so far, both streams."""
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
            raise Failure(f"{process.name} ended with status {process.returncode}{last_words(process)}")
        if time.monotonic() > deadline:
            raise Failure(f"{process.name} {what} within {patience} s{last_words(process)}")
        time.sleep(0.02)


def wait_for_port(process, port):
    def answers():
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    wait_until(process, answers, f"does not listen on port {port}")


def wait_for_line(process, text="listening on"):
    wait_until(process, lambda: text in said(process), f"does not say '{text}'")


# What the kernel knows of a process: proc(5)


def stat_fields(pid):
    with open(f"/proc/{pid}/stat") as file:
        # The name, in parentheses, may have spaces. Field 3 of the manual page comes first here.
        return file.read().rpartition(")")[2].split()


def processor_time(pid):
    """Seconds that a process, its children and theirs have used, user and kernel, with the children that have ended."""
    children, ended = {}, {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            fields = stat_fields(int(name))
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(int(name))
        ended[int(name)] = (int(fields[13]) + int(fields[14])) / TICKS
    if pid not in ended:
        raise Failure("the server has ended")
    total, pending = 0, [pid]
    while pending:
        one = pending.pop()
        try:
            # utime + stime, without their rounding to hundredths of a second: the clock of clock_getcpuclockid(3).
            total += time.clock_gettime((~one << 3) | 2) + ended[one]
        except OSError:
            continue
        pending += children.get(one, [])
    return total


def memory(pid):
    """The resident and the proportional size of a process in bytes; the second is None where the kernel does not tell."""
    with open(f"/proc/{pid}/statm") as file:
        resident = int(file.read().split()[1]) * PAGE
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return resident, int(line.split()[1]) * 1024
    except OSError:
        pass
    return resident, None


def busy_time():
    """Seconds that all processors have been busy, or taken away by the host."""
    with open("/proc/stat") as file:
        user, nice, system, _, _, interrupt, soft_interrupt, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupt + soft_interrupt + stolen) / TICKS
