/* check_pg_stats.c - the parts of pg_stats that need no server: rows, queries, the top-N, averages, texts. */
#include "assertions.h"
#include "obfuscate.h"
#include "budget.h"
#include "queries.h"
#include "rows.h"
#include "statements.h"
#include "top.h"

#include <endian.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void count_forgotten(void *context, const uint32_t *handles, size_t width)
{
    (void)handles;
    (void)width;
    ++*(unsigned *)context;
}

START_TEST(rows_are_found_added_and_forgotten)
{
    struct rows rows;
    unsigned forgotten = 0;
    char key[32];

    rows_init(&rows, 3, 0, 5000);
    for (uint64_t pass = 1; pass <= 20; pass++) {
        rows_begin(&rows);
        for (unsigned i = 0; i < 2000; i++) {
            unsigned number = (unsigned)((i * 7 + pass * 13) % 2000 + (pass > 10 ? 500 : 0)); /* another order each time */
            size_t length = (size_t)snprintf(key, sizeof(key), "row %u", number);
            uint32_t *handles = rows_find(&rows, key, length, pass);

            if (!handles) {
                handles = rows_add(&rows, key, length, pass);
                ck_assert_ptr_nonnull(handles);
                handles[0] = number;
                handles[2] = number + 2;
            }
            ck_assert_uint_eq(handles[0], number);
            ck_assert_uint_eq(handles[2], number + 2);
        }
        rows_forget(&rows, pass > 3 ? pass - 3 : 0, count_forgotten, &forgotten);
    }
    ck_assert_uint_eq(rows.count, 2000);
    ck_assert_uint_eq(forgotten, 500);
    for (unsigned i = 0; rows.count < 5000; i++)
        ck_assert_ptr_nonnull(rows_add(&rows, key, (size_t)snprintf(key, sizeof(key), "more %u", i), 20));
    ck_assert_ptr_null(rows_add(&rows, "x", 1, 20)); /* the ceiling */
    rows_free(&rows);
}
END_TEST

/* True if another query that this version has, before `query` in the tables, has its group's name. */
static bool group_is_taken(const struct query *query, const struct query_facts *facts)
{
    for (const struct query *const *table = query_tables; *table; table++)
        for (const struct query *other = *table; other->group && other != query; other++)
            if (query_applies(other, facts) && strcmp(other->group, query->group) == 0)
                return true;
    return false;
}

static void check_query(const struct query *query, int version)
{
    const struct query_facts facts = {.version = version, .extschema = "public"};
    static char sql[QUERY_SQL_MAX];
    struct query_plan plan;
    bool values = false, marks = false;

    if (!query_applies(query, &facts))
        return;
    ck_assert_msg(query_make(query, &facts, sql, sizeof(sql), &plan), "%s does not fit", query->group);
    ck_assert_msg(plan.ncolumns >= 1, "%s has no values in version %d", query->group, version);
    ck_assert_msg(plan.nmarks == (query->use == USE_SIZES ? QUERY_MARKS : 0), "%s", query->group);
    ck_assert_msg(!query->named || (plan.nlabels == 2 && plan.ncolumns == 1), "%s", query->group);
    ck_assert_msg(!strchr(sql, '@'), "%s: %s", query->group, sql);
    ck_assert_msg(!group_is_taken(query, &facts), "two queries \"%s\" in version %d", query->group, version);
    for (const struct query_column *column = query->columns; column->name; column++) {
        ck_assert_msg(column->type != COLUMN_LABEL || !values, "%s: labels come first", query->group);
        values |= column->type != COLUMN_LABEL;
        ck_assert_msg(column->type == COLUMN_MARK || !marks, "%s: marks come last", query->group);
        marks |= column->type == COLUMN_MARK;
        ck_assert_msg(column->type == COLUMN_LABEL || column->type == COLUMN_MARK || column->help || query->named, "%s.%s has no help", query->group, column->name);
        ck_assert_msg(column->min_version == 0 || column->min_version > 130000, "%s", column->name);
    }
}

START_TEST(the_table_of_queries_is_sound)
{
    for (int version = 130000; version <= 180000; version += 10000)
        for (const struct query *const *table = query_tables; *table; table++)
            for (const struct query *query = *table; query->group; query++)
                check_query(query, version);
}
END_TEST

/* ---- top ---------------------------------------------------------------------------------------------------------------- */

static const struct query_column object_label = {.name = "object", .type = COLUMN_LABEL, .flags = COLUMN_FOLDED},
                                 user_label = {.name = "user", .type = COLUMN_LABEL},
                                 calls = {.name = "calls", .type = COLUMN_INT8, .kind = WEIR_COUNTER, .flags = COLUMN_RANK},
                                 seconds = {.name = "seconds", .type = COLUMN_FLOAT8, .kind = WEIR_COUNTER},
                                 size = {.name = "size", .type = COLUMN_INT8, .kind = WEIR_GAUGE, .flags = COLUMN_KEPT},
                                 age = {.name = "age", .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE, .flags = COLUMN_MAX};
static const struct query_plan object_plan = {.labels = {&object_label, &user_label}, .nlabels = 2,
                                              .columns = {&calls, &seconds, &size, &age}, .ncolumns = 4};
enum { CALLS, SECONDS, SIZE, AGE };

#define SHOWN_MAX 512u
/* What a pass gave out. */
struct shown {
    char object[16], user[16];
    struct weir_value values[4];
};
struct result {
    struct shown rows[SHOWN_MAX];
    size_t count, fail_at;
};

static size_t label_put(char *at, const char *text)
{
    uint32_t big = htobe32(text ? (uint32_t)strlen(text) : UINT32_MAX);

    memcpy(at, &big, 4);
    if (text)
        memcpy(at + 4, text, strlen(text));
    return 4 + (text ? strlen(text) : 0);
}

