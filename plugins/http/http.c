/* http.c - the one HTTP listener: routes of other plugins, users, TLS, limits, over libmicrohttpd.
 *
 * The listening socket is the host's and outlives us; daemons of libmicrohttpd get copies of it, so that a changed certificate means
 * a new daemon beside the old one, a reload a new one after it, and neither a refused connection.  For a moment after our start, and
 * after a route was given back, a request for a route that is not there waits: whoever adds it may be starting.  Requests run on the daemon's few threads: handlers are short, bodies are made
 * by their streams piece by piece, so a slow reader costs memory for one piece and no thread.  A thread of our own closes
 * what takes too long in all, and looks at the certificate.
 *
 * Locks: `routes_lock` over routes and who is inside; `connections_lock` over connections.  Never both.
 */
#include "weir_http.h"

#include "auth.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define THREADS 2u
#define MEMORY_PER_CONNECTION (96u * 1024u) /* libmicrohttpd's, for head and one piece of a chunked body */
#define STREAM_BLOCK (128u * 1024u)
#define IDLE_NS (120 * SECOND_NS)
#define FILE_BYTES_MAX (1024u * 1024u)
#define ROUTES_MAX 200u
#define DISCARD_MAX (16u * 1024u * 1024u) /* of a body that nobody wants, beyond body_max: then the connection is closed */
#define SETTLE_NS (2 * SECOND_NS) /* after start, a route that is missing may still come */
#define LEAVE_NS (2 * SECOND_NS)  /* for answers under way when we stop */
#define QUIET_LOOKS 3u            /* 10 ms apart, that find nobody before we do */

struct http_config {
    const char *listen, *certificate, *key;
    bool insecure, open_health;
    struct weir_rows users, tokens;
    int64_t connections_max, connections_per_address, header_max, body_max, timeout_ns;
};

static const struct weir_option user_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct auth_user, name)},
    {.name = "password_hash", .type = WEIR_SECRET, .flags = WEIR_REQUIRED, .offset = offsetof(struct auth_user, password_hash),
     .help = "bcrypt hash of the password, as `htpasswd -nB USER` prints it behind the colon."},
    {.name = NULL}};
static const struct weir_option token_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct auth_token, name)},
    {.name = "secret", .type = WEIR_SECRET, .flags = WEIR_REQUIRED, .offset = offsetof(struct auth_token, secret),
     .help = "The bearer token."},
    {.name = NULL}};

#define AT(field) .offset = offsetof(struct http_config, field)
static const struct weir_option options[] = {
    {.name = "listen", .type = WEIR_STRING, .dflt = "127.0.0.1:19347", AT(listen),
     .help = "Address and port; \":19347\" listens on all addresses."},
    {.name = "insecure", .type = WEIR_BOOL, .dflt = "false", AT(insecure),
     .help = "Allow listening beyond loopback without TLS or without users."},
    {.name = "certificate", .type = WEIR_STRING, AT(certificate),
     .help = "PEM file with the certificate and its chain; turns TLS on.  Read again when it changes."},
    {.name = "key", .type = WEIR_STRING, AT(key), .help = "PEM file with the certificate's private key."},
    {.name = "user", .type = WEIR_SECTION, .rows = user_options, .row_size = sizeof(struct auth_user), .max = 1000, AT(users),
     .help = "One who may ask, by basic authentication."},
    {.name = "token", .type = WEIR_SECTION, .rows = token_options, .row_size = sizeof(struct auth_token), .max = 1000, AT(tokens),
     .help = "One who may ask, by bearer token."},
    {.name = "open_health", .type = WEIR_BOOL, .dflt = "true", AT(open_health),
     .help = "Answer /-/healthy and /-/ready without authentication."},
    {.name = "connections_max", .type = WEIR_INT, .dflt = "256", .min = 1, .max = 10000, AT(connections_max),
     .help = "Most connections at a time."},
    {.name = "connections_per_address", .type = WEIR_INT, .dflt = "64", .min = 1, .max = 10000, AT(connections_per_address),
     .help = "Most connections of one address at a time."},
    {.name = "header_max", .type = WEIR_SIZE, .dflt = "16KiB", .min = 1024, .max = 65536, AT(header_max),
     .help = "Most bytes of request line and headers."},
    {.name = "body_max", .type = WEIR_SIZE, .dflt = "1MiB", .min = 1024, .max = 64 << 20, AT(body_max),
     .help = "Most bytes of a request's body."},
    {.name = "request_timeout", .type = WEIR_DURATION, .dflt = "30s", .min = SECOND_NS / 10, .max = 3600 * SECOND_NS,
     AT(timeout_ns), .help = "Most time for one request in all, from its first byte to the last of the answer."},
    {.name = NULL}};

struct route {
    struct route *next;
    struct weir_self *user;
    struct weir_http_route route; /* path, method, summary are copies */
    unsigned inside;              /* handlers and streams */
    bool gone;
};
struct connection {
    struct connection *next, *previous;
    int fd;
    bool busy;              /* in a request, else idle */
    int64_t since_ns;       /* of that state */
    const struct route *route;
    struct in6_addr address;
};

/* Answers are counted by these statuses; the last takes the others. */
static const unsigned statuses[] = {200, 400, 401, 404, 405, 413, 414, 429, 431, 500, 503, 0};
#define STATUSES (sizeof(statuses) / sizeof(statuses[0]))

