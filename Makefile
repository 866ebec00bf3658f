# What a contributor and the continuous integration call. `make` alone lists the targets.

SHELL := /bin/bash
FORMATTED := Sources Tests Package.swift $(wildcard Benchmarks/Sources Benchmarks/Package.swift)
# Each kind of build has a directory of its own, so that they do not rebuild each other's work. The optimised one is the strict one,
# and has the address sanitizer: a build less.
OPTIMISED := -c release -Xswiftc -enable-testing -Xswiftc -warnings-as-errors --sanitize=address \
	--scratch-path .build-optimised
THREADS := --sanitize=thread --scratch-path .build-tsan

# The tests that have volumes to run: ten million wakes, a million waits that three threads end, and so on.
STRESS := noWakeIsLostUnderStress|threadsRaceForAWait|OneOutcome.cancellationLosesNoBytes|cancelledWaitsLeaveNothing|shortTimersAreNeitherEarlyNorSpinning|aMillionParksWithEverythingMixed

.DEFAULT_GOAL := help
.PHONY: help setup build demo test test-release stress bench gate check format docs clean

help:
	@echo "make setup    install what is missing, with apt: headers, a linker, and what tests and examples talk to"
	@echo "make build    build everything, in debug and in release mode"
	@echo "make demo     run the examples on real input: hello, a million sleepers, an echo server; sets up what it can before"
	@echo "make test     run every test; sets up what it can before"
	@echo "make test-release  the tests in release without a sanitizer, which make check leaves out"
	@echo "make stress   the volumes, under the thread sanitizer: ten million wakes, a million races; STRESS=Name for another test"
	@echo "make bench    run the benchmarks beside their peers, 25 minutes; SUBJECT=echo PEERS=\"tokio nio\" ROUNDS=9 QUICK=1"
	@echo "make gate     compare instructions, first-level misses, allocations and system calls with their limits"
	@echo "make check    formatting, rules, tests in release with warnings as errors and under both sanitizers, promised counts, the gate"
	@echo "make docs     build the documentation archive, .build/docs/Eddy.doccarchive"
	@echo "make format   format the sources in place"
	@echo "make clean    delete everything that was built"

setup:
	@Scripts/setup.sh

build:
	swift build
	swift build -c release

demo:
	@Scripts/setup.sh bash -c 'swift build -c release && Scripts/demo.sh'

test:
	@Scripts/setup.sh Scripts/test.py

# What `make check` has no time for: the optimiser's own code, without a sanitizer's in between.
test-release:
	Scripts/test.py -c release -Xswiftc -enable-testing --scratch-path .build-release-tests

# One after another, so that memory is one test's own. Built where the sanitizer's build of `make check` is.
stress:
	EDDY_STRESS=1 EDDY_TEST_SILENCE=3600 Scripts/test.py --no-parallel $(THREADS) --filter '$(STRESS)'

bench:
	Benchmarks/bench.py $(if $(SUBJECT),--subject "$(SUBJECT)") $(if $(PEERS),--peers "$(PEERS)") \
		$(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(QUICK),--quick) $(BENCH_OPTIONS)

gate:
	Benchmarks/bench.py gate

check:
	swift format lint --strict --recursive $(FORMATTED)
	Scripts/check-rules.sh
	Scripts/check-snippets.py
	python3 -B -m unittest discover -s Benchmarks/harness/tests -t Benchmarks
	LSAN_OPTIONS=suppressions=$(CURDIR)/Scripts/leaks.supp Scripts/test.py $(OPTIMISED)
	swift build -c release --package-path Benchmarks --product eddy-bench
	Benchmarks/.build/release/eddy-bench check
	Benchmarks/.build/release/eddy-bench check --guest
	Benchmarks/bench.py gate
	Scripts/test.py $(THREADS)

format:
	swift format format --in-place --recursive $(FORMATTED)

docs:
	@Scripts/docs.sh

clean:
	rm -rf .build .build-optimised .build-release-tests .build-tsan Benchmarks/.build Benchmarks/.build-peers
