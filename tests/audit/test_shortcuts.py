"""What tells the classes apart beside the point: found where it does, and not where it does not."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info

from maskcls.audit.files import BANDS, FileFacts, Inspection
from maskcls.audit.shortcuts import BORDER, COLOUR, Shortcut, balanced_accuracy, measure_shortcuts, why_not_measured

FILES = 200


def inspection(widths: np.ndarray, seed: int = 0) -> Inspection:
    rng = np.random.default_rng(seed)
    facts = [
        FileFacts(f"{i}.png", 1000, width=int(w), height=int(w), mean=tuple(rng.uniform(size=3)), deviation=(1.0,) * 3)
        for i, w in enumerate(widths)
    ]
    spectra = rng.normal(size=(len(widths), BANDS)).astype(np.float32)
    borders = rng.integers(0, 256, (len(widths), 24), dtype=np.uint8)
    return Inspection(facts, spectra, borders, np.zeros((len(widths), 16, 16)), np.zeros((len(widths), 5)))


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


def test_why_shortcuts_are_not_measured_is_said() -> None:
    known, groups = inspection(np.full(FILES, 9)), np.arange(FILES)
    few, one_class = (groups < 4).astype(int), np.zeros(FILES, dtype=int)
    reason = "a class has only 4 different images that can be read, and 5 are needed"
    assert why_not_measured(known, labels=few, groups=groups) == reason
    assert why_not_measured(known, labels=(groups < 8).astype(int), groups=groups // 2) == reason
    assert why_not_measured(known, labels=(groups < 5).astype(int), groups=groups) is None
    assert why_not_measured(known, labels=one_class, groups=groups) == "there are no two classes to tell apart"


def test_openmp_gets_one_thread_and_has_its_threads_back_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    def openmp_threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "openmp"}

    seen: list[set[int]] = []
    original = HistGradientBoostingClassifier.fit

    def fit(model: HistGradientBoostingClassifier, values: np.ndarray, labels: np.ndarray) -> None:
        seen.append(openmp_threads())
        original(model, values, labels)

    monkeypatch.setattr(HistGradientBoostingClassifier, "fit", fit)
    before = openmp_threads()
    measure_shortcuts(inspection(np.full(40, 9)), labels=np.arange(40) % 2, groups=np.arange(40))
    assert seen == [{1}] * 20
    assert openmp_threads() == before


@pytest.mark.parametrize(("name", "severe"), [("the spectrum", True), (BORDER, False), (COLOUR, False)])
def test_what_may_be_the_object_itself_is_not_severe(name: str, severe: bool) -> None:  # noqa: FBT001
    shortcut = Shortcut(name, 0.95, (0.9, 0.99), 0.1)
    assert shortcut.is_severe == severe
    assert ("themselves" in shortcut.caveat) != severe


def test_unreadable_files_are_left_out() -> None:
    labels = np.arange(FILES) % 2
    known = inspection(np.where(labels == 0, 224, 110))
    broken = [FileFacts(Path(f"{i}.png").name, 0, fault="the file is empty") for i in range(20)]
    facts = known.facts + broken
    spectra = np.concatenate([known.spectra, np.zeros((20, BANDS), np.float32)])
    borders = np.concatenate([known.borders, np.zeros((20, 24), np.uint8)])
    everything = np.concatenate([labels, np.zeros(20, dtype=int)])
    broken_inspection = Inspection(facts, spectra, borders, known.thumbnails, known.looks)
    found = measure_shortcuts(broken_inspection, labels=everything, groups=np.arange(FILES + 20))
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
