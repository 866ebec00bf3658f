import Eddy
import Testing

/// What a first program needs from the declarations alone: this file compiles only while `import Eddy` is enough, and while
/// closures without annotations can be given to `gather`.
@Suite struct FirstPrograms {
    private func one() async throws -> Int {
        try await sleep(for: .zero)
        return 1
    }

    @Test func gatherTakesClosuresWithoutAnnotations() throws {
        let sum = try EventLoop().run {
            let (first, second) = try await gather({ try await one() }, { try await one() + 1 })
            try await gather({ _ = try await self.one() }, { _ = try await self.one() })
            return first + second
        }
        #expect(sum == 3)
    }

    /// A warning here is an error in `make check`: the program in the README ends like this.
    @Test func whatARunReturnsMayBeDropped() throws {
        try EventLoop().run { try await gather({ try await one() }, { try await one() }) }
    }

    @Test func gatherAllKeepsTheOrderOfItsOperations() throws {
        let values = try EventLoop().run {
            try await gatherAll((0..<10).map { number in { try await self.one() * number } })
        }
        #expect(values == Array(0..<10))
    }

    @Test func instantsAndSystemErrorsNeedNoSecondImport() throws {
        let (distance, code) = try EventLoop().run {
            let now = LoopClock().now
            do {
                _ = try await TCPListener.bind(host: "192.0.2.1", port: 0)
                return (now.duration(to: now.advanced(by: .seconds(1))), Int32(0))
            } catch let error as SystemError {
                return (now.duration(to: now.advanced(by: .seconds(1))), error.code)
            }
        }
        #expect(distance == .seconds(1))
        #expect(code > 0)
    }
}
