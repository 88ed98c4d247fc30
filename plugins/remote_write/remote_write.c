/* remote_write.c - pushes all samples to a receiver of Prometheus' remote write: options, life, figures, the command.
 *
 * What is consumed is queued on disk (push.h) before consume returns; the sender (send.h) takes it from there.  Its header and the
 * queue's say what is promised.
 * Threads: the instance's own consumes and collects; the sender has two more.
 */
#include "push.h"
#include "send.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DRAIN_NS INT64_C(1500000000) /* at the end; all instances share 4.5 s */
#define SECOND_NS INT64_C(1000000000)
#define HEADERS_MAX 32

struct header_row {
    const char *name;
    const struct weir_secret *value;
};
struct remote_write_config {
    const char *url;
    int64_t protocol;
    struct push_config push;
    int64_t shards, max_samples, batch_deadline_ns, request_timeout_ns;
    struct weir_rows headers;
    const char *username;
    const struct weir_secret *password, *bearer_token;
    int64_t on_auth_error;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file, *proxy;
    bool tls_verify;
};
#define AT(field) .offset = offsetof(struct remote_write_config, field)
static const char *const protocols[] = {"auto", "1.0", "2.0", NULL}; /* enum send_protocol */
static const char *const auth_errors[] = {"hold", "drop", NULL};
static const struct weir_option header_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct header_row, name)},
    {.name = "value", .type = WEIR_SECRET, .offset = offsetof(struct header_row, value), .help = "What it says."},
    {.name = NULL}};
static const struct weir_option options[] = {
    {.name = "url", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .min = 1, .max = 2048, AT(url),
     .help = "Where to: http or https, with the path, such as https://metrics.example/api/v1/write."},
    {.name = "protocol", .type = WEIR_ENUM, .choices = protocols, .dflt = "auto", AT(protocol),
     .help = "Version of remote write; auto begins with 2.0 and falls back to 1.0 where the receiver wants it."},
    PUSH_QUEUE_OPTIONS(struct remote_write_config),
    {.name = "shards", .type = WEIR_INT, .dflt = "4", .min = 1, .max = QUEUE_PARTS_MAX, AT(shards),
     .help = "Requests on their way at a time, at most."},
    {.name = "max_samples", .type = WEIR_INT, .dflt = "10000", .min = 100, .max = 100000, AT(max_samples),
     .help = "Samples in a request, at most."},
    {.name = "batch_deadline", .type = WEIR_DURATION, .dflt = "5s", .min = SECOND_NS / 10, .max = 300 * SECOND_NS,
     AT(batch_deadline_ns),
     .help = "How long a sample waits for others to travel with."},
    {.name = "request_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = SECOND_NS / 10, .max = 600 * SECOND_NS,
     AT(request_timeout_ns), .help = "After which an attempt has failed."},
    PUSH_LABEL_OPTIONS(struct remote_write_config),
    {.name = "username", .type = WEIR_STRING, .min = 1, .max = 256, AT(username), .help = "For basic authentication."},
    {.name = "password", .type = WEIR_SECRET, AT(password), .help = "Its password; a file is read again for each request."},
    {.name = "bearer_token", .type = WEIR_SECRET, AT(bearer_token),
     .help = "Token of bearer authentication; a file is read again for each request."},
    {.name = "header", .type = WEIR_SECTION, .rows = header_options, .row_size = sizeof(struct header_row), .max = HEADERS_MAX,
     AT(headers),
     .help = "A header more, such as header \"X-Scope-OrgID\" { value = \"tenant\" }."},
    {.name = "on_auth_error", .type = WEIR_ENUM, .choices = auth_errors, .dflt = "hold", AT(on_auth_error),
     .help = "What is done when the receiver answers 401 or 403: hold the queue, or drop the samples, as the specification says."},
    {.name = "tls_ca_file", .type = WEIR_STRING, .min = 1, .max = 4096, AT(tls_ca_file),
     .help = "Authorities that the receiver's certificate may be of, in PEM; the system's if unset."},
    {.name = "tls_cert_file", .type = WEIR_STRING, .min = 1, .max = 4096, AT(tls_cert_file),
     .help = "Certificate of the client, in PEM."},
    {.name = "tls_key_file", .type = WEIR_STRING, .min = 1, .max = 4096, AT(tls_key_file), .help = "Its key, in PEM."},
    {.name = "tls_verify", .type = WEIR_BOOL, .dflt = "true", AT(tls_verify),
     .help = "Whether the receiver's certificate has to be valid, and for its name."},
    {.name = "proxy", .type = WEIR_STRING, .min = 1, .max = 2048, AT(proxy),
     .help = "URL of a proxy; http_proxy and https_proxy of the environment count if unset."},
    {.name = NULL}};

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

