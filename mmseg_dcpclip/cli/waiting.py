"""How OpenMP's threads wait, to be said before torch is imported."""

import os

# GNU's OpenMP, which torch brings on Linux, and the others' standard variable.
QUIET = dict(OMP_WAIT_POLICY='passive', GOMP_SPINCOUNT='1000')


def wait_quietly() -> None:
    """Let threads of OpenMP sleep while they wait, where the user says nothing else.

    On a busy machine threads that spin take the cores from those that have work. They
    look a thousand times before they sleep: waking them costs more on an idle one. The
    processes that this one starts inherit it. Without effect once torch is there.
    """
    if not any(name in os.environ for name in QUIET):
        os.environ.update(QUIET)
