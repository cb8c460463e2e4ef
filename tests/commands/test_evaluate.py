"""The evaluation command repeats training's own figures, and measures on other data."""

import csv
import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configuration import config_of, small, start_run
from images import write_dataset
from runs import load, rewrite
from tables import read_table

from maskcls.commands.evaluate import evaluate
from maskcls.commands.train import train
from maskcls.data.decode import Box
from maskcls.data.faces import Face
from maskcls.errors import MachineError, UserError
from maskcls.run import BEST, CHECKPOINTS, read_run


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ("data.positive_class=WithMask", "test=both", f"data.cache_dir={folder / 'cache'}")
    config = small(dataset, *settings)
    train(config, start_run(folder / "run", config))
    return folder / "run"


def evaluated(tmp_path: Path, *overrides: str) -> Path:
    config = config_of("eval", "device=cpu", "plots=false", *overrides)
    directory = tmp_path / f"evaluation{len(list(tmp_path.iterdir()))}"
    evaluate(config, start_run(directory, config, "eval"))
    return directory / "evaluation"


def predictions(file: Path) -> list[tuple[str, str, str, float]]:
    with file.open(encoding="utf-8") as lines:
        return [
            (r["path"], r["label"], r["prediction"], float(r["probability_WithMask"])) for r in csv.DictReader(lines)
        ]


@pytest.mark.parametrize("name", ["best", "last"])
def test_it_repeats_the_figures_of_the_training(name: str, trained: Path, tmp_path: Path) -> None:
    again = evaluated(tmp_path, f"ckpt={trained}/{name}") / "test"
    first = trained / "evaluation" / ("test" if name == "best" else "test_last")
    for (path, label, said, p), (path2, label2, said2, p2) in zip(
        predictions(first / "predictions.csv"), predictions(again / "predictions.csv"), strict=True
    ):
        assert (path, label, said) == (path2, label2, said2)
        assert p == pytest.approx(p2, abs=1e-6)
    old, new = (json.loads((folder / "metrics.json").read_text()) for folder in (first, again))
    assert new["accuracy"] == old["accuracy"]
    assert new["loss"] == pytest.approx(old["loss"], abs=1e-6)
    assert new["positive_class"]["name"] == "WithMask"


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data",
    [
        {"name": "synthetic", "seed": 0, "train_images": 9, "val_images": 9, "test_images": 9},
        {"name": "facemask12k", "download": True},
    ],
)
def test_a_checkpoint_does_not_say_where_files_are_written(
    data: dict[str, Any], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("maskcls.data.download.download_facemask12k", lambda root: pytest.fail("downloads"))
    path = tmp_path / BEST
    stored = load(trained, BEST).document.config["data"]
    if "seed" in data:
        known = vars(config_of("train", "data=synthetic").data)
        stored = {key: value for key, value in stored.items() if key in known}
    victim = {**stored, **data, "root": str(tmp_path / "victim")}
    rewrite(path, trained / CHECKPOINTS / BEST, {"config.data": victim})
    with pytest.raises(UserError, match=f"the data of the training is not in {tmp_path / 'victim'}"):
        evaluated(tmp_path, f"ckpt={path}")
    assert not (tmp_path / "victim").exists()
    (tmp_path / "victim").mkdir()
    with pytest.raises(UserError):
        evaluated(tmp_path, f"ckpt={path}")
    assert not any((tmp_path / "victim").iterdir())


@pytest.mark.hostile
@pytest.mark.parametrize(
    "data", [None, {"name": "magic"}, {"name": "folder"}, {"name": "folder", "root": "/", "hydra": 1}]
)
def test_a_data_configuration_of_another_version_is_refused_in_a_line(data: Any, trained: Path, tmp_path: Path) -> None:
    path = tmp_path / BEST
    rewrite(path, trained / CHECKPOINTS / BEST, {"config.data": data})
    with pytest.raises(UserError, match="the checkpoint was written by another version of maskcls: data") as caught:
        evaluated(tmp_path, f"ckpt={path}")
    assert "\n" not in str(caught.value)


def test_validation_repeats_the_best_row(trained: Path, tmp_path: Path) -> None:
    metrics = json.loads((evaluated(tmp_path, f"ckpt={trained}", "split=val") / "val" / "metrics.json").read_text())
    best = json.loads((trained / "run.json").read_text())["best"]
    assert metrics["accuracy"] == best["val_accuracy"]
    assert metrics["loss"] == pytest.approx(best["val_loss"], abs=1e-6)


@pytest.mark.parametrize(("split", "images"), [("train", 48), ("val", 16), ("test", 12), ("all", 76)])
def test_each_split_can_be_measured(split: str, images: int, trained: Path, tmp_path: Path) -> None:
    directory = evaluated(tmp_path, f"ckpt={trained}", f"split={split}")
    assert json.loads((directory / split / "metrics.json").read_text())["images"] == images
    assert len(predictions(directory / split / "predictions.csv")) == images


def test_streamed_images_change_no_figure(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    streamed, cached = (
        evaluated(tmp_path, f"ckpt={trained}", f"data.cache_dir={tmp_path}/of {gb}", f"data.cache_gb={gb}")
        for gb in (0, 1)
    )
    assert caplog.text.count("more than data.cache_gb=0") == 2
    assert not (tmp_path / "of 0").exists()
    # of the split that is measured, as it is and equalised, and no other
    assert len(list((tmp_path / "of 1").glob("*.npy"))) == 2
    for name in ("test/predictions.csv", "test/metrics.json"):
        assert (streamed / name).read_text() == (cached / name).read_text()


def test_an_image_that_cannot_be_read_is_named_in_streaming_too(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"": 3})
    (root / "WithMask" / "1.png").write_bytes(b"")
    with pytest.raises(
        UserError, match=rf"^1 of 6 image files .* leaves them out: {root}/WithMask/1\.png: the file is empty$"
    ):
        evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}", "data.cache_gb=0")


