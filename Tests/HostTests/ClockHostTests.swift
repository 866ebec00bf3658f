import Testing

/// The standard library's sleeps on a loop that hosts the process.
@Suite struct StockSleepsOfTheHost {
    @Test("D13: the runtime says which clock a sleep is on, and the host counts on that one")
    func everyClockIsItsOwn() throws {
        // The reactor's own timer was made before. The one for CLOCK_BOOTTIME is made for the first sleep on ContinuousClock.
        #expect(
            try FixtureRun("stock-clocks").output == """
                suspending: timers 0, 1 s
                nanoseconds: timers 1, 1 s
                continuous: timers 0, 1 s
                default: timers 0, 1 s
                loop: timers 0, 1 s
                continuous after 0 s
                suspending after 3600 s
                cancelled after 0 s
                returned

                """)
    }

    @Test("twenty sleeps arm the timer twenty times; with a second to spare, once or twice")
    func tolerancesAreUsed() throws {
        let lines = try FixtureRun("stock-clocks-tolerance").output.split(separator: "\n")
        #expect(lines.first == "exact: 20")
        #expect(["tolerant: 1", "tolerant: 2"].contains(lines.last))
    }

    @Test func withoutADescriptorForTheClockASleepEndsAllTheSame() throws {
        #expect(
            try FixtureRun("stock-clocks-without-descriptors").output == "slept 5 s, timers 1, faults 0\n")
    }
}
