"""Our networks beside what a user would pick instead, in one process on one machine.

    slim          the nets of tf.contrib.slim (modern runtime: of tf_slim), on the same TensorFlow
    keras         tf.keras.applications, on the same TensorFlow
    torchvision   its models, and for ResNet V2, which it does not have, timm's: on PyTorch, where
    timm          the packages are installed beside the modern runtime

All are built once and take turns: a round is a few steps of each, and the next round begins with
the next of them, so that what the machine does meanwhile meets all alike. Batch size, precision,
fetch, input and pass are the same, and so is the clock; where a peer computes something else it is
said below the table, with the GFLOP of both. The ratio is the time of our step over the peer's,
above 1 where ours is slower: the geometric mean of the rounds, with the 95 % interval of it.

    python -m suite peers [--only vgg16 resnet_v2] [--batch_size 32] [--json PATH]

Exit code: 0 all figures are valid, 1 a check failed, 2 bad usage, 3 the machine cannot run it as
asked, 130 interrupted.
"""
import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import os
import statistics
import subprocess
import sys
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import alexnet_benchmark
import inception_v3_benchmark
import resnet_v2_benchmark
import vgg16_benchmark
from common import arguments, children, cli, files, graph, record, tf1
from common.horovod.launch import NO_SCRIPT, is_launched
from common.machine import device, session
from common.networks import PASSES
from common.probes import checks, precision
from common.probes.precision import half_precision
from common.tf1 import slim, tf
from common.timing import time_tensorflow_run
from common.workload import Pass, Run
from suite import compare
from suite.peers import torch_peer as peers_torch
from suite.peers.tables import DIFFERS, notes, ratio, table, verdict

# By network: our script, the flags by which it is what the peers have, and whether its images are
# drawn in every step, as in the chapter.
NETWORKS = {
    'alexnet': (alexnet_benchmark, {'lrn': False, 'fc': True}, False),
    'vgg16': (vgg16_benchmark, {'configuration': 'D'}, False),
    'inception_v3': (inception_v3_benchmark, {}, True),
    'resnet_v2': (resnet_v2_benchmark, {'depth': 152}, True),
}
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TORCH_PEER = [sys.executable, '-m', peers_torch.__name__]
ROUNDS = 10                          # of num_batches / ROUNDS steps

class Contender(NamedTuple):
    """A network as one library has it. seconds(PASS, num_batches, num_steps_burn_in) runs and times
    steps; `flops` are those of a step and `faults` what the checks found, by the pass."""
    name: str
    version: str
    seconds: Callable[[str, int, int], Sequence[float]]
    flops: Dict[str, int]
    faults: Dict[str, List[str]]


# On TensorFlow

def ours(network: str, args: argparse.Namespace) -> List[Pass]:
    """Builds the passes that our script times."""
    script, flags, _ = NETWORKS[network]
    with tf.Graph().as_default(), contextlib.redirect_stdout(io.StringIO()):
        return script.build(argparse.Namespace(**dict(vars(args), **flags))).passes


def slim_nets(network: str, images: Any, is_training: bool) -> List[Any]:
    """Returns the logits, and with is_training those of the auxiliary classifier of Inception."""
    nets = importlib.import_module(slim.__name__ + '.nets')
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE):
        if network == 'alexnet':
            with slim.arg_scope(nets.alexnet.alexnet_v2_arg_scope()):
                return [nets.alexnet.alexnet_v2(images, is_training=is_training)[0]]
        if network == 'vgg16':
            with slim.arg_scope(nets.vgg.vgg_arg_scope()):
                return [nets.vgg.vgg_16(images, is_training=is_training)[0]]
        if network == 'inception_v3':
            with slim.arg_scope(nets.inception.inception_v3_arg_scope()):
                logits, end_points = nets.inception.inception_v3(images, is_training=is_training)
                return [logits, end_points['AuxLogits']] if is_training else [logits]
        with slim.arg_scope(nets.resnet_v2.resnet_arg_scope()):
            return [nets.resnet_v2.resnet_v2_152(images, 1000, is_training=is_training)[0]]


class Keras:
    """keras.applications: as slim_nets, of a model that is built once for both passes."""
    MODELS = {'vgg16': 'VGG16', 'inception_v3': 'InceptionV3', 'resnet_v2': 'ResNet152V2'}

    def __init__(self):
        self._model = None

    def __call__(self, network, images, is_training):
        if self._model is None:
            # Up to the pooled features, and then the logits: TensorFlow 1.15's models have no
            # classifier without a softmax.
            body = getattr(tf.keras.applications, self.MODELS[network])(
                weights=None, include_top=network == 'vgg16',
                input_shape=images.shape.as_list()[1:], pooling='avg')
            if network == 'vgg16':
                body.layers[-1].activation = tf.keras.activations.linear
                self._model = body
            else:
                self._model = tf.keras.Sequential([body, tf.keras.layers.Dense(1000)])
        return [self._model(images, training=is_training)]


