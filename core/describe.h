/* describe.h - what there is to configure, from the tables of options: as text, as a manual page, as a part of a sample file.
 *
 * The tables are the only source; etc/weir.conf and the manual pages are made from what is printed here.
 * Threads: the main thread's.
 */
#ifndef WEIR_DESCRIBE_H
#define WEIR_DESCRIBE_H

#include "weir_plugin.h"

#include <stdio.h>

enum describe_form {
    DESCRIBE_TEXT,
    DESCRIBE_MAN,   /* a whole page in roff, man(7) */
    DESCRIBE_SAMPLE /* what has a default or may be left out stands behind a #, prose behind # and a blank */
};

/* A plugin: its options and its commands; a sample has its section. */
void describe_plugin(const struct weir_plugin *plugin, enum describe_form form, FILE *out);
/* The keys outside of sections, and those that every section takes. */
void describe_file(enum describe_form form, FILE *out);

#endif
