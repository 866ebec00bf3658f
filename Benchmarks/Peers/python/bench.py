"""asyncio, uvloop and trio, micro-benchmarks.   bench.py {asyncio|uvloop|trio} BENCH [N]

N is smaller than in other languages, so that a benchmark takes a few seconds at most: that of sleepers1m as well.
"""
import json
import sys

from server import run


def main(library, bench, given=None):
    if library == "trio":
        from trio_bench import BENCHES
    else:
        from asyncio_bench import BENCHES
    if bench not in BENCHES:
        print(f"{library} has no such benchmark: {bench}", file=sys.stderr)
        sys.exit(64)
    count, body = BENCHES[bench]
    count = int(given or count)
    if library == "trio":
        import trio

        result = trio.run(body, count)
    else:
        result = run(library, body(count))
    rounded = {key: round(value, 3) for key, value in result.items()}
    print(json.dumps({"peer": library, "bench": bench, **rounded}))


if __name__ == "__main__":
    main(*sys.argv[1:])
