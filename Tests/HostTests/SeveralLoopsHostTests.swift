import Testing

/// Several loops, the first of which hosts a process of its own.
@Suite struct HostedLoops {
    @Test func theFirstLoopHostsAndTheOthersAreGuests() throws {
        #expect(
            try FixtureRun("loops").output == """
                further threads: 2
                main actor on the main thread: true
                detached task on the main thread: true
                back: true
                after Task.sleep: true
                after a default actor: true
                main task on the main thread: true
                further threads: 0
                same descriptors

                """)
    }

    @Test("H8: a signal to shut down lets the connections of all loops finish")
    func aSignalToShutDownReachesAllLoops() throws {
        #expect(try FixtureRun("loops-shutdown").output == "answered all: true\nrefused\nreturned\n")
    }

    @Test("H8: the main tasks of all loops are cancelled when the grace period is over")
    func theMainTasksOfAllLoopsAreCancelledWhenTheGracePeriodIsOver() throws {
        // Several times: a body that began before the first loop watches for signals would end the process now and then.
        for _ in 0..<5 {
            let run = try FixtureRun("loops-shutdown-grace-over")
            #expect(run.output == "cancelled\ncancelled\ncancelled\nreturned\n")
            #expect(run.status == 0)
        }
    }

    @Test func aSecondSignalEndsAllLoops() throws {
        #expect(try FixtureRun("loops-shutdown-twice").signal == 15)
    }

    @Test func controlCCancelsAllLoops() throws {
        #expect(try FixtureRun("loops-interrupt").output == "cancelled\ncancelled\nthrown\nhandler restored\n")
    }

    @Test func theHostEndsAfterItsGuests() throws {
        let line = "cleaned up on the main thread: true\n"
        #expect(try FixtureRun("loops-host-is-last").output == line + line)
    }

    @Test("H5: a deadlock of the only loop is diagnosed")
    func aDeadlockOfTheOnlyLoopIsDiagnosed() throws {
        #expect(try FixtureRun("loops-deadlock").output.contains("thrown DeadlockError"))
    }
}
