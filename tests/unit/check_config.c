/* check_config.c - configuration: what is accepted, and the exact words for what is not. */
#include "assertions.h"
#include "config.h"
#include "schema.h"
#include "secret.h"
#include "service.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct row {
    const char *name;
    const struct weir_secret *secret;
    int64_t count;
};
struct values {
    bool flag;
    int64_t number, size, time, choice;
    const char *text;
    const struct weir_secret *secret;
    struct weir_list list;
    struct weir_binding *service;
    struct weir_rows rows;
};
static const char *const choices[] = {"red", "green", NULL};
static const struct weir_option row_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct row, name)},
    {.name = "secret", .type = WEIR_SECRET, .flags = WEIR_REQUIRED, .offset = offsetof(struct row, secret)},
    {.name = "count", .type = WEIR_INT, .dflt = "3", .offset = offsetof(struct row, count)},
    {.name = NULL}};
static const struct weir_option options[] = {
    {.name = "flag", .type = WEIR_BOOL, .dflt = "true", .offset = offsetof(struct values, flag)},
    {.name = "number", .type = WEIR_INT, .min = 1, .max = 65535, .offset = offsetof(struct values, number)},
    {.name = "size", .type = WEIR_SIZE, .dflt = "1MiB", .min = 1024, .max = 1 << 30, .offset = offsetof(struct values, size)},
    {.name = "time", .type = WEIR_DURATION, .dflt = "15s", .min = 1000000, .max = INT64_C(86400000000000), .offset = offsetof(struct values, time)},
    {.name = "choice", .type = WEIR_ENUM, .choices = choices, .offset = offsetof(struct values, choice)},
    {.name = "text", .type = WEIR_STRING, .offset = offsetof(struct values, text)},
    {.name = "secret", .type = WEIR_SECRET, .offset = offsetof(struct values, secret)},
    {.name = "list", .type = WEIR_LIST, .offset = offsetof(struct values, list)},
    {.name = "service", .type = WEIR_SERVICE, .service = "s", .service_version = 1, .offset = offsetof(struct values, service)},
    {.name = "row", .type = WEIR_SECTION, .rows = row_options, .row_size = sizeof(struct row), .offset = offsetof(struct values, rows)},
    {.name = NULL}};
static const struct weir_plugin many = {.size = sizeof(many), .name = "many", .options = options, .config_size = sizeof(struct values)};
static const struct weir_plugin one = {.size = sizeof(one), .flags = WEIR_SINGLE, .name = "one", .options = options, .config_size = sizeof(struct values)};

static const struct weir_plugin *resolve(void *context, const char *name, char *why, size_t why_size)
{
    (void)context;
    if (strcmp(name, "many") == 0)
        return &many;
    if (strcmp(name, "one") == 0)
        return &one;
    snprintf(why, why_size, "there is no %s.so here", name);
    return NULL;
}

static char folder[64], path[128];

static void setup(void)
{
    strcpy(folder, "/tmp/weir-config-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/c", folder);
}
static void teardown(void)
{
    char command[128];

    snprintf(command, sizeof(command), "%s/b", folder);
    unlink(command);
    unlink(path);
    rmdir(folder);
}

static void put(const char *where, const char *text)
{
    FILE *file = fopen(where, "w");

    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(chmod(where, 0600), 0);
}

/* The mistakes of this text, each on a line, without the folder's name. */
static char *mistakes_of(const char *text)
{
    static char all[16384];
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    char *out = all;

    put(path, text);
    (void)config_load(path, resolve, NULL, &config, &mistakes);
    *out = '\0';
    for (size_t i = 0; i < mistakes.count; i++) {
        const char *line = mistakes.lines[i], *begin = strstr(line, folder);

        out += snprintf(out, sizeof(all) - (size_t)(out - all), "%s\n", begin ? begin + strlen(folder) + 1 : line);
    }
    config_free(config);
    mistakes_free(&mistakes);
    return all;
}

#define GOOD "plugins = { \"many\", \"one\" }\n"

