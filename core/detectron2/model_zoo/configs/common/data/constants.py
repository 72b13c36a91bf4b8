"""Means and standard deviations of ImageNet's colours, on the scale of 0 to 255."""

_mean, _std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
constants = {
    "imagenet_rgb256_mean": list(_mean),
    "imagenet_rgb256_std": list(_std),
    "imagenet_bgr256_mean": list(_mean[::-1]),
    # The weights that Detectron1 and MSRA trained on BGR have the deviation in their first layer.
    "imagenet_bgr256_std": [1.0, 1.0, 1.0],
}