def test_the_threads_are_those_asked_for(trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    evaluated(tmp_path, f"ckpt={trained}", "threads=2")
    assert torch.get_num_threads() == 2
    assert "device cpu, 2 CPU threads, precision float32 (as in training)" in caplog.messages


def test_another_data_set_without_splits_is_measured_whole(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"": 3}, seed=5)
    directory = evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}")
    assert json.loads((directory / "all" / "metrics.json").read_text())["images"] == 6


def test_another_data_set_may_lack_classes(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"": 3})
    for file in (root / "WithMask").iterdir():
        file.unlink()
    metrics = json.loads((evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}") / "all/metrics.json").read_text())
    assert metrics["classes"]["WithMask"]["images"] == 0
    assert metrics["confusion_matrix"]["counts"][0] == [0, 0]


def test_a_class_that_the_model_does_not_know_is_refused(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"": 3})
    (root / "WithMask").rename(root / "Withmask")
    with pytest.raises(UserError, match=r"'Withmask' is not a class of the model.*class_map=\{Withmask: WithMask\}'"):
        evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}")


def test_a_split_that_is_not_there_is_refused(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"train": 3, "val": 2})
    with pytest.raises(UserError, match=r"split=test: .* has train, val; expected one of them, or all"):
        evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}", "split=test")


def test_changed_training_data_is_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4, "test": 4})
    config = small(root)
    train(config, start_run(tmp_path / "run", config))
    (root / "test" / "WithMask" / "0.png").unlink()
    evaluated(tmp_path, f"ckpt={tmp_path / 'run'}")
    assert "is not what this checkpoint was trained with" in caplog.text


def test_other_data_that_was_asked_for_is_no_news(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_dataset(tmp_path / "other", {"": 3})
    paths = sorted(path.relative_to(root).as_posix() for path in root.rglob("*.png"))
    rows = [f"{path},{path.partition('/')[0]}" for path in paths]
    (root / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    for other in (f"data.root={root}", f"data.table={root / 'labels.csv'}"):
        evaluated(tmp_path, f"ckpt={trained}", other)
    assert "this checkpoint was trained" not in caplog.text


def test_the_trainings_own_images_are_recognised_in_another_place(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"": 20})
    config = small(root)
    train(config, start_run(tmp_path / "run", config))
    root.rename(tmp_path / "moved")
    directory = evaluated(tmp_path, f"ckpt={tmp_path / 'run'}", f"data.root={tmp_path / 'moved'}")
    # the four images of the test split, not all forty
    assert json.loads((directory / "test" / "metrics.json").read_text())["images"] == 4


def test_data_that_is_gone_is_named_with_the_key_that_helps(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"train": 4, "val": 2})
    config = small(root, "epochs=1")
    train(config, start_run(tmp_path / "run", config))
    root.rename(tmp_path / "moved")
    with pytest.raises(UserError, match=r"is not in .*set any more: give data.root=FOLDER"):
        evaluated(tmp_path, f"ckpt={tmp_path / 'run'}")


