/* test_stratovirt_virtio: virtio records of generation 3: each field is read, and what no device says is refused. */
#include "core/base/cleanup.h"
#include "core/base/units.h"
#include "formats/format.h"
#include "formats/siphash.h"
#include "tests/support/sv_snapshot.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define _cleanup_snapshot_ _cleanup_(snapshot_close)
#define FIXTURE            "stratovirt/microvm-128m-blk"
#define RAM                (128 * MIB)

static const struct snapshot_open_options any = { 0 };

static int open_with(const struct sv_bytes *state, struct snapshot *ret, struct err *e)
{
        _cleanup_tmpdir_ struct tmpdir t = tmpdir_new();

        tmpdir_write(&t, "state", state->p, state->len);
        sv_write_memory(&t, RAM, NULL, NULL);
        return snapshot_open(t.path, &any, ret, e);
}

static void assert_refused(const struct sv_bytes *state, const char *message)
{
        _cleanup_snapshot_ struct snapshot s = { 0 };
        struct err                         e = { 0 };

        cr_assert_eq(open_with(state, &s, &e), -EBADMSG, "expected '%s'", message);
        cr_assert_eq(e.kind, ERR_SNAPSHOT);
        cr_assert_not_null(strstr(e.text, "state: offset "), "%s", e.text);
        cr_assert_not_null(strstr(e.text, message), "expected '%s' in '%s'", message, e.text);
}

static struct snapshot open_state(const struct sv_bytes *state)
{
        struct snapshot s = { 0 };
        struct err      e = { 0 };

        cr_assert_eq(open_with(state, &s, &e), 0, "%s", e.text);
        return s;
}

/* The record of that name, as text of its body: the nth occurrence of a text in the file is not what a test means. */
static int occurrence(const struct sv_bytes *state, const char *record, const char *text)
{
        uint64_t name = siphash13_str(record), len;
        size_t   begin = 0;
        int      nth = 0;

        for (int i = 0; i < sv_nr_records(state); i++)
                if (!memcmp(state->p + sv_record_at(state, i), &name, sizeof(name)))
                        begin = sv_record_at(state, i) + 24;
        cr_assert_neq(begin, 0, "no record %s", record);
        memcpy(&len, state->p + begin - 8, sizeof(len));
        cr_assert_not_null(memmem(state->p + begin, len, text, strlen(text)), "no %s in %s", text, record);
        for (const uint8_t *p = state->p; (p = memmem(p, begin - (size_t)(p - state->p), text, strlen(text))); p++)
                nth++;
        return nth;
}

static void edit(struct sv_bytes *state, const char *record, const char *from, const char *to)
{
        sv_edit(state, occurrence(state, record, from), from, to);
}

static void assert_edit_refused(const char *record, const char *from, const char *to, const char *message)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        edit(&state, record, from, to);
        assert_refused(&state, message);
}

Test(stratovirt_virtio, every_register_and_queue_of_a_transport_is_read)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;
        const struct virtio_state         *v;
        const struct virtqueue_state      *q;

        edit(&state, "VirtioMmioState/0", "\"hfeatures_sel\":0", "\"hfeatures_sel\":1");
        edit(&state, "VirtioMmioState/0", "\"gfeatures_sel\":0", "\"gfeatures_sel\":4294967295");
        edit(&state, "VirtioMmioState/0", "\"interrupt_status\":0", "\"interrupt_status\":3");
        edit(&state, "VirtioMmioState/0", "\"config_generation\":0", "\"config_generation\":255");
        edit(&state, "VirtioMmioState/0", "\"queue_select\":0", "\"queue_select\":65535");
        edit(&state, "VirtioMmioState/0", "\"max_size\":256", "\"max_size\":1024");
        edit(&state, "VirtioMmioState/0", "\"next_avail\":3,\"next_used\":3", "\"next_avail\":5,\"next_used\":65535");
        s = open_state(&state);
        v = vm_state_virtio(&s.vm, 0);
        cr_assert(v->device_features_sel == 1 && v->driver_features_sel == UINT32_MAX && v->interrupt_status == 3);
        cr_assert(v->config_generation == 255 && v->queue_sel == 65535 && v->status == 15 && v->activated);
        q = &v->queues[0];
        cr_assert(v->nr_queues == 1 && q->max_size == 1024 && q->size == 8 && q->next_avail == 5 && q->next_used == 65535 &&
                  q->ready);
        cr_assert(q->desc_gpa == 0x1028100 && q->avail_gpa == 0x1028180 && q->used_gpa == 0x102819c);
        cr_assert(v->device_features == 0x130000204 && v->driver_features == 0x100000000);
}

