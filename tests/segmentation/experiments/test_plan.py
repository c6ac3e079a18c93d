from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from projects import ROOT

from segmentation.common.errors import InputError
from segmentation.common.leaves import flat
from segmentation.experiments.plan import changes, code_hash, run_of, runs
from segmentation.experiments.plan_file import check_addresses, read_plan, settings
from segmentation.experiments.running import spelled
from segmentation.params import load_params

LAB_REPORT = ROOT / "experiments/lab_report.yaml"
PLAN: dict[str, Any] = {
    "base": "lab_report",
    "budget": {"train.epochs": 3},
    "seeds": [0, 1],
    "questions": [
        {"question": "Which rate?", "claim": "low", "arms": {"high": {"train.lr": 0.01}, "low": {}}}
    ],
}


def asking(arms: dict[str, dict[str, object]], **more: object) -> dict[str, object]:
    return {"questions": [{"question": "?", "arms": arms, **more}]}


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def written(folder: Path, **changed: object) -> Path:
    path = folder / "plan.yaml"
    path.write_text(yaml.safe_dump(PLAN | changed))
    return path


def test_the_lab_reports_questions_share_the_runs_of_its_own_recipe() -> None:
    plan = read_plan(LAB_REPORT)
    found = runs(plan)
    changed = {changes(plan, run) for run in found}
    # The recipe itself, and seven arms that change it; five seeds each.
    assert len(found) == 8 * 5 and len(changed) == 8 and "" in changed
    assert {run.params["train.seed"] for run in found[:8]} == {0}  # whole seeds first


def test_a_key_is_of_all_that_decides_a_result_and_of_nothing_else(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path))
    key = run_of(plan, {}, 0).key
    for same in ({"data.pets.images_url": "file:///elsewhere.tar.gz"}, {"machine.cache_bytes": 1}):
        assert run_of(plan, same, 0).key == key
    others = [
        run_of(plan, {"train.lr": 0.01}, 0),
        run_of(plan, {}, 1),
        run_of(plan, {"preset": "pets"}, 0),
        run_of(plan, {"data.pets.images_md5": "0" * 32}, 0),
    ]
    assert len({key, *(run.key for run in others)}) == 5


def test_a_value_is_known_in_every_spelling(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path))
    keys = {run_of(plan, {"train.lr": value}, 0).key for value in (0.001, "1e-3", 1e-3)}
    assert len(keys) == 1
    assert run_of(plan, {"train.weight_decay": 0}, 0) == run_of(plan, {"train.weight_decay": 0.0}, 0)


VALUES = [
    None,
    True,
    3,
    1e-05,
    "x",
    "null",
    "file:///jörg/a b,c=d'e.gz",
    'a"b',
    ["pet", "border"],
    [0.8, 1.2],
]


def test_epochs_of_the_budget_rule_over_steps_of_the_preset(tmp_path: Path) -> None:
    def steps_of(**budget: int) -> int:
        names = {f"train.{name}": value for name, value in budget.items()}
        arms = asking({"one": {"train.lr": 0.003}, "other": {}})
        plan = read_plan(written(tmp_path, base="pets", budget=names, **arms))
        return int(run_of(plan, {}, 0).params["train.min_steps"])

    assert steps_of() == load_params(Path("presets/pets.yaml")).train.min_steps > 0
    assert steps_of(epochs=1) == 0
    assert steps_of(epochs=1, min_steps=70) == 70


@pytest.mark.parametrize("value", VALUES)
def test_dvc_reads_values_as_they_were_meant(tmp_path: Path, value: object) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("a: {b: 1}")
    apply_overrides(path, [f"a.b={spelled(value)}"])
    found = yaml.safe_load(path.read_text())["a"]["b"]
    assert float(found) == value if isinstance(value, float) else found == value


