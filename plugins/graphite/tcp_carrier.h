/* tcp_carrier.h - carries flights to a Graphite receiver as lines over TCP, and settles what became of them; one of the two ways of
 * plugins/push/sender.h.
 *
 * Graphite never acknowledges, but TCP can tell the end: each flight of records has a connection of its own, whose sending side
 * is closed behind the last line.  A receiver that has read all of it closes its side too, and only then are the samples sent.
 * One that dies with anything unread resets the connection, and the flight is sent again: the same values at the same times.  A
 * receiver that does not close counts as having taken what its system has acknowledged (SIOCOUTQ is 0), when the timeout is
 * over and the connection still lives.
 * Threads: the sender's; names are looked up by others (lookup.h).  Every wait has a deadline, and a stop ends it.
 */
#ifndef GRAPHITE_TCP_CARRIER_H
#define GRAPHITE_TCP_CARRIER_H

#include "sender.h"

struct tcp_carrier_options { /* texts are borrowed until tcp_carrier_stop */
    struct sender_options sender;
    const char *address;  /* host:port or [host]:port */
    const char *template; /* or NULL */
    uint64_t max_samples; /* of a flight */
    int64_t timeout_ms;   /* of a lookup, a connection, and a receiver that takes nothing more */
};
struct tcp_carrier;

/* NULL: it is an address; else what is wrong. */
const char *tcp_carrier_check(const char *address);
/* Below 0: no thread, or no memory. */
int tcp_carrier_start(struct tcp_carrier **out, const struct tcp_carrier_options *options);
void tcp_carrier_stop(struct tcp_carrier *carrier); /* as sender_stop */

enum tcp_result { TCP_ARRIVED, TCP_FAILED, TCP_RESULTS }; /* of flights */
void tcp_carrier_figures(struct tcp_carrier *carrier, struct sender_figures *shared, uint64_t flights[TCP_RESULTS]);

#endif
