"""Addresses of sign-in, the desk and the account pages."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from annotator.pages import account, desk, sign_in

urlpatterns = [
    path("", desk.worklist, name="worklist"),
    path("sign-in", sign_in.SignIn.as_view(), name="login"),
    path("sign-out", LogoutView.as_view(), name="logout"),
    path("desk", desk.desk, name="desk"),
    path("adjudications", desk.adjudications, name="adjudications"),
    path("adjudications/<int:pk>", desk.adjudication, name="adjudication"),
    path("tokens", account.tokens, name="tokens"),
    path("releases", account.releases, name="releases"),
]
