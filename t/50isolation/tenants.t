#!/usr/bin/perl

# No tenant sees, changes or learns of another's rows. Every endpoint, every
# place where a request can name something, each with an own, a foreign, a
# random and a malformed value: foreign and random get the same bytes, and no
# row of the other tenant changes. Then once more with row-level security
# taken down, so that the statements' own predicates stand alone; row-level
# security alone, and the foreign keys alone, are tried in SQL.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new;
my $random    = '01900000-7777-7000-8000-0123456789ab';
my $malformed = '01900000-7777-7000-8000-0123456789';

my %side = (
    acme   => { slug => 'acme',   other => 'globex',
                people => [qw(alice bob carol)] },
    globex => { slug => 'globex', other => 'acme', people => [qw(dave)] },
);
$_->{id} = $s->psql("select tenant_id from tenon.tenant
                      where slug = '$_->{slug}'") for values %side;

sub rows {
    return map { [split /\|/, $_, -1] } split /\n/, $s->psql($_[0]);
}


# ---- what there is to try: from the catalogue ----

my %references;
for my $row (rows(q{
        select r.path, a.attname, k.confrelid::regclass, fa.attname,
               coalesce(f.filter, false)
          from tenon.resource r
          join pg_constraint k
            on k.conrelid = format('%I.%I', r.schema_name,
                                   r.table_name)::regclass
           and k.contype = 'f' and cardinality(k.conkey) = 2
          join pg_attribute a
            on a.attrelid = k.conrelid and a.attnum = k.conkey[2]
          join pg_attribute fa
            on fa.attrelid = k.confrelid and fa.attnum = k.confkey[2]
          left join tenon.field f
            on f.app = r.app and f.resource = r.name and f.name = a.attname
         order by 1, 2})) {
    my ($path, $name, $table, $column, $filter) = @$row;
    push @{ $references{$path} }, { name => $name, table => $table,
                                    column => $column,
                                    filter => $filter eq 't' };
}

my @resources = map {
    { path => $_->[0], table => $_->[1], texts => [split /,/, $_->[2]],
      references => $references{ $_->[0] } || [] }
} rows(q{
    select r.path, format('%I.%I', r.schema_name, r.table_name),
           string_agg(a.attname, ',' order by a.attnum)
      from tenon.resource r
      join pg_attribute a
        on a.attrelid = format('%I.%I', r.schema_name, r.table_name)::regclass
       and a.attnum > 0 and a.attnotnull and not a.atthasdef
       and a.atttypid = 'text'::regtype
     group by 1, 2 order by 1});

my @tables = map { $_->[0] } rows(q{
    select c.oid::regclass
      from pg_class c
      join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'
     where c.relkind in ('r', 'p') and not c.relispartition
       and c.relnamespace::regnamespace::text
           in (select 'tenon' union select schema_name from tenon.resource)
     order by 1});

my %platform;
{
    open my $in, '<', "$FindBin::Bin/../data/isolation.txt"
        or die "isolation.txt: $!\n";
    while (<$in>) {
        next if /^#|^\s*$/;
        my ($method, $path, @positions) = split;
        $platform{"$method $path"} = [grep { $_ ne '-' } @positions];
    }
}

cmp_ok scalar @resources, '>', 1, 'resources: ' .
    join ' ', map { $_->{path} } @resources;

subtest 'every row of the platform has its line in isolation.txt' => sub {
    my %built;
    for my $file (glob "$FindBin::Bin/../../libcore/*/*.c") {
        open my $in, '<', $file or die "$file: $!\n";
        my $text = do { local $/; <$in> };
        while ($text =~ /\.method\s=\sTN_STR_C\("(\w+)"\),\s*
                         \.path\s=\sTN_STR_C\("([^"]+)"\)/gx) {
            $built{"$1 $2"} = 1;
        }
    }
    cmp_ok scalar keys %built, '>', 0, 'rows are found in the source';
    is_deeply [sort keys %platform], [sort keys %built], 'the same rows';
};


