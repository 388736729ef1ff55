//! Gives the shared library the name by which programs that link it look for it.

/// Raised when a function or a field goes away or changes its meaning; growing structs and new functions leave it.
const ABI: u32 = 0;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let target = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match target.as_str() {
        "linux" | "android" | "freebsd" | "netbsd" | "openbsd" | "dragonfly" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libportlease.so.{ABI}");
            // Engine threads outlive dlclose(3) for a moment: the code under them must stay. Core asks other systems for that.
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libportlease.{ABI}.dylib"),
        "windows" if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() == Ok("gnu") => name_dll(),
        _ => {}
    }
}

/// The name goes into the import library too, which the linker writes beside the DLL. MSVC's linker takes the name of the file.
fn name_dll() {
    let folder = std::env::var("OUT_DIR").unwrap_or_default();
    let definition = std::path::Path::new(&folder).join("portlease.def");
    match std::fs::write(&definition, format!("LIBRARY \"portlease-{ABI}.dll\"\n")) {
        Ok(()) => println!("cargo:rustc-cdylib-link-arg={}", definition.display()),
        Err(error) => panic!("cannot write {}: {error}", definition.display()),
    }
}
