/*
 * Whatever a provider says of a subscription in whatever state it is, what
 * becomes of it stands in t/data/subscription.txt; and nothing leads out of an
 * end.
 */

#include "libcore/billing/billing.h"
#include "t/00unit/unit.h"

#define WORDS 16


/* The next line that says something, in words; how many. 0: the end. */
static unsigned
next_line(FILE *in, char line[512], tn_str words[WORDS])
{
    unsigned n;
    tn_str rest, word;

    while (fgets(line, 512, in)) {
        rest = unit_str(line);
        rest.n = strcspn(line, "#\n");

        for (n = 0; rest.n;) {
            word = tn__split(&rest, ' ');

            if (word.n) {
                assert_true(n < WORDS);
                words[n++] = word;
            }
        }

        if (n) {
            return n;
        }
    }

    return 0;
}


static tn__billing
state_of(tn_str name)
{
    return tn__eq(name, TN_STR("none")) ? TN__BILLING_NONE
                                        : tn__billing_parse(name);
}


static void
test_every_state_and_word(void **state)
{
    FILE *in;
    unsigned i, n, rows;
    char line[512], heads[512], seen[TN__BILLING_STATES] = { 0 };
    tn__billing from, said, to;
    tn__move move;
    tn_str words[WORDS], columns[WORDS];
    static const char marks[] = "=>~<.";

    (void) state;
    in = fopen("t/data/subscription.txt", "r");
    assert_non_null(in);
    assert_int_equal(next_line(in, heads, columns), TN__BILLING_WORDS);

    for (rows = 0; (n = next_line(in, line, words)); rows++) {
        assert_int_equal(n, TN__BILLING_WORDS + 1);
        from = state_of(words[0]);
        assert_int_equal(seen[from]++, 0);

        for (i = 0; i < TN__BILLING_WORDS; i++) {
            said = tn__billing_parse(columns[i]);
            move = tn__billing_said(&to, from, said);

            if (words[i + 1].n != 1 || words[i + 1].p[0] != marks[move]) {
                fail_msg("%.*s, and %.*s is said: %c, not %.*s",
                         (int) words[0].n, words[0].p, (int) columns[i].n,
                         columns[i].p, marks[move], (int) words[i + 1].n,
                         words[i + 1].p);
            }

            assert_int_equal(to, move == TN__MOVE_STEP || move == TN__MOVE_SKIP
                                     ? said
                                     : from);
        }
    }

    assert_int_equal(rows, TN__BILLING_STATES);
    fclose(in);
}


/* No word and no two words lead out of an end; every other state is left by
 * some. */
static void
test_ends_are_ends(void **state)
{
    int final;
    tn__billing from, said, to, then, again;

    (void) state;

    for (from = 0; from < TN__BILLING_STATES; from++) {
        final = from == TN__BILLING_EXPIRED || from == TN__BILLING_CANCELED;

        for (said = 1; said < TN__BILLING_STATES; said++) {
            tn__billing_said(&to, from, said);
            assert_true(!final || to == from);

            for (then = 1; then < TN__BILLING_STATES; then++) {
                tn__billing_said(&again, to, then);
                assert_true(!final || again == from);
            }
        }

        if (!final) {
            tn__billing_said(&to, from, TN__BILLING_CANCELED);
            assert_int_equal(to, TN__BILLING_CANCELED);
        }
    }
}


/* Whoever isn't deaf to a word becomes what it says. */
static void
test_deaf(void **state)
{
    int deaf;
    unit_arena arena;
    tn_str list, rest, one;
    tn__billing from, said, to;

    (void) state;
    unit_arena_init(&arena, 0);

    for (said = 1; said < TN__BILLING_STATES; said++) {
        assert_int_equal(tn__billing_deaf(&list, said, &arena.mem), TN_OK);
        assert_true(list.n >= 2 && list.p[0] == '{' &&
                    list.p[list.n - 1] == '}');

        for (from = 1; from < TN__BILLING_STATES; from++) {
            rest = tn__sub(list, 1, list.n - 1);
            deaf = 0;

            while (rest.n) {
                one = tn__split(&rest, ',');
                deaf |= tn__billing_parse(one) == from;
            }

            tn__billing_said(&to, from, said);
            assert_int_equal(to == said, !deaf);
        }
    }

    unit_arena_free(&arena);
}


/* Said twice is said once. */
static void
test_twice_is_once(void **state)
{
    tn__billing from, said, to, again;

    (void) state;

    for (from = 0; from < TN__BILLING_STATES; from++) {
        for (said = 1; said < TN__BILLING_STATES; said++) {
            tn__billing_said(&to, from, said);
            tn__billing_said(&again, to, said);
            assert_int_equal(again, to);
        }
    }
}


