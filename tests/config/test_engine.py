"""The engine: what each kind of annotation takes, and the one line that refuses the rest."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from maskcls.config.engine import Range, Text, as_dictionary, convert, describe, nearest
from maskcls.errors import UserError

Count = Annotated[int, Range(1)]
Share = Annotated[float, Range(0, 1, above_low=True, below_high=True)]
Colour = Annotated[str, Text(r"#[0-9a-f]{6}|[0-9]+", "a colour, such as #ff8000, or a number")]


@dataclass(frozen=True)
class Circle:
    name: Literal["circle", "disc"]
    radius: Share


@dataclass(frozen=True)
class Square:
    name: Literal["square"]
    side: int
    colour: Colour | None


@dataclass(frozen=True)
class Drawing:
    shape: Circle | Square
    frame: Circle | None
    centre: tuple[float, float]
    tags: tuple[str, ...]
    sizes: dict[str, Count | None]
    path: Path


DRAWING: dict[str, Any] = {
    "shape": {"name": "square", "side": 3, "colour": "#ff8000"},
    "frame": {"name": "disc", "radius": 0.5},
    "centre": [0.5, -1.0],
    "tags": ["a", "b"],
    "sizes": {"small": 1, "none": None},
    "path": "/drawings/1",
}
TYPED = Drawing(
    shape=Square("square", 3, "#ff8000"),
    frame=Circle("disc", 0.5),
    centre=(0.5, -1.0),
    tags=("a", "b"),
    sizes={"small": 1, "none": None},
    path=Path("/drawings/1"),
)


def refusal(value: Any, annotation: Any, key: str = "key") -> str:
    with pytest.raises(UserError) as caught:
        convert(value, annotation, key)
    return str(caught.value)


def test_a_document_becomes_dataclasses_and_back() -> None:
    assert convert(DRAWING, Drawing, "") == TYPED
    assert as_dictionary(TYPED) == DRAWING


def test_what_was_converted_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        convert(DRAWING, Drawing, "").path = Path()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shpe": 3},
            "shpe is not a key: allowed are shape, frame, centre, tags, sizes, path; did you mean 'shape'?",
        ),
        ({1: 3}, "1 is not a key: allowed are shape, frame, centre, tags, sizes, path"),
        ({"shape": {"name": "circle"}}, "shape.radius is missing"),
        (
            {"shape": {"name": "circle", "radius": 0.5, "side": 3}},
            "shape.side is not a key of shape=circle: allowed are name, radius",
        ),
        (
            {"shape": {"name": "sqare"}},
            "shape.name=sqare: expected one of circle, disc, square; did you mean 'square'?",
        ),
        ({"shape": {"radius": 0.5}}, "shape.name=null: expected one of circle, disc, square"),
        (
            {"shape": {"name": ["square"]}},
            "shape.name=['square']: expected one of circle, disc, square; did you mean 'square'?",
        ),
        ({"shape": "square"}, "shape=square: expected one of circle, disc, square"),
        ({"shape": None}, "shape=null: expected one of circle, disc, square"),
        ({"frame": 3}, "frame=3: expected a group with the keys name, radius, or null"),
        ({"frame": {"name": "circle", "radius": 1}}, "frame.radius=1: expected a number, above 0 and below 1"),
        ({"centre": [1.0]}, "centre=[1.0]: expected a list of 2: a number, then a number"),
        ({"centre": [1.0, 2.0, 3.0]}, "centre=[1.0, 2.0, 3.0]: expected a list of 2: a number, then a number"),
        ({"centre": 1.0}, "centre=1.0: expected a list of 2: a number, then a number"),
        ({"centre": [1.0, "a"]}, "centre=a: expected a number"),
        ({"tags": ["a", ""]}, "tags=: expected text"),
        ({"tags": ["a", 3]}, "tags=3: expected text; quote it if it is meant as text"),
        ({"sizes": {"small": 0}}, "sizes.small=0: expected a whole number, at least 1, or null"),
        ({"sizes": {1: 1}}, "sizes={1: 1}: expected a dictionary, each value a whole number, at least 1, or null"),
        ({"sizes": [1]}, "sizes=[1]: expected a dictionary, each value a whole number, at least 1, or null"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(changes: dict[Any, Any], message: str) -> None:
    assert refusal({**DRAWING, **changes}, Drawing, "") == message


def test_a_key_is_named_by_where_it_stands() -> None:
    assert refusal({"name": "circle"}, Circle, "frame") == "frame.radius is missing"
    assert refusal([], Drawing, "") == "=[]: expected a group with the keys shape, frame, centre, tags, sizes, path"


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (True, bool, True),
        (3, int, 3),
        (1e2, int, 100),  # as epochs=1e2 arrives
        (3, float, 3.0),
        (1e300, float, 1e300),
        ("a b", str, "a b"),
        (None, int | None, None),
        (None, int | str | None, None),
        (3, int | str, 3),
        ("a", int | str, "a"),
        ("auto", Count | Literal["auto"], "auto"),
        (3, Count | Literal["auto"], 3),
        (False, Literal["auto", True, False], False),
        (7, Colour, "7"),
        ([], tuple[int, ...], ()),
        (["a", "b"], tuple[str, ...], ("a", "b")),
        ("a", tuple[str, ...], ("a",)),  # one value stands for a list of one
        ([1, "a"], tuple[int, str], (1, "a")),
        ({}, dict[str, int], {}),
        ({"a": [1]}, Mapping[str, tuple[int, ...]], {"a": (1,)}),
    ],
)
def test_a_value_that_fits_is_taken(value: Any, annotation: Any, expected: Any) -> None:
    converted = convert(value, annotation, "key")
    assert converted == expected
    assert type(converted) is type(expected)


WRONG: dict[Any, list[Any]] = {
    bool: [None, 0, 1, "true", 0.5, [True], {}],
    int: [None, 0.5, True, "7", math.nan, math.inf, -math.inf, [1], {}],
    float: [None, True, "0.5", math.nan, math.inf, -math.inf, 10**400, [0.5], {}],
    Count: [None, 0, 0.5, True, "7", math.nan, math.inf, 2**63, 10**400, [1]],
    Share: [None, 0, 1, True, "0.5", math.nan, math.inf, 1e300, 10**400, [0.5]],
    str: [None, "", ["a"], {}],
    Path: [None, "", ["a"], {}],
    Colour: [None, "", "#ff80", "red", True, -1, 0.5, ["#ff8000"]],
    Literal["on", 1]: [None, 0, 1.0, True, "", "ON", ["on"]],
    Literal["auto", True, False]: [None, 0, 1, "true", "false", [True]],
}


@pytest.mark.parametrize("annotation", WRONG, ids=str)
def test_a_value_that_does_not_fit_is_refused(annotation: Any) -> None:
    for value in WRONG[annotation]:
        shown = "null" if value is None else str(value).lower() if isinstance(value, bool) else value
        message = refusal(value, annotation)
        assert message.partition("; ")[0] == f"key={shown}: expected {describe(annotation)}"


@pytest.mark.parametrize(("value", "shown"), [(3, "3"), (0.5, "0.5"), (True, "true")])
@pytest.mark.parametrize(("annotation", "words"), [(str, "text"), (Path | None, "a path or null")])
def test_text_that_looks_like_something_else_is_to_be_quoted(
    value: Any, shown: str, annotation: Any, words: str
) -> None:
    assert refusal(value, annotation) == f"key={shown}: expected {words}; quote it if it is meant as text"


def test_a_misspelt_name_gets_the_nearest() -> None:
    assert refusal("atuo", Count | Literal["auto"]) == (
        "key=atuo: expected a whole number, at least 1, or auto; did you mean 'auto'?"
    )


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (bool, "true or false"),
        (int, "a whole number"),
        (float | None, "a number or null"),
        (str, "text"),
        (Path | None, "a path or null"),
        (Colour, "a colour, such as #ff8000, or a number"),
        (Colour | None, "a colour, such as #ff8000, or a number, or null"),
        (Count | Literal["auto"], "a whole number, at least 1, or auto"),
        (Literal["a", True], "one of a, true"),
        (Literal["a", "b"] | None, "one of a, b, or null"),
        (tuple[Literal["a", "b"], ...], "a list, each item one of a, b"),
        (tuple[int, str], "a list of 2: a whole number, then text"),
        (dict[str, float], "a dictionary, each value a number"),
        (Circle, "a group with the keys name, radius"),
        (Circle | Square | None, "one of circle, disc, square, or null"),
    ],
)
def test_what_an_annotation_allows_is_said_in_words(annotation: Any, words: str) -> None:
    assert describe(annotation) == words


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words"),
    [
        (Range(1), [1, 2**63 - 1], [0.999, 2**63], "at least 1"),
        (Range(0, above_low=True), [1e-300], [0, -1], "above 0"),
        (Range(0, 1), [0, 1], [-1e-9, 1 + 1e-9], "at least 0 and at most 1"),
        (Range(0, 0.5, above_low=True, below_high=True), [0.1, 0.49], [0, 0.5], "above 0 and below 0.5"),
    ],
)
def test_a_range_ends_where_it_says(limits: Range, inside: list[float], outside: list[float], words: str) -> None:
    assert all(number in limits for number in inside)
    assert not any(number in limits for number in outside)
    assert str(limits) == words


@pytest.mark.parametrize(
    ("typed", "path"),
    [
        ("faces", "{working}/faces"),
        ("../faces", "{parent}/faces"),
        ("~/faces", "{home}/faces"),
        ("~", "{home}"),
        ("/data/faces", "/data/faces"),
        ("a b/얼굴", "{working}/a b/얼굴"),
        ("~nobody-of-this-name/faces", "{working}/~nobody-of-this-name/faces"),
    ],
)
def test_a_path_becomes_absolute(typed: str, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    expected = Path(path.format(working=Path.cwd(), parent=Path.cwd().parent, home=tmp_path / "home"))
    assert convert(typed, Path, "key") == expected


def test_a_whole_word_counts_more_than_letters() -> None:
    names = ["batch_size", "input_size", "resize", "eval_batch_size"]
    assert nearest("image_size", names) == "; did you mean 'input_size'?"
    assert nearest("rsize", names) == "; did you mean 'resize'?"
    assert nearest("bach_size", names) == "; did you mean 'batch_size'?"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("optm.lr", "; did you mean 'optim.lr'?"),
        ("lr", "; did you mean 'optim.lr'?"),
        ("model.lr", "; did you mean 'optim.lr'?"),
        ("unlike", ""),
    ],
)
def test_nearest_finds_what_was_meant(name: str, hint: str) -> None:
    assert nearest(name, iter(["epochs", "optim.lr", "seed"])) == hint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("{a: b}", {"a": "b"}),
        ("{a:b,c:null}", {"a": "b", "c": None}),
        ("{with mask: Mask, no: 'null', 0: '1'}", {"with mask": "Mask", "no": "null", "0": "1"}),
        ('{"a, b": "c: d", \'e"f\': "it\'s", "g ": ~}', {"a, b": "c: d", 'e"f': "it's", "g ": None}),
        ("{마스크: 예}", {"마스크": "예"}),
    ],
)
def test_a_dictionary_may_be_typed_as_text(text: str, value: dict[str, str | None]) -> None:
    assert convert(text, dict[str, str | None] | None, "map") == value


@pytest.mark.parametrize(
    "text",
    [
        *("a", "a: b", "{a: b", "[a]", "{a: [b]}", "{a: {b: c}}", "{[a]: b}", "", "{a: b} c"),
        *("{a}", "{a: }", "{a: ''}", "{a: b, c}"),
    ],
)
def test_text_that_is_no_dictionary_is_refused(text: str) -> None:
    with pytest.raises(UserError) as caught:
        convert(text, dict[str, str | None], "map")
    assert str(caught.value) == f'map={text}: expected a dictionary such as {{NAME: VALUE, "OTHER NAME": null}}'


def test_a_dictionary_with_a_name_twice_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        convert("{a: b, 'a': c}", dict[str, str | None], "map")
    assert str(caught.value) == "map={a: b, 'a': c}: 'a' is there twice"


def test_null_is_no_text_in_a_dictionary() -> None:
    with pytest.raises(UserError, match=r"^map\.a=null: expected text$"):
        convert("{a: null}", dict[str, str], "map")


@pytest.mark.parametrize("value", [1e30, 2**63, -(2**64)])
def test_the_limit_of_all_numbers_is_named(value: float) -> None:
    with pytest.raises(UserError, match=r"expected a number, above 0; numbers stay below 9\.2e18$"):
        convert(value, Annotated[float, Range(0, above_low=True)], "lr")


def test_a_path_is_shown_without_dots(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
    monkeypatch.chdir(tmp_path / "real")
    assert convert("../faces", Path, "root") == tmp_path / "faces"
    assert convert("../link/../x", Path, "root") == tmp_path / "real" / "x"  # as the system reads it
    assert convert("../link", Path, "root").samefile(tmp_path / "link")
