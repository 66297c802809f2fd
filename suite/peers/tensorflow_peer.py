"""The contenders of `suite peers` on TensorFlow: our networks, slim's and Keras's."""
import argparse
import importlib
from typing import Any, Callable, Dict, List

import inception_v3_benchmark
from common import graph, networks, tf1
from common.machine import device, session
from common.networks import PASSES
from common.probes import checks
from common.probes.precision import half_precision
from common.tf1 import slim, tf
from common.workload import Pass, Run
from suite.peers import contenders
from suite.peers.contenders import MATCHES


class Network:
    """A contender in a graph and a session of its own, with initial values.

    Attributes:
        session: the tf.Session.
        targets: (what session.run fetches, feed_dict) by the name of the pass.
    """

    def __init__(self, task: contenders.Task):
        args = argparse.Namespace(**dict(task.options, **our_flags(task.network)))
        self._run = Run(args, device.choose(args.device), None, None, None)
        tf1.allow_tf32(args.precision == 'tf32')
        with tf.Graph().as_default():
            self._passes = build(task, args)
            config = session.configuration(self._run)
            config.gpu_options.allow_growth = True       # the other contenders need memory too
            self.session = session.open_session(self._run.device, config)
            self.session.run(tf.global_variables_initializer())
        self.targets = {one.info_string: (graph.fetches(one.target, args.fetch), one.feed_dict)
                        for one in self._passes}

    def check(self) -> Dict[str, Any]:
        """Runs each pass, untimed. Returns the version, the FLOP of a step and the faults."""
        with self.session.graph.as_default():
            return {'version': tf1.VERSION,
                    'flops': {one.info_string: sum(map(graph.flops, graph.needed_ops(one.tensors)))
                              for one in self._passes},
                    'faults': {one.info_string: self._faults(one) for one in self._passes}}

    def _faults(self, timed_pass):
        """The faults by the same checks as in the scripts."""
        target, feed_dict = self.targets[timed_pass.info_string]
        step_stats = graph.trace(self.session, target, feed_dict)
        return (checks.executed(step_stats, timed_pass.tensors)
                + half_precision(self._run, self.session, target, feed_dict)
                + checks.placement(step_stats, timed_pass.tensors, self._run.device)
                + checks.finite(self.session, timed_pass.tensors, feed_dict))


def our_flags(network: str) -> Dict[str, Any]:
    """Returns the flags that make our script build the same network as the peers."""
    return networks.NETWORKS[network].variants[MATCHES[network].variant].flags


def build(task: contenders.Task, args: argparse.Namespace) -> List[Pass]:
    """Adds the contender's network to the default graph; returns its passes."""
    if task.contender in (contenders.OURS, contenders.CONTROL):
        return importlib.import_module(task.network + '_benchmark').build(args).passes
    logits = slim_logits if task.contender == contenders.SLIM else KerasLogits()
    return build_peer(task, args, logits)


def build_peer(task: contenders.Task, args: argparse.Namespace,
               logits: Callable[[str, Any, bool], List[Any]]) -> List[Pass]:
    """Adds a peer's network with the input and the losses of ours; returns its passes."""
    shape = [args.batch_size, task.image_size, task.image_size, 3]
    images = tf.random_uniform(shape) if MATCHES[task.network].random_images else tf.Variable(
        tf.random_normal(shape, stddev=1e-1), trainable=False, name='images')
    passes = [Pass(PASSES[0], logits(task.network, images, False)[0])]
    if not args.forward_only:
        main, *auxiliary = logits(task.network, images, True)
        objective = tf.nn.l2_loss(main) + sum(
            inception_v3_benchmark.AUX_WEIGHT * tf.nn.l2_loss(one) for one in auxiliary)
        passes.append(Pass(PASSES[1], tf.gradients(objective, tf.trainable_variables())))
    return passes


def slim_logits(network: str, images: Any, is_training: bool) -> List[Any]:
    """Adds slim's network. Returns its logits, [batch, ..., 1000], and with is_training those of
    Inception's auxiliary classifier."""
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
            resnet = getattr(nets.resnet_v2, 'resnet_v2_' + MATCHES[network].variant)
            return [resnet(images, 1000, is_training=is_training)[0]]


class KerasLogits:
    """Adds the network of keras.applications; the model is built once, for both passes."""

    def __init__(self):
        self._model = None

    def __call__(self, network: str, images: Any, is_training: bool) -> List[Any]:
        if self._model is None:
            # The classifier of TensorFlow 1.15 ends in a softmax, so it is left out and a layer
            # for the logits is added. VGG's classifier is kept, without its activation.
            body = getattr(tf.keras.applications, MATCHES[network].keras)(
                weights=None, include_top=network == 'vgg16',
                input_shape=images.shape.as_list()[1:], pooling='avg')
            if network == 'vgg16':
                body.layers[-1].activation = tf.keras.activations.linear
                self._model = body
            else:
                self._model = tf.keras.Sequential([body, tf.keras.layers.Dense(1000)])
        return [self._model(images, training=is_training)]
