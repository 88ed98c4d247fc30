/* statsd.c - pushes samples as lines of StatsD or DogStatsD, by UDP or a unix socket: options, life, the ledger.
 *
 * A sample becomes a line as it is consumed (buckets.h has the text, counter.h the delta, packets.h the datagram); datagrams
 * leave when there are enough of them, and with each flush (endpoint.h).  Every sample is counted when it comes and once more
 * when it is sent, skipped or dropped; what is in neither is held.
 * Threads: the instance's own; endpoint.h has the one for names.
 */
#include "buckets.h"
#include "endpoint.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS INT64_C(1000000000)
#define DATAGRAM_UDP 1432  /* an Ethernet's MTU less headers, as statsd's documentation has it */
#define DATAGRAM_UNIX 8192 /* as DogStatsD's */
#define RATE_MIN 65536

enum negative_gauges { NEGATIVE_AUTO, NEGATIVE_ZERO_FIRST, NEGATIVE_PLAIN };
enum counters { COUNTERS_DELTA, COUNTERS_GAUGE };
struct statsd_config {
    const char *address;
    struct naming_options naming;
    int64_t counters, negative_gauges;
    int64_t datagram_max, rate_bytes, timeout_ns, resolve_ns;
};
#define AT(field) .offset = offsetof(struct statsd_config, field)
static const char *const dialects[] = {"statsd", "dogstatsd", NULL}; /* enum naming_dialect */
static const char *const counter_choices[] = {"delta", "gauge", NULL};
static const char *const negative_choices[] = {"auto", "zero_first", "plain", NULL};
static const struct weir_option options[] = {
    {.name = "address", .type = WEIR_STRING, .flags = WEIR_REQUIRED | WEIR_RELOADABLE, .min = 1, .max = 512, AT(address),
     .help = "Where to: host:port, by UDP, or unix:/path, a socket for datagrams."},
    {.name = "dialect", .type = WEIR_ENUM, .choices = dialects, .dflt = "statsd", .flags = WEIR_RELOADABLE, AT(naming.dialect),
     .help = "dogstatsd sends labels as tags; statsd has none, and labels go into the names."},
    {.name = "template", .type = WEIR_STRING, .flags = WEIR_RELOADABLE, .min = 1, .max = 512, AT(naming.template),
     .help = "How names are made: {name}, {labels} (those not named, as label.value), {LABEL} (one's value); \"{name}.{labels}\", "
             "or for dogstatsd \"{name}\", if unset."},
    {.name = "metrics", .type = WEIR_LIST, .dflt = "{ \"*\" }", .flags = WEIR_RELOADABLE, AT(naming.metrics),
     .help = "What is sent: names or patterns of metrics, \"!\" takes away; the last one that fits decides."},
    {.name = "tags", .type = WEIR_LIST, .flags = WEIR_RELOADABLE, .max = 50, AT(naming.tags),
     .help = "Tags of every line in dogstatsd, such as { \"env:prod\" }."},
    {.name = "counters", .type = WEIR_ENUM, .choices = counter_choices, .dflt = "delta", .flags = WEIR_RELOADABLE, AT(counters),
     .help = "delta sends what was counted since the last time; gauge the sum so far, which survives lost datagrams."},
    {.name = "negative_gauges", .type = WEIR_ENUM, .choices = negative_choices, .dflt = "auto", .flags = WEIR_RELOADABLE,
     AT(negative_gauges),
     .help = "A sign means a change to most servers: zero_first sets 0 before, in the same datagram; plain does not, as Datadog "
             "needs it; auto goes by the dialect."},
    {.name = "datagram_max", .type = WEIR_SIZE, .flags = WEIR_RELOADABLE, .min = 64, .max = PACKETS_DATAGRAM_MAX, AT(datagram_max),
     .help = "Bytes of a datagram at most; 1432 by UDP and 8192 by a unix socket, if unset."},
    {.name = "max_rate", .type = WEIR_SIZE, .dflt = "8MiB", .flags = WEIR_RELOADABLE, .min = 0, .max = INT64_C(1) << 40,
     AT(rate_bytes),
     .help = "Bytes per second at most, so that the receiver's buffer does not overflow; 0 for as fast as it goes."},
    {.name = "send_timeout", .type = WEIR_DURATION, .dflt = "1s", .flags = WEIR_RELOADABLE, .min = 0, .max = 5 * SECOND_NS,
     AT(timeout_ns), .help = "How long a full socket, or a name at the start, is waited for."},
    {.name = "resolve_interval", .type = WEIR_DURATION, .dflt = "1m", .flags = WEIR_RELOADABLE, .min = SECOND_NS,
     .max = 86400 * SECOND_NS, AT(resolve_ns), .help = "How often a host's name is looked up again."},
    {.name = NULL}};

