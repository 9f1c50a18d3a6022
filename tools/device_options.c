/* One option is a head and some words, parted by commas; each device has a table of the words that it knows. */
#include "tools/device_options.h"

#include "core/base/cleanup.h"
#include "core/base/units.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>

/* The microVM's slots (reference: StratoVirt's microvm map): disks, cards, and those that are free for the rest. */
#define NR_DISKS        4
#define FIRST_NET_SLOT  4
#define NR_NETS         2
#define FIRST_FREE_SLOT 6
#define LAST_FREE_SLOT  10

#define CID_MIN 3           /* 0 to 2 are the hypervisor, local and the host: virtio 1.2, section 5.10.4 */
#define CID_MAX 0xfffffffe  /* the one above means "any" */

/* One word behind the head: what takes a value ends in '='. False: the value is not what was expected. */
struct word {
        const char *name, *expected;
        bool (*take)(struct device_config *d, const char *value);
};

static bool take_path(struct device_config *d, const char *value)
{
        d->path = value;
        return value[0] != 0;
}

static bool take_unix(struct device_config *d, const char *value)
{
        d->listen = true;
        return !d->path && take_path(d, value);
}

static bool take_file(struct device_config *d, const char *value)
{
        return !d->path && take_path(d, value);
}

static bool take_listen(struct device_config *d, const char *value)
{
        (void)value;
        d->listen = true;
        return true;
}

static bool take_readonly(struct device_config *d, const char *value)
{
        (void)value;
        d->readonly = true;
        return true;
}

static bool take_direct(struct device_config *d, const char *value)
{
        return cli_on_off(value, &d->direct);
}

static bool take_discard(struct device_config *d, const char *value)
{
        return cli_on_off(value, &d->discard);
}

#define SERIAL_BYTES_MAX 20 /* virtio 1.2, section 5.2.6: what the answer to GET_ID has room for */

static bool take_serial(struct device_config *d, const char *value)
{
        bool first = !d->serial;

        d->serial = value;
        return first && value[0] && strlen(value) <= SERIAL_BYTES_MAX;
}

static bool take_tap(struct device_config *d, const char *value)
{
        bool first = !d->tap;

        d->tap = value;
        return first && value[0] && strlen(value) < IFNAMSIZ;
}

static const char no_cable[] = ""; /* until take_net_words has read them all */

static bool take_none(struct device_config *d, const char *value)
{
        bool first = !d->tap;
        (void)value;

        d->tap = no_cable;
        return first;
}

static bool take_cid(struct device_config *d, const char *value)
{
        return cli_number(value, CID_MIN, CID_MAX, &d->guest_cid);
}

static bool take_hex_byte(const char *text, uint8_t *ret)
{
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *high = text[0] ? strchr(digits, text[0]) : NULL, *low = high && text[1] ? strchr(digits, text[1]) : NULL;

        if (!low)
                return false;
        *ret = (uint8_t)(((high - digits) & 15) << 4 | ((low - digits) & 15));
        return true;
}

/* "52:54:00:12:34:56"; not a group's address: bit 0 of the first byte (IEEE 802, 8.2). */
static bool take_mac(struct device_config *d, const char *value)
{
        for (size_t i = 0; i < sizeof(d->mac); i++)
                if (!take_hex_byte(value + 3 * i, &d->mac[i]) || value[3 * i + 2] != (i + 1 < sizeof(d->mac) ? ':' : 0))
                        return false;
        d->has_mac = true;
        return !(d->mac[0] & 1);
}

#define READONLY {"readonly", NULL, take_readonly}
#define DIRECT   {"direct=", "on or off", take_direct}
#define SERIAL   {"serial=", "one serial number of up to 20 characters", take_serial}
#define TAP      {"tap=", "the name of one interface, up to 15 characters", take_tap}
#define NONE     {"none", "none alone: a card without a cable", take_none}
#define PATH     {"path=", "a path", take_path}
#define CID      {"cid=", "a number from 3 to 4294967294", take_cid}
#define END      {0}

