"""The contenders of `suite peers` on PyTorch, as its users run them: torchvision's networks and
timm's in channels_last, compiled, the forward pass under inference_mode."""
import argparse
import importlib
from typing import Any, Dict, List

import torch
from torch.utils.flop_counter import FlopCounterMode

from common import text
from common.networks import PASSES
from suite.peers.contenders import MATCHES


class TorchContender:
    """A model with initial weights, run like a TensorFlow session; `task`: see worker.py.

    Attributes:
        session: this object, for its `run`.
        targets: (the method that computes the pass, None) by the name of the pass.
    """

    def __init__(self, task: argparse.Namespace):
        self.session, self._task = self, task
        self._device = 'cuda' if task.device == 'gpu' else 'cpu'
        torch.backends.cuda.matmul.allow_tf32 = task.precision == 'tf32'
        torch.backends.cudnn.allow_tf32 = task.precision == 'tf32'
        torch.backends.cudnn.benchmark = True            # tries algorithms, as TensorFlow does
        if task.intra_op_threads:
            torch.set_num_threads(task.intra_op_threads)
        if task.inter_op_threads:
            torch.set_num_interop_threads(task.inter_op_threads)
        library, name, options = MATCHES[task.network].torch
        if library == 'torchvision':
            model = getattr(importlib.import_module('torchvision.models'), name)(**options)
        else:
            model = importlib.import_module(library).create_model(name, **options)
        self._model = model.to(self._device, memory_format=torch.channels_last)
        shape = task.batch_size, 3, task.image_size, task.image_size
        self._images = (0.1 * torch.randn(shape, device=self._device)).contiguous(
            memory_format=torch.channels_last)
        self.targets = {PASSES[0]: (self.forward, None)}
        if not task.forward_only:
            self.targets[PASSES[1]] = self.forward_backward, None
        self._compile()

    def _compile(self):
        """Compiles the model, or notes why that does not work on this machine."""
        self._call, self._note = torch.compile(self._model), 'channels_last, compiled'
        try:
            for target, _ in self.targets.values():
                target()
        except Exception as error:                       # of any kind: no compiler, no Triton
            self._call = self._model
            self._note = 'channels_last, not compiled, because torch.compile failed (%s: %s)' % (
                type(error).__name__, text.reason(str(error)))

    def forward(self) -> List[Any]:
        """Returns the logits, [batch, 1000], with moving averages in batch norm."""
        self._model.eval()
        with torch.inference_mode():
            return [self._logits()[0]]

    def forward_backward(self) -> List[Any]:
        """Returns the gradients of l2_loss with respect to all parameters."""
        self._model.train()
        self._model.zero_grad(set_to_none=True)
        logits, *auxiliary = self._logits()
        loss = logits.square().sum() / 2 + sum(
            self._task.aux_weight * other.square().sum() / 2 for other in auxiliary)
        loss.backward()
        return [parameter.grad for parameter in self._model.parameters()]

    def run(self, target: Any, feed_dict: None = None) -> List[Any]:
        """Runs a step and waits for it; with --fetch tensors its results are copied to the host."""
        results = target()
        if self._task.fetch == 'tensors':
            return [result.cpu() for result in results]
        if self._device == 'cuda':
            torch.cuda.synchronize()
        return results

    def check(self) -> Dict[str, Any]:
        """Runs each pass, untimed; returns what worker.py says."""
        flops, faults = {}, {}
        compiled = self._call
        for name, (target, _) in self.targets.items():
            bad = sum(int((~torch.isfinite(result)).sum()) for result in target())
            faults[name] = ['%d values are nan or infinite' % bad] if bad else []
            self._call = self._model                     # whose operations can be counted
            with FlopCounterMode(display=False) as counter:
                target()
            flops[name] = counter.get_total_flops()
            self._call = compiled
        return {'version': 'PyTorch ' + torch.__version__, 'note': self._note, 'flops': flops,
                'faults': faults}

    def _logits(self):
        images = self._images
        if MATCHES[self._task.network].random_images:
            images = torch.rand_like(images)
        half = torch.float16 if self._device == 'cuda' else torch.bfloat16
        with torch.autocast(self._device, half, enabled=self._task.precision == 'mixed'):
            outputs = self._call(images)
        return [output.float() for output in (
            outputs if isinstance(outputs, tuple) else [outputs])]
