"""Exchanges durations and findings between the ranks of a job, outside the timed steps."""
import json
from typing import Any, List

import numpy

from common.tf1 import tf


class Exchange:
    """Adds its operations to the default graph, so it must be made before anything is timed. Every
    rank must make the same calls in the same order: each call waits for all ranks."""

    # The number of calls that this process has begun. The others wait for a rank whose number stays
    # behind (common/horovod/liveness.py).
    entered = 0

    def __init__(self, hvd: Any, session: tf.Session):
        self._session = session
        self.rows: List[List[float]] = []    # for each step, the duration on each rank, in seconds
        with tf.device('/cpu:0'):
            self._seconds = tf.placeholder(tf.float64, [None], name='exchange/seconds')
            self._bytes = tf.placeholder(tf.uint8, [None], name='exchange/bytes')
            self._all_seconds = hvd.allgather(self._seconds, name='exchange/all_seconds')
            self._all_bytes = hvd.allgather(self._bytes, name='exchange/all_bytes')

    def slowest(self, seconds: float) -> float:
        """Exchanges the duration of this rank's step, in seconds; returns the longest of all ranks.
        `rows` keeps them all."""
        Exchange.entered += 1
        self.rows.append(self._session.run(self._all_seconds,
                                           {self._seconds: [seconds]}).tolist())
        return max(self.rows[-1])

    def last(self, number: int) -> List[List[float]]:
        """Returns for each rank its durations in the last `number` steps, in seconds."""
        return [list(column) for column in zip(*self.rows[-number:])]

    def gather(self, value: Any) -> List[Any]:
        """Returns the value of each rank, in order. The values must be JSON."""
        Exchange.entered += 1
        text = json.dumps(value).encode()
        lengths = self._session.run(self._all_seconds, {self._seconds: [float(len(text))]})
        joint = self._session.run(self._all_bytes, {
            self._bytes: numpy.frombuffer(text, numpy.uint8)}).tobytes()
        ends = numpy.cumsum(lengths).astype(int).tolist()
        return [json.loads(joint[end - int(length):end].decode())
                for length, end in zip(lengths, ends)]
