// Lists the public symbols that have no documentation comment, from symbol graphs: swift undocumented.swift GRAPH...
import Foundation

struct Graph: Decodable {
    struct Symbol: Decodable {
        struct Comment: Decodable {}
        struct Location: Decodable {
            struct Position: Decodable { let line: Int }
            let uri: String
            let position: Position
        }
        let pathComponents: [String]
        let docComment: Comment?
        let location: Location?
    }
    struct Module: Decodable { let name: String }
    let module: Module
    let symbols: [Symbol]
}

var count = 0
for path in CommandLine.arguments.dropFirst() {
    let graph = try JSONDecoder().decode(Graph.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    for symbol in graph.symbols where symbol.docComment == nil {
        // What the compiler made has no location.
        guard let location = symbol.location else { continue }
        let file = location.uri.components(separatedBy: "/Sources/").last ?? location.uri
        let name = symbol.pathComponents.joined(separator: ".")
        print("Sources/\(file):\(location.position.line + 1): \(graph.module.name).\(name)")
        count += 1
    }
}
print("\(count) public symbols have no documentation comment")
