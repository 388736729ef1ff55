"""What is inside of the archives that are released, by one function for all kinds."""
import io
import tarfile
import zipfile

ZIP = (".whl", ".zip", ".jar", ".aar")
TAR = (".tar.gz", ".tgz", ".crate", ".tar.xz", ".tar")
AR = (".deb", ".a")
AR_MAGIC = b"!<arch>\n"
AR_HEADER = 60


def is_archive(name):
    return name.endswith(ZIP + TAR + AR)


def members(name, data):
    """The members of an archive: name, what describes it (mode, owner, time), and content."""
    if name.endswith(ZIP):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for entry in archive.infolist():
                yield entry.filename, (entry.external_attr >> 16, entry.date_time), archive.read(entry)
    elif name.endswith(TAR):
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for entry in archive:
                content = archive.extractfile(entry).read() if entry.isfile() else entry.linkname.encode()
                yield entry.name, (oct(entry.mode), entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime), content
    elif data.startswith(AR_MAGIC):
        yield from ar_members(data)


def ar_members(data):
    names, position = b"", len(AR_MAGIC)
    while position + AR_HEADER <= len(data):
        header = data[position : position + AR_HEADER]
        name, size = header[:16].rstrip(), int(header[48:58])
        content = data[position + AR_HEADER : position + AR_HEADER + size]
        position += AR_HEADER + size + size % 2
        if name == b"//":  # GNU's table of long names
            names = content
        elif name.startswith(b"/") and name[1:].isdigit():
            start = int(name[1:])
            name = names[start : names.index(b"/\n", start)]
        elif name.startswith(b"#1/"):  # BSD's, as macOS has it
            length = int(name[3:])
            name, content = content[:length].rstrip(b"\0"), content[length:]
        yield name.decode(errors="replace").removesuffix("/"), header[16:48].decode(), content


def all_members(name, data, above=""):
    """The same, with what archives in the archive contain."""
    for inner, description, content in members(name, data):
        yield above + inner, description, content
        if is_archive(inner) and not inner.endswith(".a"):
            yield from all_members(inner, content, f"{above}{inner}: ")
