import CAllocationCounter
import Eddy
import EddyReactor
import Glibc

/// CLOCK_MONOTONIC.
func nanoseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
}

/// What was found out about a subject.
struct Measurement: Sendable {
    let subject: Subject
    let count: Int
    /// Nanoseconds per operation, one per repetition, in ascending order.
    var samples: [Double]
    var extras: [(name: String, value: Double)] = []
    var allocations: Double?
    /// System calls per operation, of a subject that promises some.
    var calls: [(name: SystemCall.Name, value: Double)] = []

    /// The one line that the program prints.
    var json: String {
        var fields = [
            "\"peer\":\"eddy-\(Mode.current.rawValue)\"", "\"bench\":\"\(subject.name)\"", "\"n\":\(count)",
            "\"reps\":\(samples.count)", "\"ns\":\(samples[samples.count / 2])", "\"ns_min\":\(samples[0])",
            "\"ns_max\":\(samples[samples.count - 1])", "\"operations\":\(count * subject.operationsPerCount)",
        ]
        for extra in extras { fields.append("\"\(extra.name)\":\(extra.value)") }
        if let allocations { fields.append("\"allocations\":\(allocations)") }
        for call in calls { fields.append("\"\(call.name)\":\(call.value)") }
        return "{" + fields.joined(separator: ",") + "}"
    }
}

extension Subject {
    /// Times the subject, then counts its allocations.
    ///
    /// - Parameter isBrief: one repetition and nothing else, for whoever counts instructions.
    func measure(_ count: Int, isBrief: Bool = false) async throws -> Measurement {
        let body = try prepare()
        let residentBefore = ProcessStatus.bytes("VmRSS")
        var samples: [Double] = []
        var extra: [(name: String, value: Double)] = []
        for repetition in 0..<(isBrief ? 1 : repetitions) {
            let start = nanoseconds()
            let own = try await body(count)
            let elapsed = Double(nanoseconds() - start)
            let peak = ProcessStatus.bytes("VmHWM"), resident = ProcessStatus.bytes("VmRSS")
            let mean = own.map { $0.reduce(0, +) / Double(count) }
            samples.append(
                extras.contains(.memory)
                    ? elapsed / Double(count) : mean ?? elapsed / Double(count * operationsPerCount))
            guard repetition == 0 else { continue }
            if extras.contains(.latency), let mean, let sorted = own?.sorted() {
                extra += [
                    ("mean_us", mean / 1_000), ("p50_us", sorted[count / 2] / 1_000),
                    ("p99_us", sorted[count * 99 / 100] / 1_000),
                ]
            }
            if extras.contains(.memory) { extra.append(("rss_per_task", (peak - residentBefore) / Double(count))) }
            if extras.contains(.remains) { extra.append(("left_bytes", (resident - residentBefore) / Double(count))) }
        }
        samples.sort()
        if extras.contains(.memory) {
            extra.append(("wall_ms", samples[samples.count / 2] * Double(count) / 1_000_000))
        }
        var measurement = Measurement(subject: self, count: count, samples: samples, extras: extra)
        if !isBrief {
            let costs = try await additionalCosts(body)
            let operations = Double(allocationCount * operationsPerCount)
            if eddy_allocations_available() != 0 { measurement.allocations = Double(costs.allocations) / operations }
            if promisedCalls != nil {
                measurement.calls = costs.calls.sorted { $0.key.rawValue < $1.key.rawValue }
                    .map { ($0.key, Double($0.value) / operations) }
            }
        }
        return measurement
    }

    /// What `allocationCount` more of N cost, start and end taken out: the allocations and system calls of a run with twice
    /// that count, less those of a run with it. Pools and queues have grown to their size before.
    func additionalCosts(_ body: Body) async throws -> Costs {
        // Called as the others are, so that the task's stack has its size as well; twice, because what the end of a run
        // leaves to the loop is done in the next one.
        for _ in 0..<2 { _ = try await costs { _ = try await body(2 * allocationCount) } }
        let few = try await costs { _ = try await body(allocationCount) }
        let many = try await costs { _ = try await body(2 * allocationCount) }
        return Costs(
            allocations: many.allocations - few.allocations,
            calls: many.calls.merging(few.calls.mapValues { -$0 }, uniquingKeysWith: +).filter { $0.value != 0 })
    }

    private func costs(_ body: () async throws -> Void) async throws -> Costs {
        let loop = EventLoop.measured
        let callsBefore = loop.statistics.reactor.systemCalls.mapValues { Int($0) }
        eddy_allocations_begin()
        do { try await body() } catch {
            _ = eddy_allocations_end()
            throw error
        }
        let allocations = Int(eddy_allocations_end())
        let callsAfter = loop.statistics.reactor.systemCalls.mapValues { Int($0) }
        return Costs(
            allocations: allocations, calls: callsAfter.merging(callsBefore.mapValues { -$0 }, uniquingKeysWith: +))
    }
}

/// What a run costs apart from time.
struct Costs {
    let allocations: Int
    /// The loop's system calls; one that it never made is missing.
    let calls: [SystemCall.Name: Int]
}

/// proc_pid_status(5)
private enum ProcessStatus {
    static func bytes(_ key: String) -> Double {
        guard let file = fopen("/proc/self/status", "r") else { return 0 }
        defer { fclose(file) }
        var line: [CChar] = Array(repeating: 0, count: 256)
        while fgets(&line, Int32(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            guard text.hasPrefix(key + ":") else { continue }
            let number = text.drop { !$0.isNumber }.prefix { $0.isNumber }
            return (Double(number) ?? 0) * 1_024
        }
        return 0
    }
}
