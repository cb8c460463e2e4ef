"""The keys of the commands that use a trained model: maskcls-predict, maskcls-demo and maskcls-export."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from maskcls.config.engine import Range
from maskcls.config.types import Choice, Count, Device, Positive, PrecisionChoice


@dataclass(frozen=True)
class FacesConfig:
    """Whether faces are looked for and cut out first."""

    mode: Literal["none", "auto", "yunet"]
    model: Path | None


@dataclass(frozen=True)
class PredictFacesConfig(FacesConfig):
    """Which faces are classified."""

    min_size: Annotated[int, Range(10)] | None


@dataclass(frozen=True)
class PredictConfig:
    """The keys of maskcls-predict."""

    ckpt: Path
    source: str
    faces: PredictFacesConfig
    every: Count
    max_fps: Positive | None
    format: Literal["csv", "jsonl"]
    save: bool
    report: bool
    explain: bool
    show: Choice
    cache_dir: Path
    batch_size: Count | None
    device: Device
    threads: Count | None
    precision: PrecisionChoice | None


@dataclass(frozen=True)
class DemoConfig:
    """The keys of maskcls-demo."""

    ckpt: Path
    faces: PredictFacesConfig
    host: str
    port: Annotated[int, Range(1, 65535)] | None
    cache_dir: Path
    device: Device
    threads: Count | None
    precision: PrecisionChoice | None


@dataclass(frozen=True)
class ExportConfig:
    """The keys of maskcls-export."""

    ckpt: Path
    format: Literal["onnx", "torch_export"]
    int8: bool
    images: Count
    threads: Count | None
