"""The memory that a network takes, and what is free."""

import resource
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import windows
from configuration import config_of
from torch import nn

from maskcls.config import ModelConfig, MyCNNConfig, ResNet18Config
from maskcls.models.architecture import build_model
from maskcls.models.memory import (
    OVERHEAD,
    RESERVE,
    Demand,
    _left_in_groups,
    as_on_cpu,
    free_memory,
    inference_demand,
    out_of_memory,
    peak_memory,
)
from maskcls.models.precision import Precision

CPU = torch.device("cpu")


def test_the_peak_is_what_exists_at_a_time() -> None:
    def compute() -> None:
        first = torch.empty(1000)  # 4000 bytes
        second = first + 1  # 8000
        del first
        third = second.view(10, 100)  # the same storage
        (third * 2).sum()  # 8000, and 4 more

    assert peak_memory(compute) == 8004


def test_what_a_backward_pass_needs_is_kept_until_then() -> None:
    def compute() -> None:
        weight = torch.empty(100, requires_grad=True)  # 400 bytes
        torch.exp(torch.exp(weight)).sum().backward()

    def compute_alone() -> None:
        torch.exp(torch.exp(torch.empty(100))).sum()

    # weight and both results, of which the first is freed as soon as it is not needed
    assert (peak_memory(compute_alone), peak_memory(compute) >= 1200) == (800, True)


THREADS = """
import psutil, torch
from maskcls.models.memory import peak_memory
before = psutil.Process().num_threads()
peak_memory(lambda: torch.ones(8, requires_grad=True).sum().backward())
print(psutil.Process().num_threads() - before)
"""


def test_estimating_starts_no_threads_that_training_would_not_start() -> None:
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)
    assert int(done.stdout) <= 1 + torch.cuda.device_count()  # they take addresses, which a limit may count


def test_half_precision_halves_what_a_convolution_gives() -> None:
    def compute() -> None:
        weight, images = torch.empty(8, 1, 3, 3), torch.empty(100, 1, 10, 10)  # 288 and 40,000 bytes
        nn.functional.conv2d(images, weight, padding=1)  # 320,000 bytes

    def compute_in_half() -> None:
        with as_on_cpu(Precision("bfloat16", "cuda")):
            compute()

    assert (peak_memory(compute), peak_memory(compute_in_half)) == (360_288, 40_288 + (40_288 + 320_000) / 2)


@pytest.mark.parametrize("name", ["mycnn", "resnet18"])
def test_inference_takes_less_in_half_precision(name: str) -> None:
    model = config_of("train", "data=synthetic", f"model={name}").model
    full, half = (inference_demand(model, 2, 64, Precision(kind, "cuda")) for kind in ("float32", "bfloat16"))
    assert half.per_image <= 0.6 * full.per_image
    assert full.fixed <= half.fixed


def test_a_demand_is_a_line_through_two_sizes() -> None:
    demand = Demand.of(lambda images: torch.empty(1000 + 8 * images, dtype=torch.uint8))
    assert (demand.fixed, demand.per_image) == (1000, 8)
    assert demand.total(10) == OVERHEAD * 1080


@pytest.mark.parametrize(
    ("free", "expected"), [(0, 0), (1007, 0), (1008, 1), (1015, 1), (1016, 2), (1031, 2), (1032, 4), (2000, 64)]
)
def test_the_largest_batch_is_a_power_of_two_that_fits(free: float, expected: int) -> None:
    demand = Demand(1000, 8)
    largest = demand.largest_batch(OVERHEAD * free)
    assert largest == expected
    assert not largest or demand.total(largest) <= OVERHEAD * free