static const struct word boot_disk_words[] = {READONLY, DIRECT, {"discard=", "on or off", take_discard}, SERIAL, END};
static const struct word restored_disk_words[] = {READONLY, DIRECT, SERIAL, END};
static const struct word boot_net_words[] = {TAP, NONE, {"mac=", "an address like 52:54:00:12:34:56 that is no group's",
                                                         take_mac}, END};
static const struct word restored_net_words[] = {TAP, NONE, END};
static const struct word vsock_words[] = {CID, PATH, END};
static const struct word console_words[] = {{"unix=", "one path", take_unix}, {"file=", "one path", take_file}, END};
static const struct word device_console_words[] = {PATH, {"listen", NULL, take_listen}, END};
static const struct word no_words[] = {END};

/* An option while it is read. */
struct reading {
        const struct verb    *verb;
        const char           *option; /* "disk" */
        struct device_options *all;
        struct device_config *d; /* the one to fill */
        char                 *rest; /* of its words */
};

__attribute__((format(printf, 2, 3))) static int bad(const struct reading *r, const char *fmt, ...)
{
        char text[600];
        va_list ap;

        va_start(ap, fmt);
        vsnprintf(text, sizeof(text), fmt, ap);
        va_end(ap);
        cli_usage(r->verb->name, "--%s: %s", r->option, text);
        return -1;
}

/* The next word, in place; ",," is a comma that belongs to it. NULL: there are no more. */
static char *next_word(char **rest)
{
        char *word = *rest, *from = word, *to = word;

        if (!word)
                return NULL;
        while (*from && (*from != ',' || from[1] == ',')) {
                from += *from == ',';
                *to++ = *from++;
        }
        *rest = *from ? from + 1 : NULL;
        *to = 0;
        return word;
}

static const struct word *find_word(const struct word *words, const char *text, const char **ret_value)
{
        for (; words->name; words++) {
                size_t len = strlen(words->name);
                bool has_value = words->name[len - 1] == '=';

                if (has_value ? strncmp(words->name, text, len) == 0 : strcmp(words->name, text) == 0) {
                        *ret_value = has_value ? text + len : NULL;
                        return words;
                }
        }
        return NULL;
}

static const char *list_words(const struct word *words, char *buf, size_t size)
{
        size_t len = 0;

        snprintf(buf, size, "nothing more");
        for (const struct word *w = words; w->name && len < size; w++)
                len += (size_t)snprintf(buf + len, size - len, "%s%s%s", w == words ? "" : !w[1].name ? " or " : ", ", w->name,
                                        w->name[strlen(w->name) - 1] == '=' ? "..." : "");
        return buf;
}

static int take_words(struct reading *r, const struct word *words)
{
        char buf[200], *text;

        while ((text = next_word(&r->rest))) {
                const char *value;
                const struct word *w = find_word(words, text, &value);

                if (!w)
                        return bad(r, "expected %s, found '%s'", list_words(words, buf, sizeof(buf)), text);
                if (!w->take(r->d, value))
                        return bad(r, "%s expected %s, found '%s'", w->name, w->expected, text);
        }
        return 1;
}

/* "N=" in front of the words of restore's options. */
static int take_slot(struct reading *r, uint64_t min, uint64_t max, const char *example, uint64_t *ret)
{
        char *equals = strchr(r->rest, '=');

        if (equals)
                *equals = 0;
        if (!equals || !cli_number(r->rest, min, max, ret))
                return bad(r, "expected %s with N from %llu to %llu, found '%s%s%s'", example, (unsigned long long)min,
                           (unsigned long long)max, r->rest, equals ? "=" : "", equals ? equals + 1 : "");
        r->rest = equals + 1;
        r->d->slot = (uint32_t)*ret;
        return 1;
}

static int take_net_words(struct reading *r, const struct word *words)
{
        if (take_words(r, words) < 0)
                return -1;
        if (!r->d->tap)
                return bad(r, "expected tap=NAME, or none for a card without a cable");
        if (r->d->tap == no_cable)
                r->d->tap = NULL;
        return 1;
}

