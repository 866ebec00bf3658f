import EddyReactor
import Glibc
import Testing

/// What an error says to the person who reads it.
@Suite struct SystemErrors {
    @Test func anErrorNamesTheCallTheSymbolAndTheMessage() {
        #expect(SystemError(ECONNREFUSED, .connect).description == "connect: ECONNREFUSED, Connection refused")
    }

    @Test func theContextComesLast() {
        let error = SystemError(EADDRINUSE, .bind, "127.0.0.1:80")
        #expect(error.description == "bind: EADDRINUSE, Address already in use: 127.0.0.1:80")
    }

    @Test func anErrorWithoutASymbolKeepsItsNumber() {
        #expect(SystemError(ENOSTR, .read).description == "read: error 60, Device not a stream")
        #expect(SystemError(4000, .read).description == "read: error 4000, Unknown error 4000")
    }

    @Test func aResultOfTheGateBecomesAnError() {
        let error = SystemError(result: -Int(EPIPE), .send)
        #expect(error == SystemError(EPIPE, .send))
        #expect(error != SystemError(EPIPE, .write))
        #expect(error.code == EPIPE && error.operation == .send && error.context.isEmpty)
    }

    @Test func theNumbersTheReactorDecidesByAreTheKernels() {
        #expect(ErrorNumber.again == Int(EAGAIN) && ErrorNumber.interrupted == Int(EINTR))
        #expect(ErrorNumber.notPermitted == Int(EPERM) && ErrorNumber.noEntry == Int(ENOENT))
        #expect(ErrorNumber.exists == Int(EEXIST) && ErrorNumber.badDescriptor == Int(EBADF))
    }
}
