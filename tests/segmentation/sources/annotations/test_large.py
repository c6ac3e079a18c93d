"""Large exports: memory and time."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tool_exports as exports
from projects import ROOT

READ = """
import sys
from pathlib import Path
from segmentation.params import load_params
from segmentation.sources.own_labels import read_labels

print(*read_labels(Path(sys.argv[1]), load_params().data.folder, []).said)
"""


def read(own: Path) -> tuple[str, float, int]:
    """Read a folder's labels in a process of its own: what was said, seconds, and the peak of memory."""
    begin = time.monotonic()
    process = subprocess.Popen([sys.executable, "-c", READ, own], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return said, time.monotonic() - begin, usage.ru_maxrss * 1024


@pytest.mark.slow
@pytest.mark.parametrize("numbers", ["1000,401,", "1000.25,401.5,"], ids=["whole", "decimal"])
def test_200_megabytes_of_json_in_two_gibibytes_and_a_minute(tmp_path: Path, numbers: str) -> None:
    exports.write_image(tmp_path / "own/images/0.jpg", 0)
    polygon = f"[{(numbers * 50).rstrip(',')}]"
    start = '{"image_id":0,"category_id":1,"segmentation":[' + polygon + '],"id":'
    count = 200_000_000 // (len(start) + 8)
    with (tmp_path / "own/result.json").open("w") as file:
        file.write('{"images":[{"id":0,"file_name":"0.jpg","width":2000,"height":1500}],"annotations":[')
        file.write(",".join(f"{start}{number}}}" for number in range(count)))
        file.write("]}")
    assert (tmp_path / "own/result.json").stat().st_size > 195_000_000
    said, seconds, memory = read(tmp_path / "own")
    assert said.startswith(f"COCO JSON: 1 images, {count} annotations")
    assert seconds < 60 and memory < 2 * 1024**3, (seconds, memory)


@pytest.mark.slow
def test_10000_images_with_50000_polygons_are_read_in_20_seconds(tmp_path: Path) -> None:
    images = ",".join(f'{{"id":{n},"file_name":"{n}.jpg","width":500,"height":375}}' for n in range(10_000))
    polygon = ",".join(f"{value}.25" for value in range(60))
    areas = ",".join(
        f'{{"id":{n},"image_id":{n // 5},"category_id":1,"segmentation":[[{polygon}]]}}'
        for n in range(50_000)
    )
    (tmp_path / "own/images").mkdir(parents=True)
    (tmp_path / "own/result.json").write_text(f'{{"images":[{images}],"annotations":[{areas}]}}')
    for number in range(10_000):
        (tmp_path / f"own/images/{number}.jpg").touch()
    said, seconds, _ = read(tmp_path / "own")
    assert said.startswith("COCO JSON: 10000 images, 50000 annotations") and seconds < 20, seconds
