"""Prepared statements: planned once, errors as Django's, locks; sessions and people read by them; answers' two ways."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.contrib.sessions.models import Session
from django.db import IntegrityError, connection, transaction
from django.forms.models import model_to_dict
from django.utils import timezone

from annotator import sql
from annotator.models import Annotation, Consensus, QueueItem
from annotator.services import queue
from annotator.services.annotations import submit_final
from annotator.services.answers import MarkAnswer
from tests.annotator.reading_world import AF, client, make_round, person, says

pytestmark = pytest.mark.django_db


def test_a_connection_plans_a_statement_once():
    statement = "SELECT %(value)s::int + 1"
    assert [sql.rows(statement, value=value) for value in (1, 2)] == [[(2,)], [(3,)]]
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT $1::int + 1'")
        assert cursor.fetchone() == (1,)


def test_errors_are_django_s():
    taken = person("ann").pk
    copy = """INSERT INTO annotator_user (username, password, is_superuser, first_name, last_name, email, is_staff,
        is_active, date_joined, role) SELECT username, '', false, '', '', '', false, true, now(), role
        FROM annotator_user WHERE id = %(pk)s RETURNING id"""
    for run in (lambda: sql.rows(copy, pk=taken), lambda: sql.locked_rows(copy, lock=(1, 2), pk=taken)):
        with pytest.raises(IntegrityError), transaction.atomic():
            run()


@pytest.mark.django_db(transaction=True)
def test_the_lock_is_held_by_the_statement_and_gone_after_it():
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 77 AND objid = %(object)s"
    assert sql.locked_rows(held, lock=(77, 5), object=5) == [(1,)]
    assert sql.rows(held, object=5) == [(0,)]


def test_a_sign_out_a_lost_role_and_an_ended_session_count_at_once():
    ann = person("ann")
    api = client(ann)
    assert api.get("/api/v1/worklist").status_code == 200
    ann.role = "researcher"
    ann.save()
    assert api.get("/api/v1/worklist").status_code == 403
    ann.role, ann.is_active = "reader", False
    ann.save()
    assert api.get("/api/v1/worklist").status_code in (302, 401, 403)
    ann.is_active = True
    ann.save()
    assert api.get("/api/v1/worklist").status_code == 200
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    assert api.get("/api/v1/worklist").status_code in (302, 401, 403)
    assert client().get("/api/v1/worklist").status_code in (302, 401, 403)


def test_an_answer_of_one_statement_stores_what_the_longer_way_does():
    make_round(3)
    ann = person("ann")
    said = says(AF, text="fast", duration_ms=900, display={"speed": 25})
    mark = MarkAnswer(lead_names=("I",), start_s=1)
    for answer in (said, says(AF, text="fast", duration_ms=900, display={"speed": 25}, marks=(mark,))):
        item = queue.claim_next(reader=ann)
        stored = submit_final(item=item, reader=ann, answer=answer, idempotency_key=uuid4())
        own = Annotation.objects.get(pk=stored.pk)
        shared = ("statements", "overall", "text", "confidence", "display", "duration_ms", "created_at", "stage")
        assert {name: getattr(own, name) for name in shared} == {name: getattr(stored, name) for name in shared}
    own = {"id", "item", "recording", "idempotency_key", "rank", "claimed_at", "answered_at"}
    for rows in (Annotation.objects, Consensus.objects, QueueItem.objects.filter(state="answered")):
        short, long = ({k: v for k, v in model_to_dict(row).items() if k not in own} for row in rows.order_by("pk"))
        assert short == long
    assert Annotation.objects.filter(marks__isnull=False).count() == 1


def test_a_key_that_is_used_answers_nothing_else():
    make_round(2)
    ann, key = person("ann"), uuid4()
    first, second = queue.claim_next(reader=ann), queue.claim_next(reader=ann)
    submit_final(item=first, reader=ann, answer=says(AF), idempotency_key=key)
    with pytest.raises(Exception, match="used for another answer"):
        submit_final(item=second, reader=ann, answer=says(AF), idempotency_key=key)
    second.refresh_from_db()
    assert second.state == "claimed"
    assert Consensus.objects.count() == 1
