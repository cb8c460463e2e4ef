"""The export command, and the other commands with the file that it writes."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from configuration import config_of, small, start_run
from runs import rewrite
from tables import read_table

import maskcls
from maskcls import cli
from maskcls.commands.export import export
from maskcls.commands.train import train
from maskcls.data.decode import decode_image, prepare_image
from maskcls.errors import MachineError, UserError
from maskcls.export.formats import write_onnx
from maskcls.export.parity import Probabilities
from maskcls.models.onnx_network import OnnxNetwork
from maskcls.run import BEST, CHECKPOINTS, LAST, read_run


@pytest.fixture(scope="module")
def trained(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a training, which no test changes."""
    folder = tmp_path_factory.mktemp("trained")
    settings = ("data.positive_class=WithMask", "evaluation.threshold=0.3", f"data.cache_dir={folder / 'cache'}")
    config = small(dataset, *settings)
    train(config, start_run(folder / "run", config))
    return folder / "run"


@pytest.fixture(scope="module")
def exported(trained: Path) -> Path:
    """The directory of its export, which no test changes."""
    config = config_of("export", f"ckpt={trained}", "threads=1")
    export(config, start_run(trained.parent / "export", config, "export"))
    return trained.parent / "export"


def test_the_file_is_one_that_the_predictor_takes(exported: Path, trained: Path, dataset: Path) -> None:
    predictor, original = maskcls.load(exported / "model.onnx"), maskcls.load(trained, device="cpu")
    assert isinstance(predictor.network, OnnxNetwork)
    for name in ("classes", "positive", "calibration", "input_size", "resize", "model", "batch_size"):
        assert getattr(predictor, name) == getattr(original, name)
    files = sorted((dataset / "Test").rglob("*.png"))
    for one, other in zip(predictor.predict(files), original.predict(files), strict=True):
        assert one.label == other.label
        assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)


def test_the_file_can_be_used_with_onnx_runtime_alone(exported: Path, trained: Path, dataset: Path) -> None:
    session = onnxruntime.InferenceSession(exported / "model.onnx")
    about = json.loads(session.get_modelmeta().custom_metadata_map["maskcls"])
    file = dataset / "Test/WithMask/0.png"
    image = prepare_image(decode_image(file), about["input_size"])
    probabilities, _ = session.run(None, {"images": image[None]})
    expected = maskcls.load(trained, device="cpu").predict(file).probabilities
    assert dict(zip(about["classes"], probabilities[0].tolist(), strict=True)) == pytest.approx(expected, abs=1e-5)
    assert session.get_modelmeta().custom_metadata_map["model_card"] == (trained / "model_card.md").read_text()


