/* session.c - one PostgreSQL session over libpq's non-blocking interface; session.h says what holds.
 *
 * libpq, chapters "Asynchronous Command Processing" and "Functions Associated with the COPY Command".
 */
#include "session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define SECRET_BYTES 4096u
#define KEYWORDS_MAX 60
#define OPTIONS_BYTES 512
#define OPTIONS_VERSION_MIN 140000 /* from here on a server says unasked what pin asks for */
#define END_NS SECOND_NS
#define IDLE_READS_MAX 16u
#define STREAM_BYTES 65536 /* of a long answer at a time */
#define STREAM_WAIT_NS 2000000

/* What a server says, on one line and not too long. */
static void clean(char *text, const char *from)
{
    size_t n = 0;

    for (; from && *from && n + 1 < SESSION_REASON_MAX; from++) {
        if (*from == '\n' || *from == '\t') {
            if (n && text[n - 1] != ' ')
                text[n++] = ' ';
        } else {
            text[n++] = *from;
        }
    }
    while (n && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
}

static void ignore_notice(void *context, const PGresult *result)
{
    (void)context;
    (void)result;
}

/* socket(7), SO_RCVLOWAT; poll heeds it on TCP. */
static void set_lowat(struct session *session, int bytes)
{
    if (session->lowat != bytes)
        (void)setsockopt(gate_socket(&session->gate, session->connection), SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof(bytes));
    session->lowat = bytes;
}

/* Waits for the connection's socket; a timeout or interruption dooms the session and asks the server to cancel.  The deadline
 * ends the waiting for a server that never stops talking, too. */
static int wait_for(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                    int events, int64_t deadline_ns)
{
    int ready = WEIR_ETIMEOUT;

    set_lowat(session, 1);
    if (host->now_ns() < deadline_ns)
        ready = host->wait_fd(user, gate_socket(&session->gate, session->connection), events, deadline_ns);
    if (ready >= 0)
        return ready;
    session->doomed = true;
    if (session->busy)
        worker_cancel(worker, session->connection);
    return ready;
}

/* ---- Settings ------------------------------------------------------------------------------------------------------ */

struct setting {
    const char *name;
    char value[24];
};
#define SETTINGS_MAX 6

/* Those of a session on loan, but for its encoding. */
static size_t settings_make(struct setting settings[SETTINGS_MAX], const struct session_target *target, const char *read_only)
{
    size_t n = 0;

    settings[n++] = (struct setting){"search_path", ""};
    settings[n] = (struct setting){.name = "statement_timeout"};
    snprintf(settings[n].value, sizeof(settings[n].value), "%lld", (long long)(target->statement_timeout_ns / 1000000));
    settings[++n] = (struct setting){.name = "lock_timeout"};
    snprintf(settings[n].value, sizeof(settings[n].value), "%lld", (long long)(target->lock_timeout_ns / 1000000));
    settings[++n] = (struct setting){"idle_in_transaction_session_timeout", "60000"};
    settings[++n] = (struct setting){"jit", "off"};
    settings[++n] = (struct setting){.name = read_only, .value = "on"};
    return n + 1;
}

/* Bytes of an SQL_ASCII database may not be UTF-8, and the server would refuse to send them as such. */
static const char *encoding_for(const struct session *session)
{
    const char *encoding = PQparameterStatus(session->connection, "server_encoding");

    return encoding && strcmp(encoding, "SQL_ASCII") == 0 ? "SQL_ASCII" : "UTF8";
}

/* As libpq's "options", "-c name=value ...". */
static void options_text(char *text, size_t size, const struct session_target *target)
{
    struct setting settings[SETTINGS_MAX];
    size_t count = settings_make(settings, target, "default_transaction_read_only"), used = 0;

    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "-c %s=%s ", settings[i].name, settings[i].value);
}

/* Whoever has options of their own keeps them. */
static bool has_options(const struct session_target *target)
{
    if (getenv("PGOPTIONS") || getenv("PGSERVICE"))
        return true;
    for (size_t i = 0; target->keywords[i]; i++)
        if (strcmp(target->keywords[i], "options") == 0 || strcmp(target->keywords[i], "service") == 0)
            return true;
    return false;
}

