/* endpoint.c - sockets, pacing, names; endpoint.h says what is promised. */
#include "endpoint.h"

#include "lookup.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#define SECOND_NS INT64_C(1000000000)
#define RETRY_FIRST_NS SECOND_NS /* after a lookup that failed; doubled each time, up to resolve_ns */
#define UNIX_PREFIX "unix:"

struct endpoint {
    const struct weir_host *host;
    struct weir_self *self;
    char *address;
    char *parts;             /* address cut into these two; NULL for a unix socket */
    const char *name, *port;
    int64_t rate_bytes, timeout_ns, resolve_ns;
    int fd;                  /* -1: none */
    struct lookup_address peer; /* what fd is connected to */
    struct lookup_result found; /* by the last lookup that found anything */
    struct lookup *lookup;   /* under way, or NULL */
    bool numeric;            /* there is nothing to look up */
    int lookup_error;        /* of the last one, or 0 */
    int64_t lookup_due_ns, retry_ns;
    int64_t next_ns;         /* when max_rate allows more */
    bool tried;              /* anything was to be sent in this cycle */
    enum endpoint_outcome down; /* why the rest of this cycle is given up, or SENT */
    int error;               /* errno of it */
    bool suspect;            /* the next datagram goes alone, as one before it may have been refused */
    enum endpoint_outcome told; /* how the last cycle ended */
    struct endpoint_figures *figures;
};

/* ---- Addresses --------------------------------------------------------------------------------------------------- */

bool endpoint_is_unix(const char *address)
{
    return strncmp(address, UNIX_PREFIX, sizeof(UNIX_PREFIX) - 1) == 0;
}

const char *endpoint_check(const char *address)
{
    const char *path = address + sizeof(UNIX_PREFIX) - 1, *name, *port;
    char *parts;
    bool good;

    if (endpoint_is_unix(address)) {
        if (*path != '/')
            return "a unix socket is \"unix:/path\"";
        return strlen(path) < sizeof(((struct sockaddr_un *)NULL)->sun_path) ? NULL : "the path is too long for a unix socket";
    }
    parts = strdup(address);
    good = parts && lookup_cut(parts, &name, &port);
    free(parts);
    return good ? NULL : "it is no address, such as \"localhost:8125\", \"[::1]:8125\" or \"unix:/path\"";
}

struct endpoint *endpoint_new(const struct weir_host *host, struct weir_self *self, const struct endpoint_options *options)
{
    struct endpoint *endpoint = calloc(1, sizeof(*endpoint));

    if (!endpoint)
        return NULL;
    *endpoint = (struct endpoint){.host = host, .self = self, .rate_bytes = options->rate_bytes, .timeout_ns = options->timeout_ns,
                                  .resolve_ns = options->resolve_ns, .retry_ns = RETRY_FIRST_NS, .fd = -1,
                                  .figures = options->figures, .address = strdup(options->address)};
    if (endpoint->address && endpoint_is_unix(endpoint->address)) {
        struct sockaddr_un *address = (struct sockaddr_un *)&endpoint->peer.address;

        address->sun_family = AF_UNIX;
        strcpy(address->sun_path, endpoint->address + sizeof(UNIX_PREFIX) - 1);
        endpoint->peer.length = sizeof(*address);
        return endpoint;
    }
    endpoint->parts = strdup(options->address);
    if (endpoint->address && endpoint->parts && lookup_cut(endpoint->parts, &endpoint->name, &endpoint->port))
        return endpoint;
    endpoint_free(endpoint);
    return NULL;
}

static void socket_close(struct endpoint *endpoint)
{
    if (endpoint->fd >= 0)
        close(endpoint->fd);
    endpoint->fd = -1;
}

void endpoint_free(struct endpoint *endpoint)
{
    if (!endpoint)
        return;
    socket_close(endpoint);
    lookup_leave(endpoint->lookup);
    free(endpoint->parts);
    free(endpoint->address);
    free(endpoint);
}

/* ---- Names ------------------------------------------------------------------------------------------------------- */

static bool is_found(const struct endpoint *endpoint, const struct lookup_address *address)
{
    for (unsigned i = 0; i < endpoint->found.count; i++)
        if (endpoint->found.addresses[i].length == address->length &&
            memcmp(&endpoint->found.addresses[i].address, &address->address, address->length) == 0)
            return true;
    return false;
}

static void lookup_ended(struct endpoint *endpoint, const struct lookup_result *result, int64_t now_ns)
{
    endpoint->lookup_error = result->count ? 0 : result->error ? result->error : EAI_NONAME;
    if (result->count) {
        endpoint->found = *result;
        endpoint->retry_ns = RETRY_FIRST_NS;
        endpoint->lookup_due_ns = now_ns + endpoint->resolve_ns;
        if (!is_found(endpoint, &endpoint->peer))
            socket_close(endpoint);
        return;
    }
    endpoint->figures->lookup_failures++;
    endpoint->lookup_due_ns = now_ns + endpoint->retry_ns;
    endpoint->retry_ns = endpoint->retry_ns * 2 < endpoint->resolve_ns ? endpoint->retry_ns * 2 : endpoint->resolve_ns;
}

