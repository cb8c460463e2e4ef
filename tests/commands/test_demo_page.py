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
from seen import NAMING, answered, detection

from maskcls.inference.pipeline import Answered


class FakePipeline:
    """Finds a face in pictures of an even width."""

    def answer(self, image: np.ndarray) -> list[Answered]:
        return [answered(0.9, detection())] if image.shape[1] % 2 == 0 else []


def function_of(page: Any) -> Callable[[str | None], tuple[Any, str, list[list[str]]]]:
    """What the page calls when its picture changes."""
    (function,) = [event.fn for event in page.fns.values() if event.api_name == "predict"]
    return function


@contextmanager
def collected() -> Iterator[None]:
    """Let Gradio's event loops go, which it leaves open, before a test hears of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture(scope="module")
def predict() -> Iterator[Callable[[str | None], tuple[Any, str, list[list[str]]]]]:
    with collected():
        from maskcls.commands.demo_page import build_page

        function = function_of(build_page(FakePipeline(), NAMING, "# a card"))  # type: ignore[arg-type]
    yield function
    with collected():
        del function


def test_a_face_gets_a_box_a_sentence_and_a_row(predict: Callable[..., Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((80, 100, 3), 128, np.uint8))
    shown, said, table = predict(str(tmp_path / "a.png"))
    assert shown.shape == (80, 100, 3)
    assert (shown != 128).any()
    assert said == "1 face: 1 **WithMask**."
    assert table == [["1", "WithMask", "90.00%", "10.00%"]]


def test_a_picture_without_a_face_says_so(predict: Callable[..., Any], tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.full((80, 101, 3), 128, np.uint8))
    assert predict(str(tmp_path / "a.png"))[1:] == ("No face was found.", [])


def test_a_picture_that_is_taken_away_takes_its_answer_along(predict: Callable[..., Any]) -> None:
    assert predict(None) == (None, "", [])


def test_a_file_that_cannot_be_read_is_an_error_on_the_page(predict: Callable[..., Any], tmp_path: Path) -> None:
    import gradio

    (tmp_path / "a.png").write_text("hello")
    with pytest.raises(gradio.Error, match=r"^'a text file, not an image'$"):
        predict(str(tmp_path / "a.png"))


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
