-- The writer's own: a batch whose outcome was unknown is written again. Rows of before have none.
alter table egress_audit add column key uuid unique;
