"""Tokens: where they come from, how they are compared, and which addresses need one."""

import os
from pathlib import Path

import pytest

from custom_bert.errors import UserError
from custom_bert.server.access import Gate, check_host, is_local, read_token

TOKEN = "a1b2c3d4e5f6a7b8c9d0"


def written(folder: Path, content: str, mode: int = 0o600) -> str:
    path = folder / "token"
    path.write_text(content, encoding="utf-8")
    os.chmod(path, mode)
    return str(path)


def test_a_token_comes_from_a_file_or_the_environment_and_the_file_counts_more(tmp_path: Path) -> None:
    warned: list[str] = []
    path = written(tmp_path, TOKEN + "\n")
    assert read_token(path, warned.append, {"CUSTOM_BERT_TOKEN": "x" * 20}) == TOKEN
    assert read_token(None, warned.append, {"CUSTOM_BERT_TOKEN": TOKEN}) == TOKEN
    assert read_token(None, warned.append, {}) is None
    assert warned == []


def test_a_token_file_that_others_can_read_is_warned_of(tmp_path: Path) -> None:
    warned: list[str] = []
    path = written(tmp_path, TOKEN, 0o644)
    assert read_token(path, warned.append) == TOKEN
    assert warned == [f"{path}: others on this machine can read the token; chmod 600 {path}"]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("", "the token is empty"),
        (" \n", "the token is empty"),
        ("short", "the token has 5 characters, and 16 are the fewest"),
        ("two words are not a token", "a token is one word"),
        ("ä" * 20, "a token is one word"),
        ("a" * 5000, "a token is one word"),
    ],
)
def test_what_is_no_token_is_refused_without_being_shown(tmp_path: Path, content: str, fault: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(UserError, match=fault) as error:
        read_token(path, lambda line: None)
    assert str(error.value).startswith(f"{path}: ")
    assert len(content.strip()) < 5 or content.strip() not in str(error.value)
    with pytest.raises(UserError, match=f"CUSTOM_BERT_TOKEN: {fault}"):
        read_token(None, lambda line: None, {"CUSTOM_BERT_TOKEN": content})


def test_a_missing_token_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none: cannot read the token: No such file or directory \(ENOENT\)"):
        read_token(str(tmp_path / "none"), lambda line: None)


def test_only_addresses_of_this_machine_do_without_a_token() -> None:
    for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"):
        assert is_local(host)
        check_host(host, None)
    for host in ("0.0.0.0", "::", "192.168.1.4", "example.org", "localhost.example.org", ""):
        assert not is_local(host)
        check_host(host, TOKEN)
        with pytest.raises(UserError, match="without a token everybody may ask"):
            check_host(host, None)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        f"Bearer {TOKEN[:-1]}".encode(),
        f"Bearer {TOKEN}x".encode(),
        f"Bearer {TOKEN[:8]}".encode(),
        f"Bearer {TOKEN.upper()}".encode(),
        f"Basic {TOKEN}".encode(),
        TOKEN.encode(),
        b"Bearer \xff\xfe",
    ],
)
def test_only_the_whole_token_opens(given: bytes) -> None:
    assert not Gate(TOKEN).opens(given)


def test_the_token_opens_and_without_one_everything_does() -> None:
    assert Gate(TOKEN).opens(f"Bearer {TOKEN}".encode())
    assert Gate(TOKEN).opens(f"bearer  {TOKEN} ".encode())
    assert not Gate(None).needed and Gate(None).opens(b"")
