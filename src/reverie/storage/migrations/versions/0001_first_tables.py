"""First tables."""

import sqlalchemy as sa
from alembic import op

from reverie.storage.columns import Instant, Json, Serial, Vector

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Apply it."""
    op.create_table(
        "agents",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("agent_type", sa.String(), nullable=False),
        sa.Column("system", sa.Text(), nullable=False),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("embedding", sa.String(), nullable=True),
        sa.Column("model_settings", Json, nullable=False),
        sa.Column("context_window_limit", sa.Integer(), nullable=True),
        sa.Column("compaction_settings", Json, nullable=True),
        sa.Column("response_format", Json, nullable=True),
        sa.Column("tool_rules", Json, nullable=False),
        sa.Column("approvals", Json, nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("sealed_secrets", Json, nullable=False),
        sa.Column("timezone", sa.String(), nullable=False),
        sa.Column("message_buffer_autoclear", sa.Boolean(), nullable=False),
        sa.Column("enable_sleeptime", sa.Boolean(), nullable=True),
        sa.Column("max_files_open", sa.Integer(), nullable=True),
        sa.Column("per_file_view_window_char_limit", sa.Integer(), nullable=True),
        sa.Column("hidden", sa.Boolean(), nullable=True),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("template_id", sa.String(), nullable=True),
        sa.Column("base_template_id", sa.String(), nullable=True),
        sa.Column("deployment_id", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("identity_ids", Json, nullable=False),
        sa.Column("last_run_completion", Instant(), nullable=True),
        sa.Column("last_run_duration_ms", sa.Integer(), nullable=True),
        sa.Column("last_stop_reason", sa.String(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_agents")),
        sa.UniqueConstraint("id", name=op.f("uq_agents_id")),
    )
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_last_run_completion_seq"),
            ["organization_id", "last_run_completion", "seq"],
            unique=False,
        )
        batch_op.create_index(batch_op.f("ix_agents_organization_id_name"), ["organization_id", "name"], unique=False)
        batch_op.create_index(batch_op.f("ix_agents_organization_id_seq"), ["organization_id", "seq"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_agents_organization_id_updated_at_seq"),
            ["organization_id", "updated_at", "seq"],
            unique=False,
        )
    op.create_table(
        "api_keys",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("hint", sa.String(), nullable=False),
        sa.Column("scopes", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("expires_at", Instant(), nullable=True),
        sa.Column("revoked_at", Instant(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
        sa.UniqueConstraint("id", name=op.f("uq_api_keys_id")),
    )
    op.create_table(
        "archives",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("embedding", sa.String(), nullable=True),
        sa.Column("embedding_dim", sa.Integer(), nullable=True),
        sa.Column("passage_count", sa.Integer(), nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_archives")),
        sa.UniqueConstraint("id", name=op.f("uq_archives_id")),
    )
    with op.batch_alter_table("archives", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_archives_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "blocks",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("read_only", sa.Boolean(), nullable=False),
        sa.Column("hidden", sa.Boolean(), nullable=True),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("is_template", sa.Boolean(), nullable=False),
        sa.Column("template_name", sa.String(), nullable=True),
        sa.Column("preserve_on_migration", sa.Boolean(), nullable=True),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("template_id", sa.String(), nullable=True),
        sa.Column("base_template_id", sa.String(), nullable=True),
        sa.Column("deployment_id", sa.String(), nullable=True),
        sa.Column("entity_id", sa.String(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_blocks")),
        sa.UniqueConstraint("id", name=op.f("uq_blocks_id")),
    )
    with op.batch_alter_table("blocks", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_blocks_organization_id_label_seq"), ["organization_id", "label", "seq"], unique=False
        )
        batch_op.create_index(batch_op.f("ix_blocks_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "organizations",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_organizations")),
    )
    op.create_table(
        "providers",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("provider_type", sa.String(), nullable=False),
        sa.Column("base_url", sa.Text(), nullable=True),
        sa.Column("sealed_api_key", sa.Text(), nullable=True),
        sa.Column("sealed_access_key", sa.Text(), nullable=True),
        sa.Column("region", sa.String(), nullable=True),
        sa.Column("api_version", sa.String(), nullable=True),
        sa.Column("last_synced", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_providers")),
        sa.UniqueConstraint("id", name=op.f("uq_providers_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_providers_organization_id_name")),
    )
    op.create_table(
        "tools",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("tool_type", sa.String(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("json_schema", Json, nullable=False),
        sa.Column("args_json_schema", Json, nullable=True),
        sa.Column("source_code", sa.Text(), nullable=True),
        sa.Column("source_type", sa.String(), nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("return_char_limit", sa.Integer(), nullable=False),
        sa.Column("default_requires_approval", sa.Boolean(), nullable=True),
        sa.Column("enable_parallel_execution", sa.Boolean(), nullable=False),
        sa.Column("pip_requirements", Json, nullable=False),
        sa.Column("npm_requirements", Json, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_tools")),
        sa.UniqueConstraint("id", name=op.f("uq_tools_id")),
        sa.UniqueConstraint("organization_id", "name", name=op.f("uq_tools_organization_id_name")),
    )
    with op.batch_alter_table("tools", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_tools_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "workers",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("host", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("lease_until", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    op.create_table(
        "agent_archives",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("archive_id", sa.String(), nullable=False),
        sa.Column("is_owner", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_archives_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["archives.id"], name=op.f("fk_agent_archives_archive_id_archives"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "archive_id", name=op.f("pk_agent_archives")),
    )
    with op.batch_alter_table("agent_archives", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_archives_archive_id"), ["archive_id"], unique=False)
    op.create_table(
        "agent_blocks",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("label", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_blocks_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_agent_blocks_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "block_id", name=op.f("pk_agent_blocks")),
        sa.UniqueConstraint("agent_id", "label", name=op.f("uq_agent_blocks_agent_id_label")),
    )
    with op.batch_alter_table("agent_blocks", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_blocks_block_id"), ["block_id"], unique=False)
    op.create_table(
        "agent_tags",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_tags_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "tag", name=op.f("pk_agent_tags")),
    )
    with op.batch_alter_table("agent_tags", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_agent_tags_organization_id_tag_agent_id"),
            ["organization_id", "tag", "agent_id"],
            unique=False,
        )
    op.create_table(
        "agent_tools",
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("tool_id", sa.String(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_agent_tools_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["tool_id"], ["tools.id"], name=op.f("fk_agent_tools_tool_id_tools"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", "tool_id", name=op.f("pk_agent_tools")),
    )
    with op.batch_alter_table("agent_tools", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_agent_tools_tool_id"), ["tool_id"], unique=False)
    op.create_table(
        "block_changes",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("block_id", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("actor", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["block_id"], ["blocks.id"], name=op.f("fk_block_changes_block_id_blocks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_block_changes")),
        sa.UniqueConstraint("block_id", "version", name=op.f("uq_block_changes_block_id_version")),
    )
    op.create_table(
        "conversations",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("model_settings", Json, nullable=True),
        sa.Column("isolated_block_ids", Json, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("active_run_id", sa.String(), nullable=True),
        sa.Column("prompt_id", sa.String(), nullable=True),
        sa.Column("prompt_fingerprint", sa.String(), nullable=True),
        sa.Column("archived", sa.Boolean(), nullable=False),
        sa.Column("last_message_at", Instant(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_conversations_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_conversations")),
        sa.UniqueConstraint("id", name=op.f("uq_conversations_id")),
    )
    with op.batch_alter_table("conversations", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_conversations_agent_id_seq"), ["agent_id", "seq"], unique=False)
        batch_op.create_index(
            batch_op.f("ix_conversations_organization_id_seq"), ["organization_id", "seq"], unique=False
        )
    op.create_table(
        "passages",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("archive_id", sa.String(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("tags", Json, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("updated_at", Instant(), nullable=False),
        sa.Column("created_by_id", sa.String(), nullable=True),
        sa.Column("last_updated_by_id", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["archives.id"], name=op.f("fk_passages_archive_id_archives"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_passages")),
        sa.UniqueConstraint("id", name=op.f("uq_passages_id")),
    )
    with op.batch_alter_table("passages", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_passages_archive_id_created_at_seq"), ["archive_id", "created_at", "seq"], unique=False
        )
    op.create_table(
        "messages",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("in_context", sa.Boolean(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=True),
        sa.Column("step_id", sa.String(), nullable=True),
        sa.Column("otid", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("sender_id", sa.String(), nullable=True),
        sa.Column("group_id", sa.String(), nullable=True),
        sa.Column("is_err", sa.Boolean(), nullable=True),
        sa.Column("model", sa.String(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.id"], name=op.f("fk_messages_agent_id_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_messages_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_messages")),
        sa.UniqueConstraint("id", name=op.f("uq_messages_id")),
    )
    with op.batch_alter_table("messages", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_messages_agent_id_seq"), ["agent_id", "seq"], unique=False)
        batch_op.create_index(
            "ix_messages_approvals",
            ["conversation_id", "seq"],
            unique=False,
            sqlite_where=sa.text("kind = 'approval_request' AND in_context = 1"),
            postgresql_where=sa.text("kind = 'approval_request' AND in_context"),
        )
        batch_op.create_index(
            "ix_messages_context",
            ["conversation_id", "in_context", "seq"],
            unique=False,
            sqlite_where=sa.text("in_context = 1"),
            postgresql_where=sa.text("in_context"),
        )
        batch_op.create_index(batch_op.f("ix_messages_conversation_id_seq"), ["conversation_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_messages_organization_id_seq"), ["organization_id", "seq"], unique=False)
        batch_op.create_index(
            "ix_messages_otid",
            ["conversation_id", "otid"],
            unique=False,
            sqlite_where=sa.text("kind = 'user'"),
            postgresql_where=sa.text("kind = 'user'"),
        )
        batch_op.create_index(batch_op.f("ix_messages_run_id_seq"), ["run_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_messages_step_id_seq"), ["step_id", "seq"], unique=False)
    op.create_table(
        "passage_tags",
        sa.Column("passage_id", sa.String(), nullable=False),
        sa.Column("tag", sa.String(), nullable=False),
        sa.Column("archive_id", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["passage_id"], ["passages.id"], name=op.f("fk_passage_tags_passage_id_passages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("passage_id", "tag", name=op.f("pk_passage_tags")),
    )
    with op.batch_alter_table("passage_tags", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_passage_tags_archive_id_tag_passage_id"), ["archive_id", "tag", "passage_id"], unique=False
        )
    op.create_table(
        "passage_vectors",
        sa.Column("seq", Serial, autoincrement=False, nullable=False),
        sa.Column("archive_id", sa.String(), nullable=False),
        sa.Column("embedding", Vector(), nullable=False),
        sa.ForeignKeyConstraint(
            ["seq"], ["passages.seq"], name=op.f("fk_passage_vectors_seq_passages"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_passage_vectors")),
    )
    with op.batch_alter_table("passage_vectors", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_passage_vectors_archive_id_seq"), ["archive_id", "seq"], unique=False)
    op.create_table(
        "runs",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("background", sa.Boolean(), nullable=False),
        sa.Column("request", Json, nullable=False),
        sa.Column("metadata", Json, nullable=False),
        sa.Column("usage", Json, nullable=False),
        sa.Column("error", Json, nullable=True),
        sa.Column("worker_id", sa.String(), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("callback_url", sa.Text(), nullable=True),
        sa.Column("callback_sent_at", Instant(), nullable=True),
        sa.Column("callback_status_code", sa.Integer(), nullable=True),
        sa.Column("callback_error", sa.Text(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("completed_at", Instant(), nullable=True),
        sa.Column("ttft_ns", sa.BigInteger(), nullable=True),
        sa.Column("total_duration_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_runs_agent_id_agents"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["conversation_id"],
            ["conversations.id"],
            name=op.f("fk_runs_conversation_id_conversations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_runs")),
        sa.UniqueConstraint("id", name=op.f("uq_runs_id")),
    )
    with op.batch_alter_table("runs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_runs_agent_id_seq"), ["agent_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_runs_conversation_id_seq"), ["conversation_id", "seq"], unique=False)
        batch_op.create_index(
            "ix_runs_live",
            ["worker_id"],
            unique=False,
            sqlite_where=sa.text("completed_at IS NULL"),
            postgresql_where=sa.text("completed_at IS NULL"),
        )
        batch_op.create_index(batch_op.f("ix_runs_organization_id_seq"), ["organization_id", "seq"], unique=False)
    op.create_table(
        "run_events",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("first_seq", sa.Integer(), nullable=False),
        sa.Column("last_seq", sa.Integer(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_run_events_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "first_seq", name=op.f("pk_run_events")),
    )
    op.create_table(
        "steps",
        sa.Column("seq", Serial, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("organization_id", sa.String(), nullable=False),
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("agent_id", sa.String(), nullable=False),
        sa.Column("conversation_id", sa.String(), nullable=False),
        sa.Column("status", sa.String(), nullable=False),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("model", sa.String(), nullable=False),
        sa.Column("model_handle", sa.String(), nullable=False),
        sa.Column("model_endpoint", sa.String(), nullable=True),
        sa.Column("provider_name", sa.String(), nullable=True),
        sa.Column("provider_category", sa.String(), nullable=True),
        sa.Column("context_window_limit", sa.Integer(), nullable=True),
        sa.Column("usage", Json, nullable=False),
        sa.Column("error_type", sa.String(), nullable=True),
        sa.Column("error_data", Json, nullable=True),
        sa.Column("feedback", sa.String(), nullable=True),
        sa.Column("tags", Json, nullable=False),
        sa.Column("project_id", sa.String(), nullable=True),
        sa.Column("model_ns", sa.BigInteger(), nullable=True),
        sa.Column("tools_ns", sa.BigInteger(), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(["agent_id"], ["agents.id"], name=op.f("fk_steps_agent_id_agents"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name=op.f("fk_steps_run_id_runs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_steps")),
        sa.UniqueConstraint("id", name=op.f("uq_steps_id")),
    )
    with op.batch_alter_table("steps", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_steps_agent_id_seq"), ["agent_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_steps_organization_id_seq"), ["organization_id", "seq"], unique=False)
        batch_op.create_index(batch_op.f("ix_steps_run_id_seq"), ["run_id", "seq"], unique=False)
