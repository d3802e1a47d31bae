"""The made pool of `rerank_million.py`: recordings of many kinds in PostgreSQL, their embeddings and predictions.

Some kinds are abnormal and called normal wherever they stand; other labels are flipped by chance. Axes: N recordings,
B of a block, K kinds, L dimensions that kinds differ in, D embedding width.
"""

from pathlib import Path
from typing import Any

import numpy as np

AF = "164889003"
WIDTH, KINDS, LATENT, HIDDEN, FLIPPED, DOUBTED = 512, 60, 24, 4, 0.01, 0.2
DOUBT = {"doubt": {"code": AF, "probability": 0.55, "given": 0}}
BLOCK_ROWS = 20_000


def made_pool(home: Path, count: int) -> np.ndarray:
    """Write recordings and keep their embeddings for the scoring; returns the true label of each."""
    from django.db import connection

    from annotator.models import Dataset, Waveform

    rng = np.random.default_rng(1)
    dataset = Dataset.objects.create(name="bench")
    waveform = Waveform.objects.create(
        sha256="0" * 64, lead_names=["I", "II"], sampling_rate_hz=500, sample_count=5000, scale_mv=0.001,
        calibrated=True,
    )  # fmt: skip
    abnormal_K = rng.random(KINDS) < 0.6
    share_K = rng.dirichlet(np.full(KINDS, 2.0))
    kind_N = rng.choice(KINDS, count, p=share_K)
    truth_N = abnormal_K[kind_N]
    given_N = truth_N ^ (rng.random(count) < FLIPPED)
    common = np.flatnonzero(abnormal_K)
    hidden = common[np.argsort(np.abs(share_K[common] - 0.015))][:HIDDEN]
    given_N[np.isin(kind_N, hidden)] = False
    np.save(home / "hidden.npy", np.flatnonzero(kind_N == hidden[0]) + 1)
    patient_N = rng.integers(0, max(count * 2 // 3, 2), count)
    columns = (
        "id, dataset_id, name, waveform_id, patient_hash, split, sex, centre, report_text, quality, source_abnormal, "
        "imported_at"
    )
    with connection.cursor() as cursor:
        with cursor.copy(f"COPY annotator_recording ({columns}) FROM STDIN") as copy:
            for row, (given, patient) in enumerate(zip(given_N.tolist(), patient_N.tolist(), strict=True)):
                copy.write_row((
                    row + 1, dataset.pk, f"r{row}", waveform.sha256, f"p{patient}", "train", "", f"c{patient % 7}", "",
                    "{}", given, "2026-01-01",
                ))  # fmt: skip
        cursor.execute("SELECT setval('annotator_recording_id_seq', %s)", [count])
        cursor.execute("ANALYZE annotator_recording")
    embed(home / "pool.npy", kind_N, abnormal_K, rng)
    np.save(home / "truth.npy", truth_N)
    return truth_N


def embed(path: Path, kind_N: np.ndarray, abnormal_K: np.ndarray, rng: np.random.Generator) -> None:
    """Write embeddings that lie around the centre of their kind in a space of fewer dimensions."""
    centre_KL = rng.normal(size=(KINDS, LATENT)).astype(np.float32)
    centre_KL[:, 0] = np.where(abnormal_K, 1.2, -1.2)
    mix_LD = (rng.normal(size=(LATENT, WIDTH)) / np.sqrt(LATENT)).astype(np.float32)
    embedding_ND = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(kind_N.size, WIDTH))
    for first in range(0, kind_N.size, BLOCK_ROWS):
        kind_B = kind_N[first : first + BLOCK_ROWS]
        hidden_BL = centre_KL[kind_B] + rng.standard_normal((kind_B.size, LATENT), dtype=np.float32)
        noise_BD = 0.5 * rng.standard_normal((kind_B.size, WIDTH), dtype=np.float32)
        embedding_ND[first : first + BLOCK_ROWS] = hidden_BL @ mix_LD + noise_BD
    embedding_ND.flush()


def store_predictions(scoring_run: Any, path: Path) -> None:
    """Write predictions with the label errors that heads find before any correction."""
    from annotator.models import Recording
    from annotator.services.prediction_copy import PredictionBatch
    from annotator.services.scoring import store_predictions as store
    from ecgfm_core.active import rerank, scores
    from ecgfm_core.active.crossfit import reduce

    embedding_ND = np.load(path, mmap_mode="r")
    given_N = np.array(list(Recording.objects.order_by("pk").values_list("source_abnormal", flat=True)), dtype=np.int64)
    hashes = Recording.objects.order_by("pk").values_list("patient_hash", flat=True)
    patient_N = np.array([int(one[1:]) for one in hashes.iterator()])
    nothing = rerank.Settled(np.empty(0, np.int64), np.empty(0, np.int8))
    votes_SN = rerank.rescore(reduce(embedding_ND).astype(np.float16), patient_N, given_N, nothing)
    for first in range(0, len(given_N), BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        probability = votes_SN[:, block].mean(axis=0, dtype=np.float64)
        count = len(probability)
        numbers = {
            "crossfit_abnormal_probability": probability,
            "label_error": scores.label_error_scores(given_N[block], probability),
            "entropy": scores.entropy(probability),
        }
        votes_N = (votes_SN[:, block] > 0.5).sum(axis=0)
        rows = PredictionBatch(
            recording_ids=np.arange(first, first + count) + 1, abnormal_probability_N=probability,
            label_probabilities_NC=probability[:, None], embedding_ND=embedding_ND[block],
            details=[
                {"votes": int(votes), "models": len(votes_SN)} | (DOUBT if row % int(1 / DOUBTED) == 0 else {})
                for row, votes in enumerate(votes_N)
            ],
            texts=[""] * count, scores=numbers,
        )  # fmt: skip
        store(run=scoring_run, attempt=1, rows=rows)
