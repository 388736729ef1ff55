//! Memory that belongs to C: pointers are checked, structs may be of another version's size, text always ends.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::time::Duration;

use portlease::PortMappingError;

type Result<T> = std::result::Result<T, PortMappingError>;

/// The size of an address as text with its end: as INET6_ADDRSTRLEN.
pub const PORTLEASE_ADDRESS_SIZE: usize = 46;

/// No version of any struct is larger than this: a `struct_size` beyond is one that nobody has set.
const MAX_STRUCT_SIZE: usize = 64 * 1024;

/// A struct of the header that may grow at its end.
///
/// # Safety
/// The type is `repr(C)`, and its first field is `struct_size: usize`.
pub(crate) unsafe trait Growing: Copy {
    /// The size that it had when it first was in the header.
    const FIRST_SIZE: usize;
    /// Its name in the header.
    const NAME: &'static str;
}

/// One that the caller fills in.
///
/// # Safety
/// Any bytes are a value of the type.
pub(crate) unsafe trait Options: Growing {}

fn null(argument: &'static str) -> PortMappingError {
    PortMappingError::invalid(argument, "the pointer is NULL")
}

fn check<T>(argument: &'static str, pointer: *const T) -> Result<()> {
    if pointer.is_null() {
        return Err(null(argument));
    }
    if !pointer.is_aligned() {
        return Err(PortMappingError::invalid(argument, "the pointer is not aligned"));
    }
    Ok(())
}

/// A handle of the caller.
///
/// # Safety
/// `pointer` is NULL, or what a function of this crate gave out and nobody has freed.
pub(crate) unsafe fn handle<'a, T>(argument: &'static str, pointer: *const T) -> Result<&'a T> {
    check(argument, pointer)?;
    Ok(unsafe { &*pointer })
}

/// Takes a handle back that was given out by [`Place::put`]; NULL is none.
///
/// # Safety
/// As [`handle`]; nobody uses it any more.
pub(crate) unsafe fn take<T>(pointer: *mut T) -> Option<Box<T>> {
    (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
}

/// Where a new handle goes. NULL is put there until there is one.
pub(crate) struct Place<T>(*mut *mut T);

impl<T> Place<T> {
    /// # Safety
    /// `pointer` is NULL or can be written.
    pub(crate) unsafe fn new(argument: &'static str, pointer: *mut *mut T) -> Result<Self> {
        check(argument, pointer)?;
        unsafe { pointer.write(std::ptr::null_mut()) };
        Ok(Self(pointer))
    }

    pub(crate) fn put(self, handle: T) {
        // `new` has checked the pointer, and its caller has promised the rest.
        unsafe { self.0.write(Box::into_raw(Box::new(handle))) }
    }
}

/// # Safety
/// `pointer` is NULL or points to a struct whose `struct_size` can be read.
unsafe fn struct_size<T: Growing>(argument: &'static str, pointer: *const T) -> Result<usize> {
    check(argument, pointer)?;
    let size = unsafe { pointer.cast::<usize>().read() };
    // A size that sizeof cannot give would also put the items of an array out of alignment.
    if size < T::FIRST_SIZE || size > MAX_STRUCT_SIZE || !size.is_multiple_of(align_of::<T>()) {
        let (name, expected) = (T::NAME, size_of::<T>());
        let message = format!("struct_size is {size}; set it to sizeof({name}), here {expected}");
        return Err(PortMappingError::invalid(argument, message));
    }
    Ok(size)
}

/// Copies a struct of options: what an older program does not have is zero, what a newer one has beyond this version
/// must be.
///
/// # Safety
/// `pointer` is NULL or points to as many bytes as its `struct_size` says.
pub(crate) unsafe fn read<T: Options>(argument: &'static str, pointer: *const T) -> Result<T> {
    let size = unsafe { struct_size(argument, pointer)? };
    let known = size.min(size_of::<T>());
    let mut copy = MaybeUninit::<T>::zeroed();
    let unknown = unsafe {
        pointer.cast::<u8>().copy_to_nonoverlapping(copy.as_mut_ptr().cast(), known);
        std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known)
    };
    if let Some(at) = unknown.iter().position(|byte| *byte != 0) {
        let message =
            format!("byte {} is set, which this version ({}) does not know", known + at, crate::version::VERSION);
        return Err(PortMappingError::invalid(argument, message));
    }
    // Any bytes are a value (`Options`).
    Ok(unsafe { copy.assume_init() })
}

/// A struct of the caller that is to be filled in.
pub(crate) struct Out<T> {
    pointer: *mut T,
    size: usize,
}

impl<T: Growing> Out<T> {
    /// # Safety
    /// `pointer` is NULL or points to as many bytes as its `struct_size` says, for as long as the `Out` lives.
    pub(crate) unsafe fn new(argument: &'static str, pointer: *mut T) -> Result<Self> {
        Ok(Self { pointer, size: unsafe { struct_size(argument, pointer)? } })
    }

    /// The same, where NULL means that the caller does not want it.
    ///
    /// # Safety
    /// As [`new`](Self::new).
    pub(crate) unsafe fn optional(argument: &'static str, pointer: *mut T) -> Result<Option<Self>> {
        (!pointer.is_null()).then(|| unsafe { Self::new(argument, pointer) }).transpose()
    }

