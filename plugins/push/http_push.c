/* http_push.c - options, checks, life, figures and the command `sender` of what pushes by HTTP; http_push.h is the contract. */
#include "http_push.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const char *const http_push_auth_errors[] = {"hold", "drop", NULL};
const struct weir_option http_push_header_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct http_push_header, name)},
    {.name = "value", .type = WEIR_SECRET, .offset = offsetof(struct http_push_header, value), .help = "What it says."},
    {.name = NULL}};

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

enum { WRITTEN, HELD, FIGURES }; /* with the label endpoint alone */
static const struct weir_family families[FIGURES] = {
    [WRITTEN] = PUSH_COUNTER("samples_written_total", NULL,
                             "Samples that the receiver says it has written, or those of a request that it took"),
    [HELD] = PUSH_GAUGE("held", NULL, "Whether sending waits for somebody to mend credentials or the URL"),
};
static const struct weir_family requests = PUSH_COUNTER("requests_total", NULL, "Attempts to send, by what was answered");
static const char *const status_names[HTTP_STATUSES] = {"2xx", "3xx", "4xx", "5xx", "failed"};

struct http_push {
    const struct weir_host *host;
    struct weir_self *self;
    const struct http_push_config *config;
    const struct http_protocol *protocol;
    void *state;
    struct push *push;
    struct http_header headers[HTTP_PUSH_HEADERS_MAX];
    struct http_carrier *carrier; /* between start and stop */
    uint32_t series[FIGURES], statuses[HTTP_STATUSES];
};

_Static_assert(HTTP_PUSH_VALUES_MAX == PUSH_VALUES_MAX + FIGURES + HTTP_STATUSES, "all values have room");

static int secret(void *context, int which, char *buffer, size_t size)
{
    const struct http_push *http = context;
    const struct http_push_config *config = http->config;
    const struct http_push_header *rows = config->headers.rows;

    buffer[0] = '\0';
    return http->host->secret(http->self, which == HTTP_PASSWORD ? config->password
                                          : which == HTTP_BEARER ? config->bearer_token
                                                                 : rows[which - HTTP_HEADERS].value,
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

static int check_headers(const struct weir_host *host, struct weir_self *self, const struct http_push_config *config,
                         const char *const *reserved)
{
    static const char *const ours[] = {"Content-Type", "Content-Encoding", "User-Agent", "Content-Length", "Transfer-Encoding",
                                       "Connection", "Expect", NULL};
    const struct http_push_header *rows = config->headers.rows;

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

int http_push_check(const struct weir_host *host, struct weir_self *self, const struct http_push_config *config,
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

int http_push_create(struct http_push **out, const struct http_push_options *options)
{
    struct http_push *http = calloc(1, sizeof(*http));
    const struct http_push_header *rows = options->config->headers.rows;
    const struct push_options push = {.host = options->host, .self = options->self, .config = options->push,
                                      .exemplars = true};
    int status;

    *out = http;
    if (!http)
        return WEIR_ENOMEM;
    http->host = options->host;
    http->self = options->self;
    http->config = options->config;
    http->protocol = options->protocol;
    http->state = options->state;
    for (size_t i = 0; i < options->config->headers.count; i++)
        http->headers[i] = (struct http_header){.name = rows[i].name, .secret = HTTP_HEADERS + (int)i};
    status = push_create(&http->push, &push);
    if (status >= 0)
        status = push_series(http->push, families, FIGURES, http->series);
    if (status >= 0)
        status = push_labelled(http->push, &requests, "status", status_names, HTTP_STATUSES, http->statuses);
    return status;
}

void http_push_free(struct http_push *http)
{
    if (!http)
        return;
    if (http->push) /* else create has failed */
        http_push_stop(http);
    push_free(http->push);
    free(http);
}

int http_push_start(struct http_push *http)
{
    const struct http_push_config *config = http->config;
    struct http_carrier_options carrier = {
        .sender.deadline_ms = config->batch_deadline_ns / 1000000, .url = config->url, .user_agent = "weir/" WEIR_VERSION,
        .protocol = http->protocol, .state = http->state, .shards = (uint32_t)config->shards,
        .max_samples = (uint64_t)config->max_samples, .timeout_ms = config->request_timeout_ns / 1000000,
        .drop_unauthorized = config->on_auth_error == 1, .username = config->username,
        .has_bearer = config->bearer_token != NULL, .headers = http->headers, .nheaders = config->headers.count,
        .ca_file = config->tls_ca_file, .cert_file = config->tls_cert_file,
        .key_file = config->tls_key_file, .proxy = config->proxy, .verify = config->tls_verify, .secret = secret,
        .secret_context = http};
    int status = push_start(http->push, &carrier.sender);

    if (status < 0)
        return status;
    if (http_carrier_start(&http->carrier, &carrier) < 0) {
        push_stop(http->push);
        return http->host->fail(http->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return push_current(http->push);
}

void http_push_stop(struct http_push *http)
{
    if (http->carrier)
        http_carrier_stop(http->carrier);
    http->carrier = NULL;
    push_stop(http->push);
}

struct push *http_push_base(struct http_push *http)
{
    return http->push;
}

/* ---- Figures and the command --------------------------------------------------------------------------------------------- */

unsigned http_push_values(struct http_push *http, struct push_row *row)
{
    struct http_carrier_figures carrier;
    struct sender_figures sender;

    http_carrier_figures(http->carrier, &sender, &carrier);
    push_values(http->push, &sender, row);
    push_row_u64(row, http->series[WRITTEN], carrier.written_samples);
    push_row_u64(row, http->series[HELD], carrier.held);
    for (size_t i = 0; i < HTTP_STATUSES; i++)
        push_row_u64(row, http->statuses[i], carrier.requests[i]);
    return carrier.format;
}

int http_push_command(struct http_push *http, struct weir_call *call, int argc, const char *const *formats)
{
    const struct weir_host *host = http->host;
    const int64_t now = host->now_ns();
    struct http_carrier_figures is;
    struct sender_figures sender;
    char answer[32] = "no answer";

    if (argc > 1) {
        host->print(call, 2, "usage: weir " PUSH_NAME "/%s sender\n", host->name(http->self));
        return 2;
    }
    http_carrier_figures(http->carrier, &sender, &is);
    if (is.status)
        snprintf(answer, sizeof(answer), "%d", is.status);
    host->print(call, 1, "%s, %s: ", http->config->url, formats[is.format]);
    if (sender.failing)
        host->print(call, 1, "%s after %s for %.0f s, ", is.held ? "held" : "fails", answer,
                    (double)(now - sender.failing_ns) / 1e9);
    if (is.flying)
        host->print(call, 1, "requests on their way: %u", is.flying);
    else if (sender.failing)
        host->print(call, 1, "again in %.0f s%s", sender.backoff_seconds,
                    is.held ? " or when a credential's file has changed" : "");
    else
        host->print(call, 1, "nothing is due");
    if (is.answer_ns)
        host->print(call, 1, "; the last request was settled %.0f s ago\n", (double)(now - is.answer_ns) / 1e9);
    else
        host->print(call, 1, "; no request has been settled yet\n");
    return 0;
}
