/* outline.c - takes a configuration text apart; outline.h says why.
 *
 * A recursive descent over the bytes of one file at a time.  After a mistake it goes on behind the present line, so that one
 * mistake does not hide the next.
 */
#include "outline.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES_MAX (1024u * 1024u)
#define FILES_MAX 1000u
#define INCLUDE_DEPTH_MAX 10u
#define SECTION_DEPTH_MAX 8u

struct outline { /* one reading, of all files */
    struct arena *arena;
    struct mistakes *mistakes;
    struct outline_item **last;
    unsigned files;
    struct file_id {
        dev_t device;
        ino_t inode;
    } seen[FILES_MAX];
    bool no_memory;
};

struct text { /* one file */
    struct outline *outline;
    const char *file, *at, *end;
    int line;
    unsigned depth; /* of includes */
    bool exposed;
};

static int file_read(struct outline *outline, const char *path, unsigned depth, const char *from_file, int from_line);

static void mistake(const struct text *text, int line, const char *what)
{
    mistakes_add(text->outline->mistakes, text->file, line, "%s", what);
}

/* Skips blanks and comments; false at the end of the text. */
static bool skip_blanks(struct text *text)
{
    while (text->at < text->end) {
        size_t left = (size_t)(text->end - text->at);

        if (*text->at == '\n') {
            text->line++;
            text->at++;
        } else if (strchr(" \t\r\f\v", *text->at)) {
            text->at++;
        } else if (*text->at == '#' || (left > 1 && text->at[0] == '/' && text->at[1] == '/')) {
            while (text->at < text->end && *text->at != '\n')
                text->at++;
        } else if (left > 1 && text->at[0] == '/' && text->at[1] == '*') {
            int began = text->line;

            for (text->at += 2; text->end - text->at > 1 && (text->at[0] != '*' || text->at[1] != '/'); text->at++)
                text->line += *text->at == '\n';
            if (text->end - text->at < 2) {
                mistake(text, began, "the comment that begins here with /* has no end; add */");
                text->at = text->end;
                return false;
            }
            text->at += 2;
        } else {
            return true;
        }
    }
    return false;
}

static void skip_line(struct text *text)
{
    while (text->at < text->end && *text->at != '\n')
        text->at++;
}

static bool word_byte(char c)
{
    return c && !strchr(" \t\r\n\f\v{}()=,+\"'#", c);
}

/* One token: quoted, or bare.  NULL if there is none, or it has no end (told). */
static const char *token(struct text *text, size_t *length)
{
    const char *begin;
    int line;

    if (!skip_blanks(text))
        return NULL;
    begin = text->at;
    line = text->line;
    if (*begin == '"' || *begin == '\'') {
        for (text->at++; text->at < text->end && *text->at != *begin; text->at++) {
            if (*text->at == '\\' && text->end - text->at > 1)
                text->at++;
            text->line += *text->at == '\n';
        }
        if (text->at >= text->end) {
            text->at = text->end;
            mistakes_add(text->outline->mistakes, text->file, line,
                           "the string that begins here with %c has no end; add %c", *begin, *begin);
            return NULL;
        }
        text->at++;
    } else {
        while (text->at < text->end && word_byte(*text->at)) {
            /* A bare ${VAR:-default} is one token. */
            if (text->at[0] == '$' && text->end - text->at > 1 && text->at[1] == '{') {
                while (text->at < text->end && *text->at != '}' && *text->at != '\n')
                    text->at++;
                if (text->at < text->end && *text->at == '\n')
                    break;
            }
            if (text->at < text->end)
                text->at++;
        }
    }
    *length = (size_t)(text->at - begin);
    return *length ? begin : NULL;
}

static const char *copy(struct text *text, const char *from, size_t length)
{
    char *to = arena_copy(text->outline->arena, from, length);

    text->outline->no_memory |= !to;
    return to;
}

/* Without its quotes; titles and paths take no escapes or variables. */
static const char *copy_unquoted(struct text *text, const char *from, size_t length)
{
    bool quoted = *from == '"' || *from == '\'';

    return copy(text, from + quoted, length - (quoted ? 2 : 0));
}

static struct outline_item *item_new(struct text *text, const char *name, int line)
{
    struct outline_item *item = arena_alloc(text->outline->arena, sizeof(*item));

    if (!item) {
        text->outline->no_memory = true;
        return NULL;
    }
    item->name = name;
    item->file = text->file;
    item->line = line;
    item->exposed = text->exposed;
    return item;
}

