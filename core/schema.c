/* schema.c - converts and checks the values of one section; schema.h says how.
 *
 * Every message is `section: key: what is wrong, what is allowed`, at the line of the key.
 */
#include "schema.h"

#include "log.h"
#include "secret.h"
#include "service.h"
#include "util/strbuf.h"

#include <confuse.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define NAME_MAX_LENGTH 64u
#define LIST_MAX 10000u

const struct weir_option schema_common_options[] = {
    {.name = "enabled", .type = WEIR_BOOL, .dflt = "true", .offset = offsetof(struct schema_common, enabled),
     .help = "Whether there is this instance."},
    {.name = "interval", .type = WEIR_DURATION, .min = 100000000, .max = INT64_C(86400000000000),
     .offset = offsetof(struct schema_common, interval_ns), .help = "How often it works; the file's interval by default."},
    {.name = "timeout", .type = WEIR_DURATION, .min = 10000000, .max = INT64_C(3600000000000),
     .offset = offsetof(struct schema_common, timeout_ns), .help = "Deadline of one collection; the file's timeout by default."},
    {.name = "max_series", .type = WEIR_INT, .min = 1, .max = 8000000,
     .offset = offsetof(struct schema_common, max_series), .help = "Most series it may have; the file's max_series by default."},
    {.name = "labels", .type = WEIR_LIST, .offset = offsetof(struct schema_common, labels),
     .help = "Labels put on all its series, as \"name=value\"."},
    {.name = NULL}};

static void mistake(struct schema_context *context, const char *file, int line, const char *key, const char *format, ...)
    WEIR_PRINTF(5, 6);
static void mistake(struct schema_context *context, const char *file, int line, const char *key, const char *format, ...)
{
    char what[512];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    mistakes_add(context->mistakes, file, line, "%s%s%s: %s", context->section ? context->section : "",
                   context->section ? ": " : "", key, what);
}

/* ---- Reading with libconfuse ------------------------------------------------------------------------------------- */

static void confuse_quiet(cfg_t *cfg, const char *format, va_list args)
{
    (void)cfg;
    (void)format;
    (void)args;
}

/* Finds variables in what is not in single quotes; true if all are set or have a default. */
static bool variables_known(struct schema_context *context, const struct outline_item *item)
{
    char quote = 0, name[256];
    bool known = true;

    for (const char *s = item->value; *s; s++) {
        if (*s == '\\' && s[1] && quote) {
            s++;
        } else if (quote ? *s == quote : (*s == '"' || *s == '\'')) {
            quote = quote ? 0 : *s;
        } else if (quote != '\'' && s[0] == '$' && s[1] == '{') {
            size_t length = strcspn(s + 2, "}:\"'\n");

            if (length >= sizeof(name))
                continue;
            memcpy(name, s + 2, length);
            name[length] = '\0';
            if (!getenv(name) && strncmp(s + 2 + length, ":-", 2) != 0) {
                mistake(context, item->file, item->line, item->name,
                        "environment variable %s is not set; set it, or give a default: ${%s:-value}", name, name);
                known = false;
            }
        }
    }
    return known;
}

/* The values of an item as text; false after a mistake.  Text is the arena's. */
static bool values_read(struct schema_context *context, const struct outline_item *item, bool list,
                        struct weir_list *values)
{
    cfg_opt_t options[] = {list ? (cfg_opt_t)CFG_STR_LIST("value", NULL, CFGF_NODEFAULT)
                                : (cfg_opt_t)CFG_STR("value", NULL, CFGF_NODEFAULT),
                           CFG_END()};
    struct strbuf text = {.ceiling = 4u * 1024u * 1024u};
    const char **items;
    cfg_t *cfg = NULL;
    bool good = false;
    unsigned count;

