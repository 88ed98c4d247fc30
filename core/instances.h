/* instances.h - all instances: their seats, the objects on them, and the life of the whole.
 *
 * reload.c changes the set, on the main thread alone.  Other threads may walk the seats; their feeds, and the objects, under
 * `lock`.
 */
#ifndef WEIR_INSTANCES_H
#define WEIR_INSTANCES_H

#include "config.h"
#include "instance.h"
#include "seat.h"

/* A configuration, for as long as objects use it. */
struct generation {
    struct config *config;
    struct config_section self_section; /* of the collector's own instance */
    unsigned users;                     /* objects, and the set itself */
};

struct instances {
    struct seats seats;
    struct generation *generation; /* the present one */
    struct weir_self **objects;    /* in service order: providers before users, then sinks before sources */
    size_t count;
    struct weir_self *abandoned;   /* objects given up, whose threads may still run in their plugins */
    pthread_mutex_t lock;          /* over objects and count, and over feeds that are closed */

    void (*waiting)(void *context); /* called now and then while a task is waited for; or NULL */
    void *waiting_context;

    /* Of the last reload. */
    _Atomic bool reload_successful;
    _Atomic int64_t reload_success_wall_ns; /* start counts as one */
    _Atomic uint64_t reloads, reload_failures;
};

/* An empty set.  NULL: no memory. */
struct instances *instances_new(void);
/* All threads have ended. */
void instances_free(struct instances *all);

struct weir_self *instances_find(const struct instances *all, const struct seat *seat);
/* Interrupts what is overdue; returns when to call again (CLOCK_MONOTONIC). */
int64_t instances_supervise(struct instances *all);
/* Waits for an object's task and returns its status.  A callback that runs on beyond patience_ns is interrupted; one that has not
 * returned grace_ns later is frozen: WEIR_ETIMEOUT.  The others are supervised meanwhile. */
int instances_await(struct weir_self *self, int64_t patience_ns, int64_t grace_ns);
/* Gives up a frozen object. */
void instances_abandon(struct weir_self *self);
/* Frees those that have come back after all; true if none is left out there, under which nothing may be freed.  Not while a
 * reload knows them. */
bool instances_reap(struct instances *all);
/* Stops sources, lets sinks drain, stops everything; true if all threads have ended by the deadline. */
bool instances_stop(struct instances *all, int64_t deadline_ns);

/* Takes the config over; own: the section of the collector's own instance.  NULL: no memory, and the config is freed. */
struct generation *generation_new(struct config *config, struct config_section own);
void generation_leave(struct generation *generation);

/* `pg_stats "orders"`, or `http`: the section in the file's words. */
const char *instances_words(const struct config_section *section, char *buffer, size_t size);

#endif
