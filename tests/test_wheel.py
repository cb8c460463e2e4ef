"""The commands from an installed wheel, outside the checkout."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[1]


def clone(folder: Path) -> Path:
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(folder)], check=True)
    return folder


def install(folder: Path, *what: str) -> Path:
    """Make an environment with maskcls in it; return the folder of its console scripts."""
    venv.create(folder, with_pip=False, symlinks=True)
    (packages,) = (folder / "lib").glob("python*/site-packages")
    (packages / "dependencies.pth").write_text("\n".join(p for p in sys.path if p.endswith("site-packages")))
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install", "-q", "--no-deps"]
    subprocess.run([*pip, "--no-build-isolation", *what], check=True)
    return folder / "bin"


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the console scripts of an environment in which the wheel is installed.

    Its dependencies are those of the environment that runs the tests.
    """
    folder = tmp_path_factory.mktemp("wheel")
    source = clone(folder / "source")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return install(folder / "env", str(wheel))


def run(scripts: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return subprocess.run([scripts / command[0], *command[1:]], capture_output=True, text=True, env=environment)


def test_train_eval_and_predict_from_a_wheel(scripts: Path, dataset: Path) -> None:
    settings = ["model=mycnn", "data=folder", "data.input_size=16", "epochs=1", "device=cpu", "plots=false"]
    trained = run(scripts, "maskcls-train", *settings, f"data.root={dataset}", "hydra.run.dir=run")
    assert trained.returncode == 0, trained.stderr
    assert "test, best checkpoint (epoch 1)" in trained.stdout
    evaluated = run(scripts, "maskcls-eval", "ckpt=run", "device=cpu", "hydra.run.dir=again")
    assert evaluated.returncode == 0, evaluated.stderr
    assert "of 12, 95 % interval" in evaluated.stdout
    predicted = run(scripts, "maskcls-predict", "ckpt=run", f"source={dataset}/Test", "device=cpu")
    assert predicted.returncode == 0, predicted.stderr
    assert "12 images predicted in " in predicted.stdout
    audited = run(scripts, "maskcls-audit", f"data.root={dataset}", "hydra.run.dir=audit")
    assert audited.returncode == 0, audited.stderr
    assert Path("audit/report.html").is_file()
    compared = run(scripts, "maskcls-compare", "runs=[run,again]")
    assert compared.returncode == 0, compared.stderr
    assert "within noise" in compared.stdout
    exported = run(scripts, "maskcls-export", "ckpt=run", "hydra.run.dir=export")
    assert exported.returncode == 0, exported.stderr
    answered = run(scripts, "maskcls-predict", "ckpt=export", f"source={dataset}/Test")
    assert answered.returncode == 0, answered.stderr
    assert "12 images predicted in " in answered.stdout
    module = run(scripts, "python", "-m", "maskcls", "train", "--cfg", "job")
    assert module.returncode == 0
    assert "name: resnet18" in module.stdout


def test_the_wheel_runs_its_own_code(scripts: Path) -> None:
    shown = run(scripts, "python", "-c", "from maskcls.config import CONFIG_DIR; print(CONFIG_DIR)")
    assert (
        Path(shown.stdout.strip()) == next((scripts.parent / "lib").glob("python*")) / "site-packages/maskcls/configs"
    )


def test_an_editable_checkout_can_be_imported_from_the_folder_that_holds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = clone(tmp_path / "maskcls")
    scripts = install(tmp_path / "env", "--editable", str(checkout))
    monkeypatch.chdir(tmp_path)
    shown = run(scripts, "python", "-c", "import maskcls; print(maskcls.__file__, maskcls.load.__name__)")
    assert shown.stdout.split() == [str(checkout / "maskcls" / "__init__.py"), "load"], shown.stderr
    for command in (["python", "-m", "maskcls", "train"], ["maskcls-train"]):
        assert "name: resnet18" in run(scripts, *command, "--cfg", "job").stdout


@pytest.mark.parametrize(
    ("command", "key", "value", "typo"),
    [
        ("maskcls-train", "device", "auto", "devise"),
        ("maskcls-eval", "device", "auto", "devise"),
        ("maskcls-predict", "device", "auto", "devise"),
        ("maskcls-audit", "seed", "0", "seeed"),
        ("maskcls-compare", "seed", "0", "seeed"),
        ("maskcls-export", "format", "onnx", "fromat"),
    ],
)
def test_every_command_shows_its_help_and_its_configuration(
    command: str, key: str, value: str, typo: str, scripts: Path
) -> None:
    shown = run(scripts, command, "--help")
    assert shown.returncode == 0, shown.stderr
    assert f"{command}" in shown.stdout
    assert f"{key}: {value}" in shown.stdout
    refused = run(scripts, command, f"{typo}={value}")
    assert refused.returncode == 2
    message = f"{typo}={value}: no key or group '{typo}' in {command}; did you mean '{key}'?"
    assert refused.stderr == f"{command}: {message}\n"
