/*
 * Signatures over raw bytes: those that others make are taken (made here by
 * hand, with another library), and with one bit changed anywhere, too old, too
 * far ahead or by another secret they aren't.
 */

#include "libcore/webhook/webhook.h"
#include "t/00unit/unit.h"

#include <sodium.h>

#define NOW 1795276800 /* seconds */

#define STRIPE_SECRET "whsec_test0123456789abcdef"
#define STRIPE_OLDER  "whsec_older0123456789abcde"
#define STRIPE_BODY   "{\"id\":\"evt_1\",\"type\":\"ping\"}"
#define STRIPE_V1 \
    "99000b13d9c3c472f70e60248832cffa501c985275fe8ac9d5711f5e305eb22f"
#define STRIPE_V1_OLDER \
    "504f6595ddb6057613f1ff1cc3b76318b87683602aeb4848b92f7a3ecd404b02"

#define OLDER      ",v1=" STRIPE_V1_OLDER
#define FOUR_OLDER OLDER OLDER OLDER OLDER

#define STANDARD_SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define STANDARD_PUBLIC "whpk_A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
#define STANDARD_ID     "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define STANDARD_TIME   1614265330
#define STANDARD_BODY   "{\"test\": 2432232314}"
#define STANDARD_V1     "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
#define STANDARD_V1A                                                   \
    "v1a,yoUrgEkc12aGqm0n4Sydmdz55xJfTz4AsAgieHFjmkR7LJtqVCZOQYzvvHjI" \
    "5kAey+r4iaBGxTFRrl2iBQxtDQ=="

#define SLACK_SECRET "8f742231b10e8888abcd99yyyzzz85a5"
#define SLACK_TIME   1531420618
#define SLACK_BODY   "token=xyzz0WbapA4vBCDEFxasq0G6&team_id=T1DC2JH3J"
#define SLACK_V0 \
    "v0=626b4246fbb469f8a71a81db95ffb2e90eb925f23bbef88408cdcdaa0695f3a2"

#define HEADERS_MAX 6

typedef struct mail {
    tn_webhook_secrets secrets;
    tn_header headers[HEADERS_MAX];
    unsigned n;
    tn_str body;
    int64_t seconds;
} mail;


static void
add(mail *m, const char *name, const char *value)
{
    assert_true(m->n < HEADERS_MAX);
    m->headers[m->n++] = (tn_header){ unit_str(name), unit_str(value) };
}


static void
secrets(mail *m, tn_webhook_scheme scheme, const char *text)
{
    unsigned line;
    const char *fault;

    if (!tn_webhook_secrets_parse(&m->secrets, &line, &fault, scheme,
                                  unit_str(text))) {
        fail_msg("line %u: %s", line, fault);
    }
}


static void
stripe(mail *m, const char *header)
{
    memset(m, 0, sizeof(*m));
    secrets(m, TN_WEBHOOK_STRIPE, STRIPE_SECRET "\n");
    m->body = TN_STR(STRIPE_BODY);
    m->seconds = NOW;

    if (header) {
        add(m, "Stripe-Signature", header);
    }
}


static void
standard(mail *m, const char *family, const char *signature)
{
    static char names[3][32];

    memset(m, 0, sizeof(*m));
    secrets(m, TN_WEBHOOK_STANDARD, STANDARD_SECRET);
    m->body = TN_STR(STANDARD_BODY);
    m->seconds = STANDARD_TIME;
    snprintf(names[0], sizeof(names[0]), "%s-id", family);
    snprintf(names[1], sizeof(names[1]), "%s-timestamp", family);
    snprintf(names[2], sizeof(names[2]), "%s-signature", family);
    add(m, names[0], STANDARD_ID);
    add(m, names[1], "1614265330");
    add(m, names[2], signature);
}


static void
slack(mail *m)
{
    memset(m, 0, sizeof(*m));
    secrets(m, TN_WEBHOOK_SLACK, SLACK_SECRET "\n");
    m->body = TN_STR(SLACK_BODY);
    m->seconds = SLACK_TIME;
    add(m, "X-Slack-Request-Timestamp", "1531420618");
    add(m, "X-Slack-Signature", SLACK_V0);
}


static tn_webhook_verdict
verdict(const mail *m)
{
    unit_arena arena;
    tn_webhook_verdict said;

    unit_arena_init(&arena, 0);
    assert_int_equal(tn_webhook_verify(&said, &m->secrets, m->headers, m->n,
                                       m->body, m->seconds * 1000000,
                                       &arena.mem),
                     TN_OK);
    unit_arena_free(&arena);

    return said;
}


