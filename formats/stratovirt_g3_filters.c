/* formats/stratovirt_g3_filters.c: the receive filters of a network card in generation 3: ctrl_info. */
#include "core/base/units.h"
#include "formats/stratovirt_g3.h"

#include <inttypes.h>
#include <string.h>

struct ctrl_json {
        struct json_span rx_mode, mac_info, vlan_map;
};

#define CTRL(member) { #member, JSON_OBJECT, offsetof(struct ctrl_json, member), 0 }
static const struct json_field ctrl_fields[] = { CTRL(rx_mode), CTRL(mac_info), CTRL(vlan_map) };

#define MODE(name, member) { name, JSON_BOOL, offsetof(struct virtio_net_state, member), 0 }
static const struct json_field mode_fields[] = {
        MODE("promisc", promisc), MODE("all_multi", allmulti), MODE("all_uni", alluni),
        MODE("no_multi", nomulti), MODE("no_uni", nouni), MODE("no_bcast", nobcast),
};

struct mac_json {
        struct json_span uni_mac_table, multi_mac_table;
        bool             uni_mac_of, multi_mac_of;
};

#define MAC(member, type) { #member, type, offsetof(struct mac_json, member), 0 }
static const struct json_field mac_fields[] = {
        MAC(uni_mac_table, JSON_ARRAY),
        MAC(uni_mac_of, JSON_BOOL),
        MAC(multi_mac_table, JSON_ARRAY),
        MAC(multi_mac_of, JSON_BOOL),
};

static const struct json_field address_field[] = { { "address", JSON_BYTES, 0, 6 } };

static int read_macs(const struct json_place *at, struct json_span list, uint8_t ret[VIRTIO_NET_MACS_MAX][6], uint16_t *ret_nr,
                     struct err *e)
{
        struct json_walk w;
        struct json_span element;
        uint16_t         nr = 0;
        int              more, r;

        if (!json_walk_begin(list, '[', &w))
                return err_bad(e, at->file, json_offset(at, list.p), "expected a list of addresses, found other text" SV_DAMAGED);
        while ((more = json_walk_next(&w, NULL, &element)) > 0) {
                if (nr == VIRTIO_NET_MACS_MAX)
                        return err_bad(e, at->file, json_offset(at, element.p), "expected at most %d addresses in a receive "
                                       "filter, found one more" SV_DAMAGED, VIRTIO_NET_MACS_MAX);
                r = json_read(at, element, address_field, 1, ret[nr], e);
                if (r < 0)
                        return r;
                nr++;
        }
        if (more < 0)
                return err_bad(e, at->file, json_offset(at, w.rest.p), "expected an address, found other text" SV_DAMAGED);
        *ret_nr = nr;
        return 0;
}

/* "N": M, of which bit B stands for VLAN N * 32 + B. */
static int read_vlans(const struct json_place *at, struct json_span map, struct virtio_net_state *ret, struct err *e)
{
        struct json_walk w;
        struct json_span name, value;
        uint64_t         word, bits;
        int              more;

        if (!json_walk_begin(map, '{', &w))
                return err_bad(e, at->file, json_offset(at, map.p), "expected VLANs, found other text" SV_DAMAGED);
        while ((more = json_walk_next(&w, &name, &value)) > 0) {
                if (!json_u64(name, &word) || word >= sizeof(ret->vlans) / 4 || !json_u64(value, &bits) || bits > UINT32_MAX)
                        return err_bad(e, at->file, json_offset(at, value.p), "vlan_map: expected words 0 to %zu of 32 bits each"
                                       ", found something else" SV_DAMAGED, sizeof(ret->vlans) / 4 - 1);
                for (unsigned int i = 0; i < 4; i++)
                        ret->vlans[word * 4 + i] = (uint8_t)(bits >> 8 * i);
        }
        if (more < 0)
                return err_bad(e, at->file, json_offset(at, w.rest.p), "expected a VLAN, found other text" SV_DAMAGED);
        return 0;
}

int sv3_filters_read(const struct json_place *at, struct json_span ctrl_info, struct virtio_net_state *ret, struct err *e)
{
        struct ctrl_json c;
        struct mac_json  m;
        int              r = json_read(at, ctrl_info, ctrl_fields, ARRAY_LEN(ctrl_fields), &c, e);

        r = r < 0 ? r : json_read(at, c.rx_mode, mode_fields, ARRAY_LEN(mode_fields), ret, e);
        r = r < 0 ? r : json_read(at, c.mac_info, mac_fields, ARRAY_LEN(mac_fields), &m, e);
        r = r < 0 ? r : read_macs(at, m.uni_mac_table, ret->uni, &ret->nr_uni, e);
        r = r < 0 ? r : read_macs(at, m.multi_mac_table, ret->multi, &ret->nr_multi, e);
        r = r < 0 ? r : read_vlans(at, c.vlan_map, ret, e);
        if (r < 0)
                return r;
        ret->uni_overflow = m.uni_mac_of;
        ret->multi_overflow = m.multi_mac_of;
        ret->has_filters = true;
        return 0;
}
