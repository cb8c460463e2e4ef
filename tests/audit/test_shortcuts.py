"""What tells the classes apart beside the point: found where it does, and not where it does not."""

from pathlib import Path

import numpy as np
import pytest

from maskcls.audit.files import BANDS, FileFacts, Inspection
from maskcls.audit.shortcuts import Shortcut, balanced_accuracy, measure_shortcuts

FILES = 200


def inspection(widths: np.ndarray, seed: int = 0) -> Inspection:
    rng = np.random.default_rng(seed)
    facts = [
        FileFacts(f"{i}.png", 1000, width=int(w), height=int(w), mean=tuple(rng.uniform(size=3)), deviation=(1.0,) * 3)
        for i, w in enumerate(widths)
    ]
    spectra = rng.normal(size=(len(widths), BANDS)).astype(np.float32)
    return Inspection(facts, spectra, rng.integers(0, 256, (len(widths), 24), dtype=np.uint8))


def by_name(found: list[Shortcut]) -> dict[str, Shortcut]:
    return {shortcut.name.split(",")[0]: shortcut for shortcut in found}


def test_a_width_that_tells_the_class_is_found_and_noise_is_not() -> None:
    labels = np.arange(FILES) % 2
    widths = np.where(labels == 0, 224, 110) + np.random.default_rng(1).integers(-5, 6, FILES)
    found = measure_shortcuts(inspection(widths), labels=labels, groups=np.arange(FILES))
    assert [shortcut.chance for shortcut in found] == [0.5] * 4
    assert found[0].name == "width, height and bytes of the file"
    assert found[0].accuracy == 1
    assert found[0].interval == (1, 1)
    assert found[0].is_severe
    for shortcut in found[1:]:
        assert shortcut.interval[0] < 0.5 < shortcut.interval[1]
        assert shortcut.interval[0] < shortcut.accuracy < shortcut.interval[1]
        assert not shortcut.is_severe


def test_copies_of_a_photograph_are_not_learned_from_and_judged_by() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 10)
    # of each photograph all copies have one width, which says nothing of the class
    labels, widths = rng.integers(0, 2, 40)[groups], rng.integers(20, 2000, 40)[groups]
    honest = by_name(measure_shortcuts(inspection(widths), labels=labels, groups=groups))["width"]
    fooled = by_name(measure_shortcuts(inspection(widths), labels=labels, groups=np.arange(400)))["width"]
    assert fooled.accuracy > 0.9
    assert honest.interval[0] < 0.6
    assert honest.interval[1] - honest.interval[0] > 0.2


def test_a_rare_class_counts_as_much_as_the_other() -> None:
    labels = (np.arange(FILES) % 10 == 0).astype(int)
    found = by_name(measure_shortcuts(inspection(np.full(FILES, 100)), labels=labels, groups=np.arange(FILES)))["width"]
    assert found.accuracy == 0.5


def test_a_class_of_too_few_groups_is_not_measured() -> None:
    labels = (np.arange(FILES) < 4).astype(int)
    assert measure_shortcuts(inspection(np.full(FILES, 9)), labels=labels, groups=np.arange(FILES)) == []
    assert (
        measure_shortcuts(inspection(np.full(FILES, 9)), labels=np.zeros(FILES, dtype=int), groups=np.arange(FILES))
        == []
    )


def test_unreadable_files_are_left_out() -> None:
    labels = np.arange(FILES) % 2
    known = inspection(np.where(labels == 0, 224, 110))
    broken = [FileFacts(Path(f"{i}.png").name, 0, fault="the file is empty") for i in range(20)]
    facts = known.facts + broken
    spectra = np.concatenate([known.spectra, np.zeros((20, BANDS), np.float32)])
    borders = np.concatenate([known.borders, np.zeros((20, 24), np.uint8)])
    everything = np.concatenate([labels, np.zeros(20, dtype=int)])
    found = measure_shortcuts(Inspection(facts, spectra, borders), labels=everything, groups=np.arange(FILES + 20))
    assert found == measure_shortcuts(known, labels=labels, groups=np.arange(FILES))


@pytest.mark.parametrize(
    ("correct", "labels", "accuracy"),
    [
        ([1, 1, 1, 1], [0, 0, 1, 1], 1),
        ([0, 0, 0, 0], [0, 0, 1, 1], 0),
        ([1, 1, 1, 0], [0, 0, 0, 1], 0.5),
        ([1], [2], 1),
    ],
)
def test_balanced_accuracy_is_the_mean_of_the_classes(correct: list[int], labels: list[int], accuracy: float) -> None:
    assert balanced_accuracy(np.array(correct, dtype=bool), labels=np.array(labels)) == accuracy
