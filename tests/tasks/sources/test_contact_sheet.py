"""`python -m mole_jax.tasks.sources` says what a source holds, and draws a contact sheet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mole_jax.tasks.sources.__main__ import main


def test_a_contact_sheet_of_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sheets" / "digits.png"
    assert main(["digits", "--show", str(file), "--classes", "4"]) == 0
    out = capsys.readouterr().out
    assert "1,797 of 8x8x1, uint8" in out and "sha256" in out and f"wrote        {file}" in out
    shown = np.asarray(Image.open(file).convert("L"))
    assert shown.shape[1] > 2 * shown.shape[0] and shown.std() > 50
    again = tmp_path / "again.png"
    assert main(["digits", "--show", str(again), "--classes", "4"]) == 0
    assert again.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("shape", "dtype"), [((5, 4, 3), np.uint8), ((8, 8), np.float32), ((6, 6, 2), np.uint8)]
)
def test_any_images_can_be_shown(
    shape: tuple[int, ...], dtype: type, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = (np.random.default_rng(0).random((12, *shape)) * 255).astype(dtype)
    np.savez(tmp_path / "mine.npz", image=image, label=np.arange(12) % 3)
    assert main([f"npz:{tmp_path}/mine.npz", "--show", str(tmp_path / "mine.png")]) == 0
    assert "3, 4 images each" in capsys.readouterr().out
    assert (tmp_path / "mine.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["digts"], "did you mean 'digits'"),
        (["digits", "--shwo=x.png"], "flag --shwo is unknown: did you mean --show"),
        (["digits", "--show", "x.gif"], "a contact sheet is a PNG; name it x.png"),
        (["digits", "--classes", "0"], "--classes must be at least 1"),
        ([], "SOURCE"),
    ],
)
def test_mistakes_end_in_a_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_folder_is_no_file_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "sheet.png"
    folder.mkdir()
    assert main(["digits", "--show", str(folder)]) == 2
    assert "is a folder; give the name of a file" in capsys.readouterr().err
    assert not list(folder.iterdir()) and list(tmp_path.iterdir()) == [folder]


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "glyphs:28 --show" in capsys.readouterr().out
