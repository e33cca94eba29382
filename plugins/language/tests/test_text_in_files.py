"""Text larger than memory: the same data as from memory, made once, believed only when whole."""

from __future__ import annotations

import copy
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import genloom
from genloom.errors import DataError
from genloom_language import documents, packing, reading, stored, text, tokens

pytestmark = pytest.mark.any_engine

LINES = ["To be, or not to be: that is the question.", "Whether 'tis nobler — naïve — in the mind", "", "日本語 😀"]
TEXT = "\r\n".join(f"{LINES[i % 4]} {i * i}" for i in range(300))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own."""
    monkeypatch.setenv("GENLOOM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Make every file too large for memory, read seven bytes at a time, so that characters are torn apart."""

    def patch() -> None:
        monkeypatch.setattr(reading, "HELD_BYTES", 0)
        monkeypatch.setattr(reading, "_BYTES", 7)

    return patch


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(TEXT.encode())
    return path


def test_fingerprints_are_those_of_runs_that_were_trained_before() -> None:
    assert genloom.data.open("play").fingerprint == "9cec1568b0cf526d"
    assert genloom.data.open("play?tokenizer=byte").fingerprint == "c8197558bb5c4993"


def plain_chunks(whole: str, size: int) -> Iterator[str]:
    """The cuts as they were when every text was in memory: tokens of byte pairs depend on them."""
    start = 0
    while start < len(whole):
        end = whole.rfind("\n", start, start + size) + 1 if start + size < len(whole) else len(whole)
        end = end if end > start else start + size
        yield whole[start:end]
        start = end


@pytest.mark.parametrize("size", [1, 13, 60, 10_000])
def test_a_text_is_cut_at_the_same_places_however_it_comes(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "_CHUNK", size)
    whole = "\n\n".join(LINES * 9) + "x" * 100
    rng = np.random.default_rng(size)
    for parts in (1, 3, 50, 400):
        places = [0, *sorted(rng.integers(0, len(whole), parts - 1)), len(whole)]
        pieces = [whole[a:b] for a, b in itertools.pairwise(places)]
        assert list(tokens._chunks(pieces)) == list(plain_chunks(whole, size))


def test_letters_looked_up_are_what_the_library_says() -> None:
    fitted = tokens.with_special(tokens.train_tokenizer("char", TEXT))
    for given in (TEXT, "", "\n", "naïve<|end|>日本<|user|>", "<|end|>"):
        assert tokens.encode(fitted, given).tolist() == fitted.encode(given, add_special_tokens=False).ids
    with pytest.raises(DataError, match=r"'Ж' \(character 262147"):
        tokens.encode(fitted, "\n" * (1 << 18) + "日本語Ж")


def assert_same(first: Any, second: Any) -> None:
    assert first.fingerprint == second.fingerprint and first.spec == second.spec and first.files == second.files
    assert first.notes == second.notes and first.address == second.address
    for one, other in ((first.train, second.train), (first.test, second.test)):
        assert len(one) == len(other)
        for name, values in one.arrays().items():
            found = other.arrays()[name]
            assert found.dtype == values.dtype and type(found) is np.ndarray
            assert np.array_equal(found, values)


@pytest.mark.parametrize(
    "options", ["length=9", "length=9&tokenizer=byte&stride=4", "length=5&tokenizer=bpe&vocabulary=300&test=0.3"]
)
def test_a_large_text_is_the_same_data_as_in_memory(options: str, file: Path, large: Any, cache: Path) -> None:
    held = genloom.data.open(f"text:{file}?{options}")
    assert not cache.exists()
    large()
    mapped = genloom.data.open(f"text:{file}?{options}")
    assert_same(held, mapped)
    for one, other in zip(held.train.set_aside(0.2), mapped.train.set_aside(0.2), strict=True):
        assert np.array_equal(one.arrays()["x"], other.arrays()["x"])
    rows = genloom.data.Loader(mapped.train, 4, seed=1).batch(3)["x"]
    assert np.array_equal(rows, genloom.data.Loader(held.train, 4, seed=1).batch(3)["x"])