    if (!variables_known(context, item))
        return false;
    if (!list && item->value[0] == '{') {
        mistake(context, item->file, item->line, item->name, "takes one value, not a list");
        return false;
    }
    strbuf_printf(&text, "value = %s\n", item->value);
    cfg = text.failed ? NULL : cfg_init(options, CFGF_NONE);
    if (!cfg) {
        context->no_memory = true;
        goto out;
    }
    cfg_set_error_function(cfg, confuse_quiet);
    if (cfg_parse_buf(cfg, text.text) != CFG_SUCCESS) {
        mistake(context, item->file, item->line, item->name, "the value cannot be read; put it in double quotes");
        goto out;
    }
    count = cfg_size(cfg, "value");
    if (count > LIST_MAX) {
        mistake(context, item->file, item->line, item->name, "has %u values, at most %u are allowed", count, LIST_MAX);
        goto out;
    }
    items = arena_alloc(context->arena, (count ? count : 1) * sizeof(*items));
    good = items != NULL;
    for (unsigned i = 0; good && i < count; i++) {
        const char *one = cfg_getnstr(cfg, "value", i);

        items[i] = arena_copy(context->arena, one ? one : "", one ? strlen(one) : 0);
        good = items[i] != NULL;
    }
    context->no_memory |= !good;
    *values = (struct weir_list){.items = items, .count = count};
out:
    if (cfg)
        cfg_free(cfg);
    if (text.text)
        explicit_bzero(text.text, text.length);
    strbuf_free(&text);
    return good;
}

/* ---- Converting ------------------------------------------------------------------------------------------------- */

struct unit {
    const char *name;
    int64_t factor;
};

/* A number with at most nine decimals, and a unit, once or (more) several times; the sum in base units. */
static bool units_parse(const char *text, const struct unit *units, bool more, int64_t *sum)
{
    __int128 total = 0;

    if (!*text)
        return false;
    while (*text) {
        int64_t whole = 0, part = 0, scale = 1;
        const struct unit *unit = units;
        size_t digits = strspn(text, "0123456789"), letters;

        if (!digits || digits > 18)
            return false;
        for (; *text >= '0' && *text <= '9'; text++)
            whole = whole * 10 + (*text - '0');
        if (*text == '.') {
            digits = strspn(++text, "0123456789");
            if (!digits || digits > 9)
                return false;
            for (; *text >= '0' && *text <= '9'; text++, scale *= 10)
                part = part * 10 + (*text - '0');
        }
        letters = strcspn(text, "0123456789.");
        while (unit->name && (strlen(unit->name) != letters || strncmp(unit->name, text, letters) != 0))
            unit++;
        if (!unit->name)
            return false;
        total += (__int128)whole * unit->factor + (__int128)part * unit->factor / scale;
        text += letters;
        if (total > INT64_MAX || (*text && !more))
            return false;
    }
    *sum = (int64_t)total;
    return true;
}

bool schema_duration(const char *text, int64_t *ns)
{
    static const struct unit units[] = {{"ns", 1},
                                        {"us", 1000},
                                        {"ms", 1000000},
                                        {"s", 1000000000},
                                        {"m", INT64_C(60000000000)},
                                        {"h", INT64_C(3600000000000)},
                                        {"d", INT64_C(86400000000000)},
                                        {NULL, 0}};

    if (strcmp(text, "0") == 0) {
        *ns = 0;
        return true;
    }
    return units_parse(text, units, true, ns);
}

bool schema_size(const char *text, int64_t *bytes)
{
    static const struct unit units[] = {{"", 1},           {"B", 1},
                                        {"kB", 1000},      {"MB", 1000000},
                                        {"GB", 1000000000}, {"KiB", 1024},
                                        {"MiB", 1 << 20},  {"GiB", 1 << 30},
                                        {NULL, 0}};

    return units_parse(text, units, false, bytes);
}

void schema_limit_print(char *text, size_t size, uint32_t type, int64_t value)
{
    static const struct unit durations[] = {{"d", INT64_C(86400000000000)}, {"h", INT64_C(3600000000000)},
                                            {"m", INT64_C(60000000000)},    {"s", 1000000000},
                                            {"ms", 1000000},                {"us", 1000},
                                            {"ns", 1}};
    static const struct unit sizes[] = {{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1024}, {" bytes", 1}};
    const struct unit *unit = type == WEIR_DURATION ? durations : sizes;

    if ((type != WEIR_DURATION && type != WEIR_SIZE) || value == 0) {
        snprintf(text, size, "%lld", (long long)value);
        return;
    }
    while (value % unit->factor)
        unit++;
    snprintf(text, size, "%lld%s", (long long)(value / unit->factor), unit->name);
}

