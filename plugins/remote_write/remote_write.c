/* remote_write.c - pushes all samples to a receiver of Prometheus' remote write: options, life, which version is spoken.
 *
 * What is consumed is queued on disk before consume returns, and sent from there (plugins/push/http_push.h); here is the protocol.
 * Threads: the instance's own consumes and collects; struct protocol is the carrier's.
 */
#include "encode.h"
#include "http_push.h"
#include "verdict.h"

#include <curl/curl.h>
#include <stdlib.h>

#define EXAMPLE "https://metrics.example/api/v1/write"

enum choice { AUTO, ONLY_1, ONLY_2 }; /* of the option protocol */
struct remote_write_config {
    struct http_push_config http;
    struct push_config push;
    int64_t protocol;
};
static const char *const choices[] = {"auto", "1.0", "2.0", NULL};
static const struct weir_option options[] = {
    HTTP_PUSH_URL_OPTION(struct remote_write_config, EXAMPLE),
    {.name = "protocol", .type = WEIR_ENUM, .choices = choices, .dflt = "auto",
     .offset = offsetof(struct remote_write_config, protocol),
     .help = "Version of remote write; auto begins with 2.0 and falls back to 1.0 where the receiver wants it."},
    PUSH_QUEUE_OPTIONS(struct remote_write_config),
    HTTP_PUSH_REQUEST_OPTIONS(struct remote_write_config),
    PUSH_LABEL_OPTIONS(struct remote_write_config),
    HTTP_PUSH_ACCESS_OPTIONS(struct remote_write_config),
    {.name = NULL}};

static const struct weir_family version_family = PUSH_GAUGE("protocol", NULL, "Version of the protocol in use");
static const char *const version_names[PROTOCOLS] = {"1.0", "2.0"};

struct remote_write {
    struct weir_self *self;
    const struct remote_write_config *config;
    struct http_push *http;
    struct encoder *encoder;
    enum protocol protocol; /* in use */
    bool proven;            /* the receiver has taken it, or there is no other */
    struct verdict_written written[QUEUE_PARTS_MAX]; /* of the request of this number */
    uint32_t versions[PROTOCOLS];
};

static const struct weir_host *host;

/* ---- The protocol -------------------------------------------------------------------------------------------------------- */

static unsigned format(const void *state, bool *settled)
{
    const struct remote_write *remote_write = state;

    *settled = remote_write->protocol == PROTOCOL_1 || remote_write->proven;
    return remote_write->protocol;
}

static int encode_window(void *state, const struct queue_flight *flight, const struct parts_window *window, struct parts_body *out)
{
    const struct remote_write *remote_write = state;

    return encode(remote_write->encoder, remote_write->protocol, flight, window, out);
}

static const char *const *headers(unsigned format)
{
    static const char *const lines[PROTOCOLS][4] = {
        [PROTOCOL_1] = {"Content-Type: application/x-protobuf", "Content-Encoding: snappy",
                        "X-Prometheus-Remote-Write-Version: 0.1.0", NULL},
        [PROTOCOL_2] = {"Content-Type: application/x-protobuf;proto=io.prometheus.write.v2.Request", "Content-Encoding: snappy",
                        "X-Prometheus-Remote-Write-Version: 2.0.0", NULL}};

    return lines[format];
}

static void read_header(void *state, uint32_t request, const char *line, size_t length)
{
    struct remote_write *remote_write = state;

    verdict_header(&remote_write->written[request], line, length);
}

static enum verdict judge(void *state, uint32_t request, struct answer *answer, unsigned format, uint64_t samples, uint64_t *taken)
{
    struct remote_write *remote_write = state;
    const struct verdict_written *written = &remote_write->written[request];
    const struct remote_write_config *config = remote_write->config;
    enum verdict verdict = verdict_of(answer->status, written, format, config->protocol == AUTO, remote_write->proven);

