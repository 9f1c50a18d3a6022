/* core/host_judge.h: facts that take more than "is it there?": one function each, for the table in host_facts.c.
 * Owns:    nothing.
 * Threads: any.
 * Blocks:  never. */
#pragma once

#include "core/host_facts.h"

/* Fills kind, number, text and state of *f; FACT_SLOW stands for "not well": the table knows whether that is slow or lacking. May
 * replace the command where it depends on what was found. */
typedef void host_judge(const struct host_look *h, struct host_fact *f);

host_judge judge_kvm, judge_virtualization, judge_extension, judge_kvm_module, judge_second_level, judge_tdp_mmu,
        judge_nx_huge_pages, judge_enable_virt, judge_uffd, judge_uffd_device, judge_sys_ptrace, judge_uffd_features,
        judge_io_uring, judge_available, judge_max_map_count, judge_memlock, judge_overcommit, judge_swap, judge_numa, judge_thp,
        judge_thp_defrag, judge_pool_2m, judge_pool_1g, judge_microcode, judge_cpus, judge_governor, judge_idle,
        judge_clocksource, judge_tsc, judge_l1tf, judge_mds, judge_mmio_stale_data, judge_tsa, judge_retbleed, judge_srso,
        judge_spectre_v2, judge_vmscape, judge_meltdown, judge_itlb_multihit, judge_cgroup, judge_favordynmods,
        judge_memory_max, judge_memory_high, judge_swap_max, judge_cpu_max, judge_pids_max, judge_huge_max, judge_io_max,
        judge_bpf_load, judge_bpf_caps, judge_kvm_event, judge_lockdown, judge_dir_filesystem, judge_dir_kind, judge_dir_direct,
        judge_dir_nowait, judge_dir_rotational, judge_dir_read_ahead;

/* For them and for the table (host_value.c). */
enum fact_state fact_good_if(bool good); /* FACT_OK, or FACT_SLOW */
void fact_number(struct host_fact *f, int64_t v);
void fact_bytes(struct host_fact *f, int64_t v);
void fact_flag(struct host_fact *f, bool good);
void fact_try(struct host_fact *f, int error); /* 0 is good */
void fact_text(struct host_fact *f, bool good, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void fact_unknown(struct host_fact *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* its command, instead of the table's */
void fact_mend(struct host_fact *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
