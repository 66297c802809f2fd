"""What a script hands over to be timed, and one run of it."""
import argparse
from typing import Any, Callable, Dict, List, NamedTuple, Optional


class Pass(NamedTuple):
    """One thing to time. In a job of several processes `target` is the averaged gradients, and
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
    """One run: its flags, the device it runs on, and what is timed."""
    args: argparse.Namespace             # as parsed; never changed
    device: Any                          # a device.Device
    job: Any                             # a join.Job; None for a run of one process
    timer: Any                           # a startup.Startup
    workload: Workload

    @property
    def after_step(self) -> Optional[Callable[[float], float]]:
        """What time_tensorflow_run calls after each step: in a job, it returns the duration of
        the slowest process."""
        return self.job.exchange.slowest if self.job else None

    @property
    def options(self) -> Dict[str, Any]:
        """The flags, but for the paths of files."""
        return {name: value for name, value in vars(self.args).items()
                if name not in ('json', 'trace')}

    @property
    def precision(self) -> str:
        """'float32', 'tf32', or, as Keras calls them, 'mixed_float16' or 'mixed_bfloat16'."""
        if self.args.precision == 'mixed':
            return 'mixed_float16' if self.device.kind == 'gpu' else 'mixed_bfloat16'
        return self.args.precision
