/* A snapshot as one JSON document. */
#include "tools/inspect_out.h"

#include "core/control/json_text.h"

#include <json-c/json.h>

static void add_bool(struct json_object *o, const char *key, bool v)
{
        json_object_object_add(o, key, json_object_new_boolean(v));
}

void inspect_add_hex(struct json_object *o, const char *key, uint64_t v)
{
        char text[24];

        snprintf(text, sizeof(text), "0x%llx", (unsigned long long)v);
        json_add_str(o, key, text);
}

static struct json_object *topology_json(const struct cpu_topology *t)
{
        struct json_object *o = json_object_new_object();

        json_add_u64(o, "max_vcpus", t->max_vcpus);
        json_add_u64(o, "sockets", t->sockets);
        json_add_u64(o, "dies", t->dies);
        json_add_u64(o, "cores", t->cores);
        json_add_u64(o, "threads", t->threads);
        return o;
}

static struct json_object *vcpu_json(const struct vcpu_state *v)
{
        struct json_object *o = json_object_new_object();

        json_add_u64(o, "apic_id", v->apic_id);
        inspect_add_hex(o, "rip", v->regs.rip);
        inspect_add_hex(o, "rsp", v->regs.rsp);
        inspect_add_hex(o, "rflags", v->regs.rflags);
        inspect_add_hex(o, "cr0", v->sregs.cr0);
        inspect_add_hex(o, "cr3", v->sregs.cr3);
        inspect_add_hex(o, "cr4", v->sregs.cr4);
        inspect_add_hex(o, "efer", v->sregs.efer);
        json_add_u64(o, "mp_state", v->mp_state.mp_state);
        json_add_u64(o, "msr_count", v->nr_msrs);
        json_add_u64(o, "xsave_bytes", v->xsave_bytes);
        json_add_str(o, "cpuid", v->cpuid_origin == CPUID_SAVED ? "saved" : "rebuilt");
        if (v->topology.max_vcpus)
                json_object_object_add(o, "topology", topology_json(&v->topology));
        return o;
}

static struct json_object *runs_json(const struct page_map *m)
{
        struct json_object *a = json_object_new_array();

        for (size_t i = 0; i < m->nr_runs; i++) {
                struct json_object *o = json_object_new_object();

                json_add_u64(o, "first_page", m->runs[i].first_page);
                json_add_u64(o, "pages", m->runs[i].nr_pages);
                json_add_str(o, "kind", m->runs[i].kind == RUN_ZERO ? "zero" : m->runs[i].kind == RUN_RAW ? "raw" : "packed");
                if (m->runs[i].kind != RUN_ZERO)
                        json_add_str(o, "file", m->sources[m->runs[i].source].name);
                if (m->runs[i].kind == RUN_RAW)
                        json_add_u64(o, "offset", m->runs[i].file_offset_bytes);
                if (m->runs[i].kind == RUN_PACKED)
                        json_add_u64(o, "chunk", m->runs[i].first_chunk);
                json_object_array_add(a, o);
        }
        return a;
}

static struct json_object *packing_json(const struct page_map *m)
{
        struct json_object *o = json_object_new_object();
        struct page_packing p = page_map_packing(m);

        json_add_str(o, "codec", m->codec->name);
        json_object_object_add(o, "level", json_object_new_int(p.level));
        json_add_u64(o, "chunk_bytes", pages_to_bytes(p.chunk_pages));
        json_add_u64(o, "chunks", p.nr_chunks);
        json_add_u64(o, "stored_chunks", p.stored_chunks);
        json_add_u64(o, "unpacked_bytes", p.unpacked_bytes);
        json_add_u64(o, "packed_bytes", p.packed_bytes);
        json_object_object_add(o, "ratio", json_object_new_double((double)p.packed_bytes / (double)p.unpacked_bytes));
        return o;
}

static struct json_object *memory_json(const struct inspection *i, bool pages)
{
        struct json_object *o = json_object_new_object(), *windows = json_object_new_array();
        struct page_counts n = page_map_count(i->pages);