Test(stratovirt_virtio, every_number_of_a_disk_is_read)
{
        static const char *const names[] = { "blk_size", "num_queues", "wce", "max_discard_sectors", "max_discard_seg",
                                             "discard_sector_alignment", "max_write_zeroes_sectors", "max_write_zeroes_seg",
                                             "write_zeroes_may_unmap" };
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;
        const struct virtio_blk_state     *b;

        for (size_t i = 0; i < ARRAY_LEN(names); i++) {
                char from[64], to[64];

                snprintf(from, sizeof(from), "\"%s\":0", names[i]);
                snprintf(to, sizeof(to), "\"%s\":%zu", names[i], i + 1);
                edit(&state, "BlockState/0", from, to);
        }
        edit(&state, "BlockState/0", "\"broken\":false", "\"broken\":true");
        s = open_state(&state);
        cr_assert(vm_state_virtio(&s.vm, 0)->broken);
        b = &vm_state_virtio(&s.vm, 0)->u.blk;
        cr_assert(b->capacity_sectors == 512 && b->seg_max == 254 && b->blk_size == 1 && b->num_queues == 2 && b->wce == 3);
        cr_assert(b->max_discard_sectors == 4 && b->max_discard_seg == 5 && b->discard_sector_alignment == 6);
        cr_assert(b->max_write_zeroes_sectors == 7 && b->max_write_zeroes_seg == 8 && b->write_zeroes_may_unmap == 9);
}

#define FILTERS                                                                                                                    \
        "{\"rx_mode\":{\"promisc\":false,\"all_multi\":true,\"all_uni\":false,\"no_multi\":true,\"no_uni\":false,\"no_bcast\":true}," \
        "\"mac_info\":{\"uni_mac_table\":[{\"address\":[82,84,0,18,52,86]},{\"address\":[1,2,3,4,5,6]}],\"uni_mac_of\":false,"     \
        "\"multi_mac_table\":[{\"address\":[51,51,0,0,0,1]}],\"multi_mac_of\":true},\"vlan_map\":{\"0\":2,\"127\":2147483648}}"

Test(stratovirt_virtio, the_receive_filters_of_a_card_are_read)
{
        static const uint8_t               uni[6] = { 1, 2, 3, 4, 5, 6 }, multi[6] = { 51, 51, 0, 0, 0, 1 };
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;
        const struct virtio_net_state     *n;

        edit(&state, "VirtioNetState/5", "\"ctrl_info\":null", "\"ctrl_info\":" FILTERS);
        edit(&state, "VirtioNetState/5", "\"mtu\":0", "\"mtu\":9000");
        edit(&state, "VirtioNetState/5", "\"max_virtqueue_pairs\":0", "\"max_virtqueue_pairs\":2");
        s = open_state(&state);
        n = &vm_state_virtio(&s.vm, 5)->u.net;
        cr_assert(n->mtu == 9000 && n->max_pairs == 2 && n->status == 1 && n->has_filters);
        cr_assert(!n->promisc && n->allmulti && !n->alluni && n->nomulti && !n->nouni && n->nobcast);
        cr_assert(!n->uni_overflow && n->multi_overflow && n->nr_uni == 2 && n->nr_multi == 1);
        cr_assert_arr_eq(n->uni[1], uni, 6);
        cr_assert_arr_eq(n->multi[0], multi, 6);
        for (unsigned vlan = 0; vlan < 4096; vlan++)
                cr_assert_eq(n->vlans[vlan / 8] >> vlan % 8 & 1, vlan == 1 || vlan == 4095, "VLAN %u", vlan);
        cr_assert(!vm_state_virtio(&s.vm, 4)->u.net.has_filters);
}

static void assert_filters_refused(const char *from, const char *to, const char *message)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        edit(&state, "VirtioNetState/4", "\"ctrl_info\":null", "\"ctrl_info\":" FILTERS);
        edit(&state, "VirtioNetState/4", from, to);
        assert_refused(&state, message);
}