    if (verdict == VERDICT_REENCODE) {
        if (remote_write->protocol == PROTOCOL_2)
            host->log(remote_write->self, WEIR_NOTICE, "%s does not take remote write 2.0 (it answered %d): 1.0 is used",
                      config->http.url, answer->status);
        remote_write->protocol = PROTOCOL_1;
        remote_write->proven = true;
    } else if (verdict == VERDICT_DONE) {
        remote_write->proven |= format == remote_write->protocol;
    }
    *taken = format == PROTOCOL_2 ? written->samples : verdict == VERDICT_DONE ? samples : 0;
    return verdict;
}

static const struct http_protocol protocol = {
    .format = format, .encode = encode_window, .headers = headers, .read_header = read_header, .verdict = judge};

/* ---- Sink and source ----------------------------------------------------------------------------------------------------- */

static int consume(void *state, const struct weir_batch *batch)
{
    const struct remote_write *remote_write = state;

    return push_consume(http_push_base(remote_write->http), batch);
}

static int flush(void *state, int64_t deadline_ns)
{
    const struct remote_write *remote_write = state;

    (void)deadline_ns; /* nothing of it waits */
    return push_flush(http_push_base(remote_write->http));
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct remote_write *remote_write = state;
    struct weir_value values[HTTP_PUSH_VALUES_MAX + PROTOCOLS];
    struct push_row row = {.values = values};
    unsigned in_use = http_push_values(remote_write->http, &row);

    (void)pass;
    for (unsigned i = 0; i < PROTOCOLS; i++)
        push_row_u64(&row, remote_write->versions[i], in_use == i);
    return host->publish(remote_write->self, row.values, row.count);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    static const char *const reserved[] = {"X-Prometheus-Remote-Write-Version", NULL};
    const struct remote_write_config *config = given;

    return http_push_check(host, self, &config->http, &config->push, EXAMPLE, reserved);
}

static int create(struct weir_self *self, const void *given, void **state)
{
    struct remote_write *remote_write = calloc(1, sizeof(*remote_write));
    const struct remote_write_config *config = given;
    const struct http_push_options http = {.host = host, .self = self, .config = &config->http, .push = &config->push,
                                           .protocol = &protocol, .state = remote_write};
    int status;

    if (!remote_write)
        return WEIR_ENOMEM;
    *state = remote_write;
    remote_write->self = self;
    remote_write->config = config;
    remote_write->encoder = encoder_new();
    if (!remote_write->encoder)
        return WEIR_ENOMEM;
    status = http_push_create(&remote_write->http, &http);
    if (status >= 0)
        status = push_labelled(http_push_base(remote_write->http), &version_family, "version", version_names, PROTOCOLS,
                               remote_write->versions);
    return status;
}

static int start(void *state)
{
    struct remote_write *remote_write = state;

    remote_write->protocol = remote_write->config->protocol == ONLY_1 ? PROTOCOL_1 : PROTOCOL_2;
    remote_write->proven = remote_write->config->protocol != AUTO;
    return http_push_start(remote_write->http);
}

static int stop(void *state)
{
    struct remote_write *remote_write = state;

    http_push_stop(remote_write->http);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct remote_write *remote_write = state;

    http_push_free(remote_write->http);
    encoder_free(remote_write->encoder);
    free(remote_write);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------------ */

static int sender_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    static const char *const names[PROTOCOLS] = {"remote write 1.0", "remote write 2.0"};
    const struct remote_write *remote_write = state;

    (void)argv;
    return http_push_command(remote_write->http, call, argc, names);
}

/* Of a directory that a collector may have open; reads only. */
static int queue_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct remote_write *remote_write = state;

    return push_command(http_push_base(remote_write->http), call, argc, argv);
}

static const struct weir_command commands[] = {
    PUSH_COMMAND(queue_command),
    HTTP_PUSH_COMMAND(sender_command),
    {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK | WEIR_SOURCE,
    .name = "remote_write",
    .version = WEIR_VERSION,
    .summary = "pushes to Prometheus, Mimir, VictoriaMetrics and others, through a queue on disk",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct remote_write_config),
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
