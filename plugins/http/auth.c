/* auth.c - who may ask; auth.h says how it is kept cheap and bounded. */
#include "auth.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <crypt.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define CACHE_SIZE 64u
#define CACHE_NS INT64_C(3600000000000)
#define ADDRESSES 1024u
#define NEIGHBOURS 8u
#define WINDOW_NS INT64_C(60000000000)
#define SECRET_BYTES 4096u

struct known { /* a password that was right */
    XXH128_hash_t key;
    int64_t until_ns;
};
struct failures {
    struct in6_addr address;
    int64_t since_ns;
    unsigned count;
};
struct auth {
    const struct weir_host *host;
    struct weir_self *self;
    const struct auth_user *users;
    const struct auth_token *tokens;
    size_t nusers, ntokens;
    unsigned char key[XXH3_SECRET_SIZE_MIN];
    pthread_mutex_t lock; /* over what follows */
    struct known known[CACHE_SIZE];
    struct failures failures[ADDRESSES];
};

struct auth *auth_new(const struct weir_host *host, struct weir_self *self, const struct auth_user *users, size_t nusers,
                      const struct auth_token *tokens, size_t ntokens)
{
    struct auth *auth = calloc(1, sizeof(*auth));

    if (!auth)
        return NULL;
    auth->host = host;
    auth->self = self;
    auth->users = users;
    auth->nusers = nusers;
    auth->tokens = tokens;
    auth->ntokens = ntokens;
    pthread_mutex_init(&auth->lock, NULL);
    if (getrandom(auth->key, sizeof(auth->key), 0) != (ssize_t)sizeof(auth->key)) {
        auth_free(auth);
        return NULL;
    }
    return auth;
}

void auth_free(struct auth *auth)
{
    if (!auth)
        return;
    pthread_mutex_destroy(&auth->lock);
    explicit_bzero(auth, sizeof(*auth));
    free(auth);
}

/* In a time that tells nothing but the length. */
static bool equal(const char *a, const char *b)
{
    size_t length = strlen(a);
    unsigned char difference = 0;

    if (length != strlen(b))
        return false;
    for (size_t i = 0; i < length; i++)
        difference |= (unsigned char)(a[i] ^ b[i]);
    return difference == 0;
}

int auth_base64(const char *text, unsigned char *out, size_t size)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;

    for (; *text && *text != '='; text++) {
        const char *digit = strchr(digits, *text);

        if (!digit)
            return -1;
        bits = (bits << 6 | (uint32_t)(digit - digits)) & 0xffffffu;
        have += 6;
        if (have >= 8) {
            have -= 8;
            if (n == size)
                return -1;
            out[n++] = (unsigned char)(bits >> have);
        }
    }
    return text[strspn(text, "=")] ? -1 : (int)n;
}

/* ---- Failures per address ---------------------------------------------------------------------------------------- */

/* Under the lock: the entry of this address, or the one to replace. */
static struct failures *failures_of(struct auth *auth, const struct in6_addr *address, int64_t now_ns)
{
    size_t at = (size_t)XXH3_64bits_withSecret(address, sizeof(*address), auth->key, sizeof(auth->key));
    struct failures *oldest = NULL;

    for (size_t i = 0; i < NEIGHBOURS; i++) {
        struct failures *entry = &auth->failures[(at + i) % ADDRESSES];

        if (memcmp(&entry->address, address, sizeof(*address)) == 0)
            return entry;
        if (!oldest || entry->since_ns < oldest->since_ns)
            oldest = entry;
    }
    *oldest = (struct failures){.address = *address, .since_ns = now_ns};
    return oldest;
}

static bool limited(struct auth *auth, const struct in6_addr *address, int64_t now_ns)
{
    struct failures *entry;
    bool over;

    pthread_mutex_lock(&auth->lock);
    entry = failures_of(auth, address, now_ns);
    if (now_ns - entry->since_ns >= WINDOW_NS)
        *entry = (struct failures){.address = *address, .since_ns = now_ns};
    over = entry->count >= AUTH_FAILURES_MAX;
    pthread_mutex_unlock(&auth->lock);
    return over;
}

static void count_failure(struct auth *auth, const struct in6_addr *address, int64_t now_ns)
{
    pthread_mutex_lock(&auth->lock);
    failures_of(auth, address, now_ns)->count++;
    pthread_mutex_unlock(&auth->lock);
}