Test(stratovirt_virtio, receive_filters_that_are_none_are_refused)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");
        char                         many[64 + 65 * 32] = "\"multi_mac_table\":[";

        assert_edit_refused("VirtioNetState/4", "\"ctrl_info\":null", "\"ctrl_info\":7", "expected a JSON object");
        assert_edit_refused("VirtioNetState/4", "\"ctrl_info\":null,", "", "expected a member \"ctrl_info\", found none");
        assert_filters_refused("\"no_uni\":false", "\"no_uni\":0", "\"no_uni\": expected true or false");
        assert_filters_refused("[1,2,3,4,5,6]", "[1,2,3,4,5]", "\"address\": expected an array of bytes, 6 of them");
        assert_filters_refused("\"127\":", "\"128\":", "vlan_map: expected words 0 to 127 of 32 bits");
        assert_filters_refused("\"0\":2,", "\"0\":4294967296,", "vlan_map: expected words 0 to 127 of 32 bits");
        assert_filters_refused("\"0\":2,", "\"-1\":2,", "vlan_map: expected words 0 to 127 of 32 bits");
        for (size_t i = 0, n = strlen(many); i < 65; i++)
                n += (size_t)snprintf(many + n, sizeof(many) - n, "%s{\"address\":[1,1,1,1,1,1]}", i ? "," : "");
        edit(&state, "VirtioNetState/4", "\"ctrl_info\":null", "\"ctrl_info\":" FILTERS);
        edit(&state, "VirtioNetState/4", "\"multi_mac_table\":[{\"address\":[51,51,0,0,0,1]}", many);
        assert_refused(&state, "expected at most 64 addresses in a receive filter");
}

Test(stratovirt_virtio, registers_and_queues_that_are_none_are_refused)
{
        static const struct {
                const char *from, *to, *message;
        } bad[] = {
                { "\"device_activated\":true", "\"device_activated\":false",
                  "virtio slot 0: expected device_status without DRIVER_OK" },
                { "\"device_status\":15", "\"device_status\":11", "virtio slot 0: expected device_status with DRIVER_OK" },
                { "\"queue_num\":1", "\"queue_num\":0", "virtio slot 0: expected 1 activated queues (queue_num), found 0" },
                { "\"queue_type\":1", "\"queue_type\":2", "virtio slot 0: expected queue_type 1 (split), found 2" },
                { "\"interrupt_status\":0", "\"interrupt_status\":4",
                  "virtio slot 0: expected interrupt_status 0 to 3, found 0x4" },
                { "\"config_generation\":0", "\"config_generation\":256", "expected a number of at most 255, found 256" },
                { "\"queue_select\":0", "\"queue_select\":65536", "expected a number of at most 65535" },
                { "\"max_size\":256,\"size\":8", "\"max_size\":255,\"size\":8",
                  "expected max_size a power of two up to 1024, found 255" },
                { "\"max_size\":256,\"size\":8", "\"max_size\":2048,\"size\":8", "expected max_size a power of two up to 1024" },
                { "\"max_size\":256,\"size\":8", "\"max_size\":0,\"size\":8",
                  "virtio slot 0: expected 1 queues of a blk device, found 0" },
                { "\"max_size\":0", "\"max_size\":256", "virtio slot 0: expected 1 queues of a blk device, found 2" },
                { "\"size\":8", "\"size\":0", "virtio slot 0 queue 0: expected a power of two up to 256 entries, found 0" },
                { "\"size\":8", "\"size\":9", "virtio slot 0 queue 0: expected a power of two up to 256 entries, found 9" },
                { "\"size\":8", "\"size\":512", "virtio slot 0 queue 0: expected a power of two up to 256 entries, found 512" },
                { "\"desc_table\":16941312", "\"desc_table\":0", "virtio slot 0 queue 0: expected descriptors" },
                { "\"desc_table\":16941312", "\"desc_table\":16941320", "expected descriptors, available and used ring aligned" },
                { "\"avail_ring\":16941440", "\"avail_ring\":3221225470", "expected descriptors, available and used ring" },
                { "\"avail_ring\":16941440", "\"avail_ring\":550829555712", "expected descriptors, available and used ring" },
                { "\"used_ring\":16941468", "\"used_ring\":18446744073709551612",
                  "expected descriptors, available and used ring" },
                { "\"used_ring\":16941468", "\"used_ring\":16941470", "expected descriptors, available and used ring" },
                { "\"next_avail\":3", "\"next_avail\":12", "expected at most 8 requests in flight, found 9" },
                { "\"next_used\":3", "\"next_used\":4", "expected at most 8 requests in flight, found 65535" },
                { "\"next_used\":3", "\"next_used\":-1", "\"next_used\": expected a number" },
                { "\"ready\":true", "\"ready\":1", "\"ready\": expected true or false" },
                { "\"queues_config\":[{", "\"queues_config\":[7,{", "expected a JSON object" },
                { "\"queues_config\":[{", "\"queues_confiq\":[{", "expected a member \"queues_config\", found none" },
                { "{\"virtio_base\":{", "{\"virtio_bose\":{", "expected a member \"virtio_base\", found none" },
                { "{\"virtio_base\":{", "{\"virtio_base\":[{", "expected a JSON object" },
                { "{\"virtio_base\":{", "{\"virtio_base\":{},\"x\":{", "expected JSON members up to the object's end" },
        };

        for (size_t i = 0; i < ARRAY_LEN(bad); i++)
                assert_edit_refused("VirtioMmioState/0", bad[i].from, bad[i].to, bad[i].message);
}

