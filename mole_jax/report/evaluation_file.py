"""evaluation.json, read and checked: every page of the report begins with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from mole_jax.core.errors import UserError
from mole_jax.core.storage.files import read_json
from mole_jax.report.numbers import known

_LONGEST = 120  # characters of what is said about a value
_SCHEMA = Path(__file__).with_name("evaluation.schema.json")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file, as the evaluate stage writes it today."""
    found: dict[str, Any] = read_json(_SCHEMA)
    return found


def faults(evaluation: Any) -> Iterator[ValidationError]:
    """Yield all that the file's content has against today's schema, where it first appears."""
    yield from Draft202012Validator(schema()).iter_errors(evaluation)


def read_evaluation(path: Path) -> dict[str, Any]:
    """Read what the evaluate stage has recorded, by this version or an earlier one.

    Raises:
        UserError: if the file is missing, is not JSON, lacks what every page shows, or has a value
            of another type than the schema's.
    """
    if not path.exists():
        raise UserError(
            f"{path} is missing; run the evaluate stage first (--stages=evaluate,report)"
        )
    evaluation = read_json(path)
    splits = evaluation.get("splits") if isinstance(evaluation, dict) else None
    if not isinstance(splits, dict) or not splits:
        raise UserError(f"{path} has no splits to report; run the evaluate stage again")
    for fault in filter(_is_damage, faults(evaluation)):
        raise UserError(
            f"{path} is damaged: {fault.json_path.removeprefix('$.')}: {_message(fault)}; run the "
            "evaluate stage again"
        )
    for name, result in splits.items():
        lacking = [key for key in ("n_tasks", "n_networks", "generated") if key not in result]
        if lacking:
            raise UserError(
                f"{path}: split {name} lacks {', '.join(lacking)}; run the evaluate stage again"
            )
        if not known(result["generated"].get("mean")):
            raise UserError(
                f"{path}: split {name} has no mean of generated networks; run the evaluate stage "
                "again"
            )
    return evaluation


def _is_damage(fault: ValidationError) -> bool:
    """Return whether no version writes this: others have more keys or fewer, NaN is null."""
    if fault.validator not in ("type", "enum", "minItems", "maxItems"):
        return False
    return not (fault.instance is None and "number" in fault.validator_value)


def _message(fault: ValidationError) -> str:
    """Return what is wrong in a line, however much is wrong."""
    text = fault.message
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({fault.validator})"
