"""A data set ready to train on."""

import csv
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from configuration import config_of, small
from images import write_dataset, write_unequal_dataset

from maskcls.data.statistics import IMAGENET, STUDY
from maskcls.data.streaming import StreamedImages
from maskcls.errors import UserError
from maskcls.models.memory import RESERVE
from maskcls.training.data import TrainingData, cached_bytes, draws_alike, keep_resident, load_data, weights_of

# bytes of the 64 images for training and validation
CACHED_BYTES = 64 * 16 * 16 * 3


def size_of(data: TrainingData) -> int | None:
    """Bytes of the images for training and validation."""
    return cached_bytes(data.splits["train"].images, data.splits["val"].images)


def test_a_data_set_is_decoded(dataset: Path) -> None:
    data = load_data(small(dataset).data)
    assert data.classes == ("WithMask", "WithoutMask")
    shapes = {name: np.asarray(split.images).shape for name, split in data.splits.items()}
    assert shapes == {"train": (48, 16, 16, 3), "val": (16, 16, 16, 3), "test": (12, 16, 16, 3)}
    assert list(data.splits["train"].labels) == list(data.index.splits["train"].labels)
    assert Counter(data.splits["train"].labels) == {0: 24, 1: 24}
    assert (data.groups, data.is_synthetic, dict(data.skipped)) == (None, False, {})
    assert data.fingerprint == data.index.fingerprint()
    assert size_of(data) == CACHED_BYTES


def test_drawn_images_are_marked_as_such() -> None:
    config = config_of(
        "train", "data=synthetic", "data.train_images=8", "data.val_images=4", "data.test_images=4",
        "data.input_size=16", "model=mycnn",
    )  # fmt: skip
    assert load_data(config.data).is_synthetic


