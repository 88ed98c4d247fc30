/* conninfo.c - where the server is and how to log in; conninfo.h says from what.
 *
 * libpq, chapter "Connection Strings".  libpq's own words about a string that it cannot read repeat pieces of it: they are never
 * shown.  A URI whose password has special characters that are not percent-encoded is often read all the same, with pieces of the
 * password as host, port or database: such a one is refused, for these are shown.
 */
#include "conninfo.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define SECRET_BYTES 4096u

static const char *const sslmode_choices[] = {"disable", "allow", "prefer", "require", "verify-ca", "verify-full", NULL};

static const char *parsed_get(const PQconninfoOption *parsed, const char *keyword)
{
    while (parsed->keyword && strcmp(parsed->keyword, keyword) != 0)
        parsed++;
    return parsed->val;
}

static void parsed_free(PQconninfoOption *parsed)
{
    for (PQconninfoOption *option = parsed; option && option->keyword; option++)
        if (option->val)
            explicit_bzero(option->val, strlen(option->val));
    if (parsed)
        PQconninfoFree(parsed);
}

static PQconninfoOption *parse(const char *text)
{
    char *error = NULL;
    PQconninfoOption *parsed = PQconninfoParse(text, &error);

    if (error) {
        explicit_bzero(error, strlen(error));
        PQfreemem(error);
    }
    return parsed;
}

/* True if what is shown of a URI cannot be a piece of its password. */
static bool uri_is_clear(const PQconninfoOption *parsed)
{
    const char *name = parsed_get(parsed, "host"), *port = parsed_get(parsed, "port"), *database = parsed_get(parsed, "dbname");

    return !(name && *name && strchr(name + 1, '@')) && !(port && port[strspn(port, "0123456789,")]) &&
           !(database && strchr(database, '@'));
}

/* The connection string; *from: its option. */
static int parse_string(const struct weir_host *host, struct weir_self *user, const struct conninfo_options *options,
                        PQconninfoOption **parsed, const char **from)
{
    char text[SECRET_BYTES];
    int status;

    *from = options->dsn ? "dsn" : "primary";
    if (!options->dsn) {
        *parsed = parse(options->primary ? options->primary : "");
        return *parsed ? WEIR_OK
                       : host->fail(user, WEIR_ECONFIG,
                                    "primary: is not a connection string of libpq, such as \"host=db1 user=weir\"");
    }
    *parsed = NULL;
    status = host->secret(user, options->dsn, text, sizeof(text));
    if (status < 0)
        return status;
    *parsed = parse(text);
    if (*parsed && strncmp(text, "postgres", strlen("postgres")) == 0 && !uri_is_clear(*parsed)) {
        parsed_free(*parsed);
        *parsed = NULL;
    }
    explicit_bzero(text, sizeof(text));
    return *parsed ? WEIR_OK
                   : host->fail(user, WEIR_ECONFIG,
                                "dsn: is not a connection string of libpq, such as \"host=db1 user=weir password=...\" or "
                                "\"postgresql://weir:...@db1:5432/postgres\", in which special characters of a password are "
                                "percent-encoded (%%40 for @, %%2F for /)");
}

int conninfo_check(const struct weir_host *host, struct weir_self *self, const struct conninfo_options *options)
{
    PQconninfoOption *parsed;
    const char *from, *server;
    size_t choice = 0;
    int status;

    if (!options->primary && !options->dsn && !options->host)
        return host->fail(self, WEIR_ECONFIG, "host: is missing; give host, or primary = \"host=… dbname=… user=…\", or dsn");
    if (options->primary && options->dsn)
        return host->fail(self, WEIR_ECONFIG, "dsn: is given beside primary; give one of them");
    status = parse_string(host, self, options, &parsed, &from);
    if (status < 0)
        return WEIR_ECONFIG;
    server = options->host ? options->host : parsed_get(parsed, "host");
    if (options->primary && parsed_get(parsed, "password"))
        status = host->fail(self, WEIR_ECONFIG,
                            "primary: has a password in it; give it as password_file, or all of the string as dsn_file or dsn");
    else if (server && strchr(server, ','))
        status = host->fail(self, WEIR_ECONFIG, "%s: names several servers; a pool has one primary", options->host ? "host" : from);
    while (options->sslmode && sslmode_choices[choice] && strcmp(sslmode_choices[choice], options->sslmode) != 0)
        choice++;
    if (options->sslmode && !sslmode_choices[choice])
        status = host->fail(self, WEIR_ECONFIG,
                            "sslmode: \"%s\" is not known, allowed are: disable, allow, prefer, require, verify-ca, verify-full",
                            options->sslmode);
    parsed_free(parsed);
    return status;
}

