"""The page of maskcls-demo. Gradio is imported with this module."""

from collections.abc import Sequence

import gradio as gr
import numpy as np

from maskcls.commands.outputs import Naming
from maskcls.commands.showing import marks_of
from maskcls.errors import UserError
from maskcls.inference.inputs import read_image
from maskcls.inference.pipeline import Answered, Pipeline
from maskcls.reporting.boxes import draw_marks

# pages of Gradio fetch fonts from elsewhere otherwise
THEME = gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])

INTRODUCTION = """# With a mask, or without?

Drop a picture, or take one with the camera. The model answers for every face. Pictures stay on the computer that serves
this page, and are deleted when it ends."""


def build_page(pipeline: Pipeline, naming: Naming, model_card: str | None) -> gr.Blocks:
    """Build the page.

    Args:
        pipeline: finds and classifies faces.
        naming: names of the classes.
        model_card: what is known of the model, in Markdown; None for nothing.
    """
    headers = ["face", "prediction", *naming.classes]
    with gr.Blocks(title="maskcls", analytics_enabled=False) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            given = gr.Image(
                label="picture", type="filepath", image_mode=None, sources=["upload", "webcam", "clipboard"],
                elem_id="picture",
            )  # fmt: skip
            shown = gr.Image(
                label="answer", type="numpy", format="png", interactive=False, elem_id="answer",
                buttons=["download", "fullscreen"],
            )  # fmt: skip
        said = gr.Markdown(elem_id="said")
        table = gr.Dataframe(label="faces", headers=headers, interactive=False, elem_id="faces")
        if model_card is not None:
            with gr.Accordion("model card", open=False):
                gr.Markdown(model_card)

        def answer(path: str | None) -> tuple[np.ndarray | None, str, list[list[str]]]:
            if path is None:  # the picture was removed
                return None, "", []
            try:
                image = read_image(path, "rgb")
            except UserError as error:
                raise gr.Error(str(error).removeprefix(f"{path}: "), title="This picture cannot be read") from None
            answers = pipeline.answer(image)
            return draw_marks(image, marks_of(answers, naming)), summary(answers, naming), rows(answers, naming)

        given.change(answer, given, [shown, said, table], api_name="predict")
    return page


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
