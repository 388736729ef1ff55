//! The version of the library.

use std::ffi::c_char;

pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
const VERSION_TEXT: &str = concat!(env!("CARGO_PKG_VERSION"), "\0");

/// The version of the library, which may be newer than that of the header (PORTLEASE_VERSION_STRING).
#[unsafe(no_mangle)]
pub extern "C" fn portlease_version() -> *const c_char {
    VERSION_TEXT.as_ptr().cast()
}
