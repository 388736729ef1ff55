//! A file that its process holds: whether anybody does is what tells an orphan from a file in use.

#![cfg_attr(unix, expect(unsafe_code, reason = "system calls"))]

use std::fs::File;
use std::io;
use std::path::Path;

/// Makes a new file and holds it until it is closed.
pub(super) fn create(path: &Path) -> io::Result<File> {
    platform::create(path)
}

/// Holds a file that is there, until it is closed. `None` if somebody else holds it, or if it has been replaced since: its
/// holder lets go of a file only once its name is gone.
pub(super) fn take(path: &Path) -> io::Result<Option<File>> {
    platform::take(path)
}

/// Opens a file to read it, held or not. Fails if it is anything but a file of this user's own; never waits for it.
pub(super) fn open(path: &Path) -> io::Result<File> {
    platform::open(path)
}

#[cfg(unix)]
mod platform {
    use std::fs::{File, OpenOptions, remove_file, symlink_metadata};
    use std::io;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    pub(super) fn create(path: &Path) -> io::Result<File> {
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        let held = lock(&file).and_then(|held| if held { Ok(file) } else { Err(io::ErrorKind::WouldBlock.into()) });
        // On a file system without locks each attempt would leave a file.
        held.inspect_err(|_| drop(remove_file(path)))
    }

    pub(super) fn take(path: &Path) -> io::Result<Option<File>> {
        // NFS locks only what is open for writing.
        let file = open_as(OpenOptions::new().read(true).write(true), path)?;
        if !lock(&file)? {
            return Ok(None);
        }
        let opened = file.metadata()?;
        match symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (opened.dev(), opened.ino()) => Ok(Some(file)),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn open(path: &Path) -> io::Result<File> {
        open_as(OpenOptions::new().read(true), path)
    }

    fn open_as(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        // A link may lead anywhere, and the end of a pipe may never come.
        let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        // SAFETY: the call has no arguments and always succeeds.
        if metadata.uid() != unsafe { libc::geteuid() } {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "the file belongs to another user"));
        }
        Ok(file)
    }

    /// Locks a file as it is open here, so two of one process exclude each other too. `false` if it is locked. Not by std,
    /// whose locks do not work on Android before Rust 1.98.
    fn lock(file: &File) -> io::Result<bool> {
        // SAFETY: the descriptor is open as long as `file` is, and the call takes no pointer.
        if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::WouldBlock { Ok(false) } else { Err(error) }
    }
}

#[cfg(windows)]
mod platform {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::OpenOptionsExt;
    use std::path::Path;

    use windows_sys::Win32::Foundation::ERROR_SHARING_VIOLATION;
    use windows_sys::Win32::Storage::FileSystem::{FILE_FLAG_OPEN_REPARSE_POINT, FILE_SHARE_DELETE, FILE_SHARE_READ};

    /// Who holds a file lets others read, rename and delete it, but not open it for writing, as holding it does.
    fn hold() -> OpenOptions {
        let mut options = OpenOptions::new();
        options.read(true).write(true).share_mode(FILE_SHARE_READ | FILE_SHARE_DELETE);
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT);
        options
    }

    pub(super) fn create(path: &Path) -> io::Result<File> {
        hold().create_new(true).open(path)
    }

    pub(super) fn take(path: &Path) -> io::Result<Option<File>> {
        match hold().open(path) {
            Ok(file) => Ok(path.try_exists()?.then_some(regular(file)?)),
            Err(error) if error.raw_os_error() == Some(ERROR_SHARING_VIOLATION.cast_signed()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn open(path: &Path) -> io::Result<File> {
        regular(OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)?)
    }

    fn regular(file: File) -> io::Result<File> {
        match file.metadata()?.is_file() {
            true => Ok(file),
            false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
        }
    }
}
