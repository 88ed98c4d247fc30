/* session.h - one PostgreSQL session over libpq, never blocking beyond a deadline.
 *
 * Threads: one at a time.  Every wait goes through host->wait_fd with the caller's self, so that it ends at the deadline or
 * when the caller is interrupted.
 */
#ifndef POOL_SESSION_H
#define POOL_SESSION_H

#include "gate.h"
#include "weir_pool.h"
#include "worker.h"

#include <stdbool.h>

#define SESSION_REASON_MAX 400u

/* How to reach a server, and how to pin its sessions. */
struct session_target {
    /* For session_open alone. */
    const char *const *keywords;   /* libpq's, NULL-terminated; and their values */
    const char *const *values;
    const char *host;              /* name or address or socket folder; NULL: libpq's default */
    bool lookup;                   /* host is a name to be looked up */
    const struct weir_secret *password; /* or NULL: among the values, .pgpass, PGPASSWORD */
    bool direct;                   /* no pooler is in front, and the server is of a version that takes the settings with the connection */
    /* For all. */
    int64_t statement_timeout_ns, lock_timeout_ns;
    int pooler;                    /* -1: find out; 0, 1 */
};

struct session {
    PGconn *connection;
    uint32_t flags;                /* enum weir_pool_session_flag */
    int server_version;
    bool in_transaction;           /* behind a pooler, while lent */
    bool direct;                   /* once opened: as a session_target's */
    bool refused_options;          /* once opened: the settings had to go by a statement after all */
    bool doomed;                   /* must be closed */
    bool busy;                     /* a statement's results are not all read */
    bool copying;                  /* nor are the rows of a COPY */
    bool flowing;                  /* the last wait brought more of the answer */
    int ending;                    /* the socket of the one before, while the server may not have let go of it; 0: none */
    int lowat;                     /* bytes for which the socket wakes us */
    struct gate gate;              /* what libpq reads through */
    uint64_t answer_from;          /* bytes received when the last result came; */
    uint64_t expected_bytes;       /* they will come to this at least, */
    int64_t expected_ns;           /* by this time (CLOCK_MONOTONIC) */
};

/* Connects and pins; all of it until the deadline.  On failure the session is closed, and `reason` says why.  Settings go by a statement,
 * which also asks what the server is; or with the connection, which saves the server that statement. */
int session_open(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const struct session_target *target, const char *database, int64_t deadline_ns, char *reason);
void session_close(struct session *session);
/* The same, when no other is to be opened in its place. */
void session_free(struct session *session);
/* Closes one, for session_end to wait until the server has let go of it. */
void session_leave(struct session *session);
/* Closes one, if there is one, and waits a moment until the server has let go of it, so that the next does not count beside it. */
void session_end(struct session *session, const struct weir_host *host, struct weir_self *user, int64_t deadline_ns);
/* False if the server has closed it meanwhile. */
bool session_alive(struct session *session);
/* Begin and end of a loan: behind a pooler, a pinned transaction. */
int session_lend(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const struct session_target *target, int64_t deadline_ns);
void session_return(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                    int64_t deadline_ns);

/* The answer to what is sent next, as the fields of struct weir_pool_lease say it. */
void session_expect(struct session *session, uint64_t answer_bytes, int64_t until_ns);
/* As in weir_pool.h. */
int session_send(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const char *sql, const struct weir_pool_parameters *parameters, int64_t deadline_ns);
int session_result(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                   PGresult **result, char *sqlstate, int64_t deadline_ns);
int session_copy_row(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                     char **row, int *length, int64_t deadline_ns);

#endif
