"""Scripting of whole models, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

(
    _add_instances_conversion_methods, _clear_jit_cache, _gen_instance_class, _gen_instance_module,
    _import, freeze_training_mode, patch_builtin_len, patch_instances, patch_nonscriptable_classes,
) = unavailable(
    __name__, 'scripting of whole models',
    "_add_instances_conversion_methods _clear_jit_cache _gen_instance_class _gen_instance_module",
    "_import freeze_training_mode patch_builtin_len patch_instances patch_nonscriptable_classes",
)  # fmt: skip
_counter = 0
