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
    pthread_cond_init(&port->empty, &monotonic);
    pthread_condattr_destroy(&monotonic);
}

void service_port_destroy(struct service_port *port)
{
    pthread_cond_destroy(&port->empty);
    pthread_mutex_destroy(&port->lock);
}

void service_open(struct service_port *port, const void *table, void *provider)
{
    pthread_mutex_lock(&port->lock);
    port->table = table;
    port->provider = provider;
    port->open = true;
    pthread_mutex_unlock(&port->lock);
}

int service_close(struct service_port *port, int64_t deadline_ns)
{
    const struct timespec until = {.tv_sec = deadline_ns / 1000000000, .tv_nsec = deadline_ns % 1000000000};
    int status = WEIR_OK;

    pthread_mutex_lock(&port->lock);
    port->open = false;
    while (port->inside && status == WEIR_OK)
        if (pthread_cond_timedwait(&port->empty, &port->lock, &until) != 0 && port->inside)
            status = WEIR_ETIMEOUT;
    pthread_mutex_unlock(&port->lock);
    return status;
}

int service_enter(struct service_port *port, const void **table, void **provider)
{
    int status = WEIR_EAGAIN;

    pthread_mutex_lock(&port->lock);
    if (port->open) {
        port->inside++;
        *table = port->table;
        *provider = port->provider;
        status = WEIR_OK;
    }
    pthread_mutex_unlock(&port->lock);
    return status;
}

void service_leave(struct service_port *port)
{
    pthread_mutex_lock(&port->lock);
    if (--port->inside == 0)
        pthread_cond_broadcast(&port->empty);
    pthread_mutex_unlock(&port->lock);
}
