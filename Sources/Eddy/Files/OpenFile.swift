import EddyReactor

/// An open file that calls of several threads may be in: its number is freed when the last of them has returned.
final class OpenFile: Sendable {
    let kernel: FileKernel
    let descriptor: Int32
    /// What errors call it.
    let name: String
    /// Is that its path? It is called a file then.
    private let isNamedByPath: Bool
    private let state = Guarded(State())

    private struct State {
        var calls = 0
        var isClosing = false
    }

    /// - Parameter descriptor: of an open file that nobody else closes.
    init(_ descriptor: Int32, _ name: String, isNamedByPath: Bool = false, openedBy kernel: FileKernel) {
        self.descriptor = descriptor
        self.name = name
        self.isNamedByPath = isNamedByPath
        self.kernel = kernel
    }

    /// - Parameters:
    ///   - descriptor: as above.
    ///   - path: what it was opened by.
    convenience init(_ descriptor: Int32, _ path: KernelPath, openedBy kernel: FileKernel) {
        self.init(descriptor, path.description, isNamedByPath: true, openedBy: kernel)
    }

    deinit {
        close()
    }

    var isOpen: Bool { state.withLock { !$0.isClosing } }

    /// The error of one who comes after the end of it.
    var closedError: ClosedError { ClosedError(stream: isNamedByPath ? "file \(name)" : name) }

    /// Makes calls on the descriptor, which stays open that long.
    ///
    /// - Throws: ``ClosedError``; what the body throws.
    /// - Note: *Thread:* any.
    func use<T>(_ body: (Int32) throws -> T) throws -> T {
        try begin()
        defer { end() }
        return try body(descriptor)
    }

    /// The descriptor stays open until ``end()``.
    func begin() throws(ClosedError) {
        let isOpen = state.withLock { state in
            if !state.isClosing { state.calls += 1 }
            return !state.isClosing
        }
        if !isOpen { throw closedError }
    }

    func end() {
        let isLast = state.withLock { state in
            state.calls -= 1
            return state.calls == 0 && state.isClosing
        }
        if isLast { kernel.close(descriptor) }
    }

    /// Closes it, now or when the last call has returned.
    ///
    /// - Returns: what close(2) answered; zero when that is still to come, or was before.
    @discardableResult
    func close() -> Int {
        let isNow = state.withLock { state in
            guard !state.isClosing else { return false }
            state.isClosing = true
            return state.calls == 0
        }
        return isNow ? kernel.close(descriptor) : 0
    }

    // MARK: - Calls

    /// Reads at a place.
    ///
    /// - Parameter isFilling: whether to go on after a short read, up to the end of the file.
    /// - Precondition: inside ``use(_:)``.
    func read(at offset: Int64, atMost maximum: Int, isFilling: Bool) throws(SystemError) -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: maximum) { buffer, count in
            repeat {
                let room = maximum - count
                let result = kernel.call(
                    .readAt(descriptor, buffer.baseAddress! + count, room, offset: offset + Int64(count)))
                if result < 0 {
                    // What came before is returned; the next read meets the error again.
                    if count == 0 { failure = error(result, .pread) }
                    return
                }
                if result == 0 { return }
                count += result
            } while isFilling && count < maximum
        }
        if let failure { throw failure }
        return bytes
    }

    /// How many bytes one call writes at most: between two of them a cancelled writer may stop.
    static let portion = 1 << 20

    /// Writes all bytes at a place, or at the end of a file that is open for appending.
    ///
    /// - Parameters:
    ///   - offset: nil for a file that is open for appending.
    ///   - written: counts what was written, also when this throws.
    /// - Precondition: inside ``use(_:)``.
    func write(_ bytes: [UInt8], at offset: Int64?, _ written: inout Int, _ signal: FileCallSignal) throws {
        while written < bytes.count {
            if written > 0 { try signal.check() }
            let count = min(bytes.count - written, Self.portion)
            let result = bytes.withUnsafeBytes { memory in
                let source = memory.baseAddress! + written
                return if let offset {
                    kernel.call(.writeAt(descriptor, source, count, offset: offset + Int64(written)))
                } else {
                    kernel.call(.write(descriptor, source, count))
                }
            }
            let name: SystemCall.Name = offset == nil ? .write : .pwrite
            if result < 0 { throw error(result, name) }
            // Nothing, and no error: no file system does that, and trying again would never end.
            if result == 0 { throw error(-ErrorNumber.inputOutput, name) }
            written += result
        }
    }

    /// As ``write(_:at:_:_:)``, and what was written before a failure is in the error.
    func writeAll(_ bytes: [UInt8], at offset: Int64?, _ written: inout Int, _ signal: FileCallSignal) throws {
        do {
            try write(bytes, at: offset, &written, signal)
        } catch  where written > 0 {
            throw PartialWriteError(bytesWritten: written, underlyingError: error)
        }
    }

    func status() throws(SystemError) -> FileStatus {
        var status = FileStatus()
        let result = withUnsafeMutablePointer(to: &status) { kernel.call(.descriptorStatus(descriptor, $0)) }
        if result < 0 { throw error(result, .fstat) }
        return status
    }

    func error(_ result: Int, _ operation: SystemCall.Name) -> SystemError {
        SystemError(result: result, operation, name)
    }
}
