/* check_plugins.c - the parts of our plugins that need no server: numbers, negotiation, base64. */
#include "assertions.h"
#include "auth.h"
#include "negotiate.h"
#include "number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(double value)
{
    static char text[NUMBER_MAX + 1];

    text[number_f64(text, value)] = '\0';
    return text;
}

START_TEST(numbers_in_their_words)
{
    char text[NUMBER_MAX + 1];

    ck_assert_str_eq(text_of(0), "0");
    ck_assert_str_eq(text_of(-0.0), "-0");
    ck_assert_str_eq(text_of(1.5), "1.5");
    ck_assert_str_eq(text_of(-1), "-1");
    ck_assert_str_eq(text_of(0.1), "0.1");
    ck_assert_str_eq(text_of(1732437123.123456), "1732437123.123456");
    ck_assert_str_eq(text_of(1e300), "1e+300");
    ck_assert_str_eq(text_of(123456789012), "123456789012");
    ck_assert_str_eq(text_of(NAN), "NaN");
    ck_assert_str_eq(text_of(INFINITY), "+Inf");
    ck_assert_str_eq(text_of(-INFINITY), "-Inf");
    text[number_u64(text, UINT64_MAX)] = '\0';
    ck_assert_str_eq(text, "18446744073709551615");
    text[number_u64(text, 0)] = '\0';
    ck_assert_str_eq(text, "0");
}
END_TEST

/* Reads back as the same, and no shorter decimal does. */
START_TEST(numbers_read_back_and_are_shortest)
{
    uint64_t state = 88172645463325252u;

    for (unsigned i = 0; i < 300000; i++) {
        double value, back;
        char shorter[340];
        size_t digits = 0;
        const char *text;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if (i % 3 == 0)
            memcpy(&value, &state, sizeof(value));
        else if (i % 3 == 1)
            value = (double)(int64_t)(state >> 20) / 1e6;
        else
            value = (double)(state >> 40) / 1000;
        if (isnan(value) || isinf(value))
            continue;
        text = text_of(value);
        back = strtod(text, NULL);
        ck_assert_msg(memcmp(&back, &value, sizeof(value)) == 0, "%s is not %.17g", text, value);
        ck_assert_uint_lt(strlen(text), NUMBER_MAX);
        for (const char *s = text; *s && *s != 'e'; s++)
            digits += *s >= '0' && *s <= '9';
        if (digits > 1 && digits <= 17 && strchr(text, '.')) {
            size_t leading = strspn(text, "-0.");
            size_t significant = 0;

            for (const char *s = text + leading; *s && *s != 'e'; s++)
                significant += *s >= '0' && *s <= '9';
            if (significant > 1) {
                snprintf(shorter, sizeof(shorter), "%.*g", (int)significant - 1, value);
                ck_assert_msg(strtod(shorter, NULL) != value, "%s could be %s", text, shorter);
            }
        }
    }
}
END_TEST

START_TEST(formats_and_encodings)
{
    static const struct {
        const char *accept;
        enum format format;
    } formats[] = {{NULL, FORMAT_TEXT}, {"*/*", FORMAT_TEXT}, {"", FORMAT_TEXT}, {"text/plain", FORMAT_TEXT},
                   {"application/openmetrics-text", FORMAT_OPENMETRICS},
                   {"application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", FORMAT_OPENMETRICS},
                   {"application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", FORMAT_OPENMETRICS},
                   {"application/openmetrics-text;version=2.0.0", FORMAT_TEXT},
                   {"application/openmetrics-text;q=0.2, text/plain;q=0.9", FORMAT_TEXT},
                   {"application/openmetrics-text;q=0", FORMAT_TEXT}, {";;;,,q=,=;", FORMAT_TEXT}};
    static const struct {
        const char *accept;
        bool gzip;
    } encodings[] = {{NULL, false}, {"gzip", true}, {"deflate, GZIP;q=0.5", true}, {"gzip;q=0", false}, {"*", true},
                     {"*;q=0", false}, {"identity", false}, {"gzip;q=0, *", false}, {"x-gzip", true}, {"gzip;q=abc", false}};

    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        ck_assert_msg(negotiate_format(formats[i].accept) == formats[i].format, "Accept: %s", formats[i].accept);
    for (size_t i = 0; i < sizeof(encodings) / sizeof(encodings[0]); i++)
        ck_assert_msg(negotiate_gzip(encodings[i].accept) == encodings[i].gzip, "Accept-Encoding: %s", encodings[i].accept);
}
END_TEST

START_TEST(base64)
{
    unsigned char out[16];

    ck_assert_int_eq(auth_base64("", out, sizeof(out)), 0);
    ck_assert_int_eq(auth_base64("dXNlcjpwYXNz", out, sizeof(out)), 9);
    ck_assert_mem_eq(out, "user:pass", 9);
    ck_assert_int_eq(auth_base64("YQ==", out, sizeof(out)), 1);
    ck_assert_int_eq(auth_base64("Y Q", out, sizeof(out)), -1);
    ck_assert_int_eq(auth_base64("YQ=x", out, sizeof(out)), -1);
    ck_assert_int_eq(auth_base64("AAAAAAAAAAAAAAAAAAAAAAAA", out, sizeof(out)), -1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plugins");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_set_timeout(all, 120);
    tcase_add_test(all, numbers_in_their_words);
    tcase_add_test(all, numbers_read_back_and_are_shortest);
    tcase_add_test(all, formats_and_encodings);
    tcase_add_test(all, base64);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
