"""The command: what it prints and writes, and what it leaves alone."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mole_jax.core.storage.files import read_json, write_json
from mole_jax.report.__main__ import COMMANDS, main
from tests.report.comparison import made_up_run
from tests.report.test_build import Balance


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [
        str(made_up_run.write(folder / "first", shift=0.02)),
        str(made_up_run.write(folder / "second")),
        str(made_up_run.write(folder / "third", seed=1)),
    ]


def files(folders: list[str]) -> dict[Path, tuple[int, bytes]]:
    found = [path for folder in folders for path in Path(folder).rglob("*")]
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in found}


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["compare", *arguments]) == 0
    return capsys.readouterr().out.replace("\N{NO-BREAK SPACE}", " ")


def test_a_terminal_of_100_columns_shows_everything(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(capsys, *runs)
    assert max(map(len, text.splitlines())) <= 100
    assert "On the same tasks first is 2.0 points better than second" in " ".join(text.split())
    assert re.search(r"first − second +S1 +4 +\+2\.00 +\+2\.00 to \+2\.00 +\+0\.00 ", text)
    assert "Not paired: first and third on S1, S0: different seeds (0, 1)." in text
    assert re.search(r"seed +0 +0 +1\n", text)
    for recorded in ("Regression 93.1 %", "0.957", "+76.3", "2.1 ms", "48 s", "2 cores"):
        assert recorded in text
    assert re.search(r"first +Diffusion +70\.0 % +80\.0 % +91\.0 % +95\.0 %", text)
    assert re.search(r"first +best other method +72\.0 % +81\.0 % +90\.0 % +94\.0 %", text)


def test_the_page_is_whole_and_says_the_same(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "compare.html"
    printed(capsys, *runs, f"--out={out}")
    text = out.read_text()
    for link in re.findall(r'(?:src|href)="([^"]*)"|url\(([^)]*)\)', text):
        assert "".join(link).startswith(("#", "data:image/"))
    balance = Balance()
    balance.feed(text)
    assert balance.open == [] and "<script" not in text
    assert text.count("<figure") == 1
    for part in (
        "3 runs side by side",
        "first − second",
        "+2.00 to +2.00",
        "different seeds (0, 1)",
    ):
        assert part in text


def test_nothing_is_written_without_being_asked_for(
    runs: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    before = files(runs)
    printed(capsys, *runs)
    assert list(tmp_path.iterdir()) == []
    printed(capsys, *runs, "--out=compare.html")
    assert [path.name for path in tmp_path.iterdir()] == ["compare.html"]
    assert files(runs) == before


def test_workdirs_are_only_read(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(runs)
    for out in (f"{runs[0]}/report/index.html", f"{runs[1]}/new.html"):
        assert main(["compare", *runs, f"--out={out}"]) == 2
        assert "which is only read: name another" in capsys.readouterr().err
    assert main(["compare", *runs, f"--out={tmp_path}"]) == 2
    assert "is a folder: name a file" in capsys.readouterr().err
    assert files(runs) == before


def test_names_from_files_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [made_up_run.write(tmp_path / name) for name in ("<b>&", "other")]
    file = paths[1] / "report" / "evaluation.json"
    record = read_json(file)
    record["splits"]["<i>"] = record["splits"]["S1"]
    record["config"]["<u>"] = "<s>"
    write_json(file, record)
    out = tmp_path / "page.html"
    printed(capsys, *map(str, paths), f"--out={out}")
    text = out.read_text()
    assert "&lt;b&gt;&amp;" in text
    assert not any(tag in text for tag in ("<b>&", "<i>", "<u>", "<s>"))


def test_evaluations_that_measured_little_are_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a", "b"):
        result = {"n_tasks": 2, "n_networks": 2, "generated": {"mean": 0.5}}
        write_json(tmp_path / f"{name}.json", {"splits": {"S1": result}})
    paths = [str(tmp_path / f"{name}.json") for name in ("a", "b")]
    text = printed(capsys, *paths, f"--out={tmp_path / 'page.html'}")
    assert "No setting differs." in text
    assert "Not paired: a and b on S1: only the evaluation.json of a is given" in text


@pytest.mark.parametrize("record", ["[]", "{", '{"status": "done"}'])
def test_a_damaged_record_of_a_stage_ends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], record: str
) -> None:
    paths = [made_up_run.write(tmp_path / name) for name in ("a", "b")]
    (paths[1] / "evaluate" / "stage.json").write_text(record)
    assert "unreadable" in printed(capsys, *map(str, paths))


@pytest.mark.parametrize("arguments", [[], ["--help"], ["compare", "--help"]])
def test_it_explains_itself(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "usage: python -m mole_jax.report" in text
    assert all(name in text for name in COMMANDS)


def test_mistakes_are_one_line(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, match in (
        (["comapre"], "did you mean compare?"),
        (["compare", runs[0]], "comparing takes two or more"),
        (["compare", *runs, "--ou=x"], "did you mean --out?"),
    ):
        assert main(arguments) == 2
        assert re.fullmatch(f"error: .*{re.escape(match)}.*\n", capsys.readouterr().err)
