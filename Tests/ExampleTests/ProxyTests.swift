import Eddy
import Testing

@testable import tcp_proxy

/// What `tcp-proxy` does so that it never accepts what it can't serve.
@Suite struct ProxyParts {
    @Test(arguments: [(0, 1), (32, 1), (38, 1), (44, 2), (1024, 165), (Int.max, (Int.max - 32) / 6)])
    func placesFollowFromTheLimitOfDescriptors(limit: Int, connections: Int) {
        #expect(DescriptorBudget(limit: limit).connections == connections)
    }

    @Test(arguments: [1, 1000, Int.max]) func noMoreDescriptorsAreHadThanTheHardLimitAllows(connections: Int) {
        let budget = DescriptorBudget.raised(for: connections)
        #expect(budget.limit <= DescriptorBudget.hardLimit)
        #expect(budget.connections >= min(connections, DescriptorBudget(limit: DescriptorBudget.hardLimit).connections))
    }

    @Test func aLimitOfThisMachineIsNoFaultOfTheTarget() {
        let (full, refused) = (SystemError(24, .socket), SystemError(111, .connect))
        #expect(ProxyService.isExhaustion(full))
        #expect(!ProxyService.isExhaustion(refused))
        #expect(!ProxyService.isExhaustion(TimeoutError()))
        let address = SocketAddress.loopback(port: 1)
        let failures = [refused, full].map { ConnectError.Failure(address: address, error: $0) }
        #expect(ProxyService.isExhaustion(ConnectError(host: "a", port: 1, failures: failures)))
        #expect(!ProxyService.isExhaustion(ConnectError(host: "a", port: 1, failures: [failures[0]])))
    }
}
