/* push.c - options, sink, figures and command of what pushes through a queue; push.h is the contract. */
#include "push.h"

#include "catalog.h"
#include "record.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNC_NS INT64_C(1000000000)

struct group { /* by its id */
    int64_t last_ns; /* of its last pass that is in the queue */
    /* A snapshot that waits for the group's next news: passes that the ring still has from before it come first. */
    struct weir_sample *held;
    size_t nheld;
    uint32_t source;
};
/* With the label endpoint alone. */
enum {
    ACCEPTED, SENT, PENDING, QUEUE_BYTES, QUEUE_MEMORY, QUEUE_SEGMENTS, QUEUE_OLDEST, WRITE_FAILURES, SYNC_FAILURES, ENQUEUED_TIME,
    ACKED_TIME, RETRIED, BACKOFF, BYTES, FIGURES
};
struct push {
    const struct weir_host *host;
    struct weir_self *self;
    const struct push_config *config;
    bool (*takes)(void *context, const struct weir_sample *sample);
    void *context;
    bool exemplars; /* wanted */
    uint32_t added; /* the handle of the record before, if that is a value which was added: those behind it are its exemplars */
    char *directory;
    char hostname[256];
    struct weir_label *external;
    size_t nexternal;
    struct relabel *relabel;
    struct catalog *catalog;
    struct record_writer writer;
    struct queue *queue; /* between start and stop, as is the syncer */
    pthread_t syncer;
    pthread_mutex_t lock; /* over stopping */
    pthread_cond_t stopped;
    bool stopping;
    struct group *groups;
    uint32_t groups_room, holding; /* how many have a snapshot that waits */
    uint32_t group, series[FIGURES], outcomes[QUEUE_OUTCOMES], known[2];
};

#define RULE(field) .offset = offsetof(struct relabel_rule, field)
const struct weir_option push_rule_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, RULE(name)},
    {.name = "action", .type = WEIR_ENUM, .choices = relabel_action_names, .dflt = "replace", RULE(action),
     .help = "What is done: keep or drop series, replace a label's value, rename labels (labelmap), keep or drop labels."},
    {.name = "source_labels", .type = WEIR_LIST, .max = 16, RULE(source_labels),
     .help = "Labels of which the values are joined and matched; __name__ is the metric's name."},
    {.name = "separator", .type = WEIR_STRING, .dflt = ";", .min = 0, .max = 64, RULE(separator),
     .help = "What is put between them."},
    {.name = "regex", .type = WEIR_STRING, .dflt = "(.*)", .min = 1, .max = 4096, RULE(regex),
     .help = "POSIX extended regular expression, which has to match the whole text; for the label actions, of labels' names."},
    {.name = "target_label", .type = WEIR_STRING, .min = 1, .max = 256, RULE(target_label),
     .help = "The label that replace sets; __name__ renames the metric."},
    {.name = "replacement", .type = WEIR_STRING, .dflt = "$1", .min = 0, .max = 4096, RULE(replacement),
     .help = "Its new value, or for labelmap the new name; $1 is the first group of regex."},
    {.name = NULL}};

