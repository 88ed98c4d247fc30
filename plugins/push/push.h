/* push.h - what all plugins share that push samples through a queue on disk: options, the sink, figures, the command `queue`.
 *
 * What is consumed is named (catalog.h), made into records (record.h) and queued (queue.h) before push_consume returns.  The plugin
 * adds a carrier, which a sender (sender.h) has carry records from the queue.
 * The plugin is compiled with PUSH_NAME, its name as a string: figures, the queue's folder and texts begin with it.
 * Threads: the instance's own for all here; the queue is made durable once a second by a thread of its own, and its taker is
 * the sender.
 */
#ifndef PUSH_PUSH_H
#define PUSH_PUSH_H

#include "relabel.h"
#include "sender.h"

#include <weir_plugin.h>

#define PUSH_DIRECTORY "/var/lib/weir/" PUSH_NAME "/"

/* ---- Options ---- */
struct push_config { /* the member `push` of the plugin's own struct */
    const char *queue_dir;
    int64_t queue_max_bytes, queue_max_age_ns, queue_reserve_bytes;
    const char *job, *instance;
    struct weir_list external_labels;
    struct weir_rows relabel;
};
extern const struct weir_option push_rule_options[];

#define PUSH_QUEUE_OPTIONS(config) \
    {.name = "queue_dir", .type = WEIR_STRING, .min = 1, .max = 2048, .offset = offsetof(config, push.queue_dir), \
     .help = "Directory of the queue, of its own; " PUSH_DIRECTORY "TITLE if unset."}, \
    {.name = "queue_max_bytes", .type = WEIR_SIZE, .dflt = "1GiB", .min = 1 << 20, .max = INT64_C(1) << 50, \
     .offset = offsetof(config, push.queue_max_bytes), \
     .help = "Size of the queue on disk at most; the oldest samples are dropped for more, and counted."}, \
    {.name = "queue_max_age", .type = WEIR_DURATION, .dflt = "1d", .min = 60 * INT64_C(1000000000), \
     .max = 3660 * 86400 * INT64_C(1000000000), .offset = offsetof(config, push.queue_max_age_ns), \
     .help = "Samples that are older are dropped, and counted."}, \
    {.name = "queue_reserve", .type = WEIR_SIZE, .dflt = "256MiB", .min = 0, .max = INT64_C(1) << 50, \
     .offset = offsetof(config, push.queue_reserve_bytes), \
     .help = "What the queue leaves free in its file system for others; it keeps 16 MiB in memory instead."}
#define PUSH_LABEL_OPTIONS(config) \
    {.name = "job", .type = WEIR_STRING, .dflt = "weir", .min = 1, .max = 4096, .offset = offsetof(config, push.job), \
     .help = "Label job of series that have none."}, \
    {.name = "instance", .type = WEIR_STRING, .min = 1, .max = 4096, .offset = offsetof(config, push.instance), \
     .help = "Label instance of series that have none; the host's name if unset."}, \
    {.name = "external_labels", .type = WEIR_LIST, .max = 20, .offset = offsetof(config, push.external_labels), \
     .help = "Labels of series that do not have them, such as { \"cluster=orders\" }."}, \
    {.name = "relabel", .type = WEIR_SECTION, .rows = push_rule_options, .row_size = sizeof(struct relabel_rule), .max = 1000, \
     .offset = offsetof(config, push.relabel), .help = "Rules that choose and rename series, applied in this order."}

/* What is wrong with them is told by host->fail. */
int push_check(const struct weir_host *host, struct weir_self *self, const struct push_config *config);

/* ---- Life ---- */
struct push_options {
    const struct weir_host *host;
    struct weir_self *self;
    const struct push_config *config; /* borrowed */
    /* Whether a sample can be sent in this format; NULL: every one can.  What cannot is never accepted. */
    bool (*takes)(void *context, const struct weir_sample *sample);
    void *context;
    bool exemplars; /* wanted */
};
struct push;
/* Also where it fails, *out is to be freed.  push_free of NULL is nothing. */
int push_create(struct push **out, const struct push_options *options);
void push_free(struct push *push);
/* Opens the queue, until push_stop closes it, and fills in what a sender has to know, but for deadline_ms. */
int push_start(struct push *push, struct sender_options *sender);
void push_stop(struct push *push);

/* ---- The sink ---- */
int push_consume(struct push *push, const struct weir_batch *batch);
/* All lanes are read: what is current of groups that have nothing newer is taken in. */
int push_flush(struct push *push);
/* Takes in what is current at the start: when somebody sends already. */
int push_current(struct push *push);

/* ---- Figures ---- */
#define PUSH_VALUES_MAX (14 + QUEUE_OUTCOMES - 1 + 2)
#define PUSH_COUNTER(its_name, its_unit, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "weir_" PUSH_NAME "_" its_name, .unit = its_unit, \
     .help = its_help}
#define PUSH_GAUGE(its_name, its_unit, its_help) \
    {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "weir_" PUSH_NAME "_" its_name, .unit = its_unit, \
     .help = its_help}
struct push_row { /* values on their way to be published */
    struct weir_value *values;
    size_t count;
};
void push_row_u64(struct push_row *row, uint32_t series, uint64_t value);
void push_row_f64(struct push_row *row, uint32_t series, double value);
/* Puts those of the queue, of series and of the sender into the row, at most PUSH_VALUES_MAX; those of the queue are consistent
 * with each other. */
void push_values(struct push *push, const struct sender_figures *sender, struct push_row *row);
/* A family each, with the label endpoint alone: the plugin's own figures. */
int push_series(struct push *push, const struct weir_family *families, size_t count, uint32_t *handles);
/* One family with a series for each value of one label more. */
int push_labelled(struct push *push, const struct weir_family *family, const char *label, const char *const *values, size_t count,
                  uint32_t *handles);

/* ---- The command `queue [verify]`, which needs no running instance ---- */
#define PUSH_COMMAND(function) \
    {.name = "queue", .arguments = "[verify]", .summary = "shows what waits to be sent; verify reads and checks every byte of it", \
     .run = function, .flags = WEIR_OFFLINE}
int push_command(const struct push *push, struct weir_call *call, int argc, const char *const *argv);

#endif