static void
test_stripe(void **state)
{
    mail m;

    (void) state;
    stripe(&m, "t=1795276800,v1=" STRIPE_V1);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* as it sends them while a secret is being changed, and for tests */
    stripe(&m, "t=1795276800,v1=" STRIPE_V1_OLDER ",v1=" STRIPE_V1
               ",v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039"
               "989a39");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    stripe(&m, "v1=" STRIPE_V1 ",t=1795276800");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* and as we know them meanwhile */
    stripe(&m, "t=1795276800,v1=" STRIPE_V1_OLDER);
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
    secrets(&m, TN_WEBHOOK_STRIPE, STRIPE_SECRET "\n" STRIPE_OLDER "\n");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);
    secrets(&m, TN_WEBHOOK_STRIPE, STRIPE_OLDER "\n" STRIPE_SECRET "\n");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* another's */
    stripe(&m, "t=1795276800,v1=" STRIPE_V1);
    secrets(&m, TN_WEBHOOK_STRIPE, STRIPE_OLDER);
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);

    /* no secret is no empty one */
    memset(&m.secrets, 0, sizeof(m.secrets));
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
}


static void
test_stripe_forms(void **state)
{
    mail m;
    unsigned i;
    static const struct {
        const char *header;
        tn_webhook_verdict verdict;
    } cases[] = {
        { NULL, TN_WEBHOOK_UNSIGNED },
        { "", TN_WEBHOOK_MALFORMED },
        { ",", TN_WEBHOOK_MALFORMED },
        { "t=1795276800", TN_WEBHOOK_MALFORMED },
        { "v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800,v1=" STRIPE_V1 ",", TN_WEBHOOK_MALFORMED },
        { "t=1795276800,,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800,t=1795276800,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800,T=1795276800,v1=", TN_WEBHOOK_FORGED },
        { "t=+1795276800,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=-1795276800,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t= 1795276800,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800.0,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=0x6b01bd80,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=18446744075504828416,v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        /* the number is the same, what was signed isn't */
        { "t=01795276800,v1=" STRIPE_V1, TN_WEBHOOK_FORGED },
        { "t=1795276800,v0=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800, v1=" STRIPE_V1, TN_WEBHOOK_MALFORMED },
        { "t=1795276800,v1=" STRIPE_V1 " ", TN_WEBHOOK_FORGED },
        { "t=1795276800,v1=" STRIPE_V1 "=", TN_WEBHOOK_FORGED },
        { "t=1795276800,v1=", TN_WEBHOOK_FORGED },
        { "t=1795276800,v1=99", TN_WEBHOOK_FORGED },
        { "t=1795276800,v1=99000B13D9C3C472F70E60248832CFFA501C985275FE8AC9D57"
          "11F5E305EB22F",
          TN_WEBHOOK_FORGED },
        { "t=1795276800,v1=a,v1=b,v1=c,v1=" STRIPE_V1, TN_WEBHOOK_GOOD },
        /* the sender decides how many there are */
        { "t=1795276800,v1=a,v1=b,v1=c,v1=d,v1=" STRIPE_V1, TN_WEBHOOK_GOOD },
        { "t=1795276800,v1=" STRIPE_V1 FOUR_OLDER FOUR_OLDER FOUR_OLDER
              FOUR_OLDER,
          TN_WEBHOOK_GOOD },
        { "t=1795276800" FOUR_OLDER ",v1=" STRIPE_V1, TN_WEBHOOK_GOOD },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stripe(&m, cases[i].header);

        if (verdict(&m) != cases[i].verdict) {
            fail_msg("%s: %d, not %d", cases[i].header, verdict(&m),
                     cases[i].verdict);
        }
    }

    /* of two headers neither is to be believed */
    stripe(&m, "t=1795276800,v1=" STRIPE_V1);
    add(&m, "stripe-signature", "t=1795276800,v1=" STRIPE_V1);
    assert_int_equal(verdict(&m), TN_WEBHOOK_UNSIGNED);
}


static void
test_time(void **state)
{
    mail m;
    unsigned i;
    static const struct {
        int64_t late; /* seconds */
        tn_webhook_verdict verdict;
    } cases[] = {
        { 0, TN_WEBHOOK_GOOD },      { 299, TN_WEBHOOK_GOOD },
        { 300, TN_WEBHOOK_GOOD },    { 301, TN_WEBHOOK_STALE },
        { 86400, TN_WEBHOOK_STALE }, { -299, TN_WEBHOOK_GOOD },
        { -300, TN_WEBHOOK_GOOD },   { -301, TN_WEBHOOK_STALE },
        { -NOW, TN_WEBHOOK_STALE },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        stripe(&m, "t=1795276800,v1=" STRIPE_V1);
        m.seconds += cases[i].late;
        assert_int_equal(verdict(&m), cases[i].verdict);

        standard(&m, "webhook", STANDARD_V1);
        m.seconds += cases[i].late;
        assert_int_equal(verdict(&m), cases[i].verdict);

        slack(&m);
        m.seconds += cases[i].late;
        assert_int_equal(verdict(&m), cases[i].verdict);
    }
}


/* With each bit of a text changed, and given back, it isn't good. */
static void
flip(mail *m, tn_str *where)
{
    size_t i;
    tn_str as_sent;
    char changed[512];

    as_sent = *where;
    assert_true(as_sent.n > 0 && as_sent.n <= sizeof(changed));
    assert_int_equal(verdict(m), TN_WEBHOOK_GOOD);
    memcpy(changed, as_sent.p, as_sent.n);
    where->p = changed;

    for (i = 0; i < as_sent.n * 8; i++) {
        changed[i / 8] ^= (char) (1 << i % 8);

        if (verdict(m) == TN_WEBHOOK_GOOD) {
            fail_msg("bit %zu of \"%.*s\" can be changed", i, (int) as_sent.n,
                     as_sent.p);
        }

        changed[i / 8] ^= (char) (1 << i % 8);
    }

    /* nor with its end taken away */
    for (where->n = 0; where->n < as_sent.n; where->n++) {
        if (verdict(m) == TN_WEBHOOK_GOOD) {
            fail_msg("%zu bytes of \"%.*s\" are enough", where->n,
                     (int) as_sent.n, as_sent.p);
        }
    }

    *where = as_sent;
    assert_int_equal(verdict(m), TN_WEBHOOK_GOOD);
}


static void
flip_all(mail *m)
{
    unsigned i;

    flip(m, &m->body);

    for (i = 0; i < m->n; i++) {
        flip(m, &m->headers[i].value);
    }
}


static void
test_bits(void **state)
{
    mail m;

    (void) state;
    stripe(&m, "t=1795276800,v1=" STRIPE_V1);
    flip_all(&m);
    standard(&m, "webhook", STANDARD_V1);
    flip_all(&m);
    standard(&m, "webhook", STANDARD_V1A);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_PUBLIC);
    flip_all(&m);
    slack(&m);
    flip_all(&m);

    /* a body is bytes, all of them */
    stripe(&m, "t=1795276800,v1=" STRIPE_V1);
    m.body = TN_STR(STRIPE_BODY "\n");
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
    m.body = TN_STR(STRIPE_BODY "\0");
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
}


