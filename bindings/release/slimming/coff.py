#!/usr/bin/env python3
"""Makes libportlease.a in FOLDER from rustc's archive for Windows: its object, with no names outside but those of the C API,
and of the thousands of members that import a function of Windows those that it needs.

    coff.py ARCHIVE FOLDER PREFIX OF THE BINUTILS
"""
import struct
import subprocess
import sys
from pathlib import Path

AR_MAGIC = b"!<arch>\n"
HEADER = 60
# Every compiler for Windows has these functions in a library of its own, libgcc or compiler-rt.
BUILTINS = "compiler_builtins-"


def read(data):
    """The members by their places in the archive, each with its name and content, and the index: which place has a symbol."""
    members, index, names, position = {}, {}, b"", len(AR_MAGIC)
    while position + HEADER <= len(data):
        name, size = data[position : position + 16].rstrip(), int(data[position + 48 : position + 58])
        content = data[position + HEADER : position + HEADER + size]
        if name == b"/":
            (count,) = struct.unpack_from(">I", content)
            places = struct.unpack_from(f">{count}I", content, 4)
            index = dict(reversed(list(zip(content[4 + 4 * count :].split(b"\0"), places))))
        elif name == b"//":
            names = content
        else:
            if name[:1] == b"/" and name[1:].isdigit():
                start = int(name[1:])
                name = names[start : names.index(b"\n", start)]
            members[position] = name.decode().removesuffix("/"), content
        position += HEADER + size + size % 2
    return members, index


def undefined(nm, path):
    done = subprocess.run([nm, "--undefined-only", path], check=True, capture_output=True)
    return {line.split()[-1] for line in done.stdout.splitlines()}


def needed(nm, first, members, index, folder):
    """The places of the members that a file needs, and of those that these need."""
    found, names = set(), undefined(nm, first)
    while names:
        place = index.get(names.pop())
        if place is None or place in found or members[place][0].startswith(BUILTINS):
            continue
        found.add(place)
        path = folder / "member.o"
        path.write_bytes(members[place][1])
        names |= undefined(nm, path)
    return sorted(found)


def write(path, members):
    """An archive without times and owners. The linker sorts what is imported by the members' names, so they keep them."""
    names = "".join(f"{name}/\n" for name, _ in members).encode()
    names += b"\n" * (len(names) % 2)
    parts, at = [AR_MAGIC, f"{'//':<48}{len(names):<10}`\n".encode(), names], 0
    for name, content in members:
        parts.append(f"{f'/{at}':<16}{0:<12}{0:<6}{0:<6}{'644':<8}{len(content):<10}`\n".encode() + content)
        parts.append(b"\n" * (len(content) % 2))
        at += len(name) + 2
    path.write_bytes(b"".join(parts))


def main():
    archive, folder, prefix = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    members, index = read(archive.read_bytes())
    own = [content for name, content in members.values() if name.startswith("portlease_c.")]
    if len(own) != 1:
        sys.exit(f"coff: {archive} has {len(own)} objects of portlease, not one: the library is built with lto")
    whole, slim, output = (folder / name for name in ("whole.o", "portlease.o", "libportlease.a"))
    whole.write_bytes(own[0])
    localized = ["--wildcard", "--keep-global-symbol=portlease_*", "--strip-unneeded"]
    subprocess.run([f"{prefix}objcopy", *localized, whole, slim], check=True)
    places = needed(f"{prefix}nm", slim, members, index, folder)
    write(output, [(slim.name, slim.read_bytes()), *(members[place] for place in places)])
    subprocess.run([f"{prefix}ranlib", "-D", output], check=True)


main()
