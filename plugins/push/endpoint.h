/* endpoint.h - what all plugins share that push by HTTP: options, checks, life, figures, the command `sender`.
 *
 * It joins push.h, which queues, and carrier.h, which sends.  A plugin is left with its protocol (struct carrier_protocol).
 * The plugin has called curl_global_init.
 * Threads: the instance's own for all here.
 */
#ifndef PUSH_ENDPOINT_H
#define PUSH_ENDPOINT_H

#include "carrier.h"
#include "push.h"

/* ---- Options ---- */
struct endpoint_config { /* the member `endpoint` of the plugin's own struct */
    const char *url;
    int64_t shards, max_samples, batch_deadline_ns, request_timeout_ns;
    struct weir_rows headers;
    const char *username;
    const struct weir_secret *password, *bearer_token;
    int64_t on_auth_error;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file, *proxy;
    bool tls_verify;
};
struct endpoint_header {
    const char *name;
    const struct weir_secret *value;
};
extern const struct weir_option endpoint_header_options[];
extern const char *const endpoint_auth_errors[];
#define ENDPOINT_HEADERS_MAX 32

#define ENDPOINT_AT(config, field) .offset = offsetof(config, endpoint.field)
#define ENDPOINT_URL_OPTION(config, example) \
    {.name = "url", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .min = 1, .max = 2048, ENDPOINT_AT(config, url), \
     .help = "Where to: http or https, with the path, such as " example "."}
#define ENDPOINT_REQUEST_OPTIONS(config) \
    {.name = "shards", .type = WEIR_INT, .dflt = "4", .min = 1, .max = QUEUE_PARTS_MAX, ENDPOINT_AT(config, shards), \
     .help = "Requests on their way at a time, at most."}, \
    {.name = "max_samples", .type = WEIR_INT, .dflt = "10000", .min = 100, .max = 100000, ENDPOINT_AT(config, max_samples), \
     .help = "Samples in a request, at most."}, \
    {.name = "batch_deadline", .type = WEIR_DURATION, .dflt = "5s", .min = INT64_C(100000000), .max = INT64_C(300000000000), \
     ENDPOINT_AT(config, batch_deadline_ns), .help = "How long a sample waits for others to travel with."}, \
    {.name = "request_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = INT64_C(100000000), .max = INT64_C(600000000000), \
     ENDPOINT_AT(config, request_timeout_ns), .help = "After which an attempt has failed."}
#define ENDPOINT_ACCESS_OPTIONS(config) \
    {.name = "username", .type = WEIR_STRING, .min = 1, .max = 256, ENDPOINT_AT(config, username), \
     .help = "For basic authentication."}, \
    {.name = "password", .type = WEIR_SECRET, ENDPOINT_AT(config, password), \
     .help = "Its password; a file is read again for each request."}, \
    {.name = "bearer_token", .type = WEIR_SECRET, ENDPOINT_AT(config, bearer_token), \
     .help = "Token of bearer authentication; a file is read again for each request."}, \
    {.name = "header", .type = WEIR_SECTION, .rows = endpoint_header_options, .row_size = sizeof(struct endpoint_header), \
     .max = ENDPOINT_HEADERS_MAX, ENDPOINT_AT(config, headers), \
     .help = "A header more, such as header \"X-Scope-OrgID\" { value = \"tenant\" }."}, \
    {.name = "on_auth_error", .type = WEIR_ENUM, .choices = endpoint_auth_errors, .dflt = "hold", \
     ENDPOINT_AT(config, on_auth_error), \
     .help = "What is done when the receiver answers 401 or 403: hold the queue, or drop the samples, as the specification " \
             "says."}, \
    {.name = "tls_ca_file", .type = WEIR_STRING, .min = 1, .max = 4096, ENDPOINT_AT(config, tls_ca_file), \
     .help = "Authorities that the receiver's certificate may be of, in PEM; the system's if unset."}, \
    {.name = "tls_cert_file", .type = WEIR_STRING, .min = 1, .max = 4096, ENDPOINT_AT(config, tls_cert_file), \
     .help = "Certificate of the client, in PEM."}, \
    {.name = "tls_key_file", .type = WEIR_STRING, .min = 1, .max = 4096, ENDPOINT_AT(config, tls_key_file), \
     .help = "Its key, in PEM."}, \
    {.name = "tls_verify", .type = WEIR_BOOL, .dflt = "true", ENDPOINT_AT(config, tls_verify), \
     .help = "Whether the receiver's certificate has to be valid, and for its name."}, \
    {.name = "proxy", .type = WEIR_STRING, .min = 1, .max = 2048, ENDPOINT_AT(config, proxy), \
     .help = "URL of a proxy; http_proxy and https_proxy of the environment count if unset."}

/* What is wrong with them, and with push's, is told by host->fail.  reserved: headers, to NULL, that the protocol makes itself. */
int endpoint_check(const struct weir_host *host, struct weir_self *self, const struct endpoint_config *config,
                   const struct push_config *push, const char *example, const char *const *reserved);

/* ---- Life ---- */
struct endpoint_options {
    const struct weir_host *host;
    struct weir_self *self;
    const struct endpoint_config *config; /* borrowed, as are the others */
    const struct push_config *push;
    const struct carrier_protocol *protocol;
    void *state; /* the protocol's */
};
struct endpoint;
/* Also where it fails, *out is to be freed.  endpoint_free of NULL is nothing, and of one that runs stops it. */
int endpoint_create(struct endpoint **out, const struct endpoint_options *options);
void endpoint_free(struct endpoint *endpoint);
int endpoint_start(struct endpoint *endpoint);
void endpoint_stop(struct endpoint *endpoint);
/* For push_consume, push_command and series of the plugin's own. */
struct push *endpoint_push(struct endpoint *endpoint);

/* ---- Figures ---- */
#define ENDPOINT_VALUES_MAX (PUSH_VALUES_MAX + 6 + CARRIER_STATUSES)
/* Puts all into the row, at most ENDPOINT_VALUES_MAX, those of push.h included; returns the number of the format in use. */
unsigned endpoint_values(struct endpoint *endpoint, struct push_row *row);

/* ---- The command `sender`, of the running collector ---- */
#define ENDPOINT_COMMAND(function) \
    {.name = "sender", .arguments = "", .run = function, \
     .summary = "shows what the running collector does: sending, or waiting until when, after which answer"}
/* formats: what the protocol's formats are called. */
int endpoint_command(struct endpoint *endpoint, struct weir_call *call, int argc, const char *const *formats);

#endif
