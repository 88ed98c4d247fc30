/* endpoint.h - where datagrams go: a socket to an address, or to a name that is looked up again and again.
 *
 * Nothing is sent twice.  A datagram leaves, or is given up with a reason.  What fails for all holds for the rest of the cycle,
 * which ends with a flush, so that nobody waits or knocks for every datagram; in the next cycle it is tried again.  A host that
 * refuses says so with the next send, by ICMP.  Then the first datagram of a cycle goes alone, and if it is refused at once, as
 * on loopback, it counts as not sent.
 * Threads: the sink's.
 */
#ifndef STATSD_ENDPOINT_H
#define STATSD_ENDPOINT_H

#include "packets.h"

enum endpoint_outcome {
    ENDPOINT_SENT,
    ENDPOINT_UNRESOLVED, /* the name has no address yet */
    ENDPOINT_REFUSED,    /* nobody is there */
    ENDPOINT_FULL,       /* the receiver's queue, or ours, for longer than the timeout */
    ENDPOINT_PACED,      /* max_rate allowed no more within the timeout */
    ENDPOINT_TOO_LONG,   /* for the interface, or the socket */
    ENDPOINT_FAILED,     /* the system said so: no route, no rights */
    ENDPOINT_OUTCOMES
};
struct endpoint_figures {
    uint64_t datagrams, lines, bytes; /* sent */
    uint64_t refusals;                /* that the receiver's host has told of */
    uint64_t lookups, lookup_failures;
};
struct endpoint_options { /* texts are copied */
    const char *address;        /* host:port, [host]:port or unix:/path */
    int64_t rate_bytes;         /* per second; 0: as fast as it goes */
    int64_t timeout_ns;         /* how long a call may wait */
    int64_t resolve_ns;         /* how often a name is looked up */
    struct endpoint_figures *figures; /* the caller's; counted on */
};
struct endpoint;

/* What is wrong with an address, or NULL. */
const char *endpoint_check(const char *address);
bool endpoint_is_unix(const char *address);

/* NULL: no memory. */
struct endpoint *endpoint_new(const struct weir_host *host, struct weir_self *self, const struct endpoint_options *options);
void endpoint_free(struct endpoint *endpoint);
/* Has the name looked up, and waits for the answer until the timeout. */
void endpoint_open(struct endpoint *endpoint);
/* Sends all datagrams and says of each what became of it.  Waits until the timeout from `began_ns` at most. */
void endpoint_send(struct endpoint *endpoint, const struct packets *packets, int64_t began_ns,
                   enum endpoint_outcome outcomes[PACKETS_MAX]);
/* Ends a cycle. */
void endpoint_cycle(struct endpoint *endpoint);

#endif