static void
test_standard(void **state)
{
    mail m;

    (void) state;
    standard(&m, "webhook", STANDARD_V1);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);
    standard(&m, "svix", STANDARD_V1);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);
    standard(&m, "Webhook", "v1,AAAA " STANDARD_V1 " v2,whatever");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* both families: the three of one */
    standard(&m, "svix", STANDARD_V1);
    add(&m, "webhook-id", "another");
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* a public key and a secret beside each other */
    standard(&m, "webhook", STANDARD_V1A);
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_SECRET "\n" STANDARD_PUBLIC);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);
    standard(&m, "webhook", STANDARD_V1);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_PUBLIC "\n" STANDARD_SECRET);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);

    /* the public key is no secret to sign with */
    standard(&m, "webhook", STANDARD_V1);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_PUBLIC);
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
}


static void
test_standard_forms(void **state)
{
    mail m;
    unsigned i, k;
    static const struct {
        const char *id;
        const char *time;
        const char *signature;
        tn_webhook_verdict verdict;
    } cases[] = {
        { NULL, "1614265330", STANDARD_V1, TN_WEBHOOK_UNSIGNED },
        { STANDARD_ID, NULL, STANDARD_V1, TN_WEBHOOK_UNSIGNED },
        { STANDARD_ID, "1614265330", NULL, TN_WEBHOOK_UNSIGNED },
        { "", "1614265330", STANDARD_V1, TN_WEBHOOK_MALFORMED },
        { "msg.1", "1614265330", STANDARD_V1, TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "", STANDARD_V1, TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "2021-02-25", STANDARD_V1, TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "1614265330", "", TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "1614265330", "v1", TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "1614265330", STANDARD_V1 " ", TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "1614265330", "v2,AAAA", TN_WEBHOOK_MALFORMED },
        { STANDARD_ID, "1614265330", "v1,a v1,b v1,c v1,d " STANDARD_V1,
          TN_WEBHOOK_GOOD },
        { STANDARD_ID, "1614265330", "v1a,a v1a,b v1a,c v1a,d " STANDARD_V1A,
          TN_WEBHOOK_GOOD },
        { STANDARD_ID, "1614265330", "v1a,a v1a,b v1a,c v1a,d v1a,e",
          TN_WEBHOOK_FORGED },
        { STANDARD_ID, "1614265330", "v1a,AAAA", TN_WEBHOOK_FORGED },
        /* without its padding, and as base64url */
        { STANDARD_ID, "1614265330",
          "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE", TN_WEBHOOK_FORGED },
        { STANDARD_ID, "1614265330",
          "v1,g0hM9SsE-OTPJTGt_tmIKtSyZlE3uFJELVlNIOLJ1OE=",
          TN_WEBHOOK_FORGED },
        /* bits that base64 has no use for */
        { STANDARD_ID, "1614265330",
          "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OF=",
          TN_WEBHOOK_FORGED },
    };

    (void) state;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        standard(&m, "webhook", STANDARD_V1);
        secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_SECRET "\n" STANDARD_PUBLIC);
        m.n = 0;

        for (k = 0; k < 3; k++) {
            const char *value[] = { cases[i].id, cases[i].time,
                                    cases[i].signature };
            static const char *const name[] = { "webhook-id",
                                                "webhook-timestamp",
                                                "webhook-signature" };

            if (value[k]) {
                add(&m, name[k], value[k]);
            }
        }

        if (verdict(&m) != cases[i].verdict) {
            fail_msg("case %u: %d, not %d", i, verdict(&m), cases[i].verdict);
        }
    }
}