def test_the_code_hash_follows_the_code_of_the_stages(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    before = code_hash()
    (project / "docs/log.md").write_text("nothing")
    (project / "segmentation/experiments/plan.py").write_text("")
    assert code_hash() == before
    with (project / "segmentation/training/loop.py").open("a") as file:
        file.write("# changed\n")
    assert code_hash() != before


def test_flat_names_every_leaf() -> None:
    groups = {"train": {"lr": 0.1, "start_from": None}, "data": {"pets": {"images_md5": "0"}}}
    assert flat(groups) == {"train.lr": 0.1, "train.start_from": None, "data.pets.images_md5": "0"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": []}, "seeds: "),
        ({"seeds": [True, False]}, "seeds.0: "),
        ({"seeds": [-1]}, "seeds.0: "),
        ({"sedes": [1]}, "sedes: Extra inputs are not permitted"),
        (asking({"only": {}}), "needs two arms"),
        (asking({"a": {}, "b": {}}, claim="c"), "claim must be one of a, b"),
        ({"base": "nothing"}, "base and budget: presets/nothing.yaml: no such file"),
        ({"seeds": [1, 1]}, "only once"),
        ({"questions": PLAN["questions"] * 2}, "two have the same text"),
        (asking({"a": {}}, networks=["unet", "vnet"]), "no network vnet"),
        (asking({"a": {}}, networks=["unet", "unet"]), "two networks"),
        (asking({"a": {}}, networks=[]), "questions.0.networks: "),
        (asking({"a|b": {}, "c": {}}), r"questions.0.arms.*: String should match"),
        (asking({0.1: {}, "c": {}}), "questions.0.arms.*: Input should be a valid string"),  # type: ignore[dict-item]
        (asking({"a": {"train.lr": 1e-4}, "b": {}}), r"\?: two arms have the same params"),
        (asking({"a": {"train.seed": 3}, "b": {}}), r"\?: a: train.seed: the same"),
        (asking({"a": {"data.seed": 3}, "b": {}}), "data.seed: the same"),
        (asking({"a": {"train": {"lr": 0.1}}, "b": {}}), "train: no such param; names are dotted"),
        (asking({"a": {"train.lr": "fast"}, "b": {}}), r"\?: a: train.lr = 'fast'"),
        ({"budget": {"train.epoch": 3}}, "budget: train.epoch: no such param"),
        ({"budget": {"image.size.x": 3}}, r"image.size.x: no such param"),
        ({"budget": {"train.epochs": -3}}, "budget: train.epochs = -3"),
        ({"budget": {"train.seed": 3}}, "budget: train.seed: belongs in seeds"),
        ({"budget": {"preset": "pets"}}, "budget: preset: belongs in base"),
        ({"budget": {"data.seed": 3}, "split_by_seed": True}, "budget: data.seed: belongs in seeds"),
        (
            asking({"a": {"networks.resnet": False}}, networks=["unet", "resnet"]),
            r"\?: a: compares resnet, but networks.resnet is false",
        ),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    path = written(tmp_path, **changed)
    with pytest.raises(InputError, match=said) as error:
        read_plan(path)
    assert "\n" not in str(error.value) and str(error.value).startswith(str(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file: Input should be a valid dict"),
        ("- 1", "the file: Input should be a valid dict"),
        ("base: [", "not readable as YAML"),
        ("[" * 3000, "not readable as YAML"),
        ("base: a\nbase: b", 'found duplicate key "base"'),
        ("base: 2026-99-99", "not readable as YAML"),
        ('base: !!int ""', "not readable as YAML"),
        ("base: !!bool x", "not readable as YAML"),
        (b"\xff\xfe\x00", "not readable as YAML"),
    ],
)
def test_text_that_is_no_file_of_questions_is_one_line(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = tmp_path / "plan.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=said) as error:
        read_plan(path)
    assert "\n" not in str(error.value)
    with pytest.raises(InputError, match="Is a directory"):
        read_plan(tmp_path)


def test_an_md5_without_its_address_is_refused(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path))
    check_addresses(tmp_path, plan)  # those of Oxford-IIIT Pet itself
    plan.budget = {"data.pets.annotations_md5": "0" * 32}
    with pytest.raises(InputError, match="add where it is: -S data"):
        check_addresses(tmp_path, plan)


def test_only_addresses_come_from_the_command_line() -> None:
    given = settings(["data.pets.images_url=file:///a=b.tar.gz", "machine.cache_bytes=5"])
    assert given == {"data.pets.images_url": "file:///a=b.tar.gz", "machine.cache_bytes": 5}
    for bad in ("train.lr=0.1", "data.pets.images_url"):
        with pytest.raises(InputError, match="can be set here"):
            settings([bad])
