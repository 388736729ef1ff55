//! libnatpmp: requests that are sent by one call and whose answers are read by another, which never waits.
//!
//! | module | what |
//! |---|---|
//! | [`types`] | its structs, byte for byte |
//! | `channel` | the request that is under way, behind the descriptor that programs select on |
//! | [`calls`] | its functions |

pub mod calls;
pub(crate) mod channel;
pub mod types;

pub(crate) use channel::Channels;