static const struct weir_family families[FIGURES] = {
    [ACCEPTED] = PUSH_COUNTER("samples_accepted_total", NULL,
                              "Samples taken into the queue; sent, failed, dropped and pending add up to them"),
    [SENT] = PUSH_COUNTER("samples_sent_total", NULL, "Samples that the receiver has taken"),
    [PENDING] = PUSH_GAUGE("samples_pending", NULL, "Samples that wait in the queue or are on their way"),
    [QUEUE_BYTES] = PUSH_GAUGE("queue_bytes", "bytes", "Size of the queue"),
    [QUEUE_MEMORY] = PUSH_GAUGE("queue_memory_bytes", "bytes", "What of the queue is in memory, as the disk does not take it"),
    [QUEUE_SEGMENTS] = PUSH_GAUGE("queue_segments", NULL, "Files of the queue"),
    [QUEUE_OLDEST] = PUSH_GAUGE("queue_oldest_seconds", "seconds",
                                "Age of the oldest sample that waits to be taken from the queue"),
    [WRITE_FAILURES] = PUSH_COUNTER("queue_write_failures_total", NULL, "Writes to the queue's files that failed"),
    [SYNC_FAILURES] = PUSH_COUNTER("queue_sync_failures_total", NULL, "Syncs of the queue's files that failed"),
    [ENQUEUED_TIME] = PUSH_GAUGE("highest_enqueued_timestamp_seconds", "seconds", "When the newest sample came into the queue"),
    [ACKED_TIME] = PUSH_GAUGE("highest_acked_timestamp_seconds", "seconds",
                              "When the newest sample that has arrived had come into the queue"),
    [RETRIED] = PUSH_COUNTER("samples_retried_total", NULL, "Samples that were sent again"),
    [BACKOFF] = PUSH_GAUGE("backoff_seconds", "seconds", "Until the next attempt, after one that failed"),
    [BYTES] = PUSH_COUNTER("sent_bytes_total", "bytes", "Bytes sent, as they went, attempts that failed included"),
};
enum { FAILED, DROPPED, SERIES, LABELLED }; /* with one label more */
static const struct weir_family labelled[LABELLED] = {
    [FAILED] = PUSH_COUNTER("samples_failed_total", NULL, "Samples that the receiver has refused for good"),
    [DROPPED] = PUSH_COUNTER("samples_dropped_total", NULL, "Samples given up before the receiver had them"),
    [SERIES] = PUSH_GAUGE("series", NULL, "Series known, sent and kept back by rules"),
};
static const char *const series_names[] = {"sent", "filtered"};
_Static_assert(PUSH_VALUES_MAX == FIGURES + QUEUE_OUTCOMES - 1 + 2, "sent is one of the figures; two states of series");

static const char *endpoint(const struct push *push)
{
    return push->host->name(push->self);
}

/* ---- What the queue and the sender ask for ------------------------------------------------------------------------------- */

static int64_t wall_ms(void *context)
{
    const struct push *push = context;

    return push->host->wall_ns() / 1000000;
}

static void tell(void *context, bool bad, const char *text)
{
    const struct push *push = context;

    push->host->log(push->self, bad ? WEIR_WARNING : WEIR_NOTICE, "%s", text);
}

/* ---- The sink ------------------------------------------------------------------------------------------------------------ */

static int queue_record(struct push *push)
{
    struct record_writer *writer = &push->writer;
    size_t length;
    uint8_t *payload = writer->samples ? record_end(writer, &length) : NULL;
    int status = writer->samples && !payload ? -1 : 0;

    if (payload)
        queue_append(push->queue, payload, length, writer->samples);
    record_begin(writer);
    return status;
}

static struct group *group_of(struct push *push, uint32_t id)
{
    if (id >= push->groups_room) {
        uint32_t room = id + id / 2 + 64;
        struct group *larger = realloc(push->groups, room * sizeof(*larger));

        if (!larger)
            return NULL;
        memset(larger + push->groups_room, 0, (room - push->groups_room) * sizeof(*larger));
        push->groups = larger;
        push->groups_room = room;
    }
    return &push->groups[id];
}

/* 1: it was added, and may have exemplars; 0: it is not sent, or the end of its series. */
static int add(struct push *push, const struct weir_sample *sample, const struct catalog_series *series)
{
    const struct group *group = group_of(push, series->group);
    uint32_t flags = weir_sample_flags(sample);
    enum record_value kind = flags & WEIR_S_STALE ? RECORD_STALENESS : flags & WEIR_S_U64 ? RECORD_U64 : RECORD_F64;
    int64_t time_ms = sample->time_ns / 1000000, start_ms = flags & WEIR_S_START ? (int64_t)sample->aux / 1000000 : 0;
    int status;

    if (!group)
        return -1;
    /* It was in a snapshot, or is of one that brings nothing new. */
    if (!series->labels || sample->time_ns <= group->last_ns || (push->takes && !push->takes(push->context, sample)))
        return 0;
    status = record_add(&push->writer, series->family, series->labels, time_ms, kind, sample->bits, start_ms);
    if (status == 0) {
        if (queue_record(push) < 0)
            return -1;
        status = record_add(&push->writer, series->family, series->labels, time_ms, kind, sample->bits, start_ms);
    }
    return status < 0 ? -1 : kind != RECORD_STALENESS;
}

