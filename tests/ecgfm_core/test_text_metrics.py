"""Figures of generated reports, against counts done by hand."""

import numpy as np
import pytest

from ecgfm_core.downstream import text_metrics
from ecgfm_core.reports import sentence

AF, LBBB, LVH, SINUS = "164889003", "164909002", "164873001", "426783006"
CODES = (AF, LBBB, LVH, SINUS)
TRUE = ["Sinus rhythm.", "Atrial fibrillation.", "Sinus rhythm. Left bundle branch block.", "Sinus rhythm."] * 5
TARGET_NC = text_metrics.said(TRUE, CODES).astype(np.float32)


def judge(*texts: list[str], target: np.ndarray = TARGET_NC) -> text_metrics.TextScore:
    return text_metrics.text_score(texts, TRUE, target, CODES)


def test_the_true_reports_are_perfect() -> None:
    found = judge(TRUE)
    assert (found.micro_f1.value, found.macro_f1.value, found.exact, found.empty, found.distinct) == (1, 1, 1, 0, 3)
    assert found.bleu == pytest.approx(100)


def test_one_report_for_all_earns_its_share_alone() -> None:
    found = judge(["Sinus rhythm."] * 20)
    assert found.micro_f1.value == pytest.approx(2 * 15 / (2 * 15 + 5 + 10))  # 5 said of AF; AF and LBBB missed
    assert found.macro_f1.value == pytest.approx((2 * 15 / (2 * 15 + 5)) / 3)  # nobody has LVH
    assert found.micro_f1.low < found.micro_f1.value < found.micro_f1.high
    assert (found.exact, found.distinct) == (0.5, 1)


def test_a_report_that_says_nothing_is_empty() -> None:
    found = judge(["", "No atrial fibrillation.", "possible LVH", "good day"] * 5)
    assert (found.empty, found.micro_f1.value, found.exact) == (1, 0, 0)


def test_what_is_unknown_counts_for_nothing() -> None:
    target = TARGET_NC.copy()
    target[:, 0] = np.nan
    found = judge(["Atrial fibrillation. " + text for text in TRUE], target=target)
    assert found.micro_f1.value == 1


def test_seeds_are_averaged() -> None:
    good, bad = judge(TRUE).micro_f1.value, judge(["Sinus rhythm."] * 20).micro_f1.value
    assert judge(TRUE, ["Sinus rhythm."] * 20).micro_f1.value == pytest.approx((good + bad) / 2)


def test_the_template_says_what_reaches_its_threshold() -> None:
    probability = np.array([[0.9, 0.1, 0.5, 0.0], [0.1, 0.2, 0.3, 0.1]])
    written = text_metrics.template(probability, np.array([0.5, 0.1, 0.6, 0.5]), CODES)
    assert written == [sentence([AF, LBBB]), sentence([LBBB])]


def test_the_most_frequent_report_and_the_nearest_one() -> None:
    assert text_metrics.most_frequent(["b", "c", "b", "a", "a"]) == "a"
    known = np.array([[1.0, 100.0], [-1.0, 300.0], [0.0, 200.0]])
    asked = np.array([[-0.5, 260.0], [2.0, 0.0]])
    assert text_metrics.nearest_reports(asked, known, ["a", "b", "c"]) == ["b", "a"]
