/* Devices: each takes the slot that StratoVirt gives it. */
#include "tools/stratovirt_internal.h"

#include "core/base/units.h"

#include <stdio.h>
#include <string.h>

/* StratoVirt's replaceable slots: 0 to 3 are disks, 4 and 5 are cards; from 6 on the order of the command line counts. */
#define DISKS_MAX           4
#define NETS_MAX            2
#define FIRST_OPTIONAL_SLOT 6

static const char *find_by_id(const struct parts *p, const char *id)
{
        for (size_t i = 0; i < p->nr; i++)
                if (list_is(p->v[i], "id", id))
                        return p->v[i];
        return NULL;
}

/* --- character devices --- */

/* "file=PATH", "unix=PATH" or "stdio" of a chardev, or of what -serial says in the same words. */
static int character_device(const struct translation *t, const char *what, const char *list, char ret[LIST_VALUE_MAX + 8])
{
        char kind[LIST_VALUE_MAX], path[LIST_VALUE_MAX];
        int r = list_check(what, list, true, KEYS("id", "path", "server", "nowait"), t->e);

        if (r < 0)
                return r;
        list_kind(list, kind);
        if (strcmp(kind, "stdio") == 0) {
                snprintf(ret, LIST_VALUE_MAX + 8, "stdio");
                return 0;
        }
        if (strcmp(kind, "pty") == 0)
                return err_usage(t->e, "%s %s: rouse makes no pseudo terminals; use a socket: socket,path=PATH,server,nowait",
                                 what, list);
        if ((strcmp(kind, "file") && strcmp(kind, "socket")) || !list_find(list, "path", path) || !path[0])
                return err_usage(t->e, "%s %s: expected stdio, file,path=PATH or socket,path=PATH,server,nowait", what, list);
        snprintf(ret, LIST_VALUE_MAX + 8, "%s=%s", kind[0] == 'f' ? "file" : "unix", path);
        return 0;
}

static int chardev_of(const struct translation *t, const char *what, const char *id, char ret[LIST_VALUE_MAX + 8])
{
        const char *list = find_by_id(&t->chardevs, id);

        if (!list)
                return err_usage(t->e, "%s: there is no -chardev with id=%s", what, id);
        return character_device(t, "-chardev", list, ret);
}

int sv_say_serial(const struct translation *t)
{
        char value[LIST_VALUE_MAX + 8] = "null"; /* StratoVirt has no serial port then */
        int r = 0;

        if (t->serial && strncmp(t->serial, "chardev:", 8) == 0)
                r = chardev_of(t, "-serial", t->serial + 8, value);
        else if (t->serial)
                r = character_device(t, "-serial", t->serial, value);
        return r < 0 ? r : sv_say_option(t, "--serial", value);
}

int sv_say_qmp(const struct translation *t)
{
        char id[LIST_VALUE_MAX], value[LIST_VALUE_MAX + 8];
        int r = 0;

        if (t->qmp) {
                snprintf(value, sizeof(value), "unix=%.*s", (int)MIN(strcspn(t->qmp, ","), (size_t)LIST_VALUE_MAX - 1), t->qmp);
        } else if (t->mon) {
                r = list_check("-mon", t->mon, false, KEYS("chardev", "id", "mode"), t->e);
                if (r >= 0)
                        r = chardev_of(t, "-mon", list_find(t->mon, "chardev", id) ? id : "", value);
                if (r >= 0 && strncmp(value, "unix=", 5))
                        return err_usage(t->e, "-mon %s: rouse answers QMP on unix sockets only", t->mon);
        } else {
                return 0;
        }
        return r < 0 ? r : sv_say_option(t, "--qmp", value);
}

/* --- devices --- */

