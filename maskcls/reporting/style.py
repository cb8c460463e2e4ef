"""Style and building blocks of all figures.

Only matplotlib's object interface is used. pyplot keeps global state, which leaks from job to job in a sweep. The style
applies only while a figure is drawn, whatever the user's own matplotlibrc says.
"""

import logging
import math
import re
import textwrap
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import matplotlib.style
from matplotlib import colormaps, font_manager
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from maskcls.files import replaced_atomically
from maskcls.reporting.palette import BLUE, VERMILION
from maskcls.reporting.text import display_width, encodable

log = logging.getLogger(__name__)

TRAIN, VALIDATION = BLUE, VERMILION
DASHES = ("-", "--", "-.", ":")  # so that nobody depends on colours
INK, MUTED, GRID = "#222222", "#666666", "#E3E3E3"
CELLS = colormaps["Blues"]
ROUND_STEPS = (1, 2, 5, 10)

FONTS = (  # DejaVu Sans comes with matplotlib but lacks Hangul and Han characters, which the others have
    "DejaVu Sans", "Noto Sans CJK KR", "Noto Sans CJK JP", "Noto Sans KR", "NanumGothic", "NanumBarunGothic",
    "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic", "Arial Unicode MS",
)  # fmt: skip

# the second of these comes from matplotlib before 3.11
NO_GLYPH = r"Glyph \d+ .* missing from|Matplotlib currently does not support \w+ natively"

STYLE = {
    "figure.dpi": 120,
    "figure.titlesize": 12,
    "figure.titleweight": "bold",
    "font.size": 9,
    "text.color": INK,
    "text.parse_math": False,  # a '$' in a class name is a dollar sign
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 1.4,
    "legend.columnspacing": 1.2,
}

# whether it was told that letters have no font
_told: list[str] = []

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@contextmanager
def drawing(path: Path, title: str, *, width: float, height: float) -> Iterator[Figure]:
    """Draw a figure and write it as a PNG file.

    Args:
        path: file to write; its name may have any ending.
        title: heading at the top left; long lines are wrapped.
        width, height: size of the figure below its title, in inches.

    Yields:
        The figure to draw into; it is written when the block ends.
    """
    installed = set(font_manager.get_font_names())
    fonts = [name for name in FONTS if name in installed]  # matplotlib would log each missing one
    lines = [part for line in encodable(title).splitlines() for part in _wrap(line, int(9 * width))]
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.05)
    look = matplotlib.style.context({**STYLE, "font.family": fonts}, after_reset=True)
    with look, warnings.catch_warnings(), replaced_atomically(path) as temporary:
        # a letter that no installed font has is drawn as a box: a run must not fail because of it
        warnings.filterwarnings("always", NO_GLYPH, UserWarning)
        warnings.showwarning = partial(_show_in_plain_words, warnings.showwarning)
        figure = Figure(figsize=(width, height + 0.1 + 0.2 * len(lines)), layout=layout)
        figure.suptitle("\n".join(lines), x=0.08 / width, ha="left")
        yield figure
        figure.savefig(temporary, format="png")


def _show_in_plain_words(show: Callable[..., None], message: Warning | str, *arguments: Any) -> None:
    """Show a warning of matplotlib; that of letters without a font in plain words."""
    if re.match(NO_GLYPH, str(message)):
        _tell_once(str(message))
    else:
        show(message, *arguments)


def _tell_once(reason: str) -> None:
    """Tell that letters have no font, once in a process."""
    if not _told:
        _told.append(reason)
        log.warning(
            "no installed font has all letters of the names here, so some are drawn as boxes; a font such as Noto Sans "
            "CJK draws them (on Debian and Ubuntu: apt install fonts-noto-cjk)"
        )


@lru_cache(maxsize=64)
def font_file(text: str) -> str:
    """The file of an installed font that has all letters of a text, as far as there is one."""
    installed = set(font_manager.get_font_names())
    files = [font_manager.findfont(name) for name in FONTS if name in installed]
    letters = {ord(letter) for letter in text}
    lacking = {file: len(letters - FT2Font(file).get_charmap().keys()) for file in files}
    file = min(lacking, key=lambda name: lacking[name])
    if lacking[file]:
        _tell_once(text)
    return file


def inches(names: Iterable[str]) -> float:
    """Estimate the length of the longest name in the style's font."""
    return 0.08 * max(map(display_width, names))


def _wrap(text: str, limit: int) -> list[str]:
    """Break a text into lines of roughly ``limit`` columns. matplotlib's own wrapping would parse mathtext."""
    return textwrap.wrap(text, limit * len(text) // max(display_width(text), 1) or 1)


def shorten(text: str, limit: int) -> str:
    """Replace the middle of a text by an ellipsis, so that it takes at most ``limit`` columns."""
    shortened = text = encodable(text)
    keep = len(text)
    while display_width(shortened) > limit:
        keep -= 1
        shortened = f"{text[: (keep + 1) // 2]}…{text[len(text) - keep // 2 :]}"
    return shortened


def use_log_scale_if_wide(axes: Axes, values: Iterable[float]) -> None:
    """Make the y axis logarithmic where the positive values span more than a factor of 50."""
    positive = [value for value in values if 0 < value < math.inf]
    if not positive or max(positive) <= 50 * min(positive):
        return
    few_decades = max(positive) < 1000 * min(positive)
    use_log_scale(axes)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few_decades else (1,)))


def use_log_scale(axes: Axes) -> None:
    """Make the y axis logarithmic, with labels that need no mathtext."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(log_label))
    axes.yaxis.set_minor_formatter(NullFormatter())


def log_label(value: float, _position: float) -> str:
    """Label a tick. matplotlib's own labels need the mathtext that the style turns off."""
    if 1e-4 <= value < 1e4:
        return f"{value:g}"
    mantissa, exponent = f"{value:.0e}".split("e")
    power = f"10{str(int(exponent)).translate(SUPERSCRIPTS)}"
    return power if mantissa == "1" else f"{mantissa}×{power}"
