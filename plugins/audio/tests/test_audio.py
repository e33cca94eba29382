"""Sound: spectra against closed forms, notes of the pitch that is stated, files read whole or refused by name."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

import genloom
from genloom import DataSpec
from genloom.errors import DataError
from genloom.runs import Run
from genloom.testing import DatasetConformance, ModalityConformance
from genloom_audio.modality import AUDIO, wav
from genloom_audio.section import sections
from genloom_audio.spectra import FLOOR, centroid, log_mel, mel_filters, power
from genloom_audio.tones import INSTRUMENTS, PITCHES, open_tones, played

pytestmark = pytest.mark.any_engine

SOUND = DataSpec((512, 1), kind="audio", value_range=(-1.0, 1.0), rate=8000.0)


def sine(hertz: float, amplitude: float = 1.0, rate: int = 8000, time: int = 8000) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hertz * np.arange(time) / rate)


class TestAudio(ModalityConformance):
    id = "audio/audio"
    spec = SOUND


class TestTones(DatasetConformance):
    id = "audio/tones"
    address = "tones?n=48&rate=2000&seconds=0.1"


def test_a_sine_on_a_bin_has_its_square_of_amplitude_as_power() -> None:
    found = power(sine(1000.0, 0.5)[None], 256)[0, 5]  # bin 32 of 31.25 Hz
    assert found[32] == pytest.approx(0.25, rel=1e-6)
    assert found[[31, 33]] == pytest.approx([0.0625, 0.0625], rel=1e-6)  # Hann's window spreads half the amplitude
    assert found[:30].max() < 1e-20 and found[35:].max() < 1e-20


def test_mel_bands_are_even_on_the_mel_scale_and_none_is_empty() -> None:
    filters = mel_filters(8000.0, 256, 32)
    frequencies = np.arange(129) * 31.25
    middles = frequencies[filters.argmax(axis=1)]
    mel = 1127 * np.log1p(middles / 700)
    steps = np.diff(mel)
    even = 1127 * np.log1p(4000 / 700) / 33
    assert np.abs(steps[10:] - even).max() < 0.6 * even  # bins are 31 Hz apart
    assert (filters.sum(axis=1) > 0).all() and filters.max() <= 1.0


def test_bands_are_in_decibels_of_full_scale_and_end_at_the_floor() -> None:
    loud, quiet = (log_mel(sine(1000.0, amplitude)[None], 8000.0).max() for amplitude in (1.0, 0.1))
    assert loud - quiet == pytest.approx(20.0, abs=1e-6)
    assert -3.0 < loud < 3.0
    assert log_mel(np.zeros((1, 8000)), 8000.0).min() == log_mel(np.zeros((1, 8000)), 8000.0).max() == FLOOR


def test_the_summary_is_that_of_a_sine() -> None:
    found = AUDIO.summary(sine(1000.0, 0.5)[None, :, None], SOUND)
    assert found["loudness_db"][0] == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=0.01)
    assert found["peak"][0] == pytest.approx(0.5, abs=1e-6)
    assert found["brightness_hz"][0] == pytest.approx(1000.0, abs=1.0)
    assert centroid(np.zeros((1, 512)), 8000.0)[0] == 0.0


def test_high_tones_are_drawn_above_low_ones() -> None:
    spec = SOUND.replace(shape=(8000, 1))
    pixels = np.asarray(AUDIO.picture(np.stack([sine(f)[:, None] for f in (300.0, 3000.0)]), spec, columns=2), float)
    half = pixels.shape[1] // 2
    rows = [part.mean(axis=1).argmax() for part in (pixels[:, : half - 1], pixels[:, half + 1 :])]
    assert rows[1] < rows[0]


@pytest.mark.parametrize("instrument", ["flute", "organ"])
def test_notes_have_their_pitch(instrument: str) -> None:
    """The strongest frequency of a second of each, within a hundredth of a semitone."""
    x = played(PITCHES, instrument, 8000, 8000, np.zeros(12), np.zeros(12))
    spectrum = np.abs(np.fft.rfft(x * np.hanning(8000), n=2**18))
    found = spectrum.argmax(axis=1) * 8000 / 2**18
    assert np.abs(12 * np.log2(found / PITCHES)).max() < 0.01
    assert PITCHES[9] == 440.0


def test_no_partial_lies_beyond_half_the_rate() -> None:
    """It would be heard as another, lower one."""
    found = played(np.array([900.0]), "string", 4000, 4000, np.zeros(1), np.zeros(1))
    spectrum = np.abs(np.fft.rfft(found[0] * np.hanning(4000)))
    heard = np.flatnonzero(spectrum > 0.05 * spectrum.max())
    assert set(np.round(heard / 900).astype(int)) == {1, 2}  # of 900, 1800, 2700, …


def test_tones_are_balanced_and_fixed_by_their_seed() -> None:
    first, again, other = (open_tones(n=96, seconds=0.05, seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.factors is not None
    counts = Counter(map(tuple, first.factors.train.tolist()))
    assert set(counts.values()) == {2} and len(counts) == 48
    batch = first.train.arrays()
    np.testing.assert_array_equal(batch["label"], first.factors.train[:, 0])
    assert np.abs(batch["x"]).max() <= 0.8 and first.spec.class_names == tuple(INSTRUMENTS)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, hertz in (("high", 1600.0), ("low", 200.0)):
        (tmp_path / name).mkdir()
        for i in range(6):
            soundfile.write(tmp_path / name / f"{i}.wav", sine(hertz, 0.5, 8000, 4000), 8000, subtype="FLOAT")
    return tmp_path


def test_recordings_of_every_form_are_brought_to_one_and_it_is_said(folder: Path) -> None:
    stereo = np.stack([sine(200.0, 0.8, 16000, 8000), np.zeros(8000)], axis=1)
    soundfile.write(folder / "low" / "0.wav", stereo, 16000, subtype="FLOAT")
    soundfile.write(folder / "low" / "1.flac", sine(200.0, 0.5, 8000, 9000), 8000)
    soundfile.write(folder / "low" / "2.wav", sine(200.0, 0.5, 8000, 1000), 8000, subtype="FLOAT")
    dataset = genloom.data.open(f"audio:{folder}?rate=8000&seconds=0.5&test=0.2")
    assert (
        dataset.spec.shape == (4000, 1) and dataset.spec.rate == 8000.0 and dataset.spec.class_names == ("high", "low")
    )
    notes = " ".join(dataset.notes)
    for said in ("1 of 13 recordings resampled to 8000 Hz", "1 of 13 recordings mixed down", "1 of 13 recordings cut",
                 "1 of 13 recordings ended by silence"):  # fmt: skip
        assert said in notes
    x = np.concatenate([dataset.train.arrays()["x"], dataset.test.arrays()["x"]])
    label = np.concatenate([dataset.train.arrays()["label"], dataset.test.arrays()["label"]])
    bright = centroid(x[..., 0].astype("float64"), 8000.0)
    assert np.abs(bright[label == 0] - 1600).max() < 20 and np.abs(bright[label == 1] - 200).max() < 40
    mixed = x[label == 1][np.abs(x[label == 1]).max(axis=(1, 2)) < 0.45]
    np.testing.assert_allclose(mixed[0, 200:3800, 0], sine(200.0, 0.4, 8000, 4000)[200:3800], atol=2e-3)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"no sound at all", r"low/9.wav cannot be read"),
        (None, r"low/9.wav is empty"),
        (np.array([0.0, np.nan]), r"low/9.wav has values that are not finite"),
    ],
)
def test_a_broken_recording_is_named(folder: Path, content: Any, told: str) -> None:
    path = folder / "low" / "9.wav"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        soundfile.write(path, np.zeros(0) if content is None else content, 8000, subtype="FLOAT")
    with pytest.raises(DataError, match=told) as error:
        genloom.data.open(f"audio:{folder}?seconds=0.5")
    assert error.value.mend


def test_stereo_is_not_made_of_one_channel(folder: Path) -> None:
    with pytest.raises(DataError, match=r"0.wav has one channel, 2 are asked for"):
        genloom.data.open(f"audio:{folder}?seconds=0.5&channels=2")
    with pytest.raises(DataError, match=r"is not a folder"):
        genloom.data.open("audio:nowhere")


def test_a_written_file_has_the_samples_one_after_the_other() -> None:
    x = np.stack([sine(440.0, 0.5, 8000, 512), sine(880.0, 0.25, 8000, 512)])[..., None].astype("float32")
    found, rate = soundfile.read(io.BytesIO(wav(x, SOUND)), dtype="float32")
    assert rate == 8000 and len(found) == 512 + 800 + 512
    np.testing.assert_allclose(found[:512], x[0, :, 0], atol=1 / 32768)
    np.testing.assert_allclose(found[-512:], x[1, :, 0], atol=1 / 32768)
    assert not found[512:1312].any()


def test_a_run_keeps_sounds_and_its_report_plays_them(tmp_path: Path) -> None:
    spec = open_tones(n=48, rate=2000, seconds=0.05).spec
    folder = tmp_path / "run" / "samples"
    folder.mkdir(parents=True)
    run = Run(tmp_path / "run")
    assert sections(run) == []
    (folder / "sounds.wav").write_bytes(wav(np.zeros((2, *spec.shape), "float32"), spec))
    found = sections(run)
    assert len(found) == 1 and 'src="data:audio/wav;base64,UklGR' in found[0].html
    (folder / "sounds.wav").write_bytes(b"<script>")
    assert sections(run) == []