/* Behind the value that was added last. */
static int add_exemplar(struct push *push, const struct weir_sample *sample)
{
    uint8_t bytes[RECORD_EXEMPLAR_LABELS], *to = bytes;
    const struct weir_label *labels;
    size_t count;

    if (push->host->exemplar_labels(push->self, (uint32_t)sample->aux, &labels, &count) < 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        if (strlen(labels[i].name) + strlen(labels[i].value) + RECORD_LABEL_AROUND > (size_t)(bytes + sizeof(bytes) - to))
            return 0;
        to = record_put_label(to, labels[i].name, labels[i].value);
    }
    return record_add_exemplar(&push->writer, sample->time_ns / 1000000, sample->bits, bytes, (size_t)(to - bytes));
}

/* Of a group's pass: values, and the mark at its end. */
static int add_all(struct push *push, const struct weir_sample *samples, size_t count)
{
    const struct weir_sample *mark = &samples[count - 1];
    struct group *group = group_of(push, weir_sample_series(mark));
    int status = group ? 0 : -1;

    for (size_t i = 0; i < count - 1; i++) {
        const struct catalog_series *series = catalog_get(push->catalog, weir_sample_series(&samples[i]));

        if (!series || add(push, &samples[i], series) < 0)
            status = -1;
    }
    if (group && mark->time_ns > group->last_ns)
        group->last_ns = mark->time_ns;
    return status;
}

/* ---- Snapshots that wait ---- */
static void held_drop(struct push *push, struct group *group)
{
    free(group->held);
    group->held = NULL;
    group->nheld = 0;
    push->holding--;
}

static int held_add(struct push *push, uint32_t id)
{
    int status = add_all(push, push->groups[id].held, push->groups[id].nheld);

    held_drop(push, &push->groups[id]); /* add_all may have moved it */
    return status;
}

/* News of the group of that time have come: they bring what the snapshot has, or it goes before them. */
static int held_settle(struct push *push, uint32_t id, int64_t time_ns)
{
    struct group *group = id < push->groups_room && push->groups[id].held ? &push->groups[id] : NULL;

    if (group && time_ns >= group->held[group->nheld - 1].time_ns)
        return held_add(push, id);
    if (group)
        held_drop(push, group);
    return 0;
}

/* Without memory for it, it does not wait. */
static int snapshot(struct push *push, const struct weir_batch *batch)
{
    const struct weir_sample *mark = &batch->samples[batch->nsamples - 1];
    struct group *group = group_of(push, weir_sample_series(mark));

    if (!group)
        return -1;
    if (group->held)
        held_drop(push, group);
    if (mark->time_ns <= group->last_ns)
        return 0;
    group->held = malloc(batch->nsamples * sizeof(*group->held));
    if (!group->held)
        return add_all(push, batch->samples, batch->nsamples);
    memcpy(group->held, batch->samples, batch->nsamples * sizeof(*group->held));
    group->nheld = batch->nsamples;
    group->source = batch->source;
    push->holding++;
    return 0;
}

/* Its handles are to be forgotten; newer snapshots follow. */
static void gap(struct push *push, uint32_t source)
{
    catalog_forget_source(push->catalog, source);
    for (uint32_t id = 0; id < push->groups_room && push->holding; id++)
        if (push->groups[id].held && push->groups[id].source == source)
            held_drop(push, &push->groups[id]);
}

static int news(struct push *push, const struct weir_sample *sample)
{
    const uint32_t id = weir_sample_series(sample), flags = weir_sample_flags(sample);
    const struct catalog_series *series;
    struct group *group;
    int status = 0, added;

    if (flags & WEIR_S_EXEMPLAR)
        return push->exemplars && push->added == id && id != WEIR_NO_SERIES ? add_exemplar(push, sample) : 0;
    push->added = WEIR_NO_SERIES;
    if (flags & WEIR_S_MARK) {
        group = group_of(push, id);
        if (push->holding)
            status = held_settle(push, id, sample->time_ns);
        if (group && sample->time_ns > group->last_ns)
            group->last_ns = sample->time_ns;
        return status;
    }
    if (flags & WEIR_S_RELEASED && !push->holding) {
        catalog_forget(push->catalog, id);
        return 0;
    }
    series = catalog_get(push->catalog, id);
    if (!series)
        return -1;
    if (push->holding) {
        status = held_settle(push, series->group, sample->time_ns);
        series = catalog_get(push->catalog, id); /* which may have moved */
    }
    if (flags & WEIR_S_RELEASED) {
        catalog_forget(push->catalog, id);
        return status;
    }
    added = series ? add(push, sample, series) : -1;
    if (added > 0)
        push->added = id;
    return added < 0 ? -1 : status;
}