static const char *label_get(const char *at, char *text)
{
    uint32_t big;

    memcpy(&big, at, 4);
    big = be32toh(big);
    if (big == UINT32_MAX) {
        strcpy(text, "NULL");
        return at + 4;
    }
    ck_assert_uint_lt(big, 16);
    memcpy(text, at + 4, big);
    text[big] = '\0';
    return at + 4 + big;
}

static void feed(struct top *top, const char *object, const char *user, const struct weir_value *values)
{
    char key[64];
    size_t length = label_put(key, object);

    length += label_put(key + length, user);
    top_row(top, key, length, values);
}

static void feed_calls(struct top *top, const char *object, const char *user, uint64_t count)
{
    const struct weir_value values[4] = {{.flags = WEIR_U64, .value.u64 = count},
                                         {.flags = WEIR_F64, .value.f64 = (double)count / 4},
                                         {.flags = WEIR_U64, .value.u64 = 10},
                                         {.flags = TOP_ABSENT}};

    feed(top, object, user, values);
}

static int take(void *context, const char *key, size_t length, const struct weir_value *values)
{
    struct result *result = context;
    struct shown *row = &result->rows[result->count++];

    ck_assert_uint_lt(result->count, SHOWN_MAX);
    ck_assert_ptr_eq(label_get(label_get(key, row->object), row->user), key + length);
    memcpy(row->values, values, sizeof(row->values));
    return result->count == result->fail_at ? WEIR_EFAIL : WEIR_OK;
}

static struct result *end(struct top *top)
{
    static struct result result;

    result.count = result.fail_at = 0;
    ck_assert_int_eq(top_end(top, take, &result), WEIR_OK);
    return &result;
}

static const struct weir_value *shown(const struct result *result, const char *object, const char *user)
{
    const struct weir_value *found = NULL;

    for (size_t i = 0; i < result->count; i++) {
        if (strcmp(result->rows[i].object, object) == 0 && strcmp(result->rows[i].user, user) == 0) {
            ck_assert_msg(!found, "%s of %s twice", object, user);
            found = result->rows[i].values;
        }
    }
    return found;
}

static const struct weir_value *must_show(const struct result *result, const char *object, const char *user)
{
    const struct weir_value *values = shown(result, object, user);

    ck_assert_msg(values != NULL, "%s of %s is not shown", object, user);
    return values;
}

static uint32_t chance(uint32_t below)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)((state >> 20) % below);
}

static const char *name_of(unsigned object)
{
    static char name[16];

    snprintf(name, sizeof(name), "o%u", object);
    return name;
}

/* Members, and then the rest as one. */
START_TEST(top_shows_the_strongest_and_adds_up_the_others)
{
    struct top *top = top_new(&object_plan, 2, 1000);
    struct result *result;

    top_begin(top); /* by totals */
    for (unsigned i = 1; i <= 4; i++) {
        feed_calls(top, name_of(i), "u", i * 100);
        feed_calls(top, name_of(i), "v", 1);
    }
    result = end(top);
    ck_assert_uint_eq(result->count, 6);
    ck_assert_uint_eq(must_show(result, "o4", "u")[CALLS].value.u64, 400);
    ck_assert_uint_eq(must_show(result, "o3", "v")[CALLS].value.u64, 1);
    ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, 0);
    ck_assert_double_eq(must_show(result, "other", "u")[SECONDS].value.f64, 0);
    ck_assert_uint_eq(must_show(result, "other", "v")[SIZE].value.u64, 20);
    ck_assert_uint_eq(must_show(result, "other", "v")[AGE].flags, TOP_ABSENT);
    ck_assert_str_eq(result->rows[0].object, "o3"); /* in the order in which they came */
    ck_assert_str_eq(result->rows[4].object, "other");
    top_begin(top);
    for (unsigned i = 1; i <= 4; i++)
        feed_calls(top, name_of(i), "u", i * 100 + 8);
    result = end(top);
    ck_assert_uint_eq(must_show(result, "o4", "u")[CALLS].value.u64, 408);
    ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, 16);
    ck_assert_double_eq(must_show(result, "other", "u")[SECONDS].value.f64, 4);
    ck_assert_uint_eq(must_show(result, "other", "v")[CALLS].value.u64, 0); /* its rows are gone, it does not fall */
    ck_assert_uint_eq(must_show(result, "other", "v")[SIZE].flags, TOP_ABSENT);
    top_free(top);
}
END_TEST

START_TEST(top_without_too_many_has_no_other)
{
    struct top *top = top_new(&object_plan, 50, 1000);

    for (unsigned pass = 0; pass < 100; pass++) {
        struct result *result;
        unsigned count = 0;

        top_begin(top);
        for (unsigned i = 0; i < 50; i++) {
            if (pass > 10 && chance(5) == 0)
                continue;
            feed_calls(top, name_of(i), "u", chance(1000));
            count++;
        }
        result = end(top);
        ck_assert_uint_eq(result->count, count);
        ck_assert_ptr_null(shown(result, "other", "u"));
    }
    ck_assert_uint_eq(top_counts(top).changes, 0);
    top_free(top);
}
END_TEST

/* What a counter's growth is for somebody who reads it. */
static double grown(double before, double now)
{
    return now >= before ? now - before : now;
}

