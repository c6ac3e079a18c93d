"""Images and masks from anywhere: each is read as it should be, or named in one line."""

import io
import random
import subprocess
import sys
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from content import flipped
from hostile import pixel_bomb, text_bomb
from PIL import Image
from projects import ROOT

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import Fault, InputError
from segmentation.common.geometry import Geometry
from segmentation.common.image_io import FORMATS, open_rgb, read_image, read_trimap
from segmentation.splitting.checks import check_pair

SIZE = (24, 16)


def drawn(mode: str = "RGB", size: tuple[int, int] = SIZE) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(noise).convert(mode)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def with_transparency() -> Image.Image:
    image = drawn("P")
    image.info["transparency"] = bytes(range(256))
    return image


USABLE: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: saved(drawn(), "JPEG"),
    "CMYK": lambda: saved(drawn("CMYK"), "JPEG"),
    "greyscale": lambda: saved(drawn("L"), "JPEG"),
    "grey and alpha": lambda: saved(drawn("LA"), "PNG"),
    "1 bit": lambda: saved(drawn("1"), "PNG"),
    "palette": lambda: saved(drawn("P"), "GIF"),
    "palette and transparency": lambda: saved(with_transparency(), "PNG", transparency=bytes(range(256))),
    "alpha": lambda: saved(drawn("RGBA"), "PNG"),
    "animated": lambda: saved(drawn(), "GIF", save_all=True, append_images=[drawn("L")]),
    "several images": lambda: saved(drawn(), "MPO", save_all=True, append_images=[drawn()]),
    "WebP": lambda: saved(drawn(), "WEBP"),
    "TIFF": lambda: saved(drawn(), "TIFF"),
    "BMP": lambda: saved(drawn(), "BMP"),
    "EXIF rotation": lambda: saved(drawn(), "JPEG", exif=exif(6)),
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "annotations/trimaps").mkdir(parents=True)
    trimap(tmp_path, SIZE)
    return tmp_path


def trimap(raw: Path, size: tuple[int, int]) -> None:
    Image.new("L", size, layout.PET).save(layout.trimap_path(raw, "a"))


@pytest.mark.fault("a image of another kind than expected")
@pytest.mark.parametrize("kind", USABLE)
def test_usable_images(raw: Path, kind: str, recwarn: pytest.WarningsRecorder) -> None:
    layout.image_path(raw, "a").write_bytes(USABLE[kind]())
    reason = check_pair(raw, "a", ["pet"], Geometry(64)).reason
    assert reason is None
    image = open_rgb(layout.image_path(raw, "a"))
    assert (image.mode, image.size) == ("RGB", SIZE)  # as stored, whatever EXIF says
    assert [str(warning.message) for warning in recwarn] == []


@pytest.mark.fault("a image of another kind than expected")
def test_one_pixel(raw: Path) -> None:
    layout.image_path(raw, "a").write_bytes(saved(drawn(size=(1, 1)), "PNG"))
    trimap(raw, (1, 1))
    assert check_pair(raw, "a", ["pet"], Geometry(64))[0] is None


@pytest.mark.fault("a image of another kind than expected")
def test_exif_orientation_is_not_applied(raw: Path) -> None:
    """A mask drawn on the image as a viewer turns it does not fit the pixels as they are stored."""
    layout.image_path(raw, "a").write_bytes(USABLE["EXIF rotation"]())
    trimap(raw, (SIZE[1], SIZE[0]))
    reason = check_pair(raw, "a", ["pet"], Geometry(64)).reason
    assert reason is not None and "see data.folder.orientation" in reason


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "CMYK"])
def test_a_name_a_path_and_content_are_read_alike(tmp_path: Path, mode: str) -> None:
    """An uncompressed TIFF that EXIF turns: Pillow does not turn all of them if it is given a name."""
    path = tmp_path / "turned.tif"
    Image.effect_noise((30, 40), 60).convert(mode).save(path, exif=exif(6))
    content = read_image(io.BytesIO(path.read_bytes()), upright=True)
    assert content.shape == (30, 40, 3)
    np.testing.assert_array_equal(read_image(path, upright=True), content)
    np.testing.assert_array_equal(read_image(str(path), upright=True), content)
    with pytest.raises(InputError, match=r"^nothing\.jpg: no such file"):
        read_image("nothing.jpg")


