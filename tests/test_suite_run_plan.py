"""suite run: what it plans."""
import os
import sys

import pytest

from common import chapter, networks
from suite.run import command, plan

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def planned(*flags, device='gpu'):
    return plan.make(command.argument_parser().parse_args(['--fetch', 'tensors', *flags]), device)


def test_what_the_chapter_times_in_order():
    runs = planned()[:5]                                 # those of other networks follow
    assert [run.name for run in runs] == [
        'alexnet-lrn-tensors-b32', 'alexnet-no_lrn-tensors-b32', 'vgg16-D-tensors-b32',
        'inception_v3-aux-tensors-b32', 'resnet_v2-152-tensors-b32']
    assert {(run.benchmark, run.variant) for run in runs} == {
        (figure['benchmark'], figure['variant']) for figure in chapter.figures()}
    assert all(os.path.exists(run.command[1]) for run in runs)
    assert runs[2].command == [
        sys.executable, os.path.relpath(os.path.join(ROOT, 'vgg16_benchmark.py')),
        '--batch_size', '32', '--num_batches', '100', '--num_steps_burn_in', '10',
        '--device', 'gpu', '--fetch', 'tensors', '--configuration', 'D']


@pytest.mark.parametrize('flags, names', [
    (['--only', 'vgg16', 'alexnet'],
     ['alexnet-lrn-tensors-b32', 'alexnet-no_lrn-tensors-b32', 'vgg16-D-tensors-b32']),
    (['--only', 'resnet_v2', '--variants'], ['resnet_v2-%s-tensors-b32' % depth
                                             for depth in (152, 50, 101, 200)]),
    (['--only', 'alexnet', '--variants', '--fetch', 'ops'],
     ['alexnet-lrn-ops-b32', 'alexnet-no_lrn-ops-b32', 'alexnet-lrn_fc-ops-b32',
      'alexnet-no_lrn_fc-ops-b32']),
    (['--only', 'vgg16', '--fetch', 'both'], ['vgg16-D-tensors-b32', 'vgg16-D-ops-b32']),
    (['--only', 'vgg16', '--fetch', 'both', '--repeat', '2', '--batch-size', '8'],
     ['vgg16-D-tensors-b8', 'vgg16-D-ops-b8', 'vgg16-D-tensors-b8-r2', 'vgg16-D-ops-b8-r2']),
    (['--only', 'vgg16', '--sweep'], ['vgg16-D-tensors-b%d' % 2 ** i for i in range(17)]),
    (['--only', 'vgg16', '--precision', 'mixed'], ['vgg16-D-tensors-mixed-b32']),
    (['--only', 'vgg16', '--precision', 'tf32', '--xla', '--repeat', '2'],
     ['vgg16-D-tensors-tf32-xla-b32', 'vgg16-D-tensors-tf32-xla-b32-r2']),
    (['--only', 'vgg16', '--xla', '--precision', 'float32'], ['vgg16-D-tensors-xla-b32']),
    (['--only', 'inception_v3', '--protocol', 'quick'], ['inception_v3-aux-tensors-b32'])])
def test_planning(flags, names):
    assert [run.name for run in planned(*flags)] == names


@pytest.mark.parametrize('device, flags, fetches', [
    ('gpu', [], ['tensors', 'ops']), ('cpu', [], ['tensors']),
    ('gpu', ['--fetch', 'ops'], ['ops'])])
def test_a_gpu_is_timed_with_and_without_the_copy(device, flags, fetches):
    args = command.argument_parser().parse_args(['--only', 'vgg16', *flags])
    assert [run.options['fetch'] for run in plan.make(args, device)] == fetches


def test_the_quick_protocol_times_what_the_chapter_did_but_for_one_pass():
    """The other is VGG's forward-backward pass, for its time."""
    timed = {(run.benchmark, run.variant, name) for run in planned(device='cpu')
             for name in networks.PASSES[:1 if '--forward_only' in run.command else 2]}
    published = {(figure['benchmark'], figure['variant'], figure['info_string'])
                 for figure in chapter.figures()}
    assert published - timed == {('vgg16', 'D', 'Forward-backward')} and timed < published


def test_all_variants_of_the_table_have_names_of_their_own():
    variants = {(benchmark, variant) for benchmark, network in networks.NETWORKS.items()
                for variant in network.variants}
    runs = planned('--variants', '--fetch', 'both', '--repeat', '3')
    names = [run.name for run in runs]
    assert len(names) == len(set(names)) == 2 * 3 * len(variants)
    assert {(run.benchmark, run.variant) for run in runs} == variants


def test_precision_and_xla_are_passed_on():
    run, = planned('--only', 'vgg16', '--precision', 'mixed', '--xla')
    words = run.command
    assert words[words.index('--precision') + 1] == 'mixed' and '--xla' in words
    assert run.has_baseline and not planned()[0].has_baseline


@pytest.mark.parametrize('device, flags, line', [
    ('gpu', [],
     'Protocol: chapter (default on a GPU): batch size 32, 100 steps after a burn-in of 10'),
    ('cpu', [], 'Protocol: quick (default on a CPU): batch size 32, 3 steps after a burn-in of 1'),
    ('cpu', ['--protocol', 'chapter', '--num_batches', '9'],
     'Protocol: chapter (--protocol): batch size 32, 9 steps after a burn-in of 10'),
    ('gpu', ['--num_batches', '7', '--num_steps_burn_in', '0'],
     'Protocol: chapter (default on a GPU): batch size 32, 7 steps after a burn-in of 0'),
    ('gpu', ['--sweep', '--protocol', 'quick', '--num_batches', '8'],
     'Protocol: quick (--protocol): batch sizes 1, 2, 4, ..., 8 steps after a burn-in of 1')])
def test_the_device_decides_the_protocol_and_says_so(device, flags, line):
    lines = plan.describe(command.argument_parser().parse_args(flags), device)
    assert lines[0] == line
    assert any('rough times' in text for text in lines) == ('quick' in line)
    run = planned(*flags, device=device)[0]              # and the script is told so
    assert run.options['device'] == device
    assert all(' %d' % run.options[name] in line for name in ('num_batches', 'num_steps_burn_in'))


def test_the_precisions_are_the_scripts():
    from common.probes import precision
    action, = [action for action in command.argument_parser()._actions
               if action.dest == 'precision']
    assert tuple(action.choices) == tuple(precision.PRECISIONS)
