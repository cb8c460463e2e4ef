"""The document of a checkpoint: exact when it is read back, and refused in a line if it makes no sense."""

import dataclasses
import json
import math
from typing import Any

import numpy as np
import pytest
from checkpoints import CLASSES, MODEL, Missing, changed, inference_checkpoint, row, training_document
from configuration import config_of

from maskcls.config import ResNet18Config, TorchvisionConfig, VGG16Config, as_dictionary
from maskcls.data.statistics import Normalization
from maskcls.errors import UserError
from maskcls.models.document import (
    MAX_BATCH_SIZE,
    MAX_MESSAGE,
    VERSION,
    Document,
    EpochRow,
    PartialEpoch,
    Progress,
    read_document,
)

PARTIAL = PartialEpoch(batches=3, seen=24, loss_sum=12.5, correct=20, learning_rate=0.1, seconds=1.5, waited=0.25)


def text_of(document: Document) -> str:
    return json.dumps(as_dictionary(document), allow_nan=False)


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        read_document(text)
    return str(caught.value)


def refusal_of(**changes: Any) -> str:
    """The message that refuses the document of a training, changed by keys such as ``progress__step``."""
    renamed = {key.replace("__", "."): value for key, value in changes.items()}
    return refusal(json.dumps(changed(training_document(), renamed)))


@pytest.mark.parametrize("document", [inference_checkpoint().document, training_document()], ids=["best", "last"])
def test_what_is_written_is_read(document: Document) -> None:
    found = read_document(text_of(document))
    assert found == document
    assert (found.version, found.format) == (VERSION, "maskcls")
    assert isinstance(found.classes, tuple)
    assert isinstance(found.progress.best, EpochRow)


def test_everything_that_may_be_left_out_is_read() -> None:
    document = training_document(partial_epoch=PARTIAL, average_updates=None, scaler={})
    document = dataclasses.replace(document, positive_class=CLASSES[1], config={"a": [1, None, {"b": "얼굴"}]})
    assert read_document(text_of(document)) == document
    started = training_document(progress=Progress(), rows=(), partial_epoch=PARTIAL)
    assert read_document(text_of(started)) == started


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        ResNet18Config(name="resnet18", default_input_size=224, pretrained=True),
        VGG16Config(name="vgg16", default_input_size=224, pretrained=False, dropout=0.5, batch_norm=True),
        TorchvisionConfig(name="efficientnet_b0", default_input_size=224, pretrained=False, dropout=0.5),
    ],
    ids=lambda model: model.name,
)
def test_every_network_is_read(model: Any) -> None:
    document = dataclasses.replace(inference_checkpoint().document, model=model, input_size=32)
    assert read_document(text_of(document)).model == model


def test_an_older_checkpoint_of_vgg16_has_no_batch_normalization() -> None:
    model = {"name": "vgg16", "default_input_size": 224, "pretrained": False, "dropout": 0.5}
    document = dataclasses.replace(inference_checkpoint().document, input_size=32)
    found = read_document(json.dumps({**as_dictionary(document), "model": model}))
    assert found.model == VGG16Config("vgg16", 224, pretrained=False, dropout=0.5, batch_norm=False)


def test_numbers_are_read_bit_for_bit() -> None:
    rng = np.random.default_rng(0)
    numbers = [0.1 + 0.2, 1 / 3, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, -0.0, -1e-17, math.pi]
    numbers += (rng.normal(size=200) * 10.0 ** rng.integers(-300, 300, 200)).tolist()
    rows = tuple(dataclasses.replace(row(n + 1), train_loss=number) for n, number in enumerate(numbers))
    progress = Progress(epoch=len(rows), step=2**62, best=rows[0], stopping_reference=1 / 3)
    found = read_document(text_of(training_document(progress, rows=rows)))
    assert found.training is not None
    assert [line.train_loss.hex() for line in found.training.rows] == [number.hex() for number in numbers]
    assert found.progress.step == 2**62
    assert found.progress.stopping_reference == 1 / 3


