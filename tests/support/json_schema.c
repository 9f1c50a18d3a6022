/* The validator is a child: nothing of it is ours. */
#include "tests/support/json_schema.h"

#include "tests/support/child.h"
#include "tests/support/need.h"

#include <criterion/criterion.h>
#include <errno.h>

/* Not check_schema alone: a schema that is no schema would let everything pass. */
static const char program[] =
        "import json, sys\n"
        "try:\n"
        "    import jsonschema\n"
        "except ImportError:\n"
        "    sys.exit(77)\n"
        "schema, doc = (json.load(open(p)) for p in sys.argv[1:3])\n"
        "jsonschema.Draft7Validator.check_schema(schema)\n"
        "for e in jsonschema.Draft7Validator(schema).iter_errors(doc):\n"
        "    sys.exit('/'.join(str(p) for p in e.absolute_path) + ': ' + e.message[:300])\n";

void json_schema_expect(const char *schema_path, const char *path)
{
        struct child c = RUN(60000, "python3", "-c", program, schema_path, path);
        int          status = c.status;

        if (status == 77)
                need_lacks("python3-jsonschema", ENOENT);
        cr_assert_eq(status, 0, "%s against %s: %s", path, schema_path, c.err);
        child_free(&c);
}