START_TEST(everything_is_read)
{
    struct mistakes mistakes = {0};
    struct config *config;
    const struct values *values;
    const struct row *row;

    setenv("WEIR_TEST_SET", "42", 1);
    unsetenv("WEIR_TEST_UNSET");
    put(path, GOOD
        "interval = 30s # a comment\n"
        "labels = { \"b=2\", \"a=1=1\" }\n"
        "log_level = debug\n"
        "many \"m\" { // another\n"
        "  flag = no  number = \"${WEIR_TEST_SET}\"  size = 64KiB time = \"1h30m\"\n"
        "  choice = green text = \"a \\\"b\\\" ${WEIR_TEST_UNSET:-unset}\" secret = 'x y'\n"
        "  list = { one, \"two, three\", } /* and\n more */ service = \"other\"\n"
        "  row \"first\" { secret = s }  row \"second\" { secret = t count = 9 }\n"
        "  interval = 250ms labels = { \"c=3\" } max_series = 77\n"
        "}\n"
        "many \"off\" { enabled = false }\n");
    ck_assert_int_eq(config_load(path, resolve, NULL, &config, &mistakes), WEIR_OK);
    ck_assert_int_eq(config->interval_ns, 30000000000);
    ck_assert_int_eq(config->log_level, WEIR_DEBUG);
    ck_assert_str_eq(config->labels[0].name, "a");
    ck_assert_str_eq(config->labels[0].value, "1=1");
    ck_assert_uint_eq(config->nsections, 3); /* `one` by its defaults */
    ck_assert_str_eq(config->sections[0].name, "many/m");
    ck_assert_int_eq(config->sections[0].line, 5);
    ck_assert_int_eq(config->sections[0].interval_ns, 250000000);
    ck_assert_uint_eq(config->sections[0].max_series, 77);
    ck_assert_str_eq(config->sections[0].labels[0].value, "3");
    ck_assert(!config->sections[1].enabled);
    ck_assert_str_eq(config->sections[2].name, "one");
    ck_assert_int_eq(config->sections[2].interval_ns, 30000000000);
    values = config->sections[0].values;
    ck_assert(!values->flag);
    ck_assert_int_eq(values->number, 42);
    ck_assert_int_eq(values->size, 65536);
    ck_assert_int_eq(values->time, INT64_C(5400000000000));
    ck_assert_int_eq(values->choice, 1);
    ck_assert_str_eq(values->text, "a \"b\" unset");
    ck_assert_uint_eq(values->list.count, 2);
    ck_assert_str_eq(values->list.items[1], "two, three");
    ck_assert_str_eq(values->service->title, "other");
    ck_assert_uint_eq(config->sections[0].nbindings, 1);
    ck_assert_uint_eq(values->rows.count, 2);
    row = values->rows.rows;
    ck_assert_str_eq(row[1].name, "second");
    ck_assert_int_eq(row[0].count, 3);
    ck_assert_int_eq(row[1].count, 9);
    config_free(config);
}
END_TEST