static int consumed(struct push *push, int status)
{
    if (queue_record(push) < 0)
        status = -1;
    return status < 0 ? push->host->fail(push->self, WEIR_ENOMEM, "no memory: samples are missing in what is sent") : WEIR_OK;
}

int push_consume(struct push *push, const struct weir_batch *batch)
{
    int status = 0;

    record_begin(&push->writer);
    push->added = WEIR_NO_SERIES;
    if (batch->flags & WEIR_B_GAP)
        gap(push, batch->source);
    if (batch->flags & WEIR_B_SNAPSHOT)
        return consumed(push, snapshot(push, batch));
    for (size_t i = 0; i < batch->nsamples; i++)
        if (news(push, &batch->samples[i]) < 0)
            status = -1;
    return consumed(push, status);
}

int push_flush(struct push *push)
{
    int status = 0;

    record_begin(&push->writer);
    for (uint32_t id = 0; id < push->groups_room && push->holding; id++)
        if (push->groups[id].held && held_add(push, id) < 0)
            status = -1;
    return consumed(push, status);
}

static int visit_current(void *context, const struct weir_batch *batch)
{
    return push_consume(context, batch);
}

int push_current(struct push *push)
{
    return push->host->current(push->self, visit_current, push);
}

/* ---- Figures ------------------------------------------------------------------------------------------------------------- */

void push_row_u64(struct push_row *row, uint32_t series, uint64_t value)
{
    row->values[row->count++] = (struct weir_value){.series = series, .flags = WEIR_U64, .value.u64 = value};
}

void push_row_f64(struct push_row *row, uint32_t series, double value)
{
    row->values[row->count++] = (struct weir_value){.series = series, .flags = WEIR_F64, .value.f64 = value};
}

void push_values(struct push *push, const struct sender_figures *sender, struct push_row *row)
{
    const uint32_t *series = push->series;
    struct queue_figures queue;
    uint64_t known[2];

    queue_figures(push->queue, &queue);
    catalog_count(push->catalog, &known[0], &known[1]);
    push_row_u64(row, series[ACCEPTED], queue.appended);
    push_row_u64(row, series[SENT], queue.outcomes[QUEUE_SENT]);
    push_row_u64(row, series[PENDING], queue.pending);
    push_row_u64(row, series[QUEUE_BYTES], queue.bytes);
    push_row_u64(row, series[QUEUE_MEMORY], queue.memory_bytes);
    push_row_u64(row, series[QUEUE_SEGMENTS], queue.segments);
    push_row_f64(row, series[QUEUE_OLDEST], queue.oldest_ms ? (double)(wall_ms(push) - queue.oldest_ms) / 1e3 : 0);
    push_row_u64(row, series[WRITE_FAILURES], queue.write_failures);
    push_row_u64(row, series[SYNC_FAILURES], queue.sync_failures);
    push_row_f64(row, series[ENQUEUED_TIME], (double)queue.newest_ms / 1e3);
    push_row_f64(row, series[ACKED_TIME], (double)sender->acked_ms / 1e3);
    push_row_u64(row, series[RETRIED], sender->retried_samples);
    push_row_f64(row, series[BACKOFF], sender->backoff_seconds);
    push_row_u64(row, series[BYTES], sender->bytes);
    for (size_t i = 0; i < QUEUE_OUTCOMES; i++)
        if (i != QUEUE_SENT)
            push_row_u64(row, push->outcomes[i], queue.outcomes[i]);
    for (size_t i = 0; i < 2; i++)
        push_row_u64(row, push->known[i], known[i]);
}

int push_series(struct push *push, const struct weir_family *them, size_t count, uint32_t *handles)
{
    const struct weir_label label = {"endpoint", endpoint(push)};
    int status = WEIR_OK;

    for (size_t i = 0; i < count && status >= 0; i++) {
        uint32_t id;

        status = push->host->family(push->self, &them[i], &id);
        if (status >= 0)
            status = push->host->series(push->self, push->group, &label, 1, &id, 1, &handles[i]);
    }
    return status;
}

int push_labelled(struct push *push, const struct weir_family *family, const char *label, const char *const *values, size_t count,
                  uint32_t *handles)
{
    struct weir_label labels[] = {{"endpoint", endpoint(push)}, {label, NULL}};
    uint32_t id;
    int status = push->host->family(push->self, family, &id);

    for (size_t i = 0; i < count && status >= 0; i++) {
        labels[1].value = values[i];
        status = push->host->series(push->self, push->group, labels, 2, &id, 1, &handles[i]);
    }
    return status;
}

