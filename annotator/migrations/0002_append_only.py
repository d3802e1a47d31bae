"""Annotations, marks, consensus and the audit trail can be added to and never changed: the database refuses."""

from django.db import migrations

TABLES = ("annotator_annotation", "annotator_mark", "annotator_consensus", "annotator_auditevent")

FUNCTION = """
CREATE FUNCTION annotator_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % refused; write a new row that supersedes the old one', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'integrity_constraint_violation';
END $$;
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
) + "DROP FUNCTION annotator_refuse_change();"  # fmt: skip


class Migration(migrations.Migration):
    dependencies = [("annotator", "0001_initial")]
    operations = [migrations.RunSQL(FUNCTION + TRIGGERS, REVERSE)]