enum { RETRIED, WRITTEN, ACKED_TIME, BACKOFF, HELD, BYTES, FIGURES }; /* with the label endpoint alone */
static const struct weir_family families[FIGURES] = {
    [RETRIED] = PUSH_COUNTER("samples_retried_total", NULL, "Samples in requests that were sent again"),
    [WRITTEN] = PUSH_COUNTER("samples_written_total", NULL,
                             "Samples that the receiver says it has written, or those of a request that it took, in 1.0"),
    [ACKED_TIME] = PUSH_GAUGE("highest_acked_timestamp_seconds", "seconds",
                              "When the newest sample that has arrived had come into the queue"),
    [BACKOFF] = PUSH_GAUGE("backoff_seconds", "seconds", "Until the next attempt, after one that failed"),
    [HELD] = PUSH_GAUGE("held", NULL, "Whether sending waits for somebody to mend credentials or the URL"),
    [BYTES] = PUSH_COUNTER("sent_bytes_total", "bytes", "Bytes of bodies sent, compressed, attempts that failed included"),
};
enum { REQUESTS, PROTOCOL, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [REQUESTS] = PUSH_COUNTER("requests_total", NULL, "Attempts to send, by what was answered"),
    [PROTOCOL] = PUSH_GAUGE("protocol", NULL, "Version of the protocol in use"),
};
static const char *const status_names[SEND_STATUSES] = {"2xx", "3xx", "4xx", "5xx", "failed"};
static const char *const version_names[PROTOCOLS] = {"1.0", "2.0"};

struct remote_write {
    struct weir_self *self;
    const struct remote_write_config *config;
    struct push *push;
    struct send_header headers[HEADERS_MAX];
    struct sender *sender; /* between start and stop */
    uint32_t series[FIGURES], statuses[SEND_STATUSES], versions[PROTOCOLS];
};

static const struct weir_host *host;

/* ---- What the sender asks for -------------------------------------------------------------------------------------------- */

static void tell(void *context, bool bad, const char *text)
{
    const struct remote_write *remote_write = context;

    host->log(remote_write->self, bad ? WEIR_WARNING : WEIR_NOTICE, "%s", text);
}

static int secret(void *context, int which, char *buffer, size_t size)
{
    const struct remote_write *remote_write = context;
    const struct remote_write_config *config = remote_write->config;
    const struct header_row *rows = config->headers.rows;

    buffer[0] = '\0';
    return host->secret(remote_write->self, which == SEND_PASSWORD ? config->password
                                            : which == SEND_BEARER ? config->bearer_token
                                                                   : rows[which - SEND_HEADERS].value,
                        buffer, size);
}

/* ---- Sink and source ----------------------------------------------------------------------------------------------------- */

static int consume(void *state, const struct weir_batch *batch)
{
    const struct remote_write *remote_write = state;

    return push_consume(remote_write->push, batch);
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct remote_write *remote_write = state;
    const uint32_t *series = remote_write->series;
    struct weir_value values[PUSH_VALUES_MAX + FIGURES + SEND_STATUSES + PROTOCOLS];
    struct push_row row = {.values = values};
    struct sender_figures sender;

    (void)pass;
    push_values(remote_write->push, &row);
    sender_figures(remote_write->sender, &sender);
    push_row_u64(&row, series[RETRIED], sender.retried_samples);
    push_row_u64(&row, series[WRITTEN], sender.written_samples);
    push_row_f64(&row, series[ACKED_TIME], (double)sender.acked_ms / 1e3);
    push_row_f64(&row, series[BACKOFF], sender.backoff_seconds);
    push_row_u64(&row, series[HELD], sender.held);
    push_row_u64(&row, series[BYTES], sender.bytes);
    for (size_t i = 0; i < SEND_STATUSES; i++)
        push_row_u64(&row, remote_write->statuses[i], sender.requests[i]);
    for (size_t i = 0; i < PROTOCOLS; i++)
        push_row_u64(&row, remote_write->versions[i], sender.protocol == i);
    return host->publish(remote_write->self, row.values, row.count);
}

