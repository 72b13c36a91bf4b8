"""Caffe2 export, left out: see ``detectron2.utils.unavailable``."""

from detectron2.utils.unavailable import unavailable

_NAMES = (
    "to_device BilinearInterpolation onnx_compatibale_interpolate "
    "mock_torch_nn_functional_interpolate ScopedWS fetch_any_blob get_pb_arg get_pb_arg_valf "
    "get_pb_arg_floats get_pb_arg_ints get_pb_arg_vali get_pb_arg_vals get_pb_arg_valstrings "
    "check_set_pb_arg create_const_fill_op construct_init_net_from_params get_producer_map "
    "get_consumer_map get_params_from_init_net infer_device_type save_graph save_graph_base "
    "group_norm_replace_aten_with_caffe2 alias fuse_alias_placeholder "
    "IllegalGraphTransformError rename_op_input rename_op_output "
    "get_sub_graph_external_input_output DiGraph identify_reshape_sub_graph "
    "remove_reshape_for_fc fuse_copy_between_cpu_and_gpu remove_dead_end_ops"
)
(
    to_device,
    BilinearInterpolation,
    onnx_compatibale_interpolate,
    mock_torch_nn_functional_interpolate,
    ScopedWS,
    fetch_any_blob,
    get_pb_arg,
    get_pb_arg_valf,
    get_pb_arg_floats,
    get_pb_arg_ints,
    get_pb_arg_vali,
    get_pb_arg_vals,
    get_pb_arg_valstrings,
    check_set_pb_arg,
    create_const_fill_op,
    construct_init_net_from_params,
    get_producer_map,
    get_consumer_map,
    get_params_from_init_net,
    infer_device_type,
    save_graph,
    save_graph_base,
    group_norm_replace_aten_with_caffe2,
    alias,
    fuse_alias_placeholder,
    IllegalGraphTransformError,
    rename_op_input,
    rename_op_output,
    get_sub_graph_external_input_output,
    DiGraph,
    identify_reshape_sub_graph,
    remove_reshape_for_fc,
    fuse_copy_between_cpu_and_gpu,
    remove_dead_end_ops,
) = unavailable(__name__, "Caffe2 export", _NAMES)
