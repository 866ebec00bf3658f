"""More subjects, by name: UDP, proxies, Redis clients, system calls."""
import re
import socket

from . import others, processes, syscalls, system
from .figures import Column
from .processes import Failure
from .subject import LATENCY, PROCESSORS, Started, Subject, cost_columns


class UDP(Subject):
    name = kind = "udp"
    title = "UDP echo: 64 datagrams in flight"
    note = "The load batches always (recvmmsg, sendmmsg). Datagrams are lost where somebody's buffer is full."
    columns = [*cost_columns("datagram"), Column("datagrams/s", "rate", 0), Column("lost", "lost", 0), *LATENCY,
               *PROCESSORS]
    yardstick = columns[0]
    is_default = False

    def loads(self):
        return ["64 B", "1400 B"]

    def measure(self, peer, load):
        with self.started(peer, socket.SOCK_DGRAM) as server:
            return self.eddy_load(
                ["udp", server.port, load.split()[0], *self.settings.words, "--window", 64, "--batch", "--pid",
                 server.pid], server)


class Proxy(Subject):
    name = kind = "proxy"
    title = "Proxy: bytes to a sink, and echoes through it"
    note = ("µs: processor time of the proxy with all its processes, per MB or per request. The echo's other end is on "
            "the load's processor.")
    columns = [Column("least µs", "cost", 2, "least"), Column("median µs", "cost", 2),
               Column("MB/s", "megabytes_per_second", 0), Column("requests/s", "rate", 0), *LATENCY[:2], *PROCESSORS]
    yardstick = columns[0]
    is_default = False

    def loads(self):
        return ["per MB, 1 stream", "per MB, 8 streams", "per request, echo of 64 × 64 B"]

    def measure(self, peer, load):
        return self.echo(peer) if "echo" in load else self.stream(peer, load.split()[2])

    def stream(self, peer, connections):
        megabytes = 300 if self.settings.quick else 1_500 * self.settings.seconds
        target = processes.free_port()
        with self.started(peer, target=target) as server:
            figures = self.eddy_load(
                ["stream", server.port, target, megabytes, "--connections", connections], server, holds=True)
        figures["cost"] = figures["server_seconds"] * 1e6 / figures["megabytes"]
        figures["server_cpu"] = figures["server_seconds"] / figures["seconds"]
        return figures

    def echo(self, peer):
        target = processes.free_port()
        words, directory = self.echo_server.filled(port=target), self.echo_server.directory
        behind = self.session.launch(words, "the echo server", self.session.processors.load, directory)
        try:
            processes.wait_for_port(behind, target)
            with self.started(peer, target=target) as server:
                used = system.processor_time(behind.pid)
                figures = self.eddy_load(
                    ["echo", server.port, 64, 64, self.settings.seconds, "--warmup", 0], server, holds=True)
                used = (system.processor_time(behind.pid) or used) - used
        finally:
            self.session.end(behind)
        figures["cost"] = figures["server_seconds"] * 1e6 / figures["requests"]
        figures["server_cpu"] = figures["server_seconds"] / figures["seconds"]
        figures["other_cpu"] = max(0, figures["other_cpu"] - used / figures["elapsed"])
        return figures


class RESP(Subject):
    name = kind = "resp"
    title = "Redis clients: SET and GET, 100 in a pipeline"
    note = ("redis-server is behind all of them. µs: processor time of the whole client process. redis-ping checks the "
            "answers; redis-benchmark does not.")
    columns = [Column("least µs/request", "client_us", 2, "least"), Column("median µs", "client_us", 2),
               Column("SET/s", "set_rate", 0), Column("GET/s", "get_rate", 0), Column("client cpu", "client_cpu", 2),
               Column("other cpu", "other_cpu", 2)]
    yardstick = columns[0]
    is_default = False
    tools = (("redis-server", "redis-server"),)

    def loads(self):
        return [f"{10_000 if self.settings.quick else 100_000} keys"]

    def measure(self, peer, load):
        keys = load.split()[0]
        server = Started(self.session, peer, others.REDIS_SERVER, processes.free_port(), 0)
        with server:
            output, figures = self.run_load(peer.commands[self.kind].filled(port=server.port, keys=keys), server)
        # "SET: 123456.00 requests per second, …", after several lines with percents that end in carriage returns; or
        # "SET 100000 keys: 0.123 s, 813008/s".
        for name in ("SET", "GET", "DEL"):
            rates = re.findall(rf"\b{name}\b[^\n\r]*?([\d.,]+)\s*(?:requests per second|/s)", output)
            if rates:
                figures[f"{name.lower()}_rate"] = float(rates[-1].replace(",", ""))
            elif name != "DEL":
                raise Failure(f"no rate of {name} in what it printed: {output.strip()[-200:]}")
        # redis-ping deletes its keys in the end: its processor time is for three requests per key.
        requests = int(keys) * (3 if "del_rate" in figures else 2)
        figures["client_us"] = figures["load_seconds"] * 1e6 / requests
        figures["client_cpu"] = figures["load_seconds"] / figures["elapsed"]
        return figures


class SystemCalls(Subject):
    name = "syscalls"
    kind = "echo"
    title = "System calls of the echo server per request, as strace counts them"
    note = "What a thousand more requests add, divided by a thousand: start and end drop out."
    columns = [Column("in all", "all", 2), Column("recv", "recvfrom", 2), Column("send", "sendto", 2),
               Column("epoll_wait", "epoll_wait", 2), Column("epoll_ctl", "epoll_ctl", 2),
               Column("timerfd_settime", "timerfd_settime", 2), Column("others", "others", 2)]
    yardstick = columns[0]
    is_default = False
    most_rounds = 1
    tools = (("strace", "strace"),)

    def loads(self):
        return ["1 × 64 B"]

    def measure(self, peer, load):
        return syscalls.per_request(self.session, peer.name, peer.commands[self.kind])


ALL = [UDP, Proxy, RESP, SystemCalls]
