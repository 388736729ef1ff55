//! Keeps the library that this code is in loaded until the process ends.
//!
//! An engine releases its mappings in the background after its last handle is gone. A program that unloads the library at that
//! moment would take the code away from under the engine's thread. ELF has a mark for such a library, which the linker sets
//! (`-z nodelete`); other systems must be asked.

#![cfg_attr(any(windows, target_vendor = "apple"), expect(unsafe_code, reason = "system calls"))]

use std::sync::Once;

/// To be called before the first thread of this library begins. In a program that has this code in itself it changes nothing.
pub(crate) fn stay() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if !platform::pin() {
            tracing::debug!("this library is not kept from being unloaded");
        }
    });
}

#[cfg(windows)]
mod platform {
    use std::ptr;

    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };

    pub(super) fn pin() -> bool {
        const FLAGS: u32 = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
        let here: fn() -> bool = pin;
        let mut module = ptr::null_mut();
        // SAFETY: by the flag the second argument is any address in the library, not a name; the handle can be written.
        unsafe { GetModuleHandleExW(FLAGS, here as *const u16, &raw mut module) != 0 }
    }
}

#[cfg(target_vendor = "apple")]
mod platform {
    use std::ffi::c_void;
    use std::mem::MaybeUninit;

    pub(super) fn pin() -> bool {
        const FLAGS: libc::c_int = libc::RTLD_LAZY | libc::RTLD_NOLOAD | libc::RTLD_NODELETE;
        let here: fn() -> bool = pin;
        let mut found = MaybeUninit::<libc::Dl_info>::uninit();
        // SAFETY: the place can be written, and is read only if it was; the name is the loader's own and ends with a zero byte.
        // The library is loaded already, so that nothing of it runs; its handle is never closed.
        unsafe {
            libc::dladdr(here as *const c_void, found.as_mut_ptr()) != 0
                && !libc::dlopen(found.assume_init().dli_fname, FLAGS).is_null()
        }
    }
}

/// ELF: the linker has done it.
#[cfg(not(any(windows, target_vendor = "apple")))]
mod platform {
    pub(super) fn pin() -> bool {
        true
    }
}