struct http {
    struct weir_self *self;
    const struct http_config *config;
    struct auth *auth;
    int listener;
    bool tls;
    struct server {
        struct MHD_Daemon *daemon; /* NULL: there is none */
        int left;                  /* the copy of the listener that it takes no more connections from, or -1 */
    } server, retiring;
    int64_t retire_ns;
    struct stat certificate_stat, key_stat;
    bool certificate_told;
    _Atomic bool ready;

    pthread_mutex_t routes_lock;
    pthread_cond_t routes_left;
    struct route *routes;
    int64_t settled_ns;                /* until then requests wait for their routes */
    struct weir_http_request *waiting; /* suspended; under routes_lock */
    pthread_mutex_t connections_lock;
    struct connection *connections;
    unsigned nconnections;

    pthread_t keeper;
    pthread_mutex_t keeper_lock;
    pthread_cond_t keeper_wake;
    bool keeper_runs, keeper_ends;

    uint32_t group, status_series[STATUSES], connections_series;
    _Atomic uint64_t answered[STATUSES];
};

struct weir_http_request {
    struct http *http;
    struct weir_http_request *next; /* among those that wait for a route */
    struct MHD_Connection *mhd;
    struct connection *connection;
    const char *path, *method, *user;
    struct route *route;
    char *body;
    size_t body_length, body_room;
    unsigned refuse;  /* status to answer once the body has passed; 0: none */
    const char *refuse_text;
    const struct weir_http_header *refuse_headers;
    size_t discarded; /* of a body that nobody wants */
    bool answered;
};

static const struct weir_host *host;

/* ---- Addresses ---------------------------------------------------------------------------------------------------- */

/* Splits "host:port"; host may be empty or in brackets. */
static bool address_split(const char *text, char *name, size_t name_size, char *port, size_t port_size)
{
    const char *colon = strrchr(text, ':'), *end = colon;
    size_t length;

    if (!colon || !colon[1] || strlen(colon + 1) >= port_size || colon[1 + strspn(colon + 1, "0123456789")])
        return false;
    if (*text == '[') {
        text++;
        end = strchr(text, ']');
        if (!end || end + 1 != colon)
            return false;
    } else if (memchr(text, ':', (size_t)(colon - text))) {
        return false;
    }
    length = (size_t)(end - text);
    if (length >= name_size || strtoul(colon + 1, NULL, 10) > 65535)
        return false;
    memcpy(name, text, length);
    name[length] = '\0';
    memcpy(port, colon + 1, strlen(colon + 1) + 1);
    return true;
}

static bool is_loopback(const char *name)
{
    struct in6_addr six;
    struct in_addr four;

    if (strcmp(name, "localhost") == 0)
        return true;
    if (inet_pton(AF_INET, name, &four) == 1)
        return ntohl(four.s_addr) >> 24 == 127;
    return inet_pton(AF_INET6, name, &six) == 1 && IN6_IS_ADDR_LOOPBACK(&six);
}

static int check(struct weir_self *self, const void *given)
{
    const struct http_config *config = given;
    char name[256], port[8];

    if (!address_split(config->listen, name, sizeof(name), port, sizeof(port)))
        return host->fail(self, WEIR_ECONFIG, "listen: \"%s\" is not an address and port, such as \"127.0.0.1:19347\"",
                          config->listen);
    if (!config->certificate != !config->key)
        return host->fail(self, WEIR_ECONFIG, "%s: is missing; certificate and key belong together",
                          config->certificate ? "key" : "certificate");
    if (!is_loopback(name) && !config->insecure && (!config->certificate || !(config->users.count + config->tokens.count)))
        return host->fail(self, WEIR_ECONFIG,
                          "listen: \"%s\" can be reached by others: give a certificate and key, and a user or token, "
                          "or say insecure = true", config->listen);
    return WEIR_OK;
}

/* ---- Answers ------------------------------------------------------------------------------------------------------ */

static void count_answer(struct http *http, unsigned status)
{
    size_t i = 0;

    while (statuses[i] && statuses[i] != status)
        i++;
    atomic_fetch_add_explicit(&http->answered[i], 1, memory_order_relaxed);
}

static int queue(struct weir_http_request *request, unsigned status, struct MHD_Response *response,
                 const char *content_type, const struct weir_http_header *headers)
{
    bool page = content_type && strncmp(content_type, "text/html", 9) == 0;
    enum MHD_Result result;

    if (!response)
        return WEIR_ENOMEM;
    if (content_type)
        MHD_add_response_header(response, "Content-Type", content_type);
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(response, "X-Frame-Options", "DENY");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(response, "Cache-Control", "no-store");
    MHD_add_response_header(response, "Content-Security-Policy",
                            page ? "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
                                 : "default-src 'none'; frame-ancestors 'none'");
    if (request->http->tls)
        MHD_add_response_header(response, "Strict-Transport-Security", "max-age=31536000");
    for (; headers && headers->name; headers++)
        MHD_add_response_header(response, headers->name, headers->value);
    result = MHD_queue_response(request->mhd, status, response);
    MHD_destroy_response(response);
    request->answered = true;
    count_answer(request->http, status);
    return result == MHD_YES ? WEIR_OK : WEIR_EFAIL;
}

static int respond(struct weir_http_request *request, unsigned status, const char *content_type, const void *body,
                   size_t length, const struct weir_http_header *headers)
{
    return queue(request, status, MHD_create_response_from_buffer(length, (void *)(uintptr_t)body, MHD_RESPMEM_MUST_COPY),
                 content_type, headers);
}

static int respond_text(struct weir_http_request *request, unsigned status, const char *text,
                        const struct weir_http_header *headers)
{
    return respond(request, status, "text/plain; charset=utf-8", text, strlen(text), headers);
}

struct stream {
    struct weir_http_stream stream;
    struct http *http;
    struct route *route;
};

