#!/usr/bin/perl

# Jobs over the API: a tenant sees its own, tries the dead again, gives up what
# waits; tenond does what it is given.

use strict;
use warnings;

use FindBin qw($Bin);
use lib "$Bin/../lib";

use POSIX ();
use Test::More;
use TenonCheck;
use TenonServer ();

my $s = TenonServer->new(tenond => 1);

# A job of a tenant; its id. It waits for tomorrow.
sub job {
    my ($slug, %o) = @_;
    my $status = $o{status} // 'queued';
    my $over = $status =~ /^(?:done|dead|canceled)$/ ? 'now()' : 'null';
    my $lease = $status eq 'running' ? "now() + interval '1 h'" : 'null';
    return $s->psql("
        insert into tenon.job (tenant_id, kind, status, attempts, run_at,
                               finished_at, lease_until, last_error)
        select tenant_id, 'purge', '$status', ${\ ($o{attempts} // 0)},
               now() + interval '1 day', $over, $lease,
               ${\ ($status eq 'dead' ? q{'database error 42501'} : 'null')}
          from tenon.tenant where slug = '$slug'
        returning id");
}

sub events {
    my ($id) = @_;
    return $s->psql("select coalesce(string_agg(e.action || ' '
                                     || coalesce(u.name, '-')
                                     || ' ' || (b.metadata ->> 'kind'),
                                     ', ' order by e.at), 'none')
                       from tenon.event e
                       join tenon.event_body b on b.event_id = e.id
                       left join tenon.\"user\" u on u.id = e.actor
                      where e.resource_id = '$id'
                        and e.action in ('job.retried', 'job.canceled')");
}

my $dead = job('acme', status => 'dead', attempts => 8);

subtest 'what is seen' => sub {
    my $r = $s->request(GET => "jobs/$dead", as => 'alice');
    status_is $r, 200, 'a job';
    my $job = $r->json;
    is_deeply [@$job{qw(id kind status attempts input last_error version)}],
        [$dead, 'purge', 'dead', 8, {}, 'database error 42501', 1],
        'as it is';
    is $r->header('ETag'), '"1"', 'with its version';
    ok $job->{finished_at} && $job->{run_at} && $job->{created_at},
        'and its times';
    ok !exists $job->{lease_until} && !exists $job->{key}, 'and no more';

    my $waits = job('acme');
    my $list = sub {
        my $r = $s->request(GET => "jobs$_[0]", as => $_[1] // 'alice');
        status_is $r, 200, "jobs$_[0]";
        return [sort map { $_->{id} } @{ $r->json->{data} }];
    };
    is_deeply $list->(''), [sort $dead, $waits], 'are listed';
    is_deeply $list->('?status=dead'), [$dead], 'by status';
    is_deeply $list->('?status=queued,running'), [$waits], 'or several';
    is_deeply $list->('', 'dave'), [], 'another tenant\'s are not';
    problem_is $s->request(GET => 'jobs?status=lost', as => 'alice'),
        400, 'invalid_parameter', 'there is no other status',
        status => 'not_in_set';
    problem_is $s->request(GET => "jobs/$dead", as => 'dave'),
        404, 'not_found', 'nor by its id';
    problem_is $s->request(GET => 'jobs', as => 'carol'),
        403, 'forbidden', 'not for members';
    status_is $s->request(GET => 'jobs', as => 'bob'), 200, 'but for admins';
};

subtest 'once more' => sub {
    problem_is $s->request(POST => "jobs/$dead/retry", as => 'bob'),
        403, 'forbidden', 'not for admins';
    problem_is $s->request(POST => "jobs/$dead/retry", as => 'dave'),
        404, 'not_found', 'nor for others';
    problem_is $s->request(POST => "jobs/$dead/retry", as => 'alice',
                           headers => ['If-Match' => '"7"']),
        412, 'precondition_failed', 'at its version alone';
    is events($dead), 'none', 'nothing was done';

    my @key = (headers => ['Idempotency-Key' => 'once more']);
    my $r = $s->request(POST => "jobs/$dead/retry", as => 'alice', @key);
    status_is $r, 200, 'a dead one is tried again';
    is_deeply [@{ $r->json }{qw(status attempts finished_at)}],
        ['queued', 0, undef], 'as if it were new';
    is events($dead), 'job.retried Alice purge', 'its event tells who';
    ok $s->wait_until(20, sub {
        $s->request(GET => "jobs/$dead", as => 'alice')->json->{status}
            eq 'done' }), 'and tenond does it';
    is $s->request(POST => "jobs/$dead/retry", as => 'alice', @key)->{body},
        $r->{body}, 'repeated, it answers the same';
    is events($dead), 'job.retried Alice purge', 'and does nothing';
    problem_is $s->request(POST => "jobs/$dead/retry", as => 'alice'),
        409, 'state_conflict', 'what is done is not done again';

    my $waits = job('acme', attempts => 3);
    status_is $s->request(POST => "jobs/$waits/retry", as => 'alice'), 200,
        'what waits for its next attempt';
    ok $s->wait_until(20, sub {
        $s->request(GET => "jobs/$waits", as => 'alice')->json->{status}
            eq 'done' }), 'is done at once';
};

subtest 'given up' => sub {
    my $waits = job('acme');
    my $r = $s->request(POST => "jobs/$waits/cancel", as => 'alice');
    status_is $r, 200, 'what waits';
    is $r->json->{status}, 'canceled', 'is given up';
    is events($waits), 'job.canceled Alice purge', 'as its event tells';
    problem_is $s->request(POST => "jobs/$waits/cancel", as => 'alice'),
        409, 'state_conflict', 'once';
    status_is $s->request(POST => "jobs/$waits/retry", as => 'alice'), 200,
        'and may be wanted after all';

    my $runs = job('acme', status => 'running');
    for my $verb (qw(cancel retry)) {
        my $r = $s->request(POST => "jobs/$runs/$verb", as => 'alice');
        problem_is $r, 409, 'state_conflict', "no $verb while it runs";
        like $r->json->{detail}, qr/It is running/, 'and it says why';
    }
    problem_is $s->request(POST => "jobs/$_/cancel", as => 'alice'),
        404, 'not_found', 'none that isn\'t there'
        for '01900000-0000-7000-8000-00000000dead';
};

# Its lock, which tenond has while it works, is not waited for.
subtest 'while it is held' => sub {
    my $runs = job('acme', status => 'running');
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        eval { $s->psql("begin; select 1 from tenon.job where id = '$runs'
                         for update; select pg_sleep(3)") };
        POSIX::_exit(0);
    }
    $s->wait_until(5, sub {
        $s->psql(q{select count(*) from pg_stat_activity
                    where query like '%pg_sleep(3)%'
                      and wait_event = 'PgSleep'}) });
    problem_is $s->request(POST => "jobs/$runs/cancel", as => 'alice'),
        409, 'state_conflict', 'it is running';
    waitpid $pid, 0;
};

is $s->psql("select count(*), max(j.status) from tenon.job j
               join tenon.tenant t using (tenant_id)
              where t.slug = 'platform' and j.kind = 'purge'
                and j.key is not null"), '1|done',
    'the platform\'s purge of the day is done, once';

my $log = do { local (@ARGV, $/) = $s->var . '/tenond/log'; <> };
unlike $log, qr/\[(?:error|warn)\]/, 'nothing alarmed tenond';
is_deeply [$s->alarms], [], 'nor nginx';

done_testing;
