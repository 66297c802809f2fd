"""The records on the page, and their names."""
from typing import Any, Dict, List, NamedTuple, Sequence

from suite.figures import Figure, Source


class Run(NamedTuple):
    """A record: its place and its name on the page, the name of its source, what it holds, and the
    figures of its results, in their order."""
    number: int
    name: str
    source: str
    data: Dict[str, Any]
    figures: List[Figure]


def of(sources: Sequence[Source]) -> List[Run]:
    """Returns all records of the sources, including those that did not finish. Where there are
    several sources, a name begins with that of its source."""
    named = [(record.name if len(sources) == 1 else source.name if len(source.records) == 1 else
              '%s: %s' % (source.name, record.name), source.name, record.data, record.figures)
             for source in sources for record in source.records]
    return [Run(number, *record) for number, record in enumerate(named)]


def batch_size(run: Run) -> str:
    """Returns the batch size that was asked for; '-' if the record does not say it."""
    return str(run.data['options'].get('batch_size', '-'))