def test_a_document_holds_no_number_that_is_not_finite() -> None:
    document = dataclasses.replace(inference_checkpoint().document, temperature=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        text_of(document)


KEYS = "model, classes, positive_class, normalization, input_size, precision, temperature, threshold, data_fingerprint"
TOO_FEW = "'classes' must be at least two different names"
OTHERS = "progress, config, training, resize, format, version"
NO_FOLDER = "'classes' holds a name that no folder can have"
MODELS = "one of resnet18, vgg16, mobilenet_v3_small, efficientnet_b0, mycnn"
SHARE = "expected a number, at least 0 and at most 1"
DEVIATION = "expected a number, at least 1e-06 and at most 1"
BEST = "'progress' must have a best epoch that is one of 'rows', or none"
SIZES = "expected a whole number, at least 8 and at most 4096"
WHOLE = "expected a whole number, at least 0"


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "pickle", "format=pickle: expected maskcls"),
        ("version", 2, "has format version 2; this version of maskcls reads 3"),
        ("version", 4, "has format version 4; this version of maskcls reads 3"),
        ("version", "3", "has format version '3'; this version of maskcls reads 3"),
        ("version", True, "has format version True; this version of maskcls reads 3"),
        ("version", [3], "has format version [3]; this version of maskcls reads 3"),
        ("version", Missing.KEY, "has format version None; this version of maskcls reads 3"),
        ("more", 1, f"more is not a key: allowed are {KEYS}, {OTHERS}"),
        ("clases", ["A", "B"], f"clases is not a key: allowed are {KEYS}, {OTHERS}; did you mean 'classes'?"),
        ("model", None, f"model=null: expected {MODELS}"),
        ("model", "mycnn", f"model=mycnn: expected {MODELS}"),
        ("model", {}, f"model.name=null: expected {MODELS}"),
        ("model", {"_target_": "os.system"}, f"model.name=null: expected {MODELS}"),
        ("model.name", "os.system", f"model.name=os.system: expected {MODELS}"),
        ("model.name", ["mycnn"], f"model.name=['mycnn']: expected {MODELS}"),
        ("model.name", "mycn", f"model.name=mycn: expected {MODELS}; did you mean 'mycnn'?"),
        ("model.dropout", 1.0, "model.dropout=1.0: expected a number, at least 0 and below 1"),
        ("model.dropout", Missing.KEY, "model.dropout is missing"),
        ("model.layers", 10**9, "model.layers is not a key of model=mycnn"),
        ("model.default_input_size", "32", "model.default_input_size=32: expected a whole number, at least 8"),
        ("classes", Missing.KEY, "classes is missing"),
        ("classes", None, "classes=null: expected text"),
        ("classes", 5, "classes=5: expected text; quote it if it is meant as text"),
        ("classes", [], TOO_FEW),
        ("classes", "AB", TOO_FEW),
        ("classes", ["A"], TOO_FEW),
        ("classes", ["A", "A"], TOO_FEW),
        ("classes", ["A", "B", "A"], TOO_FEW),
        ("classes", ["A", 7], "classes=7: expected text; quote it if it is meant as text"),
        ("classes", ["A", ["B"]], "classes=['B']: expected text"),
        ("classes", ["A", ""], "classes=: expected text"),
        ("classes", ["A", "."], NO_FOLDER),
        ("classes", ["A", "../B"], NO_FOLDER),
        ("classes", ["A", "B\\C"], NO_FOLDER),
        ("classes", ["A", "B\x1b[2J"], NO_FOLDER),
        ("classes", ["A", "B\n"], NO_FOLDER),
        ("classes", ["A", "\ud800"], NO_FOLDER),
        ("classes", ["A", "B" * 256], NO_FOLDER),
        ("positive_class", "C", "'positive_class' must be one of the classes"),
        ("positive_class", 1, "positive_class=1: expected text or null; quote it if it is meant as text"),
        ("positive_class", Missing.KEY, "positive_class is missing"),
        ("normalization", None, "normalization=null: expected a group with the keys mean, std"),
        ("normalization.mean", 1, "normalization.mean=1: expected a list of 3: "),
        ("normalization.mean", [0.5, 0.5], "normalization.mean=[0.5, 0.5]: expected a list of 3: "),
        ("normalization.mean", [0, 0, math.inf], f"normalization.mean=inf: {SHARE}"),
        ("normalization.mean", [0, 0, 1e300], f"normalization.mean=1e+300: {SHARE}"),
        ("normalization.std", [1, 1, 0], f"normalization.std=0: {DEVIATION}"),
        ("normalization.std", [1, 1, 1e-300], f"normalization.std=1e-300: {DEVIATION}"),
        ("normalization.std", [1, 1, -1], f"normalization.std=-1: {DEVIATION}"),
        ("normalization.std", [1, 1, math.nan], f"normalization.std=nan: {DEVIATION}"),
        ("normalization.std", [1, 1, "1"], f"normalization.std=1: {DEVIATION}"),
        ("input_size", 10**9, f"input_size=1000000000: {SIZES}"),
        ("input_size", 0, f"input_size=0: {SIZES}"),
        ("input_size", True, f"input_size=true: {SIZES}"),
        ("input_size", 16.5, f"input_size=16.5: {SIZES}"),
        ("input_size", "16", f"input_size=16: {SIZES}"),
        ("input_size", 12, "data.input_size=12 contradicts model=mycnn"),
        ("precision", "int8", "precision=int8: expected one of float32, tf32, bfloat16, float16"),
        ("precision", "auto", "precision=auto: expected one of float32, tf32, bfloat16, float16"),
        ("precision", None, "precision=null: expected one of float32, tf32, bfloat16, float16"),
        ("temperature", math.nan, "temperature=nan: expected a number, above 0"),
        ("temperature", math.inf, "temperature=inf: expected a number, above 0"),
        ("temperature", 0, "temperature=0: expected a number, above 0"),
        ("temperature", -1.0, "temperature=-1.0: expected a number, above 0"),
        ("temperature", "1", "temperature=1: expected a number, above 0"),
        ("temperature", 10**400, "temperature=1000"),
        ("threshold", 2.0, f"threshold=2.0: {SHARE}"),
        ("threshold", -0.1, f"threshold=-0.1: {SHARE}"),
        ("threshold", None, f"threshold=null: {SHARE}"),
        ("data_fingerprint", "../../etc", "data_fingerprint=../../etc: expected a hash in hexadecimal"),
        ("data_fingerprint", "", "data_fingerprint=: expected a hash in hexadecimal"),
        ("data_fingerprint", "0" * 129, "data_fingerprint=000"),
        ("config", [], "config=[]: expected a dictionary"),
        ("config", None, "config=null: expected a dictionary"),
        ("training", [], "training=[]: expected a group with the keys rows, retries"),
    ],
    ids=lambda value: f"{value!r:.40}",
)  # fmt: skip
def test_a_value_that_makes_no_sense_is_refused(key: str, value: object, message: str) -> None:
    assert refusal_of(**{key.replace(".", "__"): value}).startswith(message)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("progress", None, "progress=null: expected a group with the keys epoch, step, best, stopping_reference"),
        ("progress.epoch", "1", "progress.epoch=1: expected a whole number, at least 0 and at most 1e+06"),
        ("progress.epoch", -1, "progress.epoch=-1: expected a whole number, at least 0 and at most 1e+06"),
        ("progress.epoch", 10**12, "progress.epoch=1000000000000: expected a whole number"),
        ("progress.epoch", Missing.KEY, "'rows' must hold one row for each finished epoch"),
        ("progress.epoch", 1, "'rows' must hold one row for each finished epoch"),
        ("progress.epoch", 10**6, "'rows' must hold one row for each finished epoch"),
        ("progress.step", "many", f"progress.step=many: {WHOLE}"),
        ("progress.step", 2**63, f"progress.step=9223372036854775808: {WHOLE}"),
        ("progress.step", 13, "'progress' has fewer steps than the last of 'rows'"),
        ("progress.best", {"epoch": 1}, "progress.best.step is missing"),
        ("progress.best.epoch", 3, BEST),
        ("progress.best.val_loss", 0.1, BEST),
        ("progress.stopping_reference", 1.5, f"progress.stopping_reference=1.5: {SHARE}"),
        ("progress.stopping_reference", None, "'progress' must have a 'stopping_reference' if there are 'rows'"),
        ("progress.epochs_without_improvement", -1, f"progress.epochs_without_improvement=-1: {WHOLE}"),
        ("training.rows", [], "'rows' must hold one row for each finished epoch"),
        ("training.rows", [1], "training.rows=1: expected a group with the keys epoch, step"),
        ("training.rows", None, "training.rows=null: expected a group with the keys epoch, step"),
        ("training.rows.0.epoch", 2, "'rows' must hold one row for each finished epoch"),
        ("training.rows.0.epoch", 0, "training.rows.epoch=0: expected a whole number, at least 1"),
        ("training.rows.0.val_loss", math.nan, "training.rows.val_loss=nan: expected a number"),
        ("training.rows.0.val_accuracy", math.nan, "training.rows.val_accuracy=nan: expected a number"),
        ("training.rows.0.train_accuracy", 1.01, "training.rows.train_accuracy=1.01: expected a number"),
        ("training.rows.0.learning_rate", -0.1, "training.rows.learning_rate=-0.1: expected a number, at least 0"),
        ("training.rows.0.seconds", Missing.KEY, "training.rows.seconds is missing"),
        ("training.retries", 400, "training.retries=400: expected a whole number, at least 0 and at most 100"),
        ("training.retries", -1, "training.retries=-1: expected a whole number, at least 0 and at most 100"),
        ("training.scaler", {"scale": "1"}, "training.scaler.scale=1: expected a number"),
        ("training.scaler", None, "training.scaler=null: expected a dictionary, each value a number"),
        ("training.average_updates", -1, f"training.average_updates=-1: {WHOLE}"),
        ("training.random", {}, "training.random.python is missing"),
        ("training.random.python", [3], "training.random.python=[3]: expected a list of 2"),
        ("training.random.python", [3, "x"], "training.random.python=x: expected a number"),
        ("training.random.numpy", [0, 0], "training.random.numpy=[0, 0]: expected a list of 3"),
        ("training.partial_epoch", {"seen": -1}, "training.partial_epoch.batches is missing"),
    ],
    ids=lambda value: f"{value!r:.40}",
)  # fmt: skip
def test_a_training_that_makes_no_sense_is_refused(key: str, value: object, message: str) -> None:
    assert refusal_of(**{key.replace(".", "__"): value}).startswith(message)


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batches": -1}, f"training.partial_epoch.batches=-1: {WHOLE}"),
        ({"seen": 0}, "'partial_epoch' has more right answers or batches than images"),
        ({"seen": 2, "correct": 2}, "'partial_epoch' has more right answers or batches than images"),
        ({"correct": 25}, "'partial_epoch' has more right answers or batches than images"),
        ({"loss_sum": math.inf}, "training.partial_epoch.loss_sum=inf: expected a number"),
        ({"seconds": math.inf}, "training.partial_epoch.seconds=inf: expected a number, at least 0"),
        ({"waited": -1.0}, "training.partial_epoch.waited=-1.0: expected a number, at least 0"),
    ],
)
def test_an_unfinished_epoch_that_makes_no_sense_is_refused(changes: dict[str, object], message: str) -> None:
    assert refusal_of(training__partial_epoch={**vars(PARTIAL), **changes}) == message