static void route_leave(struct http *http, struct route *route)
{
    pthread_mutex_lock(&http->routes_lock);
    route->inside--;
    pthread_cond_broadcast(&http->routes_left);
    pthread_mutex_unlock(&http->routes_lock);
}

static ssize_t stream_read(void *context, uint64_t position, char *buffer, size_t size)
{
    struct stream *stream = context;
    ssize_t got = stream->stream.read(stream->stream.context, buffer, size);

    (void)position;
    if (got > 0)
        return got;
    return got == 0 ? MHD_CONTENT_READER_END_OF_STREAM : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void stream_free(void *context)
{
    struct stream *stream = context;

    stream->stream.free(stream->stream.context);
    route_leave(stream->http, stream->route);
    free(stream);
}

static int stream(struct weir_http_request *request, unsigned status, const char *content_type,
                  const struct weir_http_stream *given, const struct weir_http_header *headers)
{
    struct stream *copy = malloc(sizeof(*copy));
    struct MHD_Response *response;

    if (!copy) {
        given->free(given->context);
        return WEIR_ENOMEM;
    }
    *copy = (struct stream){.stream = *given, .http = request->http, .route = request->route};
    pthread_mutex_lock(&request->http->routes_lock);
    copy->route->inside++;
    pthread_mutex_unlock(&request->http->routes_lock);
    response = MHD_create_response_from_callback(given->length >= 0 ? (uint64_t)given->length : MHD_SIZE_UNKNOWN,
                                                 STREAM_BLOCK, stream_read, copy, stream_free);
    if (!response) {
        stream_free(copy);
        return WEIR_ENOMEM;
    }
    return queue(request, status, response, content_type, headers);
}

/* ---- The pages of our own ------------------------------------------------------------------------------------------ */

static void append(char *page, size_t size, size_t *n, const char *text, bool escape)
{
    for (; *text && *n + 8 < size; text++) {
        const char *as = !escape ? NULL : *text == '<' ? "&lt;" : *text == '&' ? "&amp;" : *text == '"' ? "&quot;" : NULL;

        if (as)
            *n += (size_t)snprintf(page + *n, size - *n, "%s", as);
        else
            page[(*n)++] = *text;
    }
}

static int answer_index(struct weir_http_request *request)
{
    const size_t size = 32768;
    char *page = malloc(size);
    size_t n = 0;
    int status;

    if (!page)
        return WEIR_ENOMEM;
    append(page, size, &n, "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\"><title>weir</title>"
           "<style>body{font:16px sans-serif;margin:3em}dt{font-family:monospace}dd{margin:0 0 1em 2em}</style>"
           "<h1>weir " WEIR_VERSION "</h1><dl>", false);
    pthread_mutex_lock(&request->http->routes_lock);
    for (const struct route *route = request->http->routes; route; route = route->next) {
        append(page, size, &n, "<dt><a href=\"", false);
        append(page, size, &n, route->route.path, true);
        append(page, size, &n, "\">", false);
        append(page, size, &n, route->route.path, true);
        append(page, size, &n, "</a><dd>", false);
        append(page, size, &n, route->route.summary ? route->route.summary : "", true);
    }
    pthread_mutex_unlock(&request->http->routes_lock);
    append(page, size, &n, "<dt>/-/healthy<dd>the process answers<dt>/-/ready<dd>the listener takes requests for all routes</dl></html>\n", false);
    status = respond(request, 200, "text/html; charset=utf-8", page, n, NULL);
    free(page);
    return status;
}

static int answer_ready(struct weir_http_request *request)
{
    return atomic_load(&request->http->ready) ? respond_text(request, 200, "ready\n", NULL)
                                              : respond_text(request, 503, "not ready\n", NULL);
}

static int answer_healthy(struct weir_http_request *request)
{
    return respond_text(request, 200, "healthy\n", NULL);
}

static const struct {
    const char *path;
    int (*answer)(struct weir_http_request *request);
    bool health;
} own_pages[] = {{"/", answer_index, false}, {"/-/healthy", answer_healthy, true}, {"/-/ready", answer_ready, true}};
#define OWN_PAGES (sizeof(own_pages) / sizeof(own_pages[0]))

/* Under routes_lock: those that wait look again. */
static void waiting_resume(struct http *http)
{
    while (http->waiting) {
        struct weir_http_request *request = http->waiting;

        http->waiting = request->next;
        MHD_resume_connection(request->mhd);
    }
}

/* Puts a request aside until a route is added, or it is known that none will be; false if it is known already. */
static bool wait_for_route(struct weir_http_request *request)
{
    struct http *http = request->http;
    bool waits;

    pthread_mutex_lock(&http->routes_lock);
    waits = host->now_ns() < http->settled_ns;
    if (waits) {
        MHD_suspend_connection(request->mhd);
        request->next = http->waiting;
        http->waiting = request;
    }
    pthread_mutex_unlock(&http->routes_lock);
    return waits;
}

/* ---- Routes -------------------------------------------------------------------------------------------------------- */

static int route_add(void *provider, struct weir_self *user, const struct weir_http_route *given)
{
    struct http *http = provider;
    size_t path = strlen(given->path) + 1, method = strlen(given->method) + 1;
    size_t summary = given->summary ? strlen(given->summary) + 1 : 0;
    struct route *route = calloc(1, sizeof(*route) + path + method + summary), **last = &http->routes;
    const char *taken = NULL;
    unsigned count = 0;
    char *text;

    if (!route)
        return WEIR_ENOMEM;
    memcpy(&route->route, given, given->size < sizeof(*given) ? given->size : sizeof(*given));
    text = (char *)(route + 1);
    route->route.path = memcpy(text, given->path, path);
    route->route.method = memcpy(text + path, given->method, method);
    route->route.summary = summary ? memcpy(text + path + method, given->summary, summary) : NULL;
    route->user = user;
    for (size_t i = 0; i < OWN_PAGES; i++)
        if (strcmp(own_pages[i].path, given->path) == 0)
            taken = "http";
    pthread_mutex_lock(&http->routes_lock);
    for (; *last; last = &(*last)->next, count++)
        if (strcmp((*last)->route.path, given->path) == 0 && strcmp((*last)->route.method, given->method) == 0)
            taken = host->name((*last)->user);
    if (!taken && count < ROUTES_MAX) {
        *last = route;
        waiting_resume(http);
    }
    pthread_mutex_unlock(&http->routes_lock);
    if (!taken && count < ROUTES_MAX)
        return WEIR_OK;
    free(route);
    if (!taken)
        return host->fail(user, WEIR_ELIMIT, "could not add the route %s: there are %u already", given->path, ROUTES_MAX);
    return host->fail(user, WEIR_EINVAL, "the route %s %s is taken by \"%s\"; give one of them another path", given->method,
                      given->path, taken);
}

/* Closes the connections that are inside this route. */
static void connections_shut(struct http *http, const struct route *route)
{
    pthread_mutex_lock(&http->connections_lock);
    for (struct connection *connection = http->connections; connection; connection = connection->next)
        if (connection->route == route)
            shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->connections_lock);
}

