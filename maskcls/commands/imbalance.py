"""What an accuracy hides: classes that differ in size, and classes that are never predicted."""

import logging
from collections.abc import Mapping, Sequence

from maskcls.config.types import Select
from maskcls.training.validation import Validation
from maskcls.wording import counted, named

log = logging.getLogger(__name__)

# the largest class by the smallest: from here on an accuracy says little by itself
UNEQUAL = 1.5
# classes that are named at most; those beyond are counted, except a single one
NAMED = 5


def advice(images: Mapping[str, int], *, draws_alike: bool) -> str:
    """What helps against classes of unequal size; empty if the training images are not, or are drawn alike.

    Args:
        images: number of training images by class.
        draws_alike: whether all classes are drawn equally often.
    """
    if draws_alike or max(images.values()) < UNEQUAL * min(images.values()):
        return ""
    return "; data.sampling=classes draws all classes equally often in training"


def report_sizes(images: Mapping[str, int], advice: str, select: Select) -> None:
    """Log what always answering with the largest class would reach in validation, if the classes are of unequal size.

    Args:
        images: number of validation images by class.
        advice: as `advice` returns it.
        select: what the best epoch goes by.
    """
    largest = max(images, key=lambda name: images[name])
    if images[largest] >= UNEQUAL * min(images.values()):
        share = 100 * images[largest] / sum(images.values())
        choose = ", or choose the best epoch by it (select=balanced_accuracy)" if select == "accuracy" else ""
        log.warning(
            "the classes differ in size: always answering %s gives a validation accuracy of %.2f %%; read the balanced "
            "accuracy beside it%s%s",
            named(largest),
            share,
            choose,
            advice,
        )


def report_missed(epoch: int, validation: Validation, classes: Sequence[str]) -> None:
    """Log which classes a network never predicts, and whether it is no better than a constant answer."""
    found = []
    if validation.never_predicted:
        missed = validation.never_predicted.items()
        names = [f"{named(classes[label])} ({counted(count, 'image')})" for label, count in missed]
        if len(names) > NAMED + 1:  # run.json has all
            names[NAMED:] = [f"{len(names) - NAMED} other classes"]
        found.append(f"no validation image is predicted as {', '.join(names)}")
    if validation.accuracy <= validation.largest_share:
        found.append(
            f"the accuracy, {100 * validation.accuracy:.2f} %, is no better than always answering with the largest "
            f"class, {100 * validation.largest_share:.2f} %"
        )
    if found:
        log.warning("epoch %d: %s", epoch, "; ".join(found))
