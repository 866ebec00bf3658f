import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension EventLoop.Configuration {
    /// A configuration with what the process's environment says about it.
    ///
    /// | variable | sets | examples |
    /// |---|---|---|
    /// | `EDDY_EVENT_CAPACITY` | ``eventCapacity`` | `512` |
    /// | `EDDY_GRACE_PERIOD` | ``gracePeriod`` | `5`, `2.5s`, `300ms` |
    /// | `EDDY_CANCELLING_SIGNALS` | ``cancellingSignals`` | `INT`, `INT,TERM`, `none` |
    /// | `EDDY_SHUTDOWN_SIGNALS` | ``shutdown``, its signals | `TERM,INT`, `none` |
    /// | `EDDY_SHUTDOWN_GRACE` | ``shutdown``, its grace period | `10`, `30s` |
    /// | `EDDY_MODE` | ``mode-swift.property`` | `automatic`, `guest` |
    ///
    /// `EDDY_DIRECT_PARK=0` needs no configuration: every loop asks for it. It makes tasks park through Swift's runtime: see
    /// ``EventLoop/Statistics/parksDirectly``.
    ///
    /// A variable that is not set, or empty, changes nothing. Signals are named with or without `SIG`, or by number. A
    /// time without a unit is in seconds.
    ///
    /// - Parameters:
    ///   - defaults: what holds where the environment says nothing.
    ///   - lookUp: answers the value of a variable. nil asks the process's environment (getenv(3)).
    /// - Throws: ``EnvironmentError``: the first variable with a value that can't be understood.
    public static func fromEnvironment(
        startingFrom defaults: Self = Self(), lookUp: ((String) -> String?)? = nil
    ) throws(EnvironmentError) -> Self {
        var configuration = defaults
        func value(_ name: String) -> EnvironmentValue? {
            let text = lookUp.map { $0(name) } ?? EnvironmentValue.ofProcess(name)
            return text.flatMap { $0.isEmpty ? nil : EnvironmentValue(name: name, text: $0) }
        }
        if let value = value("EDDY_EVENT_CAPACITY") { configuration.eventCapacity = try value.positiveNumber() }
        if let value = value("EDDY_GRACE_PERIOD") { configuration.gracePeriod = try value.duration() }
        if let value = value("EDDY_CANCELLING_SIGNALS") { configuration.cancellingSignals = try value.signals() }
        if let value = value("EDDY_MODE") { configuration.mode = try value.mode() }
        let grace = value("EDDY_SHUTDOWN_GRACE")
        if let value = value("EDDY_SHUTDOWN_SIGNALS") {
            let signals = try value.signals()
            var policy = configuration.shutdown ?? .onSignals()
            policy.signals = signals
            configuration.shutdown = signals.isEmpty ? nil : policy
        }
        if let grace {
            let duration = try grace.duration()
            guard configuration.shutdown != nil else {
                throw grace.error("a grace period of a shutdown that no signal begins", "set EDDY_SHUTDOWN_SIGNALS too")
            }
            configuration.shutdown?.grace = duration
        }
        return configuration
    }
}

/// An environment variable has a value that can't be understood.
public struct EnvironmentError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The variable.
    public let variable: String
    /// What it says.
    public let value: String
    /// What is wrong with that.
    public let problem: String
    /// What it may say instead.
    public let advice: String

    public var description: String { "\(variable)='\(value)' is \(problem): \(advice)" }
}

/// The value of an environment variable, as it is written, and what it means.
struct EnvironmentValue {
    let name: String
    let text: String

    init(name: String, text: String) {
        self.name = name
        self.text = text
    }

    /// What the process's environment says about a variable (getenv(3)).
    static func ofProcess(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    func error(_ problem: String, _ advice: String) -> EnvironmentError {
        EnvironmentError(variable: name, value: text, problem: problem, advice: advice)
    }

    func positiveNumber() throws(EnvironmentError) -> Int {
        guard let number = Int(text), number > 0, number <= 65_536 else {
            throw error("no number from 1 to 65536", "give it one, or leave it out")
        }
        return number
    }

    func duration() throws(EnvironmentError) -> Duration {
        let units: [(name: String, inSeconds: Double)] = [("ms", 0.001), ("s", 1), ("m", 60), ("", 1)]
        let unit = units.first { text.hasSuffix($0.name) }!
        guard let number = Double(text.dropLast(unit.name.count)), number >= 0, number * unit.inSeconds <= 1e9 else {
            throw error("no length of time", "write seconds, '2.5', or a number with ms, s or m behind it, '300ms'")
        }
        return .seconds(number * unit.inSeconds)
    }

    /// Signals by name. Their numbers on Linux are the same on all processors that this runs on (signal(7)).
    private static let signalNumbers: [String: Int32] = [
        "HUP": 1, "INT": 2, "QUIT": 3, "USR1": 10, "USR2": 12, "ALRM": 14, "TERM": 15,
    ]

    func signals() throws(EnvironmentError) -> [Int32] {
        if text.lowercased() == "none" { return [] }
        var signals: [Int32] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let word = part.filter { $0 != " " }.uppercased()
            let name = word.hasPrefix("SIG") ? String(word.dropFirst(3)) : word
            // 9 and 19, KILL and STOP, can't be taken over (signal(7)).
            guard let signal = Self.signalNumbers[name] ?? Int32(name), 1...64 ~= signal, ![9, 19].contains(signal)
            else {
                throw error(
                    "no list of signals",
                    "write names, 'INT,TERM', or numbers from 1 to 64, or 'none'; not KILL or STOP")
            }
            signals.append(signal)
        }
        return signals
    }

    func mode() throws(EnvironmentError) -> EventLoop.Mode {
        switch text.lowercased() {
        case "automatic": return .automatic
        case "guest": return .guest
        default: throw error("no mode of a loop", "write 'automatic' or 'guest'")
        }
    }
}
