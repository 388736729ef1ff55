//! Questions to the kernel about addresses and routes, and the messages that it answers with (`man 7 rtnetlink`).

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::{CStr, c_char};
use std::io::{self, ErrorKind, Read, Write};

use socket2::{Domain, Protocol, Socket, Type};

const HEADER: usize = 16;
/// The fixed part of a message about a route (`struct rtmsg`).
pub(super) const ROUTE: usize = 12;
/// The kernel makes no larger pieces of an answer.
const PIECE: usize = 32 * 1024;

/// Asks for everything of the family that is of the kind `question`, and takes the messages of the kind `answer`. What the kernel
/// has to say is there as soon as it was asked, so nothing is waited for.
pub(super) fn dump(question: u16, answer: u16, family: i32, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    const LENGTH: u32 = (HEADER + ROUTE) as u32;
    let protocol = Protocol::from(libc::NETLINK_ROUTE);
    let mut socket = Socket::new(Domain::from(libc::AF_NETLINK), Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    let flags = (libc::NLM_F_REQUEST | libc::NLM_F_DUMP) as u16;
    let mut request = [0; LENGTH as usize];
    request[..4].copy_from_slice(&LENGTH.to_ne_bytes());
    request[4..6].copy_from_slice(&question.to_ne_bytes());
    request[6..8].copy_from_slice(&flags.to_ne_bytes());
    request[HEADER] = family as u8;
    socket.write_all(&request)?;
    let mut piece = vec![0; PIECE];
    loop {
        let length = socket.read(&mut piece)?;
        let mut rest = &piece[..length];
        while let Some((kind, message)) = split(&mut rest, |head| (number(head, 0), half(head, 4)), HEADER) {
            match i32::from(kind) {
                libc::NLMSG_DONE => return Ok(()),
                libc::NLMSG_ERROR => return Err(io::Error::from(ErrorKind::PermissionDenied)),
                _ if kind == answer => take(message),
                _ => {}
            }
        }
    }
}

/// The attributes of a message, each with its kind.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    const ATTRIBUTE: usize = 4;
    std::iter::from_fn(move || split(&mut rest, |head| (u32::from(half(head, 0)), half(head, 2)), ATTRIBUTE))
}

/// Takes a message, or an attribute of one, off `rest`: `head` reads its length and its kind out of `size` bytes.
pub(super) fn split<'m>(rest: &mut &'m [u8], head: fn(&[u8]) -> (u32, u16), size: usize) -> Option<(u16, &'m [u8])> {
    let (length, kind) = head(rest.get(..size)?);
    let content = rest.get(size..length as usize)?;
    *rest = rest.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    Some((kind, content))
}

pub(super) fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The name of the interface with this number.
pub(super) fn name_of(index: u32) -> Option<String> {
    let mut name = [0 as c_char; libc::IF_NAMESIZE];
    // SAFETY: the name has as many bytes as the call may write, and ends with a zero byte if there is one.
    unsafe {
        let name = libc::if_indextoname(index, name.as_mut_ptr());
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
