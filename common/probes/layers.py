"""Measures the time of each layer: --profile, and --trace for Chrome and Perfetto.

Both use untimed steps that TensorFlow traces. The time of an operation is on a GPU that of its
kernels, on a CPU that from its start to its end. Operations that run side by side are counted in
full, the gaps between them and the cost of session.run not at all, so the sum differs from the
time of the step.
"""
import json
import re
from typing import Any, Dict, Iterable, List, Optional, Tuple

from common import files, graph
from common.tf1 import Timeline, tf

STEPS = 5                            # traced steps of a table
PIDS = 1000                          # above the number of processes in a trace

# What may stand before the name of a layer: 'gradients/', and the scope of the whole network, such
# as 'resnet_v2_152_1/', which slim puts there.
PREFIX = (r'^(?:ConstantFolding/)?(?:gradients(?:_\d+)?/)?'
          r'(?:(?:InceptionV3|resnet_v2_\d+)(?:_\d+)?/)*')
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
    layers = {op.name: layer(op) for op in ops}
    rows = {name: {'name': name, 'forward_s': 0.0, 'backward_s': 0.0, 'flops': 0, 'output_bytes': 0}
            for name in [*layers.values(), OTHER]}       # type: Dict[str, Dict[str, Any]]
    for _ in range(STEPS):
        seconds = _seconds(trace(session, target, feed_dict, kind), layers)
        for (name, is_backward), seconds_of_layer in seconds.items():
            rows[name]['backward_s' if is_backward else 'forward_s'] += seconds_of_layer / STEPS
    used_elsewhere = {t for op in ops for t in op.inputs if layers[t.op.name] != layers[op.name]
                      and not graph.is_variable(t)}
    for op in ops:
        rows[layers[op.name]]['flops'] += graph.flops(op)
    for t in used_elsewhere.union(tensors):
        if not _is_backward(t.op.name) and t.shape.is_fully_defined():
            rows[layers[t.op.name]]['output_bytes'] += graph.size(t)
    rest = rows.pop(OTHER)
    for name, row in list(rows.items()):
        if not row['flops'] and row['output_bytes'] <= SCALAR:
            rest['forward_s'] += row['forward_s']
            rest['backward_s'] += row['backward_s']
            del rows[name]
    return list(rows.values()) + [rest]


def layer(op: Any) -> str:
    """Returns the layer that an operation of the graph belongs to: conv1, lrn1, Mixed_5b,
    block3/unit_7. The sum of two gradients belongs to the layer of the first."""
    return layer_of_name(_summed(op).name)


def layer_of_name(name: str) -> str:
    """Returns the layer that an operation of this name belongs to. TensorFlow's optimizers add to
    the names: gradients/conv2/Conv2D_grad/Conv2DBackpropInput-0-TransposeNHWCToNCHW is of conv2."""
    name = re.sub(PREFIX, '', name)
    return re.sub(r'(?:_grad|-\d.*)$', '', re.match(r'block\d+/unit_\d+|[^/]*', name).group())


def full_name(op: Any) -> Tuple[str, bool]:
    """Returns the innermost layer that an operation of the graph belongs to, such as conv1 or
    Mixed_5b/Branch_0/Conv2d_0a_1x1, and whether the operation is of the backward half."""
    op = _summed(op)
    name, _, _ = re.sub(PREFIX, '', op.name).partition('_grad/')
    return name.rpartition('/')[0] or name, _is_backward(op.name)


def _summed(op):
    """The first of the gradients that an AddN of the backward half adds up; else the operation."""
    while op.type == 'AddN' and _is_backward(op.name):
        op = op.inputs[0].op
    return op


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
            key = layers.get(name) or layer_of_name(name), _is_backward(name)
            if key[0] not in layers.values():
                key = OTHER, False
            seconds = 1e-6 * (node.op_end_rel_micros - node.op_start_rel_micros)
            totals[key] = totals.get(key, 0.0) + seconds
    return totals


def _is_backward(name):
    return re.match(r'(?:ConstantFolding/)?gradients(?:_\d+)?/', name) is not None
