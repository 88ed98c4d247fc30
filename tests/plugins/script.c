/* script.c - a source that publishes what a file says, in each pass: for tests of sinks.
 *
 * The file has the text format of Prometheus, without times:
 *     # TYPE name counter         # HELP name text         # UNIT name unit
 *     name{label="value"} 1.5
 *     name_total 7 # {trace_id="a"} 0.5 # {} 2 1700000000.5
 * Behind a value there may be exemplars, as OpenMetrics has them, more than one too; the last number is a time in seconds.
 * A value that is a whole number is an integer of 64 bits; `pass` is the number of the pass.  A line "# FAIL text" makes the pass
 * fail, "# KEEP" leaves the values as they were.  A series that is no longer there is stale, and released three passes later.  One
 * that the host refuses is left out, which the log tells.  The file is read again when it is another one: replace it by rename.
 * One group; all on the thread of the instance.
 */
#include "small.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX ((off_t)64 << 20)
#define LABELS_MAX 64u
#define SWEEP_PASSES 3u
#define EXEMPLARS_MAX 16u

struct config {
    const char *file;
};
static const struct weir_option options[] = {
    {.name = "file", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .offset = offsetof(struct config, file),
     .help = "What is published."},
    {.name = NULL}};

struct exemplars { /* of one line */
    struct weir_exemplar each[EXEMPLARS_MAX];
    struct weir_label labels[EXEMPLARS_MAX][LABELS_MAX];
    size_t count;
};
struct line {
    struct weir_value value;
    bool is_pass;
    struct exemplars *exemplars; /* or NULL */
};
struct state {
    struct weir_self *self;
    const char *path;
    uint32_t group;
    struct stat read; /* the file that `lines` are from */
    char *text;       /* `failure` and the head of the present family point into it */
    const char *failure;
    bool keep;
    struct line *lines;
    struct weir_value *values;
    size_t count, room;
    /* The family that the lines being read belong to. */
    struct weir_family family;
};

static const char *const kinds[] = {"unknown", "gauge", "counter", "info", "histogram", "summary", NULL};

static int bad(struct state *state, unsigned number, const char *what)
{
    return host->fail(state->self, WEIR_EFAIL, "%s, line %u: %s", state->path, number, what);
}

/* Turns \n, \" and \\ in place into what they mean. */
static void unescape(char *text)
{
    char *out = text;

    for (; *text; text++) {
        if (*text == '\\' && text[1]) {
            text++;
            *out++ = (char)(*text == 'n' ? '\n' : *text);
        } else {
            *out++ = *text;
        }
    }
    *out = '\0';
}

/* Ends the word at `at` and returns what follows the blank. */
static char *word_end(char *at)
{
    at += strcspn(at, " ");
    if (*at)
        *at++ = '\0';
    return at;
}

/* A comment: # WORD NAME TEXT, # FAIL TEXT, # KEEP. */
static int comment(struct state *state, char *at, unsigned number)
{
    char *name, *text;

    while (*at == ' ')
        at++;
    name = word_end(at);
    if (strcmp(at, "FAIL") == 0) {
        state->failure = name;
        return WEIR_OK;
    }
    if (strcmp(at, "KEEP") == 0) {
        state->keep = true;
        return WEIR_OK;
    }
    text = word_end(name);
    if (!state->family.name || strcmp(state->family.name, name) != 0)
        state->family = (struct weir_family){.size = sizeof(state->family), .name = name, .help = ""};
    if (strcmp(at, "HELP") == 0) {
        unescape(text);
        state->family.help = text;
        return WEIR_OK;
    }
    if (strcmp(at, "UNIT") == 0) {
        state->family.unit = text;
        return WEIR_OK;
    }
    for (uint32_t kind = 0; kinds[kind]; kind++)
        if (strcmp(at, "TYPE") == 0 && strcmp(text, kinds[kind]) == 0) {
            state->family.kind = kind;
            return WEIR_OK;
        }
    return bad(state, number, "not TYPE with a kind, HELP, UNIT, FAIL or KEEP");
}

