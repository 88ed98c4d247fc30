/* describe.c - prints tables of options; describe.h says in which forms.
 *
 * What is said of an option (its facts: type, bounds, default) is the same text in all three.
 */
#include "describe.h"

#include "config.h"
#include "schema.h"
#include "util/strbuf.h"

#include <ctype.h>
#include <string.h>

#define FACTS_MAX 1024u
#define TEXT_BYTES_MAX 65536u
#define MAN_COLUMNS 72u
#define WORD_MAX 24u /* a longer one is no word, and not hyphenated */
#define SAMPLE_COLUMNS 118u

static const char *const type_names[] = {
    [WEIR_BOOL] = "true or false", [WEIR_INT] = "number",    [WEIR_SIZE] = "size",      [WEIR_DURATION] = "duration",
    [WEIR_STRING] = "text",        [WEIR_SECRET] = "secret", [WEIR_ENUM] = "one of",    [WEIR_LIST] = "list",
    [WEIR_SERVICE] = "title",      [WEIR_SECTION] = "sections"};

/* ---- Facts and values --------------------------------------------------------------------------------------------- */

/* A value as it stands in the file: truth, numbers and lists bare, all else in quotes. */
static void value_add(struct strbuf *text, const struct weir_option *option, const char *value)
{
    bool bare = option->type == WEIR_BOOL || option->type == WEIR_INT || option->type == WEIR_LIST;

    if (bare) {
        strbuf_printf(text, "%s", value);
        return;
    }
    strbuf_add(text, "\"", 1);
    for (; *value; value++) {
        if (strchr("\"\\", *value))
            strbuf_add(text, "\\", 1);
        strbuf_add(text, value, 1);
    }
    strbuf_add(text, "\"", 1);
}

static void bounds_add(struct strbuf *text, const struct weir_option *option)
{
    static const char *const counted[] = {[WEIR_STRING] = " bytes", [WEIR_LIST] = " values", [WEIR_SECTION] = " of them"};
    const char *what = option->type == WEIR_STRING || option->type == WEIR_LIST || option->type == WEIR_SECTION
                           ? counted[option->type] : "";
    char low[32], high[32];

    if (option->min >= option->max)
        return;
    schema_limit_print(low, sizeof(low), option->type, option->min);
    schema_limit_print(high, sizeof(high), option->type, option->max);
    strbuf_printf(text, ", %s to %s%s", low, high, what);
}

/* "number, 1 to 1000; default 4; reloadable" */
static void facts_add(struct strbuf *text, const struct weir_option *option)
{
    char choices[FACTS_MAX];

    strbuf_printf(text, "%s", type_names[option->type]);
    if (option->type == WEIR_ENUM) {
        schema_choices_join(option->choices, choices, sizeof(choices));
        strbuf_printf(text, " %s", choices);
    } else if (option->type == WEIR_SERVICE) {
        strbuf_printf(text, " of an instance that offers \"%s\"", option->service);
    }
    bounds_add(text, option);
    if (option->dflt && option->type != WEIR_SECTION) {
        strbuf_printf(text, "; default ");
        if (option->type == WEIR_SIZE || option->type == WEIR_DURATION || option->type == WEIR_ENUM)
            strbuf_printf(text, "%s", option->dflt);
        else
            value_add(text, option, option->dflt);
    }
    strbuf_printf(text, "%s%s%s", option->flags & WEIR_REQUIRED ? "; required" : "",
                  option->flags & WEIR_RELOADABLE ? "; reloadable" : "", option->flags & WEIR_DEPRECATED ? "; deprecated" : "");
}