/* ---- Checking ------------------------------------------------------------------------------------------------------------ */

static bool is_token(const char *text)
{
    return *text && text[strspn(text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == '\0';
}

static int check_url(struct weir_self *self, const char *option, const char *text, bool proxy)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *user = NULL;
    int status = WEIR_OK;

    if (!url)
        return WEIR_ENOMEM;
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | (proxy ? CURLU_DEFAULT_SCHEME : 0)) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        status = host->fail(self, WEIR_ECONFIG, "%s: \"%s\" is not a URL, such as \"https://metrics.example/api/v1/write\"", option,
                            text);
    else if (!proxy && strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
        status = host->fail(self, WEIR_ECONFIG, "%s: the scheme \"%s\" is neither http nor https", option, scheme);
    else if (!proxy && curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        status = host->fail(self, WEIR_ECONFIG, "%s: a user does not belong there; use username and password_file", option);
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    return status;
}

static int check_headers(struct weir_self *self, const struct remote_write_config *config)
{
    static const char *const ours[] = {"Content-Type", "Content-Encoding", "X-Prometheus-Remote-Write-Version", "User-Agent",
                                       "Content-Length", "Transfer-Encoding", "Connection", "Expect"};
    const struct header_row *rows = config->headers.rows;

    for (size_t i = 0; i < config->headers.count; i++) {
        if (!is_token(rows[i].name))
            return host->fail(self, WEIR_ECONFIG, "header \"%s\": this is no header's name", rows[i].name);
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
            if (strcasecmp(rows[i].name, ours[k]) == 0)
                return host->fail(self, WEIR_ECONFIG, "header \"%s\": the protocol needs it as it is", rows[i].name);
        if (!rows[i].value)
            return host->fail(self, WEIR_ECONFIG, "header \"%s\": value is missing", rows[i].name);
        if (strcasecmp(rows[i].name, "Authorization") == 0 && (config->username || config->bearer_token))
            return host->fail(self, WEIR_ECONFIG, "header \"Authorization\": there is a username or bearer_token already");
    }
    return WEIR_OK;
}

static int check(struct weir_self *self, const void *given)
{
    const struct remote_write_config *config = given;
    int status = check_url(self, "url", config->url, false);

    if (status == WEIR_OK && config->proxy)
        status = check_url(self, "proxy", config->proxy, true);
    if (status == WEIR_OK)
        status = check_headers(self, config);
    if (status == WEIR_OK)
        status = push_check(host, self, &config->push);
    if (status < 0)
        return status;
    if (!config->username != !config->password)
        return host->fail(self, WEIR_ECONFIG, "%s is missing", config->username ? "password_file" : "username");
    if (config->username && config->bearer_token)
        return host->fail(self, WEIR_ECONFIG, "username and bearer_token: there can be only one of them");
    if (config->tls_key_file && !config->tls_cert_file)
        return host->fail(self, WEIR_ECONFIG, "tls_cert_file is missing");
    return WEIR_OK;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int create(struct weir_self *self, const void *given, void **state)
{
    struct remote_write *remote_write = calloc(1, sizeof(*remote_write));
    const struct remote_write_config *config = given;
    const struct header_row *rows = config->headers.rows;
    const struct push_options options = {.host = host, .self = self, .config = &config->push};
    int status;

    if (!remote_write)
        return WEIR_ENOMEM;
    *state = remote_write;
    remote_write->self = self;
    remote_write->config = config;
    for (size_t i = 0; i < config->headers.count; i++)
        remote_write->headers[i] = (struct send_header){.name = rows[i].name, .secret = SEND_HEADERS + (int)i};
    status = push_create(&remote_write->push, &options);
    if (status >= 0)
        status = push_series(remote_write->push, families, FIGURES, remote_write->series);
    if (status >= 0)
        status = push_labelled(remote_write->push, &labelled[REQUESTS], "status", status_names, SEND_STATUSES,
                               remote_write->statuses);
    if (status >= 0)
        status = push_labelled(remote_write->push, &labelled[PROTOCOL], "version", version_names, PROTOCOLS,
                               remote_write->versions);
    return status;
}

static int start(void *state)
{
    struct remote_write *remote_write = state;
    const struct remote_write_config *config = remote_write->config;
    const struct send_options send = {
        .url = config->url, .user_agent = "weir/" WEIR_VERSION, .protocol = (enum send_protocol)config->protocol,
        .shards = (uint32_t)config->shards, .max_samples = (uint64_t)config->max_samples,
        .deadline_ms = config->batch_deadline_ns / 1000000, .timeout_ms = config->request_timeout_ns / 1000000,
        .max_age_ms = config->push.queue_max_age_ns / 1000000, .drop_unauthorized = config->on_auth_error == 1,
        .username = config->username, .has_bearer = config->bearer_token != NULL, .headers = remote_write->headers,
        .nheaders = config->headers.count, .ca_file = config->tls_ca_file, .cert_file = config->tls_cert_file,
        .key_file = config->tls_key_file, .proxy = config->proxy, .verify = config->tls_verify, .wall_ns = host->wall_ns,
        .now_ns = host->now_ns, .secret = secret, .tell = tell, .context = remote_write};
    struct queue *queue;
    int status = push_start(remote_write->push, &queue);

    if (status < 0)
        return status;
    if (sender_start(&remote_write->sender, &send, queue) < 0) {
        push_stop(remote_write->push);
        return host->fail(remote_write->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return push_current(remote_write->push);
}

static int stop(void *state)
{
    struct remote_write *remote_write = state;

    if (remote_write->sender)
        sender_stop(remote_write->sender, host->now_ns() + DRAIN_NS);
    remote_write->sender = NULL;
    push_stop(remote_write->push);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct remote_write *remote_write = state;

    if (remote_write->push) /* else create has failed */
        (void)stop(state);
    push_free(remote_write->push);
    free(remote_write);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------------ */

/* Of the running collector. */
static int sender_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct remote_write *remote_write = state;
    const int64_t now = host->now_ns();
    struct sender_figures is;
    char answer[32] = "no answer";

    (void)argv;
    if (argc > 1) {
        host->print(call, 2, "usage: weir remote_write/%s sender\n", host->name(remote_write->self));
        return 2;
    }
    sender_figures(remote_write->sender, &is);
    if (is.status)
        snprintf(answer, sizeof(answer), "%d", is.status);
    host->print(call, 1, "%s, remote write %s: ", remote_write->config->url, version_names[is.protocol]);
    if (is.failing)
        host->print(call, 1, "%s after %s for %.0f s, ", is.held ? "held" : "fails", answer, (double)(now - is.failing_ns) / 1e9);
    if (is.flying)
        host->print(call, 1, "requests on their way: %u", is.flying);
    else if (is.failing)
        host->print(call, 1, "again in %.0f s%s", is.backoff_seconds, is.held ? " or when a credential's file has changed" : "");
    else
        host->print(call, 1, "nothing is due");
    if (is.answer_ns)
        host->print(call, 1, "; the last request was settled %.0f s ago\n", (double)(now - is.answer_ns) / 1e9);
    else
        host->print(call, 1, "; no request has been settled yet\n");
    return 0;
}

/* Of a directory that a collector may have open; reads only. */
static int queue_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct remote_write *remote_write = state;

    return push_command(remote_write->push, call, argc, argv);
}

static const struct weir_command commands[] = {
    PUSH_COMMAND(queue_command),
    {.name = "sender", .arguments = "", .run = sender_command,
     .summary = "shows what the running collector does: sending, or waiting until when, after which answer"},
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
