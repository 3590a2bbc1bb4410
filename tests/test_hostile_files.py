"""Damaged files of every kind: a result or an error of one line; `make torture` tries more."""

import numpy as np
import pytest
from hostile import KINDS, damage_files

from siamese.files import check_fields
from siamese.records.manifest import Shard


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if not kind.slow])
def test_damaged_files_give_a_result_or_one_line(name: str) -> None:
    outcome = damage_files(name, 40)
    assert not outcome.faults
    assert outcome.errors > 0
    assert outcome.results + outcome.errors == 40


def test_damage_is_the_same_for_the_same_seed() -> None:
    content = bytes(range(200))
    for damage in KINDS["jpeg"].damage:
        once, again = (damage(content, np.random.default_rng([0, 7])) for _ in range(2))
        assert once == again != content


def test_fields_of_another_kind_are_named() -> None:
    assert check_fields(Shard("a", 1, 2)) == Shard("a", 1, 2)
    with pytest.raises(TypeError, match=r"^records: "):
        check_fields(Shard("a", "1", 2))  # type: ignore[arg-type]