/* As new, but for the gate, which serves all sessions that are in this place. */
static void renew(struct session *session)
{
    *session = (struct session){.lowat = 1, .gate = session->gate};
}

/* ---- Connecting ---------------------------------------------------------------------------------------------------- */

/* One address of the server, until the deadline. */
static int connect_one(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                       const struct session_target *target, const char *database, const char *address, const char *options,
                       int64_t deadline_ns, char *reason)
{
    const char *keywords[KEYWORDS_MAX + 6], *values[KEYWORDS_MAX + 6];
    char password[SECRET_BYTES];
    PostgresPollingStatusType polling = PGRES_POLLING_WRITING;
    int n = 0, status = WEIR_OK;

    for (; target->keywords[n] && n < KEYWORDS_MAX; n++) {
        keywords[n] = target->keywords[n];
        values[n] = target->values[n];
    }
    if (address) {
        keywords[n] = "hostaddr";
        values[n++] = address;
    }
    if (database) {
        keywords[n] = "dbname";
        values[n++] = database;
    }
    if (options) {
        keywords[n] = "options";
        values[n++] = options;
    }
    if (target->password) {
        if (host->secret(user, target->password, password, sizeof(password)) < 0) {
            snprintf(reason, SESSION_REASON_MAX, "could not read the password; see password_file");
            return WEIR_EFAIL;
        }
        keywords[n] = "password";
        values[n++] = password;
    }
    keywords[n] = values[n] = NULL;
    session->connection = PQconnectStartParams(keywords, values, 0);
    explicit_bzero(password, sizeof(password));
    if (!session->connection) {
        snprintf(reason, SESSION_REASON_MAX, "no memory");
        return WEIR_ENOMEM;
    }
    PQsetNoticeReceiver(session->connection, ignore_notice, NULL);
    while (PQstatus(session->connection) != CONNECTION_BAD && polling != PGRES_POLLING_OK &&
           polling != PGRES_POLLING_FAILED) {
        /* A socket that has just been connected has room. */
        if (polling == PGRES_POLLING_READING || PQstatus(session->connection) != CONNECTION_MADE)
            status = wait_for(session, host, user, worker, polling == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline_ns);
        if (status < 0)
            break;
        polling = PQconnectPoll(session->connection);
    }
    if (status == WEIR_ETIMEOUT)
        snprintf(reason, SESSION_REASON_MAX, "no answer to the connection attempt in time");
    else if (status < 0)
        snprintf(reason, SESSION_REASON_MAX, "interrupted");
    else if (polling == PGRES_POLLING_OK)
        return PQsetnonblocking(session->connection, 1) == 0 ? WEIR_OK : WEIR_EFAIL;
    else {
        clean(reason, PQerrorMessage(session->connection));
        status = WEIR_EFAIL;
    }
    session_close(session);
    return status;
}

/* Runs a statement of ours; its one row, if any, comes back. */
static int run(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
               const char *sql, int64_t deadline_ns, PGresult **row)
{
    PGresult *result;
    int status = session_send(session, host, user, worker, sql, NULL, deadline_ns);

    while (status == WEIR_OK && (status = session_result(session, host, user, worker, &result, NULL, deadline_ns)) == WEIR_OK &&
           result) {
        if (row && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
            PQclear(*row);
            *row = result;
        } else {
            PQclear(result);
        }
    }
    return status;
}

/* The settings of a session on loan, as a list of what to select.  `local` is SQL: true where they may last for a transaction only. */
static void pin_text(char *sql, size_t size, const struct session *session, const struct session_target *target, const char *local,
                     const char *read_only)
{
    struct setting settings[SETTINGS_MAX];
    size_t count = settings_make(settings, target, read_only), used;

    used = (size_t)snprintf(sql, size, "pg_catalog.set_config('client_encoding', '%s', %s)", encoding_for(session), local);
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(sql + used, size - used, ", pg_catalog.set_config('%s', '%s', %s)", settings[i].name, settings[i].value,
                                 local);
}