/* Takes an answer that has come, and asks again when it is time to. */
static void lookup_turn(struct endpoint *endpoint, int64_t now_ns)
{
    const struct lookup_result *result = endpoint->lookup ? lookup_done(endpoint->lookup) : NULL;

    if (!endpoint->name || endpoint->numeric)
        return;
    if (result) {
        lookup_ended(endpoint, result, now_ns);
        lookup_leave(endpoint->lookup);
        endpoint->lookup = NULL;
    }
    if (endpoint->lookup || now_ns < endpoint->lookup_due_ns)
        return;
    endpoint->figures->lookups++;
    endpoint->lookup = lookup_start(endpoint->name, endpoint->port);
    if (!endpoint->lookup)
        lookup_ended(endpoint, &(struct lookup_result){.error = EAI_MEMORY}, now_ns);
}

void endpoint_open(struct endpoint *endpoint)
{
    int64_t now_ns = endpoint->host->now_ns();

    if (!endpoint->name)
        return;
    lookup_now(endpoint->name, endpoint->port, true, &endpoint->found);
    endpoint->numeric = endpoint->found.count;
    lookup_turn(endpoint, now_ns);
    if (endpoint->lookup) {
        (void)endpoint->host->wait_fd(endpoint->self, lookup_fd(endpoint->lookup), POLLIN, now_ns + endpoint->timeout_ns);
        lookup_turn(endpoint, endpoint->host->now_ns());
    }
}

/* ---- Sockets ----------------------------------------------------------------------------------------------------- */

static bool socket_connect(struct endpoint *endpoint, const struct lookup_address *address)
{
    int fd = socket(address->address.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)&address->address, address->length) < 0) {
        endpoint->error = errno;
        if (fd >= 0)
            close(fd);
        return false;
    }
    endpoint->fd = fd;
    endpoint->peer = *address;
    return true;
}

/* Nobody listens at a unix socket: it is not there, or was left behind. */
static bool is_absent(int error)
{
    return error == ENOENT || error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET || error == EPIPE;
}

static enum endpoint_outcome socket_open(struct endpoint *endpoint)
{
    if (endpoint->fd >= 0)
        return ENDPOINT_SENT;
    if (!endpoint->name) {
        const struct lookup_address address = endpoint->peer;

        return socket_connect(endpoint, &address) ? ENDPOINT_SENT : is_absent(endpoint->error) ? ENDPOINT_REFUSED : ENDPOINT_FAILED;
    }
    for (unsigned i = 0; i < endpoint->found.count; i++)
        if (socket_connect(endpoint, &endpoint->found.addresses[i]))
            return ENDPOINT_SENT;
    return endpoint->found.count ? ENDPOINT_FAILED : ENDPOINT_UNRESOLVED;
}

/* ---- Sending ----------------------------------------------------------------------------------------------------- */

/* What is sent at a time takes its time at max_rate; the next has to wait for that. */
static bool pace(struct endpoint *endpoint, size_t bytes, int64_t deadline_ns)
{
    int64_t now_ns;

    if (!endpoint->rate_bytes)
        return true;
    now_ns = endpoint->host->now_ns();
    if (endpoint->next_ns > now_ns) {
        if (endpoint->next_ns > deadline_ns)
            return false;
        if (endpoint->host->wait_fd(endpoint->self, -1, 0, endpoint->next_ns) != WEIR_ETIMEOUT)
            return false;
    } else {
        endpoint->next_ns = now_ns;
    }
    endpoint->next_ns += (int64_t)((double)bytes * 1e9 / (double)endpoint->rate_bytes);
    return true;
}

/* What becomes of the next datagram after an error: SENT to try it again, else why it was given up. */
static enum endpoint_outcome failed(struct endpoint *endpoint, int error, int64_t deadline_ns, bool *reconnected)
{
    endpoint->error = error;
    switch (error) {
    case EINTR:
        return ENDPOINT_SENT;
    case EAGAIN:
        if (endpoint->host->now_ns() < deadline_ns &&
            endpoint->host->wait_fd(endpoint->self, endpoint->fd, POLLOUT, deadline_ns) > 0)
            return ENDPOINT_SENT;
        endpoint->down = ENDPOINT_FULL;
        return ENDPOINT_FULL;
    case ENOBUFS:
        return ENDPOINT_FULL;
    case EMSGSIZE:
        return ENDPOINT_TOO_LONG;
    default:
        break;
    }
    if (!is_absent(error)) {
        endpoint->down = ENDPOINT_FAILED;
    } else if (endpoint->name) {
        endpoint->figures->refusals++;
        endpoint->suspect = true;
        endpoint->down = ENDPOINT_REFUSED;
    } else {
        /* Whoever took its place has a socket of its own, once. */
        socket_close(endpoint);
        if (!*reconnected && socket_open(endpoint) == ENDPOINT_SENT) {
            *reconnected = true;
            return ENDPOINT_SENT;
        }
        endpoint->down = ENDPOINT_REFUSED;
    }
    return endpoint->down;
}