@pytest.mark.parametrize(
    "config",
    [
        MyCNNConfig(name="mycnn", default_input_size=32, dropout=0.0),
        ResNet18Config(name="resnet18", default_input_size=224, pretrained=True),
    ],
    ids=["mycnn", "resnet18"],
)
def test_inference_takes_weights_and_a_few_activations(config: ModelConfig) -> None:
    size = 32
    model = build_model(config, 2, size, pretrained=False)
    weights = sum(p.nbytes for p in [*model.parameters(), *model.buffers()])
    outputs: list[int] = []
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, inputs, output: outputs.append(inputs[0].nbytes + output.nbytes))
    model.eval()(torch.zeros(2, 3, size, size))
    demand = inference_demand(config, 2, size, Precision("float32", "cpu"))  # nothing is downloaded
    assert demand.fixed == pytest.approx(weights, rel=0.1)
    # a convolution's input and output at least, a branch and a normalised copy at most
    assert max(outputs) / 2 <= demand.per_image <= 2 * max(outputs)


def test_free_memory_is_what_the_host_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=5e9))
    monkeypatch.setattr("maskcls.models.memory._left_in_groups", lambda *_: float("inf"))
    assert free_memory(CPU) == 5e9 - RESERVE
    monkeypatch.setattr("maskcls.models.memory._left_in_groups", lambda *_: 3e9)
    assert free_memory(CPU) == 3e9 - RESERVE
    monkeypatch.setattr("psutil.Process", lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(vms=9e9)))
    monkeypatch.setattr(resource, "getrlimit", lambda _: (10e9, 10e9))
    assert free_memory(CPU) == 1e9 - RESERVE
    monkeypatch.setattr(resource, "getrlimit", lambda _: (8e9, 8e9))
    assert free_memory(CPU) == 0


def test_a_system_without_limits_has_the_memory_that_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=5e9))
    monkeypatch.setattr("maskcls.models.memory._left_in_groups", lambda *_: float("inf"))
    windows.pretend(monkeypatch)
    assert free_memory(CPU) == 5e9 - RESERVE


def test_free_memory_of_a_gpu_is_what_it_has_and_what_torch_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1e9, 9e9))
    monkeypatch.setattr("torch.cuda.memory_reserved", lambda device: 5e8)
    monkeypatch.setattr("torch.cuda.memory_allocated", lambda device: 2e8)
    assert free_memory(torch.device("cuda")) == 1.3e9 - RESERVE
    monkeypatch.setattr("torch.cuda.mem_get_info", lambda device: (1e8, 9e9))
    assert free_memory(torch.device("cuda")) == 0


def write_group(folder: Path, limit: str, current: int, inactive: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current}\n")
    (folder / "memory.stat").write_text(f"anon 1\ninactive_file {inactive}\nactive_file 7\n")


def test_the_tightest_group_says_what_is_left(tmp_path: Path) -> None:
    membership = tmp_path / "membership"
    membership.write_text("0::/a/b\n")
    root = tmp_path / "cgroup"
    assert _left_in_groups(root, membership) == float("inf")
    write_group(root / "a/b", "max", 100, 0)
    assert _left_in_groups(root, membership) == float("inf")
    write_group(root / "a", "1000", 900, 50)
    assert _left_in_groups(root, membership) == 150
    write_group(root / "a/b", "500", 400, 0)
    assert _left_in_groups(root, membership) == 100
    (root / "a/b/memory.current").unlink()
    assert _left_in_groups(root, membership) == 150
    assert _left_in_groups(root, tmp_path / "none") == float("inf")


def test_who_runs_out_of_memory_hears_what_fits() -> None:
    demand = Demand(0.25e9, 0.125e9)  # 32 images take twice 4.25 GB
    expected = (
        "out of memory at data.batch_size=32: it takes some 8.5 GB, and 4.0 GB were free; data.batch_size=8 should fit"
    )
    assert str(out_of_memory("data.batch_size", 32, 4e9, demand)) == expected


def test_advice_is_never_more_than_half_of_what_failed() -> None:
    demand = Demand(0, 1)
    assert str(out_of_memory("batch_size", 16, 4e9, demand)).endswith("batch_size=8 should fit")
    assert str(out_of_memory("batch_size", 1, 4e9, demand)).endswith("a smaller data.input_size takes less")