/* Something that may stand behind the key: the default, or else what a key outside of sections of this name has, or any. */
static void example_add(struct strbuf *text, const struct weir_option *option)
{
    const struct weir_option *outside = config_options;
    char low[32];

    while (!option->dflt && outside->name && strcmp(outside->name, option->name) != 0)
        outside++;
    if (option->dflt || outside->dflt) {
        value_add(text, option, option->dflt ? option->dflt : outside->dflt);
        return;
    }
    switch (option->type) {
    case WEIR_BOOL: value_add(text, option, "false"); break;
    case WEIR_INT:
    case WEIR_SIZE:
    case WEIR_DURATION:
        schema_limit_print(low, sizeof(low), option->type == WEIR_SIZE ? WEIR_INT : option->type, option->min);
        value_add(text, option, low);
        break;
    case WEIR_ENUM: value_add(text, option, option->choices[0]); break;
    case WEIR_LIST: value_add(text, option, option->min > 0 && option->min < option->max ? "{ \"\" }" : "{ }"); break;
    case WEIR_SERVICE: value_add(text, option, "main"); break;
    default: value_add(text, option, ""); break;
    }
}

/* What is written behind the name of a section. */
static const char *braces(const struct weir_option *option)
{
    if (option->type != WEIR_SECTION)
        return "";
    for (const struct weir_option *row = option->rows; row && row->name; row++)
        if (row->flags & WEIR_TITLE)
            return " \"title\" { … }";
    return " { … }";
}

/* ---- As text ------------------------------------------------------------------------------------------------------ */

static void text_options(const struct weir_option *options, unsigned indent, FILE *out)
{
    for (; options && options->name; options++) {
        struct strbuf facts = {.ceiling = TEXT_BYTES_MAX};

        if (options->flags & WEIR_TITLE)
            continue;
        facts_add(&facts, options);
        fprintf(out, "%*s%s%s  (%s)\n", (int)indent, "", options->name, braces(options), facts.text ? facts.text : "");
        fprintf(out, "%*s%s\n", (int)indent + 4, "", options->help ? options->help : "");
        if (options->type == WEIR_SECRET)
            fprintf(out, "%*s%s_file: the same from a file that only its owner can read.\n", (int)indent + 4, "",
                    options->name);
        if (options->type == WEIR_SECTION)
            text_options(options->rows, indent + 4, out);
        strbuf_free(&facts);
    }
}

static const char *where(const struct weir_command *command)
{
    return command->flags & WEIR_OFFLINE ? "offline" : "live";
}

static void text_plugin(const struct weir_plugin *plugin, FILE *out)
{
    fprintf(out, "%s %s - %s\n", plugin->name, plugin->version, plugin->summary);
    fprintf(out, "%s%s%s\n\n", plugin->roles & WEIR_SOURCE ? "source " : "", plugin->roles & WEIR_SINK ? "sink " : "",
            plugin->roles & WEIR_PROVIDER ? "service" : "");
    fprintf(out, "%s%s { … }\n", plugin->name, plugin->flags & WEIR_SINGLE ? "" : " \"title\"");
    text_options(plugin->options, 4, out);
    fputs("\nEvery section also takes:\n", out);
    text_options(schema_common_options, 4, out);
    if (!plugin->commands || !plugin->commands->name)
        return;
    fprintf(out, "\nCommands, weir %s%s COMMAND (live: in the running collector; offline: beside it):\n", plugin->name,
            plugin->flags & WEIR_SINGLE ? "" : "[/TITLE]");
    for (const struct weir_command *command = plugin->commands; command->name; command++)
        fprintf(out, "    %s%s%s  (%s)\n        %s\n", command->name, command->arguments && *command->arguments ? " " : "",
                command->arguments ? command->arguments : "", where(command), command->summary ? command->summary : "");
}

/* ---- As a manual page ---------------------------------------------------------------------------------------------- */

/* Text for roff, in lines of at most so many columns: what roff would take as its own is escaped, `code` becomes bold. */
static void man_words(const char *text, size_t columns, FILE *out)
{
    size_t column = 0;
    bool bold = false, begin = true;

    for (; *text; text++, column++) {
        if (*text == ' ' && column + 1 + strcspn(text + 1, " ") > columns) {
            putc('\n', out);
            column = (size_t)-1; /* 0 with the next byte */
            begin = true;
            continue;
        }
        if (!column && (*text == '.' || *text == ' '))
            fputs("\\&", out);
        if (begin && strcspn(text, " ") > WORD_MAX)
            fputs("\\%", out);
        begin = *text == ' ';
        switch (*text) {
        case '\\': fputs("\\e", out); break;
        case '-': fputs("\\-", out); break;
        case '\'': fputs("\\(aq", out); break;
        case '^': fputs("\\(ha", out); break;
        case '~': fputs("\\(ti", out); break;
        case '`':
            bold = !bold;
            fputs(bold ? "\\fB" : "\\fR", out);
            break;
        default: putc(*text, out); break;
        }
    }
    if (bold)
        fputs("\\fR", out);
}

