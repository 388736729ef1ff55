"""Tests of what the release is described and checked with: python3 -m unittest bindings/release/tests/test_release.py"""
import importlib.machinery
import importlib.util
import io
import sys
import tarfile
import tempfile
import unittest
import zipfile
from pathlib import Path

RELEASE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(RELEASE))
sys.dont_write_bytecode = True

import archives  # noqa: E402
import table  # noqa: E402


def script(name):
    loader = importlib.machinery.SourceFileLoader(name, str(RELEASE / name))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(name, loader))
    loader.exec_module(module)
    return module


def zip_of(**files):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return packed.getvalue()


def tar_of(**files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def ar_of(**files):
    packed = b"!<arch>\n"
    for name, content in files.items():
        packed += f"{name + '/':<16}{'0':<12}{'0':<6}{'0':<6}{'100644':<8}{len(content):<10}`\n".encode() + content + b"\n" * (len(content) % 2)
    return packed


class Archives(unittest.TestCase):
    def test_members_of_every_kind_are_found_also_in_archives_in_archives(self):
        inner = tar_of(licence=b"MIT")
        for name, packed in (("a.deb", ar_of(**{"data.tar.gz": inner})), ("a.zip", zip_of(**{"data.tar.gz": inner}))):
            names = [name for name, _, _ in archives.all_members(name, packed)]
            self.assertEqual(names, ["data.tar.gz", "data.tar.gz: licence"])

    def test_a_difference_is_told_by_its_member(self):
        differences = script("reproduce").differences
        one, other = zip_of(same=b"1", file=b"abc"), zip_of(same=b"1", file=b"abd")
        self.assertEqual(list(differences("a.zip", one, one)), [])
        [line] = differences("a.zip", one, other)
        self.assertIn("a.zip: file: 3 and 3 bytes, from byte 2 on", line)

    def test_another_order_of_members_is_a_difference(self):
        differences = script("reproduce").differences
        [line] = differences("a.zip", zip_of(a=b"", b=b""), zip_of(b=b"", a=b""))
        self.assertIn("in another order", line)


class Table(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dist = Path(folder.name) / "dist"
        (self.dist / "python").mkdir(parents=True)
        (self.dist.parent / "Cargo.toml").write_text('version = "1.2.3"')
        self.wheel = "portlease-1.2.3-cp310-abi3-win_amd64.whl"

    def put(self, said, **files):
        (self.dist / "python" / self.wheel).write_bytes(zip_of(**files))
        (self.dist / "tested.tsv").write_text(said)
        return table.summary(self.dist, "abcdef")

    def test_names_say_the_platform(self):
        for name, platform in (
            ("p-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "Linux x86-64"), ("p-musllinux_1_2_aarch64.whl", "Linux (musl) arm64"),
            ("p-macosx_11_0_arm64.whl", "macOS arm64"), ("p-win32-x64-1.2.3.tgz", "Windows x86-64"), ("p_1.2.3-1_amd64.deb", "Debian x86-64"),
            ("p-android-1.2.3.aar", "Android"), ("p-1.2.3.jar", "all"),
        ):
            self.assertEqual(table.platform(name), platform, name)

    def test_a_file_has_a_row_with_every_way_in_which_it_was_tested(self):
        lines = f"{self.wheel}\temulated\tunder wine\npython/{self.wheel}\ttested\ton Windows\n"
        licences = {"LICENSE-MIT": b"", "LICENSE-APACHE": b"", "THIRD-PARTY.txt": b""}
        self.assertEqual(self.put(lines, **licences), [])
        readme = (self.dist / "README.md").read_text()
        self.assertIn("| Windows x86-64 | tested and emulated | under wine; on Windows |", readme)
        self.assertIn(f"  python/{self.wheel}\n", (self.dist / "SHA256SUMS").read_text())

    def test_a_package_without_the_licences_of_others_is_a_fault_of_the_release(self):
        own = {"LICENSE-MIT": b"", "LICENSE-APACHE": b""}
        for begin in (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe\0\0\0\2", b"!<arch>\n"):
            self.assertEqual(self.put("", library=begin, **own), [f"python/{self.wheel}: has no THIRD-PARTY"], begin)
        # Nothing is linked into scripts and classes.
        self.assertEqual(self.put("", script=b"#!/bin/sh", Class=b"\xca\xfe\xba\xbe\0\0\0\x37", **own), [])
        self.assertEqual(self.put("", script=b""), [f"python/{self.wheel}: has no LICENSE-{one}" for one in ("MIT", "APACHE")])

    def test_a_line_about_a_file_that_is_not_there_is_a_fault_of_the_release(self):
        wrong = self.put("python/other.whl\ttested\ton Windows\n", **{"LICENSE-MIT": b"", "LICENSE-APACHE": b"", "THIRD-PARTY": b""})
        self.assertEqual(len(wrong), 1)
        self.assertIn("other.whl", wrong[0])


class Licences(unittest.TestCase):
    def texts(self, *pairs):
        texts = script("licences").Texts()
        for user, text in pairs:
            texts.add(user, text)
        return "\n".join(texts.write())

    def test_the_same_words_of_two_holders_are_one_text_with_both_notices(self):
        written = self.texts(
            ("a", "MIT License\n\nCopyright (c) 2020 Anna\n\nPermission is\nhereby granted"),
            ("b", "Copyright (c) 2021 Bert\n\nPermission is hereby granted."),
        )
        self.assertIn("Text 1, of: a, b", written)
        self.assertNotIn("Text 2", written)
        for notice in ("Copyright (c) 2020 Anna", "Copyright (c) 2021 Bert"):
            self.assertIn(notice, written)

    def test_a_text_with_exceptions_is_another_one(self):
        apache = "Apache License\n1. Terms\nEND OF TERMS AND CONDITIONS\n"
        written = self.texts(("a", apache + "APPENDIX"), ("b", apache), ("c", apache + "---- LLVM Exceptions to the Apache 2.0 License ----"))
        self.assertIn("Text 1, of: a, b", written)
        self.assertIn("APPENDIX", written)
        self.assertIn("Text 2, of: c", written)


if __name__ == "__main__":
    unittest.main()
