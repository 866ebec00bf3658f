import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// An option of a socket, with the type of its value (socket(7), tcp(7)).
///
/// ```swift
/// try await stream.setOption(.keepAlive, to: KeepAlive(idle: .seconds(60), interval: .seconds(10), probes: 3))
/// let size = try await stream.option(.receiveBufferSize)
/// ```
///
/// One that is missing here is made of its numbers: `SocketOption<Int32>(level: SOL_SOCKET, name: SO_PRIORITY)`.
public struct SocketOption<Value: Sendable>: Sendable {
    let get: @Sendable (borrowing SocketOptionAccess) throws(SystemError) -> Value
    let set: @Sendable (borrowing SocketOptionAccess, Value) throws(SystemError) -> Void

    /// An option that is more than one of the kernel's.
    init(
        get: @escaping @Sendable (borrowing SocketOptionAccess) throws(SystemError) -> Value,
        set: @escaping @Sendable (borrowing SocketOptionAccess, Value) throws(SystemError) -> Void
    ) {
        self.get = get
        self.set = set
    }

    /// The option with its value, to be set when a socket is made: ``SocketSetting``.
    public func setting(_ value: Value) -> SocketSetting {
        SocketSetting { access throws(SystemError) in try set(access, value) }
    }
}

/// An option with a value, for the calls that make sockets: what must be set before a connection is made, as buffer sizes must.
public struct SocketSetting: Sendable {
    let apply: @Sendable (borrowing SocketOptionAccess) throws(SystemError) -> Void
}

/// A socket's options, while they are being read or set.
struct SocketOptionAccess: ~Copyable {
    let kernel: Kernel
    let descriptor: Int32
    /// For errors.
    let place: String

    func integer(_ level: Int32, _ name: Int32) throws(SystemError) -> Int32 {
        var value: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        let result = withUnsafeMutableBytes(of: &value) {
            kernel.getOption(descriptor, level: level, name: name, $0.baseAddress!, &length)
        }
        try check(result, .getsockopt, level, name)
        return value
    }

    func set<T: BitwiseCopyable>(_ level: Int32, _ name: Int32, to value: T) throws(SystemError) {
        let result = withUnsafeBytes(of: value) {
            kernel.setOption(descriptor, level: level, name: name, $0.baseAddress!, UInt32($0.count))
        }
        try check(result, .setsockopt, level, name)
    }

    /// A structure of the kernel's. An older kernel fills in less of it than we know, and leaves the rest zero.
    func structure<T>(_ level: Int32, _ name: Int32, _ empty: T) throws(SystemError) -> T {
        var value = empty
        var length = UInt32(MemoryLayout<T>.size)
        let result = withUnsafeMutableBytes(of: &value) {
            kernel.getOption(descriptor, level: level, name: name, $0.baseAddress!, &length)
        }
        try check(result, .getsockopt, level, name)
        return value
    }

    private func check(
        _ result: Int, _ operation: SystemCall.Name, _ level: Int32, _ name: Int32
    ) throws(SystemError) {
        guard result < 0 else { return }
        throw SystemError(
            result: result, operation, "option \(name) of level \(level)" + (place.isEmpty ? "" : ": \(place)"))
    }
}

// MARK: - Raw

extension SocketOption where Value == Int32 {
    /// An option whose value is a C `int`, by its numbers.
    public init(level: Int32, name: Int32) {
        self.init(
            get: { access throws(SystemError) in try access.integer(level, name) },
            set: { access, value throws(SystemError) in try access.set(level, name, to: value) })
    }
}

extension SocketOption where Value == Bool {
    /// An option that is on or off, by its numbers.
    public init(level: Int32, name: Int32) {
        self.init(
            get: { access throws(SystemError) in try access.integer(level, name) != 0 },
            set: { access, value throws(SystemError) in try access.set(level, name, to: Int32(value ? 1 : 0)) })
    }
}

extension SocketOption where Value == Int {
    /// An option that is a number, by its numbers.
    init(number level: Int32, _ name: Int32) {
        self.init(
            get: { access throws(SystemError) in Int(try access.integer(level, name)) },
            set: { access, value throws(SystemError) in try access.set(level, name, to: Int32(clamping: value)) })
    }
}

extension LoopDescriptor {
    var optionAccess: SocketOptionAccess {
        SocketOptionAccess(kernel: core.kernel, descriptor: descriptor, place: ends.description)
    }

    func option<Value: Sendable>(_ option: SocketOption<Value>) async throws -> Value {
        guard core.isCurrent else { return try await loop.anchor.run { try await self.option(option) } }
        guard registration.isValid else { throw closedError }
        return try option.get(optionAccess)
    }

    func setOption<Value: Sendable>(_ option: SocketOption<Value>, to value: Value) async throws {
        guard core.isCurrent else { return try await loop.anchor.run { try await self.setOption(option, to: value) } }
        guard registration.isValid else { throw closedError }
        try option.set(optionAccess, value)
    }
}
