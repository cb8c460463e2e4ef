"""What a file is, told by its first bytes rather than by its name."""

import re

# bytes of a file's beginning that are looked at
HEAD_BYTES = 1024

# where a format's signature begins, the signature, and the format; maskcls decodes these, HEIC with an extra
_IMAGES = (
    (0, b"\xff\xd8\xff", "JPEG"),
    (0, b"\x89PNG\r\n\x1a\n", "PNG"),
    (0, b"GIF87a", "GIF"),
    (0, b"GIF89a", "GIF"),
    (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"),
    (0, b"II+\0\x08\0\0\0", "TIFF"),  # this one and the next one are BigTIFF
    (0, b"MM\0+\0\x08\0\0", "TIFF"),
    (8, b"WEBP", "WEBP"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),  # a codestream without a container
    (0, b"#?RADIANCE\n", "HDR"),
    (0, b"#?RGBE\n", "HDR"),
    (0, b"\x59\xa6\x6a\x95", "Sun raster"),
)
# sizes that the second header of a BMP file may have; text may begin with BM, too
_BMP_HEADERS = {12, 16, 40, 52, 56, 64, 108, 124}
_AVIF = {b"avif", b"avis"}
_HEIC = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF = {b"mif1", b"msf1", b"mif2", b"miaf"}  # says nothing about how the pixels are coded

# whitespace and comments between the numbers of a Netpbm header
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"
_NUMBER = rb"0*[1-9][0-9]{0,6}"
_NETPBM = (
    (re.compile(rb"P1" + _GAP + _NUMBER + _GAP + _NUMBER + rb"\s(?:[01\s]|#[^\r\n]*(?:[\r\n]|\Z))*\Z"), "PNM"),
    (re.compile(rb"P[23]" + (_GAP + _NUMBER) * 3 + rb"\s(?:[0-9\s]|#[^\r\n]*(?:[\r\n]|\Z))*\Z"), "PNM"),
    (re.compile(rb"P4[\r\n]" + rb"(?:" + _GAP + rb")?" + _NUMBER + _GAP + _NUMBER + rb"\s"), "PNM"),
    (re.compile(rb"P[56]" + (_GAP + _NUMBER) * 3 + rb"\s"), "PNM"),
    (re.compile(rb"P7\r?\n(?:#[^\n]*\n)*WIDTH "), "PAM"),
)
_PFM = re.compile(rb"P[Ff]\s+" + _NUMBER + rb"\s+" + _NUMBER + rb"\s+-?[0-9.]+(?:[eE][-+]?[0-9]+)?\s")

# where a signature begins, the signature, and what people call such a file
_OTHERS = (
    (0, b"version https://git-lfs.github.com/spec/", "a Git LFS pointer"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"%PDF-", "a PDF document"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"BZh", "a bzip2 file"),
    (0, b"\xfd7zXZ\0", "an xz file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!\x1a\x07", "a RAR archive"),
    (257, b"ustar", "a tar archive"),
    (8, b"AVI ", "an AVI film"),
    (8, b"WAVE", "a sound file"),
    (0, b"\x1a\x45\xdf\xa3", "an MKV or WebM film"),
    (0, b"\0\0\x01\xba", "an MPEG film"),
    (0, b"\0\0\x01\xb3", "an MPEG film"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a WMV film"),
    (0, b"FLV\x01", "an FLV film"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL image"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"FUJIFILMCCD-RAW", "a camera's raw photograph"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"SQLite format 3\0", "an SQLite database"),
    (0, b"\0\x05\x16\x07", "a macOS resource file"),
    (0, b"\0\0\0\x01Bud1", "a Finder file of macOS"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Office document or a thumbnail file of Windows"),
)
_RIFF_FORMS = {b"WEBP", b"AVI ", b"WAVE"}
# where the packets of an MPEG transport stream begin, and how long they are
_PACKETS = ((0, 188), (4, 192))
_FILM_BOXES = {b"moov", b"mdat", b"wide", b"free", b"skip"}


def format_of(head: bytes) -> str | None:
    """Name the image format of a file; None for anything that maskcls does not decode.

    Args:
        head: the first `HEAD_BYTES` bytes of the file, or the whole file if it is shorter.
    """
    head = head[:HEAD_BYTES]
    if head[:2] in (b"II", b"MM") and head[8:11] == b"CR\x02":  # a Canon raw file looks like a TIFF
        return None
    if head.startswith(b"BM") and int.from_bytes(head[14:18], "little") in _BMP_HEADERS:
        return "BMP"
    if head[4:8] == b"ftyp":
        return _heif_format(head)
    if head[:1] == b"P":
        return next((name for pattern, name in _NETPBM if pattern.match(head)), None)
    return _named(head, _IMAGES)


def _named(head: bytes, signatures: tuple[tuple[int, bytes, str], ...]) -> str | None:
    for offset, signature, name in signatures:
        if head[offset : offset + len(signature)] == signature and (
            head.startswith(b"RIFF") or signature not in _RIFF_FORMS
        ):
            return name
    return None


def _heif_format(head: bytes) -> str | None:
    """Name the format of a file of the kind that HEIC, AVIF and films share, by the brands it claims."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    major, brands = head[8:12], {head[start : start + 4] for start in range(16, end - 3, 4)}
    if major in _AVIF | _HEIC:
        return "AVIF" if major in _AVIF else "HEIC"
    if major not in _HEIF:
        return None
    return "AVIF" if brands & _AVIF and not brands & _HEIC else "HEIC"


def described(head: bytes) -> str:
    """Say in a few words what a file is, such as "an HTML page", "a Git LFS pointer" or "unknown content".

    Args:
        head: the first `HEAD_BYTES` bytes of the file, or the whole file if it is shorter.
    """
    head = head[:HEAD_BYTES]
    if not head:
        return "empty"
    if name := format_of(head):
        return f"{'an' if name in ('AVIF', 'HDR') else 'a'} {name} image"
    if not head.strip(b"\0"):
        return "zeros only"
    if head[:2] in (b"II", b"MM") and head[8:11] == b"CR\x02":
        return "a camera's raw photograph"
    if head[4:8] == b"ftyp":
        kinds = {b"crx ": "a camera's raw photograph", b"qt  ": "a QuickTime (MOV) film", b"M4A ": "a sound file"}
        return kinds.get(head[8:12], "an MP4 film")
    if _PFM.match(head):
        return "a PFM image of floats"
    if head[4:8] in _FILM_BOXES:
        return "a QuickTime (MOV) film"
    if _is_transport_stream(head):
        return "an MPEG film"
    return _named(head, _OTHERS) or _described_text(head) or "unknown content"


def is_film(head: bytes) -> bool:
    """Whether a file is a video, by its first `HEAD_BYTES` bytes; maskcls has a decoder for most of them."""
    return described(head).endswith(" film")


def _is_transport_stream(head: bytes) -> bool:
    """Whether each packet of 188 bytes begins with MPEG's sign; cameras write four bytes in front of each packet."""
    return any({head[start + n * size : start + n * size + 1] for n in range(4)} == {b"G"} for start, size in _PACKETS)


def _described_text(head: bytes) -> str | None:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) // 2 * 2].decode("utf-16", errors="ignore")
    else:
        text = head.decode("utf-8-sig", errors="replace").rstrip("\ufffd")  # the last letter may be cut off
    if not text or "\ufffd" in text or any(letter < " " and letter not in "\t\n\r\f" for letter in text):
        return None
    start = text.lstrip().lower()
    if start.startswith(("<!doctype html", "<html", "<head", "<body", "<script")) or "<html" in start:
        return "an HTML page"
    if start.startswith("<"):
        return "an SVG drawing" if "<svg" in start else "an XML document"
    if start.startswith(("{", "[")):
        return "a JSON file"
    lines = text.splitlines()[:-1] or [text]
    if any(lines[0].count(mark) and len({line.count(mark) for line in lines[:3]}) == 1 for mark in ",;\t"):
        return "a CSV table"
    return "a text file"