/* ---- Figures ----------------------------------------------------------------------------------------------------- */

enum drop { /* as enum endpoint_outcome, then what was wrong before */
    DROP_INVALID = ENDPOINT_OUTCOMES, DROP_COLLISION, DROP_UNKNOWN, DROPS
};
static const char *const drop_names[DROPS] = {
    [ENDPOINT_UNRESOLVED] = "unresolved", [ENDPOINT_REFUSED] = "refused", [ENDPOINT_FULL] = "full", [ENDPOINT_PACED] = "paced",
    [ENDPOINT_TOO_LONG] = "too_long", [ENDPOINT_FAILED] = "failed", [DROP_INVALID] = "invalid", [DROP_COLLISION] = "collision",
    [DROP_UNKNOWN] = "unknown"};
#define DROP_FIRST ENDPOINT_UNRESOLVED
enum skip { SKIP_BASELINE, SKIP_UNCHANGED, SKIP_FILTERED, SKIP_KIND, SKIPS };
static const char *const skip_names[SKIPS] = {"baseline", "unchanged", "filtered", "kind"};
static const char *const state_names[BUCKET_STATES] = {
    [BUCKET_SENT] = "sent", [BUCKET_FILTERED] = "filtered", [BUCKET_KIND] = "kind", [BUCKET_COLLISION] = "collision",
    [BUCKET_TOO_LONG] = "too_long"};

enum { /* with the label endpoint alone */
    SAMPLES, SENT, HELD, LINES, DATAGRAMS, BYTES, REFUSALS, LOOKUPS, LOOKUP_FAILURES, FIGURES
};
#define COUNTER(its_name, its_unit, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "weir_statsd_" its_name, .unit = its_unit, .help = its_help}
#define GAUGE(its_name, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "weir_statsd_" its_name, .help = its_help}
static const struct weir_family families[FIGURES] = {
    [SAMPLES] = COUNTER("samples_total", NULL, "Samples that came; sent, dropped, skipped and held add up to them"),
    [SENT] = COUNTER("samples_sent_total", NULL, "Samples in datagrams that have left"),
    [HELD] = GAUGE("samples_held", "Samples in datagrams that have not been sent yet"),
    [LINES] = COUNTER("lines_sent_total", NULL, "Lines sent; a negative gauge may need two"),
    [DATAGRAMS] = COUNTER("datagrams_sent_total", NULL, "Datagrams sent"),
    [BYTES] = COUNTER("sent_bytes_total", "bytes", "Bytes of datagrams sent"),
    [REFUSALS] = COUNTER("refusals_total", NULL,
                         "Times that the receiver's host said that nobody listens; what was sent just before was lost"),
    [LOOKUPS] = COUNTER("lookups_total", NULL, "Times that the host's name was looked up"),
    [LOOKUP_FAILURES] = COUNTER("lookup_failures_total", NULL, "Lookups that found no address"),
};
enum { DROPPED, SKIPPED, SERIES, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [DROPPED] = COUNTER("samples_dropped_total", NULL, "Samples that could not be sent"),
    [SKIPPED] = COUNTER("samples_skipped_total", NULL, "Samples that there was nothing to send of"),
    [SERIES] = GAUGE("series", "Series known, sent and not sent"),
};

