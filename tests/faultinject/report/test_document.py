"""The JSON document keeps its schema, clean or violated."""

from __future__ import annotations

import json

import jsonschema
import pytest

from faultinject.coverage import Run
from faultinject.faults import FaultClass
from faultinject.kvc import KvcTarget, Operation, Scenario, targets
from faultinject.kvc_content import Source
from faultinject.report.document import SCHEMA_ID, document, level_name, schema
from faultinject.sweep import CLASSES, sweep, units
from kvformat.temp_names import TempKind
from tests.mutants.harness import swept as mutant_swept
from tests.mutants.wrong import DirectToTheFinalName, NoUnlink


def validate(content: dict[str, object]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.Draft202012Validator(schema()).validate(content)


@pytest.fixture(scope="module")
def clean() -> list[Run]:
    found = targets(source=Source(None, 30, 20), scenarios=(Scenario.ORPHANS,))
    return sweep(units(found, CLASSES))


@pytest.fixture(scope="module")
def violated() -> list[Run]:
    return [
        mutant_swept(writer, Operation.SAVE, "direct", Scenario.SAME_SIZE, *CLASSES)
        for writer in (NoUnlink, DirectToTheFinalName)
    ]


def test_a_clean_document(clean: list[Run]) -> None:
    content = document(clean)
    validate(content)
    assert content["schema"] == SCHEMA_ID
    assert content["violations"] == []
    assert {run["level"] for run in content["runs"]} == {"L3"}
    assert json.loads(json.dumps(content)) == content


def test_a_violated_document(violated: list[Run]) -> None:
    content = document(violated)
    validate(content)
    ids = [violation["id"] for violation in content["violations"]]
    assert ids == [f"V{n}" for n in range(1, len(ids) + 1)]
    assert {violation["run"] for violation in content["violations"]} == {0, 1}
    for violation in content["violations"]:
        run = content["runs"][violation["run"]]
        assert violation["points"] <= run["classes"][violation["class"]]["violated"]
        assert violation["subject"] == run["subject"]


def test_the_numbers_add_up(clean: list[Run], violated: list[Run]) -> None:
    for run in document(clean + violated)["runs"]:
        for count in run["classes"].values():
            assert count["covered"] == count["held"] + count["violated"] == sum(count["by"].values())
            assert count["points"] == count["covered"] + count["not_measured"] + count["harness_errors"]


def test_every_byte_of_a_save_is_cut(clean: list[Run]) -> None:
    runs = [run for run in document(clean)["runs"] if run["regions"]]
    assert len(runs) == 6
    for run in runs:
        assert all(region["covered"] == region["bytes"] > 0 for region in run["regions"].values())


def test_a_target_comes_back_from_its_document(clean: list[Run]) -> None:
    content = json.loads(json.dumps(document(clean)))
    assert [KvcTarget.described(run["target"]) for run in content["runs"]] == [run.target for run in clean]


def test_a_run_with_nothing_measured() -> None:
    validate(document([Run(KvcTarget(Operation.TOUCH, "-", "title", TempKind.AUTO))]))
    validate(document([]))


def test_other_documents_are_refused() -> None:
    good = document(sweep(units(targets()[-1:], [FaultClass.KILL])))
    validate(good)
    for bad in ({**good, "schema": "other/1"}, {**good, "more": 1}, {k: good[k] for k in ("schema", "runs")}):
        with pytest.raises(jsonschema.ValidationError):
            validate(bad)


def test_levels_by_name() -> None:
    assert [level_name(n) for n in (None, 0, 1, 2, 3)] == [None, "L0", "L1", "L2", "L3"]
