import CEpoll

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension Kernel {
    package func socket(family: Int32, kind: Int32) -> Int {
        count(.socket)
        if let backend { return backend.perform(.socket(family: family, kind: kind)) }
        return eddy_socket(family, kind)
    }

    /// - Parameter kind: a SOCK_ number, as ``SocketKind`` has them.
    package func socketPair(_ ends: UnsafeMutablePointer<Int32>, kind: Int32 = SocketKind.stream) -> Int {
        count(.socketpair)
        if let backend { return backend.perform(.socketPair(ends, kind: kind)) }
        return eddy_socket_pair(kind, ends)
    }

    package func bind(_ descriptor: Int32, _ address: UnsafeRawPointer, _ length: UInt32) -> Int {
        count(.bind)
        if let backend { return backend.perform(.bind(descriptor, address, length)) }
        return eddy_bind(descriptor, address, length)
    }

    package func listen(_ descriptor: Int32, backlog: Int32) -> Int {
        count(.listen)
        if let backend { return backend.perform(.listen(descriptor, backlog: backlog)) }
        return eddy_listen(descriptor, backlog)
    }

    package func accept(
        _ descriptor: Int32, _ address: UnsafeMutableRawPointer, _ length: UnsafeMutablePointer<UInt32>
    ) -> Int {
        retrying {
            count(.accept4)
            if let backend { return backend.perform(.accept(descriptor, address, length)) }
            return eddy_accept(descriptor, address, length)
        }
    }

    /// Not retried on EINTR: the connection then goes on being made, as after EINPROGRESS (connect(2)).
    package func connect(_ descriptor: Int32, _ address: UnsafeRawPointer, _ length: UInt32) -> Int {
        count(.connect)
        if let backend { return backend.perform(.connect(descriptor, address, length)) }
        return eddy_connect(descriptor, address, length)
    }

    package func shutdown(_ descriptor: Int32, how: Int32) -> Int {
        count(.shutdown)
        if let backend { return backend.perform(.shutdown(descriptor, how: how)) }
        return eddy_shutdown(descriptor, how)
    }

    package func socketName(
        _ descriptor: Int32, _ address: UnsafeMutableRawPointer, _ length: UnsafeMutablePointer<UInt32>
    ) -> Int {
        count(.getsockname)
        if let backend { return backend.perform(.socketName(descriptor, address, length)) }
        return eddy_socket_name(descriptor, address, length)
    }

    package func peerName(
        _ descriptor: Int32, _ address: UnsafeMutableRawPointer, _ length: UnsafeMutablePointer<UInt32>
    ) -> Int {
        count(.getpeername)
        if let backend { return backend.perform(.peerName(descriptor, address, length)) }
        return eddy_peer_name(descriptor, address, length)
    }

    package func getOption(
        _ descriptor: Int32, level: Int32, name: Int32, _ value: UnsafeMutableRawPointer,
        _ length: UnsafeMutablePointer<UInt32>
    ) -> Int {
        count(.getsockopt)
        if let backend { return backend.perform(.getOption(descriptor, level: level, name: name, value, length)) }
        return eddy_get_option(descriptor, level, name, value, length)
    }

    package func setOption(
        _ descriptor: Int32, level: Int32, name: Int32, _ value: UnsafeRawPointer, _ length: UInt32
    ) -> Int {
        count(.setsockopt)
        if let backend { return backend.perform(.setOption(descriptor, level: level, name: name, value, length)) }
        return eddy_set_option(descriptor, level, name, value, length)
    }

    /// Makes close(2) reset a TCP connection instead of ending it: SO_LINGER of zero seconds (socket(7)). Other sockets ignore it,
    /// and what is no socket refuses it.
    package func setResetsOnClose(_ descriptor: Int32) {
        // `struct linger`: on, zero seconds.
        let option: (Int32, Int32) = (1, 0)
        _ = withUnsafeBytes(of: option) {
            setOption(descriptor, level: SOL_SOCKET, name: SO_LINGER, $0.baseAddress!, UInt32($0.count))
        }
    }
}
