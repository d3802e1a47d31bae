"""Addresses of the API for recordings, training, checkpoints, releases and tokens."""

from typing import Any

from django.urls import path

from annotator.api import imports, prospective, quality, recordings, releases, schema, tokens, training

urlpatterns: list[Any] = [
    path("recordings", recordings.Recordings.as_view(), name="api-recordings"),
    path("recordings/<int:pk>", recordings.RecordingDetail.as_view(), name="api-recording"),
    path("waveforms/<str:sha256>", recordings.WaveformSamples.as_view(), name="api-waveform"),
    path("recordings/unreadable", quality.Unreadable.as_view(), name="api-unreadable"),
    path("recordings/<int:pk>/quality", quality.DecideQuality.as_view(), name="api-recording-quality"),
    path("datasets", imports.Datasets.as_view(), name="api-datasets"),
    path("imports", imports.Imports.as_view(), name="api-imports"),
    path("imports/<int:pk>", imports.ImportDetail.as_view(), name="api-import"),
    path("training-runs", training.TrainingRuns.as_view(), name="api-training-runs"),
    path("training-runs/<int:pk>", training.TrainingRunDetail.as_view(), name="api-training-run"),
    path("training-runs/<int:pk>/metrics", training.TrainingRunMetrics.as_view(), name="api-training-run-metrics"),
    path("training-runs/<int:pk>/cancel", training.CancelTrainingRun.as_view(), name="api-training-run-cancel"),
    path("checkpoints", training.Checkpoints.as_view(), name="api-checkpoints"),
    path("checkpoints/go-back", training.GoBack.as_view(), name="api-checkpoint-go-back"),
    path("checkpoints/<int:pk>/gate", training.CheckpointGate.as_view(), name="api-checkpoint-gate"),
    path("checkpoints/<int:pk>/promote", training.PromoteCheckpoint.as_view(), name="api-checkpoint-promote"),
    path("checkpoints/<int:pk>/score", training.ScoreCheckpoint.as_view(), name="api-checkpoint-score"),
    path("scoring-runs", training.ScoringRuns.as_view(), name="api-scoring-runs"),
    path("prospective", prospective.ProspectiveTests.as_view(), name="api-prospective"),
    path("prospective/<int:pk>/end", prospective.EndProspectiveTest.as_view(), name="api-prospective-end"),
    path("prospective/<int:pk>/figures", prospective.ProspectiveFigures.as_view(), name="api-prospective-figures"),
    path("prospective/<int:pk>/arrivals", prospective.Arrivals.as_view(), name="api-arrivals"),
    path("prospective/<int:pk>/arrivals/<int:arrival_pk>", prospective.ArrivalDetail.as_view(), name="api-arrival"),
    path("releases", releases.Releases.as_view(), name="api-releases"),
    path("releases/<int:number>", releases.ReleaseDetail.as_view(), name="api-release"),
    path("releases/<int:number>/files/<path:path>", releases.ReleaseFile.as_view(), name="api-release-file"),
    path("releases/<int:number>/download", releases.ReleaseDownload.as_view(), name="api-release-download"),
    path("tokens", tokens.Tokens.as_view(), name="api-tokens"),
    path("tokens/<str:token_id>", tokens.TokenDetail.as_view(), name="api-token"),
    path("schema", schema.Schema.as_view(), name="api-schema"),
    path("docs", schema.Docs.as_view(), name="api-docs"),
]
