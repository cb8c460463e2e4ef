"""A plain PyTorch script: ImageFolder, PIL, a DataLoader with worker processes, and a loop."""

import sys
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contenders.common import DEVICE, MEAN, STD, Epoch, build_model, build_optimizer, parse_arguments, report


def main() -> None:
    """Train, and report the speed."""
    args = parse_arguments(__doc__)
    torch.manual_seed(0)
    transform = transforms.Compose(
        [transforms.Resize((args.size, args.size)), transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    )
    train_set = ImageFolder(f"{args.data}/Train", transform)
    val_set = ImageFolder(f"{args.data}/Validation", transform)
    train_loader = DataLoader(train_set, args.batch, shuffle=True, num_workers=args.workers)
    val_loader = DataLoader(val_set, args.batch, num_workers=args.workers)

    model = build_model(args.model, args.size).to(DEVICE)
    is_bfloat16 = args.precision == "bfloat16"
    if is_bfloat16:
        model = model.to(memory_format=torch.channels_last)
    autocast = torch.autocast(DEVICE.type, torch.bfloat16, enabled=is_bfloat16)
    criterion = nn.CrossEntropyLoss()
    optimizer = build_optimizer(args.optim, model)

    epochs = []
    for number in range(1, args.epochs + 1):
        start = time.perf_counter()
        model.train()
        total_loss = 0.0
        for images, labels in train_loader:
            images, labels = images.to(DEVICE), labels.to(DEVICE)
            with autocast:
                loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total_loss += loss.item() * len(labels)
        trained = time.perf_counter()

        model.eval()
        correct = 0
        with torch.no_grad(), autocast:
            for images, labels in val_loader:
                images, labels = images.to(DEVICE), labels.to(DEVICE)
                correct += (model(images).argmax(1) == labels).sum().item()
        accuracy = correct / len(val_set)
        epochs.append(Epoch(trained - start, time.perf_counter() - trained, accuracy))
        print(f"epoch {number}: train loss {total_loss / len(train_set):.4f}, validation accuracy {accuracy:.4f}")
    report(args.precision, len(train_set), len(val_set), epochs)


if __name__ == "__main__":
    main()
