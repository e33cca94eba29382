"""The post-processors keep the kit's promises, and give the values that their formulas say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import genloom
from genloom import DataSpec, Samples
from genloom.data import ArraySplit, Dataset
from genloom.errors import ConfigError
from genloom.model.family import Family
from genloom.postprocess import Origin, chain
from genloom.testing import PostprocessorConformance

pytestmark = pytest.mark.any_engine

UNIT = DataSpec((8, 8, 1), value_range=(0.0, 1.0))
COLOUR = DataSpec((6, 5, 3), value_range=(-1.0, 1.0))
SOUND = DataSpec((64,), kind="audio", value_range=(-1.0, 1.0), rate=8000)
WORDS = DataSpec((1,), kind="text", dtype="str", value_range=None)
ROLL = DataSpec((16, 128), kind="music", value_range=(0.0, 1.0), rate=4)


class _Kit(PostprocessorConformance):
    hooks = "genloom_post"
    spec = COLOUR


class TestGamma(_Kit):
    id, options = "post/gamma", {"gamma": 2.2}


class TestContrast(_Kit):
    id = "post/contrast"


class TestMedian(_Kit):
    id = "post/denoise"


class TestBilateral(_Kit):
    id, options = "post/denoise", {"method": "bilateral"}


class TestNonLocalMeans(_Kit):
    id, options = "post/denoise", {"method": "nlm"}


class TestSharpen(_Kit):
    id = "post/sharpen"


class TestDequantise(_Kit):
    id = "post/dequantise"


class TestPalette(_Kit):
    id, options = "post/palette", {"colours": 4}


class TestNormalise(_Kit):
    id, spec = "post/normalise", SOUND


class TestTrim(_Kit):
    id, spec = "post/trim", SOUND


class TestScale(_Kit):
    id, spec = "post/scale", ROLL


class TestQuantise(_Kit):
    id, spec = "post/quantise", ROLL


class TestReject(_Kit):
    id, spec, options = "post/reject", UNIT.replace(classes=3), {"by": "classifier"}


class TestRejectBySampling(_Kit):
    id, spec, options = "post/reject", UNIT.replace(classes=3), {"by": "classifier", "method": "sampling"}


class TestDeduplicate(_Kit):
    id, spec, options = "post/deduplicate", UNIT.replace(classes=3), {"against": "both"}


class TestTile(_Kit):
    id, options = "post/tile", {"columns": 3}


class TestSuperResolution(_Kit):
    id, options = "post/super-resolution", {"epochs": 2}


def run(text: str, samples: Any, spec: DataSpec = UNIT) -> np.ndarray:
    return process(text, np.asarray(samples, "float32"), spec).samples


def process(text: str, samples: Any, spec: DataSpec = UNIT, labels: Any = None, origin: Any = None) -> Samples:
    seeds = np.stack([np.zeros(len(samples), int), np.arange(len(samples))], axis=1)
    return chain([text])(Samples(np.asarray(samples), spec, labels, seeds), origin)


def flat(*values: float) -> np.ndarray:
    return np.broadcast_to(np.array(values, "float32").reshape(-1, 1, 1, 1), (len(values), 8, 8, 1))


@pytest.mark.parametrize(("gamma", "expected"), [(1.0, 0.25), (0.5, 0.5), (2.0, 0.0625)])
def test_gamma_is_a_power(gamma: float, expected: float) -> None:
    assert run(f"post/gamma:gamma={gamma}", flat(0.25))[0, 0, 0, 0] == pytest.approx(expected)
    # The range is the data's own: -0.5 of [-1, 1] is a quarter.
    signed = run(f"post/gamma:gamma={gamma}", flat(-0.5), UNIT.replace(value_range=(-1.0, 1.0)))
    assert signed[0, 0, 0, 0] == pytest.approx(2 * expected - 1)


def test_contrast_turns_about_the_middle_and_is_clipped() -> None:
    out = run("post/contrast:amount=2", flat(0.5, 0.6, 0.1, 0.9))
    assert out[:, 0, 0, 0] == pytest.approx([0.5, 0.7, 0.0, 1.0])


def test_median_takes_out_a_speck_and_keeps_an_edge() -> None:
    picture = np.zeros((1, 8, 8, 1), "float32")
    picture[:, :, 4:] = 1.0
    speck = picture.copy()
    speck[0, 3, 1] = 1.0
    assert np.array_equal(run("post/denoise", speck), picture)


@pytest.mark.parametrize("method", ["bilateral", "nlm"])
def test_a_denoised_picture_is_nearer_to_the_clean_one(method: str) -> None:
    side = 32
    spec = DataSpec((side, side, 1), value_range=(0.0, 1.0))
    clean = np.zeros((1, side, side, 1), "float32")
    clean[:, 8:24, 8:24] = 0.8
    noisy = (clean + 0.08 * np.random.default_rng(0).standard_normal(clean.shape)).clip(0, 1).astype("float32")
    found = run(f"post/denoise:method={method},strength=0.08,radius=2", noisy, spec)
    assert np.square(found - clean).mean() < 0.6 * np.square(noisy - clean).mean()
    assert np.abs(found[0, 12:20, 12:20] - 0.8).mean() < 0.05  # the bright square is still there


def test_sharpen_steepens_an_edge_and_leaves_flat_parts() -> None:
    picture = np.full((1, 8, 8, 1), 0.4, "float32")
    picture[:, :, 4:] = 0.6
    out = run("post/sharpen:amount=1,radius=1", picture)
    assert out[0, 4, 4, 0] - out[0, 4, 3, 0] > 0.25
    assert out[0, 4, 0, 0] == pytest.approx(0.4, abs=1e-3)
    assert run("post/sharpen:amount=0", picture) == pytest.approx(picture)


def test_dequantised_values_fill_their_steps() -> None:
    spec = DataSpec((64, 64, 1), value_range=(0.0, 1.0))
    samples = np.repeat(np.array([0, 1, 2, 3]) / 3, 1024).reshape(1, 64, 64, 1)
    out = run("post/dequantise:levels=4", samples, spec).ravel()
    for level in range(4):
        part = out[1024 * level : 1024 * (level + 1)]
        assert level / 4 <= part.min() and part.max() <= (level + 1) / 4
        # A uniform's mean has the deviation 0.25 / √12 / 32 = 0.0023 here.
        assert part.mean() == pytest.approx((level + 0.5) / 4, abs=0.01)
    other = run("post/dequantise:levels=4,seed=1", samples, spec).ravel()
    assert not np.array_equal(out, other)


def test_a_palette_has_no_more_colours_than_asked() -> None:
    spec = DataSpec((16, 16, 3), value_range=(0.0, 1.0))
    samples = np.random.default_rng(0).random((2, 16, 16, 3))
    for picture in run("post/palette:colours=5", samples, spec):
        assert 2 <= len(np.unique(picture.reshape(-1, 3), axis=0)) <= 5
    two = np.where(np.arange(256).reshape(1, 16, 16, 1) % 2, 1.0, 0.0) * np.ones(3)
    assert run("post/palette:colours=2", two, spec) == pytest.approx(two)
    with pytest.raises(ConfigError, match="1 or 3 channels, got 4"):
        run("post/palette", np.zeros((1, 4, 4, 4)), DataSpec((4, 4, 4), value_range=(0.0, 1.0)))


def test_every_sound_gets_one_peak_and_silence_stays() -> None:
    wave = np.sin(np.arange(64) / 3)
    out = run("post/normalise:peak=0.5", np.stack([0.1 * wave, -0.9 * wave, 0 * wave]), SOUND)
    assert np.abs(out).max(axis=1) == pytest.approx([0.5, 0.5, 0.0])
    assert out[0] == pytest.approx(-out[1])


@pytest.mark.parametrize("name", ["gamma", "contrast", "denoise", "sharpen", "dequantise", "palette"])
def test_pictures_without_a_range_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="Put clip before it"):
        run(f"post/{name}", flat(0.5), UNIT.replace(value_range=None))


def test_a_signal_is_no_picture() -> None:
    with pytest.raises(ConfigError, match="takes image, got signal"):
        run("post/gamma", np.zeros((1, 64)), SOUND.replace(kind="signal"))


def test_trim_takes_silence_away_and_lets_the_longest_sound_decide() -> None:
    sounds = np.zeros((3, 64), "float32")
    sounds[0, 10:30] = 0.5
    sounds[1, 40:45] = -0.2
    sounds[1, 50] = 0.001  # 46 dB below the peak: silence
    made = process("post/trim", sounds, SOUND)
    assert made.samples.shape == (3, 20) == (3, *made.spec.shape)
    assert np.array_equal(made.samples[0], np.full(20, 0.5, "float32"))
    assert made.samples[1].tolist() == pytest.approx([-0.2] * 5 + [0.0] * 15)
    assert not made.samples[2].any()
    # One millisecond of 8 kHz is 8 steps on each side.
    assert process("post/trim:margin=0.001", sounds, SOUND).samples.shape == (3, 36)


@pytest.mark.parametrize(("threshold", "length"), [(10.0, 4), (20.5, 14), (26.1, 24), (60.0, 40)])
def test_trim_calls_silent_what_lies_a_threshold_below_the_peak(threshold: float, length: int) -> None:
    """A peak of 1 among steps 20, 26 and 46 dB below it: 0.1, 0.05 and 0.005."""
    sounds = np.zeros((1, 64), "float32")
    sounds[0, 10:50], sounds[0, 18:42], sounds[0, 23:37], sounds[0, 28:32] = 0.005, 0.05, 0.1, 1.0
    assert process(f"post/trim:threshold={threshold}", sounds, SOUND).samples.shape == (1, length)


@pytest.mark.parametrize(("margin", "start", "end"), [(0.0005, 6, 20), (0.00125, 0, 26), (0.1, 0, 64)])
def test_trim_keeps_a_margin_within_the_sound(margin: float, start: int, end: int) -> None:
    """0.5 ms of 8 kHz are 4 steps, 1.25 ms ten: as many as there are before this sound."""
    sounds = np.random.default_rng(0).uniform(-0.001, 0.001, (1, 64)).astype("float32")
    sounds[0, 10:16] = 0.5
    made = process(f"post/trim:margin={margin}", sounds, SOUND)
    assert np.array_equal(made.samples[0], sounds[0, start:end])


def roll(*notes: tuple[int, int, int]) -> np.ndarray:
    """Piano roll of (pitch, first step, step after the last)."""
    found = np.zeros((1, 16, 128), "float32")
    for pitch, start, end in notes:
        found[0, start:end, pitch] = 0.8
    return found


def test_notes_move_to_the_nearest_pitch_of_the_scale() -> None:
    # C♯ → C, F♯ → F (the lower of two), G stays.
    assert np.array_equal(run("post/scale", roll((61, 0, 4), (66, 4, 8), (67, 8, 12)), ROLL),
                          roll((60, 0, 4), (65, 4, 8), (67, 8, 12)))  # fmt: skip
    # In D major F♯ stays, and F moves to E.
    assert np.array_equal(run("post/scale:key=d", roll((66, 0, 4), (65, 4, 8)), ROLL), roll((66, 0, 4), (64, 4, 8)))
    with pytest.raises(ConfigError, match="lowest=N"):
        run("post/scale", np.zeros((1, 16, 40)), ROLL.replace(shape=(16, 40)))
    assert run("post/scale:lowest=60", np.eye(16, 40)[None], ROLL.replace(shape=(16, 40)))[0, 1, 0] == 1.0


def test_notes_move_to_the_beat_and_keep_one_unit() -> None:
    # Two lines a quarter of four steps: lines at even steps.
    moved = run("post/quantise:per_quarter=2", roll((60, 1, 3), (62, 5, 6), (64, 0, 8), (67, 15, 16)), ROLL)
    assert np.array_equal(moved, roll((60, 2, 4), (62, 6, 8), (64, 0, 8), (67, 14, 16)))
    with pytest.raises(ConfigError, match="per_quarter=K"):
        run("post/quantise:per_quarter=3", roll(), ROLL)


class Judge(Family):
    """A model that finds bright pictures real."""

    spec = UNIT

    def discriminator_logits(self, x: Any, label: Any = None) -> Any:
        return np.asarray(x).mean(axis=(1, 2, 3)) * 10


def test_the_samples_that_the_discriminator_prefers_are_kept_of_every_class() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1], "int32")
    made = process("post/reject", flat(0.1, 0.9, 0.5, 0.7, 0.3, 0.2), labels=labels, origin=Origin(model=Judge))
    assert made.samples[:, 0, 0, 0] == pytest.approx([0.9, 0.7, 0.3])
    assert made.labels.tolist() == [0, 0, 1]
    assert made.seeds[:, 1].tolist() == [1, 3, 4]


def test_rejection_sampling_turns_the_generated_density_into_the_real_one() -> None:
    """Azadi et al. 2019, section 2: with logits log p/q, accepted samples are distributed as p."""
    rng = np.random.default_rng(0)
    spec = DataSpec((1,), kind="signal", value_range=(0.0, 1.0))
    x = rng.random((20_000, 1)).astype("float32")  # q is uniform on [0, 1], p(x) = 2 x

    class Ratio(Family):
        def discriminator_logits(self, x: Any, label: Any = None) -> Any:
            return np.log(2 * np.asarray(x)[:, 0] + 1e-12)

    Ratio.spec = spec  # type: ignore[attr-defined]
    made = process("post/reject:method=sampling,keep=0.5", x, spec, origin=Origin(model=Ratio))
    # The ideal rate is 1 / max(p/q) = ½; E_p[x] = 2/3 with deviation 0.236 / √10000.
    assert len(made) == pytest.approx(10_000, abs=300)
    assert made.samples.mean() == pytest.approx(2 / 3, abs=0.01)


def test_rejection_by_a_classifier_leaves_the_samples_that_show_their_class() -> None:
    digits = genloom.data.open("digits")
    real = digits.test.arrays(200)
    wrong = (real["label"] + 5) % 10
    samples, labels = np.concatenate([real["x"], real["x"]]), np.concatenate([real["label"], wrong])
    made = process("post/reject:by=classifier", samples, digits.spec, labels, Origin(dataset=digits))
    # A tenth of the digits is hard to read; guessing would leave half of the wrong ones.
    assert (made.seeds[:, 1] < 200).mean() > 0.9


def test_who_cannot_judge_is_told() -> None:
    digits = genloom.data.open("digits")
    with pytest.raises(ConfigError, match="no discriminator"):
        process("post/reject", flat(0.5), origin=Origin(model=Family))
    with pytest.raises(ConfigError, match="Put reject first"):
        process("post/reject:by=classifier", np.zeros((2, 16, 16, 1)), UNIT.replace(shape=(16, 16, 1)),
                origin=Origin(dataset=digits))  # fmt: skip
    with pytest.raises(ConfigError, match="not known which model"):
        process("post/reject", flat(0.5))


def test_one_of_near_samples_is_left() -> None:
    made = process("post/deduplicate", flat(0.2, 0.5, 0.21, 0.9, 0.53, 0.2))
    assert made.samples[:, 0, 0, 0] == pytest.approx([0.2, 0.5, 0.9])
    assert made.seeds[:, 1].tolist() == [0, 1, 3]
    assert len(process("post/deduplicate:distance=0.005", flat(0.2, 0.5, 0.21, 0.9, 0.53, 0.2))) == 5


def test_a_chain_of_neighbours_is_not_one_sample() -> None:
    """What was left out leaves nothing else out: 0.28 is far from 0.20, though 0.24 is near both."""
    assert process("post/deduplicate", flat(0.20, 0.24, 0.28)).samples[:, 0, 0, 0] == pytest.approx([0.20, 0.28])


def test_copies_of_training_samples_are_left_out() -> None:
    train = ArraySplit(flat(0.4))
    origin = Origin(dataset=Dataset("mine", UNIT, train, train, "mine"))
    made = process("post/deduplicate:against=training", flat(0.41, 0.6, 0.6), origin=origin)
    assert made.samples[:, 0, 0, 0] == pytest.approx([0.6, 0.6])
    assert len(process("post/deduplicate:against=both", flat(0.41, 0.6, 0.6), origin=origin)) == 1


def test_tokens_are_near_by_the_share_that_differs() -> None:
    spec = DataSpec((10,), kind="text", dtype="int32", value_range=None, vocabulary=50)
    line = np.arange(10, dtype="int32")
    one_off, other = line.copy(), line[::-1].copy()
    one_off[3] = 40
    tokens = np.stack([line, one_off, line, other])
    assert process("post/deduplicate", tokens, spec).seeds[:, 1].tolist() == [0, 1, 3]
    assert process("post/deduplicate:distance=0.1", tokens, spec).seeds[:, 1].tolist() == [0, 3]


def test_tiles_stand_in_rows() -> None:
    made = process("post/tile:columns=2,padding=1,fill=0", flat(0.1, 0.2, 0.3) + 0.5, labels=np.array([1, 2, 0]))
    assert made.samples.shape == (1, 17, 17, 1) == (1, *made.spec.shape)
    picture = made.samples[0, :, :, 0]
    assert picture[[0, 0, 9], [0, 9, 0]] == pytest.approx([0.6, 0.7, 0.8])
    assert not picture[8].any() and not picture[9:, 9:].any()
    assert made.labels is None and made.seeds is None


@pytest.mark.parametrize(("padding", "fill"), [(0, 1.0), (3, 0.25)])
def test_tiles_stand_apart_by_the_padding(padding: int, fill: float) -> None:
    """Five pictures in rows of three: the last place and what is between are filled, within the value range."""
    values = np.array([-0.9, -0.5, 0.1, 0.5, 0.9], "float32")
    pictures = np.broadcast_to(values[:, None, None, None], (5, 6, 5, 3))
    picture = process(f"post/tile:columns=3,padding={padding},fill={fill}", pictures, COLOUR).samples[0]
    assert picture.shape == (12 + padding, 15 + 2 * padding, 3)
    expected = np.full(picture.shape, 2.0 * fill - 1.0, "float32")
    for index, value in enumerate(values):
        top, left = (index // 3) * (6 + padding), (index % 3) * (5 + padding)
        expected[top : top + 6, left : left + 5] = value
    assert np.array_equal(picture, expected)


def test_super_resolution_is_nearer_to_the_truth_than_a_filter() -> None:
    """Held-out digits, reduced to 4 × 4 and enlarged again; the network saw training digits only."""
    digits = genloom.data.open("digits")
    truth = digits.test.arrays()["x"]
    small = truth.reshape(len(truth), 4, 2, 4, 2, 1).mean(axis=(2, 4))
    spec = digits.spec.replace(shape=(4, 4, 1))

    def error(text: str) -> float:
        made = process(text, small, spec, origin=Origin(dataset=digits)).samples
        assert made.shape == truth.shape
        return float(np.square(made - truth).mean())

    learned = error("post/super-resolution")
    assert learned < 0.75 * min(error(f"upscale:factor=2,filter={name}") for name in ("lanczos", "bicubic", "bilinear"))
    with pytest.raises(ConfigError, match="16 pixels a side"):
        error("post/super-resolution:factor=8")


def test_the_first_of_equal_texts_is_left() -> None:
    texts = np.array(["b", "a", "b", "c", "a"])[:, None]
    made = process("post/deduplicate", texts, WORDS)
    assert made.samples[:, 0].tolist() == ["b", "a", "c"]
    assert made.seeds[:, 1].tolist() == [0, 1, 3]
