"""CondInst (arXiv 2003.05664) word for word: one instance, one location at a time."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass
class Truth:
    """An image's ground truth: boxes (M, 4), classes (M,), masks (M, H, W) of the padded image."""

    boxes: Tensor
    classes: Tensor
    masks: Tensor


def enlarge(x: Tensor, factor: int) -> Tensor:
    """(H, W) -> (f H, f W): output cell o is input position (o - f // 2) / f."""

    def positions(length: int) -> tuple[Tensor, Tensor, Tensor]:
        place = (torch.arange(factor * length) - factor // 2).to(x.dtype) / factor
        place = place.clamp(0, length - 1)
        low = place.floor().long()
        return low, (low + 1).clamp(max=length - 1), place - low

    top, bottom, down = positions(x.shape[0])
    left, right, across = positions(x.shape[1])
    rows = x[top] * (1 - down)[:, None] + x[bottom] * down[:, None]
    return rows[:, left] * (1 - across) + rows[:, right] * across


def interpolated(x: Tensor, factor: int) -> Tensor:
    """The same of (I, H, W), in the usual form: resizing between frames and cutting."""
    height, width = x.shape[-2:]
    framed = F.pad(x[:, None], (0, 1, 0, 1), mode="replicate")
    size = (factor * height + 1, factor * width + 1)
    fine = F.interpolate(framed, size=size, mode="bilinear", align_corners=True)
    half = factor // 2
    return F.pad(fine, (half, 0, half, 0), mode="replicate")[:, 0, : size[0] - 1, : size[1] - 1]


def instance_mask(
    features: Tensor, parameters: Tensor, point: Tensor, level_stride: float, stride: int
) -> Tensor:
    """Logits (H, W) of one instance: features (8, H, W), its 169 parameters, its location."""
    height, width = features.shape[-2:]
    inputs = torch.zeros(2, height, width, dtype=features.dtype)
    for row in range(height):
        for column in range(width):
            inputs[0, row, column] = (point[0] - (column + 0.5) * stride) / (level_stride * 8)
            inputs[1, row, column] = (point[1] - (row + 0.5) * stride) / (level_stride * 8)
    x = torch.cat([inputs, features])[None]
    x = F.conv2d(x, parameters[:80].view(8, 10, 1, 1), parameters[152:160]).relu()
    x = F.conv2d(x, parameters[80:144].view(8, 8, 1, 1), parameters[160:168]).relu()
    return F.conv2d(x, parameters[144:152].view(1, 8, 1, 1), parameters[168:169])[0, 0]


def repeated_masks(
    features: Tensor, parameters: Tensor, points: Tensor, sizes: Tensor, stride: int
) -> Tensor:
    """The usual form: features are repeated for each of I instances, convolutions have I groups.

    Args:
        features: (8, H, W).
        parameters: (I, 169).
        points: (I, 2).
        sizes: (I,) pixels of one unit of relative coordinates.
        stride: of the features.

    Returns:
        (I, H, W) logits.
    """
    count, (height, width) = len(parameters), features.shape[-2:]
    x = (torch.arange(width, device=features.device) + 0.5) * stride
    y = (torch.arange(height, device=features.device) + 0.5) * stride
    cells = torch.stack([x.expand(height, width), y[:, None].expand(height, width)])
    relative = (points[:, :, None, None] - cells) / sizes[:, None, None, None]
    repeated = features.expand(count, -1, -1, -1)
    hidden = torch.cat([relative, repeated], dim=1).reshape(1, -1, height, width)
    sections = [80, 64, 8, 8, 8, 1]
    first, second, third, *biases = parameters.split(sections, dim=1)
    for weight, bias, outputs in ((first, biases[0], 8), (second, biases[1], 8)):
        weight = weight.reshape(count * outputs, -1, 1, 1)
        hidden = F.relu(F.conv2d(hidden, weight, bias.reshape(-1), groups=count))
    weight = third.reshape(count, 8, 1, 1)
    return F.conv2d(hidden, weight, biases[2].reshape(-1), groups=count)[0]


def center(box: Tensor, mask: Tensor) -> tuple[float, float]:
    """x and y of the mask's centroid; of the box's centre where there is no mask."""
    rows, columns = mask.nonzero().double().unbind(1)
    if len(rows) == 0:
        return float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    return float(columns.mean()), float(rows.mean())


def learns(
    x: float, y: float, level: int, strides: Sequence[int], truth: Truth, radius: float = 1.5
) -> int:
    """The instance that a location of a level learns, -1 for none."""
    stride = strides[level]
    low = 0.0 if level == 0 else 4.0 * stride
    high = math.inf if level == len(strides) - 1 else 8.0 * stride
    best, best_area = -1, math.inf
    for index, (box, mask) in enumerate(zip(truth.boxes, truth.masks, strict=True)):
        x0, y0, x1, y1 = box.tolist()
        sides = (x - x0, y - y0, x1 - x, y1 - y)
        center_x, center_y = center(box, mask)
        near = abs(x - center_x) < radius * stride and abs(y - center_y) < radius * stride
        area = (x1 - x0) * (y1 - y0)
        if min(sides) > 0 and near and low <= max(sides) <= high and area < best_area:
            best, best_area = index, area
    return best


def overlap_loss(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - GIoU of two boxes around a common point, given as distances to their sides."""
    left, top, right, bottom = found
    other_left, other_top, other_right, other_bottom = wanted
    width = torch.minimum(left, other_left) + torch.minimum(right, other_right)
    height = torch.minimum(top, other_top) + torch.minimum(bottom, other_bottom)
    common = width.clamp(min=0) * height.clamp(min=0)
    area = (left + right) * (top + bottom)
    other_area = (other_left + other_right) * (other_top + other_bottom)
    union = area + other_area - common
    hull_width = torch.maximum(left, other_left) + torch.maximum(right, other_right)
    hull_height = torch.maximum(top, other_top) + torch.maximum(bottom, other_bottom)
    hull = hull_width * hull_height
    return 1 - (common / union - (hull - union) / hull)


def focal(logit: Tensor, wanted: bool) -> Tensor:
    """The focal loss of one class at one place, alpha 0.25, gamma 2."""
    probability = logit.sigmoid()
    if wanted:
        return -0.25 * (1 - probability) ** 2 * F.logsigmoid(logit)
    return -0.75 * probability**2 * F.logsigmoid(-logit)


def dice(logits: Tensor, mask: Tensor) -> Tensor:
    """The dice loss of one mask."""
    probability, target = logits.sigmoid().flatten(), mask.flatten().to(logits.dtype)
    overlap = (probability * target).sum()
    return 1 - 2 * overlap / ((probability**2).sum() + (target**2).sum() + 1e-5)


def dice_sum(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The same of all masks (I, …) at once."""
    probabilities, targets = probabilities.flatten(1), targets.flatten(1).to(probabilities.dtype)
    both = (probabilities * targets).sum(dim=1)
    sizes = (probabilities**2).sum(dim=1) + (targets**2).sum(dim=1)
    return (1 - 2 * both / (sizes + 1e-5)).sum()


def losses(
    predictions: Sequence[Sequence[Tensor]],
    mask_features: Tensor,
    strides: Sequence[int],
    truths: Sequence[Truth],
) -> dict[str, Tensor]:
    """The four losses of a batch whose masks all train.

    Args:
        predictions: class logits, distances in strides, centerness logits and parameters, a list
            of one (N, …, Hi, Wi) tensor a level each.
        mask_features: (N, 8, H, W) at stride 8; masks are compared at stride 4.
        strides: of the levels.
        truths: an image each.
    """
    zero = mask_features.new_zeros(())
    totals = dict.fromkeys(("loss_cls", "loss_box_reg", "loss_centerness", "loss_mask"), zero)
    count, weights = 0, zero
    for image, truth in enumerate(truths):
        for level, stride in enumerate(strides):
            logits, distances, centers, parameters = (kind[level][image] for kind in predictions)
            for row in range(logits.shape[1]):
                for column in range(logits.shape[2]):
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    instance = learns(x, y, level, strides, truth)
                    wanted = int(truth.classes[instance]) if instance >= 0 else -1
                    for index, logit in enumerate(logits[:, row, column]):
                        totals["loss_cls"] = totals["loss_cls"] + focal(logit, index == wanted)
                    if instance < 0:
                        continue
                    x0, y0, x1, y1 = truth.boxes[instance].to(zero.dtype)
                    sides = torch.stack([x - x0, y - y0, x1 - x, y1 - y]) / stride
                    ratio = [sides[[a, b]].min() / sides[[a, b]].max() for a, b in ((0, 2), (1, 3))]
                    weight = (ratio[0] * ratio[1]).sqrt()
                    count, weights = count + 1, weights + weight
                    overlap = overlap_loss(distances[:, row, column], sides)
                    totals["loss_box_reg"] = totals["loss_box_reg"] + weight * overlap
                    totals["loss_centerness"] = totals["loss_centerness"] + (
                        F.binary_cross_entropy_with_logits(centers[0, row, column], weight)
                    )
                    point = torch.tensor([x, y], dtype=zero.dtype)
                    own = parameters[:, row, column]
                    mask = instance_mask(mask_features[image], own, point, stride, 8)
                    target = truth.masks[instance][2::4, 2::4]
                    totals["loss_mask"] = totals["loss_mask"] + dice(enlarge(mask, 2), target)
    divisors = dict.fromkeys(totals, max(count, 1)) | {"loss_box_reg": weights.clamp(min=1e-6)}
    return {name: value / divisors[name] for name, value in totals.items()}


def fair_share(instances: Sequence[int], images: Sequence[int], limit: int) -> dict:
    """How many locations each (image, instance) may train masks with, dealt out one at a time."""
    left: dict[tuple[int, int], int] = {}
    for image, instance in zip(images, instances, strict=True):
        left[image, instance] = left.get((image, instance), 0) + 1
    given = dict.fromkeys(left, 0)
    for _ in range(min(limit, len(instances))):
        open_ones = [key for key in left if left[key] > given[key]]

        def of_image(image: int) -> int:
            return sum(number for key, number in given.items() if key[0] == image)

        poorest = min(open_ones, key=lambda key: (of_image(key[0]), key[0], given[key], key[1]))
        given[poorest] += 1
    return given
