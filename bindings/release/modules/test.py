#!/usr/bin/env python3
"""Tests dist/go as users do: with dist/go before the machine's own module proxy, without cargo and without an installed library,
a module that requires portlease builds for each platform, and its program maps a port on the simulated gateway.

    test.py [WORD ...]      all, or those whose names have one of these words

What runs under an emulator needs those that tests/platforms/emulators sets up. Appends to dist/tested.tsv.
"""
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from proxy import ADAPTERS, MODULE, PLATFORMS, ROOT

HERE = Path(__file__).parent
SET_UP = ROOT / "target" / "platforms"
ZIG = f"{SET_UP}/venv/bin/python -m ziglang cc -target"
QEMU = (SET_UP / "trixie-debs/root/usr/bin/qemu-aarch64", "-L", "/usr/aarch64-linux-gnu")
STATIC = "-linkmode external -extldflags -static"
# Seconds for one command; what waits longer has failed.
LATE = 1800
VERSION = "v" + subprocess.run([ROOT / "bindings/release/version"], check=True, capture_output=True, text=True).stdout.strip()
# Builds that run: C compiler, flags of the linker, what runs the program, its platform, and what to say about it.
BUILDS = {
    "linux-amd64-gcc": ("cc", "", (), "linux-amd64", "tested", "a program with glibc"),
    "linux-amd64-gcc-static": ("cc", STATIC, (), "linux-amd64", "tested", "a static program with glibc"),
    "linux-amd64-musl": (f"{ZIG} x86_64-linux-musl", STATIC, (), "linux-amd64", "tested", "a static program with musl"),
    "linux-arm64-gcc": ("aarch64-linux-gnu-gcc", "", QEMU, "linux-arm64", "emulated", "a program with glibc under qemu"),
    "linux-arm64-musl": (f"{ZIG} aarch64-linux-musl", STATIC, QEMU, "linux-arm64", "emulated", "a static program with musl under qemu"),
    "windows-amd64-mingw": ("x86_64-w64-mingw32-gcc", "", (SET_UP / "w10",), "windows-amd64", "emulated", "a program of mingw-w64 under wine"),
}


