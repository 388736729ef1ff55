"""The release packs its wheels itself, from libraries that are built already: compares such a wheel with maturin's own.

same_wheel.py WHEEL MATURIN: packs the module of maturin's wheel again. All has to be the same, but for the name of the
program that packed it, the list of checksums, and maturin's bill of materials.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def contents(wheel: Path) -> dict[str, tuple[bytes, int]]:
    """What a wheel holds: the bytes and the mode of each file."""
    with zipfile.ZipFile(wheel) as archive:
        files = {info.filename: (archive.read(info), info.external_attr >> 16) for info in archive.infolist()}
    for name, (data, mode) in list(files.items()):
        if "/sboms/" in name:
            del files[name]
        elif name.endswith(".dist-info/RECORD"):
            files[name] = (b"", mode)
        elif name.endswith(".dist-info/WHEEL"):
            lines = [line for line in data.splitlines() if not line.startswith(b"Generator:")]
            files[name] = (b"\n".join(lines), mode)
    return files


def main() -> None:
    """Stops with what differs."""
    wheel, maturin = Path(sys.argv[1]).resolve(), sys.argv[2]
    module = "portlease/_portlease.abi3.so"
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        info = [maturin, "pep517", "write-dist-info", "--interpreter", sys.executable, "--metadata-directory", work]
        subprocess.run(info, cwd=ROOT / "python", check=True, capture_output=True)
        with zipfile.ZipFile(wheel) as archive:
            archive.extract(module, work)
        tag = wheel.stem.split("-")[-1]
        packer = ROOT / "bindings" / "release" / "wheel.py"
        subprocess.run([sys.executable, packer, work / module, tag, next(work.glob("*.dist-info")), work], check=True)
        theirs, ours = contents(wheel), contents(work / wheel.name)
    if wrong := [name for name in sorted(theirs | ours) if theirs.get(name) != ours.get(name)]:
        sys.exit(f"same_wheel: maturin's wheel and that of bindings/release differ in {', '.join(wrong)}")


main()
