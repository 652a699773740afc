package TenonSides;

# Two organizations, acme and globex, with rows of every kind that there is:
# what an isolation test names, on both sides.
#
#     my $w = TenonSides->new($server);
#     my ($own, $other) = $w->sides;            # or ->side('globex')
#     $own->{slug}, {id}, {people}, {owner};    # demo people; undef is nobody
#     $own->{row}{tasks}, {deleted}{tasks};     # an id of each resource
#     $own->{cursor}{'/v1/tasks'};              # of each list
#     $own->{oldest}{tasks};                    # when the first was made
#     $own->{key};                              # an Idempotency-Key in use
#     $own->{value}{'tenon.member.id'};         # of each column asked for
#     $w->resources;       # of the app: { path, table, texts, references,
#                          #   parent }, out of the catalogue
#     $w->platform;        # t/data/isolation.txt, by "METHOD /path"
#     $w->tables;          # every table that has a tenant_id
#     $w->create('carol', $own, $resource);     # a fresh row; its id
#     $w->fresh($own, 'tenon.member');          # the same of the platform's
#     $w->digest($other);                       # a hash of each table's rows

use strict;
use warnings;

use JSON::PP ();

my ($data) = __FILE__ =~ m{\A(.*)/lib/TenonSides\.pm\z};
$data .= '/data';

sub new {
    my ($class, $server) = @_;
    my $self = bless {
        s     => $server,
        n     => 0,
        sides => {
            acme   => { slug => 'acme', other => 'globex', owner => 'alice',
                        people => [qw(alice bob carol), undef] },
            globex => { slug => 'globex', other => 'acme', owner => 'dave',
                        people => ['dave', undef] },
        },
    }, $class;

    $_->{id} = $server->psql("select tenant_id from tenon.tenant
                               where slug = '$_->{slug}'")
        for values %{ $self->{sides} };
    $self->{resources} = [$self->_resources];
    $self->{tables} = [map { $_->[0] } $self->rows(q{
        select c.oid::regclass
          from pg_class c
          join pg_attribute a
            on a.attrelid = c.oid and a.attname = 'tenant_id'
         where c.relkind in ('r', 'p') and not c.relispartition
           and c.relnamespace::regnamespace::text
               in (select 'tenon' union
                   select schema_name from tenon.resource)
         order by 1})];
    $self->_platform;
    $self->_fill($_) for values %{ $self->{sides} };
    return $self;
}

sub side      { return $_[0]{sides}{ $_[1] } }
sub sides     { return @{ $_[0]{sides} }{qw(acme globex)} }
sub resources { return @{ $_[0]{resources} } }
sub platform  { return $_[0]{platform} }
sub tables    { return @{ $_[0]{tables} } }

sub rows {
    my ($self, $sql) = @_;
    return map { [split /\|/, $_, -1] } split /\n/, $self->{s}->psql($sql);
}

# Every endpoint that the matrix tries, as openapi.json would name it.
sub tried {
    my ($self) = @_;
    my @names = keys %{ $self->{platform} };
    for my $resource (@{ $self->{resources} }) {
        my $at = "/v1/$resource->{path}";
        push @names, "GET $at", "POST $at",
            (map { "$_ $at/{id}" } qw(GET PATCH DELETE)),
            "GET $at/{id}/history", "POST $at/{id}/rollback",
            $resource->{soft_delete} ? "POST $at/{id}/restore" : (),
            $resource->{parent}
                ? "GET /v1/$resource->{parent}{path}/{id}/$resource->{path}"
                : ();
    }
    @names = sort @names;
    return @names;
}

# A hash of each table's rows of a tenant, but for what counts its requests:
# reading alone changes that.
sub digest {
    my ($self, $side) = @_;
    return { map { @$_ } $self->rows(join ' union all ', map {
        "select '$_', md5(coalesce(string_agg(t::text, e'\\n'
                                              order by t::text), ''))
           from $_ t where tenant_id = '$side->{id}'" }
        grep { $_ ne 'tenon.usage_total' } $self->tables) };
}

