#!/usr/bin/env python3
"""Writes a folder that the go command takes as a module proxy: the Go package, a module with the library for each platform, and
the adapters.

    proxy.py SLIM OUTPUT      SLIM has libportlease.a in a folder for each triple
    proxy.py --triples        prints the triples

What the repository does not have in a module is added here: the library, the C header and the licences. The published go.mod
does not name the folders of the repository. The time of everything is SOURCE_DATE_EPOCH.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULE = "github.com/portlease/portlease/go"
# The platforms as Go names them. On Linux one library links with glibc and with musl.
PLATFORMS = {
    "linux-amd64": "x86_64-unknown-linux-gnu",
    "linux-arm64": "aarch64-unknown-linux-gnu",
    "windows-amd64": "x86_64-pc-windows-gnu",
    "darwin-amd64": "x86_64-apple-darwin",
    "darwin-arm64": "aarch64-apple-darwin",
}
# Packages that stand on modules of others, or are for those who use them: modules in go/adapters.
ADAPTERS = ("ethereum", "libp2p")
REPLACED = re.compile(r"\n// [^\n]*\nreplace \(\n[^)]*\)\n")
LICENCES = ("LICENSE-APACHE", "LICENSE-MIT")


def tracked(folder):
    """The files of a folder of the repository, without those of modules in it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=folder, check=True, capture_output=True, text=True).stdout
    names = [name for name in listed.split("\0") if name]
    within = {name.removesuffix("go.mod") for name in names if name.endswith("/go.mod")}
    return {name: (folder / name).read_bytes() for name in names if not name.startswith(tuple(within))}


def package():
    files = tracked(ROOT / "go")
    required = set(re.findall(rf"{MODULE}/lib/([\w-]+) v", mod := files["go.mod"].decode()))
    if required != set(PLATFORMS):
        sys.exit(f"go/go.mod: requires the platforms {sorted(required)}, and not {sorted(PLATFORMS)}")
    return {**published("go/go.mod", files), "portlease.h": (ROOT / "include" / "portlease.h").read_bytes()}


def adapter(name):
    files = tracked(ROOT / "go" / "adapters" / name)
    return {**published(f"go/adapters/{name}/go.mod", files), **{licence: (ROOT / licence).read_bytes() for licence in LICENCES}}


def published(path, files):
    """The files of a module whose go.mod names no folder of the repository."""
    mod = REPLACED.sub("", files["go.mod"].decode()).encode()
    if b"replace" in mod:
        sys.exit(f"{path}: there is another replacement than that of the repository's own modules")
    return {**files, "go.mod": mod}


def platform(name, library):
    texts = [ROOT / licence for licence in LICENCES]
    texts.append(ROOT / "target" / "platforms" / "libraries" / "THIRD-PARTY.txt")
    for file in (library, *texts):
        if not file.is_file():
            sys.exit(f"go: there is no {file}; bindings/release/dist makes it")
    return {**tracked(ROOT / "go" / "lib" / name), **{file.name: file.read_bytes() for file in (library, *texts)}}


def publish(output, module, version, files):
    """One version of one module, in the layout of https://go.dev/ref/mod#goproxy-protocol."""
    at = time.gmtime(int(os.environ["SOURCE_DATE_EPOCH"]))
    folder = output / module / "@v"
    folder.mkdir(parents=True)
    (folder / "list").write_text(f"{version}\n")
    info = {"Version": version, "Time": time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}
    (folder / f"{version}.info").write_text(json.dumps(info) + "\n")
    (folder / f"{version}.mod").write_bytes(files["go.mod"])
    with zipfile.ZipFile(folder / f"{version}.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(f"{module}@{version}/{name}", at[:6])
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, content)


def main():
    if sys.argv[1:] == ["--triples"]:
        print("\n".join(PLATFORMS.values()))
        return
    slim, output = Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()
    version = "v" + subprocess.run([ROOT / "bindings/release/version"], check=True, capture_output=True, text=True).stdout.strip()
    shutil.rmtree(output, ignore_errors=True)
    for name, triple in PLATFORMS.items():
        publish(output, f"{MODULE}/lib/{name}", version, platform(name, slim / triple / "libportlease.a"))
    publish(output, MODULE, version, package())
    for name in ADAPTERS:
        publish(output, f"{MODULE}/adapters/{name}", version, adapter(name))


if __name__ == "__main__":
    main()