static void until(struct timespec *when, int64_t after_ns)
{
    int64_t at_ns = host->now_ns() + after_ns;

    *when = (struct timespec){.tv_sec = at_ns / SECOND_NS, .tv_nsec = at_ns % SECOND_NS};
}

static void route_remove(void *provider, struct weir_self *user)
{
    struct http *http = provider;

    pthread_mutex_lock(&http->routes_lock);
    /* Its successor may be about to add them again. */
    http->settled_ns = host->now_ns() + SETTLE_NS;
    for (struct route **link = &http->routes; *link;) {
        struct route *route = *link;

        if (route->user != user) {
            link = &route->next;
            continue;
        }
        *link = route->next;
        route->gone = true;
        while (route->inside) {
            struct timespec when;

            /* A second for those who read quickly, then their connections are closed. */
            until(&when, SECOND_NS);
            if (pthread_cond_timedwait(&http->routes_left, &http->routes_lock, &when) == ETIMEDOUT) {
                pthread_mutex_unlock(&http->routes_lock);
                connections_shut(http, route);
                pthread_mutex_lock(&http->routes_lock);
            }
        }
        free(route);
        link = &http->routes; /* the lock was let go */
    }
    pthread_mutex_unlock(&http->routes_lock);
}

static struct route *route_enter(struct http *http, const char *path, const char *method, char *allow, size_t allow_size)
{
    struct route *found = NULL;
    size_t n = 0;

    if (strcmp(method, "HEAD") == 0)
        method = "GET";
    allow[0] = '\0';
    pthread_mutex_lock(&http->routes_lock);
    for (struct route *route = http->routes; route; route = route->next) {
        if (strcmp(route->route.path, path) != 0)
            continue;
        if (strcmp(route->route.method, method) == 0)
            found = route;
        n += (size_t)snprintf(allow + n, allow_size - n, "%s%s%s", n ? ", " : "", route->route.method,
                              strcmp(route->route.method, "GET") == 0 ? ", HEAD" : "");
        if (n >= allow_size)
            n = allow_size - 1;
    }
    if (found)
        found->inside++;
    pthread_mutex_unlock(&http->routes_lock);
    return found;
}

/* ---- One request ---------------------------------------------------------------------------------------------------- */

static const char *header(const struct weir_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}
static const char *query(const struct weir_http_request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_GET_ARGUMENT_KIND, name);
}
static const char *user(const struct weir_http_request *request)
{
    return request->user;
}
static const char *body(const struct weir_http_request *request, size_t *length)
{
    *length = request->body_length;
    return request->body;
}

/* text and headers live for ever.  An answer while a body is still coming would be lost with the connection, which is reset when
 * bytes are left unread: it waits until they have passed. */
static int refuse(struct weir_http_request *request, unsigned status, const char *text, const struct weir_http_header *headers)
{
    request->refuse = status;
    request->refuse_text = text;
    request->refuse_headers = headers;
    return WEIR_OK;
}

static int answer_refused(struct weir_http_request *request)
{
    return respond_text(request, request->refuse, request->refuse_text, request->refuse_headers);
}

/* True if bytes of a body follow without being asked for. */
static bool body_follows(const struct weir_http_request *request)
{
    const char *length = header(request, "Content-Length");

    return (header(request, "Transfer-Encoding") || (length && strtoull(length, NULL, 10))) && !header(request, "Expect");
}