/* Reads {name="value",...} up to what follows it; NULL if it is none. */
static char *read_labels(char *at, struct weir_label *labels, size_t *count)
{
    *count = 0;
    if (*at != '{')
        return at;
    at++;
    while (*at != '}') {
        struct weir_label *label = &labels[*count];
        char *value;

        if (*count == LABELS_MAX)
            return NULL;
        label->name = at;
        at += strcspn(at, "=");
        if (strncmp(at, "=\"", 2) != 0)
            return NULL;
        *at = '\0';
        value = at += 2;
        while (*at && *at != '"')
            at += *at == '\\' && at[1] ? 2 : 1;
        if (!*at)
            return NULL;
        *at++ = '\0';
        unescape(value);
        label->value = value;
        ++*count;
        if (*at == ',')
            at++;
        else if (*at != '}')
            return NULL;
    }
    return at + 1;
}

static int read_value(const char *text, struct line *line)
{
    char *end;

    line->value.flags = WEIR_U64;
    line->is_pass = strcmp(text, "pass") == 0;
    if (line->is_pass)
        return WEIR_OK;
    errno = 0;
    if (isdigit((unsigned char)*text)) {
        line->value.value.u64 = strtoull(text, &end, 10);
        if (!*end && !errno)
            return WEIR_OK;
    }
    line->value.flags = WEIR_F64;
    line->value.value.f64 = strtod(text, &end);
    return *text && !*end ? WEIR_OK : WEIR_EFAIL;
}

/* Reads " # {labels} value [time]", as often as it comes; NULL: it is something else. */
static struct exemplars *read_exemplars(char *at)
{
    struct exemplars *all = calloc(1, sizeof(*all));
    char *end = at;

    for (; all && strncmp(at, "# ", 2) == 0 && all->count < EXEMPLARS_MAX; at = end + (*end == ' ')) {
        struct weir_exemplar *one = &all->each[all->count];

        one->labels = all->labels[all->count++];
        at = read_labels(at + 2, all->labels[all->count - 1], &one->nlabels);
        if (!at || *at != ' ')
            break;
        one->value = strtod(at + 1, &end);
        if (end == at + 1)
            break;
        if (*end == ' ' && isdigit((unsigned char)end[1]))
            one->time_ns = (int64_t)(strtod(end + 1, &end) * 1e9);
    }
    if (all && at && !*at && all->count)
        return all;
    free(all);
    return NULL;
}

static int sample(struct state *state, char *at, unsigned number)
{
    char *exemplars;
    struct weir_label labels[LABELS_MAX];
    char *name = at, *rest;
    struct line *line;
    uint32_t family;
    size_t count;
    int status;

    at += strcspn(at, "{ ");
    rest = read_labels(at, labels, &count);
    if (!rest || *rest != ' ')
        return bad(state, number, "not name{label=\"value\"} value");
    *at = '\0';
    if (!state->family.name || strcmp(state->family.name, name) != 0)
        state->family = (struct weir_family){.size = sizeof(state->family), .name = name, .help = ""};
    if (state->count == state->room) {
        size_t room = state->room ? state->room * 2 : 64;
        struct line *lines = realloc(state->lines, room * sizeof(*lines));
        struct weir_value *values = lines ? realloc(state->values, room * sizeof(*values)) : NULL;

        state->lines = lines ? lines : state->lines;
        state->values = values ? values : state->values;
        if (!values)
            return WEIR_ENOMEM;
        state->room = room;
    }
    line = &state->lines[state->count];
    line->exemplars = NULL;
    exemplars = strstr(rest + 1, " # ");
    if (exemplars)
        *exemplars = '\0';
    if (read_value(rest + 1, line) < 0)
        return bad(state, number, "the value is no number");
    if (exemplars && (line->exemplars = read_exemplars(exemplars + 1)) == NULL)
        return bad(state, number, "not # {label=\"value\"} value [seconds] behind the value");
    status = host->family(state->self, &state->family, &family);
    if (status >= 0)
        status = host->series(state->self, state->group, labels, count, &family, 1, &line->value.series);
    if (status >= 0) {
        state->count++;
        return WEIR_OK;
    }
    free(line->exemplars);
    host->log(state->self, WEIR_WARNING, "%s, line %u: \"%s\" is refused", state->path, number, name);
    return WEIR_OK;
}

