/* A snapshot on a terminal: a line a fact. */
#include "tools/inspect_out.h"

#include <inttypes.h>

static double mib(uint64_t pages)
{
        return (double)pages_to_bytes(pages) / (double)MIB;
}

static void print_packing(FILE *to, const struct page_map *m)
{
        struct page_packing p = page_map_packing(m);

        fprintf(to, "packed     by %s at level %d, in %" PRIu64 " chunks of up to %" PRIu64 " KiB: %.1f MiB are %.1f MiB (%.1f "
                "%%)\n", m->codec->name,
                p.level, p.nr_chunks, pages_to_bytes(p.chunk_pages) / KIB, (double)p.unpacked_bytes / (double)MIB,
                (double)p.packed_bytes / (double)MIB, 100.0 * (double)p.packed_bytes / (double)p.unpacked_bytes);
}

static const char *checksums(const struct inspection *i)
{
        if (!i->verifiable)
                return "memory not verifiable: this format has none";
        if (i->partly)
                return "XXH3-64 of some data pages: a parent has none";
        return i->pages->nr_chunks ? "XXH3-64 of every chunk" : "XXH3-64 of every data page";
}

static void print_memory(FILE *to, const struct inspection *i)
{
        struct page_counts n = page_map_count(i->pages);

        fprintf(to, "memory     %.1f MiB in %zu window%s", (double)i->layout->total_bytes / (double)MIB, i->layout->nr,
                i->layout->nr == 1 ? "" : "s");
        for (size_t k = 0; k < i->layout->nr; k++)
                fprintf(to, "%s %#" PRIx64 "+%#" PRIx64, k ? "," : ":", i->layout->w[k].gpa, i->layout->w[k].size_bytes);
        fprintf(to, "\n");
        if (i->pages->zeros_known)
                fprintf(to, "pages      %" PRIu64 " data (%.1f MiB), %" PRIu64 " zero (%.1f MiB), in %zu runs\n",
                        n.raw_pages + n.packed_pages,
                        mib(n.raw_pages + n.packed_pages), n.zero_pages, mib(n.zero_pages), i->pages->nr_runs);
        else
                fprintf(to, "pages      %" PRIu64 " not looked through yet: rouse inspect --index finds the zero ones\n",
                        n.raw_pages);
        if (i->pages->nr_chunks)
                print_packing(to, i->pages);
        fprintf(to, "checksums  %s\n", checksums(i));
}

static void print_vcpus(FILE *to, const struct inspection *i)
{
        for (uint32_t k = 0; k < i->vm->nr_vcpus; k++) {
                const struct vcpu_state *v = &i->vm->vcpus[k];

                fprintf(to, "vCPU %-5u apic %u, rip %#llx, cr3 %#llx, %u MSRs, XSAVE %u bytes, mp_state %u, CPUID %s\n", k,
                        v->apic_id,
                        (unsigned long long)v->regs.rip, (unsigned long long)v->sregs.cr3, v->nr_msrs, v->xsave_bytes,
                        v->mp_state.mp_state, v->cpuid_origin == CPUID_SAVED ? "saved" : "rebuilt from the host's");
        }
}

