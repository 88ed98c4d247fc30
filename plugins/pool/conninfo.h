/* conninfo.h - where the server is and how to log in, from the options to libpq's keywords and values.
 *
 * The options give a connection string (primary, without a password; or dsn, which is a secret) and rows that win over it.  All is
 * put together for each connection and wiped behind it, for dsn is read afresh, so that one in a file may be rotated.
 * Threads: none of its own; any.
 */
#ifndef POOL_CONNINFO_H
#define POOL_CONNINFO_H

#include <weir_plugin.h>

#include <libpq-fe.h>
#include <stdbool.h>

#define CONNINFO_KEYWORDS_MAX 50
#define CONNINFO_PLACE_MAX 1024u

struct conninfo_options { /* of the section */
    const char *primary, *host, *dbname, *user, *sslmode, *sslrootcert, *sslcert, *sslkey, *application_name;
    const struct weir_secret *dsn, *password;
    bool ssl;
    int64_t port;
};

struct conninfo {
    const char *keywords[CONNINFO_KEYWORDS_MAX + 1], *values[CONNINFO_KEYWORDS_MAX + 1]; /* NULL-terminated; without `password` */
    const char *host, *port, *hostaddr; /* among them, or NULL */
    bool lookup;                        /* host is a name to be looked up */
    char place[CONNINFO_PLACE_MAX];     /* server and database, to be compared */
    PQconninfoOption *parsed;
    char port_text[8];
};

/* What can be wrong without a server.  WEIR_ECONFIG with the reason recorded. */
int conninfo_check(const struct weir_host *host, struct weir_self *self, const struct conninfo_options *options);
/* WEIR_OK, and to be freed; or a status, with the reason recorded for `user`, in which nothing of a secret is. */
int conninfo_read(const struct weir_host *host, struct weir_self *user, const struct conninfo_options *options,
                  struct conninfo *conninfo);
/* Wipes it; what was never read may be zeroed memory. */
void conninfo_free(struct conninfo *conninfo);

#endif
