"""What is written down: who did what to which record. Each event's tag reads source:subject:action."""

import msgspec

from gatelodge.core.operation import Operation, execute


def record(org_id: str, now_ms: int, actor: str, tag: str, subject: str, details: dict[str, object]) -> Operation[None]:
    """Write an event beside the change it tells of, in the same transaction. ``details`` never hold a secret."""
    yield from execute(
        "INSERT INTO audit_events (org_id, at, actor, tag, subject, details)"
        " VALUES (:org_id, :at, :actor, :tag, :subject, :details)",
        org_id=org_id,
        at=now_ms,
        actor=actor,
        tag=tag,
        subject=subject,
        details=msgspec.json.encode(details).decode(),
    )