def test_faces_are_cut_out_and_pictures_without_one_count(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    class Finder:
        """Finds a face in the upper left of every second size of picture."""

        def __init__(self, model: Path, *, always_crop: bool) -> None:
            assert model == tmp_path / "yunet.onnx"
            assert not always_crop

        def find(self, image: np.ndarray) -> Face:
            return Face("found", Box(0, 0, 12)) if image.shape[0] % 2 else Face("none")

    (tmp_path / "yunet.onnx").touch()
    monkeypatch.setattr("maskcls.data.faces.FaceFinder", Finder)
    faces = ("faces.mode=auto", f"faces.model={tmp_path}/yunet.onnx")
    found = evaluated(tmp_path, f"ckpt={trained}", *faces) / "test"
    whole = evaluated(tmp_path, f"ckpt={trained}") / "test"
    rows, plain = read_table(found / "predictions.csv"), read_table(whole / "predictions.csv")
    assert [row["path"] for row in rows] == [row["path"] for row in plain]
    for row, other in zip(rows, plain, strict=True):
        assert (row["probability_WithMask"] == other["probability_WithMask"]) == (row["face"] == "none")
    count = sum(row["face"] == "found" for row in rows)
    assert 0 < count < 12
    assert f"faces found in {count} of 12 pictures; the other {12 - count} are classified whole" in caplog.text
    slices = json.loads((found / "metrics.json").read_text())["slices"]
    assert (slices["face_found"]["images"], slices["no_face_found"]["images"]) == (count, 12 - count)
    assert "face" not in plain[0]


def test_a_threshold_without_a_positive_class_is_refused(dataset: Path, tmp_path: Path) -> None:
    config = small(dataset, "epochs=1")
    train(config, start_run(tmp_path / "run", config))
    with pytest.raises(UserError, match=r"evaluation\.threshold=0\.9: this checkpoint has no positive class"):
        evaluated(tmp_path, f"ckpt={tmp_path / 'run'}", "evaluation.threshold=0.9")


def test_a_threshold_can_be_chosen(trained: Path, tmp_path: Path) -> None:
    own = evaluated(tmp_path, f"ckpt={trained}") / "test"
    chosen = evaluated(tmp_path, f"ckpt={trained}", "evaluation.threshold=1") / "test"
    for (_, _, _, p), (_, _, said, q) in zip(
        predictions(own / "predictions.csv"), predictions(chosen / "predictions.csv"), strict=True
    ):
        assert p == q
        assert said == ("WithMask" if q >= 1 else "WithoutMask")
    metrics = json.loads((chosen / "metrics.json").read_text())
    assert metrics["threshold"] == 1
    assert metrics["temperature"] == json.loads((own / "metrics.json").read_text())["temperature"]


def test_the_score_and_the_record_are_those_of_the_split(trained: Path, tmp_path: Path) -> None:
    config = config_of("eval", "device=cpu", "plots=false", f"ckpt={trained}", "split=val")
    run = start_run(tmp_path / "evaluation", config, "eval")
    accuracy = evaluate(config, run)
    run.finish("finished", 0)
    record = read_run(run.directory)
    rows = predictions(run.directory / "evaluation" / "val" / "predictions.csv")
    assert accuracy == record["evaluation"]["accuracy"]
    assert accuracy == pytest.approx(sum(label == said for _, label, said, _ in rows) / len(rows))
    assert record["evaluation"]["epoch"] == load(trained, BEST).document.progress.epoch
    assert record["evaluation"]["checkpoint"] == str(trained / CHECKPOINTS / BEST)
    assert record["training"] == load(trained, BEST).document.config
    assert (record["device"], record["precision"]) == ("cpu", "float32")
    assert set(record["seconds"]) == {"data", "evaluate", "total"}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_another_precision_can_be_chosen(
    precision: str, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    plain = evaluated(tmp_path, f"ckpt={trained}") / "test" / "predictions.csv"
    other = evaluated(tmp_path, f"ckpt={trained}", f"precision={precision}", "threads=1") / "test" / "predictions.csv"
    assert f"device cpu, 1 CPU thread, precision {precision} (as configured)" in caplog.messages
    pairs = list(zip(predictions(plain), predictions(other), strict=True))
    assert all(math.isclose(p, q, abs_tol=0.05) for (*_, p), (*_, q) in pairs)
    assert any(p != q for (*_, p), (*_, q) in pairs)


def test_files_that_cannot_be_read_are_skipped_if_that_is_asked_for(trained: Path, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "elsewhere", {"": 3})
    (root / "WithMask" / "1.png").write_bytes(b"")
    directory = evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}", "data.on_bad_image=skip")
    metrics = json.loads((directory / "all" / "metrics.json").read_text())
    assert metrics["images"] == 5
    assert list(metrics["data"]["skipped"]) == ["WithMask/1.png"]
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="can be read"):
        evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}", "data.on_bad_image=skip")


