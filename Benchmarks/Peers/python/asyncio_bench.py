"""Micro-benchmarks on asyncio's own loop or on uvloop's: the program is the same."""
import asyncio
import queue
import socket
import threading

from measurement import (
    measurement, measurement_of_lateness, nanoseconds, random_seconds, repeat, repeat_sleepers, repeat_timeouts)

REPETITIONS = 3
TIMER_WINDOW = 1024
OTHER_TIMERS = 1_000_000


async def sleepers(count, repetitions=REPETITIONS):
    async def run():
        tasks = [asyncio.create_task(asyncio.sleep(0.01)) for _ in range(count)]
        for task in tasks:
            await task

    return await repeat_sleepers(repetitions, count, run)


async def sleepers_once(count):
    return await sleepers(count, repetitions=1)


async def give(value):
    return value


async def spawn(count):
    async def run():
        tasks = [asyncio.create_task(give(index & 1)) for index in range(count)]
        assert sum([await task for task in tasks]) == count // 2

    return await repeat(REPETITIONS, count, run)


async def spawn1(count):
    async def run():
        total = 0
        for index in range(count):
            total += await asyncio.create_task(give(index & 1))
        assert total == count // 2

    return await repeat(REPETITIONS, count, run)


async def yields(count):
    async def take_turns():
        for _ in range(count // 2):
            await asyncio.sleep(0)

    async def run():
        await asyncio.gather(take_turns(), take_turns())

    return await repeat(REPETITIONS, count, run)


async def chan(count):
    async def run():
        pings, pongs = asyncio.Queue(1), asyncio.Queue(1)

        async def ping():
            for index in range(count // 2):
                await pings.put(index)
                assert await pongs.get() == index
            await pings.put(None)

        async def pong():
            while (index := await pings.get()) is not None:
                await pongs.put(index)

        await asyncio.gather(ping(), pong())

    return await repeat(REPETITIONS, count, run)


def do_nothing():
    pass


async def timer(count, other_count=0):
    loop = asyncio.get_running_loop()
    # With others the deadlines are far away, so that none of them fires meanwhile.
    distance = 3600 if other_count else 0
    base = loop.time() + distance
    # They end with the loop.
    for seconds in random_seconds(other_count):
        loop.call_at(base + seconds, do_nothing)
    deadlines = random_seconds(count)

    async def run():
        base = loop.time() + distance
        window = [None] * TIMER_WINDOW
        for index, seconds in enumerate(deadlines):
            place = index % TIMER_WINDOW
            if oldest := window[place]:
                oldest.cancel()
            window[place] = loop.call_at(base + seconds, do_nothing)
            if place == 0:
                await asyncio.sleep(0)
        for armed in window:
            if armed:
                armed.cancel()

    return await repeat(REPETITIONS, count, run)


async def timer1m(count):
    return await timer(count, OTHER_TIMERS)


async def pipe(count):
    one, other = [await asyncio.open_connection(sock=end) for end in socket.socketpair()]

    async def client(reader, writer):
        for _ in range(count):
            writer.write(b"\1")
            await writer.drain()
            assert await reader.read(64) == b"\1"

    async def server(reader, writer):
        while data := await reader.read(64):
            writer.write(data)
            await writer.drain()

    task = asyncio.create_task(server(*other))
    result = await repeat(REPETITIONS, count, lambda: client(*one))
    one[1].close()
    await task
    other[1].close()
    return result


async def wakeup(count):
    lateness = []
    for _ in range(count):
        start = nanoseconds()
        await asyncio.sleep(0.001)
        lateness.append(nanoseconds() - start - 1_000_000)
    return measurement_of_lateness(lateness)


async def xthread(count):
    """Also xthread2: the processors are the caller's choice."""
    loop = asyncio.get_running_loop()
    finished = loop.create_future()

    def post_and_wait():
        times, answers = [], queue.SimpleQueue()
        for _ in range(REPETITIONS):
            start = nanoseconds()
            for _ in range(count):
                loop.call_soon_threadsafe(answers.put, None)
                answers.get()
            times.append((nanoseconds() - start) / count)
        loop.call_soon_threadsafe(finished.set_result, times)

    thread = threading.Thread(target=post_and_wait)
    thread.start()
    times = await finished
    thread.join()
    return measurement(count, times)


async def timeout(count):
    async def run():
        for index in range(count):
            async with asyncio.timeout(60):
                assert await give(index) == index
        # The loop has a turn for what is left to do.
        await asyncio.sleep(0)

    return await repeat_timeouts(REPETITIONS, count, run)


BENCHES = {
    "sleepers": (20_000, sleepers), "sleepers1m": (200_000, sleepers_once), "spawn": (100_000, spawn),
    "spawn1": (50_000, spawn1), "yield": (200_000, yields), "chan": (100_000, chan), "timer": (200_000, timer),
    "timer1m": (100_000, timer1m), "pipe": (20_000, pipe), "wakeup": (1_000, wakeup), "xthread": (10_000, xthread),
    "xthread2": (10_000, xthread), "timeout": (100_000, timeout),
}
