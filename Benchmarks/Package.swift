// swift-tools-version: 6.2
import PackageDescription

// A package of its own: whoever depends on Eddy neither resolves nor builds any of this.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let package = Package(
    name: "eddy-benchmarks",
    dependencies: [
        .package(name: "eddy", path: "..")
    ],
    targets: [
        .target(name: "CAllocationCounter"),
        // The load of network.py. In C, so that it costs less than the servers that it is for.
        .executableTarget(name: "eddy-load", path: "Sources/load", cSettings: [.unsafeFlags(["-Wall", "-Wextra"])]),
        .executableTarget(
            name: "eddy-bench",
            dependencies: [
                "CAllocationCounter",
                .product(name: "Eddy", package: "eddy"),
                .product(name: "EddyReactor", package: "eddy"),
            ],
            swiftSettings: settings,
            // Names of functions in the backtraces of allocations.
            linkerSettings: [.unsafeFlags(["-Xlinker", "--export-dynamic"])]),
    ]
)
