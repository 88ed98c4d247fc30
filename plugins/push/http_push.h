/* http_push.h - what all plugins share that push by HTTP: options, checks, life, figures, the command `sender`.
 *
 * It joins push.h, which queues, and http_carrier.h, which sends.  A plugin is left with its protocol (struct http_protocol).
 * The plugin has called curl_global_init.
 * Threads: the instance's own for all here.
 */
#ifndef PUSH_HTTP_PUSH_H
#define PUSH_HTTP_PUSH_H

#include "http_carrier.h"
#include "push.h"

/* ---- Options ---- */
struct http_push_config { /* the member `http` of the plugin's own struct */
    const char *url;
    int64_t shards, max_samples, batch_deadline_ns, request_timeout_ns;
    struct weir_rows headers;
    const char *username;
    const struct weir_secret *password, *bearer_token;
    int64_t on_auth_error;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file, *proxy;
    bool tls_verify;
};
struct http_push_header {
    const char *name;
    const struct weir_secret *value;
};
extern const struct weir_option http_push_header_options[];
extern const char *const http_push_auth_errors[];
#define HTTP_PUSH_HEADERS_MAX 32

#define HTTP_PUSH_AT(config, field) .offset = offsetof(config, http.field)
#define HTTP_PUSH_URL_OPTION(config, example) \
    {.name = "url", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .min = 1, .max = 2048, HTTP_PUSH_AT(config, url), \
     .help = "Where to: http or https, with the path, such as " example "."}
#define HTTP_PUSH_REQUEST_OPTIONS(config) \
    {.name = "shards", .type = WEIR_INT, .dflt = "4", .min = 1, .max = QUEUE_PARTS_MAX, HTTP_PUSH_AT(config, shards), \
     .help = "Requests on their way at a time, at most."}, \
    {.name = "max_samples", .type = WEIR_INT, .dflt = "10000", .min = 100, .max = 100000, HTTP_PUSH_AT(config, max_samples), \
     .help = "Samples in a request, at most."}, \
    {.name = "batch_deadline", .type = WEIR_DURATION, .dflt = "5s", .min = INT64_C(100000000), .max = INT64_C(300000000000), \
     HTTP_PUSH_AT(config, batch_deadline_ns), .help = "How long a sample waits for others to travel with."}, \
    {.name = "request_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = INT64_C(100000000), .max = INT64_C(600000000000), \
     HTTP_PUSH_AT(config, request_timeout_ns), .help = "After which an attempt has failed."}
#define HTTP_PUSH_ACCESS_OPTIONS(config) \
    {.name = "username", .type = WEIR_STRING, .min = 1, .max = 256, HTTP_PUSH_AT(config, username), \
     .help = "For basic authentication."}, \
    {.name = "password", .type = WEIR_SECRET, HTTP_PUSH_AT(config, password), \
     .help = "Its password; a file is read again for each request."}, \
    {.name = "bearer_token", .type = WEIR_SECRET, HTTP_PUSH_AT(config, bearer_token), \
     .help = "Token of bearer authentication; a file is read again for each request."}, \
    {.name = "header", .type = WEIR_SECTION, .rows = http_push_header_options, .row_size = sizeof(struct http_push_header), \
     .max = HTTP_PUSH_HEADERS_MAX, HTTP_PUSH_AT(config, headers), \
     .help = "A header more, such as header \"X-Scope-OrgID\" { value = \"tenant\" }."}, \
    {.name = "on_auth_error", .type = WEIR_ENUM, .choices = http_push_auth_errors, .dflt = "hold", \
     HTTP_PUSH_AT(config, on_auth_error), \
     .help = "What is done when the receiver answers 401 or 403: hold the queue, or drop the samples, as the specification " \
             "says."}, \
    {.name = "tls_ca_file", .type = WEIR_STRING, .min = 1, .max = 4096, HTTP_PUSH_AT(config, tls_ca_file), \
     .help = "Authorities that the receiver's certificate may be of, in PEM; the system's if unset."}, \
    {.name = "tls_cert_file", .type = WEIR_STRING, .min = 1, .max = 4096, HTTP_PUSH_AT(config, tls_cert_file), \
     .help = "Certificate of the client, in PEM."}, \
    {.name = "tls_key_file", .type = WEIR_STRING, .min = 1, .max = 4096, HTTP_PUSH_AT(config, tls_key_file), \
     .help = "Its key, in PEM."}, \
    {.name = "tls_verify", .type = WEIR_BOOL, .dflt = "true", HTTP_PUSH_AT(config, tls_verify), \
     .help = "Whether the receiver's certificate has to be valid, and for its name."}, \
    {.name = "proxy", .type = WEIR_STRING, .min = 1, .max = 2048, HTTP_PUSH_AT(config, proxy), \
     .help = "URL of a proxy; http_proxy and https_proxy of the environment count if unset."}

/* What is wrong with them, and with push's, is told by host->fail.  reserved: headers, to NULL, that the protocol makes itself. */
int http_push_check(const struct weir_host *host, struct weir_self *self, const struct http_push_config *config,
                    const struct push_config *push, const char *example, const char *const *reserved);

/* ---- Life ---- */
struct http_push_options {
    const struct weir_host *host;
    struct weir_self *self;
    const struct http_push_config *config; /* borrowed, as are the others */
    const struct push_config *push;
    const struct http_protocol *protocol;
    void *state; /* the protocol's */
};
struct http_push;
/* Also where it fails, *out is to be freed.  http_push_free of NULL is nothing, and of one that runs stops it. */
int http_push_create(struct http_push **out, const struct http_push_options *options);
void http_push_free(struct http_push *http);
int http_push_start(struct http_push *http);
void http_push_stop(struct http_push *http);
/* For push_consume, push_command and series of the plugin's own. */
struct push *http_push_base(struct http_push *http);

/* ---- Figures ---- */
#define HTTP_PUSH_VALUES_MAX (PUSH_VALUES_MAX + 2 + HTTP_STATUSES)
/* Puts all into the row, at most HTTP_PUSH_VALUES_MAX, those of push.h included; returns the number of the format in use. */
unsigned http_push_values(struct http_push *http, struct push_row *row);

/* ---- The command `sender`, of the running collector ---- */
#define HTTP_PUSH_COMMAND(function) \
    {.name = "sender", .arguments = "", .run = function, \
     .summary = "shows what the running collector does: sending, or waiting until when, after which answer"}
/* formats: what the protocol's formats are called. */
int http_push_command(struct http_push *http, struct weir_call *call, int argc, const char *const *formats);

#endif
