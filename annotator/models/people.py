"""Who may do what: one role a person."""

from django.contrib.auth.models import AbstractUser
from django.db import models


class Role(models.TextChoices):
    """What a person may do. A role holds no other role's rights."""

    READER = "reader", "Reader"
    ADJUDICATOR = "adjudicator", "Adjudicator"
    ADMIN = "admin", "Admin"
    RESEARCHER = "researcher", "Researcher"
    SENDER = "sender", "Sender"


class User(AbstractUser):
    """A person who signs in."""

    role = models.CharField(max_length=12, choices=Role, default=Role.READER)

    class Meta(AbstractUser.Meta):
        constraints = (models.CheckConstraint(condition=models.Q(role__in=Role.values), name="user_role_known"),)

    def __str__(self) -> str:
        return self.username
