/* endpoint.c - options, checks, life, figures and the command `sender` of what pushes by HTTP; endpoint.h is the contract. */
#include "endpoint.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DRAIN_NS INT64_C(1500000000) /* at the end; all instances share 4.5 s */

const char *const endpoint_auth_errors[] = {"hold", "drop", NULL};
const struct weir_option endpoint_header_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct endpoint_header, name)},
    {.name = "value", .type = WEIR_SECRET, .offset = offsetof(struct endpoint_header, value), .help = "What it says."},
    {.name = NULL}};

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

enum { RETRIED, WRITTEN, ACKED_TIME, BACKOFF, HELD, BYTES, FIGURES }; /* with the label endpoint alone */
static const struct weir_family families[FIGURES] = {
    [RETRIED] = PUSH_COUNTER("samples_retried_total", NULL, "Samples in requests that were sent again"),
    [WRITTEN] = PUSH_COUNTER("samples_written_total", NULL,
                             "Samples that the receiver says it has written, or those of a request that it took"),
    [ACKED_TIME] = PUSH_GAUGE("highest_acked_timestamp_seconds", "seconds",
                              "When the newest sample that has arrived had come into the queue"),
    [BACKOFF] = PUSH_GAUGE("backoff_seconds", "seconds", "Until the next attempt, after one that failed"),
    [HELD] = PUSH_GAUGE("held", NULL, "Whether sending waits for somebody to mend credentials or the URL"),
    [BYTES] = PUSH_COUNTER("sent_bytes_total", "bytes", "Bytes of bodies sent, as they went, attempts that failed included"),
};
static const struct weir_family requests = PUSH_COUNTER("requests_total", NULL, "Attempts to send, by what was answered");
static const char *const status_names[CARRIER_STATUSES] = {"2xx", "3xx", "4xx", "5xx", "failed"};

struct endpoint {
    const struct weir_host *host;
    struct weir_self *self;
    const struct endpoint_config *config;
    const struct carrier_protocol *protocol;
    void *state;
    struct push *push;
    struct carrier_header headers[ENDPOINT_HEADERS_MAX];
    struct carrier *carrier; /* between start and stop */
    int64_t max_age_ns;
    uint32_t series[FIGURES], statuses[CARRIER_STATUSES];
};

_Static_assert(ENDPOINT_VALUES_MAX == PUSH_VALUES_MAX + FIGURES + CARRIER_STATUSES, "all values have room");

/* ---- What the carrier asks for ------------------------------------------------------------------------------------------- */

static void tell(void *context, bool bad, const char *text)
{
    const struct endpoint *endpoint = context;

    endpoint->host->log(endpoint->self, bad ? WEIR_WARNING : WEIR_NOTICE, "%s", text);
}

static int secret(void *context, int which, char *buffer, size_t size)
{
    const struct endpoint *endpoint = context;
    const struct endpoint_config *config = endpoint->config;
    const struct endpoint_header *rows = config->headers.rows;

    buffer[0] = '\0';
    return endpoint->host->secret(endpoint->self, which == CARRIER_PASSWORD ? config->password
                                                  : which == CARRIER_BEARER ? config->bearer_token
                                                                            : rows[which - CARRIER_HEADERS].value,
                                  buffer, size);
}

/* ---- Checking ------------------------------------------------------------------------------------------------------------ */

static bool is_token(const char *text)
{
    return *text && text[strspn(text, "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")] == '\0';
}

static int check_url(const struct weir_host *host, struct weir_self *self, const char *option, const char *text, bool proxy,
                     const char *example)
{
    CURLU *url = curl_url();
    char *scheme = NULL, *user = NULL;
    int status = WEIR_OK;

    if (!url)
        return WEIR_ENOMEM;
    if (curl_url_set(url, CURLUPART_URL, text, CURLU_NON_SUPPORT_SCHEME | (proxy ? CURLU_DEFAULT_SCHEME : 0)) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK)
        status = host->fail(self, WEIR_ECONFIG, "%s: \"%s\" is not a URL, such as \"%s\"", option, text, example);
    else if (!proxy && strcasecmp(scheme, "http") != 0 && strcasecmp(scheme, "https") != 0)
        status = host->fail(self, WEIR_ECONFIG, "%s: the scheme \"%s\" is neither http nor https", option, scheme);
    else if (!proxy && curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK)
        status = host->fail(self, WEIR_ECONFIG, "%s: a user does not belong there; use username and password_file", option);
    curl_free(scheme);
    curl_free(user);
    curl_url_cleanup(url);
    return status;
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names && strcasecmp(*names, name) != 0)
        names++;
    return *names != NULL;
}

static int check_headers(const struct weir_host *host, struct weir_self *self, const struct endpoint_config *config,
                         const char *const *reserved)
{
    static const char *const ours[] = {"Content-Type", "Content-Encoding", "User-Agent", "Content-Length", "Transfer-Encoding",
                                       "Connection", "Expect", NULL};
    const struct endpoint_header *rows = config->headers.rows;

    for (size_t i = 0; i < config->headers.count; i++) {
        if (!is_token(rows[i].name))
            return host->fail(self, WEIR_ECONFIG, "header \"%s\": this is no header's name", rows[i].name);
        if (is_among(rows[i].name, ours) || is_among(rows[i].name, reserved))
            return host->fail(self, WEIR_ECONFIG, "header \"%s\": the protocol needs it as it is", rows[i].name);
        if (!rows[i].value)
            return host->fail(self, WEIR_ECONFIG, "header \"%s\": value is missing", rows[i].name);
        if (strcasecmp(rows[i].name, "Authorization") == 0 && (config->username || config->bearer_token))
            return host->fail(self, WEIR_ECONFIG, "header \"Authorization\": there is a username or bearer_token already");
    }
    return WEIR_OK;
}