static void lines_forget(struct state *state)
{
    while (state->count)
        free(state->lines[--state->count].exemplars);
}

static int read_text(struct state *state)
{
    unsigned number = 0;
    char *at = state->text, *end;
    int status = WEIR_OK;

    state->failure = NULL;
    state->keep = false;
    lines_forget(state);
    state->family = (struct weir_family){.size = sizeof(state->family)};
    for (; status == WEIR_OK && *at; at = end) {
        end = strchr(at, '\n');
        number++;
        if (!end)
            return bad(state, number, "no newline at the end");
        *end++ = '\0';
        if (*at == '#')
            status = comment(state, at + 1, number);
        else if (*at)
            status = sample(state, at, number);
    }
    return status;
}

/* Reads the file if it is another one than that which was read. */
static int read_file(struct state *state)
{
    int fd = open(state->path, O_RDONLY | O_CLOEXEC), status = WEIR_OK;
    struct stat is;
    char *text = NULL;

    if (fd < 0 || fstat(fd, &is) < 0) {
        status = host->fail(state->self, WEIR_EFAIL, "could not open \"%s\": %s", state->path, strerror(errno));
        goto out;
    }
    if (is.st_ino == state->read.st_ino && is.st_size == state->read.st_size &&
        is.st_mtim.tv_sec == state->read.st_mtim.tv_sec && is.st_mtim.tv_nsec == state->read.st_mtim.tv_nsec)
        goto out;
    text = is.st_size <= FILE_MAX ? calloc(1, (size_t)is.st_size + 1) : NULL;
    if (!text) {
        status = WEIR_ENOMEM;
        goto out;
    }
    if (read(fd, text, (size_t)is.st_size) != is.st_size) {
        status = host->fail(state->self, WEIR_EFAIL, "could not read \"%s\" as a whole", state->path);
        goto out;
    }
    free(state->text);
    state->text = text;
    text = NULL;
    status = read_text(state);
    state->read = status == WEIR_OK ? is : (struct stat){0};
out:
    free(text);
    if (fd >= 0)
        close(fd);
    return status;
}

static int create(struct weir_self *self, const void *given, void **out)
{
    const struct weir_group only = {.size = sizeof(only), .name = "script"};
    const struct config *config = given;
    struct state *state = calloc(1, sizeof(*state));

    if (!state)
        return WEIR_ENOMEM;
    *out = state;
    state->self = self;
    state->path = config->file;
    return host->group(self, &only, &state->group);
}

/* Those with exemplars one by one, the others together. */
static int publish(struct state *state, const struct weir_pass *pass)
{
    size_t together = 0;
    int status = WEIR_OK;

    for (size_t i = 0; i < state->count; i++) {
        const struct line *line = &state->lines[i];
        struct weir_value value = line->value;
        int one = WEIR_OK;

        if (line->is_pass)
            value.value.u64 = pass->number;
        if (line->exemplars)
            one = host->publish_exemplars(state->self, &value, line->exemplars->each, line->exemplars->count);
        else
            state->values[together++] = value;
        if (one < 0)
            status = one;
    }
    return status < 0 ? status : host->publish(state->self, state->values, together);
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    int status = read_file(state);

    if (status < 0)
        return status;
    if (state->failure)
        return host->fail(state->self, WEIR_EFAIL, "%s", state->failure);
    if (state->keep)
        return WEIR_KEEP;
    status = publish(state, pass);
    if (status == WEIR_OK)
        status = host->sweep(state->self, state->group, SWEEP_PASSES);
    return status < 0 ? status : WEIR_OK;
}

static void destroy(void *given)
{
    struct state *state = given;

    lines_forget(state);
    free(state->text);
    free(state->lines);
    free(state->values);
    free(state);
}

static const struct weir_plugin plugin = {
    SMALL_HEAD("script"), .roles = WEIR_SOURCE, .options = options, .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct config), .create = create, .collect = collect, .destroy = destroy,
};
SMALL_ENTRY(plugin)
