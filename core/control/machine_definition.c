/* One member of the JSON for each field; what is absent is zero. */
#include "core/control/machine_definition.h"

#include "core/base/cleanup.h"
#include "core/control/json_text.h"

#include <errno.h>
#include <json-c/json.h>
#include <string.h>

#define VERSION 1

/* --- to JSON --- */

static void add_str(struct json_object *o, const char *key, const char *v)
{
        if (v)
                json_add_str(o, key, v);
}

static void add_bool(struct json_object *o, const char *key, bool v)
{
        json_object_object_add(o, key, json_object_new_boolean(v));
}

static struct json_object *print_device(const struct device_config *d)
{
        struct json_object *o = json_object_new_object();
        char mac[18];

        json_add_str(o, "kind", virtio_kind_name(d->kind));
        if (d->slot != VIRTIO_SLOT_UNKNOWN)
                json_add_u64(o, "slot", d->slot);
        add_str(o, "path", d->path);
        add_str(o, "tap", d->tap);
        add_str(o, "serial", d->serial);
        if (d->kind == VIRTIO_BLK) {
                add_bool(o, "readonly", d->readonly);
                add_bool(o, "direct", d->direct);
                add_bool(o, "discard", d->discard);
        }
        if (d->kind == VIRTIO_CONSOLE)
                add_bool(o, "listen", d->listen);
        if (d->has_mac) {
                snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", d->mac[0], d->mac[1], d->mac[2], d->mac[3], d->mac[4],
                         d->mac[5]);
                json_add_str(o, "mac", mac);
        }
        if (d->guest_cid)
                json_add_u64(o, "cid", d->guest_cid);
        return o;
}

int machine_definition_print(const struct machine_definition *d, char **ret_text, struct err *e)
{
        struct json_object *o = json_object_new_object(), *devices = json_object_new_array();

        json_add_u64(o, "version", VERSION);
        add_str(o, "kernel", d->kernel);
        add_str(o, "initrd", d->initrd);
        add_str(o, "append", d->append);
        add_str(o, "restored_from", d->restored_from);
        json_add_u64(o, "memory_bytes", d->memory_bytes);
        if (d->memory_backing != RAM_ANON)
                add_str(o, "memory_backing", ram_backing_name(d->memory_backing));
        json_add_u64(o, "vcpus", d->nr_vcpus);
        add_str(o, "serial", d->serial);
        add_str(o, "qmp", d->qmp);
        for (size_t i = 0; i < d->nr_devices; i++)
                json_object_array_add(devices, print_device(&d->devices[i]));
        json_object_object_add(o, "devices", devices);
        *ret_text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(o);
        return *ret_text ? 0 : err_set(e, -ENOMEM, "no memory for a definition");
}

/* --- from JSON --- */

/* What is read, and the first thing that was wrong with it. */
struct reading {
        const char *path;
        int         r;
        struct err *e;
};

static void fail(struct reading *r, const char *key, const char *expected)
{
        if (r->r >= 0)
                r->r = err_set(r->e, -EINVAL,
                               "%s: \"%s\": expected %s; mend the file, or make the machine anew with 'rouse run --name'",
                               r->path, key, expected);
}

static struct json_object *member(struct reading *r, struct json_object *o, const char *key, enum json_type type,
                                  const char *expected)
{
        struct json_object *v;

        if (!json_object_object_get_ex(o, key, &v))
                return NULL;
        if (json_object_is_type(v, type))
                return v;
        fail(r, key, expected);
        return NULL;
}

static char *get_str(struct reading *r, struct json_object *o, const char *key)
{
        struct json_object *v = member(r, o, key, json_type_string, "a text");
        char *text = v ? strdup(json_object_get_string(v)) : NULL;

        if (v && !text)
                fail(r, key, "memory for it");
        return text;
}

static uint64_t get_u64(struct reading *r, struct json_object *o, const char *key, uint64_t max, uint64_t otherwise)
{
        struct json_object *v = member(r, o, key, json_type_int, "a number");

        if (v && (json_object_get_int64(v) < 0 || json_object_get_uint64(v) > max)) {
                fail(r, key, "a smaller number that is not negative");
                return otherwise;
        }
        return v ? json_object_get_uint64(v) : otherwise;
}

static bool get_bool(struct reading *r, struct json_object *o, const char *key)
{
        struct json_object *v = member(r, o, key, json_type_boolean, "true or false");

        return v && json_object_get_boolean(v);
}

static void get_mac(struct reading *r, struct json_object *o, struct device_config *d)
{
        struct json_object *v = member(r, o, "mac", json_type_string, "a text");
        char rest;

        if (!v)
                return;
        d->has_mac = sscanf(json_object_get_string(v), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%c", &d->mac[0], &d->mac[1],
                            &d->mac[2], &d->mac[3], &d->mac[4], &d->mac[5], &rest) == 6;
        if (!d->has_mac)
                fail(r, "mac", "an address like 52:54:00:12:34:56");
}