def theirs(network: str, args: argparse.Namespace,
           build: Callable[[str, Any, bool], List[Any]]) -> List[Pass]:
    """Builds a peer's passes with the input and the losses of ours."""
    script, _, drawn = NETWORKS[network]
    shape = [args.batch_size, script.IMAGE_SIZE, script.IMAGE_SIZE, 3]
    with tf.Graph().as_default():
        images = tf.random_uniform(shape) if drawn else tf.Variable(
            tf.random_normal(shape, stddev=1e-1), trainable=False, name='images')
        passes = [Pass(PASSES[0], build(network, images, False)[0])]
        if not args.forward_only:
            logits, *aux = build(network, images, True)
            objective = tf.nn.l2_loss(logits) + sum(
                inception_v3_benchmark.AUX_WEIGHT * tf.nn.l2_loss(one) for one in aux)
            passes.append(Pass(PASSES[1], tf.gradients(objective,
                                                                 tf.trainable_variables())))
    return passes


@contextlib.contextmanager
def on_tensorflow(name: str, run: Run, passes: List[Pass]) -> Iterator[Contender]:
    """Opens a session of the graph of `passes`, runs each once and checks what ran."""
    config = session.configuration(run)
    config.gpu_options.allow_growth = True               # the others want memory too
    by_name = {one.info_string: one for one in passes}
    with passes[0].tensors[0].graph.as_default(), \
            session.open_session(run.device, config) as opened:
        opened.run(tf.global_variables_initializer())

        def seconds(name, num_batches, num_steps_burn_in):
            target = graph.fetches(by_name[name].target, run.args.fetch)
            with contextlib.redirect_stdout(None):
                return time_tensorflow_run(opened, target, name, by_name[name].feed_dict,
                                           num_batches, num_steps_burn_in).seconds

        yield Contender(
            name, tf1.VERSION, seconds,
            {one.info_string: sum(map(graph.flops, graph.needed_ops(one.tensors)))
             for one in passes},
            {one.info_string: checked(opened, one, run) for one in passes})


def checked(opened: tf.Session, one: Pass, run: Run) -> List[str]:
    """Runs a pass, untimed; returns the faults that the scripts look for."""
    target = graph.fetches(one.target, run.args.fetch)
    step_stats = graph.trace(opened, target, one.feed_dict)
    return (checks.executed(step_stats, one.tensors)
            + half_precision(run, opened, target, one.feed_dict)
            + checks.placement(step_stats, one.tensors, run.device)
            + checks.finite(opened, one.tensors, one.feed_dict))


# On PyTorch

