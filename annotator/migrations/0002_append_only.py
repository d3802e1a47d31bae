"""Annotations, marks, consensus and the audit trail can be added to and never changed: the database refuses.

So it does with the prediction that an arrival of a prospective test was given: it can be set once.
"""

from django.db import migrations

TABLES = ("annotator_annotation", "annotator_mark", "annotator_consensus", "annotator_auditevent")

FUNCTION = """
CREATE FUNCTION annotator_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused; write a new row that supersedes the old one', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
"""
FROZEN = """
CREATE FUNCTION annotator_refuse_new_prediction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the prediction of arrival % was made at %; it never changes', OLD.id, OLD.predicted_at
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER frozen_prediction BEFORE UPDATE ON annotator_arrival FOR EACH ROW WHEN (
    OLD.predicted_at IS NOT NULL AND (
        OLD.predicted_at, OLD.abnormal_probability, OLD.label_probabilities, OLD.generated_text, OLD.recording_id)
    IS DISTINCT FROM (
        NEW.predicted_at, NEW.abnormal_probability, NEW.label_probabilities, NEW.generated_text, NEW.recording_id))
    EXECUTE FUNCTION annotator_refuse_new_prediction();
CREATE TRIGGER frozen_prediction_kept BEFORE DELETE ON annotator_arrival FOR EACH ROW
    WHEN (OLD.predicted_at IS NOT NULL) EXECUTE FUNCTION annotator_refuse_new_prediction();
"""
TRIGGERS = "".join(
    f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION annotator_refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION annotator_refuse_change();
"""
    for table in TABLES
)
REVERSE = "".join(
    f"DROP TRIGGER append_only ON {table}; DROP TRIGGER append_only_truncate ON {table};" for table in TABLES
) + """DROP FUNCTION annotator_refuse_change();
DROP TRIGGER frozen_prediction ON annotator_arrival; DROP TRIGGER frozen_prediction_kept ON annotator_arrival;
DROP FUNCTION annotator_refuse_new_prediction();
"""  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("annotator", "0001_initial")]
    operations = [migrations.RunSQL(FUNCTION + TRIGGERS + FROZEN, REVERSE)]
