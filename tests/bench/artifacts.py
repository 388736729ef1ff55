"""Builds what a user of each language gets, weighs it, and builds the programs that take turns with it.

Each language by its own Makefile or package manager, the release build, into target/bench/languages. What was built is
written to plan.json there, because the measurements run where no network is.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from common import CHECKOUT, HERE, RESULTS, fail, run

PLACE = RESULTS / "languages"
PLAN = PLACE / "plan.json"
PREFIX = PLACE / "prefix"
SOURCES = HERE / "languages"
# Where the languages' own Makefiles build.
BUILT = Path(os.environ.get("CARGO_TARGET_DIR", CHECKOUT / "target")).absolute()

# The peers from PyPI and npm. `npm ls` and `pip freeze` in the place tell what came with them.
MINIUPNPC = "2.3.3"
NAT_PORT_MAPPER = "4.0.5"
NAT_API = "0.4.9"


def first_line(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout.splitlines()[0].strip() if done.stdout else "unknown"


def weigh(path):
    """Bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )


def make(directory, *targets):
    run(["make", "--no-print-directory", "-C", CHECKOUT / directory, *targets], stdin=subprocess.DEVNULL)


def only(folder, pattern):
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        fail(f"want one {pattern} in {folder}, found {[path.name for path in found]}")
    return found[0]


def library():
    """The C library, as `make install` installs it, for C and for Go."""
    if not library.done:
        make("bindings/c", "build", "install", f"PREFIX={PREFIX}", "DESTDIR=")
        os.environ["PKG_CONFIG_PATH"] = str(PREFIX / "lib" / "pkgconfig")
        library.done = True


library.done = False


def c():
    library()
    place = PLACE / "c"
    place.mkdir(exist_ok=True)

    def compiled(source, to, *options, package="portlease"):
        flags = run(["pkg-config", "--cflags", "--libs", package]).split() if package else []
        run(["cc", "-std=c99", "-O2", *options, "-o", place / to, SOURCES / "c" / source, *flags])
        return place / to

    def stripped(name, *options):
        run(["strip", *options, "-o", place / name, PREFIX / "lib" / name])
        return weigh(place / name)

    turns = compiled("turns.c", "turns", f"-Wl,-rpath,{PREFIX / 'lib'}")
    empty = weigh(compiled("hello.c", "without", "-s", package=None))
    static = weigh(compiled("hello.c", "with", "-s", "-DWITH_PORTLEASE", package="portlease-static"))
    return {
        "version": first_line("cc", "--version"),
        "command": [turns],
        "sizes": {
            "libportlease.so": stripped("libportlease.so"),
            "libportlease.a": stripped("libportlease.a", "--strip-debug"),
            "what libportlease.a adds to a C program": static - empty,
        },
    }


def go():
    library()
    place = PLACE / "go"
    # Go's cache keeps what pkg-config once said, and a program that is there is not linked again for a new archive. So
    # programs are made anew, and a definition that nobody reads tells the cache of another archive.
    shutil.rmtree(place, ignore_errors=True)
    archive = PREFIX / "lib" / "libportlease.a"
    built = hashlib.sha256(str(archive).encode() + archive.read_bytes()).hexdigest()[:16]
    environment = {**os.environ, "CGO_CFLAGS": f"-O2 -DPORTLEASE_ARCHIVE_{built}"}

    def compiled(package, to, tags):
        run(
            ["go", "build", "-trimpath", "-ldflags", "-s -w", "-tags", tags, "-o", place / to, package],
            cwd=SOURCES / "go",
            env=environment,
        )
        return place / to

    with_it = weigh(compiled("./hello", "with", "portlease_pkgconfig,with_portlease"))
    without = weigh(compiled("./hello", "without", ""))
    return {
        "version": first_line("go", "version"),
        "command": [compiled(".", "turns", "portlease_pkgconfig")],
        "sizes": {"a Go program, linked statically": with_it, "the same without portlease": without},
    }


def python():
    place = PLACE / "python"
    if not (place / "bin" / "pip").exists():
        run([sys.executable, "-m", "venv", "--clear", place])
    pip = [place / "bin" / "python", "-m", "pip", "--quiet", "--disable-pip-version-check"]
    make("python", "build")
    wheel = only(BUILT / "python" / "wheels", "portlease-*.whl")
    run([*pip, "install", "--force-reinstall", "--no-deps", wheel])
    run([*pip, "install", f"miniupnpc=={MINIUPNPC}"])
    clock = "import time; begin = time.perf_counter_ns(); import {}; print(time.perf_counter_ns() - begin)"
    command = [place / "bin" / "python"]
    return {
        "version": first_line(str(place / "bin" / "python"), "--version"),
        "command": [*command, SOURCES / "python" / "turns.py"],
        "peers": {"miniupnpc (PyPI)": [*command, SOURCES / "python" / "miniupnpc_turns.py"]},
        "packages": {"miniupnpc (PyPI)": MINIUPNPC},
        "loads": {
            f"import {name}": [*command, "-c", clock.format(name)]
            for name in ("portlease", "portlease.aio", "miniupnpc")
        },
        "sizes": {"wheel": weigh(wheel)},
    }


