//! What C gives is read and written here, and nothing unwinds into C.

use std::ffi::{CStr, c_char, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use portlease_host::thread::{self, Uncancelled};

/// Runs the body of an exported function; answers with `defect` if it panics.
pub(crate) fn guard<T>(defect: T, body: impl FnOnce() -> T) -> T {
    let _uncancelled = Uncancelled::new();
    thread::enter();
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(defect)
}

/// The text at `text`; `None` for NULL. What is no UTF-8 is replaced.
///
/// # Safety
/// `text` is NULL or leads to a string with its end.
pub(crate) unsafe fn read(text: *const c_char) -> Option<String> {
    // SAFETY: the promise is this function's, and NULL is left out.
    (!text.is_null()).then(|| unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}

/// The text in a field of a struct that a program may have filled in itself, so that it may have no end.
pub(crate) fn read_field(field: &[c_char]) -> String {
    let bytes: Vec<u8> = field.iter().map(|byte| byte.to_ne_bytes()[0]).take_while(|byte| *byte != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes `text` and its end to `size` bytes; what does not fit is cut off. NULL gets nothing.
///
/// # Safety
/// `to` is NULL or leads to `size` bytes that nobody else uses.
pub(crate) unsafe fn write(to: *mut c_char, size: usize, text: &str) {
    let Some(room) = size.checked_sub(1).filter(|_| !to.is_null()) else { return };
    let mut cut = text.len().min(room);
    while !text.is_char_boundary(cut) {
        cut -= 1;
    }
    // SAFETY: `cut` bytes and the end fit into `size`, and a Rust string does not overlap with what the caller lends.
    unsafe {
        ptr::copy_nonoverlapping(text.as_ptr(), to.cast(), cut);
        to.add(cut).write(0);
    }
}

/// Writes a value; NULL gets nothing.
///
/// # Safety
/// `to` is NULL or leads to a `T` that nobody else uses; it need not be initialized.
pub(crate) unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the promise is this function's.
        unsafe { to.write(value) };
    }
}

/// A copy of `text` from malloc(3), for those who give it to free(3). NULL if there is no memory.
pub(crate) fn allocate(text: &str) -> *mut c_char {
    let size = text.len() + 1;
    // SAFETY: the size is not 0.
    let copy: *mut c_char = unsafe { libc::malloc(size) }.cast();
    // SAFETY: `copy` is NULL or has `size` bytes.
    unsafe { write(copy, size, text) };
    copy
}

/// Gives back what [`allocate`] gave, and leaves NULL.
///
/// # Safety
/// `text` leads to NULL or to memory of malloc(3) that nobody uses any more.
pub(crate) unsafe fn free(text: &mut *mut c_char) {
    // SAFETY: the promise is this function's; free(3) takes NULL.
    unsafe { libc::free(std::mem::replace(text, ptr::null_mut()).cast()) };
}

/// A count that C gives as an int: less than nothing is nothing.
pub(crate) fn size(count: c_int) -> usize {
    usize::try_from(count).unwrap_or(0)
}
