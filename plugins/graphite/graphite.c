/* graphite.c - pushes all samples to a receiver of Graphite's plaintext protocol: options, life, figures.
 *
 * What is consumed is queued on disk (push.h) before consume returns; the sender (send.h) takes it from there, as lines (lines.h).
 * Threads: the instance's own consumes and collects; the sender and the queue have one each.
 */
#include "lines.h"
#include "push.h"
#include "send.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DRAIN_NS INT64_C(1500000000) /* at the end; all instances share 4.5 s */
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

enum { RETRIED, ACKED_TIME, BACKOFF, BYTES, FIGURES }; /* with the label endpoint alone */
static const struct weir_family families[FIGURES] = {
    [RETRIED] = PUSH_COUNTER("samples_retried_total", NULL, "Samples that were sent again"),
    [ACKED_TIME] = PUSH_GAUGE("highest_acked_timestamp_seconds", "seconds",
                              "When the newest sample that has arrived had come into the queue"),
    [BACKOFF] = PUSH_GAUGE("backoff_seconds", "seconds", "Until the next attempt, after one that failed"),
    [BYTES] = PUSH_COUNTER("sent_bytes_total", "bytes", "Bytes of lines sent, attempts that failed included"),
};
enum { CONNECTIONS, SKIPPED, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [CONNECTIONS] = PUSH_COUNTER("connections_total", NULL, "Attempts to send, by their result"),
    [SKIPPED] = PUSH_COUNTER("samples_skipped_total", NULL, "Samples that the format has no word for, and that were not accepted"),
};
static const char *const result_names[SEND_RESULTS] = {"arrived", "failed"};
enum { STALE, NOT_FINITE, SKIPS };
static const char *const skip_names[SKIPS] = {"stale", "not_finite"};

struct graphite {
    struct weir_self *self;
    const struct graphite_config *config;
    struct push *push;
    struct sender *sender; /* between start and stop */
    uint64_t skipped[SKIPS];
    uint32_t series[FIGURES], results[SEND_RESULTS], skips[SKIPS];
};

static const struct weir_host *host;

static void tell(void *context, bool bad, const char *text)
{
    const struct graphite *graphite = context;

    host->log(graphite->self, bad ? WEIR_WARNING : WEIR_NOTICE, "%s", text);
}

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
    const uint32_t *series = graphite->series;
    struct weir_value values[PUSH_VALUES_MAX + FIGURES + SEND_RESULTS + SKIPS];
    struct push_row row = {.values = values};
    struct sender_figures sender;

    (void)pass;
    push_values(graphite->push, &row);
    sender_figures(graphite->sender, &sender);
    push_row_u64(&row, series[RETRIED], sender.retried_samples);
    push_row_f64(&row, series[ACKED_TIME], (double)sender.acked_ms / 1e3);
    push_row_f64(&row, series[BACKOFF], sender.backoff_seconds);
    push_row_u64(&row, series[BYTES], sender.bytes);
    for (size_t i = 0; i < SEND_RESULTS; i++)
        push_row_u64(&row, graphite->results[i], sender.flights[i]);
    for (size_t i = 0; i < SKIPS; i++)
        push_row_u64(&row, graphite->skips[i], graphite->skipped[i]);
    return host->publish(graphite->self, row.values, row.count);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    const struct graphite_config *config = given;
    const char *wrong = send_check(config->address);
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
        status = push_series(graphite->push, families, FIGURES, graphite->series);
    if (status >= 0)
        status = push_labelled(graphite->push, &labelled[CONNECTIONS], "result", result_names, SEND_RESULTS, graphite->results);
    if (status >= 0)
        status = push_labelled(graphite->push, &labelled[SKIPPED], "reason", skip_names, SKIPS, graphite->skips);
    return status;
}

static int start(void *state)
{
    struct graphite *graphite = state;
    const struct graphite_config *config = graphite->config;
    const struct send_options send = {
        .address = config->address, .template = config->template, .max_samples = (uint64_t)config->max_samples,
        .deadline_ms = config->batch_deadline_ns / 1000000, .timeout_ms = config->send_timeout_ns / 1000000,
        .max_age_ms = config->push.queue_max_age_ns / 1000000, .wall_ns = host->wall_ns, .now_ns = host->now_ns, .tell = tell,
        .context = graphite};
    struct queue *queue;
    int status = push_start(graphite->push, &queue);

    if (status < 0)
        return status;
    if (sender_start(&graphite->sender, &send, queue) < 0) {
        push_stop(graphite->push);
        return host->fail(graphite->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return push_current(graphite->push);
}

static int stop(void *state)
{
    struct graphite *graphite = state;

    if (graphite->sender)
        sender_stop(graphite->sender, host->now_ns() + DRAIN_NS);
    graphite->sender = NULL;
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
