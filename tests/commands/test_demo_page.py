"""The page of maskcls-demo: what it says of a picture."""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import write_image
from PIL import Image
from seen import NAMING, answered, detection

from maskcls.data import heif
from maskcls.inference.pipeline import Answered


class FakePipeline:
    """Finds a face in pictures of an even width."""

    def __init__(self) -> None:
        self.given: list[np.ndarray] = []

    def answer(self, image: np.ndarray) -> list[Answered]:
        self.given.append(image)
        return [answered(0.9, detection())] if image.shape[1] % 2 == 0 else []


PIPELINE = FakePipeline()


def function_of(page: Any) -> Callable[[Path | None], tuple[Any, str, list[list[str]]]]:
    """What the page calls when its picture changes."""
    (event,) = [event for event in page.fns.values() if event.api_name == "predict"]
    assert not event.preprocess  # Gradio does not read the file
    return lambda path: event.fn(None if path is None else {"path": str(path)})


@contextmanager
def collected() -> Iterator[None]:
    """Let Gradio's event loops go, which it leaves open, before a test hears of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture(scope="module", autouse=True)
def uploads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let the tests' folders be where uploaded files are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.getbasetemp()))
        yield


@pytest.fixture(scope="module")
def predict() -> Iterator[Callable[[Path | None], tuple[Any, str, list[list[str]]]]]:
    with collected():
        from maskcls.commands.demo_page import build_page

        function = function_of(build_page(PIPELINE, NAMING, "# a card"))  # type: ignore[arg-type]
    yield function
    with collected():
        del function


def test_a_face_gets_a_box_a_sentence_and_a_row(predict: Callable[..., Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((80, 100, 3), 128, np.uint8))
    shown, said, table = predict(tmp_path / "a.png")
    assert shown.shape == (512, 640, 3)  # large enough for a label
    frame = shown[int(6.4 * 35), int(6.4 * 10)]  # the left side of the box, 10 pixels from the left in the file
    assert frame.tolist() != [128, 128, 128]
    assert said == "1 face: 1 **WithMask**."
    assert table == [["1", "WithMask", "90.00%", "10.00%"]]


def test_a_picture_without_a_face_says_so(predict: Callable[..., Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((80, 101, 3), 128, np.uint8))
    assert predict(tmp_path / "a.png")[1:] == ("No face was found.", [])


def test_a_picture_that_is_taken_away_takes_its_answer_along(predict: Callable[..., Any]) -> None:
    assert predict(None) == (None, "", [])


def test_large_pictures_are_shown_smaller(predict: Callable[..., Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((30, 2560, 3), 128, np.uint8))
    assert predict(tmp_path / "a.png")[0].shape == (15, 1280, 3)
    assert PIPELINE.given[-1].shape == (30, 2560, 3)  # all pixels are classified


def test_a_file_that_cannot_be_read_is_told(predict: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert predict(tmp_path / "a.png") == (None, "**This picture cannot be read:** a text file, not an image", [])


def test_a_file_that_was_not_uploaded_is_not_read(predict: Callable[..., Any]) -> None:
    import gradio

    with pytest.raises(gradio.Error, match=r"^'this file was not uploaded'$"):
        predict(Path(__file__))


def test_a_cut_off_picture_is_answered_and_called_so(predict: Callable[..., Any], tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (80, 100, 3), dtype=np.uint8)
    write_image(tmp_path / "a.jpg", noise)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) * 2 // 3])
    _, said, table = predict(tmp_path / "a.jpg")
    assert said == "1 face: 1 **WithMask**.\n\nNot the whole picture was there: cut off: its end is missing."
    assert len(table) == 1


def test_a_picture_is_turned_upright(predict: Callable[..., Any], tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn to the right
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:20] = 255  # white above
    Image.fromarray(picture).save(tmp_path / "a.jpg", exif=exif, quality=95)
    predict(tmp_path / "a.jpg")
    upright = PIPELINE.given[-1]
    assert upright.shape == (60, 40, 3)
    assert upright[:, 25:].mean() > 250  # white to the right
    assert upright[:, :15].mean() < 5


def test_heic_says_what_to_install(
    predict: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heif, "find_spec", lambda name: None)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    said = predict(tmp_path / "a.heic")[1]
    assert said == "**This picture cannot be read:** a HEIC image: reading it needs pip install 'maskcls[heif]'"


@pytest.mark.usefixtures("predict")
def test_faces_are_summed_up_by_class() -> None:
    from maskcls.commands.demo_page import rows, summary

    faces = [answered(0.9, detection()), answered(0.2, detection(40)), answered(0.1, detection(80))]
    assert summary(faces, NAMING) == "3 faces: 1 **WithMask**, 2 **WithoutMask**."
    assert [row[:2] for row in rows(faces, NAMING)] == [["1", "WithMask"], ["2", "WithoutMask"], ["3", "WithoutMask"]]


@pytest.mark.usefixtures("predict")
def test_a_whole_picture_is_called_so() -> None:
    from maskcls.commands.demo_page import rows, summary

    whole = [answered(0.9)]
    assert summary(whole, NAMING) == "No face was found. The picture as a whole: **WithMask**."
    assert rows(whole, NAMING) == [["whole picture", "WithMask", "90.00%", "10.00%"]]