struct statsd {
    struct weir_self *self;
    const struct statsd_config *config;
    struct naming *naming;
    struct buckets *buckets;
    struct packets packets;
    struct endpoint *endpoint; /* between start and stop */
    bool zero_first;
    int64_t *groups;           /* time of each group's last pass, by its id */
    uint32_t groups_room;
    uint64_t samples, sent, dropped[DROPS], skipped[SKIPS];
    struct endpoint_figures figures;
    uint32_t group, series[FIGURES], drops[DROPS], skips[SKIPS], states[BUCKET_STATES];
};

static const struct weir_host *host;

/* ---- Datagrams --------------------------------------------------------------------------------------------------- */

static void give_back(struct statsd *statsd, const struct packets_sample *sample)
{
    struct bucket *bucket = sample->counter ? buckets_known(statsd->buckets, sample->handle) : NULL;

    if (bucket)
        counter_give_back(&bucket->counter, &sample->delta);
}

static void send_all(struct statsd *statsd, int64_t began_ns)
{
    const struct packets *packets = &statsd->packets;
    enum endpoint_outcome outcomes[PACKETS_MAX];

    endpoint_send(statsd->endpoint, packets, began_ns, outcomes);
    for (size_t i = 0; i < packets->count; i++) {
        uint32_t first = packets_first_sample(packets, i), count = packets->ends[i] - first;

        if (outcomes[i] == ENDPOINT_SENT) {
            statsd->sent += count;
            continue;
        }
        statsd->dropped[outcomes[i]] += count;
        for (uint32_t k = 0; k < count; k++)
            give_back(statsd, &packets->samples[first + k]);
    }
    packets_clear(&statsd->packets);
}

static void add(struct statsd *statsd, const struct series_text *text, const char *number, size_t length, bool zero_first,
                const struct packets_sample *sample, int64_t began_ns)
{
    enum packets_result result = packets_add(&statsd->packets, text, number, length, zero_first, sample);

    if (result == PACKETS_FULL) {
        send_all(statsd, began_ns);
        result = packets_add(&statsd->packets, text, number, length, zero_first, sample);
    }
    if (result == PACKETS_OK)
        return;
    statsd->dropped[result == PACKETS_TOO_LONG ? (enum drop)ENDPOINT_TOO_LONG : DROP_UNKNOWN]++;
    give_back(statsd, sample);
}

/* ---- The sink ---------------------------------------------------------------------------------------------------- */

static void take_counter(struct statsd *statsd, struct bucket *bucket, const struct weir_sample *sample, int64_t began_ns)
{
    struct packets_sample line = {.handle = bucket->handle, .counter = true};
    char number[PACKETS_NUMBER_MAX];
    size_t length;

    switch (counter_take(&bucket->counter, sample, &line.delta)) {
    case COUNTER_DELTA:
        length = line.delta.integer ? packets_number_u64(number, line.delta.value.u64)
                                    : packets_number_f64(number, line.delta.value.f64);
        add(statsd, bucket->text, number, length, false, &line, began_ns);
        break;
    case COUNTER_BASELINE:
        statsd->skipped[SKIP_BASELINE]++;
        break;
    case COUNTER_UNCHANGED:
        statsd->skipped[SKIP_UNCHANGED]++;
        break;
    case COUNTER_INVALID:
        statsd->dropped[DROP_INVALID]++;
        break;
    }
}

static void take_gauge(struct statsd *statsd, const struct bucket *bucket, const struct weir_sample *sample,
                       int64_t began_ns)
{
    const struct packets_sample line = {.handle = bucket->handle};
    const double value = weir_sample_f64(sample);
    char number[PACKETS_NUMBER_MAX];
    size_t length;

    if (!isfinite(value)) {
        statsd->dropped[DROP_INVALID]++;
        return;
    }
    length = weir_sample_flags(sample) & WEIR_S_U64 ? packets_number_u64(number, sample->bits) : packets_number_f64(number, value);
    add(statsd, bucket->text, number, length, value < 0 && statsd->zero_first, &line, began_ns);
}

