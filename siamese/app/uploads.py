"""What may come in: size and pixel limits, image kinds by content, archives that stay inside.

Everything here is about files that a stranger may have made.
"""

import io
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from siamese.datasets.samples import read_name
from siamese.errors import InputError
from siamese.images import decode_image

Progress = Callable[[int, int], None]

KINDS = ("JPEG", "PNG", "WEBP", "BMP")
MAXIMUM_BYTES = 20_000_000
MAXIMUM_FILES = 20_000
MAXIMUM_UNPACKED = 2_000_000_000
MAXIMUM_UPLOAD = 1_000_000_000
LONGEST_NAME = 200
_IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Kept:
    """Images that were taken in.

    Attributes:
        folder: Where they are now.
        images: How many.
        left_out: One sentence for each file that was not taken, at most 100.
    """

    folder: Path
    images: int
    left_out: tuple[str, ...]


def read_upload(path: str | Path, name: str | None = None) -> NDArray[np.uint8]:
    """Reads an image that somebody sent.

    Args:
        path: The file.
        name: What messages call it; by default the last part of its path.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: It is too large in bytes or pixels (both are seen before it is decoded), or its
            content is none of `KINDS`, or damaged.
    """
    name = name or Path(path).name
    try:
        size = Path(path).stat().st_size
    except OSError:
        raise InputError(f"{name}: the upload has gone. Send the image again.") from None
    if size > MAXIMUM_BYTES:
        raise InputError(_too_large(name, size))
    data = Path(path).read_bytes()
    check_kind(data, name)
    return decode_image(data, name)


