"""Checks of uploads: size and pixel limits, image kinds by content, archives that stay inside.

Everything here is about files that a stranger may have made.
"""

import errno
import hashlib
import io
import lzma
import os
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from siamese.datasets.samples import read_name
from siamese.errors import InputError
from siamese.images import KINDS, decode_image
from siamese.inference.reading import Progress

MAXIMUM_BYTES = 20_000_000
MAXIMUM_FILES = 20_000
MAXIMUM_UNPACKED = 2_000_000_000
MAXIMUM_UPLOAD = 1_000_000_000
LONGEST_NAME = 200
_IGNORED = ("__MACOSX", ".DS_Store", "Thumbs.db", "desktop.ini")
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip
_small = partial(hashlib.blake2b, digest_size=8)


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


def read_upload(path: str | Path) -> NDArray[np.uint8]:
    """Reads an image that somebody sent.

    Returns:
        Pixels, `(height, width, 3)`, uint8.

    Raises:
        InputError: It is too large in bytes or pixels (both are seen before it is decoded), or its
            content is none of `KINDS`, or damaged.
    """
    path = Path(path)
    try:
        size = path.stat().st_size
    except OSError:
        raise InputError(f"{path.name}: the upload has gone. Send the image again.") from None
    if size > MAXIMUM_BYTES:
        raise InputError(_too_large(path.name, f" Received: {size / 1e6:.0f} MB."))
    return decode_upload(path.read_bytes(), path.name)


