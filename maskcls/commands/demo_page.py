"""The page of maskcls-demo. Gradio is imported with this module."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import gradio as gr
import numpy as np

from maskcls.commands.outputs import Naming
from maskcls.commands.showing import marks_of
from maskcls.data.decode import UnreadableImageError, decode_file
from maskcls.inference.pipeline import Answered, Pipeline
from maskcls.reporting.boxes import draw_marks

# longer side of the answer in pixels: labels on smaller pictures have no room, larger ones take long to arrive
SMALLEST, LARGEST = 640, 1280

# seconds for which pictures are kept, and between two times of removing them
KEPT_SECONDS = 3600

# pages of Gradio fetch fonts from elsewhere otherwise
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])

INTRODUCTION = """# With a mask, or without?

Drop a picture, or take one with the camera. The model answers for every face. Pictures stay on the computer that serves
this page, and are deleted after an hour or two."""


def build_page(pipeline: Pipeline, naming: Naming, model_card: str | None) -> gr.Blocks:
    """Build the page.

    Args:
        pipeline: finds and classifies faces.
        naming: names of the classes.
        model_card: what is known of the model, in Markdown; None for nothing.
    """
    headers = ["face", "prediction", *naming.classes]
    with gr.Blocks(title="maskcls", analytics_enabled=False, delete_cache=(KEPT_SECONDS, KEPT_SECONDS)) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            given = gr.Image(
                label="picture", type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
                elem_id="picture",
            )  # fmt: skip
            shown = gr.Image(
                label="answer", show_label=False,  # it would cover labels of faces
                type="numpy", format="png", interactive=False, elem_id="answer",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
        said = gr.Markdown(elem_id="said")
        table = gr.Dataframe(label="faces", headers=headers, interactive=False, elem_id="faces")
        if model_card is not None:
            with gr.Accordion("model card", open=False):
                gr.Markdown(model_card)

        uploads = Path(given.GRADIO_CACHE).resolve()

        def answer(upload: Mapping[str, Any] | None) -> tuple[np.ndarray | None, str, list[list[str]]]:
            if upload is None:  # the picture was removed
                return None, "", []
            path = Path(upload["path"])
            # Gradio does not check the paths of all requests that can be made by hand
            if not path.resolve().is_relative_to(uploads):
                raise gr.Error("this file was not uploaded", print_exception=False)
            try:
                decoded = decode_file(path)
            except UnreadableImageError as error:
                return None, f"**This picture cannot be read:** {str(error).removeprefix(f'{path}: ')}", []
            answers = pipeline.answer(decoded.image)
            said = [summary(answers, naming)]
            if decoded.damage:
                said.append(f"Not the whole picture was there: {decoded.damage}.")
            return drawn(decoded.image, answers, naming), "\n\n".join(said), rows(answers, naming)

        # without preprocess=False, Gradio opens the file with Pillow, which fails at what maskcls reads or explains
        given.change(answer, given, [shown, said, table], preprocess=False, api_name="predict")
    return page


def drawn(image: np.ndarray, answers: Sequence[Answered], naming: Naming) -> np.ndarray:
    """The picture with boxes and labels, at a size at which they can be read. RGB uint8."""
    longer = max(image.shape[:2])
    scale = min(max(longer, SMALLEST), LARGEST) / longer
    size = [max(1, round(scale * side)) for side in image.shape[1::-1]]
    resized = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    marks = marks_of(answers, naming)
    return draw_marks(resized, [mark.scaled(scale) for mark in marks])


def summary(answers: Sequence[Answered], naming: Naming) -> str:
    """Say in a sentence what was found."""
    if not answers:
        return "No face was found."
    if answers[0].subject.detection is None:
        looked = answers[0].subject.finding is not None
        return (
            f"{'No face was found. ' if looked else ''}The picture as a whole: **{naming.classes[answers[0].label]}**."
        )
    counts = [sum(answered.label == label for answered in answers) for label in range(len(naming.classes))]
    parts = [f"{count} **{name}**" for count, name in zip(counts, naming.classes, strict=True) if count]
    return f"{'1 face' if len(answers) == 1 else f'{len(answers)} faces'}: {', '.join(parts)}."


def rows(answers: Sequence[Answered], naming: Naming) -> list[list[str]]:
    """The table: a row for each face, from left to right."""
    return [
        [
            str(number) if answered.subject.detection else "whole picture",
            naming.classes[answered.label],
            *(f"{probability:.2%}" for probability in answered.probabilities),
        ]
        for number, answered in enumerate(answers, start=1)
    ]
