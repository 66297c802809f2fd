"""--profile: every operation is counted in the layer it belongs to."""
import collections
import json

import pytest
from tensorflow.core.framework import step_stats_pb2

import alexnet_benchmark
import resnet_v2_benchmark
from common import graph, report
from common.probes import layers as profiler

CPU = '/job:localhost/replica:0/task:0/device:CPU:0'
GPU = '/device:GPU:0/stream:'


@pytest.mark.parametrize('name, layer', [
    ('conv1', 'conv1'),
    ('conv1/Conv2D', 'conv1'),
    ('gradients/conv2/Conv2D_grad/Conv2DBackpropFilter', 'conv2'),
    ('gradients/conv2/Conv2D_grad/Conv2DBackpropInput-0-TransposeNHWCToNCHW-LayoutOptimizer',
     'conv2'),
    ('lrn1-0-TransposeNCHWToNHWC-LayoutOptimizer', 'lrn1'),
    ('gradients/lrn1_grad/LRNGrad', 'lrn1'),
    ('gradients_1/pool5_grad/MaxPoolGrad', 'pool5'),
    ('ConstantFolding/gradients/conv3/Conv2D_grad/ShapeN-matshapes-1', 'conv3'),
    ('InceptionV3/InceptionV3/Mixed_5b/Branch_0/Conv2d_0a_1x1/Conv2D', 'Mixed_5b'),
    ('gradients/InceptionV3_1/InceptionV3/Conv2d_1a_3x3/Relu_grad/ReluGrad', 'Conv2d_1a_3x3'),
    ('InceptionV3/AuxLogits/Conv2d_1b_1x1/weights/read', 'AuxLogits'),
    ('resnet_v2_152/block3/unit_7/bottleneck_v2/add', 'block3/unit_7'),
    ('gradients/resnet_v2_50_1/block1/unit_1/bottleneck_v2/add_grad/Sum', 'block1/unit_1'),
    ('resnet_v2_152_1/postnorm/FusedBatchNorm', 'postnorm'),
])
def test_the_layer_of_an_operation(name, layer):
    assert profiler.layer_of_name(name) == layer


def profiled(timed, session_of, script, flags, name, **replaced):
    found = timed(script, flags, **replaced)
    one = found.passes[name]
    with session_of(found.graph) as session:
        with found.graph.as_default():
            session.run([variable.initializer for variable in found.graph.get_collection(
                'variables')])
        return one, profiler.profile(session, one.target, one.tensors, one.feed_dict, 'cpu')


@pytest.mark.parametrize('name', ['Forward', 'Forward-backward'])
def test_alexnet_by_layer(timed, cpu_session, name):
    one, layers = profiled(timed, cpu_session, alexnet_benchmark, ['--batch_size', '2'], name)
    by_name = collections.OrderedDict((layer['name'], layer) for layer in layers)
    order = ['conv1', 'lrn1', 'pool1', 'conv2', 'lrn2', 'pool2', 'conv3', 'conv4', 'conv5', 'pool5']
    assert [name for name in by_name if name in order] == order
    assert list(by_name) == order + [profiler.OTHER]
    assert sum(layer['flops'] for layer in layers) == sum(
        map(graph.flops, graph.needed_ops(one.tensors)))
    backward = name != 'Forward'
    for layer in order:
        assert by_name[layer]['forward_s'] > 0
        assert (by_name[layer]['backward_s'] > 0) == backward
    assert by_name['conv1']['output_bytes'] == 4 * 2 * 56 * 56 * 64
    assert by_name['pool2']['output_bytes'] == 4 * 2 * 13 * 13 * 192
    assert by_name['pool5']['output_bytes'] == 4 * 2 * 6 * 6 * 256


@pytest.mark.slow
def test_the_units_of_resnet(timed, cpu_session):
    _, layers = profiled(timed, cpu_session, resnet_v2_benchmark,
                         ['--depth', '50', '--batch_size', '1'], 'Forward', IMAGE_SIZE=64)
    names = [layer['name'] for layer in layers if layer['name'].startswith('block')]
    assert names == ['block%d/unit_%d' % (block, unit) for block, units in
                     enumerate([3, 4, 6, 3], 1) for unit in range(1, units + 1)]
    unit = next(layer for layer in layers if layer['name'] == 'block2/unit_1')
    assert unit['output_bytes'] == 4 * 8 * 8 * 512


