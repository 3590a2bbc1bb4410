"""Local paths, and addresses such as `s3://bucket/folder` on any file system that fsspec knows.

An address is handled as a `UPath` of the package universal-pathlib: a pathlib with fsspec below.
Asking such a file system takes milliseconds each time, so files are listed and read many at once.
"""

import contextlib
import errno
import itertools
import os
import posixpath
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from traceback import walk_tb
from typing import Any, NamedTuple, TypeAlias, cast

from siamese.errors import InputError, brief

_COLLAPSED = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):[/\\]")
_MD5 = re.compile("[0-9a-f]{32}")
_MOST_FOLDERS = 8
_FILES_AT_ONCE = 256
# What the file systems call it: object stores, local disks, HDFS, and memory.
_VERSIONS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")


class FileState(NamedTuple):
    """Tells versions of a file apart.

    Attributes:
        size: In bytes.
        version: The time of its last change, or what else the file system tells versions by.
        digest: The MD5 of its content where the file system tells it, else empty.
    """

    size: int
    version: int | str
    digest: str = ""


_Listings: TypeAlias = dict[tuple[str, bool], dict[str, FileState | None]]
_listings: ContextVar[_Listings | None] = ContextVar("_listings", default=None)
"""Content listed in a `listed_once` block: folder, and whether all below it, to its content."""


def is_remote(place: str | Path) -> bool:
    """Returns whether a place is an address and no local path.

    Example:
        >>> is_remote("s3://bucket/market1501"), is_remote("market1501")
        (True, False)
    """
    return "://" in str(place)


def as_path(place: str | Path) -> Path:
    """Returns a path to work with: `pathlib.Path` for a local one, `UPath` for an address.

    Raises:
        InputError: A package that the address needs is not installed, its kind is not known, or it
            is a `pathlib.Path`, which cannot hold an address.
        OSError: The file system cannot be opened.

    Example:
        >>> as_path("bounding_box_train").name
        'bounding_box_train'
    """
    if not is_remote(place):
        collapsed = _COLLAPSED.match(str(place)) if isinstance(place, Path) else None
        if collapsed and not Path(place).exists():
            address = f"{collapsed['scheme']}://{str(place)[collapsed.end() :]}"
            raise InputError(
                f"{address}: an address is read only by siamese records make, records verify and "
                "inspect (in Python by their functions, from text). Copy the folder to this "
                "computer first, and give its path."
            )
        return Path(place)
    if isinstance(place, os.PathLike) or not isinstance(place, str):
        return place  # a UPath already
    try:
        from fsspec.config import conf  # type: ignore[import-untyped]
        from upath import UPath
        from upath.implementations.cloud import CloudPath, S3Path
    except ImportError:
        raise InputError(
            f"{place}: addresses need the package universal-pathlib. Received: an installation "
            "without it. Install it with pip install 'siamese-reid[cluster]'."
        ) from None
    scheme, _, rest = place.partition("://")
    address = f"{scheme}://{rest.rstrip('/') or rest}"
    try:
        path = UPath(address)
        if isinstance(path, CloudPath):
            # Other processes write here too: what was listed a while ago is not what is there.
            options: dict[str, Any] = {"use_listings_cache": False}
            if isinstance(path, S3Path):
                # It waits for ten answers at once unless told otherwise.
                own = conf.get("s3", {}).get("config_kwargs", {})
                options["config_kwargs"] = {"max_pool_connections": 64, **own}
            path = UPath(address, **options)
        _ = path.fs  # opened now, so that what is missing is said here
    except ImportError as error:
        package = re.search(r"[Ii]nstall (\S+)", str(error))
        raise InputError(
            f"{place}: this kind of address needs another package ({_reason(error)}). "
            f"Install it with pip install {package[1] if package else scheme + 'fs'}."
        ) from None
    except ValueError as error:
        raise InputError(
            f"{place}: is no address that fsspec can use ({_reason(error)}). Give a local path, or "
            "an address such as s3://bucket/folder."
        ) from None
    except Exception as error:  # each file system raises its own
        raise _unreachable(place, error) from error
    # A pathlib in all but its base class.
    return cast(Path, path)


