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
#include <stdbool.h>

/* One service of one instance; lives as long as the instance's name. */
struct service_port {
    const char *name;     /* of the service */
    uint32_t version;
    bool open;
    unsigned inside;      /* callers between enter and leave */
    const void *table;
    void *provider;       /* state of the instance while open */
    pthread_mutex_t lock; /* over open, inside, table, provider */
    pthread_cond_t empty;
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
/* Keeps new callers out and waits until those inside have left, or the deadline (CLOCK_MONOTONIC) passes: WEIR_ETIMEOUT. */
int service_close(struct service_port *port, int64_t deadline_ns);

/* WEIR_OK, or WEIR_EAGAIN while closed. */
int service_enter(struct service_port *port, const void **table, void **provider);
void service_leave(struct service_port *port);

#endif
