/// A stream that is a descriptor of a loop: what can be spliced, sent files to, and waited for without memory.
protocol DescriptorBacked {
    var io: LoopDescriptor { get }
}

extension TCPStream: DescriptorBacked {}