/* Whatever comes, goes, falls and changes places: what was shown has grown by what everything has grown. */
START_TEST(top_keeps_the_sum)
{
    enum { OBJECTS = 60, USERS = 2, LIMIT = 7 };
    static double truth[OBJECTS][USERS], seen[OBJECTS][USERS], other_seen[USERS];
    static bool known[OBJECTS][USERS], folded[OBJECTS][USERS], other_known[USERS];
    static unsigned missing[OBJECTS][USERS];
    static double last[OBJECTS][USERS];
    double expected = 0, counted = 0;
    struct top *top = top_new(&object_plan, LIMIT, 1000);

    memset(known, 0, sizeof(known));
    for (unsigned pass = 0; pass < 3000; pass++) {
        struct result *result;
        static bool fed[OBJECTS][USERS];

        top_begin(top);
        for (unsigned i = 0; i < OBJECTS; i++) {
            for (unsigned u = 0; u < USERS; u++) {
                /* Who is strong changes in time. */
                truth[i][u] += chance((i + pass / 100) % OBJECTS < 9 ? 2000 : 100);
                if (chance(200) == 0)
                    truth[i][u] = chance(10);
                fed[i][u] = chance(100) != 0 && missing[i][u] == 0;
                if (missing[i][u] && --missing[i][u] == 0)
                    truth[i][u] = chance(10); /* forgotten by the server, and come back */
                else if (!missing[i][u] && chance(300) == 0)
                    missing[i][u] = 12;
                if (fed[i][u])
                    feed_calls(top, name_of(i), u ? "v" : "u", (uint64_t)truth[i][u]);
            }
        }
        if (chance(50) == 0)
            continue; /* failed: it never was */
        result = end(top);
        for (unsigned i = 0; i < OBJECTS; i++) {
            for (unsigned u = 0; u < USERS; u++) {
                const struct weir_value *values = shown(result, name_of(i), u ? "v" : "u");
                double growth = pass == 0 ? 0 : known[i][u] ? grown(last[i][u], truth[i][u]) : truth[i][u];

                if (!fed[i][u]) {
                    ck_assert_ptr_null(values);
                    known[i][u] = folded[i][u] = false; /* begins anew when it comes back */
                    continue;
                }
                /* Of one that is shown at once nothing is known to have grown. */
                if (known[i][u] || !values)
                    expected += growth;
                if (values) {
                    ck_assert_double_eq((double)values[CALLS].value.u64, truth[i][u]);
                    if (known[i][u] && !folded[i][u])
                        counted += grown(seen[i][u], truth[i][u]);
                    seen[i][u] = truth[i][u];
                }
                folded[i][u] = !values;
                known[i][u] = true;
                last[i][u] = truth[i][u];
            }
        }
        for (unsigned u = 0; u < USERS; u++) {
            const struct weir_value *values = must_show(result, "other", u ? "v" : "u");
            double now = (double)values[CALLS].value.u64;

            ck_assert_double_ge(now, other_known[u] ? other_seen[u] : 0);
            ck_assert_double_eq(values[SECONDS].value.f64, now / 4);
            counted += now - (other_known[u] ? other_seen[u] : 0);
            other_seen[u] = now;
            other_known[u] = true;
        }
        ck_assert_double_eq(counted, expected);
        ck_assert_uint_le(top_counts(top).members, LIMIT);
    }
    ck_assert_uint_gt(top_counts(top).changes, 20);
    top_free(top);
}
END_TEST

/* Objects that differ by chance alone keep their places; one that is truly strong gets one soon. */
START_TEST(top_members_stay)
{
    enum { OBJECTS = 1000, LIMIT = 50 };
    static uint64_t totals[OBJECTS];
    struct top *top = top_new(&object_plan, LIMIT, 5000);
    uint64_t settled = 0;
    unsigned arrived = 0;

    for (unsigned pass = 0; pass < 400; pass++) {
        struct result *result;

        top_begin(top);
        for (unsigned i = 0; i < OBJECTS; i++) {
            totals[i] += i < 40 ? 5000 + chance(10000) : chance(400);
            totals[i] += i == 500 && pass >= 300 ? 100000 : 0;
            feed_calls(top, name_of(i), "u", totals[i]);
        }
        result = end(top);
        if (pass == 60)
            settled = top_counts(top).changes;
        for (unsigned i = 0; pass > 60 && i < 40; i++)
            must_show(result, name_of(i), "u");
        if (pass >= 300 && !arrived && shown(result, "o500", "u"))
            arrived = pass;
    }
    ck_assert_uint_eq(arrived, 300);
    ck_assert_msg(top_counts(top).changes - settled < 20, "%u changes", (unsigned)(top_counts(top).changes - settled));
    top_free(top);
}
END_TEST

START_TEST(top_merges_gauges)
{
    struct top *top = top_new(&object_plan, 1, 1000);
    struct weir_value values[4] = {{.flags = WEIR_U64}, {.flags = TOP_ABSENT}, {.flags = TOP_ABSENT}, {.flags = TOP_ABSENT}};
    struct result *result;

    for (unsigned pass = 0; pass < 3; pass++) {
        top_begin(top);
        feed_calls(top, "strong", "u", 1000);
        values[SIZE] = (struct weir_value){.flags = pass == 1 ? TOP_ABSENT : WEIR_U64, .value.u64 = 5};
        values[AGE] = (struct weir_value){.flags = WEIR_F64, .value.f64 = 2.5};
        feed(top, "a", "u", values);
        values[SIZE] = (struct weir_value){.flags = WEIR_F64, .value.f64 = pass == 2 ? -1 : 7};
        values[AGE] = pass == 2 ? (struct weir_value){.flags = TOP_ABSENT} : (struct weir_value){.flags = WEIR_F64, .value.f64 = 7};
        feed(top, "b", "u", values);
        feed(top, "b", NULL, values); /* NULL is a value as others are */
        result = end(top);
        ck_assert_double_eq(must_show(result, "other", "u")[SIZE].value.f64, pass == 2 ? 4 : 12); /* 5 is kept */
        ck_assert_double_eq(must_show(result, "other", "u")[AGE].value.f64, pass == 2 ? 2.5 : 7);
        ck_assert_uint_eq(must_show(result, "other", "NULL")[AGE].flags, pass == 2 ? TOP_ABSENT : WEIR_F64);
        ck_assert_uint_eq(must_show(result, "other", "u")[SECONDS].flags, TOP_ABSENT);
    }
    top_free(top);
}
END_TEST

