/* fuzz_config.c - any bytes as a configuration: no crash, no leak, and a mistake or a config, never both or neither. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct row {
    const char *name;
    int64_t number;
};
struct values {
    bool flag;
    int64_t number, size, time, choice;
    const char *text;
    const struct weir_secret *secret;
    struct weir_list list;
    struct weir_binding *service;
    struct weir_rows rows;
};
static const char *const choices[] = {"red", "green", NULL};
static const struct weir_option row_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct row, name)},
    {.name = "number", .type = WEIR_INT, .offset = offsetof(struct row, number)},
    {.name = NULL}};
static const struct weir_option options[] = {
    {.name = "flag", .type = WEIR_BOOL, .offset = offsetof(struct values, flag)},
    {.name = "number", .type = WEIR_INT, .min = 1, .max = 9, .offset = offsetof(struct values, number)},
    {.name = "size", .type = WEIR_SIZE, .offset = offsetof(struct values, size)},
    {.name = "time", .type = WEIR_DURATION, .offset = offsetof(struct values, time)},
    {.name = "choice", .type = WEIR_ENUM, .choices = choices, .offset = offsetof(struct values, choice)},
    {.name = "text", .type = WEIR_STRING, .offset = offsetof(struct values, text)},
    {.name = "secret", .type = WEIR_SECRET, .offset = offsetof(struct values, secret)},
    {.name = "list", .type = WEIR_LIST, .offset = offsetof(struct values, list)},
    {.name = "service", .type = WEIR_SERVICE, .service = "s", .offset = offsetof(struct values, service)},
    {.name = "row", .type = WEIR_SECTION, .rows = row_options, .row_size = sizeof(struct row), .offset = offsetof(struct values, rows)},
    {.name = NULL}};
static const struct weir_plugin a = {.size = sizeof(a), .name = "a", .options = options, .config_size = sizeof(struct values)};
static const struct weir_plugin b = {.size = sizeof(b), .flags = WEIR_SINGLE, .name = "b", .options = options, .config_size = sizeof(struct values)};

static const struct weir_plugin *resolve(void *context, const char *name, char *why, size_t why_size)
{
    (void)context;
    snprintf(why, why_size, "not there");
    return strcmp(name, "a") == 0 ? &a : strcmp(name, "b") == 0 ? &b : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mistakes mistakes = {0};
    struct config *config = NULL;
    char path[64];
    int fd = memfd_create("config", MFD_CLOEXEC), status;

    /* What it would include are files of this machine: not the fuzzer's business. */
    if (fd < 0 || memmem(data, size, "include", 7) || write(fd, data, size) != (ssize_t)size) {
        close(fd);
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    status = config_load(path, resolve, NULL, &config, &mistakes);
    if ((status == WEIR_OK && !config) || (status == WEIR_ECONFIG) != (mistakes.count > 0))
        abort();
    config_free(config);
    mistakes_free(&mistakes);
    close(fd);
    return 0;
}
