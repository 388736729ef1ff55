//! What libraries with a C ABI owe the process that they are loaded into, which knows nothing of Rust: its signals, its
//! cancelled threads, its exit handlers and its forks.
//!
//! | module | what |
//! |---|---|
//! | [`thread`] | the caller's thread in its last moments, and the engine's |
//! | `stand_in` | who takes the signals when the main thread has ended |
//! | [`fork`] | noticing forks |

pub mod fork;
#[cfg(any(target_os = "linux", target_os = "android"))]
mod stand_in;
pub mod thread;