static int say_disk(const struct translation *t, const char *device, unsigned int slot)
{
        char id[LIST_VALUE_MAX], file[LIST_VALUE_MAX], number[16] = "";
        const char *drive;
        int r = list_check("-device", device, true, KEYS("id", "drive", "serial", "iothread", "queue-size", "bootindex"), t->e);

        if (r < 0)
                return r;
        if (slot >= DISKS_MAX)
                return err_usage(t->e, "-device %s: a microVM has %d disks at most", device, DISKS_MAX);
        drive = list_find(device, "drive", id) ? find_by_id(&t->drives, id) : NULL;
        if (!drive || !list_find(drive, "file", file))
                return err_usage(t->e, "-device %s: there is no -drive file=FILE,id=... for it", device);
        r = list_check("-drive", drive, false, KEYS("file", "id", "if", "format", "readonly", "direct", "aio",
                                                    "throttling.iops-total", "discard",
                                                    "detect-zeroes"), t->e);
        if (r < 0)
                return r;
        if (list_find(drive, "throttling.iops-total", id))
                sv_note(t, "-drive %s: throttling has no equal: the disk is as fast as it is", drive);
        if (!t->incoming && list_find(device, "serial", id))
                sv_note(t, "-device %s: the serial number has no equal", device);
        if (t->incoming)
                snprintf(number, sizeof(number), "%u=", slot);
        r = sv_say(t, "--disk");
        return r < 0 ? r : sv_say(t, "%s%s%s,direct=%s%s", number, file, list_is(drive, "readonly", "on") ? ",readonly" : "",
                               list_is(drive, "direct", "off") ? "off" : "on",
                               !t->incoming && list_is(drive, "discard", "unmap") ? ",discard=on" : "");
}

static int say_net(const struct translation *t, const char *device, unsigned int nth)
{
        char id[LIST_VALUE_MAX], tap[LIST_VALUE_MAX], mac[LIST_VALUE_MAX] = "";
        const char *net;
        int r = list_check("-device", device, true, KEYS("id", "netdev", "mac", "iothread", "queue-size", "mq"), t->e);

        if (r < 0)
                return r;
        if (nth >= NETS_MAX)
                return err_usage(t->e, "-device %s: a microVM has %d network cards at most", device, NETS_MAX);
        net = list_find(device, "netdev", id) ? find_by_id(&t->netdevs, id) : NULL;
        if (!net || !list_is_kind(net, "tap") || !list_find(net, "ifname", tap))
                return err_usage(t->e, "-device %s: there is no -netdev tap,id=...,ifname=NAME for it", device);
        r = list_check("-netdev", net, true, KEYS("id", "ifname", "queues", "vhost"), t->e);
        if (r < 0)
                return r;
        /* StratoVirt puts a vhost card into another slot and cannot save it. */
        if (list_is(net, "vhost", "on") && t->incoming)
                return err_usage(t->e, "-netdev %s: no snapshot holds a vhost card", net);
        if (list_is(net, "vhost", "on"))
                sv_note(t, "-netdev %s: rouse does without vhost: the card is in another slot and its packets go through rouse",
                        net);
        r = sv_say(t, "--net");
        if (r < 0)
                return r;
        if (t->incoming)
                return sv_say(t, "%u=tap=%s", DISKS_MAX + nth, tap);
        return sv_say(t, "tap=%s%s%s", tap, list_find(device, "mac", mac) ? ",mac=" : "", mac);
}

/* What the port of a virtio-serial device leads to: "" when there is none. */
static int console_path(const struct translation *t, char ret[LIST_VALUE_MAX + 8])
{
        ret[0] = 0;
        for (size_t i = 0; i < t->devices.nr; i++) {
                char id[LIST_VALUE_MAX];
                int r;

                if (!list_is_kind(t->devices.v[i], "virtconsole"))
                        continue;
                if (ret[0])
                        return err_usage(t->e, "-device %s: rouse has one console", t->devices.v[i]);
                r = list_check("-device", t->devices.v[i], true, KEYS("id", "chardev", "nr"), t->e);
                if (r >= 0)
                        r = chardev_of(t, "-device virtconsole", list_find(t->devices.v[i], "chardev", id) ? id : "", ret);
                if (r < 0)
                        return r;
                if (strcmp(ret, "stdio") == 0)
                        return err_usage(t->e, "-device %s: a console on standard output has no equal; use a socket or a file",
                                         t->devices.v[i]);
        }
        return 0;
}

static int say_console(const struct translation *t, const char *device, unsigned int slot)
{
        char path[LIST_VALUE_MAX + 8];
        int r = list_check("-device", device, true, KEYS("id", "max_ports"), t->e);

        if (r >= 0)
                r = console_path(t, path);
        if (r < 0)
                return r;
        if (!t->incoming && !path[0]) {
                sv_note(t, "-device %s is dropped: it has no virtconsole", device);
                return 0;
        }
        r = sv_say(t, "%s", t->incoming ? "--device" : "--console");
        if (r < 0 || !t->incoming)
                return r < 0 ? r : sv_say(t, "%s", path);
        return path[0] ? sv_say(t, "%u=console,path=%s%s", slot, path + 5, path[0] == 'u' ? ",listen" : "")
               : sv_say(t, "%u=console", slot);
}

