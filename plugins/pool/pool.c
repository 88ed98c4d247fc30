/* pool.c - PostgreSQL sessions on loan: slots, waiting, backoff, what is told and counted.
 *
 * A pool has one server today, and slots for `max` sessions of any of its databases.  Users lend slots under the lock and work
 * with a session without it; a slot is the user's who had its session last.  The pool alone tells what happens to the server, one
 * line per change of state; users pass its EAGAIN on in silence.
 */
#include "conninfo.h"
#include "session.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define RELEASE_NS SECOND_NS /* for ending a pooler's transaction */
#define ANSWER_LATE_NS (SECOND_NS / 500) /* an answer may come so much later than its user said */

struct pool_config {
    struct conninfo_options server;
    int64_t max, connect_timeout_ns, statement_timeout_ns, lock_timeout_ns, idle_timeout_ns, lifetime_ns;
    int64_t backoff_min_ns, backoff_max_ns, pooler;
};

static const char *const pooler_choices[] = {"auto", "yes", "no", NULL};

#define AT(field) .offset = offsetof(struct pool_config, field)
static const struct weir_option options[] = {
    {.name = "primary", .type = WEIR_STRING, AT(server.primary),
     .help = "Connection string of the server, without a password: \"host=db1 dbname=postgres user=weir\"."},
    {.name = "dsn", .type = WEIR_SECRET, AT(server.dsn),
     .help = "The same as a secret, which may have the password in it, or a URI: \"${DATA_SOURCE_NAME}\"."},
    {.name = "host", .type = WEIR_STRING, AT(server.host),
     .help = "Name, address or socket folder; wins over primary and dsn, as the rows below do."},
    {.name = "port", .type = WEIR_INT, .min = 1, .max = 65535, AT(server.port), .help = "Port of the server."},
    {.name = "dbname", .type = WEIR_STRING, AT(server.dbname), .help = "Database to connect to."},
    {.name = "user", .type = WEIR_STRING, AT(server.user), .help = "Role to connect as; one with pg_monitor is enough."},
    {.name = "password", .type = WEIR_SECRET, AT(server.password),
     .help = "Password of the role; without one libpq looks into .pgpass and PGPASSWORD."},
    {.name = "ssl", .type = WEIR_BOOL, .dflt = "false", AT(server.ssl), .help = "Short for sslmode = require."},
    {.name = "sslmode", .type = WEIR_STRING, AT(server.sslmode), .help = "As libpq's sslmode: disable to verify-full."},
    {.name = "sslrootcert", .type = WEIR_STRING, AT(server.sslrootcert), .help = "File with the certificates to trust."},
    {.name = "sslcert", .type = WEIR_STRING, AT(server.sslcert), .help = "File with our certificate."},
    {.name = "sslkey", .type = WEIR_STRING, AT(server.sslkey), .help = "File with its key."},
    {.name = "application_name", .type = WEIR_STRING, .dflt = "weir", AT(server.application_name),
     .help = "How the sessions call themselves."},
    {.name = "max", .type = WEIR_INT, .dflt = "4", .min = 1, .max = 1000, AT(max), .help = "Most sessions at a time."},
    {.name = "connect_timeout", .type = WEIR_DURATION, .dflt = "5s", .min = SECOND_NS / 10, .max = 600 * SECOND_NS,
     AT(connect_timeout_ns), .help = "Most time for one connection: name, handshake, first statements."},
    {.name = "statement_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = 0, .max = 3600 * SECOND_NS,
     AT(statement_timeout_ns), .help = "The server's own limit on each statement, in case we are gone; 0 is none."},
    {.name = "lock_timeout", .type = WEIR_DURATION, .dflt = "1s", .min = 0, .max = 3600 * SECOND_NS, AT(lock_timeout_ns),
     .help = "The server's limit on waiting for a lock; 0 is none."},
    {.name = "idle_timeout", .type = WEIR_DURATION, .dflt = "5m", .min = SECOND_NS, .max = 86400 * SECOND_NS,
     AT(idle_timeout_ns), .help = "A session that nobody used for so long is closed."},
    {.name = "lifetime", .type = WEIR_DURATION, .dflt = "1h", .min = SECOND_NS, .max = 30 * 86400 * SECOND_NS,
     AT(lifetime_ns), .help = "A session older than this is replaced."},
    {.name = "backoff_min", .type = WEIR_DURATION, .dflt = "500ms", .min = SECOND_NS / 100, .max = 3600 * SECOND_NS,
     AT(backoff_min_ns), .help = "How long a server is left alone after its first failure; doubles with each."},
    {.name = "backoff_max", .type = WEIR_DURATION, .dflt = "10s", .min = SECOND_NS / 100, .max = 3600 * SECOND_NS,
     AT(backoff_max_ns), .help = "Most time that a failing server is left alone."},
    {.name = "pooler", .type = WEIR_ENUM, .dflt = "auto", .choices = pooler_choices, AT(pooler),
     .help = "Whether a transaction pooler such as PgBouncer is in front; then each loan is a transaction."},
    {.name = NULL}};

