/* notify.h - tells systemd what the collector does: sd_notify(3)'s protocol, one datagram per change.
 *
 * Without NOTIFY_SOCKET in the environment all of it does nothing.  Threads: the main thread's.
 */
#ifndef WEIR_NOTIFY_H
#define WEIR_NOTIFY_H

#include <stdint.h>

/* Reads the environment, and takes it away from children. */
void notify_open(void);
void notify_ready(void);     /* started, or reloaded */
void notify_reloading(void);
void notify_stopping(void);
void notify_status(const char *text);
/* The watchdog: how often it wants to be fed, 0: never; and feeding it. */
int64_t notify_watchdog_ns(void);
void notify_alive(void);

#endif
