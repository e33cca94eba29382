"""Write samples to a file by its ending: a picture, the arrays, an animation, a table; or one file each in a folder."""

from __future__ import annotations

import csv
import io
import pathlib
import re
from typing import TYPE_CHECKING, Any

from genloom import arguments
from genloom.errors import ConfigError, nearest

if TYPE_CHECKING:
    from PIL.Image import Image

    from genloom.sampling.samples import Samples

__all__ = ["ENDINGS", "check_ending", "picture_of", "write"]

FRAME_MS = 120  # milliseconds that one sample of an animation is shown


def check_ending(out: str | pathlib.Path) -> pathlib.Path:
    """Return the path when its ending can be written; called before drawing, which may take long.

    Raises:
        ConfigError: another ending, a file where a folder is asked for, or a folder that is not empty.
    """
    path = pathlib.Path(out)
    if path.suffix and path.suffix not in ENDINGS and not path.is_dir():
        raise ConfigError(
            f"Samples cannot be written as {path.suffix!r} ({str(out)!r}).{nearest(path.suffix, ENDINGS)}",
            mend=f"End the file in {', '.join(ENDINGS)}, or name a folder for one file each.",
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

    content = ENDINGS[path.suffix](drawn)
    make_folder(path.parent)
    write_atomic(path, content)
    return path


def picture_of(drawn: Samples) -> Image:
    """Return one picture of all samples; labelled images stand in the order of classes, unless rows have a meaning.

    Raises:
        ConfigError: no samples, or a kind without a picture.
    """
    import numpy as np

    from genloom.sampling.pictures import picture

    samples = drawn.samples
    if drawn.labels is not None and drawn.columns is None and drawn.spec.kind == "image":
        samples = samples[np.argsort(drawn.labels, kind="stable")]
    return picture(samples, drawn.spec, drawn.columns)


def _png(drawn: Samples) -> bytes:
    from genloom.sampling.pictures import to_bytes

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


def _gif(drawn: Samples) -> bytes:
    """An animation: the frames of the first video, or one image after the other."""
    from genloom.sampling.pictures import grid

    spec, frames = drawn.spec, drawn.samples
    if spec.kind == "video":
        frames, spec = drawn.samples[0], spec.replace(kind="image", shape=spec.shape[1:])
    if spec.kind != "image":
        raise ConfigError(f"Samples of kind {spec.kind!r} have no animation.", mend="Write .png, .npz or .csv.")
    pictures = [grid(frame[None], spec) for frame in frames]
    buffer = io.BytesIO()
    shown = round(1000 / spec.rate) if spec.rate else FRAME_MS
    pictures[0].save(buffer, "GIF", save_all=True, append_images=pictures[1:], duration=shown, loop=0)
    return buffer.getvalue()


def _csv(drawn: Samples) -> bytes:
    """One row per sample, its class last; a header names the columns."""
    if drawn.spec.kind not in ("signal", "table"):
        raise ConfigError(f"Samples of kind {drawn.spec.kind!r} make no table.", mend="Write .png or .npz.")
    flat = drawn.samples.reshape(len(drawn.samples), -1)  # (n, features)
    names = drawn.spec.columns if len(drawn.spec.columns) == flat.shape[1] else [f"x{i}" for i in range(flat.shape[1])]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*names, *([] if drawn.labels is None else ["label"])])
    for index, row in enumerate(flat.tolist()):
        writer.writerow([*row, *([] if drawn.labels is None else [drawn.spec.class_name(drawn.labels[index])])])
    return text.getvalue().encode()


def _txt(drawn: Samples) -> bytes:
    """The texts, an empty line between two of them."""
    if drawn.samples.dtype.kind != "U":
        raise ConfigError(
            f"These samples of kind {drawn.spec.kind!r} are numbers, not words.",
            mend="Add --post detokenise, or write .npz.",
        )
    return "\n\n".join(str(text) for text in drawn.samples[:, 0]).encode() + b"\n"


#: Ending -> function from samples to the file's bytes.
ENDINGS = {".png": _png, ".npz": _npz, ".gif": _gif, ".csv": _csv, ".txt": _txt}


def _folder(drawn: Samples, folder: pathlib.Path) -> pathlib.Path:
    """One file per sample, its number and class in the name: a picture of an image, a text, the numbers of the rest."""
    from genloom.files.atomic import make_folder, write_atomic

    by_kind = {"image": ".png", "signal": ".csv", "table": ".csv"}
    ending = ".txt" if drawn.samples.dtype.kind == "U" else by_kind.get(drawn.spec.kind, ".npz")
    make_folder(folder)
    digits = max(3, len(str(len(drawn) - 1)))  # so that files sorted by name are sorted by number
    for index in range(len(drawn)):
        label = "" if drawn.labels is None else f"-{_file_name(drawn.spec.class_name(drawn.labels[index]))}"
        write_atomic(folder / f"{index:0{digits}d}{label}{ending}", ENDINGS[ending](drawn.take([index])))
    return folder


def _file_name(name: str) -> str:
    """Return a class's name without what a file's name cannot hold, such as a slash."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "class"
