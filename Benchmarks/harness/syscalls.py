"""System calls per request, as the kernel's side sees them: strace counts."""
import os
import subprocess
import time

from . import instructions, processes
from .processes import Failure

FEW, MORE = 200, 1_000
# On a socket they are the same.
SAME = {"epoll_pwait": "epoll_wait", "epoll_pwait2": "epoll_wait", "read": "recvfrom", "write": "sendto"}
KNOWN = ("recvfrom", "sendto", "epoll_wait", "epoll_ctl", "timerfd_settime")


def per_request(session, name, command, kind="echo"):
    few, many = (count(session, name, command, kind, requests) for requests in (FEW, FEW + MORE))
    figures = dict.fromkeys([*KNOWN, "others", "all"], 0)
    for call in few.keys() | many.keys():
        more = (many.get(call, 0) - few.get(call, 0)) / MORE
        figures[call if call in KNOWN else "others"] += more
        figures["all"] += more
    return figures


def count(session, name, command, kind, requests):
    """The calls by name of a whole run of the server."""
    port = processes.free_port()
    file = os.path.join(session.directory, f"strace-{port}")
    # -D: strace is the grandchild, so that the process that we start, and end, is the server.
    words = ["strace", "-D", "-f", "-c", "-o", file, *command.filled(port=port)]
    server = session.start(words, name, command.directory)
    try:
        processes.wait_for_port(server, port)
        instructions.converse_with(kind, port, requests)
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired as late:
            raise Failure("does not end on SIGTERM") from late
        # strace writes when the server has ended.
        deadline = time.monotonic() + 10
        while not (os.path.exists(file) and "total" in open(file).read()):
            if time.monotonic() > deadline:
                raise Failure("strace wrote no figures; may it trace processes here (ptrace(2))?")
            time.sleep(0.05)
    finally:
        session.end(server)
    return parse(file)


def parse(file):
    """'% time, seconds, usecs/call, calls, errors, syscall': errors may be missing."""
    calls = {}
    with open(file) as lines:
        for line in lines:
            words = line.split()
            if len(words) < 5 or not words[3].isdigit() or words[-1] in ("total", "syscall"):
                continue
            name = SAME.get(words[-1], words[-1])
            calls[name] = calls.get(name, 0) + int(words[3])
    return calls