/* ---- Passwords ---------------------------------------------------------------------------------------------------- */

static XXH128_hash_t password_key(const struct auth *auth, const char *pair, const char *hash)
{
    XXH3_state_t state;
    XXH128_hash_t key;

    XXH3_128bits_reset_withSecret(&state, auth->key, sizeof(auth->key));
    XXH3_128bits_update(&state, pair, strlen(pair) + 1);
    XXH3_128bits_update(&state, hash, strlen(hash));
    key = XXH3_128bits_digest(&state);
    explicit_bzero(&state, sizeof(state));
    return key;
}

static bool known(struct auth *auth, XXH128_hash_t key, int64_t now_ns)
{
    const struct known *entry = &auth->known[key.low64 % CACHE_SIZE];
    bool is;

    pthread_mutex_lock(&auth->lock);
    is = XXH128_isEqual(entry->key, key) && now_ns < entry->until_ns;
    pthread_mutex_unlock(&auth->lock);
    return is;
}

static bool password_good(struct auth *auth, const struct auth_user *user, const char *pair, const char *password,
                          int64_t now_ns)
{
    char hash[SECRET_BYTES];
    struct crypt_data *data;
    XXH128_hash_t key;
    const char *got;
    bool good;

    if (auth->host->secret(auth->self, user->password_hash, hash, sizeof(hash)) < 0)
        return false;
    key = password_key(auth, pair, hash);
    good = known(auth, key, now_ns);
    data = good ? NULL : calloc(1, sizeof(*data));
    if (data) {
        got = crypt_r(password, hash, data);
        good = got && equal(got, hash);
        explicit_bzero(data, sizeof(*data));
        free(data);
        if (good) {
            pthread_mutex_lock(&auth->lock);
            auth->known[key.low64 % CACHE_SIZE] = (struct known){.key = key, .until_ns = now_ns + CACHE_NS};
            pthread_mutex_unlock(&auth->lock);
        }
    }
    explicit_bzero(hash, sizeof(hash));
    return good;
}

static bool basic_good(struct auth *auth, const char *encoded, int64_t now_ns, const char **name)
{
    unsigned char pair[1024];
    int length = auth_base64(encoded, pair, sizeof(pair) - 1);
    const struct auth_user *user = NULL;
    char *password;
    bool good = false;

    if (length < 0 || !auth->nusers)
        return false;
    pair[length] = '\0';
    password = strchr((char *)pair, ':');
    if (password && strlen((char *)pair) == (size_t)length) {
        size_t name_length = (size_t)(password - (char *)pair);

        for (size_t i = 0; i < auth->nusers; i++)
            if (strlen(auth->users[i].name) == name_length && memcmp(auth->users[i].name, pair, name_length) == 0)
                user = &auth->users[i];
        /* An unknown user costs what a known one costs. */
        good = password_good(auth, user ? user : &auth->users[0], (char *)pair, password + 1, now_ns) && user;
        if (good)
            *name = user->name;
    }
    explicit_bzero(pair, sizeof(pair));
    return good;
}

static bool bearer_good(struct auth *auth, const char *given, const char **name)
{
    char secret[SECRET_BYTES];
    bool good = false;

    for (size_t i = 0; i < auth->ntokens; i++) {
        if (auth->host->secret(auth->self, auth->tokens[i].secret, secret, sizeof(secret)) < 0)
            continue;
        if (equal(given, secret)) {
            good = true;
            *name = auth->tokens[i].name;
        }
    }
    explicit_bzero(secret, sizeof(secret));
    return good;
}

enum auth_answer auth_check(struct auth *auth, const char *header, const struct in6_addr *address, int64_t now_ns,
                            const char **name)
{
    bool good = false;

    *name = NULL;
    if (!auth->nusers && !auth->ntokens)
        return AUTH_GOOD;
    if (!header)
        return AUTH_MISSING;
    if (limited(auth, address, now_ns))
        return AUTH_LIMITED;
    if (strncasecmp(header, "Basic ", 6) == 0)
        good = basic_good(auth, header + 6 + strspn(header + 6, " "), now_ns, name);
    else if (strncasecmp(header, "Bearer ", 7) == 0)
        good = bearer_good(auth, header + 7 + strspn(header + 7, " "), name);
    if (good)
        return AUTH_GOOD;
    count_failure(auth, address, now_ns);
    return AUTH_WRONG;
}
