"""Running text on disk: no token is lost or doubled, no piece crosses documents, and an interruption is
continued."""

import hashlib
import os
import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from custom_bert import files
from custom_bert.data import piece_writing, pieces
from custom_bert.data.batching import padding_share, plan_batches
from custom_bert.data.cache import Cache
from custom_bert.data.corpus import Corpus, read_corpus
from custom_bert.data.piece_files import StoreProgress
from custom_bert.data.piece_writing import StoreWriter
from custom_bert.data.pieces import Pieces, open_pieces
from custom_bert.data.tokenizer import TextTokenizer
from custom_bert.data.tokenizer_files import from_vocab
from custom_bert.errors import DataError, RunError

LENGTH = 20


@pytest.fixture(scope="module")
def tokenizer() -> TextTokenizer:
    words = [f"w{i}" for i in range(200)]
    return from_vocab(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words], lowercase=True)


def write_corpus(folder: Path, documents: int = 120, seed: int = 0) -> list[list[str]]:
    """Two files of random documents; their words."""
    generator = np.random.Generator(np.random.PCG64(seed))
    found = []
    for number, name in enumerate(("a.txt", "b.txt")):
        lines = []
        for _ in range(documents // 2):
            document = []
            for _ in range(int(generator.integers(1, 5))):
                words = [f"w{i}" for i in generator.integers(0, 200, size=int(generator.integers(1, 40)))]
                lines.append(" ".join(words))
                document += words
            lines.append("")
            found.append(document)
        (folder / name).write_text("\n".join(lines[:-1] if number else lines) + "\n")
    return found


def opened(folder: Path, tokenizer: TextTokenizer, **changes: Any) -> tuple[Pieces, Pieces]:
    options: dict[str, Any] = dict(max_length=LENGTH, held_out=0.1, seed=0, cache=Cache(folder / "cache"))
    return open_pieces(corpus(folder), tokenizer, **{**options, **changes})


def corpus(folder: Path) -> Corpus:
    return read_corpus([str(folder / "a.txt"), str(folder / "b.txt")])


def words_of(piece: np.ndarray, tokenizer: TextTokenizer) -> list[str]:
    assert piece[0] == tokenizer.cls_id and piece[-1] == tokenizer.sep_id and len(piece) <= LENGTH
    return [tokenizer.backend.id_to_token(int(i)) for i in piece[1:-1]]


def test_pieces_hold_every_word_of_every_document_once(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    documents = write_corpus(tmp_path)
    train, held_out = opened(tmp_path, tokenizer)
    found = [words_of(split[i], tokenizer) for split in (train, held_out) for i in range(len(split))]
    wanted = [
        document[start : start + LENGTH - 2]
        for document in documents
        for start in range(0, len(document), LENGTH - 2)
    ]
    assert sorted(found) == sorted(wanted)
    assert 0 < int(held_out.lengths_N.sum()) < 0.3 * int(train.lengths_N.sum())


def test_held_out_documents_are_held_out_whole(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    documents = write_corpus(tmp_path)
    train, held_out = opened(tmp_path, tokenizer)
    first = {
        tuple(words_of(split[i], tokenizer)): name
        for name, split in (("t", train), ("h", held_out))
        for i in range(len(split))
    }
    for document in documents:
        parts = [tuple(document[start : start + LENGTH - 2]) for start in range(0, len(document), LENGTH - 2)]
        assert len({first[part] for part in parts}) == 1


def test_of_few_documents_pieces_are_held_out(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    write_corpus(tmp_path, documents=20)
    train, held_out = opened(tmp_path, tokenizer)
    assert len(train) and len(held_out)


@pytest.mark.parametrize("plan", ["uniform_length", "packed"])
def test_at_most_a_hundredth_of_a_batch_is_padding(
    tmp_path: Path, tokenizer: TextTokenizer, plan: Any
) -> None:
    write_corpus(tmp_path, documents=2000)
    train, _ = opened(tmp_path, tokenizer)
    batches = plan_batches(train.lengths_N, plan, token_budget=2048, batch_size=None, seed=0, epoch=0)
    assert padding_share(train.lengths_N, batches, plan, LENGTH) <= 0.01


def content(folder: Path) -> dict[str, str]:
    (store,) = (path for path in (folder / "cache" / "corpus").iterdir())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(store.iterdir())}


@pytest.mark.parametrize("stop", [1, 2, 5, 11])
def test_an_interrupted_preparation_goes_on_where_it_was(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    monkeypatch.setattr(piece_writing, "SHARD", 300)
    monkeypatch.setattr(piece_writing, "GROUP", 7)
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    for folder in (whole, broken):
        folder.mkdir()
        write_corpus(folder)
    opened(whole, tokenizer)
    real, calls, read = piece_writing.ShardWriter.flush, 0, []

    def flush(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as kill:
        kill.setattr(piece_writing.ShardWriter, "flush", flush)
        with pytest.raises(KeyboardInterrupt):
            opened(broken, tokenizer)
    encode = TextTokenizer.encode_plain
    monkeypatch.setattr(
        TextTokenizer, "encode_plain", lambda self, texts: read.extend(texts) or encode(self, texts)
    )
    opened(broken, tokenizer)
    assert content(broken) == content(whole)
    paragraphs = corpus(broken).paragraphs
    assert len(read) < paragraphs if stop > 2 else len(read) == paragraphs, "what was done is not done again"


def test_a_preparation_killed_at_any_moment_goes_on_to_the_same_bytes(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moments are those before and after each thing that is made durable."""
    monkeypatch.setattr(piece_writing, "SHARD", 700)
    monkeypatch.setattr(piece_writing, "GROUP", 7)
    steps = [(piece_writing.ShardWriter, "flush"), (StoreProgress, "write")]
    steps += [(files, name) for name in ("remove_file", "rename_directory")]
    whole = tmp_path / "whole"
    whole.mkdir()
    write_corpus(whole, documents=40)
    opened(whole, tokenizer)

    def interrupted(folder: Path, stop: int) -> bool:
        """Whether a preparation that is killed at this moment was killed at all."""
        moments = 0

        def moment() -> None:
            nonlocal moments
            moments += 1
            if moments == stop:
                raise KeyboardInterrupt

        with monkeypatch.context() as kill:
            for where, name in steps:
                real = getattr(where, name)

                def step(*arguments: Any, real: Any = real) -> Any:
                    moment()
                    found = real(*arguments)
                    moment()
                    return found

                kill.setattr(where, name, step)
            try:
                opened(folder, tokenizer)
            except KeyboardInterrupt:
                return True
        return False

    for stop in range(1, 100):
        folder = tmp_path / str(stop)
        folder.mkdir()
        write_corpus(folder, documents=40)
        killed = interrupted(folder, stop)
        opened(folder, tokenizer)
        assert content(folder) == content(whole), stop
        if not killed:
            break
    assert 20 < stop < 99


def test_a_second_start_reads_no_text(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    opened(tmp_path, tokenizer)
    monkeypatch.setattr(TextTokenizer, "encode_plain", lambda self, texts: pytest.fail("tokenised again"))
    opened(tmp_path, tokenizer)


def test_more_shards_than_a_process_may_open_files(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    whole, _ = opened(tmp_path, tokenizer)
    monkeypatch.setattr(piece_writing, "SHARD", 40)
    monkeypatch.setattr(piece_writing, "GROUP", 1)
    monkeypatch.setattr(pieces, "MAPPED", 8)
    train, _ = opened(tmp_path, tokenizer, cache=Cache(tmp_path / "many"))
    assert len(train.info.train) > 100
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 32, hard))
    try:
        order = np.random.Generator(np.random.PCG64(0)).permutation(len(whole))
        assert all((train[i] == whole[i]).all() for i in order.tolist())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_another_process_completed_meanwhile_is_taken(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one ends between our first look at the store and our lock."""
    write_corpus(tmp_path)
    real = pieces.read_complete

    def looks(directory: Path) -> Any:
        monkeypatch.setattr(pieces, "read_complete", real)
        opened(tmp_path, tokenizer)
        monkeypatch.setattr(StoreWriter, "run", lambda _: pytest.fail("prepared again"))
        return None

    monkeypatch.setattr(pieces, "read_complete", looks)
    train, _ = opened(tmp_path, tokenizer)
    assert len(train) > 100
    (store,) = (tmp_path / "cache" / "corpus").iterdir()
    assert not store.name.endswith(".partial")


@pytest.mark.parametrize("name", ["train-00000.ids", "held_out-00000.lengths", "store.json"])
def test_a_damaged_store_is_made_again(tmp_path: Path, tokenizer: TextTokenizer, name: str) -> None:
    write_corpus(tmp_path)
    opened(tmp_path, tokenizer)
    before = content(tmp_path)
    (store,) = (tmp_path / "cache" / "corpus").iterdir()
    data = bytearray((store / name).read_bytes())
    data[len(data) // 2] ^= 1
    (store / name).write_bytes(data)
    opened(tmp_path, tokenizer)
    assert content(tmp_path) == before


def test_a_paragraph_of_any_length_is_read(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    long = " ".join(f"w{i % 200}" for i in range(60_000))
    (tmp_path / "a.txt").write_text(f"{long}\n\n" + "x" * 50_000 + "\n")
    (tmp_path / "b.txt").write_text("w1 w2\n\n" * 50)
    train, held_out = opened(tmp_path, tokenizer)
    words = sum(
        words_of(split[i], tokenizer).count("w7") for split in (train, held_out) for i in range(len(split))
    )
    assert words == 300


def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(piece_writing, "SHARD", 100)
    monkeypatch.setattr(piece_writing, "GROUP", 10)
    write_corpus(tmp_path)
    found = corpus(tmp_path)
    right = (tmp_path / "b.txt").read_bytes()
    (tmp_path / "b.txt").write_bytes(right.replace(b"w1", b"w2"))
    options: dict[str, Any] = dict(max_length=LENGTH, held_out=0.1, seed=0, cache=Cache(tmp_path / "cache"))
    with pytest.raises(DataError, match="the file changed while it was read"):
        list(found.blocks())
    with pytest.raises(DataError, match="the file changed while it was read"):
        open_pieces(found, tokenizer, **options)
    (tmp_path / "b.txt").write_bytes(right)  # what was written of the other text is not taken for this one
    opened(tmp_path, tokenizer)
    (tmp_path / "elsewhere").mkdir()
    opened(tmp_path, tokenizer, cache=Cache(tmp_path / "elsewhere" / "cache"))
    assert content(tmp_path) == content(tmp_path / "elsewhere")


def test_too_little_text_is_told(tmp_path: Path, tokenizer: TextTokenizer) -> None:
    (tmp_path / "a.txt").write_text("w1\n")
    (tmp_path / "b.txt").write_text("w2\n")
    with pytest.raises(DataError, match="too little text to hold some out; add text, or raise"):
        opened(tmp_path, tokenizer, held_out=0.001)
    with pytest.raises(DataError, match="too little text to train on; add text, or lower"):
        opened(tmp_path, tokenizer, held_out=0.999)


def test_two_preparations_do_not_meet(
    tmp_path: Path, tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    real = StoreWriter.run

    def inside(writer: StoreWriter) -> StoreProgress:
        monkeypatch.setattr(StoreWriter, "run", real)
        with pytest.raises(RunError, match="another process prepares the same text; wait for it"):
            opened(tmp_path, tokenizer)
        return real(writer)

    monkeypatch.setattr(StoreWriter, "run", inside)
    opened(tmp_path, tokenizer)
