"""The prediction command: classes and probabilities of the faces in pictures and videos."""

import logging
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import maskcls
from maskcls.commands.outputs import Naming, Output, write_rows
from maskcls.commands.showing import (
    WindowClosedError,
    has_screen,
    plot_timelines,
    require_screen,
    save_annotated,
    show_window,
    write_gallery,
)
from maskcls.commands.tally import Tally, report
from maskcls.config import PredictConfig
from maskcls.config.types import Resize
from maskcls.data.faces import open_finder
from maskcls.data.left_out import VIDEO_SUFFIXES, report_left_out
from maskcls.errors import UserError
from maskcls.inference.pipeline import Pipeline
from maskcls.inference.predictor import Predictor
from maskcls.interrupts import Interrupted, deferred
from maskcls.media.clips import clips
from maskcls.media.frames import Clip
from maskcls.media.naming import OutputNames
from maskcls.media.source import Address, Camera, File, Source, find_source
from maskcls.progress import progress
from maskcls.reporting.gallery import Headline
from maskcls.run import Run
from maskcls.wording import counted, named

log = logging.getLogger(__name__)


def predict(config: PredictConfig, run: Run) -> None:
    """Predict everything in ``source``, write and show what is asked for, and count what cannot be used.

    What was predicted before an error or an interruption is written like the whole, and the error is raised then.

    Raises:
        UserError: if the source holds nothing that can be read.
        Interrupted: after everything is written, if the process was asked to stop.
    """
    source = find_source(config.source)
    report_left_out(source.left_out)
    shows = _shows(config, source)
    if config.explain and not (config.save or config.report or shows):
        raise UserError(
            "explain=true: heat maps are in annotated pictures, the gallery and a window: add save=true, "
            "report=true or show=true"
        )
    predictor = maskcls.load(
        config.ckpt,
        device=config.device,
        precision=config.precision,
        batch_size=config.batch_size,
        threads=config.threads or "auto",
    )
    log.info("checkpoint %s, classes %s", config.ckpt, ", ".join(map(named, predictor.classes)))
    pipeline = _pipeline(config, predictor, shows=shows)
    naming = Naming(predictor.classes, predictor.positive, predictor.calibration.threshold)
    tally, opened = Tally(naming), Opened(clips(source, every=config.every, max_fps=config.max_fps))
    ending, table = Ending(), run.directory / f"predictions.{config.format}"
    # the table is closed last, when other outputs that failed have given up their room on the disk
    with run.phase("predict"), write_rows(table, naming) as add_rows, ending.caught(), ExitStack() as stack:
        wanted = _outputs(config, run, source, naming, predictor.resize, shows=shows)
        outputs = [*map(stack.enter_context, wanted)]
        # a picture whose copy cannot be written is neither in the table nor in the sums
        outputs += [add_rows, tally.add]
        with ending.caught(), closing(pipeline.run(opened, is_live=_is_live(source))) as seen_all:
            for seen in progress(seen_all, total=_length(source), phase="predict"):
                with deferred():  # no picture is in some of the outputs only
                    for output in outputs:
                        output(seen)
    _record(run, source, tally, opened)
    if ending.error is None:
        _require_pictures(source, tally)
    if ending.error is None or tally.pictures:
        _report(run, tally, opened, table)
    if isinstance(ending.error, Interrupted):
        log.warning("interrupted: what comes after the last row of the table was not predicted")
    if ending.error is not None:
        raise ending.error


