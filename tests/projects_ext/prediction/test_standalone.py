"""A run's config.yaml and checkpoint on another machine: without the data, the names are there."""

import shutil
from pathlib import Path

import pytest
import torch
from PIL import Image

import projects_ext
from detectron2.config import LazyConfig
from projects_ext.engine.arguments import parse_arguments
from projects_ext.engine.main import run
from projects_ext.errors import UserError
from projects_ext.prediction.weights import newest_checkpoint
from tests.conftest import ROOT
from tests.projects_ext.prediction.models import CLASSES, SEMANTIC, config_path, label_keys

YAML = str(ROOT / "configs" / "quickstart" / "mask_rcnn_shapes.yaml")
SHORT = ["train.max_iter=2", "train.eval_period=0", "train.device=cpu"]
SHORT += ["dataloader.train.num_workers=0", "dataloader.test.num_workers=0"]
SHORT += ["dataloader.train.total_batch_size=2"]


def coco_keys(data: Path) -> list[str]:
    return [
        f"data.{part}_{what}={path}"
        for part in ("train", "val")
        for what, path in (
            ("json", data / "annotations" / f"instances_{part}.json"),
            ("images", data / part),
        )
    ]


def yaml_keys(data: Path) -> list[str]:
    keys = "SOLVER.MAX_ITER 2 SOLVER.IMS_PER_BATCH 2 TEST.EVAL_PERIOD 0 TEST.PICTURES 0 "
    keys += "DATALOADER.NUM_WORKERS 0 MODEL.DEVICE cpu"
    pairs = [key.removeprefix("data.").upper().partition("=") for key in coco_keys(data)]
    paths = [key.partition("=")[2] for key in coco_keys(data)]
    named = [f"DATASETS.COCO_FORMAT.{key}" for key, _, _ in pairs]
    return [*keys.split(), *(word for pair in zip(named, paths, strict=True) for word in pair)]


def train(config: str, output: Path, keys: list[str]) -> None:
    run(parse_arguments(["--config-file", config, *keys]))
    assert (output / "model_final.pth").is_file()


@pytest.fixture
def data(shapes: Path, tmp_path: Path) -> Path:
    """A copy of the shapes that a test can change or delete."""
    return Path(shutil.copytree(shapes, tmp_path / "data"))


