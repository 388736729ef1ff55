#!/usr/bin/env python3
"""Packs a Python wheel around an extension module that is built already, as maturin would pack the one that it builds.

    wheel.py LIBRARY TAG DIST_INFO OUT [--licence FILE] [--sbom FILE]

LIBRARY is the module as cargo names it, TAG one or more platforms with a dot between them. DIST_INFO is the folder that
`maturin pep517 write-dist-info` has written: names, versions and texts come from there. A licence and a bill of materials
are added. A macOS library has to fit its tag, because pip believes the tag. The time in the archive is SOURCE_DATE_EPOCH, by
default 1980.
"""
import argparse
import base64
import hashlib
import os
import struct
import sys
import time
import zipfile
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "python" / "src"
PACKAGES = ("portlease", "pytest_portlease")
MODULE = "portlease/_portlease"
# The lowest Python whose stable ABI is used: abi3-py310 in Cargo.toml.
PYTHON = "cp310-abi3"
# The earliest time that a zip archive can hold.
ZIP_EPOCH = 315532800

MACH_O_64 = 0xFEEDFACF
LC_BUILD_VERSION = 0x32
LC_VERSION_MIN_MACOSX = 0x24


def oldest_macos(library):
    """The oldest macOS that loads this dynamic library, such as (11, 0)."""
    magic, _, _, _, commands = struct.unpack_from("<5I", library)
    if magic != MACH_O_64:
        sys.exit("wheel: the library for macOS is not a 64-bit Mach-O file")
    at = 32
    for _ in range(commands):
        command, size = struct.unpack_from("<2I", library, at)
        if command in (LC_BUILD_VERSION, LC_VERSION_MIN_MACOSX):
            version = struct.unpack_from("<I", library, at + (12 if command == LC_BUILD_VERSION else 8))[0]
            return version >> 16, version >> 8 & 0xFF
        at += size
    sys.exit("wheel: the library for macOS does not say which version it is for")


def check_macos(tag, library):
    """Stops if the library needs a newer macOS than its tag promises."""
    promised = tuple(int(part) for part in tag.split("_")[1:3])
    needed = oldest_macos(library)
    if needed > promised:
        sys.exit(f"wheel: the library for {tag} needs macOS {needed[0]}.{needed[1]}")


def contents(library, tag, dist_info, licence, sbom):
    """The files of the wheel but RECORD: name, bytes, mode; in the order in which they are packed."""
    files = {}
    for package in PACKAGES:
        for path in (SOURCES / package).rglob("*"):
            if path.is_file() and path.suffix in (".py", ".pyi", ".typed"):
                files[path.relative_to(SOURCES).as_posix()] = path.read_bytes(), 0o644
    files[MODULE + (".pyd" if tag.startswith("win") else ".abi3.so")] = library, 0o755
    yield from sorted(files.items())

    texts = (path for path in dist_info.rglob("*") if path.is_file())
    meta = {path.relative_to(dist_info).as_posix(): path.read_bytes() for path in texts}
    tags = "".join(f"Tag: {PYTHON}-{one}\n" for one in tag.split("."))
    meta["WHEEL"] = f"Wheel-Version: 1.0\nGenerator: portlease\nRoot-Is-Purelib: false\n{tags}".encode()
    if licence:
        meta[f"licenses/{licence.name}"] = licence.read_bytes()
        headers, text = meta["METADATA"].split(b"\n\n", 1)
        meta["METADATA"] = b"%s\nLicense-File: %s\n\n%s" % (headers, licence.name.encode(), text)
    if sbom:
        meta[f"sboms/{sbom.name}"] = sbom.read_bytes()
    for name, data in sorted(meta.items()):
        yield f"{dist_info.name}/{name}", (data, 0o644)


def pack(out, files, record):
    """Writes the archive, with the list of its files under the name `record`."""
    moment = time.gmtime(max(ZIP_EPOCH, int(os.environ.get("SOURCE_DATE_EPOCH", ZIP_EPOCH))))[:6]
    with zipfile.ZipFile(out, "w") as archive:

        def add(name, data, mode):
            info = zipfile.ZipInfo(name, moment)
            info.external_attr = (0o100000 | mode) << 16
            info.create_system = 3
            archive.writestr(info, data, zipfile.ZIP_DEFLATED, 9)

        lines = []
        for name, (data, mode) in files:
            add(name, data, mode)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            lines.append(f"{name},sha256={digest},{len(data)}\n")
        add(record, "".join([*lines, f"{record},,\n"]).encode(), 0o644)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("library", type=Path)
    parser.add_argument("tag")
    parser.add_argument("dist_info", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--licence", type=Path)
    parser.add_argument("--sbom", type=Path)
    options = parser.parse_args()

    library = options.library.read_bytes()
    if options.tag.startswith("macosx"):
        check_macos(options.tag, library)
    release = options.dist_info.name.removesuffix(".dist-info")
    wheel = options.out / f"{release}-{PYTHON}-{options.tag}.whl"
    options.out.mkdir(parents=True, exist_ok=True)
    files = contents(library, options.tag, options.dist_info, options.licence, options.sbom)
    pack(wheel, files, f"{options.dist_info.name}/RECORD")


main()
