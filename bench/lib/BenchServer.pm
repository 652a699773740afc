package BenchServer;

# What bench/run.pl, bench/profile.pl and bench/cost.pl measure: a server with
# 100,000 tasks, requests to it, and the statements behind them.
#
#     my $b = BenchServer->new;
#     my $b = BenchServer->new(tasks => 1000);   # not 100,000
#     $b->server;                   # the TenonServer
#     $b->request('list');          # { method, path, headers, body }
#     $b->statement('list');        # { text, values: [names of parameters] }
#     $b->pgbench('list', @arg);    # its output
#     $b->wrk('list', 8, 2);        # connections, seconds: its output
#     $b->rows('list');             # what the statement answers, by SQL

use strict;
use warnings;

use JSON::PP ();
use File::Temp ();

use TenonServer ();

our $TASKS   = 100_000; # in all; a fifth is acme's
our $ACME    = '01900000-000a-7000-8000-000000000001';
our $REALM   = '00000000-0000-7000-8000-000000000001';
our $PROJECT = '01900000-000a-7000-8000-000000000401';
our $ALICE   = '01900000-000a-7000-8000-000000000201';
our $HOST    = 'acme.tenon.localhost';

our %OPERATION = (list => 'listTasks', read => 'getTask',
                  create => 'createTask');

# As long as Tenon's own, which have another id each time.
my %refusal = (
    401 => '{"type":"urn:tenon:problem:unauthenticated","title":"Not signed '
        . 'in","status":401,"detail":"Sign in, and send the access token as '
        . 'Authorization: Bearer.","code":"unauthenticated","request_id":'
        . '"00000000-0000-7000-8000-000000000000"}',
    404 => '{"type":"urn:tenon:problem:not_found","title":"Not found",'
        . '"status":404,"detail":"There is no such thing, or it is not yours '
        . 'to see.","code":"not_found","request_id":'
        . '"00000000-0000-7000-8000-000000000000"}',
);

