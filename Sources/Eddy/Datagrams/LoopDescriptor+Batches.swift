import EddyReactor

// Several datagrams in one call.
extension LoopDescriptor {
    /// Of so many datagrams in a batch each counts as an operation of its own: a batch is worth less than that many, and more
    /// than one.
    private static let datagramsPerOperation = 8

    /// Fills a batch with what is there, waiting until there is something.
    ///
    /// - Throws: ``SystemError``; ``ClosedError``; ``BusyError``; ``TimeoutError``; `CancellationError`; ``ShutdownError``.
    @inline(__always)
    func receiveDatagrams(_ batch: DatagramBatch) async throws {
        if core.isCurrent {
            do {
                while true {
                    do {
                        // Other than a short datagram, a short batch says that there is no more for now.
                        let received = try await perform(.read, .recvmmsg, wanted: batch.capacity, #isolation) {
                            kernel, descriptor in
                            let result = batch.receive(kernel, descriptor, datagramFeatures)
                            core.countOperations(max(result, 0) / Self.datagramsPerOperation)
                            if result == -ErrorNumber.again, datagramFeatures.contains(.endsCoalescing) {
                                _ = endCoalescing()
                            }
                            return result
                        }
                        if received > 0 { return }
                    } catch let error as SystemError {
                        try passQueuedError(error)
                        if !core.mayContinue() { await EventLoop.yield() }
                    }
                }
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw failure }
            }
        }
        try await receiveDatagramsOffLoop(batch)
    }

    @inline(never)
    private func receiveDatagramsOffLoop(_ batch: DatagramBatch) async throws {
        let lent = LentBatch(batch)
        try await loop.anchor.run { try await self.receiveDatagrams(lent.batch) }
    }

    /// Sends the datagrams of a batch from a number on, waiting for room as often as it must.
    ///
    /// - Throws: ``PartialBatchError`` when one was refused, or some have gone; ``ClosedError``; ``BusyError``;
    ///   ``TimeoutError``; `CancellationError`; ``ShutdownError``.
    @inline(__always)
    func sendDatagrams(_ batch: DatagramBatch, from first: Int) async throws {
        try await sendDatagrams(batch, from: first, after: first)
    }

    /// - Parameters:
    ///   - first: where the send began: what was before it is not counted as sent by this one.
    ///   - start: where it goes on.
    private func sendDatagrams(_ batch: DatagramBatch, from first: Int, after start: Int) async throws {
        guard core.isCurrent else { return try await sendDatagramsOffLoop(batch, from: first, after: start) }
        var sent = start
        var retries = QueuedErrorRetries()
        while sent < batch.count {
            do {
                let next = sent
                // How many have gone says nothing: a call ends at the first that fails, for whatever reason.
                sent += try await perform(.write, .sendmmsg, wanted: 0, #isolation) { kernel, descriptor in
                    let result = batch.send(kernel, descriptor, from: next)
                    core.countOperations(max(result, 0) / Self.datagramsPerOperation)
                    return result
                }
                retries = QueuedErrorRetries()
            } catch let moved as MovedAway {
                if let failure = moved.failure { throw Self.partial(failure, sent, from: first) }
                return try await sendDatagramsOffLoop(batch, from: first, after: sent)
            } catch let error as SystemError {
                if retries.pass(error, datagramFeatures) { continue }
                let address = batch[sent].address
                let refined = refined(error, batch[sent].count, to: address.isUnnamed ? nil : address)
                // Even the first: whoever wants to leave it out must know which one it was.
                throw PartialBatchError(sentCount: sent, underlyingError: refined)
            } catch {
                throw Self.partial(error, sent, from: first)
            }
        }
    }

    static func partial(_ error: any Error, _ sent: Int, from first: Int) -> any Error {
        sent > first ? PartialBatchError(sentCount: sent, underlyingError: error) : error
    }

    @inline(never)
    private func sendDatagramsOffLoop(_ batch: DatagramBatch, from first: Int, after start: Int) async throws {
        let lent = LentBatch(batch)
        try await loop.anchor.run {
            try await self.sendDatagrams(lent.batch, from: first, after: start)
        }
    }
}

/// A batch on its way to the loop and back.
// SAFETY: the task that has the batch waits until the loop has given it back: only one of both touches it at a time.
private struct LentBatch: @unchecked Sendable {
    let batch: DatagramBatch

    init(_ batch: DatagramBatch) { self.batch = batch }
}
