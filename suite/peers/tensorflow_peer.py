"""The contenders of `suite peers` on TensorFlow: our networks, slim's and Keras's."""
import argparse
import importlib
from typing import Any, Dict, List

import inception_v3_benchmark
from common import graph, networks, tf1
from common.machine import device, session
from common.networks import PASSES
from common.probes import checks, values
from common.probes.precision import half_precision
from common.tf1 import slim, tf
from common.workload import Pass, Run
from suite.peers.contenders import CONTROL, MATCHES, OURS, SLIM


class TensorflowContender:
    """A contender in a graph and a session of its own, with initial values; `task`: see worker.py.

    Attributes:
        session: the tf.Session.
        targets: (what session.run fetches, feed_dict) by the name of the pass.
    """

    def __init__(self, task: argparse.Namespace):
        flags = networks.NETWORKS[task.network].variants[MATCHES[task.network].variant].flags
        self._args = argparse.Namespace(**dict(vars(task), **flags))
        self._run = Run(self._args, device.choose(task.device), None, None, None)
        tf1.allow_tf32(task.precision == 'tf32')
        with tf.Graph().as_default():
            self._passes = build(self._args)
            config = session.configuration(self._run)
            config.gpu_options.allow_growth = True       # the other contenders need memory too
            self.session = session.open_session(self._run.device, config)
            self.session.run(tf.global_variables_initializer())
        self.targets = {timed.info_string: (graph.fetches(timed.target, task.fetch),
                                            timed.feed_dict) for timed in self._passes}

    def check(self) -> Dict[str, Any]:
        """Runs each pass, untimed; returns what worker.py says. The checks are the scripts'."""
        flops, faults = {}, {}
        with self.session.graph.as_default():
            for timed in self._passes:
                target, feed_dict = self.targets[timed.info_string]
                step_stats = graph.trace(self.session, target, feed_dict)
                flops[timed.info_string] = sum(map(graph.flops, graph.needed_ops(timed.tensors)))
                faults[timed.info_string] = (
                    checks.executed(checks.convolutions(step_stats, timed.tensors))
                    + half_precision(self._run, self.session, target, feed_dict)
                    + checks.placement(step_stats, timed.tensors, self._run.device)
                    + (checks.finite(self.session, timed.tensors, feed_dict)
                       or values.faults(values.measured(
                           self.session, timed.tensors, feed_dict, self._run.precision),
                           self._run.precision)))
        return {'version': tf1.VERSION, 'note': None, 'flops': flops, 'faults': faults}


def build(args: argparse.Namespace) -> List[Pass]:
    """Adds the contender's network to the default graph, a peer's with the input and the losses of
    ours; returns its passes. `args` are the task and the flags of our variant."""
    if args.contender in (OURS, CONTROL):
        return importlib.import_module(args.network + '_benchmark').build(args).passes
    shape = [args.batch_size, args.image_size, args.image_size, 3]
    images = tf.random_uniform(shape) if MATCHES[args.network].random_images else tf.Variable(
        tf.random_normal(shape, stddev=1e-1), trainable=False, name='images')
    if args.contender == SLIM:
        def logits(is_training):
            return slim_logits(args.network, images, is_training)
    else:
        model = keras_model(args.network, shape[1:])

        def logits(is_training):
            return [model(images, training=is_training)]
    passes = [Pass(PASSES[0], logits(False)[0])]
    if not args.forward_only:
        main, *auxiliary = logits(True)
        objective = tf.nn.l2_loss(main) + sum(
            inception_v3_benchmark.AUX_WEIGHT * tf.nn.l2_loss(other) for other in auxiliary)
        passes.append(Pass(PASSES[1], tf.gradients(objective, tf.trainable_variables())))
    return passes


def slim_logits(network: str, images: Any, is_training: bool) -> List[Any]:
    """Adds slim's network. Returns its logits, [batch, ..., 1000], and with is_training those of
    Inception's auxiliary classifier."""
    nets = importlib.import_module(slim.__name__ + '.nets')
    scope, build_net, options = {
        'alexnet': (nets.alexnet.alexnet_v2_arg_scope, nets.alexnet.alexnet_v2, {}),
        'vgg16': (nets.vgg.vgg_arg_scope, nets.vgg.vgg_16, {}),
        'inception_v3': (nets.inception.inception_v3_arg_scope, nets.inception.inception_v3, {}),
        'resnet_v2': (nets.resnet_v2.resnet_arg_scope, getattr(
            nets.resnet_v2, 'resnet_v2_' + MATCHES['resnet_v2'].variant), {'num_classes': 1000}),
    }[network]
    with tf.variable_scope(tf.get_variable_scope(), reuse=tf.AUTO_REUSE), slim.arg_scope(scope()):
        logits, end_points = build_net(images, is_training=is_training, **options)
    if is_training and network == 'inception_v3':
        return [logits, end_points['AuxLogits']]
    return [logits]


def keras_model(network: str, input_shape: List[int]) -> Any:
    """Returns the model of keras.applications, without a softmax at its end."""
    # The classifier of TensorFlow 1.15 ends in a softmax, so it is left out and a layer for the
    # logits is added. VGG's classifier is kept, without its activation.
    model = getattr(tf.keras.applications, MATCHES[network].keras)(
        weights=None, include_top=network == 'vgg16', input_shape=input_shape, pooling='avg')
    if network == 'vgg16':
        model.layers[-1].activation = tf.keras.activations.linear
        return model
    return tf.keras.Sequential([model, tf.keras.layers.Dense(1000)])