def test_figures_on_drawn_faces_are_marked_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    config = config_of(
        "train", "model=mycnn", "data=synthetic", "data.train_images=8", "data.val_images=4", "data.test_images=4",
        "data.input_size=16", "epochs=1", "device=cpu", "plots=false", "test=none",
    )  # fmt: skip
    train(config, start_run(tmp_path / "run", config))
    caplog.clear()
    directory = evaluated(tmp_path, f"ckpt={tmp_path / 'run'}")
    note = "say nothing about masks"
    assert caplog.text.count(note) == 1
    assert note in json.loads((directory / "test" / "metrics.json").read_text())["note"]


def test_memory_that_runs_out_is_explained(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("maskcls.inference.predictor.predict_logits", fail)
    with pytest.raises(MachineError, match=r"^out of memory at data\.batch_size=8: .* data\.batch_size=4 should fit$"):
        evaluated(tmp_path, f"ckpt={trained}", "data.batch_size=8")


def test_the_place_of_the_training_with_other_files_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write_dataset(tmp_path / "set", {"train": 8, "val": 4, "test": 4})
    config = small(root, "epochs=1", "test=none")
    train(config, start_run(tmp_path / "run", config))
    (root / "test" / "WithMask" / "0.png").unlink()
    evaluated(tmp_path, f"ckpt={tmp_path / 'run'}", f"data.root={root}")
    message = f"{root} is where this checkpoint was trained, with other files or splits: it may know some of the images"
    assert message in caplog.messages


def test_the_low_resolution_can_be_left_out(trained: Path, tmp_path: Path) -> None:
    directory = evaluated(tmp_path, f"ckpt={trained}", "evaluation.equalised_size=null") / "test"
    assert not (directory / "predictions_equalised.csv").exists()
    assert "equalised" not in json.loads((directory / "metrics.json").read_text())["slices"]


def measured(directory: Path) -> Any:
    (file,) = directory.glob("*/metrics.json")
    return json.loads(file.read_text())


@pytest.mark.parametrize(
    ("split", "seen", "shown"),
    [("train", 48, "all 48 images"), ("all", 48, "48 of 76 images"), ("val", 0, ""), ("test", 0, "")],
)
def test_images_of_the_training_are_told_apart(
    split: str, seen: int, shown: str, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    metrics = measured(evaluated(tmp_path, f"ckpt={trained}", f"split={split}"))
    assert metrics["data"]["in_train"] == seen
    sizes = {name: metrics["slices"][name]["images"] for name in ("in_train", "unseen") if name in metrics["slices"]}
    assert sizes == {"train": {"in_train": 48}, "all": {"in_train": 48, "unseen": 28}}.get(split, {})
    warnings = [text for text in caplog.messages if "were trained on, or show" in text]
    assert [text.partition(" were trained")[0] for text in warnings] == ([shown] if shown else [])
    assert any("were chosen on the val images" in text for text in caplog.messages) == (split in ("val", "all"))


@pytest.mark.parametrize(("folder", "images", "seen"), [("Train", 48, 48), ("Test", 12, 0)])
def test_a_part_of_the_trainings_folder_is_recognised(
    folder: str, images: int, seen: int, trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    link = tmp_path / "link"
    link.symlink_to(dataset / folder)
    metrics = measured(evaluated(tmp_path, f"ckpt={trained}", f"data.root={link}"))
    assert (metrics["images"], metrics["data"]["in_train"]) == (images, seen)
    assert any("were trained on, or show" in text for text in caplog.messages) == bool(seen)
    assert f"{link} has no split folders: all of its images are measured" in caplog.messages


def test_links_to_images_of_the_training_are_recognised(trained: Path, dataset: Path, tmp_path: Path) -> None:
    root = tmp_path / "links"
    for name in ("WithMask", "WithoutMask"):
        (root / name).mkdir(parents=True)
        for split in ("Train", "Train", "Test"):
            file = sorted((dataset / split / name).iterdir())[len(list((root / name).iterdir()))]
            (root / name / f"{split}_{file.name}").symlink_to(file)
    metrics = measured(evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}"))
    assert (metrics["images"], metrics["data"]["in_train"]) == (6, 4)
    assert metrics["slices"]["unseen"]["images"] == 2


def test_rows_of_the_trainings_table_are_recognised(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"Train": 6, "Validation": 2}, seed=1)
    files = [path.relative_to(root) for path in sorted(root.glob("*/*/*"))]
    rows = {str(path): f"{path},{path.parts[1]},{'train' if path.parts[0] == 'Train' else 'val'}" for path in files}
    some = [text for path, text in rows.items() if path.endswith("/0.png")]
    for name, chosen in (("all", rows.values()), ("some", some)):
        (root / f"{name}.csv").write_text("\n".join(["path,label,split", *chosen]) + "\n")
    settings = ("data=table", f"data.table={root / 'all.csv'}", "data.input_size=16", "data.batch_size=8", "epochs=1")
    config = config_of("train", "model=mycnn", "device=cpu", "plots=false", *settings)
    train(config, start_run(tmp_path / "run", config))
    some_of_it = (f"data.table={root / 'some.csv'}", "split=all")
    metrics = measured(evaluated(tmp_path, f"ckpt={tmp_path / 'run'}", *some_of_it))
    assert (metrics["images"], metrics["data"]["in_train"]) == (4, 2)


def test_exact_copies_of_training_images_are_known_under_any_name(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "elsewhere", {"": 3}, seed=5)
    metrics = measured(evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}"))
    assert metrics["data"]["in_train"] == 0
    assert {"in_train", "unseen"}.isdisjoint(metrics["slices"])
    none = "no image is a file that was trained on, or an exact copy of one; altered copies are not looked for"
    assert none in caplog.messages
    shutil.copy(dataset / "Train" / "WithMask" / "3.png", root / "WithMask" / "renamed.png")
    shutil.copy(dataset / "Test" / "WithMask" / "3.png", root / "WithMask" / "new.png")  # it was not trained on
    metrics = measured(evaluated(tmp_path, f"ckpt={trained}", f"data.root={root}"))
    assert metrics["data"]["in_train"] == 1
    assert [metrics["slices"][name]["images"] for name in ("in_train", "unseen")] == [1, 7]
    assert any(text.startswith("1 of 8 images were trained on, or show") for text in caplog.messages)


def test_without_the_files_of_the_training_it_is_not_known_what_was_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    root = write_dataset(tmp_path / "set", {"train": 4, "val": 2})
    config = small(root, "epochs=1")
    train(config, start_run(tmp_path / "run", config))
    (root / "train" / "WithMask" / "0.png").rename(tmp_path / "0.png")
    other = write_dataset(tmp_path / "elsewhere", {"": 3}, seed=5)
    metrics = measured(evaluated(tmp_path, f"ckpt={tmp_path / 'run'}", f"data.root={other}"))
    assert metrics["data"]["in_train"] is None
    unknown = "whether these images were trained on is not known: the files of the training are gone, or have changed"
    assert unknown in caplog.messages


def test_the_data_can_be_named_as_in_training(
    trained: Path,
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    plain, named, public = (
        measured(evaluated(tmp_path, f"ckpt={trained}", f"data.root={dataset}", *names))
        for names in ((), ("data=folder",), ("data=facemask12k",))
    )
    monkeypatch.setenv("MASKCLS_DATA", str(dataset))
    found = measured(evaluated(tmp_path, f"ckpt={trained}", "data=facemask12k"))
    assert plain == named == public == found
    other = write_dataset(tmp_path / "elsewhere", {"": 3}, seed=5)
    evaluated(tmp_path, f"ckpt={trained}", f"data.root={other}", "data=facemask12k")
    assert f"{other} is not facemask12k: which files show one photograph is not known" in caplog.messages


def test_drawn_faces_are_those_of_the_training(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^data=synthetic: this checkpoint was not trained on drawn faces; data\.root="
    ):
        evaluated(tmp_path, f"ckpt={trained}", "data=synthetic")


def test_a_table_of_labels_can_be_measured(trained: Path, dataset: Path, tmp_path: Path) -> None:
    rows = [f"Test/{name}/{number}.png,{name}" for name in ("WithMask", "WithoutMask") for number in range(2)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    table = (f"data.table={tmp_path / 'labels.csv'}", f"data.root={dataset}")
    assert measured(evaluated(tmp_path, f"ckpt={trained}", "data=table", *table))["images"] == 4