@pytest.mark.hostile
@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        text_of(training_document()) + "}",
        text_of(training_document())[:-1] + ', "version": 3}',
        text_of(training_document()).replace('"step": 14', '"step": 14, "step": 7'),
        text_of(training_document()).replace('"config": {', '"config": {"a": ' + "[" * 100_000 + "]" * 100_000 + ", "),
        text_of(training_document()).replace('"temperature": 1.5', '"temperature": ' + "1" * 5000),
    ],
    ids=range(7),
)
def test_a_text_that_is_not_json_is_refused(text: str) -> None:
    assert refusal(text) == "a damaged file: its JSON document cannot be read"


@pytest.mark.hostile
@pytest.mark.parametrize("text", ["[]", "3", "null", '"text"', "NaN"])
def test_a_text_that_is_no_document_is_refused(text: str) -> None:
    assert refusal(text) == "has format version None; this version of maskcls reads 3"


@pytest.mark.parametrize("size", [24, 31])
def test_a_network_that_needs_larger_images_is_refused(size: int) -> None:
    model = {"name": "resnet18", "default_input_size": 224, "pretrained": False}
    assert refusal_of(model=model, input_size=size) == (
        f"data.input_size={size} contradicts model=resnet18: it needs at least 32"
    )


def test_extreme_values_that_make_sense_are_read() -> None:
    normalization = Normalization(mean=(0.0, 0.5, 1.0), std=(1e-6, 0.5, 1.0))
    document = dataclasses.replace(
        training_document(retries=100), normalization=normalization, threshold=1.0, data_fingerprint="f" * 128
    )
    assert read_document(text_of(document)) == document


