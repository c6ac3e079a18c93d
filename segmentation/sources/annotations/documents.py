"""Reading JSON and XML from anywhere: what is broken is named by line and column."""

import json
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree
import numpy as np

from segmentation.common.errors import InputError

UNUSED = ("imageData", "bbox", "area", "keypoints", "attributes", "mask")  # of images and annotations; large


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, without `UNUSED`; lists of coordinates and of counts are arrays.

    Only so do 200 MB of them fit into 2 GiB. Raises `InputError` for broken JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"), object_hook=_compact)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{path}: broken JSON at {where} ({error.msg}); export it again") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    except (RecursionError, ValueError) as error:  # thousands of brackets; a number of thousands of digits
        raise InputError(f"{path}: not usable as JSON ({error}); export it again") from None


def _compact(found: dict[str, Any]) -> dict[str, Any]:
    for key in UNUSED:
        found.pop(key, None)
    if isinstance(found.get("segmentation"), list):
        found["segmentation"] = [_array(part) for part in found["segmentation"]]
    if isinstance(found.get("counts"), list):
        found["counts"] = _array(found["counts"])
    return found


def _array(values: Any) -> Any:
    try:
        return np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):  # named by who knows where it stands
        return values


def read_xml(path: Path) -> Element:
    """Return the root of an XML file; raises `InputError` for broken XML, and for entities that grow."""
    try:
        root: Element = defusedxml.ElementTree.parse(path).getroot()
    except ParseError as error:
        line, column = error.position
        raise InputError(
            f"{path}: broken XML at line {line}, column {column + 1} ({str(error).partition(':')[0]});"
            " export it again"
        ) from None
    except defusedxml.DefusedXmlException:
        raise InputError(
            f"{path}: defines XML entities, which can fill the memory; export it again"
        ) from None
    except (LookupError, ValueError) as error:  # of encodings that Python's parser does not know
        raise InputError(f"{path}: not usable as XML ({error}); save it as UTF-8") from None
    return root
