//! The C ABI of portlease.
