"""The numbers, texts and names that several groups of keys share."""

from typing import Annotated, Literal

from maskcls.config.engine import Range, Text

Count = Annotated[int, Range(1)]
WholeNumber = Annotated[int, Range(0)]
Positive = Annotated[float, Range(0, above_low=True)]
NonNegative = Annotated[float, Range(0)]
Fraction = Annotated[float, Range(0, 1)]
FractionAboveZero = Annotated[float, Range(0, 1, above_low=True)]
FractionBelowOne = Annotated[float, Range(0, 1, below_high=True)]
FractionBetween = Annotated[float, Range(0, 1, above_low=True, below_high=True)]
ImageSize = Annotated[int, Range(8)]  # pixels a side
BatchSize = Count | Literal["auto"]

_SHARE = r"(0(\.\d*)?|1(\.0*)?|0?\.\d+)"
Device = Annotated[str, Text(r"auto|cpu|cuda(:[0-9]+)?|mps", "auto, cpu, cuda, cuda:N or mps")]
_RULE = Text(
    rf"{_SHARE}|youden|(recall|fpr)@{_SHARE}", "a number from 0 to 1, youden, recall@R or fpr@F, such as recall@0.99"
)
Threshold = Annotated[str, _RULE]
_TIME = r"(?!0*(\.0*)?min)[0-9]+(\.[0-9]+)?min|[1-9][0-9]*steps"
Interval = Annotated[str, Text(_TIME, "a time or a count, such as 10min or 500steps")]
PrecisionName = Literal["float32", "tf32", "bfloat16", "float16"]
PrecisionChoice = Literal["auto", PrecisionName]
Choice = Literal["auto", True, False]
Threads = Count | Literal["auto"]
Select = Literal["accuracy", "balanced_accuracy", "last"]
OnBadImage = Literal["error", "skip", "use"]
Resize = Literal["squeeze", "crop", "pad"]
