"""The subjects: which programs, which loads, what is measured, and which columns the table has."""
import json
import re
import socket
import time

from . import peers, processes, syscalls
from .processes import Failure


class Column:
    def __init__(self, title, key, digits=1):
        self.title, self.key, self.digits = title, key, digits


LATENCY = [Column("p50 µs", "p50_us"), Column("p99 µs", "p99_us"), Column("p99.9 µs", "p999_us")]
PROCESSORS = [Column("server cpu", "server_cpu", 2), Column("load cpu", "client_cpu", 2), Column("other cpu", "other_cpu", 2)]


class Settings:
    def __init__(self, seconds, quick):
        self.seconds, self.quick = seconds, quick
        self.warmup = 0.1 if quick else 0.3

    @property
    def words(self):
        return [str(self.seconds), "--warmup", str(self.warmup)]


class Subject:
    """A table. Its loads are rows, and each has a row for each peer."""

    name = title = note = ""
    columns = []

    def __init__(self, session, settings):
        self.session, self.settings = session, settings
        self.peers = self.find_peers()

    def find_peers(self):
        raise NotImplementedError

    def loads(self):
        """Labels."""
        raise NotImplementedError

    def measure(self, peer, load):
        """Starts the peer, measures it once, ends it. Returns figures by name."""
        raise NotImplementedError

    # What subclasses are made of

    def started(self, peer, kind=socket.SOCK_STREAM, target=0):
        return Started(self.session, peer, processes.free_port(kind), target)

    def run_load(self, command, server=None, holds=False):
        """Runs a client, and adds to what it returns how busy everybody else was: on a quiet machine nearly 0.

        - holds: the client keeps its connections until the server's processor time was read: one that forks loses its
          children, and their figures, with the connections."""
        busy, began = processes.busy_time(), time.monotonic()
        before = processes.processor_time(server.pid) if server else 0
        used = None

        def look():
            nonlocal used
            used = processes.processor_time(server.pid) - before if server else 0

        if holds:
            output, own = self.session.hold([*command, "--hold"], look)
        else:
            output, own = self.session.load(command)
            look()
        elapsed = time.monotonic() - began
        others = max(0, processes.busy_time() - busy - own - used) / elapsed
        return output, {"other_cpu": others, "server_seconds": used, "load_seconds": own, "elapsed": elapsed}

    def eddy_load(self, words, server=None, holds=False):
        output, figures = self.run_load([peers.LOAD, *map(str, words)], server, holds)
        figures.update(json.loads(output))
        return figures


class Started:
    """A server, while the block lasts."""

    def __init__(self, session, peer, port, target):
        self.session, self.peer, self.port, self.target = session, peer, port, target

    def __enter__(self):
        self.process = self.peer.start(self.session, self.port, self.target)
        self.pid = self.process.pid
        return self

    def __exit__(self, *_):
        self.session.end(self.process)


class Echo(Subject):
    name = "echo"
    title = "Echo: connections × bytes, one request at a time on each"
    note = "µs/request: processor time of the whole server process, user and kernel."
    columns = [Column("requests/s", "rate", 0), Column("server µs/request", "server_us", 2), *LATENCY, *PROCESSORS]

    def find_peers(self):
        return peers.echo_servers()

    def loads(self):
        counts = [count for count in (1, 64, 1_000, 10_000) if count + 64 <= self.session.descriptors]
        return [f"{count} × {size}" for size in (64, 16_384) for count in counts]

    def measure(self, peer, load):
        count, size = load.split(" × ")
        with self.started(peer) as server:
            return self.eddy_load(
                ["echo", server.port, count, size, *self.settings.words, "--pid", server.pid], server)


class Churn(Subject):
    name = "churn"
    title = "Churn: connect, one request of 64 bytes, close; 64 at a time"
    columns = [Column("connections/s", "rate", 0), Column("server µs/connection", "server_us", 2), *LATENCY, *PROCESSORS]

    def find_peers(self):
        return peers.echo_servers()

    def loads(self):
        return ["64 at a time"]

    def measure(self, peer, load):
        with self.started(peer) as server:
            return self.eddy_load(["churn", server.port, 64, *self.settings.words, "--pid", server.pid], server)