@contextlib.contextmanager
def on_torch(network: str, run: Run) -> Iterator[Optional[Contender]]:
    """Starts torch_peer.py and ends it after the block; None, and a line that says why, where it
    cannot run."""
    args, (script, _, drawn) = run.args, NETWORKS[network]
    library, _, _ = peers_torch.MODELS[network]
    absent = [name for name in ('torch', library) if importlib.util.find_spec(name) is None]
    if absent:
        print('%s: %s not installed: PyTorch is left out' % (network, ' and '.join(absent)))
        yield None
        return
    asked = peers_torch.Network(network, args.batch_size, args.precision, args.fetch,
                                args.forward_only, args.intra_op_threads, run.device.kind == 'gpu',
                                script.IMAGE_SIZE, drawn, inception_v3_benchmark.AUX_WEIGHT)
    with children.start(TORCH_PEER + [json.dumps(asked._asdict())], cwd=ROOT,
                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        def answer():
            line = running.stdout.readline()
            if not line:
                raise device.Unusable('%s: PyTorch ended with exit code %d; why stands above.'
                                      % (network, running.wait()))
            return json.loads(line)

        def seconds(name, num_batches, num_steps_burn_in):
            running.stdin.write(json.dumps({'pass': name, 'num_batches': num_batches,
                                          'num_steps_burn_in': num_steps_burn_in}) + '\n')
            running.stdin.flush()
            return answer()

        try:
            checked = answer()
            yield Contender(library, checked['version'], seconds, checked['flops'],
                            checked['faults'])
        finally:
            running.kill()


@contextlib.contextmanager
def contenders(network: str, run: Run) -> Iterator[List[Contender]]:
    """Builds ours, the first, and all peers that are available here; gives their memory back after
    the block."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(on_tensorflow('ours', run, ours(network, run.args))),
                 stack.enter_context(on_tensorflow('slim', run, theirs(network, run.args,
                                                                       slim_nets)))]
        if network in Keras.MODELS:
            found.append(stack.enter_context(
                on_tensorflow('keras', run, theirs(network, run.args, Keras()))))
        found.append(stack.enter_context(on_torch(network, run)))
        yield [one for one in found if one]


# Taking turns

def take_turns(found: Sequence[Contender], name: str, args: argparse.Namespace
               ) -> List[List[float]]:
    """Times pass `name` of all contenders in ROUNDS rounds, after a burn-in of each. Returns the
    mean seconds of a step, by contender and round."""
    for one in found:
        one.seconds(name, 1, args.num_steps_burn_in)                 # not kept
    rounds = [[] for _ in found]                                     # type: List[List[float]]
    for i in range(ROUNDS):
        for place in range(len(found)):
            which = (i + place) % len(found)
            rounds[which].append(statistics.mean(
                found[which].seconds(name, args.num_batches // ROUNDS, 0)))
    return rounds


def entries(network: str, found: Sequence[Contender], name: str, run: Run,
            rounds: Sequence[Sequence[float]]) -> List[Dict[str, Any]]:
    """Returns what the record says of one pass: an entry for each peer, beside ours."""
    first, result = found[0], []
    for one, seconds in list(zip(found, rounds))[1:]:
        value, low, high = ratio(rounds[0], seconds)
        faults = ['%s: %s' % (side.name, fault) for side in (first, one)
                  for fault in side.faults[name]]
        result.append({
            'benchmark': network, 'info_string': name, 'peer': one.name, 'version': one.version,
            'fetch': run.args.fetch, 'batch_size': run.args.batch_size,
            'precision': run.precision, 'flags': NETWORKS[network][1],
            'ours_s': list(rounds[0]), 'peer_s': list(seconds), 'ratio': value,
            'ci95': [low, high], 'verdict': 'INVALID' if faults else verdict(low, high),
            'ours_flops': first.flops[name], 'peer_flops': one.flops[name],
            'differs': DIFFERS.get((network, one.name)), 'faults': faults})
    return result


def time_all(args: argparse.Namespace) -> int:
    """Times all networks asked for beside their peers; prints and writes what was found."""
    run = Run(args, device.choose(args.device), None, None, None)
    trouble = precision.problem(args.precision, run.device)
    if trouble:
        raise device.Unusable(trouble)
    tf1.allow_tf32(args.precision == 'tf32')
    print('Device: %s' % run.device.sentence, flush=True)
    log = {'kind': 'peers', 'environment': record.environment(run), 'options': run.options,
           'results': []}
    for network in args.only or NETWORKS:
        with contenders(network, run) as found:
            for name in found[0].flops:
                new = entries(network, found, name, run, take_turns(found, name, args))
                log['results'] += new
                for one in new:
                    print('%s, %s: %.3f times the step of %s (%s)' % (
                        network, name, one['ratio'], one['peer'], one['verdict']), flush=True)
                record.keep(log, args.json)
    print('\n' + compare.format_text([compare.Block(
        'Ours beside its peers', table(log['results']), notes(log['results']))]), end='')
    return 1 if any(one['faults'] for one in log['results']) else 0


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Runs what `argv` asks for; returns the exit code."""
    parser = cli.argument_parser(__doc__, leave_out=(
        'num_batches', 'xla', 'profile', 'trace', 'layers'))
    parser.set_defaults(xla=False, trace=None)
    parser.add_argument('--num_batches', '--num-batches', type=arguments.integer(ROUNDS),
                        default=100, metavar='N',
                        help='timed steps of each, in %d rounds (default: 100)' % ROUNDS)
    parser.add_argument('--only', nargs='+', choices=list(NETWORKS), metavar='NAME',
                        help='out of %s (default: all)' % ', '.join(NETWORKS))
    try:
        args = parser.parse_args(argv)
        if is_launched():
            parser.error(NO_SCRIPT)
        if args.num_batches % ROUNDS:
            parser.error('argument --num_batches: %d is no multiple of %d, the number of rounds'
                         % (args.num_batches, ROUNDS))
        problem = args.json and files.why_unwritable(args.json)
        if problem:
            parser.error('argument --json: cannot write %r: %s' % (args.json, problem))
    except SystemExit as stop:       # argparse's way out; 0 after --help
        return stop.code
    return cli.exit_code(lambda: time_all(args), args.batch_size)