/* NULL: no memory. */
static int64_t *group_last(struct statsd *statsd, uint32_t group)
{
    if (group >= statsd->groups_room) {
        uint32_t room = group + group / 2 + 64;
        int64_t *larger = realloc(statsd->groups, room * sizeof(*larger));

        if (!larger)
            return NULL;
        memset(larger + statsd->groups_room, 0, (room - statsd->groups_room) * sizeof(*larger));
        statsd->groups = larger;
        statsd->groups_room = room;
    }
    return &statsd->groups[group];
}

static void take(struct statsd *statsd, const struct weir_sample *sample, int64_t began_ns)
{
    struct bucket *bucket = buckets_get(statsd->buckets, weir_sample_series(sample));
    const int64_t *last_ns = bucket ? group_last(statsd, bucket->group) : NULL;
    struct counter_delta delta;

    if (last_ns && sample->time_ns <= *last_ns) { /* it has been taken already; after a gap it is a baseline again */
        if (bucket->is_counter && !bucket->counter.known)
            (void)counter_take(&bucket->counter, sample, &delta);
        return;
    }
    statsd->samples++;
    if (!last_ns) {
        statsd->dropped[DROP_UNKNOWN]++;
        return;
    }
    switch ((enum bucket_state)bucket->state) {
    case BUCKET_SENT:
        if (bucket->is_counter)
            take_counter(statsd, bucket, sample, began_ns);
        else
            take_gauge(statsd, bucket, sample, began_ns);
        break;
    case BUCKET_FILTERED:
        statsd->skipped[SKIP_FILTERED]++;
        break;
    case BUCKET_KIND:
        statsd->skipped[SKIP_KIND]++;
        break;
    case BUCKET_COLLISION:
        statsd->dropped[DROP_COLLISION]++;
        break;
    default:
        statsd->dropped[ENDPOINT_TOO_LONG]++;
    }
}

static int consume(void *state, const struct weir_batch *batch)
{
    struct statsd *statsd = state;
    const int64_t began_ns = host->now_ns();

    if (batch->flags & WEIR_B_GAP)
        buckets_forget_source(statsd->buckets, batch->source);
    for (size_t i = 0; i < batch->nsamples; i++) {
        const struct weir_sample *sample = &batch->samples[i];
        const uint32_t flags = weir_sample_flags(sample);

        if (flags & WEIR_S_MARK) {
            int64_t *last_ns = group_last(statsd, weir_sample_series(sample));

            if (last_ns && sample->time_ns > *last_ns)
                *last_ns = sample->time_ns;
        } else if (flags & WEIR_S_RELEASED) {
            buckets_forget(statsd->buckets, weir_sample_series(sample));
        } else if (!(flags & (WEIR_S_STALE | WEIR_S_EXEMPLAR))) {
            take(statsd, sample, began_ns);
        }
    }
    return WEIR_OK;
}

static int flush(void *state, int64_t deadline_ns)
{
    struct statsd *statsd = state;

    (void)deadline_ns; /* send_timeout is shorter */
    if (statsd->packets.count)
        send_all(statsd, host->now_ns());
    endpoint_cycle(statsd->endpoint);
    return WEIR_OK;
}

static int visit_current(void *context, const struct weir_batch *batch)
{
    return consume(context, batch);
}

/* ---- The source -------------------------------------------------------------------------------------------------- */

struct row { /* values on their way to be published */
    struct weir_value values[FIGURES + DROPS + SKIPS + BUCKET_STATES];
    size_t count;
};

static void row_add(struct row *row, uint32_t series, uint64_t value)
{
    row->values[row->count++] = (struct weir_value){.series = series, .flags = WEIR_U64, .value.u64 = value};
}