Test(stratovirt_virtio, features_that_were_never_offered_are_refused)
{
        assert_edit_refused("BlockState/0", "\"driver_features\":4294967296", "\"driver_features\":4294967297",
                            "virtio slot 0: expected driver_features among the offered 0x130000204, found 0x1 more");
        assert_edit_refused("BlockState/0", "\"capacity\":512", "\"capacity\":36028797018963968",
                            "\"capacity\": expected a number of at most");
}

/* StratoVirt does not notice a driver's reset; its queues are those of before. */
Test(stratovirt_virtio, a_device_that_its_driver_reset_is_as_new)
{
        static const char *const statuses[] = { "\"device_status\":0", "\"device_status\":1", "\"device_status\":3" };

        for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
                _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
                _cleanup_snapshot_ struct snapshot s;
                const struct virtio_state         *v;

                edit(&state, "VirtioMmioState/0", "\"device_status\":15", statuses[i]);
                edit(&state, "VirtioMmioState/0", "\"interrupt_status\":0", "\"interrupt_status\":1");
                s = open_state(&state);
                v = vm_state_virtio(&s.vm, 0);
                cr_assert(!v->activated && !v->interrupt_status && v->nr_queues == 1);
                cr_assert(!v->queues[0].ready && !v->queues[0].desc_gpa && v->queues[0].size == 256 &&
                          v->queues[0].max_size == 256);
                cr_assert_eq(v->u.blk.capacity_sectors, 512);
        }
}

/* What a driver has written of a queue that is not in use yet is nobody's trouble. */
Test(stratovirt_virtio, a_queue_that_is_being_set_up_may_say_anything)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;

        edit(&state, "VirtioMmioState/1", "\"device_status\":0", "\"device_status\":11");
        edit(&state, "VirtioMmioState/1", "\"size\":256", "\"size\":54321");
        edit(&state, "VirtioMmioState/1", "\"desc_table\":0", "\"desc_table\":18446744073709551615");
        s = open_state(&state);
        cr_assert_eq(vm_state_virtio(&s.vm, 1)->queues[0].size, 54321);
}

/* --- devices beside the six slots --- */

#define FEATURES(device, driver) "\"device_features\":" device ",\"driver_features\":" driver

struct text {
        char   s[32768];
        size_t len;
};

__attribute__((format(printf, 2, 3)))
static void say(struct text *t, const char *fmt, ...)
{
        va_list ap;

        va_start(ap, fmt);
        t->len += (size_t)vsnprintf(t->s + t->len, sizeof(t->s) - t->len, fmt, ap);
        va_end(ap);
        cr_assert_lt(t->len, sizeof(t->s));
}