sub new {
    my ($class, %o) = @_;
    my $files = File::Temp->newdir('tenon-bench-XXXXXX', TMPDIR => 1);
    chmod 0755, "$files";

    my $headers = join '', map { "add_header $_ always; " }
        'Cache-Control no-store', 'X-Request-Id $request_id',
        'Vary Origin', 'X-Content-Type-Options nosniff',
        q{Content-Security-Policy "default-src 'none'; frame-ancestors 'none'"},
        'Referrer-Policy no-referrer',
        'Cross-Origin-Resource-Policy same-origin';
    my $returns = join '', map {
        "location = /bench/$_ { default_type application/problem+json; "
        . "$headers return $_ '$refusal{$_}'; }\n" } keys %refusal;

    my $self = bless { files => $files }, $class;
    $self->{server} = TenonServer->new(server => <<"CONF");
location /bench/ {
    root $files;
    default_type application/json;
    open_file_cache max=10 inactive=1h;
    $headers
}
$returns
CONF
    $self->{token} = $self->server->token('alice');
    $self->_fill($o{tasks} // $TASKS);
    $self->_statements;
    return $self;
}

sub server { return $_[0]{server} }
sub token  { return $_[0]{token} }
sub task   { return $_[0]{task} }
sub tenant { return $ACME }
sub files  { return "$_[0]{files}" }

# acme has a fifth of the rows, other tenants the rest, so that a statement
# that reads more than its tenant shows.
sub _fill {
    my ($self, $tasks) = @_;
    $self->server->psql(<<"SQL");
set session_replication_role = replica;
insert into teamos.task (tenant_id, id, project_id, title, created_by,
                         created_at)
select case when n % 5 = 0 then '$ACME'::uuid
            else md5((n % 200)::text)::uuid end,
       gen_random_uuid(), '$PROJECT', 'Task number ' || n, '$ALICE',
       now() - n * interval '1 second'
  from generate_series(1, $tasks) n;
set session_replication_role = origin;
analyze;
SQL
    my $list = $self->server->request(GET => 'tasks?limit=20', as => 'alice');
    $self->{task} = $list->json->{data}[0]{id};
    mkdir $self->files . '/bench' or die "bench: $!\n";
    $self->write('bench/list.json', $list->{body});
    return;
}

sub write {
    my ($self, $name, $text) = @_;
    my $file = $self->files . "/$name";
    open my $out, '>:raw', $file or die "$file: $!\n";
    print {$out} $text;
    close $out or die "$file: $!\n";
    chmod 0644, $file;
    return $file;
}


# ---- requests ----

sub request {
    my ($self, $what) = @_;
    my $auth = { Host => $HOST, Authorization => "Bearer $self->{token}" };
    my %request = (
        list   => { path => '/api/v1/tasks?limit=20' },
        read   => { path => "/api/v1/tasks/$self->{task}" },
        create => {
            method  => 'POST',
            path    => '/api/v1/tasks',
            headers => { %$auth, 'Content-Type' => 'application/json' },
            body    => qq({"project_id":"$PROJECT",)
                . '"title":"Made by the bench"}',
        },
        evaluate => {
            method  => 'POST',
            path    => '/ofrep/v1/evaluate/flags/flag-50',
            headers => { %$auth, 'Content-Type' => 'application/json' },
            body    => '{"context":{"targetingKey":"user-1"}}',
        },
        static       => { path => '/bench/list.json' },
        'no token'   => { path => '/api/v1/tasks', status => 401,
                          headers => { Host => $HOST } },
        'return 401' => { path => '/bench/401', status => 401,
                          headers => { Host => $HOST } },
        'no route'   => { path => '/api/v1/nowhere', status => 404 },
        'return 404' => { path => '/bench/404', status => 404 },
    );
    my $r = $request{$what} or die "no request $what\n";
    return { method => 'GET', headers => $auth, status => 200, %$r };
}

# From nginx, or from whoever listens on another port.
sub wrk {
    my ($self, $what, $clients, $seconds, $port) = @_;
    my $r = $self->request($what);
    my $lua = "wrk.method = '$r->{method}'\nwrk.path = '$r->{path}'\n";
    $lua .= "wrk.headers['$_'] = '$r->{headers}{$_}'\n"
        for sort keys %{ $r->{headers} };
    $lua .= "wrk.body = '$r->{body}'\n" if $r->{body};
    my $file = $self->write('wrk.lua', $lua);
    $port //= $self->server->port;
    return scalar `wrk -t1 -c$clients -d${seconds}s -s $file \\
        http://127.0.0.1:$port/ 2>&1`;
}


# ---- statements ----

sub statement { return $_[0]{statement}{$_[1]} }

sub _statements {
    my ($self) = @_;
    my %text = map { /^(\w+)\t(.+)$/ ? ($1, $2) : () }
        split /\n/, $self->server->shell('
            tenonctl_as "$web_user" doctor --statements --database "$api_db"');

    my %values = (
        list   => { 1 => 'tenant', 2 => 'limit' },
        read   => { 1 => 'tenant', 2 => 'id' },
        create => _create_parameters($text{createTask}),
    );
    for my $what (keys %values) {
        my $text = $text{ $OPERATION{$what} };
        my %at = map { $_ => 1 } $text =~ /\$(\d+)/g;
        $self->{statement}{$what} = {
            text   => $text,
            values => [map { delete $at{$_}; $values{$what}{$_}
                             // die "$what: what is \$$_?\n" }
                       sort { $a <=> $b } keys %at],
        };
        $self->_script($what);
    }
    return;
}

# Which parameter is what, by the columns it goes to.
sub _create_parameters {
    my ($sql) = @_;
    my %name;
    my %column = (
        'teamos.task' => { tenant_id => 'tenant', created_by => 'actor',
                           map { $_ => $_ } qw(id project_id title priority
                                               status assignee_id) },
        'tenon.event' => { id => 'event', request_id => 'request_id' },
        'tenon.event_body' => { salt => 'salt', ip => 'ip',
                                user_agent => 'user_agent' },
        'tenon.idempotency' => { key => 'key', fingerprint => 'fingerprint' },
        'tenon.usage_event' => { map { $_ => "unit_$_" }
                                 qw(soft hard period) },
    );
    while ($sql =~ /insert into ([\w."]+)(?: as \w+)? \((.*?)\) select (.*?) from \w/g) {
        my ($table, $columns, $values) = ($1 =~ s/"//gr, $2, $3);
        my @columns = map { s/["\s]//gr } split /,/, $columns;
        my @values  = _split($values);
        for my $i (0 .. $#columns) {
            my $name = $column{$table}{ $columns[$i] } or next;
            $name{$_} = $name for $values[$i] =~ /\$(\d+)::(?:uuid|text|bytea|bigint)/g;
        }
    }
    $name{$_} = 'mask' for $sql =~ /\$(\d+)::bigint & /g;
    return \%name;
}

sub _split {
    my ($text) = @_;
    my ($depth, @parts) = (0, '');
    for my $c (split //, $text) {
        $depth++ if $c eq '(';
        $depth-- if $c eq ')';
        if ($c eq ',' && $depth == 0) { push @parts, ''; next }
        $parts[-1] .= $c;
    }
    return @parts;
}

# The statement for pgbench, in one pipeline behind its context: what stays the
# same is a variable (prepared once), what must be new is made by the server.
sub _script {
    my ($self, $what) = @_;
    my ($sql, @names) = ($self->{statement}{$what}{text},
                         @{ $self->{statement}{$what}{values} });
    my %variable = $what eq 'list' ? (tenant => $ACME, limit => 21)
                 : $what eq 'read' ? (tenant => $ACME, id => $self->{task})
                 : (tenant => $ACME, actor => $ALICE, project_id => $PROJECT,
                    title => 'Made by the bench', mask => 6,
                    request_id => 'x', ip => '127.0.0.1');
    my %made = (
        id    => 'gen_random_uuid()',
        event => '(select id from done)',
        salt  => q{'\\x00112233445566778899aabbccddeeff'},
        user_agent => q{''}, # a variable can't be empty
    );
    for my $n (reverse 1 .. @names) {
        my $name = $names[$n - 1];
        my $value = exists $variable{$name} ? ":$name"
                  : $what eq 'create' && $made{$name} || 'null';
        $sql =~ s/\$$n\b/$value/g;
    }

    # pgbench would take :MI and :SS of a time format for its variables
    $sql =~ s/HH24:MI:SS/HH24":"MI":"SS/g;

    my @context = ([tenant => ':tenant'], [realm => ':realm']);
    push @context, map { [$_ => $made{$_} // ":$_"] }
        qw(actor request_id ip user_agent)
        if $what eq 'create';
    my $context = join ', ', map {
        "set_config('tenon.$_->[0]', $_->[1]::text, true)" } @context;
    my $file = $self->write("$what.sql",
        "\\startpipeline\nselect $context;\n$sql;\n\\endpipeline\n");
    $self->{script}{$what} = ['-f', $file, '-D', "realm=$REALM",
                              map { ('-D', "$_=$variable{$_}") }
                              sort keys %variable];
    return;
}

sub pgbench {
    my ($self, $what, @arg) = @_;
    my $out = $self->server->shell('
        as "$web_user" "$pg_bin/pgbench" -h "$run" -p 5432 -U tenon_api -n \
            -M prepared "$@" tenon 2>&1',
        @{ $self->{script}{$what} }, @arg);
    die "pgbench failed:\n$out" if $out !~ /failed transactions: 0 /;
    return $out;
}

# The statement's answer, as an array of rows: what SQL alone says.
sub rows {
    my ($self, $what) = @_;
    my $sql = $self->{statement}{$what}{text};
    my %value = (tenant => "'$ACME'", limit => 20, id => "'$self->{task}'");
    my $n = 0;
    for my $name (@{ $self->{statement}{$what}{values} }) {
        $n++;
        $sql =~ s/\$$n\b/$value{$name}/g;
    }
    my $json = $self->server->psql(<<"SQL",
begin;
select set_config('tenon.tenant', '$ACME', true),
       set_config('tenon.realm', '$REALM', true);
select json_agg(t) from ($sql) t;
commit;
SQL
        role => 'tenon_api');
    return JSON::PP::decode_json($json =~ s/\A[^[]*//r);
}

1;
