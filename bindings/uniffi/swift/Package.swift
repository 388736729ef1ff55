// swift-tools-version: 5.8
// The library itself comes from `cargo build --release -p portlease-uniffi`: give its folder to the linker, `-Xlinker -L...`.

import PackageDescription

let package = Package(
    name: "PortLease",
    platforms: [.macOS(.v10_15), .iOS(.v13)],
    products: [.library(name: "PortLease", targets: ["PortLease"])],
    targets: [
        .systemLibrary(name: "portleaseFFI", path: "Sources/portleaseFFI"),
        .target(
            name: "PortLease",
            dependencies: ["portleaseFFI"],
            linkerSettings: [
                .linkedLibrary("portlease_uniffi"),
                .linkedFramework("CoreFoundation", .when(platforms: [.macOS, .iOS])),
                .linkedFramework("SystemConfiguration", .when(platforms: [.macOS, .iOS])),
            ]
        ),
    ]
)