def test_what_was_compared_is_shown_and_recorded(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = config_of("export", f"ckpt={trained}/last", "images=10", "threads=1")
    run = start_run(tmp_path / "run", config, "export")
    export(config, run)
    record = run.record["export"]
    assert (record["checkpoint"], record["file"]) == (str(trained / CHECKPOINTS / LAST), "model.onnx")
    assert record["bytes"] == (tmp_path / "run/model.onnx").stat().st_size
    parity = record["parity"]
    assert {name: found["images"] for name, found in parity.items()} == {"validation": 10, "noise": 16}
    assert all(0 <= found["difference"] < 1e-5 for found in parity.values())
    shown = [message for message in caplog.messages if "probabilities differ by at most" in message]
    assert [message.partition(":")[0] for message in shown] == ["validation, 10 images", "noise, 16 images"]


def test_torch_export_writes_what_torch_reads(trained: Path, dataset: Path, tmp_path: Path) -> None:
    config = config_of("export", f"ckpt={trained}", "format=torch_export", "threads=1")
    export(config, start_run(tmp_path / "run", config, "export"))
    program = torch.export.load(tmp_path / "run" / "model.pt2")
    image = prepare_image(decode_image(dataset / "Test/WithMask/0.png"), 16)
    probabilities, _ = program.module()(torch.from_numpy(image[None]))
    expected = maskcls.load(trained, device="cpu").predict(dataset / "Test/WithMask/0.png")
    assert probabilities[0].tolist() == pytest.approx(list(expected.probabilities.values()), abs=1e-5)


def test_a_file_whose_answers_differ_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(*arguments: Any) -> Probabilities:
        probabilities = write_onnx(*arguments)
        return lambda images: probabilities(images) + 2e-4

    monkeypatch.setattr("maskcls.commands.export.write_onnx", wrong)
    config = config_of("export", f"ckpt={trained}", "threads=1")
    with pytest.raises(MachineError, match=r"^model\.onnx: a probability differs .* by 0\.0002, .*nothing is written"):
        export(config, start_run(tmp_path / "run", config, "export"))
    assert not list((tmp_path / "run").glob("*model*"))


def test_without_the_files_of_the_training_noise_is_compared(
    trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / BEST
    rewrite(path, trained / CHECKPOINTS / BEST, {"config.data.root": str(tmp_path / "gone")})
    config = config_of("export", f"ckpt={path}", "threads=1")
    run = start_run(tmp_path / "export", config, "export")
    export(config, run)
    assert list(run.record["export"]["parity"]) == ["noise"]
    assert "the files of the training are gone, or have changed: the file is compared on noise alone" in caplog.messages
    session = onnxruntime.InferenceSession(tmp_path / "export/model.onnx")
    assert "model_card" not in session.get_modelmeta().custom_metadata_map


def test_int8_is_written_beside_and_what_it_costs_is_shown_and_recorded(
    trained: Path, dataset: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = config_of("export", f"ckpt={trained}", "int8=true", "threads=1")
    run = start_run(tmp_path / "run", config, "export")
    export(config, run)
    files = {path.name for path in run.directory.iterdir()}
    assert files == {"config.yaml", "model.onnx", "model_int8.onnx", "run.json", "run.lock"}
    found = run.record["export"]["int8"]
    assert (found["file"], found["images"]) == ("model_int8.onnx", 16)
    assert found["float32"]["bytes"] == (run.directory / "model.onnx").stat().st_size
    assert found["int8"]["bytes"] == (run.directory / "model_int8.onnx").stat().st_size
    json.dumps(run.record)
    rows = [message.split() for message in caplog.messages]
    assert ["float32", f"{found['float32']['accuracy']:.2%}"] in [row[:2] for row in rows]
    assert ["int8", f"{found['int8']['accuracy']:.2%}"] in [row[:2] for row in rows]
    assert f"{found['decisions']} images predicted otherwise by int8" in caplog.messages
    files_of_test = sorted((dataset / "Test").rglob("*.png"))
    answers = maskcls.load(run.directory / "model_int8.onnx").predict(files_of_test)
    for one, other in zip(answers, maskcls.load(trained, device="cpu").predict(files_of_test), strict=True):
        assert one.probabilities == pytest.approx(other.probabilities, abs=0.1)


def test_int8_needs_the_files_of_the_training(trained: Path, tmp_path: Path) -> None:
    path = tmp_path / BEST
    rewrite(path, trained / CHECKPOINTS / BEST, {"config.data.root": str(tmp_path / "gone")})
    config = config_of("export", f"ckpt={path}", "int8=true")
    with pytest.raises(UserError, match=r"^int8=true needs the validation images of the training: the files of the tr"):
        export(config, start_run(tmp_path / "export", config, "export"))


def test_a_missing_package_is_said(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskcls.commands.export.find_spec", lambda name: None if name != "onnx" else object())
    config = config_of("export", f"ckpt={trained}")
    with pytest.raises(
        UserError, match=r"^format=onnx needs onnxscript and onnxruntime: pip install 'maskcls\[export]"
    ):
        export(config, start_run(tmp_path / "run", config, "export"))


def test_an_exported_file_cannot_be_exported_or_trained_on(exported: Path, tmp_path: Path) -> None:
    config = config_of("export", f"ckpt={exported}", "threads=1")
    message = rf"^ckpt={exported}/model\.onnx: an exported network, which is evaluated and used; here a checkpoint"
    with pytest.raises(UserError, match=message):
        export(config, start_run(tmp_path / "run", config, "export"))
    assert cli.main("train", ["data=synthetic", f"init={exported}/model.onnx"]) == 2


@pytest.mark.parametrize("named", ["export", "export/model.onnx"])
def test_an_evaluation_gives_the_figures_of_the_checkpoint(
    named: str, exported: Path, trained: Path, tmp_path: Path
) -> None:
    run = tmp_path / "evaluation"
    typed = [f"ckpt={exported.parent / named}", "plots=false", "threads=1", f"hydra.run.dir={run}"]
    assert cli.main("eval", typed) == 0
    found, expected = (json.loads((folder / "evaluation/test/metrics.json").read_text()) for folder in (run, trained))
    for name in ("accuracy", "threshold", "temperature", "images", "confusion_matrix", "epoch"):
        assert found[name] == expected[name]
    assert found["loss"] == pytest.approx(expected["loss"], abs=1e-5)
    assert found["slices"].keys() == expected["slices"].keys()
    assert found["checkpoint"] == str(exported / "model.onnx")
    record = read_run(run)
    assert (record["device"], record["precision"]) == ("cpu", "float32")
    rows, others = (read_table(folder / "evaluation/test/predictions.csv") for folder in (run, trained))
    for row, other in zip(rows, others, strict=True):
        assert (row["path"], row["prediction"]) == (other["path"], other["prediction"])
        assert float(row["probability_WithMask"]) == pytest.approx(float(other["probability_WithMask"]), abs=1e-5)


def test_another_threshold_may_be_measured(exported: Path, tmp_path: Path) -> None:
    typed = [f"ckpt={exported}", "plots=false", "evaluation.threshold=1", f"hydra.run.dir={tmp_path / 'run'}"]
    assert cli.main("eval", typed) == 0
    metrics = json.loads((tmp_path / "run/evaluation/test/metrics.json").read_text())
    assert metrics["threshold"] == 1
    assert metrics["confusion_matrix"]["counts"][0][0] == 0


def test_a_prediction_gives_the_probabilities_of_the_checkpoint_without_torch(
    exported: Path, trained: Path, dataset: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from maskcls import cli; "
        f"status = cli.main('predict', ['ckpt={exported}', 'source={dataset}/Test', "
        f"'hydra.run.dir={tmp_path}/run', 'batch_size=5']); "
        "print('loaded', status, *sorted({'torch', 'scipy', 'sklearn', 'matplotlib', 'onnx'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1] == "loaded 0", done.stderr
    rows = {row["path"]: row for row in read_table(tmp_path / "run/predictions.csv")}
    expected = maskcls.load(trained, device="cpu").predict(list(rows))
    assert len(rows) == 12
    for row, answer in zip(rows.values(), expected, strict=True):
        assert row["prediction"] == answer.label
        for name, probability in answer.probabilities.items():
            assert float(row[f"probability_{name}"]) == pytest.approx(probability, abs=1e-5)


@pytest.mark.hostile
@pytest.mark.parametrize("command", ["eval", "predict", "export"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an ONNX file that maskcls-export wrote, or a damaged one"),
        (b"\x80\x04cposix\nsystem\n(Vtouch hacked\ntR.", "not an ONNX file that maskcls-export wrote"),
        (None, "a damaged file: the digest does not match its content"),
    ],
)
def test_a_bad_file_ends_in_a_line(
    content: bytes | None,
    message: str,
    command: str,
    exported: Path,
    dataset: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "bad.onnx"
    shutil.copyfile(exported / "model.onnx", path)
    damaged = bytearray(path.read_bytes())
    damaged[1000] ^= 1
    path.write_bytes(bytes(damaged) if content is None else content)
    source = [f"source={dataset}/Test"] if command == "predict" else []
    assert cli.main(command, [f"ckpt={path}", *source, f"hydra.run.dir={tmp_path / 'run'}"]) == 2
    shown = capsys.readouterr().err
    if command == "export":
        message = "an exported network, which is evaluated and used; here a checkpoint is needed"
    assert shown.startswith(f"maskcls-{command}: ckpt={path}: {message}")
    assert shown.count("\n") == 1
    assert not (tmp_path / "run").exists()
    assert not Path("hacked").exists()
