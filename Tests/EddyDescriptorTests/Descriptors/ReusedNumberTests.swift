import EddyReactor
import EddyTesting
import Glibc
import Testing

@testable import Eddy
@testable import EddyTestSupport

/// A number that was lent, closed during the wait, and given to another file.
@Suite struct ReusedNumbers {
    @Test("A7: a wait on a reused number gets no BusyError from the wait on its predecessor, which is told")
    func aDeadWaitDoesNotStandInTheWay() throws {
        try onLoop { loop in
            for _ in 0..<200 {
                let (old, new) = (DescriptorPair.pipe(), DescriptorPair.pipe())
                let former = loop.spawn { try await waitUntilReadable(old.first) }
                try await untilParked(1)
                // Closed, and opened anew as another file, in one step.
                #expect(closeOnExec(dup2(new.first, old.first)) == old.first)
                let newcomer = loop.spawn { try await waitUntilReadable(old.first) }
                #expect(await errorOf(former) is ClosedError)
                try await untilParked(1)
                new.send()
                try await newcomer.value
            }
        }
    }

    @Test("A7: nor is the predecessor's wait in the other direction taken for one on the new file")
    func aDeadWaitInTheOtherDirectionIsTold() throws {
        try onLoop { loop in
            let (old, new) = (DescriptorPair.sockets(), DescriptorPair.sockets())
            fill(old.first)
            let former = loop.spawn { try await waitUntilWritable(old.first) }
            try await untilParked(1)
            #expect(closeOnExec(dup2(new.first, old.first)) == old.first)
            let newcomer = loop.spawn { try await waitUntilReadable(old.first) }
            #expect(await errorOf(former) is ClosedError)
            new.send()
            try await newcomer.value
        }
    }

    @Test("A7: a number that is not open any more is EBADF, and its old wait is told")
    func aNumberThatIsClosedIsRefused() throws {
        let plan = FaultPlan()
        try onLoop(plan) { loop in
            let pipe = DescriptorPair.pipe()
            let former = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            // As if it were closed: really closing it would let another test's file have the number.
            plan.fail(.epoll_ctl, with: EBADF, on: pipe.first, times: 3)
            let error = await errorOf { try await waitUntilReadable(pipe.first) } as? SystemError
            #expect(error?.code == EBADF)
            #expect(await errorOf(former) is ClosedError)
        }
    }

    @Test("A6: somebody who really waits is undisturbed by the question")
    func aLivingWaitIsUndisturbed() throws {
        try onLoop { loop in
            let pipe = DescriptorPair.pipe()
            let first = loop.spawn { try await waitUntilReadable(pipe.first) }
            try await untilParked(1)
            for _ in 0..<10 { #expect(await errorOf { try await waitUntilReadable(pipe.first) } is BusyError) }
            #expect(loop.statistics.waiters == 1)
            pipe.send()
            try await first.value
        }
    }
}