/* An active transport, of queues of these sizes, at counters of their own; 64 in the file. */
static void add_transport(struct sv_bytes *state, const char *id, const uint16_t *max_sizes, unsigned int nr)
{
        static struct text t;

        t.len = 0;
        say(&t, "{\"virtio_base\":{\"device_activated\":true,\"hfeatures_sel\":0,\"gfeatures_sel\":0,\"interrupt_status\":0,"
                "\"device_status\":15,\"config_generation\":0,\"queue_select\":0,\"config_vector\":65535,\"queues_config\":[");
        for (unsigned i = 0; i < 64; i++) {
                bool used = i < nr;

                say(&t, "%s{\"desc_table\":%u,\"avail_ring\":%u,\"used_ring\":%u,\"addr_cache\":{\"desc_table_host\":0,\"avail_ring_host\":0,"
                        "\"used_ring_host\":0},\"max_size\":%u,\"size\":%u,\"ready\":%s,\"vector\":0,\"next_avail\":%u,\"next_used\":%u,"
                        "\"last_signal_used\":0,\"signal_used_valid\":false}",
                    i ? "," : "", used ? 0x100000 + i * 0x4000 : 0, used ? 0x101000 + i * 0x4000 : 0, used ? 0x102000 + i * 0x4000
                    : 0,
                    used ? max_sizes[i] : 0, used ? max_sizes[i] : 0, used ? "true" : "false", used ? i + 5 : 0, used ? i + 5
                    : 0);
        }
        say(&t, "],\"queue_num\":%u,\"queue_type\":1}}", nr);
        sv_add_record(state, "VirtioMmioState", id, t.s, t.len);
}

static void add_json(struct sv_bytes *state, const char *type, const char *id, const char *body)
{
        sv_add_record(state, type, id, body, strlen(body));
}

static const char vsock_fields[] = "[{\"var_name\":\"device_features\",\"type_name\":\"u64\",\"alias\":\"device_features\",\"offset\":0,\"size\":8},"
                                   "{\"var_name\":\"driver_features\",\"type_name\":\"u64\",\"alias\":\"driver_features\",\"offset\":8,\"size\":8},"
                                   "{\"var_name\":\"config_space\",\"type_name\":\"[u8;8usize]\",\"alias\":\"config_space\",\"offset\":16,\"size\":8},"
                                   "{\"var_name\":\"last_avail_idx\",\"type_name\":\"[u16;2usize]\",\"alias\":\"last_avail_idx\",\"offset\":24,\"size\":4},"
                                   "{\"var_name\":\"broken\",\"type_name\":\"bool\",\"alias\":\"broken\",\"offset\":28,\"size\":1}]";
static const char rng_fields[] = "[{\"var_name\":\"device_features\",\"type_name\":\"u64\",\"alias\":\"device_features\",\"offset\":0,\"size\":8},"
                                 "{\"var_name\":\"driver_features\",\"type_name\":\"u64\",\"alias\":\"driver_features\",\"offset\":8,\"size\":8}]";

struct vsock_body {
        uint64_t device_features, driver_features, cid;
        uint16_t last_avail[2];
        uint8_t  broken, padding[3];
};

static void add_vsock(struct sv_bytes *state, const char *id, const struct vsock_body *b)
{
        sv_add_record(state, "VsockState", id, b, sizeof(*b));
}

static const struct vsock_body a_vsock = { 0x130000000, 0x100000000, 0, { 1000, 2000 }, 0, { 0xa5, 0xa5, 0xa5 } };
static const uint16_t          vsock_sizes[] = { 256, 256, 256 };
static const uint16_t          console_sizes[] = { 128, 128, 32, 32, 128, 128 };

#define CONSOLE(ports, state) \
        "{" FEATURES("4294967299", "4294967298") ",\"config_space\":{\"cols\":80,\"rows\":25,\"max_nr_ports\":" ports ",\"emerg_wr\":0}," \
        "\"port_state\":" state ",\"broken\":false}"
#define TWO_PORTS CONSOLE("2", "[{\"nr\":1,\"guest_connected\":true,\"host_connected\":false},{\"nr\":0,\"guest_connected\":false,\"host_connected\":true}]")

static void describe(struct sv_bytes *state)
{
        sv_add_desc(state, "VsockState", 32, vsock_fields);
        sv_add_desc(state, "VirtioSerialState", 0, "[]");
        sv_add_desc(state, "RngState", 16, rng_fields);
        sv_add_desc(state, "BalloonState", 0, "[]");
}

