"""Copies of a data set in COCO format in the formats of other tools, as these write them."""

import json
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from tests.golden_files import DATA

Content = dict[str, Any]
SEMANTIC = DATA / "coco_semseg"


def outlined(content: Content) -> Content:
    """Only the objects of a single polygon, which every format of outlines can hold."""
    kept = [
        annotation
        for annotation in content["annotations"]
        if isinstance(annotation["segmentation"], list) and len(annotation["segmentation"]) == 1
    ]
    used = {annotation["category_id"] for annotation in kept}
    # As tools number them that list no classes: by the alphabet, and only those that occur.
    categories = sorted((c for c in content["categories"] if c["id"] in used), key=_name)
    ids = {category["id"]: number for number, category in enumerate(categories, start=1)}
    order = sorted(content["images"], key=lambda image: image["file_name"])
    places = {image["id"]: place for place, image in enumerate(order)}
    kept.sort(key=lambda annotation: places[annotation["image_id"]])
    return {
        "images": order,
        "annotations": [{**a, "category_id": ids[a["category_id"]]} for a in kept],
        "categories": [{"id": ids[c["id"]], "name": c["name"]} for c in categories],
    }


def _name(category: Content) -> str:
    return category["name"]


def write_coco(content: Content, images: Path, folder: Path) -> Path:
    """`annotations.json` next to `images/`."""
    _copy_images(content, images, folder / "images")
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def write_labelme(content: Content, images: Path, folder: Path) -> Path:
    """A json next to each image; the parts of an object share a `group_id`."""
    _copy_images(content, images, folder)
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image, objects in _by_image(content):
        shapes = [
            {
                "label": names[annotation["category_id"]],
                "points": [list(p) for p in zip(polygon[0::2], polygon[1::2], strict=True)],
                "group_id": number if len(annotation["segmentation"]) > 1 else None,
                "shape_type": "polygon",
                "flags": {},
            }
            for number, annotation in enumerate(objects)
            for polygon in annotation["segmentation"]
        ]
        record = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": image["file_name"],
            "imageData": None,
            "imageHeight": image["height"],
            "imageWidth": image["width"],
        }
        (folder / image["file_name"]).with_suffix(".json").write_text(json.dumps(record))
    return folder


def write_yolo(content: Content, images: Path, folder: Path, boxes: bool = False) -> Path:
    """`data.yaml`, `images/train` and `labels/train`, coordinates with six digits."""
    _copy_images(content, images, folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    names = [category["name"] for category in content["categories"]]
    place = {category["id"]: index for index, category in enumerate(content["categories"])}
    listed = "".join(f"  {index}: {name}\n" for index, name in enumerate(names))
    text = f"path: .\ntrain: images/train\nval: images/train\nnames:\n{listed}"
    (folder / "data.yaml").write_text(text)
    for image, objects in _by_image(content):
        size = image["width"], image["height"]
        lines = []
        for annotation in objects:
            x, y, w, h = annotation["bbox"]
            values = [x + w / 2, y + h / 2, w, h] if boxes else annotation["segmentation"][0]
            shares = [f"{value / size[index % 2]:.6f}" for index, value in enumerate(values)]
            lines.append(" ".join([str(place[annotation["category_id"]]), *shares]))
        name = Path(image["file_name"]).with_suffix(".txt")
        (folder / "labels" / "train" / name).write_text("\n".join(lines) + "\n")
    return folder


def write_voc(content: Content, images: Path, folder: Path) -> Path:
    """`Annotations/*.xml` and `JPEGImages`, boxes in whole pixels from 1."""
    _copy_images(content, images, folder / "JPEGImages")
    (folder / "Annotations").mkdir()
    names = {category["id"]: category["name"] for category in content["categories"]}
    for image, objects in _by_image(content):
        nodes = []
        for annotation in objects:
            x, y, w, h = annotation["bbox"]
            corners = {"xmin": x + 1, "ymin": y + 1, "xmax": x + w, "ymax": y + h}
            tags = "".join(f"<{key}>{round(value)}</{key}>" for key, value in corners.items())
            name = escape(names[annotation["category_id"]])
            nodes.append(
                f"<object><name>{name}</name><difficult>0</difficult><bndbox>{tags}</bndbox></object>"
            )
        size = f"<width>{image['width']}</width><height>{image['height']}</height><depth>3</depth>"
        text = (
            f"<annotation><folder>x</folder><filename>{escape(image['file_name'])}</filename>"
            f"<size>{size}</size>{''.join(nodes)}</annotation>"
        )
        path = folder / "Annotations" / image["file_name"]
        path.with_suffix(".xml").write_text(text)
    return folder


def _by_image(content: Content) -> list[tuple[Content, list[Content]]]:
    objects = defaultdict(list)
    for annotation in content["annotations"]:
        objects[annotation["image_id"]].append(annotation)
    return [(image, objects[image["id"]]) for image in content["images"]]


def _copy_images(content: Content, images: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    for image in content["images"]:
        shutil.copy(images / image["file_name"], folder)


def label_maps(
    folder: Path, layout: str = "{what}/{split}", splits: tuple[str, ...] = ("",)
) -> Path:
    """The two images with their label maps, in each split."""
    images = sorted((SEMANTIC / "images" / "val").iterdir())
    for split in splits:
        for what, of in (("images", "images"), ("masks", "labels_supercategory")):
            place = folder / layout.format(what=what, split=split)
            place.mkdir(parents=True)
            for image in images:
                name = image.name if what == "images" else f"{image.stem}.png"
                shutil.copy(SEMANTIC / of / "val" / name, place)
    return folder
