"""Zip files from anyone: what is honest is extracted, what is not leaves nothing behind."""

import stat
import zipfile
from pathlib import Path

import pytest

from ecgfm_core.datasets.archive import extract
from ecgfm_core.errors import FormatError


def pack(path: Path, files: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    """Write a zip file."""
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_files_and_folders_are_extracted(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"set/1.hea": b"one", "set/deep/2.dat": b"two", "empty/": b""})
    folder = extract(path, tmp_path / "out")
    assert (folder / "set/1.hea").read_bytes() == b"one"
    assert (folder / "set/deep/2.dat").read_bytes() == b"two"


@pytest.mark.parametrize(
    "name", ["../x", "a/../../x", "/etc/x", "C:/x", "a\\..\\x", "./x", "a//x", "a\nb", "/".join("a" * 50)]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    path = pack(tmp_path / "a.zip", {"good": b"1", name: b"2"})
    with pytest.raises(FormatError, match="leads out of the folder or has no plain name"):
        extract(path, tmp_path / "deep" / "out")
    assert sorted(entry.name for entry in tmp_path.rglob("*")) == ["a.zip", "deep"]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(tmp_path: Path, kind: int) -> None:
    member = zipfile.ZipInfo("link")
    member.external_attr = (kind | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(FormatError, match="is a link or a device"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_a_bomb_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"bomb": bytes(20_000_000)})
    with pytest.raises(FormatError, match="inflates more than 300 times"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_size_that_is_a_lie_is_found_out(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"lie": bytes(range(256)) * 400}, zipfile.ZIP_DEFLATED)
    real = (256 * 400).to_bytes(4, "little")
    path.write_bytes(path.read_bytes().replace(real, (100).to_bytes(4, "little")))
    with pytest.raises(FormatError):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_too_many_files_or_bytes(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {f"{number}.hea": b"12345" for number in range(5)})
    with pytest.raises(FormatError, match="5 files; at most 4"):
        extract(path, tmp_path / "out", files_max=4)
    with pytest.raises(FormatError, match="25 bytes; at most 24"):
        extract(path, tmp_path / "out", bytes_max=24)
    assert extract(path, tmp_path / "out", files_max=5, bytes_max=25).is_dir()


def test_two_files_of_one_name(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.hea": b"1", "A.HEA": b"2"})
    with pytest.raises(FormatError, match="comes twice"):
        extract(path, tmp_path / "out")


def test_an_encrypted_file(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.hea": b"1"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    with pytest.raises(FormatError, match="encrypted"):
        extract(path, tmp_path / "out")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 and nothing more", b"version https://git-lfs.github.com/spec/v1"]
)
def test_what_is_no_zip_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(FormatError, match="can't be opened as a zip file"):
        extract(tmp_path / "a.zip", tmp_path / "out")


def test_a_damaged_file_leaves_nothing(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"a.dat": bytes(range(256)) * 50}, zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    data[200] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(FormatError, match="CRC"):
        extract(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(FormatError, match="not empty"):
        extract(pack(tmp_path / "a.zip", {"mine": b"1"}), tmp_path / "out")
    assert (tmp_path / "out" / "mine").read_text() == "keep"