static bool within(struct schema_context *context, const struct outline_item *item, const struct weir_option *option,
                   int64_t value, const char *what)
{
    char low[32], high[32], is[32];

    if (option->min >= option->max || (value >= option->min && value <= option->max))
        return true;
    schema_limit_print(low, sizeof(low), option->type, option->min);
    schema_limit_print(high, sizeof(high), option->type, option->max);
    schema_limit_print(is, sizeof(is), option->type, value);
    mistake(context, item->file, item->line, item->name, "%s%s is out of range, %s to %s are allowed", what, is, low, high);
    return false;
}

void schema_choices_join(const char *const *choices, char *text, size_t size)
{
    size_t n = 0;

    text[0] = '\0';
    for (; *choices && n + 1 < size; choices++) {
        int length = snprintf(text + n, size - n, "%s%s", n ? ", " : "", *choices);

        n += length > 0 ? (size_t)length : 0;
    }
}

static void set_int(struct schema_context *context, const struct outline_item *item, const struct weir_option *option,
                    const char *text, char *place)
{
    int64_t value = 0;
    char joined[256];
    char *end;
    bool good = true;

    switch (option->type) {
    case WEIR_INT:
        errno = 0;
        value = strtoll(text, &end, 10);
        good = *text && !*end && !errno;
        if (!good)
            mistake(context, item->file, item->line, item->name, "\"%s\" is not a whole number", text);
        break;
    case WEIR_SIZE:
        good = schema_size(text, &value);
        if (!good)
            mistake(context, item->file, item->line, item->name,
                    "\"%s\" is not a size; write a number and B, kB, MB, GB, KiB, MiB or GiB, as in \"64MiB\"", text);
        break;
    case WEIR_DURATION:
        good = schema_duration(text, &value);
        if (!good)
            mistake(context, item->file, item->line, item->name,
                    "\"%s\" is not a duration; write numbers with ns, us, ms, s, m, h or d, as in \"15s\" or \"1h30m\"", text);
        break;
    default:
        while (option->choices[value] && strcmp(option->choices[value], text) != 0)
            value++;
        good = option->choices[value] != NULL;
        if (!good) {
            schema_choices_join(option->choices, joined, sizeof(joined));
            mistake(context, item->file, item->line, item->name, "\"%s\" is not known, allowed are: %s", text, joined);
        }
        break;
    }
    if (good && (option->type == WEIR_ENUM || within(context, item, option, value, "")))
        memcpy(place, &value, sizeof(value));
}

static void set_bool(struct schema_context *context, const struct outline_item *item, const char *text, char *place)
{
    static const char *const words[2][4] = {{"false", "no", "off", "0"}, {"true", "yes", "on", "1"}};

    for (unsigned truth = 0; truth < 2; truth++) {
        for (unsigned i = 0; i < 4; i++) {
            if (strcasecmp(text, words[truth][i]) == 0) {
                bool value = truth != 0;

                memcpy(place, &value, sizeof(value));
                return;
            }
        }
    }
    mistake(context, item->file, item->line, item->name, "\"%s\" is neither true nor false", text);
}

static void secret_keep(struct schema_context *context, struct weir_secret *secret, char *place)
{
    struct weir_secret **more = realloc(context->secrets, (context->nsecrets + 1) * sizeof(struct weir_secret *));

    if (!secret || !more) {
        secret_free(secret);
        context->no_memory = true;
        return;
    }
    context->secrets = more;
    context->secrets[context->nsecrets++] = secret;
    memcpy(place, &secret, sizeof(struct weir_secret *));
}

static void set_secret(struct schema_context *context, const struct outline_item *item, const char *text, bool from_file,
                       char *place)
{
    struct weir_secret *present, *secret;
    char why[400];

    memcpy(&present, place, sizeof(present));
    if (present) {
        mistake(context, item->file, item->line, item->name, "the secret is given twice, as text and as a file; keep one");
        return;
    }
    if (!from_file && item->exposed && !strchr(item->value, '$')) {
        mistake(context, item->file, item->line, item->name,
                "stands in a file that others can read; put it in a file of its own (%s_file), or chmod 0600 this one",
                item->name);
        return;
    }
    secret = from_file ? secret_from_file(text) : secret_from_text(text);
    if (secret && from_file && secret_check(secret, why, sizeof(why)) < 0)
        mistake(context, item->file, item->line, item->name, "%s", why);
    secret_keep(context, secret, place);
}