static int answer(struct weir_http_request *request)
{
    static const struct weir_http_header get_only[] = {{"Allow", "GET, HEAD"}, {NULL, NULL}};
    static const struct weir_http_header later[] = {{"Retry-After", "1"}, {NULL, NULL}};
    struct http *http = request->http;
    char allow[128];
    int status;

    for (size_t i = 0; i < OWN_PAGES; i++) {
        if (strcmp(own_pages[i].path, request->path) != 0)
            continue;
        if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)
            return refuse(request, 405, "method not allowed\n", get_only);
        return own_pages[i].answer(request);
    }
    request->route = route_enter(http, request->path, request->method, allow, sizeof(allow));
    if (!request->route && allow[0]) {
        const struct weir_http_header headers[] = {{"Allow", allow}, {NULL, NULL}};

        return respond_text(request, 405, "method not allowed\n", headers);
    }
    if (!request->route && wait_for_route(request))
        return WEIR_OK;
    if (!request->route)
        return atomic_load(&http->ready) ? refuse(request, 404, "not found\n", NULL) : refuse(request, 503, "not ready\n", later);
    if (request->connection) {
        pthread_mutex_lock(&http->connections_lock);
        request->connection->route = request->route;
        pthread_mutex_unlock(&http->connections_lock);
    }
    status = request->route->route.handle(request->route->route.context, request);
    if (!request->answered)
        status = respond_text(request, 500, "internal error\n", NULL);
    route_leave(http, request->route);
    return status;
}

static enum MHD_Result add_length(void *context, enum MHD_ValueKind kind, const char *name, const char *value)
{
    size_t *bytes = context;

    (void)kind;
    *bytes += strlen(name) + (value ? strlen(value) : 0) + 4;
    return MHD_YES;
}

/* What can be said before the body: too large, not allowed, too many. */
static int admit(struct weir_http_request *request)
{
    static const struct weir_http_header challenge[] = {{"WWW-Authenticate", "Basic realm=\"weir\", charset=\"UTF-8\""},
                                                        {"WWW-Authenticate", "Bearer realm=\"weir\""},
                                                        {NULL, NULL}};
    static const struct weir_http_header later[] = {{"Retry-After", "60"}, {NULL, NULL}};
    struct http *http = request->http;
    const char *length = header(request, "Content-Length");
    size_t bytes = 0, uri = strlen(request->path);
    struct in6_addr nobody = {0};
    bool open = false;

    MHD_get_connection_values(request->mhd, MHD_GET_ARGUMENT_KIND, add_length, &uri);
    if (uri > (size_t)http->config->header_max / 2)
        return refuse(request, 414, "URI too long\n", NULL);
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, add_length, &bytes);
    if (bytes > (size_t)http->config->header_max)
        return refuse(request, 431, "headers too large\n", NULL);
    for (size_t i = 0; i < OWN_PAGES; i++)
        open |= http->config->open_health && own_pages[i].health && strcmp(own_pages[i].path, request->path) == 0;
    if (!open) {
        switch (auth_check(http->auth, header(request, "Authorization"),
                           request->connection ? &request->connection->address : &nobody, host->now_ns(), &request->user)) {
        case AUTH_GOOD: break;
        case AUTH_LIMITED: return refuse(request, 429, "too many failed attempts\n", later);
        default: return refuse(request, 401, "authentication required\n", challenge);
        }
    }
    /* libmicrohttpd has checked that it is a number. */
    if (length && strtoull(length, NULL, 10) > (unsigned long long)http->config->body_max)
        return refuse(request, 413, "body too large\n", NULL);
    return WEIR_OK;
}

static bool body_add(struct weir_http_request *request, const char *data, size_t size)
{
    size_t need = request->body_length + size + 1;

    if (need - 1 > (size_t)request->http->config->body_max) {
        (void)refuse(request, 413, "body too large\n", NULL);
        return false;
    }
    if (need > request->body_room) {
        size_t room = request->body_room ? request->body_room * 2 : 4096;
        char *larger;

        while (room < need)
            room *= 2;
        larger = realloc(request->body, room);
        if (!larger) {
            (void)refuse(request, 500, "no memory\n", NULL);
            return false;
        }
        request->body = larger;
        request->body_room = room;
    }
    memcpy(request->body + request->body_length, data, size);
    request->body_length += size;
    request->body[request->body_length] = '\0';
    return true;
}

static enum MHD_Result access_handler(void *context, struct MHD_Connection *mhd, const char *path, const char *method,
                                      const char *version, const char *data, size_t *size, void **state)
{
    struct http *http = context;
    struct weir_http_request *request = *state;

    (void)version;
    if (!request) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

        request = calloc(1, sizeof(*request));
        if (!request)
            return MHD_NO;
        *state = request;
        request->http = http;
        request->mhd = mhd;
        request->connection = info ? info->socket_context : NULL;
        request->path = path;
        request->method = method;
        if (admit(request) < 0)
            return MHD_NO;
        if (request->refuse && !body_follows(request))
            return answer_refused(request) < 0 ? MHD_NO : MHD_YES;
        return MHD_YES;
    }
    if (*size) {
        if (!request->refuse)
            (void)body_add(request, data, *size);
        request->discarded += *size;
        *size = 0;
        return request->discarded <= DISCARD_MAX + (size_t)http->config->body_max ? MHD_YES : MHD_NO;
    }
    if (request->answered)
        return MHD_YES;
    if (!request->refuse && answer(request) < 0 && !request->answered)
        return MHD_NO;
    return request->answered || !request->refuse || answer_refused(request) >= 0 ? MHD_YES : MHD_NO;
}

static void completed(void *context, struct MHD_Connection *mhd, void **state, enum MHD_RequestTerminationCode code)
{
    struct http *http = context;
    struct weir_http_request *request = *state;

    (void)mhd;
    (void)code;
    if (!request)
        return;
    if (request->connection) {
        pthread_mutex_lock(&http->connections_lock);
        request->connection->busy = false;
        request->connection->route = NULL;
        request->connection->since_ns = host->now_ns();
        pthread_mutex_unlock(&http->connections_lock);
    }
    free(request->body);
    free(request);
}

/* ---- Connections ----------------------------------------------------------------------------------------------------- */

