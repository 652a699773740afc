#!/usr/bin/perl

# The walls between tenants that PostgreSQL keeps, each alone: row-level
# security when a statement forgets its predicate, foreign keys when a value
# points elsewhere. That the predicates alone hold as well is for tenants.t.

use strict;
use warnings;

use FindBin ();
use lib "$FindBin::Bin/../lib";

use Test::More;
use TenonServer ();
use TenonSides ();

my $s = TenonServer->new;
my $w = TenonSides->new($s);

subtest 'row-level security alone' => sub {
    my ($own, $other) = $w->sides;
    my $before = $w->digest($other);
    my $context = "select set_config('tenon.tenant', '$own->{id}', true);";
    my $as_api = sub {
        my ($sql) = @_;
        my $out = eval { $s->psql("begin; $context $sql; commit",
                                  role => 'tenon_api') } // $@;
        return $out;
    };
    my %may = map { $_->[0] => $_->[1] } $w->rows(join ' union all ', map {
        "select '$_', concat(
           case when has_table_privilege('tenon_api', '$_', 'select')
                then 'r' end,
           case when has_any_column_privilege('tenon_api', '$_', 'update')
                then 'w' end,
           case when has_table_privilege('tenon_api', '$_', 'delete')
                then 'd' end,
           case when has_table_privilege('tenon_api', '$_', 'insert')
                then 'a' end)" } $w->tables);

    for my $table ($w->tables) {
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

    for my $resource ($w->resources) {
        my $columns = join ', ', @{ $resource->{texts} };
        my $values = join ', ', map { "'x'" } @{ $resource->{texts} };
        for my $reference (@{ $resource->{references} }) {
            my $key = "$reference->{table}.$reference->{column}";
            my $value = $w->value($other, $key);
            $columns .= ", $reference->{name}";
            $values .= ", '$value'";
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
    is_deeply $w->digest($other), $before, 'nothing has changed';
};

subtest 'foreign keys alone' => sub {
    my ($own, $other) = $w->sides;
    for my $resource ($w->resources) {
        for my $reference (@{ $resource->{references} }) {
            my $key = "$reference->{table}.$reference->{column}";
            my $value = $w->value($other, $key);
            my $out = eval { $s->psql("
                begin;
                select set_config('tenon.tenant', '$own->{id}', true);
                update $resource->{table}
                   set $reference->{name} = '$value'
                 where tenant_id = '$own->{id}';
                commit") } // $@;
            like $out, qr/\b23503\b/,
                "$resource->{table}.$reference->{name} stays in the tenant, " .
                'even for a superuser';
        }
    }
};

done_testing;