        json_add_u64(o, "bytes", i->layout->total_bytes);
        add_bool(o, "indexed", i->pages->zeros_known);
        json_add_u64(o, i->pages->zeros_known ? "data_pages" : "unknown_pages", n.raw_pages + n.packed_pages);
        if (i->pages->zeros_known)
                json_add_u64(o, "zero_pages", n.zero_pages);
        if (i->pages->nr_chunks)
                json_object_object_add(o, "packed", packing_json(i->pages));
        add_bool(o, "verifiable", i->verifiable && !i->partly);
        json_add_str(o, "checksums", !i->verifiable ? "none" : i->partly ? "some" : "all");
        for (size_t k = 0; k < i->layout->nr; k++) {
                struct json_object *w = json_object_new_object();

                inspect_add_hex(w, "gpa", i->layout->w[k].gpa);
                json_add_u64(w, "bytes", i->layout->w[k].size_bytes);
                json_object_array_add(windows, w);
        }
        json_object_object_add(o, "windows", windows);
        json_add_u64(o, "runs", i->pages->nr_runs);
        if (pages)
                json_object_object_add(o, "run_list", runs_json(i->pages));
        return o;
}

static struct json_object *devices_json(const struct inspection *i)
{
        struct json_object *a = json_object_new_array();

        for (uint32_t k = 0; k < i->vm->nr_devices; k++)
                json_object_array_add(a, inspect_device_json(&i->vm->devices[k]));
        return a;
}

static struct json_object *chain_json(const struct inspection *i)
{
        struct json_object *a = json_object_new_array();

        for (size_t k = 0; k < i->nr_levels; k++) {
                struct json_object *o = json_object_new_object();

                json_add_str(o, "path", i->levels[k].path);
                json_add_str(o, "format", i->levels[k].format);
                json_add_str(o, "identity", i->levels[k].identity.s);
                json_add_u64(o, "data_bytes", pages_to_bytes(i->levels[k].data_pages));
                json_add_u64(o, "used_bytes", pages_to_bytes(i->levels[k].used_pages));
                json_object_array_add(a, o);
        }
        return a;
}

static struct json_object *hints_json(const struct inspection *i)
{
        struct json_object *o = json_object_new_object(), *phases = json_object_new_object();

        json_add_u64(o, "recordings", i->nr_recordings);
        json_add_u64(o, "replayed", i->hints.kept);
        for (int p = 0; p < HINT_PHASES; p++)
                json_add_u64(phases, hint_phase_name((enum hint_phase)p), i->hints.phase[p].pages);
        json_object_object_add(o, "phases", phases);
        return o;
}

void inspect_print_json(FILE *to, const struct inspection *i, bool pages, const struct inspected_plan *plan)
{
        struct json_object *o = json_object_new_object(), *vcpus = json_object_new_array(), *notes = json_object_new_array();

        json_add_str(o, "path", i->path);
        json_add_str(o, "format", i->format);
        json_add_str(o, "version", i->version);
        json_add_str(o, "identity", i->identity.s);
        if (i->parent.s[0])
                json_add_str(o, "parent", i->parent.s);
        if (i->nr_levels)
                json_object_object_add(o, "chain", chain_json(i));
        json_add_str(o, "machine", "microvm");
        for (uint32_t k = 0; k < i->vm->nr_vcpus; k++)
                json_object_array_add(vcpus, vcpu_json(&i->vm->vcpus[k]));
        json_object_object_add(o, "vcpus", vcpus);
        json_object_object_add(o, "devices", devices_json(i));
        json_object_object_add(o, "memory", memory_json(i, pages));
        if (i->has_hints) {
                json_add_u64(o, "hints", i->hints.all.pages);
                json_object_object_add(o, "hints_detail", hints_json(i));
        }
        for (size_t k = 0; k < i->nr_notes; k++)
                json_object_array_add(notes, json_object_new_string(i->notes[k]));
        json_object_object_add(o, "notes", notes);
        if (plan)
                json_object_object_add(o, "plan", inspect_plan_json(plan));
        fprintf(to, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
        json_object_put(o);
}
