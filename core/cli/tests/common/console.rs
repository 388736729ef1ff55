//! Ctrl-Break for one program: the only thing that one program can send to another on Windows, and only to the first process of a
//! process group in its own console.
#![expect(unsafe_code, reason = "system calls")]

use std::os::windows::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Once;

#[link(name = "kernel32")]
unsafe extern "system" {
    fn AllocConsole() -> i32;
    fn GenerateConsoleCtrlEvent(event: u32, group: u32) -> i32;
}

/// Lets the program begin a process group in a console, which is made if there is none.
pub(super) fn in_group(command: &mut Command) {
    const CREATE_NEW_PROCESS_GROUP: u32 = 0x200;
    static CONSOLE: Once = Once::new();
    CONSOLE.call_once(|| {
        // SAFETY: the call has no arguments. It fails if there is a console already.
        unsafe { AllocConsole() };
    });
    command.creation_flags(CREATE_NEW_PROCESS_GROUP);
}

pub(super) fn ctrl_break(child: &Child) {
    const CTRL_BREAK_EVENT: u32 = 1;
    // SAFETY: the call takes numbers.
    let sent = unsafe { GenerateConsoleCtrlEvent(CTRL_BREAK_EVENT, child.id()) };
    assert_ne!(sent, 0, "{}", std::io::Error::last_os_error());
}
