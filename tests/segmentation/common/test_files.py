import errno
import os
import shutil
from pathlib import Path

import pytest

from segmentation.common.errors import Fault, InputError
from segmentation.common.files import read_json, replace_dir, write_bytes, write_json


def test_a_linked_cache_object_is_not_written_through(tmp_path: Path) -> None:
    cached, output = tmp_path / "cached", tmp_path / "output"
    cached.write_bytes(b"old")
    os.link(cached, output)
    write_bytes(output, b"new")
    assert cached.read_bytes() == b"old" and output.read_bytes() == b"new"


def test_nothing_is_left_behind_and_the_mode_is_the_usual(tmp_path: Path) -> None:
    write_bytes(tmp_path / "deep" / "file", b"1")
    (tmp_path / "plain").touch()
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["file"]
    assert (tmp_path / "deep" / "file").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_value_that_is_not_json_leaves_the_old_file(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1.5})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json", "split", dict) == {"x": 1.5}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_is_rebuilt_from_empty(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    for name in ("one", "two"):
        with replace_dir(target) as folder:
            (folder / name).touch()
    assert [path.name for path in target.iterdir()] == ["two"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


def test_a_folder_survives_a_failed_rebuild(tmp_path: Path) -> None:
    target = tmp_path / "raw"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(RuntimeError), replace_dir(target) as folder:
        (folder / "new").touch()
        raise RuntimeError
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("content", [None, b"{", b"\xff"])
def test_missing_or_broken_json_names_the_stage(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError, match=r"a\.json.*`dvc repro`"):
        read_json(tmp_path / "a.json", "split", dict)


def test_what_cannot_be_removed_after_the_swap_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new content is complete then. As root nothing is undeletable, so the removal itself fails here."""
    target = tmp_path / "raw"
    target.mkdir()
    unlink = os.unlink

    def stale(path: object, **options: object) -> None:
        if str(path).endswith("old"):
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE), str(path))
        unlink(path, **options)  # type: ignore[arg-type]

    (target / "old").touch()
    monkeypatch.setattr(os, "unlink", stale)
    with replace_dir(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == ["new"]


def test_a_folder_comes_back_if_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "raw"
    target.mkdir()
    (target / "old").touch()
    with pytest.raises(Fault, match="its previous content is intact"), replace_dir(target) as folder:
        shutil.rmtree(folder)  # somebody cleans up
    assert [path.name for path in target.iterdir()] == ["old"]
    assert [path.name for path in tmp_path.iterdir()] == ["raw"]


@pytest.mark.parametrize("swapped", [1, 2])
def test_a_signal_between_the_renames_loses_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: int
) -> None:
    target, rename, done = tmp_path / "raw", Path.rename, list[Path]()
    target.mkdir()
    (target / "old").touch()

    def interrupted(path: Path, to: Path) -> Path:
        moved = rename(path, to)
        done.append(path)
        if len(done) == swapped:
            raise KeyboardInterrupt
        return moved

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replace_dir(target) as folder:
        (folder / "new").touch()
    assert [path.name for path in target.iterdir()] == [["old", "new"][swapped - 1]]
