import EddyReactor

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#endif

/// What a writer must know of the one before. Touched on the loop's thread only.
struct WritingState {
    /// A task is in the middle of its bytes.
    var isBusy = false
    /// The last write stopped in the middle of its bytes.
    var interrupted: PartialWriteError?
}

extension LoopDescriptor {
    /// IOV_MAX: how many buffers one call takes (writev(2)).
    private static let vectorsPerCall = 1024

    /// Writes all bytes.
    ///
    /// Inlined into the user's code: a write that the kernel takes whole is then one call of an ordinary function, without the
    /// frame that each call of an async one takes from its task.
    @inlinable
    @inline(__always)
    func write(_ bytes: RawSpan) async throws {
        let written = try writeNow(bytes)
        if _slowPath(written < bytes.byteCount) { try await writeRest(bytes, after: written) }
    }

    /// Writes all bytes of a buffer, and takes them out: see ``ByteWriter``.
    @inlinable
    @inline(__always)
    func write(_ buffer: inout StreamBuffer) async throws {
        // SAFETY: the buffer is the caller's alone until this returns: its bytes stay where they are.
        let written = try writeNow(unsafe buffer.bytes.bytes)
        if _slowPath(written < buffer.count) { try await writeRest(of: &buffer, after: written) }
        buffer.consume(buffer.count)
    }

    /// Writes what ``writeNow(_:)`` has left of a buffer, and takes out what was written when that fails.
    @usableFromInline
    @inline(never)
    func writeRest(of buffer: inout StreamBuffer, after offset: Int) async throws {
        do {
            // SAFETY: the buffer is this function's alone until it returns, across the waits.
            try await writeRest(unsafe buffer.bytes.bytes, after: offset)
        } catch let error as PartialWriteError {
            buffer.consume(error.bytesOfThisWrite)
            throw error
        }
    }

    /// Writes what the kernel takes at once, if the task is on the loop and nobody else is writing.
    ///
    /// - Returns: how many bytes were written. The others are ``writeRest(_:after:)``'s.
    @usableFromInline
    @inline(never)
    func writeNow(_ bytes: RawSpan) throws -> Int {
        let core = core
        guard _fastPath(core.isCurrent), _fastPath(core.mayContinue()) else { return 0 }
        _ = try core.checkpoint()
        let slot = registration.slot
        guard registration.isValid, slot.pointee.isWritable, !isWriteBlocked else {
            return 0
        }
        let count = bytes.byteCount
        guard count > 0 else { return 0 }
        let result = bytes.withUnsafeBytes { send(core.kernel, descriptor, $0.baseAddress!, count) }
        if _fastPath(result == count) { return count }
        return try tookLess(result, slot)
    }

    /// - Returns: how many bytes the kernel took, although it did not take all of them.
    @inline(never)
    private func tookLess(_ result: Int, _ slot: UnsafeMutablePointer<RegistrationSlot>) throws -> Int {
        if result == -ErrorNumber.again {
            forgetReadiness(slot, .write)
            return 0
        }
        guard result >= 0 else { throw fail(result, kind == .stream ? .send : .writev, .write) }
        // Terminals take what they like.
        if kind != .device, !slot.pointee.keepsReadiness { clearReadiness(slot, .write) }
        return result
    }

    /// Writes what ``writeNow(_:)`` has left.
    @usableFromInline
    @inline(never)
    func writeRest(_ bytes: RawSpan, after offset: Int) async throws {
        let count = bytes.byteCount
        guard core.isCurrent else { return try await writeOffLoop(bytes.copied()) }
        try await admitWriter()
        if offset > 0 { markTorn(true) }
        try await writeBegunAll(count - offset, kind == .stream ? .send : .writev, #isolation, after: offset) {
            kernel, descriptor, written in
            bytes.withUnsafeBytes { self.send(kernel, descriptor, $0.baseAddress! + written, count - written) }
        } elsewhere: { written in
            try await self.continueOffLoop([bytes.extracting(droppingFirst: written).copied()], after: written)
        }
    }

