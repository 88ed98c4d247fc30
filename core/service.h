/* service.h - services: named function tables that one instance offers and others use.
 *
 * A binding is the configured use (`pool = "orders"`).  schema.c makes it while parsing, instance.c ties it to the
 * provider once all instances exist, host.c enters and leaves it.
 * Threads: enter and leave from any thread; open and close from the provider's life cycle.
 * Invariant: between service_close's return and the next service_open nobody is inside.
 */
#ifndef WEIR_SERVICE_H
#define WEIR_SERVICE_H

#include "weir_plugin.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define SERVICE_OPEN (UINT64_C(1) << 32)

/* One service of one instance; lives as long as the instance's name. */
struct service_port {
    const char *name;     /* of the service */
    uint32_t version;
    _Atomic uint64_t state; /* SERVICE_OPEN, and how many callers are between enter and leave: going in and out takes no lock */
    const void *table;    /* changed only while closed and empty */
    void *provider;       /* state of the object */
    bool awaited;         /* closed for a moment: callers wait for the successor */
    pthread_mutex_t lock; /* over awaited; held by those who wait */
    pthread_cond_t changed;
};

/* A configured use.  Filled by the schema; `port` by instance.c.  Owned by the config. */
struct weir_binding {
    const char *service; /* "pool" */
    uint32_t version;    /* least version wanted */
    const char *title;   /* of the instance that provides it */
    const char *option;  /* name of the option, for messages */
    const char *file;
    int line;
    struct service_port *port;
};

void service_port_init(struct service_port *port, const char *name, uint32_t version);
void service_port_destroy(struct service_port *port);

/* Lets callers in. */
void service_open(struct service_port *port, const void *table, void *provider);
/* Keeps new callers out (`awaited`: they wait for the next service_open or service_shut) and waits until those inside have
 * left, or the deadline (CLOCK_MONOTONIC) passes: WEIR_ETIMEOUT; then service_open lets all go on. */
int service_close(struct service_port *port, bool awaited, int64_t deadline_ns);
/* Closed for good: nobody need wait. */
void service_shut(struct service_port *port);

/* WEIR_OK, or WEIR_EAGAIN while closed; waits until the deadline for a successor that is awaited. */
int service_enter(struct service_port *port, int64_t deadline_ns, const void **table, void **provider);
void service_leave(struct service_port *port);

#endif
