import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Random operations on a file and on an array, which must agree; with short reads and writes, interruptions, and
/// cancelled tasks.
@Suite struct FileModel {
    /// A file as an array and a position.
    private struct Model {
        var bytes: [UInt8] = []
        var position = 0

        func read(at offset: Int, _ count: Int) -> [UInt8] {
            Array(bytes[min(offset, bytes.count)..<min(offset + count, bytes.count)])
        }

        mutating func write(_ new: [UInt8], at offset: Int) {
            if new.isEmpty { return }
            if bytes.count < offset + new.count {
                bytes += [UInt8](repeating: 0, count: offset + new.count - bytes.count)
            }
            bytes.replaceSubrange(offset..<(offset + new.count), with: new)
        }

        mutating func truncate(to size: Int) {
            if size < bytes.count { bytes.removeLast(bytes.count - size) }
            bytes += [UInt8](repeating: 0, count: size - bytes.count)
        }
    }

    @Test(arguments: [1, 2, 3, UInt64.random(in: 0 ... .max)])
    func aFileDoesWhatAnArrayDoes(seed: UInt64) throws {
        let scratch = Scratch()
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            var random = SplitMix(state: seed)
            var model = Model()
            let file = try await File.open(scratch("a"), .readWrite, create: .exclusively)
            for step in 0..<300 {
                if Int.random(in: 0..<4, using: &random) == 0 {
                    plan.shorten(.pwrite, to: Int.random(in: 1...50, using: &random))
                    plan.shorten(.pread, to: Int.random(in: 1...50, using: &random))
                    plan.fail(Bool.random(using: &random) ? .pread : .pwrite, with: EINTR)
                }
                let size = Int.random(in: 0...200, using: &random)
                let offset = Int.random(in: 0...(model.bytes.count + 20), using: &random)
                let note: Comment = "seed \(seed), step \(step)"
                switch Int.random(in: 0..<9, using: &random) {
                case 0:
                    let bytes = try await file.read(atMost: size)
                    // Reads may be short; what came must be right.
                    #expect(bytes == model.read(at: model.position, bytes.count), note)
                    #expect(!bytes.isEmpty || size == 0 || model.position >= model.bytes.count, note)
                    model.position += bytes.count
                case 1:
                    let new = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
                    try await file.write(new)
                    model.write(new, at: model.position)
                    model.position += new.count
                case 2:
                    #expect(try await file.read(at: Int64(offset), atMost: size) == model.read(at: offset, size), note)
                case 3:
                    let new = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
                    try await file.write(new, at: Int64(offset))
                    model.write(new, at: offset)
                case 4:
                    model.position = offset
                    #expect(try await file.seek(to: Int64(offset)) == Int64(offset), note)
                case 5:
                    model.position = model.bytes.count
                    try await file.seek(to: 0, from: .end)
                case 6:
                    model.truncate(to: offset)
                    try await file.truncate(to: Int64(offset))
                case 7:
                    // A task that is cancelled before it begins, or as soon as it waits, changes nothing or all.
                    let before = file.position
                    let read = loop.spawn { try await file.read(atMost: size) }
                    if Bool.random(using: &random) { await EventLoop.yield() }
                    read.cancel()
                    switch await read.result {
                    case .success(let bytes):
                        #expect(bytes == model.read(at: model.position, bytes.count), note)
                        model.position += bytes.count
                    case .failure(let error):
                        #expect(error is CancellationError, note)
                        #expect(file.position == before, note)
                    }
                default:
                    let new = (0..<size).map { _ in UInt8.random(in: 0...255, using: &random) }
                    let write = loop.spawn { try await file.write(new) }
                    if Bool.random(using: &random) { await EventLoop.yield() }
                    write.cancel()
                    var written = new.count
                    switch await write.result {
                    case .success: break
                    case .failure(let error as PartialWriteError): written = error.bytesWritten
                    case .failure(let error):
                        #expect(error is CancellationError, note)
                        written = 0
                    }
                    model.write(Array(new[..<written]), at: model.position)
                    model.position += written
                }
                // Exact once whoever has the turn has given it back.
                try await file.seek(to: 0, from: .current)
                #expect(file.position == Int64(model.position), note)
                #expect(try await file.size == Int64(model.bytes.count), note)
            }
            file.close()
            #expect(bytesOf(scratch("a")) == model.bytes, "seed \(seed)")
        }
    }
}