START_TEST(top_rows_of_no_object_and_odd_ones)
{
    struct top *top = top_new(&object_plan, 1, 1000);
    struct result *result = NULL;
    struct weir_value values[4] = {{.flags = WEIR_U64, .value.u64 = 3}, {.flags = WEIR_F64}, {.flags = TOP_ABSENT},
                                   {.flags = TOP_ABSENT}};

    for (unsigned pass = 1; pass <= 3; pass++) {
        top_begin(top);
        feed_calls(top, NULL, "u", pass * 100);
        feed_calls(top, "other", "u", pass * 1000000); /* hides nothing, and is never one of its own */
        feed_calls(top, "a", "u", pass * 10);
        feed_calls(top, "a", "u", pass * 10);
        values[SECONDS].value.f64 = pass == 2 ? NAN : pass == 3 ? INFINITY : 0;
        feed(top, "b", "u", values);
        result = end(top);
        ck_assert_uint_eq(top_counts(top).duplicates, 1);
        ck_assert_uint_eq(top_counts(top).members, 1);
    }
    ck_assert_uint_eq(result->count, 3);
    ck_assert_uint_eq(must_show(result, "NULL", "u")[CALLS].value.u64, 300);
    ck_assert_uint_eq(must_show(result, "a", "u")[CALLS].value.u64, 60);
    ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, 2000000);
    ck_assert_double_eq(must_show(result, "other", "u")[SECONDS].value.f64, 500000);
    top_free(top);
}
END_TEST

START_TEST(top_with_more_rows_than_it_may_keep)
{
    struct top *top = top_new(&object_plan, 2, 10);
    struct result *result;

    for (unsigned pass = 0; pass < 20; pass++) {
        top_begin(top);
        for (unsigned i = 0; i < 25; i++)
            feed_calls(top, name_of(i), "u", 1000 + pass * 8);
        result = end(top);
        ck_assert_uint_eq(top_counts(top).beyond, 15);
        ck_assert_uint_eq(result->count, 3);
        ck_assert_uint_eq(must_show(result, "other", "u")[SIZE].value.u64, 230);
        ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, pass * 8 * 8); /* of those that are known */
    }
    /* Room again: those that come in are not new, and count from here. */
    for (unsigned pass = 0; pass < 6; pass++) {
        top_begin(top);
        for (unsigned i = 20; i < 25; i++)
            feed_calls(top, name_of(i), "u", 5000);
        result = end(top);
        ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, 19 * 8 * 8);
    }
    ck_assert_uint_eq(top_counts(top).beyond, 0);
    ck_assert_uint_eq(top_counts(top).objects, 5);
    top_free(top);
}
END_TEST

START_TEST(top_tells_what_its_caller_says)
{
    struct top *top = top_new(&object_plan, 5, 100);
    struct result *result;
    static struct result failing;

    for (unsigned pass = 1; pass <= 3; pass++) {
        top_begin(top);
        for (unsigned i = 0; i < 10; i++)
            feed_calls(top, name_of(i), "u", (10 - i) * 1000 + pass);
        failing.count = 0;
        failing.fail_at = 3;
        if (pass == 2) {
            ck_assert_int_eq(top_end(top, take, &failing), WEIR_EFAIL);
            ck_assert_uint_eq(failing.count, 3);
            continue;
        }
        result = end(top);
        ck_assert_uint_eq(must_show(result, "other", "u")[CALLS].value.u64, (pass - 1) * 5); /* nothing was lost */
    }
    top_free(top);
    top_free(NULL);
    top = top_new(&object_plan, 0, 100);
    top_begin(top);
    ck_assert_uint_eq(end(top)->count, 0);
    top_begin(top);
    feed_calls(top, "a", "u", 5);
    ck_assert_uint_eq(must_show(end(top), "other", "u")[CALLS].value.u64, 5);
    top_free(top);
}
END_TEST

/* ---- obfuscate ---------------------------------------------------------------------------------------------------------- */

