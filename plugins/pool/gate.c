/* gate.c - libpq's socket, a piece at a time; gate.h says why. */
#include "gate.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static bool make(struct gate *gate, int socket)
{
    const int room = 4 * (int)GATE_BYTES; /* the kernel's own structs count, too */
    int ends[2];

    if (gate->inlet)
        return true;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
        return false;
    gate->inlet = ends[0];
    gate->outlet = ends[1];
    (void)setsockopt(gate->inlet, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    gate->server = fcntl(socket, F_DUPFD_CLOEXEC, 3);
    return gate->server >= 0;
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

/* Gives the connection its socket back, unless libpq has closed it. */
static bool put_back(struct gate *gate, const PGconn *connection)
{
    gate->held = 0;
    return PQsocket(connection) < 0 || dup3(gate->server, PQsocket(connection), O_CLOEXEC) >= 0;
}

/* Lets libpq read from the gate, and puts its socket back when the gate is empty. */
static bool pass_on(struct gate *gate, PGconn *connection)
{
    /* Of a record of 16 kB, which TLS or GSSAPI keeps, libpq takes 8 kB at least. */
    unsigned reads = PQsslInUse(connection) || PQgssEncInUse(connection) ? 3 : 1;
    bool good = true;

    while (good && reads-- > 0)
        good = PQconsumeInput(connection);
    good = good && forward(gate) && ioctl(gate->outlet, FIONREAD, &gate->held) == 0;
    return (good && gate->held) || (put_back(gate, connection) && good);
}

bool gate_read(struct gate *gate, PGconn *connection)
{
    char piece[GATE_BYTES];
    ssize_t got;

    if (gate->held)
        return pass_on(gate, connection);
    got = recv(PQsocket(connection), piece, sizeof(piece), MSG_DONTWAIT);
    gate->more = got == (ssize_t)sizeof(piece);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (got <= 0)
        return PQconsumeInput(connection); /* finds the end, too, and has words for it */
    gate->received += (uint64_t)got;
    return make(gate, PQsocket(connection)) && send(gate->inlet, piece, (size_t)got, MSG_DONTWAIT) == got &&
           dup3(gate->outlet, PQsocket(connection), O_CLOEXEC) >= 0 && pass_on(gate, connection);
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
    return good;
}

void gate_close(struct gate *gate, PGconn *connection)
{
    if (gate->held)
        (void)put_back(gate, connection);
    if (gate->inlet) {
        close(gate->inlet);
        close(gate->outlet);
        close(gate->server);
    }
    *gate = (struct gate){0};
}
