/* weir_pool.h - the service "pool", version 1: PostgreSQL sessions on loan.
 *
 * For plugins that talk to PostgreSQL.  The table comes from host->service_enter; `pool` is the provider it returns.
 * Every function may block, but never beyond the deadline given (CLOCK_MONOTONIC), and returns early with WEIR_EINTR when
 * `user`, the calling instance, is interrupted.  Functions may be called from any thread, with one thread per lease.
 *
 * A session on loan is pinned: search_path is empty, read only, UTF-8, with timeouts; so every name and operator in a
 * query is schema-qualified.  Behind a transaction pooler the same holds for a transaction that acquire opens and release
 * closes.  Only the pool talks to libpq about connecting; users may call libpq's non-blocking functions on `connection`.
 */
#ifndef WEIR_POOL_H
#define WEIR_POOL_H

#include <weir_plugin.h>

#include <libpq-fe.h>

#define WEIR_POOL_SERVICE "pool"
#define WEIR_POOL_VERSION 1u
/* The largest result, or row of a COPY: libpq keeps it in memory. */
#define WEIR_POOL_ANSWER_BYTES_MAX (16u << 20)

enum weir_pool_role { WEIR_POOL_PRIMARY = 0, WEIR_POOL_REPLICA = 1, WEIR_POOL_ANY = 2 };
enum weir_pool_access { WEIR_POOL_READ_ONLY = 0, WEIR_POOL_READ_WRITE = 1 };

struct weir_pool_request {
    uint32_t size;
    uint32_t role, access;
    uint32_t sessions_max; /* most sessions open for `user` at a time, lent and idle; 0: the pool's own max.  For one more its own that
                              is idle longest is closed; if all are lent, it waits until one is released */
    const char *database; /* NULL: the one of the configuration */
    int64_t deadline_ns;  /* for everything: waiting for a free session, name, handshake, pinning */
};

/* What a lease says about its session. */
enum weir_pool_session_flag {
    WEIR_POOL_SUPERUSER = 1,
    WEIR_POOL_RECOVERY = 2, /* a standby, when the session began: it may have been promoted since */
    WEIR_POOL_POOLER = 4,   /* behind a transaction pooler */
    WEIR_POOL_DISCARD = 8   /* set by the user before release: the session is closed, for it has used up much of the server's memory */
};
struct weir_pool_lease {
    uint32_t size, flags;
    PGconn *connection;
    int server_version;     /* as libpq gives it: 150018 */
    uint32_t reserved;
    uint64_t session;       /* number of the session, never reused: what was learnt of another one is void */
    const char *server;     /* "host:port" of the server, for labels */
    const char *database;
    void *slot;             /* the pool's */
    /* Set by the user before `send`, if it knows: how large the answer will be at least, and how long the server takes for it.  The
     * session then sleeps until so much of it is there, so long at most.  0: unknown. */
    uint64_t answer_bytes;
    int64_t answer_ns;
};

/* One parameter set of a query, as libpq takes it; NULL for a query without. */
struct weir_pool_parameters {
    int count;
    const char *const *values;
};

struct weir_pool {
    uint32_t size, version;

    /* WEIR_OK and a lease; WEIR_EAGAIN while a failed server is left alone (backoff), WEIR_ETIMEOUT, WEIR_EINTR or
     * WEIR_EFAIL with the reason recorded for `user`; WEIR_EFAIL also for a database other than the configured one that cannot be had
     * although the server may be well.  lease->size is set by the caller. */
    int (*acquire)(void *pool, struct weir_self *user, const struct weir_pool_request *request,
                   struct weir_pool_lease *lease);
    /* Returns the session.  One that is broken, in the middle of a result, or past its deadline is closed, not reused. */
    void (*release)(void *pool, struct weir_self *user, struct weir_pool_lease *lease);

    /* Sends a statement (simple protocol without parameters: may be COPY ... TO STDOUT). */
    int (*send)(void *pool, struct weir_self *user, struct weir_pool_lease *lease, const char *sql,
                const struct weir_pool_parameters *parameters, int64_t deadline_ns);
    /* The next result, to be PQclear()ed, or NULL at the end of the statement.  A server error is WEIR_EFAIL with the
     * server's words recorded, escaped and cut; sqlstate (6 bytes) is filled when not NULL.  When the deadline passes the
     * statement is cancelled (in bounded time) and the session will be closed.  WEIR_ELIMIT: larger than
     * WEIR_POOL_ANSWER_BYTES_MAX; what may become that large is asked for as COPY ... TO STDOUT. */
    int (*result)(void *pool, struct weir_self *user, struct weir_pool_lease *lease, PGresult **result, char *sqlstate,
                  int64_t deadline_ns);
    /* After a result of PGRES_COPY_OUT: the next row, to be PQfreemem()ed, and its length; length -1 at the end, after
     * which `result` gives the statement's own status. */
    int (*copy_row)(void *pool, struct weir_self *user, struct weir_pool_lease *lease, char **row, int *length,
                    int64_t deadline_ns);
};

#endif
