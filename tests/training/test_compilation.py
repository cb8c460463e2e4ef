"""Compiling the model for as long as a training lasts."""

import logging
import random
import shutil
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from configuration import config_of
from torch import Tensor, nn
from trainings import CPU, batch_of, copy_of, normalize, tiny_batches, tiny_images

from maskcls.config import TrainConfig
from maskcls.data.loaders import Loader
from maskcls.errors import UserError
from maskcls.interrupts import Interrupted
from maskcls.models.precision import Precision
from maskcls.training import compilation
from maskcls.training.batches import TrainingBatches
from maskcls.training.build import build_state
from maskcls.training.compilation import compiled, compiles, warm_up
from maskcls.training.loop import step, train_one_epoch
from maskcls.training.state import TrainingState

CUDA = torch.device("cuda")
TINY = ("data=synthetic", "model=mycnn", "data.input_size=8", "data.batch_size=20")


def config(*overrides: str) -> TrainConfig:
    parsed: TrainConfig = config_of("train", *TINY, *overrides)
    return parsed


def built(given: TrainConfig) -> TrainingState:
    torch.manual_seed(3)
    return build_state(given, 2, normalize(), Precision("float32", "cpu"), torch.Generator(), 3)


# --- whether to compile ---


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Give this machine what compiling for CUDA needs, or all but something."""

    def having(*, triton: bool = True, compilers: tuple[str, ...] = ("gcc",), headers: bool = True) -> None:
        (tmp_path / "Python.h").unlink(missing_ok=True)
        if headers:
            (tmp_path / "Python.h").touch()
        monkeypatch.delenv("CC", raising=False)
        monkeypatch.setattr("torch.utils._triton.has_triton", lambda: triton)
        monkeypatch.setattr(shutil, "which", lambda name: name if name in compilers else None)
        monkeypatch.setattr(sysconfig, "get_path", lambda name, scheme: str(tmp_path) if name == "include" else "")

    return having


@pytest.mark.parametrize(
    ("value", "device", "steps", "expected"),
    [
        ("auto", "cuda", 15_000, True),  # an epoch, of two
        ("auto", "cuda", 14_999, False),
        ("auto", "cpu", 1_000_000, False),
        ("auto", "mps", 1_000_000, False),
        ("true", "cpu", 1, True),
        ("true", "cuda", 1, True),
        ("false", "cuda", 1_000_000, False),
    ],
)
def test_a_model_is_compiled_if_that_pays_or_is_asked_for(
    value: str, device: str, steps: int, machine: Callable[..., None], *, expected: bool
) -> None:
    machine()
    assert compiles(config("epochs=2", f"compile={value}"), torch.device(device), steps) is expected


@pytest.mark.parametrize(
    ("lacking", "named"),
    [
        ({"triton": False}, "Triton for this GPU"),
        ({"compilers": ()}, "a C compiler"),
        ({"headers": False}, "Python.h, the headers of Python"),
        ({"compilers": (), "headers": False}, "a C compiler and Python.h, the headers of Python"),
    ],
    ids=str,
)
def test_a_model_is_not_compiled_without_what_that_takes(
    lacking: dict[str, Any], named: str, machine: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    machine(**lacking)
    with caplog.at_level(logging.INFO):
        assert compiles(config("epochs=2"), CUDA, 1_000_000) is False
    assert caplog.messages == [f"compile=auto: the model is not compiled, since this machine lacks {named}"]
    with pytest.raises(UserError) as refused:
        compiles(config("compile=true"), CUDA, 1)
    assert str(refused.value) == f"compile=true: this machine lacks {named}; compile=false does without"
    assert compiles(config("compile=true"), CPU, 1)  # where other things are needed


def test_a_compiler_of_another_name_is_found(machine: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    machine(compilers=("tcc",))
    monkeypatch.setenv("CC", "tcc")
    assert compiles(config("compile=true"), CUDA, 1)
    machine(compilers=("gcc",))
    monkeypatch.setenv("CC", "tcc")  # Triton takes this one or none
    with pytest.raises(UserError, match="lacks a C compiler"):
        compiles(config("compile=true"), CUDA, 1)


# --- the compiled form ---


class Program:
    """A graph of tensors that a backend has compiled: this one runs as it is."""

    def __init__(self, graph: Callable[..., Any]) -> None:
        self.graph = graph

    def __call__(self, *args: Any) -> Any:
        """Run the graph."""
        return self.graph(*args)


class Backend:
    """A backend of `torch.compile` that compiles nothing, but notes what it was given, and when and where."""

    def __init__(self) -> None:
        self.events: list[tuple[str, threading.Thread]] = []
        self.programs: list[weakref.ref[Program]] = []
        self.run: list[int] = []

    def compiler(self, name: str) -> Callable[..., Any]:
        """The function that compiles forward or backward passes."""
        from torch._functorch._aot_autograd.utils import make_boxed_func

        def compile_graph(graph: Callable[..., Any], inputs: Any) -> Any:
            self.events.append((name, threading.current_thread()))
            program = Program(graph)
            self.programs.append(weakref.ref(program))
            return make_boxed_func(program)

        return compile_graph


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Iterator[Backend]:
    """What compiles in place of Inductor."""
    from torch._dynamo.backends.common import aot_autograd

    noted, real = Backend(), torch.compile

    def compile_model(model: nn.Module, *, mode: str | None, dynamic: bool) -> Callable[[Tensor], Tensor]:
        assert mode is None
        assert not dynamic
        backend = aot_autograd(fw_compiler=noted.compiler("forward"), bw_compiler=noted.compiler("backward"))
        form: Any = real(model, dynamic=dynamic, backend=backend)

        def run(inputs: Tensor) -> Tensor:
            noted.run.append(len(inputs))
            logits: Tensor = form(inputs)
            return logits

        return run

    monkeypatch.setattr(torch, "compile", compile_model)
    yield noted
    torch.compiler.reset()


def everything(state: TrainingState) -> list[Any]:
    """All that a training goes by."""
    key = np.random.get_state(legacy=False)["state"]
    assert state.generator is not None
    return [
        *[value.clone() for value in state.model.state_dict().values()],
        *[value.clone() for value in state.evaluated_model.state_dict().values()],
        *[None if p.grad is None else p.grad.clone() for p in state.model.parameters()],
        *[value.clone() for moments in state.optimizer.state.values() for value in moments.values()],
        *(torch.get_rng_state(), state.generator.get_state()),
        *(random.getstate(), key["key"].tolist(), key["pos"]),
        *(state.progress, state.learning_rate, state.scaler.state_dict()),
    ]


def assert_equal(before: list[Any], after: list[Any]) -> None:
    """Compare what `everything` gave, bit for bit."""
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one, other) if isinstance(one, Tensor) else one == other


@pytest.mark.parametrize(
    "model", ["model=mycnn", "model=resnet18 data.input_size=33", "model=mobilenet_v3_small data.input_size=33"]
)
def test_warming_up_leaves_a_training_as_it_was(model: str) -> None:
    given = config(*model.split(), "augment=robust", "ema_decay=0.9", "optim=adam")
    state, size = built(given), given.data.input_size
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    step(state, images, torch.tensor([0, 1]))  # gradients and moments are there
    seen: list[tuple[bool, bool]] = []
    model_itself = state.model

    def forward(inputs: Tensor) -> Tensor:
        seen.append((model_itself.training, torch.is_grad_enabled()))
        random.random(), np.random.rand()  # as code that a user adds
        logits: Tensor = model_itself(inputs)
        return logits

    state.forward = forward
    before = everything(state)
    state.model.eval()  # as validation leaves it
    warm_up(state, torch.zeros_like(images))
    assert seen == [(True, True)] * compilation.PASSES
    assert_equal(before, everything(state))


def test_a_compiled_training_is_the_same_bit_for_bit(backend: Backend) -> None:
    ends = []
    for value in ("false", "true"):
        given = config("model=resnet18", "data.input_size=32", "augment=light", "ema_decay=0.9", f"compile={value}")
        state, order = built(given), torch.Generator()
        assert state.generator is not None
        loader = Loader(tiny_images(8, size=32), 3, CPU, shuffle=order)
        batches = TrainingBatches(loader, order, state.generator, 5, [])
        with compiled(given, state, batches):
            train_one_epoch(state, batches)
        assert state.sums is not None
        ends.append([*everything(state), state.sums.loss, state.sums.accuracy])
    assert backend.run == [3] * (compilation.PASSES + 2)
    assert_equal(*ends)


def test_everything_is_compiled_once_before_the_first_step(backend: Backend) -> None:
    given = config("compile=true", "model.dropout=0")
    state, batches = built(given), tiny_batches(48, 20)
    compiled_in = [("forward", threading.current_thread()), ("backward", threading.current_thread())]
    with compiled(given, state, batches):
        assert backend.events == compiled_in
        for _ in range(2):
            train_one_epoch(state, batches)
            state.sums = None
            state.model.eval()  # as validation leaves it
    assert backend.events == compiled_in  # nothing more for the last, smaller batch, nor in the second epoch
    assert backend.run == [20] * (compilation.PASSES + 4)


def test_the_backward_pass_is_compiled_with_the_forward_pass(backend: Backend) -> None:
    # on CUDA it runs in a thread that no signal reaches
    def interrupted(*_: Tensor) -> Tensor:
        raise Interrupted(15)

    given = config("compile=true", "model.dropout=0")
    state = built(given)
    state.loss_function = interrupted
    with pytest.raises(Interrupted), compiled(given, state, tiny_batches(48, 20)):
        pass
    assert [name for name, _ in backend.events] == ["forward", "backward"]


def test_a_single_smaller_batch_is_a_full_one(backend: Backend) -> None:
    given = config("compile=true", "model.dropout=0")
    state, batches = built(given), tiny_batches(12, 20)
    with compiled(given, state, batches):
        train_one_epoch(state, batches)
    assert backend.run == [12] * (compilation.PASSES + 1)


@pytest.mark.parametrize("error", [None, RuntimeError("the loss is nan"), Interrupted(15)])
def test_what_compilation_holds_is_released(backend: Backend, error: BaseException | None) -> None:
    given = config("compile=true", "model.dropout=0")
    state, batches = built(given), tiny_batches(40, 20)

    def train() -> None:
        with compiled(given, state, batches):
            train_one_epoch(state, batches)
            assert len(backend.programs) == 2
            assert all(program() is not None for program in backend.programs)
            assert state.forward is not state.model
            if error is not None:
                raise error

    if error is None:
        train()
    else:
        with pytest.raises(type(error)):
            train()
    assert state.forward is state.model
    assert [program() for program in backend.programs] == [None, None]
    before = copy_of(state.model)
    step(state, *batch_of(2))  # the model can be used as before
    assert not all(torch.equal(p, b) for p, b in zip(state.model.parameters(), before, strict=True))


def test_the_memory_of_graphs_goes_back_to_the_gpu(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    freed: list[str] = []
    given = config("compile=true", "model.dropout=0")
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append("cuda"))
    monkeypatch.setattr(compilation, "warm_up", lambda *_: None)
    monkeypatch.setattr(compilation, "compiles", lambda *_: True)
    state = built(given)
    with compiled(given, state, tiny_batches(40, 20)):
        pass
    assert freed == []
    monkeypatch.setattr(TrainingState, "device", CUDA)
    monkeypatch.setattr(torch, "zeros", lambda *_, **options: torch.empty(1, 8, 8, 3))
    modes: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda model, *, mode, dynamic: modes.append(mode))
    with compiled(given, state, tiny_batches(40, 20)):
        assert modes == ["max-autotune"]
        assert freed == []
    assert freed == ["cuda"]


def test_nothing_is_compiled_unless_it_is_asked_for(backend: Backend) -> None:
    given = config()
    state = built(given)
    with compiled(given, state, tiny_batches(40, 20)):
        assert state.forward is state.model
    assert not backend.events
