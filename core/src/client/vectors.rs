//! `tests/vectors`: what gateways have answered. The tests of each codec replay them, and `make fuzz` starts from them.
//!
//! A file is one message. A `.hex` file writes a datagram as hexadecimal digits below comments that start with `#`;
//! every other file is the message, byte for byte. A folder belongs to the fuzz target of the same name.

use std::path::PathBuf;

/// What says how the files of a folder read, where they cannot say so themselves.
pub(crate) const EXPECTED: &str = "expected.json";

/// One message.
pub(crate) struct Vector {
    /// The file's name.
    pub(crate) name: String,
    /// What came over the network.
    pub(crate) message: Vec<u8>,
    comments: String,
}

impl Vector {
    /// The value behind `# name: ` in a `.hex` file.
    pub(crate) fn field(&self, name: &str) -> &str {
        let mut lines = self.comments.lines();
        let value = lines.find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "));
        value.unwrap_or_else(|| panic!("{} has no `# {name}: `", self.name))
    }
}

/// Where the vectors of a fuzz target are.
pub(crate) fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors").join(name)
}

/// Every vector of a folder, by name.
pub(crate) fn read(name: &str) -> Vec<Vector> {
    let mut vectors = Vec::new();
    for entry in folder(name).read_dir().unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = std::fs::read(&path).unwrap();
        let hexadecimal = path.extension().is_some_and(|extension| extension == "hex");
        if hexadecimal {
            let text = String::from_utf8(bytes).unwrap();
            let (comments, digits): (Vec<_>, Vec<_>) = text.lines().partition(|line| line.starts_with('#'));
            vectors.push(Vector { name, message: hex(&digits.concat()), comments: comments.join("\n") });
        } else if name != EXPECTED {
            vectors.push(Vector { name, message: bytes, comments: String::new() });
        }
    }
    vectors.sort_by(|a, b| a.name.cmp(&b.name));
    assert!(vectors.len() >= 10, "only {} vectors in {name}", vectors.len());
    vectors
}

/// Bytes out of hexadecimal digits, with white space anywhere.
pub(crate) fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<_> =
        text.chars().filter(|c| !c.is_whitespace()).map(|c| c.to_digit(16).expect("a hex digit")).collect();
    assert!(digits.len().is_multiple_of(2), "half a byte in {text}");
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]).try_into().unwrap()).collect()
}

/// The names of the fuzz targets.
fn targets() -> Vec<String> {
    let manifest = folder("../fuzz/Cargo.toml");
    let manifest = std::fs::read_to_string(manifest).unwrap();
    let binaries = manifest.split("[[bin]]").skip(1);
    binaries.map(|binary| binary.split('"').nth(1).unwrap().to_owned()).collect()
}

/// The other tests that call [`read`] prove that each seed reads as its vector says. With `FUZZ_SEEDS` set this test
/// also writes the seeds to that folder, for `make fuzz`: an empty message is no seed, libFuzzer tries that anyway.
#[test]
fn every_fuzz_target_starts_from_the_vectors_of_its_name() {
    let mut targets = targets();
    targets.sort();
    let folders = folder("").read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut folders: Vec<_> = folders.collect();
    folders.sort();
    assert_eq!(targets, folders, "tests/fuzz/Cargo.toml and tests/vectors name different targets");
    for target in targets {
        let seeds: Vec<_> = read(&target).into_iter().filter(|vector| !vector.message.is_empty()).collect();
        assert!(!seeds.is_empty(), "{target} has no seed");
        let Some(folder) = std::env::var_os("FUZZ_SEEDS").map(|seeds| PathBuf::from(seeds).join(&target)) else {
            continue;
        };
        std::fs::create_dir_all(&folder).unwrap();
        for seed in seeds {
            std::fs::write(folder.join(seed.name), seed.message).unwrap();
        }
    }
}