enum slot_state { SLOT_EMPTY, SLOT_CONNECTING, SLOT_IDLE, SLOT_LENT, SLOT_STATES };
struct slot {
    struct session session;
    enum slot_state state;
    char *database;           /* as requested; NULL: the configured one */
    const struct weir_self *user; /* who had it last, or whose it will be: to be compared, for that one may be gone */
    uint64_t number;          /* of the session */
    int64_t since_ns, expires_ns;
};

enum figure {
    FIGURE_UP, FIGURE_MAX, FIGURE_CONNECTS, FIGURE_FAILURES, FIGURE_BROKEN, FIGURE_TIMEOUTS, FIGURE_ACQUIRES,
    FIGURE_WAIT, FIGURE_SUPERUSER, FIGURES
};
static const struct weir_family families[FIGURES] = {
#define FAMILY(k, n, u, h) {.size = sizeof(struct weir_family), .kind = (k), .name = (n), .unit = (u), .help = (h)}
    [FIGURE_UP] = FAMILY(WEIR_GAUGE, "weir_pool_up", NULL, "1 if the last contact with the server was good"),
    [FIGURE_MAX] = FAMILY(WEIR_GAUGE, "weir_pool_connections_max", NULL, "Most connections allowed"),
    [FIGURE_CONNECTS] = FAMILY(WEIR_COUNTER, "weir_pool_connects_total", NULL, "Connections made"),
    [FIGURE_FAILURES] = FAMILY(WEIR_COUNTER, "weir_pool_connect_failures_total", NULL, "Connection attempts that failed"),
    [FIGURE_BROKEN] = FAMILY(WEIR_COUNTER, "weir_pool_broken_total", NULL,
                             "Connections closed because they broke, were late, or were left in mid-result"),
    [FIGURE_TIMEOUTS] = FAMILY(WEIR_COUNTER, "weir_pool_acquire_timeouts_total", NULL,
                               "Requests that found no free connection in time"),
    [FIGURE_ACQUIRES] = FAMILY(WEIR_COUNTER, "weir_pool_acquires_total", NULL, "Loans"),
    [FIGURE_WAIT] = FAMILY(WEIR_COUNTER, "weir_pool_acquire_seconds_total", "seconds", "Time spent until a loan was made"),
    [FIGURE_SUPERUSER] = FAMILY(WEIR_GAUGE, "weir_pg_superuser", NULL, "1 if connected as a superuser, who can do more than watch"),
};
static const struct weir_family connections_family =
    FAMILY(WEIR_GAUGE, "weir_pool_connections", NULL, "Connections by state");
static const char *const state_names[SLOT_STATES] = {[SLOT_CONNECTING] = "connecting", [SLOT_IDLE] = "idle", [SLOT_LENT] = "active"};