    /// Writes all bytes of two pieces, as if they were one: one call when there is room.
    func write(_ first: RawSpan, _ second: RawSpan) async throws {
        guard first.byteCount > 0, second.byteCount > 0 else {
            return try await write(first.isEmpty ? second : first)
        }
        let total = first.byteCount + second.byteCount
        guard core.isCurrent else {
            let copies = [first.copied(), second.copied()]
            return try await loop.anchor.run { try await self.write(vectored: copies) }
        }
        try await writeAll(total, kind == .stream ? .sendmsg : .writev, #isolation) { kernel, descriptor, written in
            first.withUnsafeBytes { first in
                second.withUnsafeBytes { self.send(kernel, descriptor, first, $0, droppingFirst: written) }
            }
        } elsewhere: { written in
            let rest = [
                first.extracting(droppingFirst: min(written, first.byteCount)).copied(),
                second.extracting(droppingFirst: max(written - first.byteCount, 0)).copied(),
            ]
            try await self.continueOffLoop(rest, after: written)
        }
    }

    /// Writes all bytes of several buffers, as if they were one: one call for up to 1,024 of them.
    func write(vectored buffers: [[UInt8]]) async throws {
        let total = buffers.reduce(0) { $0 + $1.count }
        guard total > 0 else { return }
        guard core.isCurrent else { return try await loop.anchor.run { try await self.write(vectored: buffers) } }
        try await admitWriter()
        try await writeRest(of: buffers, total: total, after: 0)
    }

    /// The part of a vectored write that comes after what was written by an earlier one. Writing has begun.
    private func writeRest(of buffers: [[UInt8]], total: Int, after offset: Int) async throws {
        // Where the kernel has got to: buffers that it has are not looked at again.
        var (first, before) = (0, 0)
        // One call may not have asked for everything, so one that is short says nothing.
        try await writeBegunAll(
            total, kind == .stream ? .sendmsg : .writev, #isolation, after: offset, shortMeansFull: false
        ) { kernel, descriptor, written in
            while before + buffers[first].count <= written - offset {
                before += buffers[first].count
                first += 1
            }
            return self.send(kernel, descriptor, buffers[first...], droppingFirst: written - offset - before)
        } elsewhere: { written in
            var rest = Array(buffers[first...])
            rest[0].removeFirst(written - offset - before)
            try await self.continueOffLoop(rest, after: written)
        }
    }

    // MARK: - One loop for all

    @inline(__always)
    func writeAll(
        _ total: Int, _ operation: SystemCall.Name, _ isolation: (any Actor)?,
        _ attempt: (Kernel, Int32, _ written: Int) -> Int,
        elsewhere: nonisolated(nonsending) (_ written: Int) async throws -> Void
    ) async throws {
        try await admitWriter()
        try await writeBegunAll(total, operation, isolation, after: 0, attempt, elsewhere: elsewhere)
    }

    /// Makes calls until all bytes are written.
    ///
    /// - Parameters:
    ///   - offset: how many bytes of the whole write had gone before this part of it.
    ///   - total: how many bytes this part has.
    ///   - shortMeansFull: whether a call that wrote less than was left tells that there is no room now.
    ///   - attempt: a call that writes what comes after so many bytes of the whole.
    ///   - elsewhere: what goes on when the task has left the loop's thread. It ends the writing.
    @inline(__always)
    private func writeBegunAll(
        _ total: Int, _ operation: SystemCall.Name, _ isolation: (any Actor)?, after offset: Int,
        shortMeansFull: Bool = true,
        _ attempt: (Kernel, Int32, _ written: Int) -> Int,
        elsewhere: nonisolated(nonsending) (_ written: Int) async throws -> Void
    ) async throws {
        var written = offset
        let end = offset + total
        do {
            while written < end {
                let done = written
                // Terminals take what they like.
                let wanted = shortMeansFull && kind != .device ? end - done : 0
                written += try await perform(.write, operation, wanted: wanted, isolation) { kernel, descriptor in
                    let result = attempt(kernel, descriptor, done)
                    // Seen by whoever closes the stream while this waits for more room.
                    if result > 0 { registration.slot.pointee.isTorn = result < end - done }
                    return result
                }
            }
            // A budget that ran out with the last call may have moved the task to another thread.
            guard _fastPath(core.isCurrent) else { throw MovedAway(failure: nil) }
            writing.isBusy = false
        } catch let moved as MovedAway {
            let (written, failure) = (written, moved.failure)
            if written < end, failure == nil { return try await elsewhere(written) }
            try await loop.anchor.run { try self.endWriting(after: written, failure) }
        } catch {
            try endWriting(after: written, error)
        }
    }

