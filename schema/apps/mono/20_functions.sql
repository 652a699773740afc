-- Mono: what can be done to a profile beyond changing its fields.

create or replace function mono.publish(id uuid)
returns mono.profile
language sql
as $$
    update mono.profile p
       set status = 'published'
     where p.tenant_id = tenon.current_tenant()
       and p.id        = publish.id
    returning p.*
$$;

comment on function mono.publish(uuid) is
    'Shows a profile to the world';
