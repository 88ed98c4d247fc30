/* auth.h - who may ask: users with bcrypt hashes (basic authentication, RFC 7617) and bearer tokens (RFC 6750).
 *
 * A password that was right is remembered by a keyed hash, so that bcrypt is paid once and not with every scrape; a changed
 * hash file changes the key.  Failures are limited per address.  All tables are of fixed size.
 * Threads: any; one lock, not held while bcrypt runs.
 */
#ifndef HTTP_AUTH_H
#define HTTP_AUTH_H

#include <weir_plugin.h>

#include <netinet/in.h>
#include <stdbool.h>

#define AUTH_FAILURES_MAX 10 /* per address and minute */

struct auth_user {
    const char *name;
    const struct weir_secret *password_hash;
};
struct auth_token {
    const char *name;
    const struct weir_secret *secret;
};
struct auth;

enum auth_answer { AUTH_GOOD, AUTH_MISSING, AUTH_WRONG, AUTH_LIMITED };

/* users and tokens are borrowed for as long as it lives. */
struct auth *auth_new(const struct weir_host *host, struct weir_self *self, const struct auth_user *users, size_t nusers,
                      const struct auth_token *tokens, size_t ntokens);
void auth_free(struct auth *auth);
/* The Authorization header (or NULL) of a request from this address; *name is the user's or token's. */
enum auth_answer auth_check(struct auth *auth, const char *header, const struct in6_addr *address, int64_t now_ns,
                            const char **name);

/* Decodes base64 (RFC 4648) into size bytes; the length, or -1. */
int auth_base64(const char *text, unsigned char *out, size_t size);

#endif