const char *inspect_mac(const uint8_t mac[6], char ret[INSPECT_MAC_BYTES])
{
        snprintf(ret, INSPECT_MAC_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
        return ret;
}

/* What a user knows the device by, and must give again. */
static void print_kind(FILE *to, const struct virtio_state *v)
{
        char mac[INSPECT_MAC_BYTES];

        switch (v->kind) {
        case VIRTIO_BLK:
                if (v->u.blk.capacity_sectors)
                        fprintf(to, ", %" PRIu64 " bytes", v->u.blk.capacity_sectors * 512);
                else
                        fprintf(to, ", no disk");
                break;
        case VIRTIO_NET:
                fprintf(to, ", MAC %s%s", inspect_mac(v->u.net.mac, mac), v->u.net.has_filters ? ", receive filters" : "");
                break;
        case VIRTIO_CONSOLE:
                fprintf(to, ", %u port%s", v->u.console.max_ports, v->u.console.max_ports == 1 ? "" : "s");
                break;
        case VIRTIO_BALLOON:
                fprintf(to, ", %u of %u pages", v->u.balloon.actual, v->u.balloon.num_pages);
                break;
        case VIRTIO_VSOCK:
                if (v->u.vsock.guest_cid)
                        fprintf(to, ", CID %" PRIu64, v->u.vsock.guest_cid);
                else
                        fprintf(to, ", CID not recorded");
                break;
        case VIRTIO_RNG:
        case VIRTIO_NONE:
                break;
        }
}

static void print_virtio(FILE *to, const struct device_record *d)
{
        const struct virtio_state *v = &d->u.virtio;
        unsigned int               ready = 0;

        for (unsigned int i = 0; i < v->nr_queues; i++)
                ready += v->queues[i].ready;
        fprintf(to, "device     %s", virtio_kind_name(v->kind));
        if (d->id[0])
                fprintf(to, " %s", d->id);
        if (v->slot == VIRTIO_SLOT_UNKNOWN)
                fprintf(to, " in a slot that is not recorded");
        else
                fprintf(to, " in slot %u", v->slot);
        print_kind(to, v);
        fprintf(to, ", %s", v->no_transport ? "saved without its queues" : v->broken ? "broken" : v->activated ? "active"
                                                                                                             : "not in use");
        if (v->activated)
                fprintf(to, ", %u of %u queues, features %#" PRIx64 " of %#" PRIx64, ready, v->nr_queues, v->driver_features,
                        v->device_features);
        else
                fprintf(to, ", offers features %#" PRIx64, v->device_features);
        fprintf(to, "\n");
}

static void print_devices(FILE *to, const struct inspection *i)
{
        fprintf(to, "platform  ");
        for (int p = 0; p < PLATFORM_PIECES; p++)
                if (i->vm->platform.have & 1u << p)
                        fprintf(to, " %s", platform_piece_name((enum platform_piece)p));
        fprintf(to, "\n");
        for (uint32_t k = 0; k < i->vm->nr_devices; k++) {
                if (i->vm->devices[k].kind == DEVICE_VIRTIO)
                        print_virtio(to, &i->vm->devices[k]);
                else
                        fprintf(to, "device     %s\n", i->vm->devices[k].id);
        }
}

#define INDENTS_MAX 20 /* of a tree that is wider nobody sees the end */

/* The youngest first: each stands on the one below it. */
static void print_chain(FILE *to, const struct inspection *i)
{
        for (size_t k = 0; k < i->nr_levels; k++) {
                const struct inspect_level *l = &i->levels[k];

                fprintf(to, "%-11s", k ? "" : "chain");
                if (k)
                        fprintf(to, "%*s`- ", (int)(3 * MIN(k - 1, (size_t)INDENTS_MAX)), "");
                fprintf(to, "%s: %s %s, %.1f MiB of its own", l->path, l->format, l->identity.s, mib(l->data_pages));
                if (l->used_pages != l->data_pages)
                        fprintf(to, ", %.1f MiB of them needed here", mib(l->used_pages));
                fprintf(to, "\n");
        }
}

static void print_hints(FILE *to, const struct inspection *i)
{
        fprintf(to, "hints      %" PRIu64 " pages of %" PRIu32 " recording%s", i->hints.all.pages, i->nr_recordings,
                i->nr_recordings == 1 ? "" : "s");
        for (int p = 0; p < HINT_PHASES; p++)
                fprintf(to, "%s%" PRIu64 " %s", p ? ", " : ": ", i->hints.phase[p].pages, hint_phase_name((enum hint_phase)p));
        fprintf(to, "; %" PRIu64 " are replayed\n", i->hints.kept);
}

void inspect_print(FILE *to, const struct inspection *i, bool pages)
{
        fprintf(to, "snapshot   %s\nformat     %s, %s\nidentity   %s\n", i->path, i->format, i->version, i->identity.s);
        if (i->parent.s[0])
                fprintf(to, "parent     %s\n", i->parent.s);
        print_chain(to, i);
        fprintf(to, "machine    microvm, %u vCPU%s\n", i->vm->nr_vcpus, i->vm->nr_vcpus == 1 ? "" : "s");
        print_vcpus(to, i);
        print_devices(to, i);
        print_memory(to, i);
        if (i->has_hints)
                print_hints(to, i);
        else
                fprintf(to, "hints      none\n");
        for (size_t k = 0; k < i->nr_notes; k++)
                fprintf(to, "note       %s\n", i->notes[k]);
        for (size_t k = 0; pages && k < i->pages->nr_runs; k++) {
                const struct page_run *r = &i->pages->runs[k];

                if (r->kind == RUN_ZERO)
                        fprintf(to, "run        page %" PRIu64 " +%" PRIu32 " zero\n", r->first_page, r->nr_pages);
                else if (r->kind == RUN_PACKED)
                        fprintf(to, "run        page %" PRIu64 " +%" PRIu32 " %s, chunk %" PRIu32 " on\n", r->first_page,
                                r->nr_pages, i->pages->sources[r->source].name, r->first_chunk);
                else
                        fprintf(to, "run        page %" PRIu64 " +%" PRIu32 " %s at %" PRIu64 "\n", r->first_page, r->nr_pages,
                                i->pages->sources[r->source].name, r->file_offset_bytes);
        }
}
