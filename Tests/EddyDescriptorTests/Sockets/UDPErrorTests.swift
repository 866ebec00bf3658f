import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

@Suite struct UDPErrors {
    @Test("G9: an unconnected socket learns of a refusal from its error queue, with the address")
    func anUnconnectedSocketLearnsOfARefusal() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let nobody = try await deserted()
            try await socket.setReportsErrors(true)
            try await socket.send([1, 2, 3], to: nobody)
            let error = try await socket.receiveError()
            #expect(error.code == ECONNREFUSED)
            #expect(error.destination == nobody)
            #expect(error.offender?.host == "127.0.0.1")
            // Destination unreachable, port unreachable (RFC 792).
            #expect(error.origin == .icmp(type: 3, code: 3))
            #expect("\(error)".contains("\(nobody)") && "\(error)".contains("ECONNREFUSED"))
        }
    }

    @Test func aSixthVersionSocketLearnsOfBothProtocols() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "::", port: 0)
            try await socket.setReportsErrors(true)
            let nobody = try await deserted()
            try await socket.send([1], to: nobody)
            #expect(try await socket.receiveError().destination?.port == nobody.port)
            let six = try SocketAddress(host: "::1", port: nobody.port)
            try await socket.send([1], to: six)
            let error = try await socket.receiveError()
            #expect(error.code == ECONNREFUSED && error.destination == six)
            #expect(error.origin == .icmp6(type: 1, code: 4))
        }
    }

    @Test func withoutAskingNobodyIsToldAnything() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await socket.send([1], to: try await deserted())
            try await socket.send([2], to: socket.localAddress)
            #expect(try await socket.receive().bytes == [2])
            #expect(!socket.reportsErrors)
        }
    }

    @Test func aReceiverAndASenderPassOverQueuedErrors() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            try await socket.setReportsErrors(true)
            let nobody = try await deserted()
            let reader = loop.spawn { try await socket.receive().bytes }
            try await untilParked(1)
            // The second send meets what the first has caused.
            try await socket.send([1], to: nobody)
            try await socket.send([2], to: nobody)
            try await sleep(for: .zero)
            try await socket.send([3], to: socket.localAddress)
            #expect(try await reader.value == [3])
            #expect(try await socket.receiveError().destination == nobody)
            #expect(try await socket.receiveError().destination == nobody)
        }
    }

    @Test func anErrorWakesTheOneWhoWaitsForIt() throws {
        try onLoop { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let nobody = try await deserted()
            let watcher = loop.spawn { () -> [SocketAddress?] in
                var seen: [SocketAddress?] = []
                for try await error in socket.errors { seen.append(error.destination) }
                return seen
            }
            for round in 1...3 {
                try await untilParked(1)
                #expect(socket.reportsErrors)
                try await socket.send([UInt8(round)], to: nobody)
                try await sleep(for: .zero)
            }
            try await untilParked(1)
            let second = await errorOf { try await socket.receiveError() }
            #expect(second is BusyError)
            socket.close()
            #expect(try await watcher.value == [nobody, nobody, nobody])
        }
    }

    @Test func aCancelledWaitForAnErrorLeavesNothing() throws {
        try EventLoop.runLeakChecked { _ in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let loop = try #require(EventLoop.current)
            let watcher = loop.spawn { try await socket.receiveError() }
            try await untilParked(1)
            watcher.cancel()
            #expect(await errorOf(watcher) is CancellationError)
            try await socket.send([1], to: try await deserted())
            #expect(try await socket.receiveError().code == ECONNREFUSED)
            socket.close()
        }
    }

    @Test func anIdleWaitForErrorsDoesNotSpin() throws {
        let kernel = CountingKernel()
        try onLoop(kernel) { loop in
            let socket = try await UDPSocket.bind(host: "127.0.0.1", port: 0)
            let watcher = loop.spawn { try await socket.receiveError() }
            try await untilParked(1)
            let asked = kernel.count(.recvmsg)
            // Input is no error: the one who waits for errors sleeps on.
            for _ in 0..<10 { try await socket.send([1], to: socket.localAddress) }
            for _ in 0..<10 { _ = try await socket.receive() }
            try await sleep(for: .zero)
            #expect(kernel.count(.recvmsg) - asked <= 11)
            watcher.cancel()
            _ = await watcher.result
        }
    }

    @Test func aLieAboutAnErrorsLengthIsNoError() {
        let short = [UInt8](repeating: 0, count: 15)
        #expect(short.withUnsafeBytes { DatagramError($0, destination: nil) } == nil)
        let bare = [UInt8(ECONNREFUSED), 0, 0, 0, 2, 3, 3] + [UInt8](repeating: 0, count: 9)
        let error = bare.withUnsafeBytes { DatagramError($0, destination: nil) }
        #expect(error?.code == ECONNREFUSED && error?.offender == nil)
    }
}
