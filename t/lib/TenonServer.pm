package TenonServer;

# The real thing for a test: PostgreSQL, nginx with the module, TeamOS and its
# demo people, started by scripts/start.sh in a folder of its own and gone
# with the object.
#
#     my $s = TenonServer->new;
#     my $r = $s->request(GET => 'tasks', as => 'alice');
#     $s->request(POST => 'tasks', as => 'carol', json => {...});
#     $s->request(GET => '/live', host => 'tenon.localhost');
#
# A path without a leading slash lies under /api/v1/. `as` logs that demo
# person in (once) and sends the token, to the host of their tenant unless
# `at` names another; the rest is TenonClient's: headers, json, body, chunked.
#
#     my $c = $s->connect;                  # a TenonClient; or from an address
#     $s->bytes(GET => 'tasks', as => ...); # what request() would send
#     $s->curl('-i', $s->https('acme', 'me'));
#     $s->psql('select ...');               # as superuser; role => 'tenon_api'
#     $s->shell('as_pg pg_ctl ...');        # with scripts/common.sh around it
#     $s->tenonctl('purge');                # as tenon_owner; its output
#     $s->load('clinic');                   # an app more, into running workers
#     $s->load('clinic', demo => 1);        # with its demo people
#     $s->load('library', dir => '...');    # from elsewhere than schema/apps
#     $s->unload('clinic');
#     $s->alarms;                           # lines that no log should have
#     $s->mailed('erin@initech.test');      # the last secret sent there
#     $s->mailed('erin@initech.test', 'reset');
#     $s->stripe('{"id":"evt_1",...}');     # as Stripe would send it
#     $s->stripe($body, at => time - 9, secret => 'whsec_...', header => '...');
#     $s->endpoints;                        # rows of openapi.json: method, path
#     $s->hire('erin', 'acme', 'admin');    # a member more, of whom `as` knows
#     $s->found('initech');                 # an organization more, of nobody
#     $s->workers; $s->alone($pid, sub { }); # only this worker runs meanwhile
#     $s->asleep($pid, sub { });            # this one doesn't: then all at once
#
# TenonServer->new(main => '...', http => '...', server => '...') adds lines to
# nginx.conf's outermost level, its http and its server blocks. The limits of
# conf.example/ are lifted, as tests send faster than people do; limits => 1
# keeps them. stripe => 1 has it take events of Stripe's. apps => ['teamos',
# 'clinic'] are served, with their demo people; otherwise TeamOS is. tenond => 1
# starts tenond, too; tenond => { poll_interval => 50 } with other settings, and
# asks => a TenonStripe with that one's address and key.
#
# The database with the first of them is made once, kept below build/, and
# copied by every server until schema, tools or scripts are others.

use strict;
use warnings;

use Digest::SHA ();
use Fcntl qw(LOCK_EX);
use File::Temp ();
use IO::Socket::INET ();
use JSON::PP ();
use POSIX ();
use Scalar::Util ();
use Time::HiRes qw(sleep time);

use TenonClient ();

# What is prepared has dates in it.
use constant PREPARED_DAYS => 0.5;

# What Stripe signs with, as far as tests go.
use constant STRIPE_SECRET => 'whsec_' . '0123456789abcdef' x 2;

my ($root) = __FILE__ =~ m{\A(.*?)/?t/lib/TenonServer\.pm\z};
$root = '.' unless length $root;

# The demo people of each app, and where they belong; root is there always.
my %demo = (
    teamos => {
        alice => 'acme', bob => 'acme', carol => 'acme', dave => 'globex' },
    clinic => {
        nora => 'lakeside', omar => 'lakeside', petra => 'lakeside',
        quinn => 'lakeside', rosa => 'hilltop' },
    asyncstand => {
        uma => 'harbor', vic => 'harbor', wanda => 'harbor',
        yan => 'harbor', zoe => 'summit' },
    mono => {
        ada => 'northlight', ben => 'northlight', cem => 'northlight',
        dina => 'northlight', eve => 'northlight',
        finn => 'southlight', gus => 'southlight' },
);

# Every server there is, for END.
my %live;

# A killed test stops its servers all the same.
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP PIPE);

