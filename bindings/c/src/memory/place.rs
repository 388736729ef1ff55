//! A place in the caller's memory that can be written, and what is written there.

use std::ffi::c_char;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::net::IpAddr;

use portlease::ScopedAddr;

/// The size of an address as text with its end: INET6_ADDRSTRLEN, `%`, and an interface's name of 15 bytes.
pub const PORTLEASE_ADDRESS_SIZE: usize = 62;

/// What can be read from a struct that is otherwise only written.
///
/// # Safety
/// Any bytes are a value of the type.
pub(crate) unsafe trait Plain: Copy {}

// SAFETY: a number.
unsafe impl Plain for usize {}
// SAFETY: a pointer that is only checked and passed on.
unsafe impl<T> Plain for *mut T {}

/// A place that can be written: a value of the caller's, or a field of one. There is never a reference to it, because
/// the caller may not have initialised it.
#[derive(Clone, Copy)]
pub(crate) struct To<'c, T> {
    pointer: *mut T,
    caller: PhantomData<&'c T>,
}

impl<'c, T> To<'c, T> {
    /// Only for [`super`], which checks pointers: `pointer` can be written as long as `'c`.
    pub(super) fn new(pointer: *mut T) -> Self {
        Self { pointer, caller: PhantomData }
    }

    /// A place of this crate.
    pub(crate) fn local(place: &'c mut MaybeUninit<T>) -> Self {
        Self::new(place.as_mut_ptr())
    }

    /// Where it is.
    pub(crate) fn pointer(self) -> *mut T {
        self.pointer
    }

    /// For [`field!`].
    ///
    /// # Safety
    /// `field` points to a field of this place.
    pub(crate) unsafe fn within<F>(self, field: *mut F) -> To<'c, F> {
        To::new(field)
    }

    pub(crate) fn set(self, value: T) {
        // SAFETY: the place can be written.
        unsafe { self.pointer.write(value) }
    }

    pub(crate) fn get(self) -> T
    where
        T: Plain,
    {
        // SAFETY: the caller has initialised what is read, and any bytes are a value (`Plain`).
        unsafe { self.pointer.read() }
    }
}

impl<const N: usize> To<'_, [c_char; N]> {
    /// Writes text and its end; text that is too long is cut off between two characters.
    pub(crate) fn set_text(self, text: &str) {
        let end = (0..N.min(text.len() + 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
        self.set_bytes(&text.as_bytes()[..end]);
    }

    fn set_bytes(self, bytes: &[u8]) {
        assert!(bytes.len() < N, "there is no room for the end");
        let to = self.pointer.cast::<u8>();
        // SAFETY: the place has `N` bytes, and these with their zero are no more.
        unsafe {
            bytes.as_ptr().copy_to_nonoverlapping(to, bytes.len());
            to.add(bytes.len()).write(0);
        }
    }
}

impl To<'_, [c_char; PORTLEASE_ADDRESS_SIZE]> {
    /// Writes an address with its scope; empty text if there is none.
    pub(crate) fn set_scoped_address(self, address: Option<ScopedAddr>) {
        match address.filter(|address| address.scope().is_some()) {
            Some(address) => self.set_text(&address.to_string()),
            None => self.set_address(address.map(|address| address.ip())),
        }
    }

    /// Writes an address; empty text if there is none.
    pub(crate) fn set_address(self, address: Option<IpAddr>) {
        let Some(IpAddr::V4(address)) = address else {
            return self.set_text(&address.map(|address| address.to_string()).unwrap_or_default());
        };
        // By hand: otherwise this is most of the cost of a snapshot.
        let mut text = [0_u8; 16];
        let mut end = 0;
        for octet in address.octets() {
            for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
                if octet >= least {
                    text[end] = b'0' + digit;
                    end += 1;
                }
            }
            text[end] = b'.';
            end += 1;
        }
        self.set_bytes(&text[..end - 1]);
    }
}

/// A field of a [`To`], as a `To`.
macro_rules! field {
    ($to:expr, $field:ident) => {{
        let to = $to;
        // SAFETY: it is a field of that place.
        unsafe { to.within(&raw mut (*to.pointer()).$field) }
    }};
}
pub(crate) use field;

/// Sets fields of a [`To`].
macro_rules! fill {
    ($to:expr, { $($field:ident: $value:expr),+ $(,)? }) => {{
        let to = $to;
        $(crate::memory::place::field!(to, $field).set($value);)+
    }};
}
pub(crate) use fill;