/* After the first datagram of a cycle: true if it was refused. */
static bool is_refused(struct endpoint *endpoint)
{
    int error = 0;
    socklen_t length = sizeof(error);

    if (getsockopt(endpoint->fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0 || error != ECONNREFUSED)
        return false;
    endpoint->figures->refusals++;
    endpoint->error = error;
    endpoint->down = ENDPOINT_REFUSED;
    return true;
}

void endpoint_send(struct endpoint *endpoint, const struct packets *packets, int64_t began_ns,
                   enum endpoint_outcome outcomes[PACKETS_MAX])
{
    const int64_t deadline_ns = began_ns + endpoint->timeout_ns;
    struct mmsghdr messages[PACKETS_MAX];
    struct iovec pieces[PACKETS_MAX];
    bool reconnected = false;
    size_t at = 0, bytes = 0;

    for (size_t i = 0; i < packets->count; i++) {
        pieces[i] = (struct iovec){(char *)(uintptr_t)packets_datagram(packets, i), packets->lengths[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &pieces[i], .msg_iovlen = 1}};
        bytes += packets->lengths[i];
    }
    endpoint->tried = true;
    lookup_turn(endpoint, began_ns);
    if (endpoint->down == ENDPOINT_SENT)
        endpoint->down = socket_open(endpoint);
    if (endpoint->down == ENDPOINT_SENT && !pace(endpoint, bytes, deadline_ns)) {
        while (at < packets->count)
            outcomes[at++] = ENDPOINT_PACED;
    }
    while (at < packets->count && endpoint->down == ENDPOINT_SENT) {
        unsigned wanted = endpoint->suspect ? 1 : (unsigned)(packets->count - at);
        int sent = sendmmsg(endpoint->fd, messages + at, wanted, MSG_NOSIGNAL);

        if (sent <= 0) {
            enum endpoint_outcome outcome = failed(endpoint, errno, deadline_ns, &reconnected);

            if (outcome != ENDPOINT_SENT)
                outcomes[at++] = outcome;
            continue;
        }
        if (endpoint->suspect && is_refused(endpoint))
            break;
        /* The error that stopped it is lost, if it was of the datagrams before. */
        endpoint->suspect = (unsigned)sent < wanted;
        for (size_t end = at + (size_t)sent; at < end; at++) {
            outcomes[at] = ENDPOINT_SENT;
            endpoint->figures->datagrams++;
            endpoint->figures->lines += packets->nlines[at];
            endpoint->figures->bytes += packets->lengths[at];
        }
    }
    while (at < packets->count)
        outcomes[at++] = endpoint->down;
}

/* Says when things have changed. */
static void tell(struct endpoint *endpoint)
{
    const struct weir_host *host = endpoint->host;

    switch (endpoint->down) {
    case ENDPOINT_UNRESOLVED:
        host->log(endpoint->self, WEIR_WARNING, "could not look up \"%s\": %s; counters wait, all else is dropped", endpoint->name,
                  endpoint->lookup_error ? gai_strerror(endpoint->lookup_error) : "the name server does not answer");
        break;
    case ENDPOINT_REFUSED:
        host->log(endpoint->self, WEIR_WARNING, "nobody receives at \"%s\": %s; counters wait, all else is dropped",
                  endpoint->address, strerror(endpoint->error));
        break;
    case ENDPOINT_FULL:
        host->log(endpoint->self, WEIR_WARNING, "\"%s\" is too slow: counters wait, all else that does not fit is dropped",
                  endpoint->address);
        break;
    case ENDPOINT_FAILED:
        host->log(endpoint->self, WEIR_WARNING, "could not send to \"%s\": %s", endpoint->address, strerror(endpoint->error));
        break;
    default:
        host->log(endpoint->self, WEIR_NOTICE, "\"%s\" is sent to again", endpoint->address);
    }
}

void endpoint_cycle(struct endpoint *endpoint)
{
    lookup_turn(endpoint, endpoint->host->now_ns());
    if (endpoint->tried && endpoint->down != endpoint->told) {
        tell(endpoint);
        endpoint->told = endpoint->down;
    }
    endpoint->tried = false;
    endpoint->down = ENDPOINT_SENT;
}
