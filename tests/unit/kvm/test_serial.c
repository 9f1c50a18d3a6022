/* The 16550 as its data sheet has it. */
#include "kvm/device/serial.h"

#include <criterion/criterion.h>
#include <string.h>

enum { DATA, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR

struct wires {
        bool     irq;
        unsigned edges; /* how often the line went up */
        char     out[64];
        size_t   nr_out;
};

static void wire_irq(void *arg, bool level)
{
        struct wires *w = arg;

        w->edges += level && !w->irq;
        w->irq = level;
}

static void wire_put(void *arg, uint8_t byte)
{
        struct wires *w = arg;

        w->out[w->nr_out++ % sizeof(w->out)] = (char)byte;
}

static const struct serial_ops wire_ops = { .set_irq = wire_irq, .put = wire_put };

static struct serial *port(struct wires *w)
{
        struct serial *s;

        cr_assert_eq(serial_new(&wire_ops, w, &s), 0);
        return s;
}

static size_t type_in(struct serial *s, const char *text)
{
        return serial_receive(s, (const uint8_t *)text, strlen(text));
}

Test(serial, after_power_on_it_is_idle_and_its_peer_is_there)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        cr_assert_eq(serial_read(s, IER), 0);
        cr_assert_eq(serial_read(s, IIR), 0x01);
        cr_assert_eq(serial_read(s, LCR), 0x03);
        cr_assert_eq(serial_read(s, MCR), 0x08);
        cr_assert_eq(serial_read(s, LSR), 0x60);
        cr_assert_eq(serial_read(s, MSR), 0xb0);
        cr_assert_not(w.irq);
        serial_free(s);
}

Test(serial, a_written_byte_goes_out_and_the_transmitter_is_empty_again)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, DATA, 'x');
        cr_assert_eq(w.nr_out, 1);
        cr_assert_eq(w.out[0], 'x');
        cr_assert_eq(serial_read(s, LSR), 0x60);
        serial_free(s);
}

Test(serial, the_divisor_latch_hides_data_and_ier)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x05);
        serial_write(s, LCR, 0x83);
        serial_write(s, DATA, 0x34);
        serial_write(s, IER, 0x12);
        cr_assert_eq(serial_read(s, DATA), 0x34);
        cr_assert_eq(serial_read(s, IER), 0x12);
        cr_assert_eq(w.nr_out, 0);
        serial_write(s, LCR, 0x03);
        cr_assert_eq(serial_read(s, IER), 0x05);
        serial_free(s);
}

Test(serial, enabling_the_empty_interrupt_raises_it_and_reading_iir_lowers_it)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x02);
        cr_assert(w.irq);
        cr_assert_eq(serial_read(s, IIR), 0x02);
        cr_assert_not(w.irq);
        cr_assert_eq(serial_read(s, IIR), 0x01);
        serial_write(s, IER, 0x00);
        serial_write(s, IER, 0x02);
        cr_assert(w.irq, "off and on again raises it anew");
        serial_free(s);
}

Test(serial, each_sent_byte_is_an_edge_of_the_empty_interrupt)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x02);
        serial_write(s, DATA, 'a');
        serial_write(s, DATA, 'b');
        cr_assert_eq(w.edges, 3);
        cr_assert(w.irq);
        serial_free(s);
}

Test(serial, without_fifo_it_holds_one_byte_and_with_it_16)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        cr_assert_eq(type_in(s, "ab"), 1);
        cr_assert_eq(serial_read(s, LSR) & 1, 1);
        cr_assert_eq(serial_read(s, DATA), 'a');
        cr_assert_eq(serial_read(s, LSR) & 1, 0);
        serial_write(s, FCR, 0x01);
        cr_assert_eq(serial_read(s, IIR) & 0xc0, 0xc0);
        cr_assert_eq(type_in(s, "0123456789abcdefghij"), 16);
        for (const char *c = "0123456789abcdef"; *c; c++)
                cr_assert_eq(serial_read(s, DATA), *c);
        cr_assert_eq(serial_read(s, DATA), 0);
        serial_free(s);
}

