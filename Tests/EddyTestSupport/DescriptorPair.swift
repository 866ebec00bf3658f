import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy

/// Two connected descriptors, non-blocking: a pipe or a pair of stream sockets. Closed at the end.
final class DescriptorPair: Sendable {
    /// A pipe's reading end.
    let first: Int32
    /// A pipe's writing end.
    let second: Int32
    private let isOpen = Guarded([true, true])

    private init(_ call: (UnsafeMutablePointer<Int32>) -> SystemCall) {
        var ends: [Int32] = [-1, -1]
        let result = ends.withUnsafeMutableBufferPointer { LinuxKernel.shared.perform(call($0.baseAddress!)) }
        precondition(result == 0, "no descriptors for a test: \(result)")
        first = ends[0]
        second = ends[1]
    }

    static func pipe() -> DescriptorPair { DescriptorPair { .pipe($0) } }
    static func sockets() -> DescriptorPair { DescriptorPair { .socketPair($0) } }

    deinit {
        closeFirst()
        closeSecond()
    }

    /// The first end is somebody else's from here on.
    func forgetFirst() { _ = disown(0) }

    /// The second end is somebody else's from here on.
    func forgetSecond() { _ = disown(1) }

    func closeFirst() { if disown(0) { Glibc.close(first) } }
    func closeSecond() { if disown(1) { Glibc.close(second) } }

    private func disown(_ end: Int) -> Bool {
        isOpen.withLock { open in
            defer { open[end] = false }
            return open[end]
        }
    }

    /// A stream that owns the first end.
    func takeStream(on loop: EventLoop) throws -> TCPStream {
        precondition(disown(0))
        return TCPStream(try LoopDescriptor(OwnedDescriptor(owning: first), on: loop.core))
    }

    /// A stream that owns the second end.
    func takeSecondStream(on loop: EventLoop) throws -> TCPStream {
        precondition(disown(1))
        return TCPStream(try LoopDescriptor(OwnedDescriptor(owning: second), on: loop.core))
    }

    /// Writes bytes into the second end. Without a signal when the other one is closed.
    @discardableResult
    func send(_ bytes: [UInt8] = [1]) -> Int {
        let sent = bytes.withUnsafeBytes { LinuxKernel.shared.perform(.send(second, $0.baseAddress!, $0.count)) }
        return sent == -Int(ENOTSOCK) ? Glibc.write(second, bytes, bytes.count) : sent
    }
}

/// Reads what a non-blocking descriptor has now.
func drain(_ descriptor: Int32) -> [UInt8] {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        guard count > 0 else { return all }
        all += buffer[..<count]
    }
}

/// Fills a non-blocking descriptor until it takes no more.
func fill(_ descriptor: Int32) {
    let bytes = [UInt8](repeating: 0, count: 65_536)
    while write(descriptor, bytes, bytes.count) > 0 {}
    while write(descriptor, bytes, 1) > 0 {}
}

/// Sends an echo fifty messages, ends it, and expects that it made no call too many and keeps no memory while it waits.
func expectEchoes(
    _ pair: DescriptorPair, _ echo: Task<Void, any Error>, _ kernel: CountingKernel,
    sourceLocation: SourceLocation = #_sourceLocation
) async throws {
    let loop = try #require(EventLoop.current)
    for number in 0..<50 {
        pair.send([UInt8(number), 1, 2])
        try await waitUntilReadable(pair.second)
        #expect(drain(pair.second) == [UInt8(number), 1, 2], sourceLocation: sourceLocation)
    }
    // While it waits, the chunk is the loop's.
    try await untilParked(1)
    #expect(loop.core.buffers.kept == 16_384, sourceLocation: sourceLocation)
    pair.closeSecond()
    try await echo.value
    #expect(kernel.count(.recv) == 51, sourceLocation: sourceLocation)
    #expect(kernel.count(.send) == 50, sourceLocation: sourceLocation)
}