static const struct {
    const char *text, *mistakes;
} cases[] = {
    {"", "c:1: plugins: is missing, and required\n"},
    {"plugins = { \"mani\" }\n", "c:1: plugins: \"mani\": there is no mani.so here\n"},
    {"plugins = { \"many\", \"many\" }\n", "c:1: plugins: \"many\" is given twice\n"},
    {GOOD "man \"a\" { }\n", "c:2: man: unknown section, did you mean \"many\"?\n"},
    {GOOD "postgres \"a\" { }\n", "c:2: postgres: no such plugin is enabled; add \"postgres\" to plugins = { … }, or remove the section\n"},
    {GOOD "many \"a\" {\n  numbre = 1\n}\n", "c:3: many \"a\": numbre: unknown key, did you mean \"number\"?\n"},
    {GOOD "intervall = 3s\n", "c:2: intervall: unknown key, did you mean \"interval\"?\n"},
    {GOOD "many { }\n", "c:2: many: needs a title: many \"name\" { … }\n"},
    {GOOD "one \"x\" { }\n", "c:2: one: takes no title, there is only one\n"},
    {GOOD "many \"a\" { }\nmany \"a\" { }\n", "c:3: many \"a\": is there already, at FOLDER/c:2\n"},
    {GOOD "many \"a\" { number = 1\n number = 2 }\n", "c:3: many \"a\": number: is given already, at line 2; keep one\n"},
    {GOOD "many \"a\" { number = 70000 }\n", "c:2: many \"a\": number: 70000 is out of range, 1 to 65535 are allowed\n"},
    {GOOD "many \"a\" { number = abc }\n", "c:2: many \"a\": number: \"abc\" is not a whole number\n"},
    {GOOD "many \"a\" { time = 15 }\n", "c:2: many \"a\": time: \"15\" is not a duration; write numbers with ns, us, ms, s, m, h or d, as in \"15s\" or \"1h30m\"\n"},
    {GOOD "many \"a\" { time = 25h }\n", "c:2: many \"a\": time: 25h is out of range, 1ms to 1d are allowed\n"},
    {GOOD "many \"a\" { size = 3XB }\n", "c:2: many \"a\": size: \"3XB\" is not a size; write a number and B, kB, MB, GB, KiB, MiB or GiB, as in \"64MiB\"\n"},
    {GOOD "many \"a\" { flag = maybe }\n", "c:2: many \"a\": flag: \"maybe\" is neither true nor false\n"},
    {GOOD "many \"a\" { choice = blue }\n", "c:2: many \"a\": choice: \"blue\" is not known, allowed are: red, green\n"},
    {GOOD "many \"a\" { text = { a, b } }\n", "c:2: many \"a\": text: takes one value, not a list\n"},
    {GOOD "many \"a\" { row { secret = x } }\n", "c:2: many \"a\": row: needs a title: row \"name\" { … }\n"},
    {GOOD "many \"a\" { row \"r\" { } }\n", "c:2: many \"a\": row \"r\": secret: is missing, and required (or as a file)\n"},
    {GOOD "many \"a\" { row = 3 }\n", "c:2: many \"a\": row: is a section, not a key: write row { … }\n"},
    {GOOD "many \"a\" { secret_file = \"/nowhere/x\" }\n", "c:2: many \"a\": secret_file: could not open the secret file \"/nowhere/x\": No such file or directory\n"},
    {GOOD "many \"a\" { text = \"${WEIR_TEST_UNSET}\" }\n", "c:2: many \"a\": text: environment variable WEIR_TEST_UNSET is not set; set it, or give a default: ${WEIR_TEST_UNSET:-value}\n"},
    {GOOD "many \"a\" { labels = { \"1x=2\" } }\n", "c:2: many \"a\": labels: \"1x=2\" is not a label; write \"name=value\", the name made of letters, digits and _\n"},
    {GOOD "/* open\nmany \"a\" { }\n", "c:2: the comment that begins here with /* has no end; add */\n"},
    {GOOD "many \"a\" { text = \"open }\n", "c:2: the string that begins here with \" has no end; add \"\nc:2: the section that begins here has no end; add }\n"},
    {GOOD "many \"a\" {\n", "c:2: the section that begins here has no end; add }\n"},
    {GOOD "}\n", "c:2: a closing brace without an opening one\n"},
    {GOOD "many \"a\" { list = { a b } }\n", "c:2: many \"a\": list: a comma or the closing brace of the list is missing\n"},
    {GOOD "include(\"nowhere.conf\")\n", "c:2: could not read the configuration \"FOLDER/nowhere.conf\": No such file or directory\n"},
    {GOOD "include(\"c\")\n", "c:2: \"FOLDER/c\" is included already\n"},
    {GOOD "many\n\"a\" { }\n", NULL},
    {GOOD "interval = 1s\nmany \"a\" { number = 0 time = 1 }\none { flagg = 1 }\nbad \x01 = 2\n", NULL},
};

START_TEST(each_mistake_has_its_words)
{
    char want[1024], *out = want;
    const char *is = mistakes_of(cases[_i].text);

    ck_assert_str_ne(is, "");
    if (!cases[_i].mistakes)
        return;
    for (const char *s = cases[_i].mistakes; *s; s++) {
        if (strncmp(s, "FOLDER", 6) == 0) {
            out += sprintf(out, "%s", folder);
            s += 5;
        } else {
            *out++ = *s;
        }
    }
    *out = '\0';
    /* The list's element is told by the outline, which does not know the section yet. */
    if (strstr(cases[_i].text, "{ a b }"))
        ck_assert_str_eq(is, "c:2: list: a comma or the closing brace of the list is missing\nc:2: the section that begins here has no end; add }\n");
    else
        ck_assert_str_eq(is, want);
}
END_TEST

