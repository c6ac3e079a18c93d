import io
import tarfile
from pathlib import Path

import pytest
from content import digest

from segmentation.common import dataset_layout as layout
from segmentation.common.errors import InputError
from segmentation.sources.oxford_pets import default_cache, write_pets

REAL = Path(__file__).parents[4] / "shared/data/pets-original-100"

IMAGES = {"images/Abyssinian_1.jpg": b"an image", "images/._Abyssinian_1.jpg": b"macOS"}
ANNOTATIONS = {
    "annotations/trimaps/Abyssinian_1.png": b"a trimap",
    "annotations/trimaps/._Abyssinian_1.png": b"macOS",
    "annotations/list.txt": b"#\nAbyssinian_1 1 1 1\n",
    "annotations/trainval.txt": b"Abyssinian_1 1 1 1\n",
    "annotations/test.txt": b"",
}


def write(path: Path, files: dict[str, bytes]) -> tuple[str, str]:
    """Write an archive; its address and md5."""
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path.as_uri(), digest(path, "md5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "raw"
    path.mkdir()
    return path


def test_two_archives_become_one_folder(tmp_path: Path, folder: Path) -> None:
    images, annotations = write(tmp_path / "i", IMAGES), write(tmp_path / "a", ANNOTATIONS)
    write_pets(folder, *images, *annotations, cache=tmp_path / "cache")
    assert layout.image_path(folder, "Abyssinian_1").read_bytes() == b"an image"
    assert layout.trimap_path(folder, "Abyssinian_1").read_bytes() == b"a trimap"
    assert len([path for path in folder.rglob("*") if path.is_file()]) == 5
    assert not (tmp_path / "cache").exists()


def test_nothing_is_unpacked_before_both_are_there(tmp_path: Path, folder: Path) -> None:
    images, (url, _) = write(tmp_path / "i", IMAGES), write(tmp_path / "a", ANNOTATIONS)
    with pytest.raises(InputError, match=url):
        write_pets(folder, *images, url, "0" * 32, cache=tmp_path / "cache")
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "missing",
    [
        "images",
        "annotations/trimaps",
        "annotations/list.txt",
        "annotations/trainval.txt",
        "annotations/test.txt",
    ],
)
def test_missing_parts_are_named(tmp_path: Path, folder: Path, missing: str) -> None:
    def without(files: dict[str, bytes]) -> dict[str, bytes]:
        return {name: content for name, content in files.items() if not name.startswith(missing)}

    images = write(tmp_path / "i", without(IMAGES))
    annotations = write(tmp_path / "a", without(ANNOTATIONS))
    to_blame = images[0] if missing == "images" else annotations[0]
    with pytest.raises(InputError, match=f"{to_blame}: the archive has no {missing};"):
        write_pets(folder, *images, *annotations, cache=tmp_path / "cache")


def test_default_cache_follows_the_platform(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert default_cache().name == "binary-segmentation-pipeline"
    assert default_cache().is_absolute()


@pytest.mark.skipif(not REAL.is_dir(), reason="the real images are not at hand")
def test_real_archives(tmp_path: Path, folder: Path) -> None:
    write_pets(
        folder,
        (REAL / "images.tar.gz").as_uri(),
        "791d49bd1abd7b95b318c97fae719525",
        (REAL / "annotations.tar.gz").as_uri(),
        "87e1be33ed8e2e176126b903d0007648",
        tmp_path / "cache",
    )
    ids = [line.split()[0] for path in (layout.TRAINVAL, layout.TEST) for line in (folder / path).open()]
    assert len(ids) == 100
    assert all(layout.image_path(folder, image_id).is_file() for image_id in ids)
    assert all(layout.trimap_path(folder, image_id).is_file() for image_id in ids)
    assert not list(folder.rglob("._*"))
