/* remote_write.c - pushes all samples to a receiver of Prometheus' remote write: options, life, figures, the command.
 *
 * What is consumed is named (catalog.h), made into records (record.h) and queued on disk (queue.h) before consume returns; the
 * sender (send.h) takes it from there.  Its header and the queue's say what is promised.
 * Threads: the instance's own consumes and collects; the sender has two more.
 */
#include "catalog.h"
#include "queue.h"
#include "record.h"
#include "relabel.h"
#include "send.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#define DRAIN_NS INT64_C(1500000000) /* at the end; all instances share 4.5 s */
#define QUEUE_DIR "/var/lib/weir/remote_write/"
#define SECOND_NS INT64_C(1000000000)
#define HEADERS_MAX 32

struct header_row {
    const char *name;
    const struct weir_secret *value;
};
struct remote_write_config {
    const char *url;
    int64_t protocol;
    const char *queue_dir;
    int64_t queue_max_bytes, queue_max_age_ns, queue_reserve_bytes;
    int64_t shards, max_samples, batch_deadline_ns, request_timeout_ns;
    const char *job, *instance;
    struct weir_list external_labels;
    struct weir_rows relabel, headers;
    const char *username;
    const struct weir_secret *password, *bearer_token;
    int64_t on_auth_error;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file, *proxy;
    bool tls_verify;
};
#define AT(field) .offset = offsetof(struct remote_write_config, field)
static const char *const protocols[] = {"auto", "1.0", "2.0", NULL}; /* enum send_protocol */
static const char *const auth_errors[] = {"hold", "drop", NULL};
#define RULE(field) .offset = offsetof(struct relabel_rule, field)
static const struct weir_option rule_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, RULE(name)},
    {.name = "action", .type = WEIR_ENUM, .choices = relabel_action_names, .dflt = "replace", RULE(action),
     .help = "What is done: keep or drop series, replace a label's value, rename labels (labelmap), keep or drop labels."},
    {.name = "source_labels", .type = WEIR_LIST, .max = 16, RULE(source_labels),
     .help = "Labels of which the values are joined and matched; __name__ is the metric's name."},
    {.name = "separator", .type = WEIR_STRING, .dflt = ";", .min = 0, .max = 64, RULE(separator),
     .help = "What is put between them."},
    {.name = "regex", .type = WEIR_STRING, .dflt = ".*", .min = 1, .max = 4096, RULE(regex),
     .help = "POSIX extended regular expression, which has to match the whole text; for the label actions, of labels' names."},
    {.name = "target_label", .type = WEIR_STRING, .min = 1, .max = 256, RULE(target_label),
     .help = "The label that replace sets; __name__ renames the metric."},
    {.name = "replacement", .type = WEIR_STRING, .dflt = "$1", .min = 0, .max = 4096, RULE(replacement),
     .help = "Its new value, or for labelmap the new name; $1 is the first group of regex."},
    {.name = NULL}};
static const struct weir_option header_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct header_row, name)},
    {.name = "value", .type = WEIR_SECRET, .offset = offsetof(struct header_row, value), .help = "What it says."},
    {.name = NULL}};
