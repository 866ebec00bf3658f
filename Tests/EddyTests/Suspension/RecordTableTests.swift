import EddyReactor
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct RecordTables {
    /// Against a dictionary: addresses that collide, that come again before they were taken out, and a table that grows.
    @Test(arguments: [1, 2, 3] as [UInt64])
    func findsWhatADictionaryFinds(seed: UInt64) throws {
        let loop = try makeLoop()
        defer { loop.close() }
        var random = SplitMix(state: seed)
        let records = (0..<64).map { _ in TaskRecord.unbegun(loop.core) }
        var table = RecordTable()
        var model: [UInt: Int] = [:]
        for step in 0..<20_000 {
            let task = UInt.random(in: 1...48, using: &random) &* 16
            let index = Int.random(in: 0..<records.count, using: &random)
            let record = Unmanaged.passUnretained(records[index])
            if Bool.random(using: &random) {
                table.insert(record, task)
                model[task] = index
            } else {
                table.remove(record, task)
                if model[task] == index { model[task] = nil }
            }
            guard step % 16 == 0 else { continue }
            #expect(table.count == model.count, "seed \(seed), step \(step)")
            for task in (1...48).map({ UInt($0) &* 16 }) {
                let found = table.find(task)?.toOpaque()
                #expect(found == model[task].map { Unmanaged.passUnretained(records[$0]).toOpaque() })
            }
        }
    }
}
