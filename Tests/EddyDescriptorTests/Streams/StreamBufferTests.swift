import Eddy
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct StreamBuffers {
    @Test("random operations agree with an array", arguments: 1...8)
    func randomOperationsAgreeWithAnArray(seed: UInt64) async throws {
        var numbers = SplitMix(state: seed)
        var buffer = StreamBuffer()
        var model: [UInt8] = []
        for step in 0..<300 {
            let count = Int.random(in: 0...(step % 10 == 0 ? 9000 : 500), using: &numbers)
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...9, using: &numbers) }
            switch Int.random(in: 0...6, using: &numbers) {
            case 0: buffer.append(bytes.span.bytes)
            case 1: buffer.append(bytes.span.bytes, expecting: 10_000)
            case 2:
                let room = buffer.room(preferring: max(count, 1))
                let taken = min(room, count)
                let result = buffer.append(atMost: room) { target in
                    bytes.withUnsafeBytes {
                        if taken > 0 { target.copyMemory(from: $0.baseAddress!, byteCount: taken) }
                    }
                    return taken
                }
                #expect(result == taken)
                model += bytes[..<taken]
                continue
            case 3:
                let came = try await ScriptedReader([bytes]).read(into: &buffer, atMost: count + 1)
                #expect(came == count)
            case 4, 5:
                let part = min(count * 2, model.count)
                if step.isMultiple(of: 2) {
                    #expect(buffer.take(part) == Array(model[..<part]))
                } else {
                    buffer.consume(part)
                }
                model.removeFirst(part)
                continue
            default:
                let offset = Int.random(in: 0...model.count, using: &numbers)
                #expect(buffer.firstIndex(of: 3, from: offset) == model[offset...].firstIndex(of: 3))
                let found = buffer.firstRange(ofAny: [[1, 2, 3], [2, 3], [1, 1, 1, 1]], from: offset)
                #expect(found == naiveRange(model, [[1, 2, 3], [2, 3], [1, 1, 1, 1]], from: offset))
                continue
            }
            model += bytes
            #expect(buffer.count == model.count)
        }
        #expect(buffer.withBytes { $0.copied() } == model)
        buffer.consume(model.count)
        #expect(buffer.memorySize == 0)
    }

    @Test func aFailedCallAddsNothingAndLeavesNoMemory() {
        var buffer = StreamBuffer()
        #expect(buffer.append(atMost: 100) { _ in -11 } == -11)
        #expect(buffer.count == 0)
        #expect(buffer.memorySize == 0)
    }

    @Test func whatArrivesInPiecesDoesNotMakeTheBufferGrowBeyondNeed() {
        var buffer = StreamBuffer()
        // Messages of 100 bytes in pieces of 64, taken as soon as they are whole.
        for _ in 0..<10_000 {
            _ = buffer.append(atMost: buffer.room(preferring: 4096)) { _ in 64 }
            while buffer.count >= 100 { buffer.consume(100) }
        }
        #expect(buffer.memorySize <= 4096)
    }
}

/// The same question, asked of an array in the simplest way.
private func naiveRange(_ bytes: [UInt8], _ separators: [[UInt8]], from offset: Int) -> Range<Int>? {
    guard offset < bytes.count else { return nil }
    let shortestFirst = separators.sorted { $0.count < $1.count }
    // What ended in the bytes that were searched before is not looked for again.
    for end in offset + 1...bytes.count {
        for separator in shortestFirst where end >= separator.count {
            if bytes[(end - separator.count)..<end].elementsEqual(separator) { return end - separator.count..<end }
        }
    }
    return nil
}
