import EddyReactor

extension Subprocess {
    /// What a process's environment is.
    ///
    /// To Linux it is a list of rows of bytes, mostly `NAME=value` (environ(7)). Values are strings, or bytes where they are not
    /// UTF-8: see ``PathConvertible``. What is inherited is passed on as it is, byte for byte, whatever it is.
    ///
    /// ```swift
    /// .inherited                                      // this process's
    /// .updated(["LANG": "C", "DISPLAY": nil])         // one set, one taken out
    /// .replaced(["PATH": "/usr/bin"])                 // these and no others
    /// .inherited.setting("FILE", to: entry)           // a directory entry: bytes
    /// ```
    public struct Environment: Sendable, Hashable {
        private enum Base: Sendable, Hashable {
            case inherited
            case entries([[UInt8]])
        }

        private let base: Base
        /// nil takes a variable out.
        private var changes: [[UInt8]: [UInt8]?] = [:]

        private init(_ base: Base) { self.base = base }

        /// This process's.
        public static let inherited = Environment(.inherited)

        /// These variables and no others. Without a `PATH`, programs are looked for in `/usr/local/bin`, `/usr/bin` and
        /// `/bin`.
        public static func replaced(_ variables: [String: any PathConvertible]) -> Environment {
            variables.reduce(into: Environment(.entries([]))) { $0.change($1.key, $1.value.pathBytes) }
        }

        /// This process's, with some variables set, and those that are nil taken out.
        public static func updated(_ changes: [String: (any PathConvertible)?]) -> Environment {
            changes.reduce(into: inherited) { $0.change($1.key, $1.value?.pathBytes) }
        }

        /// These entries and no others, in this order, mostly `NAME=value`; nothing but a NUL is refused.
        public static func entries(_ entries: [any PathConvertible]) -> Environment {
            Environment(.entries(entries.map(\.pathBytes)))
        }

        /// With a variable set, whose name may be bytes as well.
        public func setting(_ name: some PathConvertible, to value: some PathConvertible) -> Environment {
            var changed = self
            changed.change(name, value.pathBytes)
            return changed
        }

        /// Without a variable.
        public func removing(_ name: some PathConvertible) -> Environment {
            var changed = self
            changed.change(name, nil)
            return changed
        }

        private mutating func change(_ name: some PathConvertible, _ value: [UInt8]?) {
            changes.updateValue(value, forKey: name.pathBytes)
        }

        // MARK: - The kernel's

        /// The entries as the process gets them: those of the base, without the changed ones, and then these by name.
        ///
        /// - Throws: ``SubprocessArgumentError``.
        func block() throws -> [[UInt8]] {
            for (name, value) in changes {
                if name.isEmpty || name.contains(0) || name.contains(Self.equals) {
                    throw SubprocessArgumentError(bytes: name)
                }
                if let value, value.contains(0) { throw SubprocessArgumentError(bytes: value) }
            }
            var entries: [[UInt8]]
            switch base {
            case .inherited:
                entries = ProcessEnvironment.entries
            case .entries(let given):
                if let wrong = given.first(where: { $0.contains(0) }) { throw SubprocessArgumentError(bytes: wrong) }
                entries = given
            }
            guard !changes.isEmpty else { return entries }
            // One without an equals sign is nobody's variable.
            entries.removeAll { entry in
                entry.firstIndex(of: Self.equals).map { changes.keys.contains(Array(entry[..<$0])) } ?? false
            }
            for (name, value) in changes.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
                if let value { entries.append(name + [Self.equals] + value) }
            }
            return entries
        }

        /// The first that has the name, as getenv(3) has it.
        static func value(of name: String, in block: [[UInt8]]) -> [UInt8]? {
            let beginning = Array("\(name)=".utf8)
            return block.first { $0.starts(with: beginning) }.map { Array($0.dropFirst(beginning.count)) }
        }

        private static let equals = UInt8(ascii: "=")
    }
}
