"""Measures the time of each layer: --profile, and --trace for Chrome and Perfetto.

Both use untimed steps that TensorFlow traces. The time of an operation is on a GPU that of its
kernels, on a CPU that from its start to its end. Operations that run side by side are counted in
full, the gaps between them and the cost of session.run not at all, so the sum differs from the
time of the step.
"""
import json
import re
import statistics
from typing import Any, Dict, Iterable, List, Optional, Tuple

from common import files, graph
from common.tf1 import Timeline, tf

STEPS = 5                            # traced steps of a table
PIDS = 1000                          # above the number of processes in a trace

# The scope of the whole network, such as 'resnet_v2_152_1/', which slim puts before each layer's.
NETWORK = r'(?:(?:InceptionV3|resnet_v2_\d+)(?:_\d+)?/)*'
OTHER = 'other'                      # operations outside any layer
SCALAR = 8                           # bytes: the probability of dropout, a loss


def write_trace(path: str, session: tf.Session, passes: Iterable[Any], fetch: str, kind: str
                ) -> None:
    """Writes an untimed step of each of these passes into one Chrome trace."""
    files.write(path, chrome_trace([
        (timed_pass.info_string, trace(session, graph.fetches(timed_pass.target, fetch),
                                       timed_pass.feed_dict, kind)) for timed_pass in passes]))


def trace(session: tf.Session, target: Any, feed_dict: Optional[Dict[Any, Any]], kind: str) -> Any:
    """Runs `target` once on a device of that kind, 'gpu' or 'cpu'; returns TensorFlow's StepStats,
    with the kernels of a GPU."""
    return graph.trace(session, target, feed_dict, tf.RunOptions.FULL_TRACE if kind == 'gpu'
                          else tf.RunOptions.SOFTWARE_TRACE)


def chrome_trace(traces: Iterable[Tuple[str, Any]]) -> str:
    """Returns the JSON of a Chrome trace of (name, StepStats), each step starting at 0 in processes
    of its own, called 'NAME: ...'."""
    events = []
    for i, (name, step_stats) in enumerate(traces):
        step = json.loads(Timeline(step_stats).generate_chrome_trace_format())
        first_us = min([event['ts'] for event in step['traceEvents'] if 'ts' in event], default=0)
        for event in step['traceEvents']:
            event['pid'] += i * PIDS
            if 'ts' in event:
                event['ts'] -= first_us
            if event['name'] == 'process_name':
                event['args']['name'] = '%s: %s' % (name, event['args']['name'])
            if event['ph'] in 'stf':                     # an arrow, from tensor to tensor
                event['id'] += i * PIDS * PIDS
            events.append(event)
    return json.dumps({'traceEvents': events, 'displayTimeUnit': 'ms'})


def profile(session: tf.Session, target: Any, tensors: List[Any],
            feed_dict: Optional[Dict[Any, Any]], kind: str) -> List[Dict[str, Any]]:
    """Returns `layers` of a pass in the record, in the order of the graph: 'name', 'forward_s' and
    'backward_s' (means of STEPS steps), 'flops', and 'output_bytes' that other layers use.

    Args:
        target: what session.run is given, as in the timed steps.
        tensors: the tensors that the pass computes.
        kind: of the device, 'gpu' or 'cpu'.
    """
    ops = graph.needed_ops(tensors)
    steps = [_seconds(trace(session, target, feed_dict, kind), {op.name: layer(op) for op in ops})
             for _ in range(STEPS)]
    times = {key: statistics.mean(step.get(key, 0.0) for step in steps)
             for key in {key for step in steps for key in step}}
    flops, outputs_used = {}, {}                            # type: Dict[str, int], Dict[str, set]
    for op in ops:
        name = layer(op)
        flops[name] = flops.get(name, 0) + graph.flops(op)
        for t in op.inputs:
            if layer(t.op) != name and not _backward(t.op.name) and not graph.is_variable(t):
                outputs_used.setdefault(layer(t.op), set()).add(t)
    for t in tensors:
        if not _backward(t.op.name):
            outputs_used.setdefault(layer(t.op), set()).add(t)
    sizes = {name: sum(map(_size, outputs)) for name, outputs in outputs_used.items()}
    rows = {}                                            # type: Dict[str, Dict[str, Any]]
    rest = {'name': OTHER, 'forward_s': 0.0, 'backward_s': 0.0, 'flops': 0, 'output_bytes': 0}
    for name in dict.fromkeys(list(flops) + [OTHER]):
        row = {'name': name, 'forward_s': times.get((name, False), 0.0),
               'backward_s': times.get((name, True), 0.0), 'flops': flops.get(name, 0),
               'output_bytes': sizes.get(name, 0)}
        if name != OTHER and (row['flops'] or row['output_bytes'] > SCALAR):
            rows[name] = row
        else:
            rest['forward_s'] += row['forward_s']
            rest['backward_s'] += row['backward_s']
    return list(rows.values()) + [rest]


def layer(op: Any) -> str:
    """Returns the layer that an operation of the graph belongs to: conv1, lrn1, Mixed_5b,
    block3/unit_7. The sum of two gradients belongs to the layer of the first."""
    while op.type == 'AddN' and _backward(op.name):
        op = op.inputs[0].op
    return layer_of_name(op.name)


def layer_of_name(name: str) -> str:
    """Returns the layer that an operation of this name belongs to. TensorFlow's optimizers add to
    the names: gradients/conv2/Conv2D_grad/Conv2DBackpropInput-0-TransposeNHWCToNCHW is of conv2."""
    name = re.sub(r'^(?:ConstantFolding/)?(?:gradients(?:_\d+)?/)?' + NETWORK, '', name)
    return re.sub(r'(?:_grad|-\d.*)$', '', re.match(r'block\d+/unit_\d+|[^/]*', name).group())


def full_name(op: Any) -> Tuple[str, bool]:
    """Returns the innermost layer that an operation of the graph belongs to, such as conv1 or
    Mixed_5b/Branch_0/Conv2d_0a_1x1, and whether the operation is of the backward half."""
    while op.type == 'AddN' and _backward(op.name):
        op = op.inputs[0].op
    name, _, _ = re.sub(r'^(?:gradients(?:_\d+)?/)?' + NETWORK, '', op.name).partition('_grad/')
    return name.rpartition('/')[0] or name, _backward(op.name)


def _seconds(step_stats, layers):
    """{(layer, is_backward): seconds} of a traced step: of the GPU's kernels, if there are any,
    else of the operations as the executor ran them. `layers` has the layer of each operation's
    name."""
    streams = [device for device in step_stats.dev_stats if device.device.endswith('/stream:all')]
    totals = {}                                          # type: Dict[Tuple[str, bool], float]
    for device in streams or filter(graph.is_executor, step_stats.dev_stats):
        for node in device.node_stats:
            words = re.split(r'[:#@\s]+', node.node_name + ' ' + node.timeline_label)
            name = next((word for word in words if word in layers), words[0])
            key = layers.get(name) or layer_of_name(name), _backward(name)
            if key[0] not in layers.values():
                key = OTHER, False
            seconds = 1e-6 * (node.op_end_rel_micros - node.op_start_rel_micros)
            totals[key] = totals.get(key, 0.0) + seconds
    return totals


def _backward(name):
    return re.match(r'(?:ConstantFolding/)?gradients(?:_\d+)?/', name) is not None


def _size(tensor):
    return graph.size(tensor) if tensor.shape.is_fully_defined() else 0
