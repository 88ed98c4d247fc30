/* obfuscate.c - a lexer of PostgreSQL's SQL that writes down everything but values; obfuscate.h says what becomes of what. */
#include "obfuscate.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

/* How far a statement is one that sets a parameter: SET, or ALTER or CREATE … SET, and then TO or `=`. */
enum setting { SETTING_BEGIN, SETTING_NO, SETTING_MAYBE, SETTING_NAME };

struct lexer {
    const char *begin, *at, *end;
    char *to;
    size_t used, room; /* room without the NUL */
    bool space;        /* white space came since the last byte written */
    bool full;         /* the text is to be cut here */
    bool hidden;       /* the value of a parameter, until the statement ends */
    enum setting setting;
};

static bool is_digit(char c) { return c >= '0' && c <= '9'; }
static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
static bool is_name_start(char c) { return is_letter(c) || c == '_' || (unsigned char)c >= 0x80; }
static bool is_name(char c) { return is_name_start(c) || is_digit(c) || c == '$'; }
static bool is_space(char c) { return (unsigned char)c <= ' ' || c == 0x7f; }

static char peek(const struct lexer *lexer, size_t ahead)
{
    return (size_t)(lexer->end - lexer->at) > ahead ? lexer->at[ahead] : '\0';
}

/* ---- What is written ----------------------------------------------------------------------------------------------------- */

static void put(struct lexer *lexer, const char *text, size_t length)
{
    if (lexer->hidden)
        return;
    if (lexer->space && lexer->used && !memchr("([", lexer->to[lexer->used - 1], 2) && !memchr(",)];", text[0], 4) &&
        lexer->used < lexer->room)
        lexer->to[lexer->used++] = ' ';
    lexer->space = false;
    if (length > lexer->room - lexer->used) {
        length = lexer->room - lexer->used;
        lexer->full = true;
    }
    memcpy(lexer->to + lexer->used, text, length);
    lexer->used += length;
}

static void put_value(struct lexer *lexer)
{
    put(lexer, "?", 1);
}

/* Where the value that ends at `end` begins: `?` or `$1`; SIZE_MAX: there is none. */
static size_t value_before(const struct lexer *lexer, size_t end)
{
    size_t at = end;

    if (at && lexer->to[at - 1] == '?')
        return at - 1;
    while (at && is_digit(lexer->to[at - 1]))
        at--;
    return at && at < end && lexer->to[at - 1] == '$' ? at - 1 : SIZE_MAX;
}

/* Where what stands before a comma ends, with `at` behind the comma; SIZE_MAX: there is no comma. */
static size_t before_comma(const struct lexer *lexer, size_t at)
{
    at -= at && lexer->to[at - 1] == ' ';
    return at && lexer->to[at - 1] == ',' ? at - 1 : SIZE_MAX;
}

/* Another value of a list that has a value only goes. */
static void list_shorten(struct lexer *lexer)
{
    size_t second = value_before(lexer, lexer->used), end, first;

    if (second == SIZE_MAX || (end = before_comma(lexer, second)) == SIZE_MAX || (first = value_before(lexer, end)) == SIZE_MAX)
        return;
    if (first && (lexer->to[first - 1] == '(' || lexer->to[first - 1] == '['))
        lexer->used = end;
}

/* Where "(value)" that ends at `end` begins, or SIZE_MAX. */
static size_t row_before(const struct lexer *lexer, size_t end)
{
    size_t value = end && lexer->to[end - 1] == ')' ? value_before(lexer, end - 1) : SIZE_MAX;

    return value != SIZE_MAX && value && lexer->to[value - 1] == '(' ? value - 1 : SIZE_MAX;
}

/* Another row behind VALUES goes. */
static void rows_shorten(struct lexer *lexer)
{
    static const char values[] = "values";
    size_t length = sizeof(values) - 1, second = row_before(lexer, lexer->used), end, first;

    if (second == SIZE_MAX || (end = before_comma(lexer, second)) == SIZE_MAX || (first = row_before(lexer, end)) == SIZE_MAX)
        return;
    first -= first && lexer->to[first - 1] == ' ';
    if (first >= length && strncasecmp(lexer->to + first - length, values, length) == 0)
        lexer->used = end;
}

