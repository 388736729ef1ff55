//! The folder: which files are there, and how they are read, written and replaced.
//!
//! Every version of a file has a name of its own, so that a name never means two files, and nothing is read half-way: a version
//! is made and held under a temporary name, and then renamed.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::held;
use crate::schedule::STALE_STATE_FILE;

/// A file is read up to here.
pub(super) const MAX_BYTES: usize = 512 * 1024;
/// So many files are looked at, and so many names are read to find them.
const MAX_FILES: usize = 256;
const MAX_NAMES: usize = 4096;
const EXTENSION: &str = ".leases";
/// Of a file that is not whole yet.
const TEMPORARY: &str = ".new";

/// The name of a version of a file: which process's it is, and the number of the version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    process: u64,
    version: u64,
}

impl Name {
    pub(super) const fn new(process: u64, version: u64) -> Self {
        Self { process, version }
    }

    pub(super) const fn is_of(&self, process: u64) -> bool {
        self.process == process
    }

    fn file(&self) -> String {
        format!("{:016x}-{}{EXTENSION}", self.process, self.version)
    }

    fn read(file: &OsStr) -> Option<Self> {
        let (process, version) = file.to_str()?.strip_suffix(EXTENSION)?.split_once('-')?;
        let name = Self { process: u64::from_str_radix(process, 16).ok()?, version: version.parse().ok()? };
        (Some(name.file().as_str()) == file.to_str()).then_some(name)
    }
}

/// What is in the folder.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// The latest version of each file.
    pub(super) files: Vec<Name>,
    /// Earlier versions, which a process leaves that ends at the wrong moment.
    pub(super) superseded: Vec<Name>,
    /// Files that were never whole.
    temporary: Vec<PathBuf>,
    /// There are more than are looked at.
    pub(super) more: bool,
}

/// A file that this process holds, until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    pub(super) fn read(&mut self) -> io::Result<String> {
        read(&mut self.file)
    }

    /// Deletes it, and only then lets go of it. The user may have deleted it before.
    pub(super) fn delete(self) -> io::Result<()> {
        unless_gone(fs::remove_file(&self.path)).map(drop)
    }
}

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// What is there; nothing if there is no folder.
    pub(super) fn content(&self) -> io::Result<Content> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Content::default()),
            Err(error) => return Err(error),
        };
        let mut content = Content::default();
        for (count, entry) in entries.enumerate() {
            if count == MAX_NAMES || content.files.len() == MAX_FILES {
                content.more = true;
                break;
            }
            let file = entry?.file_name();
            if let Some(name) = Name::read(&file) {
                content.files.push(name);
            } else if file.to_str().is_some_and(|file| file.ends_with(TEMPORARY)) {
                content.temporary.push(self.0.join(file));
            }
        }
        content.files.sort();
        let mut latest: Vec<Name> = Vec::new();
        for name in content.files {
            match latest.last_mut().filter(|last| last.process == name.process) {
                Some(last) => content.superseded.push(std::mem::replace(last, name)),
                None => latest.push(name),
            }
        }
        content.files = latest;
        Ok(content)
    }

    pub(super) fn read(&self, name: &Name) -> io::Result<String> {
        read(&mut held::open(&self.0.join(name.file()))?)
    }

    /// Holds a file that nobody else does.
    pub(super) fn take(&self, name: &Name) -> io::Result<Option<Held>> {
        let path = self.0.join(name.file());
        Ok(held::take(&path)?.map(|file| Held { file, path }))
    }

    /// Makes a file, and the folder if there is none. It is held before it has its name.
    pub(super) fn write(&self, name: &Name, text: &str, durable: bool) -> io::Result<Held> {
        self.put(&(name.file() + TEMPORARY), &name.file(), text, durable)
    }

    /// The same for a file that keeps its name, and that nobody holds.
    pub(super) fn replace(&self, file: &str, text: &str) -> io::Result<()> {
        self.put(&format!("{file}-{:016x}{TEMPORARY}", rand::random::<u64>()), file, text, false).map(drop)
    }

    fn put(&self, temporary: &str, name: &str, text: &str, durable: bool) -> io::Result<Held> {
        let (temporary, path) = (self.0.join(temporary), self.0.join(name));
        let file = match held::create(&temporary) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make()?;
                held::create(&temporary)?
            }
            file => file?,
        };
        if let Err(error) = write_named(&file, text, durable, &temporary, &path) {
            // It is no use to anybody; the error that is told is the first.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        // Some file systems cannot. The file has its name, so it must be held all the same.
        if durable && let Err(error) = self.sync() {
            tracing::debug!(%error, folder = %self.0.display(), "the names in the folder may not outlast a power cut");
        }
        Ok(Held { file, path })
    }

    pub(super) fn read_named(&self, file_name: &str) -> io::Result<String> {
        read(&mut held::open(&self.0.join(file_name))?)
    }

    /// Deletes what was never whole and what was replaced, as far as nobody holds it. A file that has just been made may not be
    /// held yet.
    pub(super) fn sweep(&self, content: &Content) -> io::Result<()> {
        for name in &content.superseded {
            // Its holder deletes it too.
            if let Some(held) = unless_gone(self.take(name))?.flatten() {
                held.delete()?;
            }
        }
        for path in &content.temporary {
            let age = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
            let age = age.ok().and_then(|modified| SystemTime::now().duration_since(modified).ok());
            if age.is_some_and(|age| age > STALE_STATE_FILE)
                && let Some(file) = unless_gone(held::take(path))?.flatten()
            {
                Held { file, path: path.clone() }.delete()?;
            }
        }
        Ok(())
    }

    fn make(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.0)
    }

    /// Makes the names durable. Windows does that by itself and has no call for it.
    fn sync(&self) -> io::Result<()> {
        #[cfg(unix)]
        File::open(&self.0)?.sync_all()?;
        Ok(())
    }
}

fn write_named(mut file: &File, text: &str, durable: bool, temporary: &Path, path: &Path) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    if durable {
        file.sync_data()?;
    }
    fs::rename(temporary, path)
}

/// `None` if there is no such file any more.
fn unless_gone<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn read(file: &mut File) -> io::Result<String> {
    let mut bytes = Vec::new();
    file.take(MAX_BYTES as u64).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
