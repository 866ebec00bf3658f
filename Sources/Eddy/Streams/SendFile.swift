import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

extension ByteWriter {
    /// Sends a part of a file, or all of it.
    ///
    /// On a connection or a pipe the kernel moves the bytes by itself (sendfile(2)), at most a mebibyte at a time, and other tasks
    /// go between. Any other writer gets them through a buffer of 64 KiB. The file's own position is neither used nor moved.
    ///
    /// ```swift
    /// let sent = try await stream.sendFile(file, from: 1_000, count: 500)
    /// ```
    ///
    /// - Parameters:
    ///   - file: a regular file's descriptor, open for reading. It stays the caller's, and must stay open until this returns.
    ///   - offset: where in the file to begin.
    ///   - count: how many bytes to send; nil sends up to the file's end.
    /// - Returns: how many bytes were sent: fewer than `count` when the file ends before that.
    /// - Throws: ``PartialWriteError`` when it failed or was cancelled after some bytes were gone; otherwise as the writer's
    ///   own ``write(_:)-(RawSpan)``, and ``SystemError`` for the file: EBADF, EINVAL for one that is not regular, EIO.
    /// - Note: *Cancellation:* may cut the file short, and then says where. What is not in memory yet is read from the disk
    ///   while the loop waits.
    @discardableResult
    public func sendFile(_ file: Int32, from offset: Int64 = 0, count: Int? = nil) async throws -> Int {
        try OutOfRangeError.check("the offset", Int(offset), atLeast: 0)
        try OutOfRangeError.check("count", count ?? 0, atLeast: 0)
        // No further than a place in a file can be.
        let range = FileRange(file: file, offset: offset, count: min(count ?? .max, Int(Int64.max - offset)))
        if let io = LoopDescriptor.behind(self) { return try await io.sendFile(range) }
        return try await sendThroughBuffer(range)
    }

    private func sendThroughBuffer(_ range: FileRange) async throws -> Int {
        let kernel: any KernelBackend = LoopCore.current?.kernel.forOtherThreads ?? LinuxKernel.shared
        try range.check(kernel.perform(.fileType(range.file)))
        var sent = 0
        do {
            try await range.forEachChunk(after: 0) {
                kernel.perform(.readAt(range.file, $0, $1, offset: $2))
            } _: { chunk in
                do {
                    try await write(chunk)
                } catch let partial as PartialWriteError {
                    sent += partial.bytesOfThisWrite
                    throw partial.underlyingError
                }
                sent += chunk.count
            }
        } catch {
            guard sent > 0 else { throw error }
            let whole = PartialWriteError(bytesWritten: sent, underlyingError: error)
            // Each write was whole, but the file was not.
            (claimable(behind: self) as? MemoryStream)?.output.interrupt(whole)
            throw whole
        }
        return sent
    }
}

/// A part of a file.
struct FileRange: Sendable {
    let file: Int32
    let offset: Int64
    let count: Int

    /// Only regular files have places, and never make a reader wait for another process.
    func check(_ type: Int) throws(SystemError) {
        if type < 0 { throw SystemError(result: type, .fstat, "the file to send, descriptor \(file)") }
        guard type == FileType.regular else {
            throw SystemError(
                Int32(ErrorNumber.invalidArgument), .sendfile,
                "descriptor \(file) is no regular file: read from it and write what was read")
        }
    }

    /// Reads the range in pieces of 64 KiB at most.
    ///
    /// - Parameter done: how much of it to leave out at the front.
    func forEachChunk(
        after done: Int, _ read: (UnsafeMutableRawPointer, Int, Int64) -> Int,
        _ body: nonisolated(nonsending) (UnsafeRawBufferPointer) async throws -> Void
    ) async throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(max(count - done, 1), 65_536), alignment: 16)
        defer { buffer.deallocate() }
        var done = done
        while done < count {
            let got = read(buffer.baseAddress!, min(buffer.count, count - done), offset + Int64(done))
            if got < 0 { throw SystemError(result: got, .pread, "the file to send, descriptor \(file)") }
            if got == 0 { return }
            try await body(UnsafeRawBufferPointer(rebasing: buffer[..<got]))
            done += got
        }
    }
}

extension LoopDescriptor {
    /// How many bytes one call sends at most: what it reads from the disk holds the loop up.
    private static let sendFilePortion = 1 << 20

