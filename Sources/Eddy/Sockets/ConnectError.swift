import EddyReactor

/// A host that could not be connected to: each of its addresses was tried.
public struct ConnectError: Error, Sendable, CustomStringConvertible {
    /// One address, and why it could not be connected to.
    public struct Failure: Sendable, CustomStringConvertible {
        /// The address that was tried.
        public let address: SocketAddress
        /// Usually a ``SystemError``, for instance ECONNREFUSED.
        public let error: any Error

        /// Makes a failure.
        public init(address: SocketAddress, error: any Error) {
            self.address = address
            self.error = error
        }

        public var description: String {
            // The error of a system call names the address itself.
            let text = "\(error)"
            return text.contains(address.description) ? text : "\(address): \(text)"
        }
    }

    /// The host, as it was given.
    public let host: String
    /// The port.
    public let port: Int
    /// What became of each address, in the order in which they failed.
    public let failures: [Failure]

    /// Makes the error, for code that stands in for a connection.
    public init(host: String, port: Int, failures: [Failure]) {
        self.host = host
        self.port = port
        self.failures = failures
    }

    public var description: String {
        let list = failures.map(\.description).joined(separator: "; ")
        let tried = failures.count == 1 ? "the only address" : "none of the \(failures.count) addresses"
        return "\(tried) of \(host), port \(port), could \(failures.count == 1 ? "not " : "")be connected to: \(list)"
    }
}
