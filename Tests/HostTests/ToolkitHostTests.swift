import Testing

/// The concurrency toolkit on a loop that hosts the process.
@Suite struct ToolkitOfTheHost {
    @Test func tasksScopesAndGeneratorsNeedNoOtherThread() throws {
        #expect(
            try FixtureRun("toolkit-tasks").output == """
                a timeout ends a standard sleep: true, threads: 1
                a plain task cancels a scope: true, threads: 1
                a child is ready: 80, threads: 1
                mapped: [2, 4, 6], threads: 1
                generated: 55, threads: 1
                returned

                """)
    }

    @Test("fault 3: races in races lose nothing") func racesInRacesLoseNothing() throws {
        let lines = ["elements", "permits", "bytes"].flatMap { kind in
            (1...3).map { "\(kind), depth \($0), lost: 0, threads: 1\n" }
        }
        #expect(try FixtureRun("toolkit-races").output == lines.joined() + "returned\n")
    }

    @Test func primitivesNeedNoOtherThread() throws {
        #expect(
            try FixtureRun("toolkit-primitives").output == """
                counted: 20, at a time: 2, threads: 1
                received: [1, 2, 3, 4, 5], threads: 1
                loaded: [7, 7], threads: 1
                returned

                """)
    }

    @Test func whatComesFromOutsideComesToTheMainThread() throws {
        #expect(
            try FixtureRun("toolkit-outside").output == """
                offloaded to another thread: true
                a child said: hello
                a file has: kept
                a signal: true
                still on the main thread: true
                returned

                """)
    }
}