static void man_text(const char *text, FILE *out)
{
    man_words(text, MAN_COLUMNS, out);
    putc('\n', out);
}

static void man_options(const struct weir_option *options, FILE *out)
{
    for (; options && options->name; options++) {
        struct strbuf prose = {.ceiling = TEXT_BYTES_MAX};

        if (options->flags & WEIR_TITLE)
            continue;
        strbuf_printf(&prose, "%s (", options->help ? options->help : "");
        facts_add(&prose, options);
        strbuf_printf(&prose, ")");
        fprintf(out, ".TP\n\\fB%s\\fR%s\n", options->name, braces(options));
        man_text(prose.text ? prose.text : "", out);
        if (options->type == WEIR_SECRET)
            fprintf(out, ".TP\n\\fB%s_file\\fR\nThe same from a file that only its owner can read.\n", options->name);
        if (options->type == WEIR_SECTION) {
            fputs(".RS\n", out);
            man_options(options->rows, out);
            fputs(".RE\n", out);
        }
        strbuf_free(&prose);
    }
}

static void man_head(const char *title, unsigned section, const char *source, const char *version, FILE *out)
{
    fputs(".TH ", out);
    for (; *title; title++)
        putc(toupper((unsigned char)*title), out);
    fprintf(out, " %u " WEIR_DATE " \"%s %s\" weir\n.SH NAME\n", section, source, version);
}

static void man_plugin(const struct weir_plugin *plugin, FILE *out)
{
    const char *title = plugin->flags & WEIR_SINGLE ? "" : " \\fR\"\\fItitle\\fR\"";
    struct strbuf line = {.ceiling = TEXT_BYTES_MAX};
    char name[128];

    snprintf(name, sizeof(name), "weir-%s", plugin->name);
    man_head(name, 7, plugin->name, plugin->version, out);
    strbuf_printf(&line, "%s - %s", name, plugin->summary);
    man_text(line.text ? line.text : name, out);
    strbuf_free(&line);
    fprintf(out, ".SH SYNOPSIS\n.B %s%s { … }\n", plugin->name, title);
    if (plugin->commands && plugin->commands->name)
        fprintf(out, ".PP\n.B weir %s%s \\fIcommand\\fR …\n", plugin->name,
                plugin->flags & WEIR_SINGLE ? "" : "\\fR[\\fB/\\fItitle\\fR]");
    fputs(".SH OPTIONS\nThose that every section takes are in\n.BR weir.conf (5).\n", out);
    man_options(plugin->options, out);
    if (plugin->commands && plugin->commands->name) {
        fputs(".SH COMMANDS\nLive commands work in the running collector, offline ones beside it.\n", out);
        for (const struct weir_command *command = plugin->commands; command->name; command++) {
            fprintf(out, ".TP\n\\fB%s\\fR ", command->name);
            man_words(command->arguments ? command->arguments : "", TEXT_BYTES_MAX, out);
            fprintf(out, "%s(%s)\n", command->arguments && *command->arguments ? " " : "", where(command));
            man_text(command->summary ? command->summary : "", out);
        }
    }
    fputs(".SH SEE ALSO\n.BR weir (1),\n.BR weir.conf (5)\n", out);
}

static void man_file(FILE *out)
{
    man_head("weir.conf", 5, "weir", WEIR_VERSION, out);
    fputs("weir.conf \\- configuration of weir\n.SH OPTIONS\n.SS Outside of sections\n", out);
    man_options(config_options, out);
    fputs(".SS In every section\n", out);
    man_options(schema_common_options, out);
    fputs(".SH SEE ALSO\n.BR weir (1)\n", out);
}