# Every id of the tenant's rows.
sub ids {
    my ($self, $side) = @_;
    my @with_id = map { $_->[0] } $self->rows(join ' union all ', map {
        "select '$_' from pg_attribute where attrelid = '$_'::regclass
            and attname = 'id'" } $self->tables);
    return { map { $_->[0] => 1 } $self->rows(join ' union all ', map {
        "select id::text from $_ where tenant_id = '$side->{id}'"
    } @with_id) };
}

# A value of this column ("schema.table.column") that the tenant has.
sub value {
    my ($self, $side, $name) = @_;
    return $side->{value}{$name} //= do {
        my ($table, $column) = $name =~ /\A(.*)\.(\w+)\z/
            or die "not a column: $name\n";
        my $dies = $self->{s}->psql("select count(*) from pg_attribute
                                      where attrelid = '$table'::regclass
                                        and attname = 'deleted_at'");
        $self->{s}->psql("select $column from $table
                           where tenant_id = '$side->{id}'
                             and $column is not null" .
                         ($dies ? ' and deleted_at is null' : '') .
                         ' order by 1 limit 1');
    };
}

sub body {
    my ($self, $side, $resource) = @_;
    return {
        (map { $_ => 'isolation' } @{ $resource->{texts} }),
        (map { $_->{name} => $self->value($side, "$_->{table}.$_->{column}") }
             @{ $resource->{references} }),
    };
}

sub create {
    my ($self, $who, $side, $resource) = @_;
    my $r = $self->{s}->request(POST => $resource->{path},
                                as   => $who // $side->{owner},
                                json => $self->body($side, $resource));
    return $r->json->{id} //
        die "no $resource->{path} for $who: $r->{body}\n";
}

sub create_deleted {
    my ($self, @of) = @_;
    my $id = $self->create(@of);
    my $r = $self->{s}->request(DELETE => "$of[2]{path}/$id",
                                as     => $of[1]{owner});
    die "not deleted: $r->{body}\n" if $r->{status} != 204;
    return $id;
}

# The id of a new row of a platform's table.
sub fresh {
    my ($self, $side, $table) = @_;
    my $n = ++$self->{n};
    my $name = join '', 'p', $n, $side->{slug};

    return $self->{s}->hire($name, $side->{slug}, 'member')->{id}
        if $table eq 'tenon.member';

    return $self->{s}->psql("insert into tenon.job (tenant_id, kind)
                             values ('$side->{id}', 'purge') returning id")
        if $table eq 'tenon.job';

    if (my ($path, $body) = $self->_of_accounts($side, $table, $name)) {
        my $r = $self->{s}->request(POST => $path, as => $side->{owner},
                                    json => $body);
        return $r->json->{id} // die "no $table: $r->{body}\n";
    }

    my %way = (
        'tenon.invitation' => [invitations => {
            email => "$name\@$side->{slug}.test", role => 'member' }],
        'tenon.tenant_role' => [roles => {
            name => "role_$name", title => $name,
            permissions => [{ permission => 'tenon.member:read' }] }],
        'tenon.api_key' => ['api-keys' => {
            name => $name, scopes => ['tenon.member:read'] }],
        'tenon.flag' => [flags => { key => $name }],
        'tenon.domain' => [domains => { domain => "$name.example" }],
    );
    my ($path, $json) = @{ $way{$table} ||
                           die "no way to make a row of $table\n" };
    my $r = $self->{s}->request(POST => $path, as => $side->{owner},
                                json => $json,
                                proven => $path eq 'api-keys');
    die "no $table: $r->{body}\n" if $r->{status} != 201;
    return $r->json->{id};
}


# ---- inside ----

sub _of_accounts {
    my ($self, $side, $table, $name) = @_;
    return if $table !~ /\Atenon\.(?:account|account_member|share)\z/;
    my $known;
    $known = $self->value($side, 'tenon.account.id')
        if $table ne 'tenon.account' || $side->{accounts}++;

    # The first at the top, the others in it; nobody acts by these roles.
    return ('accounts', { name => $name, $known ? (parent_id => $known) : () })
        if $table eq 'tenon.account';
    return ('account-members', {
        account_id => $known, role => 'account_user',
        user_id => $self->{s}->hire($name, $side->{slug}, 'member')->{user_id},
    }) if $table eq 'tenon.account_member';

    # TeamOS shares nothing; what SQL says of it, its workers needn't know.
    $self->{s}->psql("update tenon.resource set shareable = true
                       where name = 'project'");
    my ($project) = grep { $_->{path} eq 'projects' } $self->resources;
    my $with = $side->{people}[-2];
    return ('shares', {
        resource => 'teamos.project',
        resource_id => $self->create($side->{owner}, $side, $project),
        user_id => $self->{s}->psql("select id from tenon.\"user\"
                                      where email like '$with\@%'"),
    });
}

sub _resources {
    my ($self) = @_;
    my %references;
    for my $row ($self->rows(q{
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
        { name => $_->[0], path => $_->[1], table => $_->[2],
          parent => $_->[3], soft_delete => $_->[4] eq 't',
          search => length $_->[5], texts => [split /,/, $_->[6]],
          references => $references{ $_->[1] } || [] }
    } $self->rows(q{
        select r.name, r.path, format('%I.%I', r.schema_name, r.table_name),
               r.parent, r.soft_delete, r.search,
               (select string_agg(a.attname, ',' order by a.attnum)
                  from pg_attribute a
                 where a.attrelid = format('%I.%I', r.schema_name,
                                           r.table_name)::regclass
                   and a.attnum > 0 and a.attnotnull and not a.atthasdef
                   and a.atttypid = 'text'::regtype)
          from tenon.resource r order by r.path});
    for my $resource (@resources) {
        ($resource->{parent}) =
            grep { $_->{name} eq $resource->{parent} } @resources;
    }
    return @resources;
}

# { positions => [[where, name, source], …], json => its body }
sub _platform {
    my ($self) = @_;
    open my $in, '<', "$data/isolation.txt" or die "isolation.txt: $!\n";
    while (<$in>) {
        next if /^#|^\s*$/;
        chomp;
        my $json = s/\s*\|\s*(.*)// ? JSON::PP::decode_json($1) : undef;
        my ($method, $path, @positions) = split;
        $self->{platform}{"$method $path"} = {
            json      => $json,
            positions => [map {
                /\A(path|query|body):(\w+)=(\S+)\z/ ? [$1, $2, $3]
                    : die "isolation.txt:$.: what is $_?\n"
            } grep { $_ ne '-' } @positions],
        };
    }
    return;
}

# The owner has a role in two accounts, which gives them nothing new.
sub _hold {
    my ($self, $side) = @_;
    my $s = $self->{s};
    my $user = $s->psql("select m.user_id from tenon.member m
                           join tenon.\"user\" u on u.id = m.user_id
                          where m.tenant_id = '$side->{id}'
                            and u.email like '$side->{owner}\@%'");
    for my $account ($self->rows("select id from tenon.account
                                   where tenant_id = '$side->{id}'
                                     and deleted_at is null
                                   order by id limit 2")) {
        my $r = $s->request(
            POST => 'account-members', as => $side->{owner},
            json => { account_id => $account->[0], user_id => $user,
                      role => 'account_user' });
        die "no role in an account: $r->{body}\n" if $r->{status} != 201;
    }
    return;
}

# Rows of everything, and a cursor for each list that has a second page.
sub _fill {
    my ($self, $side) = @_;
    my $owner = $side->{owner};
    for my $table (qw(tenon.member tenon.invitation tenon.domain tenon.job
                      tenon.tenant_role tenon.api_key tenon.flag
                      tenon.account tenon.account_member)) {
        $self->fresh($side, $table) for 1, 2;
    }
    $self->_hold($side);
    for my $resource ($self->resources) {
        $self->create($owner, $side, $resource) for 1, 2;
        $side->{oldest}{ $resource->{path} } = $self->{s}->psql(
            "select to_json(min(created_at) at time zone 'UTC') #>> '{}'
                 || 'Z' from $resource->{table}
              where tenant_id = '$side->{id}'");
        $side->{row}{ $resource->{path} } =
            $self->value($side, "$resource->{table}.id");
        $side->{deleted}{ $resource->{path} } =
            $self->create_deleted($owner, $side, $resource)
            if $resource->{soft_delete};
    }
    $self->fresh($side, 'tenon.share') for 1, 2;
    $side->{key} = "a key of $side->{slug}";
    $self->{s}->request(PATCH => "$_/$side->{row}{$_}", as => $owner,
                        json => {}, headers => ['Idempotency-Key' =>
                                                $side->{key}])
        for keys %{ $side->{row} };

    my $r = $self->{s}->request(
        POST => 'tenants', as => $owner, proven => 1,
        json => { name => 'Second', slug => "$side->{slug}-two" });
    die "no second tenant: $r->{body}\n" if $r->{status} != 201;
    $self->{s}->login($owner);

    for my $list ((map { "/v1/$_->{path}" } $self->resources),
                  (map { /\AGET (\S*)/ } grep { /\AGET [^{]*\z/ }
                   keys %{ $self->{platform} })) {
        my $r = $self->{s}->request(GET => "/api$list?limit=1", as => $owner);
        $side->{cursor}{$list} = $r->json->{next_cursor}
            if $r->{status} == 200 && $r->json->{data};
    }
    return;
}

1;