static int collect(void *state, const struct weir_pass *pass)
{
    const struct statsd *statsd = state;
    const uint64_t *counts = buckets_counts(statsd->buckets);
    const uint64_t values[FIGURES] = {
        [SAMPLES] = statsd->samples, [SENT] = statsd->sent, [HELD] = statsd->packets.nsamples, [LINES] = statsd->figures.lines,
        [DATAGRAMS] = statsd->figures.datagrams, [BYTES] = statsd->figures.bytes, [REFUSALS] = statsd->figures.refusals,
        [LOOKUPS] = statsd->figures.lookups, [LOOKUP_FAILURES] = statsd->figures.lookup_failures};
    struct row row = {.count = 0};

    (void)pass;
    for (size_t i = 0; i < FIGURES; i++)
        row_add(&row, statsd->series[i], values[i]);
    for (size_t i = DROP_FIRST; i < DROPS; i++)
        row_add(&row, statsd->drops[i], statsd->dropped[i]);
    for (size_t i = 0; i < SKIPS; i++)
        row_add(&row, statsd->skips[i], statsd->skipped[i]);
    for (size_t i = BUCKET_SENT; i < BUCKET_STATES; i++)
        row_add(&row, statsd->states[i], counts[i]);
    return host->publish(statsd->self, row.values, row.count);
}

/* ---- Life -------------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    const struct statsd_config *config = given;
    const char *wrong = endpoint_check(config->address);
    struct naming *naming;
    char why[512];

    if (wrong)
        return host->fail(self, WEIR_ECONFIG, "address: \"%s\": %s", config->address, wrong);
    if (config->rate_bytes && config->rate_bytes < RATE_MIN)
        return host->fail(self, WEIR_ECONFIG, "max_rate: less than 64KiB per second is not possible; 0 is without a limit");
    naming = naming_new(&config->naming, why, sizeof(why));
    if (!naming)
        return *why ? host->fail(self, WEIR_ECONFIG, "%s", why) : WEIR_ENOMEM;
    naming_free(naming);
    return WEIR_OK;
}

/* One series for each value of a label. */
static int series_of(struct statsd *statsd, const struct weir_family *family, const char *label, const char *const *values,
                     size_t count, uint32_t *handles)
{
    struct weir_label labels[] = {{"endpoint", host->name(statsd->self)}, {label, NULL}};
    uint32_t id;
    int status = host->family(statsd->self, family, &id);

    for (size_t i = 0; i < count && status >= 0; i++) {
        labels[1].value = values[i];
        status = host->series(statsd->self, statsd->group, labels, 2, &id, 1, &handles[i]);
    }
    return status;
}

static int figures_make(struct statsd *statsd)
{
    const struct weir_group group = {.size = sizeof(group), .name = "statsd"};
    const struct weir_label label = {"endpoint", host->name(statsd->self)};
    uint32_t ids[FIGURES];
    int status = host->group(statsd->self, &group, &statsd->group);

    for (size_t i = 0; i < FIGURES && status >= 0; i++)
        status = host->family(statsd->self, &families[i], &ids[i]);
    if (status >= 0)
        status = host->series(statsd->self, statsd->group, &label, 1, ids, FIGURES, statsd->series);
    if (status >= 0)
        status = series_of(statsd, &labelled[DROPPED], "reason", &drop_names[DROP_FIRST], DROPS - DROP_FIRST,
                           &statsd->drops[DROP_FIRST]);
    if (status >= 0)
        status = series_of(statsd, &labelled[SKIPPED], "reason", skip_names, SKIPS, statsd->skips);
    if (status >= 0)
        status = series_of(statsd, &labelled[SERIES], "state", &state_names[BUCKET_SENT], BUCKET_STATES - BUCKET_SENT,
                           &statsd->states[BUCKET_SENT]);
    return status;
}

/* What is made of a config; NULL: no memory. */
static struct naming *make_naming(const struct statsd_config *config)
{
    char why[512];

    return naming_new(&config->naming, why, sizeof(why));
}

