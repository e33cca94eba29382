"""Write samples to a file by its ending: a picture, the arrays, an animation, a table; or one file each in a folder."""

from __future__ import annotations

import io
import pathlib
import re
from typing import TYPE_CHECKING, Any

from genloom import arguments
from genloom.errors import ConfigError, nearest
from genloom.modalities import known, modality_of

if TYPE_CHECKING:
    from PIL.Image import Image

    from genloom.data.samples import Samples
    from genloom.data.spec import DataSpec
    from genloom.modalities.modality import Writer

__all__ = ["check_ending", "endings", "picture_of", "write", "writers"]


def check_ending(out: str | pathlib.Path) -> pathlib.Path:
    """Return the path when its ending can be written; called before drawing, which may take long.

    Raises:
        ConfigError: another ending, a file where a folder is asked for, or a folder that is not empty.
    """
    path = pathlib.Path(out)
    if path.suffix and path.suffix not in endings() and not path.is_dir():
        raise ConfigError(
            f"Samples cannot be written as {path.suffix!r} ({str(out)!r}).{nearest(path.suffix, endings())}",
            mend=f"End the file in {', '.join(endings())}, or name a folder for one file each.",
        )
    if path.is_file() and not path.suffix:
        raise ConfigError(f"{str(out)!r} is a file.", mend="Name a folder, or a file with an ending.")
    if path.is_dir() and any(path.iterdir()):
        raise ConfigError(
            f"The folder {str(out)!r} is not empty: new samples would stand among what is there.",
            mend="Choose another --out or empty it.",
        )
    return path


def write(drawn: Samples, out: str | pathlib.Path) -> pathlib.Path:
    """Write samples to `out` and return its path; missing folders are made.

    Raises:
        ConfigError: an ending that is unknown or that this kind of data does not have, or a folder that is not empty.
    """
    path = check_ending(arguments.path("out", out))
    if path.is_dir() or not path.suffix:
        return _folder(drawn, path)
    from genloom.files.atomic import make_folder, write_atomic

    content = _written(drawn, path.suffix)
    make_folder(path.parent)
    write_atomic(path, content)
    return path


def picture_of(drawn: Samples) -> Image:
    """Return one picture of all samples; labelled images stand in the order of classes, unless rows have a meaning.

    Raises:
        ConfigError: no samples, or a kind without a picture.
    """
    import numpy as np

    modality, samples = modality_of(drawn.spec), drawn.samples
    if modality.in_rows and drawn.labels is not None and drawn.columns is None:
        samples = samples[np.argsort(drawn.labels, kind="stable")]
    return modality.picture(samples, drawn.spec, drawn.columns)


def _png(drawn: Samples) -> bytes:
    from genloom.modalities.drawing import to_bytes

    return to_bytes(picture_of(drawn))


def _npz(drawn: Samples) -> bytes:
    """The arrays, and the names of the classes where labels have names."""
    import numpy as np

    names = drawn.spec.class_names if drawn.labels is not None else ()
    arrays: dict[str, Any] = {"samples": drawn.samples, "labels": drawn.labels, "seeds": drawn.seeds}
    arrays["class_names"] = np.asarray(names) if names else None
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{name: array for name, array in arrays.items() if array is not None})
    return buffer.getvalue()


def writers(spec: DataSpec) -> dict[str, Writer]:
    """Return ending → function from samples to the file's bytes, of what data of this kind are written as."""
    modality = modality_of(spec)
    pictures = {".png": _png} if modality.pictured(spec) else {}
    return {**pictures, ".npz": _npz, **modality.writers()}


def endings() -> list[str]:
    """Return every ending that samples of some kind are written as."""
    found = dict.fromkeys((".png", ".npz"))
    for modality in known().values():
        found |= dict.fromkeys(modality.writers())
    return list(found)


def _written(drawn: Samples, ending: str) -> bytes:
    of_kind = writers(drawn.spec)
    if ending not in of_kind:
        raise ConfigError(
            f"Samples of kind {drawn.spec.kind!r} are not written as {ending}.", mend=f"Write {' or '.join(of_kind)}."
        )
    return of_kind[ending](drawn)


def _folder(drawn: Samples, folder: pathlib.Path) -> pathlib.Path:
    """One file per sample, its number and class in the name: a picture of an image, a text, the numbers of the rest."""
    from genloom.files.atomic import make_folder, write_atomic

    ending = modality_of(drawn.spec).ending(drawn)
    make_folder(folder)
    digits = max(3, len(str(len(drawn) - 1)))  # so that files sorted by name are sorted by number
    for index in range(len(drawn)):
        label = "" if drawn.labels is None else f"-{_file_name(drawn.spec.class_name(drawn.labels[index]))}"
        write_atomic(folder / f"{index:0{digits}d}{label}{ending}", _written(drawn.take([index]), ending))
    return folder


def _file_name(name: str) -> str:
    """Return a class's name without what a file's name cannot hold, such as a slash."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "class"
