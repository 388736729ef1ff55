//! Writes Kotlin, Swift sources and C headers out of the built library.

fn main() {
    uniffi::uniffi_bindgen_main();
}