@dataclass
class Ending:
    """What ended a prediction before its source did. What was predicted until then is kept.

    Attributes:
        error: the first error or request to stop; None if there was none, and if a person closed the window.
    """

    error: Exception | Interrupted | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Remember what ends the block, and go on after it."""
        try:
            yield
        except WindowClosedError:
            pass
        except (Exception, Interrupted) as error:
            self.error = self.error or error


def _pipeline(config: PredictConfig, predictor: Predictor, *, shows: bool) -> Pipeline:
    explainer = None
    if config.explain:
        from maskcls.inference.explanation import Explainer

        explainer = Explainer(predictor)
    return Pipeline(
        predictor,
        open_finder(config.faces, cache_dir=config.cache_dir),
        min_size=config.faces.min_size,
        keeps_pictures=config.save or config.report or shows,
        explainer=explainer,
    )


def _shows(config: PredictConfig, source: Source) -> bool:
    """Whether a window is shown.

    Raises:
        UserError: it was asked for, and there is no screen.
    """
    if config.show is True:
        require_screen()
    return config.show is True or (config.show == "auto" and _is_live(source) and has_screen())


def _is_live(source: Source) -> bool:
    """Whether answers are wanted at once: from cameras, and from addresses, most of which are streams."""
    return any(isinstance(item, Camera | Address) for item in source.items)


def _length(source: Source) -> int | None:
    """Number of pictures of a source; None if it is not known, as of videos."""
    paths = [item.path for item in source.items if isinstance(item, File)]
    has_videos = any(path.suffix.lower() in VIDEO_SUFFIXES for path in paths)
    return None if has_videos or len(paths) < len(source.items) else len(paths)


def _outputs(
    config: PredictConfig, run: Run, source: Source, naming: Naming, resize: Resize, *, shows: bool
) -> Iterator[AbstractContextManager[Output]]:
    """What is written and shown beside the table."""
    yield plot_timelines(run.directory / "plots", naming)
    if config.save:
        names = OutputNames(run.directory / "annotated", source.folder)
        yield save_annotated(names, naming, resize, explains=config.explain)
    if config.report:
        positive = None if naming.positive is None else naming.classes[naming.positive]
        headline = Headline(str(config.ckpt), source.given, naming.classes, positive, naming.threshold)
        yield write_gallery(run.directory / "gallery.html", headline, naming)
    if shows:
        yield show_window(naming, resize, f"maskcls, {source.given}", explains=config.explain)


@dataclass
class Opened:
    """The clips of a source, with sums over those that were gone through."""

    clips: Generator[Clip]
    skipped: int = 0
    dropped: int = 0
    undecodable: int = 0

    def __iter__(self) -> Iterator[Clip]:
        with closing(self.clips) as clips:
            for clip in clips:
                try:
                    yield clip
                finally:
                    self.skipped += clip.counts.skipped
                    self.dropped += clip.counts.dropped
                    self.undecodable += clip.counts.undecodable


def _record(run: Run, source: Source, tally: Tally, opened: Opened) -> None:
    run.record.update(
        tally.record(),
        skipped_frames=opened.skipped,
        dropped_frames=opened.dropped,
        undecodable_packets=opened.undecodable,
        left_out=dict(source.left_out),
    )


def _require_pictures(source: Source, tally: Tally) -> None:
    """Refuse a source of which nothing could be read.

    Raises:
        UserError: it is one.
    """
    if not tally.pictures and tally.unreadable:
        count, first = len(tally.unreadable), tally.unreadable[0]
        if count > 1:
            first = f"none of its {count} files can be read, such as {first}"
        raise UserError(f"source={source.given}: {first.removeprefix(f'{source.given}: ')}")


def _report(run: Run, tally: Tally, opened: Opened, table: Path) -> None:
    """Say what was predicted, and what was not."""
    report(tally)
    for count, what, why in (
        (tally.unanswered, "picture", "without a face, not classified"),
        (tally.findings["none"], "picture", "without a face, classified as a whole"),
        (tally.too_small, "face", "left out, because they are smaller than faces.min_size"),
        (opened.skipped, "frame", "skipped (every, max_fps)"),
        (opened.dropped, "frame", "dropped: they came faster than they were predicted"),
        (opened.undecodable, "packet", "of damaged videos could not be decoded"),
    ):
        if count:
            log.info("%s %s", counted(count, what), why)
    seconds = run.record["seconds"]["predict"]
    summary = f"{counted(tally.pictures, 'image')} predicted in {seconds:.1f} s, {len(tally.unreadable)} unreadable"
    log.info("%s; the table is %s", summary, table)