static const struct virtio_state *of_kind(const struct vm_state *vm, enum virtio_kind kind)
{
        for (uint32_t i = 0; i < vm->nr_devices; i++)
                if (vm->devices[i].kind == DEVICE_VIRTIO && vm->devices[i].u.virtio.kind == kind)
                        return &vm->devices[i].u.virtio;
        cr_assert_fail("no %s", virtio_kind_name(kind));
        return NULL;
}

Test(stratovirt_virtio, a_vsock_and_a_console_get_the_transport_whose_queues_fit)
{
        for (int order = 0; order < 2; order++) {
                _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
                _cleanup_snapshot_ struct snapshot s;
                const struct virtio_state         *v;

                describe(&state);
                for (int i = 0; i < 2; i++) {
                        if (i == order)
                                add_transport(&state, "the-vsock", vsock_sizes, 3);
                        else
                                add_transport(&state, "the-console", console_sizes, 6);
                }
                add_json(&state, "VirtioSerialState", "the-console", TWO_PORTS);
                add_vsock(&state, "the-vsock", &a_vsock);
                s = open_state(&state);
                cr_assert_eq(s.vm.nr_devices, 9);
                v = of_kind(&s.vm, VIRTIO_VSOCK);
                cr_assert(v == &s.vm.devices[7].u.virtio && v->slot == VIRTIO_SLOT_UNKNOWN && !v->no_transport && v->activated);
                cr_assert(v->nr_queues == 3 && v->queues[0].max_size == 256 && v->u.vsock.guest_cid == 0);
                cr_assert(v->device_features == 0x130000000 && v->driver_features == 0x100000000 && !v->broken);
                /* vhost ran the first two */
                cr_assert(v->queues[0].next_avail == 1000 && v->queues[0].next_used == 1000 && v->queues[1].next_avail == 2000);
                cr_assert(v->queues[2].next_avail == 7 && v->queues[2].next_used == 7);
                v = of_kind(&s.vm, VIRTIO_CONSOLE);
                cr_assert(v == &s.vm.devices[8].u.virtio && v->slot == VIRTIO_SLOT_UNKNOWN && v->activated);
                cr_assert(v->nr_queues == 6 && v->queues[2].max_size == 32 && v->queues[5].desc_gpa == 0x114000);
                cr_assert(v->u.console.cols == 80 && v->u.console.rows == 25 && v->u.console.max_ports == 2);
                cr_assert(!v->u.console.ports[0].guest_connected && v->u.console.ports[0].host_connected);
                cr_assert(v->u.console.ports[1].guest_connected && !v->u.console.ports[1].host_connected);
        }
}

Test(stratovirt_virtio, an_rng_and_a_balloon_have_no_transport_and_come_up_reset)
{
        static const uint64_t              rng[2] = { 0x100000000, 0x100000000 };
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;
        const struct virtio_state         *v;

        describe(&state);
        sv_add_record(&state, "RngState", "r", rng, sizeof(rng));
        add_json(&state, "BalloonState", "b", "{" FEATURES("4294967332", "4294967328") ",\"num_pages\":100,\"actual\":50}");
        s = open_state(&state);
        v = of_kind(&s.vm, VIRTIO_RNG);
        cr_assert(v->no_transport && !v->activated && !v->status && v->slot == VIRTIO_SLOT_UNKNOWN && v->nr_queues == 1);
        cr_assert(v->device_features == rng[0] && v->driver_features == rng[1]);
        v = of_kind(&s.vm, VIRTIO_BALLOON);
        cr_assert(v->no_transport && !v->activated && v->u.balloon.num_pages == 100 && v->u.balloon.actual == 50);
        cr_assert_eq(v->nr_queues, 3); /* it offers page reporting */
        cr_assert(v->device_features == 0x100000024 && v->driver_features == 0x100000020);
}

static void assert_vsock_refused(const struct vsock_body *b, unsigned int transports, const char *message)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        describe(&state);
        for (unsigned i = 0; i < transports; i++)
                add_transport(&state, i ? "another" : "v", vsock_sizes, 3);
        add_vsock(&state, "v", b);
        assert_refused(&state, message);
}

