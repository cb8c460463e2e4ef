"""Typed configurations: what the YAML files of ``configs/`` may hold. Nothing in here imports torch or Hydra.

`engine` checks values against declarations; the other modules are the declarations.
"""

from maskcls.config.augment import (
    AugmentConfig,
    FlipAugmentConfig,
    LightAugmentConfig,
    NoAugmentConfig,
    RobustAugmentConfig,
)
from maskcls.config.commands import (
    CONFIG_DIR,
    SCHEMAS,
    AuditConfig,
    AuditDataConfig,
    CheckpointConfig,
    CompareConfig,
    EarlyStoppingConfig,
    EvalConfig,
    EvalDataConfig,
    EvalEvaluationConfig,
    EvaluationConfig,
    HealthConfig,
    TrainConfig,
    parse,
)
from maskcls.config.data import (
    AnyDataConfig,
    DataConfig,
    FaceMask12KConfig,
    FolderConfig,
    SyntheticConfig,
    TableConfig,
)
from maskcls.config.engine import Range, Text, as_dictionary, convert, describe, nearest
from maskcls.config.model import (
    ModelConfig,
    MyCNNConfig,
    ResNet18Config,
    TorchvisionConfig,
    VGG16Config,
    check_input_size,
)
from maskcls.config.optim import AdamConfig, OptimConfig, SGDConfig
from maskcls.config.schedule import ConstantConfig, CosineConfig, OneCycleConfig, ScheduleConfig
from maskcls.config.use import DemoConfig, ExportConfig, FacesConfig, PredictConfig, PredictFacesConfig

__all__ = [
    "CONFIG_DIR", "SCHEMAS", "AdamConfig", "AnyDataConfig", "AuditConfig", "AuditDataConfig", "AugmentConfig",
    "CheckpointConfig", "CompareConfig", "ConstantConfig", "CosineConfig", "DataConfig", "DemoConfig",
    "EarlyStoppingConfig", "EvalConfig", "EvalDataConfig", "EvalEvaluationConfig", "EvaluationConfig", "ExportConfig",
    "FaceMask12KConfig", "FacesConfig", "FlipAugmentConfig", "FolderConfig", "HealthConfig", "LightAugmentConfig",
    "ModelConfig", "MyCNNConfig", "NoAugmentConfig", "OneCycleConfig", "OptimConfig", "PredictConfig",
    "PredictFacesConfig", "Range", "ResNet18Config", "RobustAugmentConfig", "SGDConfig", "ScheduleConfig",
    "SyntheticConfig", "TableConfig", "Text", "TorchvisionConfig", "TrainConfig", "VGG16Config", "as_dictionary",
    "check_input_size", "convert", "describe", "nearest", "parse",
]  # fmt: skip