    /// As ``beginWriting()``, for whoever can suspend: see ``LoopCore/refuse(_:)``.
    func admitWriter() async throws {
        do { try beginWriting() } catch { throw await core.refuse(error) }
    }

    func beginWriting() throws {
        if let interrupted = writing.interrupted { throw interrupted.repeated }
        // Two writers' bytes would be mixed wherever one of them has to wait.
        guard !writing.isBusy else { throw busy(.write) }
        writing.isBusy = true
    }

    /// - Throws: the failure, with what had gone before it.
    func endWriting(after written: Int, _ failure: (any Error)?) throws {
        writing.isBusy = false
        guard let failure else { return }
        guard written > 0 else { throw failure }
        let partial = PartialWriteError(bytesWritten: written, underlyingError: failure)
        writing.interrupted = partial
        throw partial
    }

    @inline(never)
    private func writeOffLoop(_ bytes: [UInt8]) async throws {
        try await loop.anchor.run { try await self.write(bytes.span.bytes) }
    }

    /// Goes on with a write that had begun on the loop, from another thread.
    @inline(never)
    func continueOffLoop(_ rest: [[UInt8]], after written: Int) async throws {
        let total = rest.reduce(0) { $0 + $1.count }
        try await loop.anchor.run { try await self.writeRest(of: rest, total: total, after: written) }
    }

    // MARK: - The calls

    @inline(__always)
    private func send(_ kernel: Kernel, _ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        if kind == .stream { return kernel.send(descriptor, bytes, count) }
        return sendOtherwise(kernel, descriptor, bytes, count)
    }

    @inline(never)
    private func sendOtherwise(_ kernel: Kernel, _ descriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
        var vector = iovec(iov_base: UnsafeMutableRawPointer(mutating: bytes), iov_len: count)
        return sendVectors(kernel, descriptor, &vector, 1)
    }

