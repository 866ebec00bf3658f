import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy

@Suite struct EnvironmentConfigurations {
    private func read(_ environment: [String: String]) throws -> EventLoop.Configuration {
        try EventLoop.Configuration.fromEnvironment(lookUp: { environment[$0] })
    }

    @Test func anEnvironmentThatSaysNothingChangesNothing() throws {
        var defaults = EventLoop.Configuration()
        defaults.eventCapacity = 17
        defaults.shutdown = .onSignals([1])
        let same = try EventLoop.Configuration.fromEnvironment(startingFrom: defaults, lookUp: { _ in "" })
        #expect(same.eventCapacity == 17)
        #expect(same.gracePeriod == .seconds(5))
        #expect(same.cancellingSignals == [2])
        #expect(same.shutdown?.signals == [1])
        #expect(same.mode == .automatic)
    }

    @Test func everyVariableSetsItsProperty() throws {
        let configuration = try read([
            "EDDY_EVENT_CAPACITY": "512", "EDDY_GRACE_PERIOD": "300ms", "EDDY_CANCELLING_SIGNALS": "INT, sigterm,10",
            "EDDY_SHUTDOWN_SIGNALS": "HUP", "EDDY_SHUTDOWN_GRACE": "2m", "EDDY_MODE": "Guest",
        ])
        #expect(configuration.eventCapacity == 512)
        #expect(configuration.gracePeriod == .milliseconds(300))
        #expect(configuration.cancellingSignals == [SIGINT, SIGTERM, SIGUSR1])
        #expect(configuration.shutdown?.signals == [SIGHUP])
        #expect(configuration.shutdown?.grace == .seconds(120))
        #expect(configuration.mode == .guest)
    }

    @Test(arguments: [("5", 5.0), ("2.5s", 2.5), ("300ms", 0.3), ("1m", 60), ("0", 0)])
    func timesHaveUnits(text: String, seconds: Double) throws {
        #expect(try read(["EDDY_GRACE_PERIOD": text]).gracePeriod == .seconds(seconds))
    }

    @Test func noneIsNoSignal() throws {
        let configuration = try read(["EDDY_CANCELLING_SIGNALS": "none", "EDDY_SHUTDOWN_SIGNALS": "none"])
        #expect(configuration.cancellingSignals.isEmpty)
        #expect(configuration.shutdown == nil)
    }

    @Test(arguments: [
        ("EDDY_EVENT_CAPACITY", "0"), ("EDDY_EVENT_CAPACITY", "many"), ("EDDY_EVENT_CAPACITY", "99999999999999999999"),
        ("EDDY_GRACE_PERIOD", "-1"), ("EDDY_GRACE_PERIOD", "soon"), ("EDDY_GRACE_PERIOD", "nan"),
        ("EDDY_GRACE_PERIOD", "inf"), ("EDDY_GRACE_PERIOD", "s"), ("EDDY_GRACE_PERIOD", "1e300"),
        ("EDDY_CANCELLING_SIGNALS", "KILL"), ("EDDY_CANCELLING_SIGNALS", "9"), ("EDDY_CANCELLING_SIGNALS", "INT,,TERM"),
        ("EDDY_CANCELLING_SIGNALS", "65"), ("EDDY_SHUTDOWN_SIGNALS", "whenever"), ("EDDY_MODE", "host"),
        ("EDDY_SHUTDOWN_GRACE", "5"),
    ])
    func aValueThatCannotBeUnderstoodIsNamed(variable: String, value: String) throws {
        let error = #expect(throws: EnvironmentError.self) { try read([variable: value]) }
        #expect(error?.variable == variable)
        #expect(error?.description.contains("\(variable)='\(value)'") == true)
    }

    @Test func theEnvironmentOfTheProcessIsReadByDefault() async {
        await #expect(processExitsWith: .success) {
            setenv("EDDY_EVENT_CAPACITY", "33", 1)
            let configuration = try EventLoop.Configuration.fromEnvironment()
            #expect(configuration.eventCapacity == 33)
        }
    }

    @Test func aLoopTakesSuchAConfiguration() throws {
        var configuration = try read(["EDDY_EVENT_CAPACITY": "1", "EDDY_MODE": "guest"])
        configuration.gracePeriod = .seconds(1)
        #expect(try EventLoop.run(configuration: configuration) { 4 } == 4)
    }
}