Test(stratovirt_virtio, a_vsock_that_is_none_is_refused)
{
        struct vsock_body b = a_vsock;

        assert_vsock_refused(&b, 0, "expected 1 transports beside those of slots 0 to 5");
        assert_vsock_refused(&b, 2,
                             "expected 1 transports beside those of slots 0 to 5, as there are devices that have one (vsock, console), "
                                    "found 2");
        assert_vsock_refused(&b, 3, "expected at most 2 transports beside those of slots 0 to 5");
        b.cid = 2;
        assert_vsock_refused(&b, 1, "virtio vsock: expected a CID of 3 to 4294967294, or 0 for none, found 2");
        b.cid = UINT32_MAX;
        assert_vsock_refused(&b, 1, "expected a CID");
        b.cid = 3;
        b.broken = 2;
        assert_vsock_refused(&b, 1, "virtio vsock: broken: expected 0 or 1, found 2");
        b.broken = 0;
        b.driver_features = 0x100000008;
        assert_vsock_refused(&b, 1, "virtio vsock: expected driver_features among the offered 0x130000000, found 0x8 more");
}

static void assert_console_refused(const char *body, const uint16_t *sizes, unsigned int nr, const char *message)
{
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        describe(&state);
        add_json(&state, "VirtioSerialState", "c", body);
        add_transport(&state, "c", sizes, nr);
        assert_refused(&state, message);
}

Test(stratovirt_virtio, a_console_that_is_none_is_refused)
{
        assert_console_refused(CONSOLE("1", "[]"), console_sizes, 6,
                               "expected 1 to 31 ports with two queues each and two more, found 1 ports with 6");
        assert_console_refused(CONSOLE("0", "[]"), console_sizes, 6, "found 0 ports");
        assert_console_refused(CONSOLE("32", "[]"), console_sizes, 6,
                               "\"max_nr_ports\": expected a number of at most 31, found 32");
        assert_console_refused(CONSOLE("2", "[{\"nr\":2,\"guest_connected\":true,\"host_connected\":true}]"), console_sizes, 6,
                               "console: expected ports below 2, found port 2");
        assert_console_refused(CONSOLE("2", "[{\"nr\":31,\"guest_connected\":true,\"host_connected\":true}]"), console_sizes, 6,
                               "\"nr\": expected a number of at most 30");
        assert_console_refused(CONSOLE("2", "[7]"), console_sizes, 6, "expected a JSON object");
        assert_console_refused(TWO_PORTS, vsock_sizes, 3,
                               "virtio console: expected a transport with 4, 6, 8 ... queues, found none among the 1");
        assert_console_refused(TWO_PORTS, (uint16_t[]){ 128, 128, 33, 32, 128, 128 }, 6,
                               "virtio console queue 2: expected max_size a power of two");
}

Test(stratovirt_virtio, two_devices_of_one_kind_are_refused)
{
        static const uint64_t        rng[2] = { 0, 0 };
        _cleanup_sv_ struct sv_bytes state = sv_load(FIXTURE, "state");

        describe(&state);
        sv_add_record(&state, "RngState", "a", rng, sizeof(rng));
        sv_add_record(&state, "RngState", "b", rng, sizeof(rng));
        assert_refused(&state, "expected one device of type RngState, found a second; the file does not say which is which");
}

/* 31 ports have 64 queues: as many as there is room for in the file. */
Test(stratovirt_virtio, a_console_of_31_ports_has_all_its_queues)
{
        _cleanup_sv_ struct sv_bytes       state = sv_load(FIXTURE, "state");
        _cleanup_snapshot_ struct snapshot s;
        uint16_t                           sizes[64];

        for (int i = 0; i < 64; i++)
                sizes[i] = i == 2 || i == 3 ? 32 : 128;
        describe(&state);
        add_transport(&state, "c", sizes, 64);
        add_json(&state, "VirtioSerialState", "c",
                 CONSOLE("31", "[{\"nr\":30,\"guest_connected\":true,\"host_connected\":true}]"));
        s = open_state(&state);
        cr_assert_eq(of_kind(&s.vm, VIRTIO_CONSOLE)->nr_queues, 64);
        cr_assert_eq(of_kind(&s.vm, VIRTIO_CONSOLE)->queues[63].next_avail, 68);
        cr_assert(of_kind(&s.vm, VIRTIO_CONSOLE)->u.console.ports[30].guest_connected);
}
