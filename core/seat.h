/* seat.h - what belongs to an instance's *name* and outlives its object: lane, groups, cursors, offered services, sockets.
 *
 * A reload may replace the object (struct weir_self) that holds a seat; readers, users and counters of the name notice
 * nothing.  Seats are only ever added, so that any thread may walk them; one whose section is gone is vacant: it has no
 * object, its series are released, its cursors detached, its lane small.
 *
 * Two objects may know a seat at a time, the one that holds it and its successor that is being made (a draft).  Each has
 * one of the two holder bits: a group belongs to the objects whose bits it carries, a series that the draft made or asked for is
 * flagged (series.h), and seat_adopt or seat_abort decides at the end.
 *
 * Threads: made, vacated and taken by the main thread while no object runs on it; lane, groups and feeds are the running
 * object's.
 */
#ifndef WEIR_SEAT_H
#define WEIR_SEAT_H

#include "feed.h"
#include "pass.h"
#include "service.h"

#define SEAT_SOCKETS_MAX 16u
#define SEAT_ERROR_MAX 600u

struct seat_socket { /* a listening socket, kept while objects come and go */
    char *address;
    int fd;
    uint32_t holders; /* bits of the objects that asked for it */
};

struct seat {
    _Atomic(struct seat *) next;
    const struct weir_plugin *plugin; /* a name has one plugin for ever */
    const char *name, *title;         /* "pg_stats/orders", "orders" */
    uint32_t id;
    _Atomic uint32_t holder;          /* bit of the object that holds it; 0: vacant */
    bool drafted;                     /* the main thread's: a draft is being made on it */
    struct series_registry *registry;
    struct ring_wake wake;            /* the running object's thread sleeps here */

    /* A source's. */
    struct pass pass;
    struct series_groups groups;
    struct feed_source source;        /* how sinks see it */

    /* A sink's. */
    struct feeds feeds;

    /* What it offers: one port for each service, and one for commands behind them. */
    struct service_port *ports;
    size_t nports;                    /* without that of commands */

    pthread_mutex_t lock;             /* over what follows, up to the figures */
    struct seat_socket sockets[SEAT_SOCKETS_MAX];
    char error[SEAT_ERROR_MAX];       /* the last failure, for `weir status` */
    int64_t error_wall_ns;            /* 0: none */

    /* Figures of all its objects. */
    _Atomic bool stuck;               /* a callback ignores its deadline and its interruption */
    _Atomic uint64_t consume_failures, abandoned;
};

/* All seats, in the order in which they were made. */
struct seats {
    struct series_registry *registry;
    _Atomic(struct seat *) first;
    struct seat *last;
    struct feed_sources sources; /* those with a lane */
    uint32_t count;
};

struct seat *seats_find(const struct seats *seats, const char *name);
/* Makes a vacant seat; lane_max_bytes is the ceiling of its lane.  NULL: no memory. */
struct seat *seats_add(struct seats *seats, const struct weir_plugin *plugin, const char *name, const char *title,
                       uint64_t lane_max_bytes);
void seats_free(struct seats *seats);
/* Objects ever given up. */
uint64_t seats_abandoned(const struct seats *seats);

/* Gives a vacant sink its cursors, at the tails of all lanes.  WEIR_ENOMEM. */
int seat_follow(struct seat *seat, const struct seats *seats);

/* The port of a service of this name, or NULL. */
struct service_port *seat_port(const struct seat *seat, const char *service);
static inline struct service_port *seat_commands(const struct seat *seat) { return &seat->ports[seat->nports]; }
/* True if the port is one of the seat's services; false for NULL. */
static inline bool seat_offers(const struct seat *seat, const struct service_port *port)
{
    return port >= seat->ports && port < seat->ports + seat->nports;
}
/* Lets callers in, to the object's state. */
void seat_open(struct seat *seat, void *state);
/* Keeps callers out and waits for those inside; `replaced`: callers wait for a successor.  WEIR_ETIMEOUT: all may go on. */
int seat_close(struct seat *seat, bool replaced, int64_t deadline_ns);
/* No successor will come. */
void seat_shut(struct seat *seat);

/* The draft with this bit takes the seat: what it has not asked for is released, groups that are not its own end. */
void seat_adopt(struct seat *seat, uint32_t bit, int64_t wall_ns);
/* The draft is given up: what it alone asked for is released. */
void seat_abort(struct seat *seat, uint32_t bit, int64_t wall_ns);
/* The object is gone and no other follows. */
void seat_vacate(struct seat *seat, int64_t wall_ns);
/* Now and then, of a vacant seat: gives back what every sink has seen released, and the lane's memory. */
void seat_settle(struct seat *seat);

/* Any thread: remembers a failure, for `weir status`. */
void seat_failed(struct seat *seat, const char *format, ...) WEIR_PRINTF(2, 3);

/* As weir_host.listen, for the object with this bit. */
int seat_listen(struct seat *seat, uint32_t bit, const char *host, const char *port, int *fd, char *why, size_t why_size);

#endif
