"""Addresses of the admin pages."""

from django.urls import path

from annotator.pages.manage import checkpoints, datasets, overview, people, prospective, releases, rounds, training

urlpatterns = [
    path("manage", overview.overview, name="manage"),
    path("manage/audit", overview.audit, name="manage-audit"),
    path("manage/datasets", datasets.datasets, name="manage-datasets"),
    path("manage/datasets/upload", datasets.upload, name="manage-upload"),
    path("manage/imports/<int:pk>", datasets.import_run, name="manage-import"),
    path("manage/imports/<int:pk>/report.csv", datasets.issues_csv, name="manage-import-csv"),
    path("manage/imports/<int:pk>/cancel", datasets.cancel_import, name="manage-import-cancel"),
    path("manage/training", training.training, name="manage-training"),
    path("manage/training/<int:pk>", training.training_run, name="manage-training-run"),
    path("manage/training/<int:pk>/cancel", training.cancel_training, name="manage-training-cancel"),
    path("manage/checkpoints", checkpoints.checkpoints, name="manage-checkpoints"),
    path("manage/checkpoints/go-back", checkpoints.go_back, name="manage-go-back"),
    path("manage/checkpoints/<int:pk>/promote", checkpoints.promote, name="manage-promote"),
    path("manage/checkpoints/<int:pk>/score", checkpoints.score, name="manage-score"),
    path("manage/rounds", rounds.rounds, name="manage-rounds"),
    path("manage/rounds/<int:pk>", rounds.round_, name="manage-round"),
    path("manage/rounds/<int:pk>/fill", rounds.fill, name="manage-round-fill"),
    path("manage/rounds/<int:pk>/open", rounds.open_, name="manage-round-open"),
    path("manage/rounds/<int:pk>/close", rounds.close, name="manage-round-close"),
    path("manage/prospective", prospective.prospective, name="manage-prospective"),
    path("manage/prospective/<int:pk>", prospective.prospective_test, name="manage-prospective-test"),
    path("manage/prospective/<int:pk>/end", prospective.end, name="manage-prospective-end"),
    path("manage/prospective/<int:pk>/read", prospective.read, name="manage-prospective-read"),
    path("manage/prospective/<int:pk>/try-again", prospective.try_again, name="manage-prospective-again"),
    path("manage/releases", releases.releases, name="manage-releases"),
    path("manage/releases/<int:number>", releases.release, name="manage-release"),
    path("manage/releases/<int:number>/cancel", releases.cancel_release, name="manage-release-cancel"),
    path("manage/people", people.people, name="manage-people"),
    path("manage/people/<int:pk>/password", people.reset_password, name="manage-person-password"),
    path("manage/people/<int:pk>/role", people.change_role, name="manage-person-role"),
    path("manage/people/<int:pk>/deactivate", people.deactivate, name="manage-person-deactivate"),
    path("manage/people/<int:pk>/activate", people.activate, name="manage-person-activate"),
]
