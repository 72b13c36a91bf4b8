import fractions
from dataclasses import dataclass, field
from typing import Any

import pytest
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue
from torch import nn

from detectron2.config import LazyCall, get_cfg, instantiate
from detectron2.config.instantiate import dump_dataclass


def record(**kwargs):
    return kwargs


@dataclass
class Size:
    height: int = 1
    width: int = 2


@dataclass
class Plan:
    size: Size = field(default_factory=Size)
    parts: Any = None


def test_nested_calls_lists_and_values():
    inner = LazyCall(record)(z=1)
    built = instantiate(
        LazyCall(record)(
            call=LazyCall(record)(q=inner), many=[inner, 2], pair=(1, inner), nothing=None,
            plain={"x": 1}, cls=nn.ReLU, numbers=[1, 2],
        )
    )  # fmt: skip
    assert built["call"] == {"q": {"z": 1}}
    assert built["many"] == [{"z": 1}, 2]
    assert isinstance(built["many"], ListConfig)
    assert built["pair"] == [1, {"z": 1}]
    assert built["nothing"] is None
    assert isinstance(built["plain"], DictConfig)
    assert built["cls"] is nn.ReLU
    assert built["numbers"] == [1, 2]


def test_objects_are_built_anew_and_the_description_is_kept():
    description = LazyCall(nn.Conv2d)(in_channels=3, out_channels=4, kernel_size=1)
    first, second = instantiate(description), instantiate(description)
    assert first is not second
    assert first.weight.shape == (4, 3, 1, 1)
    assert description._target_ is nn.Conv2d


def test_plain_dicts_and_lists_of_descriptions():
    assert instantiate({"_target_": "builtins.dict", "a": {"_target_": "builtins.list"}}) == {
        "a": []
    }
    assert instantiate([{"_target_": "builtins.dict"}, 3]) == [{}, 3]


def test_description_inside_a_plain_mapping_or_tuple_stays():
    description = {"_target_": "builtins.dict"}
    assert instantiate({"a": description}) == {"a": description}
    assert instantiate((description, 3)) == (description, 3)
    assert instantiate(OmegaConf.create({"a": description})).a == description


@pytest.mark.parametrize("value", [None, "x", 3, Size(4)])
def test_other_values_come_back(value):
    assert instantiate(value) is value


def test_target_may_be_a_description():
    def make(offset):
        return lambda value: value + offset

    assert instantiate(LazyCall(LazyCall(make)(offset=3))(value=4)) == 7


def test_interpolations_are_resolved_in_place():
    config = OmegaConf.create(
        {"n": 4, "m": {"_target_": "builtins.dict", "a": "${n}", "b": "${..n}", "c": "???"}}
    )
    with pytest.raises(MissingMandatoryValue):
        instantiate(config.m)
    config.m.c = 1
    assert instantiate(config.m) == {"a": 4, "b": 4, "c": 1}


def test_dataclasses():
    assert instantiate(OmegaConf.structured(Size(5))) == Size(5)
    built = instantiate(LazyCall(record)(a=OmegaConf.structured(Size(5)), b=Size(3)))
    assert built == {"a": Size(5), "b": Size(3)}
    assert instantiate(LazyCall(Size)(height=9)) == Size(9)


def test_dump_dataclass_and_back():
    plan = Plan(parts=[Size(3), 1])
    described = dump_dataclass(plan)
    assert described["size"]["height"] == 1
    assert described["parts"][0]["_target_"].endswith("Size")
    assert instantiate(described) == plan


def test_a_config_node_as_an_argument():
    cfg = get_cfg()
    assert instantiate(LazyCall(record)(cfg=cfg))["cfg"].VERSION == 2


def test_lazy_call_refuses_what_cannot_be_called():
    with pytest.raises(TypeError, match="LazyCall"):
        LazyCall(3)


@pytest.mark.parametrize("name", ["nope.X", "torch.nn.Nope", "collections.nope.x"])
def test_missing_target_is_named(name):
    with pytest.raises(ImportError, match=name.replace(".", r"\.")):
        instantiate(LazyCall(name)())


@pytest.mark.core_only(reason="messages name the target")
def test_errors_name_the_target():
    with pytest.raises(TypeError, match=r"Conv2d: .*unexpected keyword argument 'foo'"):
        instantiate(LazyCall(nn.Conv2d)(foo=1))
    with pytest.raises(TypeError, match=r"torch.__version__"):
        instantiate({"_target_": "torch.__version__"})
    with pytest.raises(TypeError, match="Fraction"):
        instantiate({"_target_": fractions.Fraction, "numerator": []})
