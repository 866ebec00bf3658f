import EddyReactor

/// Something that is kept on a loop from one operation to the next: made when it is first asked for, given back at the end of
/// the run.
///
/// - Note: *Thread:* the loop's, for everything about it.
protocol LoopResource: AnyObject {
    init(on core: LoopCore)

    /// Closes what it holds. It is not used any more.
    func giveBack(on core: LoopCore)
}

/// The resources of a loop, one of each type.
struct LoopResources {
    fileprivate var byType: [ObjectIdentifier: any LoopResource] = [:]
}

extension LoopCore {
    /// The loop's resource of a type.
    ///
    /// - Complexity: a look-up by type; whoever needs it often keeps what this returns.
    func resource<Resource: LoopResource>(_ type: Resource.Type = Resource.self) -> Resource {
        if let known = state.pointee.resources.byType[ObjectIdentifier(type)] {
            return unsafe unsafeDowncast(known, to: type)
        }
        let resource = Resource(on: self)
        state.pointee.resources.byType[ObjectIdentifier(type)] = resource
        return resource
    }

    /// A run is over: nothing that it has opened stays open.
    func giveResourcesBack() {
        guard !state.pointee.resources.byType.isEmpty else { return }
        // Taken out first: what a resource closes may resume tasks.
        let resources = state.pointee.resources.byType.values
        state.pointee.resources.byType = [:]
        for resource in resources { resource.giveBack(on: self) }
    }
}
