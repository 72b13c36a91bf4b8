"""Losses and schedules of semantic segmentation, pixel by pixel and step by step."""

import math

import torch
from torch import Tensor


def cross_entropy(logits: Tensor, labels: Tensor, ignored: int) -> list[list[float]]:
    """-log of the softmax at the label for each image and pixel; None where it is ignored."""
    values: list[list[float]] = []
    for image, truth in zip(logits, labels, strict=True):
        surprise = []
        for row in range(truth.shape[0]):
            for column in range(truth.shape[1]):
                label = int(truth[row, column])
                scores = [float(score) for score in image[:, row, column]]
                if label == ignored:
                    surprise.append(math.nan)
                else:
                    total = sum(math.exp(score) for score in scores)
                    surprise.append(-math.log(math.exp(scores[label]) / total))
        values.append(surprise)
    return values


def dice(logits: Tensor, labels: Tensor, ignored: int, per_class: bool, eps: float) -> float:
    """The mean over images (and the classes in them) of 1 - 2 |p t| / (|p|^2 + |t|^2)."""
    losses = []
    for image, truth in zip(logits, labels, strict=True):
        probabilities = torch.exp(image) / torch.exp(image).sum(0)
        sums = {label: [0.0, 0.0, 0.0] for label in range(len(image))}
        for row in range(truth.shape[0]):
            for column in range(truth.shape[1]):
                if int(truth[row, column]) == ignored:
                    continue
                for label, (overlap, predicted, true) in sums.items():
                    p = float(probabilities[label, row, column])
                    t = float(int(truth[row, column]) == label)
                    sums[label] = [overlap + p * t, predicted + p * p, true + t]
        groups = list(sums.values())
        if not per_class:
            groups = [[sum(values) for values in zip(*groups, strict=True)]]
        for overlap, predicted, true in groups:
            if true > 0:
                losses.append(1 - 2 * overlap / (predicted + true + 2 * eps))
    return sum(losses) / max(len(losses), 1)


def poly_rates(rate: float, floor: float, power: float, iterations: int) -> list[float]:
    """The learning rate at every iteration, each from the one before as the reference has it."""
    rates = [rate]
    for step in range(1, iterations):
        shrink = (1 - 1 / (iterations - step + 1)) ** power
        rates.append((rates[-1] - floor) * shrink + floor)
    return rates