UNUSABLE: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"hello",
    "16 bits": lambda: saved(Image.fromarray(np.full((16, 24), 4000, np.uint16)), "PNG"),
    "floats": lambda: saved(Image.fromarray(np.ones((16, 24), np.float32)), "TIFF"),
    "pixel bomb": pixel_bomb,
    "text bomb": text_bomb,
    "program": lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 24 16\n%%EndComments\n(x) run\n",
    "cut JPEG": lambda: saved(drawn(), "JPEG")[:-100],
    "cut PNG": lambda: saved(drawn(), "PNG")[:-100],
    "SVG": lambda: b'<svg xmlns="http://www.w3.org/2000/svg" width="24" height="16"/>',
}


@pytest.mark.fault("a image or mask that is broken or hostile")
@pytest.mark.parametrize("kind", UNUSABLE)
def test_unusable_images(raw: Path, kind: str) -> None:
    layout.image_path(raw, "a").write_bytes(UNUSABLE[kind]())
    reason = check_pair(raw, "a", ["pet"], Geometry(64)).reason
    assert reason is not None and reason.startswith("image a: ")


@pytest.mark.fault("a image or mask that is broken or hostile")
@pytest.mark.parametrize(
    "kind", ["PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "TGA", "JPEG2000", "AVIF", "HEIF"]
)
def test_random_damage(tmp_path: Path, kind: str) -> None:
    """Bits are flipped and ends cut off: the image is read, or refused in the way that the split names."""
    assert kind in FORMATS
    whole, draw, path = saved(drawn(), kind), random.Random(kind), tmp_path / "a"
    refused, count = 0, 60
    for _ in range(count):
        data = whole[: draw.randrange(1, len(whole) + 1)] if draw.random() < 0.3 else whole
        for _ in range(draw.choice([1, 3, 20])):
            data = flipped(data, draw.randrange(len(data)), draw.randrange(8))
        path.write_bytes(data)
        for read in (open_rgb, read_trimap):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read(path)
            except InputError as error:
                assert str(path) in str(error)
                refused += 1
    assert refused > 0


@pytest.mark.fault("a machine that fails while an image is read")
def test_an_error_of_the_disk_ends_the_check_of_a_dataset(raw: Path) -> None:
    layout.image_path(raw, "a").symlink_to("/proc/self/mem")  # reading it gives EIO
    with pytest.raises(Fault, match=r"images/a\.jpg: cannot be read \(Input/output error\)"):
        check_pair(raw, "a", ["pet"], Geometry(64))


WITHOUT_MEMORY = """
import resource, sys
from pathlib import Path
from segmentation.common.errors import Fault
from segmentation.common.image_io import open_rgb

used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, -1))
try:
    open_rgb(sys.argv[1])
except Fault as error:
    print(error)
"""


@pytest.mark.fault("a machine that fails while an image is read")
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
def test_a_lack_of_memory_makes_no_image_unusable(tmp_path: Path, kind: str) -> None:
    Image.new("RGB", (8000, 5000)).save(tmp_path / "large", kind)
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_MEMORY, tmp_path / "large"], cwd=ROOT, capture_output=True, text=True
    )
    assert finished.stdout.startswith(f"{tmp_path / 'large'}: out of memory while it is decoded"), finished


def deep_colour(orientation: int, kind: str, alpha: bool) -> tuple[bytes, np.ndarray]:
    """An image of 16 bits per channel with values up to 4000, and how it is seen upright, in 8 bits."""
    values = np.random.default_rng(0).integers(0, 4001, (16, 24, 4 if alpha else 3), np.uint16)
    if alpha:
        values[..., 3] = 65535
    _, content = cv2.imencode(f".{kind}", values[..., [2, 1, 0, 3][: values.shape[-1]]])
    seen = np.rint(values[..., :3] * (255 / 4000)).astype(np.uint8)
    if orientation == 1:
        return content.tobytes(), seen
    with_exif = Image.open(io.BytesIO(content.tobytes())).getexif()
    with_exif[0x0112] = orientation
    chunk = b"eXIf" + with_exif.tobytes().removeprefix(b"Exif\0\0")
    png = content.tobytes()
    length, check = len(chunk) - 4, zlib.crc32(chunk)
    return png[:33] + length.to_bytes(4) + chunk + check.to_bytes(4) + png[33:], np.rot90(seen, -1)


@pytest.mark.parametrize(
    ("orientation", "kind", "alpha"),
    [(1, "png", False), (1, "png", True), (1, "tiff", False), (1, "ppm", False), (6, "png", False)],
)
def test_white_of_deep_colours(orientation: int, kind: str, alpha: bool) -> None:
    content, seen = deep_colour(orientation, kind, alpha)
    np.testing.assert_array_equal(read_image(io.BytesIO(content), upright=True, white=4000), seen)
    assert read_image(io.BytesIO(content), upright=True).max() <= 4000 / 256 + 1  # the upper 8 bits