sub new {
    my ($class, %o) = @_;
    my $dir = File::Temp->newdir('tenon-XXXXXX', TMPDIR => 1);
    chmod 0755, "$dir";

    if ($o{stripe}) {
        _spew("$dir/stripe.secret", STRIPE_SECRET . "\n");
        chmod 0600, "$dir/stripe.secret" or die "chmod: $!\n";
        $o{http} = "tenon_inbound stripe $dir/stripe.secret;\n"
            . ($o{http} // '');
    }

    my @sockets = map {
        IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1)
            or die "no free port: $!\n"
    } 1, 2;
    my ($https, $http) = map { $_->sockport } @sockets;
    @sockets = ();
    my ($app, @more) = @{ $o{apps} || ['teamos'] };

    _tenond_conf("$dir", %o) if $o{tenond};
    my $self = bless {
        dir   => $dir,
        owner => $$,
        http  => $http,
        https => $https,
        env   => {
            APP              => $app,
            TENON_VAR        => "$dir/var",
            TENON_HTTPS_PORT => $https,
            TENON_HTTP_PORT  => $http,
            TENON_NGINX_CONF => "$dir/nginx.conf",
            TENON_TENOND     => $o{tenond} ? 'on' : 'off',
            TENON_TENOND_CONF => "$dir/tenond.conf",
        },
        token     => {},
        tenant_of => { root => 'platform', %{ $demo{$app} || {} } },
    }, $class;

    $live{$self} = $self;
    Scalar::Util::weaken($live{$self});
    $self->_template(%o);
    $self->_copy_prepared($app);
    $self->start;
    $self->load($_, demo => -e "$root/schema/apps/$_/demo.sql") for @more;
    return $self;
}

sub start {
    my ($self) = @_;
    $self->{running} = 1;
    $self->_script('start');

    # Ready is who answers first; tests want to know all workers.
    my $n = 0 + _output('getconf', '_NPROCESSORS_ONLN');
    $self->wait_until(5, sub { @{[$self->workers]} == $n })
        or die "not $n workers\n";
    return $self;
}

sub stop {
    my ($self) = @_;
    $self->_script('stop');
    $self->{running} = 0;
    return $self;
}

sub DESTROY {
    my ($self) = @_;
    return if $$ != $self->{owner} || !$self->{running};
    local ($?, $@, $!);
    eval { $self->stop; 1 } or warn $@;
    return;
}

# Before Perl takes objects apart in an order of its own.
END {
    for my $self (grep { defined } values %live) {
        $self->DESTROY;
    }
}

sub dir        { return "$_[0]{dir}" }
sub var        { return "$_[0]{dir}/var" }
sub port       { return $_[0]{http} }
sub error_log  { return $_[0]->var . '/nginx/error.log' }
sub access_log { return $_[0]->var . '/nginx/access.log' }

sub password {
    my ($self) = @_;
    return $self->{password} //= _slurp($self->var . '/demo-password');
}


# ---- HTTP ----

sub connect {
    my ($self, $from) = @_;
    return TenonClient->new($self->{http}, $from);
}

sub request {
    my ($self, $method, $path, %o) = @_;
    my $c = $self->connect;
    push @{ $o{headers} = [@{ $o{headers} || [] }] }, Connection => 'close';
    $c->write($self->bytes($method, $path, %o));
    return $c->response(head => $method eq 'HEAD');
}

sub bytes {
    my ($self, $method, $path, %o) = @_;
    my @headers = @{ $o{headers} || [] };
    my $as = delete $o{as};
    my $proven = delete $o{proven};

    if (defined $as) {
        $o{at} //= $self->{tenant_of}{$as};
        push @headers, Authorization => 'Bearer ' . $self->token($as);
        $o{json} = { %{ $o{json} }, refresh_token => $self->proof($as) }
            if $proven;
    }
    push @headers, Authorization => "Bearer $o{token}" if defined $o{token};
    $o{host} //= ($o{at} // 'acme') . '.tenon.localhost';

    return TenonClient::bytes($method, _target($path), %o,
                              headers => \@headers);
}

