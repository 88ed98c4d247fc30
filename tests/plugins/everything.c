/* everything.c - an option of every type, with texts that roff, the shell and the sample file could take as their own; commands. */
#include <weir_plugin.h>

#include <stdbool.h>

static const struct weir_host *host;

struct row {
    const char *name;
    int64_t weight;
    const struct weir_secret *token;
};
struct config {
    bool truth;
    int64_t number, bytes, time_ns, choice;
    const char *text, *pattern;
    const struct weir_secret *password;
    struct weir_list list;
    struct weir_binding *service;
    struct weir_rows rows;
};
#define AT(field) .offset = offsetof(struct config, field)

static const char *const choices[] = {"first", "second", NULL};
static const struct weir_option row_options[] = {
    {.name = "name", .type = WEIR_STRING, .flags = WEIR_TITLE, .offset = offsetof(struct row, name)},
    {.name = "weight", .type = WEIR_INT, .dflt = "1", .min = 1, .max = 9, .flags = WEIR_REQUIRED,
     .offset = offsetof(struct row, weight), .help = "How much it counts."},
    {.name = "token", .type = WEIR_SECRET, .offset = offsetof(struct row, token), .help = "What it says."},
    {.name = NULL}};
static const struct weir_option options[] = {
    {.name = "truth", .type = WEIR_BOOL, AT(truth), .help = ".request at the beginning, \\fBescape\\fR, 'quote', -minus- ^hat~."},
    {.name = "number", .type = WEIR_INT, .min = -5, .max = 5, .dflt = "-1", AT(number), .help = "Looks like a key: number = 3."},
    {.name = "bytes", .type = WEIR_SIZE, .min = 1024, .max = 1 << 20, .dflt = "4KiB", AT(bytes), .flags = WEIR_RELOADABLE,
     .help = "Some bytes."},
    {.name = "time", .type = WEIR_DURATION, .min = 1000000, .max = 1000000000, AT(time_ns), .flags = WEIR_DEPRECATED,
     .help = "A duration without a default."},
    {.name = "choice", .type = WEIR_ENUM, .choices = choices, AT(choice), .help = "One of two."},
    {.name = "text", .type = WEIR_STRING, .flags = WEIR_REQUIRED, AT(text), .help = "Has to be there."},
    {.name = "pattern", .type = WEIR_STRING, .dflt = "^(a|\"b\\.c\")$", .min = 0, .max = 50, AT(pattern),
     .help = "A long explanation, which goes on in other lines, and each of these would begin with a dot: .dot .dot .dot .dot .dot "
             ".dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot .dot."},
    {.name = "password", .type = WEIR_SECRET, AT(password), .help = "As `secret -x` prints it."},
    {.name = "list", .type = WEIR_LIST, .dflt = "{ \"a\", \"b\" }", .min = 1, .max = 3, AT(list), .help = "A few."},
    {.name = "service", .type = WEIR_SERVICE, .service = "nothing", AT(service), .help = "Who helps."},
    {.name = "row", .type = WEIR_SECTION, .rows = row_options, .row_size = sizeof(struct row), .max = 4, AT(rows),
     .help = "One of several."},
    {.name = NULL}};

static int create(struct weir_self *self, const void *config, void **state)
{
    (void)config;
    *state = self;
    return WEIR_OK;
}

static int consume(void *state, const struct weir_batch *batch)
{
    (void)state;
    (void)batch;
    return WEIR_OK;
}

static int echo(void *state, struct weir_call *call, int argc, const char *const *argv)
{
    (void)state;
    for (int i = 1; i < argc; i++)
        if (host->print(call, 1, "%s\n", argv[i]) < 0)
            return 1;
    return 0;
}

static const struct weir_command commands[] = {
    {.name = "echo", .arguments = "[-n] WORD...", .summary = "Prints its arguments.", .run = echo},
    {.name = "mirror", .arguments = "", .summary = "Does so beside the collector.", .run = echo, .flags = WEIR_OFFLINE},
    {.name = NULL}};

static const struct weir_plugin plugin = {
    .size = sizeof(plugin),
    .abi_minor = WEIR_ABI_MINOR,
    .roles = WEIR_SINK,
    .name = "everything",
    .version = "1",
    .summary = "an option of every type",
    .options = options,
    .option_stride = sizeof(struct weir_option),
    .config_size = sizeof(struct config),
    .create = create,
    .consume = consume,
    .commands = commands,
    .command_stride = sizeof(struct weir_command),
};

const struct weir_plugin *weir_plugin_v1(const struct weir_host *table)
{
    host = table;
    return &plugin;
}
