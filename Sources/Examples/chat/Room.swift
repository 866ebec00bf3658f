import Eddy
import Synchronization

/// Everybody who is there. What one says goes to all others.
final class Room: Sendable {
    /// Somebody in the room.
    struct Member: Sendable {
        let name: String
        let outbox: Outbox
        let stream: TCPStream
    }

    private let members = Mutex<[String: Member]>([:])

    /// Lets somebody in, and tells the others.
    ///
    /// - Returns: the names of the others; nil when the name is taken.
    func enter(_ member: Member) -> [String]? {
        let others: [String]? = members.withLock { members in
            guard members[member.name] == nil else { return nil }
            defer { members[member.name] = member }
            return members.keys.sorted()
        }
        if others != nil { tell("* \(member.name) has joined", except: member.name) }
        return others
    }

    /// Takes somebody out, and tells the others. Does nothing when he is out already.
    func leave(_ member: Member, _ reason: String) {
        let wasThere = members.withLock { members in
            // His name may be somebody else's by now.
            guard members[member.name]?.outbox === member.outbox else { return false }
            members[member.name] = nil
            return true
        }
        if wasThere { tell("* \(member.name) \(reason)", except: member.name) }
    }

    /// Puts a line into everybody's outbox. Nobody is waited for: who has no room is dropped.
    func tell(_ line: String, except name: String) {
        let bytes = Array("\(line)\n".utf8)
        let others = members.withLock { members in members.values.filter { $0.name != name } }
        for member in others where !member.outbox.put(bytes) { drop(member) }
    }

    /// Throws somebody out who reads too slowly.
    private func drop(_ member: Member) {
        // A reset: what the kernel still has for him goes with the connection. His tasks find it closed, and end.
        member.stream.abort()
        leave(member, "was dropped: too slow")
    }
}
