/* graphite.c - pushes all samples to a receiver of Graphite's plaintext protocol: options, life, figures.
 *
 * What is consumed is queued on disk (push.h) before consume returns, and carried from there (tcp_carrier.h) as lines (lines.h).
 * Threads: the instance's own consumes and collects; the sender and the queue have one each.
 */
#include "lines.h"
#include "push.h"
#include "tcp_carrier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)

struct graphite_config {
    const char *address, *template;
    struct push_config push;
    int64_t max_samples, batch_deadline_ns, send_timeout_ns;
};
#define AT(field) .offset = offsetof(struct graphite_config, field)
static const struct weir_option options[] = {
    {.name = "address", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .min = 1, .max = 512, AT(address),
     .help = "Where to, by TCP: \"host:port\" or \"[host]:port\"; Graphite's port is 2003."},
    {.name = "template", .type = WEIR_STRING, .min = 1, .max = 512, AT(template),
     .help = "How names are made for receivers before Graphite 1.1, such as \"{name}.{labels}\"; with tags if unset."},
    PUSH_QUEUE_OPTIONS(struct graphite_config),
    {.name = "max_samples", .type = WEIR_INT, .dflt = "50000", .min = 100, .max = 1000000, AT(max_samples),
     .help = "Samples sent by one connection, at most."},
    {.name = "batch_deadline", .type = WEIR_DURATION, .dflt = "5s", .min = SECOND_NS / 10, .max = 300 * SECOND_NS,
     AT(batch_deadline_ns), .help = "How long a sample waits for others to travel with."},
    {.name = "send_timeout", .type = WEIR_DURATION, .dflt = "10s", .min = SECOND_NS / 10, .max = 600 * SECOND_NS,
     AT(send_timeout_ns), .help = "How long a name, a connection, and a receiver that takes nothing more are waited for."},
    PUSH_LABEL_OPTIONS(struct graphite_config),
    {.name = NULL}};

enum { CONNECTIONS, SKIPPED, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [CONNECTIONS] = PUSH_COUNTER("connections_total", NULL, "Attempts to send, by their result"),
    [SKIPPED] = PUSH_COUNTER("samples_skipped_total", NULL, "Samples that the format has no word for, and that were not accepted"),
};
static const char *const result_names[TCP_RESULTS] = {"arrived", "failed"};
enum { STALE, NOT_FINITE, SKIPS };
static const char *const skip_names[SKIPS] = {"stale", "not_finite"};

struct graphite {
    struct weir_self *self;
    const struct graphite_config *config;
    struct push *push;
    struct tcp_carrier *carrier; /* between start and stop */
    uint64_t skipped[SKIPS];
    uint32_t results[TCP_RESULTS], skips[SKIPS];
};

static const struct weir_host *host;

/* ---- Sink and source ----------------------------------------------------------------------------------------------------- */

static bool takes(void *context, const struct weir_sample *sample)
{
    struct graphite *graphite = context;
    const uint32_t flags = weir_sample_flags(sample);
    double value;

    if (flags & WEIR_S_STALE) {
        graphite->skipped[STALE]++;
        return false;
    }
    memcpy(&value, &sample->bits, sizeof(value));
    if (!(flags & WEIR_S_U64) && !isfinite(value)) {
        graphite->skipped[NOT_FINITE]++;
        return false;
    }
    return true;
}

static int consume(void *state, const struct weir_batch *batch)
{
    const struct graphite *graphite = state;

    return push_consume(graphite->push, batch);
}

static int flush(void *state, int64_t deadline_ns)
{
    const struct graphite *graphite = state;

    (void)deadline_ns; /* nothing of it waits */
    return push_flush(graphite->push);
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct graphite *graphite = state;
    struct weir_value values[PUSH_VALUES_MAX + TCP_RESULTS + SKIPS];
    struct push_row row = {.values = values};
    uint64_t flights[TCP_RESULTS];
    struct sender_figures sender;

    (void)pass;
    tcp_carrier_figures(graphite->carrier, &sender, flights);
    push_values(graphite->push, &sender, &row);
    for (size_t i = 0; i < TCP_RESULTS; i++)
        push_row_u64(&row, graphite->results[i], flights[i]);
    for (size_t i = 0; i < SKIPS; i++)
        push_row_u64(&row, graphite->skips[i], graphite->skipped[i]);
    return host->publish(graphite->self, row.values, row.count);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    const struct graphite_config *config = given;
    const char *wrong = tcp_carrier_check(config->address);
    struct lines *lines;

    if (wrong)
        return host->fail(self, WEIR_ECONFIG, "address: \"%s\": %s", config->address, wrong);
    lines = lines_new(config->template, &wrong);
    if (!lines)
        return *wrong ? host->fail(self, WEIR_ECONFIG, "template: %s", wrong) : WEIR_ENOMEM;
    lines_free(lines);
    return push_check(host, self, &config->push);
}

static int create(struct weir_self *self, const void *given, void **state)
{
    struct graphite *graphite = calloc(1, sizeof(*graphite));
    const struct graphite_config *config = given;
    const struct push_options push = {.host = host, .self = self, .config = &config->push, .takes = takes, .context = graphite};
    int status;

    if (!graphite)
        return WEIR_ENOMEM;
    *state = graphite;
    graphite->self = self;
    graphite->config = config;
    status = push_create(&graphite->push, &push);
    if (status >= 0)
        status = push_labelled(graphite->push, &labelled[CONNECTIONS], "result", result_names, TCP_RESULTS, graphite->results);
    if (status >= 0)
        status = push_labelled(graphite->push, &labelled[SKIPPED], "reason", skip_names, SKIPS, graphite->skips);
    return status;
}

static int start(void *state)
{
    struct graphite *graphite = state;
    const struct graphite_config *config = graphite->config;
    struct tcp_carrier_options carrier = {
        .sender.deadline_ms = config->batch_deadline_ns / 1000000, .address = config->address, .template = config->template,
        .max_samples = (uint64_t)config->max_samples, .timeout_ms = config->send_timeout_ns / 1000000};
    int status = push_start(graphite->push, &carrier.sender);

    if (status < 0)
        return status;
    if (tcp_carrier_start(&graphite->carrier, &carrier) < 0) {
        push_stop(graphite->push);
        return host->fail(graphite->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return push_current(graphite->push);
}

static int stop(void *state)
{
    struct graphite *graphite = state;

    if (graphite->carrier)
        tcp_carrier_stop(graphite->carrier);
    graphite->carrier = NULL;
    push_stop(graphite->push);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct graphite *graphite = state;

    if (graphite->push) /* else create has failed */
        (void)stop(state);
    push_free(graphite->push);
    free(graphite);
}

static int queue_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct graphite *graphite = state;

    return push_command(graphite->push, call, argc, argv);
}

static const struct weir_command commands[] = {PUSH_COMMAND(queue_command), {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK | WEIR_SOURCE,
    .name = "graphite",
    .version = WEIR_VERSION,
    .summary = "pushes to Graphite, VictoriaMetrics and others by the plaintext protocol, through a queue on disk",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct graphite_config),
    .check = check,
    .create = create,
    .start = start,
    .collect = collect,
    .consume = consume,
    .flush = flush,
    .stop = stop,
    .destroy = destroy,
    .commands = commands,
    .command_stride = sizeof(commands[0]),
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