/* Learns what the server is, and pins the session, in one round trip. */
static int pin(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
               const struct session_target *target, int64_t deadline_ns)
{
    /* A role's own statement_timeout may be shorter than the first look at functions takes: it must not come before the settings do. */
    static const char facts_sql[] = "SET LOCAL statement_timeout = 0; "
                                    "SELECT pg_catalog.pg_backend_pid(), pg_catalog.pg_is_in_recovery(), "
                                    "pg_catalog.current_setting('is_superuser'), ";
    PGresult *facts = NULL;
    char sql[1400], pooled[80];
    int status;

    /* A pooler makes up process numbers of its own.  What is set there must not outlast the statement: others have the session next. */
    snprintf(pooled, sizeof(pooled), "pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.<>) %d", PQbackendPID(session->connection));
    memcpy(sql, facts_sql, sizeof(facts_sql));
    pin_text(sql + sizeof(facts_sql) - 1, sizeof(sql) - sizeof(facts_sql) + 1, session, target,
             target->pooler < 0 ? pooled : target->pooler ? "true" : "false", "default_transaction_read_only");
    status = run(session, host, user, worker, sql, deadline_ns, &facts);
    if (status < 0)
        goto out;
    if (!facts || PQnfields(facts) < 3) {
        status = host->fail(user, WEIR_EFAIL, "the server did not say what it is");
        goto out;
    }
    session->server_version = PQserverVersion(session->connection);
    if (target->pooler == 1 ||
        (target->pooler < 0 && atoll(PQgetvalue(facts, 0, 0)) != PQbackendPID(session->connection)))
        session->flags |= WEIR_POOL_POOLER;
    if (PQgetvalue(facts, 0, 1)[0] == 't')
        session->flags |= WEIR_POOL_RECOVERY;
    if (strcmp(PQgetvalue(facts, 0, 2), "on") == 0)
        session->flags |= WEIR_POOL_SUPERUSER;
out:
    PQclear(facts);
    return status;
}

/* One of the server's addresses. */
static int connect_any(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                       const struct session_target *target, const char *database, const struct worker_addresses *addresses,
                       const char *options, int64_t deadline_ns, char *reason)
{
    int status = WEIR_EFAIL;

    for (size_t i = 0; i < addresses->count && status < 0 && status != WEIR_EINTR; i++) {
        /* Each address has its share of what is left, so that a dead first one does not use it all. */
        int64_t now_ns = host->now_ns(), share_ns = (deadline_ns - now_ns) / (int64_t)(addresses->count - i);

        renew(session);
        status = connect_one(session, host, user, worker, target, database, target->lookup ? addresses->text[i] : NULL, options,
                             now_ns + share_ns, reason);
    }
    return status;
}

/* Whether the server has taken the settings that went with the connection; then it has said what pin asks for, too. */
static bool began_pinned(struct session *session)
{
    const char *read_only = PQparameterStatus(session->connection, "default_transaction_read_only");
    const char *standby = PQparameterStatus(session->connection, "in_hot_standby");
    const char *superuser = PQparameterStatus(session->connection, "is_superuser");
    const char *encoding = PQparameterStatus(session->connection, "client_encoding");

    if (!read_only || strcmp(read_only, "on") != 0 || !standby || !superuser || !encoding ||
        strcmp(encoding, encoding_for(session)) != 0)
        return false;
    session->server_version = PQserverVersion(session->connection);
    if (strcmp(standby, "on") == 0)
        session->flags |= WEIR_POOL_RECOVERY;
    if (strcmp(superuser, "on") == 0)
        session->flags |= WEIR_POOL_SUPERUSER;
    session->direct = true;
    return true;
}

