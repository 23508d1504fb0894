-- The audit of a whole workspace, newest first.
create index egress_audit_workspace on egress_audit (workspace_id, id);