/* After `=`: one token, or a list in braces; NULL after a mistake. */
static const char *value(struct text *text, const char *name)
{
    const char *begin, *one;
    size_t length;
    int line = text->line;

    if (!skip_blanks(text)) {
        mistakes_add(text->outline->mistakes, text->file, line, "%s: a value is missing after =", name);
        return NULL;
    }
    begin = text->at;
    if (*begin != '{') {
        one = token(text, &length);
        if (!one && text->at < text->end) {
            mistakes_add(text->outline->mistakes, text->file, line, "%s: a value is missing after =", name);
            skip_line(text);
        }
        return one ? copy(text, one, length) : NULL;
    }
    line = text->line;
    text->at++;
    for (bool comma = true; skip_blanks(text);) {
        if (*text->at == '}') {
            text->at++;
            return copy(text, begin, (size_t)(text->at - begin));
        }
        if (*text->at == ',' && !comma) {
            text->at++;
            comma = true;
        } else if (!comma) {
            mistakes_add(text->outline->mistakes, text->file, text->line,
                           "%s: a comma or the closing brace of the list is missing", name);
            skip_line(text);
            return NULL;
        } else if (token(text, &length)) {
            comma = false;
        } else {
            if (text->at < text->end)
                mistakes_add(text->outline->mistakes, text->file, text->line, "%s: unexpected \"%c\" in the list", name,
                               *text->at);
            skip_line(text);
            return NULL;
        }
    }
    mistakes_add(text->outline->mistakes, text->file, line, "%s: the list that begins here has no end; add }", name);
    return NULL;
}

/* A folder that is not there has no files; one that cannot be read may have. */
static int glob_error(const char *path, int error)
{
    (void)path;
    return error != ENOENT && error != ENOTDIR;
}

static void include(struct text *text, int line, unsigned section_depth)
{
    const char *pattern = NULL, *slash = strrchr(text->file, '/');
    size_t length;
    glob_t found;
    int status;
    char path[4096];

    if (skip_blanks(text) && *text->at == '(')
        text->at++;
    pattern = token(text, &length);
    if (pattern)
        pattern = copy_unquoted(text, pattern, length);
    if (skip_blanks(text) && *text->at == ')')
        text->at++;
    if (!pattern || !*pattern) {
        mistake(text, line, "include: the name of a file is missing: include(\"conf.d/*.conf\")");
        return;
    }
    if (section_depth) {
        mistake(text, line, "include: not possible inside a section; include whole sections");
        return;
    }
    if (*pattern == '/' || !slash)
        slash = text->file;
    else
        slash++;
    if ((size_t)(slash - text->file) + strlen(pattern) >= sizeof(path)) {
        mistake(text, line, "include: the path is too long");
        return;
    }
    memcpy(path, text->file, (size_t)(slash - text->file));
    memcpy(path + (slash - text->file), pattern, strlen(pattern) + 1);
    status = glob(path, GLOB_NOCHECK, glob_error, &found);
    if (status != 0) {
        mistakes_add(text->outline->mistakes, text->file, line, "include: could not look for \"%s\"", path);
        return;
    }
    for (size_t i = 0; i < found.gl_pathc; i++)
        /* GLOB_NOCHECK gives the pattern back when nothing matches; with wildcards that is no mistake. */
        if (strcmp(found.gl_pathv[i], path) != 0 || !strpbrk(pattern, "*?["))
            (void)file_read(text->outline, found.gl_pathv[i], text->depth + 1, text->file, line);
    globfree(&found);
}

