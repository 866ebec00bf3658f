"""What a micro-benchmark measures. A measurement is the fields of its line of JSON."""
import random
import statistics
import time

nanoseconds = time.perf_counter_ns


def measurement(count, times, **extras):
    """The times are nanoseconds per operation, one of each repetition."""
    return {
        "n": count, "reps": len(times), "ns": statistics.median(times), "ns_min": min(times), "ns_max": max(times),
        **extras}


async def repeat(repetitions, count, run):
    """Runs an operation of this many parts several times."""
    times = []
    for _ in range(repetitions):
        start = nanoseconds()
        await run()
        times.append((nanoseconds() - start) / count)
    return measurement(count, times)


async def repeat_sleepers(repetitions, count, run):
    """The peak is that of the first repetition, before there is memory to use again."""
    before = process_memory("VmRSS:")
    first = await repeat(1, count, run)
    peak = process_memory("VmHWM:")
    times = [first["ns"]] + [(await repeat(1, count, run))["ns"] for _ in range(repetitions - 1)]
    result = measurement(count, times)
    return {**result, "wall_ms": result["ns"] * count / 1e6, "rss_per_task": (peak - before) / count}


async def repeat_timeouts(repetitions, count, run):
    before = process_memory("VmRSS:")
    result = await repeat(repetitions, count, run)
    return {**result, "left_bytes": (process_memory("VmRSS:") - before) / (repetitions * count)}


def measurement_of_lateness(lateness):
    """From how late each wake-up was, in nanoseconds."""
    count, ordered = len(lateness), sorted(lateness)
    mean = sum(lateness) / count
    return measurement(
        count, [mean], mean_us=mean / 1e3, p50_us=ordered[count // 2] / 1e3, p99_us=ordered[count * 99 // 100] / 1e3)


def process_memory(key):
    """A line of /proc/self/status, in bytes."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    raise ValueError(f"no {key} in /proc/self/status")


def random_seconds(count):
    """Whole milliseconds between 0 and 10 s, the same ones in each run."""
    generator = random.Random(1)
    return [generator.randrange(10_000) / 1000 for _ in range(count)]
