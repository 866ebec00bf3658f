// swift-tools-version: 6.2
import PackageDescription

// The peers in Swift. A package of its own: nothing of Eddy depends on these libraries.

let nio: [Target.Dependency] = [
    .product(name: "NIOCore", package: "swift-nio"),
    .product(name: "NIOPosix", package: "swift-nio"),
]

/// A program. Stripped, because valgrind does not read its debug information.
func program(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: ["PeerSupport"] + dependencies,
        linkerSettings: [.unsafeFlags(["-Xlinker", "--strip-all"])])
}

let package = Package(
    name: "swift-peers",
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.2"),
        .package(url: "https://github.com/hummingbird-project/hummingbird.git", from: "2.28.1"),
        // Before 1.0 any version may break what uses it.
        .package(url: "https://github.com/swhitty/FlyingFox.git", .upToNextMinor(from: "0.27.1")),
    ],
    targets: [
        // What a server's and a micro-benchmark's command line and report have in common.
        .target(name: "PeerSupport"),
        // The micro-benchmarks of Swift's own concurrency, on any executor.
        .target(name: "ConcurrencyBenches", dependencies: ["PeerSupport"]),
        .target(name: "LoopExecutor", dependencies: nio),

        program("nio-echo", nio),
        program("nio-http", nio + [.product(name: "NIOHTTP1", package: "swift-nio")]),
        program("nio-bench", nio),
        program("nio-async-echo", nio + ["LoopExecutor"]),
        program("nio-async-bench", nio + ["LoopExecutor", "ConcurrencyBenches"]),
        program("swift-bench", ["ConcurrencyBenches"]),
        program(
            "hummingbird-http",
            [.product(name: "Hummingbird", package: "hummingbird"), .product(name: "NIOPosix", package: "swift-nio")]),
        program("flying-echo", [.product(name: "FlyingSocks", package: "FlyingFox")]),
    ],
    swiftLanguageModes: [.v6]
)