def test_a_tree_without_splits_is_cut(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", {"": 20})
    counts = {name: len(split) for name, split in load_data(small(root).data).splits.items()}
    assert counts == {"train": 32, "val": 4, "test": 4}


def test_normalization_can_be_chosen_or_measured(dataset: Path) -> None:
    assert load_data(small(dataset).data).normalization == STUDY
    assert load_data(small(dataset, "data.normalization=imagenet").data).normalization == IMAGENET
    data = load_data(small(dataset, "data.normalization=dataset").data)
    images = np.asarray(data.splits["train"].images) / 255
    assert data.normalization.mean == pytest.approx(images.mean((0, 1, 2)), abs=1e-5)
    assert data.normalization.std == pytest.approx(images.std((0, 1, 2)), abs=1e-5)


def test_a_positive_class_that_is_no_class_is_refused(dataset: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_data(small(dataset, "data.positive_class=Withmask").data)
    assert str(caught.value) == (
        "data.positive_class=Withmask: the classes are WithMask, WithoutMask; did you mean 'WithMask'?; "
        "null if none is positive"
    )


@pytest.mark.parametrize("cache_gb", [0, 1])
def test_files_that_cannot_be_read_are_skipped_if_that_is_asked_for(
    cache_gb: int, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = Path(shutil.copytree(dataset, tmp_path / "data"))
    whole = load_data(small(root).data)
    for path in (root / "Test").rglob("*.png"):
        path.write_bytes(b"")
    victim = root / "Train" / "WithMask" / "3.png"
    victim.write_bytes(b"")
    with pytest.raises(UserError, match="image files cannot be read"):
        load_data(small(root, f"data.cache_gb={cache_gb}").data)
    data = load_data(small(root, f"data.cache_gb={cache_gb}", "data.on_bad_image=skip").data)
    assert len(data.skipped) == 13
    assert data.skipped["Train/WithMask/3.png"].endswith("the file is empty")
    assert {name: len(split) for name, split in data.splits.items()} == {"train": 47, "val": 16}
    assert "Train/WithMask/3.png" not in data.index.splits["train"].paths
    assert f"{root}: no file of the test split can be read; the split is left out" in caplog.text
    assert data.fingerprint != whole.fingerprint  # the files have other sizes


# --- sampling ---


@pytest.fixture
def grouped(dataset: Path, tmp_path: Path) -> tuple[str, str]:
    """Overrides that name a table in which every fourth file of a class is alone, and three are one group."""
    path = tmp_path / "groups.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "group"])
        for image in sorted(dataset.rglob("*.png")):
            name = image.relative_to(dataset).as_posix()
            number = int(image.stem)
            writer.writerow([name, f"{image.parent} {name if number % 4 == 0 else number // 4}"])
    return f"data.groups={path}", "data.sampling=groups"


def test_groups_count_alike(dataset: Path, grouped: tuple[str, str]) -> None:
    config = small(dataset, *grouped).data
    data = load_data(config)
    weights = weights_of(config, data)
    assert weights is not None
    assert data.groups is not None
    by_class, by_group = Counter[int](), Counter[str]()
    for path, label, weight in zip(*vars(data.index.splits["train"]).values(), weights, strict=True):
        by_class[label] += weight
        by_group[data.groups[path].group] += weight
    assert list(by_class.values()) == pytest.approx([0.5, 0.5])
    assert list(by_group.values()) == pytest.approx([1 / 24] * 24)  # 6 files and 6 groups of 3 in each of 2 classes


@pytest.mark.parametrize(
    ("sampling", "split", "is_weighted"),
    [
        ("files", "grouped", False),
        ("files", "as_shipped", False),
        ("groups", "as_shipped", True),
        ("groups", "grouped", True),
        ("auto", "as_shipped", False),
        ("auto", "grouped", True),
        ("classes", "as_shipped", True),
        ("classes", "grouped", True),
    ],
)
def test_sampling_follows_the_split_by_itself(
    sampling: str, split: str, dataset: Path, grouped: tuple[str, str], *, is_weighted: bool
) -> None:
    config = small(dataset, grouped[0], f"data.sampling={sampling}", f"data.split={split}").data
    assert (weights_of(config, load_data(config)) is not None) is is_weighted
    assert draws_alike(config) is is_weighted


def test_classes_are_drawn_alike_whatever_their_size(tmp_path: Path) -> None:
    config = small(write_unequal_dataset(tmp_path / "set"), "data.sampling=classes").data
    data = load_data(config)
    labels = np.array(data.splits["train"].labels)
    weights = np.array(weights_of(config, data))
    assert np.bincount(labels).tolist() == [18, 2]
    np.testing.assert_allclose(weights, np.where(labels == 0, 0.5 / 18, 0.5 / 2))


def test_groups_that_are_not_known_are_refused(dataset: Path) -> None:
    config = small(dataset, "data.sampling=groups").data
    with pytest.raises(UserError) as caught:
        weights_of(config, load_data(config))
    assert str(caught.value) == (
        "data.sampling=groups needs data.groups=FILE, a table of the files that show one photograph: "
        f"maskcls-audit data.root={dataset} writes one"
    )


# --- images that stay on the device ---


@pytest.mark.parametrize(
    ("resident", "device", "free", "expected"),
    [
        ("auto", "cpu", 0, False),
        ("auto", "mps", 0, False),
        ("auto", "cuda", 2 * CACHED_BYTES, True),
        ("auto", "cuda", 2 * CACHED_BYTES - 1, False),
        ("true", "cpu", 0, True),
        ("true", "mps", 0, True),
        ("true", "cuda", 0, True),
        ("false", "cuda", 1 << 40, False),
    ],
)
def test_images_stay_on_the_device(
    resident: str, device: str, free: int, dataset: Path, monkeypatch: pytest.MonkeyPatch, *, expected: bool
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (free + RESERVE, 1 << 40))
    config = small(dataset, f"data.resident={resident}").data
    assert keep_resident(config, size_of(load_data(config)), torch.device(device)) is expected


@pytest.mark.parametrize("resident", ["auto", "false"])
def test_streamed_images_are_not_resident_by_themselves(
    resident: str, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1 << 40, 1 << 40))
    config = small(dataset, f"data.resident={resident}", "data.cache_gb=0").data
    data = load_data(config)
    assert {type(split.images) for split in data.splits.values()} == {StreamedImages}
    assert size_of(data) is None
    assert keep_resident(config, size_of(data), torch.device("cuda")) is False


def test_streamed_images_cannot_be_resident(dataset: Path) -> None:
    config = small(dataset, "data.cache_gb=0", "data.resident=true").data
    with pytest.raises(UserError) as caught:
        keep_resident(config, size_of(load_data(config)), torch.device("cpu"))
    assert str(caught.value) == "data.resident=true: the images are more than the cache may hold, see data.cache_gb"
