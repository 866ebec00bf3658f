import CEpoll

// Transfers of more than one buffer, and of more than bytes.
extension Kernel {
    /// `writev(2)` without SIGPIPE, for everything that is no socket.
    ///
    /// - Parameter vectors: an array of `iovec`.
    package func writeVectored(_ descriptor: Int32, _ vectors: UnsafeRawPointer, _ vectorCount: Int32) -> Int {
        retrying {
            count(.writev)
            if let backend { return backend.perform(.writeVectored(descriptor, vectors, vectorCount)) }
            return eddy_write_vectored(descriptor, vectors, vectorCount)
        }
    }

    package func sendMessage(_ descriptor: Int32, _ header: MessageHeader) -> Int {
        retrying {
            count(.sendmsg)
            if let backend { return backend.perform(.sendMessage(descriptor, header)) }
            return header.send(descriptor)
        }
    }

    /// The lengths and the flags in the header are the kernel's afterwards.
    package func receiveMessage(_ descriptor: Int32, _ header: inout MessageHeader) -> Int {
        retrying {
            count(.recvmsg)
            if let backend {
                return withUnsafeMutablePointer(to: &header) { backend.perform(.receiveMessage(descriptor, $0)) }
            }
            return header.receive(descriptor)
        }
    }

    package func sendMessages(_ descriptor: Int32, _ batch: MessageBatch, _ size: Int) -> Int {
        retrying {
            count(.sendmmsg)
            if let backend { return backend.perform(.sendMessages(descriptor, batch, size)) }
            return batch.send(descriptor, size)
        }
    }

    package func receiveMessages(_ descriptor: Int32, _ batch: MessageBatch, _ size: Int) -> Int {
        retrying {
            count(.recvmmsg)
            if let backend { return backend.perform(.receiveMessages(descriptor, batch, size)) }
            return batch.receive(descriptor, size)
        }
    }

    package func sendFile(
        to descriptor: Int32, from file: Int32, offset: UnsafeMutablePointer<Int64>, _ size: Int
    ) -> Int {
        retrying {
            count(.sendfile)
            if let backend { return backend.perform(.sendFile(to: descriptor, from: file, offset: offset, size)) }
            return eddy_send_file(descriptor, file, offset, size)
        }
    }

    /// - Parameter isOwnPipe: whether the target is a pipe whose reader is open in this process, which saves the two calls that
    ///   keep SIGPIPE away.
    package func splice(from source: Int32, to target: Int32, _ size: Int, isOwnPipe: Bool = false) -> Int {
        retrying {
            count(.splice)
            if let backend { return backend.perform(.splice(from: source, to: target, size)) }
            return isOwnPipe ? eddy_splice_into_own_pipe(source, target, size) : eddy_splice(source, target, size)
        }
    }
}
