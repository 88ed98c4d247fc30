/* fuzz_http.c - any bytes as a connection to the http plugin: no crash, no leak, and the next request is answered.
 *
 * The real plugin listens on loopback, behind a small host; every input is one connection.
 */
#include "weir_http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static char listening[256];

static void host_log(struct weir_self *self, int level, const char *format, ...) WEIR_PRINTF(3, 4);
static void host_log(struct weir_self *self, int level, const char *format, ...)
{
    va_list args;

    (void)self;
    va_start(args, format);
    if (level == WEIR_INFO_LEVEL)
        vsnprintf(listening, sizeof(listening), format, args);
    va_end(args);
}
static int host_fail(struct weir_self *self, int status, const char *format, ...)
{
    (void)self;
    (void)format;
    return status;
}
static const char *host_name(struct weir_self *self)
{
    (void)self;
    return "http";
}
static int64_t host_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
static int host_group(struct weir_self *self, const struct weir_group *group, uint32_t *id)
{
    (void)self;
    (void)group;
    *id = 1;
    return WEIR_OK;
}
static int host_family(struct weir_self *self, const struct weir_family *family, uint32_t *id)
{
    (void)self;
    (void)family;
    *id = 1;
    return WEIR_OK;
}
static int host_series(struct weir_self *self, uint32_t group, const struct weir_label *labels, size_t nlabels,
                       const uint32_t *families, size_t nfamilies, uint32_t *handles)
{
    (void)self;
    (void)group;
    (void)labels;
    (void)nlabels;
    (void)families;
    memset(handles, 0, nfamilies * sizeof(*handles));
    return WEIR_OK;
}
static int host_listen(struct weir_self *self, const char *name, const char *port, int *fd)
{
    const struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    (void)self;
    (void)name;
    (void)port;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    return bind(*fd, (const struct sockaddr *)&any, sizeof(any)) == 0 && listen(*fd, 128) == 0 ? WEIR_OK : WEIR_EFAIL;
}
static const struct weir_host host = {.size = sizeof(host), .log = host_log, .fail = host_fail, .name = host_name,
                                      .now_ns = host_now_ns, .group = host_group, .family = host_family, .series = host_series,
                                      .listen = host_listen};

static int handle(void *context, struct weir_http_request *request)
{
    const struct weir_http *http = context;
    size_t length;

    (void)http->query(request, "a");
    (void)http->header(request, "a");
    (void)http->body(request, &length);
    return http->respond(request, 200, "text/plain", "ok", 2, NULL);
}

static unsigned short port_open(void)
{
    const struct weir_plugin *plugin = weir_plugin_v1(&host);
    const struct weir_http *http = plugin->services[0].table;
    void *config = calloc(1, plugin->config_size), *state;

    for (const struct weir_option *option = plugin->options; option->name; option++) {
        int64_t number = strcmp(option->name, "request_timeout") == 0 ? 5000000000 : strcmp(option->name, "header_max") == 0 ? 16384 : 1000;
        const char *listen = "127.0.0.1:0";

        if (option->type == WEIR_INT || option->type == WEIR_SIZE || option->type == WEIR_DURATION)
            memcpy((char *)config + option->offset, &number, sizeof(number));
        if (strcmp(option->name, "listen") == 0)
            memcpy((char *)config + option->offset, &listen, sizeof(const char *));
    }
    if (plugin->create(NULL, config, &state) < 0 || plugin->start(state) < 0)
        abort();
    for (unsigned i = 0; i < 2; i++) {
        const struct weir_http_route route = {.size = sizeof(route), .path = "/r", .method = i ? "POST" : "GET", .handle = handle,
                                              .context = (void *)(uintptr_t)http};

        if (http->route_add(state, NULL, &route) < 0)
            abort();
    }
    return (unsigned short)atoi(strrchr(listening, ':') + 1);
}

/* Sends, reads what comes for a moment, and gives the number of bytes that came.  libFuzzer's alarm interrupts what waits. */
static ssize_t ask(unsigned short port, const void *data, size_t size, int wait_ms)
{
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct linger reset = {.l_onoff = 1};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    char answer[4096];
    ssize_t got = -1;
    int polled = -1;

    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 && send(fd, data, size, MSG_NOSIGNAL) == (ssize_t)size)
        while ((polled = poll(&ready, 1, wait_ms)) < 0 && errno == EINTR)
            continue;
    if (polled == 1)
        got = recv(fd, answer, sizeof(answer), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* no port waits in TIME_WAIT */
    close(fd);
    return got;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char good[] = "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n";
    static unsigned short port;

    if (!port)
        port = port_open();
    (void)ask(port, data, size, 1);
    /* As many connections as are served at a time may still be on their way out. */
    for (unsigned tries = 0; ask(port, good, sizeof(good) - 1, 30000) <= 0; usleep(100000))
        if (++tries == 100)
            abort();
    return 0;
}