Test(serial, data_below_the_trigger_level_is_a_timeout_and_at_it_received_data)
{
        const struct {
                uint8_t fcr;
                size_t  level;
        } rows[] = { { 0x01, 1 }, { 0x41, 4 }, { 0x81, 8 }, { 0xc1, 14 } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct wires   w = { 0 };
                struct serial *s = port(&w);

                serial_write(s, FCR, rows[i].fcr);
                serial_write(s, IER, 0x01);
                for (size_t n = 1; n <= 16; n++) {
                        cr_assert_eq(type_in(s, "z"), 1);
                        cr_assert_eq(serial_read(s, IIR) & 0x0f, n >= rows[i].level ? 0x04 : 0x0c, "fcr %#x, %zu bytes",
                                     rows[i].fcr, n);
                }
                cr_assert_eq(w.edges, 1);
                serial_free(s);
        }
}

Test(serial, reading_the_last_byte_lowers_the_line)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x01);
        type_in(s, "q");
        cr_assert(w.irq);
        cr_assert_eq(serial_read(s, DATA), 'q');
        cr_assert_not(w.irq);
        serial_free(s);
}

Test(serial, received_data_comes_before_transmitter_empty)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x03);
        type_in(s, "q");
        cr_assert_eq(serial_read(s, IIR), 0x04);
        serial_read(s, DATA);
        cr_assert_eq(serial_read(s, IIR), 0x02);
        cr_assert_eq(serial_read(s, IIR), 0x01);
        serial_free(s);
}

Test(serial, switching_or_clearing_the_fifo_drops_what_was_received)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, FCR, 0x01);
        type_in(s, "abc");
        serial_write(s, FCR, 0x03);
        cr_assert_eq(serial_read(s, LSR) & 1, 0);
        type_in(s, "abc");
        serial_write(s, FCR, 0x00);
        cr_assert_eq(serial_read(s, LSR) & 1, 0);
        cr_assert_eq(serial_read(s, IIR), 0x01);
        serial_free(s);
}

Test(serial, loopback_gives_back_what_is_sent_and_nothing_goes_out_or_in)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, MCR, 0x10);
        serial_write(s, DATA, 'l');
        cr_assert_eq(w.nr_out, 0);
        cr_assert_eq(type_in(s, "x"), 0);
        cr_assert_eq(serial_read(s, DATA), 'l');
        serial_free(s);
}

Test(serial, an_overrun_in_loopback_is_a_line_status_that_reading_clears)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, MCR, 0x10);
        serial_write(s, IER, 0x04);
        serial_write(s, DATA, '1');
        cr_assert_not(w.irq);
        serial_write(s, DATA, '2');
        cr_assert_eq(serial_read(s, IIR), 0x06);
        cr_assert_eq(serial_read(s, LSR), 0x63);
        cr_assert_eq(serial_read(s, LSR), 0x61);
        cr_assert_not(w.irq);
        serial_free(s);
}

Test(serial, loopback_ties_the_modem_inputs_to_its_outputs)
{
        const struct {
                uint8_t mcr, lines;
        } rows[] = { { 0x11, 0x20 }, { 0x12, 0x10 }, { 0x14, 0x40 }, { 0x18, 0x80 }, { 0x1f, 0xf0 }, { 0x10, 0x00 } };

        for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
                struct wires   w = { 0 };
                struct serial *s = port(&w);

                serial_write(s, MCR, rows[i].mcr);
                cr_assert_eq(serial_read(s, MSR) & 0xf0, rows[i].lines, "mcr %#x", rows[i].mcr);
                serial_free(s);
        }
}

