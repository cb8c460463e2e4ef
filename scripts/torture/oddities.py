"""A class folder of odd files, as operating systems, phones, downloads and people leave them."""

import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

Fate = Literal["used", "damaged", "unreadable", "left out"]

# names of films; maskcls-predict reads them, and the others do not
FILMS = ("film.mp4", "film.jpg")
# the folder that all oddities are in
CLASS = "WithMask"


@dataclass(frozen=True)
class Oddity:
    """One odd file or folder.

    Attributes:
        kind: kind of oddity, a heading of the table.
        name: path within the class folder.
        what: what is odd, for the table.
        fate: what every command must do with it.
        write: writes it to a path.
    """

    kind: str
    name: str
    what: str
    fate: Fate
    write: Callable[[Path], object]


class Pictures:
    """Draws another picture at each call, so that no two files are copies."""

    def __init__(self, seed: int) -> None:
        self._generator = np.random.default_rng(seed)

    def pixels(self, height: int = 48, width: int = 40) -> np.ndarray:
        """Smooth noise with a bright lower half, uint8 [height, width, 3]."""
        coarse = self._generator.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        pixels = np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))
        pixels[height // 2 :] //= 2
        pixels[height // 2 :] += 120
        return pixels

    def image(self, mode: str = "RGB") -> Image.Image:
        """A picture in one of Pillow's modes."""
        return Image.fromarray(self.pixels()).convert(mode)

    def encoded(self, format_name: str, mode: str = "RGB", **options: Any) -> bytes:
        """The bytes of an image file."""
        if format_name in ("HEIF", "AVIF"):
            import pillow_heif

            pillow_heif.register_heif_opener()
        buffer = io.BytesIO()
        self.image(mode).save(buffer, format_name, **options)
        return buffer.getvalue()


def oddities(seed: int = 0) -> Iterator[Oddity]:
    """All oddities; what they contain follows from the seed."""
    pictures = Pictures(seed)
    yield from _endings(pictures)
    yield from _other_content(pictures)
    yield from _systems(pictures)
    yield from _links(pictures)
    yield from _depths(pictures)
    yield from _orientations(pictures)
    yield from _animations(pictures)
    yield from _ends(pictures)
    yield from _names(pictures)


def write_oddities(folder: Path, seed: int = 0) -> list[Oddity]:
    """Write all oddities into a class folder and return them."""
    written = list(oddities(seed))
    for oddity in written:
        path = folder / oddity.name
        path.parent.mkdir(parents=True, exist_ok=True)
        oddity.write(path)
    return written


def _holding(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _endings(pictures: Pictures) -> Iterator[Oddity]:
    jpeg, png = pictures.encoded, pictures.encoded
    rows = (
        ("shout.JPG", "ending in capitals", jpeg("JPEG")),
        ("browser.jfif", "ending .jfif, as some browsers save", jpeg("JPEG")),
        ("old.jpe", "ending .jpe", jpeg("JPEG")),
        ("tweet.jpg_large", "ending .jpg_large", jpeg("JPEG")),
        ("no_ending", "no ending", jpeg("JPEG")),
        ("query.jpg?width=300", "the rest of an address behind the ending", jpeg("JPEG")),
        ("copy.jpg.bak", "an editor's copy that holds an image", jpeg("JPEG")),
        ("really_a_jpeg.png", "JPEG that is called PNG", jpeg("JPEG")),
        ("really_a_png.jpg", "PNG that is called JPEG", png("PNG")),
        ("phone.HEIC", "HEIC of a phone", pictures.encoded("HEIF")),
        ("web.avif", "AVIF", pictures.encoded("AVIF")),
        ("scan.jp2", "JPEG 2000", pictures.encoded("JPEG2000")),
        ("grey.pgm", "portable greymap", pictures.encoded("PPM", "L")),
        ("web.webp", "WebP", pictures.encoded("WEBP", lossless=True)),
        ("scan.tiff", "TIFF", pictures.encoded("TIFF")),
        ("bitmap.bmp", "BMP", pictures.encoded("BMP")),
        ("twin_lens.jpg", "MPO, two pictures of a camera with two lenses", _mpo(pictures)),
    )
    for name, what, content in rows:
        yield Oddity("endings", name, what, "used", _holding(content))


def _other_content(pictures: Pictures) -> Iterator[Oddity]:
    page = b"<!DOCTYPE html><html><head><title>404</title></head><body>not found</body></html>"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n"
    film = struct.pack(">I", 24) + b"ftypisom\0\0\2\0isomiso2" + bytes(64)
    rows: tuple[tuple[str, str, Fate, bytes], ...] = (
        ("notes.txt", "text", "left out", b"these are photographs\n"),
        ("labels.csv", "table", "left out", b"path,label\na.jpg,1\n"),
        ("page.html", "page of the web", "left out", page),
        ("drawing.svg", "vector drawing", "left out", b'<svg xmlns="http://www.w3.org/2000/svg"/>'),
        ("film.mp4", "film", "left out", film),
        ("more.zip", "archive", "left out", b"PK\3\4" + bytes(60)),
        ("paper.pdf", "PDF", "left out", b"%PDF-1.7\n"),
        ("nothing", "empty file without an ending", "left out", b""),
        ("empty.jpg", "empty file that is called JPEG", "unreadable", b""),
        ("page.jpg", "page of the web that is called JPEG", "unreadable", page),
        ("pointer.jpg", "pointer of Git LFS", "unreadable", pointer),
        ("film.jpg", "film that is called JPEG", "unreadable", film),
        ("noise.png", "noise that is called PNG", "unreadable", bytes(range(1, 200))),
    )
    for name, what, fate, content in rows:
        yield Oddity("other content", name, what, fate, _holding(content))


def _systems(pictures: Pictures) -> Iterator[Oddity]:
    rows = (
        (".hidden.jpg", "hidden file"),
        ("._shout.jpg", "resource fork of macOS"),
        (".DS_Store", "folder settings of macOS"),
        ("Thumbs.db", "thumbnails of Windows"),
        ("desktop.ini", "folder settings of Windows"),
        ("@eaDir/shout.JPG/SYNOPHOTO_THUMB_M.jpg", "thumbnail of a Synology NAS"),
        (".@__thumb/s100shout.jpg", "thumbnail of a QNAP NAS"),
        ("#recycle/gone.jpg", "wastebasket of a NAS"),
        ("$RECYCLE.BIN/S-1-5-18/gone.jpg", "wastebasket of Windows"),
        (".Trash-1000/files/gone.jpg", "wastebasket of Linux"),
        ("lost+found/found.jpg", "what a repair of the file system found"),
        ("System Volume Information/tracking.jpg", "restore points of Windows"),
        ("__MACOSX/shout.jpg", "resource forks in an archive of macOS"),
        (".ipynb_checkpoints/shout-checkpoint.jpg", "copy that a notebook keeps"),
        (".stversions/old.jpg", "old version that Syncthing keeps"),
        (".dropbox.cache/new.jpg", "cache of Dropbox"),
        ("half.jpg.crdownload", "download that is not complete"),
    )
    for name, what in rows:
        yield Oddity("systems", name, what, "left out", _holding(pictures.encoded("JPEG")))


def _links(pictures: Pictures) -> Iterator[Oddity]:
    def to_file(path: Path) -> None:
        target = path.parents[2] / "elsewhere" / "linked.jpg"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(pictures.encoded("JPEG"))
        path.symlink_to(target)

    def to_folder(path: Path) -> None:
        target = path.parents[3] / "elsewhere" / "album"
        target.mkdir(parents=True, exist_ok=True)
        (target / path.name).write_bytes(pictures.encoded("JPEG"))
        path.parent.rmdir()
        path.parent.symlink_to(target)

    yield Oddity("links", "link.jpg", "link to a file", "used", to_file)
    yield Oddity("links", "album/in_album.jpg", "image in a linked folder", "used", to_folder)
    yield Oddity("links", "dangling.jpg", "link to nothing", "left out", lambda path: path.symlink_to("nothing.jpg"))
    yield Oddity("links", "loop", "link to the folder that holds it", "left out", lambda path: path.symlink_to("."))
    yield Oddity("links", "again.jpg", "link to a file that is there already", "left out",
                 lambda path: path.symlink_to("shout.JPG"))  # fmt: skip
    yield Oddity("links", "pipe.jpg", "pipe that is called JPEG", "left out", os.mkfifo)


def _depths(pictures: Pictures) -> Iterator[Oddity]:
    wide = np.asarray(pictures.image("L")).astype(np.uint16)
    deep = Image.fromarray(wide * 257)
    rows = (
        ("deep.png", "16 bits", _saved(deep, "PNG")),
        ("deep12.png", "12 of 16 bits, as its sBIT chunk says", _with_chunk(_saved(Image.fromarray(wide * 16), "PNG"),
                                                                        b"sBIT", bytes([12]))),
        ("deep.tiff", "TIFF with 16 bits", _saved(deep, "TIFF")),
        ("grey.jpg", "grey", pictures.encoded("JPEG", "L")),
        ("palette.png", "palette", pictures.encoded("PNG", "P")),
        ("see_through.png", "transparent", pictures.encoded("PNG", "RGBA")),
        ("print.jpg", "CMYK", pictures.encoded("JPEG", "CMYK")),
        ("fax.tiff", "black and white", pictures.encoded("TIFF", "1")),
        ("one_pixel.png", "one pixel", _saved(pictures.image().resize((1, 1)), "PNG")),
        ("strip.png", "three pixels high", _saved(pictures.image().resize((400, 3)), "PNG")),
    )  # fmt: skip
    for name, what, content in rows:
        yield Oddity("depths and shapes", name, what, "used", _holding(content))


def _orientations(pictures: Pictures) -> Iterator[Oddity]:
    turned, mirrored = Image.Exif(), Image.Exif()
    turned[0x0112], mirrored[0x0112] = 6, 2
    rows = (
        ("turned.jpg", "JPEG on its side, as its EXIF data say", pictures.encoded("JPEG", exif=turned)),
        ("mirrored.jpg", "JPEG mirrored, as its EXIF data say", pictures.encoded("JPEG", exif=mirrored)),
        ("turned.png", "PNG on its side, as its EXIF data say", pictures.encoded("PNG", exif=turned)),
        ("turned.webp", "WebP on its side, as its EXIF data say", pictures.encoded("WEBP", exif=turned)),
        ("turned.heic", "HEIC on its side", pictures.encoded("HEIF", exif=turned)),
    )
    for name, what, content in rows:
        yield Oddity("orientations", name, what, "used", _holding(content))


def _animations(pictures: Pictures) -> Iterator[Oddity]:
    for format_name, ending in (("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp")):
        frames = [pictures.image() for _ in range(3)]
        content = _saved(frames[0], format_name, save_all=True, append_images=frames[1:], duration=100)
        yield Oddity("animations", f"moving.{ending}", f"{format_name} with three frames", "used", _holding(content))
    pages = [pictures.image() for _ in range(2)]
    yield Oddity("animations", "pages.tiff", "TIFF with two pages", "used",
                 _holding(_saved(pages[0], "TIFF", save_all=True, append_images=pages[1:])))  # fmt: skip


def _ends(pictures: Pictures) -> Iterator[Oddity]:
    jpeg = pictures.encoded("JPEG")
    large = _saved(Image.fromarray(pictures.pixels(300, 200)), "JPEG", quality=95)
    film = struct.pack(">I", 24) + b"ftypmp42\0\0\0\0isommp42" + bytes(500)
    rows: tuple[tuple[str, str, Fate, bytes], ...] = (
        ("motion.jpg", "JPEG with a film behind its end", "used", pictures.encoded("JPEG") + film),
        ("tail.png", "PNG with bytes behind its end", "used", pictures.encoded("PNG") + bytes(5000)),
        ("tail.gif", "GIF with a newline behind its end", "used", pictures.encoded("GIF") + b"\n"),
        ("lost_tail.jpg", "JPEG without its last 20 bytes", "damaged", jpeg[:-20]),
        ("half.jpg", "half a JPEG", "damaged", large[: len(large) // 2]),
        ("head.jpg", "JPEG that ends within its header", "unreadable", jpeg[:150]),
        ("head.png", "PNG that ends within its header", "unreadable", pictures.encoded("PNG")[:20]),
    )
    for name, what, fate, content in rows:
        yield Oddity("ends", name, what, fate, _holding(content))


def _names(pictures: Pictures) -> Iterator[Oddity]:
    scripts = {
        "Hangul": "마스크", "Han": "口罩", "kana": "マスク", "Cyrillic": "маска", "Greek": "μάσκα", "Arabic": "قناع",
        "Hebrew": "מסכה", "Devanagari": "मुखौटा", "Thai": "หน้ากาก", "Georgian": "ნიღაბი", "emoji": "😷",
    }  # fmt: skip
    rows = [(f"{word}.png", f"name in {script}") for script, word in scripts.items()]
    rows += [
        (unicodedata.normalize("NFC", "été") + "_nfc.png", "accents as one character each"),
        (unicodedata.normalize("NFD", "été") + "_nfd.png", "accents as two characters each"),
        ("n" * 251 + ".png", "name of 255 bytes"),
        ("two\nlines.png", "newline in the name"),
        ("tab\tulator.png", "tabulator in the name"),
        (" space .png", "spaces around the name"),
        ("=1+1.png", "name that a spreadsheet takes for a formula"),
        ("-rf.png", "name that a shell takes for an option"),
        ("comma, quote\" and 'apostrophe'.png", "punctuation of tables"),
        ("brackets [1] {2} $HOME 100 %.png", "punctuation of patterns and formats"),
        ("<b>bold<b>&amp;.png", "punctuation of HTML"),
        ("back\\slash.png", "backslash in the name"),
        (os.fsdecode(b"latin_\xe9.png"), "name that is not UTF-8"),
    ]
    for name, what in rows:
        yield Oddity("names", name, what, "used", _holding(pictures.encoded("PNG")))


def _saved(image: Image.Image, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def _mpo(pictures: Pictures) -> bytes:
    first, second = pictures.image(), pictures.image()
    return _saved(first, "MPO", save_all=True, append_images=[second])


def _with_chunk(png: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG file with a chunk added behind its header."""
    header_end = 8 + 25
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return png[:header_end] + chunk + png[header_end:]
