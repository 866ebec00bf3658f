#!/usr/bin/env python3
"""User-space instructions that an echo server spends per request, counted by valgrind's callgrind.

    ./echo-instructions.py [--requests N] [--bytes N] [NAME='COMMAND {port}' ...]

Without a command: the root package's echo-server, as a host and as a guest. One connection, one request at a time. Each
server runs twice, with a few requests and with N more; what the second run costs more, divided by N, is one request. Start
and end of the program are in both runs and drop out.
"""
import argparse
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SERVER = os.path.join(ROOT, ".build", "release", "echo-server")
DEFAULT = [
    f"eddy-host={shlex.quote(SERVER)} --host 127.0.0.1 --port {{port}}",
    f"eddy-guest={shlex.quote(SERVER)} --host 127.0.0.1 --port {{port}} --guest",
]
FEW = 400


class Failure(Exception):
    pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def connect(port, server, patience):
    """The server needs a while to start under valgrind: tries until it listens, or is gone."""
    deadline = time.monotonic() + patience
    while server.poll() is None:
        try:
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        except OSError:
            if time.monotonic() > deadline:
                raise Failure(f"does not listen on port {port} after {patience:.0f} s")
            time.sleep(0.05)
    raise Failure(f"ended with status {server.returncode} before it listened")


def converse(connection, requests, size):
    """Sends requests one by one, and compares what comes back."""
    for number in range(requests):
        request = number.to_bytes(8, "little").ljust(size, b".")[:size]
        connection.sendall(request)
        answer = b""
        while len(answer) < size:
            part = connection.recv(size - len(answer))
            if not part:
                raise Failure(f"closed the connection after {number} requests")
            answer += part
        if answer != request:
            raise Failure(f"answered request {number} with other bytes")


def count(command, requests, size):
    """The instructions of a whole run of the server."""
    port = free_port()
    with tempfile.TemporaryDirectory() as directory:
        out = os.path.join(directory, "callgrind.out")
        words = shlex.split(command.replace("{port}", str(port)))
        with open(os.path.join(directory, "log"), "w+") as log:
            server = subprocess.Popen(
                ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", *words],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
            try:
                with connect(port, server, patience=60) as connection:
                    converse(connection, requests, size)
            finally:
                stop(server)
        return total(out)


def stop(server):
    """Callgrind writes its figures when the program ends, by exit or by signal."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if server.poll() is not None:
            return
        server.send_signal(number)
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            pass


def total(out):
    # Threads are in one file each only with --separate-threads; without, one line has the sum.
    try:
        with open(out) as figures:
            for line in figures:
                if line.startswith(("summary:", "totals:")):
                    value = int(line.split()[1])
                    if value > 0:
                        return value
    except FileNotFoundError:
        pass
    raise Failure("callgrind wrote no figures: the program was not stopped by SIGINT or SIGTERM")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2000, help="how many more requests the second run makes")
    parser.add_argument("--bytes", type=int, default=64, help="the length of a request")
    parser.add_argument("servers", nargs="*", metavar="NAME=COMMAND", help="{port} in it stands for the port")
    arguments = parser.parse_args()
    failed = False
    for server in arguments.servers or DEFAULT:
        name, separator, command = server.partition("=")
        if not separator or "{port}" not in command:
            parser.error(f"expected NAME='COMMAND {{port}}', not {server!r}")
        try:
            few, many = (count(command, n, arguments.bytes) for n in (FEW, FEW + arguments.requests))
            print(f"{name:20} {(many - few) / arguments.requests:10.0f}", flush=True)
        except (Failure, OSError) as failure:
            failed = True
            print(f"{name:20}          -   {failure}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
