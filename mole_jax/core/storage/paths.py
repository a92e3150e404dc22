"""Paths as people write them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mole_jax.core.errors import UserError


def user_path(text: str | os.PathLike[str]) -> Path:
    """Return the path that a user has given, with `~` and `~user` as the home folders they mean.

    A shell leaves `--workdir=~/x` as it is. Every path from outside comes through here: it is the
    `type` of argparse's flags, too.

    Raises:
        UserError: for anything but a path, and for a user without a home folder.
    """
    try:
        path = Path(text).expanduser()
        os.stat(path)
    except OSError as problem:
        if problem.errno == errno.ENAMETOOLONG:
            raise UserError(f"{str(text)[:60]}... is too long for a path: give another") from None
    except (TypeError, ValueError):  # no text; or a null character in it
        raise UserError(f"{text!r} is not a path: give a text or a pathlib.Path") from None
    except RuntimeError:
        name = str(text).partition("/")[0]
        raise UserError(
            f"{text}: no home folder is known for {name}: write ./{text} for a file of that name"
        ) from None
    return path


def cache_folder() -> Path:
    """Return the folder for what can be made again: mole in $XDG_CACHE_HOME or else in ~/.cache."""
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "mole"
