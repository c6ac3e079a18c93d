"""Which one of the formats of labels a person's folder holds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from segmentation.common.errors import InputError
from segmentation.common.files import visible_files
from segmentation.sources.annotations import coco, cvat, labelme
from segmentation.sources.annotations.documents import read_json, read_xml
from segmentation.sources.annotations.shapes import Reading

READERS: dict[str, Callable[[Path, Any], Reading]] = {
    "COCO JSON": coco.read,
    "LabelMe JSON": labelme.read,
    "CVAT XML": cvat.read,
}
VOC = "VOC"
FOLDERS = {
    "masks": "masks/",
    "trimaps": "trimaps/",
    "SegmentationClass": VOC,
}  # folders of masks: their format
WINDOWS_FILES = {"Thumbs.db", "desktop.ini"}  # of its file manager: not worth a line
LOOKED_FOR = "a COCO JSON, LabelMe JSON files, a CVAT XML, or VOC's folder SegmentationClass/"


class Labels(NamedTuple):
    """The labels of a person's folder: their format, and the folder or the files that hold them."""

    format: str  # a key of READERS, or a value of FOLDERS
    folder: Path
    contents: dict[Path, Any]  # of the files


def find_labels(path: Path) -> Labels:
    """Return the labels in the folder `path`; raises `InputError` unless they are of exactly one format.

    Beside masks/ or trimaps/, what lies within these and images/ is not looked at.
    """
    if path.is_file():
        raise InputError(
            f"{path}: is a file; set data.folder.path to the folder of it and its images, unpacked"
        )
    found = {FOLDERS[folder.name]: Labels(FOLDERS[folder.name], folder, {}) for folder in _own_folders(path)}
    own = bool(found)
    for file in _candidates(path, quiet=own):
        if file.parent.name == "SegmentationClass":
            first = found.setdefault(VOC, Labels(VOC, file.parent, {})).folder
            if first != file.parent:
                raise InputError(f"{path}: holds {first} and {file.parent}; put their files into one folder")
        elif (recognised := _recognise(file, quiet=own))[0]:
            name, content = recognised
            found.setdefault(name, Labels(name, path, {})).contents[file] = content
    if not found and not (path / "images").is_dir():
        raise InputError(f"{path / 'images'}: no such folder; put your files there, or set data.folder.path")
    if len(found) != 1:
        there = [f"{name} ({next(iter(labels.contents), labels.folder)})" for name, labels in found.items()]
        raise InputError(
            f"{path}: needs exactly one of the folders masks/ and trimaps/ besides images/, or else"
            f" {LOOKED_FOR}; there is {' and '.join(there) or 'none'}"
            + ("; move one of them out of the folder" if there else "")
        )
    return next(iter(found.values()))


def _candidates(path: Path, quiet: bool) -> list[Path]:
    """Return the files that may be an export's; if `quiet`, beside own masks, those in its usual places."""
    if not quiet:
        return files_in(path) if path.is_dir() else []
    places = [place for place in (path, path / "annotations", path / "SegmentationClass") if place.is_dir()]
    return sorted(file for place in places for file in place.iterdir() if file.is_file())


def files_in(folder: Path) -> list[Path]:
    """Return the visible files of a folder and its subfolders, but for those of Windows' file manager."""
    try:
        return [file for file in visible_files(folder) if file.name not in WINDOWS_FILES]
    except OSError as error:
        raise unreadable(error) from None


def unreadable(error: OSError) -> InputError:
    """Return the error for a file or folder that cannot be read."""
    return InputError(f"{error.filename}: cannot be read ({error.strerror}); check data.folder.path")


def _own_folders(path: Path) -> list[Path]:
    places = [path / "masks", locate(path, "trimaps")]
    return [place for place in places if place.is_dir()]


def locate(path: Path, name: str) -> Path:
    """Return where `name` of an own folder is: in the folder itself, or in its annotations/."""
    return path / name if (path / name).exists() else path / "annotations" / name


def _recognise(file: Path, quiet: bool) -> tuple[str, Any]:
    """Return the format of a file, empty if it is none of ours, with its content.

    A broken file is none of ours if `quiet`, and raises `InputError` otherwise.
    """
    try:
        if file.suffix.lower() == ".json":
            content = read_json(file)
            if coco.is_format(content):
                return "COCO JSON", content
            if labelme.is_format(content):
                return "LabelMe JSON", content
        elif file.suffix.lower() == ".xml" and _starts_as_cvat(file):
            return "CVAT XML", read_xml(file)
    except InputError:
        if not quiet:
            raise
    except OSError as error:
        if not quiet:
            raise unreadable(error) from None
    return "", None


def _starts_as_cvat(file: Path) -> bool:
    """Whether the root is `annotations`; files of VOC, as Oxford-IIIT Pet has them, have `annotation`."""
    with file.open("rb") as opened:
        return b"<annotations" in opened.read(65_536)
