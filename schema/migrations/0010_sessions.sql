-- 0010_sessions.sql: sessions whose secret is replaced: refresh tokens and
-- cookies; sessions that their user lists and ends; a name that its user
-- changes.
--
-- Run as tenon_owner in one transaction, by `tenonctl migrate` or by hand:
--
--     psql -v ON_ERROR_STOP=1 -1 -U tenon_owner -f 0010_sessions.sql


grant update (generation, rotated_at, last_used_at)
   on tenon.session
   to tenon_api;

grant update (name, version, updated_at)
   on tenon."user"
   to tenon_api;

grant select (kind, rotated_at)
   on tenon.session
   to tenon_lookup;


-- Look-ups -------------------------------------------------------------------

grant create on schema tenon to tenon_lookup;
set local role tenon_lookup;

create function tenon.find_cookie(tenant uuid, session uuid, asked int)
returns table (tenant_id uuid, realm_id uuid, slug text, name text,
               status text, user_id uuid, role text, roles text,
               accounts text, generation int, impersonator uuid)
language sql volatile security definer
set search_path = pg_catalog
as $$
    select f.tenant_id, f.realm_id, f.slug, f.name, f.status, f.user_id,
           f.role, f.roles, f.accounts, $3, f.impersonator
      from tenon.session s
     cross join lateral tenon.find_session(s.tenant_id, s.id) f
     where s.tenant_id = $1
       and s.id        = $2
       and s.kind      = 'cookie'
       and (s.generation = $3
            or (s.generation = $3 + 1
                and s.rotated_at > now() - interval '10 seconds'))
$$;

comment on function tenon.find_cookie(uuid, uuid, int) is
    'What find_session answers, for a cookie: its generation is the session''s, '
    'or was until a few seconds ago, so that requests on their way pass';

revoke execute on function tenon.find_cookie(uuid, uuid, int) from public;

grant execute on function tenon.find_cookie(uuid, uuid, int) to tenon_api;

set local role tenon_owner;
revoke create on schema tenon from tenon_lookup;
