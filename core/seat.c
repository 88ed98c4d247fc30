/* seat.c - what belongs to an instance's name; seat.h says how objects come and go on it. */
#include "seat.h"

#include "util/clock.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LANE_FIRST 1024u /* samples; grows with the passes */
#define BACKLOG 128

/* ---- All seats -------------------------------------------------------------------------------------------------- */

struct seat *seats_find(const struct seats *seats, const char *name)
{
    struct seat *seat = atomic_load_explicit(&seats->first, memory_order_acquire);

    while (seat && strcmp(seat->name, name) != 0)
        seat = atomic_load_explicit(&seat->next, memory_order_acquire);
    return seat;
}

static void seat_free(struct seat *seat)
{
    for (size_t i = 0; seat->ports && i <= seat->nports; i++)
        service_port_destroy(&seat->ports[i]);
    for (size_t i = 0; i < SEAT_SOCKETS_MAX; i++) {
        if (!seat->sockets[i].address)
            continue;
        close(seat->sockets[i].fd);
        free(seat->sockets[i].address);
    }
    pthread_mutex_destroy(&seat->lock);
    free(seat->ports);
    free(seat);
}

static int ports_make(struct seat *seat)
{
    const struct weir_service *services = seat->plugin->services;

    while (services && services[seat->nports].name)
        seat->nports++;
    seat->ports = calloc(seat->nports + 1, sizeof(*seat->ports));
    if (!seat->ports)
        return WEIR_ENOMEM;
    for (size_t i = 0; i < seat->nports; i++)
        service_port_init(&seat->ports[i], services[i].name, services[i].version);
    service_port_init(seat_commands(seat), "commands", 1);
    return WEIR_OK;
}

struct seat *seats_add(struct seats *seats, const struct weir_plugin *plugin, const char *name, const char *title,
                       uint64_t lane_max_bytes)
{
    size_t name_size = strlen(name) + 1, title_size = strlen(title) + 1;
    /* The lane's cursors and counters are written by one thread: keep neighbours apart. */
    size_t bytes = (sizeof(struct seat) + name_size + title_size + 127) / 128 * 128;
    struct seat *seat = aligned_alloc(128, bytes);

    if (!seat)
        return NULL;
    memset(seat, 0, bytes);
    pthread_mutex_init(&seat->lock, NULL);
    seat->registry = seats->registry;
    seat->plugin = plugin;
    seat->name = memcpy(seat + 1, name, name_size);
    seat->title = memcpy((char *)(seat + 1) + name_size, title, title_size);
    seat->id = seats->count + 1;
    if (ports_make(seat) < 0 ||
        (plugin->roles & WEIR_SOURCE &&
         pass_init(&seat->pass, seats->registry, LANE_FIRST, lane_max_bytes / sizeof(struct weir_sample)) < 0)) {
        seat_free(seat);
        return NULL;
    }
    if (plugin->roles & WEIR_SOURCE) {
        seat->source = (struct feed_source){.id = seat->id, .name = seat->name, .lane = &seat->pass.lane, .groups = &seat->groups,
                                              .vacant = true};
        feed_sources_add(&seats->sources, &seat->source);
    }
    seats->count++;
    if (seats->last)
        atomic_store_explicit(&seats->last->next, seat, memory_order_release);
    else
        atomic_store_explicit(&seats->first, seat, memory_order_release);
    seats->last = seat;
    return seat;
}

void seats_free(struct seats *seats)
{
    struct seat *first = atomic_load(&seats->first), *next;

    /* Cursors lie in lanes: sinks go first. */
    for (struct seat *seat = first; seat; seat = atomic_load(&seat->next))
        feeds_close(&seat->feeds);
    for (struct seat *seat = first; seat; seat = next) {
        next = atomic_load(&seat->next);
        if (seat->plugin->roles & WEIR_SOURCE)
            pass_destroy(&seat->pass);
        seat_free(seat);
    }
    *seats = (struct seats){.registry = seats->registry};
}