static void add(struct conninfo *conninfo, const char *keyword, const char *value)
{
    size_t n = 0;

    if (!value || !*value)
        return;
    while (conninfo->keywords[n] && strcmp(conninfo->keywords[n], keyword) != 0)
        n++;
    if (n == CONNINFO_KEYWORDS_MAX)
        return;
    conninfo->keywords[n] = keyword;
    conninfo->values[n] = value;
}

static const char *get(const struct conninfo *conninfo, const char *keyword)
{
    size_t n = 0;

    while (conninfo->keywords[n] && strcmp(conninfo->keywords[n], keyword) != 0)
        n++;
    return conninfo->values[n];
}

/* Neither an address nor the folder of a socket, nor one without a file. */
static bool is_name(const char *server)
{
    struct in6_addr numeric;

    return server && *server != '/' && *server != '@' && inet_pton(AF_INET, server, &numeric) != 1 &&
           inet_pton(AF_INET6, server, &numeric) != 1;
}

int conninfo_read(const struct weir_host *host, struct weir_self *user, const struct conninfo_options *options,
                  struct conninfo *conninfo)
{
    const char *from, *database;
    int status, length;

    *conninfo = (struct conninfo){0};
    status = parse_string(host, user, options, &conninfo->parsed, &from);
    if (status < 0)
        return status;
    add(conninfo, "application_name", options->application_name);
    add(conninfo, "gssencmode", "disable"); /* its negotiation blocks */
    for (const PQconninfoOption *option = conninfo->parsed; option->keyword; option++)
        add(conninfo, option->keyword, option->val);
    if (options->port) {
        snprintf(conninfo->port_text, sizeof(conninfo->port_text), "%d", (int)options->port);
        add(conninfo, "port", conninfo->port_text);
    }
    add(conninfo, "host", options->host);
    add(conninfo, "dbname", options->dbname);
    add(conninfo, "user", options->user);
    add(conninfo, "sslmode", options->sslmode ? options->sslmode : options->ssl ? "require" : NULL);
    add(conninfo, "sslrootcert", options->sslrootcert);
    add(conninfo, "sslcert", options->sslcert);
    add(conninfo, "sslkey", options->sslkey);
    conninfo->host = get(conninfo, "host");
    conninfo->port = get(conninfo, "port");
    conninfo->hostaddr = get(conninfo, "hostaddr");
    conninfo->lookup = is_name(conninfo->host) && !conninfo->hostaddr;
    database = get(conninfo, "dbname");
    length = snprintf(conninfo->place, sizeof(conninfo->place), "%s\n%s\n%s\n%s", conninfo->host ? conninfo->host : "",
                      conninfo->hostaddr ? conninfo->hostaddr : "", conninfo->port ? conninfo->port : "", database ? database : "");
    if (length < (int)sizeof(conninfo->place))
        return WEIR_OK;
    conninfo_free(conninfo);
    return host->fail(user, WEIR_ECONFIG, "%s: host, hostaddr, port and dbname have more than %zu bytes", from,
                      sizeof(conninfo->place));
}

void conninfo_free(struct conninfo *conninfo)
{
    parsed_free(conninfo->parsed);
    *conninfo = (struct conninfo){0};
}
