"""User-space instructions, counted by valgrind's callgrind: the figure that repeats where times do not."""
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from . import processes
from .figures import Column
from .processes import Failure
from .subject import NotOffered, Subject

FEW, MORE = 400, 2_000
SIZE = 64
HTTP_REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

# Of these callgrind would count how they interpret and compile.
INTERPRETERS = ("node", "nodejs", "java", "pypy3")


def is_available():
    return shutil.which("valgrind") is not None


def is_possible(command):
    program = os.path.basename(command.words[0])
    return is_available() and program not in INTERPRETERS and not program.startswith("python")


def callgrind(out):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]


def readable(session, program):
    """A copy of one of ours without debug information: older releases of valgrind give up on what clang writes today."""
    if "/.build/" not in program or not shutil.which("strip"):
        return program
    copy = os.path.join(session.directory, f"bare-{os.path.basename(program)}")
    if os.path.exists(copy):
        return copy
    # Written beside and then renamed: several are counted at a time.
    partial = tempfile.mktemp(dir=session.directory)
    if subprocess.run(["strip", "--strip-debug", "-o", partial, program], capture_output=True, check=False).returncode:
        return program
    os.replace(partial, copy)
    return copy


def per_operation(session, words, count, options=(), per_count=1, directory=None, patience=90):
    """Of a program that prints a line of JSON: what a run with twice N costs more than one with N, divided."""
    def run(number):
        return counted_run(session, [*words, str(number), *options], per_count, directory, patience)

    words = [readable(session, words[0]), *words[1:]]
    (few, few_operations), (many, many_operations) = run(count), run(2 * count)
    return (many - few) / (many_operations - few_operations)


def counted_run(session, words, per_count, directory, patience):
    """The instructions of a whole run, and how many operations that were."""
    process = session.launch(
        callgrind("/dev/null") + words, os.path.basename(words[0]), None, directory, stderr=subprocess.STDOUT)
    try:
        process.wait(patience)
        text = processes.said(process)
    except subprocess.TimeoutExpired as late:
        raise Failure(f"not finished under callgrind after {patience} s") from late
    finally:
        session.end(process)
    line = re.search(r"^\{.*\}$", text, re.M)
    collected = re.search(r"Collected : (\d+)", text)
    if process.returncode != 0 or not line or not collected:
        raise Failure(f"does not run under callgrind: {text.strip()[-200:]}", process.returncode)
    figures = json.loads(line[0])
    return int(collected[1]), figures.get("operations") or figures["n"] * figures["reps"] * per_count


def per_request(session, name, command, kind="echo", more=MORE):
    """Of a server, with one connection and one request at a time: a run with a few requests, and one with more."""
    few, many = (served(session, name, command, kind, number) for number in (FEW, FEW + more))
    return (many - few) / more


def served(session, name, command, kind, requests):
    """The instructions of a server's whole run."""
    port = processes.free_port()
    out = os.path.join(session.directory, f"callgrind-{port}")
    words = command.filled(port=port)
    server = session.launch(
        callgrind(out) + [readable(session, words[0]), *words[1:]], name, None, command.directory)
    try:
        processes.wait_for_port(server, port, patience=60)
        converse_with(kind, port, requests)
        stop(server)
    finally:
        session.end(server)
    return total(out)


def stop(server):
    """Callgrind writes its figures when the program ends, by exit or by signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if server.poll() is not None:
            return
        server.send_signal(number)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            pass


def total(out):
    # With threads apart there would be one file for each; without, one line has the sum.
    try:
        with open(out) as figures:
            for line in figures:
                if line.startswith(("summary:", "totals:")) and int(line.split()[1]) > 0:
                    return int(line.split()[1])
    except FileNotFoundError:
        pass
    raise Failure("callgrind wrote no figures: the program was not ended by SIGINT or SIGTERM")


def receive(connection, size, number):
    answer = b""
    while len(answer) < size:
        part = connection.recv(size - len(answer))
        if not part:
            raise Failure(f"the server closed the connection after {number} requests")
        answer += part
    return answer


def converse_with(kind, port, requests):
    """Sends requests one by one over one connection, and looks at the answers."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            (echo if kind == "echo" else http)(connection, requests)
    except OSError as error:
        raise Failure(f"the connection failed: {error}") from error


def echo(connection, requests):
    for number in range(requests):
        request = number.to_bytes(8, "little").ljust(SIZE, b".")
        connection.sendall(request)
        if receive(connection, SIZE, number) != request:
            raise Failure(f"the server answered request {number} with other bytes")


def http(connection, requests):
    connection.sendall(HTTP_REQUEST)
    answer = b""
    while not answer.endswith(b"Hello, World!"):
        answer += receive(connection, 1, 0)
    for number in range(1, requests):
        connection.sendall(HTTP_REQUEST)
        # All of them are as long as the first one.
        if not receive(connection, len(answer), number).endswith(b"Hello, World!"):
            raise Failure(f"the server answered request {number} with something else")


class Instructions(Subject):
    """Of the echo servers."""

    name = "instructions"
    kind = "echo"
    title = "User-space instructions per echoed request, as callgrind counts them"
    note = ("What 2,000 more requests cost, divided: start and end drop out. It repeats however busy the machine is. "
            "The kernel's part is not in it.")
    columns = [Column("instructions", "instructions", 0)]
    yardstick = columns[0]
    most_rounds = 1
    tools = (("valgrind", "valgrind"),)

    def loads(self):
        return ["1 × 64 B"]

    def measure(self, peer, load):
        command = peer.commands[self.kind]
        if not is_possible(command):
            raise NotOffered()
        try:
            return {"instructions": per_request(self.session, peer.name, command)}
        except Failure as failure:
            if peer.role == "own":
                raise
            # Not everything runs under valgrind, which is nobody's fault.
            raise NotOffered(failure) from failure