struct pool {
    struct weir_self *self;
    const struct pool_config *config;
    char server[300], place[CONNINFO_PLACE_MAX]; /* of the start: a dsn may change */
    struct session_target target;                /* without what conninfo_read gives */
    struct worker *worker;
    int free_fd; /* counts slots that became free, for those who wait */

    pthread_mutex_t lock; /* over what follows */
    struct slot *slots;
    uint64_t next_number;
    unsigned waiting;
    bool down, superuser, superuser_told;
    bool direct, options_refused; /* as session.h's; the second for ever */
    char reason[SESSION_REASON_MAX];
    int64_t down_since_ns, retry_ns, backoff_ns;
    unsigned seed;
    uint64_t counts[FIGURES], wait_ns;

    uint32_t group, series[FIGURES], state_series[SLOT_STATES];
};

static const struct weir_host *host;

/* ---- Configuration -------------------------------------------------------------------------------------------------- */

static int check(struct weir_self *self, const void *given)
{
    const struct pool_config *config = given;
    int status = conninfo_check(host, self, &config->server);

    if (status == WEIR_OK && config->backoff_min_ns > config->backoff_max_ns)
        status = host->fail(self, WEIR_ECONFIG, "backoff_min: is more than backoff_max");
    return status;
}

static int target_make(struct pool *pool)
{
    const struct pool_config *config = pool->config;
    struct conninfo conninfo;
    int status = conninfo_read(host, pool->self, &config->server, &conninfo);

    if (status < 0)
        return status;
    snprintf(pool->server, sizeof(pool->server), "%s:%s",
             conninfo.host       ? conninfo.host
             : conninfo.hostaddr ? conninfo.hostaddr
                                 : "localhost",
             conninfo.port ? conninfo.port : "5432");
    memcpy(pool->place, conninfo.place, sizeof(pool->place));
    pool->target = (struct session_target){.password = config->server.password,
                                           .statement_timeout_ns = config->statement_timeout_ns,
                                           .lock_timeout_ns = config->lock_timeout_ns,
                                           .pooler = config->pooler == 0 ? -1 : config->pooler == 1};
    conninfo_free(&conninfo);
    return WEIR_OK;
}

/* ---- Up and down ------------------------------------------------------------------------------------------------------ */

/* Between half of the time and all of it, so that many pools do not come back together. */
static int64_t jitter(struct pool *pool, int64_t time_ns)
{
    return time_ns / 2 + (int64_t)((double)(time_ns / 2) * rand_r(&pool->seed) / RAND_MAX);
}

/* Under the lock.  One line when it goes down, and one when the reason changes. */
static void server_failed(struct pool *pool, const char *reason)
{
    int64_t now_ns = host->now_ns();

    if (!pool->down || strcmp(pool->reason, reason) != 0)
        host->log(pool->self, WEIR_WARNING, "server %s is down: %s", pool->server, reason);
    if (!pool->down) {
        pool->down_since_ns = now_ns;
        pool->backoff_ns = pool->config->backoff_min_ns;
    }
    pool->down = true;
    snprintf(pool->reason, sizeof(pool->reason), "%s", reason);
    pool->retry_ns = now_ns + jitter(pool, pool->backoff_ns);
    pool->backoff_ns = pool->backoff_ns * 2 < pool->config->backoff_max_ns ? pool->backoff_ns * 2 : pool->config->backoff_max_ns;
}

/* Under the lock. */
static void server_good(struct pool *pool, const struct session *session)
{
    if (pool->down)
        host->log(pool->self, WEIR_NOTICE, "server %s is up again after %.1f s", pool->server,
                  (double)(host->now_ns() - pool->down_since_ns) / 1e9);
    pool->down = false;
    pool->superuser = session->flags & WEIR_POOL_SUPERUSER;
    if (pool->superuser && !pool->superuser_told)
        host->log(pool->self, WEIR_WARNING, "is connected as a superuser; a role with pg_monitor is enough and can do no harm");
    pool->superuser_told |= pool->superuser;
}