class Idle(Subject):
    name = "idle"
    title = "Idle connections: growth of the server's memory for each"
    note = ("Each has been used once. Not included: the kernel's own memory of a connection, the same for every server "
            "(some KiB: socket, file, epoll entry, buffers as they are used).")
    columns = [Column("resident bytes", "rss_per_connection", 0), Column("proportional bytes", "pss_per_connection", 0),
               Column("in all, MiB", "rss_mib", 1), Column("connections/s", "opened_per_second", 0)]

    def find_peers(self):
        return peers.echo_servers()

    def loads(self):
        # Fewer would not show above the noise of a page here and there.
        return [str(min(10_000, self.session.descriptors - 64))]

    def measure(self, peer, load):
        count = int(load)
        with self.started(peer) as server:
            # What the first connection makes the server set up is no connection's.
            self.session.load([peers.LOAD, "idle", str(server.port), "1"])
            resident, proportional = processes.memory(server.pid)
            after = []
            line, _ = self.session.hold(
                [peers.LOAD, "idle", str(server.port), load], lambda: after.extend(processes.memory(server.pid)))
            resident_after, proportional_after = after
        figures = {
            "rss_per_connection": (resident_after - resident) / count, "rss_mib": resident_after / 2**20,
            "opened_per_second": count / json.loads(line)["seconds"]}
        if proportional is not None:
            figures["pss_per_connection"] = (proportional_after - proportional) / count
        return figures


class HTTP(Subject):
    name = "http"
    title = "HTTP: wrk, one thread, keep-alive"
    columns = [Column("requests/s", "rate", 0), Column("server µs/request", "server_us", 2), *LATENCY[:2], *PROCESSORS]

    def find_peers(self):
        found = peers.http_servers()
        wrk = peers.Peer("wrk", "wrk", package="wrk")
        for peer in found:
            peer.missing = peer.missing or wrk.missing
        return found

    def loads(self):
        return ["64 connections", "256 connections"]

    def measure(self, peer, load):
        seconds = max(1, round(self.settings.seconds))
        with self.started(peer) as server:
            output, figures = self.run_load(
                ["wrk", "-t", "1", "-c", load.split()[0], "-d", f"{seconds}s", "--latency",
                 f"http://127.0.0.1:{server.port}/"], server)
        errors = re.search(r"Socket errors: .*|Non-2xx.*", output)
        counted = re.search(r"(\d+) requests in", output)
        rate = re.search(r"Requests/sec:\s*([\d.]+)", output)
        if errors or not counted or not rate:
            raise Failure(f"wrk: {errors[0] if errors else output.strip()}")
        for share in ("50", "99"):
            value, unit = re.search(rf"^\s*{share}%\s+([\d.]+)(us|ms|s)", output, re.M).groups()
            figures[f"p{share}_us"] = float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]
        figures["rate"] = float(rate[1])
        figures["server_us"] = figures["server_seconds"] * 1e6 / int(counted[1])
        figures["server_cpu"] = figures["server_seconds"] / figures["elapsed"]
        figures["client_cpu"] = figures["load_seconds"] / figures["elapsed"]
        return figures


class UDP(Subject):
    name = "udp"
    title = "UDP echo: 64 datagrams in flight, with and without batching (recvmmsg, sendmmsg) in the server"
    note = "The load batches always. Datagrams are lost where somebody's buffer is full."
    columns = [Column("datagrams/s", "rate", 0), Column("server µs/datagram", "server_us", 2), Column("lost", "lost", 0),
               *LATENCY, *PROCESSORS]

    def find_peers(self):
        return peers.udp_servers()

    def loads(self):
        return ["64 bytes", "1400 bytes"]

    def measure(self, peer, load):
        with self.started(peer, socket.SOCK_DGRAM) as server:
            return self.eddy_load(
                ["udp", server.port, load.split()[0], *self.settings.words, "--window", 64, "--batch", "--pid",
                 server.pid], server)


