"""dist/README.md and dist/SHA256SUMS: what is in the release, and how each file was tested."""
import hashlib
import re

from archives import all_members, is_archive

OWN = ("README.md", "SHA256SUMS", "tested.tsv")
HOW = ("tested", "emulated", "built")
# Maven has these beside the jar with the licences.
BESIDE = re.compile(r"-(sources|javadoc)\.jar$")
# How programs and libraries begin: ELF, Windows, Mach-O for one processor, and archives of objects.
NATIVE = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"!<arch>\n")
# Mach-O for several processors, with their number; a class of Java, which begins likewise, has its version there.
FAT, MOST_PROCESSORS = b"\xca\xfe\xba\xbe", 20
INTRODUCTION = """\
# portlease {version}

Made from commit {commit}. `sha256sum -c SHA256SUMS` checks the files. Each package contains portlease's licences and
`THIRD-PARTY.txt`, the licences of all that is linked into it; `licences/` has the same. `sbom/` has the bills of materials (CycloneDX).

*Tested* means on a machine of that kind, *emulated* under an emulator of it, and *built* that it has not run at all.

| file | size | platform | | how |
|---|---|---|---|---|
"""


def platform(name):
    """The platform that a file is for, as its name says."""
    systems = (
        ("musl", "Linux (musl)"), ("android", "Android"), ("linux", "Linux"), ("windows|win32|win_", "Windows"),
        ("darwin|macos", "macOS"), (r"\.deb$", "Debian"), (r"\.aar$", "Android"), (r"xcframework|\.swift", "macOS and iOS"),
    )
    processors = ((r"x86[-_]64|amd64|x64", "x86-64"), ("aarch64|arm64", "arm64"), ("armv7|armeabi", "armv7"))
    system = next((system for pattern, system in systems if re.search(pattern, name)), None)
    processor = next((processor for pattern, processor in processors if re.search(pattern, name)), None)
    return " ".join(filter(None, (system, processor))) or "all"


def size(length):
    return f"{length / 1e6:.1f} MB" if length >= 1e6 else f"{length / 1e3:.0f} kB"


def tests(dist, files):
    """What tested.tsv says about each file, and complaints about lines that say nothing."""
    said, wrong = {}, []
    lines = (dist / "tested.tsv").read_text().splitlines() if (dist / "tested.tsv").exists() else []
    for line in filter(None, lines):
        name, how, clause = (line.split("\t") + ["", ""])[:3]
        # A name alone does if only one file has it.
        same = [file for file in files if file.rsplit("/", 1)[-1] == name]
        name = same[0] if len(same) == 1 else name.removeprefix("dist/")
        if name not in files or how not in HOW or not clause:
            wrong.append(f"tested.tsv: {line!r} is not FILE, {' or '.join(HOW)}, and a clause")
        elif (how, clause) not in said.setdefault(name, []):
            said[name].append((how, clause))
    return said, wrong


def is_native(content):
    return content.startswith(NATIVE) or content.startswith(FAT) and int.from_bytes(content[4:8], "big") < MOST_PROCESSORS


def without_licences(files):
    """Archives that lack a licence of portlease, or of what is linked into their libraries."""
    wrong = []
    for name, path in files.items():
        if not is_archive(name) or BESIDE.search(name):
            continue
        # Debian's packages say it in their own form.
        wanted = ["copyright"] if name.endswith(".deb") else ["LICENSE-MIT", "LICENSE-APACHE"]
        names = set()
        for inner, _, content in all_members(name, path.read_bytes()):
            names.add(inner.rsplit("/", 1)[-1])
            if is_native(content) and "THIRD-PARTY" not in wanted:
                wanted.append("THIRD-PARTY")
        wrong += [f"{name}: has no {one}" for one in wanted if not any(inner.startswith(one) for inner in names)]
    return wrong


def summary(dist, commit):
    """Writes both files, and gives what is wrong with the release."""
    found = sorted(path for path in dist.rglob("*") if path.is_file())
    files = {str(path.relative_to(dist)): path for path in found if str(path.relative_to(dist)) not in OWN}
    said, wrong = tests(dist, files)
    rows = []
    for name, path in files.items():
        if name.startswith("licences/") or name.startswith("go/") and not name.endswith(".zip"):
            continue
        its = said.get(name, [("built", "")])
        how = " and ".join(word for word in HOW if any(word == its_word for its_word, _ in its))
        clauses = "; ".join(clause for _, clause in its)
        rows.append(f"| `{name}` | {size(path.stat().st_size)} | {platform(name)} | {how} | {clauses} |\n")
    version = (dist.parent / "Cargo.toml").read_text().split('version = "', 1)[1].split('"')[0]
    (dist / "README.md").write_text(INTRODUCTION.format(version=version, commit=commit) + "".join(rows))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n" for name, path in files.items()]
    (dist / "SHA256SUMS").write_text("".join(sums))
    return wrong + without_licences(files)
