"""Archives that come out the same whoever packs the same files, wherever and whenever."""

import gzip
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A file of an archive."""

    contents: bytes
    executable: bool = False


def entry(path: Path) -> Entry:
    if path.is_symlink() or not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    return Entry(path.read_bytes(), os.access(path, os.X_OK))


def pack(archive: Path, entries: dict[str, Entry], epoch: int) -> None:
    """Writes a tar.gz of these files, by path: sorted, of nobody, all of one time (seconds since 1970)."""
    with (
        archive.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=file, mtime=epoch) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.PAX_FORMAT) as tar,
    ):
        for name in sorted(entries):
            information = tarfile.TarInfo(name)
            information.size = len(entries[name].contents)
            information.mode = 0o755 if entries[name].executable else 0o644
            information.mtime = epoch
            tar.addfile(information, io.BytesIO(entries[name].contents))


def unpacked(archive: Path) -> dict[str, Entry]:
    """The files of an archive, by path."""
    with tarfile.open(archive) as tar:
        found = {}
        for member in tar.getmembers():
            if member.isdir():
                continue
            if not member.isreg():
                raise ValueError(f"{archive.name}: {member.name} is not a regular file")
            found[member.name] = Entry(tar.extractfile(member).read(), bool(member.mode & 0o100))
        return found


def irregularities(archive: Path, top: str, epoch: int) -> list[str]:
    """What of an archive would not be the same elsewhere, or lands outside of its one directory."""
    found = []
    with tarfile.open(archive) as tar:
        names = tar.getnames()
        if names != sorted(set(names)):
            found.append("its files are not sorted")
        for member in tar.getmembers():
            if not member.name.startswith(f"{top}/") or ".." in member.name.split("/"):
                found.append(f"{member.name} is outside of {top}")
            if (member.uid, member.gid, member.uname, member.gname) != (0, 0, "", ""):
                found.append(f"{member.name} names its owner")
            if member.mtime != epoch:
                found.append(f"{member.name} has a time of its own")
            if member.mode not in (0o644, 0o755):
                found.append(f"{member.name} has the mode {member.mode:o}")
    return [f"{archive.name}: {text}" for text in found]