static bool make_packets(const struct statsd_config *config, struct packets *packets)
{
    return packets_init(packets, config->datagram_max                 ? (size_t)config->datagram_max
                                 : endpoint_is_unix(config->address) ? DATAGRAM_UNIX
                                                                      : DATAGRAM_UDP);
}

static struct endpoint *make_endpoint(struct statsd *statsd, const struct statsd_config *config)
{
    const struct endpoint_options endpoint = {.address = config->address, .rate_bytes = config->rate_bytes,
                                              .timeout_ns = config->timeout_ns, .resolve_ns = config->resolve_ns,
                                              .figures = &statsd->figures};

    return endpoint_new(host, statsd->self, &endpoint);
}

static bool info_is_sent(const struct statsd_config *config)
{
    return config->naming.dialect == NAMING_DOGSTATSD; /* elsewhere all that it says would be in its name */
}

static bool is_zero_first(const struct statsd_config *config)
{
    return config->negative_gauges == NEGATIVE_ZERO_FIRST ||
           (config->negative_gauges == NEGATIVE_AUTO && config->naming.dialect == NAMING_STATSD);
}

static int create(struct weir_self *self, const void *given, void **state)
{
    const struct statsd_config *config = given;
    struct statsd *statsd = calloc(1, sizeof(*statsd));

    if (!statsd)
        return WEIR_ENOMEM;
    *state = statsd;
    statsd->self = self;
    statsd->config = config;
    statsd->zero_first = is_zero_first(config);
    statsd->naming = make_naming(config);
    if (!statsd->naming || !make_packets(config, &statsd->packets))
        return WEIR_ENOMEM;
    statsd->buckets = buckets_new(host, self, statsd->naming, info_is_sent(config), config->counters == COUNTERS_GAUGE);
    return statsd->buckets ? figures_make(statsd) : WEIR_ENOMEM;
}

static int start(void *state)
{
    struct statsd *statsd = state;

    statsd->endpoint = make_endpoint(statsd, statsd->config);
    if (!statsd->endpoint)
        return WEIR_ENOMEM;
    endpoint_open(statsd->endpoint);
    return host->current(statsd->self, visit_current, statsd);
}

/* Counters go on, so that a reload costs no counts. */
static int reconfigure(void *state, const void *given)
{
    const struct statsd_config *config = given;
    struct statsd *statsd = state;
    struct naming *naming = make_naming(config);
    struct endpoint *endpoint = make_endpoint(statsd, config);
    struct packets packets;
    bool packed = make_packets(config, &packets);

    if (!naming || !endpoint || !packed) {
        naming_free(naming);
        endpoint_free(endpoint);
        packets_free(&packets);
        return WEIR_ENOMEM;
    }
    (void)flush(statsd, 0);
    endpoint_free(statsd->endpoint);
    packets_free(&statsd->packets);
    statsd->config = config;
    statsd->zero_first = is_zero_first(config);
    statsd->endpoint = endpoint;
    statsd->packets = packets;
    buckets_rename(statsd->buckets, naming, info_is_sent(config), config->counters == COUNTERS_GAUGE);
    naming_free(statsd->naming);
    statsd->naming = naming;
    endpoint_open(endpoint);
    return WEIR_OK;
}

static int stop(void *state)
{
    struct statsd *statsd = state;

    endpoint_free(statsd->endpoint);
    statsd->endpoint = NULL;
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct statsd *statsd = state;

    (void)stop(state);
    packets_free(&statsd->packets);
    buckets_free(statsd->buckets);
    naming_free(statsd->naming);
    free(statsd->groups);
    free(statsd);
}

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK | WEIR_SOURCE,
    .name = "statsd",
    .version = WEIR_VERSION,
    .summary = "pushes to StatsD, Datadog, Telegraf and others",
    .options = options,
    .option_stride = sizeof(options[0]),
    .config_size = sizeof(struct statsd_config),
    .check = check,
    .create = create,
    .start = start,
    .reconfigure = reconfigure,
    .collect = collect,
    .consume = consume,
    .flush = flush,
    .stop = stop,
    .destroy = destroy,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
