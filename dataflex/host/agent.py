"""torchrun, deaf to the signals that ask a run to stop.

It would end its workers half a minute after SIGTERM and die at once of SIGUSR2, and Slurm sends both to all
processes of a job. The launcher, or Slurm, tells the workers, who save and leave by themselves. They inherit
the deafness until they have handlers of their own.
"""

from __future__ import annotations

import os
import signal

from dataflex.engine.interruption import SIGNALS


def main() -> None:
    """Be torchrun."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    # Its option --signals-to-handle; versions that have none don't read it.
    os.environ["PET_SIGNALS_TO_HANDLE"] = "SIGINT,SIGHUP,SIGQUIT"
    from torch.distributed.run import main as torchrun

    torchrun()


if __name__ == "__main__":
    main()
