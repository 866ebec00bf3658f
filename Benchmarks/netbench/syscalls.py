"""System calls per request, as the kernel's side sees them: strace counts."""
import os
import socket
import time

from . import processes
from .processes import Failure

FEW, MORE = 200, 1_000
SIZE = 64


def per_request(session, peer):
    few, many = (count(session, peer, requests) for requests in (FEW, FEW + MORE))
    known = {"recvfrom", "sendto", "epoll_wait", "epoll_ctl", "timerfd_settime"}
    figures = {name: 0 for name in known | {"others"}}
    for name in few.keys() | many.keys():
        more = (many.get(name, 0) - few.get(name, 0)) / MORE
        figures[name if name in known else "others"] += more
    return figures


def count(session, peer, requests):
    """The calls by name of a whole run of the server."""
    port = processes.free_port()
    file = os.path.join(session.directory, f"strace-{port}")
    # -D: strace is the grandchild, so that the process that we start, and end, is the server.
    server = session.start(["strace", "-D", "-f", "-c", "-o", file, *peer.command(session, port)], peer.name)
    try:
        processes.wait_for_port(server, port)
        converse(port, requests)
        server.terminate()
        server.wait(10)
        # strace writes when the server has ended.
        deadline = time.monotonic() + 10
        while not (os.path.exists(file) and "total" in open(file).read()):
            if time.monotonic() > deadline:
                raise Failure("strace wrote no figures; may it trace processes here (ptrace(2))?")
            time.sleep(0.05)
    finally:
        session.end(server)
    return parse(file)


def converse(port, requests):
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number in range(requests):
            request = number.to_bytes(8, "little").ljust(SIZE, b".")
            connection.sendall(request)
            answer = b""
            while len(answer) < SIZE:
                part = connection.recv(SIZE - len(answer))
                if not part:
                    raise Failure(f"the server closed the connection after {number} requests")
                answer += part
            if answer != request:
                raise Failure(f"the server answered request {number} with other bytes")


def parse(file):
    """'% time, seconds, usecs/call, calls, errors, syscall': errors may be missing."""
    calls = {}
    with open(file) as lines:
        for line in lines:
            words = line.split()
            if len(words) < 5 or not words[3].isdigit() or words[-1] in ("total", "syscall"):
                continue
            # Newer kernels have it with nanoseconds; it is the same.
            name = {"epoll_pwait2": "epoll_wait", "epoll_pwait": "epoll_wait"}.get(words[-1], words[-1])
            calls[name] = calls.get(name, 0) + int(words[3])
    return calls