static void
test_slack(void **state)
{
    mail m;

    (void) state;
    slack(&m);
    assert_int_equal(verdict(&m), TN_WEBHOOK_GOOD);
    m.headers[1].value = TN_STR("v1=" STRIPE_V1);
    assert_int_equal(verdict(&m), TN_WEBHOOK_MALFORMED);
    m.headers[1].value = TN_STR("v0");
    assert_int_equal(verdict(&m), TN_WEBHOOK_MALFORMED);
    m.n = 1;
    assert_int_equal(verdict(&m), TN_WEBHOOK_UNSIGNED);
}


/* What can't be right by its form alone costs no hash: here a body that nobody
 * can read. */
static void
test_unread(void **state)
{
    mail m;
    unsigned i;
    static const char *const stripes[] = {
        "t=1795276800,v1=",
        "t=1795276800,v1=a,v1=b",
        "t=1795276800,v1=" STRIPE_V1 "0",
        "t=1795276800,v1=99000B13D9C3C472F70E60248832CFFA501C985275FE8AC9D57"
        "11F5E305EB22F",
        "t=1795276800,v1=99000b13d9c3c472f70e60248832cffa501c985275fe8ac9d57"
        "11f5e305eb22g",
    };
    static const char *const standards[] = {
        "v1,",
        STANDARD_V1 "=",
        "v1a,AAAA",
        "v1,a v1a,a",
    };

    (void) state;

    for (i = 0; i < sizeof(stripes) / sizeof(stripes[0]); i++) {
        stripe(&m, stripes[i]);
        m.body = (tn_str){ (const char *) 8, 262144 };
        assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
    }

    for (i = 0; i < sizeof(standards) / sizeof(standards[0]); i++) {
        standard(&m, "webhook", standards[i]);
        secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_SECRET "\n" STANDARD_PUBLIC);
        m.body = (tn_str){ (const char *) 8, 262144 };
        assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
    }

    /* one of a secret's is no reason to look at it for a public key's */
    standard(&m, "webhook", STANDARD_V1);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_PUBLIC);
    m.body = (tn_str){ (const char *) 8, 262144 };
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);

    slack(&m);
    m.headers[1].value = TN_STR("v0=6");
    m.body = (tn_str){ (const char *) 8, 262144 };
    assert_int_equal(verdict(&m), TN_WEBHOOK_FORGED);
}


