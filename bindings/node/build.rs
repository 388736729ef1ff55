//! Tells the linker that Node itself brings the Node-API symbols.

fn main() {
    napi_build::setup();
}
