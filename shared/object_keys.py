"""Which names an object or a file of a manifest may bear: nothing that leaves its root, on any store."""

from shared.errors import Rejected

_MAX_BYTES = 1024


def check_relative_path(path: str) -> str:
    """The path, if it stays below the directory that it is put in.

    Raises:
        Rejected: it is empty, absolute, too long, or has a segment that is empty, `.` or `..`, or a backslash or control character.
    """
    if not path or len(path.encode("utf-8", "surrogatepass")) > _MAX_BYTES:
        raise Rejected(f"{path[:80]!r} is not a path: it must have 1 to {_MAX_BYTES} bytes")
    if "\\" in path or not path.isprintable():
        raise Rejected(f"{path!r} is not a path: backslashes and control characters are refused")
    if any(segment in ("", ".", "..") for segment in path.split("/")):
        raise Rejected(f"{path!r} is not a path below its root: empty, '.' and '..' segments are refused")
    return path


def check_key(key: str) -> str:
    """The key, if every store can hold it.

    Raises:
        Rejected: as for a relative path; also where a segment starts with a dot, which stores keep for themselves.
    """
    check_relative_path(key)
    if any(segment.startswith(".") for segment in key.split("/")):
        raise Rejected(f"{key!r} is not an object key: segments that start with a dot are refused")
    return key