static void
test_words(void **state)
{
    (void) state;
    assert_int_equal(tn__billing_parse(TN_NULL), TN__BILLING_NONE);
    assert_int_equal(tn__billing_parse(TN_STR("")), TN__BILLING_NONE);
    assert_int_equal(tn__billing_parse(TN_STR("past_due")),
                     TN__BILLING_PAST_DUE);
    assert_int_equal(tn__billing_parse(TN_STR("PAST_DUE")), TN__BILLING_OTHER);
    assert_int_equal(tn__billing_parse(TN_STR("on_hold")), TN__BILLING_OTHER);
    assert_int_equal(tn__billing_parse(TN_STR("other")), TN__BILLING_OTHER);
    assert_int_equal(tn__billing_parse(TN_STR("none")), TN__BILLING_OTHER);
}


static void
test_what_owes(void **state)
{
    (void) state;
    assert_true(tn__billing_owes(TN__BILLING_PAST_DUE));
    assert_true(tn__billing_owes(TN__BILLING_UNPAID));
    assert_true(tn__billing_owes(TN__BILLING_PAUSED));
    assert_true(tn__billing_owes(TN__BILLING_OTHER));
    assert_false(tn__billing_owes(TN__BILLING_ACTIVE));
    assert_false(tn__billing_owes(TN__BILLING_TRIALING));
    assert_false(tn__billing_owes(TN__BILLING_CANCELED));
    assert_false(tn__billing_owes(TN__BILLING_NONE));
}


/* "20" days, "20+1h" an hour more, "-" is never. */
static int64_t
days(tn_str text)
{
    int64_t n, hours;

    if (tn__eq(text, TN_STR("-"))) {
        return TN__NEVER;
    }

    hours = 0;
    assert_true(tn__int_parse(&n, tn__split(&text, '+')));

    if (text.n) {
        assert_int_equal(text.p[text.n - 1], 'h');
        assert_true(tn__int_parse(&hours, tn__sub(text, 0, text.n - 1)));
    }

    return n * 86400000000 + hours * 3600000000;
}


static void
test_what_it_entitles_to(void **state)
{
    FILE *in;
    char line[512];
    unsigned rows;
    int64_t until;
    tn__dues dues;
    tn__entitled entitled;
    tn_str words[WORDS];

    (void) state;
    in = fopen("t/data/entitlement.txt", "r");
    assert_non_null(in);

    for (rows = 0; next_line(in, line, words) == 8; rows++) {
        dues.state = state_of(words[0]);
        dues.owing_since = days(words[1]);
        dues.trial_ends = days(words[2]);
        dues.grace = days(words[3]);
        dues.read_only = days(words[4]);
        entitled = tn__entitled_at(&until, &dues, days(words[5]));

        if (!tn__eq(tn__entitled_name(entitled), words[6]) ||
            until != days(words[7])) {
            fail_msg("%.*s, until %lld: %s",
                     (int) tn__entitled_name(entitled).n,
                     tn__entitled_name(entitled).p, (long long) until, line);
        }
    }

    assert_true(feof(in));
    assert_true(rows >= 35);
    fclose(in);
}


/* What lasts until then lasts until just before, and no longer. */
static void
test_until_is_when_it_changes(void **state)
{
    unsigned i;
    int64_t now, until, ignored;
    tn__entitled before;
    tn__dues dues = {
        .owing_since = 1000, .trial_ends = 500, .grace = 70, .read_only = 140
    };

    (void) state;

    for (i = 0; i < TN__BILLING_STATES; i++) {
        dues.state = i;

        for (now = 0; now < 2000; now++) {
            before = tn__entitled_at(&until, &dues, now);

            if (until != TN__NEVER) {
                assert_true(until > now);
                assert_int_equal(tn__entitled_at(&ignored, &dues, until - 1),
                                 before);
                assert_int_not_equal(tn__entitled_at(&ignored, &dues, until),
                                     before);
            }
        }
    }
}


/* The diagram has the steps and the ends, and no skips. */
static void
test_diagram(void **state)
{
    tn_str text;
    tn__buf buf;
    unit_arena arena;

    (void) state;
    unit_arena_init(&arena, 0);
    tn__buf_init(&buf, &arena.mem, 64);
    tn__machine_mermaid(&buf, &tn__billing_machine);
    tn__buf_char(&buf, '\0');
    assert_int_equal(tn__buf_str(&text, &buf), TN_OK);
    assert_ptr_equal(strstr(text.p, "stateDiagram-v2\n"), text.p);
    assert_non_null(strstr(text.p, "    [*] --> incomplete\n"));
    assert_non_null(strstr(text.p, "    active --> past_due\n"));
    assert_non_null(strstr(text.p, "    canceled --> [*]\n"));
    assert_non_null(strstr(text.p, "    incomplete_expired --> [*]\n"));
    assert_null(strstr(text.p, "incomplete --> trialing"));
    assert_null(strstr(text.p, "canceled --> active"));
    assert_null(strstr(text.p, "none"));
    unit_arena_free(&arena);
}


UNIT_MAIN(cmocka_unit_test(test_every_state_and_word),
          cmocka_unit_test(test_ends_are_ends), cmocka_unit_test(test_deaf),
          cmocka_unit_test(test_twice_is_once), cmocka_unit_test(test_words),
          cmocka_unit_test(test_what_owes),
          cmocka_unit_test(test_what_it_entitles_to),
          cmocka_unit_test(test_until_is_when_it_changes),
          cmocka_unit_test(test_diagram))
