/* otlp.c - pushes all samples to a receiver of OpenTelemetry's OTLP/HTTP: options, life, the protocol's table.
 *
 * What is consumed is queued on disk before consume returns, and sent from there (plugins/push/http_push.h); here is the protocol.
 * Threads: the instance's own consumes and collects; the encoder is the carrier's.
 */
#include "encode.h"
#include "http_push.h"
#include "verdict.h"

#include <curl/curl.h>
#include <stdlib.h>

#define EXAMPLE "http://localhost:4318/v1/metrics"

struct otlp_config {
    struct http_push_config http;
    struct push_config push;
};
static const struct weir_option options[] = {
    HTTP_PUSH_URL_OPTION(struct otlp_config, EXAMPLE),
    PUSH_QUEUE_OPTIONS(struct otlp_config),
    HTTP_PUSH_REQUEST_OPTIONS(struct otlp_config),
    PUSH_LABEL_OPTIONS(struct otlp_config),
    HTTP_PUSH_ACCESS_OPTIONS(struct otlp_config),
    {.name = NULL}};

struct otlp {
    struct weir_self *self;
    struct http_push *http;
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

static enum verdict judge(void *state, uint32_t request, struct answer *answer, unsigned format, uint64_t samples, uint64_t *taken)
{
    (void)state;
    (void)request;
    (void)format;
    return verdict_of(answer, samples, taken);
}

static const struct http_protocol protocol = {.format = format, .encode = encode_window, .headers = headers, .verdict = judge};

/* ---- Sink and source ----------------------------------------------------------------------------------------------------- */

static int consume(void *state, const struct weir_batch *batch)
{
    const struct otlp *otlp = state;

    return push_consume(http_push_base(otlp->http), batch);
}

static int flush(void *state, int64_t deadline_ns)
{
    const struct otlp *otlp = state;

    (void)deadline_ns; /* nothing of it waits */
    return push_flush(http_push_base(otlp->http));
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct otlp *otlp = state;
    struct weir_value values[HTTP_PUSH_VALUES_MAX];
    struct push_row row = {.values = values};

    (void)pass;
    http_push_values(otlp->http, &row);
    return host->publish(otlp->self, row.values, row.count);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    static const char *const reserved[] = {NULL};
    const struct otlp_config *config = given;

    return http_push_check(host, self, &config->http, &config->push, EXAMPLE, reserved);
}

static int create(struct weir_self *self, const void *given, void **state)
{
    struct otlp *otlp = calloc(1, sizeof(*otlp));
    const struct otlp_config *config = given;
    const struct http_push_options http = {.host = host, .self = self, .config = &config->http, .push = &config->push,
                                           .protocol = &protocol, .state = otlp};

    if (!otlp)
        return WEIR_ENOMEM;
    *state = otlp;
    otlp->self = self;
    otlp->encoder = encoder_new(config->push.external_labels.items, config->push.external_labels.count);
    if (!otlp->encoder)
        return WEIR_ENOMEM;
    return http_push_create(&otlp->http, &http);
}

static int start(void *state)
{
    const struct otlp *otlp = state;

    return http_push_start(otlp->http);
}

static int stop(void *state)
{
    const struct otlp *otlp = state;

    http_push_stop(otlp->http);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct otlp *otlp = state;

    http_push_free(otlp->http);
    encoder_free(otlp->encoder);
    free(otlp);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------------ */

static int sender_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    static const char *const names[] = {"OTLP"};
    const struct otlp *otlp = state;

    (void)argv;
    return http_push_command(otlp->http, call, argc, names);
}

/* Of a directory that a collector may have open; reads only. */
static int queue_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct otlp *otlp = state;

    return push_command(http_push_base(otlp->http), call, argc, argv);
}

static const struct weir_command commands[] = {
    PUSH_COMMAND(queue_command),
    HTTP_PUSH_COMMAND(sender_command),
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