def step_stats(**devices):
    """StepStats of devices, whose nodes are (name, label, milliseconds)."""
    found = step_stats_pb2.StepStats()
    for device, nodes in devices.items():
        stats = found.dev_stats.add(device={'cpu': CPU, 'all': GPU + 'all', 'one': GPU + '13'}[
            device])
        for name, label, ms in nodes:
            stats.node_stats.add(node_name=name, timeline_label=label, all_start_micros=5000,
                                 op_start_rel_micros=10, op_end_rel_micros=10 + 1000 * ms)
    return found


def test_on_a_gpu_its_kernels_count_once():
    kernels = [('conv1/Conv2D:Conv2D', 'cudnn::kernel @@conv1/Conv2D', 3),
               ('lrn1:LRN', 'id=1,device=GPU', 2),
               ('gradients/lrn1_grad/LRNGrad:LRNGrad', 'a_kernel', 4),
               ('MEMCPYDtoH', 'edge_7_x', 1)]
    found = step_stats(all=kernels, one=kernels, cpu=[('conv1/Conv2D', 'launch', 1)])
    seconds = profiler._seconds(found, {'conv1/Conv2D': 'conv1', 'lrn1': 'lrn1'})
    assert seconds == pytest.approx({('conv1', False): 0.003, ('lrn1', False): 0.002,
                                     ('lrn1', True): 0.004, (profiler.OTHER, False): 0.001})


def test_a_trace_has_each_pass_from_zero_on_in_processes_of_its_own():
    nodes = [('conv1', 'conv1 = Conv2D(images)', 2), ('pool1', 'pool1 = MaxPool(conv1)', 1)]
    trace = json.loads(profiler.chrome_trace([('Forward', step_stats(cpu=nodes)),
                                              ('Forward-backward', step_stats(cpu=nodes))]))
    events = [event for event in trace['traceEvents'] if event['ph'] == 'X']
    assert [event['args']['name'] for event in events] == ['conv1', 'pool1'] * 2
    pids = [event['pid'] for event in events]
    assert pids[0] == pids[1] != pids[2] == pids[3]
    assert [event['ts'] for event in events] == [0, 0, 0, 0]
    names = {event['args']['name'] for event in trace['traceEvents']
             if event['name'] == 'process_name'}
    assert {name.partition(':')[0] for name in names} == {'Forward', 'Forward-backward'}


def test_the_sum_is_held_against_the_timed_step():
    keys = 'name', 'forward_s', 'backward_s', 'flops', 'output_bytes'
    layers = [dict(zip(keys, ('conv1', 0.002, 0.004, 3 * 10 ** 9, 10 ** 6))),
              dict(zip(keys, ('lrn1', 0.001, 0.001, 0, 10 ** 6)))]
    entry = {'info_string': 'Forward-backward', 'layers': layers, 'mean_s': 0.010,
             'flops': 3 * 10 ** 9, 'precision': 'float32'}
    lines = report.profile(entry)
    assert lines[1].split() == ['layer', 'forward', 'ms', 'backward', 'ms', 'share', 'GFLOP',
                                'TFLOP', '/', 's', 'output', 'MB']
    assert lines[2].split() == ['conv1', '2.000', '4.000', '75.0', '%', '3.000', '0.500', '1.000']
    assert lines[3].split() == ['lrn1', '1.000', '1.000', '25.0', '%', '1.000']
    assert lines[4].split() == ['sum', '3.000', '5.000', '100.0', '%', '3.000', '0.375']
    assert 'The sum differs by -20.0 % from the timed step, 10.000 ms' in lines[5]


def test_a_run_prints_the_table_and_writes_the_trace(tmp_path, capsys):
    trace, written = tmp_path / 'trace.json', tmp_path / 'record.json'
    assert alexnet_benchmark.main(
        ['--device', 'cpu', '--batch_size', '1', '--num_batches', '2', '--num_steps_burn_in', '1',
         '--profile', '--trace', str(trace), '--json', str(written)]) == 0
    out = capsys.readouterr().out
    assert 'Forward by layer, from untimed, traced steps:' in out
    assert 'Forward-backward by layer' in out
    for result in json.loads(written.read_text())['results']:
        assert 'lrn1' in [layer['name'] for layer in result['layers']]
    events = json.loads(trace.read_text())['traceEvents']
    assert {'lrn1', 'gradients/lrn1_grad/LRNGrad'} <= {
        event['args']['name'] for event in events if 'name' in event.get('args', {})}


@pytest.mark.parametrize('flags, why', [
    (['--profile', '--xla'], '--profile: not allowed with --xla'),
    (['--trace', '/nowhere/trace.json'], 'argument --trace: cannot write'),
])
def test_what_cannot_be_shown_is_bad_usage(flags, why, capsys):
    assert alexnet_benchmark.main(['--device', 'cpu'] + flags) == 2
    assert why in capsys.readouterr().err
