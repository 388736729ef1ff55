//! The C ABI of portlease: convert, call, convert back. `include/portlease.h` is generated from this crate; its prologue
//! (`prologue.h`) has the rules for callers.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | [`names`] | generated: enums, their numbers and their stable strings |
//! | [`config`] | generated: settings and requests as C gives them |
//! | [`values`] | reads one value that C gives |
//! | [`error`] | the caller's error buffer |
//! | [`snapshot`], [`event`], [`gateway`] | what is filled in for the caller |
//! | [`mapper`], [`lease`], [`reader`] | the handles and the calls that block |
//! | [`table`] | the router's table, and what else is asked without a lease |
//! | [`reasons`] | failures with what each protocol has answered |
//! | [`log`] | what portlease tells |
//! | [`waits`], [`waits_ask`] | many waits at once, that can be cancelled |
//! | [`memory`] | every pointer that comes from C passes here |
//!
//! # `unsafe`
//!
//! A function of the header is `unsafe` once: it hands its body to `error::guard`, which gives the body a
//! `memory::Caller`. That stands for the caller's promise to keep the header's rules, and turns pointers into handles,
//! options and places to write to. Bodies are safe code.

#![warn(clippy::wildcard_enum_match_arm)]

pub mod config;
pub mod error;
pub mod event;
pub mod gateway;
mod latest;
pub mod lease;
pub mod log;
pub mod mapper;
pub mod memory;
pub mod names;
pub mod reader;
pub mod reasons;
pub mod snapshot;
pub mod table;
pub mod values;
pub mod version;
pub mod waits;
pub mod waits_ask;

use portlease_host::{fork, thread};