static const struct weir_option options[] = {
    {.name = "url", .type = WEIR_STRING, .flags = WEIR_REQUIRED, .min = 1, .max = 2048, AT(url),
     .help = "Where to: http or https, with the path, such as https://metrics.example/api/v1/write."},
    {.name = "protocol", .type = WEIR_ENUM, .choices = protocols, .dflt = "auto", AT(protocol),
     .help = "Version of remote write; auto begins with 2.0 and falls back to 1.0 where the receiver wants it."},
    {.name = "queue_dir", .type = WEIR_STRING, .min = 1, .max = 2048, AT(queue_dir),
     .help = "Directory of the queue, of its own; /var/lib/weir/remote_write/TITLE if unset."},
    {.name = "queue_max_bytes", .type = WEIR_SIZE, .dflt = "1GiB", .min = 1 << 20, .max = INT64_C(1) << 50, AT(queue_max_bytes),
     .help = "Size of the queue on disk at most; the oldest samples are dropped for more, and counted."},
    {.name = "queue_max_age", .type = WEIR_DURATION, .dflt = "1d", .min = 60 * SECOND_NS, .max = 3660 * 86400 * SECOND_NS,
     AT(queue_max_age_ns), .help = "Samples that are older are dropped, and counted."},
    {.name = "queue_reserve", .type = WEIR_SIZE, .dflt = "256MiB", .min = 0, .max = INT64_C(1) << 50, AT(queue_reserve_bytes),
     .help = "What the queue leaves free in its file system for others; it keeps 16 MiB in memory instead."},
    {.name = "shards", .type = WEIR_INT, .dflt = "4", .min = 1, .max = QUEUE_PARTS_MAX, AT(shards),
     .help = "Requests on their way at a time, at most."},
    {.name = "max_samples", .type = WEIR_INT, .dflt = "10000", .min = 100, .max = 100000, AT(max_samples),
     .help = "Samples in a request, at most."},
    {.name = "batch_deadline", .type = WEIR_DURATION, .dflt = "5s", .min = SECOND_NS / 10, .max = 300 * SECOND_NS,
     AT(batch_deadline_ns),
     .help = "How long a sample waits for others to travel with."},
    {.name = "request_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = SECOND_NS / 10, .max = 600 * SECOND_NS,
     AT(request_timeout_ns), .help = "After which an attempt has failed."},
    {.name = "job", .type = WEIR_STRING, .dflt = "weir", .min = 1, .max = 4096, AT(job),
     .help = "Label job of series that have none."},
    {.name = "instance", .type = WEIR_STRING, .min = 1, .max = 4096, AT(instance),
     .help = "Label instance of series that have none; the host's name if unset."},
    {.name = "external_labels", .type = WEIR_LIST, .max = 20, AT(external_labels),
     .help = "Labels of series that do not have them, such as { \"cluster=orders\" }."},
    {.name = "relabel", .type = WEIR_SECTION, .rows = rule_options, .row_size = sizeof(struct relabel_rule), .max = 1000,
     AT(relabel),
     .help = "Rules that choose and rename series, applied in this order."},
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

enum { /* with the label endpoint alone */
    ACCEPTED, SENT, RETRIED, WRITTEN, PENDING, QUEUE_BYTES, QUEUE_MEMORY, QUEUE_SEGMENTS, QUEUE_OLDEST, WRITE_FAILURES,
    SYNC_FAILURES, ENQUEUED_TIME, ACKED_TIME, BACKOFF, HELD, BYTES, FIGURES
};
#define COUNTER(its_name, its_unit, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "weir_remote_write_" its_name, .unit = its_unit, \
     .help = its_help}
#define GAUGE(its_name, its_unit, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "weir_remote_write_" its_name, .unit = its_unit, \
     .help = its_help}
static const struct weir_family families[FIGURES] = {
    [ACCEPTED] = COUNTER("samples_accepted_total", NULL,
                         "Samples taken into the queue; sent, failed, dropped and pending add up to them"),
    [SENT] = COUNTER("samples_sent_total", NULL, "Samples that the receiver has taken"),
    [RETRIED] = COUNTER("samples_retried_total", NULL, "Samples in requests that were sent again"),
    [WRITTEN] = COUNTER("samples_written_total", NULL,
                        "Samples that the receiver says it has written, or those of a request that it took, in 1.0"),
    [PENDING] = GAUGE("samples_pending", NULL, "Samples that wait in the queue or are on their way"),
    [QUEUE_BYTES] = GAUGE("queue_bytes", "bytes", "Size of the queue"),
    [QUEUE_MEMORY] = GAUGE("queue_memory_bytes", "bytes", "What of the queue is in memory, as the disk does not take it"),
    [QUEUE_SEGMENTS] = GAUGE("queue_segments", NULL, "Files of the queue"),
    [QUEUE_OLDEST] = GAUGE("queue_oldest_seconds", "seconds", "Age of the oldest sample that waits to be taken from the queue"),
    [WRITE_FAILURES] = COUNTER("queue_write_failures_total", NULL, "Writes to the queue's files that failed"),
    [SYNC_FAILURES] = COUNTER("queue_sync_failures_total", NULL, "Syncs of the queue's files that failed"),
    [ENQUEUED_TIME] = GAUGE("highest_enqueued_timestamp_seconds", "seconds", "When the newest sample came into the queue"),
    [ACKED_TIME] = GAUGE("highest_acked_timestamp_seconds", "seconds",
                         "When the newest sample that has arrived had come into the queue"),
    [BACKOFF] = GAUGE("backoff_seconds", "seconds", "Until the next attempt, after one that failed"),
    [HELD] = GAUGE("held", NULL, "Whether sending waits for somebody to mend credentials or the URL"),
    [BYTES] = COUNTER("sent_bytes_total", "bytes", "Bytes of bodies sent, compressed, attempts that failed included"),
};
enum { FAILED, DROPPED, REQUESTS, PROTOCOL, SERIES, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [FAILED] = COUNTER("samples_failed_total", NULL, "Samples that the receiver has refused for good"),
    [DROPPED] = COUNTER("samples_dropped_total", NULL, "Samples given up before the receiver had them"),
    [REQUESTS] = COUNTER("requests_total", NULL, "Attempts to send, by what was answered"),
    [PROTOCOL] = GAUGE("protocol", NULL, "Version of the protocol in use"),
    [SERIES] = GAUGE("series", NULL, "Series known, sent and kept back by rules"),
};
static const char *const status_names[SEND_STATUSES] = {"2xx", "3xx", "4xx", "5xx", "failed"};
static const char *const version_names[PROTOCOLS] = {"1.0", "2.0"};
static const char *const series_names[] = {"sent", "filtered"};