class Proxy(Subject):
    name = "proxy"
    title = "Proxy: bytes to a sink, and echoes through it"
    note = ("µs: processor time of the proxy with all its processes, per MB or per request. The echo's other end is the C "
            "server, on the load's processor.")
    columns = [Column("MB/s", "megabytes_per_second", 0), Column("µs/MB", "server_us_per_megabyte", 1),
               Column("requests/s", "rate", 0), Column("µs/request", "server_us", 2), *LATENCY[:2], *PROCESSORS]

    def find_peers(self):
        return peers.proxies()

    def loads(self):
        return ["1 stream", "8 streams", "echo 64 × 64"]

    def measure(self, peer, load):
        return self.echo(peer) if load.startswith("echo") else self.stream(peer, load.split()[0])

    def stream(self, peer, connections):
        megabytes = 300 if self.settings.quick else 1_500 * self.settings.seconds
        target = processes.free_port()
        with self.started(peer, target=target) as server:
            figures = self.eddy_load(
                ["stream", server.port, target, megabytes, "--connections", connections], server, holds=True)
        figures["server_us_per_megabyte"] = figures["server_seconds"] * 1e6 / figures["megabytes"]
        figures["server_cpu"] = figures["server_seconds"] / figures["seconds"]
        return figures

    def echo(self, peer):
        target = processes.free_port()
        behind = self.session.start_beside([peers.LOAD, "c-echo", str(target)])
        try:
            processes.wait_for_line(behind)
            with self.started(peer, target=target) as server:
                used = processes.processor_time(behind.pid)
                figures = self.eddy_load(
                    ["echo", server.port, 64, 64, self.settings.seconds, "--warmup", 0], server, holds=True)
                used = processes.processor_time(behind.pid) - used
        finally:
            self.session.end(behind)
        figures["server_us"] = figures["server_seconds"] * 1e6 / figures["requests"]
        figures["server_cpu"] = figures["server_seconds"] / figures["seconds"]
        figures["other_cpu"] = max(0, figures["other_cpu"] - used / figures["elapsed"])
        return figures


class RESP(Subject):
    name = "resp"
    title = "Redis: SET and GET, 100 in a pipeline; the clients compared, with redis-server behind them"
    note = "µs/request: processor time of the whole client process. redis-ping checks the answers; redis-benchmark does not."
    columns = [Column("SET/s", "set_rate", 0), Column("GET/s", "get_rate", 0), Column("client µs/request", "client_us", 2),
               Column("client cpu", "client_cpu", 2), Column("other cpu", "other_cpu", 2)]

    def find_peers(self):
        found, self.server = peers.redis_clients(), peers.redis_server()
        for peer in found:
            peer.missing = peer.missing or self.server.missing
        return found

    def loads(self):
        return [f"{10_000 if self.settings.quick else 100_000} keys"]

    def measure(self, peer, load):
        keys = load.split()[0]
        with self.started(self.server) as server:
            command = [peer.program] + [word.format(port=server.port, keys=keys) for word in peer.arguments]
            output, figures = self.run_load(command, server)
        # "SET: 123456.00 requests per second, …", after several lines with percents that end in carriage returns; or
        # "SET 100000 keys: 0.123 s, 813008/s".
        for name in ("SET", "GET", "DEL"):
            rates = re.findall(rf"\b{name}\b[^\n\r]*?([\d.,]+)\s*(?:requests per second|/s)", output)
            if rates:
                figures[f"{name.lower()}_rate"] = float(rates[-1].replace(",", ""))
            elif name != "DEL":
                raise Failure(f"no rate of {name} in what it printed: {output.strip()[-200:]}")
        # redis-ping deletes its keys in the end, and checks the answers: its processor time is for three requests per key.
        requests = int(keys) * (3 if "del_rate" in figures else 2)
        figures["client_us"] = figures["load_seconds"] * 1e6 / requests
        figures["client_cpu"] = figures["load_seconds"] / figures["elapsed"]
        return figures


class SystemCalls(Subject):
    name = "syscalls"
    title = "System calls of the echo server per request, as strace counts them: one connection, 64 bytes"
    note = "What a thousand more requests add, divided by a thousand: start and end drop out."
    columns = [Column("recv", "recvfrom", 2), Column("send", "sendto", 2), Column("epoll_wait", "epoll_wait", 2),
               Column("epoll_ctl", "epoll_ctl", 2), Column("timerfd_settime", "timerfd_settime", 2),
               Column("others", "others", 2)]

    def find_peers(self):
        found, strace = peers.echo_servers(), peers.Peer("strace", "strace", package="strace")
        for peer in found:
            peer.missing = peer.missing or strace.missing
        return found

    def loads(self):
        return ["1 × 64"]

    def measure(self, peer, load):
        return syscalls.per_request(self.session, peer)


ALL = [Echo, Churn, Idle, HTTP, UDP, Proxy, RESP, SystemCalls]