/* ---- As a part of a sample file ------------------------------------------------------------------------------------ */

/* Prose in lines that each begin with PREFIX. */
static void sample_prose(const char *prefix, const char *text, FILE *out)
{
    size_t column = 0;

    while (*text) {
        size_t length = strcspn(text, " ");

        if (column && column + 1 + length > SAMPLE_COLUMNS) {
            putc('\n', out);
            column = 0;
        }
        column += (size_t)fprintf(out, "%s%.*s", column ? " " : prefix, (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    putc('\n', out);
}

/* PREFIX is what the lines of the section begin with.  Keys that need not be there stand behind a #. */
static void sample_options(const struct weir_option *options, const char *prefix, FILE *out)
{
    size_t bare = strlen(prefix); /* without blanks at its end */
    bool first = true;

    while (bare && prefix[bare - 1] == ' ')
        bare--;
    for (; options && options->name; options++) {
        struct strbuf prose = {.ceiling = TEXT_BYTES_MAX}, value = {.ceiling = TEXT_BYTES_MAX};
        const char *off = options->flags & WEIR_REQUIRED ? "" : "#";
        char before[64];

        if (options->flags & WEIR_TITLE)
            continue;
        if (!first)
            fprintf(out, "%.*s\n", (int)bare, prefix);
        first = false;
        snprintf(before, sizeof(before), "%s# ", prefix);
        strbuf_printf(&prose, "%s (", options->help ? options->help : "");
        facts_add(&prose, options);
        strbuf_printf(&prose, ")");
        sample_prose(before, prose.text ? prose.text : "", out);
        if (options->type == WEIR_SECTION) {
            const struct weir_option *title = options->rows;

            while (title->name && !(title->flags & WEIR_TITLE))
                title++;
            fprintf(out, "%s%s%s%s {\n", prefix, off, options->name, title->name ? " \"title\"" : "");
            snprintf(before, sizeof(before), "%s%s    ", prefix, off);
            sample_options(options->rows, before, out);
            fprintf(out, "%s%s}\n", prefix, off);
        } else {
            example_add(&value, options);
            if (options->type == WEIR_SECRET) {
                fprintf(out, "%s%s%s_file = \"\"\n", prefix, off, options->name);
                off = "#"; /* one of both is enough */
            }
            fprintf(out, "%s%s%s = %s\n", prefix, off, options->name, value.text ? value.text : "\"\"");
        }
        strbuf_free(&prose);
        strbuf_free(&value);
    }
}

static void sample_plugin(const struct weir_plugin *plugin, FILE *out)
{
    fprintf(out, "# %s: %s\n%s%s {\n", plugin->name, plugin->summary, plugin->name,
            plugin->flags & WEIR_SINGLE ? "" : " \"main\"");
    sample_options(plugin->options, "    ", out);
    fputs("}\n", out);
}

static void sample_file(FILE *out)
{
    sample_options(config_options, "", out);
    fputs("\n# Every section also takes:\n", out);
    sample_options(schema_common_options, "#    ", out);
}

/* -------------------------------------------------------------------------------------------------------------------- */

void describe_plugin(const struct weir_plugin *plugin, enum describe_form form, FILE *out)
{
    switch (form) {
    case DESCRIBE_MAN: man_plugin(plugin, out); break;
    case DESCRIBE_SAMPLE: sample_plugin(plugin, out); break;
    default: text_plugin(plugin, out); break;
    }
}

void describe_file(enum describe_form form, FILE *out)
{
    switch (form) {
    case DESCRIBE_MAN: man_file(out); break;
    case DESCRIBE_SAMPLE: sample_file(out); break;
    default:
        fputs("Outside of sections:\n", out);
        text_options(config_options, 4, out);
        fputs("\nEvery section also takes:\n", out);
        text_options(schema_common_options, 4, out);
        break;
    }
}
