import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What is the same for all sockets.
enum Sockets {
    /// A stream socket for an address: non-blocking and close-on-exec from the start.
    static func open(_ address: SocketAddress, on core: LoopCore) throws(SystemError) -> OwnedDescriptor {
        let result = core.kernel.socket(family: address.rawFamily, kind: SocketKind.stream)
        guard result >= 0 else { throw SystemError(result: result, .socket, "see `ulimit -n` if there are too many") }
        return core.kernel.own(result)
    }

    static func set(_ descriptor: Int32, level: Int32, _ option: Int32, to value: Int32, on core: LoopCore) -> Int {
        withUnsafeBytes(of: value) {
            core.kernel.setOption(descriptor, level: level, name: option, $0.baseAddress!, UInt32($0.count))
        }
    }

    /// Small messages go out at once. A peer that has gone meanwhile makes this fail, which the next read or write tells.
    static func setNoDelay(_ io: LoopDescriptor) {
        _ = set(io.descriptor, level: Int32(IPPROTO_TCP), TCP_NODELAY, to: 1, on: io.core)
    }

    /// After the socket became writable: was the connection made? SO_ERROR can be read only once (socket(7)).
    static func checkConnected(_ io: LoopDescriptor, _ address: SocketAddress) throws {
        guard io.registration.isValid else { throw io.closedError }
        var code: Int32 = 0
        var length = UInt32(MemoryLayout<Int32>.size)
        let result = withUnsafeMutableBytes(of: &code) {
            io.core.kernel.getOption(io.descriptor, level: SOL_SOCKET, name: SO_ERROR, $0.baseAddress!, &length)
        }
        if result < 0 { throw SystemError(result: result, .getsockopt, "\(address)") }
        if code != 0 { throw SystemError(code, .connect, "\(address)") }
    }
}