struct group_time { /* of a group, by its id */
    int64_t last_ns; /* of its last pass that is in the queue */
};
struct remote_write {
    struct weir_self *self;
    const struct remote_write_config *config;
    char *directory;
    char hostname[256];
    struct weir_label *external;
    size_t nexternal;
    struct relabel *relabel;
    struct catalog *catalog;
    struct record_writer writer;
    struct send_header headers[HEADERS_MAX];
    struct queue *queue; /* these two between start and stop */
    struct sender *sender;
    struct group_time *groups;
    uint32_t groups_room;
    uint32_t group, series[FIGURES], outcomes[QUEUE_OUTCOMES], statuses[SEND_STATUSES], versions[PROTOCOLS], known[2];
};

static const struct weir_host *host;

static const char *endpoint(const struct remote_write *remote_write)
{
    return host->name(remote_write->self);
}

/* ---- What the queue and the sender ask for ------------------------------------------------------------------------------- */

static int64_t wall_ms(void *context)
{
    (void)context;
    return host->wall_ns() / 1000000;
}

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

/* ---- The sink ------------------------------------------------------------------------------------------------------------ */

static int queue_record(struct remote_write *remote_write)
{
    struct record_writer *writer = &remote_write->writer;
    size_t length;
    uint8_t *payload = writer->samples ? record_end(writer, &length) : NULL;
    int status = writer->samples && !payload ? -1 : 0;

    if (payload)
        queue_append(remote_write->queue, payload, length, writer->samples);
    record_begin(writer);
    return status;
}

static int64_t *group_last(struct remote_write *remote_write, uint32_t group)
{
    if (group >= remote_write->groups_room) {
        uint32_t room = group + group / 2 + 64;
        struct group_time *larger = realloc(remote_write->groups, room * sizeof(*larger));

        if (!larger)
            return NULL;
        memset(larger + remote_write->groups_room, 0, (room - remote_write->groups_room) * sizeof(*larger));
        remote_write->groups = larger;
        remote_write->groups_room = room;
    }
    return &remote_write->groups[group].last_ns;
}

static int add(struct remote_write *remote_write, const struct weir_sample *sample)
{
    const struct catalog_series *series = catalog_get(remote_write->catalog, weir_sample_series(sample));
    uint32_t flags = weir_sample_flags(sample);
    enum record_value kind = flags & WEIR_S_STALE ? RECORD_STALENESS : flags & WEIR_S_U64 ? RECORD_U64 : RECORD_F64;
    int64_t time_ms = sample->time_ns / 1000000, start_ms = flags & WEIR_S_START ? (int64_t)sample->aux / 1000000 : 0, *last_ns;
    int status;

    if (!series || (last_ns = group_last(remote_write, series->group)) == NULL)
        return -1;
    /* It was in a snapshot, or is of one that brings nothing new. */
    if (!series->labels || sample->time_ns <= *last_ns)
        return 0;
    status = record_add(&remote_write->writer, series->family, series->labels, time_ms, kind, sample->bits, start_ms);
    if (status == 0) {
        if (queue_record(remote_write) < 0)
            return -1;
        status = record_add(&remote_write->writer, series->family, series->labels, time_ms, kind, sample->bits, start_ms);
    }
    return status < 0 ? -1 : 0;
}