static void parse_device(struct reading *r, struct json_object *o, struct device_config *d)
{
        struct json_object *kind = member(r, o, "kind", json_type_string, "a text");

        *d = (struct device_config){.kind = kind ? virtio_kind_find(json_object_get_string(kind)) : VIRTIO_NONE};
        if (d->kind == VIRTIO_NONE) {
                fail(r, "kind", "blk, net, rng, console, balloon or vsock");
                return;
        }
        d->slot = (uint32_t)get_u64(r, o, "slot", DEVICE_CONFIGS_MAX - 1, VIRTIO_SLOT_UNKNOWN);
        d->path = get_str(r, o, "path");
        d->tap = get_str(r, o, "tap");
        d->serial = get_str(r, o, "serial");
        d->readonly = get_bool(r, o, "readonly");
        d->direct = get_bool(r, o, "direct");
        d->discard = get_bool(r, o, "discard");
        d->listen = get_bool(r, o, "listen");
        d->guest_cid = get_u64(r, o, "cid", UINT32_MAX, 0);
        get_mac(r, o, d);
        /* a disk of a snapshot may be without a file, one that is defined not */
        if (!d->path && (d->kind == VIRTIO_BLK || d->listen))
                fail(r, "path", "a text");
}

static void parse_devices(struct reading *r, struct json_object *o, struct machine_definition *d)
{
        struct json_object *v = member(r, o, "devices", json_type_array, "a list");
        size_t nr = v ? json_object_array_length(v) : 0;

        if (nr > DEVICE_CONFIGS_MAX) {
                fail(r, "devices", "at most 11");
                return;
        }
        for (size_t i = 0; i < nr; i++)
                parse_device(r, json_object_array_get_idx(v, i), &d->devices[d->nr_devices++]);
}

static void get_backing(struct reading *r, struct json_object *o, enum ram_backing *ret)
{
        struct json_object *v = member(r, o, "memory_backing", json_type_string, "a text");

        if (v && !ram_backing_find(json_object_get_string(v), ret))
                fail(r, "memory_backing", "anon, memfd or hugetlb");
}

static void parse_machine(struct reading *r, struct json_object *o, struct machine_definition *d)
{
        d->kernel = get_str(r, o, "kernel");
        d->initrd = get_str(r, o, "initrd");
        d->append = get_str(r, o, "append");
        d->restored_from = get_str(r, o, "restored_from");
        d->memory_bytes = get_u64(r, o, "memory_bytes", INT64_MAX, 0);
        get_backing(r, o, &d->memory_backing);
        d->nr_vcpus = (uint32_t)get_u64(r, o, "vcpus", UINT32_MAX, 0);
        d->serial = get_str(r, o, "serial");
        d->qmp = get_str(r, o, "qmp");
        parse_devices(r, o, d);
        if (!d->memory_bytes || !d->nr_vcpus)
                fail(r, d->memory_bytes ? "vcpus" : "memory_bytes", "a number");
        if (!d->serial)
                fail(r, "serial", "a text");
}

int machine_definition_parse(const char *text, const char *path, struct machine_definition *ret, struct err *e)
{
        struct json_object *o = json_tokener_parse(text);
        struct machine_definition d = {0};
        struct reading r = {.path = path, .e = e};

        if (!json_object_is_type(o, json_type_object))
                r.r = err_set(e, -EINVAL, "%s: expected a machine's definition as JSON, found something else; make it anew with "
                              "'rouse run --name'", path);
        else if (get_u64(&r, o, "version", UINT32_MAX, 0) != VERSION)
                fail(&r, "version", "1, the only one that this rouse knows");
        else
                parse_machine(&r, o, &d);
        json_object_put(o);
        if (r.r < 0) {
                machine_definition_free(&d);
                return r.r;
        }
        *ret = d;
        return 0;
}

void machine_definition_free(struct machine_definition *d)
{
        free(d->kernel);
        free(d->initrd);
        free(d->append);
        free(d->restored_from);
        free(d->serial);
        free(d->qmp);
        for (size_t i = 0; i < d->nr_devices; i++) {
                free((void *)(uintptr_t)d->devices[i].path);
                free((void *)(uintptr_t)d->devices[i].tap);
                free((void *)(uintptr_t)d->devices[i].serial);
        }
        *d = (struct machine_definition){0};
}

bool machine_definition_writes_disks(const struct machine_definition *d)
{
        for (size_t i = 0; i < d->nr_devices; i++)
                if (d->devices[i].kind == VIRTIO_BLK && !d->devices[i].readonly)
                        return true;
        return false;
}