static void set_service(struct schema_context *context, const struct outline_item *item, const struct weir_option *option,
                        const char *text, char *place)
{
    struct weir_binding *binding = arena_alloc(context->arena, sizeof(*binding));
    struct weir_binding **more = realloc(context->bindings, (context->nbindings + 1) * sizeof(struct weir_binding *));

    if (more)
        context->bindings = more;
    if (!binding || !more) {
        context->no_memory = true;
        return;
    }
    *binding = (struct weir_binding){.service = option->service, .version = option->service_version, .title = text,
                                     .option = option->name, .file = item->file, .line = item->line};
    context->bindings[context->nbindings++] = binding;
    memcpy(place, &binding, sizeof(struct weir_binding *));
}

static void set_string(struct schema_context *context, const struct outline_item *item, const struct weir_option *option,
                       const char *text, char *place)
{
    if (within(context, item, option, (int64_t)strlen(text), "a length of "))
        memcpy(place, &text, sizeof(const char *));
}

static void set_value(struct schema_context *context, const struct outline_item *item, const struct weir_option *option,
                      bool from_file, char *values)
{
    char *place = values + option->offset;
    struct weir_list list;
    const char *text;

    if (!item->value) {
        mistake(context, item->file, item->line, item->name, "is a key, not a section: write %s = …", item->name);
        return;
    }
    if (!values_read(context, item, option->type == WEIR_LIST, &list))
        return;
    text = list.count ? list.items[0] : "";
    switch (option->type) {
    case WEIR_BOOL: set_bool(context, item, text, place); break;
    case WEIR_INT:
    case WEIR_SIZE:
    case WEIR_DURATION:
    case WEIR_ENUM: set_int(context, item, option, text, place); break;
    case WEIR_STRING: set_string(context, item, option, text, place); break;
    case WEIR_SECRET: set_secret(context, item, text, from_file, place); break;
    case WEIR_SERVICE: set_service(context, item, option, text, place); break;
    default:
        if (within(context, item, option, (int64_t)list.count, "a number of values of "))
            memcpy(place, &list, sizeof(list));
        break;
    }
}

/* ---- Sections in a section ---------------------------------------------------------------------------------------- */

static void set_rows(struct schema_context *context, const struct outline_item *items, const struct weir_option *option,
                     char *values)
{
    const struct outline_item *first = NULL;
    struct weir_rows rows = {0};
    size_t count = 0;
    char *memory;

    for (const struct outline_item *item = items; item; item = item->next) {
        if (strcmp(item->name, option->name) == 0) {
            first = first ? first : item;
            count++;
        }
    }
    if (!count)
        return;
    if (!within(context, first, option, (int64_t)count, "a number of sections of "))
        return;
    memory = arena_alloc(context->arena, count * option->row_size);
    if (!memory) {
        context->no_memory = true;
        return;
    }
    rows.rows = memory;
    for (const struct outline_item *item = items; item; item = item->next) {
        struct schema_context inner = *context;
        const struct weir_option *title = option->rows;
        struct schema_target target = {.options = option->rows, .values = memory + rows.count * option->row_size};
        char words[256];

        if (strcmp(item->name, option->name) != 0)
            continue;
        snprintf(words, sizeof(words), "%s: %s%s%s%s", context->section ? context->section : "", item->name,
                 item->title ? " \"" : "", item->title ? item->title : "", item->title ? "\"" : "");
        while (title->name && !(title->flags & WEIR_TITLE))
            title++;
        if (item->value) {
            mistake(context, item->file, item->line, item->name, "is a section, not a key: write %s { … }", item->name);
            continue;
        }
        if (title->name && (!item->title || !*item->title))
            mistake(context, item->file, item->line, item->name, "needs a title: %s \"name\" { … }", item->name);
        else if (!title->name && item->title)
            mistake(context, item->file, item->line, item->name, "takes no title");
        for (const struct outline_item *before = items; title->name && item->title && before != item; before = before->next)
            if (strcmp(before->name, item->name) == 0 && before->title && strcmp(before->title, item->title) == 0)
                mistake(context, item->file, item->line, item->name, "\"%s\" is there already, at line %d", item->title,
                        before->line);
        if (title->name && item->title)
            memcpy((char *)target.values + title->offset, &item->title, sizeof(const char *));
        inner.section = words;
        inner.file = item->file;
        inner.line = item->line;
        schema_fill(&inner, item->items, &target, 1);
        context->secrets = inner.secrets;
        context->nsecrets = inner.nsecrets;
        context->bindings = inner.bindings;
        context->nbindings = inner.nbindings;
        context->no_memory |= inner.no_memory;
        rows.count++;
    }
    memcpy(values + option->offset, &rows, sizeof(rows));
}

