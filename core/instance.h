/* instance.h - instances: one section of the configuration, one thread, one life.
 *
 * The main thread makes all instances, ties their services, checks them, and moves them through their phases in service
 * order: providers first, then sinks, then sources; stopping runs the other way.  Each instance's thread runs its
 * callbacks; while it runs, it takes what its cursors bring (feed.h) and collects the groups that are due (schedule.h).
 * instances_supervise, on the main thread, interrupts a collect past its deadline and names the one that does not return.
 *
 * Invariants: a callback of an instance never runs twice at a time; `interrupt` is called only while a callback runs; a
 * provider's services are open only between its start and its stop.
 */
#ifndef WEIR_INSTANCE_H
#define WEIR_INSTANCE_H

#include "config.h"
#include "feed.h"
#include "pass.h"
#include "schedule.h"
#include "service.h"

#define INSTANCE_REASON_MAX 600u /* bytes of a failure's reason */

/* Reached and wanted, in this order. */
enum instance_phase {
    INSTANCE_NEW,
    INSTANCE_CREATED,
    INSTANCE_RUNNING,
    INSTANCE_QUIET,  /* collects no more; a sink still consumes */
    INSTANCE_STOPPED,
    INSTANCE_GONE    /* state destroyed, thread ended */
};

struct instances;

/* The instance whose callback this thread is in, or NULL. */
extern _Thread_local const struct weir_self *instance_calling;

struct weir_self { /* one instance */
    const struct config_section *section;
    const struct weir_plugin *plugin;
    struct instances *all;
    const char *name; /* "pg_stats/orders" */
    uint32_t id;
    void *state;
    struct service_port *ports; /* one per service of the plugin */
    size_t nports;

    pthread_t thread;
    struct ring_wake wake;        /* its thread sleeps here */
    _Atomic int wanted;           /* enum instance_phase */
    pthread_mutex_t phase_lock;   /* over phase and failed */
    pthread_cond_t phase_changed;
    enum instance_phase phase;
    bool failed, abandoned, has_thread;

    /* The callback that runs. */
    pthread_mutex_t call_lock;    /* over what follows, and held while `interrupt` is called */
    const char *callback;         /* its name; NULL between callbacks */
    const struct series_group *call_group;
    int64_t call_since_ns, call_deadline_ns;
    bool interrupted, overdue_told;
    int event_fd;                 /* readable while interrupted */
    _Atomic bool stuck;           /* overdue beyond the grace */
    char reason[INSTANCE_REASON_MAX]; /* of its failure; of the thread that is in it */

    /* A source. */
    struct pass pass;
    _Atomic(struct series_group *) groups;
    struct schedule schedule;
    bool groups_ending;           /* some of them are to be closed after the callback */
    bool limit_told;

    /* A sink. */
    struct feeds feeds;
    int64_t flush_due_ns;
    bool consume_failing;
    _Atomic uint64_t consume_failures;
};

struct instances {
    const struct config *config;
    struct series_registry *registry;
    struct weir_self *items;      /* in the order of the file, the collector's own last */
    size_t count;
    size_t *order;                /* indexes into items, in service order */
    struct feed_source *sources;
    size_t nsources;
    struct config_section self_section; /* of the collector's own instance */
};

/* Makes the instances of all enabled sections, and the collector's own; ties services; calls every plugin's check.  Adds
 * what is wrong to `mistakes` and then returns WEIR_ECONFIG.  WEIR_ENOMEM.  Takes no resources but memory. */
int instances_new(const struct config *config, struct config_mistakes *mistakes, struct instances **out);
/* All threads have ended. */
void instances_free(struct instances *all);

/* Creates and starts everything.  On failure, which is logged, everything is stopped again. */
int instances_start(struct instances *all);
/* Interrupts what is overdue; returns when to call again (CLOCK_MONOTONIC). */
int64_t instances_supervise(struct instances *all);
/* Stops sources, lets sinks drain, stops everything; true if all threads have ended by the deadline. */
bool instances_stop(struct instances *all, int64_t deadline_ns);

#endif
