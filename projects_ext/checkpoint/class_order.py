"""The order of the classes: weights of another one are put into the model's, or refused."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from detectron2.data import MetadataCatalog
from detectron2.data.catalog import Metadata

from .class_counts import layer_of
from .key_map import ClassLayer

TAKEN_AS_THE_SAME = "they are taken to be the same classes in the same order"


def class_names(data_sets: Sequence[str]) -> list[str] | None:
    """The names of the classes of registered data sets, in order.

    Args:
        data_sets: their names.

    Returns:
        None if the catalog does not know them, or they are not the same of all data sets.
    """
    found = [_names_in(MetadataCatalog.get(name)) for name in data_sets]
    if not found or not found[0] or any(names != found[0] for names in found):
        return None
    return list(found[0])


def _names_in(metadata: Metadata) -> Sequence[str] | None:
    """Of objects or, where label maps are evaluated, of what covers a picture."""
    of_maps = str(metadata.get("evaluator_type", "")).endswith("sem_seg")
    things, stuff = metadata.get("thing_classes"), metadata.get("stuff_classes")
    return stuff if of_maps or not things else things


def reorder_classes(
    matched: dict[str, Tensor],
    layers: Sequence[ClassLayer],
    theirs: Sequence[str] | None,
    own: Sequence[str] | None,
    source: str,
) -> str:
    """Put, in place, what belongs to a class where the model has that class.

    Names are compared without regard to case and space. Weights of as many classes of other names
    stay as they are (see :func:`other_names`).

    Args:
        matched: the model's names -> the file's tensors.
        layers: what depends on the classes, besides the general ones.
        theirs, own: the names of the file's and of the model's classes; None if nobody knows.
        source: the file, for messages.

    Returns:
        what the report says about it; empty if there is nothing to say.

    Raises:
        ValueError: some names agree, and stand in different places.
    """
    if not theirs or not own or len(theirs) != len(own):
        return ""
    there, here = [_plain(name) for name in theirs], [_plain(name) for name in own]
    if there == here:
        return ""
    if sorted(there) == sorted(here) and len(set(here)) == len(here):
        order = [there.index(name) for name in here]
        for name, value in matched.items():
            rows = _rows(value, layer_of(name, layers), order)
            if rows is not None:
                matched[name] = value[rows]
        return f"the file's {len(order)} classes are put into the model's order"
    for place, name in enumerate(here):
        if name in there and name != there[place] and there.count(name) == here.count(name) == 1:
            raise ValueError(
                f"class {place} is '{own[place]}' in the model's data set and '{theirs[place]}' in "
                f"{source}, where '{theirs[there.index(name)]}' is class {there.index(name)}: list "
                "the classes of the data set in the file's order"
            )
    return ""


def other_names(theirs: Sequence[str] | None, own: Sequence[str] | None) -> str:
    """Which classes have names that neither match nor contradict, where there are as many.

    They are taken for the same classes (:data:`TAKEN_AS_THE_SAME`), since data sets call the same
    class differently; whether they are, only the user can tell.

    Args:
        theirs, own: the names of the file's and of the model's classes; None if nobody knows.

    Returns:
        the count and the first such class; empty if there is none.
    """
    if not theirs or not own or len(theirs) != len(own):
        return ""
    there, here = [_plain(name) for name in theirs], [_plain(name) for name in own]
    different = [place for place, name in enumerate(here) if name != there[place]]
    if not different or sorted(there) == sorted(here):
        return ""
    first = different[0]
    return (
        f"{len(different)} of {len(own)} classes have other names in the file, such as class "
        f"{first}, '{theirs[first]}' there and '{own[first]}' in the data set"
    )


def taken_on_trust(
    theirs: Sequence[str] | None,
    own: Sequence[str] | None,
    loaded: Iterable[str],
    layers: Sequence[ClassLayer],
) -> str:
    """That a file with weights of classes does not name them; empty if it does or has none.

    Args:
        theirs, own: the names of the file's and of the model's classes; None if nobody knows.
        loaded: the model's names of what was loaded.
        layers: what depends on the classes, besides the general ones.
    """
    if theirs or not own or len(own) < 2 or not any(layer_of(name, layers) for name in loaded):
        return ""
    shown = ", ".join(f"{place} {name}" for place, name in enumerate(own[:3]))
    more = ", …" if len(own) > 3 else ""
    return (
        "the file does not name its classes: they are taken to be those of the data set in its "
        f"order ({shown}{more})"
    )


def all_other_names(theirs: Sequence[str] | None, own: Sequence[str] | None) -> bool:
    """Whether as many classes have no name in common: nothing shows that they are the same."""
    if not theirs or not own or len(theirs) != len(own):
        return False
    return not set(map(_plain, theirs)) & set(map(_plain, own))


def same_names(theirs: Sequence[str], own: Sequence[str]) -> bool:
    """Whether these are the same names in the same order, but for case and space."""
    return list(map(_plain, theirs)) == list(map(_plain, own))


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def _rows(value: Tensor, layer: ClassLayer | None, order: Sequence[int]) -> Tensor | None:
    """The rows of a class layer's weight or bias in the new order; None where it has none."""
    if layer is None or value.dim() == 0:
        return None
    if value.shape[0] != len(order) * layer.per_class + layer.extra:
        return None  # shared by all classes
    inner = torch.arange(layer.per_class)
    rows = torch.tensor(order)[:, None] * layer.per_class + inner
    others = torch.arange(len(order) * layer.per_class, value.shape[0])
    return torch.cat([rows.flatten(), others])
