"""Which files are photos, where their results go, and whose share they are."""

from pathlib import Path

import pytest
from PIL import Image

from segmentation.common.errors import InputError
from segmentation.prediction.inputs import Shard, choose_shard, find_photos, refuse_out
from segmentation.prediction.job import missing, plan

OUT = Path("out")


def photo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 3)).save(path, "PNG")
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photos among what else lies in people's folders."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "in/b.jpg",
        "in/a.PNG",
        "in/deep/er/a.tif",
        "in/.hidden/x.jpg",
        "in/._a.png",
        "in/my.cat.webp",
    ):
        photo(tmp_path / name)
    for name in ("in/notes.txt", "in/Thumbs.db", "in/phone.HEIC", "in/movie.mp4"):
        (tmp_path / name).write_bytes(b"anything")
    return tmp_path / "in"


def names(*paths: str) -> list[str]:
    return [str(photo.name) for photo in find_photos(paths)]


def test_a_folder_with_all_that_is_in_it(folder: Path) -> None:
    assert names("in") == ["a", "b", "my.cat", "phone", "deep/er/a"]


def test_files_and_globs(folder: Path) -> None:
    assert names("in/b.jpg", "in/a.PNG") == ["b", "a"]
    assert names("in/*.[jP]*") == ["a", "b"]
    assert names(f"{folder}/**/*.tif") == ["a"]
    assert names("in/b.jpg", "in", "in/b.jpg") == ["b", "a", "my.cat", "phone", "deep/er/a"]  # each file once
    photo(folder / "[1].png")
    assert names("in/[1].png") == ["[1]"]  # a name, not a pattern


def test_content_counts_where_a_file_is_named(folder: Path) -> None:
    photo(folder / "no_suffix")
    assert names("in/no_suffix") == ["no_suffix"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nothing.jpg", "no such file"),
        ("none/*.jpg", "no such file"),
        ("in/notes.txt", "does not decode"),
        ("empty", "no images"),
    ],
)
def test_what_is_no_photo_is_refused_by_name(folder: Path, path: str, problem: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(InputError, match=problem) as caught:
        find_photos(["in/b.jpg", path] if path.startswith(("in", "no")) else [path])
    assert path in str(caught.value)


def test_the_same_output_twice_is_refused(folder: Path) -> None:
    photo(folder / "more/b.jpg")
    with pytest.raises(InputError, match=r"its output out/b\.jpg\.png"):
        plan(find_photos(["in/b.jpg", "in/more/b.jpg"]), OUT, ["mask"])
    assert len(plan(find_photos(["in/b.jpg", "in/more"])[:1], OUT, ["mask"])) == 1


def test_a_kind_in_a_name_does_not_hide_that(folder: Path) -> None:
    photo(folder / "b.cutout.jpg")
    with pytest.raises(InputError, match=r"its output out/b.cutout.png"):
        plan(find_photos(["in"]), OUT, ["mask", "cutout"])


def test_a_photo_is_never_replaced(folder: Path) -> None:
    photo(Path("c.png"))
    with pytest.raises(InputError, match=r"c.png: its output c.png"):
        plan(find_photos(["c.png"]), Path(), ["mask"])


@pytest.mark.parametrize("out", ["in", "in/masks", "in/../in/x"])
def test_an_output_folder_in_an_input_folder_is_refused(folder: Path, out: str) -> None:
    with pytest.raises(InputError, match="lies in the input folder in"):
        refuse_out(Path(out), ["in"])
    refuse_out(Path("in-masks"), ["in"])
    refuse_out(Path(out), ["in/b.jpg"])


@pytest.mark.parametrize(
    ("argument", "environment", "shard"),
    [
        (None, {}, Shard(0, 1)),
        ("2/3", {"RANK": "0", "WORLD_SIZE": "1"}, Shard(2, 3)),
        (None, {"RANK": "1", "WORLD_SIZE": "4"}, Shard(1, 4)),
        (
            None,
            {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "5", "SLURM_ARRAY_TASK_COUNT": "3"},
            Shard(2, 3),
        ),
        (None, {"SLURM_ARRAY_TASK_ID": "0", "SLURM_ARRAY_TASK_COUNT": "3", "RANK": "1"}, Shard(0, 3)),
    ],
)
def test_whose_share(argument: str | None, environment: dict[str, str], shard: Shard) -> None:
    assert choose_shard(argument, environment) == shard


@pytest.mark.parametrize("argument", ["3/3", "-1/3", "1", "a/b", "1/0", "", "1/2/3", "²/3"])
def test_a_share_that_is_none_is_refused(argument: str) -> None:
    with pytest.raises(InputError, match="0 <= I < N"):
        choose_shard(argument, {})


def test_an_array_with_gaps_is_refused() -> None:
    with pytest.raises(InputError, match="range without gaps"):
        choose_shard(
            None, {"SLURM_ARRAY_TASK_ID": "9", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "3"}
        )


def test_an_array_that_leaves_tasks_out_is_refused() -> None:
    """With --array=0-4:2 the tasks 0, 2 and 4 would take shards 0 and 2 of 3, and nobody shard 1."""
    array = {"SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_MAX": "4", "SLURM_ARRAY_TASK_COUNT": "3"}
    with pytest.raises(InputError, match="range without gaps"):
        choose_shard(None, {"SLURM_ARRAY_TASK_ID": "0", **array})


def test_a_link_is_a_photo_and_a_linked_folder_is_a_folder(folder: Path) -> None:
    (folder / "z.jpg").symlink_to(folder / "b.jpg")
    (folder / "album").symlink_to(photo(folder.parent / "album/c.jpg").parent)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.jpg").symlink_to("nothing")
    assert names("in") == ["a", "b", "my.cat", "phone", "z", "album/c", "deep/er/a"]
    with pytest.raises(InputError, match="no such file"):
        names("in/dangl*.jpg")


def test_a_folder_is_not_taken_for_a_finished_output(folder: Path) -> None:
    tasks = plan(find_photos(["in/b.jpg"]), OUT, ["mask"])
    (OUT / "b.png").mkdir(parents=True)
    assert missing(tasks) == tasks


def test_an_output_in_the_way_of_a_folder_is_refused(folder: Path) -> None:
    photo(folder / "a.png.d/x.jpg").parent.rename(folder / "b.png")
    with pytest.raises(InputError, match=r"in/b.png/x.jpg: its output out/b.png/x.png would be in the way"):
        plan(find_photos(["in"]), OUT, ["mask"])


def test_a_name_that_is_too_long_is_refused(folder: Path) -> None:
    photo(folder / ("猫" * 83 + ".jpg"))
    plan(find_photos(["in"]), OUT, ["mask"])
    with pytest.raises(InputError, match="its name is too long"):
        plan(find_photos(["in"]), OUT, ["probability"])


def test_an_output_folder_that_is_a_file_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        refuse_out(photo(Path("out")), ["in/b.jpg"])


def test_a_photo_whose_name_is_a_dot(folder: Path) -> None:
    photo(folder / "..png")
    (task,) = plan(find_photos(["in/..png"]), OUT, ["mask"])
    assert task.outputs["mask"] == OUT / "..png"
