"""Addresses of the reading side of the API."""

from typing import Any

from django.urls import path

from annotator.api import adjudications, annotations, claims, known_answers, rounds, scheme

urlpatterns: list[Any] = [
    path("claims", claims.Claims.as_view(), name="api-claims"),
    path("claims/<int:pk>/heartbeat", claims.Heartbeat.as_view(), name="api-claim-heartbeat"),
    path("claims/<int:pk>/give-back", claims.GiveBack.as_view(), name="api-claim-give-back"),
    path("claims/<int:pk>/skip", claims.Skip.as_view(), name="api-claim-skip"),
    path("claims/<int:pk>/draft", claims.DraftView.as_view(), name="api-claim-draft"),
    path("claims/<int:pk>/first-read", claims.FirstRead.as_view(), name="api-claim-first-read"),
    path("claims/<int:pk>/final-read", claims.FinalRead.as_view(), name="api-claim-final-read"),
    path("worklist", claims.Worklist.as_view(), name="api-worklist"),
    path("scheme", scheme.Scheme.as_view(), name="api-scheme"),
    path("annotations", annotations.Annotations.as_view(), name="api-annotations"),
    path("annotations/<int:pk>/revise", annotations.Revise.as_view(), name="api-annotation-revise"),
    path("adjudications", adjudications.Adjudications.as_view(), name="api-adjudications"),
    path("adjudications/claim", adjudications.ClaimAdjudication.as_view(), name="api-adjudication-claim"),
    path("adjudications/<int:pk>", adjudications.AdjudicationDetail.as_view(), name="api-adjudication"),
    path("adjudications/<int:pk>/settle", adjudications.SettleAdjudication.as_view(), name="api-adjudication-settle"),
    path(
        "adjudications/<int:pk>/give-back",
        adjudications.GiveBackAdjudication.as_view(),
        name="api-adjudication-give-back",
    ),
    path(
        "adjudications/<int:pk>/heartbeat",
        adjudications.HeartbeatAdjudication.as_view(),
        name="api-adjudication-heartbeat",
    ),
    path("recordings/<int:pk>/known-answer", known_answers.KnownAnswer.as_view(), name="api-known-answer"),
    path("rounds", rounds.Rounds.as_view(), name="api-rounds"),
    path("rounds/<int:pk>", rounds.RoundDetail.as_view(), name="api-round"),
    path("rounds/<int:pk>/fill", rounds.FillRound.as_view(), name="api-round-fill"),
    path("rounds/<int:pk>/open", rounds.OpenRound.as_view(), name="api-round-open"),
    path("rounds/<int:pk>/close", rounds.CloseRound.as_view(), name="api-round-close"),
    path("rounds/<int:pk>/report", rounds.RoundReport.as_view(), name="api-round-report"),
]