static size_t count_kind(const struct device_options *all, enum virtio_kind kind)
{
        size_t n = 0;

        for (size_t i = 0; i < all->nr; i++)
                n += all->configs[i].kind == kind;
        return n;
}

/* --- run: slots in the order of the words --- */

/* Disks and cards have slots of their own; the rest comes behind them. */
static uint32_t next_boot_slot(const struct device_options *all, enum virtio_kind kind)
{
        uint32_t disks = (uint32_t)count_kind(all, VIRTIO_BLK), nets = (uint32_t)count_kind(all, VIRTIO_NET);

        if (kind == VIRTIO_BLK)
                return disks;
        return kind == VIRTIO_NET ? FIRST_NET_SLOT + nets : FIRST_FREE_SLOT + (uint32_t)all->nr - disks - nets;
}

static int boot_disk(struct reading *r)
{
        if (count_kind(r->all, VIRTIO_BLK) == NR_DISKS)
                return bad(r, "expected at most %d disks", NR_DISKS);
        r->d->path = next_word(&r->rest);
        if (!*r->d->path)
                return bad(r, "expected FILE[,readonly][,direct=on|off][,discard=on|off][,serial=S], found no FILE");
        return take_words(r, boot_disk_words);
}

static int boot_net(struct reading *r)
{
        if (count_kind(r->all, VIRTIO_NET) == NR_NETS)
                return bad(r, "expected at most %d cards", NR_NETS);
        return take_net_words(r, boot_net_words);
}

/* One of each is what a machine has. */
static int boot_single(struct reading *r)
{
        return count_kind(r->all, r->d->kind) ? bad(r, "expected one, found a second") : 1;
}

static int boot_vsock(struct reading *r)
{
        if (boot_single(r) < 0 || take_words(r, vsock_words) < 0)
                return -1;
        return r->d->guest_cid && r->d->path ? 1 : bad(r, "expected cid=N,path=SOCK, found no %s", r->d->path ? "cid=" : "path=");
}

static int boot_console(struct reading *r)
{
        return boot_single(r) < 0 || take_words(r, console_words) < 0 ? -1 : 1;
}

/* --- restore: the slots of the snapshot --- */

static int restored_disk(struct reading *r)
{
        uint64_t n = 0;

        if (take_slot(r, 0, NR_DISKS - 1, "N=FILE", &n) < 0)
                return -1;
        r->d->path = next_word(&r->rest);
        if (!*r->d->path)
                return bad(r, "expected N=FILE[,readonly][,direct=on|off][,serial=S], found no FILE");
        return take_words(r, restored_disk_words);
}

static int restored_net(struct reading *r)
{
        uint64_t n = 0;

        if (take_slot(r, 0, FIRST_NET_SLOT + NR_NETS - 1, "N=tap=NAME", &n) < 0)
                return -1;
        if (n >= NR_NETS && n < FIRST_NET_SLOT)
                return bad(r, "slot %u is a disk's: expected 4 or 5 (or 0 or 1, the card's number)", r->d->slot);
        if (n < NR_NETS)
                r->d->slot += FIRST_NET_SLOT;
        return take_net_words(r, restored_net_words);
}

static int restored_device(struct reading *r)
{
        static const struct {
                enum virtio_kind   kind;
                const struct word *words;
        } kinds[] = {
                {VIRTIO_RNG, no_words}, {VIRTIO_CONSOLE, device_console_words}, {VIRTIO_BALLOON, no_words},
                {VIRTIO_VSOCK, vsock_words},
        };
        const char *name;
        uint64_t n = 0;

        if (take_slot(r, FIRST_FREE_SLOT, LAST_FREE_SLOT, "N=KIND", &n) < 0)
                return -1;
        name = next_word(&r->rest);
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
                if (strcmp(virtio_kind_name(kinds[i].kind), name))
                        continue;
                r->d->kind = kinds[i].kind;
                if (take_words(r, kinds[i].words) < 0)
                        return -1;
                return r->d->listen && !r->d->path ? bad(r, "listen needs path=PATH") : 1;
        }
        return bad(r, "slot %u: expected rng, console, balloon or vsock, found '%s'", r->d->slot, name);
}

