import Testing

/// Tasks that park without the runtime's knowledge, mixed with everything that the runtime does with tasks; and the same the other way.
/// Each in a process of its own. `EDDY_STRESS=1` makes the rounds a million.
@Suite struct DirectParkInItsOwnProcess {
    @Test(arguments: ["park-host", "park-guest", "park-guest-on-main", "park-once"])
    func aMillionParksWithEverythingMixed(_ scenario: String) throws {
        #expect(try FixtureRun(scenario).output == "failures: 0\ndirect: true\n")
    }

    @Test(arguments: ["park-host", "park-guest", "park-guest-on-main", "park-once"])
    func theOtherPathDoesTheSame(_ scenario: String) throws {
        let run = try FixtureRun(scenario, environment: ["EDDY_DIRECT_PARK": "0"])
        #expect(run.output == "failures: 0\ndirect: false\n")
    }

    @Test func nothingParksDirectlyInsideAnAccess() throws {
        #expect(try FixtureRun("park-host-in-access").output == "failures: 0\ndirect: false\n")
    }

    @Test func mainActorCodeParksDirectly() throws {
        #expect(try FixtureRun("park-main-actor").output == "direct: true\nfailures: 0\ndirect: false\n")
    }

    @Test("C10: jobs whose frames must be left do not keep the loop from its timers")
    func spentFramesDoNotDelayTimers() throws {
        #expect(try FixtureRun("park-budget").output == "over\n")
    }

    @Test func theEnvironmentTurnsItOff() throws {
        #expect(try FixtureRun("park-path").output == "direct: true true\n")
        #expect(try FixtureRun("park-path", environment: ["EDDY_DIRECT_PARK": "0"]).output == "direct: false false\n")
    }
}
