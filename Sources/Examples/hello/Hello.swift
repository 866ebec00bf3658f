import Eddy
@main struct Hello {
  static func main() throws {
    let v = try EventLoop.run {
      let t0 = ContinuousClock.now
      let a = EventLoop.current!.spawn { for i in 0..<3 { try await sleep(for: .milliseconds(100)); print("a", i) } }
      let b = Task { for i in 0..<3 { try await Task.sleep(for: .milliseconds(100)); print("b", i) } }
      try await a.value
      try await b.value
      let e = AsyncEvent()
      let c = Task { try await e.wait(); print("event") }
      await EventLoop.yield()
      e.set()
      try await c.value
      await MainActor.run { print("main") }
      let n = 1_000_000
      for _ in 0..<3 {
      let t1 = ContinuousClock.now
      await withDiscardingTaskGroup { g in
        for _ in 0..<2 { g.addTask { for _ in 0..<n { await EventLoop.yield() } } }
      }
      print("yield", (ContinuousClock.now - t1) / (2*n))
      }
      print(ContinuousClock.now - t0)
      print(EventLoop.current!.statistics)
      return 5
    }
    print("value", v)
  }
}