static int consume(void *state, const struct weir_batch *batch)
{
    struct remote_write *remote_write = state;
    int status = 0;

    if (batch->flags & WEIR_B_GAP)
        catalog_forget_source(remote_write->catalog, batch->source);
    record_begin(&remote_write->writer);
    for (size_t i = 0; i < batch->nsamples; i++) {
        const struct weir_sample *sample = &batch->samples[i];
        uint32_t flags = weir_sample_flags(sample);

        if (flags & WEIR_S_MARK) {
            int64_t *last_ns = group_last(remote_write, weir_sample_series(sample));

            if (last_ns && sample->time_ns > *last_ns)
                *last_ns = sample->time_ns;
        } else if (flags & WEIR_S_RELEASED) {
            catalog_forget(remote_write->catalog, weir_sample_series(sample));
        } else if (add(remote_write, sample) < 0) {
            status = -1;
        }
    }
    if (queue_record(remote_write) < 0)
        status = -1;
    return status < 0 ? host->fail(remote_write->self, WEIR_ENOMEM, "no memory: samples are missing in what is sent") : WEIR_OK;
}

static int visit_current(void *context, const struct weir_batch *batch)
{
    return consume(context, batch);
}

/* ---- The source ---------------------------------------------------------------------------------------------------------- */

struct row { /* values on their way to be published */
    struct weir_value values[FIGURES + QUEUE_OUTCOMES + SEND_STATUSES + PROTOCOLS + 2];
    size_t count;
};

static void row_u64(struct row *row, uint32_t series, uint64_t value)
{
    row->values[row->count++] = (struct weir_value){.series = series, .flags = WEIR_U64, .value.u64 = value};
}

