//! Memory that belongs to C: pointers are checked, structs may be of another version's size, text always ends.
//!
//! Nearly all `unsafe` of this crate is here. What makes it sound is the caller's promise, which a `Caller` stands for.

pub mod place;

use std::ffi::c_char;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use portlease::PortMappingError;

pub(crate) use place::{To, field, fill};

type Result<T> = std::result::Result<T, PortMappingError>;

/// No version of any struct is larger than this: a larger `struct_size` was never set.
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

/// The promise of a C program that calls a function of the header: every pointer that it passes is NULL or good for what
/// the header says about that argument, until the call ends. With it the methods below can be safe.
#[derive(Clone, Copy)]
pub(crate) struct Caller<'c>(PhantomData<&'c ()>);

impl<'c> Caller<'c> {
    /// # Safety
    /// A C program has called a function of the header, keeps its rules, and only its arguments are given to the methods.
    pub(crate) unsafe fn new() -> Self {
        Self(PhantomData)
    }

    /// A handle.
    pub(crate) fn handle<T>(self, argument: &'static str, pointer: *const T) -> Result<&'c T> {
        check(argument, pointer)?;
        // SAFETY: `HandleOut::put` has made it, and the caller has not freed it.
        Ok(unsafe { &*pointer })
    }

    /// A handle that the caller frees; NULL is none.
    pub(crate) fn take<T>(self, pointer: *mut T) -> Option<Box<T>> {
        // SAFETY: `HandleOut::put` has made it of a box, and the caller uses it no more.
        (!pointer.is_null()).then(|| unsafe { Box::from_raw(pointer) })
    }

    /// Where a new handle goes. It is NULL until there is one.
    pub(crate) fn handle_out<T>(self, argument: &'static str, pointer: *mut *mut T) -> Result<HandleOut<'c, T>> {
        let to = self.place(argument, pointer)?;
        to.set(std::ptr::null_mut());
        Ok(HandleOut(to))
    }

    /// Where new handles go: an array, which is NULL as far as there are none. `pointer` may be NULL if `capacity` is 0.
    pub(crate) fn handles_out<T>(
        self,
        argument: &'static str,
        pointer: *mut *mut T,
        capacity: usize,
    ) -> Result<Vec<HandleOut<'c, T>>> {
        if capacity > 0 {
            check(argument, pointer)?;
        }
        (0..capacity).map(|index| self.handle_out(argument, pointer.wrapping_add(index))).collect()
    }

    /// Where a value goes that is not a struct that may grow.
    pub(crate) fn place<T: Copy>(self, argument: &'static str, pointer: *mut T) -> Result<To<'c, T>> {
        check(argument, pointer)?;
        Ok(To::new(pointer))
    }

    /// The same, if the caller wants it.
    pub(crate) fn optional_place<T: Copy>(self, argument: &'static str, pointer: *mut T) -> Result<Option<To<'c, T>>> {
        (!pointer.is_null()).then(|| self.place(argument, pointer)).transpose()
    }

    /// A struct that is to be filled in.
    pub(crate) fn out<T: Growing>(self, argument: &'static str, pointer: *mut T) -> Result<Out<'c, T>> {
        Ok(Out { size: self.struct_size(argument, pointer)?, to: To::new(pointer) })
    }

    /// The same, if the caller wants it.
    pub(crate) fn optional_out<T: Growing>(
        self,
        argument: &'static str,
        pointer: *mut T,
    ) -> Result<Option<Out<'c, T>>> {
        (!pointer.is_null()).then(|| self.out(argument, pointer)).transpose()
    }

    /// An array that is to be filled in; `pointer` may be NULL if `capacity` is 0.
    pub(crate) fn out_array<T: Growing>(
        self,
        argument: &'static str,
        pointer: *mut T,
        capacity: usize,
    ) -> Result<OutArray<'c, T>> {
        let first = (capacity > 0).then(|| self.out(argument, pointer)).transpose()?;
        Ok(OutArray { first, capacity })
    }

    fn struct_size<T: Growing>(self, argument: &'static str, pointer: *const T) -> Result<usize> {
        check(argument, pointer)?;
        let size = To::new(pointer.cast_mut().cast::<usize>()).get();
        // A size that sizeof cannot give would also put the items of an array out of alignment.
        if size < T::FIRST_SIZE || size > MAX_STRUCT_SIZE || !size.is_multiple_of(align_of::<T>()) {
            let (name, expected) = (T::NAME, size_of::<T>());
            let message = format!("struct_size is {size}; set it to sizeof({name}), here {expected}");
            return Err(PortMappingError::invalid(argument, message));
        }
        Ok(size)
    }

    /// Copies a struct of options. Fields that an older program does not have are zero; those that a newer program has
    /// and this version does not know must be zero.
    pub(crate) fn read<T: Options>(self, argument: &'static str, pointer: *const T) -> Result<T> {
        let size = self.struct_size(argument, pointer)?;
        let known = size.min(size_of::<T>());
        let mut copy = MaybeUninit::<T>::zeroed();
        // SAFETY: the struct has as many bytes as it says, and any bytes are a value (`Options`).
        let (copy, unknown) = unsafe {
            pointer.cast::<u8>().copy_to_nonoverlapping(copy.as_mut_ptr().cast(), known);
            (copy.assume_init(), std::slice::from_raw_parts(pointer.cast::<u8>().add(known), size - known))
        };
        if let Some(at) = unknown.iter().position(|byte| *byte != 0) {
            let message =
                format!("byte {} is set, which this version ({}) does not know", known + at, crate::version::VERSION);
            return Err(PortMappingError::invalid(argument, message));
        }
        Ok(copy)
    }

    /// The same, if the caller gives one.
    pub(crate) fn optional_read<T: Options>(self, argument: &'static str, pointer: *const T) -> Result<Option<T>> {
        (!pointer.is_null()).then(|| self.read(argument, pointer)).transpose()
    }

    /// Text; `None` for NULL and for empty text. Reads no more than `limit` bytes and the zero after them.
    pub(crate) fn text(self, argument: &'static str, pointer: *const c_char, limit: usize) -> Result<Option<&'c str>> {
        let text = self.bytes(argument, pointer, limit)?.map(std::str::from_utf8).transpose();
        text.map_err(|_| PortMappingError::invalid(argument, "the text is not UTF-8"))
    }

    /// The same for text of any encoding.
    pub(crate) fn bytes(
        self,
        argument: &'static str,
        pointer: *const c_char,
        limit: usize,
    ) -> Result<Option<&'c [u8]>> {
        if pointer.is_null() {
            return Ok(None);
        }
        let start = pointer.cast::<u8>();
        // SAFETY: the text can be read up to its zero byte, and no byte after that is looked at.
        let bytes = unsafe {
            let length = (0..=limit).find(|at| *start.add(*at) == 0);
            length.map(|length| std::slice::from_raw_parts(start, length))
        };
        let Some(bytes) = bytes else {
            let message = format!("the text is longer than {limit} bytes, or has no end");
            return Err(PortMappingError::invalid(argument, message));
        };
        Ok((!bytes.is_empty()).then_some(bytes))
    }
}

fn check<T>(argument: &'static str, pointer: *const T) -> Result<()> {
    if pointer.is_null() {
        return Err(PortMappingError::invalid(argument, "the pointer is NULL"));
    }
    if !pointer.is_aligned() {
        return Err(PortMappingError::invalid(argument, "the pointer is not aligned"));
    }
    Ok(())
}

/// Where a new handle goes.
pub(crate) struct HandleOut<'c, T>(To<'c, *mut T>);

impl<T> HandleOut<'_, T> {
    pub(crate) fn put(self, handle: T) {
        self.0.set(Box::into_raw(Box::new(handle)));
    }
}

