//! libminiupnpc and libnatpmp over portlease: the same functions, structs and answers, so that a program which is linked with
//! them maps ports by PCP, NAT-PMP and UPnP-IGD, has them renewed, and parses nothing of the network in C.
//!
//! The functions are those of the headers `miniupnpc/*.h` (API 17 and 18) and `natpmp.h`; what they promise is written there
//! and in the manual pages. What cannot be imitated is in README.md.
//!
//! # Layout
//!
//! | module | what |
//! |---|---|
//! | [`memory`] | reads and writes what C gives, and nothing unwinds into C |
//! | [`process`] | what belongs to this process, and to no child of a fork |
//! | [`router`] | one gateway and the leases on it, for both libraries |
//! | [`codes`] | what a failure is called in either library |
//! | [`upnp`] | libminiupnpc |
//! | [`natpmp`] | libnatpmp |

#![cfg(target_os = "linux")]

pub mod codes;
pub mod memory;
pub mod natpmp;
pub mod process;
pub mod router;
pub mod upnp;