def node():
    place = PLACE / "node"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    packages = {"@achingbrain/nat-port-mapper": NAT_PORT_MAPPER, "@silentbot1/nat-api": NAT_API}
    manifest = {"private": True, "dependencies": packages}
    (place / "package.json").write_text(json.dumps(manifest))
    make("node", "build")
    packed = json.loads(run(["node", CHECKOUT / "node" / "scripts" / "pack.mjs", place / "packed"]))
    tarballs = [packed["main"], *packed["binaries"].values()]
    # The packages of other platforms are optional dependencies; none of these is looked for.
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--omit=optional"]
    run([*install, *tarballs], cwd=place)
    for name in ("turns.mjs", "peers.mjs"):
        shutil.copy(SOURCES / "node" / name, place / name)
    installed = place / "node_modules"
    clock = "const begin = process.hrtime.bigint(); {}; console.log(`${{process.hrtime.bigint() - begin}}`)"
    peers = ("nat-api", "nat-port-mapper-upnp", "nat-port-mapper-nat-pmp")
    modules = ("portlease", *packages)
    return {
        "version": "Node " + first_line("node", "--version"),
        "directory": place,
        "command": ["node", place / "turns.mjs"],
        "peers": {f"{name} (npm)": ["node", place / "peers.mjs", name] for name in peers},
        "packages": packages,
        "loads": {
            "require('portlease')": ["node", "-e", clock.format("require('portlease')")],
            **{
                f"import('{name}')": ["node", "--input-type=module", "-e", clock.format(f"await import('{name}')")]
                for name in modules
            },
        },
        "sizes": {
            "installed package": weigh(installed / "portlease") + weigh(installed / "@portlease"),
            "its two tarballs": sum(weigh(Path(tarball)) for tarball in tarballs),
        },
    }


def kotlin():
    make("bindings/uniffi", "build")
    project = CHECKOUT / "bindings" / "uniffi" / "kotlin"
    place = PLACE / "kotlin"
    version = re.search(r"<version>(.*)</version>", (project / "pom.xml").read_text()).group(1)
    jar = only(project / "target", f"portlease-{version}.jar")
    versions = dict(re.findall(r"<((?:kotlin|coroutines)\.version)>(.*)</", (project / "pom.xml").read_text()))
    properties = {**versions, "portlease.jar": jar, "place": place}
    command = ["mvn", "--quiet", "--batch-mode", "-f", SOURCES / "kotlin" / "pom.xml", "compile"]
    run(command + [f"-D{name}={value}" for name, value in properties.items()])
    class_path = f"{place / 'classes'}:{jar}:{(project / 'target' / 'class-path').read_text().strip()}"
    return {
        "version": first_line("java", "-version") + ", Kotlin " + versions["kotlin.version"],
        "command": ["java", "-cp", class_path, "TurnsKt"],
        "sizes": {"jar": weigh(jar)},
    }


# What each language needs on the machine, beside cargo.
LANGUAGES = {
    "C": (c, ["make", "cc", "pkg-config", "strip"]),
    "Go": (go, ["make", "cc", "pkg-config", "go"]),
    "Python": (python, ["make"]),
    "Node": (node, ["make", "node", "npm"]),
    "Kotlin": (kotlin, ["make", "java", "mvn"]),
}


def build(names):
    """Builds these languages. One without its tool chain is noted; one that does not build ends the run."""
    PLACE.mkdir(parents=True, exist_ok=True)
    plan = json.loads(PLAN.read_text()) if PLAN.exists() else {}
    for name in names:
        builder, tools = LANGUAGES[name]
        missing = [tool for tool in tools if not shutil.which(tool)]
        print(f"bench: building for {name}{': no ' + missing[0] if missing else ''}", file=sys.stderr, flush=True)
        plan[name] = {"missing": f"no {' and no '.join(missing)} on this machine"} if missing else builder()
    PLAN.write_text(json.dumps(plan, default=str, indent=1) + "\n")


def plan(names):
    """What was built for these languages."""
    built = json.loads(PLAN.read_text()) if PLAN.exists() else {}
    if absent := [name for name in names if name not in built]:
        fail(f"nothing was built for {', '.join(absent)}; leave --no-build out")
    return {name: built[name] for name in names}
