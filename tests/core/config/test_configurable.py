import pytest
from omegaconf import OmegaConf

from detectron2.config import configurable, get_cfg


class Head:
    @configurable
    def __init__(self, channels, norm="BN", depth=3):
        self.seen = (channels, norm, depth)

    @classmethod
    def from_config(cls, cfg):
        return {"channels": cfg.VERSION, "norm": "from cfg"}


class Deeper(Head):
    @configurable
    def __init__(self, width, **kwargs):
        super().__init__(**kwargs)
        self.width = width

    @classmethod
    def from_config(cls, cfg, *, factor=1):
        return {"width": 10 * factor, **super().from_config(cfg)}


class Unfinished:
    @configurable
    def __init__(self, a):
        pass


class NotAClassMethod(Unfinished):
    def from_config(self, cfg):
        return {}


class WrongFirstArgument(Unfinished):
    @classmethod
    def from_config(cls, config):
        return {"a": 1}


@configurable(from_config=lambda cfg, offset=0: {"a": cfg.VERSION + offset, "b": 1})
def function(a, b=2, c=3):
    return a, b, c


def test_explicit_and_config_calls():
    cfg = get_cfg()
    assert Head(7).seen == (7, "BN", 3)
    assert Head(channels=7, norm="GN").seen == (7, "GN", 3)
    assert Head(cfg).seen == (2, "from cfg", 3)
    assert Head(cfg=cfg, depth=8).seen == (2, "from cfg", 8)
    assert Head(cfg, norm="GN").seen == (2, "GN", 3)
    assert Head(OmegaConf.create({"VERSION": 5})).seen == (5, "from cfg", 3)


def test_plain_dict_is_an_ordinary_argument():
    assert Head({"VERSION": 3}).seen == ({"VERSION": 3}, "BN", 3)


def test_subclass_and_from_config_with_own_arguments():
    built = Deeper(get_cfg(), factor=4, depth=9)
    assert built.width == 40
    assert built.seen == (2, "from cfg", 9)


def test_function():
    cfg = get_cfg()
    assert function(1) == (1, 2, 3)
    assert function(cfg) == (2, 1, 3)
    assert function(cfg, offset=5, c=9) == (7, 1, 9)
    assert function(cfg=cfg) == (2, 1, 3)
    assert function.__name__ == "function"


def test_unknown_argument_is_the_constructors_error():
    with pytest.raises(TypeError, match="zz"):
        Head(get_cfg(), zz=1)


@pytest.mark.parametrize(
    ("cls", "error"),
    [(Unfinished, AttributeError), (NotAClassMethod, TypeError), (WrongFirstArgument, TypeError)],
)
def test_class_without_usable_from_config(cls, error):
    with pytest.raises(error, match="from_config"):
        cls(get_cfg())


def test_decorating_a_function_without_from_config_is_refused():
    with pytest.raises(AssertionError):
        configurable(lambda x: x)


@pytest.mark.core_only(reason="upstream accepts these silently")
def test_other_misuses_are_refused():
    with pytest.raises(AssertionError, match="from_config"):
        configurable()
    with pytest.raises(AssertionError, match="functions"):
        configurable(from_config=lambda cfg: {})(Head)
