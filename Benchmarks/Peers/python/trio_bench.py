"""Micro-benchmarks on trio. It has no timers apart from tasks: a deadline is that of a cancel scope, and scopes are
nested. A million of them pending at once are therefore left out."""
import contextlib
import queue

import trio
from measurement import (
    measurement, measurement_of_lateness, nanoseconds, random_seconds, repeat, repeat_sleepers, repeat_timeouts)

REPETITIONS = 3
TIMER_WINDOW = 1024


async def sleepers(count, repetitions=REPETITIONS):
    async def run():
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(trio.sleep, 0.01)

    return await repeat_sleepers(repetitions, count, run)


async def sleepers_once(count):
    return await sleepers(count, repetitions=1)


async def do_nothing():
    pass


async def spawn(count):
    async def run():
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(do_nothing)

    return await repeat(REPETITIONS, count, run)


async def spawn1(count):
    async def run():
        # A nursery's end is the only thing that waits for a task.
        for _ in range(count):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(do_nothing)

    return await repeat(REPETITIONS, count, run)


async def yields(count):
    async def take_turns():
        for _ in range(count // 2):
            await trio.lowlevel.checkpoint()

    async def run():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(take_turns)
            nursery.start_soon(take_turns)

    return await repeat(REPETITIONS, count, run)


async def chan(count):
    async def run():
        ping, pings = trio.open_memory_channel(1)
        pong, pongs = trio.open_memory_channel(1)

        async def client():
            async with ping, pongs:
                for index in range(count // 2):
                    await ping.send(index)
                    assert await pongs.receive() == index

        async def server():
            async with pings, pong:
                async for index in pings:
                    await pong.send(index)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(client)
            nursery.start_soon(server)

    return await repeat(REPETITIONS, count, run)


async def timer(count):
    """The others that are pending are scopes around. Scopes end in reverse order, so the newest one is cancelled."""
    deadlines = random_seconds(count)

    async def run():
        for index, seconds in enumerate(deadlines):
            with trio.move_on_after(seconds):
                pass
            if index % TIMER_WINDOW == 0:
                await trio.lowlevel.checkpoint()

    with contextlib.ExitStack() as others:
        # Far away, so that none of them fires meanwhile.
        for seconds in random_seconds(TIMER_WINDOW - 1):
            others.enter_context(trio.move_on_after(3600 + seconds))
        return await repeat(REPETITIONS, count, run)


async def pipe(count):
    one, other = map(trio.SocketStream, trio.socket.socketpair())

    async def client():
        for _ in range(count):
            await one.send_all(b"\1")
            assert await one.receive_some(64) == b"\1"

    async def server():
        async with other:
            while data := await other.receive_some(64):
                await other.send_all(data)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(server)
        async with one:
            return await repeat(REPETITIONS, count, client)


async def wakeup(count):
    lateness = []
    for _ in range(count):
        start = nanoseconds()
        await trio.sleep(0.001)
        lateness.append(nanoseconds() - start - 1_000_000)
    return measurement_of_lateness(lateness)


async def xthread(count):
    """Also xthread2: the processors are the caller's choice."""
    token = trio.lowlevel.current_trio_token()

    def post_and_wait():
        times, answers = [], queue.SimpleQueue()
        for _ in range(REPETITIONS):
            start = nanoseconds()
            for _ in range(count):
                token.run_sync_soon(answers.put, None)
                answers.get()
            times.append((nanoseconds() - start) / count)
        return times

    return measurement(count, await trio.to_thread.run_sync(post_and_wait))


async def give(value):
    return value


async def timeout(count):
    async def run():
        for index in range(count):
            with trio.fail_after(60):
                assert await give(index) == index
        # The loop has a turn for what is left to do.
        await trio.lowlevel.checkpoint()

    return await repeat_timeouts(REPETITIONS, count, run)


BENCHES = {
    "sleepers": (10_000, sleepers), "sleepers1m": (50_000, sleepers_once), "spawn": (30_000, spawn),
    "spawn1": (20_000, spawn1), "yield": (100_000, yields), "chan": (50_000, chan), "timer": (50_000, timer),
    "pipe": (10_000, pipe), "wakeup": (1_000, wakeup), "xthread": (5_000, xthread), "xthread2": (5_000, xthread),
    "timeout": (50_000, timeout),
}
