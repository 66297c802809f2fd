"""Counts the parameters and multiply-adds of a network on its graph, and traces its steps.

The multiply-adds come from the registry of floating point operations in TensorFlow's profiler, for
each convolution and matrix product that a target needs. One multiply-add is 2 FLOP. Biases, ReLU,
pooling, LRN and batch norm are not counted, as in the papers' tables. Each gradient of a
convolution is counted like the convolution itself: the registry divides the size of the input by
the stride, which is wrong where padding is VALID.
"""
from typing import Any, Dict, Iterable, List, Optional

from common.tf1 import get_stats_for_node_def, tf

CONVOLUTIONS = ('Conv2D', 'Conv2DBackpropFilter', 'Conv2DBackpropInput')
COUNTED = CONVOLUTIONS + ('MatMul',)


def needed_ops(targets: Iterable[Any]) -> List[Any]:
    """Returns the operations that a run of `targets` (tensors or operations) needs, in the order
    of the graph."""
    stack = [getattr(target, 'op', target) for target in targets]
    graph = stack[0].graph
    needed = set(stack)
    while stack:
        op = stack.pop()
        for before in [t.op for t in op.inputs] + op.control_inputs:
            if before not in needed:
                needed.add(before)
                stack.append(before)
    return [op for op in graph.get_operations() if op in needed]


def flops(op: Any) -> int:
    """Returns the floating point operations of a convolution or matrix product, 0 for others."""
    if op.type not in COUNTED:
        return 0
    if op.type != 'Conv2D' and op.type in CONVOLUTIONS:
        per_output = kernel_shape(op)[:3].num_elements()         # height x width x input channels
        return 2 * per_output * op.inputs[2].shape.num_elements()
    return int(get_stats_for_node_def(op.graph, op.node_def, 'flops').value)


def kernel_shape(op: Any) -> Any:
    """Returns the shape of the kernel of a convolution or of one of its gradients: height, width,
    input channels, output channels."""
    return (op.outputs[0] if op.type == 'Conv2DBackpropFilter' else op.inputs[1]).shape


def fetches(target: Any, fetch: str) -> Any:
    """Returns what session.run is given: the tensors themselves ('tensors'), or the operations
    that compute them ('ops'), which run without copying the results to the host.

    tf.group would not do: Grappler's dependency optimizer in TensorFlow 1.15 removes it.
    """
    if fetch == 'tensors':
        return target
    return [t.op for t in (target if isinstance(target, list) else [target])]


def trace(session: tf.Session, target: Any, feed_dict: Optional[Dict] = None,
          level: int = tf.RunOptions.SOFTWARE_TRACE) -> Any:
    """Runs `target` once, untimed; returns TensorFlow's StepStats: the operations executed on each
    device, with their times."""
    metadata = tf.RunMetadata()
    session.run(target, feed_dict=feed_dict, run_metadata=metadata,
                options=tf.RunOptions(trace_level=level))
    return metadata.step_stats


def is_executor(device: Any) -> bool:
    """Returns whether a device of StepStats is one on which the executor runs operations; the GPU
    tracer adds streams and memcpy."""
    return device.device.startswith('/job:') and '/stream:' not in device.device \
        and 'memcpy' not in device.device


def network(forward: Any, parameters: List[Any], batch_size: int) -> Dict[str, Any]:
    """Describes a network.

    Args:
        forward: the tensor of its forward pass.
        parameters: its trainable variables.
        batch_size: of the graph.

    Returns:
        {'parameters': trainable parameters, 'flops': FLOP of a forward pass per image,
        'layers': one {'name', 'type', 'output_shape', 'parameters', 'flops' per image} for each
        scope that holds parameters, in the order of the graph}
    """
    layers = {}                                          # name -> layer; scopes in graph order
    for op in needed_ops([forward]):
        if op.type in ('Conv2D', 'MatMul'):
            name = _scope(_variable_name(op.inputs[1]))
            layers[name] = {'name': name, 'type': op.type,
                            'output_shape': op.outputs[0].shape.as_list(), 'parameters': 0,
                            'flops': flops(op) // batch_size}
    for variable in parameters:
        name = _scope(variable.op.name)
        while name not in layers and _scope(name) in layers:
            name = _scope(name)                          # conv1/BatchNorm belongs to conv1
        if name not in layers:                           # such as ResNet's preact
            layers[name] = {'name': name, 'type': 'BatchNorm', 'output_shape': None,
                            'parameters': 0, 'flops': 0}
        layers[name]['parameters'] += variable.shape.num_elements()
    return {'parameters': sum(layer['parameters'] for layer in layers.values()),
            'flops': sum(layer['flops'] for layer in layers.values()),
            'layers': list(layers.values())}


def _variable_name(tensor):
    """Follows the read operations of a weight back to its variable."""
    op = tensor.op
    while op.inputs:
        op = op.inputs[0].op
    return op.name


def _scope(name):
    return name.rpartition('/')[0]


def layers_that_run(targets: Iterable[Any]) -> Dict[str, Any]:
    """Returns which optional layers, by which published networks differ, run in a step.

    Returns:
        {'lrn', 'fully_connected', 'dropout': whether; 'batch_norm': 'batch' (statistics of the
        batch), 'moving' (moving averages) or None}
    """
    ops = needed_ops(targets)
    types = {op.type for op in ops}
    norms = {op.get_attr('is_training') for op in ops if op.type.startswith('FusedBatchNorm')
             and 'Grad' not in op.type}
    return {'lrn': 'LRN' in types, 'fully_connected': 'MatMul' in types,
            'dropout': any(op.type == 'RandomUniform' and 'drop' in op.name.lower() for op in ops),
            'batch_norm': ('batch' if True in norms else 'moving') if norms else None}


def size(tensor: Any) -> int:
    """Returns the bytes of a tensor of static shape."""
    return tensor.shape.num_elements() * tensor.dtype.base_dtype.size


def is_variable(tensor: Any) -> bool:
    """Returns whether a tensor is the value of a variable, which needs no memory of its own."""
    return tensor.op.type in ('Identity', 'ReadVariableOp') and tensor.op.inputs[0].op.type in (
        'VariableV2', 'VarHandleOp')
