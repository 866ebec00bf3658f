import Testing

@testable import Eddy

/// Texts that count say it right of one.
@Suite struct NumbersInTexts {
    struct Cause: Error, CustomStringConvertible {
        let description = "cause"
    }

    @Test func oneIsSingular() {
        #expect(counted(1, "byte") == "1 byte" && counted(0, "byte") == "0 bytes" && counted(2, "byte") == "2 bytes")
        #expect(
            counted(1, "task is", "tasks are") == "1 task is" && counted(3, "task is", "tasks are") == "3 tasks are")
    }

    @Test func noErrorSaysOneBytes() throws {
        let address = try SocketAddress(host: "192.0.2.7", port: 80)
        let errors: [any Error] = [
            PartialWriteError(bytesWritten: 1, underlyingError: Cause()),
            PartialSkipError(bytesSkipped: 1, underlyingError: Cause()),
            PartialBatchError(sentCount: 1, underlyingError: Cause()),
            OverrunError(prefix: [], limit: 1, target: .lineEnd), EndOfStreamError(expected: nil, partial: [1]),
            EndOfStreamError(expected: 1, partial: []), FileTooLargeError(path: "/a", limit: 1),
            SubprocessOverrunError(executable: "a", stream: .standardOutput, limit: 1, prefix: []),
            FrameError.truncated(partial: [1]), FrameError.tooLarge(announced: 1, maximum: 0),
            ConnectError(host: "a", port: 1, failures: [.init(address: address, error: Cause())]),
            LeftoverTasksError(tasks: [ParkedTask(name: "a", waitsFor: nil)], bodyError: nil),
            MultiError([.init(error: Cause())]), DatagramTooLongError(count: 1, limit: 0, address: nil),
        ]
        for error in errors {
            let text = "\(error)"
            for noun in ["bytes", "tasks", "errors", "datagrams", "addresses"] {
                #expect(!text.contains("1 \(noun)"), "\(text)")
            }
        }
    }
}