START_TEST(texts_lose_their_values)
{
    static const struct {
        const char *sql, *shown;
    } cases[] = {
        {"", ""},
        {"SELECT 1", "SELECT ?"},
        {"  select\n\t a ,b\r\n from  t ; ", "select a,b from t;"},
        {"SELECT 'x''y' || 'z'", "SELECT ? || ?"},
        {"SELECT ''", "SELECT ?"},
        {"SELECT E'it\\'s', e'\\\\', E'a''b' c", "SELECT ?, ?, ? c"},
        {"SELECT U&'d\\0061t', u&'!0061' UESCAPE '!'", "SELECT ?, ? UESCAPE ?"},
        {"SELECT b'01', X'1F', n'national' FROM t", "SELECT ?, ?, ? FROM t"},
        {"SELECT $$it's$$, $a$ $$ $b$ $a$, $é$x$é$ z", "SELECT ?, ?, ? z"},
        {"SELECT $1, $23::text, $_x$1$_x$", "SELECT $1, $23::text, ?"},
        {"SELECT a$b$c, tab$$le FROM a$b", "SELECT a$b$c, tab$$le FROM a$b"},
        {"SELECT 1.5, .5, 1e10, 1.5E-10, 0x1F, 0b01, 1_000, 5. FROM t1", "SELECT ?, ?, ?, ?, ?, ?, ?, ? FROM t1"},
        {"SELECT (-5), f(+5), a - 5, a -5, a-5, 3<-2, 3 = -2, - 5", "SELECT (?), f(?), a - ?, a -?, a-?, ?<?, ? = ?, - ?"},
        {"a[1:2], a[1], x.y[ 3 ]", "a[?:?], a[?], x.y[?]"},
        {"FOR i IN 1..10", "FOR i IN ?..?"},
        {"SELECT 1a, 12éx", "SELECT ?, ?"},
        /* comments */
        {"SELECT 1 -- secret 'x\n+ 2", "SELECT ? + ?"},
        {"SELECT a--secret\r, b", "SELECT a, b"},
        {"SELECT /* secret /* nested ' */ secret */ a/**/b", "SELECT a b"},
        {"/* secret", ""},
        {"a /* secret /* */ secret", "a"},
        {"a /*/ secret */ b", "a b"},
        {"a '--' b '/*' c '*/' d", "a ? b ? c ? d"},
        {"a \"--\" \"/*\" b", "a \"--\" \"/*\" b"},
        {"a - - b */ c", "a - - b */ c"},
        /* identifiers */
        {"SELECT \"a b\"\"c\", U&\"d\\0061\", \"it's\" FROM \"T\".\"ä\"",
         "SELECT \"a b\"\"c\", U&\"d\\0061\", \"it's\" FROM \"T\".\"ä\""},
        {"SELECT type'x', e 'x', name 'y'", "SELECT type?, e ?, name ?"},
        /* lists */
        {"x IN (1, 2,3 , 'a', -4)", "x IN (?)"},
        {"x IN ($1, $2, $3)", "x IN ($1)"},
        {"x IN ($1 /*, ... */)", "x IN ($1)"},
        {"x = ANY (ARRAY[1,2,3]) AND y IN ( 'a' )", "x = ANY (ARRAY[?]) AND y IN (?)"},
        {"f(a, 1, 2), f(1 + x, 2), g()", "f(a, ?, ?), f(? + x, ?), g()"},
        {"INSERT INTO t VALUES (1, 'a'), (2, 'b'),(3,'c') RETURNING x", "INSERT INTO t VALUES (?) RETURNING x"},
        {"INSERT INTO t(a) values($1,$2),($3,$4)", "INSERT INTO t(a) values($1)"},
        {"SELECT f(1), (2)", "SELECT f(?), (?)"},
        {"VALUES (1, now()), (2, now())", "VALUES (?, now()), (?, now())"},
        {"x IN (1, 2", "x IN (?"},
        {"a ? 'x' AND b ?| ARRAY['y', 'z']", "a ? ? AND b ?| ARRAY[?]"},
        /* what has no end is not shown */
        {"SELECT 'secret", "SELECT ?"},
        {"SELECT 'secret''", "SELECT ?"},
        {"SELECT E'secret\\", "SELECT ?"},
        {"SELECT E'secret\\'", "SELECT ?"},
        {"SELECT $x$secret$y$ $$ secret", "SELECT ?"},
        {"SELECT $$secret$", "SELECT ?"},
        {"SELECT \"secret", "SELECT ?"},
        {"SELECT \"a\"\"", "SELECT ?"},
        {"SELECT $x, $", "SELECT $x, $"},
        /* a backslash in a plain string: who knows */
        {"SELECT 'C:\\dir', a", "SELECT ?, a"},
        {"SELECT 'C:\\\\', a", "SELECT ?, a"},
        {"SELECT 'C:\\', 'secret', secret", "SELECT ?"},
        {"SELECT 'it\\'s secret', a", "SELECT ?"},
        {"SELECT '\\\\\\' secret', a", "SELECT ?"},
        {"SELECT U&'\\' secret', a", "SELECT ?"},
        {"SELECT E'a'\n'\\' secret' x", "SELECT ? ?"},
        {"SELECT 1e'\\' secret' x", "SELECT ??"},
        /* utility statements */
        {"ALTER ROLE bob WITH LOGIN PASSWORD 'secret' VALID UNTIL '2030-01-01'",
         "ALTER ROLE bob WITH LOGIN PASSWORD ? VALID UNTIL ?"},
        {"CREATE USER bob ENCRYPTED PASSWORD $$secret$$", "CREATE USER bob ENCRYPTED PASSWORD ?"},
        {"CREATE USER MAPPING FOR bob SERVER s OPTIONS (user 'secret', password 'secret')",
         "CREATE USER MAPPING FOR bob SERVER s OPTIONS (user ?, password ?)"},
        {"CREATE SUBSCRIPTION s CONNECTION 'host=h password=secret' PUBLICATION p",
         "CREATE SUBSCRIPTION s CONNECTION ? PUBLICATION p"},
        {"SELECT * FROM dblink('password=secret', 'SELECT ''secret''') AS t(a int)", "SELECT * FROM dblink(?) AS t(a int)"},
        {"COPY t FROM PROGRAM 'curl -u secret' WITH (FORMAT csv, DELIMITER E'\\t')",
         "COPY t FROM PROGRAM ? WITH (FORMAT csv, DELIMITER ?)"},
        {"DO $do$ BEGIN PERFORM 'secret'; END $do$", "DO ?"},
        {"set app.token = secret", "set app.token = ?"},
        {"/* x */ SET LOCAL app.token TO secret, \"secret\", 'secret'; SELECT a = b", "SET LOCAL app.token TO ?; SELECT a = b"},
        {"ALTER ROLE bob IN DATABASE d SET app.token TO secret", "ALTER ROLE bob IN DATABASE d SET app.token TO ?"},
        {"ALTER SYSTEM SET primary_conninfo = secret", "ALTER SYSTEM SET primary_conninfo = ?"},
        {"CREATE FUNCTION f() RETURNS int SET app.token = secret LANGUAGE sql",
         "CREATE FUNCTION f() RETURNS int SET app.token = ?"},
        {"UPDATE t SET a = b, c = c + 1 WHERE d = 'x'", "UPDATE t SET a = b, c = c + ? WHERE d = ?"},
        {"GRANT a TO b; ALTER TABLE t RENAME TO u", "GRANT a TO b; ALTER TABLE t RENAME TO u"},
        /* not UTF-8, not SQL */
        {"SELECT \xff\xfe, '\xc3', \xc3\x28 FROM \"\xf0\"", "SELECT \xff\xfe, ?, \xc3(FROM \"\xf0\""},
        {"\x01\x02 a \x7f b", "a b"},
        {"\\d t @ # % ^ & * ~ ` | { } : . \\'", "\\d t @ # % ^ & * ~ ` | { } : . \\?"},
    };
    char text[256];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t length = obfuscate(cases[i].sql, strlen(cases[i].sql), text, sizeof(text));

        ck_assert_msg(strcmp(text, cases[i].shown) == 0, "\"%s\" is \"%s\", not \"%s\"", cases[i].sql, text, cases[i].shown);
        ck_assert_uint_eq(length, strlen(text));
        ck_assert_ptr_null(strstr(text, "sec"));
        /* Nor does any beginning of it, in any room, show more. */
        for (size_t given = 0; given <= strlen(cases[i].sql); given++) {
            for (size_t room = 1; room < 80; room += 7) {
                length = obfuscate(cases[i].sql, given, text, room);
                ck_assert_uint_lt(length, room);
                ck_assert_uint_eq(length, strlen(text));
                ck_assert_msg(!strstr(text, "sec"), "%zu of \"%s\": \"%s\"", given, cases[i].sql, text);
            }
        }
    }
}
END_TEST