def test_a_best_epoch_may_be_lost() -> None:
    text = json.dumps(changed(training_document(), {"progress.best": None}))
    assert read_document(text).progress.best is None


@pytest.mark.hostile
@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_configuration_that_json_cannot_hold_is_refused(number: float) -> None:
    assert refusal_of(config={"epochs": [number]}) == "'config' holds a number that is not finite"


def test_a_threshold_that_nothing_reaches_is_kept() -> None:
    threshold = math.nextafter(1, 2)  # what fpr@0 gives where a negative has a probability of 1
    assert read_document(json.dumps(changed(training_document(), {"threshold": threshold}))).threshold == threshold


def test_a_document_of_an_older_version_squeezes() -> None:
    content = as_dictionary(inference_checkpoint().document)
    assert content.pop("resize") == "squeeze"
    assert read_document(json.dumps(content)).resize == "squeeze"
    assert read_document(json.dumps(content | {"resize": "pad"})).resize == "pad"
    assert refusal(json.dumps(content | {"resize": "stretch"})) == "resize=stretch: expected one of squeeze, crop, pad"


@pytest.mark.parametrize(("name", "expected"), [(None, None), (CLASSES[0], 0), (CLASSES[1], 1)])
def test_the_positive_class_has_an_index(name: str | None, expected: int | None) -> None:
    assert inference_checkpoint(positive_class=name).document.positive == expected


