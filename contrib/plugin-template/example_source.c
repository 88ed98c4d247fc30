/* example_source.c - a source to copy: the numbers that a file begins with, such as those of /proc/loadavg.
 * Each section `example_source "title" { … }` is an instance: a state of its own, and a thread on which all of this runs. */
#include <weir_plugin.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NAMES_MAX 16
struct config { /* filled by the host from the section; read-only, lives as long as the state */
    const char *file;
    struct weir_list names;
    int64_t skip, patience_ns, keep;
    bool count;
};
static const char *const unreadable[] = {"fail", "keep", NULL};
#define AT(member) .offset = offsetof(struct config, member)
static const struct weir_option options[] = {
    {.name = "file", .type = WEIR_STRING, AT(file), .flags = WEIR_REQUIRED, .min = 1, .max = 200, .help = "The file."},
    {.name = "names", .type = WEIR_LIST, AT(names), .dflt = "{\"first\"}", .min = 1, .max = NAMES_MAX, .help = "Its numbers."},
    {.name = "skip", .type = WEIR_INT, AT(skip), .dflt = "0", .min = 0, .max = 60, .help = "Bytes to leave out before them."},
    {.name = "patience", .type = WEIR_DURATION, AT(patience_ns), .dflt = "1s", .max = 60000000000, .help = "Time to answer."},
    {.name = "unreadable", .type = WEIR_ENUM, AT(keep), .dflt = "fail", .choices = unreadable, .help = "If it cannot be opened."},
    {.name = "count", .type = WEIR_BOOL, AT(count), .dflt = "true", .help = "Whether its readings are counted."},
    {.name = NULL}};
static const struct weir_family families[] = {
    {.size = sizeof(families[0]), .kind = WEIR_GAUGE, .name = "example_value", .help = "A number that the file has"},
    {.size = sizeof(families[0]), .kind = WEIR_COUNTER, .name = "example_reads_total", .help = "Readings"}};
struct state {
    struct weir_self *self;
    const struct config *config;
    uint32_t group, series[NAMES_MAX][2]; /* handles, one for each family, made once for all passes */
    uint64_t reads[NAMES_MAX];
};
static const struct weir_host *host; /* all that is static and not constant */

static int create(struct weir_self *self, const void *given, void **out)
{
    const struct config *config = given;
    const struct weir_group group = {.size = sizeof(group), .name = "numbers", .timeout_ns = config->patience_ns};
    struct state *state = calloc(1, sizeof(*state));
    uint32_t ids[2];
    int status;

    if (!state)
        return WEIR_ENOMEM;
    *out = state; /* from here on destroy frees it, also when create fails */
    *state = (struct state){.self = self, .config = config};
    status = host->group(self, &group, &state->group);
    for (size_t i = 0; i < 2 && status >= 0; i++)
        status = host->family(self, &families[i], &ids[i]);
    for (size_t i = 0; i < config->names.count && status >= 0; i++) {
        const struct weir_label labels[] = {{"file", config->file}, {"name", config->names.items[i]}};

        status = host->series(self, state->group, labels, 2, ids, config->count ? 2 : 1, state->series[i]);
    }
    return status == WEIR_ELIMIT ? WEIR_OK : status; /* over max_series: the host has told, and publish leaves them out */
}

static int collect(void *given, const struct weir_pass *pass)
{
    struct state *state = given;
    const struct config *config = state->config;
    int fd = open(config->file, O_RDONLY | O_NONBLOCK | O_CLOEXEC), status;
    struct weir_value values[2 * NAMES_MAX], *next = values;
    char text[4096] = "", *at = text + config->skip, *end;

    if (fd < 0)
        return host->fail(state->self, config->keep ? WEIR_KEEP : WEIR_EFAIL, "could not open %s: %s", config->file, strerror(errno));
    /* Every wait goes through the host: it ends at its deadline, and when the instance is interrupted. */
    status = host->wait_fd(state->self, fd, POLLIN, pass->deadline_ns);
    status = status < 0 ? status : (int)read(fd, text, sizeof(text) - 1);
    close(fd);
    if (status < 0)
        return host->fail(state->self, status, "could not read %s, or not in time", config->file);
    for (size_t i = 0; i < config->names.count; i++, at = end) {
        *next++ = (struct weir_value){.series = state->series[i][0], .value.f64 = strtod(at, &end)};
        *next++ = (struct weir_value){.series = state->series[i][1], .flags = WEIR_U64, .value.u64 = ++state->reads[i]};
        if (end == at) /* a pass that fails leaves nothing of its group behind */
            return host->fail(state->self, WEIR_EFAIL, "%s has no number \"%s\"", config->file, config->names.items[i]);
    }
    return host->publish(state->self, values, (size_t)(next - values));
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin), .abi_minor = WEIR_ABI_MINOR, .roles = WEIR_SOURCE,
    .name = "example_source", .version = "1.0", .summary = "the numbers that a file begins with",
    .options = options, .option_stride = sizeof(options[0]), .config_size = sizeof(struct config),
    .create = create, .collect = collect, .destroy = free,
};
const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
