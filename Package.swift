// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// A nonisolated `async` function stays where its caller is (SE-0461): a wait never costs a hop to another executor first.
let settings: [SwiftSetting] = [
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

/// Small programs, each one idea: `Sources/Examples/<name>`.
let examples: [Target] = [
    "hello",
    "sleepers",
    "echo-server",
    "echo-client",
    "udp-echo",
    "http-hello",
    "chat",
    "tcp-proxy",
    "port-scan",
    "line-client",
    "redis-ping",
    "run-commands",
    "reactor-echo",
    "embedded-poll",
    "tail-follow",
].map { name in
    .executableTarget(
        name: name,
        dependencies: ["Eddy", .product(name: "ArgumentParser", package: "swift-argument-parser")],
        path: "Sources/Examples/\(name)", swiftSettings: settings)
}

/// An example that needs libcurl's headers is built where they are: `make setup` installs them.
let curlHeaders =
    ["/usr/include/curl/curl.h"] + ["x86_64", "aarch64"].map { "/usr/include/\($0)-linux-gnu/curl/curl.h" }
let curlExample: [Target] =
    !curlHeaders.contains { FileManager.default.fileExists(atPath: $0) }
    ? []
    : [
        .systemLibrary(name: "CCurl", path: "Sources/Examples/curl-multi/CCurl"),
        .executableTarget(
            name: "curl-multi",
            dependencies: ["Eddy", "CCurl", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            path: "Sources/Examples/curl-multi", exclude: ["CCurl"], swiftSettings: settings),
    ]

let package = Package(
    name: "eddy",
    products: [
        .library(name: "Eddy", targets: ["Eddy"]),
        .library(name: "EddyJSON", targets: ["EddyJSON"]),
        .library(name: "EddyReactor", targets: ["EddyReactor"]),
        .library(name: "EddyTesting", targets: ["EddyTesting"]),
    ],
    dependencies: [
        // Only the example programs parse arguments; nobody who depends on the libraries resolves or builds it.
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
    ],
    targets: [
        .systemLibrary(name: "CEpoll"),
        .target(name: "EddyReactor", dependencies: ["CEpoll"], swiftSettings: settings),
        // How tasks park: what no Swift code can say.
        .target(name: "CEddyTask"),
        .target(name: "Eddy", dependencies: ["EddyReactor", "CEddyTask"], swiftSettings: settings),
        // Apart, because it needs Foundation's encoders, and `Eddy` needs nothing.
        .target(name: "EddyJSON", dependencies: ["Eddy"], swiftSettings: settings),
        .target(name: "EddyTesting", dependencies: ["Eddy", "EddyReactor"], swiftSettings: settings),
        .testTarget(
            name: "EddyReactorTests", dependencies: ["EddyReactor", "EddyTesting"], swiftSettings: settings),
        .testTarget(
            name: "EddyTestSupport", dependencies: ["Eddy", "EddyReactor", "EddyTesting"],
            path: "Tests/EddyTestSupport",
            swiftSettings: settings),
        // Two, so that the optimising compiler, which takes each module with one thread, has two to take.
        .testTarget(
            name: "EddyTests", dependencies: ["Eddy", "EddyReactor", "EddyTesting", "EddyTestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "EddyDescriptorTests", dependencies: ["Eddy", "EddyReactor", "EddyTesting", "EddyTestSupport"],
            swiftSettings: settings),
        .testTarget(
            name: "EddyTestingTests", dependencies: ["Eddy", "EddyReactor", "EddyTesting"], swiftSettings: settings),
        .testTarget(name: "EddyJSONTests", dependencies: ["Eddy", "EddyJSON", "EddyTesting"], swiftSettings: settings),
        .testTarget(
            name: "ExampleTests",
            dependencies: ["chat", "http-hello", "port-scan", "redis-ping", "tcp-proxy", "Eddy", "EddyTesting"],
            swiftSettings: settings),
        .executableTarget(
            name: "HostFixture", dependencies: ["Eddy", "EddyReactor", "EddyTesting"], path: "Tests/HostFixture",
            swiftSettings: settings),
        .executableTarget(
            name: "DispatchFixture", dependencies: ["Eddy"], path: "Tests/DispatchFixture", swiftSettings: settings),
        .executableTarget(
            name: "JSONFixture", dependencies: ["Eddy", "EddyJSON"], path: "Tests/JSONFixture", swiftSettings: settings),
        .executableTarget(
            name: "TopLevelFixture", dependencies: ["Eddy"], path: "Tests/TopLevelFixture", swiftSettings: settings),
        .testTarget(
            name: "HostTests",
            dependencies: ["HostFixture", "DispatchFixture", "JSONFixture", "TopLevelFixture", "EddyTestSupport"],
            swiftSettings: settings),
        // What others wrote, against the examples: they are built with it.
        .testTarget(
            name: "IntegrationTests",
            dependencies: ["Eddy", "EddyReactor", "EddyTesting", "EddyTestSupport"]
                + (examples + curlExample.filter { $0.type == .executable }).map { .target(name: $0.name) },
            exclude: ["README.md"], swiftSettings: settings),
    ] + examples + curlExample
)
