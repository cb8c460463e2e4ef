"""The style of figures: applied while one is drawn, and no trace of it afterwards."""

import warnings
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from figures import assert_shows_something
from matplotlib import font_manager, pyplot

from maskcls.reporting import style

KOREAN = "마스크 미착용"


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("WithoutMask", 11, "WithoutMask"),
        ("WithoutMask", 10, "Witho…Mask"),
        ("마스크 미착용", 13, "마스크 미착용"),  # wide letters take two columns each
        ("마스크 미착용", 9, "마스…착용"),
        ("", 5, ""),
    ],
)
def test_shorten(text: str, limit: int, expected: str) -> None:
    assert style.shorten(text, limit) == expected


def test_long_title_is_wrapped_into_the_figure(tmp_path: Path) -> None:
    for title in ("resnet18 sgd " * 20, "x" * 200, KOREAN * 20, "first line\nsecond line"):
        with style.drawing(tmp_path / "x.png", title, width=8, height=3) as figure:
            figure.draw_without_rendering()
            (heading,) = figure.texts
            assert heading.get_window_extent().x1 < figure.bbox.x1
        assert "\n" in heading.get_text()


def test_process_is_left_as_it_was(tmp_path: Path) -> None:
    with matplotlib.rc_context({"axes.facecolor": "red", "text.usetex": True}):  # as a matplotlibrc might
        settings, figures, filters = (
            dict(matplotlib.rcParams.copy()),
            pyplot.get_fignums(),
            list(warnings.filters),
        )
        with style.drawing(tmp_path / "x.png", "title", width=4, height=3) as figure:
            figure.subplots().plot([1, 2])
        with (
            pytest.raises(ValueError, match="while drawing"),
            style.drawing(tmp_path / "none.png", "title", width=4, height=3),
        ):
            raise ValueError("while drawing")
        assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["x.png"]
        assert dict(matplotlib.rcParams.copy()) == settings  # a copy, for reading "backend" picks one
        assert pyplot.get_fignums() == figures
        assert list(warnings.filters) == filters
    assert not np.any(np.all(assert_shows_something(tmp_path / "x.png")[..., :3] == (0, 0, 255), axis=-1))


def test_only_installed_fonts_are_asked_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    with style.drawing(tmp_path / "x.png", KOREAN, width=4, height=3):
        pass
    assert not caplog.records, "matplotlib logs each family that it does not find"
    monkeypatch.setattr(font_manager, "get_font_names", lambda: ["Papyrus", "NanumGothic", "DejaVu Sans"])
    with style.drawing(tmp_path / "x.png", "title", width=4, height=3):
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans", "NanumGothic"]


@pytest.mark.parametrize(
    ("value", "label"), [(2e-6, "2×10⁻⁶"), (0.005, "0.005"), (9999, "9999"), (1e4, "10⁴"), (3e12, "3×10¹²")]
)
def test_ticks_of_a_logarithmic_scale(value: float, label: str) -> None:
    assert style.log_label(value, 0) == label


def test_a_wide_letter_counts_twice_in_inches() -> None:
    assert style.inches(["abcd", "한글"]) == style.inches(["abcd"]) == pytest.approx(0.32)
    assert style.inches(["한글한"]) == pytest.approx(0.48)


def test_letters_without_a_font_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(style, "_told", [])
    monkeypatch.setattr(style, "FONTS", ("DejaVu Sans",))
    for title in ("plain", KOREAN, KOREAN):
        with style.drawing(tmp_path / "x.png", title, width=4, height=3) as figure:
            figure.subplots()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "some are drawn as boxes; a font such as Noto Sans CJK draws them" in caplog.messages[0]


def test_other_warnings_pass(tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="something else"),
        style.drawing(tmp_path / "x.png", "title", width=4, height=3),
    ):
        warnings.warn("something else", stacklevel=1)
