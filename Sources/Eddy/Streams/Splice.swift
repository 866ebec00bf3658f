import EddyReactor

/// A pipe that bytes go through on their way from one descriptor to another, without coming into the process.
struct SplicePipe {
    let reader: Int32
    let writer: Int32
    /// How many bytes are in it.
    var count = 0

    /// How much a pipe should hold. Each direction of a proxy holds one while its target is slow, so this is kernel memory for
    /// each connection; beyond it a system call more or less no longer shows. An unprivileged user has 64 MiB for all pipes
    /// (`pipe-user-pages-soft`, pipe(7)).
    static let size: Int32 = 1 << 18
}

/// The pipes of a loop's proxies.
///
/// A proxy that has nothing to move holds none: it takes one when its source is ready, and gives it back when it is empty. So
/// ten thousand idle connections need a handful.
final class SplicePipes: LoopResource {
    /// How many empty pipes are kept.
    private static let limit = 16

    private let kernel: Kernel
    private var free: [SplicePipe] = []
    private var isOver = false

    init(on core: LoopCore) {
        kernel = core.kernel
        free.reserveCapacity(Self.limit)
    }

    /// - Returns: an empty pipe; nil when the process may have no more descriptors.
    func take() -> SplicePipe? {
        if let pipe = free.popLast() { return pipe }
        guard let ends = try? RawPipe(kernel) else { return nil }
        // As it comes, where the user's share of pipe pages is used up.
        _ = kernel.setPipeSize(ends.writer, SplicePipe.size)
        return SplicePipe(reader: ends.reader, writer: ends.writer)
    }

    /// Takes a pipe back. One with bytes in it is closed: the next proxy is another connection's.
    func giveBack(_ pipe: SplicePipe) {
        if pipe.count == 0, free.count < Self.limit, !isOver { return free.append(pipe) }
        kernel.close(pipe.reader)
        kernel.close(pipe.writer)
    }

    func giveBack(on core: LoopCore) {
        isOver = true
        for pipe in free {
            kernel.close(pipe.reader)
            kernel.close(pipe.writer)
        }
        free = []
    }
}

/// Moves bytes from one descriptor to another with splice(2).
///
/// splice(2) answers EAGAIN without saying which side was not ready. So it only ever fills a pipe that is empty, where EAGAIN
/// means that the source has nothing, and only drains one that is not, where EAGAIN means that the target has no room.
struct Splice {
    let source: LoopDescriptor
    let target: LoopDescriptor
    private let pipes: SplicePipes
    private var pipe: SplicePipe?

    /// - Note: *Thread:* the loop's of both.
    init(from source: LoopDescriptor, to target: LoopDescriptor) {
        self.source = source
        self.target = target
        pipes = source.core.resource()
    }

    /// Moves bytes until the source ends.
    ///
    /// - Parameter flow: is told how many bytes the target has taken.
    /// - Returns: false when the kernel will not splice these two, and they must be copied. All that was read was written then.
    /// - Note: *Cancellation:* bytes that are in the pipe are lost: the target has part of what was read. *Thread:* must be on
    ///   the loop's own executor, so that each wait ends there. *Complexity:* no allocation for what is moved.
    mutating func run(_ flow: ProxyFlow) async throws -> Bool {
        defer { release() }
        while true {
            switch try await fill() {
            case .refused: return false
            case .some(0):
                try source.checkEnd()
                return true
            case .some: break
            }
            try await target.admitWriter()
            defer { target.writing.isBusy = false }
            while let count = pipe?.count, count > 0 {
                guard let moved = try await drain() else {
                    try await copyOut(flow)
                    return false
                }
                flow.add(moved)
            }
            release()
        }
    }

    /// The result of a call that may be refused.
    private enum Filling {
        case some(Int)
        case refused
    }

    /// Waits for the source and moves what it has into an empty pipe.
    private mutating func fill() async throws -> Filling {
        var isRefused = false
        // A short call says nothing: a pipe may run out of places before it runs out of room.
        let count = try await source.perform(.read, .splice, wanted: 0, #isolation) { kernel, descriptor in
            if pipe == nil { pipe = pipes.take() }
            guard let pipe else {
                isRefused = true
                return 0
            }
            let result = kernel.splice(from: descriptor, to: pipe.writer, Int(SplicePipe.size), isOwnPipe: true)
            if result > 0 { return note(result) }
            if Self.isRefusal(result) {
                isRefused = true
                return 0
            }
            // Who waits holds no pipe.
            if result < 0 { release() }
            return result
        }
        return isRefused ? .refused : .some(count)
    }

    private mutating func note(_ count: Int) -> Int {
        pipe?.count += count
        source.core.countOperations(count >> 16)
        return count
    }

    /// Waits for the target and moves what is in the pipe into it, or a part of that.
    ///
    /// - Returns: nil when the target can't be spliced to.
    private mutating func drain() async throws -> Int? {
        var isRefused = false
        let moved = try await target.perform(.write, .splice, wanted: 0, #isolation) { kernel, descriptor in
            let result = kernel.splice(from: pipe!.reader, to: descriptor, pipe!.count)
            isRefused = Self.isRefusal(result)
            if isRefused { return 0 }
            if result > 0 { pipe!.count -= result }
            return result
        }
        if isRefused { return nil }
        // Not what the manual page allows; without this line it would be asked again for ever.
        if moved == 0 { throw SystemError(Int32(ErrorNumber.inputOutput), .splice, target.ends.description) }
        return moved
    }

    /// Takes the bytes out of the pipe and writes them: they were read, and the target can't be spliced to.
    private mutating func copyOut(_ flow: ProxyFlow) async throws {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: min(pipe!.count, 65_536), alignment: 16)
        defer { buffer.deallocate() }
        while let held = pipe, held.count > 0 {
            let got = source.core.kernel.read(held.reader, buffer.baseAddress!, min(buffer.count, held.count))
            guard got > 0 else {
                throw SystemError(got == 0 ? Int32(ErrorNumber.inputOutput) : Int32(-got), .read, "a pipe of a proxy")
            }
            pipe!.count -= got
            target.writing.isBusy = false
            try await flow.write(got) { try await target.write(UnsafeRawBufferPointer(rebasing: buffer[..<got]).bytes) }
            target.writing.isBusy = true
        }
    }

    private mutating func release() {
        guard let held = pipe else { return }
        pipes.giveBack(held)
        pipe = nil
    }

    private static func isRefusal(_ result: Int) -> Bool {
        result == -ErrorNumber.invalidArgument || result == -ErrorNumber.noSystemCall
    }
}