static void row_f64(struct row *row, uint32_t series, double value)
{
    row->values[row->count++] = (struct weir_value){.series = series, .flags = WEIR_F64, .value.f64 = value};
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct remote_write *remote_write = state;
    const uint32_t *series = remote_write->series;
    struct queue_figures queue;
    struct sender_figures sender;
    struct row row = {.count = 0};
    uint64_t known[2];

    (void)pass;
    queue_figures(remote_write->queue, &queue);
    sender_figures(remote_write->sender, &sender);
    catalog_count(remote_write->catalog, &known[0], &known[1]);
    row_u64(&row, series[ACCEPTED], queue.appended);
    row_u64(&row, series[SENT], queue.outcomes[QUEUE_SENT]);
    row_u64(&row, series[RETRIED], sender.retried_samples);
    row_u64(&row, series[WRITTEN], sender.written_samples);
    row_u64(&row, series[PENDING], queue.pending);
    row_u64(&row, series[QUEUE_BYTES], queue.bytes);
    row_u64(&row, series[QUEUE_MEMORY], queue.memory_bytes);
    row_u64(&row, series[QUEUE_SEGMENTS], queue.segments);
    row_f64(&row, series[QUEUE_OLDEST], queue.oldest_ms ? (double)(wall_ms(NULL) - queue.oldest_ms) / 1e3 : 0);
    row_u64(&row, series[WRITE_FAILURES], queue.write_failures);
    row_u64(&row, series[SYNC_FAILURES], queue.sync_failures);
    row_f64(&row, series[ENQUEUED_TIME], (double)queue.newest_ms / 1e3);
    row_f64(&row, series[ACKED_TIME], (double)sender.acked_ms / 1e3);
    row_f64(&row, series[BACKOFF], sender.backoff_seconds);
    row_u64(&row, series[HELD], sender.held);
    row_u64(&row, series[BYTES], sender.bytes);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        if (i != QUEUE_SENT)
            row_u64(&row, remote_write->outcomes[i], queue.outcomes[i]);
    for (size_t i = 0; i < SEND_STATUSES; i++)
        row_u64(&row, remote_write->statuses[i], sender.requests[i]);
    for (size_t i = 0; i < PROTOCOLS; i++)
        row_u64(&row, remote_write->versions[i], sender.protocol == i);
    for (size_t i = 0; i < 2; i++)
        row_u64(&row, remote_write->known[i], known[i]);
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

/* "name=value" each; into labels if these are wanted. */
static int external_labels(struct weir_self *self, const struct weir_list *list, struct weir_label *labels)
{
    for (size_t i = 0; i < list->count; i++) {
        const char *text = list->items[i], *equals = strchr(text, '=');
        size_t length = equals ? (size_t)(equals - text) : 0;
        char *name = strndup(text, length);
        bool good = name && length && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == length &&
                    !strchr("0123456789", *name) && strncmp(name, "__", 2) != 0;

        if (good && labels)
            labels[i] = (struct weir_label){name, equals + 1};
        else
            free(name);
        if (!good)
            return host->fail(self, WEIR_ECONFIG, "external_labels: \"%s\" is not a label, such as \"cluster=orders\"", text);
    }
    return WEIR_OK;
}

static int check(struct weir_self *self, const void *given)
{
    const struct remote_write_config *config = given;
    struct relabel *relabel;
    char why[512];
    int status = check_url(self, "url", config->url, false);

    if (status == WEIR_OK && config->proxy)
        status = check_url(self, "proxy", config->proxy, true);
    if (status == WEIR_OK)
        status = check_headers(self, config);
    if (status == WEIR_OK)
        status = external_labels(self, &config->external_labels, NULL);
    if (status < 0)
        return status;
    if (!config->queue_dir && strchr(host->name(self), '/'))
        return host->fail(self, WEIR_ECONFIG, "queue_dir: the title cannot be a directory's name; give queue_dir");
    if (!config->username != !config->password)
        return host->fail(self, WEIR_ECONFIG, "%s is missing", config->username ? "password_file" : "username");
    if (config->username && config->bearer_token)
        return host->fail(self, WEIR_ECONFIG, "username and bearer_token: there can be only one of them");
    if (config->tls_key_file && !config->tls_cert_file)
        return host->fail(self, WEIR_ECONFIG, "tls_cert_file is missing");
    relabel = relabel_new(config->relabel.rows, config->relabel.count, why, sizeof(why));
    if (!relabel)
        return host->fail(self, WEIR_ECONFIG, "%s", why);
    relabel_free(relabel);
    return WEIR_OK;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

/* One series for each value of a label. */
static int series_of(struct remote_write *remote_write, const struct weir_family *family, const char *label,
                     const char *const *values,
                     size_t count, uint32_t *handles)
{
    struct weir_label labels[] = {{"endpoint", endpoint(remote_write)}, {label, NULL}};
    uint32_t id;
    int status = host->family(remote_write->self, family, &id);

    for (size_t i = 0; i < count && status >= 0; i++) {
        labels[1].value = values[i];
        status = host->series(remote_write->self, remote_write->group, labels, 2, &id, 1, &handles[i]);
    }
    return status;
}

static int figures_make(struct remote_write *remote_write)
{
    const struct weir_group group = {.size = sizeof(group), .name = "remote_write"};
    const struct weir_label label = {"endpoint", endpoint(remote_write)};
    uint32_t ids[FIGURES];
    int status = host->group(remote_write->self, &group, &remote_write->group);

    for (size_t i = 0; i < FIGURES && status >= 0; i++)
        status = host->family(remote_write->self, &families[i], &ids[i]);
    if (status >= 0)
        status = host->series(remote_write->self, remote_write->group, &label, 1, ids, FIGURES, remote_write->series);
    if (status >= 0)
        status = series_of(remote_write, &labelled[FAILED], "reason", &queue_outcome_names[QUEUE_REJECTED],
                           QUEUE_FULL - QUEUE_REJECTED, &remote_write->outcomes[QUEUE_REJECTED]);
    if (status >= 0)
        status = series_of(remote_write, &labelled[DROPPED], "reason", &queue_outcome_names[QUEUE_FULL],
                           QUEUE_OUTCOMES - QUEUE_FULL,
                           &remote_write->outcomes[QUEUE_FULL]);
    if (status >= 0)
        status = series_of(remote_write, &labelled[REQUESTS], "status", status_names, SEND_STATUSES, remote_write->statuses);
    if (status >= 0)
        status = series_of(remote_write, &labelled[PROTOCOL], "version", version_names, PROTOCOLS, remote_write->versions);
    if (status >= 0)
        status = series_of(remote_write, &labelled[SERIES], "state", series_names, 2, remote_write->known);
    return status;
}

static int create(struct weir_self *self, const void *given, void **state)
{
    struct remote_write *remote_write = calloc(1, sizeof(*remote_write));
    const struct remote_write_config *config = given;
    const struct header_row *rows = config->headers.rows;
    struct catalog_options catalog;
    char why[512];

    if (!remote_write)
        return WEIR_ENOMEM;
    *state = remote_write;
    remote_write->self = self;
    remote_write->config = config;
    record_writer_init(&remote_write->writer, QUEUE_HEADER);
    if (config->queue_dir)
        remote_write->directory = strdup(config->queue_dir);
    else if (asprintf(&remote_write->directory, "%s%s", QUEUE_DIR, endpoint(remote_write)) < 0)
        remote_write->directory = NULL;
    remote_write->external = calloc(config->external_labels.count + 1, sizeof(*remote_write->external));
    if (!remote_write->directory || !remote_write->external)
        return WEIR_ENOMEM;
    remote_write->nexternal = config->external_labels.count;
    if (external_labels(self, &config->external_labels, remote_write->external) < 0)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < config->headers.count; i++)
        remote_write->headers[i] = (struct send_header){.name = rows[i].name, .secret = SEND_HEADERS + (int)i};
    if (gethostname(remote_write->hostname, sizeof(remote_write->hostname) - 1) < 0 || !*remote_write->hostname)
        strcpy(remote_write->hostname, "localhost");
    remote_write->relabel = relabel_new(config->relabel.rows, config->relabel.count, why, sizeof(why));
    if (!remote_write->relabel)
        return host->fail(self, WEIR_EFAIL, "%s", why);
    catalog = (struct catalog_options){.job = config->job, .instance = config->instance ? config->instance : remote_write->hostname,
                                       .external = remote_write->external, .nexternal = remote_write->nexternal};
    remote_write->catalog = catalog_new(host, self, &catalog, remote_write->relabel);
    return remote_write->catalog ? figures_make(remote_write) : WEIR_ENOMEM;
}

static int start(void *state)
{
    struct remote_write *remote_write = state;
    const struct remote_write_config *config = remote_write->config;
    const struct queue_options queue = {.directory = remote_write->directory, .max_bytes = (uint64_t)config->queue_max_bytes,
                                        .reserve_bytes = (uint64_t)config->queue_reserve_bytes,
                                        .max_age_ms = config->queue_max_age_ns / 1000000, .now_ms = wall_ms, .tell = tell,
                                        .context = remote_write};
    const struct send_options send = {
        .url = config->url, .user_agent = "weir/" WEIR_VERSION, .protocol = (enum send_protocol)config->protocol,
        .shards = (uint32_t)config->shards, .max_samples = (uint64_t)config->max_samples,
        .deadline_ms = config->batch_deadline_ns / 1000000, .timeout_ms = config->request_timeout_ns / 1000000,
        .max_age_ms = config->queue_max_age_ns / 1000000, .drop_unauthorized = config->on_auth_error == 1,
        .username = config->username, .has_bearer = config->bearer_token != NULL, .headers = remote_write->headers,
        .nheaders = config->headers.count, .ca_file = config->tls_ca_file, .cert_file = config->tls_cert_file,
        .key_file = config->tls_key_file, .proxy = config->proxy, .verify = config->tls_verify, .wall_ns = host->wall_ns,
        .now_ns = host->now_ns, .secret = secret, .tell = tell, .context = remote_write};
    char why[QUEUE_WHY_MAX];

    if (queue_open(&remote_write->queue, &queue, why, sizeof(why)) < 0)
        return host->fail(remote_write->self, WEIR_EFAIL, "%s", why);
    if (sender_start(&remote_write->sender, &send, remote_write->queue) < 0) {
        queue_close(remote_write->queue);
        remote_write->queue = NULL;
        return host->fail(remote_write->self, WEIR_ENOMEM, "no memory, or no thread, for the sender");
    }
    return host->current(remote_write->self, visit_current, remote_write);
}

static int stop(void *state)
{
    struct remote_write *remote_write = state;

    if (remote_write->sender)
        sender_stop(remote_write->sender, host->now_ns() + DRAIN_NS);
    if (remote_write->queue)
        queue_close(remote_write->queue);
    remote_write->sender = NULL;
    remote_write->queue = NULL;
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct remote_write *remote_write = state;

    (void)stop(state);
    for (size_t i = 0; remote_write->external && i < remote_write->nexternal; i++)
        free((char *)(uintptr_t)remote_write->external[i].name);
    free(remote_write->external);
    catalog_free(remote_write->catalog);
    relabel_free(remote_write->relabel);
    record_writer_free(&remote_write->writer);
    free(remote_write->groups);
    free(remote_write->directory);
    free(remote_write);
}

/* ---- Commands ------------------------------------------------------------------------------------------------------------ */

struct listing {
    struct weir_call *call;
    int64_t now_ms;
    uint64_t damaged_places, lost_samples;
};

static void list_segment(void *context, const struct queue_segment_report *segment)
{
    struct listing *listing = context;

    listing->damaged_places += segment->damaged_places;
    listing->lost_samples += segment->lost_samples;
    host->print(listing->call, 1, "%s  %10llu bytes  %8llu records  %10llu samples  %s", segment->name,
                (unsigned long long)segment->bytes,
                (unsigned long long)segment->records, (unsigned long long)segment->samples,
                segment->settled ? "settled" : "waiting");
    if (segment->damaged_places || segment->lost_samples)
        host->print(listing->call, 1, "  DAMAGED in %llu places, %llu samples are lost",
                    (unsigned long long)segment->damaged_places,
                    (unsigned long long)segment->lost_samples);
    host->print(listing->call, 1, "\n");
}

/* Of the running collector. */
static int sender_command(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    const struct remote_write *remote_write = state;
    const int64_t now = host->now_ns();
    struct sender_figures is;
    char answer[32] = "no answer";

    (void)argv;
    if (argc > 1) {
        host->print(call, 2, "usage: weir remote_write/%s sender\n", endpoint(remote_write));
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
    struct listing listing = {.call = call, .now_ms = wall_ms(NULL)};
    const bool whole = argc == 2 && strcmp(argv[1], "verify") == 0;
    struct queue_report report;
    char why[QUEUE_WHY_MAX];

    if (argc > 2 || (argc == 2 && !whole)) {
        host->print(call, 2, "usage: weir remote_write/%s queue [verify]\n", endpoint(remote_write));
        return 2;
    }
    if (queue_inspect(remote_write->directory, whole, list_segment, &listing, &report, why, sizeof(why)) < 0) {
        host->print(call, 2, "weir: %s\n", why);
        return 1;
    }
    host->print(call, 1, "%s: %s, %llu bytes in %llu segments\n", remote_write->directory,
                report.locked ? "in use by a collector" : "not in use", (unsigned long long)report.figures.bytes,
                (unsigned long long)report.figures.segments);
    if (!report.checkpoint)
        host->print(call, 1, "there is no intact checkpoint: everything in the queue would be sent\n");
    if (report.foreign)
        host->print(call, 1, "%llu files are not the queue's\n", (unsigned long long)report.foreign);
    host->print(call, 1, "%llu samples accepted, %llu pending%s", (unsigned long long)report.figures.appended,
                (unsigned long long)report.figures.pending, report.flying ? ", some of them on their way" : "");
    if (report.figures.oldest_ms)
        host->print(call, 1, ", the oldest for %.0f s", (double)(listing.now_ms - report.figures.oldest_ms) / 1e3);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        host->print(call, 1, ", %llu %s", (unsigned long long)report.figures.outcomes[i], queue_outcome_names[i]);
    host->print(call, 1, "\n");
    if (!whole)
        return 0;
    if (listing.damaged_places || listing.lost_samples)
        host->print(call, 1, "damaged in %llu places: %llu samples are lost, all others can be sent\n",
                    (unsigned long long)listing.damaged_places, (unsigned long long)listing.lost_samples);
    else
        host->print(call, 1, "every record is intact\n");
    return listing.damaged_places || listing.lost_samples ? 1 : 0;
}

static const struct weir_command commands[] = {
    {.name = "queue", .arguments = "[verify]", .summary = "shows what waits to be sent; verify reads and checks every byte of it",
     .run = queue_command, .flags = WEIR_OFFLINE},
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