uint64_t seats_abandoned(const struct seats *seats)
{
    uint64_t count = 0;

    for (const struct seat *seat = atomic_load_explicit(&seats->first, memory_order_acquire); seat;
         seat = atomic_load_explicit(&seat->next, memory_order_acquire))
        count += atomic_load_explicit(&seat->abandoned, memory_order_relaxed);
    return count;
}

int seat_follow(struct seat *seat, const struct seats *seats)
{
    for (const struct feed_source *source = atomic_load_explicit(&seats->sources.first, memory_order_acquire); source;
         source = atomic_load_explicit(&source->next, memory_order_acquire)) {
        const struct feed *feed = atomic_load_explicit(&seat->feeds.first, memory_order_acquire);

        while (feed && feed->source != source)
            feed = atomic_load_explicit(&feed->next, memory_order_acquire);
        if (!feed && feeds_add(&seat->feeds, source, &seat->wake) < 0)
            return WEIR_ENOMEM;
    }
    return WEIR_OK;
}

/* ---- What is offered -------------------------------------------------------------------------------------------- */

struct service_port *seat_port(const struct seat *seat, const char *service)
{
    for (size_t i = 0; i < seat->nports; i++)
        if (strcmp(seat->ports[i].name, service) == 0)
            return &seat->ports[i];
    return NULL;
}

void seat_open(struct seat *seat, void *state)
{
    for (size_t i = 0; i < seat->nports; i++)
        service_open(&seat->ports[i], seat->plugin->services[i].table, state);
    service_open(seat_commands(seat), seat->plugin->commands, state);
}

int seat_close(struct seat *seat, bool replaced, int64_t deadline_ns)
{
    int status = WEIR_OK;

    for (size_t i = 0; i <= seat->nports; i++)
        if (service_close(&seat->ports[i], replaced, deadline_ns) < 0)
            status = WEIR_ETIMEOUT;
    return status;
}

void seat_shut(struct seat *seat)
{
    for (size_t i = 0; i <= seat->nports; i++)
        service_shut(&seat->ports[i]);
}

/* ---- Objects come and go ---------------------------------------------------------------------------------------- */

static void groups_settle(struct seat *seat, uint32_t bit, bool adopted, int64_t wall_ns)
{
    for (struct series_group *group = atomic_load_explicit(&seat->groups.first, memory_order_acquire); group;
         group = atomic_load_explicit(&group->sibling, memory_order_acquire)) {
        uint32_t keep = adopted ? bit : ~bit;
        bool stays = atomic_fetch_and_explicit(&group->holders, keep, memory_order_acq_rel) & keep;

        /* What cannot be listed for want of memory stays until the next reload; so does a group that a draft leaves behind while the
         * old object is frozen in the middle of a pass. */
        (void)series_draft_end(seat->registry, group, adopted);
        if (!stays && (adopted || !seat->pass.group))
            (void)pass_end_group(&seat->pass, group, wall_ns);
    }
}

static void sockets_settle(struct seat *seat, uint32_t bit, bool adopted)
{
    pthread_mutex_lock(&seat->lock);
    for (size_t i = 0; i < SEAT_SOCKETS_MAX; i++) {
        struct seat_socket *one = &seat->sockets[i];

        one->holders &= adopted ? bit : ~bit;
        if (!one->address || one->holders)
            continue;
        close(one->fd);
        free(one->address);
        *one = (struct seat_socket){0};
    }
    pthread_mutex_unlock(&seat->lock);
}

void seat_adopt(struct seat *seat, uint32_t bit, int64_t wall_ns)
{
    groups_settle(seat, bit, true, wall_ns);
    sockets_settle(seat, bit, true);
    atomic_store_explicit(&seat->source.vacant, false, memory_order_relaxed);
    atomic_store_explicit(&seat->holder, bit, memory_order_release);
}

