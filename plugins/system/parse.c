/* parse.c - what the lines of the kernel's files say; parse.h says how. */
#include "parse.h"

#include <string.h>

/* ---- Words and numbers --------------------------------------------------------------------------------------------------- */

bool text_line(struct text *rest, struct text *line)
{
    while (rest->at < rest->end && *rest->at == '\n')
        rest->at++;
    if (rest->at == rest->end)
        return false;
    line->at = rest->at;
    line->end = memchr(rest->at, '\n', text_length(*rest));
    if (!line->end)
        line->end = rest->end;
    rest->at = line->end;
    return true;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

bool text_word(struct text *line, struct text *word)
{
    const char *at = line->at, *end = line->end;

    while (at < end && blank(*at))
        at++;
    word->at = at;
    while (at < end && !blank(*at))
        at++;
    word->end = line->at = at;
    return word->at < word->end;
}

bool text_is(struct text text, const char *word)
{
    size_t length = strlen(word);

    return text_length(text) == length && memcmp(text.at, word, length) == 0;
}

bool text_begins(struct text text, const char *word)
{
    size_t length = strlen(word);

    return text_length(text) >= length && memcmp(text.at, word, length) == 0;
}

bool text_u64(struct text text, uint64_t *value)
{
    uint64_t sum = 0;

    if (text.at == text.end)
        return false;
    for (const char *at = text.at; at < text.end; at++) {
        unsigned digit = (unsigned)(unsigned char)*at - '0';

        if (digit > 9 || sum > UINT64_MAX / 10 || (sum == UINT64_MAX / 10 && digit > UINT64_MAX % 10))
            return false;
        sum = sum * 10 + digit;
    }
    *value = sum;
    return true;
}

bool text_decimal(struct text text, double *value)
{
    const char *point = memchr(text.at, '.', text_length(text));
    struct text whole = {text.at, point ? point : text.end}, part = {point ? point + 1 : text.end, text.end};
    uint64_t integer, fraction = 0;
    double scale = 1;

    if (!text_u64(whole, &integer) || (point && !text_u64(part, &fraction)))
        return false;
    for (const char *at = part.at; at < part.end; at++)
        scale *= 10;
    *value = (double)integer + (double)fraction / scale;
    return true;
}

void text_copy(struct text text, char *to, size_t size)
{
    size_t length = text_length(text) < size ? text_length(text) : size - 1;

    memcpy(to, text.at, length);
    to[length] = '\0';
}

static bool word_u64(struct text *line, uint64_t *value)
{
    struct text word;

    return text_word(line, &word) && text_u64(word, value);
}

/* As many numbers as the line has, up to `max`; false if a word is no number.  Words beyond are of a later kernel. */
static bool numbers(struct text *line, uint64_t *values, unsigned max, unsigned *count)
{
    struct text word;

    for (*count = 0; *count < max && text_word(line, &word); ++*count)
        if (!text_u64(word, &values[*count]))
            return false;
    return true;
}

/* ---- /proc/stat ---------------------------------------------------------------------------------------------------------- */

enum line parse_cpu(struct text line, struct cpu_line *cpu)
{
    struct text word;
    uint64_t number;
    unsigned count;

    if (!text_begins(line, "cpu"))
        return LINE_OTHER;
    text_word(&line, &word);
    cpu->number = (struct text){word.at + 3, word.end};
    if (cpu->number.at == cpu->number.end)
        return LINE_OTHER; /* the sum of all */
    memset(cpu->ticks, 0, sizeof(cpu->ticks));
    if (!text_u64(cpu->number, &number) || !numbers(&line, cpu->ticks, CPU_MODES, &count))
        return LINE_BAD;
    return count > CPU_IDLE ? LINE_GOOD : LINE_BAD;
}

enum line parse_stat(struct text line, enum stat_figure *figure, uint64_t *value)
{
    static const char *const names[STAT_FIGURES] = {
        [STAT_BOOT_TIME] = "btime",  [STAT_CONTEXT_SWITCHES] = "ctxt",  [STAT_INTERRUPTS] = "intr",
        [STAT_FORKS] = "processes", [STAT_RUNNING] = "procs_running", [STAT_BLOCKED] = "procs_blocked"};
    struct text word;

    if (!text_word(&line, &word))
        return LINE_OTHER;
    for (unsigned i = 0; i < STAT_FIGURES; i++) {
        if (!text_is(word, names[i]))
            continue;
        *figure = (enum stat_figure)i;
        return word_u64(&line, value) ? LINE_GOOD : LINE_BAD; /* the first number of "intr" is the sum */
    }
    return LINE_OTHER;
}

/* ---- /proc/meminfo, /proc/vmstat ------------------------------------------------------------------------------------------ */

enum line parse_memory(struct text line, struct memory_line *memory)
{
    const char *colon = memchr(line.at, ':', text_length(line));
    struct text unit, more;

    if (!colon || colon == line.at)
        return LINE_BAD;
    memory->name = (struct text){line.at, colon};
    line.at = colon + 1;
    if (!word_u64(&line, &memory->value))
        return LINE_BAD;
    memory->bytes = text_word(&line, &unit);
    if (!memory->bytes)
        return LINE_GOOD;
    if (!text_is(unit, "kB") || text_word(&line, &more) || memory->value > UINT64_MAX / 1024)
        return LINE_BAD;
    memory->value *= 1024;
    return LINE_GOOD;
}

enum line parse_vmstat(struct text line, struct text *name, uint64_t *value)
{
    return text_word(&line, name) && word_u64(&line, value) ? LINE_GOOD : LINE_BAD;
}

/* ---- Disks ---------------------------------------------------------------------------------------------------------------- */

enum line parse_disk(struct text line, struct disk_line *disk)
{
    uint64_t number;

    if (!text_word(&line, &disk->major) || !text_word(&line, &disk->minor) || !text_word(&line, &disk->name) ||
        !text_u64(disk->major, &number) || !text_u64(disk->minor, &number) ||
        !numbers(&line, disk->figures, DISK_FIGURES, &disk->count))
        return LINE_BAD;
    disk->key = (struct text){disk->major.at, disk->name.end};
    if (disk->count == 4)
        return LINE_OTHER; /* a partition before Linux 2.6.25 */
    return disk->count >= 11 ? LINE_GOOD : LINE_BAD;
}

enum line parse_udev(struct text line, struct text *name, struct text *value)
{
    const char *equals = memchr(line.at, '=', text_length(line));

    if (!text_begins(line, "E:"))
        return LINE_OTHER;
    if (!equals)
        return LINE_BAD;
    *name = (struct text){line.at + 2, equals};
    *value = (struct text){equals + 1, line.end};
    return LINE_GOOD;
}

/* ---- Interfaces ----------------------------------------------------------------------------------------------------------- */

enum line parse_netdev(struct text line, struct netdev_line *netdev)
{
    const char *colon = memrchr(line.at, ':', text_length(line)); /* the last: an alias has one in its name */
    struct text rest, more;
    unsigned count;

    if (!colon)
        return memchr(line.at, '|', text_length(line)) ? LINE_OTHER : LINE_BAD; /* the head has bars */
    rest = (struct text){colon + 1, line.end};
    line.end = colon;
    if (!text_word(&line, &netdev->name) || text_word(&line, &more))
        return LINE_BAD;
    return numbers(&rest, netdev->figures, NETDEV_COLUMNS, &count) && count == NETDEV_COLUMNS ? LINE_GOOD : LINE_BAD;
}

/* ---- Mounts --------------------------------------------------------------------------------------------------------------- */

enum line parse_mount(struct text line, struct mount_line *mount)
{
    struct text options, option;

    if (!text_word(&line, &mount->device) || !text_word(&line, &mount->point) || !text_word(&line, &mount->type) ||
        !text_word(&line, &options))
        return LINE_BAD;
    mount->key = (struct text){mount->device.at, mount->type.end};
    mount->readonly = false;
    while (options.at < options.end) {
        const char *comma = memchr(options.at, ',', text_length(options));

        option = (struct text){options.at, comma ? comma : options.end};
        mount->readonly |= text_is(option, "ro");
        options.at = comma ? comma + 1 : options.end;
    }
    return LINE_GOOD;
}

static bool octal(char c)
{
    return c >= '0' && c <= '7';
}

void parse_unescape(struct text name, char *to)
{
    for (const char *at = name.at; at < name.end;) {
        if (name.end - at >= 4 && at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && octal(at[2]) && octal(at[3])) {
            *to++ = (char)((at[1] - '0') << 6 | (at[2] - '0') << 3 | (at[3] - '0'));
            at += 4;
        } else {
            *to++ = *at++;
        }
    }
    *to = '\0';
}

/* ---- Load and pressure ---------------------------------------------------------------------------------------------------- */

bool parse_load(struct text text, double load[3])
{
    struct text line, word;

    if (!text_line(&text, &line))
        return false;
    for (unsigned i = 0; i < 3; i++)
        if (!text_word(&line, &word) || !text_decimal(word, &load[i]))
            return false;
    return true;
}

enum line parse_pressure(struct text line, bool *full, uint64_t *total_us)
{
    struct text word;

    if (!text_word(&line, &word))
        return LINE_BAD;
    *full = text_is(word, "full");
    if (!*full && !text_is(word, "some"))
        return LINE_OTHER;
    while (text_word(&line, &word)) {
        if (!text_begins(word, "total="))
            continue;
        word.at += strlen("total=");
        return text_u64(word, total_us) ? LINE_GOOD : LINE_BAD;
    }
    return LINE_BAD;
}
