/* gate.h - how much libpq reads at a time.
 *
 * libpq makes its buffer as large as a message says that it is, up to 1 GiB, and reads until it is full or nothing is there: garbage
 * before a long answer, or a server that sends faster than we read, would take that memory, and the time past every deadline.  So libpq
 * reads from one end of a socket pair, which takes its socket's place meanwhile, what we have put into the other.  What it writes
 * meanwhile, as TLS may, goes to the server.
 *
 * Threads: one at a time.
 */
#ifndef POOL_GATE_H
#define POOL_GATE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#define GATE_BYTES 65536u

struct gate { /* all 0: new */
    int inlet, outlet; /* the pair; 0: none yet */
    int server;        /* another descriptor of the connection's own socket; 0: none yet */
    int held;          /* bytes that libpq has not read yet */
    bool placed;       /* libpq's descriptor is the outlet, from the first piece of an answer to gate_drain */
    bool spoilt;       /* the pair may have what the next connection must not see, as libpq's last words */
    bool more;         /* and the server may have sent more than these */
    uint64_t received; /* bytes, since the beginning */
};

/* The connection's own socket, to wait for. */
int gate_socket(const struct gate *gate, const PGconn *connection);
/* Lets libpq read some of what has come, GATE_BYTES at most; false if the connection is broken (PQerrorMessage) or the system refuses
 * (errno, and no message).  Nothing happens if nothing has come. */
bool gate_read(struct gate *gate, PGconn *connection);
/* Whether there is something to read for which nobody has to wait. */
bool gate_ready(const struct gate *gate);
/* Lets libpq read what it has not read yet of the last piece, and gives the connection its socket back, before it writes; false if the
 * connection is broken. */
bool gate_drain(struct gate *gate, PGconn *connection);
/* Before PQfinish: the connection gets its socket back, and the gate is as new, but for the pair, which serves the next connection if
 * it is empty.  Returns another descriptor of the socket, now the caller's; 0 if there was none. */
int gate_leave(struct gate *gate, PGconn *connection);
/* Closes the pair, after gate_leave. */
void gate_free(struct gate *gate);

#endif
