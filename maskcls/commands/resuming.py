"""What a training resumes from, and what is said about it."""

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from maskcls.commands.recording import RunRecorder
from maskcls.data.index import file_state
from maskcls.errors import UserError
from maskcls.models.checkpoint import Checkpoint
from maskcls.run import BEST, LAST, Run
from maskcls.training.checkpoints import latest, repair_best
from maskcls.training.collapse import DIVISOR
from maskcls.training.data import TrainingData
from maskcls.training.snapshot import restore
from maskcls.training.state import TrainingState
from maskcls.wording import counted

log = logging.getLogger(__name__)

# a checkpoint and its path
Stored = tuple[Checkpoint, Path]


def resumable(run: Run, data: TrainingData, epochs: int) -> Stored | None:
    """The checkpoint that a run resumes from, and its path; None if none was written."""
    found = latest(run.checkpoints)
    if found is None:
        log.info("no checkpoint was written: the training starts from its beginning")
        return None
    document = found[0].document
    old, new = ([*one.mean, *one.std] for one in (document.normalization, data.normalization))
    is_same = document.data_fingerprint == data.fingerprint and np.allclose(old, new)
    if not is_same or run.record.get("data", {}).get("skipped", {}).keys() != data.skipped.keys():
        root = data.index.root
        raise UserError(
            f"resume={run.directory}: {root} does not hold the files that this run began with, or not in the same "
            "splits and classes"
        )
    _report_changes(data, found[1])
    is_within_epoch = document.training is not None and document.training.partial_epoch is not None
    begun = document.progress.epoch + is_within_epoch
    if epochs < begun:
        raise UserError(f"resume={run.directory}: epochs={epochs}, but epoch {begun} has begun; give that or more")
    return found


def record_typed_rate(run: Run, checkpoint: Checkpoint, rate: float) -> None:
    """Record a learning rate that is typed to resume a training: it is meant for the try that goes on.

    It is written before the configuration is: if the process dies in between, the rate is as before.
    """
    retries = checkpoint.document.training.retries if checkpoint.document.training else 0
    typed, begun = run.record["resumed"][-1]["overrides"], run.record.get("overrides", [])
    repeated = len(begun) if typed[: len(begun)] == begun else 0  # a resumed sweep repeats what it began with
    if retries and any(text.startswith("optim.lr=") for text in typed[repeated:]):
        run.record["typed_rate"] = {"rate": rate, "after_retries": retries}
        run.write()
    elif retries > (before := retries_before_rate(run, rate)):
        divided = f"is divided by {DIVISOR ** (retries - before)}"
        log.info("the training was started again after it collapsed: optim.lr=%g %s, as before", rate, divided)


def retries_before_rate(run: Run, rate: float) -> int:
    """Return how many retries after a collapse were before the learning rate was typed; 0 if it never was."""
    typed = run.record.get("typed_rate", {})
    return typed["after_retries"] if typed.get("rate") == rate else 0


def _report_changes(data: TrainingData, checkpoint: Path) -> None:
    """Count the files that are younger than a checkpoint: their sizes are the same, but their content may differ."""
    written = checkpoint.stat().st_mtime_ns
    younger = [path for path in data.index.all_images().paths if file_state(data.index.root / path)[1] > written]
    if younger:
        number = counted(len(younger), "file")
        log.warning("%s changed after %s was written, such as %s", number, checkpoint, younger[0])


def resume(state: TrainingState, recorder: RunRecorder, checkpoint: Checkpoint, path: Path) -> None:
    """Put a training where a checkpoint left it, and its directory, too."""
    restore(state, checkpoint, path)
    directory = recorder.writer.directory
    if path.name != LAST:  # last is damaged, and would replace the checkpoint that is not
        (directory / LAST).unlink(missing_ok=True)
    if not repair_best(directory, checkpoint):
        log.warning("%s is missing or damaged: the best epoch is searched for anew from here", BEST)
        state.progress = dataclasses.replace(state.progress, best=None)
    recorder.write_rows(state)  # the process may have died before it wrote them
    steps = state.sums.batches if state.sums else 0
    within = f" and {counted(steps, 'step')} of the next" if steps else ""
    log.info("resumed from %s, after %s%s", path, counted(state.progress.epoch, "epoch"), within)
    before, now = checkpoint.document, recorder.writer.about
    if before.precision != now.precision:
        log.warning("begun in %s, resumed in %s: figures before and after may differ", before.precision, now.precision)
    _report_new_keys(before.config, now.config)
    _report_rate(state, before.config, now.config)


def _report_new_keys(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say which keys the version of maskcls that began a training did not have."""
    new = [key for key in now if key not in before]
    for group in ("data", "augment"):
        new += [f"{group}.{key}" for key in now[group] if key not in before[group]]
    if new:
        log.info("begun by an older version of maskcls: its defaults hold for the new keys %s", ", ".join(new))


def _report_rate(state: TrainingState, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Say what becomes of the learning rate if a training is resumed with another configuration of it."""
    is_begun = state.sums is not None and state.sums.batches
    rates = [row.learning_rate for row in state.rows] + ([state.sums.learning_rate] if state.sums and is_begun else [])
    is_changed = any(before.get(key) != now[key] for key in ("epochs", "schedule", "optim"))
    if not is_changed or not rates or rates[-1] == state.learning_rate:
        return
    name = now["schedule"]["name"]
    if name == "constant":
        what, otherwise = "schedule=constant", "optim.lr=RATE sets another"
    else:
        what = f"epochs={now['epochs']} changes the length of schedule={name}"
        otherwise = "schedule=constant optim.lr=RATE holds a rate instead"
    log.warning(
        "%s: the learning rate was %g and is %g from here on; %s", what, rates[-1], state.learning_rate, otherwise
    )
