import Glibc

/// How many connections can be carried with the descriptors that a process may have.
///
/// Whoever accepts a client and has no descriptor left for its target can only close it again. So the places are counted before
/// anybody is accepted.
struct DescriptorBudget {
    /// A client, its target, and a pipe with its two ends for each direction. While it connects: a client, and the attempts at the
    /// addresses of a name.
    static let perConnection = 6
    /// The loop's own, the standard streams, the listener, and what lookups of names open meanwhile.
    static let others = 32

    /// How many descriptors there may be.
    let limit: Int

    /// How many connections that is: at least one, because a proxy for nobody is none.
    var connections: Int { max(1, (limit - Self.others) / Self.perConnection) }

    /// Raises the soft limit of this process, if so many connections need more and the hard limit allows it.
    ///
    /// Nothing here uses select(2), which is why the soft limit is low (getrlimit(2), select(2)).
    static func raised(for connections: Int) -> DescriptorBudget {
        var limits = read()
        let (product, overflows) = connections.multipliedReportingOverflow(by: perConnection)
        let needed = overflows ? .max : product.addingReportingOverflow(others).partialValue
        if limits.rlim_cur < needed {
            let before = limits.rlim_cur
            limits.rlim_cur = min(limits.rlim_max, rlim_t(needed))
            if setrlimit(resource, &limits) != 0 { limits.rlim_cur = before }
        }
        return DescriptorBudget(limit: Int(clamping: limits.rlim_cur))
    }

    /// As far as the soft limit can be raised.
    static var hardLimit: Int { Int(clamping: read().rlim_max) }

    private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)

    private static func read() -> rlimit {
        var limits = rlimit()
        // What POSIX promises to every process, should the kernel not tell.
        guard getrlimit(resource, &limits) == 0 else { return rlimit(rlim_cur: 20, rlim_max: 20) }
        return limits
    }
}
