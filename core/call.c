/* call.c - one run of a command; call.h says where its output goes. */
#include "call.h"

#include "util/poll.h"
#include "util/strbuf.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SEND_NS (10 * CLOCK_SECOND_NS)
#define TEXT_MAX (1024u * 1024u) /* bytes of one print */

static bool send_all(int fd, const char *bytes, size_t length, int64_t deadline_ns)
{
    while (length) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd ready = {.fd = fd, .events = POLLOUT};

        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else if (sent < 0 && errno != EAGAIN && errno != EINTR) {
            return false;
        } else if (poll_until(&ready, 1, deadline_ns) <= 0) {
            return false;
        }
    }
    return true;
}

int call_send(struct weir_call *call, enum call_frame kind, const void *bytes, size_t length)
{
    const struct call_head head = {.kind = (uint8_t)kind, .length = (uint32_t)length};
    int64_t deadline_ns = clock_now_ns() + SEND_NS;

    call->gone = call->gone || !send_all(call->fd, (const char *)&head, sizeof(head), deadline_ns) ||
                 !send_all(call->fd, bytes, length, deadline_ns);
    return call->gone ? WEIR_EINTR : WEIR_OK;
}

int call_print(struct weir_call *call, int out, const char *format, ...)
{
    struct strbuf text = {.ceiling = TEXT_MAX};
    int status = WEIR_OK;
    va_list args;

    if (call->gone)
        return WEIR_EINTR;
    va_start(args, format);
    if (call->fd < 0)
        call->gone = vfprintf(out == CALL_ERR ? stderr : stdout, format, args) < 0 || (out != CALL_ERR && fflush(stdout) != 0);
    else
        strbuf_vprintf(&text, format, args);
    va_end(args);
    if (text.failed)
        status = WEIR_ENOMEM;
    else if (text.length)
        status = call_send(call, out == CALL_ERR ? CALL_ERR : CALL_OUT, text.text, text.length);
    strbuf_free(&text);
    return call->gone ? WEIR_EINTR : status;
}

int call_wait(struct weir_call *call, int fd, int events, int64_t deadline_ns)
{
    /* A client sends nothing after its request: that its end can be read means it has closed it. */
    struct pollfd fds[2] = {{.fd = call->gone_fd, .events = POLLIN}, {.fd = fd, .events = (short)events}};
    int ready = call->gone ? 0 : poll_until(fds, fd < 0 ? 1 : 2, deadline_ns);

    call->gone = call->gone || (ready > 0 && fds[0].revents);
    if (call->gone)
        return WEIR_EINTR;
    if (ready < 0)
        return WEIR_EFAIL;
    return ready ? fds[1].revents : WEIR_ETIMEOUT;
}
