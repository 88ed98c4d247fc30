/* gate.c - libpq's socket, a piece at a time; gate.h says why. */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPACE_BYTES 8192 /* libpq's buffer has so much at least when it reads */

static bool make(struct gate *gate, int socket)
{
    const int room = 4 * (int)GATE_BYTES; /* the kernel's own structs count, too */
    int ends[2], server;

    if (!gate->inlet) {
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            return false;
        gate->inlet = ends[0];
        gate->outlet = ends[1];
        (void)setsockopt(gate->inlet, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    }
    if (!gate->server && (server = fcntl(socket, F_DUPFD_CLOEXEC, 3)) >= 0)
        gate->server = server;
    return gate->server;
}

/* What libpq wrote into the gate. */
static bool forward(const struct gate *gate)
{
    char piece[1024];
    ssize_t wrote;

    while ((wrote = recv(gate->inlet, piece, sizeof(piece), MSG_DONTWAIT)) > 0)
        if (send(gate->server, piece, (size_t)wrote, MSG_DONTWAIT | MSG_NOSIGNAL) != wrote)
            return false;
    return true;
}

/* Puts one of the two under the number of libpq's descriptor, unless it has closed that. */
static bool place(struct gate *gate, const PGconn *connection, bool placed)
{
    if (gate->placed == placed)
        return true;
    gate->placed = placed;
    return PQsocket(connection) < 0 || dup3(placed ? gate->outlet : gate->server, PQsocket(connection), O_CLOEXEC) >= 0;
}

int gate_socket(const struct gate *gate, const PGconn *connection)
{
    return gate->placed ? gate->server : PQsocket(connection);
}

/* Lets libpq read from the gate. */
static bool pass_on(struct gate *gate, PGconn *connection)
{
    bool wrapped = PQsslInUse(connection) || PQgssEncInUse(connection), good = PQconsumeInput(connection);

    if (wrapped) {
        /* Of a record of 16 kB, which TLS or GSSAPI keeps, libpq takes SPACE_BYTES at least.  If these find the end, so will the next. */
        if (good && PQconsumeInput(connection))
            (void)PQconsumeInput(connection);
        good = good && forward(gate);
    }
    if (gate->held <= SPACE_BYTES && !wrapped)
        gate->held = 0;
    else
        good = good && ioctl(gate->outlet, FIONREAD, &gate->held) == 0;
    gate->spoilt |= wrapped || !good;
    return good;
}

bool gate_read(struct gate *gate, PGconn *connection)
{
    char piece[GATE_BYTES];
    ssize_t got;

    if (gate->held)
        return pass_on(gate, connection);
    got = recv(gate_socket(gate, connection), piece, sizeof(piece), MSG_DONTWAIT);
    gate->more = got == (ssize_t)sizeof(piece);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return place(gate, connection, false) && PQconsumeInput(connection); /* finds the end, too, and has words for it */
    if (!make(gate, PQsocket(connection)))
        return false;
    gate->received += (uint64_t)got;
    gate->held = (int)got;
    return send(gate->inlet, piece, (size_t)got, MSG_DONTWAIT) == got && place(gate, connection, true) && pass_on(gate, connection);
}

bool gate_ready(const struct gate *gate)
{
    return gate->held || gate->more;
}

bool gate_drain(struct gate *gate, PGconn *connection)
{
    bool good = true;

    while (good && gate->held)
        good = pass_on(gate, connection);
    gate->more = false;
    return good && place(gate, connection, false);
}

int gate_leave(struct gate *gate, PGconn *connection)
{
    int server = gate->server;

    if (gate->held || gate->spoilt)
        gate_free(gate);
    (void)place(gate, connection, false);
    *gate = (struct gate){.inlet = gate->inlet, .outlet = gate->outlet};
    return server;
}

void gate_free(struct gate *gate)
{
    if (gate->inlet) {
        close(gate->inlet);
        close(gate->outlet);
    }
    gate->inlet = gate->outlet = 0;
}
