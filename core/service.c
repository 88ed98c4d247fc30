/* service.c - entering and leaving services; service.h says what holds. */
#include "service.h"

#include <time.h>

void service_port_init(struct service_port *port, const char *name, uint32_t version)
{
    pthread_condattr_t monotonic;

    *port = (struct service_port){.name = name, .version = version};
    pthread_mutex_init(&port->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&port->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void service_port_destroy(struct service_port *port)
{
    pthread_cond_destroy(&port->changed);
    pthread_mutex_destroy(&port->lock);
}

/* Under the lock: waits for a change; false at the deadline. */
static bool wait(struct service_port *port, int64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};

    return pthread_cond_timedwait(&port->changed, &port->lock, &until) == 0;
}

void service_open(struct service_port *port, const void *table, void *provider)
{
    pthread_mutex_lock(&port->lock);
    /* After a close that was given up callers may be inside still, with this table and provider. */
    if (port->table != table || port->provider != provider) {
        port->table = table;
        port->provider = provider;
    }
    port->awaited = false;
    atomic_fetch_or_explicit(&port->state, SERVICE_OPEN, memory_order_acq_rel);
    pthread_cond_broadcast(&port->changed);
    pthread_mutex_unlock(&port->lock);
}

static uint64_t inside(struct service_port *port)
{
    return atomic_load_explicit(&port->state, memory_order_acquire) & (SERVICE_OPEN - 1);
}

int service_close(struct service_port *port, bool awaited, int64_t deadline_ns)
{
    int status;

    pthread_mutex_lock(&port->lock);
    port->awaited = awaited;
    atomic_fetch_and_explicit(&port->state, ~SERVICE_OPEN, memory_order_acq_rel);
    while (inside(port) && wait(port, deadline_ns))
        continue;
    status = inside(port) ? WEIR_ETIMEOUT : WEIR_OK;
    pthread_mutex_unlock(&port->lock);
    return status;
}

void service_shut(struct service_port *port)
{
    pthread_mutex_lock(&port->lock);
    port->awaited = false;
    pthread_cond_broadcast(&port->changed);
    pthread_mutex_unlock(&port->lock);
}

/* The port was closed: waits as long as a successor is awaited; true if it is open now. */
static bool await(struct service_port *port, int64_t deadline_ns)
{
    pthread_mutex_lock(&port->lock);
    while (port->awaited && wait(port, deadline_ns))
        continue;
    pthread_mutex_unlock(&port->lock);
    return atomic_load_explicit(&port->state, memory_order_acquire) & SERVICE_OPEN;
}

int service_enter(struct service_port *port, int64_t deadline_ns, const void **table, void **provider)
{
    uint64_t state = atomic_load_explicit(&port->state, memory_order_relaxed);

    for (;;) {
        /* Whoever finds it closed does not count, so that a crowd at the door does not hold up the one who waits for it to empty. */
        while (state & SERVICE_OPEN) {
            if (!atomic_compare_exchange_weak_explicit(&port->state, &state, state + 1, memory_order_acq_rel,
                                                       memory_order_relaxed))
                continue;
            *table = port->table;
            *provider = port->provider;
            return WEIR_OK;
        }
        if (!await(port, deadline_ns))
            return WEIR_EAGAIN;
        state = atomic_load_explicit(&port->state, memory_order_relaxed);
    }
}

void service_leave(struct service_port *port)
{
    if (atomic_fetch_sub_explicit(&port->state, 1, memory_order_acq_rel) != 1)
        return;
    /* The last one, and it is closed: whoever closes it may wait for that. */
    pthread_mutex_lock(&port->lock);
    pthread_cond_broadcast(&port->changed);
    pthread_mutex_unlock(&port->lock);
}