# The access token of a demo person, or of a new login of theirs.
sub token {
    my ($self, $who) = @_;
    return $self->{token}{$who} //= do {
        my $login = $self->login($who)->json;
        $self->{proof}{$who} = $login->{refresh_token};
        $login->{access_token};
    };
}

# The refresh token beside it, which proves that session; a request that is
# `proven` sends it along.
sub proof {
    my ($self, $who) = @_;
    $self->token($who);
    return $self->{proof}{$who};
}

sub login {
    my ($self, $who) = @_;
    my $tenant = $self->{tenant_of}{$who} or die "no person $who\n";
    return $self->request(
        POST => 'auth/login',
        at   => $tenant,
        json => {
            email    => "$who\@$tenant.test",
            password => $self->password,
        },
    );
}

sub https {
    my ($self, $label, $path) = @_;
    return "https://$label.tenon.localhost:$self->{https}" . _target($path);
}

# Output of curl, which verifies our certificate; dies when curl fails.
sub curl {
    my ($self, @arg) = @_;
    return _output('curl', '-sS', '--noproxy', '*', '--max-time', 10,
                   '--cacert', $self->var . '/tls/cert.pem', @arg);
}


# ---- PostgreSQL ----

# Unaligned rows, fields split by "|"; with several statements, all of them.
sub psql {
    my ($self, $sql, %o) = @_;
    my $file = $self->dir . "/psql-$$.sql";
    _spew($file, $sql);
    chmod 0644, $file;
    my $out = $self->shell('
        role=$1 user=$pg_user
        [ "$role" != tenon_api ] || user=$web_user
        as "$user" psql -AtqX -v ON_ERROR_STOP=1 -v VERBOSITY=verbose \
            -h "$run" -p 5432 -U "$role" -d tenon -f "$2" 2>&1',
        $o{role} || 'postgres', $file);
    chomp $out;
    return $out;
}