static void connection_notify(void *context, struct MHD_Connection *mhd, void **socket_context,
                              enum MHD_ConnectionNotificationCode code)
{
    struct http *http = context;
    struct connection *connection = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *fd = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        const union MHD_ConnectionInfo *address = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

        connection = calloc(1, sizeof(*connection));
        if (!connection)
            return;
        connection->fd = fd->connect_fd;
        connection->busy = true; /* its first request counts from here */
        connection->since_ns = host->now_ns();
        if (address && address->client_addr->sa_family == AF_INET6) {
            connection->address = ((const struct sockaddr_in6 *)(const void *)address->client_addr)->sin6_addr;
        } else if (address) {
            connection->address.s6_addr[10] = connection->address.s6_addr[11] = 0xff;
            memcpy(&connection->address.s6_addr[12],
                   &((const struct sockaddr_in *)(const void *)address->client_addr)->sin_addr, 4);
        }
        pthread_mutex_lock(&http->connections_lock);
        connection->next = http->connections;
        if (connection->next)
            connection->next->previous = connection;
        http->connections = connection;
        http->nconnections++;
        pthread_mutex_unlock(&http->connections_lock);
        *socket_context = connection;
    } else if (connection) {
        pthread_mutex_lock(&http->connections_lock);
        if (connection->previous)
            connection->previous->next = connection->next;
        else
            http->connections = connection->next;
        if (connection->next)
            connection->next->previous = connection->previous;
        http->nconnections--;
        pthread_mutex_unlock(&http->connections_lock);
        free(connection);
        *socket_context = NULL;
    }
}

/* Called when a request line has come. */
static void *request_began(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct http *http = context;
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *connection = info ? info->socket_context : NULL;

    (void)uri;
    if (connection) {
        pthread_mutex_lock(&http->connections_lock);
        if (!connection->busy) {
            connection->busy = true;
            connection->since_ns = host->now_ns();
        }
        pthread_mutex_unlock(&http->connections_lock);
    }
    return NULL;
}

static void close_overdue(struct http *http)
{
    int64_t now_ns = host->now_ns();

    pthread_mutex_lock(&http->connections_lock);
    for (struct connection *connection = http->connections; connection; connection = connection->next)
        if (now_ns - connection->since_ns > (connection->busy ? http->config->timeout_ns : IDLE_NS))
            shutdown(connection->fd, SHUT_RDWR);
    pthread_mutex_unlock(&http->connections_lock);
}

/* ---- Daemons of libmicrohttpd ------------------------------------------------------------------------------------------ */

static void mhd_log(void *context, const char *format, va_list args) WEIR_PRINTF(2, 0);
static void mhd_log(void *context, const char *format, va_list args)
{
    struct http *http = context;
    char text[512];

    vsnprintf(text, sizeof(text), format, args);
    text[strcspn(text, "\n")] = '\0';
    host->log(http->self, WEIR_DEBUG, "libmicrohttpd: %s", text);
}

/* A whole small file, NUL-terminated; NULL with the reason recorded. */
static char *file_read(struct weir_self *self, const char *path, struct stat *info)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char *text = NULL;
    ssize_t got = -1;

    if (fd >= 0 && fstat(fd, info) == 0 && info->st_size >= 0 && info->st_size < (off_t)FILE_BYTES_MAX &&
        (text = malloc((size_t)info->st_size + 1)) != NULL)
        got = read(fd, text, (size_t)info->st_size);
    if (got < 0) {
        host->fail(self, WEIR_EFAIL, "could not read \"%s\": %s", path, fd < 0 || !text ? strerror(errno) : "read error");
        free(text);
        text = NULL;
    } else {
        text[got] = '\0';
    }
    if (fd >= 0)
        close(fd);
    return text;
}

static struct MHD_Daemon *daemon_start(struct http *http)
{
    const struct http_config *config = http->config;
    char *certificate = NULL, *key = NULL;
    /* With epoll, MHD_quiesce_daemon and a thread of the daemon may both take the listener out of the set, and the second one aborts. */
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG | MHD_ALLOW_SUSPEND_RESUME;
    struct MHD_OptionItem tls[3] = {{MHD_OPTION_END, 0, NULL}};
    struct MHD_Daemon *daemon = NULL;
    int copy = -1;

    if (config->certificate) {
        certificate = file_read(http->self, config->certificate, &http->certificate_stat);
        key = certificate ? file_read(http->self, config->key, &http->key_stat) : NULL;
        if (!key)
            goto out;
        flags |= MHD_USE_TLS;
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_CERT, 0, certificate};
        tls[1] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_MEM_KEY, 0, key};
        tls[2] = (struct MHD_OptionItem){MHD_OPTION_END, 0, NULL};
    }
    copy = fcntl(http->listener, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        host->fail(http->self, WEIR_EFAIL, "could not copy the listening socket: %s", strerror(errno));
        goto out;
    }
    daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, access_handler, http, MHD_OPTION_EXTERNAL_LOGGER, mhd_log, http, MHD_OPTION_LISTEN_SOCKET, copy,
        MHD_OPTION_THREAD_POOL_SIZE, THREADS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_PER_CONNECTION,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections_max, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)config->connections_per_address, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(IDLE_NS / SECOND_NS),
        MHD_OPTION_NOTIFY_COMPLETED, completed, http, MHD_OPTION_NOTIFY_CONNECTION, connection_notify, http,
        MHD_OPTION_URI_LOG_CALLBACK, request_began, http, MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (!daemon) {
        close(copy);
        host->fail(http->self, WEIR_EFAIL, "could not start the HTTP server%s",
                   config->certificate ? ": certificate and key may not belong together" : "");
    }