int session_open(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const struct session_target *target, const char *database, int64_t deadline_ns, char *reason)
{
    struct worker_addresses addresses = {.count = 1};
    char text[OPTIONS_BYTES], *options = target->direct && !has_options(target) ? text : NULL;
    int status = WEIR_EFAIL;

    renew(session);
    if (target->lookup) {
        status = worker_resolve(worker, host, user, target->host, deadline_ns, &addresses, reason, SESSION_REASON_MAX);
        if (status < 0)
            return status;
    }
    if (options)
        options_text(text, sizeof(text), target);
    status = connect_any(session, host, user, worker, target, database, &addresses, options, deadline_ns, reason);
    if (status == WEIR_EFAIL && options && strstr(reason, "option")) {
        /* What is there may be a pooler, which takes none and says so; there is no SQLSTATE of a connection that failed. */
        status = connect_any(session, host, user, worker, target, database, &addresses, NULL, deadline_ns, reason);
        session->refused_options = status == WEIR_OK;
    }
    if (status < 0 || (options && !session->refused_options && began_pinned(session)))
        return status;
    status = pin(session, host, user, worker, target, deadline_ns);
    if (status < 0) {
        clean(reason, PQstatus(session->connection) == CONNECTION_BAD ? PQerrorMessage(session->connection)
                      : status == WEIR_ETIMEOUT                       ? "no answer to the first statement in time"
                      : status == WEIR_EINTR                          ? "interrupted"
                                                                      : "the session could not be pinned");
        session_close(session);
        return status;
    }
    session->direct = !(session->flags & WEIR_POOL_POOLER) && session->server_version >= OPTIONS_VERSION_MIN;
    return WEIR_OK;
}

void session_close(struct session *session)
{
    int server = session->connection ? gate_leave(&session->gate, session->connection) : 0;

    PQfinish(session->connection);
    if (server)
        close(server);
    if (session->ending)
        close(session->ending);
    renew(session);
}

void session_free(struct session *session)
{
    session_close(session);
    gate_free(&session->gate);
}

void session_leave(struct session *session)
{
    int ending;

    /* The backend ends the stream when nothing of it is left. */
    ending = gate_leave(&session->gate, session->connection);
    if (!ending)
        ending = fcntl(PQsocket(session->connection), F_DUPFD_CLOEXEC, 3);
    session_close(session);
    if (ending < 0)
        return;
    (void)shutdown(ending, SHUT_WR);
    session->ending = ending;
}

void session_end(struct session *session, const struct weir_host *host, struct weir_self *user, int64_t deadline_ns)
{
    int64_t most_ns = host->now_ns() + END_NS;
    char rest[512];

    if (session->connection)
        session_leave(session);
    if (deadline_ns < most_ns)
        most_ns = deadline_ns;
    while (session->ending) {
        ssize_t got = recv(session->ending, rest, sizeof(rest), MSG_DONTWAIT);

        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR) || host->now_ns() >= most_ns ||
            (got < 0 && host->wait_fd(user, session->ending, POLLIN, most_ns) <= 0))
            break;
    }
    session_close(session);
}

/* Whether the server has sent something, or the stream has ended. */
static bool is_readable(const struct session *session)
{
    struct pollfd ready = {.fd = gate_socket(&session->gate, session->connection), .events = POLLIN};

    return poll(&ready, 1, 0) > 0;
}

bool session_alive(struct session *session)
{
    set_lowat(session, 1);
    /* The server's last words come before the end of the stream: all there is has to be read.  One that has much to say unasked
     * is not waited for. */
    for (unsigned reads = 0; PQstatus(session->connection) == CONNECTION_OK && is_readable(session); reads++)
        if (reads == IDLE_READS_MAX || !gate_read(&session->gate, session->connection))
            return false;
    return gate_drain(&session->gate, session->connection) && PQstatus(session->connection) == CONNECTION_OK;
}

int session_lend(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const struct session_target *target, int64_t deadline_ns)
{
    char sql[1100] = "BEGIN; SELECT ";
    int status;

    if (!(session->flags & WEIR_POOL_POOLER))
        return WEIR_OK;
    pin_text(sql + strlen(sql), sizeof(sql) - strlen(sql), session, target, "true", "transaction_read_only");
    status = run(session, host, user, worker, sql, deadline_ns, NULL);
    session->in_transaction = status == WEIR_OK;
    return status;
}