void seat_abort(struct seat *seat, uint32_t bit, int64_t wall_ns)
{
    groups_settle(seat, bit, false, wall_ns);
    sockets_settle(seat, bit, false);
}

void seat_vacate(struct seat *seat, int64_t wall_ns)
{
    groups_settle(seat, 0, true, wall_ns);
    sockets_settle(seat, 0, true);
    feeds_close(&seat->feeds);
    atomic_store_explicit(&seat->source.vacant, true, memory_order_relaxed);
    atomic_store_explicit(&seat->holder, 0, memory_order_release);
    atomic_store_explicit(&seat->stuck, false, memory_order_relaxed);
    seat_settle(seat);
}

void seat_settle(struct seat *seat)
{
    if (!(seat->plugin->roles & WEIR_SOURCE))
        return;
    pass_reuse(&seat->pass);
    ring_lane_shrink(&seat->pass.lane, LANE_FIRST);
}

void seat_failed(struct seat *seat, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    pthread_mutex_lock(&seat->lock);
    vsnprintf(seat->error, sizeof(seat->error), format, args);
    seat->error_wall_ns = clock_wall_ns();
    pthread_mutex_unlock(&seat->lock);
    va_end(args);
}

/* ---- Listening sockets ------------------------------------------------------------------------------------------ */

/* A socket that listens there; an empty host is the IPv6 wildcard, which takes IPv4 too.  address: both, for messages. */
static int socket_open(const char *host, const char *port, const char *address, int *fd, char *why, size_t why_size)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(*host ? host : "::", port, &hints, &found), one = 1, zero = 0, status = WEIR_OK;

    if (error) {
        snprintf(why, why_size, "could not find the address \"%s\" to listen on: %s", address, gai_strerror(error));
        return WEIR_EFAIL;
    }
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd >= 0) {
        (void)setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
        if (found->ai_family == AF_INET6)
            (void)setsockopt(*fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
    }
    if (*fd < 0 || bind(*fd, found->ai_addr, found->ai_addrlen) < 0 || listen(*fd, BACKLOG) < 0) {
        snprintf(why, why_size, "could not listen on \"%s\": %s%s", address, strerror(errno),
                 errno == EADDRINUSE ? "; stop what listens there, or give another port" : "");
        if (*fd >= 0)
            close(*fd);
        status = WEIR_EFAIL;
    }
    freeaddrinfo(found);
    return status;
}

/* Under the lock: the socket of this address, or a free place, or NULL. */
static struct seat_socket *socket_find(struct seat *seat, const char *address)
{
    struct seat_socket *place = NULL;

    for (size_t i = SEAT_SOCKETS_MAX; i-- > 0;) {
        struct seat_socket *one = &seat->sockets[i];

        if (one->address && strcmp(one->address, address) == 0)
            return one;
        if (!one->address)
            place = one;
    }
    return place;
}

int seat_listen(struct seat *seat, uint32_t bit, const char *host, const char *port, int *fd, char *why, size_t why_size)
{
    bool six = strchr(host, ':') != NULL;
    struct seat_socket *place;
    char address[300];
    int status = WEIR_OK;

    snprintf(address, sizeof(address), "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "", port);
    pthread_mutex_lock(&seat->lock);
    place = socket_find(seat, address);
    if (!place) {
        snprintf(why, why_size, "could not listen on \"%s\": %u addresses are the most", address, SEAT_SOCKETS_MAX);
        status = WEIR_ELIMIT;
    } else if (!place->address) {
        char *copy = strdup(address);

        status = copy ? socket_open(host, port, address, &place->fd, why, why_size) : WEIR_ENOMEM;
        if (status == WEIR_OK)
            place->address = copy;
        else
            free(copy);
    }
    if (status == WEIR_OK) {
        place->holders |= bit;
        *fd = place->fd;
    }
    pthread_mutex_unlock(&seat->lock);
    return status;
}