out:
    if (key)
        explicit_bzero(key, strlen(key));
    free(key);
    free(certificate);
    return daemon;
}

static void server_quiesce(struct server *server)
{
    if (server->daemon)
        server->left = MHD_quiesce_daemon(server->daemon);
}

/* Its threads may accept from the listener until they have ended, so that its copy is closed after them. */
static void server_stop(struct server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->left >= 0)
        close(server->left);
    *server = (struct server){.left = -1};
}

static bool changed(const char *path, const struct stat *known)
{
    struct stat now;

    return stat(path, &now) == 0 && (now.st_mtim.tv_sec != known->st_mtim.tv_sec ||
                                     now.st_mtim.tv_nsec != known->st_mtim.tv_nsec || now.st_ino != known->st_ino);
}

/* New certificate: a new daemon takes new connections, the old one ends its own within a request's time. */
static void certificate_reload(struct http *http)
{
    struct MHD_Daemon *fresh;

    if (http->retiring.daemon && host->now_ns() > http->retire_ns)
        server_stop(&http->retiring);
    if (!http->tls || http->retiring.daemon || (!changed(http->config->certificate, &http->certificate_stat) &&
                                         !changed(http->config->key, &http->key_stat)))
        return;
    fresh = daemon_start(http);
    if (!fresh) {
        if (!http->certificate_told)
            host->log(http->self, WEIR_WARNING, "the changed certificate or key cannot be used; the old one stays");
        http->certificate_told = true;
        return;
    }
    http->certificate_told = false;
    server_quiesce(&http->server);
    http->retiring = http->server;
    http->retire_ns = host->now_ns() + http->config->timeout_ns;
    http->server = (struct server){.daemon = fresh, .left = -1};
    host->log(http->self, WEIR_NOTICE, "uses the changed certificate");
}

/* Who still waits for a route when all had time to be added waits in vain. */
static void settle(struct http *http)
{
    pthread_mutex_lock(&http->routes_lock);
    if (host->now_ns() >= http->settled_ns)
        waiting_resume(http);
    pthread_mutex_unlock(&http->routes_lock);
}

static void *keeper(void *context)
{
    struct http *http = context;
    int64_t tick_ns = http->config->timeout_ns / 4 < SECOND_NS ? http->config->timeout_ns / 4 : SECOND_NS;

    pthread_mutex_lock(&http->keeper_lock);
    while (!http->keeper_ends) {
        struct timespec when;

        until(&when, tick_ns);
        pthread_cond_timedwait(&http->keeper_wake, &http->keeper_lock, &when);
        if (http->keeper_ends)
            break;
        pthread_mutex_unlock(&http->keeper_lock);
        settle(http);
        close_overdue(http);
        certificate_reload(http);
        pthread_mutex_lock(&http->keeper_lock);
    }
    pthread_mutex_unlock(&http->keeper_lock);
    return NULL;
}

/* ---- Life ---------------------------------------------------------------------------------------------------------------- */

static int listen_open(struct http *http)
{
    char name[256], port[8], shown[INET6_ADDRSTRLEN] = "", number[8] = "";
    struct sockaddr_storage bound = {0};
    socklen_t length = sizeof(bound);
    int status = address_split(http->config->listen, name, sizeof(name), port, sizeof(port))
                     ? host->listen(http->self, name, port, &http->listener)
                     : WEIR_ECONFIG; /* check has seen to it */

    if (status < 0)
        return status;
    if (getsockname(http->listener, (struct sockaddr *)&bound, &length) == 0)
        (void)getnameinfo((struct sockaddr *)&bound, length, shown, sizeof(shown), number, sizeof(number),
                          NI_NUMERICHOST | NI_NUMERICSERV);
    /* Who asks from this host is not behind a network: one that paces what is sent, as BBR does, would only hold an answer up.
     * Connections have it from the listener; reno is there in every kernel, and allowed. */
    if (is_loopback(shown))
        (void)setsockopt(http->listener, IPPROTO_TCP, TCP_CONGESTION, "reno", strlen("reno"));
    host->log(http->self, WEIR_INFO_LEVEL, "listening on %s://%s%s%s:%s", http->config->certificate ? "https" : "http",
              strchr(shown, ':') ? "[" : "", shown, strchr(shown, ':') ? "]" : "", number);
    return WEIR_OK;
}

static int create(struct weir_self *self, const void *config, void **state)
{
    static const struct weir_family families[] = {
        {.size = sizeof(struct weir_family), .kind = WEIR_COUNTER, .name = "weir_http_requests_total",
         .help = "Requests answered, by status"},
        {.size = sizeof(struct weir_family), .kind = WEIR_GAUGE, .name = "weir_http_connections", .help = "Open connections"}};
    const struct weir_group group = {.size = sizeof(group), .name = "http"};
    struct http *http = calloc(1, sizeof(*http));
    pthread_condattr_t monotonic;
    uint32_t ids[2];
    int status;

    if (!http)
        return WEIR_ENOMEM;
    *state = http;
    http->self = self;
    http->config = config;
    http->listener = http->server.left = http->retiring.left = -1;
    http->tls = http->config->certificate != NULL;
    pthread_mutex_init(&http->routes_lock, NULL);
    pthread_mutex_init(&http->connections_lock, NULL);
    pthread_mutex_init(&http->keeper_lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&http->routes_left, &monotonic);
    pthread_cond_init(&http->keeper_wake, &monotonic);
    pthread_condattr_destroy(&monotonic);
    http->auth = auth_new(host, self, http->config->users.rows, http->config->users.count, http->config->tokens.rows,
                          http->config->tokens.count);
    if (!http->auth)
        return WEIR_ENOMEM;
    if ((status = host->family(self, &families[0], &ids[0])) < 0 || (status = host->family(self, &families[1], &ids[1])) < 0 ||
        (status = host->group(self, &group, &http->group)) < 0 ||
        (status = host->series(self, http->group, NULL, 0, &ids[1], 1, &http->connections_series)) < 0)
        return status;
    for (size_t i = 0; i < STATUSES; i++) {
        char code[16];
        const struct weir_label label = {"code", code};

        snprintf(code, sizeof(code), statuses[i] ? "%u" : "other", statuses[i]);
        status = host->series(self, http->group, &label, 1, &ids[0], 1, &http->status_series[i]);
        if (status < 0)
            return status;
    }
    return WEIR_OK;
}

