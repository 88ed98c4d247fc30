/* lookup.h - looking up a name without waiting for it.
 *
 * getaddrinfo blocks for as long as it likes, so each lookup has a thread of its own, and memory that whoever lets go last
 * frees: the sink goes on, or ends, while it hangs.
 * Threads: lookup_done and lookup_leave on the starter's.
 */
#ifndef STATSD_LOOKUP_H
#define STATSD_LOOKUP_H

#include <netdb.h>
#include <stdbool.h>
#include <sys/socket.h>

#define LOOKUP_ADDRESSES_MAX 16u

struct lookup_address {
    struct sockaddr_storage address;
    socklen_t length;
};
struct lookup_result {
    int error; /* of getaddrinfo */
    unsigned count;
    struct lookup_address addresses[LOOKUP_ADDRESSES_MAX];
};
struct lookup;

/* Cuts "host:port" or "[host]:port" in place; false if it is neither. */
bool lookup_cut(char *address, const char **name, const char **port);
/* At once; numeric addresses only, if `numeric`. */
void lookup_now(const char *name, const char *port, bool numeric, struct lookup_result *result);
/* NULL: no memory, descriptor or thread. */
struct lookup *lookup_start(const char *name, const char *port);
int lookup_fd(const struct lookup *lookup); /* readable when it is done */
/* NULL while it is under way. */
const struct lookup_result *lookup_done(const struct lookup *lookup);
void lookup_leave(struct lookup *lookup); /* NULL: nothing */

#endif
