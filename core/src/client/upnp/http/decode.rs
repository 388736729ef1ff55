//! Reads an answer of HTTP. Pure: no I/O.

use std::fmt::{self, Display};

use super::{HttpError, shown};

/// The largest body that is read. Descriptions above 16 KB exist.
pub(crate) const MAX_BODY: usize = 1024 * 1024;
/// The longest status line and headers that are read, interim answers included.
pub(crate) const MAX_HEAD: usize = 16 * 1024;
/// The longest line that gives a chunk's size.
const MAX_CHUNK_LINE: usize = 256;

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Response {
    /// The status code.
    pub status: u16,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Display for Response {
    /// For the log: `200, 2345 bytes`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} bytes", self.status, self.body.len())
    }
}

/// Reads an answer piece by piece.
#[derive(Debug)]
pub(crate) struct Decoder {
    state: State,
    /// The line or head that is being read.
    pending: Vec<u8>,
    /// Bytes of heads and framing so far.
    overhead: usize,
    status: u16,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Counted(usize),
    ChunkSize { first: bool },
    Chunk(usize),
    ChunkEnd,
    Trailer,
    ToClose,
    Done,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { state: State::Head, pending: Vec::new(), overhead: 0, status: 0, body: Vec::new() }
    }
}

impl Decoder {
    /// Takes what was received. `Ok(true)`: the answer is complete, the rest is not needed.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<bool, HttpError> {
        while !bytes.is_empty() && self.state != State::Done {
            match self.state {
                State::Counted(left) => {
                    let taken = self.take(&mut bytes, left)?;
                    self.state = if taken == left { State::Done } else { State::Counted(left - taken) };
                }
                State::Chunk(left) => {
                    let taken = self.take(&mut bytes, left)?;
                    self.state = if taken == left { State::ChunkEnd } else { State::Chunk(left - taken) };
                }
                State::ToClose => {
                    self.take(&mut bytes, usize::MAX)?;
                }
                State::Head | State::ChunkSize { .. } | State::ChunkEnd | State::Trailer => self.line(&mut bytes)?,
                State::Done => {}
            }
        }
        Ok(self.state == State::Done)
    }

    /// The connection has ended. A body that is shorter than announced is accepted where there is some of it.
    pub(crate) fn finish(self) -> Result<Response, HttpError> {
        match self.state {
            State::Head => Err(malformed("the connection ended before the answer's head did")),
            State::Counted(_) | State::Chunk(_) | State::ChunkSize { .. } if self.body.is_empty() => {
                Err(malformed("the connection ended before the answer's body came"))
            }
            _ => Ok(Response { status: self.status, body: self.body }),
        }
    }

    /// Moves up to `limit` bytes to the body.
    fn take(&mut self, bytes: &mut &[u8], limit: usize) -> Result<usize, HttpError> {
        let (now, rest) = bytes.split_at(bytes.len().min(limit));
        if self.body.len() + now.len() > MAX_BODY {
            return Err(too_large());
        }
        self.body.extend_from_slice(now);
        *bytes = rest;
        Ok(now.len())
    }

    /// Reads up to the end of a line and acts on the line, if it is complete.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<(), HttpError> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let mut length = end.map_or(bytes.len(), |end| end + 1);
        if matches!(self.state, State::ChunkSize { .. }) {
            // A line that is too long is judged at the same byte, however the network has cut it.
            length = length.min(MAX_CHUNK_LINE + 1 - self.pending.len());
        }
        let (now, rest) = bytes.split_at(length);
        let complete = now.last() == Some(&b'\n');
        self.pending.extend_from_slice(now);
        *bytes = rest;
        self.overhead += now.len();
        let limit = if self.state == State::Head { MAX_HEAD } else { MAX_HEAD + MAX_BODY };
        if self.overhead > limit {
            return Err(malformed(format!("the answer's head is longer than {MAX_HEAD} bytes")));
        }
        match self.state {
            State::Head if complete && ends_with_empty_line(&self.pending) => {
                let head = std::mem::take(&mut self.pending);
                self.head(&head)?;
            }
            State::ChunkSize { first } if complete || self.pending.len() > MAX_CHUNK_LINE => {
                let line = std::mem::take(&mut self.pending);
                self.chunk_size(&line, first, complete)?;
            }
            // The line end behind a chunk, or the trailer: an empty line ends each.
            State::ChunkEnd | State::Trailer if complete => {
                let line = std::mem::take(&mut self.pending);
                self.state = match self.state {
                    State::ChunkEnd => State::ChunkSize { first: false },
                    _ if line.trim_ascii().is_empty() => State::Done,
                    _ => State::Trailer,
                };
            }
            _ => {}
        }
        Ok(())
    }

    fn head(&mut self, head: &[u8]) -> Result<(), HttpError> {
        let text = String::from_utf8_lossy(head);
        let mut lines = text.lines().map(str::trim_end).skip_while(|line| line.is_empty());
        // Empty lines before the status line are skipped; with nothing behind them there is nothing to judge yet.
        let Some(status_line) = lines.next() else { return Ok(()) };
        let mut words = status_line.split_ascii_whitespace();
        let version = words.next().unwrap_or_default();
        let status = words.next().and_then(|word| word.parse::<u16>().ok());
        let (true, Some(status)) = (version.get(..5).is_some_and(|v| v.eq_ignore_ascii_case("HTTP/")), status) else {
            return Err(malformed(format!("the answer does not begin like HTTP: `{}`", shown(status_line))));
        };
        if (100..200).contains(&status) {
            return Ok(());
        }
        self.status = status;
        let mut chunked = false;
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            let (name, value) = (name.trim(), value.trim());
            if name.eq_ignore_ascii_case("Transfer-Encoding") {
                chunked |= value.to_ascii_lowercase().contains("chunked");
            } else if name.eq_ignore_ascii_case("Content-Length") {
                // Without a number there is no length: the connection's end will tell.
                length = length.or_else(|| value.parse::<u64>().ok());
            }
        }
        self.state = match length {
            _ if status == 204 || status == 304 => State::Done,
            _ if chunked => State::ChunkSize { first: true },
            Some(0) => State::Done,
            Some(length) => {
                let length = usize::try_from(length).ok().filter(|length| *length <= MAX_BODY);
                State::Counted(length.ok_or_else(too_large)?)
            }
            None => State::ToClose,
        };
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8], first: bool, complete: bool) -> Result<(), HttpError> {
        let digits = line.split(|&byte| byte == b';').next().unwrap_or_default().trim_ascii();
        let size = std::str::from_utf8(digits).ok().and_then(|digits| usize::from_str_radix(digits, 16).ok());
        let size = size.filter(|_| complete);
        self.state = match size {
            Some(0) => State::Trailer,
            Some(size) if size <= MAX_BODY => State::Chunk(size),
            Some(_) => return Err(too_large()),
            // Says chunked and is not.
            None if first => {
                let mut plain = line;
                self.take(&mut plain, usize::MAX)?;
                State::ToClose
            }
            None => return Err(malformed(format!("a chunk begins with `{}`", shown(&String::from_utf8_lossy(line))))),
        };
        Ok(())
    }
}

/// Reads an answer that is here as a whole.
#[cfg(any(fuzzing, test))]
pub(crate) fn parse_response(bytes: &[u8]) -> Result<Response, HttpError> {
    let mut decoder = Decoder::default();
    decoder.feed(bytes)?;
    decoder.finish()
}

fn ends_with_empty_line(head: &[u8]) -> bool {
    head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") || head == b"\r\n" || head == b"\n"
}

pub(super) fn malformed(message: impl Into<String>) -> HttpError {
    HttpError::Malformed(message.into())
}

fn too_large() -> HttpError {
    malformed(format!("the answer's body is longer than {MAX_BODY} bytes"))
}
