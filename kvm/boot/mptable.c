/* The MP table that tells a guest without ACPI of its processors and interrupts (Intel MultiProcessor Specification 1.4, chapter
 * 4). */
#include "kvm/boot/map.h"

#include <assert.h>
#include <string.h>

#define LAPIC_GPA     0xfee00000
#define IOAPIC_GPA    0xfec00000
#define SPEC_REVISION 4 /* 1.4 */
#define APIC_VERSION  0x14
#define ISA_IRQS      16

#define CPU_ENABLED 1
#define CPU_BSP     2

#define IRQ_INT    0
#define IRQ_NMI    1
#define IRQ_EXTINT 3
#define ALL_LAPICS 0xff

enum { ENTRY_CPU, ENTRY_BUS, ENTRY_IOAPIC, ENTRY_IO_IRQ, ENTRY_LOCAL_IRQ };

struct mp_pointer {
        char     signature[4];
        uint32_t table_gpa;
        uint8_t  length_16; /* in paragraphs of 16 bytes */
        uint8_t  revision, checksum;
        uint8_t  features[5];
};
static_assert(sizeof(struct mp_pointer) == 16, "MP 4.1");

struct mp_header {
        char     signature[4];
        uint16_t length_bytes; /* this and all entries */
        uint8_t  revision, checksum;
        char     oem[8], product[12];
        uint32_t oem_table_gpa;
        uint16_t oem_table_bytes, nr_entries;
        uint32_t lapic_gpa;
        uint16_t extended_bytes;
        uint8_t  extended_checksum, reserved;
};
static_assert(sizeof(struct mp_header) == 44, "MP 4.2");

struct mp_cpu {
        uint8_t  type, apic_id, apic_version, flags;
        uint32_t signature, features, reserved[2];
};
static_assert(sizeof(struct mp_cpu) == 20, "MP 4.3.1");

struct mp_bus {
        uint8_t type, id;
        char    name[6];
};
static_assert(sizeof(struct mp_bus) == 8, "MP 4.3.2");

struct mp_ioapic {
        uint8_t  type, id, version, flags;
        uint32_t gpa;
};
static_assert(sizeof(struct mp_ioapic) == 8, "MP 4.3.3");

/* I/O and local interrupts have the same shape. */
struct mp_irq {
        uint8_t  type, irq_type;
        uint16_t flags; /* 0: polarity and trigger as the bus has them, for ISA high and edge */
        uint8_t  bus, bus_irq, apic_id, pin;
};
static_assert(sizeof(struct mp_irq) == 8, "MP 4.3.4");

struct mp_table {
        struct mp_pointer pointer;
        struct mp_header  header;
        uint8_t           entries[BOOT_VCPUS_MAX * sizeof(struct mp_cpu) + sizeof(struct mp_bus) + sizeof(struct mp_ioapic) +
                                  (ISA_IRQS + 2) * sizeof(struct mp_irq)];
};
static_assert(sizeof(struct mp_table) <= MAP_EBDA_END - MAP_EBDA, "it fits the kilobyte that is searched for it");

/* Where the next entry goes. */
struct writer {
        struct mp_table *t;
        size_t           used_bytes;
};

static void add(struct writer *w, const void *entry, size_t bytes)
{
        memcpy(w->t->entries + w->used_bytes, entry, bytes);
        w->used_bytes += bytes;
        w->t->header.nr_entries++;
}

static void add_irq(struct writer *w, uint8_t type, uint8_t irq_type, uint8_t bus_irq, uint8_t apic_id, uint8_t pin)
{
        struct mp_irq i = { .type = type, .irq_type = irq_type, .bus_irq = bus_irq, .apic_id = apic_id, .pin = pin };

        add(w, &i, sizeof(i));
}

/* What makes the sum of all bytes 0. */
static uint8_t checksum(const void *p, size_t bytes)
{
        const uint8_t *b = p;
        uint8_t        sum = 0;

        while (bytes--)
                sum = (uint8_t)(sum + *b++);
        return (uint8_t)-sum;
}

static void add_entries(struct writer *w, uint32_t nr_vcpus)
{
        const uint8_t          ioapic_id = (uint8_t)(nr_vcpus + 1);
        const struct mp_bus    isa = { .type = ENTRY_BUS, .name = { 'I', 'S', 'A', ' ', ' ', ' ' } };
        const struct mp_ioapic ioapic = {
                .type = ENTRY_IOAPIC, .id = ioapic_id, .version = APIC_VERSION, .flags = CPU_ENABLED, .gpa = IOAPIC_GPA,
        };

        for (uint32_t i = 0; i < nr_vcpus; i++) {
                struct mp_cpu cpu = {
                        .type = ENTRY_CPU, .apic_id = (uint8_t)i, .apic_version = APIC_VERSION,
                        .flags = CPU_ENABLED | (i ? 0 : CPU_BSP),
                };

                add(w, &cpu, sizeof(cpu));
        }
        add(w, &isa, sizeof(isa));
        add(w, &ioapic, sizeof(ioapic));
        for (uint8_t irq = 0; irq < ISA_IRQS; irq++)
                add_irq(w, ENTRY_IO_IRQ, IRQ_INT, irq, ioapic_id, irq);
        add_irq(w, ENTRY_LOCAL_IRQ, IRQ_EXTINT, 0, 0, 0);
        add_irq(w, ENTRY_LOCAL_IRQ, IRQ_NMI, 0, ALL_LAPICS, 1);
}

void mptable_write(const struct mem_layout *l, uint32_t nr_vcpus)
{
        struct mp_table t = {
                .pointer = { .signature = { '_', 'M', 'P', '_' }, .table_gpa = MAP_EBDA + offsetof(struct mp_table, header),
                             .length_16 = 1, .revision = SPEC_REVISION },
                .header = { .signature = { 'P', 'C', 'M', 'P' }, .revision = SPEC_REVISION, .lapic_gpa = LAPIC_GPA,
                            .oem = { 'R', 'O', 'U', 'S', 'E', ' ', ' ', ' ' },
                            .product = { 'M', 'I', 'C', 'R', 'O', 'V', 'M', ' ', ' ', ' ', ' ', ' ' } },
        };
        struct writer w = { .t = &t };

        add_entries(&w, nr_vcpus);
        t.header.length_bytes = (uint16_t)(sizeof(t.header) + w.used_bytes);
        t.header.checksum = checksum(&t.header, t.header.length_bytes);
        t.pointer.checksum = checksum(&t.pointer, sizeof(t.pointer));
        memcpy(mem_layout_gpa_to_hva(l, MAP_EBDA, sizeof(t)), &t, sizeof(t));
}
