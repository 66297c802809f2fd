"""The contenders of `suite peers` on PyTorch: torchvision's networks and timm's."""
import importlib
from typing import Any, Dict, List

import torch
from torch.utils.flop_counter import FlopCounterMode

from common.networks import PASSES
from suite.peers import contenders
from suite.peers.contenders import MATCHES


class Network:
    """A model with initial weights, run like a TensorFlow session.

    Attributes:
        session: this object, for its `run`.
        targets: (the method that computes the pass, None) by the name of the pass.
    """

    def __init__(self, task: contenders.Task):
        self.session, self._task, self._options = self, task, task.options
        self._device = 'cuda' if task.options['device'] == 'gpu' else 'cpu'
        self._is_mixed = task.options['precision'] == 'mixed'
        is_tf32 = task.options['precision'] == 'tf32'
        torch.backends.cuda.matmul.allow_tf32 = is_tf32
        torch.backends.cudnn.allow_tf32 = is_tf32
        torch.backends.cudnn.benchmark = True            # tries algorithms, as TensorFlow does
        if task.options['intra_op_threads']:
            torch.set_num_threads(task.options['intra_op_threads'])
        if task.options['inter_op_threads']:
            torch.set_num_interop_threads(task.options['inter_op_threads'])
        library, name, options = MATCHES[task.network].torch
        if library == 'torchvision':
            model = getattr(importlib.import_module('torchvision.models'), name)(**options)
        else:
            model = importlib.import_module(library).create_model(name, **options)
        # Half precision runs on tensor cores in this layout; TensorFlow's optimizer chooses it too.
        layout = torch.channels_last if self._is_mixed else torch.contiguous_format
        self._model = model.to(self._device, memory_format=layout)
        shape = task.options['batch_size'], 3, task.image_size, task.image_size
        self._images = (0.1 * torch.randn(shape, device=self._device)).contiguous(
            memory_format=layout)
        self.targets = {PASSES[0]: (self.forward, None)}
        if not task.options['forward_only']:
            self.targets[PASSES[1]] = self.forward_backward, None

    def forward(self) -> List[Any]:
        """Returns the logits, [batch, 1000], with moving averages in batch norm."""
        self._model.eval()
        with torch.no_grad():
            return [self._logits()[0]]

    def forward_backward(self) -> List[Any]:
        """Returns the gradients of l2_loss with respect to all parameters."""
        self._model.train()
        self._model.zero_grad(set_to_none=True)
        logits, *auxiliary = self._logits()
        loss = logits.square().sum() / 2 + sum(
            self._task.aux_weight * one.square().sum() / 2 for one in auxiliary)
        loss.backward()
        return [parameter.grad for parameter in self._model.parameters()]

    def run(self, target: Any, feed_dict: None = None) -> List[Any]:
        """Runs a step and waits for it; with --fetch tensors its results are copied to the host."""
        results = target()
        if self._options['fetch'] == 'tensors':
            return [one.cpu() for one in results]
        if self._device == 'cuda':
            torch.cuda.synchronize()
        return results

    def check(self) -> Dict[str, Any]:
        """Runs each pass, untimed. Returns the version, the FLOP of a step and the faults."""
        flops, faults = {}, {}
        for name, (target, _) in self.targets.items():
            with FlopCounterMode(display=False) as counter:
                results = target()
            flops[name] = counter.get_total_flops()
            bad = sum(int((~torch.isfinite(one)).sum()) for one in results)
            faults[name] = ['%d values are nan or infinite' % bad] if bad else []
        return {'version': 'PyTorch ' + torch.__version__, 'flops': flops, 'faults': faults}

    def _logits(self):
        images = self._images
        if MATCHES[self._task.network].random_images:
            images = torch.rand_like(images)
        half = torch.float16 if self._device == 'cuda' else torch.bfloat16
        with torch.autocast(self._device, half, enabled=self._is_mixed):
            outputs = self._model(images)
        return [one.float() for one in (outputs if isinstance(outputs, tuple) else [outputs])]
