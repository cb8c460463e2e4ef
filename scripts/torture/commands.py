"""Generated command lines and configuration files: they run, or end with status 2 and one line."""

import contextlib
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from torture.campaign import Options, Outcome
from torture.processes import Ended, Processes, run_command
from torture.trainings import write_faces

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

# values of each key, of which the first is right
VALUES = {
    "model": ["mycnn", "mycnn", "mycnn", "resnet18", "vgg17", "", "null"],
    "optim": ["sgd", "adam", "adamw", "lion", "[1]"],
    "schedule": ["constant", "onecycle", "cosine", "linear"],
    "augment": ["none", "flip", "light", "heavy"],
    "optim.lr": ["0.1", "1e-3", "1e-5", "0", "-1", "nan", "inf", "abc", "1e400", "true", "null", "[1]", "{a:1}"],
    "optim.weight_decay": ["0", "0.01", "-1", "x"],
    "optim.clip_norm": ["null", "1", "0", "1.5", "a"],
    "optim.momentum": ["0", "0.9", "1", "2"],
    "schedule.warmup_epochs": ["0", "0.5", "1", "-1"],
    "seed": ["0", "7", "-1", "1.5", "99999999999999999999", "x"],
    "epochs": ["1", "1", "0", "-3", "1.0", "2.5", "null", "many"],
    "precision": ["auto", "float32", "bfloat16", "float16", "int8", "16"],
    "label_smoothing": ["0", "0.1", "1", "-0.1"],
    "ema_decay": ["null", "0.9", "0", "1"],
    "early_stopping.patience": ["null", "1", "3", "0"],
    "evaluation.threshold": ["0.5", "youden", "recall@0.9", "fpr@0.1", "0.50", "2", "recall@", "x"],
    "evaluation.equalised_size": ["null", "8", "16", "4"],
    "data.positive_class": ["WithMask", "null", "Mask", "1"],
    "data.batch_size": ["8", "16", "1", "0", "x"],
    "data.input_size": ["16", "24", "32", "10", "7", "x"],
    "data.normalization": ["study", "dataset", "imagenet", "none"],
    "data.cache_gb": ["null", "0", "1", "-1"],
    "data.workers": ["null", "1", "2", "0"],
    "data.resident": ["auto", "true", "false", "maybe"],
    "data.sampling": ["auto", "files", "groups", "x"],
    "data.split": ["as_shipped", "grouped", "x"],
    "data.on_bad_image": ["error", "skip", "use", "x"],
    "data.resize": ["squeeze", "crop", "pad", "x"],
    "health.on_collapse": ["warn", "fail", "retry", "x"],
    "checkpoint.every": ["null", "1steps", "0.1min", "5", "x"],
    "test": ["best", "last", "both", "none", "x"],
    "plots": ["false", "false", "false", "x", "1"],
    "device": ["cpu", "auto", "tpu", "cuda:9"],
    "threads": ["1", "null", "0"],
}
# keys and values that are never right
WRONG = ("unknown=1", "optim.unknown=1", "data.root=/none", "data.root=", "data.root='", "=1")
ODD = (
    "epochs", "=", "a b=c", "epochs=", "++epochs=1", "~plots", "epochs=1,2", "model=mycnn,resnet18", "-x", "--cfg",
    "hydra.run.dir=", "hydra/launcher=none", "experiment=none", "a=${b}", "epochs=${seed}", "optim={lr:1}",
    "\u3142=1", "plots=false\x00", "'", "{", "epochs=[", "+new=1",
)  # fmt: skip


def overrides() -> "SearchStrategy[list[str]]":
    """Lists of overrides; two in three hold only right values."""
    from hypothesis import strategies as st

    right = st.sampled_from([f"{key}={values[0]}" for key, values in sorted(VALUES.items())])
    any_value = st.sampled_from(sorted(VALUES)).flatmap(
        lambda key: st.sampled_from(VALUES[key]).map(lambda value: f"{key}={value}")
    )
    all_right = st.lists(right, max_size=6, unique=True)  # a key that is given twice is refused
    anything = st.lists(st.one_of(any_value, any_value, st.sampled_from(WRONG + ODD)), min_size=1, max_size=4)
    return st.one_of(all_right, all_right, anything)


@dataclass(frozen=True)
class CommandLines:
    """Runs command lines, and collects what is wrong about how they end.

    Attributes:
        folder: gets a folder for each.
        root: the data set.
        statuses: how many ended with each exit status.
        failures: what was wrong.
    """

    folder: Path
    root: Path
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def run(self, overrides: Sequence[str], *, as_file: bool) -> None:
        """Run a training with overrides, on the command line or in a configuration file."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        more = experiment(place, overrides) if as_file else overrides
        settings = [
            "model=mycnn", "data=folder", f"data.root={self.root}", "epochs=1", "plots=false", "threads=1",
            "data.input_size=16", "data.batch_size=8", f"data.cache_dir={self.folder / 'cache'}",
            "evaluation.equalised_size=null", "device=cpu",
        ]  # fmt: skip
        # a key that is given twice is refused, which would be all that is tried
        given = {override.partition("=")[0] for override in more}
        kept = [override for override in settings if override.partition("=")[0] not in given]
        command = ["train", *kept, *more, f"hydra.run.dir={place / 'run'}"]
        output = io.StringIO()
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                status = run_command(command)
        except BaseException as error:
            problem: str | None = f"{type(error).__name__}: {error}"
        else:
            self.statuses[status] += 1
            problem = problem_with(Ended(status, output.getvalue(), 0.0), place / "run")
        if problem is not None:
            self.failures.append(f"{command}: {problem}: {output.getvalue()[-500:]}")
        shutil.rmtree(place)


def experiment(folder: Path, overrides: Sequence[str]) -> list[str]:
    """Write overrides to a configuration file, and return the arguments that select it."""
    (folder / "experiment").mkdir()
    body = "\n".join(f"{key}: {value}" for key, _, value in (o.partition("=") for o in overrides) if "." not in key)
    (folder / "experiment" / "own.yaml").write_text(f"# @package _global_\n{body}\n", errors="replace")
    return ["experiment=own", "--config-dir", str(folder)]


def problem_with(ended: Ended, run: Path) -> str | None:
    """What is wrong about how a command line ended."""
    if ended.has_traceback or ended.status not in (0, 2, 3):
        return f"status {ended.status}"
    if ended.status == 2 and len(ended.error_lines) != 1:
        return f"{len(ended.error_lines)} lines"
    if ended.status == 2 and run.exists():
        return "leaves a directory"
    return None


def campaign(options: Options, processes: Processes) -> Outcome:
    """Run generated command lines in this process."""
    from hypothesis import HealthCheck, Phase, given, seed, settings
    from hypothesis import strategies as st

    root = write_faces(options.folder / "data", {"Train": 4, "Validation": 2, "Test": 2})
    lines = CommandLines(options.folder, root)

    @seed(options.seed)
    @settings(
        max_examples=options.cases(5_000, at_least=100),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(overrides=overrides(), as_file=st.booleans())
    def run(overrides: list[str], *, as_file: bool) -> None:
        lines.run(overrides, as_file=as_file)

    run()
    ended = lines.statuses.total()
    if lines.statuses[0] < ended / 3:
        lines.failures.append(f"only {lines.statuses[0]} of {ended} command lines are right")
    remarks = ", ".join(f"{n} ended with {status}" for status, n in lines.statuses.most_common())
    return Outcome(ended, lines.failures, remarks)