static int start(void *state)
{
    struct http *http = state;
    int status = listen_open(http);

    if (status < 0)
        return status;
    http->settled_ns = host->now_ns() + SETTLE_NS;
    http->keeper_ends = false;
    http->server.daemon = daemon_start(http);
    if (!http->server.daemon)
        return WEIR_EFAIL;
    if (pthread_create(&http->keeper, NULL, keeper, http) != 0)
        return host->fail(http->self, WEIR_EFAIL, "could not start a thread");
    http->keeper_runs = true;
    atomic_store(&http->ready, true);
    return WEIR_OK;
}

static int collect(void *state, const struct weir_pass *pass)
{
    struct http *http = state;
    struct weir_value values[STATUSES + 1];

    (void)pass;
    for (size_t i = 0; i < STATUSES; i++)
        values[i] = (struct weir_value){.series = http->status_series[i], .flags = WEIR_U64,
                                        .value.u64 = atomic_load_explicit(&http->answered[i], memory_order_relaxed)};
    pthread_mutex_lock(&http->connections_lock);
    values[STATUSES] = (struct weir_value){.series = http->connections_series, .flags = WEIR_U64, .value.u64 = http->nconnections};
    pthread_mutex_unlock(&http->connections_lock);
    return host->publish(http->self, values, STATUSES + 1);
}

static bool is_busy(struct http *http)
{
    bool busy = false;

    pthread_mutex_lock(&http->connections_lock);
    for (const struct connection *connection = http->connections; connection && !busy; connection = connection->next)
        busy = connection->busy;
    pthread_mutex_unlock(&http->connections_lock);
    return busy;
}

/* Takes no more connections, and lets answers that are under way come to their end. */
static void leave(struct http *http)
{
    int64_t until_ns = host->now_ns() + LEAVE_NS;

    server_quiesce(&http->server);
    pthread_mutex_lock(&http->routes_lock);
    http->settled_ns = 0;
    waiting_resume(http);
    pthread_mutex_unlock(&http->routes_lock);
    /* A thread of libmicrohttpd that has just been told of a connection takes it still: one look does not do. */
    for (unsigned quiet = 0; quiet < QUIET_LOOKS && host->now_ns() < until_ns; quiet = is_busy(http) ? 0 : quiet + 1)
        if (host->wait_fd(http->self, -1, 0, host->now_ns() + SECOND_NS / 100) != WEIR_ETIMEOUT)
            break;
}

static int stop(void *state)
{
    struct http *http = state;

    atomic_store(&http->ready, false);
    leave(http);
    if (http->keeper_runs) {
        pthread_mutex_lock(&http->keeper_lock);
        http->keeper_ends = true;
        pthread_cond_signal(&http->keeper_wake);
        pthread_mutex_unlock(&http->keeper_lock);
        pthread_join(http->keeper, NULL);
        http->keeper_runs = false;
    }
    server_stop(&http->server);
    server_stop(&http->retiring);
    return WEIR_OK;
}

/* Routes that nobody has given back, those of users that stay: they are told to leave them with our successor. */
static void routes_free(struct http *http)
{
    while (http->routes) {
        struct route *route = http->routes;

        http->routes = route->next;
        free(route);
    }
}

static void destroy(void *state)
{
    struct http *http = state;

    (void)stop(state); /* also after a start that failed half way */
    routes_free(http);
    auth_free(http->auth);
    pthread_mutex_destroy(&http->routes_lock);
    pthread_mutex_destroy(&http->connections_lock);
    pthread_mutex_destroy(&http->keeper_lock);
    pthread_cond_destroy(&http->routes_left);
    pthread_cond_destroy(&http->keeper_wake);
    free(http);
}

static const struct weir_http table = {
    .size = sizeof(table), .version = WEIR_HTTP_VERSION, .route_add = route_add, .route_remove = route_remove, .header = header,
    .query = query, .user = user, .body = body, .respond = respond, .stream = stream};
static const struct weir_service services[] = {{.name = WEIR_HTTP_SERVICE, .version = WEIR_HTTP_VERSION, .table = &table},
                                               {.name = NULL}};
static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_PROVIDER | WEIR_SOURCE,
    .flags = WEIR_SINGLE | WEIR_EXCLUSIVE,
    .name = "http",
    .version = WEIR_VERSION,
    .summary = "the one HTTP listener, for all plugins that answer requests",
    .options = options,
    .option_stride = sizeof(options[0]),
    .services = services,
    .service_stride = sizeof(services[0]),
    .config_size = sizeof(struct http_config),
    .check = check,
    .create = create,
    .start = start,
    .collect = collect,
    .stop = stop,
    .destroy = destroy,
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table_of_host)
{
    host = table_of_host;
    return &plugin;
}
