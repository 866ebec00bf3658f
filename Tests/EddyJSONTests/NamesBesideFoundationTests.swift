import Eddy
import Foundation
import Testing

/// Names that Foundation has, too. With both modules imported, as in a program that uses both, each is named through its module:
/// `Eddy.Pipe`, or with Swift's module selector `Eddy::Pipe` (SE-0491).
@Suite struct NamesBesideFoundation {
    @Test func aPipeOfEachModuleIsNamedThroughIt() throws {
        // Foundation's, by both spellings.
        let theirs: Foundation::Pipe = Foundation.Pipe()
        #expect(theirs.fileHandleForReading.fileDescriptor >= 0)
        var configuration = EventLoop.Configuration()
        configuration.mode = .guest
        let loop = try EventLoop(configuration: configuration)
        defer { loop.close() }
        let bytes = try loop.run {
            let (reader, writer) = try await Eddy::Pipe.make()
            try await writer.write("x")
            writer.close()
            let other = try await Eddy.Pipe.make()
            other.reader.close()
            other.writer.close()
            return try await reader.read(atMost: 1)
        }
        #expect(bytes == Array("x".utf8))
    }

    @Test func theOtherNamesNeedNoModule() {
        // Not in Foundation, and the same as with the module: what swift-nio has as well is told apart in the same way.
        #expect(Eddy::EventLoop.self == EventLoop.self)
        #expect(Eddy::SocketAddress.self == SocketAddress.self)
        #expect(Eddy::Channel<Int>.self == Channel<Int>.self)
        #expect(Eddy::Subprocess.self == Subprocess.self)
        // `SystemError` is the reactor's, and named through either module.
        #expect(Eddy::SystemError.self == SystemError.self)
        _ = ProcessInfo.processInfo.processIdentifier
    }
}
