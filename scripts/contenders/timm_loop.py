"""The same with timm's data sets, loaders, network and optimizer, in a loop as in its train.py.

Its loader normalizes whole batches instead of single images, keeps its workers, and drops the last, incomplete batch of
an epoch's training.
"""

import sys
import time
from argparse import Namespace
from pathlib import Path

import timm
import torch
from timm.data import create_dataset, create_loader
from timm.data.loader import PrefetchLoader
from timm.optim import create_optimizer_v2
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contenders.common import DEVICE, LEARNING_RATE, MEAN, MOMENTUM, STD, Epoch, mycnn, parse_arguments, report


def load(args: Namespace, folder: str, *, is_training: bool) -> PrefetchLoader:
    """The batches of a split."""
    return create_loader(
        create_dataset("torch/image_folder", f"{args.data}/{folder}"),
        input_size=(3, args.size, args.size),
        batch_size=args.batch,
        is_training=is_training,
        no_aug=True,
        mean=MEAN,
        std=STD,
        crop_pct=1.0,
        crop_mode="squash",
        num_workers=args.workers,
        device=DEVICE,
    )


def main() -> None:
    """Train, and report the speed."""
    args = parse_arguments(__doc__)
    torch.manual_seed(0)
    train_loader, val_loader = load(args, "Train", is_training=True), load(args, "Validation", is_training=False)
    train_images, val_images = len(train_loader) * args.batch, len(val_loader.dataset)

    # timm has no MyCNN
    model = mycnn(args.size) if args.model == "mycnn" else timm.create_model(args.model, num_classes=2)
    model = model.to(DEVICE).to(memory_format=torch.channels_last)
    autocast = torch.autocast(DEVICE.type, torch.bfloat16, enabled=args.precision == "bfloat16")
    criterion = nn.CrossEntropyLoss()
    # timm's "sgd" has Nesterov momentum
    optimizer = create_optimizer_v2(
        model, opt="adam" if args.optim == "adam" else "momentum", lr=LEARNING_RATE, momentum=MOMENTUM
    )

    epochs = []
    for number in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.train()
        total_loss = torch.zeros((), device=DEVICE)
        for images, labels in train_loader:
            with autocast:
                loss = criterion(model(images.contiguous(memory_format=torch.channels_last)), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.detach() * len(labels)
        train_loss = total_loss.item() / train_images
        trained = time.perf_counter()

        model.eval()
        correct = 0
        with torch.inference_mode(), autocast:
            for images, labels in val_loader:
                logits = model(images.contiguous(memory_format=torch.channels_last))
                correct += (logits.argmax(1) == labels).sum().item()
        accuracy = correct / val_images
        epochs.append(Epoch(trained - start, time.perf_counter() - trained, accuracy))
        print(f"epoch {number}: train loss {train_loss:.4f}, validation accuracy {accuracy:.4f}")
    report(args.precision, train_images, val_images, epochs)


if __name__ == "__main__":
    main()
