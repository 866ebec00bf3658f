/// A stream that is a descriptor of a loop: what can be spliced, sent files to, and waited for without memory.
protocol DescriptorBacked {
    var io: LoopDescriptor { get }
}

/// A stream that hands everything on to another one.
protocol StreamErasing {
    var hidden: Any { get }
}

extension TCPStream: DescriptorBacked {}
extension UnixSequencedSocket: DescriptorBacked {}

extension LoopDescriptor {
    /// The descriptor behind a stream, also inside one that hands everything on; nil for a stream that is none of a loop's descriptors.
    static func behind(_ stream: Any) -> LoopDescriptor? {
        if let backed = stream as? any DescriptorBacked { return backed.io }
        return (stream as? any StreamErasing).flatMap { behind($0.hidden) }
    }
}