def with_config(config: dict[str, Any]) -> Document:
    return dataclasses.replace(inference_checkpoint().document, config=config)


def test_the_data_of_the_training_is_known() -> None:
    data = config_of("train", "data=synthetic", "data.eval_batch_size=100").data
    assert with_config({"data": as_dictionary(data)}).trained_with() == data


@pytest.mark.hostile
@pytest.mark.parametrize("size", [MAX_BATCH_SIZE + 1, 2**40])
def test_a_checkpoint_cannot_ask_for_all_files_at_once(size: int) -> None:
    data = as_dictionary(config_of("train", "data=synthetic").data) | {"eval_batch_size": size}
    assert with_config({"data": data}).trained_with().eval_batch_size == MAX_BATCH_SIZE


@pytest.mark.hostile
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shards": 4}, "data.shards is not a key of data=synthetic: allowed are root"),
        ({"root": 5}, "data.root=5: expected a path"),
        ({"root": ""}, "data.root=: expected a path"),
        ({"name": "imagenet\n" + "x" * 10**6}, "data.name=imagenet?xxx"),
    ],
    ids=range(4),
)
def test_a_configuration_of_another_version_is_refused(change: dict[str, Any], message: str) -> None:
    data = as_dictionary(config_of("train", "data=synthetic").data) | change
    with pytest.raises(UserError) as caught:
        with_config({"data": data}).trained_with()
    assert str(caught.value).startswith(f"the checkpoint was written by another version of maskcls: {message}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < MAX_MESSAGE + 100


def test_a_configuration_without_data_is_refused() -> None:
    with pytest.raises(UserError, match=r"^the checkpoint .* another version of maskcls: data=null: expected one of"):
        with_config({}).trained_with()