    private func send(
        _ kernel: Kernel, _ descriptor: Int32, _ buffers: ArraySlice<[UInt8]>, droppingFirst dropped: Int
    ) -> Int {
        let count = min(buffers.count, Self.vectorsPerCall)
        // A small array on the stack rather than one from the heap: a write allocates nothing.
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: count) { vectors in
            for (index, buffer) in buffers.prefix(count).enumerated() {
                // SAFETY: an array of bytes has its storage in one piece, and `buffers` keeps it where it is until the call is over.
                let bytes = buffer.withUnsafeBytes { $0 }
                let skipped = index == 0 ? dropped : 0
                vectors[index] = iovec(
                    iov_base: bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0 + skipped) },
                    iov_len: bytes.count - skipped)
            }
            return sendVectors(kernel, descriptor, vectors.baseAddress!, count)
        }
    }

    /// What comes after so many bytes of two pieces.
    private func send(
        _ kernel: Kernel, _ descriptor: Int32, _ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer,
        droppingFirst dropped: Int
    ) -> Int {
        let droppedOfFirst = min(dropped, first.count)
        return withUnsafeTemporaryAllocation(of: iovec.self, capacity: 2) { vectors in
            vectors[0] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: first.baseAddress! + droppedOfFirst),
                iov_len: first.count - droppedOfFirst)
            vectors[1] = iovec(
                iov_base: UnsafeMutableRawPointer(mutating: second.baseAddress! + (dropped - droppedOfFirst)),
                iov_len: second.count - (dropped - droppedOfFirst))
            return sendVectors(kernel, descriptor, vectors.baseAddress!, 2)
        }
    }

    private func sendVectors(
        _ kernel: Kernel, _ descriptor: Int32, _ vectors: UnsafeMutablePointer<iovec>, _ count: Int
    ) -> Int {
        guard kind == .stream || kind == .inheritedSocket else {
            return kernel.writeVectored(descriptor, vectors, Int32(count))
        }
        var header = MessageHeader()
        if kind == .inheritedSocket { header.flags = SocketFlags.dontWait }
        header.buffers = UnsafeMutableRawPointer(vectors)
        header.bufferCount = count
        return kernel.sendMessage(descriptor, header)
    }

    /// Writes what there is room for now, without waiting.
    ///
    /// - Returns: how many bytes were taken; zero when there is no room now.
    /// - Note: *Thread:* the loop's.
    func tryWrite(_ bytes: RawSpan) throws -> Int {
        expectOnLoop("tryWrite")
        guard registration.isValid else { throw closedError }
        let slot = registration.slot
        let count = bytes.byteCount
        guard count > 0 else { return 0 }
        try beginWriting()
        defer { writing.isBusy = false }
        guard slot.pointee.isWritable else { return 0 }
        let result = bytes.withUnsafeBytes { send(core.kernel, descriptor, $0.baseAddress!, count) }
        if result == -ErrorNumber.again {
            clearReadiness(slot, .write)
            return 0
        }
        guard result >= 0 else { throw fail(result, kind == .stream ? .send : .writev, .write) }
        if result < count, !slot.pointee.keepsReadiness { clearReadiness(slot, .write) }
        return result
    }

    /// After a ``PartialWriteError``: lets writing go on.
    func resumeWriting() {
        guard core.isCurrent else { return loop.postPlainly { self.resumeWriting() } }
        writing.interrupted = nil
        markTorn(false)
    }

    /// Ends the writing direction of a socket (SHUT_WR, shutdown(2)), between two writes: a clean end behind a cut message would
    /// make it look whole.
    ///
    /// - Throws: ``BusyError`` while another task writes; the ``PartialWriteError`` of a write that was cut.
    func finishWriting() async throws {
        await letWriterOut()
        guard core.isCurrent else { return try await loop.anchor.run { try await self.finishWriting() } }
        guard registration.isValid else { throw closedError }
        try expectNoWriter()
        let result = core.kernel.shutdown(descriptor, how: ShutdownDirection.writing)
        if result < 0 { throw SystemError(result: result, .shutdown, ends.description) }
    }
}

extension LoopDescriptor {
    /// Closes the descriptor as the end of what was written: for what has only this direction.
    ///
    /// - Throws: as for ``finishWriting()``, but for an end that has been made already.
    func finishByClosing() async throws {
        guard isOpen else { return }
        await letWriterOut()
        guard core.isCurrent else { return try await loop.anchor.run { try await self.finishByClosing() } }
        if registration.isValid { try expectNoWriter() }
        close()
    }

    /// A writer that was woken or cancelled, and has not run since, goes first: it may be over with that.
    private func letWriterOut() async {
        // One with a message does not count as busy: it is seen only while it waits.
        if kind == .messages || core.isCurrent && writing.isBusy { await EventLoop.yield() }
    }

    /// - Throws: ``BusyError`` while a task writes, also one whose message is whole or not there at all; ``PartialWriteError``
    ///   after a write that was cut.
    private func expectNoWriter() throws {
        if let interrupted = writing.interrupted { throw interrupted.repeated }
        guard !writing.isBusy, registration.slot.pointee.writer == 0 else { throw busy(.write) }
    }

    /// Notes whether the last write stands, or has stopped, in the middle of its bytes.
    ///
    /// - Note: *Thread:* the loop's.
    func markTorn(_ isTorn: Bool) {
        if registration.isValid { registration.slot.pointee.isTorn = isTorn }
    }
}

extension RawSpan {
    /// The bytes in an array of their own.
    func copied() -> [UInt8] {
        withUnsafeBytes { [UInt8]($0) }
    }
}
