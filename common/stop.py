"""Why a run stops before its end: the one exception that carries a sentence, an exit code and the
status of the record. This module needs the standard library alone."""


class Stop(Exception):
    """The command cannot go on.

    Attributes:
        text: a sentence: what is wrong, the value, what to do.
        code: the exit code of the process. 1: the figures would be wrong, 2: bad usage, 3: the
            machine cannot run it as asked.
        status: `status` of the record: 'refused' (then `text` is a fault of the run),
            'out_of_memory' or 'failed'.
    """

    def __init__(self, text: str, code: int = 3, status: str = 'failed'):
        super().__init__(text)
        self.text, self.code, self.status = text, code, status
