/* check_graphite.c - records as lines of Graphite: names, tags, templates, numbers, what cannot be sent. */
#include "assertions.h"
#include "labels.h"
#include "lines.h"
#include "record.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

/* The lines of one sample. */
static void line_is(const char *template, const char *name, const char *const *pairs, double value, const char *expected)
{
    struct record_family family = {.name = name, .unit = "", .help = ""};
    struct record_labels *labels = labels_of(pairs);
    const char *wrong;
    struct lines *lines = lines_new(template, &wrong);
    struct record_writer writer;
    struct lines_record out;
    uint8_t *payload;
    size_t length;

    ck_assert_ptr_nonnull(lines);
    record_writer_init(&writer, 0);
    record_begin(&writer);
    ck_assert_int_eq(record_add(&writer, &family, labels, 1700000000999, RECORD_F64, bits_of(value), 0), 1);
    payload = record_end(&writer, &length);
    ck_assert_int_eq(lines_encode(lines, payload, length, &out), 0);
    ck_assert_uint_eq(out.length, strlen(expected));
    ck_assert(out.length == 0 || memcmp(out.bytes, expected, out.length) == 0);
    ck_assert_uint_eq(out.samples, out.length != 0);
    ck_assert_uint_eq(out.refused, out.length == 0);
    record_writer_free(&writer);
    lines_free(lines);
    free(labels);
}
#define PAIRS(...) (const char *const[]){__VA_ARGS__, NULL}
static const char *const none[] = {NULL};

START_TEST(tags)
{
    line_is(NULL, "up", none, 1, "up 1 1700000000\n");
    line_is(NULL, "up", PAIRS("a", "1", "b", "x.y/z"), -0.5, "up;a=1;b=x.y/z -0.5 1700000000\n");
    line_is(NULL, "a:b", PAIRS("a", "two words; \t\n~é日\x7f"), 1e300, "a:b;a=two_words____~___ 1e+300 1700000000\n");
    line_is(NULL, "up", PAIRS("a", "~~x", "b", "=", "c", ""), 1, "up;a=_~x;b== 1 1700000000\n");
    line_is(NULL, "up", PAIRS("name", "n", "names", "m"), 1, "up;exported_name=n;names=m 1 1700000000\n");
    line_is(NULL, "up", none, 9007199254740993.0, "up 9007199254740992 1700000000\n");
}
END_TEST

START_TEST(templates)
{
    line_is("{name}.{labels}", "up", PAIRS("a", "1.2", "b", "é~"), 1, "up.a.1_2.b.__ 1 1700000000\n");
    line_is("weir.{b}.{name}", "n", PAIRS("a", "1", "b", "x"), 2, "weir.x.n 2 1700000000\n");
    line_is("weir.{b}.{name}.{labels}", "up", PAIRS("a", "1"), 2, "weir.up.a.1 2 1700000000\n");
    line_is("{name}.{b}", "up", none, 2, "up 2 1700000000\n");
    line_is("{labels}.{name}.x", "up", PAIRS("a", "n"), 2, "a.n.up.x 2 1700000000\n");
}
END_TEST

START_TEST(mistakes)
{
    const char *wrong;

    ck_assert_ptr_null(lines_new("x", &wrong));
    ck_assert_ptr_nonnull(strstr(wrong, "{name}"));
    ck_assert_ptr_null(lines_new("{name}.{name}", &wrong));
    ck_assert_ptr_null(lines_new("{name} ", &wrong));
    ck_assert_ptr_null(lines_new("{name};", &wrong));
}
END_TEST

START_TEST(refused)
{
    char *longer = malloc(LINES_LENGTH_MAX + 1);

    memset(longer, 'x', LINES_LENGTH_MAX);
    longer[LINES_LENGTH_MAX] = '\0';
    line_is(NULL, "up", none, NAN, "");
    line_is(NULL, "up", none, INFINITY, "");
    line_is(NULL, "up", PAIRS("a", longer), 1, "");
    line_is("{name}.{labels}", "up", PAIRS("a", longer), 1, "");
    free(longer);
}
END_TEST

/* Many label sets and families in one record, some of them twice: each line is its own. */
START_TEST(many)
{
    struct record_family families[3] = {{.name = "x", .unit = "", .help = ""}, {.name = "yy", .unit = "", .help = ""},
                                        {.name = "zzz", .unit = "", .help = ""}};
    struct record_labels *labels[20];
    const char *wrong, *at;
    struct lines *lines = lines_new(NULL, &wrong);
    struct record_writer writer;
    struct lines_record out;
    uint8_t *payload;
    size_t length;
    char text[64];

    record_writer_init(&writer, 0);
    record_begin(&writer);
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "%d", i);
        labels[i] = labels_of(PAIRS("l", text));
        labels[i]->hash = (uint32_t)i;
    }
    for (int time = 0; time < 2; time++)
        for (int i = 0; i < 20; i++)
            for (int f = 0; f < 3; f++) {
                ck_assert_int_eq(record_add(&writer, &families[f], labels[i], time * 1000, RECORD_U64, (uint64_t)(i * 3 + f), 0), 1);
                for (int n = 0; n < i % 3; n++) /* exemplars, which are no lines */
                    ck_assert_int_eq(record_add_exemplar(&writer, 5, 5, labels[i]->bytes, labels[i]->length), 1);
            }
    payload = record_end(&writer, &length);
    ck_assert_int_eq(lines_encode(lines, payload, length, &out), 0);
    ck_assert_uint_eq(out.samples, 120);
    at = out.bytes;
    for (int time = 0; time < 2; time++)
        for (int i = 0; i < 20; i++)
            for (int f = 0; f < 3; f++) {
                int expected = snprintf(text, sizeof(text), "%s;l=%d %d %d\n", families[f].name, i, i * 3 + f, time);

                ck_assert(memcmp(at, text, (size_t)expected) == 0);
                at += expected;
            }
    ck_assert_ptr_eq(at, out.bytes + out.length);
    /* Half a record, and every other length of it: no crash, and lines that are whole. */
    for (size_t cut = 0; cut < length; cut++) {
        uint8_t *part = malloc(cut ? cut : 1);

        memcpy(part, payload, cut);
        ck_assert_int_eq(lines_encode(lines, part, cut, &out), 0);
        ck_assert(out.length == 0 || out.bytes[out.length - 1] == '\n');
        free(part);
    }
    for (int i = 0; i < 20; i++)
        free(labels[i]);
    record_writer_free(&writer);
    lines_free(lines);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("graphite");
    TCase *lines = tcase_create("lines");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_test(lines, tags);
    tcase_add_test(lines, templates);
    tcase_add_test(lines, mistakes);
    tcase_add_test(lines, refused);
    tcase_add_test(lines, many);
    suite_add_tcase(suite, lines);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