/* A sign belongs to the number when nothing stands before it that it could be applied to. */
static void sign_drop(struct lexer *lexer)
{
    size_t sign = lexer->used, before;

    if (lexer->space || lexer->hidden || !sign || (lexer->to[sign - 1] != '-' && lexer->to[sign - 1] != '+'))
        return;
    before = --sign;
    before -= before && lexer->to[before - 1] == ' ';
    if (before && memchr("(,[=<>", lexer->to[before - 1], 6))
        lexer->used = sign;
}

/* ---- What is read -------------------------------------------------------------------------------------------------------- */

static void skip_line(struct lexer *lexer)
{
    while (lexer->at < lexer->end && *lexer->at != '\n' && *lexer->at != '\r')
        lexer->at++;
}

static void skip_comment(struct lexer *lexer)
{
    size_t depth = 1;

    for (lexer->at += 2; lexer->at < lexer->end && depth;) {
        if (*lexer->at == '/' && peek(lexer, 1) == '*') {
            depth++;
            lexer->at += 2;
        } else if (*lexer->at == '*' && peek(lexer, 1) == '/') {
            depth--;
            lexer->at += 2;
        } else {
            lexer->at++;
        }
    }
}

/* A string, of which the quote is next.  In a plain one a backslash before a quote leaves open where it ends. */
static void skip_string(struct lexer *lexer, bool escapes)
{
    for (lexer->at++; lexer->at < lexer->end; lexer->at++) {
        if (*lexer->at == '\\') {
            if (!escapes && peek(lexer, 1) == '\'') {
                lexer->at = lexer->end;
                return;
            }
            lexer->at += lexer->end - lexer->at > 1;
        } else if (*lexer->at == '\'') {
            if (peek(lexer, 1) != '\'') {
                lexer->at++;
                return;
            }
            lexer->at++;
        }
    }
}

/* What a parameter is set to. */
static void setting_hide(struct lexer *lexer)
{
    lexer->space = true;
    put_value(lexer);
    lexer->hidden = true;
}

/* A name or a keyword. */
static void read_name(struct lexer *lexer)
{
    const char *begin = lexer->at;
    size_t length;

    while (lexer->at < lexer->end && is_name(*lexer->at))
        lexer->at++;
    length = (size_t)(lexer->at - begin);
    put(lexer, begin, length);
    if (lexer->setting == SETTING_NAME && length == 2 && strncasecmp(begin, "to", 2) == 0) {
        setting_hide(lexer);
    } else if (length == 3 && strncasecmp(begin, "set", 3) == 0 && lexer->setting != SETTING_NO) {
        lexer->setting = SETTING_NAME;
    } else if (lexer->setting == SETTING_BEGIN) {
        bool may = (length == 5 && strncasecmp(begin, "alter", 5) == 0) || (length == 6 && strncasecmp(begin, "create", 6) == 0);

        lexer->setting = may ? SETTING_MAYBE : SETTING_NO;
    }
}

/* A quoted identifier, with what stands before its quote. */
static void read_quoted(struct lexer *lexer, size_t prefix)
{
    const char *begin = lexer->at, *end = begin + prefix + 1;

    while ((end = memchr(end, '"', (size_t)(lexer->end - end))) && lexer->end - end > 1 && end[1] == '"')
        end += 2;
    if (!end) {
        lexer->at = lexer->end;
        put_value(lexer);
        return;
    }
    lexer->at = end + 1;
    put(lexer, begin, (size_t)(lexer->at - begin));
}

static void skip_number(struct lexer *lexer)
{
    while (lexer->at < lexer->end) {
        char c = *lexer->at;

        if ((c == 'e' || c == 'E') && (peek(lexer, 1) == '+' || peek(lexer, 1) == '-') && is_digit(peek(lexer, 2)))
            lexer->at += 2;
        else if (!is_digit(c) && !is_name_start(c) && (c != '.' || peek(lexer, 1) == '.'))
            return;
        lexer->at++;
    }
}