/// A struct of the caller that is to be filled in.
pub(crate) struct Out<'c, T> {
    to: To<'c, T>,
    size: usize,
}

impl<'c, T: Growing> Out<'c, T> {
    /// The struct itself. A field that came later may be used only if it is whole.
    pub(crate) fn place(&self) -> To<'c, T> {
        self.to
    }

    /// Whether it has all the fields that this version knows.
    pub(crate) fn is_whole(&self) -> bool {
        self.size >= size_of::<T>()
    }

    /// Lets `fill` write every field but `struct_size`. An older program gets the fields that it has; those that a
    /// newer one has beyond this version become zero.
    pub(crate) fn put(&self, fill: impl FnOnce(To<'_, T>)) {
        if self.size == size_of::<T>() {
            return fill(self.to);
        }
        let mut whole = MaybeUninit::<T>::zeroed();
        fill(To::local(&mut whole));
        let (from, to) = (whole.as_ptr().cast::<u8>(), self.to.pointer().cast::<u8>());
        let known = self.size.min(size_of::<T>());
        let start = size_of::<usize>();
        // SAFETY: the struct has `size` bytes, which is at least `known`.
        unsafe {
            from.add(start).copy_to_nonoverlapping(to.add(start), known - start);
            to.add(known).write_bytes(0, self.size - known);
        }
    }
}

/// An array of the caller that is to be filled in; the first item's `struct_size` is that of all.
pub(crate) struct OutArray<'c, T> {
    first: Option<Out<'c, T>>,
    capacity: usize,
}

impl<T: Growing> OutArray<'_, T> {
    /// Fills in as many items as there is room for.
    pub(crate) fn put<V>(&self, values: impl IntoIterator<Item = V>, fill: impl Fn(To<'_, T>, V)) {
        let Some(first) = &self.first else { return };
        for (index, value) in values.into_iter().take(self.capacity).enumerate() {
            // SAFETY: the array has `capacity` items of this size.
            let item = unsafe { first.to.pointer().cast::<u8>().add(index * first.size) };
            To::new(item.cast::<usize>()).set(first.size);
            Out { to: To::new(item.cast::<T>()), size: first.size }.put(|to| fill(to, value));
        }
    }
}

/// The bytes of a value of C that may be no value of the type in Rust.
fn bytes_of<T, const N: usize>(value: MaybeUninit<T>) -> [u8; N] {
    const { assert!(size_of::<T>() == N) };
    // SAFETY: the sizes are the same, and what C passed by value or in zeroed memory is initialised.
    unsafe { std::mem::transmute_copy(&value) }
}

/// The number that C passed as an enum, which is an int there; any number can stand in it.
pub(crate) fn number<T>(value: MaybeUninit<T>) -> i32 {
    i32::from_ne_bytes(bytes_of(value))
}

/// The error about a number that is not a value of an enum.
pub(crate) fn not_one_of(argument: &'static str, number: i32, allowed: &str) -> PortMappingError {
    PortMappingError::invalid(argument, format!("must be {allowed}, not {number}"))
}

/// What C takes for true: any byte but zero.
pub(crate) fn truth(value: MaybeUninit<bool>) -> bool {
    bytes_of(value) != [0]
}

/// Asserts that `struct_size` comes first.
pub(crate) const fn first(offset: usize) {
    assert!(offset == 0, "struct_size is not the first field");
}

/// Asserts that there is no padding behind the last field: a field that is added there must make the struct larger, or
/// programs of different versions could not tell. For the same reason added fields leave no padding between them.
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
