"""Operations that a device refuses. A tensor of the CPU that claims to be on an Apple GPU stands in for one there."""

import logging

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from maskcls.data import fallback
from maskcls.data.fallback import with_fallback


class OnMps(Tensor):
    """A tensor of the CPU that says that it is on an Apple GPU until it is copied to the CPU."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        """Where it says it is."""
        return torch.device("mps:0")

    def cpu(self) -> Tensor:  # type: ignore[override]
        """Copy it to the CPU."""
        return self.as_subclass(Tensor)


def on_mps(*shape: int) -> OnMps:
    return torch.rand(*shape).as_subclass(OnMps)


class Grid:
    """Looks images up as torch does, but not on an Apple GPU with a border; it notes where it is called."""

    __name__ = "grid_sample"

    def __init__(self, message: str) -> None:
        self.message = message
        self.devices: list[str] = []

    def __call__(self, images: Tensor, grid: Tensor, *, padding_mode: str, align_corners: bool) -> Tensor:
        assert images.device == grid.device
        self.devices.append(images.device.type)
        if images.device.type == "mps" and padding_mode == "border":
            raise RuntimeError(self.message)
        return functional.grid_sample(
            images.as_subclass(Tensor),
            grid.as_subclass(Tensor),
            mode="bilinear",
            padding_mode=padding_mode,
            align_corners=align_corners,
        )


@pytest.fixture(autouse=True)
def returned(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """Where results are copied to; nothing has been said before."""
    fallback._report.cache_clear()
    copies: list[torch.device] = []

    def to(tensor: Tensor, device: torch.device) -> Tensor:
        copies.append(device)
        return tensor

    monkeypatch.setattr(Tensor, "to", to)
    return copies


def test_what_a_device_refuses_is_done_by_the_cpu_and_said_once(
    returned: list[torch.device], caplog: pytest.LogCaptureFixture
) -> None:
    images, grid = on_mps(2, 3, 8, 8), on_mps(2, 4, 4, 2)
    expected = functional.grid_sample(images.cpu(), grid.cpu(), padding_mode="border", align_corners=False)
    operation = Grid("MPS: Unsupported Border padding mode\nException raised from")
    for _ in range(3):
        assert torch.equal(with_fallback(operation, images, grid, padding_mode="border", align_corners=False), expected)
    assert operation.devices == ["mps", "cpu"] * 3
    assert returned == [torch.device("mps:0")] * 3
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (
            logging.WARNING,
            "mps does not do grid_sample, so the CPU does it, which is slower: MPS: Unsupported Border padding mode",
        )
    ]


def test_what_a_device_does_stays_there(returned: list[torch.device], caplog: pytest.LogCaptureFixture) -> None:
    operation = Grid("not raised")
    with_fallback(operation, on_mps(2, 3, 8, 8), on_mps(2, 4, 4, 2), padding_mode="zeros", align_corners=False)
    assert (operation.devices, returned, caplog.records) == (["mps"], [], [])


def test_want_of_memory_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        with_fallback(
            Grid("MPS backend out of memory (MPS allocated: 9.00 GB)"),
            on_mps(2, 3, 8, 8),
            on_mps(2, 4, 4, 2),
            padding_mode="border",
            align_corners=False,
        )


def test_errors_of_the_cpu_are_errors(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(RuntimeError):
        with_fallback(functional.adaptive_avg_pool2d, torch.rand(5), output_size=2)
    assert not caplog.records