START_TEST(texts_are_cut_between_characters)
{
    static const char sql[] = "äé€\xf0\x9f\x90\x98z"; /* of 2, 2, 3, 4 and 1 bytes */
    static const size_t lengths[] = {0, 0, 2, 2, 4, 4, 4, 7, 7, 7, 7, 11, 12};
    char text[4096], *many = malloc(2000000);
    size_t length = 0;

    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        ck_assert_uint_eq(obfuscate(sql, strlen(sql), text, i + 1), lengths[i]);
    ck_assert_uint_eq(obfuscate("\x80\x80\x80\x80\x80\x80", 6, text, 6), 5); /* no character anywhere */
    /* A long list takes no room. */
    length += (size_t)sprintf(many, "SELECT * FROM t WHERE x IN (");
    for (unsigned i = 0; i < 100000; i++)
        length += (size_t)sprintf(many + length, "%u, ", i);
    length += (size_t)sprintf(many + length, "0) AND y = 1");
    obfuscate(many, length, text, 64);
    ck_assert_str_eq(text, "SELECT * FROM t WHERE x IN (?) AND y = ?");
    free(many);
}
END_TEST

/* ---- statements --------------------------------------------------------------------------------------------------------- */

static const struct query *statements_query(void)
{
    const struct query *query = queries_statements;

    while (strcmp(query->group, "statements") != 0)
        query++;
    return query;
}

/* Whatever the age of the server's extension: the figures that all have, once each. */
START_TEST(statements_of_every_extension)
{
    static const char *const always[] = {"calls_total", "seconds_total", "rows_total", "block_read_seconds_total",
                                         "block_write_seconds_total", "mean_seconds", "max_seconds"};
    static const int newest[] = {10008, 10009, 10010, 10010, 10011, 10012};
    static char sql[QUERY_SQL_MAX];
    struct query_plan plan;

    for (int version = 130000; version <= 180000; version += 10000) {
        for (int extversion = 10004; extversion <= newest[version / 10000 - 13]; extversion++) {
            const struct query_facts facts = {.version = version, .extversion = extversion, .extschema = "\"x\""};
            bool ranked = false;

            ck_assert(query_make(statements_query(), &facts, sql, sizeof(sql), &plan));
            for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
                unsigned found = 0;

                for (size_t j = 0; j < plan.ncolumns; j++)
                    found += strcmp(plan.columns[j]->name, always[i]) == 0;
                ck_assert_msg(found == 1, "%s of %d in %d: %u", always[i], extversion, version, found);
            }
            for (size_t j = 0; j < plan.ncolumns; j++) {
                ranked |= plan.columns[j]->flags & COLUMN_RANK;
                for (size_t k = 0; k < j; k++)
                    ck_assert_str_ne(plan.columns[j]->name, plan.columns[k]->name);
            }
            ck_assert(ranked);
            ck_assert((strstr(sql, "s.total_exec_time") != NULL) == (extversion >= 10008));
            ck_assert((strstr(sql, "s.shared_blk_read_time") != NULL) == (extversion >= 10011));
        }
    }
}
END_TEST

static const struct query_column calls_total = {.name = "calls_total", .type = COLUMN_INT8, .kind = WEIR_COUNTER},
                                 seconds_total = {.name = "seconds_total", .type = COLUMN_FLOAT8, .kind = WEIR_COUNTER},
                                 mean_seconds = {.name = "mean_seconds", .type = COLUMN_FLOAT8, .kind = WEIR_GAUGE};
static const struct query_plan means_plan = {.labels = {&object_label, &user_label}, .nlabels = 2,
                                             .columns = {&calls_total, &seconds_total, &mean_seconds}, .ncolumns = 3};

static size_t key_put(char *key, const char *object, const char *user)
{
    size_t length = label_put(key, object);

    return length + label_put(key + length, user);
}

static void feed_means(struct means *means, const char *object, uint64_t count, double spent)
{
    const struct weir_value values[3] = {{.flags = WEIR_U64, .value.u64 = count}, {.flags = WEIR_F64, .value.f64 = spent},
                                         {.flags = TOP_ABSENT}};
    char key[64];

    means_row(means, key, key_put(key, object, "u"), values);
}