static int figures_make(struct push *push)
{
    const struct weir_group group = {.size = sizeof(group), .name = PUSH_NAME};
    int status = push->host->group(push->self, &group, &push->group);

    if (status >= 0)
        status = push_series(push, families, FIGURES, push->series);
    if (status >= 0)
        status = push_labelled(push, &labelled[FAILED], "reason", &queue_outcome_names[QUEUE_REJECTED],
                               QUEUE_FULL - QUEUE_REJECTED, &push->outcomes[QUEUE_REJECTED]);
    if (status >= 0)
        status = push_labelled(push, &labelled[DROPPED], "reason", &queue_outcome_names[QUEUE_FULL], QUEUE_OUTCOMES - QUEUE_FULL,
                               &push->outcomes[QUEUE_FULL]);
    if (status >= 0)
        status = push_labelled(push, &labelled[SERIES], "state", series_names, 2, push->known);
    return status;
}

/* ---- Options ------------------------------------------------------------------------------------------------------------- */

/* "name=value" each; into labels if these are wanted. */
static int external_labels(const struct weir_host *host, struct weir_self *self, const struct weir_list *list,
                           struct weir_label *labels)
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

int push_check(const struct weir_host *host, struct weir_self *self, const struct push_config *config)
{
    struct relabel *relabel;
    char why[512];
    int status = external_labels(host, self, &config->external_labels, NULL);

    if (status < 0)
        return status;
    if (!config->queue_dir && strchr(host->name(self), '/'))
        return host->fail(self, WEIR_ECONFIG, "queue_dir: the title cannot be a directory's name; give queue_dir");
    relabel = relabel_new(config->relabel.rows, config->relabel.count, why, sizeof(why));
    if (!relabel)
        return host->fail(self, WEIR_ECONFIG, "%s", why);
    relabel_free(relabel);
    return WEIR_OK;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

int push_create(struct push **out, const struct push_options *options)
{
    const struct push_config *config = options->config;
    struct push *push = calloc(1, sizeof(*push));
    struct catalog_options catalog;
    pthread_condattr_t monotonic;
    char why[512];

    if (!push)
        return WEIR_ENOMEM;
    *out = push;
    *push = (struct push){.host = options->host, .self = options->self, .config = config, .takes = options->takes,
                          .context = options->context, .exemplars = options->exemplars};
    pthread_mutex_init(&push->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&push->stopped, &monotonic);
    pthread_condattr_destroy(&monotonic);
    record_writer_init(&push->writer, QUEUE_HEADER);
    if (config->queue_dir)
        push->directory = strdup(config->queue_dir);
    else if (asprintf(&push->directory, "%s%s", PUSH_DIRECTORY, endpoint(push)) < 0)
        push->directory = NULL;
    push->external = calloc(config->external_labels.count + 1, sizeof(*push->external));
    if (!push->directory || !push->external)
        return WEIR_ENOMEM;
    push->nexternal = config->external_labels.count;
    if (external_labels(push->host, push->self, &config->external_labels, push->external) < 0)
        return WEIR_ENOMEM;
    if (gethostname(push->hostname, sizeof(push->hostname) - 1) < 0 || !*push->hostname)
        strcpy(push->hostname, "localhost");
    push->relabel = relabel_new(config->relabel.rows, config->relabel.count, why, sizeof(why));
    if (!push->relabel)
        return push->host->fail(push->self, WEIR_EFAIL, "%s", why);
    catalog = (struct catalog_options){.job = config->job, .instance = config->instance ? config->instance : push->hostname,
                                       .external = push->external, .nexternal = push->nexternal};
    push->catalog = catalog_new(push->host, push->self, &catalog, push->relabel);
    return push->catalog ? figures_make(push) : WEIR_ENOMEM;
}

void push_free(struct push *push)
{
    if (!push)
        return;
    push_stop(push);
    for (size_t i = 0; push->external && i < push->nexternal; i++)
        free((char *)(uintptr_t)push->external[i].name);
    free(push->external);
    catalog_free(push->catalog);
    relabel_free(push->relabel);
    record_writer_free(&push->writer);
    pthread_cond_destroy(&push->stopped);
    pthread_mutex_destroy(&push->lock);
    for (uint32_t id = 0; id < push->groups_room; id++)
        free(push->groups[id].held);
    free(push->groups);
    free(push->directory);
    free(push);
}

/* So that sending does not wait for the disk. */
static void *syncer_main(void *context)
{
    struct push *push = context;

    pthread_mutex_lock(&push->lock);
    while (!push->stopping) {
        int64_t until_ns = push->host->now_ns() + SYNC_NS;
        struct timespec until = {until_ns / 1000000000, until_ns % 1000000000};

        while (!push->stopping && pthread_cond_timedwait(&push->stopped, &push->lock, &until) == 0)
            continue;
        if (push->stopping)
            break;
        pthread_mutex_unlock(&push->lock);
        queue_sync(push->queue);
        pthread_mutex_lock(&push->lock);
    }
    pthread_mutex_unlock(&push->lock);
    return NULL;
}

int push_start(struct push *push, struct sender_options *sender)
{
    const struct push_config *config = push->config;
    const struct queue_options options = {.directory = push->directory, .max_bytes = (uint64_t)config->queue_max_bytes,
                                          .reserve_bytes = (uint64_t)config->queue_reserve_bytes,
                                          .max_age_ms = config->queue_max_age_ns / 1000000, .now_ms = wall_ms, .tell = tell,
                                          .context = push};
    char why[QUEUE_WHY_MAX];

    if (queue_open(&push->queue, &options, why, sizeof(why)) < 0)
        return push->host->fail(push->self, WEIR_EFAIL, "%s", why);
    push->stopping = false;
    if (pthread_create(&push->syncer, NULL, syncer_main, push) != 0) {
        queue_close(push->queue);
        push->queue = NULL;
        return push->host->fail(push->self, WEIR_ENOMEM, "no thread for the queue");
    }
    sender->queue = push->queue;
    sender->max_age_ms = options.max_age_ms;
    sender->wall_ns = push->host->wall_ns;
    sender->now_ns = push->host->now_ns;
    sender->tell = tell;
    sender->context = push;
    return WEIR_OK;
}

void push_stop(struct push *push)
{
    if (!push->queue)
        return;
    (void)push_flush(push);
    pthread_mutex_lock(&push->lock);
    push->stopping = true;
    pthread_cond_signal(&push->stopped);
    pthread_mutex_unlock(&push->lock);
    pthread_join(push->syncer, NULL);
    queue_close(push->queue);
    push->queue = NULL;
}

/* ---- The command queue --------------------------------------------------------------------------------------------------- */

struct listing {
    const struct weir_host *host;
    struct weir_call *call;
    int64_t now_ms;
    uint64_t damaged_places, lost_samples;
};

static void list_segment(void *context, const struct queue_segment_report *segment)
{
    struct listing *listing = context;

    listing->damaged_places += segment->damaged_places;
    listing->lost_samples += segment->lost_samples;
    listing->host->print(listing->call, 1, "%s  %10llu bytes  %8llu records  %10llu samples  %s", segment->name,
                (unsigned long long)segment->bytes,
                (unsigned long long)segment->records, (unsigned long long)segment->samples,
                segment->settled ? "settled" : "waiting");
    if (segment->damaged_places || segment->lost_samples)
        listing->host->print(listing->call, 1, "  DAMAGED in %llu places, %llu samples are lost",
                    (unsigned long long)segment->damaged_places,
                    (unsigned long long)segment->lost_samples);
    listing->host->print(listing->call, 1, "\n");
}

/* Of a directory that a collector may have open; reads only. */
int push_command(const struct push *push, struct weir_call *call, int argc, const char *const *argv)
{
    const struct weir_host *host = push->host;
    struct listing listing = {.host = host, .call = call, .now_ms = host->wall_ns() / 1000000};
    const bool whole = argc == 2 && strcmp(argv[1], "verify") == 0;
    struct queue_report report;
    char why[QUEUE_WHY_MAX];

    if (argc > 2 || (argc == 2 && !whole)) {
        host->print(call, 2, "usage: weir " PUSH_NAME "/%s queue [verify]\n", endpoint(push));
        return 2;
    }
    if (queue_inspect(push->directory, whole, list_segment, &listing, &report, why, sizeof(why)) < 0) {
        host->print(call, 2, "weir: %s\n", why);
        return 1;
    }
    host->print(call, 1, "%s: %s, %llu bytes in %llu segments\n", push->directory,
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