/* $1, a dollar-quoted string, or a dollar that is neither. */
static void read_dollar(struct lexer *lexer)
{
    const char *begin = lexer->at, *tag = begin + 1;
    size_t length;

    if (is_digit(peek(lexer, 1))) {
        for (lexer->at++; is_digit(peek(lexer, 0));)
            lexer->at++;
        put(lexer, begin, (size_t)(lexer->at - begin));
        return;
    }
    if (tag < lexer->end && is_name_start(*tag))
        while (tag < lexer->end && is_name(*tag) && *tag != '$')
            tag++;
    if (tag == lexer->end || *tag != '$') {
        lexer->at = tag;
        put(lexer, begin, (size_t)(tag - begin));
        return;
    }
    length = (size_t)(++tag - begin);
    tag = memmem(tag, (size_t)(lexer->end - tag), begin, length);
    lexer->at = tag ? tag + length : lexer->end;
    put_value(lexer);
}

static void read_other(struct lexer *lexer)
{
    char c = *lexer->at++;

    if (c == ';') {
        lexer->hidden = false;
        lexer->setting = SETTING_BEGIN;
    } else if (c == ',' || c == ')' || c == ']') {
        list_shorten(lexer);
    }
    put(lexer, &c, 1);
    if (c == ')') {
        rows_shorten(lexer);
    } else if (c == '=' && lexer->setting == SETTING_NAME) {
        setting_hide(lexer);
    }
}

/* The next token. */
static void read_token(struct lexer *lexer)
{
    char c = *lexer->at, next = peek(lexer, 1), third = peek(lexer, 2);
    bool unicode = (c == 'u' || c == 'U') && next == '&';

    if (is_space(c)) {
        lexer->space = true;
        lexer->at++;
    } else if (c == '-' && next == '-') {
        lexer->space = true;
        skip_line(lexer);
    } else if (c == '/' && next == '*') {
        lexer->space = true;
        skip_comment(lexer);
    } else if (c == '\'' || (next == '\'' && memchr("eEbBxXnN", c, 8)) || (unicode && third == '\'')) {
        lexer->at += c == '\'' ? 0 : unicode ? 2 : 1;
        skip_string(lexer, c == 'e' || c == 'E');
        put_value(lexer);
    } else if (unicode && third == '"') {
        read_quoted(lexer, 2);
    } else if (c == '"') {
        read_quoted(lexer, 0);
    } else if (is_digit(c) || (c == '.' && is_digit(next) && (lexer->at == lexer->begin || lexer->at[-1] != '.'))) {
        skip_number(lexer);
        sign_drop(lexer);
        put_value(lexer);
    } else if (c == '$') {
        read_dollar(lexer);
    } else if (is_name_start(c)) {
        read_name(lexer);
    } else {
        read_other(lexer);
    }
}

/* The length of a text that ends in the middle of a UTF-8 character, without it. */
static size_t cut(const char *text, size_t length)
{
    size_t lead = length;

    while (lead && length - lead < 4 && ((unsigned char)text[lead - 1] & 0xc0) == 0x80)
        lead--;
    if (lead && (unsigned char)text[lead - 1] >= 0xc0) {
        unsigned char first = (unsigned char)text[--lead];
        size_t whole = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;

        return length - lead < whole ? lead : length;
    }
    return length;
}

size_t obfuscate(const char *sql, size_t length, char *to, size_t room)
{
    struct lexer lexer = {.begin = sql, .at = sql, .end = sql + strnlen(sql, length), .to = to, .room = room - 1};

    while (lexer.at < lexer.end && !lexer.full)
        read_token(&lexer);
    if (lexer.full)
        lexer.used = cut(to, lexer.used);
    list_shorten(&lexer);
    to[lexer.used] = '\0';
    return lexer.used;
}