START_TEST(all_mistakes_in_one_run_and_in_order)
{
    ck_assert_str_eq(mistakes_of(GOOD "interval = 1\n\nmany \"a\" {\n number = 0\n time = 1\n}\none {\n flagg = 1\n}\nmany { }\n"),
                     "c:2: interval: \"1\" is not a duration; write numbers with ns, us, ms, s, m, h or d, as in \"15s\" or \"1h30m\"\n"
                     "c:5: many \"a\": number: 0 is out of range, 1 to 65535 are allowed\n"
                     "c:6: many \"a\": time: \"1\" is not a duration; write numbers with ns, us, ms, s, m, h or d, as in \"15s\" or \"1h30m\"\n"
                     "c:9: one: flagg: unknown key, did you mean \"flag\"?\n"
                     "c:11: many: needs a title: many \"name\" { … }\n");
}
END_TEST

START_TEST(a_literal_secret_needs_a_private_file)
{
    struct mistakes mistakes = {0};
    struct config *config;

    put(path, GOOD "many \"a\" { secret = hidden }\n");
    ck_assert_int_eq(chmod(path, 0644), 0);
    ck_assert_int_eq(config_load(path, resolve, NULL, &config, &mistakes), WEIR_ECONFIG);
    ck_assert_ptr_nonnull(strstr(mistakes.lines[0], "stands in a file that others can read"));
    ck_assert_ptr_null(strstr(mistakes.lines[0], "hidden"));
    mistakes_free(&mistakes);
    config_free(config);
}
END_TEST

START_TEST(includes_are_globbed_and_keep_their_places)
{
    struct mistakes mistakes = {0};
    struct config *config;
    char other[128];

    snprintf(other, sizeof(other), "%s/b", folder);
    put(other, "many \"from b\" {\n number = x\n}\n");
    put(path, GOOD "include(\"[ab]\")\ninclude(\"*.none\")\n");
    ck_assert_int_eq(config_load(path, resolve, NULL, &config, &mistakes), WEIR_ECONFIG);
    ck_assert_uint_eq(mistakes.count, 1);
    ck_assert_ptr_nonnull(strstr(mistakes.lines[0], "/b:2: many \"from b\": number: \"x\" is not a whole number"));
    mistakes_free(&mistakes);
    config_free(config);
}
END_TEST

START_TEST(units)
{
    int64_t value;

    ck_assert(schema_duration("1.5s", &value) && value == 1500000000);
    ck_assert(schema_duration("1d2h3m4s5ms6us7ns", &value) && value == INT64_C(93784005006007));
    ck_assert(schema_duration("0", &value) && value == 0);
    ck_assert(!schema_duration("", &value) && !schema_duration("s", &value) && !schema_duration("1 s", &value));
    ck_assert(!schema_duration("-1s", &value) && !schema_duration("99999999999999999d", &value));
    ck_assert(schema_size("1.5KiB", &value) && value == 1536);
    ck_assert(schema_size("2GB", &value) && value == 2000000000);
    ck_assert(!schema_size("1kb", &value) && !schema_size("1KiB1", &value));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("config");
    TCase *all = tcase_create("all");
    SRunner *runner = srunner_create(suite);
    int failed;

    tcase_add_checked_fixture(all, setup, teardown);
    tcase_set_timeout(all, 60);
    tcase_add_test(all, everything_is_read);
    tcase_add_loop_test(all, each_mistake_has_its_words, 0, (int)(sizeof(cases) / sizeof(cases[0])));
    tcase_add_test(all, all_mistakes_in_one_run_and_in_order);
    tcase_add_test(all, a_literal_secret_needs_a_private_file);
    tcase_add_test(all, includes_are_globbed_and_keep_their_places);
    tcase_add_test(all, units);
    suite_add_tcase(suite, all);
    srunner_run_all(runner, CK_NORMAL);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
