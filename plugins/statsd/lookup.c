/* lookup.c - names on threads of their own; lookup.h says why. */
#include "lookup.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024u)

struct lookup {
    _Atomic unsigned users; /* the thread and the starter */
    _Atomic bool done;
    int fd;
    struct lookup_result result;
    const char *port; /* behind the name */
    char name[];
};

bool lookup_cut(char *address, const char **name, const char **port)
{
    char *colon = strrchr(address, ':'), *bracket = strchr(address, ']');
    long number;

    if (!colon || colon == address)
        return false;
    *colon = '\0';
    *name = address;
    *port = colon + 1;
    if (*address == '[') {
        if (!bracket || bracket + 1 != colon || bracket == address + 1)
            return false;
        *bracket = '\0';
        *name = address + 1;
    } else if (strchr(address, ':')) {
        return false;
    }
    number = strspn(*port, "0123456789") == strlen(*port) ? strtol(*port, NULL, 10) : 0;
    return number >= 1 && number <= 65535;
}

void lookup_now(const char *name, const char *port, bool numeric, struct lookup_result *result)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM,
                                   .ai_flags = AI_NUMERICSERV | (numeric ? AI_NUMERICHOST : AI_ADDRCONFIG)};
    struct addrinfo *found = NULL;

    result->count = 0;
    result->error = getaddrinfo(name, port, &hints, &found);
    for (const struct addrinfo *one = found; one && result->count < LOOKUP_ADDRESSES_MAX; one = one->ai_next) {
        struct lookup_address *address = &result->addresses[result->count++];

        *address = (struct lookup_address){.length = one->ai_addrlen};
        memcpy(&address->address, one->ai_addr, one->ai_addrlen);
    }
    if (found)
        freeaddrinfo(found);
}

static void *lookup_main(void *context)
{
    struct lookup *lookup = context;
    const uint64_t one = 1;

    lookup_now(lookup->name, lookup->port, false, &lookup->result);
    atomic_store_explicit(&lookup->done, true, memory_order_release);
    (void)!write(lookup->fd, &one, sizeof(one));
    lookup_leave(lookup);
    return NULL;
}

struct lookup *lookup_start(const char *name, const char *port)
{
    size_t length = strlen(name) + 1;
    struct lookup *lookup = calloc(1, sizeof(*lookup) + length + strlen(port) + 1);
    pthread_attr_t attributes;
    pthread_t thread;
    int error;

    if (!lookup)
        return NULL;
    memcpy(lookup->name, name, length);
    lookup->port = strcpy(lookup->name + length, port);
    atomic_init(&lookup->users, 2);
    lookup->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lookup->fd < 0) {
        free(lookup);
        return NULL;
    }
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    error = pthread_create(&thread, &attributes, lookup_main, lookup);
    pthread_attr_destroy(&attributes);
    if (error) {
        close(lookup->fd);
        free(lookup);
        return NULL;
    }
    return lookup;
}

int lookup_fd(const struct lookup *lookup)
{
    return lookup->fd;
}

const struct lookup_result *lookup_done(const struct lookup *lookup)
{
    return atomic_load_explicit(&lookup->done, memory_order_acquire) ? &lookup->result : NULL;
}

void lookup_leave(struct lookup *lookup)
{
    if (!lookup || atomic_fetch_sub(&lookup->users, 1) != 1)
        return;
    close(lookup->fd);
    free(lookup);
}
