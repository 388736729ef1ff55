//! The Node addon of portlease.