void session_return(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                    int64_t deadline_ns)
{
    if (session->busy || PQstatus(session->connection) != CONNECTION_OK)
        session->doomed = true;
    if (session->doomed)
        return;
    if (session->in_transaction) {
        session->in_transaction = false;
        if (run(session, host, user, worker, "ROLLBACK", deadline_ns, NULL) < 0)
            session->doomed = true;
    }
    if (PQtransactionStatus(session->connection) != PQTRANS_IDLE)
        session->doomed = true;
}

/* ---- Statements ---------------------------------------------------------------------------------------------------- */

static int broken(struct session *session, const struct weir_host *host, struct weir_self *user)
{
    char text[SESSION_REASON_MAX];

    session->doomed = true;
    clean(text, *PQerrorMessage(session->connection) ? PQerrorMessage(session->connection) : strerror(errno));
    return host->fail(user, WEIR_EFAIL, "the connection broke: %s", text);
}

/* The statement took too long: told as what it is. */
static int late(const struct weir_host *host, struct weir_self *user, int status)
{
    return status == WEIR_ETIMEOUT ? host->fail(user, status, "the server did not answer before the deadline") : status;
}

/* Takes some of a result or a row that began when `before` bytes had been received: libpq keeps all of it. */
static int consume(struct session *session, const struct weir_host *host, struct weir_self *user, uint64_t before)
{
    if (!gate_read(&session->gate, session->connection))
        return broken(session, host, user);
    if (session->gate.received - before <= WEIR_POOL_ANSWER_BYTES_MAX)
        return WEIR_OK;
    session->doomed = true;
    return host->fail(user, WEIR_ELIMIT, "an answer of the server is larger than %u MiB", WEIR_POOL_ANSWER_BYTES_MAX >> 20);
}

/* Bytes that it pays to sleep for, and until when at most.  The server sends each 8 kB as they are ready; most of an answer comes later
 * if its size is known, and more of one that is long and flows.  It may be at its end all the same, or the server slow. */
static int awaited(const struct session *session, int64_t now_ns, int64_t *until_ns)
{
    uint64_t rest = STREAM_BYTES;

    if (session->expected_ns > now_ns && session->expected_bytes > session->gate.received) {
        *until_ns = session->expected_ns;
        rest = session->expected_bytes - session->gate.received;
        return rest < STREAM_BYTES ? (int)rest : STREAM_BYTES;
    }
    *until_ns = now_ns + STREAM_WAIT_NS;
    return session->flowing && session->gate.received - session->answer_from > STREAM_BYTES ? STREAM_BYTES : 1;
}

/* Waits for more of an answer. */
static int wait_for_more(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                         int64_t deadline_ns)
{
    int64_t until_ns;
    int bytes = awaited(session, host->now_ns(), &until_ns), status = WEIR_EAGAIN;

    if (bytes > 1 && until_ns < deadline_ns) {
        set_lowat(session, bytes);
        status = host->wait_fd(user, gate_socket(&session->gate, session->connection), POLLIN, until_ns);
    }
    if (status >= 0 || status == WEIR_ETIMEOUT)
        return WEIR_OK;
    status = wait_for(session, host, user, worker, POLLIN, deadline_ns);
    return status < 0 ? late(host, user, status) : WEIR_OK;
}

/* Takes more of an answer, which is waited for unless it is here. */
static int more(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker, uint64_t before,
                int64_t deadline_ns)
{
    uint64_t known = session->gate.received;
    int status;

    if (gate_ready(&session->gate) && host->now_ns() < deadline_ns)
        return consume(session, host, user, before);
    status = wait_for_more(session, host, user, worker, deadline_ns);
    if (status == WEIR_OK)
        status = consume(session, host, user, before);
    session->flowing = session->gate.received > known;
    return status;
}

void session_expect(struct session *session, uint64_t answer_bytes, int64_t until_ns)
{
    session->expected_bytes = session->gate.received + answer_bytes;
    session->expected_ns = answer_bytes ? until_ns : 0;
}