static int say_vsock(const struct translation *t, const char *device, unsigned int slot)
{
        char cid[LIST_VALUE_MAX];
        int r = list_check("-device", device, true, KEYS("id", "guest-cid", "vhostfd"), t->e);

        if (r < 0)
                return r;
        if (!list_find(device, "guest-cid", cid))
                return err_usage(t->e, "-device %s: guest-cid is missing", device);
        sv_note(t, "-device %s: rouse's vsock is a unix socket on the host, not AF_VSOCK: ./vsock.sock is chosen, its guest's "
                "port P is ./vsock.sock_P",
             device);
        r = sv_say(t, "%s", t->incoming ? "--device" : "--vsock");
        if (r < 0)
                return r;
        return t->incoming ? sv_say(t, "%u=vsock,path=./vsock.sock,cid=%s", slot, cid)
               : sv_say(t, "cid=%s,path=./vsock.sock", cid);
}

static int say_rng(const struct translation *t, const char *device, unsigned int slot)
{
        char id[LIST_VALUE_MAX], file[LIST_VALUE_MAX];
        const char *object = list_find(device, "rng", id) ? find_by_id(&t->objects, id) : NULL;
        int r = list_check("-device", device, true, KEYS("id", "rng", "max-bytes", "period"), t->e);

        if (r < 0)
                return r;
        if (!object || !list_is_kind(object, "rng-random"))
                return err_usage(t->e, "-device %s: there is no -object rng-random,id=...,filename=FILE for it", device);
        if (list_find(object, "filename", file) && strcmp(file, "/dev/urandom") && strcmp(file, "/dev/random"))
                sv_note(t, "-object %s: rouse takes its random numbers from the kernel", object);
        if (list_find(device, "max-bytes", file))
                sv_note(t, "-device %s: the rate has no equal: it is not limited", device);
        r = sv_say(t, "%s", t->incoming ? "--device" : "--rng");
        return r < 0 || !t->incoming ? r : sv_say(t, "%u=rng", slot);
}

static int say_balloon(const struct translation *t, const char *device, unsigned int slot)
{
        int r = list_check("-device", device, true, KEYS("id", "deflate-on-oom", "free-page-reporting", "membuf-interval"), t->e);

        if (r < 0)
                return r;
        if (list_is(device, "deflate-on-oom", "true") || list_is(device, "free-page-reporting", "true"))
                sv_note(t, "-device %s: a plain balloon has neither deflate-on-oom nor free-page-reporting", device);
        r = sv_say(t, "%s", t->incoming ? "--device" : "--balloon");
        return r < 0 || !t->incoming ? r : sv_say(t, "%u=balloon", slot);
}

int sv_say_devices(const struct translation *t)
{
        unsigned int disks = 0, nets = 0, slot = FIRST_OPTIONAL_SLOT;
        int r = 0;

        for (size_t i = 0; i < t->devices.nr && r >= 0; i++) {
                const char *d = t->devices.v[i];

                if (list_is_kind(d, "virtio-blk-device"))
                        r = say_disk(t, d, disks++);
                else if (list_is_kind(d, "virtio-net-device"))
                        r = say_net(t, d, nets++);
                else if (list_is_kind(d, "virtio-serial-device"))
                        r = say_console(t, d, slot++);
                else if (list_is_kind(d, "vhost-vsock-device"))
                        r = say_vsock(t, d, slot++);
                else if (list_is_kind(d, "virtio-rng-device"))
                        r = say_rng(t, d, slot++);
                else if (list_is_kind(d, "virtio-balloon-device"))
                        r = say_balloon(t, d, slot++);
                else if (!list_is_kind(d, "virtconsole")) /* its virtio-serial device says it */
                        r = err_usage(t->e, "-device %s: rouse has no such device: virtio-blk-device, virtio-net-device, "
                                      "virtio-serial-device, vhost-vsock-device, virtio-rng-device, virtio-balloon-device, "
                                      "virtconsole", d);
        }
        return r;
}
