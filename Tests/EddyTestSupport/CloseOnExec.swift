import Glibc

/// Keeps a descriptor from children, which other tests start at the same time. With pipe2(2), dup3(2) and accept4(2), which Swift's
/// module of glibc does not show, there would be no moment between; what a child got in that moment it closes itself.
@discardableResult
func closeOnExec(_ descriptor: Int32) -> Int32 {
    if descriptor >= 0 { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
    return descriptor
}

/// A pipe as programs get it: it blocks. The caller closes both.
func blockingPipe() -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [-1, -1]
    precondition(pipe(&ends) == 0, "no pipe for a test: \(errno)")  // closeOnExec is in the next line.
    return (closeOnExec(ends[0]), closeOnExec(ends[1]))
}
