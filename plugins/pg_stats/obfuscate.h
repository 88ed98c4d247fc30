/* obfuscate.h - the text of a statement without anything that its author put in as a value.
 *
 * Literals of every kind (PostgreSQL documentation, "Lexical Structure") become `?`: strings, also escaped, Unicode, dollar-quoted
 * and bit strings, and numbers.  With them go passwords, connection strings and programs of utility statements, which can only be
 * written so.  Comments are left out; what a parameter is SET to becomes `?` too, for it may be written without quotes.  $1 and
 * identifiers stay.  White space is one space; lists of values are shortened, (?, ?, ?) and ($1, $2, $3) to the first, and rows
 * behind VALUES likewise.
 *
 * In doubt nothing is shown.  What is not terminated is hidden to the end of the text.  So is what follows a backslash and a quote
 * in a string without E: where such a string ends depends on standard_conforming_strings of the session that sent it.
 *
 * Any bytes will do; they need be neither UTF-8 nor SQL.  A NUL ends the text.  Takes time in proportion to the text and no memory.
 */
#ifndef PG_STATS_OBFUSCATE_H
#define PG_STATS_OBFUSCATE_H

#include <stddef.h>

/* Writes at most room - 1 bytes and a NUL, and returns their number.  Room is at least 1.  A text that is longer is cut, not within
 * a UTF-8 character. */
size_t obfuscate(const char *sql, size_t length, char *to, size_t room);

#endif
