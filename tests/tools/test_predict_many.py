"""`python -m tools.predict` on many photos: skipped, broken, in shards, interrupted."""

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import RunHere
from photos import pixels, save, scene, three_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return three_photos(tmp_path)


def test_what_exists_is_skipped_and_force_replaces_it(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out = tmp_path / "out"
    arguments = [photos, "--out", out, "--model", "unet"]
    run_here(finished, "tools.predict", *arguments)
    (out / "0.png").write_bytes(b"mine")
    (out / "1.png").unlink()
    ended = run_here(finished, "tools.predict", *arguments)
    assert "1 of 3 images" in ended.stdout and "2 skipped, as files of these names exist" in ended.stdout
    assert (out / "0.png").read_bytes() == b"mine" and pixels(out / "1.png").shape == (90, 60)
    more = run_here(finished, "tools.predict", *arguments, "--kind", "mask", "overlay")
    assert "3 of 3 images" in more.stdout and "; 3 skipped" in more.stdout  # the masks
    assert (out / "0.png").read_bytes() == b"mine"
    forced = run_here(finished, "tools.predict", *arguments, "--force")
    assert "3 of 3 images" in forced.stdout and pixels(out / "0.png").shape == (60, 90)


def test_a_broken_photo_is_named_and_the_others_are_done(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    out, whole = tmp_path / "out", (photos / "0.png").read_bytes()
    (photos / "broken.png").write_bytes(whole[: len(whole) // 2])
    (photos / "text.jpg").write_text("no photo")
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(50))
    ended = run_here(finished, "tools.predict", photos, "--out", out, "--batch", 2)
    assert ended.status == 1 and "3 of 6 images" in ended.stdout
    lines = [line for line in ended.stderr.splitlines() if line.startswith("predict: ")]
    assert len(lines) == 4 and "Traceback" not in ended.stderr
    assert "broken.png" in lines[0] and "phone.heic" in lines[1] and "text.jpg" in lines[2]
    assert lines[3].startswith("predict: error: 3 of 6 images could not be read") and "errors.csv" in lines[3]
    rows = list(csv.reader((out / "errors.csv").open()))
    assert rows[0] == ["image", "error"]
    assert [row[0] for row in rows[1:]] == [
        str(photos / name) for name in ("broken.png", "phone.heic", "text.jpg")
    ]
    assert all(row[1].startswith("does not decode as an image") for row in rows[1:])
    (photos / "broken.png").write_bytes(whole)
    (photos / "text.jpg").unlink()
    (photos / "phone.heic").unlink()
    mended = run_here(finished, "tools.predict", photos, "--out", out)
    assert mended.status == 0 and "1 of 4 images" in mended.stdout and not (out / "errors.csv").exists()


def test_the_users_own_table_is_kept(finished: Path, photos: Path, tmp_path: Path, run_here: RunHere) -> None:
    (tmp_path / "errors.csv").write_text("mine")
    assert run_here(finished, "tools.predict", photos / "0.png", "--out", tmp_path).status == 0
    assert (tmp_path / "errors.csv").read_text() == "mine"


def test_a_name_that_cannot_be_printed(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    save(folder / "a.png", scene(40, 50))
    (folder / "\udcfe.jpg").write_bytes(b"broken")
    ended = subprocess.run(
        [sys.executable, "-m", "tools.predict", folder, "--out", tmp_path / "out"],
        cwd=finished, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"}, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 1 and "Traceback" not in ended.stderr and r"\udcfe.jpg" in ended.stderr
    assert b"\xfe.jpg" in (tmp_path / "out/errors.csv").read_bytes()


def test_three_shards_at_once_give_what_one_run_gives(finished: Path, tmp_path: Path) -> None:
    for number in range(7):
        save(tmp_path / f"photos/{number}.jpg", scene(40, 50 + number, seed=number))
    (tmp_path / "photos/broken.jpg").write_bytes(b"")
    command = [sys.executable, "-m", "tools.predict", str(tmp_path / "photos"), "--out"]
    shards = [
        subprocess.Popen(
            [*command, str(tmp_path / "shards")], cwd=finished, env=os.environ | environment,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for environment in [
            {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_COUNT": "3"} for index in range(3)
        ]
    ]  # fmt: skip
    said = [shard.communicate(timeout=300) for shard in shards]
    assert sorted(shard.returncode for shard in shards) == [0, 0, 1], said
    one = subprocess.run([*command, str(tmp_path / "one")], cwd=finished, capture_output=True, text=True)
    assert one.returncode == 1
    results = [
        {path.name: path.read_bytes() for path in (tmp_path / out).glob("*.png")} for out in ("shards", "one")
    ]
    assert results[0] == results[1] and len(results[1]) == 7
    errors = list((tmp_path / "shards").glob("errors-*-of-3.csv"))
    assert len(errors) == 1 and errors[0].read_text() == (tmp_path / "one/errors.csv").read_text()


def test_interrupted_it_leaves_whole_files_and_resumes(finished: Path, tmp_path: Path) -> None:
    image = scene(600, 800)
    for number in range(60):
        save(tmp_path / f"photos/{number}.jpg", image)
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tools.predict", str(tmp_path / "photos"), "--out", str(out)]
    process = subprocess.Popen(
        command, cwd=finished, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not out.exists() or not any(out.glob("*.png")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in stderr
    assert stderr.splitlines()[-1] == "predict: stopped by SIGINT; run it again"
    done = list(out.iterdir())
    assert 0 < len(done) < 60 and all(pixels(path).shape == (600, 800) for path in done)
    again = subprocess.run(command, cwd=finished, capture_output=True, text=True)
    assert again.returncode == 0 and f"{60 - len(done)} of 60 images" in again.stdout
    assert len({path.read_bytes() for path in out.iterdir()}) == 1


@pytest.mark.fault("a machine that fails while an image is read")
def test_an_error_of_the_disk_ends_the_run(
    finished: Path, photos: Path, tmp_path: Path, run_here: RunHere
) -> None:
    (photos / "1.png").unlink()
    (photos / "1.png").symlink_to("/proc/self/mem")
    ended = run_here(finished, "tools.predict", photos, "--out", tmp_path / "out")
    assert ended.status == 1 and "photos/1.png: cannot be read (Input/output error)" in ended.stderr
    assert not (tmp_path / "out/errors.csv").exists()
