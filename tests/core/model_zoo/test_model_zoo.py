import pytest

from detectron2 import model_zoo


@pytest.mark.parametrize("name", ["get_config", "get_config_file", "get_checkpoint_url", "get"])
def test_unknown_config_is_a_runtime_error_that_names_it(name):
    with pytest.raises(RuntimeError, match=r"COCO/nope\.yaml"):
        getattr(model_zoo, name)("COCO/nope.yaml")


@pytest.mark.core_only(reason="core has no model zoo")
def test_the_message_says_what_to_do():
    with pytest.raises(RuntimeError, match="configs folder"):
        model_zoo.get_config("common/models/mask_rcnn_fpn.py")