def decode_upload(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decodes the content of a file that somebody sent; see `read_upload`.

    Args:
        data: The content, or more than `MAXIMUM_BYTES` of it.
        name: What messages call it.
    """
    _check_upload(data, name)
    return decode_image(data, name)


def _check_upload(data: bytes, name: str) -> None:
    """Sees by its content, not by its name, that a file is a small one of `siamese.images.KINDS`.

    Raises:
        InputError: It is not.
    """
    if len(data) > MAXIMUM_BYTES:
        raise InputError(_too_large(name))
    try:
        Image.open(io.BytesIO(data), formats=KINDS).close()
    except Image.DecompressionBombError:
        raise InputError(f"{name}: has too many pixels. Give a crop of one person.") from None
    except (UnidentifiedImageError, OSError, SyntaxError, EOFError, ValueError):
        raise InputError(
            f"{name}: is not an image of a kind that is read here. Save it as JPEG or PNG."
        ) from None


def keep_archive(archive: Path, home: Path, *, progress: Progress | None = None) -> Kept:
    """Takes the images out of a zip file.

    The same archive again gives the same folder. Files that are no images are left out; an archive
    that tries to leave its folder, or to fill the disk, is refused whole.

    Raises:
        InputError: It is no zip file or a damaged one, needs a password, holds links or paths that
            lead outside, too many files or too much, or no image.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = {each.filename: each for each in file.infolist() if not each.is_dir()}
            names = _check_names(members)
            _check_total(sum(members[name].file_size for name in names))
            for name in names:
                if stat.S_ISLNK(members[name].external_attr >> 16):
                    raise InputError(
                        f"the archive holds a link ({name}). Pack the images themselves."
                    )
                if members[name].flag_bits & 1:
                    raise InputError("the archive needs a password. Pack it again without one.")

            def read(name: str) -> bytes:
                with file.open(members[name]) as stream:
                    return stream.read(MAXIMUM_BYTES + 1)

            return _keep(names, read, _digest(archive).hex(), home, progress)
    except _DAMAGE:
        raise InputError(
            "the archive is not a zip file, or a damaged one. Pack it again."
        ) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # a place before the start of the file
            raise
        raise InputError("the archive is a damaged zip file. Pack it again.") from None
    except UnicodeDecodeError:
        raise InputError("the archive holds a name that is no text. Pack it again.") from None


def keep_files(files: Mapping[str, Path], home: Path, *, progress: Progress | None = None) -> Kept:
    """Takes in image files that came one by one, with their paths in the sender's folder.

    Args:
        files: `anna/1.jpg` and so on, to the uploaded files.
        home: The folder that keeps what came in; a new folder is made in it.
        progress: Called with the files done and all files.

    Raises:
        InputError: A path leads outside, or there are too many files or no image.
    """
    names = _check_names(sorted(files))
    digest = _small()
    for name in names:
        digest.update(f"{name}\0{_digest(files[name]).hex()}\0".encode())

    def read(name: str) -> bytes:
        with files[name].open("rb") as file:
            return file.read(MAXIMUM_BYTES + 1)

    return _keep(names, read, digest.hexdigest(), home, progress)


def dataset_root(folder: Path) -> Path:
    """Finds the folder with the folders of people, where somebody packed a folder around it.

    That is `folder`, or the only folder in it that holds nothing but folders, and so on; also one
    whose images say by their names who they show, for then it is not called after a person.
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
    """Tells whether a path lies in a folder, after links and `..` are followed.

    Example:
        >>> inside("/srv/gallery/../secret.txt", Path("/srv/gallery"))
        False
    """
    return Path(path).resolve().is_relative_to(folder.resolve())


def _keep(
    names: Mapping[str, str],
    read: Callable[[str], bytes],
    digest: str,
    home: Path,
    progress: Progress | None,
) -> Kept:
    """Writes the files that are images to a scratch folder, then gives it its name."""
    home.mkdir(parents=True, exist_ok=True)
    left_out: list[str] = []
    written = 0
    scratch = Path(tempfile.mkdtemp(dir=home, prefix=".incoming-"))
    try:
        for place, name in enumerate(names, 1):
            data, shown = read(name), PurePosixPath(names[name]).name
            try:
                _check_upload(data, shown)
            except InputError as error:
                left_out.append(str(error))
            else:
                written += len(data)
                _check_total(written)
                target = scratch / names[name]
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            if progress is not None:
                progress(place, len(names))
        if len(left_out) == len(names):
            raise InputError("no image was found. Give a zip file or a folder of crops.")
        # mkdtemp's folder is for its owner alone; this one is as any other new folder.
        scratch.chmod(0o755)
        if (home / digest).exists():  # came in before; what was erased since is wanted again
            shutil.copytree(scratch, home / digest, dirs_exist_ok=True)
        else:
            scratch.rename(home / digest)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Kept(home / digest, len(names) - len(left_out), tuple(left_out[:100]))


def _check_names(names: Iterable[str]) -> dict[str, str]:
    """Leaves out what no one packs on purpose; refuses too many names and those leading outside.

    Returns:
        Each name to the path that it means, with `/` also where Windows wrote other separators.
    """
    kept: dict[str, str] = {}
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/")).parts
        if name.endswith("\\") or any(part in _IGNORED or part[:2] == "._" for part in parts):
            continue
        outside = not parts or ".." in parts or parts[0].startswith("/") or ":" in parts[0]
        if outside or "\0" in name:
            raise InputError(
                f"the path {name!r} leads outside its folder. Pack it again, with plain names."
            )
        if any(len(os.fsencode(part)) > LONGEST_NAME for part in parts) or len(parts) > 20:
            raise InputError(f"the path {name[:40]!r}... is too long. Give shorter names.")
        kept[name] = "/".join(parts)
    if len(kept) > MAXIMUM_FILES:
        raise InputError(
            f"at most {MAXIMUM_FILES:,} files can be added at a time. Received: {len(kept):,}. Add "
            "them in parts, or with `siamese gallery add`."
        )
    return kept


def _check_total(total: int) -> None:
    if total > MAXIMUM_UNPACKED:
        raise InputError(
            f"at most {MAXIMUM_UNPACKED / 1e9:.0f} GB can be added at a time. Received: "
            f"{total / 1e9:,.1f} GB. Add them in parts, or with `siamese gallery add`."
        )


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, _small).digest()


def _too_large(name: str, received: str = "") -> str:
    return (
        f"{name}: an image must be at most {MAXIMUM_BYTES // 1_000_000} MB.{received} Give a crop "
        "of one person."
    )