/* ---- Lending ------------------------------------------------------------------------------------------------------------ */

/* Under the lock: all who wait look again. */
static void wake(struct pool *pool)
{
    const uint64_t count = pool->waiting;

    if (count)
        (void)!write(pool->free_fd, &count, sizeof(count));
}

static void slot_free(struct pool *pool, struct slot *slot)
{
    slot->since_ns = host->now_ns();
    wake(pool);
}

/* Under the lock: of a session that is closed. */
static void slot_vacate(struct pool *pool, struct slot *slot)
{
    free(slot->database);
    slot->database = NULL;
    slot->state = SLOT_EMPTY;
    slot_free(pool, slot);
}

/* Under the lock: the session is closed and the slot empty. */
static void slot_close(struct pool *pool, struct slot *slot)
{
    session_close(&slot->session);
    slot_vacate(pool, slot);
}

static bool same_database(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool connecting(const struct pool *pool)
{
    for (int64_t i = 0; i < pool->config->max; i++)
        if (pool->slots[i].state == SLOT_CONNECTING)
            return true;
    return false;
}

/* Under the lock: sessions of this user, with the one that is to be. */
static int64_t held_by(const struct pool *pool, const struct weir_self *user)
{
    int64_t held = 0;

    for (int64_t i = 0; i < pool->config->max; i++)
        held += pool->slots[i].state != SLOT_EMPTY && pool->slots[i].user == user;
    return held;
}

/* Under the lock: an idle session of this database, one of the user's own rather than another. */
static struct slot *idle_of(const struct pool *pool, const struct weir_self *user, const char *database)
{
    struct slot *found = NULL;

    for (int64_t i = 0; i < pool->config->max; i++) {
        struct slot *slot = &pool->slots[i];

        if (slot->state == SLOT_IDLE && same_database(slot->database, database) && (!found || slot->user == user))
            found = slot;
    }
    return found;
}

/* True if `a` is to give way rather than `b`: one of a database that is visited in turn with others, or that is idle longer. */
static bool gives_way(const struct slot *a, const struct slot *b)
{
    return !a->database != !b->database ? a->database != NULL : a->since_ns < b->since_ns;
}

/* Under the lock: the idle one that is to give way, of a user or (NULL) of all, but for one. */
static struct slot *idle_least(const struct pool *pool, const struct weir_self *user, const struct slot *but)
{
    struct slot *least = NULL;

    for (int64_t i = 0; i < pool->config->max; i++) {
        struct slot *slot = &pool->slots[i];

        if (slot->state == SLOT_IDLE && slot != but && (!user || slot->user == user) &&
            (!least || gives_way(slot, least)))
            least = slot;
    }
    return least;
}

/* Rather one whose session is ending, so that the next does not count beside it. */
static struct slot *slot_empty(const struct pool *pool)
{
    struct slot *found = NULL;

    for (int64_t i = 0; i < pool->config->max; i++)
        if (pool->slots[i].state == SLOT_EMPTY && (!found || pool->slots[i].session.ending))
            found = &pool->slots[i];
    return found;
}

/* Under the lock: an idle session of this database that still lives; or a slot to connect, in which another session may be that
 * gives way; or NULL.  A user that has all it may have gives way to itself.  One connects at a time: a server in trouble gets no
 * crowd. */
static struct slot *slot_take(struct pool *pool, const struct weir_self *user, const struct weir_pool_request *request)
{
    int64_t most = request->sessions_max ? (int64_t)request->sessions_max : pool->config->max, held;
    struct slot *slot;
    bool fresh;

    for (int64_t i = 0; i < pool->config->max; i++)
        if (pool->slots[i].state == SLOT_IDLE && !session_alive(&pool->slots[i].session))
            slot_close(pool, &pool->slots[i]);
    slot = idle_of(pool, user, request->database);
    fresh = !slot || host->now_ns() >= slot->expires_ns;
    if (fresh && connecting(pool))
        return NULL;
    for (held = held_by(pool, user) + !(slot && slot->user == user); held > most; held--) {
        struct slot *gone = idle_least(pool, user, slot);

        if (!gone)
            return NULL;
        if (slot)
            slot_close(pool, gone);
        else
            slot = gone;
    }
    if (!slot)
        slot = slot_empty(pool);
    if (!slot)
        slot = idle_least(pool, NULL, NULL);
    if (!slot)
        return NULL;
    slot->state = fresh ? SLOT_CONNECTING : SLOT_LENT;
    slot->user = user;
    return slot;
}

/* Under the lock: tells a user what the pool has told already. */
static int down(struct pool *pool, struct weir_self *user)
{
    return host->fail(user, WEIR_EAGAIN, "server %s is down: %s", pool->server, pool->reason);
}

/* Under the lock.  A database other than the configured one may be refused, or be gone, while the server is well: that says nothing
 * of the server, and is told to the one who asked for it. */
static int connect_failed(struct pool *pool, struct weir_self *user, const char *database, const char *reason)
{
    pool->counts[FIGURE_FAILURES]++;
    pool->direct = false;
    if (database && !pool->down)
        return host->fail(user, WEIR_EFAIL, "could not connect to database \"%s\": %s", database, reason);
    server_failed(pool, reason);
    return down(pool, user);
}

/* A session for a slot, after the one that is in it and gives way. */
static int session_make(struct pool *pool, struct weir_self *user, struct session *session, const char *database, bool direct,
                        int64_t deadline_ns, char *reason)
{
    struct session_target target = pool->target;
    struct conninfo conninfo;
    int status = conninfo_read(host, user, &pool->config->server, &conninfo);

    session_end(session, host, user, deadline_ns);
    if (status < 0) {
        snprintf(reason, SESSION_REASON_MAX, "could not read its connection string; see dsn_file");
        return status;
    }
    if (strcmp(conninfo.place, pool->place) == 0) {
        target.keywords = conninfo.keywords;
        target.values = conninfo.values;
        target.host = conninfo.host;
        target.lookup = conninfo.lookup;
        target.direct = direct;
        status = session_open(session, host, user, pool->worker, &target, database, deadline_ns, reason);
    } else {
        snprintf(reason, SESSION_REASON_MAX,
                 "its dsn names another server or database than at the start; restart weir to go over to it");
        status = WEIR_EFAIL;
    }
    conninfo_free(&conninfo);
    return status;
}

/* Connects a slot; called and returns without the lock. */
static int slot_connect(struct pool *pool, struct weir_self *user, struct slot *slot, const char *database, int64_t deadline_ns)
{
    int64_t now_ns = host->now_ns(), most_ns = now_ns + pool->config->connect_timeout_ns;
    char reason[SESSION_REASON_MAX] = "";
    bool direct;
    int status;

    /* The configured database's session is pinned by a statement each time, and so finds a pooler that has come. */
    pthread_mutex_lock(&pool->lock);
    direct = database && pool->direct;
    pthread_mutex_unlock(&pool->lock);
    status = session_make(pool, user, &slot->session, database, direct, deadline_ns < most_ns ? deadline_ns : most_ns, reason);
    pthread_mutex_lock(&pool->lock);
    free(slot->database);
    slot->database = NULL;
    if (status == WEIR_OK) {
        slot->state = SLOT_LENT;
        slot->database = database ? strdup(database) : NULL;
        slot->number = ++pool->next_number;
        slot->expires_ns = now_ns + jitter(pool, pool->config->lifetime_ns);
        pool->counts[FIGURE_CONNECTS]++;
        pool->options_refused |= slot->session.refused_options;
        pool->direct = slot->session.direct && !pool->options_refused;
        server_good(pool, &slot->session);
        wake(pool);
    } else {
        slot->state = SLOT_EMPTY;
        slot_free(pool, slot);
        if (status != WEIR_EINTR)
            status = connect_failed(pool, user, database, reason);
    }
    if (status == WEIR_OK && database && !slot->database) { /* it must not be taken for one of the configured database */
        slot_close(pool, slot);
        status = WEIR_ENOMEM;
    }
    pthread_mutex_unlock(&pool->lock);
    return status;
}

/* Waits for a slot; called and returns under the lock.  While the server is down nobody waits, but for the outcome of the one attempt
 * that may be under way. */
static int slot_wait(struct pool *pool, struct weir_self *user, const struct weir_pool_request *request, struct slot **slot)
{
    for (;;) {
        uint64_t count;
        int ready;

        if (pool->down && !connecting(pool) && host->now_ns() < pool->retry_ns)
            return down(pool, user);
        *slot = pool->down && connecting(pool) ? NULL : slot_take(pool, user, request);
        if (*slot)
            return WEIR_OK;
        pool->waiting++;
        pthread_mutex_unlock(&pool->lock);
        ready = host->wait_fd(user, pool->free_fd, POLLIN, request->deadline_ns);
        pthread_mutex_lock(&pool->lock);
        pool->waiting--;
        if (ready > 0)
            (void)!read(pool->free_fd, &count, sizeof(count));
        if (ready == WEIR_ETIMEOUT) {
            pool->counts[FIGURE_TIMEOUTS]++;
            if (connecting(pool))
                return host->fail(user, ready, "server %s did not answer in time", pool->server);
            if (request->sessions_max && held_by(pool, user) >= (int64_t)request->sessions_max)
                return host->fail(user, ready, "no free connection of pool \"%s\" in time; all %u of this instance are in use",
                                  host->name(pool->self), request->sessions_max);
            return host->fail(user, ready, "no free connection of pool \"%s\" in time; all %lld are in use, raise max",
                              host->name(pool->self), (long long)pool->config->max);
        }
        if (ready < 0)
            return ready;
    }
}

/* As much as the user's has of it. */
static void lease_set(struct weir_pool_lease *lease, const struct weir_pool_lease *from)
{
    uint32_t size = lease->size < sizeof(*from) ? lease->size : (uint32_t)sizeof(*from);

    memcpy(lease, from, size);
    lease->size = size;
}

static int acquire(void *provider, struct weir_self *user, const struct weir_pool_request *given, struct weir_pool_lease *lease)
{
    struct pool *pool = provider;
    struct weir_pool_request request = {0};
    struct weir_pool_lease full = {0};
    int64_t began_ns = host->now_ns();
    struct slot *slot = NULL;
    bool fresh;
    int status;

    memcpy(&request, given, given->size < sizeof(request) ? given->size : sizeof(request));
    if (request.role == WEIR_POOL_REPLICA || request.access != WEIR_POOL_READ_ONLY)
        return host->fail(user, WEIR_EINVAL, "pool \"%s\" lends read-only sessions of its primary only", host->name(pool->self));
    for (unsigned tries = 0;; tries++) {
        pthread_mutex_lock(&pool->lock);
        status = slot_wait(pool, user, &request, &slot);
        fresh = status == WEIR_OK && slot->state == SLOT_CONNECTING;
        pthread_mutex_unlock(&pool->lock);
        if (fresh)
            status = slot_connect(pool, user, slot, request.database, request.deadline_ns);
        if (status < 0)
            return status;
        status = session_lend(&slot->session, host, user, pool->worker, &pool->target, request.deadline_ns);
        if (status == WEIR_OK)
            break;
        pthread_mutex_lock(&pool->lock);
        pool->counts[FIGURE_BROKEN]++;
        slot_close(pool, slot);
        pthread_mutex_unlock(&pool->lock);
        /* A pooler's old session may have died unseen; a second one has not. */
        if (fresh || tries || status == WEIR_EINTR || status == WEIR_ETIMEOUT)
            return status;
    }
    full.flags = slot->session.flags;
    full.connection = slot->session.connection;
    full.server_version = slot->session.server_version;
    full.session = slot->number;
    full.server = pool->server;
    full.database = PQdb(slot->session.connection);
    full.slot = slot;
    lease_set(lease, &full);
    pthread_mutex_lock(&pool->lock);
    pool->counts[FIGURE_ACQUIRES]++;
    pool->wait_ns += (uint64_t)(host->now_ns() - began_ns);
    pthread_mutex_unlock(&pool->lock);
    return WEIR_OK;
}

static void release(void *provider, struct weir_self *user, struct weir_pool_lease *lease)
{
    struct pool *pool = provider;
    const struct weir_pool_lease empty = {0};
    struct slot *slot = lease->slot;
    bool lost;

    session_return(&slot->session, host, user, pool->worker, host->now_ns() + RELEASE_NS);
    lost = PQstatus(slot->session.connection) != CONNECTION_OK;
    pthread_mutex_lock(&pool->lock);
    if (!slot->session.doomed && lease->flags & WEIR_POOL_DISCARD) {
        session_leave(&slot->session);
        slot_vacate(pool, slot);
    } else if (slot->session.doomed) {
        pool->counts[FIGURE_BROKEN]++;
        pool->direct = pool->direct && !lost;
        if (lost && !pool->down)
            server_failed(pool, "the connection broke");
        slot_close(pool, slot);
    } else {
        slot->state = SLOT_IDLE;
        slot_free(pool, slot);
    }
    pthread_mutex_unlock(&pool->lock);
    lease_set(lease, &empty);
}

static int statement_send(void *provider, struct weir_self *user, struct weir_pool_lease *lease, const char *sql,
                const struct weir_pool_parameters *parameters, int64_t deadline_ns)
{
    struct weir_pool_lease full = {0};
    struct pool *pool = provider;
    struct slot *slot = lease->slot;

    memcpy(&full, lease, lease->size);
    session_expect(&slot->session, full.answer_bytes, host->now_ns() + 2 * full.answer_ns + ANSWER_LATE_NS);
    return session_send(&slot->session, host, user, pool->worker, sql, parameters, deadline_ns);
}

static int statement_result(void *provider, struct weir_self *user, struct weir_pool_lease *lease, PGresult **out, char *sqlstate,
                  int64_t deadline_ns)
{
    struct pool *pool = provider;
    struct slot *slot = lease->slot;

    return session_result(&slot->session, host, user, pool->worker, out, sqlstate, deadline_ns);
}

static int statement_copy_row(void *provider, struct weir_self *user, struct weir_pool_lease *lease, char **row, int *length,
                    int64_t deadline_ns)
{
    struct pool *pool = provider;
    struct slot *slot = lease->slot;

    return session_copy_row(&slot->session, host, user, pool->worker, row, length, deadline_ns);
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int create(struct weir_self *self, const void *config, void **state)
{
    const struct weir_group group = {.size = sizeof(group), .name = "pool"};
    struct weir_label labels[] = {{"pool", host->name(self)}, {"server", NULL}, {"state", NULL}};
    struct pool *pool = calloc(1, sizeof(*pool));
    uint32_t ids[FIGURES], connections_id;
    int status;

    if (!pool)
        return WEIR_ENOMEM;
    *state = pool;
    pool->self = self;
    pool->config = config;
    pool->seed = (unsigned)host->now_ns();
    pthread_mutex_init(&pool->lock, NULL);
    pool->free_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    pool->worker = worker_new();
    pool->slots = calloc((size_t)pool->config->max, sizeof(*pool->slots));
    if (pool->free_fd < 0 || !pool->worker || !pool->slots)
        return WEIR_ENOMEM;
    status = target_make(pool);
    if (status < 0)
        return status;
    labels[1].value = pool->server;
    for (size_t i = 0; i < FIGURES; i++)
        if ((status = host->family(self, &families[i], &ids[i])) < 0)
            return status;
    if ((status = host->family(self, &connections_family, &connections_id)) < 0 ||
        (status = host->group(self, &group, &pool->group)) < 0 ||
        (status = host->series(self, pool->group, labels, 2, ids, FIGURES, pool->series)) < 0)
        return status;
    for (size_t i = SLOT_CONNECTING; i < SLOT_STATES; i++) {
        labels[2].value = state_names[i];
        status = host->series(self, pool->group, labels, 3, &connections_id, 1, &pool->state_series[i]);
        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct pool *pool = state;
    struct weir_value values[FIGURES + SLOT_STATES];
    uint64_t by_state[SLOT_STATES] = {0};
    int64_t now_ns = host->now_ns();
    size_t n = 0;

    (void)pass;
    pthread_mutex_lock(&pool->lock);
    for (int64_t i = 0; i < pool->config->max; i++) {
        struct slot *slot = &pool->slots[i];

        if (slot->state == SLOT_IDLE &&
            (now_ns - slot->since_ns > pool->config->idle_timeout_ns || now_ns >= slot->expires_ns))
            slot_close(pool, slot);
        else if (slot->state == SLOT_EMPTY && slot->session.ending && now_ns - slot->since_ns > SECOND_NS)
            session_close(&slot->session);
        by_state[slot->state]++;
    }
    pool->counts[FIGURE_UP] = !pool->down && pool->counts[FIGURE_CONNECTS];
    pool->counts[FIGURE_MAX] = (uint64_t)pool->config->max;
    pool->counts[FIGURE_SUPERUSER] = pool->superuser;
    for (; n < FIGURES; n++)
        values[n] = (struct weir_value){.series = pool->series[n], .flags = WEIR_U64, .value.u64 = pool->counts[n]};
    values[FIGURE_WAIT].flags = WEIR_F64;
    values[FIGURE_WAIT].value.f64 = (double)pool->wait_ns / 1e9;
    pthread_mutex_unlock(&pool->lock);
    for (size_t i = SLOT_CONNECTING; i < SLOT_STATES; i++)
        values[n++] = (struct weir_value){.series = pool->state_series[i], .flags = WEIR_U64, .value.u64 = by_state[i]};
    return host->publish(pool->self, values, n);
}

static int stop(void *state)
{
    struct pool *pool = state;

    pthread_mutex_lock(&pool->lock);
    for (int64_t i = 0; i < pool->config->max; i++)
        if (pool->slots[i].state == SLOT_IDLE || pool->slots[i].state == SLOT_EMPTY)
            slot_close(pool, &pool->slots[i]);
    pthread_mutex_unlock(&pool->lock);
    return WEIR_OK;
}

static void destroy(void *state)
{
    struct pool *pool = state;

    if (pool->slots)
        (void)stop(state);
    for (int64_t i = 0; pool->slots && i < pool->config->max; i++)
        session_free(&pool->slots[i].session);
    if (pool->free_fd >= 0)
        close(pool->free_fd);
    worker_free(pool->worker);
    free(pool->slots);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

static const struct weir_pool table = {.size = sizeof(table), .version = WEIR_POOL_VERSION, .acquire = acquire,
                                       .release = release, .send = statement_send, .result = statement_result,
                                       .copy_row = statement_copy_row};
static const struct weir_service services[] = {{.name = WEIR_POOL_SERVICE, .version = WEIR_POOL_VERSION, .table = &table},
                                               {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_PROVIDER | WEIR_SOURCE,
    .name = "pool",
    .version = WEIR_VERSION,
    .summary = "PostgreSQL connections on loan to other plugins",
    .options = options,
    .option_stride = sizeof(options[0]),
    .services = services,
    .service_stride = sizeof(services[0]),
    .config_size = sizeof(struct pool_config),
    .check = check,
    .create = create,
    .collect = collect,
    .stop = stop,
    .destroy = destroy,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
