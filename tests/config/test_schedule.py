"""Schedules of the learning rate: each takes its own keys and no other's."""

import pytest
from schema import SCHEDULE

from maskcls.config.engine import convert
from maskcls.config.schedule import ConstantConfig, CosineConfig, OneCycleConfig, ScheduleConfig
from maskcls.errors import UserError


@pytest.mark.parametrize(
    ("name", "kind"), [("constant", ConstantConfig), ("onecycle", OneCycleConfig), ("cosine", CosineConfig)]
)
def test_the_name_chooses_the_keys(name: str, kind: type) -> None:
    assert convert(SCHEDULE[name], ScheduleConfig, "schedule") == kind(**SCHEDULE[name])


def test_one_cycle_takes_a_fraction_rather_than_epochs_to_warm_up() -> None:
    with pytest.raises(UserError) as caught:
        convert({**SCHEDULE["onecycle"], "warmup_epochs": 1}, ScheduleConfig, "schedule")
    assert str(caught.value) == (
        "schedule.warmup_epochs is not a key of schedule=onecycle: allowed are name, warmup_fraction, start_factor, "
        "final_factor"
    )