int session_send(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                 const char *sql, const struct weir_pool_parameters *parameters, int64_t deadline_ns)
{
    int sent = parameters ? PQsendQueryParams(session->connection, sql, parameters->count, NULL, parameters->values, NULL, NULL, 0)
                          : PQsendQuery(session->connection, sql);
    int left, status;

    if (!sent)
        return broken(session, host, user);
    session->busy = true;
    while ((left = PQflush(session->connection)) > 0) {
        status = wait_for(session, host, user, worker, POLLOUT, deadline_ns);
        if (status < 0)
            return status;
    }
    return left < 0 ? broken(session, host, user) : WEIR_OK;
}

/* A result that libpq would give again for ever: nobody asks for COPY FROM, and rows of a COPY TO are read before the next result. */
static bool copies_on(const struct session *session, ExecStatusType kind)
{
    return kind == PGRES_COPY_IN || kind == PGRES_COPY_BOTH || (kind == PGRES_COPY_OUT && session->copying);
}

/* Reads to the end of a failed statement, so that the session is ready for another; a session that is not is doomed. */
static void pass_over(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                      uint64_t before, int64_t deadline_ns)
{
    PGresult *rest = NULL;

    session->expected_ns = 0;
    while (!session->doomed && PQstatus(session->connection) == CONNECTION_OK) {
        if (PQisBusy(session->connection)) {
            session->doomed |= more(session, host, user, worker, before, deadline_ns) < 0;
        } else if (!(rest = PQgetResult(session->connection))) {
            break;
        } else {
            session->doomed |= PQresultStatus(rest) == PGRES_COPY_OUT || copies_on(session, PQresultStatus(rest));
            PQclear(rest);
        }
    }
    if (session->doomed)
        return;
    session->busy = false;
    session->doomed = !gate_drain(&session->gate, session->connection);
}

int session_result(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                   PGresult **result, char *sqlstate, int64_t deadline_ns)
{
    char text[SESSION_REASON_MAX], state[6] = "";
    ExecStatusType kind;
    uint64_t before = session->gate.received;
    int status;

    *result = NULL;
    session->answer_from = before;
    if (sqlstate)
        sqlstate[0] = '\0';
    while (PQisBusy(session->connection))
        if ((status = more(session, host, user, worker, before, deadline_ns)) < 0)
            return status;
    *result = PQgetResult(session->connection);
    if (!*result) {
        session->busy = false;
        session->expected_ns = 0;
        return gate_drain(&session->gate, session->connection) && PQstatus(session->connection) == CONNECTION_OK
                   ? WEIR_OK
                   : broken(session, host, user);
    }
    kind = PQresultStatus(*result);
    if (copies_on(session, kind)) {
        PQclear(*result);
        *result = NULL;
        session->doomed = true;
        return host->fail(user, WEIR_EFAIL, "the server began a COPY that was not asked for");
    }
    session->copying = kind == PGRES_COPY_OUT;
    if (kind != PGRES_FATAL_ERROR && kind != PGRES_BAD_RESPONSE)
        return WEIR_OK;
    if (PQresultErrorField(*result, PG_DIAG_SQLSTATE))
        snprintf(state, sizeof(state), "%s", PQresultErrorField(*result, PG_DIAG_SQLSTATE));
    clean(text, PQresultErrorField(*result, PG_DIAG_MESSAGE_PRIMARY));
    if (!*text)
        clean(text, PQresultErrorMessage(*result));
    PQclear(*result);
    *result = NULL;
    if (sqlstate)
        snprintf(sqlstate, sizeof(state), "%s", state);
    pass_over(session, host, user, worker, before, deadline_ns);
    /* Whatever happened meanwhile, what the server said of the statement is what is told. */
    return host->fail(user, WEIR_EFAIL, "%s%s%s", state, *state ? ": " : "", text);
}

int session_copy_row(struct session *session, const struct weir_host *host, struct weir_self *user, struct worker *worker,
                     char **row, int *length, int64_t deadline_ns)
{
    uint64_t before = session->gate.received;
    int status;

    while ((*length = PQgetCopyData(session->connection, row, 1)) == 0)
        if ((status = more(session, host, user, worker, before, deadline_ns)) < 0)
            return status;
    if (*length < 0)
        session->copying = false;
    return *length < -1 ? broken(session, host, user) : WEIR_OK;
}
