"""Sound (time, channels): spectra to look at, WAV files to listen to, mel bands to score by."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from genloom.errors import ConfigError, DataError
from genloom.modalities import Modality
from genloom.modalities.drawing import checked, grid
from genloom_audio.spectra import FLOOR, centroid, log_mel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

    from genloom import DataSpec, Samples
    from genloom.modalities import Writer

__all__ = ["AUDIO", "mono", "wav"]

_SILENCE = 0.1  # seconds between two sounds of a file
_FRAMES = 8  # pieces of time that scores tell apart
_QUIET = 1e-6  # amplitude of what is silence: -120 dB


class _Audio(Modality):
    like = "signal"
    features = "mel"
    in_rows = True

    def shaped(self, x: NDArray[Any], name: str) -> NDArray[Any]:
        """Return sounds (n, time) as (n, time, 1).

        Raises:
            DataError: neither that nor (n, time, channels).
        """
        if x.ndim not in (2, 3):
            raise DataError(f"{name} must be sounds (n, time) or (n, time, channels), got {x.shape}.", mend="Reshape.")
        return x[..., None] if x.ndim == 2 else x

    def span(self, x: NDArray[Any], name: str) -> tuple[float, float]:
        """Return [-1, 1], full scale.

        Raises:
            DataError: values beyond it.
        """
        if np.abs(x).max(initial=0.0) > 1.0:
            raise DataError(f"{name} has values beyond [-1, 1].", mend="Divide by full scale: 32768 of 16-bit numbers.")
        return -1.0, 1.0

    def pictured(self, spec: DataSpec) -> bool:
        """All have one."""
        return True

    def picture(
        self,
        samples: NDArray[Any],
        spec: DataSpec,
        columns: int | None = None,
        labels: NDArray[Any] | None = None,
    ) -> Image:
        """Draw the spectrum of each over time: high tones above, white at full scale, black at -60 dB."""
        from genloom import DataSpec as Spec

        shown = log_mel(mono(checked(samples, spec)), _rate(spec)).transpose(0, 2, 1)[:, ::-1, :, None]
        return grid(1.0 - shown / FLOOR, Spec(shown.shape[1:]), columns)

    def summary(self, samples: NDArray[Any], spec: DataSpec) -> Mapping[str, NDArray[Any]]:
        """Return loudness (RMS in dB of full scale), highest amplitude, and mean frequency in Hz."""
        x = mono(samples)
        loudness = 20 * np.log10(np.maximum(np.sqrt((x**2).mean(axis=1)), _QUIET))
        return {"loudness_db": loudness, "peak": np.abs(x).max(axis=1), "brightness_hz": centroid(x, _rate(spec))}

    def featured(self, samples: NDArray[Any], spec: DataSpec) -> NDArray[Any]:
        """Return the mel bands in dB over eight stretches of time (n, 8 × bands), and how they vary within each."""
        bands = log_mel(mono(samples), _rate(spec))
        parts = np.array_split(bands, min(_FRAMES, bands.shape[1]), axis=1)
        means, deviations = ([f(part, axis=1) for part in parts] for f in (np.mean, np.std))
        return np.concatenate([*means, *deviations], axis=1)

    def ending(self, drawn: Samples) -> str:
        """Return that of a sound."""
        return ".wav"

    def writers(self) -> Mapping[str, Writer]:
        """Write sounds one after the other, a tenth of a second of silence between two."""
        return {".wav": lambda drawn: wav(drawn.samples, drawn.spec)}


def mono(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Return the mean of the channels: (n, time) or (n, time, channels) → (n, time)."""
    x = np.asarray(samples, np.float64)
    return x if x.ndim == 2 else x.mean(axis=-1)


def wav(samples: NDArray[Any], spec: DataSpec) -> bytes:
    """Return sounds (n, time) or (n, time, channels) as a WAV file of 16 bits, one after the other.

    Raises:
        ConfigError: no samples.
    """
    import soundfile

    x = np.asarray(samples, np.float32)
    if not len(x):
        raise ConfigError("There are no sounds to write.", mend="Draw one at least: -n 1.")
    x = x[..., None] if x.ndim == 2 else x
    rate, (low, high) = round(_rate(spec)), spec.value_range or (-1.0, 1.0)
    scaled = np.clip(2.0 * (x - low) / (high - low) - 1.0, -1.0, 1.0)
    gap = np.zeros((round(_SILENCE * rate), x.shape[2]), np.float32)
    joined = [part for sound in scaled for part in (gap, sound)][1:]
    buffer = io.BytesIO()
    soundfile.write(buffer, np.concatenate(joined), rate, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


def _rate(spec: DataSpec) -> float:
    if not spec.rate:
        raise ConfigError("Sound needs its rate, in samples per second.", mend="Give DataSpec(…, rate=8000).")
    return float(spec.rate)


#: Sound (time,) or (time, channels), in [-1, 1].
AUDIO = _Audio()