    /// Lets `fill` write every field but `struct_size`. An older program gets the fields that it has; those that a
    /// newer one has beyond this version become zero.
    pub(crate) fn put(&self, fill: impl FnOnce(*mut T)) {
        if self.size == size_of::<T>() {
            return fill(self.pointer);
        }
        let mut whole = MaybeUninit::<T>::zeroed();
        fill(whole.as_mut_ptr());
        let (from, to) = (whole.as_ptr().cast::<u8>(), self.pointer.cast::<u8>());
        let known = self.size.min(size_of::<T>());
        let start = size_of::<usize>();
        // `new` has checked the pointer and the size, and its caller has promised the rest.
        unsafe {
            from.add(start).copy_to_nonoverlapping(to.add(start), known - start);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}

/// An array of the caller that is to be filled in; the first item's `struct_size` is that of all.
pub(crate) struct OutArray<T> {
    first: Option<Out<T>>,
    capacity: usize,
}

impl<T: Growing> OutArray<T> {
    /// # Safety
    /// `pointer` points to `capacity` items, or `capacity` is 0.
    pub(crate) unsafe fn new(argument: &'static str, pointer: *mut T, capacity: usize) -> Result<Self> {
        let first = match capacity {
            0 => None,
            _ => Some(unsafe { Out::new(argument, pointer)? }),
        };
        Ok(Self { first, capacity })
    }

    /// Fills in as many items as there is room for.
    pub(crate) fn put<V>(&self, values: impl IntoIterator<Item = V>, fill: impl Fn(*mut T, V)) {
        let Some(first) = &self.first else { return };
        for (index, value) in values.into_iter().take(self.capacity).enumerate() {
            // Within the array, which is items of this size.
            let item = unsafe { first.pointer.cast::<u8>().add(index * first.size) }.cast::<T>();
            unsafe { item.cast::<usize>().write(first.size) };
            Out { pointer: item, size: first.size }.put(|to| fill(to, value));
        }
    }
}

/// Text of the caller; `None` for NULL and for empty text. Reads no more than `limit` bytes and the end behind them.
///
/// # Safety
/// `pointer` is NULL, or can be read up to a zero byte or for `limit + 1` bytes.
pub(crate) unsafe fn text<'a>(argument: &'static str, pointer: *const c_char, limit: usize) -> Result<Option<&'a str>> {
    if pointer.is_null() {
        return Ok(None);
    }
    let start = pointer.cast::<u8>();
    let Some(length) = (0..=limit).find(|at| unsafe { *start.add(*at) } == 0) else {
        let message = format!("the text is longer than {limit} bytes, or has no end");
        return Err(PortMappingError::invalid(argument, message));
    };
    let bytes = unsafe { std::slice::from_raw_parts(start, length) };
    match std::str::from_utf8(bytes) {
        Ok("") => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(_) => Err(PortMappingError::invalid(argument, "the text is not UTF-8")),
    }
}

/// A time-out in seconds. `None` waits without limit, or as long as the call does by default.
pub(crate) fn timeout(seconds: f64) -> Result<Option<Duration>> {
    if seconds.is_nan() {
        return Err(PortMappingError::invalid("timeout", "it is not a number; allowed are seconds from 0 to INFINITY"));
    }
    // Negative: the default. What no clock can count is as good as for ever.
    Ok((seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

/// Writes text and its end; what is too long is cut off between two characters.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_text<const N: usize>(to: *mut [c_char; N], text: &str) {
    let end = (0..N.min(text.len() + 1)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let to = to.cast::<u8>();
    unsafe {
        text.as_ptr().copy_to_nonoverlapping(to, end);
        to.add(end).write(0);
    }
}

/// Writes an address; empty where there is none.
///
/// # Safety
/// `to` can be written.
pub(crate) unsafe fn put_address(to: *mut [c_char; PORTLEASE_ADDRESS_SIZE], address: Option<IpAddr>) {
    let Some(IpAddr::V4(address)) = address else {
        let text = address.map(|address| address.to_string()).unwrap_or_default();
        return unsafe { put_text(to, &text) };
    };
    // By hand: this is most of the cost of a snapshot otherwise.
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
    text[end - 1] = 0;
    unsafe { text.as_ptr().copy_to_nonoverlapping(to.cast(), end) }
}

/// That `struct_size` comes first.
pub(crate) const fn first(offset: usize) {
    assert!(offset == 0, "struct_size is not the first field");
}

/// That no padding is behind the last field: a field that is added there must make the struct larger, or programs of
/// different versions could not tell. For the same reason added fields leave no padding between them.
pub(crate) const fn last(offset: usize, size: usize, of: usize) {
    assert!(offset + size == of, "there is padding behind the last field: see padding in bindings/generate/data.toml");
}

/// Says of structs, with their last fields, that they may grow; of one that has grown, also the first field of those that
/// came later.
macro_rules! growing {
    ($($type:ident: $last:ident $size:ty $(=> $new:ident)?),+ $(,)?) => {$(
        const _: () = crate::memory::first(std::mem::offset_of!($type, struct_size));
        const _: () = crate::memory::last(std::mem::offset_of!($type, $last), size_of::<$size>(), size_of::<$type>());
        // SAFETY: it is `repr(C)`, and `struct_size` is checked above.
        unsafe impl crate::memory::Growing for $type {
            const FIRST_SIZE: usize = [$(std::mem::offset_of!($type, $new),)? size_of::<$type>()][0];
            const NAME: &'static str = stringify!($type);
        }
    )+};
}
pub(crate) use growing;

#[cfg(test)]
#[path = "memory_tests.rs"]
mod tests;
