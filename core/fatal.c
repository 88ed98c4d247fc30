/* fatal.c - one line on a fatal signal, then the signal again.
 *
 * Everything in the handler is async-signal-safe: write(2), sigaction(2), raise through the restored default action.
 */
#include "fatal.h"

#include "loader.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define STACK_BYTES (64u * 1024u)

static const struct {
    int number;
    const char *name;
} signals[] = {{SIGSEGV, "SIGSEGV"}, {SIGBUS, "SIGBUS"}, {SIGFPE, "SIGFPE"}, {SIGILL, "SIGILL"},
               {SIGABRT, "SIGABRT"}, {SIGSYS, "SIGSYS"}, {SIGTRAP, "SIGTRAP"}};

static _Thread_local const char *thread_instance;
static _Thread_local void *thread_stack;

static size_t append(char *line, size_t n, size_t room, const char *text)
{
    for (; *text && n + 1 < room; text++)
        line[n++] = *text;
    return n;
}

static const void *fault_address(const void *context)
{
    const ucontext_t *user = context;

#if defined(__x86_64__)
    return (const void *)user->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (const void *)user->uc_mcontext.pc;
#else
    (void)user;
    return NULL;
#endif
}

static void handler(int number, siginfo_t *info, void *context)
{
    const char *plugin = loader_owner(fault_address(context)), *name = "signal";
    char line[512];
    size_t n;

    (void)info;
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (signals[i].number == number)
            name = signals[i].name;
    n = append(line, 0, sizeof(line), "weir: fatal ");
    n = append(line, n, sizeof(line), name);
    n = append(line, n, sizeof(line), " in ");
    n = append(line, n, sizeof(line), plugin ? "plugin \"" : thread_instance ? "the core or a library" : "the core");
    n = append(line, n, sizeof(line), plugin ? plugin : "");
    n = append(line, n, sizeof(line), plugin ? "\"" : "");
    if (thread_instance) {
        n = append(line, n, sizeof(line), ", on the thread of instance \"");
        n = append(line, n, sizeof(line), thread_instance);
        n = append(line, n, sizeof(line), "\"");
    }
    line[n++] = '\n';
    (void)!write(STDERR_FILENO, line, n);
    /* SA_RESETHAND has restored the default action; a fault happens again by itself, the others are sent. */
    raise(number);
}

int fatal_install(void)
{
    struct sigaction action = {.sa_sigaction = handler,
                               .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND | SA_NODEFER)};

    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
        if (sigaction(signals[i].number, &action, NULL) < 0)
            return -1;
    return fatal_thread_begin(NULL);
}

int fatal_thread_begin(const char *instance)
{
    stack_t stack = {.ss_size = STACK_BYTES};

    thread_instance = instance;
    stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack.ss_sp == MAP_FAILED)
        return -1;
    thread_stack = stack.ss_sp;
    return sigaltstack(&stack, NULL);
}

void fatal_thread_end(void)
{
    const stack_t none = {.ss_flags = SS_DISABLE};

    if (!thread_stack)
        return;
    (void)sigaltstack(&none, NULL);
    munmap(thread_stack, STACK_BYTES);
    thread_stack = NULL;
}
