/* What a QMP client sends, in any packets: the requests that come out must not depend on where the packets end, and nothing that
 * a reply quotes may be broken UTF-8. The first byte says how large the packets are. */
#include "core/control/qmp_parser.h"
#include "core/control/qmp_vm.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static void check(bool ok)
{
        if (!ok)
                abort();
}

static bool is_utf8(const char *text)
{
        for (const unsigned char *p = (const unsigned char *)text; *p;) {
                int more = *p < 0x80 ? 0 : *p < 0xc0 ? -1 : *p < 0xe0 ? 1 : *p < 0xf0 ? 2 : 3;

                if (more < 0)
                        return false;
                for (p++; more > 0; more--, p++)
                        if ((*p & 0xc0) != 0x80)
                                return false;
        }
        return true;
}

static void look_at_uri(struct json_object *args)
{
        struct json_object *uri;
        struct err e = {0};
        char *dir;

        if (!args || !json_object_object_get_ex(args, "uri", &uri) || !json_object_is_type(uri, json_type_string))
                return;
        if (migration_parse_uri(json_object_get_string(uri), &dir, &e) < 0) {
                check(e.text[0] != 0 && is_utf8(e.text));
                return;
        }
        check(dir[0] != 0);
        free(dir);
}

static void look_at(const struct qmp_request *rq, XXH3_state_t *sum)
{
        const char *text = rq->doc ? json_object_to_json_string_ext(rq->doc, JSON_C_TO_STRING_PLAIN) : "";

        check(!rq->execute == !!rq->error[0]);
        check(is_utf8(rq->error) && is_utf8(text));
        check(!rq->arguments || json_object_is_type(rq->arguments, json_type_object));
        look_at_uri(rq->arguments);
        XXH3_64bits_update(sum, text, strlen(text));
        XXH3_64bits_update(sum, rq->error, strlen(rq->error) + 1);
}

static uint64_t parse(const char *bytes, size_t len, size_t packet)
{
        XXH3_state_t *sum = XXH3_createState();
        struct qmp_parser *p;
        uint64_t ret;

        check(sum && qmp_parser_new(&p) == 0);
        XXH3_64bits_reset(sum);
        for (size_t end = 0, at = 0; at < len;) {
                struct qmp_request rq;
                bool complete;

                end = at == end ? (packet < len - at ? at + packet : len) : end;
                at += qmp_parser_take(p, bytes + at, end - at, &rq, &complete);
                if (complete)
                        look_at(&rq, sum);
                qmp_request_free(&rq);
        }
        ret = XXH3_64bits_digest(sum);
        qmp_parser_free(p);
        XXH3_freeState(sum);
        return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        const char *bytes = (const char *)data + 1;

        if (size < 2)
                return 0;
        check(parse(bytes, size - 1, 1 + data[0]) == parse(bytes, size - 1, size));
        return 0;
}
