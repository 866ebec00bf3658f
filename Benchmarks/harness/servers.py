"""The subjects with a server on one processor and the load on another: echo, HTTP, churn, idle connections."""
import http.client
import json
import os
import shutil

from . import peers, system
from .figures import Column
from .processes import Failure
from .subject import LATENCY, PROCESSORS, Subject, cost_columns


class Echo(Subject):
    name = kind = "echo"
    title = "Echo"
    note = ("µs: processor time of the whole server process, user and kernel, per request. Every byte that comes back "
            "is compared.")
    columns = [*cost_columns("request"), Column("requests/s", "rate", 0), *LATENCY, *PROCESSORS]
    yardstick = columns[0]

    def loads(self):
        counts = [count for count in (1, 50, 64, 1_000, 10_000) if count + 64 <= self.session.descriptors]
        return [f"{count} × 64 B" for count in counts] + ["64 × 16384 B", "64 × 64 B, 16 in a pipeline"]

    def measure(self, peer, load):
        words = load.split()
        depth = words[4] if "pipeline" in load else 1
        # Ten thousand connections need a while until each had its turn.
        times = 2 if int(words[0]) >= 10_000 else 1
        settings = self.settings
        with self.started(peer) as server:
            return self.eddy_load(
                ["echo", server.port, words[0], words[2], times * settings.seconds, "--warmup", times * settings.warmup,
                 "--depth", depth, "--pid", server.pid], server)


class HTTP(Subject):
    name = kind = "http"
    title = "HTTP hello"
    note = ("wrk is what everybody has; it is saturated before a fast server is, so compare µs. eddy-load compares "
            "every answer, and costs less.")
    columns = [*cost_columns("request"), Column("requests/s", "rate", 0), *LATENCY, *PROCESSORS]
    yardstick = columns[0]

    def loads(self):
        with_wrk = ["wrk, 64 connections"] if shutil.which("wrk") else []
        return [*with_wrk, "eddy-load, 64 connections", "eddy-load, 64 connections, 16 in a pipeline"]

    def measure(self, peer, load):
        with self.started(peer) as server:
            check_answer(server.port)
            if load.startswith("wrk"):
                return self.wrk(server)
            depth = 16 if "pipeline" in load else 1
            return self.eddy_load(
                ["http", server.port, 64, *self.settings.words, "--depth", depth, "--pid", server.pid], server)

    def wrk(self, server):
        # It knows whole seconds only.
        seconds = max(1, round(self.settings.seconds))
        script = os.path.join(os.path.dirname(__file__), "wrk.lua")
        output, figures = self.run_load(
            ["wrk", "-t", "1", "-c", "64", "-d", f"{seconds}s", "-s", script, f"http://127.0.0.1:{server.port}/"],
            server)
        found = json.loads(output.strip().splitlines()[-1])
        if found["errors"] or not found["requests"]:
            raise Failure(f"wrk counted {found['errors']} errors in {found['requests']} requests")
        figures.update(found)
        figures["rate"] = found["requests"] * 1e6 / found["microseconds"]
        figures["server_us"] = figures["server_seconds"] * 1e6 / found["requests"]
        figures["server_cpu"] = figures["server_seconds"] / figures["elapsed"]
        figures["client_cpu"] = figures["load_seconds"] / figures["elapsed"]
        return figures


def check_answer(port):
    """Twice, because the connection has to stay."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        for _ in range(2):
            connection.request("GET", "/")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or body != b"Hello, World!":
                raise Failure(f"answers with status {answer.status} and {body[:40]!r}")
    except (OSError, http.client.HTTPException) as error:
        raise Failure(f"does not answer a request: {error}") from error
    finally:
        connection.close()


class Churn(Subject):
    name = "churn"
    kind = "echo"
    title = "Churn: connect, one request of 64 bytes, close"
    note = "µs: processor time of the server per connection, from accept to close."
    columns = [*cost_columns("connection"), Column("connections/s", "rate", 0), *LATENCY, *PROCESSORS]
    yardstick = columns[0]

    def loads(self):
        return ["64 at a time"]

    def measure(self, peer, load):
        with self.started(peer) as server:
            return self.eddy_load(["churn", server.port, 64, *self.settings.words, "--pid", server.pid], server)


class Idle(Subject):
    name = "idle"
    kind = "echo"
    title = "Idle connections: growth of the server's memory for each"
    note = ("Each has been used once. Not included: the kernel's own memory of a connection, the same for every server "
            "(some KiB: socket, file, epoll entry, buffers as they are used).")
    columns = [Column("resident bytes", "rss_per_connection", 0, unit="bytes"),
               Column("proportional bytes", "pss_per_connection", 0), Column("in all, MiB", "rss_mib"),
               Column("connections/s", "opened_per_second", 0)]
    yardstick = columns[0]
    most_rounds = 2

    def loads(self):
        # Fewer would not show above the noise of a page here and there.
        return [f"{min(10_000, self.session.descriptors - 64):,} connections"]

    def measure(self, peer, load):
        count = int(load.split()[0].replace(",", ""))
        with self.started(peer) as server:
            # What the first connection makes the server set up is no connection's.
            self.session.load([peers.LOAD, "idle", str(server.port), "1"])
            resident, proportional = system.memory(server.pid)
            after = []
            line, _ = self.session.hold(
                [peers.LOAD, "idle", str(server.port), str(count)], lambda: after.extend(system.memory(server.pid)))
            resident_after, proportional_after = after
        figures = {
            "rss_per_connection": (resident_after - resident) / count, "rss_mib": resident_after / 2**20,
            "opened_per_second": count / json.loads(line)["seconds"]}
        if proportional is not None and proportional_after is not None:
            figures["pss_per_connection"] = (proportional_after - proportional) / count
        return figures


ALL = [Echo, HTTP, Churn, Idle]
