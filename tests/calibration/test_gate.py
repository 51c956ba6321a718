from __future__ import annotations

import numpy as np

from calibration.gate import judge

NAMES = ("neutrophil", "basophil")


def judged(wrong_before, wrong_after, rare=10, common=990):
    """Basophils named wrongly by each graph, of ``rare``."""
    truth = ["neutrophil"] * common + ["basophil"] * rare
    tables = []
    for wrong in (wrong_before, wrong_after):
        table = np.zeros((common + rare, 2), np.float32)
        table[:common, 0] = 1
        table[common:, 1] = 1
        table[common : common + wrong] = (1, 0)
        tables.append(table)
    return judge(*tables, truth, NAMES)


def test_the_same_answers_pass():
    gate = judged(2, 2)
    assert gate.passed
    assert (gate.agreement, gate.worst_difference, gate.failures()) == (1.0, 0.0, [])


def test_one_cell_of_a_rare_class_may_go_and_no_second():
    assert judged(2, 3).passed
    gate = judged(2, 4)
    assert not gate.passed
    assert gate.failures() == ["basophil loses 2 of 10 cells"]


def test_a_common_class_may_lose_a_point():
    assert judged(0, 5, rare=500, common=500).passed
    assert not judged(0, 6, rare=500, common=500).passed


def test_graphs_that_disagree_fail_though_no_class_loses():
    before = np.tile(np.array([[1, 0], [0, 1]], np.float32), (50, 1))
    gate = judge(before, before[:, ::-1], ["neutrophil", "neutrophil"] * 50, NAMES)
    assert gate.classes["neutrophil"].right_before == gate.classes["neutrophil"].right_after
    assert not gate.passed
    assert "the same class on 0.00%" in gate.failures()[0]
