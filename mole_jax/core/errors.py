"""The exception and the warning that are meant for the person at the keyboard."""

from __future__ import annotations


class UserError(Exception):
    """An error that the user can fix; the message says what is wrong, where, and the remedy.

    One line. `main` prints it as `error: ...` on stderr and exits with 2, without a traceback.
    """


class MoleWarning(UserWarning):
    """Something that is probably not meant, though it can be done; the message says what to do.

    `warnings.filterwarnings("error", category=mole_jax.MoleWarning)` makes an exception of it.
    """


class RefusedError(UserError):
    """A stage was refused before it made anything: it leaves no record of its config."""