def test_tokens_beyond_sixteen_bits_and_a_tokenizer_of_another_text(file: Path, large: Any, tmp_path: Path) -> None:
    import tokenizers

    words = {letter: 70_000 + n for n, letter in enumerate(sorted(set(TEXT.replace("\r", ""))))}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token=""))
    made.pre_tokenizer = tokens._between_letters()
    made.save(str(tmp_path / "t.json"))
    address = f"text:{file}?length=9&tokenizer={tmp_path / 't.json'}"
    held = genloom.data.open(address)
    assert held.train.arrays()["x"].min() >= 70_000
    large()
    assert_same(held, genloom.data.open(address))


def written(path: Path) -> Path:
    with path.open("w") as out:
        for i in range(400):
            line = LINES[i % 4] * (1 + i % 3)
            made: dict[str, Any] = {"prompt": f"{i}?", "completion": line} if i % 2 else {"text": line + " \u2028\x85"}
            out.write(json.dumps(made, ensure_ascii=i % 3 == 0) + "\n" * (1 + i % 5 // 4))
    return path


@pytest.mark.parametrize(
    "options", ["length=60", "length=33&tokenizer=bpe&vocabulary=300", "length=300&tokenizer=char&test=0.5"]
)
def test_large_json_lines_are_the_same_data_as_in_memory(options: str, tmp_path: Path, large: Any, cache: Path) -> None:
    address = f"jsonl:{written(tmp_path / 'a.jsonl')}?{options}"
    held = genloom.data.open(address)
    assert not cache.exists() and "400 lines" in held.notes[0]
    large()
    mapped = genloom.data.open(address)
    assert_same(held, mapped)
    assert_same(held, genloom.data.open(address))
    sent = copy.copy(mapped.train.windows)  # as a process that reads ahead gets it: the file's name, and no values
    assert sorted(vars(sent)) == ["dtype", "file", "start", "stop"]
    assert np.array_equal(packing.Packed(sent).take([3, 1])["x"], held.train.take([3, 1])["x"])


def plain_packing(sizes: list[int], length: int) -> list[list[tuple[int, int]]]:
    """First fit among the 32 windows with the most room: (document, tokens) of each window."""
    windows: list[list[tuple[int, int]]] = []
    room: dict[int, int] = {}
    for document, size in enumerate(sizes):
        for start in range(0, size, length):
            piece = min(length, size - start)
            place = next((w for w, left in room.items() if left >= piece), None)
            if place is None:
                place = len(windows)
                windows.append([])
                room[place] = length
                if len(room) > 32:
                    del room[min(room, key=lambda w: room[w])]
            windows[place].append((document, piece))
            room[place] -= piece
    return windows


def test_windows_that_go_as_lines_come_are_those_of_first_fit() -> None:
    rng = np.random.default_rng(0)
    sizes = [int(size) for size in np.concatenate([rng.integers(40, 64, 100), rng.integers(1, 200, 400)])]
    packed = packing.pack([(np.full(n, i, np.int32), np.ones(n, bool)) for i, n in enumerate(sizes)], 64, end=-5)
    expected = plain_packing(sizes, 64)
    assert len(expected) > 300
    assert [row[row >= 0].tolist() for row in packed.x] == [
        [document for document, piece in window for _ in range(piece)] for window in expected
    ]


def test_a_second_open_makes_no_tokens_and_a_changed_file_makes_new_ones(
    file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    large()
    made: list[int] = []
    tokenise = text._tokenise
    monkeypatch.setattr(text, "_tokenise", lambda *given: made.append(1) or tokenise(*given))
    first = genloom.data.open(f"text:{file}?length=9")
    assert genloom.data.open(f"text:{file}?length=5").train.length == 5 and made == [1]
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    file.write_bytes(TEXT.replace("question", "qeustion").encode())
    os.utime(file, ns=times)  # as long and as old as before
    second = genloom.data.open(f"text:{file}?length=9")
    assert made == [1, 1] and second.fingerprint != first.fingerprint and len(list(cache.iterdir())) == 2
    assert not np.array_equal(first.train.arrays()["x"], second.train.arrays()["x"])
    genloom.data.open(f"text:{file}?length=9&test=0.2")
    assert made == [1, 1, 1]


@pytest.mark.parametrize("kind", ["text", "jsonl"])
def test_an_end_in_the_middle_leaves_nothing_that_is_believed(
    kind: str, file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, cache: Path, tmp_path: Path
) -> None:
    large()
    address = f"text:{file}?length=9" if kind == "text" else f"jsonl:{written(tmp_path / 'a.jsonl')}?length=40"
    encode, count = tokens.Encoder._tokens, iter(range(3))

    def ends(self: Any, group: list[str]) -> Any:
        if next(count, None) is None:
            raise KeyboardInterrupt
        return encode(self, group)

    monkeypatch.setattr(tokens, "_CHUNK", 100)
    with monkeypatch.context() as patch:
        patch.setattr(tokens.Encoder, "_tokens", ends)
        with pytest.raises(KeyboardInterrupt):
            genloom.data.open(address)
    assert list(cache.iterdir()) == []
    mapped = genloom.data.open(address)
    monkeypatch.setattr(reading, "HELD_BYTES", 1 << 20)
    assert_same(genloom.data.open(address), mapped)


def test_what_a_killed_process_left_is_not_believed_and_goes_after_a_day(
    file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    large()
    real, left = stored._make, []

    def killed(folder: Path, make: Any) -> None:
        draft = folder.with_name(f".{folder.name}.1-dead")
        draft.mkdir()
        make(draft)  # and no more: neither a rename nor a clean-up
        left.append(draft)
        real(folder, make)

    monkeypatch.setattr(stored, "_make", killed)
    genloom.data.open(f"text:{file}?length=9")
    monkeypatch.setattr(stored, "_make", real)
    genloom.data.open(f"text:{file}?length=9&test=0.2")
    assert left[0].exists()  # it may be at work still
    for each in [left[0], *left[0].iterdir()]:
        os.utime(each, (time.time() - 90_000,) * 2)
    genloom.data.open(f"text:{file}?length=9&test=0.3")
    assert not left[0].exists() and len(list(cache.iterdir())) == 3


@pytest.mark.parametrize("damage", ["shorter", "other", "absent", "about"])
def test_damaged_tokens_are_made_again(damage: str, file: Path, large: Any, cache: Path, capsys: Any) -> None:
    large()
    first = genloom.data.open(f"text:{file}?length=9")
    folder = next(cache.iterdir())
    path = folder / ("about.json" if damage == "about" else "tokens")
    content = path.read_bytes()
    path.unlink()
    if damage != "absent":
        path.write_bytes(content[:-2] if damage != "other" else content[:-2] + b"\1\0")
    assert_same(first, genloom.data.open(f"text:{file}?length=9"))
    assert "is damaged" in capsys.readouterr().err and path.read_bytes() == content


def test_the_first_of_two_that_make_the_same_wins(tmp_path: Path, cache: Path) -> None:
    def make(name: str) -> Callable[[Path], dict[str, Any]]:
        return lambda folder: (folder / "tokens").write_text(name) and {"by": name}

    def interrupted(folder: Path) -> dict[str, Any]:
        assert stored.keep("key", make("second"))[1] == {"by": "second"}
        return make("first")(folder)

    folder, about = stored.keep("key", interrupted)
    assert about == {"by": "second"} and (folder / "tokens").read_text() == "second"
    assert [entry.name for entry in cache.iterdir()] == ["key"]


OPEN = """
import resource, sys
import genloom, genloom_language.documents
genloom.data.open("play")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
data = genloom.data.open(sys.argv[1])
print(data.fingerprint, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def opened(address: str) -> tuple[str, int]:
    """Open in another process, and return the fingerprint and the megabytes it took."""
    done = subprocess.run([sys.executable, "-c", OPEN, address], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    fingerprint, megabytes = done.stdout.split()
    return fingerprint, int(megabytes)


def test_forty_megabytes_take_little_memory_and_two_processes_at_once_agree(tmp_path: Path, cache: Path) -> None:
    """In memory the text alone takes 40 MB, its letters as tokens 160 MB, and the library a multiple of both."""
    file = tmp_path / "a.txt"
    letters = np.frombuffer(b"abcdefghijklmnopqrstuvwxyz     \n", np.uint8)
    file.write_bytes(letters[np.random.default_rng(0).integers(0, len(letters), 40 << 20)].tobytes())
    with ThreadPoolExecutor() as pool:
        found = list(pool.map(opened, [f"text:{file}"] * 2))
    assert len({fingerprint for fingerprint, _ in found}) == 1
    assert max(megabytes for _, megabytes in found) < 200  # of which 80 are the mapped file
    assert len(list(cache.iterdir())) == 1
    begin = time.perf_counter()
    assert genloom.data.open(f"text:{file}").fingerprint == found[0][0]
    assert time.perf_counter() - begin < 20


def test_a_wrong_byte_in_the_middle_is_named_with_its_place(file: Path, large: Any, tmp_path: Path) -> None:
    wrong = bytearray("日本語\n".encode() * 500)
    wrong[700] = 0xFF  # within a character that parts of seven bytes tear apart
    file.write_bytes(wrong)
    messages = []
    for patch in (lambda: None, large):
        patch()
        with pytest.raises(DataError, match=r"a\.txt' cannot be read as text: byte (699|700), 0x") as error:
            genloom.data.open(f"text:{file}?length=9")
        messages.append(str(error.value))
    assert messages[0] == messages[1]
    file.write_bytes("日本語\n".encode() * 500 + "日".encode()[:2])
    with pytest.raises(DataError, match="byte 5000, 0xe6"):
        genloom.data.open(f"text:{file}?length=9")


def test_a_file_that_changes_while_it_is_read_is_refused(
    file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    large()
    train = text.train_tokenizer

    def changes(*given: Any) -> Any:
        file.write_bytes(TEXT[:-1].encode() + b"!")
        return train(*given)

    monkeypatch.setattr(text, "train_tokenizer", changes)
    with pytest.raises(DataError, match="has changed"):
        genloom.data.open(f"text:{file}?length=9&tokenizer=byte")
    assert list(cache.iterdir()) == []


def test_a_line_that_cannot_be_used_is_named_in_a_large_file(tmp_path: Path, large: Any, cache: Path) -> None:
    large()
    path = written(tmp_path / "a.jsonl")
    path.write_text(path.read_text() + '{"text": 3}\n')
    with pytest.raises(DataError, match="Line 481"):
        genloom.data.open(f"jsonl:{path}?length=40")
    path.write_text('{"text": "few"}\n')
    with pytest.raises(DataError, match="needs 10"):
        genloom.data.open(f"jsonl:{path}?length=40")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_costs_memory_only(
    file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    addresses = [f"text:{file}?length=9", f"jsonl:{written(tmp_path / 'a.jsonl')}?length=40"]
    held = [genloom.data.open(address) for address in addresses]
    large()
    monkeypatch.setenv("GENLOOM_CACHE", str(file / "within a file"))
    for one, address in zip(held, addresses, strict=True):
        assert_same(one, genloom.data.open(address))
        assert "set GENLOOM_CACHE" in capsys.readouterr().err


def test_a_tokenizer_of_byte_pairs_knows_the_beginning_of_a_large_text(
    file: Path, large: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    large()
    for module in (text, documents):
        monkeypatch.setattr(module, "FITTED", 2000)
    data = genloom.data.open(f"text:{file}?length=9&tokenizer=bpe&vocabulary=300")
    whole = TEXT.replace("\r\n", "\n")
    assert data.files["tokenizer.json"].decode() == tokens.train_tokenizer("bpe", whole[:2000], 300).to_str()
    assert data.files["tokenizer.json"].decode() != tokens.train_tokenizer("bpe", whole, 300).to_str()
    assert "first 2,000 characters" in data.notes[1]
    packed = genloom.data.open(f"jsonl:{written(tmp_path / 'a.jsonl')}?length=40&tokenizer=bpe&vocabulary=300")
    assert "first 2,000 characters" in packed.notes[1]


def test_a_folder_of_texts_is_one_text_in_the_order_of_names(tmp_path: Path, large: Any) -> None:
    folder = tmp_path / "texts"
    folder.mkdir()
    with pytest.raises(DataError, match=r"no files \*\.txt"):
        genloom.data.open(f"text:{folder}")
    for name, content in (("b.txt", TEXT[500:]), ("a.txt", TEXT[:500]), ("c.md", "not this")):
        (folder / name).write_bytes(content.encode())
    one = tmp_path / "one.txt"
    one.write_bytes(f"{TEXT[:500]}\n{TEXT[500:]}".encode())
    expected = genloom.data.open(f"text:{one}?length=9")
    for patch in (lambda: None, large):
        patch()
        assert genloom.data.open(f"text:{folder}?length=9").fingerprint == expected.fingerprint
    with pytest.raises(DataError, match="is a folder"):
        genloom.data.open(f"jsonl:{folder}")