# A new member with the demo password, put into the tables as demo.sql does:
# { id, user_id, email }. The person may be a member elsewhere already.
sub hire {
    my ($self, $who, $tenant, $role) = @_;
    $self->{tenant_of}{$who} //= $tenant;
    my $email = "$who\@$self->{tenant_of}{$who}.test";
    my ($id, $user) = split /\|/, (split /\n/, $self->psql("
        begin;
        select set_config('tenon.tenant', tenant_id::text, true),
               set_config('tenon.realm', realm_id::text, true)
          from tenon.tenant where slug = '$tenant';
        insert into tenon.\"user\" (realm_id, id, email, name, password_hash)
        select realm_id, tenon.uuid7(), '$email', initcap('$who'),
               password_hash
          from tenon.\"user\" where email = 'alice\@acme.test'
            on conflict do nothing;
        insert into tenon.member (tenant_id, realm_id, user_id, role)
        select t.tenant_id, t.realm_id, u.id, '$role'
          from tenon.tenant t
          join tenon.\"user\" u on u.email = '$email'
         where t.slug = '$tenant'
        returning id, user_id;
        commit"))[-1];
    return { id => $id, user_id => $user, email => $email };
}

# Whoever has the address has shown that they read it.
sub verify {
    my ($self, $email) = @_;
    $self->psql("update tenon.\"user\" set email_verified_at = now()
                  where email = '$email'");
    return;
}

# A new organization; its id.
sub found {
    my ($self, $slug) = @_;
    my @lines = split /\n/, $self->psql("
        begin;
        select set_config('tenon.tenant', tenon.uuid7()::text, true),
               set_config('tenon.realm', realm_id::text, true)
          from tenon.tenant where slug = 'acme';
        insert into tenon.tenant_slug (slug, tenant_id, realm_id)
        values ('$slug', current_setting('tenon.tenant')::uuid,
                current_setting('tenon.realm')::uuid);
        insert into tenon.tenant (tenant_id, realm_id, name, slug)
        values (current_setting('tenon.tenant')::uuid,
                current_setting('tenon.realm')::uuid, initcap('$slug'),
                '$slug')
        returning tenant_id;
        commit");
    return $lines[-1];
}

# The output of a piece of shell that knows what scripts/common.sh knows.
sub shell {
    my ($self, $text, @arg) = @_;
    local @ENV{ keys %{ $self->{env} } } = values %{ $self->{env} };
    return _output('bash', '-c', ". \"\$0/scripts/common.sh\"\n$text", $root,
                   @arg);
}

sub tenonctl {
    my ($self, $command, @arg) = @_;
    return $self->shell('
        command=$1
        shift
        tenonctl_as "$pg_user" $command --database "$owner_db" "$@"',
        $command, @arg);
}

# What tenonctl says of a load; by then every worker serves it.
sub load {
    my ($self, $app, %o) = @_;
    my $out = $self->shell('
        name=$1 dir=${2:-$stage/schema/apps}
        set -- --dir "$dir" --database "$owner_db" ${3:+--demo} \
            ${3:+--demo-password-file -}
        tenonctl_as "$pg_user" app load "$name" "$@" \
            < "$var/demo-password" 2>&1',
        $app, $o{dir} // '', $o{demo} ? 1 : '');
    $self->adopted;
    %{ $self->{tenant_of} } = (%{ $demo{$app} || {} },
                               %{ $self->{tenant_of} }) if $o{demo};
    return $out;
}

sub unload {
    my ($self, $app) = @_;
    my $out = $self->tenonctl('app unload', $app);
    $self->adopted;
    return $out;
}

# Waits until every worker serves the catalogue's present version.
sub adopted {
    my ($self) = @_;
    my $version = $self->psql('select version from tenon.catalogue_version');
    $self->wait_until(10, sub {
        my %served = _slurp($self->error_log) =~
            /(\d+)#\d+: tenon: catalogue version (\d+) is served/g;
        return !grep { ($served{$_} // 0) < $version } $self->workers;
    }) or die "not every worker serves catalogue version $version\n";
    delete $self->{openapi};
    return $version;
}

# Of nginx's error log.
sub alarms {
    my ($self) = @_;
    return grep { /\[(?:crit|emerg|alert)\]|\[error\].*tenon:/ }
        split /\n/, _slurp($self->error_log);
}

# The secret that was last mailed to an address, asked for as start.sh says: an
# invitation's, or for another purpose ("verify", "reset").
sub mailed {
    my ($self, $address, $purpose) = @_;
    $purpose //= 'invitation';
    my @mail = grep { $_->{email} eq $address && $_->{purpose} eq $purpose } @{ JSON::PP::decode_json(
        $self->shell('TENON_VAR=$var build/bin/tenonctl outbox --json')) };
    die "nothing was mailed to $address\n" if !@mail;
    return $mail[-1]{token};
}


# What Stripe signs a body with: the value of its header.
sub stripe_signature {
    my ($self, $body, %o) = @_;
    my $at = int($o{at} // time);
    return "t=$at,v1=" . Digest::SHA::hmac_sha256_hex(
        "$at.$body", $o{secret} // STRIPE_SECRET);
}

# An event, on a connection of its own or on one that is given.
sub stripe {
    my ($self, $body, %o) = @_;
    my $signature = $o{header} // $self->stripe_signature($body, %o);
    my @request = (POST => '/api/v1/inbound/stripe',
                   host => 'tenon.localhost', body => $body,
                   headers => ['Stripe-Signature' => $signature,
                               @{ $o{headers} || [] }]);
    return $o{on}->request(@request) if $o{on};
    return $self->request(@request);
}


# ---- what is served ----

sub openapi {
    my ($self) = @_;
    return $self->{openapi} //= $self->request(
        GET => 'openapi.json', host => 'tenon.localhost')->json;
}

# Every operation: { name => "GET /v1/tasks", method, path, operation =>
# "listTasks" }, by name.
sub endpoints {
    my ($self) = @_;
    my $paths = $self->openapi->{paths};
    my @rows;
    for my $path (sort keys %$paths) {
        for my $method (qw(get post put patch delete)) {
            my $operation = $paths->{$path}{$method} or next;
            push @rows, { name => uc($method) . " $path", path => $path,
                          method => uc $method,
                          operation => $operation->{operationId},
                          description => $operation };
        }
    }
    return sort { $a->{name} cmp $b->{name} } @rows;
}

# A JSON schema of openapi.json with its $refs replaced, all of its members in
# one place.
sub schema {
    my ($self, $schema) = @_;
    while (my $ref = $schema->{'$ref'}) {
        my $at = $self->openapi;
        $at = $at->{$_} // die "openapi.json: no $ref\n"
            for grep { $_ ne '#' } split m{/}, $ref;
        $schema = $at;
    }
    return $schema if !$schema->{allOf};
    my %all = %$schema;
    for my $part (map { $self->schema($_) } @{ delete $all{allOf} }) {
        $all{properties} = { %{ $all{properties} || {} },
                             %{ $part->{properties} || {} } };
        $all{required} = [@{ $all{required} || [] },
                          @{ $part->{required} || [] }];
    }
    return \%all;
}


# ---- nginx ----

sub master {
    my ($self) = @_;
    my $pid = _slurp($self->var . '/nginx/nginx.pid');
    return 0 + $pid;
}

sub workers {
    my ($self) = @_;
    my $master = $self->master;
    my @pids;
    for my $file (glob '/proc/[0-9]*/stat') {
        my ($pid, $parent) = (eval { _slurp($file) } // '')
            =~ /\A(\d+) \(nginx\) [^Z] (\d+) / or next;
        next if $parent != $master;
        my $title = eval { _slurp("/proc/$pid/cmdline") } // '';
        push @pids, $pid if $title =~ /worker process(?! is)/;
    }
    @pids = sort { $a <=> $b } @pids;
    return @pids;
}

# Runs $code while $pid is the only worker that does not sleep, so that new
# connections are its: all are accepted before another can.
sub alone {
    my ($self, $pid, $code) = @_;
    return $self->_stopped([grep { $_ != $pid } $self->workers], sub {
        my @result = $code->();
        $self->wait_until(10, sub { !$self->_unaccepted })
            or die "worker $pid doesn't accept\n";
        return @result;
    });
}

# Runs $code while this worker sleeps: what is sent to it meanwhile comes to it
# in one turn of its event loop, however long the sending takes.
sub asleep {
    my ($self, $pid, $code) = @_;
    return $self->_stopped([$pid], $code);
}

sub reload {
    my ($self) = @_;
    kill HUP => $self->master;
    return;
}

# Waits until $code is true; false when it isn't within $seconds.
sub wait_until {
    my ($self, $seconds, $code) = @_;
    my $end = time + $seconds;
    until ($code->()) {
        return 0 if time > $end;
        sleep 0.02;
    }
    return 1;
}


# ---- inside ----

sub _stopped {
    my ($self, $pids, $code) = @_;
    kill STOP => @$pids;
    my @result = eval {
        for my $pid (@$pids) {
            sleep 0.001 until _slurp("/proc/$pid/stat") =~ /\) T /;
        }
        $code->();
    };
    my $error = $@;
    kill CONT => @$pids;
    die $error if $error;
    return wantarray ? @result : $result[0];
}

# Connections to the HTTP port that no worker has accepted yet: of a socket that
# listens (0A), what its receive queue holds.
sub _unaccepted {
    my ($self) = @_;
    my $port = sprintf '%04X', $self->{http};
    my ($n) = _slurp('/proc/net/tcp') =~
        /^ *\d+: \w{8}:$port \w{8}:0000 0A \w{8}:(\w{8}) /m;
    return hex($n // 0);
}

# conf.example/nginx.conf, with what the test adds.
sub _template {
    my ($self, %o) = @_;
    my $conf = _slurp("$root/conf.example/nginx.conf");

    if (!$o{limits}) {
        $conf =~ s/rate=\d+r\/m/rate=1000000r\/s/g;
    }
    if ($o{zone}) {
        $conf =~ s/(tenon_zone\s+tenon):16m;/$1:$o{zone};/
            or die "no tenon_zone in conf.example/nginx.conf\n";
    }
    for my $block (grep { $o{$_} } qw(http server)) {
        $conf =~ s/^(\s*)$block \{\n/$1$block {\n$o{$block}\n/m
            or die "no $block block in conf.example/nginx.conf\n";
    }
    _spew($self->dir . '/nginx.conf', ($o{main} // '') . "\n$conf");
    return;
}

# conf.example/tenond.conf, with what the test says else. The key is for the
# user to read that tenond runs as.
sub _tenond_conf {
    my ($dir, %o) = @_;
    my %set = ref $o{tenond} ? %{ $o{tenond} } : ();
    if ($o{asks}) {
        my $file = "$dir/stripe.key";
        _spew($file, $o{asks}->key . "\n");
        chmod 0600, $file or die "chmod: $!\n";
        chown +(getpwnam 'www-data')[2, 3], $file or die "chown: $!\n"
            if $> == 0;
        %set = (stripe_api => $o{asks}->url, stripe_key => $file, %set);
    }
    my $conf = _slurp("$root/conf.example/tenond.conf");
    for my $name (sort keys %set) {
        $conf =~ s/^$name .*\n//mg;
        $conf .= "$name $set{$name}\n";
    }
    _spew("$dir/tenond.conf", $conf);
    return;
}

# Gives this server the data of one that has loaded the app, keys and all.
sub _copy_prepared {
    my ($self, $app) = @_;
    my $place = "$root/build/prepared";
    my $from = "$place/$app-" . _mark();
    _output('mkdir', '-p', $place);
    open my $lock, '>', "$place/$app.lock" or die "$place: $!\n";
    flock $lock, LOCK_EX or die "$place/$app.lock: $!\n";

    if (!-d $from || -M $from > PREPARED_DAYS) {
        $self->_prepare($from);
        _output('rm', '-rf', grep { $_ ne $from } glob "$place/$app-*");
    }
    _output('cp', '-a', $from, $self->var);
    return;
}

sub _prepare {
    my ($self, $to) = @_;
    my %env = %{ $self->{env} };
    my $made = $self->dir . '/made';

    # killed meanwhile, this is what there is to stop
    $self->{env} = { %env, TENON_VAR => $made };
    delete @{ $self->{env} }{qw(TENON_NGINX_CONF TENON_TENOND_CONF)};
    $self->{running} = 1;
    $self->_script('start');
    $self->_script('stop');
    $self->{running} = 0;
    $self->{env} = \%env;

    _output('rm', '-rf', $to, "$to.new",
            map { "$made/$_" } qw(nginx tenond run lock pg/log));
    _output('cp', '-a', $made, "$to.new");
    _output('rm', '-rf', $made);
    utime undef, undef, "$to.new";
    rename "$to.new", $to or die "$to: $!\n";
    return;
}

# Of everything that such data is made by.
sub _mark {
    my $files = _output('find', "$root/schema", '-type', 'f');
    $files .= join "\n", map { "$root/$_" }
        qw(build/bin/tenonctl build/lib/libtenon.so.1 scripts/common.sh
           scripts/start.sh);
    my $sha = Digest::SHA->new(256);
    for my $file (sort split /\n/, $files) {
        $sha->add("$file\0");
        $sha->addfile($file);
    }
    return substr $sha->hexdigest, 0, 16;
}

sub _script {
    my ($self, $name) = @_;
    local @ENV{ keys %{ $self->{env} } } = values %{ $self->{env} };
    my $log = $self->dir . "/$name.out";
    my $status = system "'$root/scripts/$name.sh' > '$log' 2>&1";
    die "scripts/$name.sh failed:\n" . _slurp($log) if $status != 0;
    return;
}

sub _target {
    my ($path) = @_;
    return $path =~ m{\A/} ? $path : "/api/v1/$path";
}

# Through a file: what a command leaves running must not hold us up.
sub _output {
    my (@command) = @_;
    my $file = File::Temp->new;
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        open STDIN, '<', '/dev/null';
        open STDOUT, '>', "$file";
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    my $out = _slurp("$file");
    die "failed: @command\n$out\n" if $? != 0;
    return $out;
}

sub _slurp {
    my ($file) = @_;
    open my $in, '<:raw', $file or die "$file: $!\n";
    local $/;
    return scalar(<$in>) // '';
}

sub _spew {
    my ($file, $text) = @_;
    open my $out, '>:raw', $file or die "$file: $!\n";
    print {$out} $text;
    CORE::close($out) or die "$file: $!\n";
    return;
}

1;