/* Items until the end of the text, or of the section that began at `opened`. */
static void items(struct text *text, struct outline_item ***last, unsigned depth, int opened)
{
    while (skip_blanks(text) && !text->outline->no_memory) {
        struct outline_item *item;
        const char *name, *title = NULL;
        size_t length;
        int line = text->line;

        if (*text->at == '}') {
            text->at++;
            if (depth)
                return;
            mistake(text, line, "a closing brace without an opening one");
            continue;
        }
        if (*text->at == '"' || *text->at == '\'' || !(name = token(text, &length))) {
            if (text->at < text->end)
                mistakes_add(text->outline->mistakes, text->file, line,
                               "unexpected \"%c\", the name of a key or section is wanted", *text->at);
            skip_line(text);
            continue;
        }
        name = copy(text, name, length);
        if (!name)
            return;
        if (strcmp(name, "include") == 0) {
            include(text, line, depth);
            *last = depth ? *last : text->outline->last;
            continue;
        }
        (void)skip_blanks(text);
        if (text->at < text->end && *text->at == '=') {
            const char *is;

            text->at++;
            is = value(text, name);
            if (!is || !(item = item_new(text, name, line)))
                continue;
            item->value = is;
        } else {
            if (text->at < text->end && *text->at != '{' && *text->at != '+' && text->line == line &&
                (title = token(text, &length)) != NULL)
                title = copy_unquoted(text, title, length);
            if (!skip_blanks(text) || *text->at != '{') {
                mistakes_add(text->outline->mistakes, text->file, line, "%s: \"=\" and a value, or \"{\", is wanted",
                               name);
                if (text->line == line)
                    skip_line(text);
                continue;
            }
            text->at++;
            if (!(item = item_new(text, name, line)))
                return;
            item->title = title;
            if (depth == SECTION_DEPTH_MAX) {
                mistake(text, line, "sections are nested too deep");
                text->at = text->end;
                return;
            }
            {
                struct outline_item **inner = &item->items;

                items(text, &inner, depth + 1, line);
            }
        }
        **last = item;
        *last = &item->next;
        if (!depth)
            text->outline->last = *last;
    }
    if (depth && text->at >= text->end)
        mistake(text, opened, "the section that begins here has no end; add }");
}

/* Reads a whole file; a mistake, told at the place that names it, is WEIR_ECONFIG. */
static int file_read(struct outline *outline, const char *path, unsigned depth, const char *from_file, int from_line)
{
    struct text text = {.outline = outline, .line = 1, .depth = depth};
    struct stat info;
    char *bytes;
    size_t length = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0 || fstat(fd, &info) < 0) {
        mistakes_add(outline->mistakes, from_file, from_line, "could not read the configuration \"%s\": %s", path,
                       strerror(errno));
        if (fd >= 0)
            close(fd);
        return WEIR_ECONFIG;
    }
    for (unsigned i = 0; i < outline->files; i++) {
        if (outline->seen[i].device == info.st_dev && outline->seen[i].inode == info.st_ino) {
            mistakes_add(outline->mistakes, from_file, from_line, "\"%s\" is included already", path);
            goto fail;
        }
    }
    if (depth > INCLUDE_DEPTH_MAX || outline->files == FILES_MAX) {
        mistakes_add(outline->mistakes, from_file, from_line, "too many files are included, at \"%s\"", path);
        goto fail;
    }
    if (!S_ISREG(info.st_mode) || info.st_size > (off_t)FILE_BYTES_MAX) {
        mistakes_add(outline->mistakes, from_file, from_line, "\"%s\" is not a file of at most %u bytes", path,
                       FILE_BYTES_MAX);
        goto fail;
    }
    outline->seen[outline->files++] = (struct file_id){.device = info.st_dev, .inode = info.st_ino};
    bytes = arena_alloc(outline->arena, FILE_BYTES_MAX < (size_t)info.st_size ? FILE_BYTES_MAX : (size_t)info.st_size + 1);
    text.file = arena_copy(outline->arena, path, strlen(path));
    if (!bytes || !text.file) {
        outline->no_memory = true;
        goto fail;
    }
    for (ssize_t got; length < (size_t)info.st_size; length += (size_t)got) {
        got = read(fd, bytes + length, (size_t)info.st_size - length);
        if (got <= 0)
            break;
    }
    close(fd);
    text.at = bytes;
    text.end = bytes + length;
    text.exposed = info.st_mode & (S_IROTH | S_IWOTH);
    if (memchr(bytes, '\0', length)) {
        mistake(&text, 1, "has a NUL byte in it: this is no configuration");
        return WEIR_ECONFIG;
    }
    {
        struct outline_item **last = outline->last;

        items(&text, &last, 0, 1);
    }
    return WEIR_OK;
fail:
    close(fd);
    return WEIR_ECONFIG;
}

int outline_read(const char *path, struct arena *arena, struct mistakes *mistakes, struct outline_item **first)
{
    struct outline *outline = calloc(1, sizeof(*outline));
    int status;

    *first = NULL;
    if (!outline)
        return WEIR_ENOMEM;
    outline->arena = arena;
    outline->mistakes = mistakes;
    outline->last = first;
    status = file_read(outline, path, 0, NULL, 0);
    if (outline->no_memory)
        status = WEIR_ENOMEM;
    free(outline);
    return status;
}