def environment(work):
    """That of a user who has Go and C compilers, and nothing of Rust."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GO", "CGO", "CARGO", "PKG_CONFIG"))}
    settings = {}
    for name in ("GOPROXY", "GOCACHE", "GOSUMDB"):
        settings[name] = subprocess.run(["go", "env", name], check=True, capture_output=True, text=True).stdout.strip()
    path = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "cargo").exists()]
    if any((Path(folder) / "pkg-config").exists() for folder in path):
        settings["PKG_CONFIG"] = "/bin/false"
    return {
        **kept, **settings, "PATH": ":".join(path), "GOPROXY": f"file://{ROOT}/dist/go,{settings['GOPROXY']}",
        "GONOSUMDB": "github.com/portlease/*", "GOFLAGS": "-mod=mod -buildvcs=false", "GOMODCACHE": str(work / "modules"),
        "GOTOOLCHAIN": "local", "GOWORK": "off", "CGO_ENABLED": "1",
        "ZIG_GLOBAL_CACHE_DIR": str(SET_UP / "zig-cache"), "ZIG_LOCAL_CACHE_DIR": str(work / "zig"),
    }


class Consumer:
    def __init__(self, work):
        self.folder, self.environment = work / "consumer", environment(work)
        shutil.copytree(HERE / "consumer", self.folder)
        (self.folder / "panic.c").unlink()
        self.run("go", "mod", "init", "example.org/consumer")
        self.run("go", "get", MODULE)

    def outcome(self, *command, folder=None, **variables):
        return subprocess.run(
            [str(word) for word in command], cwd=folder or self.folder, env={**self.environment, **variables}, timeout=LATE,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
        )

    def run(self, *command, **variables):
        done = self.outcome(*command, **variables)
        if done.returncode:
            sys.exit(f"go --test: {' '.join(map(str, command))}: {done.stdout}")
        return done.stdout

    def build(self, name, *flags, **variables):
        program = self.folder.parent / name
        self.run("go", "build", *flags, "-o", program, ".", **variables)
        return program


def maps(consumer, runner, program, platform):
    """The program maps a port on the gateway of the command line, which is of the same platform or of this machine."""
    windows = platform.startswith("windows")
    triple = PLATFORMS[platform] if windows else "x86_64-unknown-linux-gnu"
    gateway = SET_UP / "libraries" / triple / ("portlease.exe" if windows else "portlease")
    said = consumer.run(*runner, program, gateway, "gateway")
    if not said.startswith("pcp ") or not said.strip().endswith("released"):
        sys.exit(f"go --test: {program.name} says {said}")


def catches(consumer, compiler, flags, runner, platform):
    """A panic is caught, with the same library and the same linker."""
    program = consumer.folder.parent / f"panic-{platform}.exe"
    modules = Path(consumer.environment["GOMODCACHE"]) / MODULE
    library = modules / "lib" / f"{platform}@{VERSION}" / "libportlease.a"
    source = (f"-I{modules.parent}/go@{VERSION}", HERE / "consumer" / "panic.c")
    consumer.run(*compiler.split(), *source, library, *flags, "-o", program)
    return consumer.run(*runner, program)


def stands_beside_another(consumer):
    """Another library of Rust in the same program, with a standard library of its own, is no obstacle."""
    other = SET_UP / "libraries" / PLATFORMS["linux-amd64"] / "libportlease_uniffi.a"
    catches(consumer, "cc", ("-Wl,-u,rust_eh_personality", other, "-lgcc_s", "-lm"), (), "linux-amd64")


def builds_and_runs(consumer, names, report):
    for name in names:
        compiler, flags, runner, platform, how, clause = BUILDS[name]
        system, processor = platform.split("-")
        program = consumer.build(f"{name}.exe", "-ldflags", flags, CC=compiler, GOOS=system, GOARCH=processor)
        maps(consumer, runner, program, platform)
        catches(consumer, compiler, ("-static",) if flags else (), runner, platform)
        report(f"lib/{platform}", how, f"{clause} maps a port and catches a panic")


def is_a_good_module(consumer, report):
    """What users do with it on the machine that they have."""
    consumer.run("go", "mod", "verify")
    consumer.run("go", "vet", "./...")
    maps(consumer, (), consumer.build("race", "-race"), "linux-amd64")
    consumer.run("go", "mod", "vendor")
    consumer.build("vendored", GOFLAGS="-mod=vendor -buildvcs=false")
    shutil.rmtree(consumer.folder / "vendor")
    report("", "tested", "go get, verify, vet, vendor, and a program with the race detector that maps a port")


def is_the_same_from_git(consumer, work):
    """The go command makes the same modules from the tags as are in dist/go, by their checksums in go.sum."""
    repository = work / "repository"
    consumer.run("git", "clone", "--quiet", "--no-checkout", ROOT, repository)
    consumer.run(HERE / "tag", repository)
    within = [f"lib/{platform}" for platform in PLATFORMS] + [f"adapters/{name}" for name in ADAPTERS]
    modules = [f"{module}@{VERSION}" for module in (MODULE, *(f"{MODULE}/{path}" for path in within))]
    sums = []
    for proxy in ("direct", consumer.environment["GOPROXY"]):
        said = consumer.run(
            "go", "mod", "download", "-json", *modules, GOPROXY=proxy, GOMODCACHE=str(work / f"modules-{len(sums)}"),
            GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0=f"url.{repository}.insteadOf", GIT_CONFIG_VALUE_0="https://github.com/portlease/portlease",
        )
        sums.append(sorted(line for line in said.splitlines() if 'Sum"' in line))
    if [line.rstrip(",") for line in sums[0]] != [line.rstrip(",") for line in sums[1]]:
        sys.exit(f"go --test: the tags give {sums[0]}, and dist/go has {sums[1]}")


def gives_adapters(consumer, work, report):
    """Each adapter comes with what it stands on, and builds, in a module of its own: it may raise other requirements."""
    for name in ADAPTERS:
        folder = work / f"adapter-{name}"
        folder.mkdir()
        consumer.run("go", "mod", "init", "example.org/adapter", folder=folder)
        consumer.run("go", "get", f"{MODULE}/adapters/{name}", folder=folder)
        consumer.run("go", "build", f"{MODULE}/adapters/{name}", folder=folder)
        report(f"adapters/{name}", "tested", "go get, and a build on Linux x86-64")


def is_told_what_to_do(consumer):
    """Without cgo when it runs, and on a platform without a library when it is built."""
    gateway = SET_UP / "libraries" / "x86_64-unknown-linux-gnu" / "portlease"
    said = consumer.outcome(consumer.build("without-cgo", CGO_ENABLED="0"), gateway, "gateway").stdout
    if "CGO_ENABLED=1" not in said or len(said.splitlines()) != 1:
        sys.exit(f"go --test: without cgo it says {said}")
    said = consumer.outcome("go", "build", MODULE, GOARCH="386", CC=f"{ZIG} x86-linux-musl").stdout
    # clang's words; gcc would repeat the directive.
    if sum('error: "portlease has no prebuilt library' in line for line in said.splitlines()) != 1:
        sys.exit(f"go --test: on a platform without a library it says {said}")


def main():
    words = sys.argv[1:]
    with tempfile.TemporaryDirectory(prefix="go-test-", dir=ROOT / "target") as folder:
        work = Path(folder)
        try:
            lines = []

            def report(module, how, clause):
                path = "/".join(filter(None, ("go", MODULE, module, "@v", f"{VERSION}.zip")))
                lines.append(f"{path}\t{how}\t{clause}\n")

            consumer = Consumer(work)
            if not words:
                is_a_good_module(consumer, report)
                is_told_what_to_do(consumer)
                is_the_same_from_git(consumer, work)
                gives_adapters(consumer, work, report)
                stands_beside_another(consumer)
            builds_and_runs(consumer, [name for name in BUILDS if not words or any(word in name for word in words)], report)
        finally:
            subprocess.run(["chmod", "-R", "u+w", work], check=False)
    with (ROOT / "dist" / "tested.tsv").open("a") as tested:
        tested.writelines(lines)


main()
