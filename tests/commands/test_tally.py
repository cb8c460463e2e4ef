"""What a prediction says at its end: sums over all pictures, and the answers that deserve a look."""

import logging
from collections.abc import Iterable

import pytest
from seen import NAMING, answered, detection, picture, video

from maskcls.commands.tally import Tally, report
from maskcls.inference.pipeline import Seen
from maskcls.media.frames import Unusable


def tally_of(*seen: Seen | Unusable) -> Tally:
    tally = Tally(NAMING)
    for one in seen:
        tally.add(one)
    return tally


def shown(tally: Tally, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.set_level(logging.INFO)
    report(tally)
    return caplog.messages


def faces(*masked: float) -> Iterable[Seen]:
    return (picture(f"{number}.jpg", answered(p, detection())) for number, p in enumerate(masked))


def test_a_fault_of_many_frames_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    tally = Tally(NAMING)
    for _ in range(300):
        tally.add(picture("a.mp4", answered(0.9), damage="parts of this frame are damaged"))
    assert tally.record()["damaged"] == ["a.mp4: parts of this frame are damaged"]
    report(tally)
    told = [line for line in caplog.messages if line.startswith("damaged")]
    message = "damaged, predicted from what is left of it: a.mp4: parts of this frame are damaged (300 frames)"
    assert told == [message]


def test_everything_is_counted() -> None:
    tally = tally_of(
        picture("party.jpg", answered(0.9, detection()), answered(0.2, detection(50))),
        picture("nobody.jpg")._replace(too_small=3),
        Unusable("gone.jpg", "No such file"),
        picture("half.jpg", answered(0.8), damage="cut off"),
        *video("street.mp4", [answered(0.7, detection())], []),
    )
    assert tally.record() == {
        "images": 5,
        "answers": 4,
        "classes": {"WithMask": 3, "WithoutMask": 1},
        "found": {"found": 3, "none": 1},
        "unanswered": 2,
        "too_small": 3,
        "unreadable": ["gone.jpg: No such file"],
        "damaged": ["half.jpg: cut off"],
    }


def test_few_answers_are_all_shown(caplog: pytest.LogCaptureFixture) -> None:
    lines = shown(tally_of(*faces(0.9, 0.2)), caplog)
    assert lines == [
        "all faces:",
        "  file   prediction   WithMask  WithoutMask",
        "  0.jpg  WithMask     90.00%    10.00%",
        "  1.jpg  WithoutMask  20.00%    80.00%",
        "predicted:",
        "  class        faces  share",
        "  WithMask     1      50.00%",
        "  WithoutMask  1      50.00%",
    ]


def test_of_many_the_first_and_the_least_certain_are_shown(caplog: pytest.LogCaptureFixture) -> None:
    lines = shown(tally_of(*faces(*[0.99] * 15, 0.41, *[0.98] * 10)), caplog)
    assert lines[0] == "the first 10 faces:"
    assert [line.split()[0] for line in lines[2:12]] == [f"{n}.jpg" for n in range(10)]
    assert lines[12] == "the 10 least certain faces:"
    assert [line.split()[0] for line in lines[14:24]] == ["15.jpg", *(f"{n}.jpg" for n in range(16, 25))]


def test_a_row_says_where_its_face_is(caplog: pytest.LogCaptureFixture) -> None:
    party = picture("party.jpg", answered(0.9, detection(3.4, 20.6)), answered(0.2, detection(50)))
    frames = video("street.mp4", [], [answered(0.9, detection())], rate=1 / 3700)
    lines = shown(tally_of(party, *frames), caplog)
    assert [line.split("  ")[1] for line in lines[2:5]] == [
        "party.jpg at 3,21", "party.jpg at 50,20", "street.mp4 1:01:40.0",
    ]  # fmt: skip


def test_faults_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    lines = shown(tally_of(*faces(0.9), Unusable("a", "empty"), picture("b", answered(0.9), damage="cut off")), caplog)
    assert lines[-2:] == ["cannot be read: a: empty", "damaged, predicted from what is left of it: b: cut off"]
    assert [record.levelname for record in caplog.records[-2:]] == ["WARNING"] * 2


def test_memory_does_not_grow_with_the_pictures() -> None:
    tally = tally_of(*video("street.mp4", *[[answered(0.9, detection())]] * 500))
    assert tally.pictures == tally.answers == 500
    assert len(tally.first) == len(tally.doubtful) == 10
    assert [tally.unreadable, tally.damaged, tally.remarks] == [[], {}, {}]