def join(folder: str | Path, name: str) -> str:
    """Returns the path of a file in a folder, as samples have it.

    Args:
        folder: A local path or an address.
        name: The file, perhaps with folders and `/`, as listing gives it: without `.` and `..`.

    Example:
        >>> join("s3://bucket/train", "0002/a.jpg"), join(Path(), "a.jpg")
        ('s3://bucket/train/0002/a.jpg', 'a.jpg')
    """
    home = str(folder)
    if is_remote(home):
        return f"{home.rstrip('/')}/{name}"
    # What `pathlib` gives, in a tenth of the time.
    local = name if os.sep == "/" else name.replace("/", os.sep)
    return local if home == "." else os.path.join(home, local)  # noqa: PTH118


@contextlib.contextmanager
def reaching(place: str | Path) -> Iterator[None]:
    """Turns what the file system of an address raises in the block into one line that names it.

    Each has errors of its own; they are known by having come through fsspec. Others pass unchanged.

    Raises:
        InputError: There is no such bucket or folder.
        OSError: It cannot be reached, or access is refused.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not is_remote(place) or not _is_of_file_system(error):
            raise
        raise _unreachable(place, error) from error


def _is_of_file_system(error: Exception) -> bool:
    modules = (frame.f_globals.get("__name__", "") for frame, _ in walk_tb(error.__traceback__))
    return any(module.partition(".")[0] in ("fsspec", "upath") for module in modules)


def _unreachable(place: str | Path, error: Exception) -> Exception:
    reason = _reason(error)
    if isinstance(error, FileNotFoundError):
        return InputError(
            f"{place}: no such bucket, folder or file ({reason}). Correct the address, or make the "
            "bucket."
        )
    if isinstance(error, PermissionError):
        text = f"access is refused ({reason}); check the credentials"
        return PermissionError(errno.EACCES, text, str(place))
    text = f"cannot be used ({reason}); check address, credentials and network"
    return OSError(errno.EIO, text, str(place))


def _reason(error: Exception) -> str:
    return brief(error).rstrip(".")


def make_folder(folder: Path) -> None:
    """Makes a folder, and those above it, unless it is there.

    Object stores have no folders, and making one would make a bucket that does not exist.
    """
    if not isinstance(folder, Path):
        from upath.implementations.cloud import CloudPath

        if isinstance(folder, CloudPath):
            return
    folder.mkdir(parents=True, exist_ok=True)


def remove_folder(folder: Path) -> None:
    """Removes a folder of files, where it is there."""
    if isinstance(folder, Path):
        shutil.rmtree(folder, ignore_errors=True)
        return
    system, name = _system(folder), cast(Any, folder).path
    with contextlib.suppress(FileNotFoundError):
        for each in system.find(name):  # `rm` takes brackets in a name for a pattern
            system.rm_file(each)
        if system.isdir(name):
            system.rmdir(name)


@contextlib.contextmanager
def listed_once() -> Iterator[None]:
    """Asks for the content of a remote folder once within the block, and then remembers it."""
    known = _listings.get()
    token = _listings.set({} if known is None else known)
    try:
        yield
    finally:
        _listings.reset(token)


def list_remote(folder: str | Path, *, below: bool = False) -> dict[str, FileState | None]:
    """Lists a folder at an address, or all files `below` it, at any depth, and no folders.

    Returns:
        Name (relative to the folder, with `/`) to state; None for a folder.

    Raises:
        FileNotFoundError: There is no such folder.
    """
    known = _listings.get()
    key = (str(folder), below)
    if known is not None and key in known:
        return known[key]
    path: Any = as_path(folder)
    if below:
        infos = path.fs.find(path.path, detail=True).values()
    else:
        infos = path.fs.ls(path.path, detail=True)
    root = path.path.strip("/")
    found: dict[str, FileState | None] = {}
    for info in infos:
        name = info["name"].strip("/").removeprefix(root).strip("/")
        if name:  # object stores may list the folder itself
            found[name] = None if info["type"] == "directory" else _state_of(info)
    if known is not None:
        known[key] = found
    return found


def _state_of(info: dict[str, Any]) -> FileState:
    version = next((info[key] for key in _VERSIONS if info.get(key)), "")
    # S3's ETag is the MD5 of what was uploaded in one piece, and not encrypted by a key of KMS.
    tag = str(info.get("ETag", "")).strip('"')
    digest = str(info.get("md5Hash") or (tag if _MD5.fullmatch(tag) else ""))
    return FileState(info["size"] or 0, str(version), digest)


def file_states(paths: Iterable[str]) -> dict[str, FileState]:
    """Finds the state of files, local or at addresses; those that are missing are left out."""
    found: dict[str, FileState] = {}
    remote: list[str] = []
    for path in paths:
        if is_remote(path):
            remote.append(path)
            continue
        try:
            state = os.stat(path)  # noqa: PTH116 - speed
        except (OSError, ValueError):  # the reader will say it in words
            continue
        if stat.S_ISREG(state.st_mode):
            found[path] = FileState(state.st_size, state.st_mtime_ns)
    if remote:
        with listed_once():
            found.update(_remote_states(remote))
    return found


def _remote_states(paths: Sequence[str]) -> dict[str, FileState]:
    listings = _listings.get() or {}
    there = {join(folder, name): state for (folder, _), found in listings.items()
             for name, state in found.items()}  # fmt: skip
    folders = sorted({path.rpartition("/")[0] for path in paths if path not in there})
    for system, group in itertools.groupby(folders, _system_of):
        asked = list(group)
        if below := len(asked) > _MOST_FOLDERS:  # one question for all of them
            scheme = f"{system.partition('://')[0]}://"
            asked = [scheme + posixpath.commonpath([each.removeprefix(scheme) for each in asked])]
        for folder in asked:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                found = list_remote(folder, below=below)
                there.update((join(folder, name), state) for name, state in found.items())
    return {path: state for path in paths if (state := there.get(path)) is not None}


def read_each(paths: Sequence[str]) -> Iterator[bytes | None]:
    """Reads files one after another, those at addresses some hundred at once.

    Yields:
        The content of each; None where it could not be read.
    """
    for first in range(0, len(paths), _FILES_AT_ONCE):
        some = paths[first : first + _FILES_AT_ONCE]
        content: dict[str, bytes | None] = {}
        for _, group in itertools.groupby(sorted(filter(is_remote, some)), _system_of):
            mine = list(group)
            system = _system(as_path(mine[0]))
            # s3fs would first ask for the size of each, to read large files in pieces.
            how = {"max_concurrency": 1} if "s3" in system.protocol else {}
            # From the beginning to the end of each; `cat` takes brackets in a name for a pattern.
            names = [system._strip_protocol(path) for path in mine]
            read = system.cat_ranges(names, None, None, on_error="return", **how)
            content.update(zip(mine, read, strict=True))
        for path in some:
            data = content.get(path)
            if not is_remote(path):
                with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:  # noqa: PTH123 - speed
                    data = file.read()
            yield data if isinstance(data, bytes) else None


@contextlib.contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Gives a local file with the content of a file: itself, or a copy while the block lasts."""
    if isinstance(path, Path):
        yield path
        return
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / path.name
        _system(path).get_file(path.path, str(copy))
        yield copy


def _system(path: Path) -> Any:
    """The fsspec file system of a `UPath`."""
    return cast(Any, path).fs


def _system_of(address: str) -> str:
    """Returns what addresses on one file system share: `s3://bucket`."""
    return "/".join(address.split("/", 3)[:3])
