"""What is linked into each release library: its crates on all platforms, and Rust's standard library with its own."""
import json
import os
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "target" / "platforms"
CARGO = os.environ.get("CARGO", "cargo")
# The crates that are linked into what users get, and what readers call them.
LIBRARIES = {
    "portlease-c": "C and Go",
    "portlease-python": "Python",
    "portlease-node": "Node",
    "portlease-uniffi": "Kotlin and Swift",
    "portlease-cli": "command line",
}
TRIPLES = (
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
    "x86_64-pc-windows-gnu",
    "x86_64-apple-darwin",
    "aarch64-apple-darwin",
    "x86_64-linux-android",
    "aarch64-linux-android",
    "armv7-linux-androideabi",
)
# The crates of Rust's standard library on these platforms. The others in its lock file are for other systems.
STANDARD = (
    "addr2line", "adler2", "cfg-if", "foldhash", "gimli", "hashbrown", "libc", "memchr", "miniz_oxide", "object", "rustc-demangle",
)


@dataclass(frozen=True, order=True)
class Crate:
    name: str
    version: str
    licence: str
    # Where its source is, with its licences.
    folder: Path
    authors: tuple

    def __str__(self):
        return f"{self.name} {self.version}"


def cargo(*arguments, directory=ROOT):
    done = subprocess.run([CARGO, *arguments], cwd=directory, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"cargo {arguments[0]} failed in {directory}: {done.stderr.strip()}")
    return done.stdout


def crates(directory=ROOT, *options):
    """All crates that the workspace in a folder may need, by name and version."""
    metadata = json.loads(cargo("metadata", "--format-version", "1", *options, directory=directory))
    return {
        (package["name"], package["version"]): Crate(
            package["name"],
            package["version"],
            (package["license"] or "").replace(" / ", " OR ").replace("/", " OR "),
            Path(package["manifest_path"]).parent,
            tuple(package["authors"]),
        )
        for package in metadata["packages"]
    }


def linked(package, known, triples=TRIPLES):
    """The crates that one crate of this workspace is built from, without those that only run while it is built."""
    targets = [argument for triple in triples for argument in ("--target", triple)]
    lines = cargo("tree", "--locked", "-p", package, "-e", "normal", *targets, "--prefix", "none", "--format", "{p}")
    found = set()
    for line in lines.splitlines():
        if line:
            name, version = line.split()[:2]
            found.add(known[name, version.removeprefix("v")])
    return found


def standard():
    """The version of Rust whose standard library is linked in, and the crates that this has from the registry."""
    sources = sorted(PLATFORMS.glob("rust/usr/src/rustc-*/library/Cargo.lock"))
    if len(sources) != 1:
        sys.exit("there is no source of Rust's standard library under target/platforms; run bindings/release/toolchain")
    locked = {package["name"]: package["version"] for package in tomllib.loads(sources[0].read_text())["package"]}
    missing = [name for name in STANDARD if name not in locked]
    if missing:
        sys.exit(f"dependencies.py: Rust's standard library has no {', '.join(missing)} any more; correct STANDARD")
    # Debian's copy has no licence files, so the registry's is asked for, through a workspace of nothing but these.
    folder = PLATFORMS / "standard"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "lib.rs").touch()
    wanted = "".join(f'{name} = "={locked[name]}"\n' for name in STANDARD)
    manifest = f'[workspace]\n[package]\nname = "standard"\nversion = "0.0.0"\nedition = "2024"\n[dependencies]\n{wanted}'
    (folder / "Cargo.toml").write_text(manifest)
    known = crates(folder)
    return sources[0].parents[1].name.removeprefix("rustc-"), {known[name, locked[name]] for name in STANDARD}
