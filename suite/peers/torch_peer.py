"""PyTorch's side of `suite peers`, in a process of its own.

TensorFlow and PyTorch each bring a CUDA, a cuDNN and an LLVM, and one process cannot hold both.

    python -m suite.peers.torch_peer '{"network": "vgg16", "batch_size": 32, ...}'    see Network

It builds the model, runs each pass once, and writes a line of JSON: the version of PyTorch, the
FLOP of a step and the faults by the name of the pass. Then it answers each line of stdin,
{"pass": "Forward", "num_batches": 10, "num_steps_burn_in": 0}, with the seconds of the timed steps,
until there is none.
"""
import contextlib
import importlib
import json
import sys
from typing import Any, Callable, Dict, List, NamedTuple

from common.timing import time_tensorflow_run

# By network: the library that has the model, its name there and its options. torchvision has no
# ResNet V2.
MODELS = {'alexnet': ('torchvision', 'alexnet', {}),
          'vgg16': ('torchvision', 'vgg16', {}),
          'inception_v3': ('torchvision', 'inception_v3', {'init_weights': False}),
          'resnet_v2': ('timm', 'resnetv2_152', {})}


class Network(NamedTuple):
    """What to build and how to run it: the values of the flags of `suite peers`; `on_gpu`; the side
    of the images in pixels, whether they are `drawn` in every step, the weight of the loss of the
    auxiliary classifier."""
    network: str
    batch_size: int
    precision: str
    fetch: str
    forward_only: bool
    intra_op_threads: int
    on_gpu: bool
    image_size: int
    drawn: bool
    aux_weight: float


class Session:
    """A model, run like a TensorFlow session; the targets are its methods in `passes`."""

    def __init__(self, asked: Network):
        import torch  # here, because it is optional: command.py imports this file for MODELS
        self._torch, self._asked = torch, asked
        self._device = 'cuda' if asked.on_gpu else 'cpu'
        torch.backends.cuda.matmul.allow_tf32 = asked.precision == 'tf32'
        torch.backends.cudnn.allow_tf32 = asked.precision == 'tf32'
        torch.backends.cudnn.benchmark = True            # tries algorithms, as TensorFlow does
        if asked.intra_op_threads:
            torch.set_num_threads(asked.intra_op_threads)
        library, name, options = MODELS[asked.network]
        if library == 'torchvision':
            model = getattr(importlib.import_module('torchvision.models'), name)(**options)
        else:
            model = importlib.import_module(library).create_model(name, **options)
        # Half precision runs on tensor cores in this layout; TensorFlow's optimizer chooses it too.
        layout = torch.channels_last if asked.precision == 'mixed' else torch.contiguous_format
        self._model = model.to(self._device, memory_format=layout)
        shape = asked.batch_size, 3, asked.image_size, asked.image_size
        self._images = (0.1 * torch.randn(shape, device=self._device)).contiguous(
            memory_format=layout)
        self.passes: Dict[str, Callable[[], List[Any]]] = {'Forward': self.forward}
        if not asked.forward_only:
            self.passes['Forward-backward'] = self.forward_backward

    def forward(self) -> List[Any]:
        """Returns the logits, [batch, 1000], with moving averages in batch norm."""
        self._model.eval()
        with self._torch.no_grad():
            return [self._logits()[0]]

    def forward_backward(self) -> List[Any]:
        """Returns the gradients of l2_loss with respect to all parameters."""
        self._model.train()
        self._model.zero_grad(set_to_none=True)
        logits, *aux = self._logits()
        loss = logits.square().sum() / 2 + sum(
            self._asked.aux_weight * one.square().sum() / 2 for one in aux)
        loss.backward()
        return [parameter.grad for parameter in self._model.parameters()]

    def run(self, target: Callable[[], List[Any]], feed_dict: None = None) -> List[Any]:
        """Runs a step and waits for it; with --fetch tensors its results are copied to the host."""
        results = target()
        if self._asked.fetch == 'tensors':
            return [one.cpu() for one in results]
        if self._asked.on_gpu:
            self._torch.cuda.synchronize()
        return results

    def check(self) -> Dict[str, Any]:
        """Runs each pass once, counts its FLOP and looks for values that are no numbers."""
        from torch.utils.flop_counter import FlopCounterMode
        flops, faults = {}, {}
        for name, target in self.passes.items():
            with FlopCounterMode(display=False) as counter:
                results = target()
            flops[name] = counter.get_total_flops()
            bad = sum(int((~self._torch.isfinite(one)).sum()) for one in results)
            faults[name] = ['%d values are nan or infinite' % bad] if bad else []
        return {'version': 'PyTorch ' + self._torch.__version__, 'flops': flops, 'faults': faults}

    def _logits(self):
        images = self._torch.rand_like(self._images) if self._asked.drawn else self._images
        half = self._torch.float16 if self._asked.on_gpu else self._torch.bfloat16
        with self._torch.autocast(self._device, half, enabled=self._asked.precision == 'mixed'):
            found = self._model(images)
        return [one.float() for one in (found if isinstance(found, tuple) else [found])]


def main() -> None:
    """Answers on stdout; what else is printed goes to stderr."""
    answers, asked = sys.stdout, Network(**json.loads(sys.argv[1]))
    with contextlib.redirect_stdout(sys.stderr):
        session = Session(asked)
        answer = session.check()
    print(json.dumps(answer), file=answers, flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        with contextlib.redirect_stdout(None):
            timing = time_tensorflow_run(
                session, session.passes[request['pass']], request['pass'],
                num_batches=request['num_batches'],
                num_steps_burn_in=request['num_steps_burn_in'])
        print(json.dumps(timing.seconds), file=answers, flush=True)


if __name__ == '__main__':
    main()
