/* otlp.c - pushes all samples to a receiver of OpenTelemetry's OTLP/HTTP: options, life, the protocol's table.
 *
 * What is consumed is queued on disk before consume returns, and sent from there (plugins/push/endpoint.h); here is the protocol.
 * Threads: the instance's own consumes and collects; the encoder is the carrier's.
 */
#include "encode.h"
#include "endpoint.h"
#include "verdict.h"

#include <curl/curl.h>
#include <stdlib.h>

#define EXAMPLE "http://localhost:4318/v1/metrics"

struct otlp_config {
    struct endpoint_config endpoint;
    struct push_config push;
};
static const struct weir_option options[] = {
    ENDPOINT_URL_OPTION(struct otlp_config, EXAMPLE),
    PUSH_QUEUE_OPTIONS(struct otlp_config),
    ENDPOINT_REQUEST_OPTIONS(struct otlp_config),
    PUSH_LABEL_OPTIONS(struct otlp_config),
    ENDPOINT_ACCESS_OPTIONS(struct otlp_config),
    {.name = NULL}};

struct otlp {
    struct weir_self *self;
    struct endpoint *endpoint;
    struct encoder *encoder;
};

static const struct weir_host *host;

/* ---- The protocol -------------------------------------------------------------------------------------------------------- */

static unsigned format(const void *state, bool *settled)
{
    (void)state;
    *settled = true;
    return 0;
}

static int encode_window(void *state, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out)
{
    const struct otlp *otlp = state;

    return encode(otlp->encoder, flight, window, out);
}

static const char *const *headers(unsigned format)
{
    static const char *const lines[] = {"Content-Type: application/x-protobuf", NULL};

    (void)format;
    return lines;
}

static enum verdict judge(void *state, struct answer *answer, unsigned format, uint64_t samples, uint64_t *taken)
{
    (void)state;
    (void)format;
    return verdict_of(answer, samples, taken);
}

static const struct carrier_protocol protocol = {.format = format, .encode = encode_window, .headers = headers, .verdict = judge};

/* ---- Sink and source ----------------------------------------------------------------------------------------------------- */

static int consume(void *state, const struct weir_batch *batch)
{
    const struct otlp *otlp = state;

    return push_consume(endpoint_push(otlp->endpoint), batch);
}

static int flush(void *state, int64_t deadline_ns)
{
    const struct otlp *otlp = state;

    (void)deadline_ns; /* nothing of it waits */
    return push_flush(endpoint_push(otlp->endpoint));
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct otlp *otlp = state;
    struct weir_value values[ENDPOINT_VALUES_MAX];
    struct push_row row = {.values = values};

    (void)pass;
    endpoint_values(otlp->endpoint, &row);
    return host->publish(otlp->self, row.values, row.count);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    static const char *const reserved[] = {NULL};
    const struct otlp_config *config = given;

    return endpoint_check(host, self, &config->endpoint, &config->push, EXAMPLE, reserved);
}

static int create(struct weir_self *self, const void *given, void **state)
{
    struct otlp *otlp = calloc(1, sizeof(*otlp));
    const struct otlp_config *config = given;
    const struct endpoint_options endpoint = {.host = host, .self = self, .config = &config->endpoint, .push = &config->push,
                                              .protocol = &protocol, .state = otlp};

    if (!otlp)
        return WEIR_ENOMEM;
    *state = otlp;
    otlp->self = self;
    otlp->encoder = encoder_new(config->push.external_labels.items, config->push.external_labels.count);
    if (!otlp->encoder)
        return WEIR_ENOMEM;
    return endpoint_create(&otlp->endpoint, &endpoint);
}

static int start(void *state)
{
    const struct otlp *otlp = state;

    return endpoint_start(otlp->endpoint);
}

static int stop(void *state)
{
    const struct otlp *otlp = state;

    endpoint_stop(otlp->endpoint);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct otlp *otlp = state;

    endpoint_free(otlp->endpoint);
    encoder_free(otlp->encoder);
    free(otlp);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------------ */

static int sender_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    static const char *const names[] = {"OTLP"};
    const struct otlp *otlp = state;

    (void)argv;
    return endpoint_command(otlp->endpoint, call, argc, names);
}

/* Of a directory that a collector may have open; reads only. */
static int queue_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct otlp *otlp = state;

    return push_command(endpoint_push(otlp->endpoint), call, argc, argv);
}

static const struct weir_command commands[] = {
    PUSH_COMMAND(queue_command),
    ENDPOINT_COMMAND(sender_command),
    {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK | WEIR_SOURCE,
    .name = "otlp",
    .version = WEIR_VERSION,
    .summary = "pushes to OpenTelemetry collectors and others by OTLP/HTTP, through a queue on disk",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct otlp_config),
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
    if (curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK)
        return &plugin;
    host->log(NULL, WEIR_ERROR, "could not initialize libcurl");
    return NULL;
}
