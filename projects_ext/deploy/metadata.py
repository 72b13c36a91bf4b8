"""What an exported model says of itself, in its file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from projects_ext.errors import UserError

KEY = "projects_ext"
"""Under which name it stands among the metadata of an ONNX file."""

FORMAT = 1
"""Of the outputs and of this; a file of a later one is refused."""


@dataclass(frozen=True)
class Metadata:
    """What running an exported model has to know.

    Attributes:
        kind: "instances" or "semantic".
        class_names: in order.
        max_detections: of an image; 0 for label maps.
        score_threshold: detections of lower scores are not in the results.
        mask_stride: 0 for masks of boxes; else masks are of the whole image, on every so many
            pixels of the network's input.
    """

    kind: str
    class_names: tuple[str, ...]
    max_detections: int = 0
    score_threshold: float = 0.0
    mask_stride: int = 0

    def text(self) -> str:
        """As it stands in a file."""
        return json.dumps({"format": FORMAT, **asdict(self)})

    @classmethod
    def of(cls, path: str, properties: Mapping[str, str]) -> "Metadata":
        """Read it.

        Args:
            path: of the file, for messages.
            properties: the file's metadata.

        Raises:
            UserError: it is not there, or of a later version.
        """
        again = "export the model with `python tools/deploy/export_model.py --format onnx`"
        if KEY not in properties:
            raise UserError(f"{path} is an ONNX model, but not one of this project: {again}")
        try:
            values = json.loads(properties[KEY])
            if values.pop("format") != FORMAT:
                raise UserError(
                    f"{path} was exported by another version of this project: {again} of this one"
                )
            values["class_names"] = tuple(map(str, values["class_names"]))
            return cls(**values)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            if isinstance(error, UserError):
                raise
            raise UserError(f"the metadata of {path} are damaged ({error}): {again}") from error