/* -1: none. */
static double mean_of(struct means *means, const char *object)
{
    struct weir_value values[3] = {{.flags = TOP_ABSENT}, {.flags = TOP_ABSENT}, {.flags = TOP_ABSENT}};
    char key[64];

    means_fill(means, key, key_put(key, object, "u"), values);
    return values[2].flags == TOP_ABSENT ? -1 : values[2].value.f64;
}

START_TEST(means_are_of_the_last_pass)
{
    struct means *means = means_new(&means_plan, 1, 10);
    struct means_figures figures;

    means_begin(means);
    feed_means(means, "a", 10, 100); /* slow long ago */
    feed_means(means, "b", 10, 1);
    figures = means_end(means);
    ck_assert_uint_eq(figures.entries, 2);
    ck_assert_uint_eq(figures.slow, 0);
    ck_assert_uint_eq(figures.calls, 0);
    ck_assert_double_eq(mean_of(means, "a"), -1);
    means_begin(means); /* failed */
    feed_means(means, "a", 11, 200);
    means_begin(means);
    feed_means(means, "a", 14, 102);
    feed_means(means, "b", 12, 4);
    feed_means(means, "c", 2, 3); /* new */
    figures = means_end(means);
    ck_assert_double_eq(mean_of(means, "a"), 0.5);
    ck_assert_double_eq(mean_of(means, "b"), 1.5);
    ck_assert_double_eq(mean_of(means, "c"), 1.5);
    ck_assert_double_eq(mean_of(means, "other"), -1);
    ck_assert_uint_eq(figures.entries, 3);
    ck_assert_uint_eq(figures.slow, 2);
    ck_assert_uint_eq(figures.calls, 8);
    ck_assert_double_eq(figures.seconds, 8);
    means_begin(means);
    feed_means(means, "a", 14, 102); /* idle */
    feed_means(means, "b", 1, 2);    /* reset */
    feed_means(means, "d", 1, 1);    /* of both levels */
    feed_means(means, "d", 3, 5);
    figures = means_end(means);
    ck_assert_double_eq(mean_of(means, "a"), -1);
    ck_assert_double_eq(mean_of(means, "b"), 2);
    ck_assert_double_eq(mean_of(means, "d"), 1.5);
    ck_assert_uint_eq(figures.slow, 2);
    ck_assert_uint_eq(figures.calls, 13);
    /* More than can be remembered. */
    means_begin(means);
    for (unsigned i = 0; i < 20; i++)
        feed_means(means, name_of(i), 1, 100);
    figures = means_end(means);
    ck_assert_uint_eq(figures.entries, 20);
    ck_assert_uint_eq(figures.slow, 7);
    means_begin(means);
    for (unsigned i = 0; i < 20; i++)
        feed_means(means, name_of(i), 1, 100);
    ck_assert_uint_eq(means_end(means).slow, 0);
    means_free(means);
    means_free(NULL);
}
END_TEST

struct texts_shown {
    size_t count;
    char last[256];
};

static int take_text(void *context, const char *key, size_t length, const struct weir_value *values)
{
    struct texts_shown *shown = context;
    uint32_t bytes[2];

    memcpy(&bytes[0], key, 4);
    memcpy(&bytes[1], key + 4 + be32toh(bytes[0]), 4);
    ck_assert_uint_eq(length, 8 + be32toh(bytes[0]) + be32toh(bytes[1]));
    ck_assert_uint_eq(values[0].value.u64, 1);
    shown->count++;
    snprintf(shown->last, sizeof(shown->last), "%.*s %.*s", (int)be32toh(bytes[0]), key + 4, (int)be32toh(bytes[1]),
             key + 8 + be32toh(bytes[0]));
    return WEIR_OK;
}

static void want(struct texts *texts, const char *queryid)
{
    char key[128];

    texts_want(texts, key, key_put(key, queryid, "u"));
}

static void answer(struct texts *texts, const char *queryid, const char *query)
{
    char key[256];

    texts_row(texts, key, key_put(key, queryid, query));
}