static int restored_vsock(struct reading *r)
{
        if (take_words(r, vsock_words) < 0)
                return -1;
        return r->d->path ? 1 : bad(r, "expected path=SOCK");
}

static int restored_console(struct reading *r)
{
        return take_words(r, console_words);
}

/* One device behind a slot; and one of a kind whose slot the snapshot knows. */
static int check_clash(struct reading *r)
{
        for (size_t i = 0; i < r->all->nr; i++) {
                const struct device_config *other = &r->all->configs[i];

                if (r->d->slot != other->slot || (r->d->slot == VIRTIO_SLOT_UNKNOWN && r->d->kind != other->kind))
                        continue;
                return r->d->slot == VIRTIO_SLOT_UNKNOWN ? bad(r, "expected one, found a second")
                                                         : bad(r, "slot %u: expected one option for it, found a second",
                                                               r->d->slot);
        }
        return 1;
}

/* --- the tables --- */

struct option_row {
        int              c;
        const char      *option;
        enum virtio_kind kind;
        int (*read)(struct reading *r);
};

static const struct option_row boot_rows[] = {
        {'d', "disk", VIRTIO_BLK, boot_disk},          {'e', "net", VIRTIO_NET, boot_net},
        {'r', "rng", VIRTIO_RNG, boot_single},
        {'b', "balloon", VIRTIO_BALLOON, boot_single}, {'v', "vsock", VIRTIO_VSOCK, boot_vsock},
        {'c', "console", VIRTIO_CONSOLE, boot_console},
};

static const struct option_row restore_rows[] = {
        {'d', "disk", VIRTIO_BLK, restored_disk},     {'e', "net", VIRTIO_NET, restored_net},
        {'x', "device", VIRTIO_NONE, restored_device}, {'v', "vsock", VIRTIO_VSOCK, restored_vsock},
        {'c', "console", VIRTIO_CONSOLE, restored_console},
};

static int take(const struct option_row *row, const struct verb *v, const char *value, bool restored, struct device_options *all)
{
        struct device_config d = {.kind = row->kind, .slot = VIRTIO_SLOT_UNKNOWN};
        struct reading r = {.verb = v, .option = row->option, .all = all, .d = &d};
        _cleanup_free_ char *words = value ? strdup(value) : NULL;
        int c;

        if (value && !words)
                return bad(&r, "no memory");
        if (all->nr == DEVICE_CONFIGS_MAX)
                return bad(&r, "expected at most %d devices", DEVICE_CONFIGS_MAX);
        r.rest = words;
        if (!restored)
                d.slot = next_boot_slot(all, d.kind);
        c = row->read(&r);
        if (c > 0 && restored)
                c = check_clash(&r);
        if (c < 0)
                return c;
        all->configs[all->nr] = d;
        all->words[all->nr] = TAKE_PTR(words);
        all->nr++;
        return 1;
}

int device_option_boot(const struct verb *v, int c, const char *value, struct device_options *d)
{
        for (size_t i = 0; i < ARRAY_LEN(boot_rows); i++)
                if (boot_rows[i].c == c)
                        return take(&boot_rows[i], v, value, false, d);
        return 0;
}

int device_option_restore(const struct verb *v, int c, const char *value, struct device_options *d)
{
        for (size_t i = 0; i < ARRAY_LEN(restore_rows); i++)
                if (restore_rows[i].c == c)
                        return take(&restore_rows[i], v, value, true, d);
        return 0;
}

void device_options_free(struct device_options *d)
{
        for (size_t i = 0; i < d->nr; i++)
                free(d->words[i]);
        *d = (struct device_options){0};
}
