"""The network that a script builds, its passes, and one run of them."""
import argparse
from typing import Any, Callable, Dict, List, NamedTuple, Optional


def options(args: argparse.Namespace) -> Dict[str, Any]:
    """Returns the flags of a run except --json and --trace, which name files."""
    return {name: value for name, value in vars(args).items() if name not in ('json', 'trace')}


class Pass(NamedTuple):
    """A pass to time. In a job of several processes `target` is the averaged gradients, and
    `own` the gradients of this process before the averaging."""
    info_string: str                     # 'Forward' or 'Forward-backward'
    target: Any                          # a tensor, or a list of gradients
    feed_dict: Optional[Dict[Any, Any]] = None           # fed in every step
    own: Optional[List[Any]] = None

    @property
    def tensors(self) -> List[Any]:
        """The target as a list."""
        return self.target if isinstance(self.target, list) else [self.target]


class Workload(NamedTuple):
    """A network in the default graph, as a script's build(args) returns it."""
    name: str                            # a key of networks.NETWORKS
    variant: str                         # one of its variants
    passes: List[Pass]                   # the forward pass first
    parameters: List[Any]                # the trainable variables


class Run(NamedTuple):
    """One run: its flags, its device, and the network that is timed."""
    args: argparse.Namespace             # as parsed; never changed
    device: Any                          # a device.Device
    job: Any                             # a join.Job; None for a run of one process
    timer: Any                           # a startup.Startup
    workload: Workload

    @property
    def after_step(self) -> Optional[Callable[[float], float]]:
        """The after_step of time_tensorflow_run: in a job it returns the duration of the slowest
        process; None otherwise."""
        return self.job.exchange.slowest if self.job else None

    @property
    def options(self) -> Dict[str, Any]:
        """The flags, as the function above returns them."""
        return options(self.args)

    @property
    def precision(self) -> str:
        """'float32', 'tf32', or, as Keras calls them, 'mixed_float16' or 'mixed_bfloat16'."""
        if self.args.precision == 'mixed':
            return 'mixed_float16' if self.device.kind == 'gpu' else 'mixed_bfloat16'
        return self.args.precision
