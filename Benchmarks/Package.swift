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