Test(serial, a_modem_change_interrupts_until_msr_is_read)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, IER, 0x08);
        serial_write(s, MCR, 0x10);
        cr_assert(w.irq);
        cr_assert_eq(serial_read(s, IIR), 0x00);
        cr_assert_eq(serial_read(s, MSR), 0x0b, "CTS, DSR and DCD went away, RI was never there");
        cr_assert_not(w.irq);
        cr_assert_eq(serial_read(s, MSR), 0x00);
        serial_free(s);
}

Test(serial, ring_counts_only_when_it_ends)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, MCR, 0x10);
        serial_read(s, MSR);
        serial_write(s, MCR, 0x14);
        cr_assert_eq(serial_read(s, MSR), 0x40);
        serial_write(s, MCR, 0x10);
        cr_assert_eq(serial_read(s, MSR), 0x04);
        serial_free(s);
}

Test(serial, scratch_keeps_and_status_registers_ignore_writes)
{
        struct wires   w = { 0 };
        struct serial *s = port(&w);

        serial_write(s, SCR, 0xa5);
        cr_assert_eq(serial_read(s, SCR), 0xa5);
        serial_write(s, LSR, 0xff);
        cr_assert_eq(serial_read(s, LSR), 0x60);
        serial_write(s, MSR, 0x00);
        cr_assert_eq(serial_read(s, MSR), 0xb0);
        serial_free(s);
}

Test(serial, a_saved_state_loads_and_saves_the_same)
{
        struct wires         w = { 0 }, w2 = { 0 };
        struct serial       *s = port(&w), *s2 = port(&w2);
        struct device_record a = { .kind = DEVICE_SERIAL }, b = a;
        struct vm_state      before = { .nr_devices = 1, .devices = &a }, after = { .nr_devices = 1, .devices = &b };

        serial_write(s, FCR, 0x81);
        serial_write(s, IER, 0x03);
        serial_write(s, SCR, 0x77);
        for (int i = 0; i < 20; i++) { /* so that the queue wraps somewhere else than at 0 */
                type_in(s, "k");
                serial_read(s, DATA);
        }
        type_in(s, "hello");
        serial_save(s, &a.u.serial);
        serial_load(s2, &a.u.serial);
        serial_save(s2, &b.u.serial);
        cr_assert(vm_state_equal(&before, &after, NULL));
        cr_assert_eq(a.u.serial.rx_len, 5);
        cr_assert(w2.irq);
        serial_free(s);
        serial_free(s2);
}

Test(serial, a_foreign_state_of_1024_received_bytes_is_kept_and_drained)
{
        struct wires        w = { 0 };
        struct serial      *s = port(&w);
        struct serial_state st = { .lcr = 3, .lsr = 0x61, .ier = 1, .divisor = 12, .rx_len = SERIAL_RX_MAX };

        for (size_t i = 0; i < SERIAL_RX_MAX; i++)
                st.rx[i] = (uint8_t)(i * 7);
        serial_load(s, &st);
        cr_assert(w.irq);
        cr_assert_eq(type_in(s, "x"), 0);
        for (size_t i = 0; i < SERIAL_RX_MAX; i++)
                cr_assert_eq(serial_read(s, DATA), (uint8_t)(i * 7));
        cr_assert_not(w.irq);
        cr_assert_eq(type_in(s, "x"), 1);
        serial_free(s);
}

Test(serial, a_pending_empty_that_nobody_enabled_does_not_interrupt)
{
        struct wires        w = { 0 };
        struct serial      *s = port(&w);
        struct serial_state st = { .iir = 1, .lcr = 3, .lsr = 0x60, .msr = 0xb0, .thr_pending = true };

        serial_load(s, &st);
        cr_assert_not(w.irq);
        cr_assert_eq(serial_read(s, IIR), 0x01);
        serial_free(s);
}

Test(serial, a_loaded_transmitter_is_never_busy_for_ever)
{
        struct wires        w = { 0 };
        struct serial      *s = port(&w);
        struct serial_state st = { .lsr = 0x00 };

        serial_load(s, &st);
        cr_assert_eq(serial_read(s, LSR), 0x60);
        serial_free(s);
}