# ---- values ----

# A value of this column that the tenant has.
sub a_value {
    my ($side, $table, $column) = @_;
    my $alive = $s->psql("select count(*) from pg_attribute
                           where attrelid = '$table'::regclass
                             and attname = 'deleted_at'");
    return $s->psql("select $column from $table
                      where tenant_id = '$side->{id}'" .
                    ($alive ? ' and deleted_at is null' : '') .
                    ' order by 1 limit 1');
}

sub a_body {
    my ($side, $resource) = @_;
    return {
        (map { $_ => 'isolation' } @{ $resource->{texts} }),
        (map { $_->{name} => $side->{value}{"$_->{table}.$_->{column}"} }
             @{ $resource->{references} }),
    };
}

sub create {
    my ($who, $side, $resource) = @_;
    my $r = $s->request(POST => $resource->{path}, as => $who,
                        json => a_body($side, $resource));
    return $r->json->{id} // die "no $resource->{path} for $who: $r->{body}\n";
}

for my $side (values %side) {
    my ($owner) = @{ $side->{people} };
    for my $resource (@resources) {
        for my $reference (@{ $resource->{references} }) {
            my ($table, $column) = @$reference{qw(table column)};
            $side->{value}{"$table.$column"} = a_value($side, $table, $column);
        }
        create($owner, $side, $resource) for 1, 2;
        $side->{row}{ $resource->{path} } =
            a_value($side, $resource->{table}, 'id');
        $side->{cursor}{ $resource->{path} } =
            $s->request(GET => "$resource->{path}?limit=1", as => $owner)
              ->json->{next_cursor};
    }
    $side->{value}{'teamos.task.id'} = $side->{row}{tasks};
    made($side, 'tenon.invitation.id');
    for my $source (map { /=(\w+\.\w+\.\w+)$/ ? $1 : () }
                    map { @$_ } values %platform) {
        my ($table, $column) = $source =~ /^(.*)\.(\w+)$/;
        $side->{value}{$source} //= a_value($side, $table, $column);
    }
}


# A row of the platform's, for somebody to take away.
sub made {
    my ($side, $source) = @_;
    my $who = "'isolation-' || gen_random_uuid() || '\@isolation.test'";
    return $s->psql($source eq 'tenon.member.id' ? qq{
        with realm as (
               select realm_id from tenon.tenant
                where tenant_id = '$side->{id}'),
             person as (
               insert into tenon."user" (realm_id, email, name)
               select realm_id, $who, 'Isolation' from realm
               returning realm_id, id)
        insert into tenon.member (tenant_id, realm_id, user_id, role)
        select '$side->{id}', realm_id, id, 'member' from person
        returning id} : qq{
        insert into tenon.invitation (tenant_id, realm_id, email, role,
                                      invited_by, expires_at)
        select t.tenant_id, t.realm_id, $who, 'member', t.created_by,
               now() + interval '1 day'
          from tenon.tenant t
         where t.tenant_id = '$side->{id}'
        returning id});
}


# ---- the matrix ----

my $sent;

# One place in one request. $send->($value) answers for a value there; own
# values must be served, unless the role may not at all.
sub try_place {
    my ($name, $send, %value) = @_;
    my %r;
    for my $kind (qw(own foreign random malformed)) {
        next unless exists $value{$kind};
        $r{$kind} = $send->($value{$kind});
        $sent++;
    }

    my @wrong;
    my ($own, $foreign, $rand) = map { $r{$_}{status} } qw(own foreign random);
    push @wrong, "own $own: $r{own}{body}" if $own !~ /^(?:20[014]|403)$/;
    push @wrong, "foreign $foreign: $r{foreign}{body}"
        if $own ne '403' && $foreign eq $own && $foreign ne '200';
    push @wrong, 'foreign and random differ: ' . $r{foreign}->visible .
        ' -- ' . $r{random}->visible
        if $r{foreign}->visible ne $r{random}->visible;
    push @wrong, 'a foreign value is told: ' . $r{foreign}{body}
        if $value{foreign} ne $value{random} &&
           $r{foreign}{body} =~ /\Q$value{foreign}\E/;
    push @wrong, "malformed $r{malformed}{status}: $r{malformed}{body}"
        if $r{malformed} && $own ne '403' &&
           $r{malformed}{status} !~ /^4(?:00|01|03|04|22)$/;
    for my $r (grep { $_->{status} >= 400 } values %r) {
        push @wrong, problem_faults($r, $r->{status});
    }
    ok !@wrong, $name or diag join "\n", @wrong;
    return;
}

sub try_resource {
    my ($who, $side, $other, $resource) = @_;
    my $path = $resource->{path};
    my ($text) = @{ $resource->{texts} };
    my $ask = sub {
        my ($method, $target, %o) = @_;
        return $s->request($method, $target, as => $who, %o, headers => [
            fixed_id(), @{ $o{headers} || [] }]);
    };
    my %id = (
        own       => create($who, $side, $resource),
        foreign   => $other->{row}{$path},
        random    => $random,
        malformed => $malformed,
    );
    my %at_id = (
        'GET'                => [],
        'PATCH'              => [json => { $text => 'changed' }],
        'PATCH with nothing' => [json => {}],
        'PATCH If-Match'     => [json => { $text => 'changed' },
                                 headers => ['If-Match' => '*']],
        'DELETE'             => [],
    );

    for my $name (sort { ($a eq 'DELETE') <=> ($b eq 'DELETE') || $a cmp $b }
                  keys %at_id) {
        my ($method) = split / /, $name;
        try_place "$who: $name $path/{id}", sub {
            $ask->($method, "$path/$_[0]", @{ $at_id{$name} });
        }, %id;
    }

    for my $reference (@{ $resource->{references} }) {
        my $name = $reference->{name};
        my $key = "$reference->{table}.$reference->{column}";
        my %value = (
            own       => $side->{value}{$key},
            foreign   => $other->{value}{$key},
            random    => $random,
            malformed => $malformed,
        );
        my $row = create($who, $side, $resource);
        my $body = a_body($side, $resource);

        try_place "$who: POST $path, $name in the body", sub {
            $ask->(POST => $path, json => {%$body, $name => $_[0]});
        }, %value;
        try_place "$who: PATCH $path/{id}, $name in the body", sub {
            $ask->(PATCH => "$path/$row", json => { $name => $_[0] });
        }, %value;
        try_place "$who: GET $path?$name=", sub {
            $ask->(GET => "$path?$name=$_[0]");
        }, %value if $reference->{filter};
    }

    my $cursor = $side->{cursor}{$path};
    try_place "$who: GET $path?cursor=", sub {
        $ask->(GET => "$path?cursor=$_[0]");
    },
        own       => $cursor,
        foreign   => $other->{cursor}{$path},
        random    => scalar reverse($cursor),
        malformed => 'x';

    my ($next, @seen) = ($path);
    while (defined $next && @seen < 1000) {
        my $r = $ask->(GET => $next);
        push @seen, map { $_->{id} } @{ $r->json->{data} };
        ($next) = map { /<(.*?)>/ } $r->headers('Link');
    }
    my %own = map { $_->[0] => 1 }
        rows("select id from $resource->{table}
               where tenant_id = '$side->{id}' and deleted_at is null");
    is_deeply [grep { !$own{$_} } @seen], [],
        "$who: GET $path lists own rows only";
    is scalar @seen, scalar keys %own, "$who: and all of them";
    return;
}

sub try_platform {
    my ($who, $side, $other) = @_;

    for my $row (sort keys %platform) {
        my ($method, $path) = split / /, $row;
        for my $position (@{ $platform{$row} }) {
            my ($where, $name, $source) = $position =~ /^(\w+):(\w+)=(.*)/;
            next if $source eq 'demo';
            my %body = $method eq 'PATCH' ? (json => {}) : ();
            try_place "$who: $method $path, $name in the $where", sub {
                my ($value) = @_;
                my $target = "/api$path";
                $target =~ s/\{$name\}/$value/ if $where eq 'path';
                $target .= "?$name=$value" if $where eq 'query';
                %body = (json => { $name => $value }) if $where eq 'body';
                $s->request($method, $target, as => $who, %body,
                            headers => [fixed_id()]);
            },
                own       => $method eq 'DELETE' ? made($side, $source)
                                                 : $side->{value}{$source},
                foreign   => $other->{value}{$source},
                random    => $random,
                malformed => $malformed;
        }
    }

    # On a host that names a tenant, a header can only agree.
    try_place "$who: Tenon-Tenant", sub {
        $s->request(GET => 'me', as => $who,
                    headers => [fixed_id(), 'Tenon-Tenant' => $_[0]]);
    },
        own => $side->{id}, foreign => $other->{id}, random => $random,
        malformed => $malformed;
    return;
}

# A token is good on its own tenant's hosts only, whatever it asks for there.
sub try_token {
    my ($who, $other) = @_;
    for my $resource (@resources) {
        my $path = $resource->{path};
        my @asked = (
            [GET => $path], [POST => $path, body => '{}'],
            map { my $id = $_;
                  map { [$_ => "$path/$id", $_ eq 'PATCH' ?
                         (body => '{}') : ()] } qw(GET PATCH DELETE) }
                $other->{row}{$path}, $random
        );
        my %answer;
        for my $asked (@asked) {
            my ($method, $target, @o) = @$asked;
            my $r = $s->request($method, $target, as => $who,
                                at => $other->{slug}, @o,
                                headers => [fixed_id()]);
            $answer{ $r->visible } = $r;
            $sent++;
        }
        is keys %answer, 1, "$who at $other->{slug}: $path, one answer to all";
        problem_is((values %answer)[0], 403, 'tenant_mismatch',
                   "$who at $other->{slug}: refused");
    }
    return;
}

sub matrix {
    for my $side (@side{qw(acme globex)}) {
        my $other = $side{ $side->{other} };
        my $before = digest($other);

        for my $who (@{ $side->{people} }) {
            try_resource($who, $side, $other, $_) for @resources;
            try_platform($who, $side, $other);
            try_token($who, $other);
        }

        is_deeply digest($other), $before,
            "nothing of $other->{slug} has changed";
    }
    return;
}

# A hash of each table's rows of a tenant.
sub digest {
    my ($side) = @_;
    return { map { @$_ } rows(join ' union all ', map {
        "select '$_', md5(coalesce(string_agg(t::text, e'\\n'
                                              order by t::text), ''))
           from $_ t where tenant_id = '$side->{id}'" } @tables) };
}


# ---- the walls, together and alone ----

subtest 'all walls up' => sub { matrix() };

subtest 'login knows nobody of elsewhere' => sub {
    my ($dave, $nobody) = map {
        $s->request(POST => 'auth/login', at => 'acme', headers => [fixed_id()],
                    json => { email => $_, password => $s->password })
    } 'dave@globex.test', 'zoe@globex.test';
    problem_is $dave, 401, 'invalid_credentials', "dave at acme's";
    is $dave->visible, $nobody->visible, 'as one who is not there';
};

subtest 'row-level security alone' => sub {
    my ($own, $other) = @side{qw(acme globex)};
    my $before = digest($other);
    my $context = "select set_config('tenon.tenant', '$own->{id}', true);";
    my $as_api = sub {
        my ($sql) = @_;
        my $out = eval { $s->psql("begin; $context $sql; commit",
                                  role => 'tenon_api') } // $@;
        return $out;
    };
    my %may = map { $_->[0] => $_->[1] } rows(join ' union all ', map {
        "select '$_', concat(
           case when has_table_privilege('tenon_api', '$_', 'select')
                then 'r' end,
           case when has_any_column_privilege('tenon_api', '$_', 'update')
                then 'w' end,
           case when has_table_privilege('tenon_api', '$_', 'delete')
                then 'd' end,
           case when has_table_privilege('tenon_api', '$_', 'insert')
                then 'a' end)" } @tables);

    for my $table (@tables) {
        my $may = $may{$table};

        like $as_api->("select 'seen', count(*) from $table
                         where tenant_id <> '$own->{id}'"),
            qr/^seen\|0$/m, "$table: no foreign row is seen" if $may =~ /r/;
        like $as_api->("with done as (
                            update $table set tenant_id = tenant_id
                             where tenant_id = '$other->{id}' returning 1)
                        select 'done', count(*) from done"),
            qr/^done\|0$|\b42501\b/m, "$table: none is changed"
            if $may =~ /w/;
        like $as_api->("with done as (
                            delete from $table
                             where tenant_id = '$other->{id}' returning 1)
                        select 'done', count(*) from done"),
            qr/^done\|0$/m, "$table: none is deleted" if $may =~ /d/;
    }

    for my $resource (@resources) {
        my $columns = join ', ', @{ $resource->{texts} };
        my $values = join ', ', map { "'x'" } @{ $resource->{texts} };
        for my $reference (@{ $resource->{references} }) {
            my $key = "$reference->{table}.$reference->{column}";
            $columns .= ", $reference->{name}";
            $values .= ", '$other->{value}{$key}'";
        }
        like $as_api->("insert into $resource->{table} (tenant_id, $columns)
                        values ('$other->{id}', $values)"),
            qr/42501: .*row-level security/,
            "$resource->{table}: none is made";
        is $s->psql("select count(*) from $resource->{table}",
                    role => 'tenon_api'), 0,
            "$resource->{table}: without a tenant there are no rows";
    }

    like $as_api->("select 'seen', count(*), count(distinct resource_id) > 1
                      from tenon.audit_event"), qr/^seen\|[1-9]\d*\|t$/m,
        'the log shows own events';
    like $as_api->("select 'seen', count(*) from tenon.audit_event
                     where resource_id = '$other->{row}{tasks}'"),
        qr/^seen\|0$/m, 'and no others';
    is_deeply digest($other), $before, 'nothing has changed';
};

subtest 'foreign keys alone' => sub {
    my ($own, $other) = @side{qw(acme globex)};
    for my $resource (@resources) {
        for my $reference (@{ $resource->{references} }) {
            my $key = "$reference->{table}.$reference->{column}";
            my $out = eval { $s->psql("
                begin;
                select set_config('tenon.tenant', '$own->{id}', true);
                update $resource->{table}
                   set $reference->{name} = '$other->{value}{$key}'
                 where tenant_id = '$own->{id}';
                commit") } // $@;
            like $out, qr/\b23503\b/,
                "$resource->{table}.$reference->{name} stays in the tenant, " .
                'even for a superuser';
        }
    }
};

subtest 'predicates alone' => sub {
    my @secured = map { $_->[0] } rows(q{
        select oid::regclass from pg_class
         where relrowsecurity and not relispartition order by 1});
    cmp_ok scalar @secured, '>=', scalar @tables,
        'every table of tenants was under row-level security';

    $s->psql(join '', map { "alter table $_ disable row level security;" }
                      @secured);
    is $s->psql("begin;
                 select set_config('tenon.tenant', '', true);
                 select count(distinct tenant_id) > 1 from teamos.task;
                 commit", role => 'tenon_api'), "\nt", 'the wall is down';
    eval { matrix(); 1 } or fail "the matrix broke off: $@";
    $s->psql(join '', map { "alter table $_ enable row level security;" }
                      @secured);
    is $s->psql('select count(*) from teamos.task', role => 'tenon_api'), 0,
        'and up again';
};

note "$sent requests";
done_testing;
