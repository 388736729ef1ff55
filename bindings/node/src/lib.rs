//! The Node addon of portlease: the handles of the core as the package's own JavaScript calls them. Private to the
//! package in `node/`, whose typed layer is what users see.
//!
//! No JavaScript runs on a thread of the core. Only three calls wait, and they say so. Durations are milliseconds.
//!
//! # Layout
//! `mapper`, `lease` and `open` are the handles, `wait` has the pending calls on them, and `host` has what they share
//! within one environment (the main thread or a worker). `config`, `settings`, `snapshot`, `event` and `error` convert.
//! `log` has the diagnostics, `gateway` the simulated gateway, `cli` the command line.

// What JavaScript calls is registered by code that napi leaves out of test builds, and then looks unused.
#![cfg_attr(test, allow(dead_code))]
#![warn(clippy::wildcard_enum_match_arm)]

mod cli;
mod config;
mod error;
mod event;
mod gateway;
mod host;
mod lease;
mod log;
mod mapper;
mod open;
mod settings;
mod snapshot;
mod wait;
