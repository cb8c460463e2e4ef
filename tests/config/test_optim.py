"""Optimizers: each takes its own keys and no other's."""

from typing import Any

import pytest
from schema import ADAM, OPTIM, SGD

from maskcls.config.engine import convert
from maskcls.config.optim import AdamConfig, OptimConfig, SGDConfig
from maskcls.errors import UserError


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGDConfig), ("adam", AdamConfig), ("adamw", AdamConfig)])
def test_the_name_chooses_the_keys(name: str, kind: type) -> None:
    assert convert(OPTIM[name], OptimConfig, "optim") == kind(**OPTIM[name])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**SGD, "beta1": 0.9}, "optim.beta1 is not a key of optim=sgd: allowed are name, lr, momentum, nesterov, "),
        ({**ADAM, "momentum": 0.9}, "optim.momentum is not a key of optim=adam: allowed are name, lr, beta1, beta2, "),
        ({**SGD, "lrr": 1}, "optim.lrr is not a key of optim=sgd: "),
        ({**SGD, "name": "agd"}, "optim.name=agd: expected one of sgd, adam, adamw; did you mean 'sgd'?"),
    ],
)
def test_keys_of_another_optimizer_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        convert(values, OptimConfig, "optim")
    assert str(caught.value).startswith(message)