START_TEST(texts_are_asked_for_once)
{
    static const char sql[] = "SELECT WHERE x = ANY ('{}'::int8[]) y";
    struct texts *texts = texts_new(4, 20);
    struct texts_shown shown = {0};
    char to[200];

    texts_begin(texts);
    ck_assert(!texts_ask(texts, 0, sql, to, sizeof(to)));
    want(texts, "-123");
    want(texts, "9");
    want(texts, "-123"); /* another user */
    want(texts, "other");
    want(texts, NULL);
    want(texts, "1}'; DROP TABLE x");
    want(texts, "--1");
    want(texts, "");
    ck_assert(texts_ask(texts, 0, sql, to, sizeof(to)));
    ck_assert_str_eq(to, "SELECT WHERE x = ANY ('{-123,9}'::int8[]) y");
    answer(texts, "-123", "SELECT 'secret', abcdefghijkl");
    answer(texts, "-123", "SELECT again");
    answer(texts, "77", "SELECT unasked");
    answer(texts, "9", NULL);
    texts_asked(texts, 1000, 5);
    ck_assert_int_eq(texts_show(texts, take_text, &shown), WEIR_OK);
    ck_assert_uint_eq(shown.count, 1);
    ck_assert_str_eq(shown.last, "-123 SELECT ?, abcdefghij");
    /* Not before its time; then what is missing alone, three times at most. */
    texts_begin(texts);
    want(texts, "9");
    ck_assert(!texts_ask(texts, 1000 + TEXTS_WAIT_NS - 1, sql, to, sizeof(to)));
    ck_assert(texts_ask(texts, 1000 + TEXTS_WAIT_NS, sql, to, sizeof(to)));
    ck_assert_str_eq(to, "SELECT WHERE x = ANY ('{9}'::int8[]) y");
    ck_assert(!texts_ask(texts, 1000 + 2 * TEXTS_WAIT_NS - 1, sql, to, sizeof(to)));
    ck_assert(texts_ask(texts, 1000 + 2 * TEXTS_WAIT_NS, sql, to, sizeof(to))); /* the last had no answer */
    want(texts, "8");
    ck_assert(!texts_ask(texts, 1000 + 4 * TEXTS_WAIT_NS - 1, sql, to, sizeof(to)));
    ck_assert(texts_ask(texts, 1000 + 4 * TEXTS_WAIT_NS, sql, to, sizeof(to)));
    ck_assert_str_eq(to, "SELECT WHERE x = ANY ('{8}'::int8[]) y");
    shown.count = 0;
    ck_assert_int_eq(texts_show(texts, take_text, &shown), WEIR_OK);
    ck_assert_uint_eq(shown.count, 0); /* -123 is not shown any more */
    /* What takes long is asked for less often. */
    texts_asked(texts, 0, INT64_C(7000000000));
    texts_begin(texts);
    want(texts, "10");
    ck_assert(!texts_ask(texts, INT64_C(699000000000), sql, to, sizeof(to)));
    ck_assert(!texts_ask(texts, INT64_C(700000000000), sql, to, sizeof(sql)));
    ck_assert(texts_ask(texts, INT64_C(700000000000), sql, to, sizeof(sql) + 3));
    ck_assert_str_eq(to, "SELECT WHERE x = ANY ('{10}'::int8[]) y");
    /* Full; those that were not shown for long make room. */
    want(texts, "11");
    want(texts, "12"); /* the fifth */
    for (unsigned i = 0; i <= TEXTS_FORGET_PASSES + 1; i++) {
        texts_begin(texts);
        want(texts, "12");
    }
    want(texts, "12");
    want(texts, "13");
    ck_assert(texts_ask(texts, INT64_MAX / 2, sql, to, sizeof(to)));
    ck_assert_str_eq(to, "SELECT WHERE x = ANY ('{12,13}'::int8[]) y");
    texts_free(texts);
    texts_free(NULL);
}
END_TEST

START_TEST(a_budget_is_kept_and_saved)
{
    const int64_t allowance[PURSES] = {100, 0, 1000}, cheap[PURSES] = {10, 1000000, 10}, dear[PURSES] = {500, 0, 0};
    const int64_t dearest[PURSES] = {5000, 0, 0};
    struct budget budget;
    unsigned asked = 0;

    budget_begin(&budget, allowance, 1000, 0);
    ck_assert(budget_allows(&budget, cheap)); /* CPU has no limit */
    ck_assert(!budget_allows(&budget, dear));
    for (; budget_allows(&budget, cheap) && asked < 100; asked++)
        budget_spend(&budget, cheap, NULL);
    ck_assert_uint_eq(asked, 10);
    budget_fill(&budget, 500);
    ck_assert_int_eq(budget.left[PURSE_TIME], 50);
    budget_fill(&budget, 6000);
    ck_assert(budget_allows(&budget, dear)); /* so much is saved by now */
    budget_fill(&budget, 1000000);
    ck_assert_int_eq(budget.left[PURSE_TIME], 1000);
    ck_assert(budget_allows(&budget, dearest)); /* it would never fit */
    budget_spend(&budget, dearest, NULL);
    ck_assert(!budget_allows(&budget, cheap)); /* and has to be paid for */
    budget_fill(&budget, 1000000 + 39000);
    ck_assert(!budget_allows(&budget, cheap));
    budget_fill(&budget, 1000000 + 42000);
    ck_assert(budget_allows(&budget, cheap));
    budget_retime(&budget, (const int64_t[PURSES]){5, 0, 0}, 100);
    ck_assert_int_le(budget.left[PURSE_TIME], 50);
}
END_TEST

START_TEST(a_reserve_is_left_in_the_purse)
{
    const int64_t allowance[PURSES] = {100, 0, 1000}, reserve[PURSES] = {30, 5, 0}, cost[PURSES] = {60, 60, 60};
    struct budget budget;

    budget_begin(&budget, allowance, 1000, 0);
    budget_spend(&budget, cost, reserve);
    ck_assert_int_eq(budget.left[PURSE_TIME], 40);
    budget_spend(&budget, cost, reserve);
    budget_spend(&budget, cost, reserve);
    ck_assert_int_eq(budget.left[PURSE_TIME], 30);
    ck_assert_int_eq(budget.left[PURSE_CPU], 0); /* no limit, nothing to keep */
    ck_assert_int_eq(budget.left[PURSE_ROWS], 820);
    budget_spend(&budget, cost, NULL);
    budget_spend(&budget, cost, reserve);
    ck_assert_int_eq(budget.left[PURSE_TIME], -30); /* somebody else's debt stays as it is */
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pg_stats");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(all, 120);
    tcase_add_test(all, a_budget_is_kept_and_saved);
    tcase_add_test(all, a_reserve_is_left_in_the_purse);
    tcase_add_test(all, rows_are_found_added_and_forgotten);
    tcase_add_test(all, the_table_of_queries_is_sound);
    tcase_add_test(all, top_shows_the_strongest_and_adds_up_the_others);
    tcase_add_test(all, top_without_too_many_has_no_other);
    tcase_add_test(all, top_keeps_the_sum);
    tcase_add_test(all, top_members_stay);
    tcase_add_test(all, top_merges_gauges);
    tcase_add_test(all, top_rows_of_no_object_and_odd_ones);
    tcase_add_test(all, top_with_more_rows_than_it_may_keep);
    tcase_add_test(all, top_tells_what_its_caller_says);
    tcase_add_test(all, texts_lose_their_values);
    tcase_add_test(all, texts_are_cut_between_characters);
    tcase_add_test(all, statements_of_every_extension);
    tcase_add_test(all, means_are_of_the_last_pass);
    tcase_add_test(all, texts_are_asked_for_once);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