@pytest.fixture(scope="module")
def trained(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output folder of a Mask R-CNN; tests only read it."""
    output = tmp_path_factory.mktemp("trained")
    train(config_path("mask"), output, [*SHORT, *coco_keys(shapes), f"train.output_dir={output}"])
    return output


@pytest.mark.parametrize("kind", ["condinst", "yaml", "semantic"])
def test_prediction_after_training_without_the_data(kind: str, data: Path, tmp_path: Path) -> None:
    output, elsewhere = tmp_path / "output", tmp_path / "elsewhere"
    if kind == "yaml":
        train(YAML, output, [*yaml_keys(data), "OUTPUT_DIR", str(output)])
    else:
        semantic = kind == "semantic"
        keys = label_keys(data) if semantic else coco_keys(data)
        keys += ["model.multi_scale.scales=[1.0]"] if semantic else []
        config = config_path(SEMANTIC if semantic else kind)
        train(config, output, [*SHORT, *keys, f"train.output_dir={output}"])
    elsewhere.mkdir()
    for name in ("config.yaml", "model_final.pth"):
        shutil.move(output / name, elsewhere / name)
    image = Image.open(sorted((data / "val").iterdir())[0])
    image.load()
    shutil.rmtree(data)
    predictor = projects_ext.Predictor(elsewhere / "config.yaml", device="cpu")
    assert predictor.weights == str(elsewhere / "model_final.pth")
    if kind == "semantic":
        assert predictor.class_names == ["background", *CLASSES]
        assert predictor(image).shape == (image.height, image.width)
    else:
        assert predictor.class_names == CLASSES
        assert predictor(image).image_size == (image.height, image.width)


def test_names_and_number_of_the_classes_are_in_the_config(trained: Path, tmp_path: Path) -> None:
    """Weights that do not say the names get them from it."""
    saved = LazyConfig.load(str(trained / "config.yaml"))
    assert saved.model.roi_heads.num_classes == 5
    assert saved.train.classes == CLASSES
    nameless = without_names(trained / "model_final.pth", tmp_path)
    config = trained / "config.yaml"
    assert projects_ext.Predictor(config, nameless, "cpu").class_names == CLASSES
    with pytest.raises(UserError, match=r"train\.classes .* names 1 classes, but the model has 5"):
        projects_ext.Predictor(config, nameless, "cpu", opts=["train.classes=[a]"])


def without_names(checkpoint: Path, folder: Path) -> Path:
    """A copy of a checkpoint that does not say what its classes are called."""
    content = torch.load(checkpoint, weights_only=True)
    assert content.pop("classes") == CLASSES
    torch.save(content, folder / "nameless.pth")
    return folder / "nameless.pth"


def test_names_for_weights_that_say_none(trained: Path, data: Path, tmp_path: Path) -> None:
    """Then the data count the classes, if they are there; the names may be given."""
    nameless, keys = without_names(trained / "model_final.pth", tmp_path), coco_keys(data)
    config = config_path("mask")
    assert projects_ext.Predictor(config, nameless, "cpu", opts=keys).class_names == list("01234")
    names = "train.classes=[a,b,c,d,e]"
    assert projects_ext.Predictor(config, nameless, "cpu", opts=[names]).class_names == list(
        "abcde"
    )
    shutil.rmtree(data)
    with pytest.raises(UserError, match="no annotation file at"):
        projects_ext.Predictor(config, nameless, "cpu", opts=keys)


def test_the_config_of_a_run_trains_and_evaluates_again(trained: Path, tmp_path: Path) -> None:
    saved = LazyConfig.load(str(trained / "config.yaml"))
    keys = [f"train.output_dir={tmp_path}", f"train.init_checkpoint={trained}/model_final.pth"]
    words = ["--eval-only", "--config-file", str(trained / "config.yaml"), *keys]
    metrics = run(parse_arguments(words))
    assert metrics is not None
    evaluated = LazyConfig.load(str(tmp_path / "config.yaml"))
    evaluated.train.update(output_dir=saved.train.output_dir, init_checkpoint="")
    assert evaluated == saved


def test_other_data_are_never_taken_for_those_of_the_config(
    trained: Path, data: Path, tmp_path: Path
) -> None:
    """Of another class count: refused with the key. Of other names: the run takes these."""
    for part in ("train", "val"):
        file = data / "annotations" / f"instances_{part}.json"
        text = file.read_text().replace('"name": "disc"', '"name": "coin"')
        assert "coin" in text
        file.write_text(text)
    words = ["--config-file", str(trained / "config.yaml"), f"train.output_dir={tmp_path}"]
    words += [*coco_keys(data), "train.max_iter=1"]
    with pytest.raises(UserError, match=r"train\.classes .* names disc, .*: leave it out"):
        run(parse_arguments([*words, "train.classes=[disc,box,triangle,star,cross]"]))
    with pytest.raises(UserError, match=r"model\.roi_heads\.num_classes is 3, but .* 5 categories"):
        run(parse_arguments([*words, "model.roi_heads.num_classes=3"]))
    run(parse_arguments(words))
    renamed = ["coin", *CLASSES[1:]]
    assert LazyConfig.load(str(tmp_path / "config.yaml")).train.classes == renamed
    assert projects_ext.Predictor(tmp_path / "config.yaml").class_names == renamed


def test_the_newest_checkpoint_of_a_folder(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) == ""
    for name in ("model_0000009.pth", "model_0000019.pth", "model_best.pth"):
        (tmp_path / name).touch()
    assert newest_checkpoint(tmp_path).endswith("model_0000019.pth")
    (tmp_path / "model_final.pth").touch()
    assert newest_checkpoint(tmp_path).endswith("model_final.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    assert newest_checkpoint(tmp_path).endswith("model_0000009.pth")
    (tmp_path / "model_0000009.pth").unlink()
    assert newest_checkpoint(tmp_path).endswith("model_final.pth")