def check_kind(data: bytes, name: str) -> None:
    """Sees by its first bytes, not by its name, that a file is one of `KINDS`.

    Args:
        data: The file's content.
        name: What messages call it.

    Raises:
        InputError: It is not.
    """
    try:
        # Pillow's other readers are never tried: some of them start other programs.
        Image.open(io.BytesIO(data), formats=KINDS).close()
    except Image.DecompressionBombError:
        raise InputError(f"{name}: has too many pixels. Give a crop of one person.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError):
        raise InputError(
            f"{name}: is not a JPEG, PNG, WebP or BMP image. Save it as one of these."
        ) from None


def keep_archive(archive: Path, home: Path, *, progress: Progress | None = None) -> Kept:
    """Takes the images out of a zip file.

    The same archive again gives the same folder. Files that are no images are left out; an archive
    that tries to leave its folder, or to fill the disk, is refused whole.

    Args:
        archive: The zip file.
        home: The folder that keeps what came in; a new folder is made in it.
        progress: Called with the files done and all files.

    Returns:
        Where the images are, how many, and what was left out.

    Raises:
        InputError: It is no zip file or a damaged one, needs a password, holds links or paths that
            lead outside, too many files or too much, or no image.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [
                each
                for each in file.infolist()
                if not each.is_dir() and not _ignored(each.filename)
            ]
            _check_members(members)

            def read(place: int) -> tuple[str, bytes | None]:
                member = members[place]
                with file.open(member) as stream:
                    data = stream.read(MAXIMUM_BYTES + 1)
                return member.filename, data if len(data) <= MAXIMUM_BYTES else None

            return _keep(read, len(members), _digest(archive), home, progress)
    except (
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OverflowError,
    ):
        raise InputError(
            "the archive is not a zip file, or a damaged one. Pack it again."
        ) from None
    except UnicodeDecodeError:
        raise InputError("the archive holds a name that is no text. Pack it again.") from None


def keep_files(files: Mapping[str, Path], home: Path, *, progress: Progress | None = None) -> Kept:
    """Takes in image files that came one by one, with their paths in the sender's folder.

    Args:
        files: `anna/1.jpg` and so on, to the uploaded files.
        home: The folder that keeps what came in; a new folder is made in it.
        progress: Called with the files done and all files.

    Returns:
        Where the images are, how many, and what was left out.

    Raises:
        InputError: A path leads outside, or there are too many files or no image.
    """
    chosen = [(name, path) for name, path in sorted(files.items()) if not _ignored(name)]
    if len(chosen) > MAXIMUM_FILES:
        raise InputError(_too_many(len(chosen)))
    for name, _ in chosen:
        _check_name(name)
    digest = blake2b(digest_size=8)
    for name, path in chosen:
        digest.update(f"{name}\0{_digest(path)}\0".encode())

    def read(place: int) -> tuple[str, bytes | None]:
        name, path = chosen[place]
        return name, path.read_bytes() if path.stat().st_size <= MAXIMUM_BYTES else None

    return _keep(read, len(chosen), digest.hexdigest(), home, progress)


def dataset_root(folder: Path) -> Path:
    """The folder with the folders of people, where somebody packed a folder around it.

    Args:
        folder: What came in.

    Returns:
        `folder`, or the only folder in it that holds nothing but folders, and so on; also one whose
        images say by their names who they show, for then it is not called after a person.
    """
    while True:
        inside = list(folder.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            return folder
        files = [each.name for each in inside[0].iterdir() if each.is_file()]
        if any(read_name(name) is None for name in files):
            return folder
        folder = inside[0]


def inside(path: str | Path, folder: Path) -> bool:
    """Whether a path lies in a folder, after links and `..` are followed.

    Args:
        path: Any.
        folder: The folder that it should be in.

    Returns:
        True or False.

    Example:
        >>> inside("/srv/gallery/../secret.txt", Path("/srv/gallery"))
        False
    """
    return Path(path).resolve().is_relative_to(folder.resolve())


def _keep(
    read: Callable[[int], tuple[str, bytes | None]],
    count: int,
    digest: str,
    home: Path,
    progress: Progress | None,
) -> Kept:
    """Writes the files that are images to a scratch folder, then gives it its name."""
    home.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    images = written = 0
    scratch = Path(tempfile.mkdtemp(dir=home, prefix=".incoming-"))
    try:
        for place in range(count):
            name, data = read(place)
            shown = PurePosixPath(name).name
            try:
                if data is None:
                    raise InputError(_too_large(shown))
                check_kind(data, shown)
            except InputError as error:
                left_out.append(str(error))
            else:
                written += len(data)
                if written > MAXIMUM_UNPACKED:
                    raise InputError(_too_much(written))
                target = scratch / name
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
                images += 1
            if progress is not None:
                progress(place + 1, count)
        if not images:
            raise InputError(
                "no JPEG, PNG, WebP or BMP image was found. Give a zip file or a folder of crops."
            )
        folder = home / digest
        if not folder.exists():
            # mkdtemp's folder is for its owner alone; this one is as any other new folder.
            scratch.chmod(0o755)
            scratch.rename(folder)
        else:  # came in before; what was erased since is wanted again
            for file in sorted(each for each in scratch.rglob("*") if each.is_file()):
                home_of_file = folder / file.relative_to(scratch)
                home_of_file.parent.mkdir(parents=True, exist_ok=True)
                if not home_of_file.exists():
                    file.rename(home_of_file)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Kept(folder, images, tuple(left_out[:100]))


def _check_members(members: list[zipfile.ZipInfo]) -> None:
    if len(members) > MAXIMUM_FILES:
        raise InputError(_too_many(len(members)))
    total = sum(each.file_size for each in members)
    if total > MAXIMUM_UNPACKED:
        raise InputError(_too_much(total))
    for each in members:
        _check_name(each.filename)
        if stat.S_ISLNK(each.external_attr >> 16):
            raise InputError(
                f"the archive holds a link ({each.filename}). Pack the images themselves."
            )
        if each.flag_bits & 1:
            raise InputError("the archive needs a password. Pack it again without one.")


def _check_name(name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    outside = not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0]
    if outside or "\0" in name:
        raise InputError(
            f"the path {name!r} leads outside its folder. Pack it again, with plain names."
        )
    if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts) or len(parts) > 20:
        raise InputError(f"the path {name[:40]!r}... is too long. Give shorter names.")


def _ignored(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return any(part in _IGNORED or part.startswith("._") for part in parts)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        digest = blake2b(digest_size=8)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _too_large(name: str, size: int | None = None) -> str:
    received = "" if size is None else f" Received: {size / 1e6:.0f} MB."
    return (
        f"{name}: an image must be at most {MAXIMUM_BYTES // 1_000_000} MB.{received} Give a crop "
        "of one person."
    )


def _too_many(count: int) -> str:
    return (
        f"at most {MAXIMUM_FILES:,} files can be added at a time. Received: {count:,}. Add them in "
        "parts, or with `siamese gallery add`."
    )


def _too_much(total: int) -> str:
    return (
        f"at most {MAXIMUM_UNPACKED / 1e9:.0f} GB can be added at a time. Received: "
        f"{total / 1e9:,.1f} GB. Add them in parts, or with `siamese gallery add`."
    )
