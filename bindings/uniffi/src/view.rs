//! Snapshots in one call that fills memory of the host's: UniFFI's own way takes four calls and several structures, which
//! on the JVM cost thirty microseconds.
//!
//! A host asks its handle for `address` once, and holds the handle during each call. What is written is what UniFFI
//! would write, so the host reads it by what UniFFI generates.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::UniFfiTag;
use crate::held::Held;
use crate::snapshot::{LeaseSnapshot, MapperSnapshot};

/// The answer if the library has a defect.
const PANICKED: i64 = -1;

/// Where a handle's core is, for the functions here.
pub(crate) fn address<T>(core: &T) -> i64 {
    ptr::from_ref(core).expose_provenance() as i64
}

/// Writes the snapshot of a lease into `capacity` bytes from `buffer` on, and answers with its length. If that is more
/// than `capacity`, nothing was written. -1 if the library has a defect.
///
/// # Safety
/// `lease` is the `address` of a lease whose handle is held until this returns. `buffer` has `capacity` bytes that
/// nobody else uses until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_uniffi_view_lease(lease: i64, buffer: i64, capacity: i64) -> i64 {
    // SAFETY: the caller's promises are those that `view` asks for.
    unsafe { view::<Held, LeaseSnapshot>(lease, buffer, capacity, |held| held.lease().snapshot().into()) }
}

/// As [`portlease_uniffi_view_lease`], of a mapper.
///
/// # Safety
/// `mapper` is the `address` of a mapper whose handle is held until this returns. `buffer` has `capacity` bytes that
/// nobody else uses until then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn portlease_uniffi_view_mapper(mapper: i64, buffer: i64, capacity: i64) -> i64 {
    // SAFETY: the caller's promises are those that `view` asks for.
    unsafe { view::<portlease::Mapper, MapperSnapshot>(mapper, buffer, capacity, |mapper| mapper.snapshot().into()) }
}

/// Writes what `read` gives, as the exported functions say.
///
/// # Safety
/// `core` is the [`address`] of a `C` that lives until this returns. `buffer` has `capacity` bytes that nobody else uses
/// until then.
unsafe fn view<C, T: uniffi::Lower<UniFfiTag>>(core: i64, buffer: i64, capacity: i64, read: fn(&C) -> T) -> i64 {
    // SAFETY: the caller says that there is a `C`; shared references to it are all that anybody has.
    let core = unsafe { &*ptr::with_exposed_provenance::<C>(core as usize) };
    let written = catch_unwind(AssertUnwindSafe(|| {
        let mut bytes = Vec::with_capacity(usize::try_from(capacity).unwrap_or_default());
        T::write(read(core), &mut bytes);
        bytes
    }));
    let Ok(bytes) = written else { return PANICKED };
    let length = i64::try_from(bytes.len()).unwrap_or(PANICKED);
    if length <= capacity {
        // SAFETY: there are `capacity` bytes from `buffer` on, which is no less than `bytes` has, and they are not part
        // of a `Vec` that was made just now.
        unsafe {
            ptr::with_exposed_provenance_mut::<u8>(buffer as usize)
                .copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        }
    }
    length
}