/* Ed25519 wants the message in one piece. */
static void
test_memory(void **state)
{
    mail m;
    unit_arena arena;
    tn_webhook_verdict said;

    (void) state;
    standard(&m, "webhook", STANDARD_V1A);
    secrets(&m, TN_WEBHOOK_STANDARD, STANDARD_PUBLIC);

    UNIT_EACH_FAILURE(arena)
    {
        if (tn_webhook_verify(&said, &m.secrets, m.headers, m.n, m.body,
                              m.seconds * 1000000, &arena.mem) == TN_OK) {
            break;
        }
        assert_int_not_equal(said, TN_WEBHOOK_GOOD);
    }

    assert_int_equal(said, TN_WEBHOOK_GOOD);
    assert_true(arena.fail_at > 1);
    unit_arena_free(&arena);
}


static void
test_files(void **state)
{
    unsigned i, line;
    const char *fault;
    char wide[200];
    tn_webhook_secrets out, none;
    static const struct {
        tn_webhook_scheme scheme;
        unsigned line;
        const char *text;
        const char *fault;
    } cases[] = {
        { TN_WEBHOOK_STRIPE, 1, "", "no secret" },
        { TN_WEBHOOK_STRIPE, 1, "\n", "no secret" },
        { TN_WEBHOOK_STRIPE, 1, "\n" STRIPE_SECRET, "no secret" },
        { TN_WEBHOOK_STRIPE, 2, STRIPE_SECRET "\n\n", "empty" },
        { TN_WEBHOOK_STRIPE, 2, STRIPE_SECRET "\n\n" STRIPE_OLDER, "empty" },
        { TN_WEBHOOK_STRIPE, 2, STRIPE_SECRET "\n" STRIPE_SECRET, "twice" },
        { TN_WEBHOOK_STRIPE, 1, "whsec_", "long" },
        { TN_WEBHOOK_STRIPE, 1, "whsec_0123456789abcde", "long" },
        { TN_WEBHOOK_STRIPE, 1, "sk_live_0123456789abcdef0123", "whsec_" },
        { TN_WEBHOOK_STRIPE, 1, " " STRIPE_SECRET, "blank" },
        { TN_WEBHOOK_STRIPE, 1, STRIPE_SECRET "\r\n", "blank" },
        { TN_WEBHOOK_STRIPE, 1, "whsec_0123456789abcdef\xc3\xa9", "blank" },
        { TN_WEBHOOK_STRIPE, 5,
          "whsec_0123456789abcdefa\nwhsec_0123456789abcdefb\n"
          "whsec_0123456789abcdefc\nwhsec_0123456789abcdefd\n"
          "whsec_0123456789abcdefe\n",
          "4 secrets" },
        { TN_WEBHOOK_STANDARD, 1, "whsec_", "base64" },
        { TN_WEBHOOK_STANDARD, 1, "whsec_AAAAAAAAAAAAAAAAAAAA", "base64" },
        { TN_WEBHOOK_STANDARD, 1, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
          "base64" },
        { TN_WEBHOOK_STANDARD, 1, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
          "base64" },
        { TN_WEBHOOK_STANDARD, 1, "whpk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
          "Ed25519" },
        { TN_WEBHOOK_SLACK, 1, "", "no secret" },
        { TN_WEBHOOK_SLACK, 1, "0123456789abcde", "characters" },
    };

    (void) state;
    memset(&none, 0, sizeof(none));

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (tn_webhook_secrets_parse(&out, &line, &fault, cases[i].scheme,
                                     unit_str(cases[i].text)) ||
            line != cases[i].line || strstr(fault, cases[i].fault) == NULL) {
            fail_msg("case %u: line %u: %s", i, line, fault ? fault : "fine");
        }
        assert_memory_equal(&out, &none, sizeof(out));
    }

    /* as long as one may be, and one longer */
    memset(wide, 'x', sizeof(wide));
    memcpy(wide, "whsec_", 6);
    assert_true(tn_webhook_secrets_parse(&out, &line, &fault, TN_WEBHOOK_STRIPE,
                                         (tn_str){ wide, TN_WEBHOOK_KEY_MAX }));
    assert_int_equal(out.keys[0].n, TN_WEBHOOK_KEY_MAX);
    assert_false(
        tn_webhook_secrets_parse(&out, &line, &fault, TN_WEBHOOK_STRIPE,
                                 (tn_str){ wide, TN_WEBHOOK_KEY_MAX + 1 }));
}


UNIT_MAIN(cmocka_unit_test(test_stripe), cmocka_unit_test(test_stripe_forms),
          cmocka_unit_test(test_time), cmocka_unit_test(test_bits),
          cmocka_unit_test(test_standard),
          cmocka_unit_test(test_standard_forms), cmocka_unit_test(test_slack),
          cmocka_unit_test(test_unread), cmocka_unit_test(test_memory),
          cmocka_unit_test(test_files))