    /// Sends a part of a file with sendfile(2).
    ///
    /// - Returns: how many bytes were sent: fewer than asked for when the file ends.
    fileprivate func sendFile(_ range: FileRange) async throws -> Int {
        guard core.isCurrent else { return try await loop.anchor.run { try await self.sendFile(range) } }
        try range.check(core.kernel.fileType(range.file))
        try await admitWriter()
        return try await sendRest(of: range, after: 0)
    }

    /// Sends what comes after so many bytes of a range. Writing has begun, and has ended when this returns or throws.
    private func sendRest(of range: FileRange, after done: Int) async throws -> Int {
        var sent = done
        do {
            while sent < range.count {
                let before = sent
                var step = SendFileStep.streamFailed
                // A short call may mean the end of the file as well as a full socket: only EAGAIN tells that there is no room.
                sent += try await perform(.write, .sendfile, wanted: 0, #isolation) { kernel, descriptor in
                    var position = range.offset + Int64(before)
                    let portion = min(range.count - before, Self.sendFilePortion)
                    let result = kernel.sendFile(to: descriptor, from: range.file, offset: &position, portion)
                    step = SendFileStep(result)
                    switch step {
                    case .sent:
                        core.countOperations(result >> 16)
                        // Seen by whoever closes the stream while this waits for more room.
                        if result > 0 { registration.slot.pointee.isTorn = result < range.count - before }
                    // An error of the file says nothing about the stream, which must not remember it.
                    case .refused, .fileFailed: return 0
                    case .streamFailed: break
                    }
                    return result
                }
                switch step {
                case .fileFailed(let error): throw error
                case .refused:
                    guard core.isCurrent else { throw MovedAway(failure: nil) }
                    writing.isBusy = false
                    return try await sendThroughBuffer(range, after: sent)
                case .sent, .streamFailed: break
                }
                if sent == before { break }
            }
            // All there is of a file that is shorter.
            if core.isCurrent { markTorn(false) }
            // A budget that ran out with the last call may have moved the task to another thread.
            guard _fastPath(core.isCurrent) else { throw MovedAway(failure: nil) }
            writing.isBusy = false
            return sent
        } catch let moved as MovedAway {
            let sent = sent
            return try await loop.anchor.run {
                if moved.failure == nil { return try await self.sendRest(of: range, after: sent) }
                try self.endWriting(after: sent, moved.failure)
                return sent
            }
        } catch let partial as PartialWriteError {
            throw partial
        } catch {
            try endWriting(after: sent, error)
            return sent
        }
    }

    /// For files and targets that sendfile(2) refuses. Writing has not begun.
    private func sendThroughBuffer(_ range: FileRange, after done: Int) async throws -> Int {
        // On the loop's own executor: nobody can write between two chunks, for this task keeps the thread from the end of one
        // write to the beginning of the next.
        try await loop.anchor.run {
            var sent = done
            do {
                try await range.forEachChunk(after: done) {
                    self.core.kernel.read(range.file, at: $2, $0, $1)
                } _: { chunk in
                    try await self.write(chunk.bytes)
                    sent += chunk.count
                }
                self.markTorn(false)
                return sent
            } catch {
                // A chunk's write knows of its own bytes only.
                let partial = error as? PartialWriteError
                let total = sent + (partial?.bytesOfThisWrite ?? 0)
                guard total > 0 else { throw error }
                let whole = PartialWriteError(bytesWritten: total, underlyingError: partial?.underlyingError ?? error)
                self.writing.interrupted = whole
                self.markTorn(true)
                throw whole
            }
        }
    }
}

/// What one call of sendfile(2) has come to.
private enum SendFileStep {
    case sent
    /// This file or this target can't be sent from or to.
    case refused
    case fileFailed(SystemError)
    case streamFailed

    init(_ result: Int) {
        switch result {
        case 0...: self = .sent
        case -ErrorNumber.invalidArgument, -ErrorNumber.noSystemCall: self = .refused
        case -ErrorNumber.badDescriptor, -ErrorNumber.inputOutput, -ErrorNumber.noMemory, -Int(EOVERFLOW):
            self = .fileFailed(SystemError(result: result, .sendfile, "the file to send"))
        default: self = .streamFailed
        }
    }
}