/* ---- A whole section ---------------------------------------------------------------------------------------------- */

/* Optimal string alignment distance, at most `most` + 1. */
static unsigned distance(const char *a, const char *b, unsigned most)
{
    size_t na = strlen(a), nb = strlen(b);
    unsigned rows[3][NAME_MAX_LENGTH + 1];

    if (na > NAME_MAX_LENGTH || nb > NAME_MAX_LENGTH || (na > nb ? na - nb : nb - na) > most)
        return most + 1;
    for (size_t j = 0; j <= nb; j++)
        rows[0][j] = (unsigned)j;
    for (size_t i = 1; i <= na; i++) {
        unsigned *now = rows[i % 3], *before = rows[(i + 2) % 3], *earlier = rows[(i + 1) % 3];

        now[0] = (unsigned)i;
        for (size_t j = 1; j <= nb; j++) {
            unsigned best = before[j - 1] + (a[i - 1] != b[j - 1]);

            best = before[j] + 1 < best ? before[j] + 1 : best;
            best = now[j - 1] + 1 < best ? now[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && earlier[j - 2] + 1 < best)
                best = earlier[j - 2] + 1;
            now[j] = best;
        }
    }
    return rows[na % 3][nb];
}

const char *schema_nearest(const char *name, const char *const *names, size_t count)
{
    const char *nearest = NULL;
    unsigned best = 3;

    for (size_t i = 0; i < count; i++) {
        unsigned is = distance(name, names[i], 2);

        if (is < best && is < strlen(name)) {
            best = is;
            nearest = names[i];
        }
    }
    return nearest;
}

/* The option of this key in the targets; *from_file if it is NAME_file of a secret. */
static const struct weir_option *option_find(const struct schema_target *targets, size_t ntargets, const char *key,
                                             size_t *target, bool *from_file)
{
    size_t length = strlen(key);

    *from_file = false;
    for (*target = 0; *target < ntargets; ++*target) {
        for (const struct weir_option *option = targets[*target].options; option && option->name; option++) {
            if (option->flags & WEIR_TITLE)
                continue;
            if (strcmp(option->name, key) == 0)
                return option;
            if (option->type == WEIR_SECRET && length == strlen(option->name) + 5 &&
                strncmp(option->name, key, length - 5) == 0 && strcmp(key + length - 5, "_file") == 0) {
                *from_file = true;
                return option;
            }
        }
    }
    return NULL;
}

static void unknown(struct schema_context *context, const struct outline_item *item, const struct schema_target *targets,
                    size_t ntargets)
{
    const char *names[257] = {0}, *nearest;
    size_t count = 0;

    for (size_t t = 0; t < ntargets; t++)
        for (const struct weir_option *option = targets[t].options; option && option->name && count < 256; option++)
            if (!(option->flags & WEIR_TITLE))
                names[count++] = option->name;
    nearest = schema_nearest(item->name, names, count);
    if (nearest)
        mistake(context, item->file, item->line, item->name, "unknown key, did you mean \"%s\"?", nearest);
    else if (count && count <= 12) {
        char joined[400];

        schema_choices_join(names, joined, sizeof(joined));
        mistake(context, item->file, item->line, item->name, "unknown key, allowed are: %s", joined);
    } else
        mistake(context, item->file, item->line, item->name, "unknown key");
}

/* The default goes the same way as a value from the file, so that it is checked too. */
static void set_default(struct schema_context *context, const struct weir_option *option, char *values)
{
    struct strbuf text = {.ceiling = 65536};
    struct outline_item item = {.name = option->name, .file = context->file, .line = context->line};

    if (option->type == WEIR_LIST) {
        strbuf_printf(&text, "%s", option->dflt);
    } else {
        strbuf_add(&text, "\"", 1);
        for (const char *s = option->dflt; *s; s++) {
            if (strchr("\"\\", *s))
                strbuf_add(&text, "\\", 1);
            strbuf_add(&text, s, 1);
        }
        strbuf_add(&text, "\"", 1);
    }
    if (text.failed) {
        context->no_memory = true;
    } else {
        item.value = text.text;
        set_value(context, &item, option, false, values);
    }
    strbuf_free(&text);
}