int endpoint_check(const struct weir_host *host, struct weir_self *self, const struct endpoint_config *config,
                   const struct push_config *push, const char *example, const char *const *reserved)
{
    int status = check_url(host, self, "url", config->url, false, example);

    if (status == WEIR_OK && config->proxy)
        status = check_url(host, self, "proxy", config->proxy, true, "http://proxy.example:3128");
    if (status == WEIR_OK)
        status = check_headers(host, self, config, reserved);
    if (status == WEIR_OK)
        status = push_check(host, self, push);
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

int endpoint_create(struct endpoint **out, const struct endpoint_options *options)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));
    const struct endpoint_header *rows = options->config->headers.rows;
    const struct push_options push = {.host = options->host, .self = options->self, .config = options->push};
    int status;

    *out = endpoint;
    if (!endpoint)
        return WEIR_ENOMEM;
    endpoint->host = options->host;
    endpoint->self = options->self;
    endpoint->config = options->config;
    endpoint->protocol = options->protocol;
    endpoint->state = options->state;
    endpoint->max_age_ns = options->push->queue_max_age_ns;
    for (size_t i = 0; i < options->config->headers.count; i++)
        endpoint->headers[i] = (struct carrier_header){.name = rows[i].name, .secret = CARRIER_HEADERS + (int)i};
    status = push_create(&endpoint->push, &push);
    if (status >= 0)
        status = push_series(endpoint->push, families, FIGURES, endpoint->series);
    if (status >= 0)
        status = push_labelled(endpoint->push, &requests, "status", status_names, CARRIER_STATUSES, endpoint->statuses);
    return status;
}

void endpoint_free(struct endpoint *endpoint)
{
    if (!endpoint)
        return;
    if (endpoint->push) /* else create has failed */
        endpoint_stop(endpoint);
    push_free(endpoint->push);
    free(endpoint);
}

int endpoint_start(struct endpoint *endpoint)
{
    const struct weir_host *host = endpoint->host;
    const struct endpoint_config *config = endpoint->config;
    const struct carrier_options carrier = {
        .url = config->url, .user_agent = "weir/" WEIR_VERSION, .protocol = endpoint->protocol, .state = endpoint->state,
        .shards = (uint32_t)config->shards, .max_samples = (uint64_t)config->max_samples,
        .deadline_ms = config->batch_deadline_ns / 1000000, .timeout_ms = config->request_timeout_ns / 1000000,
        .max_age_ms = endpoint->max_age_ns / 1000000, .drop_unauthorized = config->on_auth_error == 1,
        .username = config->username, .has_bearer = config->bearer_token != NULL, .headers = endpoint->headers,
        .nheaders = config->headers.count, .ca_file = config->tls_ca_file, .cert_file = config->tls_cert_file,
        .key_file = config->tls_key_file, .proxy = config->proxy, .verify = config->tls_verify, .wall_ns = host->wall_ns,
        .now_ns = host->now_ns, .secret = secret, .tell = tell, .context = endpoint};
    struct queue *queue;
    int status = push_start(endpoint->push, &queue);

    if (status < 0)
        return status;
    if (carrier_start(&endpoint->carrier, &carrier, queue) < 0) {
        push_stop(endpoint->push);
        return host->fail(endpoint->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return push_current(endpoint->push);
}

void endpoint_stop(struct endpoint *endpoint)
{
    if (endpoint->carrier)
        carrier_stop(endpoint->carrier, endpoint->host->now_ns() + DRAIN_NS);
    endpoint->carrier = NULL;
    push_stop(endpoint->push);
}

struct push *endpoint_push(struct endpoint *endpoint)
{
    return endpoint->push;
}

/* ---- Figures and the command --------------------------------------------------------------------------------------------- */

unsigned endpoint_values(struct endpoint *endpoint, struct push_row *row)
{
    const uint32_t *series = endpoint->series;
    struct carrier_figures is;

    push_values(endpoint->push, row);
    carrier_figures(endpoint->carrier, &is);
    push_row_u64(row, series[RETRIED], is.retried_samples);
    push_row_u64(row, series[WRITTEN], is.written_samples);
    push_row_f64(row, series[ACKED_TIME], (double)is.acked_ms / 1e3);
    push_row_f64(row, series[BACKOFF], is.backoff_seconds);
    push_row_u64(row, series[HELD], is.held);
    push_row_u64(row, series[BYTES], is.bytes);
    for (size_t i = 0; i < CARRIER_STATUSES; i++)
        push_row_u64(row, endpoint->statuses[i], is.requests[i]);
    return is.format;
}

int endpoint_command(struct endpoint *endpoint, struct weir_call *call, int argc, const char *const *formats)
{
    const struct weir_host *host = endpoint->host;
    const int64_t now = host->now_ns();
    struct carrier_figures is;
    char answer[32] = "no answer";

    if (argc > 1) {
        host->print(call, 2, "usage: weir " PUSH_NAME "/%s sender\n", host->name(endpoint->self));
        return 2;
    }
    carrier_figures(endpoint->carrier, &is);
    if (is.status)
        snprintf(answer, sizeof(answer), "%d", is.status);
    host->print(call, 1, "%s, %s: ", endpoint->config->url, formats[is.format]);
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
