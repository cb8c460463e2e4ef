"""The same with Lightning's Trainer: persistent workers, and everything off that the comparison does not need."""

import sys
import time
from pathlib import Path

import lightning
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contenders.common import MEAN, STD, Epoch, build_model, build_optimizer, parse_arguments, report


class Classifier(lightning.LightningModule):
    """A network, its loss and its optimizer."""

    def __init__(self, model: nn.Module, optim: str) -> None:
        super().__init__()
        self.model = model
        self.optim = optim
        self.correct = 0

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """The loss of a batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.model(images), labels)

    def on_validation_epoch_start(self) -> None:
        """Count anew."""
        self.correct = 0

    def validation_step(self, batch: tuple[Tensor, Tensor]) -> None:
        """Count the right answers."""
        images, labels = batch
        self.correct += (self.model(images).argmax(1) == labels).sum().item()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimizer of the comparison."""
        return build_optimizer(self.optim, self)


class Stopwatch(lightning.Callback):
    """Measures each epoch. Its training starts when the evaluation before it ends, so that no time is left out."""

    def __init__(self, val_images: int) -> None:
        self.val_images = val_images
        self.epochs: list[Epoch] = []

    def on_train_start(self, trainer: lightning.Trainer, module: Classifier) -> None:
        """Start the first epoch."""
        self.start = time.perf_counter()

    def on_validation_start(self, trainer: lightning.Trainer, module: Classifier) -> None:
        """Note the end of the training."""
        self.trained = time.perf_counter()

    def on_validation_end(self, trainer: lightning.Trainer, module: Classifier) -> None:
        """Note the end of the epoch."""
        now = time.perf_counter()
        self.epochs.append(Epoch(self.trained - self.start, now - self.trained, module.correct / self.val_images))
        self.start = now


def main() -> None:
    """Train, and report the speed."""
    args = parse_arguments(__doc__)
    lightning.seed_everything(0, verbose=False)
    transform = transforms.Compose(
        [transforms.Resize((args.size, args.size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    train_set = ImageFolder(f"{args.data}/Train", transform)
    val_set = ImageFolder(f"{args.data}/Validation", transform)
    workers = {"num_workers": args.workers, "persistent_workers": args.workers > 0}
    is_bfloat16 = args.precision == "bfloat16"
    model = build_model(args.model, args.size)
    if is_bfloat16:
        model = model.to(memory_format=torch.channels_last)
    stopwatch = Stopwatch(len(val_set))
    trainer = lightning.Trainer(
        max_epochs=args.epochs,
        devices=1,
        precision="bf16-mixed" if is_bfloat16 else "32-true",
        callbacks=[stopwatch],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        Classifier(model, args.optim),
        DataLoader(train_set, args.batch, shuffle=True, **workers),
        DataLoader(val_set, args.batch, **workers),
    )
    report(args.precision, len(train_set), len(val_set), stopwatch.epochs)


if __name__ == "__main__":
    main()
