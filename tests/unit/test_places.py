"""Where things are kept: by convention, never in a directory called `~`."""

import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from custom_bert import cli
from custom_bert.config_sources import from_mapping
from custom_bert.errors import ConfigError
from custom_bert.places import cache_places, expanded, home_directory


def nobody(*arguments: Any) -> Any:
    """The system's list of users, which does not know this one."""
    raise KeyError("uid not found")


@pytest.fixture
def homeless(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in ("HOME", "XDG_CACHE_HOME", "TMPDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    return monkeypatch


def paths(configured: str | None = None, out: str | None = "runs/x") -> list[str]:
    return [str(place.path) for place in cache_places(configured, out)[0]]


TEMPORARY = [f"/tmp/custom-bert-{os.geteuid()}", f"/var/tmp/custom-bert-{os.geteuid()}"]


def test_the_cache_is_where_it_is_configured_or_by_convention(homeless: pytest.MonkeyPatch) -> None:
    last = [*TEMPORARY, f"{Path.cwd()}/runs/custom-bert-cache"]
    assert paths() == last and cache_places(None, None)[1] == ["there is no home directory"]
    homeless.setenv("HOME", "/home/someone")
    assert paths() == ["/home/someone/.cache/custom-bert", *last] and cache_places(None, None)[1] == []
    homeless.setenv("XDG_CACHE_HOME", "/somewhere")
    homeless.setenv("TMPDIR", "/scratch")
    assert paths("x/y") == [
        "x/y",
        "/somewhere/custom-bert",
        "/home/someone/.cache/custom-bert",
        f"/scratch/custom-bert-{os.geteuid()}",
        *last,
    ]
    assert [place.shared for place in cache_places(None, None)[0]] == [False, False, True, True, True, False]


@pytest.mark.parametrize("value", ["", "relative", ".", "~"])
def test_a_home_or_a_cache_that_is_no_absolute_path_is_none(homeless: pytest.MonkeyPatch, value: str) -> None:
    homeless.setenv("HOME", value)
    homeless.setenv("XDG_CACHE_HOME", value)
    assert home_directory() is None and paths()[0] == TEMPORARY[0]


def test_without_home_the_list_of_users_says_where_it_is(homeless: pytest.MonkeyPatch) -> None:
    homeless.setattr(pwd, "getpwuid", lambda uid: pwd.struct_passwd(("a", "x", uid, uid, "", "/of/a", "sh")))
    assert home_directory() == Path("/of/a") and expanded("~/x") == "/of/a/x"


def test_a_tilde_is_a_home_or_one_line_and_never_a_directory(
    homeless: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    homeless.chdir(tmp_path)
    for path, told in {
        "~": "no home directory",
        "~/x": "no home directory",
        "~who/x": "no user 'who'",
    }.items():
        with pytest.raises(ValueError, match=told):
            expanded(path)
    (tmp_path / "~notes").touch()
    assert [expanded(p) for p in ("~notes", "./~/x", "a/~")] == ["~notes", "./~/x", "a/~"]
    homeless.setenv("HOME", "/home/someone")
    assert [expanded(p) for p in ("~", "~/", "~/a b")] == [
        "/home/someone",
        "/home/someone",
        "/home/someone/a b",
    ]


@pytest.mark.parametrize("name", ["out", "data.cache_dir", "data.corpus"])
def test_a_setting_with_a_tilde_without_a_home_is_refused_by_name(
    homeless: pytest.MonkeyPatch, name: str
) -> None:
    value: Any = ["~/x"] if name == "data.corpus" else "~/x"
    with pytest.raises(ConfigError, match=rf"config: {name} .*: there is no home directory"):
        from_mapping({name: value})


@pytest.mark.parametrize("arguments", [["init", "~/x"], ["sample-data", "~/x"], ["report", "r", "~/x"]])
def test_an_argument_with_a_tilde_without_a_home_makes_nothing(
    homeless: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    homeless.chdir(tmp_path)
    assert cli.main(arguments) == 64
    told = "error: ~/x: there is no home directory that ~ could stand for; set HOME, or give the whole path\n"
    assert capsys.readouterr().err == told
    assert not list(tmp_path.iterdir())


def test_an_argument_with_a_tilde_is_in_the_home(
    homeless: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    homeless.setenv("HOME", str(tmp_path))
    assert cli.main(["init", "~/x"]) == 0
    assert (tmp_path / "x" / "config.py").is_file()
