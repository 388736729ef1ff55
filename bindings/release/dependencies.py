"""What is linked into each release library: its crates on all platforms, and Rust's standard library with its own."""
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLATFORMS = ROOT / "target" / "platforms"
# Licences of what has no file of its own.
TEXTS = Path(__file__).parent / "texts"
CARGO = os.environ.get("CARGO", "cargo")
# The crates that are linked into what users get, and what readers call them.
LIBRARIES = {
    "portlease-c": "C and Go",
    "portlease-compat": "drop-in libminiupnpc and libnatpmp",
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
    """What one crate of this workspace is built from on some platform: each crate with those that it needs itself. Those that
    only run while it is built are not among them."""
    targets = [argument for triple in triples for argument in ("--target", triple)]
    graph, above = {}, []
    lines = cargo("tree", "--locked", "-p", package, "-e", "normal", *targets, "--prefix", "depth", "--format", "{p}")
    for line in lines.splitlines():
        if match := re.match(r"(\d+)(\S+) v(\S+)", line):
            depth, crate = int(match[1]), known[match[2], match[3]]
            graph.setdefault(crate, set())
            del above[depth:]
            if above:
                graph[above[-1]].add(crate)
            above.append(crate)
    return graph


def standard():
    """The version of Rust whose standard library is linked in, and the crates that this has from the registry."""
    sources = sorted(PLATFORMS.glob("rust/usr/src/rustc-*/library/Cargo.lock"))
    if len(sources) != 1:
        sys.exit("there is no source of Rust's standard library under target/platforms; run bindings/release/toolchain")
    locked = dict(re.findall(r'name = "(.*)"\nversion = "(.*)"', sources[0].read_text()))
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


@dataclass(frozen=True)
class Part:
    """What a compiler adds of its own."""

    name: str
    version: str
    licence: str
    where: str
    # The only crate that has it; the others may all have it.
    package: str | None
    texts: tuple


def mit(notice):
    return f"{notice}\n\n" + (ROOT / "LICENSE-MIT").read_text().split("\n\n", 2)[2]


def toolchain(rust):
    zig = next(PLATFORMS.glob("venv/lib/python3*/site-packages/ziglang"), None)
    if zig is None:
        sys.exit("there is no zig under target/platforms; run bindings/release/toolchain")
    zigs = next(zig.parent.glob("ziglang-*.dist-info")).name.removeprefix("ziglang-").removesuffix(".dist-info")

    def texts(*files):
        return tuple((base / name).read_text() for base, name in files)

    def debians(package):
        shown = subprocess.run(["dpkg-query", "-W", "-f", "${Version}", package], capture_output=True, text=True)
        if shown.returncode:
            sys.exit(f"Debian's {package} is not installed; run bindings/release/toolchain")
        return shown.stdout.split("-")[0]

    mingw = debians("mingw-w64-x86-64-dev")
    rusts = (mit("Copyright (c) The Rust Project Contributors"), *texts((ROOT, "LICENSE-APACHE")))
    gccs = "GPL-3.0-or-later WITH GCC-exception-3.1"
    return [
        Part("rust-std", rust, "MIT OR Apache-2.0", "everywhere", None, rusts),
        Part("zig-libunwind", zigs, "Apache-2.0 WITH LLVM-exception", "Linux", None, texts((zig, "lib/libunwind/LICENSE.TXT"))),
        Part("zig-compiler-rt", zigs, "MIT", "Linux and macOS", None, texts((zig, "LICENSE"))),
        Part("zig-musl", zigs, "MIT", "the static command line", "portlease-cli", texts((zig, "lib/libc/musl/COPYRIGHT"))),
        Part("mingw-w64", mingw, "ZPL-2.1", "Windows", None, texts((zig, "lib/libc/mingw/COPYING"))),
        Part("winpthreads", mingw, "MIT AND BSD-3-Clause", "Windows", None, texts((TEXTS, "winpthreads.txt"))),
        Part("libgcc", debians("gcc-mingw-w64-base"), gccs, "Windows", None, texts((TEXTS, "GCC-exception-3.1.txt"))),
    ]
