/* control.h - the control socket: commands for the running collector.
 *
 * A Unix stream socket that only its owner can reach.  A client sends one request (32 bits of length, then its words, each
 * ended by a NUL) and gets frames (call.h) until the one with the exit status.  Each client has a thread of its own; there are at
 * most CONTROL_CLIENTS_MAX.
 */
#ifndef WEIR_CONTROL_H
#define WEIR_CONTROL_H

#include "call.h"

#include <stddef.h>

#define CONTROL_CLIENTS_MAX 16u
#define CONTROL_WORDS_MAX 256u
#define CONTROL_BYTES_MAX 65536u

struct control;

/* Runs one command on a client's thread and returns its exit status. */
typedef int control_handle(void *context, struct weir_call *call, int argc, const char *const *argv);

/* Listens at path; a socket that nobody listens at any more is replaced.  NULL and why. */
struct control *control_open(const char *path, control_handle *handle, void *context, char *why, size_t why_size);
/* The descriptor to wait for, and what to do when it is readable; never blocks. */
int control_fd(const struct control *control);
void control_accept(struct control *control);
/* Takes no more clients, and removes the socket. */
void control_quiesce(struct control *control);
/* Cuts off those inside and waits for them; false at the deadline, and then nothing is freed. */
bool control_close(struct control *control, int64_t deadline_ns);

/* The client's side: sends the words, copies the output to stdout and stderr, and gives the exit status; -1: nobody answers there,
 * and why. */
int control_call(const char *path, int argc, const char *const *argv, char *why, size_t why_size);

#endif
