// swift-tools-version: 6.2
import Foundation
import PackageDescription

// A package of its own: whoever depends on Eddy neither resolves nor builds any of this.

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// The load uses io_uring where liburing's headers are, 2.3 or later: older ones know no multishot receive. With
/// EDDY_LOAD_EPOLL_ONLY in the environment it does without, and needs no liburing where it runs. SwiftPM remembers what it
/// found: when the headers come later, `touch Package.swift && swift build --manifest-cache none`.
let uringHeader = (try? String(contentsOfFile: "/usr/include/liburing.h", encoding: .utf8)) ?? ""
let hasURing =
    uringHeader.contains("io_uring_prep_recv_multishot")
    && ProcessInfo.processInfo.environment["EDDY_LOAD_EPOLL_ONLY"] == nil

let package = Package(
    name: "eddy-benchmarks",
    dependencies: [
        .package(name: "eddy", path: "..")
    ],
    targets: [
        // Without Eddy: what the runtime's own part of an operation is.
        .executableTarget(name: "runtime-floor", swiftSettings: settings),
        .target(name: "CAllocationCounter"),
        // The load of bench.py. In C, so that it costs less than the servers that it is for.
        .executableTarget(
            name: "eddy-load", path: "Sources/load",
            cSettings: [.unsafeFlags(["-Wall", "-Wextra"])] + (hasURing ? [.define("EDDY_LOAD_URING")] : []),
            linkerSettings: hasURing ? [.linkedLibrary("uring")] : []),
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
