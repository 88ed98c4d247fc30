/* fatal.h - on a fatal signal, one line that names plugin and instance, then the signal again.
 *
 * Every instance thread says who it is.  The handler runs on a stack of its own, writes with write(2) only, names the
 * instance of the thread and the plugin whose code faulted (loader_owner), restores the default action and raises the signal again, so
 * that the core dump and the exit status are those of the fault.
 */
#ifndef WEIR_FATAL_H
#define WEIR_FATAL_H

/* Once, by the main thread: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS, SIGTRAP. */
int fatal_install(void);
/* Per thread: gives the thread its handler's stack, and its name for the line; name is borrowed for the thread's life. */
int fatal_thread_begin(const char *instance);
void fatal_thread_end(void);

#endif
