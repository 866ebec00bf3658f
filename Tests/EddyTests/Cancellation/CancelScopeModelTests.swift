import EddyReactor
import EddyTesting
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// Nested scopes, timeouts and shields, cancelled in a random order, against a model that knows nothing of tasks.
@Suite struct CancelScopesAgainstAModel {
    enum Layer: CaseIterable {
        case scope, timeout, shield
    }

    /// What happens next: a layer's scope or timeout is cancelled, the task is, or the body that is innermost now goes on.
    enum Step {
        case cancel(Int)
        case cancelTask
        case goOn
    }

    @Test(arguments: 1...40 as ClosedRange<UInt64>)
    func everyLayerEndsAsTheModelSays(seed: UInt64) throws {
        var random = SplitMix(state: seed)
        for round in 0..<25 {
            let layers = (0..<Int.random(in: 1...5, using: &random)).map { _ in
                Layer.allCases.randomElement(using: &random)!
            }
            var steps: [Step] = (0..<Int.random(in: 0...6, using: &random)).map { _ in
                switch Int.random(in: 0..<8, using: &random) {
                case 0: .cancelTask
                case 1, 2: .goOn
                default: .cancel(Int.random(in: 0..<layers.count, using: &random))
                }
            }
            // So that every body ends.
            steps += Array(repeating: .goOn, count: layers.count + 1)
            let expected = Model(layers).run(steps)
            let found = try outcomes(layers, steps)
            #expect(found == expected, "seed \(seed), round \(round): \(layers) \(steps)")
        }
    }

    // MARK: - The real thing

    private func outcomes(_ layers: [Layer], _ steps: [Step]) throws -> [String] {
        try onLoop(VirtualTimeKernel()) { loop in
            let log = Log<String>()
            let scopes = (0..<layers.count).map { _ in Log<CancelScope>() }
            let gates = (0...layers.count).map { _ in AsyncEvent() }
            let depth = Log<Int>()

            @Sendable func body(_ level: Int) async throws {
                if level < layers.count {
                    do {
                        try await layer(level)
                    } catch {
                        log.add("\(level): \(type(of: error))")
                        throw error
                    }
                }
                depth.add(level)
                try await gates[level].wait()
                try Task.checkCancellation()
            }
            @Sendable func layer(_ level: Int) async throws {
                switch layers[level] {
                case .shield:
                    try await withTaskCancellationShield { try await body(level + 1) }
                    log.add("\(level): finished")
                case .scope:
                    let value: Void? = try await withCancelScope { scope in
                        scopes[level].add(scope)
                        try await body(level + 1)
                    }
                    log.add("\(level): \(value == nil ? "cancelled" : "finished")")
                case .timeout:
                    do {
                        try await withTimeout(.seconds(86_400)) { timeout in
                            scopes[level].add(timeout)
                            try await body(level + 1)
                        }
                        log.add("\(level): finished")
                    } catch is TimeoutError {
                        log.add("\(level): late")
                    }
                }
            }

            let task = loop.spawn { try await body(0) }
            await settle(20)
            for step in steps {
                switch step {
                case .cancelTask: task.cancel()
                case .goOn: if let level = depth.all.last { gates[level].set() }
                case .cancel(let level):
                    guard let scope = scopes[level].all.last else { break }
                    if layers[level] == .scope { scope.cancel() } else { scope.deadline = .now }
                }
                // Time passes only when nothing else is left to do.
                await settle(20)
                try? await sleep(for: .milliseconds(1))
                await settle(20)
            }
            let result = await task.result
            switch result {
            case .success: log.add("task: finished")
            case .failure(let error): log.add("task: \(type(of: error))")
            }
            return log.all
        }
    }

    // MARK: - The model

    /// Layers are numbered from the outside. Body n is inside of layer n - 1; body 0 is the task's.
    struct Model {
        let layers: [Layer]
        /// The body that waits now, or nil when all have ended.
        var level: Int?
        var isCancelled: [Bool]
        var isTaskCancelled = false
        var log: [String] = []

        init(_ layers: [Layer]) {
            self.layers = layers
            level = layers.count
            isCancelled = Array(repeating: false, count: layers.count)
        }

        func run(_ steps: [Step]) -> [String] {
            var model = self
            for step in steps { model.take(step) }
            return model.log
        }

        private mutating func take(_ step: Step) {
            guard let level else { return }
            switch step {
            case .cancelTask: isTaskCancelled = true
            case .cancel(let layer): if layer < level, layers[layer] != .shield { isCancelled[layer] = true }
            case .goOn: return end(isCancelledBody(level))
            }
            // The wait of the body that is innermost ends as soon as a cancellation reaches it.
            if isCancelledBody(level) { end(true) }
        }

        /// Does any cancellation reach a body? A shield between stops it.
        private func isCancelledBody(_ body: Int) -> Bool {
            for layer in (0..<body).reversed() {
                if layers[layer] == .shield { return false }
                if isCancelled[layer] { return true }
            }
            return isTaskCancelled
        }

        /// The innermost body ends, with an error or without one, and the bodies outside as far as the error goes.
        private mutating func end(_ throwing: Bool) {
            guard let body = level else { return }
            guard body > 0 else {
                log.append(throwing ? "task: CancellationError" : "task: finished")
                return level = nil
            }
            let layer = body - 1
            level = layer
            if !throwing {
                log.append("\(layer): finished")
            } else if layers[layer] != .shield, isCancelled[layer], !isCancelledBody(layer) {
                log.append("\(layer): \(layers[layer] == .scope ? "cancelled" : "late")")
            } else {
                log.append("\(layer): CancellationError")
                return end(true)
            }
            // The body outside goes on to wait, and meets what reached it meanwhile.
            if isCancelledBody(layer) { end(true) }
        }
    }
}