static bool given(const struct outline_item *items, const struct weir_option *option)
{
    size_t length = strlen(option->name);

    for (; items; items = items->next) {
        if (strcmp(items->name, option->name) == 0)
            return true;
        if (option->type == WEIR_SECRET && strncmp(items->name, option->name, length) == 0 &&
            strcmp(items->name + length, "_file") == 0)
            return true;
    }
    return false;
}

void schema_fill(struct schema_context *context, const struct outline_item *items, const struct schema_target *targets,
                 size_t ntargets)
{
    for (const struct outline_item *item = items; item; item = item->next) {
        size_t target;
        bool from_file, repeated = false;
        const struct weir_option *option = option_find(targets, ntargets, item->name, &target, &from_file);

        if (!option) {
            unknown(context, item, targets, ntargets);
            continue;
        }
        if (option->type == WEIR_SECTION)
            continue;
        for (const struct outline_item *before = items; before != item && !repeated; before = before->next) {
            repeated = strcmp(before->name, item->name) == 0;
            if (repeated)
                mistake(context, item->file, item->line, item->name, "is given already, at line %d; keep one",
                        before->line);
        }
        if (repeated)
            continue;
        if (option->flags & WEIR_DEPRECATED)
            log_line(NULL, WEIR_WARNING, "%s:%d: %s is deprecated: %s", item->file, item->line, item->name, option->help);
        set_value(context, item, option, from_file, targets[target].values);
    }
    for (size_t t = 0; t < ntargets; t++) {
        for (const struct weir_option *option = targets[t].options; option && option->name; option++) {
            if (option->flags & WEIR_TITLE)
                continue;
            if (option->type == WEIR_SECTION)
                set_rows(context, items, option, targets[t].values);
            if (given(items, option))
                continue;
            if (option->flags & WEIR_REQUIRED)
                mistake(context, context->file, context->line, option->name, "is missing, and required%s",
                        option->type == WEIR_SECRET ? " (or as a file)" : "");
            else if (option->dflt && option->type != WEIR_SECTION)
                set_default(context, option, targets[t].values);
        }
    }
}

/* ---- Comparing ---------------------------------------------------------------------------------------------------- */

static bool texts_equal(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool lists_equal(const struct weir_list *a, const struct weir_list *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

static bool rows_equal(const struct weir_option *option, const struct weir_rows *a, const struct weir_rows *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (schema_compare(option->rows, (const char *)a->rows + i * option->row_size,
                           (const char *)b->rows + i * option->row_size) != SCHEMA_SAME)
            return false;
    return true;
}

static bool values_equal(const struct weir_option *option, const char *a, const char *b)
{
    const void *x, *y;

    switch (option->type) {
    case WEIR_BOOL: return *(const bool *)a == *(const bool *)b;
    case WEIR_LIST: return lists_equal((const void *)a, (const void *)b);
    case WEIR_SECTION: return rows_equal(option, (const void *)a, (const void *)b);
    case WEIR_STRING:
    case WEIR_SECRET:
    case WEIR_SERVICE:
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        if (option->type == WEIR_STRING)
            return texts_equal(x, y);
        if (option->type == WEIR_SECRET)
            return secret_equal(x, y);
        return x && y ? strcmp(((const struct weir_binding *)x)->title, ((const struct weir_binding *)y)->title) == 0 : x == y;
    default: return memcmp(a, b, sizeof(int64_t)) == 0;
    }
}

enum schema_difference schema_compare(const struct weir_option *options, const void *a, const void *b)
{
    enum schema_difference difference = SCHEMA_SAME;

    for (; options && options->name; options++) {
        if (values_equal(options, (const char *)a + options->offset, (const char *)b + options->offset))
            continue;
        if (!(options->flags & WEIR_RELOADABLE))
            return SCHEMA_DIFFERENT;
        difference = SCHEMA_RELOADABLE;
    }
    return difference;
}
